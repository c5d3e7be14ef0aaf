//! What several fibers change while they wait belongs into a mutex of the fibers' own, or into a `Cell`. Run it with
//! `cargo run -p becket-fiber --example lock_across_a_wait`.
//!
//! A `std::sync::Mutex` would do for as long as nobody waits while he holds it. Held across a wait it blocks the thread,
//! and so the fiber that would unlock it: for ever. The example `tell_of_stalls` shows how that is found.

use becket_fiber::sync::Mutex;
use becket_fiber::{Runtime, scope, sleep};
use std::io;
use std::time::Duration;

struct Line {
    name: &'static str,
    sent: u32,
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let line = Mutex::new(Line { name: "modbus", sent: 0 });
        scope(|s| {
            for client in 1..=3 {
                let line = &line;
                s.spawn(move || {
                    let mut line = line.lock()?; // in turn, in the order of asking; ended by cancels and deadlines
                    println!("client {client} has {}", line.name);
                    sleep(Duration::from_millis(5))?; // the question and its answer: others run, and wait for the lock
                    line.sent += 1;
                    Ok::<_, io::Error>(())
                })?;
            }
            Ok::<_, io::Error>(())
        })?;
        println!("{} questions", line.into_inner().sent);
        Ok(())
    })?
}
