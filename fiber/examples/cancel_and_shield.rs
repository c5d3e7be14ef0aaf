//! A cancel is an error of whatever waits, now and from then on; a shield keeps it from what has to be finished. Run it
//! with `cargo run -p becket-fiber --example cancel_and_shield`.

use becket_fiber::{Runtime, is_cancelled, shield, sleep, spawn, yield_now};
use std::io;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let pump = spawn(|| {
            println!("the pump runs");
            let ended = sleep(3600 * 1000 * MS); // and the hour ends here
            println!("told to end: {}", ended.as_ref().is_err_and(is_cancelled));
            // Every later wait says so, too: code that swallows one error meets the next.
            println!("still told so: {}", sleep(MS).is_err_and(|e| is_cancelled(&e)));
            shield(|| {
                sleep(5 * MS)?; // waits: the cancel stays outside
                println!("the pump has stopped in good order");
                ended
            })
        })?;
        yield_now();
        pump.cancel();
        let ended = pump.join()?; // a fiber that was cancelled has a result like any other
        println!("its result: {}", ended.unwrap_err());
        Ok(())
    })?
}
