//! Waiting for time, and limits to every wait.

use crate::park::{Place, Reason, Woken, earliest, in_callback, place};
use crate::select::arm::{Turn, Wait};
use crate::select::{Arm, At};
use crate::{Missed, Tick};
use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    /// The deadline of code that runs in no fiber.
    static THREAD_DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The deadline that holds here: the earliest of all around, in a fiber or on a plain thread.
///
/// ```
/// use becket_fiber::{current_deadline, deadline};
/// use std::time::{Duration, Instant};
///
/// assert_eq!(current_deadline(), None);
/// let soon = Instant::now() + Duration::from_secs(1);
/// let later = soon + Duration::from_secs(1);
/// deadline(soon, || deadline(later, || assert_eq!(current_deadline(), Some(soon))));
/// ```
pub fn current_deadline() -> Option<Instant> {
    match place() {
        Place::Fiber(here) => here.fiber().deadline.get(),
        _ => THREAD_DEADLINE.get(),
    }
}

fn set_deadline(at: Option<Instant>) {
    match place() {
        Place::Fiber(here) => here.fiber().deadline.set(at),
        _ => THREAD_DEADLINE.set(at),
    }
}

/// Calls `f`, in which every blocking call ends with `TimedOut` once `at` is reached, in whatever library it is.
///
/// An earlier deadline around stays in force: the earliest counts. The children of a [`scope`](crate::scope()) inside
/// inherit it; fibers that are [`spawn`](crate::spawn)ed do not. A call that need not wait may still succeed when
/// the time is just reached. On a thread that runs no fiber it limits the blocking calls of this crate.
///
/// ```
/// use becket_fiber::{Runtime, deadline, sleep};
/// use std::io::ErrorKind;
/// use std::time::{Duration, Instant};
///
/// let mut runtime = Runtime::new()?;
/// let at = Instant::now() + Duration::from_millis(10);
/// let e = runtime.run(|| deadline(at, || sleep(Duration::from_secs(3600))))?.unwrap_err();
/// assert_eq!(e.kind(), ErrorKind::TimedOut);
/// assert!(Instant::now() >= at);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn deadline<T>(at: Instant, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_deadline(self.0);
        }
    }
    let outer = current_deadline();
    let _restore = Restore(outer);
    set_deadline(earliest(outer, Some(at)));
    f()
}

/// As [`deadline`], counted from now. A duration beyond what an [`Instant`] can hold is no limit.
///
/// ```
/// use becket_fiber::{sleep, timeout};
/// use std::time::Duration;
///
/// let e = timeout(Duration::ZERO, || sleep(Duration::from_secs(3600))).unwrap_err();
/// assert_eq!(e.kind(), std::io::ErrorKind::TimedOut);
/// ```
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> T {
    match now().checked_add(limit) {
        Some(at) => deadline(at, f),
        None => f(),
    }
}

pub(crate) fn now() -> Instant {
    match place() {
        Place::Fiber(here) => here.now(),
        _ => Instant::now(),
    }
}

/// Waits for `duration`, never less. Zero lets other fibers run; one beyond what an [`Instant`] can hold is forever.
/// On a thread that runs no fiber it blocks the thread.
///
/// # Errors
/// [`Cancelled`](crate::Cancelled), `TimedOut` when a deadline around comes first, `Deadlock` in a callback of this
/// thread's loop, and an error while the fiber unwinds.
pub fn sleep(duration: Duration) -> io::Result<()> {
    sleep_to(now().checked_add(duration))
}

/// Waits until `at`, never less; see [`sleep`].
///
/// # Errors
/// As [`sleep`].
///
/// ```
/// use becket_fiber::{Runtime, sleep_until};
/// use std::time::{Duration, Instant};
///
/// let mut runtime = Runtime::new()?;
/// let at = Instant::now() + Duration::from_millis(5);
/// runtime.run(|| sleep_until(at))??;
/// assert!(Instant::now() >= at);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sleep_until(at: Instant) -> io::Result<()> {
    sleep_to(Some(at))
}

fn sleep_to(at: Option<Instant>) -> io::Result<()> {
    match place() {
        Place::Thread => sleep_thread(at),
        Place::Callback => Err(in_callback()),
        Place::Fiber(here) => {
            here.check()?;
            let woken = here.wait(Reason::new("sleep")).park(at);
            // Which deadline was it?
            if woken == Woken::Deadline && at.is_some_and(|at| here.fiber().deadline.get().is_none_or(|d| at <= d)) {
                return Ok(());
            }
            here.event(woken).map(drop)
        }
    }
}

