//! Two users of one file, each a description of its own: ranges locked, waited for by a descriptor, given up at a
//! deadline; then a new version of the file in place of the old one, complete or not at all.

use becket_sys::Ready;
use becket_sys::file::{LockKind, conflict, link_over, lock, start_lock, try_lock, unlock, unnamed};
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

pub(crate) fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-file-lock-{}", std::process::id()));
    std::fs::write(&path, "old version")?;
    let open = || File::options().read(true).write(true).open(&path);
    let (first, second) = (open()?, open()?);

    assert!(try_lock(&first, LockKind::Write, 0..100)?);
    if let Some(found) = conflict(&second, LockKind::Read, ..)? {
        println!("in the way: {found:?}");
    }
    let deadline = Instant::now() + Duration::from_millis(50);
    let got = lock(&second, LockKind::Read, 50.., Some(deadline))?;
    println!("after 50 ms the second user has the lock: {got}");

    // As a source of any loop: readable once the lock is there.
    let waiting = start_lock(&second, LockKind::Read, 50..)?;
    assert!(!waiting.is_locked()?);
    unlock(&first, 50..)?;
    waiting.wait_ready(Ready::READ, None)?;
    println!("after the unlocking: {}", waiting.is_locked()?);
    assert!(try_lock(&second, LockKind::Read, 60..70)? && !try_lock(&second, LockKind::Read, 0..1)?);

    let mut new = unnamed(std::env::temp_dir())?;
    new.write_all(b"new version")?;
    new.sync_all()?;
    link_over(&new, &path)?;
    println!(
        "{}, and who has the old one open reads: {}",
        std::fs::read_to_string(&path)?,
        io::read_to_string(&first)?
    );
    std::fs::remove_file(path)
}
