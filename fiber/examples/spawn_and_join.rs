//! A fiber is spawned like a thread and joined like a thread, and costs a hundredth of one. Run it with
//! `cargo run -p becket-fiber --example spawn_and_join`.

use becket_fiber::{Runtime, sleep, spawn};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let fibers = (1..=3).map(|n| {
            spawn(move || {
                sleep(Duration::from_millis(20 * (4 - n)))?; // only this fiber waits
                println!("fiber {n} has slept");
                Ok::<_, io::Error>(n * n)
            })
        });
        // Collected first, so that all of them run before the first is waited for.
        let fibers: Vec<_> = fibers.collect::<Result<_, _>>()?;
        for fiber in fibers {
            // Two results: whether the fiber came to its end, and what it returned.
            println!("joined: {}", fiber.join()??);
        }
        Ok(())
    })?
}
