//! An alarm by the clock on the wall, which is told when somebody sets that clock: a timerfd on the real-time clock.
//!
//!     cargo run -p becket-sys --example clock_alarm              at the next full 50 ms
//!     cargo run -p becket-sys --example clock_alarm -- 60000     at the next full minute; set the clock meanwhile

use becket_sys::Ready;
use becket_sys::timer::{Armed, Clock, Event, Timer};
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let period: NonZeroU32 = std::env::args().nth(1).as_deref().unwrap_or("50").parse()?;
    let period = u64::from(period.get());

    let alarm = Timer::new(Clock::Realtime)?;
    println!("waiting");
    loop {
        let now = u64::try_from(alarm.clock().now().as_millis())?;
        let at = (now / period + 1) * period;
        // A change of the clock is told once: either here, with the timer armed all the same, or by a read.
        if alarm.set_cancel_on_set(Duration::from_millis(at), None)? == Armed::ClockChanged {
            println!("the clock was set just now");
            continue;
        }
        alarm.wait_ready(Ready::READ, None)?;
        match alarm.try_read()? {
            Some(Event::Expired(_)) => {
                println!("it is {at} ms since 1970");
                return Ok(());
            }
            Some(Event::ClockChanged) => println!("the clock was set"),
            None => {}
        }
    }
}
