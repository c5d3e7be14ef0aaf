//! Timers on other clocks than the loop's: timerfd_create(2).
//!
//! [`sleep`](crate::sleep) and [`interval`](crate::interval) are on the monotonic clock, which stands while the system
//! sleeps, and cost no descriptor. These here are for the time of day, and for what the system's sleep must not delay.

pub use becket_sys::timer::{Armed, Clock, Event, Setting, When};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::timer;
use std::io;
use std::time::Duration;

/// A timer on a clock of choice. Setting it is [`becket_sys::timer::Timer`]'s; dropping it disarms it.
///
/// ```
/// use becket_fiber::timer::{Clock, Event, Timer, When};
/// use becket_fiber::Runtime;
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let timer = Timer::new(Clock::Boottime)?;
///     let begun = Clock::Boottime.now();
///     timer.set(When::After(Duration::from_millis(5)), Some(Duration::from_millis(5)))?;
///     let mut ticks = 0;
///     while ticks < 3 {
///         let Event::Expired(n) = timer.next()? else { unreachable!("nobody asked for that") };
///         ticks += n;
///     }
///     assert!(Clock::Boottime.now() >= begun + Duration::from_millis(15));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "timerfd")]
pub struct Timer {
    io: Io<timer::Timer>,
}

over_io!(Timer, timer::Timer, convert);

impl Timer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// As [`timer::Timer::new`]: `EPERM` for alarm clocks without CAP_WAKE_ALARM; `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new(clock: Clock) -> io::Result<Timer> {
        timer::Timer::new(clock)?.try_into()
    }

    /// Waits until the timer has expired since this was last called, or since it was set; or until its clock was set,
    /// where it was armed [to be told](timer::Timer::set_cancel_on_set). One that is not armed waits forever.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled) and `TimedOut`: nothing is lost.
    pub fn next(&self) -> io::Result<Event> {
        until(&self.io, Ready::READ, timer::Timer::try_read)
    }
}

/// Waits until `clock` reads `at`, measured from its epoch, never less; where the clock is set meanwhile, that counts.
///
/// ```
/// use becket_fiber::timer::{Clock, sleep_until};
/// use becket_fiber::Runtime;
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let at = Clock::Realtime.now() + Duration::from_millis(5);
/// runtime.run(|| sleep_until(Clock::Realtime, at))??;
/// assert!(Clock::Realtime.now() >= at);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`Timer::new`] and [`Timer::next`].
pub fn sleep_until(clock: Clock, at: Duration) -> io::Result<()> {
    let timer = Timer::new(clock)?;
    timer.set(When::At(at), None)?;
    timer.next().map(drop)
}
