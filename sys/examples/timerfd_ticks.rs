//! Ticks of 50 ms that keep their phase while the work between them is late, an alarm at a time of day, and what a
//! change of the clock would look like.

use becket_sys::Ready;
use becket_sys::timer::{Armed, Clock, Event, Timer, When};
use std::io;
use std::time::Duration;

pub(crate) fn main() -> io::Result<()> {
    let period = Duration::from_millis(50);
    let ticks = Timer::new(Clock::Monotonic)?;
    let start = Clock::Monotonic.now();
    ticks.set(When::At(start + period), Some(period))?;

    let mut count = 0;
    while count < 6 {
        ticks.wait_ready(Ready::READ, None)?;
        if let Some(Event::Expired(n)) = ticks.try_read()? {
            count += n;
            println!(
                "tick {count} after {:?}{}",
                Clock::Monotonic.now() - start,
                if n > 1 { ", some missed" } else { "" }
            );
        }
        if count == 2 {
            std::thread::sleep(Duration::from_millis(120)); // work that takes too long
        }
    }
    ticks.disarm()?;

    // In a hundredth of a second, by the clock on the wall: computed anew whenever that is set.
    let alarm = Timer::new(Clock::Realtime)?;
    loop {
        let at = Clock::Realtime.now() + Duration::from_millis(10);
        if alarm.set_cancel_on_set(at, None)? == Armed::ClockChanged {
            continue;
        }
        alarm.wait_ready(Ready::READ, None)?;
        match alarm.try_read()? {
            Some(Event::Expired(_)) => break println!("it is {} s since 1970", at.as_secs()),
            Some(Event::ClockChanged) => println!("the clock was set"),
            None => {}
        }
    }
    Ok(())
}
