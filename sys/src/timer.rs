//! Timers on any of the kernel's clocks: timerfd_create(2).
//!
//! # Honest trouble
//!
//! - **Setting a real-time clock** moves the expiry of [`When::At`] and not that of [`When::After`]. Only a timer that
//!   was set by [`Timer::set_cancel_on_set`] tells of it, once for each timer, and a resumption from suspension counts
//!   as a setting of the clock as well. Slewing, by which NTP mostly corrects, is none.
//! - **A change may be told by the next setting** instead of a read, and the timer is armed all the same: [`Armed`].
//! - **A monotonic timer stands still** while the machine is suspended; one of boot time goes on, and expires when the
//!   machine wakes. Only the alarm clocks wake it.
//! - **An interval is kept in phase:** a late read does not move the later expirations, it gets a higher count.
//! - **A zero would disarm** the kernel's timer; here it means "at once", and [`Timer::disarm`] disarms.
//! - Duplicates, those in other processes too, share one timer: whoever reads first gets the expirations.

use crate::fd::{owned_fd, unless_blocked};
use crate::ffi;
use rustix::io::{Errno, read};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{clock_gettime, timerfd_create, timerfd_gettime, timerfd_settime};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What a [`Timer`] counts on.
///
/// ```
/// use becket_sys::timer::Clock;
///
/// let awake = Clock::Monotonic.now();
/// assert!(awake <= Clock::Boottime.now()); // the same, plus what was slept through
/// assert!(Clock::Realtime.is_realtime() && !Clock::Boottime.is_realtime());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// Time since boot, suspension left out; nobody can set it. [`std::time::Instant`] is of this clock.
    #[doc(alias = "CLOCK_MONOTONIC")]
    Monotonic,
    /// Time since boot, suspension included; nobody can set it.
    #[doc(alias = "CLOCK_BOOTTIME")]
    Boottime,
    /// Time since 1970-01-01 00:00 UTC, which the administrator and NTP may set: that of [`std::time::SystemTime`].
    #[doc(alias = "CLOCK_REALTIME")]
    Realtime,
    /// As [`Boottime`](Self::Boottime), and wakes the machine from suspension. Needs CAP_WAKE_ALARM.
    #[doc(alias = "CLOCK_BOOTTIME_ALARM")]
    BoottimeAlarm,
    /// As [`Realtime`](Self::Realtime), and wakes the machine from suspension. Needs CAP_WAKE_ALARM.
    #[doc(alias = "CLOCK_REALTIME_ALARM")]
    RealtimeAlarm,
}

impl Clock {
    /// The time on this clock, since its epoch: what [`When::At`] is measured in. A real-time clock that is set
    /// before 1970 reads zero. See clock_gettime(2).
    #[doc(alias = "clock_gettime")]
    pub fn now(self) -> Duration {
        let id = match self {
            Clock::Monotonic => ClockId::Monotonic,
            Clock::Boottime | Clock::BoottimeAlarm => ClockId::Boottime,
            Clock::Realtime | Clock::RealtimeAlarm => ClockId::Realtime,
        };
        Duration::try_from(clock_gettime(id)).unwrap_or_default()
    }

    /// Whether this clock can be set, so that a timer on it can be told of the change.
    pub fn is_realtime(self) -> bool {
        matches!(self, Clock::Realtime | Clock::RealtimeAlarm)
    }

    fn timerfd_id(self) -> TimerfdClockId {
        match self {
            Clock::Monotonic => TimerfdClockId::Monotonic,
            Clock::Boottime => TimerfdClockId::Boottime,
            Clock::Realtime => TimerfdClockId::Realtime,
            Clock::BoottimeAlarm => TimerfdClockId::BoottimeAlarm,
            Clock::RealtimeAlarm => TimerfdClockId::RealtimeAlarm,
        }
    }
}

/// When a [`Timer`] expires for the first time.
///
/// The kernel counts up to 292 years; what lies beyond never comes.
///
/// ```
/// use becket_sys::timer::{Clock, Event, Timer, When};
/// use std::time::Duration;
///
/// let timer = Timer::new(Clock::Boottime)?;
/// let soon = timer.clock().now() + Duration::from_millis(5);
/// timer.set(When::At(soon), None)?;
/// timer.wait_ready(becket_sys::Ready::READ, None)?;
/// assert!(timer.clock().now() >= soon); // never early
/// assert_eq!(timer.try_read()?, Some(Event::Expired(1)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// This long after the call. Setting a real-time clock does not move it. Zero is at once.
    After(Duration),
    /// When the timer's clock reads this, measured from the clock's epoch; see [`Clock::now`]. What has passed is
    /// at once.
    #[doc(alias = "TFD_TIMER_ABSTIME")]
    At(Duration),
}

