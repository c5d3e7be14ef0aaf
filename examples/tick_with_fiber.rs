//! Prints `tick 1` to `tick 5`, one every 100 ms, in a fiber: other fibers run meanwhile.

use becket_fiber::{Runtime, interval};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let mut period = interval(Duration::from_millis(100));
        for tick in 1..=5 {
            period.tick()?;
            println!("tick {tick}");
        }
        Ok(())
    })?
}
