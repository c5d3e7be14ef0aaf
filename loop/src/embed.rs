//! The loop as a source of another loop.

use crate::backend::{AsFd, Backend, Fd, Key, OwnedFd};
use crate::{Ctx, Mode, Ready};
use becket_sys::event::Event;
use becket_sys::timer::{Clock, Timer, When};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A loop's descriptor for another loop: readable whenever the loop has anything to do, timers, deferred work and what
/// other threads post included. The other loop then calls [`turn`](crate::Loop::turn) with a time of zero, and need know
/// nothing else: it is level-triggered for whoever asks by level, as poll(2), GLib and calloop do.
///
/// Who asks by edge (tokio's `AsyncFd`, mio) hears of what becomes ready, not of what a turn has left: after each turn
/// it asks [`is_ready`](Self::is_ready), and turns again before it waits if so. For tokio that is
///
/// ```text
/// let mut guard = embedded.readable().await?;
/// inner.turn(&mut state, Some(Duration::ZERO))?;
/// if !guard.get_inner().is_ready()? {
///     guard.clear_ready();
/// }
/// ```
///
/// The examples `inside_tokio`, `inside_calloop` and `inside_poll` of this crate are whole programs; the last has the turn in
/// three steps, for a main loop that has an end to each wait of its own.
///
/// Hooks that come before a wait are called before the other loop waits: where there are any, a turn that called
/// something is followed by one more.
///
/// Dropping it closes the descriptor; the loop itself goes on. A loop that was asked to [exit](Ctx::exit) has something
/// to do until [`run`](crate::Loop::run) returns the code: who steps it looks at [`exit_code`](Ctx::exit_code), and
/// takes it out of the other loop then.
///
/// ```
/// use becket_loop::{Loop, Mode, Next, Ready};
/// use std::cell::RefCell;
/// use std::time::Duration;
///
/// let mut inner: Loop<u32> = Loop::new()?;
/// inner.after(Duration::from_millis(2), |n, _| Ok(*n += 1));
///
/// let mut outer: Loop<u32> = Loop::new()?;
/// outer.add(inner.embed()?, Ready::READ, Mode::Level, move |n, ctx, _, _| {
///     inner.turn(n, Some(Duration::ZERO))?;
///     ctx.exit(0);
///     Ok(Next::Keep)
/// })?;
/// let mut n = 0;
/// outer.run(&mut n)?;
/// assert_eq!(n, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Embedded {
    fd: OwnedFd,
}

impl Embedded {
    /// Whether the loop has anything to do now. Costs a system call, and changes nothing.
    ///
    /// # Errors
    /// `ENOMEM`.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use std::time::Duration;
    ///
    /// let mut inner: Loop<u32> = Loop::new()?;
    /// let embedded = inner.embed()?;
    /// assert!(!embedded.is_ready()?);
    /// inner.defer(|n, _| Ok(*n += 1));
    /// assert!(embedded.is_ready()?);
    /// let mut n = 0;
    /// inner.turn(&mut n, Some(Duration::ZERO))?;
    /// assert_eq!((n, embedded.is_ready()?), (1, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self) -> io::Result<bool> {
        Ok(becket_sys::wait(self, Ready::READ, Some(Instant::now()))?.is_some())
    }
}

impl AsFd for Embedded {
    fn as_fd(&self) -> Fd<'_> {
        self.fd.as_fd()
    }
}

/// What makes the set readable for reasons that are no descriptor's. Both are edge-triggered members of it: nobody
/// reads them, and a look at the set makes it unready again.
pub(crate) struct Outer {
    timer: Timer,
    /// For when the timer is armed, until that is past.
    armed: Option<Instant>,
    work: Event,
}

impl Outer {
    /// Keys that no slot has.
    const TIMER: Key = Key::from_u64(u64::MAX - 1);
    const WORK: Key = Key::from_u64(u64::MAX - 2);

    fn new(backend: &mut dyn Backend) -> io::Result<Self> {
        let outer = Outer { timer: Timer::new(Clock::Monotonic)?, armed: None, work: Event::new()? };
        outer.join(backend)?;
        Ok(outer)
    }

    /// Has the set ready when they are.
    pub(crate) fn join(&self, backend: &mut dyn Backend) -> io::Result<()> {
        backend.add(self.timer.as_fd(), Self::TIMER, Ready::READ, Mode::Edge)?;
        backend.add(self.work.as_fd(), Self::WORK, Ready::READ, Mode::Edge)
    }

    /// Whether a key is one of theirs.
    pub(crate) fn has(key: Key) -> bool {
        [Self::TIMER, Self::WORK].contains(&key)
    }
}

impl<S: 'static> Ctx<S> {
    pub(crate) fn embed(&mut self) -> io::Result<Embedded> {
        self.bell.origin.check()?;
        self.backend.expose()?;
        let Some(fd) = self.backend.as_fd() else {
            let name = self.backend.caps().name;
            let why = format!("a loop over {name} cannot stand in another one: it has no descriptor");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let fd = fd.try_clone_to_owned()?;
        if self.outer.is_none() {
            self.outer = Some(Outer::new(&mut *self.backend)?);
            self.nudges.embedded.store(true, Ordering::Relaxed);
            self.dropped.embedded.store(true, Ordering::Relaxed);
        }
        self.settle_outer();
        Ok(Embedded { fd })
    }

    /// Makes the loop's descriptor ready now, or when the next timer is due, for an outer loop's sake. Within a turn
    /// that is left to its end.
    #[inline(always)]
    pub(crate) fn settle_outer(&mut self) {
        if !self.in_turn && self.outer.is_some() {
            self.settle_outer_now();
        }
    }

    #[cold]
    fn settle_outer_now(&mut self) {
        if self.here.has_forked() {
            return;
        }
        self.backend.start(); // the outer loop waits
        let (work, next) = (self.has_work() || self.has_changes() || self.hooks_owed, self.wheel.wake());
        let now = self.backend.now();
        let Some(outer) = &mut self.outer else { return };
        if work {
            // A full counter is ready, too; no error can happen.
            let _ = outer.work.add(1);
        }
        if outer.armed != next {
            outer.armed = next;
            let when = next.map(|next| When::After(next.saturating_duration_since(now)));
            // Arming a timer of ours for a valid time cannot fail.
            let _ = match when {
                Some(when) => outer.timer.set(when, None).map(drop),
                None => outer.timer.disarm(),
            };
        }
    }

    /// After what the wait found was told: a timer of ours that has expired is spent, so it has to be armed again, even
    /// for the same time.
    #[cold]
    pub(crate) fn outer_expired(&mut self) {
        if let Some(outer) = &mut self.outer
            && outer.armed.is_some_and(|armed| armed <= self.backend.now())
        {
            outer.armed = None;
        }
    }
}
