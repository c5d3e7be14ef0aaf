//! Callbacks on the loop of the fibers: a timer for which no fiber is needed, and a callback that wakes one. Run it with
//! `cargo run -p becket-fiber --example callbacks_beside_fibers`.

use becket_fiber::sync::channel;
use becket_fiber::{Next, Runtime, sleep, with_ctx};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (ticks, ticked) = channel(8);
        let mut left = 3;
        with_ctx(|ctx| {
            ctx.every(Duration::from_millis(5), move |(), _, _| {
                left -= 1;
                let _ = ticks.try_send(left); // never waits; the value comes back where there is no room
                Ok(if left == 0 { Next::Remove } else { Next::Keep })
            });
            // Nothing may wait in a callback, where it would stop them all: that is an error, and no hang.
            let wait = |(): &mut (), _: &mut _| {
                println!("in a callback: {:?}", sleep(Duration::from_secs(1)).map_err(|e| e.kind()));
                Ok(())
            };
            ctx.after(Duration::from_millis(1), wait);
        })?;
        ticked.iter().for_each(|left| println!("{left} left"));
        Ok(())
    })?
}
