//! Two users of one file: ranges locked, given up at a deadline, and waited for by a descriptor.
//!
//! Run it with `cargo run -p becket-sys --example file_lock`, which makes a temporary file. The locks belong to open
//! file descriptions, so that each `open` is a user, also within one process.

use becket_sys::Ready;
use becket_sys::file::{LockKind, conflict, lock, start_lock, try_lock, unlock};
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-file-lock-{}", std::process::id()));
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let (first, second) = (open()?, open()?);

    println!("the first locks 0..100: {}", try_lock(&first, LockKind::Write, 0..100)?);
    if let Some(found) = conflict(&second, LockKind::Read, ..)? {
        println!("in the way of the second: {found:?}");
    }
    let deadline = Instant::now() + Duration::from_millis(50);
    println!("the second has it in 50 ms: {}", lock(&second, LockKind::Read, 50.., Some(deadline))?);

    // As a source of any loop: readable once the lock is there.
    let waiting = start_lock(&second, LockKind::Read, 50..)?;
    println!("while the first has it: {}", waiting.is_locked()?);
    unlock(&first, 50..)?;
    waiting.wait_ready(Ready::READ, None)?;
    println!("after the unlocking: {}", waiting.is_locked()?);
    println!("what the first has kept: {}", try_lock(&second, LockKind::Write, 0..1)?);
    std::fs::remove_file(path)
}
