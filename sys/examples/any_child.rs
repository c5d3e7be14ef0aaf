//! All children that end, those of others too: what a supervisor needs, to which orphans come as to process 1.
//!
//! Run it with `cargo run -p becket-sys --example any_child`.

use becket_sys::Ready;
use becket_sys::process::{AnyChild, Child};
use rustix::process::{getpid, set_child_subreaper};
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    // In the main thread, before there is any other: it reads SIGCHLD, which it blocks.
    let any = AnyChild::new()?;
    set_child_subreaper(Some(getpid()))?;

    // It starts a child and ends before that does: the orphan comes to us.
    let mine = Child::spawn(Command::new("sh").args(["-c", "(sleep 0.2; exit 3) & exit 7"]))?;

    let deadline = Instant::now() + Duration::from_secs(20);
    let mut orphans = 0;
    while orphans == 0 {
        any.wait_ready(Ready::READ, Some(deadline))?.ok_or("no orphan has come")?;
        // Of several that end at the same time, one signal tells: it asks for all of them, each time.
        for ended in any.try_read()?.unwrap_or_default() {
            if ended.pid() == mine.id() {
                println!("mine: {}", ended.status()); // stays to be waited for, below
            } else {
                ended.take()?; // nobody else waits for this one
                println!("an orphan: {}", ended.status());
                orphans += 1;
            }
        }
    }
    println!("mine, waited for: {}", mine.try_wait()?.ok_or("it runs still")?);
    Ok(())
}
