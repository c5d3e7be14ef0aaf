//! Timers by other clocks than the loop's own. They stand in the same wheel, for the time at which the loop's clock will
//! come to what their own is to read; and where one clock moves against the other, all of them are reckoned anew.

use crate::backend::{AsFd, Fd, Key, OwnedFd, fork};
use crate::ctx::{Kind, OnceCall, TickCall, TimerCall, later, periods};
use crate::{AnyId, Ctx, Fault, Id, Missed, Mode, Next, Ready, Result, SourceKind, Tick, Timer};
use becket_sys::timer::Clock;
use std::io;
use std::time::Duration;

/// Settings of a periodic timer by a clock of the system: which clock, a period, when it starts, and what happens to
/// missed periods. See [`Ctx::every_on`].
///
/// ```
/// use becket_loop::{EveryOn, Missed};
/// use becket_sys::timer::Clock;
/// use std::time::Duration;
///
/// // Every day at three (UTC), whatever the clock is set to.
/// const DAY: Duration = Duration::from_secs(86_400);
/// let three = EveryOn::new(Clock::Realtime, DAY).first(Duration::from_secs(3 * 3600));
/// assert_eq!(three.missed(Missed::Skip), three); // the default
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EveryOn {
    clock: Clock,
    period: Duration,
    first: Option<Duration>,
    missed: Missed,
}

impl EveryOn {
    /// Every `period` by `clock`, the first time one period from now, missed ones skipped. A period of zero counts as
    /// one nanosecond: once every turn.
    pub fn new(clock: Clock, period: Duration) -> EveryOn {
        EveryOn { clock, period: period.max(Duration::from_nanos(1)), first: None, missed: Missed::Skip }
    }

    /// The first time when the clock reads `first`, since its epoch. Where it has read that already, the first time is
    /// the next one that is a whole number of periods after it.
    pub fn first(self, first: Duration) -> EveryOn {
        EveryOn { first: Some(first), ..self }
    }

    /// What happens to missed periods.
    pub fn missed(self, missed: Missed) -> EveryOn {
        EveryOn { missed, ..self }
    }
}

/// A timer by another clock.
pub(crate) struct Clocked<S> {
    clock: Clock,
    /// What the clock reads when it is due.
    due: Duration,
    /// What the clock reads at a time that its period has.
    phase: Duration,
    period: Duration,
    missed: Missed,
    /// Whether it is due within a period at the latest: a time further off can then only come of a clock that was set back.
    begun: bool,
    /// Whether the clock was set since the last call.
    set: bool,
    call: Call<S>,
}

enum Call<S> {
    Once(OnceCall<S>),
    /// The closure is out while it is called.
    Every(Option<TickCall<S>>),
}

impl<S> Clocked<S> {
    /// Whether its clock moves against the loop's.
    pub(crate) fn is_watched(&self) -> bool {
        self.clock != Clock::Monotonic
    }

    /// The next time after `reading` that it is due.
    fn after(&self, reading: Duration) -> Duration {
        next(self.phase, self.period, reading)
    }

    /// Takes in that the clock was set, and reads this now.
    fn reckon(&mut self, reading: Duration) {
        self.set |= self.clock == Clock::Realtime;
        if matches!(self.call, Call::Once(_)) {
            return;
        }
        if self.begun && self.due > reading.saturating_add(self.period) {
            // Whole periods back, to within one from now.
            let back = (self.due - reading).as_nanos().saturating_sub(1) / self.period.as_nanos();
            self.due = self.due.saturating_sub(periods(self.period, u64::try_from(back).unwrap_or(u64::MAX)));
            self.phase = self.due;
        } else if self.missed == Missed::Burst && self.clock == Clock::Realtime && self.due <= reading {
            // What the clock stepped over has not passed: no calls are owed for it but one.
            self.due = self.due.saturating_add(periods(self.period, passed(self.due, self.period, reading)));
        }
    }
}

/// How many whole periods lie between the two readings.
fn passed(from: Duration, period: Duration, to: Duration) -> u64 {
    u64::try_from(to.saturating_sub(from).as_nanos() / period.as_nanos()).unwrap_or(u64::MAX - 1)
}

