//! What computes or blocks, and knows nothing of fibers, goes to a helper thread; it may borrow. Run it with
//! `cargo run -p becket-fiber --example unblock_a_call`.

use becket_fiber::{Runtime, interval, scope, unblock};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (mut table, beats) = (vec![3, 1, 2], AtomicU32::new(0));
        scope(|s| {
            let heart = s.spawn(|| {
                let mut beat = interval(Duration::from_millis(5));
                while beat.tick().is_ok() {
                    beats.fetch_add(1, Relaxed);
                }
            })?;
            let slept = unblock(|| {
                table.sort(); // the fiber's own, on another thread, while the fiber waits
                while beats.load(Relaxed) < 3 {
                    thread::sleep(Duration::from_millis(1)); // in a fiber this would stop all of them, for ever
                }
                thread::current().id()
            })?; // a cancel or a deadline keeps it from beginning; once begun, it is waited for
            heart.cancel();
            println!("on another thread: {}", slept != thread::current().id());
            println!("the heart has beaten meanwhile: {}", beats.load(Relaxed) >= 3);
            Ok::<_, io::Error>(())
        })?;
        println!("{table:?}");
        Ok(())
    })?
}
