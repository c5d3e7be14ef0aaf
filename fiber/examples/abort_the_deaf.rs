//! An abort unwinds a fiber that does not listen to cancels: its destructors run, and it counts as cancelled. Run it
//! with `cargo run -p becket-fiber --example abort_the_deaf`.

use becket_fiber::{JoinError, Runtime, sleep, spawn, yield_now};
use std::io;
use std::time::Duration;

struct Lamp;

impl Drop for Lamp {
    fn drop(&mut self) {
        // Nothing waits here: while a fiber unwinds, blocking calls are errors at once.
        println!("the lamp is off");
    }
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let deaf = spawn(|| {
            let _lamp = Lamp;
            loop {
                // A library that swallows errors. After a cancel it would spin here, hence the second line.
                let _ = sleep(Duration::from_secs(3600));
                yield_now();
            }
        })?;
        yield_now();
        deaf.cancel();
        sleep(Duration::from_millis(5))?;
        println!("after the cancel it runs: {}", !deaf.is_finished());
        deaf.abort()?; // `Unsupported` where panics do not unwind
        match deaf.join() {
            Err(JoinError::Cancelled) => println!("after the abort it does not"),
            other => println!("unexpected: {other:?}"),
        }
        Ok(())
    })?
}
