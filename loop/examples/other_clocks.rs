//! Timers by the clocks of the system: one that counts sleep, and the time of day, which somebody sets.
//!
//! Time is simulated, so that the machine can sleep and its clock be set here; with `Loop::new()` the same code goes by the
//! real ones. `cargo run -p becket-loop --example other_clocks`

use becket_loop::backend::Epoll;
use becket_loop::{EveryOn, Loop, Next, TestTime};
use becket_sys::timer::Clock;
use std::error::Error;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    let (backend, clock) = TestTime::over(Epoll::new()?);
    let mut event_loop: Loop<()> = Loop::with_backend(backend);
    let start = event_loop.now();
    let since = move |now: std::time::Instant| (now - start).as_secs() / 3600;

    // A lease ends though the machine sleeps; a timer of the loop's own clock stands still meanwhile.
    let lease = event_loop.clock_now(Clock::Boottime) + 8 * HOUR;
    event_loop.at_on(Clock::Boottime, lease, move |(), ctx| {
        Ok(println!("the lease is over, after {} hours awake", since(ctx.now())))
    })?;
    // Every full hour by the time of day. Whoever sets the clock moves it, and the next call is told.
    let noon = Duration::from_secs(20_000 * 86_400) + 12 * HOUR;
    clock.set_realtime(noon - HOUR / 2);
    event_loop.every_on(EveryOn::new(Clock::Realtime, HOUR).first(Duration::ZERO), move |(), ctx, tick| {
        let hour = ctx.clock_now(Clock::Realtime).as_secs() / 3600 % 24;
        println!("it is {hour} o'clock{}", if tick.clock_set { ", by a clock that jumped" } else { "" });
        match hour {
            12 => clock.sleep(6 * HOUR), // one call for all that was missed
            18 => clock.set_realtime(noon + HOUR + HOUR / 2),
            15 => return Ok(Next::Remove),
            _ => {}
        }
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut ())?;
    Ok(())
}
