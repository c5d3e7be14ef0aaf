//! In a scope fibers borrow from their parent, which waits for all of them; the first that fails ends the others. Run it
//! with `cargo run -p becket-fiber --example scope_borrows`.

use becket_fiber::{Runtime, is_cancelled, scope, sleep};
use std::cell::Cell;
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let words = ["rope", "is", "made", "of", "fibers"];
        let letters = Cell::new(0); // no lock, not even an atomic: all of them are on one thread
        scope(|s| {
            for word in &words {
                s.spawn(|| letters.set(letters.get() + word.len()))?;
            }
            Ok::<_, io::Error>(())
        })?; // here all have ended
        println!("{} letters in {words:?}", letters.get());

        let failed: io::Result<()> = scope(|s| {
            let sleeper = s.spawn_or_cancel(|| sleep(Duration::from_secs(3600)))?;
            let failing = s.spawn_or_cancel(|| Err::<(), _>(io::Error::other("no such device")))?;
            let slept = sleeper.join();
            // The siblings are cancelled, and the scope's own closure, until it ends: whether or not the join was told.
            println!("the other one was stopped: {}", slept.map_or(true, |r| r.is_err_and(|e| is_cancelled(&e))));
            failing.join()?
        });
        println!("the scope: {:?}", failed.map_err(|e| e.to_string()));
        Ok(())
    })?
}
