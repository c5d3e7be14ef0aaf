//! Prints `tick 1` to `tick 5`, one every 100 ms, on a timer descriptor alone: no loop, the thread waits.

use becket_sys::Ready;
use becket_sys::timer::{Clock, Event, Timer, When};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let period = Duration::from_millis(100);
    let timer = Timer::new(Clock::Monotonic)?;
    timer.set(When::After(period), Some(period))?;

    let mut ticks = 0;
    while ticks < 5 {
        timer.wait_ready(Ready::READ, None)?;
        if let Some(Event::Expired(_)) = timer.try_read()? {
            ticks += 1;
            println!("tick {ticks}");
        }
    }
    Ok(())
}
