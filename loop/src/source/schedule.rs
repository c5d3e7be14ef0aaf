//! Times of the day, computed anew whenever somebody sets the clock.

use super::Source;
use crate::{Next, Ready, Result};
use becket_sys::timer::{Armed, Clock, Timer, When};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Points in time on a clock of the system, each computed by a function of the user's: "every day at three". What
/// [`Ctx::on`](crate::Ctx::on) takes.
///
/// The function gets what the clock reads, since its epoch, and returns the next time after that; `None` where there
/// is no further one: the source is then removed. It is asked at the beginning, after each time, and whenever the clock
/// was set, by the administrator or by a step of NTP. Each event is the time that was planned.
///
/// It is never early. Where the clock is set past the time that was planned, that comes at once, and nothing of what
/// else was skipped, for the function is then asked for the next. Where the clock is set back, the function may plan
/// again what has been. [`Clock::Boottime`] counts while the system sleeps, [`Clock::RealtimeAlarm`] also wakes it up.
/// Dropped, it is closed. See timerfd_create(2).
///
/// For one time and for periods by one of these clocks there are [`Ctx::at_on`](crate::Ctx::at_on) and
/// [`Ctx::every_on`](crate::Ctx::every_on), which share one descriptor, and do not wake the system up. A schedule goes by
/// the system's clocks, also where the loop has others, for [tests](crate::TestTime).
///
/// ```
/// use becket_loop::{Loop, Next, Schedule};
/// use becket_sys::timer::Clock;
/// use std::time::Duration;
///
/// /// Three o'clock (UTC), the next time after `now`.
/// fn three(now: Duration) -> Option<Duration> {
///     const DAY: u64 = 86_400;
///     let three = now.as_secs() / DAY * DAY + 3 * 3600;
///     Some(Duration::from_secs(if three > now.as_secs() { three } else { three + DAY }))
/// }
///
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// let id = event_loop.on(Schedule::new(Clock::Realtime, three)?, |backups, _, _at| {
///     *backups += 1;
///     Ok(Next::Keep)
/// })?;
/// let next = event_loop.get(id).unwrap().next().unwrap();
/// assert_eq!(next.as_secs() % 86_400, 3 * 3600);
/// assert!(next - Clock::Realtime.now() <= Duration::from_secs(86_400));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "cron")]
#[doc(alias = "OnCalendar")]
#[doc(alias = "TFD_TIMER_CANCEL_ON_SET")]
pub struct Schedule<F> {
    timer: Timer,
    plan: F,
    next: Cell<Option<Duration>>,
}

impl<F: Fn(Duration) -> Option<Duration> + 'static> Schedule<F> {
    /// A schedule on `clock`, the first time of which is planned at once.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where the plan returns a time that is not after the one that it
    /// was given: here, and later as an error of the source's. Those of [`Timer::new`].
    pub fn new(clock: Clock, plan: F) -> io::Result<Self> {
        let schedule = Schedule { timer: Timer::new(clock)?, plan, next: Cell::new(None) };
        if !schedule.set()? {
            // Nothing is planned: to be told at once, which removes it.
            schedule.timer.set(When::After(Duration::ZERO), None)?;
        }
        Ok(schedule)
    }

    /// Which time is planned.
    pub fn next(&self) -> Option<Duration> {
        self.next.get()
    }

    /// Plans the next time. Whether there is one.
    fn set(&self) -> io::Result<bool> {
        let clock = self.timer.clock();
        loop {
            let now = clock.now();
            let next = (self.plan)(now);
            self.next.set(next);
            let Some(next) = next else { return Ok(false) };
            if next <= now {
                let why = format!("the schedule's next time, {next:?}, is not after {now:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            if !clock.is_realtime() {
                self.timer.set(When::At(next), None)?;
                return Ok(true);
            }
            if self.timer.set_cancel_on_set(next, None)? == Armed::InTime {
                return Ok(true);
            }
            // The clock was set since it was looked at, or since the last look.
        }
    }
}

impl<F> AsFd for Schedule<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

impl<F> fmt::Debug for Schedule<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("timer", &self.timer).field("next", &self.next).finish_non_exhaustive()
    }
}

/// The event is the time that was planned, since the clock's epoch.
impl<F: Fn(Duration) -> Option<Duration> + 'static> Source for Schedule<F> {
    type Event<'a> = Duration;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Duration) -> ControlFlow<()>) -> Result {
        if self.timer.try_read()?.is_none() {
            return Ok(Next::Keep);
        }
        // Reached, or set past; where the clock was set, what the event says does not tell.
        if let Some(at) = self.next.get()
            && at <= self.timer.clock().now()
            && emit(at).is_break()
        {
            return Ok(Next::Keep);
        }
        Ok(if self.set()? { Next::Keep } else { Next::Remove })
    }
}