/// What [`Timer::try_read`] tells.
///
/// ```
/// use becket_sys::timer::{Clock, Event, Timer, When};
/// use std::time::Duration;
///
/// let timer = Timer::new(Clock::Monotonic)?;
/// timer.set(When::After(Duration::ZERO), None)?;
/// timer.wait_ready(becket_sys::Ready::READ, None)?;
/// assert_eq!(timer.try_read()?, Some(Event::Expired(1)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The timer expired this many times since it was set or last read: more than once where an interval is shorter
    /// than the time between reads.
    Expired(u64),
    /// The clock was set. The timer stays armed for the same reading of the clock, which now comes earlier or later; but
    /// where it had expired before, that was not read, and it has no interval, it is not armed any more. So look at the
    /// clock and set it again. Only for [`set_cancel_on_set`](Timer::set_cancel_on_set).
    #[doc(alias = "ECANCELED")]
    ClockChanged,
}

/// Whether the clock had been set when a timer on it was armed.
///
/// ```
/// use becket_sys::timer::{Armed, Clock, Timer};
/// use std::time::Duration;
///
/// let timer = Timer::new(Clock::Realtime)?;
/// let noon = timer.clock().now() + Duration::from_secs(3600);
/// match timer.set_cancel_on_set(noon, None)? {
///     Armed::InTime => {}
///     Armed::ClockChanged => { /* armed too, but `noon` may have to be computed anew */ }
/// }
/// assert!(timer.get()?.remaining.is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a change of the clock is told once: here, and not again by a read"]
pub enum Armed {
    /// The timer is armed.
    InTime,
    /// The timer is armed, and since it was last set or read, the clock was set: the time asked for may have been
    /// computed from the old one. No [`Event::ClockChanged`] follows for this change.
    ClockChanged,
}

/// What a [`Timer`] is set to.
///
/// ```
/// use becket_sys::timer::{Clock, Setting, Timer, When};
/// use std::time::Duration;
///
/// let timer = Timer::new(Clock::Monotonic)?;
/// assert_eq!(timer.get()?, Setting { remaining: None, interval: None });
///
/// let minute = Duration::from_secs(60);
/// timer.set(When::After(minute), Some(minute))?;
/// let setting = timer.get()?;
/// assert!(setting.remaining.is_some_and(|left| left <= minute));
/// assert_eq!(setting.interval, Some(minute));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "itimerspec")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting {
    /// The time until the next expiry, however it was set; `None` where the timer is not armed: never set, disarmed,
    /// or expired without an interval.
    pub remaining: Option<Duration>,
    /// The period of a repeating timer.
    pub interval: Option<Duration>,
}

/// A timer that is readable once it has expired: timerfd_create(2).
///
/// It expires never before its time. Every setting replaces the one before, together with the expirations that
/// nobody has read yet. Close-on-exec and non-blocking. Dropping it closes the descriptor; the timer ends with the
/// last duplicate of it.
///
/// ```
/// use becket_sys::timer::{Clock, Event, Timer, When};
/// use std::time::{Duration, Instant};
///
/// let timer = Timer::new(Clock::Monotonic)?;
/// assert_eq!(timer.try_read()?, None);
///
/// let start = Instant::now();
/// let period = Duration::from_millis(5);
/// timer.set(When::After(period), Some(period))?;
/// let mut ticks = 0;
/// while ticks < 3 {
///     timer.wait_ready(becket_sys::Ready::READ, None)?;
///     if let Some(Event::Expired(n)) = timer.try_read()? {
///         ticks += n;
///     }
/// }
/// assert!(start.elapsed() >= 3 * period);
///
/// timer.disarm()?;
/// assert_eq!(timer.get()?.remaining, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "timerfd")]
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    clock: Clock,
}

owned_fd!(Timer, Readable);

impl Timer {
    /// Creates a timer on `clock` that is not armed.
    ///
    /// # Errors
    /// `EPERM` for an alarm clock without CAP_WAKE_ALARM; `EMFILE` or `ENFILE` where no descriptor is left;
    /// `ENOMEM`.
    #[doc(alias = "timerfd_create")]
    pub fn new(clock: Clock) -> io::Result<Timer> {
        let fd = timerfd_create(clock.timerfd_id(), TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Timer { fd, clock })
    }

    /// Takes over a timerfd of which the caller knows the clock.
    ///
    /// A wrong descriptor can merely make calls fail, a wrong clock make times wrong. The blocking mode stays as it
    /// is: on a blocking one [`try_read`](Self::try_read) waits.
    pub fn from_fd(fd: OwnedFd, clock: Clock) -> Timer {
        Timer { fd, clock }
    }

