//! Ticks that keep their phase while the work between them is late: a timerfd with an interval.
//!
//! Run it with `cargo run -p becket-sys --example timerfd_ticks`: five looks at ticks that are 50 ms apart.

use becket_sys::Ready;
use becket_sys::timer::{Clock, Event, Timer, When};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let period = Duration::from_millis(50);
    let ticks = Timer::new(Clock::Monotonic)?;
    let start = ticks.clock().now();
    ticks.set(When::At(start + period), Some(period))?;

    let mut count = 0;
    for turn in 1..=5 {
        ticks.wait_ready(Ready::READ, None)?;
        // How often it expired since it was last read: more than once where we came late.
        let Some(Event::Expired(n)) = ticks.try_read()? else { continue };
        count += n;
        let missed = if n > 1 { format!(", {} missed", n - 1) } else { String::new() };
        println!("tick {count} after {} ms{missed}", (ticks.clock().now() - start).as_millis());
        if turn == 2 {
            std::thread::sleep(Duration::from_millis(120)); // work that takes too long
        }
    }
    ticks.disarm()
}