fn next(phase: Duration, period: Duration, reading: Duration) -> Duration {
    if phase > reading {
        return phase;
    }
    phase.saturating_add(periods(period, passed(phase, period, reading) + 1))
}

/// Readable once a clock moved against the loop's.
struct ClockWatch(OwnedFd);

impl AsFd for ClockWatch {
    fn as_fd(&self) -> Fd<'_> {
        self.0.as_fd()
    }
}

impl<S: 'static> Ctx<S> {
    /// Calls `f` once when `clock` reads `when`, since its epoch: never early by that clock; in the next turn, if it has
    /// read that already. Otherwise as [`at`](Self::at).
    ///
    /// [`Clock::Boottime`] counts while the system sleeps: what is due by then comes when it has woken up.
    /// [`Clock::Realtime`] is the time of day: where that is set, the timer comes earlier or later.
    ///
    /// # Errors
    /// As [`every_on`](Self::every_on).
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use becket_sys::timer::Clock;
    /// use std::time::Duration;
    ///
    /// // A lease ends though the system may sleep meanwhile.
    /// let end = Clock::Boottime.now() + Duration::from_millis(5);
    /// let mut event_loop: Loop<bool> = Loop::new()?;
    /// event_loop.at_on(Clock::Boottime, end, |over, _| Ok(*over = true))?;
    /// let mut over = false;
    /// event_loop.run(&mut over)?;
    /// assert!(over && Clock::Boottime.now() >= end);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "CLOCK_BOOTTIME")]
    #[doc(alias = "CLOCK_REALTIME")]
    pub fn at_on(
        &mut self,
        clock: Clock,
        when: Duration,
        f: impl FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + 'static,
    ) -> io::Result<Id<Timer>> {
        let period = Duration::from_nanos(1);
        let (missed, call) = (Missed::Skip, Call::Once(Box::new(f)));
        self.insert_clocked(Clocked { clock, due: when, phase: when, period, missed, begun: false, set: false, call })
    }

    /// Calls `f` periodically by a clock of the system, never early by that clock.
    ///
    /// It is a timer as any other: [`arm`](Self::arm), [`disarm`](Self::disarm), [`enable`](Self::enable) and
    /// [`set_slack`](Self::set_slack) do what they do with those. One descriptor serves all of a loop's, and tells when a
    /// clock was set or the system has slept; it stands among the [`sources`](Self::sources) by the name `clock changes`.
    ///
    /// [`Clock::Boottime`] counts while the system sleeps; what is missed meanwhile, [`Missed`] deals with. By
    /// [`Clock::Realtime`] it keeps its phase whatever the clock is set to. Set forward past some of its times (or after
    /// sleep), it is called once, also with [`Missed::Burst`]; set back, it comes the next time that its phase has, within
    /// a period, except that the [first](EveryOn::first) time stays what it was. The next call's
    /// [`Tick::clock_set`] tells.
    ///
    /// For times that have no period there is a [`Schedule`](crate::Schedule), which also wakes the system up.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) for clocks that wake the system up: those are a
    /// [`becket_sys::timer::Timer`]'s, or a [`Schedule`](crate::Schedule)'s. `EMFILE` or `ENFILE` where no descriptor is
    /// left, `ENOMEM`, and those of [`add`](Self::add).
    ///
    /// ```
    /// use becket_loop::{EveryOn, Loop, TestTime, backend::Epoll};
    /// use becket_sys::timer::Clock;
    /// use std::time::Duration;
    ///
    /// const HOUR: Duration = Duration::from_secs(3600);
    ///
    /// let (backend, clock) = TestTime::over(Epoll::new()?);
    /// let mut event_loop: Loop<Vec<u64>> = Loop::with_backend(backend);
    /// event_loop.every_on(EveryOn::new(Clock::Boottime, HOUR), |missed, ctx, tick| {
    ///     missed.push(tick.missed);
    ///     ctx.exit(0);
    ///     Ok(becket_loop::Next::Keep)
    /// })?;
    /// clock.sleep(3 * HOUR); // the system does
    /// let mut missed = Vec::new();
    /// event_loop.run(&mut missed)?;
    /// assert_eq!(missed, [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "CLOCK_BOOTTIME")]
    #[doc(alias = "CLOCK_REALTIME")]
    #[doc(alias = "TFD_TIMER_CANCEL_ON_SET")]
    pub fn every_on(
        &mut self,
        every: EveryOn,
        f: impl FnMut(&mut S, &mut Ctx<S>, Tick) -> Result + 'static,
    ) -> io::Result<Id<Timer>> {
        let EveryOn { clock, period, first, missed } = every;
        let reading = self.backend.clock_now(clock);
        let due = first.map_or(reading.saturating_add(period), |first| next(first, period, reading));
        let call = Call::Every(Some(Box::new(f)));
        let begun = due <= reading.saturating_add(period);
        self.insert_clocked(Clocked { clock, due, phase: due, period, missed, begun, set: false, call })
    }

    fn insert_clocked(&mut self, timer: Clocked<S>) -> io::Result<Id<Timer>> {
        match timer.clock {
            Clock::Monotonic => {}
            Clock::Boottime | Clock::Realtime => self.watch_clocks()?,
            other => {
                let why = format!("the loop's timers do not wake the system up, as those of {other:?} do");
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        }
        self.clocked += usize::from(timer.is_watched());
        let key = self.insert_timer(TimerCall::Clocked(Box::new(timer)));
        self.arm_clocked(key);
        Ok(Id::new(key))
    }

    /// Has the loop told when a clock moves against its own.
    fn watch_clocks(&mut self) -> io::Result<()> {
        if self.clock_watch.is_some_and(|key| self.io_mut(key).is_some()) {
            return Ok(());
        }
        let watch = ClockWatch(self.backend.clock_changes()?);
        let id = self.add_watched(watch, Ready::READ, Mode::Level, |_, ctx, _, watch, _| {
            // What it says, or fails with (ECANCELED, where it is a timer), is that something changed.
            let _ = rustix::io::read(watch, &mut [0_u8; 8]);
            ctx.reckon_clocks();
            Ok(Next::Keep)
        })?;
        self.set_name(id, "clock changes");
        self.clock_watch = Some(id.key);
        Ok(())
    }

    /// One of those that are watched for has left.
    pub(crate) fn note_clocked_gone(&mut self) {
        self.clocked -= 1;
        if self.clocked == 0
            && let Some(watch) = self.clock_watch.take()
        {
            self.take_out(watch);
        }
    }

    /// In a child process: what tells of the clocks is shared with the parent, and whoever reads first has it.
    pub(crate) fn renew_clock_watch(&mut self) -> io::Result<()> {
        match self.clock_watch.and_then(|key| self.get::<ClockWatch>(Id::new(key))) {
            Some(watch) => fork::exchange(watch, self.backend.clock_changes()?),
            None => Ok(()),
        }
    }

    fn clocked_mut(&mut self, key: Key) -> Option<&mut Clocked<S>> {
        match self.timer_mut(key) {
            Some(TimerCall::Clocked(timer)) => Some(timer),
            _ => None,
        }
    }

    /// Puts it into the wheel, for when its clock reads what it is due at; at once, where it has read that.
    fn arm_clocked(&mut self, key: Key) {
        let Some((clock, due)) = self.clocked_mut(key).map(|timer| (timer.clock, timer.due)) else { return };
        let reading = self.backend.clock_now(clock);
        let now = self.now(); // the later of the two looks: it is late rather than early
        self.arm_key(key, if due > reading { later(now, due - reading) } else { now });
    }

    /// Has it due at `due` of its clock.
    fn arm_clocked_for(&mut self, key: Key, due: impl FnOnce(&mut Clocked<S>, Duration) -> Duration) -> bool {
        let Some(clock) = self.clocked_mut(key).map(|timer| timer.clock) else { return false };
        let reading = self.backend.clock_now(clock);
        let Some(timer) = self.clocked_mut(key) else { return false };
        timer.due = due(timer, reading);
        self.arm_clocked(key);
        true
    }

    /// Has it due when the loop's clock is at `when`, as far as that can be said now, with its phase from then on.
    /// Whether it is one of these timers.
    pub(crate) fn arm_clocked_at(&mut self, key: Key, when: std::time::Instant) -> bool {
        let now = self.now();
        self.arm_clocked_for(key, |timer, reading| {
            timer.phase = match when.checked_duration_since(now) {
                Some(ahead) => reading.saturating_add(ahead),
                None => reading.saturating_sub(now - when),
            };
            timer.begun = false;
            timer.phase
        })
    }

    /// Has it due now, out of phase; one that is called once, or is to come in phase, then.
    pub(crate) fn arm_clocked_now(&mut self, key: Key) -> bool {
        self.arm_clocked_for(key, |_, reading| reading)
    }

    /// Has it due the next time that its phase has; at once, where it has none.
    pub(crate) fn arm_clocked_in_phase(&mut self, key: Key) -> bool {
        self.arm_clocked_for(key, |timer, reading| match timer.call {
            Call::Once(_) => reading,
            Call::Every(_) => timer.after(reading),
        })
    }

    /// Reckons all timers anew: some clock moved against the loop's.
    fn reckon_clocks(&mut self) {
        let is_clocked = |kind: &Kind<S>| matches!(kind, Kind::Timer(TimerCall::Clocked(_)));
        let keys: Vec<Key> = self.slots.iter().filter(|(.., e)| is_clocked(&e.kind)).map(|(key, ..)| key).collect();
        for key in keys {
            let Some(clock) = self.clocked_mut(key).map(|timer| timer.clock) else { continue };
            let reading = self.backend.clock_now(clock);
            if let Some(timer) = self.clocked_mut(key) {
                timer.reckon(reading);
            }
            if self.wheel.is_pending(key) {
                self.arm_clocked(key);
            }
        }
    }

    /// Calls it, if its clock agrees.
    pub(crate) fn run_clocked(&mut self, s: &mut S, key: Key) {
        let Some(clock) = self.clocked_mut(key).map(|timer| timer.clock) else { return };
        let reading = self.backend.clock_now(clock);
        let now = self.now();
        let Some(timer) = self.clocked_mut(key) else { return };
        if reading < timer.due {
            return self.arm_clocked(key); // the clock was set back, and the loop is yet to be told
        }
        let due = now.checked_sub(reading - timer.due).unwrap_or(now);
        let missed = passed(timer.due, timer.period, reading);
        let tick = Tick { due, missed, clock_set: std::mem::take(&mut timer.set) };
        let Call::Every(call) = &mut timer.call else { return self.run_clocked_once(s, key) };
        let Some(mut call) = call.take() else { return };
        // Armed before the call, so that the callback may arm or disarm it otherwise.
        timer.begun = true;
        let delays = timer.missed == Missed::Delay;
        timer.due = match timer.missed {
            Missed::Skip => timer.after(reading),
            Missed::Burst => timer.after(timer.due),
            Missed::Delay => reading.saturating_add(timer.period),
        };
        timer.phase = timer.due;
        let next = timer.due;
        self.arm_clocked(key);
        let result = self.protected(s, key, |s, ctx| call(s, ctx, tick));
        let is_armed = self.wheel.is_pending(key);
        if let Some(timer) = self.clocked_mut(key) {
            timer.call = Call::Every(Some(call));
            if delays && is_armed && timer.due == next {
                self.arm_clocked_for(key, |timer, reading| {
                    timer.phase = reading.saturating_add(timer.period);
                    timer.phase
                });
            }
        }
        self.apply(s, key, result, Ready::empty());
    }

    fn run_clocked_once(&mut self, s: &mut S, key: Key) {
        let Some(mut entry) = self.take_out(key) else { return };
        let name = entry.take_name();
        let Kind::Timer(TimerCall::Clocked(timer)) = entry.kind else { return };
        let Call::Once(call) = timer.call else { return };
        self.note_leaving(name.as_deref(), SourceKind::Timer);
        if let Err(error) = self.protected(s, key, call) {
            self.report(s, Fault { id: Some(AnyId { key }), name, error });
        }
    }
}