fn sleep_thread(at: Option<Instant>) -> io::Result<()> {
    let limit = THREAD_DEADLINE.get();
    let until = earliest(at, limit);
    loop {
        let left = until.map_or(Duration::from_secs(1 << 30), |u| u.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            break;
        }
        thread::sleep(left);
    }
    match (at, limit) {
        (Some(at), Some(limit)) if at <= limit => Ok(()),
        (Some(_), None) => Ok(()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ticks every `period`, first one period from now.
///
/// The ticks keep their phase: each is due a whole number of periods after the first, however late it was taken, unless
/// [`missed`](Interval::missed) says otherwise. A period of zero counts as one nanosecond.
///
/// ```
/// use becket_fiber::{Runtime, interval};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let (a, b) = runtime.run(|| {
///     let mut ticks = interval(Duration::from_millis(5));
///     Ok::<_, std::io::Error>((ticks.tick()?, ticks.tick()?))
/// })??;
/// let periods = u32::try_from(1 + b.missed).unwrap();
/// assert_eq!(b.due - a.due, periods * Duration::from_millis(5));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn interval(period: Duration) -> Interval {
    let period = period.max(Duration::from_nanos(1));
    Interval { next: now().checked_add(period), period, missed: Missed::Skip }
}

/// A periodic wait; see [`interval`].
#[derive(Debug, Clone)]
pub struct Interval {
    /// `None` is never.
    next: Option<Instant>,
    period: Duration,
    missed: Missed,
}

impl Interval {
    /// When the first tick is due, instead of one period from now.
    pub fn first(mut self, at: Instant) -> Interval {
        self.next = Some(at);
        self
    }

    /// What happens to ticks that were not taken in time; [`Missed::Skip`] is the default.
    pub fn missed(mut self, missed: Missed) -> Interval {
        self.missed = missed;
        self
    }

    /// Waits for the next tick, never less. Says when it was due, and how many were left out before it.
    ///
    /// # Errors
    /// As [`sleep`]. The tick is then still to come.
    pub fn tick(&mut self) -> io::Result<Tick> {
        sleep_to(self.next)?;
        self.take().ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// An arm of [`select!`](crate::select!) that takes the next tick; out comes what [`tick`](Self::tick) returns.
    ///
    /// ```
    /// use becket_fiber::{Runtime, interval, select, sync::Event};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let ticks = runtime.run(|| {
    ///     let (mut ticks, never) = (interval(Duration::from_millis(1)), Event::new());
    ///     let mut count = 0;
    ///     while count < 3 {
    ///         select! {
    ///             tick = ticks.on_tick() => count += 1 + tick.missed,
    ///             () = never.on_set() => break,
    ///         }?;
    ///     }
    ///     Ok::<_, std::io::Error>(count)
    /// })??;
    /// assert!(ticks >= 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_tick(&mut self) -> impl Arm<Output = Tick> + '_ {
        OnTick { due: At::new(self.next), interval: self }
    }

    /// The tick that is due; `None` where none ever is.
    fn take(&mut self) -> Option<Tick> {
        let mut due = self.next?;
        let now = now();
        let mut missed = 0;
        match self.missed {
            Missed::Burst => self.next = due.checked_add(self.period),
            Missed::Delay => self.next = now.checked_add(self.period),
            _ => {
                let late = now.saturating_duration_since(due).as_nanos();
                missed = u64::try_from(late / self.period.as_nanos()).unwrap_or(u64::MAX);
                if missed > 0 {
                    let rest = late % self.period.as_nanos();
                    due = now - Duration::new((rest / 1_000_000_000) as u64, (rest % 1_000_000_000) as u32);
                }
                self.next = due.checked_add(self.period);
            }
        }
        Some(Tick { due, missed, clock_set: false })
    }
}

/// The arm of [`Interval::on_tick`].
struct OnTick<'a> {
    interval: &'a mut Interval,
    due: At,
}

impl Wait for OnTick<'_> {
    fn is_enabled(&self) -> bool {
        self.due.is_enabled()
    }

    fn look(&self, turn: Turn) -> bool {
        self.due.look(turn)
    }

    #[allow(unsafe_code, reason = "the trait's way of saying that an arm stays where it is")]
    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        // SAFETY: the caller's promise.
        unsafe { self.due.enter(turn) }
    }

    fn leave(&self, turn: Turn) -> bool {
        self.due.leave(turn)
    }
}

impl Arm for OnTick<'_> {
    type Output = Tick;

    fn finish(self) -> Option<Tick> {
        self.due.finish()?;
        self.interval.take()
    }
}

/// Lets the other fibers that can run do so first. On a thread that runs no fiber it lets other threads run; in a
/// callback and while unwinding it does nothing.
///
/// # Panics
/// Unwinds with a private payload where the fiber is aborted.
///
/// ```
/// use becket_fiber::{Runtime, spawn, yield_now};
/// use std::{cell::RefCell, rc::Rc};
///
/// let mut runtime = Runtime::new()?;
/// let order = Rc::new(RefCell::new(Vec::new()));
/// let seen = order.clone();
/// runtime.run(move || {
///     let other = seen.clone();
///     let fiber = spawn(move || other.borrow_mut().push("other"))?;
///     seen.borrow_mut().push("main");
///     yield_now();
///     seen.borrow_mut().push("main again");
///     fiber.join()?;
///     Ok::<_, std::io::Error>(())
/// })??;
/// assert_eq!(*order.borrow(), ["main", "other", "main again"]);
/// # Ok::<(), std::io::Error>(())
/// ```
// Each return after a switch is one that the processor predicts wrongly.
#[inline(always)]
pub fn yield_now() {
    match place() {
        Place::Thread => thread::yield_now(),
        Place::Callback => {}
        Place::Fiber(here) => {
            if here.give_way() && here.fiber().aborted.get() {
                // An error has nowhere to go; an abort unwinds.
                let _ = here.event(Woken::Cancelled);
            }
        }
    }
}

/// The deadline of code that runs in no fiber, for its blocking calls.
pub(crate) fn thread_deadline() -> Option<Instant> {
    THREAD_DEADLINE.get()
}
