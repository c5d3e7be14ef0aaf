//! Prints `tick 1` to `tick 5`, one every 100 ms, by a callback of a loop.

use becket_loop::{Loop, Next};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop = Loop::new()?;
    event_loop.every(Duration::from_millis(100), |ticks: &mut u32, _, _| {
        *ticks += 1;
        println!("tick {ticks}");
        Ok(if *ticks < 5 { Next::Keep } else { Next::Remove })
    });
    event_loop.run(&mut 0)?;
    Ok(())
}
