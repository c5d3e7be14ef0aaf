//! Threads that share a few permits: an eventfd as a semaphore, which any loop could wait for as well.
//!
//! Run it with `cargo run -p becket-sys --example event_semaphore`: six workers, two of them at a time.

use becket_sys::Ready;
use becket_sys::event::Event;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

const WORKERS: usize = 6;
const PERMITS: u32 = 2;

fn main() -> io::Result<()> {
    let permits = Event::semaphore(PERMITS)?;
    let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || -> io::Result<()> {
        // One that is given back wakes all who wait, and all but the first find nothing.
        while permits.try_read()?.is_none() {
            permits.wait_ready(Ready::READ, None)?;
        }
        most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30)); // the work
        working.fetch_sub(1, Ordering::SeqCst);
        permits.add(1)?;
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    println!("{WORKERS} workers, at most {} at a time", most.into_inner());
    Ok(())
}
