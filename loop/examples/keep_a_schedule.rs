//! The clocks of the system beside the loop's own: a deadline that counts the time for which the system sleeps, and
//! jobs at times of the day, which stay right when somebody sets the clock.
//!
//! `cargo run -p becket-loop --example keep_a_schedule`

use becket_loop::{Loop, Next, Schedule};
use becket_sys::timer::Clock;
use std::error::Error;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Default)]
struct State {
    lease_over: bool,
    backups: Vec<Duration>,
}

/// The next time that the clock shows a time of the day (UTC). Zones are for a library for dates.
fn daily(time: Duration, now: Duration) -> Duration {
    let midnight = DAY * (now.as_secs() / DAY.as_secs()) as u32;
    if midnight + time > now { midnight + time } else { midnight + time + DAY }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<State> = Loop::new()?;

    // A lease of an address ends when its time is over, whether the machine was awake or not.
    let end = Clock::Boottime.now() + Duration::from_millis(30);
    event_loop.at_on(Clock::Boottime, end, move |state: &mut State, _| {
        assert!(Clock::Boottime.now() >= end);
        println!("the lease is over");
        state.lease_over = true;
        Ok(())
    })?;

    // A backup every day at three.
    let three = Duration::from_secs(3 * 3600);
    let backup = Schedule::new(Clock::Realtime, move |now| Some(daily(three, now)))?;
    assert!(backup.next().is_some_and(|next| next.as_secs() % DAY.as_secs() == three.as_secs()));
    println!("the next backup is planned");
    let backup = event_loop.on(backup, |_, _, _| Ok(Next::Keep))?;

    // So that there is something to see: another one, ten milliseconds from now, and again, and again.
    let often = Schedule::new(Clock::Realtime, |now| Some(now + Duration::from_millis(10)))?;
    event_loop.on(often, move |state: &mut State, ctx, at| {
        state.backups.push(at);
        println!("backup {}", state.backups.len());
        if state.backups.len() < 3 {
            return Ok(Next::Keep);
        }
        ctx.cancel(backup);
        Ok(Next::Remove)
    })?;

    let mut state = State::default();
    event_loop.run(&mut state)?;
    assert!(state.lease_over && state.backups.len() == 3);
    Ok(())
}