    /// The clock that this timer counts on.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Arms the timer to expire at `when`, and every `interval` after that if there is one.
    ///
    /// A period longer than 292 years never ends. What expired before and was not read is discarded.
    ///
    /// # Errors
    /// `EINVAL` for an interval of zero: a timer that does not repeat has `None`.
    #[doc(alias = "timerfd_settime")]
    pub fn set(&self, when: When, interval: Option<Duration>) -> io::Result<()> {
        let (value, flags) = match when {
            When::After(d) => (d, TimerfdTimerFlags::empty()),
            When::At(d) => (d, TimerfdTimerFlags::ABSTIME),
        };
        timerfd_settime(&self.fd, flags, &spec(value, interval)?)?;
        Ok(())
    }

    /// As [`set`](Self::set) with [`When::At`], and becomes readable as well when the clock is set, by the
    /// administrator or a step of NTP: [`try_read`](Self::try_read) then gives [`Event::ClockChanged`].
    ///
    /// Returns whether the clock was set in the meantime, that is, between the last setting of this kind or read and
    /// this call. The timer is armed in either case.
    ///
    /// # Errors
    /// `EINVAL` on a clock that is not a real-time one and so cannot be set, and for an interval of zero.
    #[doc(alias = "TFD_TIMER_CANCEL_ON_SET")]
    pub fn set_cancel_on_set(&self, at: Duration, interval: Option<Duration>) -> io::Result<Armed> {
        // The kernel ignores the flag on other clocks, and the caller would wait for a change in vain.
        if !self.clock.is_realtime() {
            return Err(Errno::INVAL.into());
        }
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.fd, flags, &spec(at, interval)?) {
            Ok(_) => Ok(Armed::InTime),
            // The kernel starts the timer first and then looks for a change that nobody has read.
            Err(Errno::CANCELED) => Ok(Armed::ClockChanged),
            Err(e) => Err(e.into()),
        }
    }

    /// Stops the timer and discards what expired before and was not read. A timer that is not armed stays so.
    ///
    /// # Errors
    /// None is known for a descriptor that is a timerfd.
    pub fn disarm(&self) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value: zero })?;
        Ok(())
    }

    /// What the timer is set to, with the time left until it expires.
    ///
    /// # Errors
    /// None is known for a descriptor that is a timerfd.
    #[doc(alias = "timerfd_gettime")]
    pub fn get(&self) -> io::Result<Setting> {
        let Itimerspec { it_interval, it_value } = timerfd_gettime(&self.fd)?;
        let nonzero = |t| Duration::try_from(t).ok().filter(|d| !d.is_zero());
        Ok(Setting { remaining: nonzero(it_value), interval: nonzero(it_interval) })
    }

    /// Takes what happened since the timer was set or last read; `None` where nothing did.
    ///
    /// # Errors
    /// None is known for a descriptor that is a timerfd.
    #[inline]
    pub fn try_read(&self) -> io::Result<Option<Event>> {
        let mut count = [0; 8];
        match unless_blocked(read(&self.fd, &mut count)) {
            Ok(n) => Ok(n.map(|_| Event::Expired(u64::from_ne_bytes(count)))),
            Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => Ok(Some(Event::ClockChanged)),
            Err(e) => Err(e),
        }
    }

    /// Makes the next read give `Expired(ticks)`, whatever has expired; what expires until then is added.
    ///
    /// For restoring a process from a checkpoint. Returns false, and sets nothing, where the clock was set and
    /// nobody has read that yet; no [`Event::ClockChanged`] follows for that change.
    ///
    /// # Errors
    /// `EINVAL` for zero ticks; `ENOTTY` from kernels without CONFIG_CHECKPOINT_RESTORE.
    #[doc(alias = "TFD_IOC_SET_TICKS")]
    pub fn set_ticks(&self, ticks: u64) -> io::Result<bool> {
        match ffi::timer::set_ticks(&self.fd, ticks) {
            Ok(()) => Ok(true),
            Err(Errno::CANCELED) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// A second handle to the same timer.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Timer> {
        Ok(Timer { fd: self.fd.try_clone()?, clock: self.clock })
    }
}

fn spec(value: Duration, interval: Option<Duration>) -> io::Result<Itimerspec> {
    if interval.is_some_and(|d| d.is_zero()) {
        return Err(Errno::INVAL.into());
    }
    // To the kernel a value of zero means "disarm", even with an interval.
    let value = value.max(Duration::from_nanos(1));
    Ok(Itimerspec { it_interval: timespec(interval.unwrap_or_default()), it_value: timespec(value) })
}

/// The kernel takes what is out of its range as its largest value; only the sign of the seconds must stay right.
fn timespec(d: Duration) -> Timespec {
    Timespec::try_from(d).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
