//! Signals are read in a loop, like lines, by one fiber, and end the program in good order. Run it with
//! `cargo run -p becket-fiber --example signals_as_a_loop -- wait`, and send it SIGHUP and SIGTERM; without an argument
//! it does so itself.

use becket_fiber::signal::{Signal, Signals, raise};
use becket_fiber::{Runtime, shield, sleep, spawn};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    // Blocked from here on: before any other thread is there, for a signal goes to a thread that does not block it.
    let signals = Signals::new([Signal::HUP, Signal::TERM, Signal::INT])?;
    Runtime::new()?.run(|| {
        let work = spawn(|| {
            let ended = sleep(Duration::from_secs(3600));
            shield(|| sleep(Duration::from_millis(5)))?; // what must be finished
            println!("the work is saved");
            ended
        })?;
        if std::env::args().nth(1).is_none() {
            spawn(|| [Signal::HUP, Signal::TERM].into_iter().try_for_each(raise))?.detach();
        }
        loop {
            let info = signals.next()?;
            match info.signal() {
                Signal::HUP => println!("reads its settings again"),
                signal => {
                    println!("ends by {signal:?}");
                    break;
                }
            }
        }
        work.cancel();
        let _ = work.join()?; // how it was cancelled is known
        Ok(())
    })?
}
