//! The loop's turn.

use crate::backend::{self, Backend, Key};
use crate::ctx::{Kind, TickCall, TimerCall, later, missed, next_in_phase};
use crate::observe::Whose;
use crate::posts::Posts;
use crate::watched::{Io, State, Who};
use crate::{AnyId, Cause, Ctx, Embedded, Every, Fault, HookPoint, Missed, Plain, Ready, RunError, Tick};
use crate::{SourceKind, trace};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A callback loop: one thread, one set of descriptors, callbacks that get the user's state `S`.
///
/// It dereferences to [`Ctx`], which has all that adds, changes and removes. A turn runs, in this order: prepare hooks
/// and nudged [externals](crate::External); the wait; check hooks; the timers that are due; the descriptors that are
/// ready, at most 256 of them, the [urgent](Ctx::set_priority) first; the operations that ended; what other threads
/// posted; deferred work. Timers, posts and deferred work are run from a snapshot: what they add has its turn in the
/// next one.
///
/// Where a callback fails, what it belongs to is disabled, the rest of the turn goes on, and the failure goes to the
/// [error hook](Ctx::on_error). Where a callback panics, what it belongs to is removed and the panic goes on out of
/// `turn`; the loop stays usable, and the next turn goes on with what was not yet called.
///
/// Dropping the loop drops all sources and closures; operations under way are waited for.
///
/// In a child that fork(2) made it refuses to turn until [`after_fork`](Self::after_fork).
///
/// ```
/// use becket_loop::{Loop, Next};
/// use std::time::Duration;
///
/// struct State { ticks: u32 }
///
/// let mut event_loop = Loop::new()?;
/// event_loop.every(Duration::from_millis(1), |state: &mut State, ctx, _tick| {
///     state.ticks += 1;
///     if state.ticks == 3 {
///         ctx.exit(0);
///     }
///     Ok(Next::Keep)
/// });
/// let mut state = State { ticks: 0 };
/// assert_eq!(event_loop.run(&mut state)?, 0);
/// assert_eq!(state.ticks, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loop<S> {
    ctx: Ctx<S>,
}

impl<S> Deref for Loop<S> {
    type Target = Ctx<S>;

    fn deref(&self) -> &Ctx<S> {
        &self.ctx
    }
}

impl<S> DerefMut for Loop<S> {
    fn deref_mut(&mut self) -> &mut Ctx<S> {
        &mut self.ctx
    }
}

impl<S> fmt::Debug for Loop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop").field("ctx", &self.ctx).finish()
    }
}

impl<S: 'static> Loop<S> {
    /// A loop over epoll(7), or over the backend that the environment variable `BECKET_BACKEND` names: `epoll`, `poll`,
    /// or, with the feature of that name, `uring`.
    ///
    /// The variable is for tests of programs, which need not be changed for it: it is looked at each time, and one that
    /// is empty counts as not set. A program that cannot do without what a backend has (edges, say) asks for that
    /// backend by [`with_backend`](Self::with_backend).
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no two descriptors are left, `ENOMEM`. With the variable set,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that no backend has,
    /// [`Unsupported`](io::ErrorKind::Unsupported) for one that was not built, and the errors of the backend's own
    /// constructor.
    pub fn new() -> io::Result<Self> {
        Ok(Loop { ctx: Ctx::new(backend::by_environment()?) })
    }

    /// A loop over a backend of the caller's choice.
    pub fn with_backend(backend: impl Backend + 'static) -> Self {
        Loop { ctx: Ctx::new(Box::new(backend)) }
    }

    /// Turns until [`exit`](Ctx::exit) is asked for, and returns its code; or until nothing is left that could call
    /// anything (no enabled source, armed timer, operation, external, deferred work, nor a [`Remote`](crate::Remote)),
    /// and returns 0. The exit hooks are called before it returns either way. It may be run again.
    ///
    /// # Errors
    /// As [`turn`](Self::turn). Running it again goes on: where an exit hook failed, it returns the code.
    pub fn run(&mut self, s: &mut S) -> Result<i32, RunError> {
        while self.ctx.exit.is_none() && self.ctx.is_alive() {
            self.turn(s, None)?;
        }
        // The code stays until it is returned, and the hooks are not called twice for one end.
        if !self.ctx.ended {
            let mut ctx = InTurn::begin(&mut self.ctx, false)?;
            ctx.run_hooks(s, HookPoint::Exit);
            ctx.tell_slow(s);
            drop(ctx);
            self.ctx.ended = true;
        }
        self.ctx.take_fault()?;
        self.ctx.ended = false;
        Ok(self.ctx.exit.take().unwrap_or(0))
    }

    /// Makes one turn: waits until there is something to do, or for `max` (`None`: without limit; zero: looks and does
    /// not wait), and does it. Returns how many callbacks were called. It does not wait where nothing is left that
    /// could call anything, as [`run`](Self::run) defines it.
    ///
    /// # Errors
    /// [`RunError::Wait`] where the system cannot wait. [`RunError::Callback`] where a callback failed and there is no
    /// error hook: the turn was finished first, and of several failures each turn returns one.
    pub fn turn(&mut self, s: &mut S, max: Option<Duration>) -> Result<usize, RunError> {
        let before = self.ctx.stats.callbacks;
        let waits = max != Some(Duration::ZERO);
        let deadline = self.before_wait(s, waits)?;
        let deadline = match max {
            Some(max) if waits => {
                let limit = later(self.ctx.now(), max);
                Some(deadline.map_or(limit, |deadline| deadline.min(limit)))
            }
            _ => deadline,
        };
        if self.ctx.here.is_blind() {
            self.ctx.may_turn()?; // else the step before has just seen to it
        }
        self.find(deadline)?;
        self.dispatch(s)?;
        Ok((self.ctx.stats.callbacks - before) as usize)
    }

    /// The first of a turn's three steps, for those who stand inside a foreign main loop: does what comes before a
    /// wait, and returns until when to wait at most: a time that has passed where there is something to do at once,
    /// `None` where only a descriptor or another thread can end the wait.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn prepare(&mut self, s: &mut S) -> Result<Option<Instant>, RunError> {
        let deadline = self.before_wait(s, true)?;
        self.ctx.backend.start(); // here, not in the wait: a foreign loop may wait instead
        Ok(deadline)
    }

    /// What comes before a wait; where nothing `waits`, nobody has to know until when.
    fn before_wait(&mut self, s: &mut S, waits: bool) -> Result<Option<Instant>, RunError> {
        let mut ctx = InTurn::begin(&mut self.ctx, false)?;
        ctx.ended = false;
        ctx.reap();
        ctx.run_hooks(s, HookPoint::Prepare);
        ctx.step_nudged(s);
        ctx.flush(s);
        let (mut again, mut idle) = (false, ctx.is_idle());
        if idle && ctx.has_hooks(HookPoint::Idle) {
            again = ctx.run_hooks(s, HookPoint::Idle);
            ctx.step_nudged(s);
            ctx.flush(s);
            idle = ctx.is_idle();
        }
        if ctx.tell_slow(s) {
            idle = ctx.is_idle();
        }
        if ctx.here.has_forked() {
            return Err(RunError::Forked);
        }
        // What came before may have taken away the last thing that could end a wait.
        ctx.hooks_owed = again;
        let at_once = !waits || again || !idle || !ctx.is_alive();
        Ok(if at_once { Some(ctx.past) } else { ctx.wheel.wake() })
    }

    /// The second step: waits until something is ready, or until `deadline` (`None`: without limit). Returns how many
    /// events were found; they are kept for [`dispatch`](Self::dispatch).
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<usize, RunError> {
        self.ctx.may_turn()?;
        self.find(deadline)
    }

    fn find(&mut self, deadline: Option<Instant>) -> Result<usize, RunError> {
        let ctx = &mut self.ctx;
        ctx.stats.waits += 1;
        let before = ctx.batch.len();
        ctx.found_twice |= before > 0;
        // All, where the urgent ones are to be found among them; and never so few that a turn's share is not used
        // because what was found has been removed.
        ctx.batch.want(if ctx.ranked { usize::MAX } else { ctx.per_turn.max(16) });
        let began = ctx.begin_wait();
        let waited = ctx.backend.wait(&mut ctx.batch, deadline);
        ctx.note_wait(began);
        waited.inspect_err(trace::backend_error)?;
        if ctx.unheard >= ctx.patience {
            ctx.look_for_ghosts();
        }
        let found = ctx.batch.len() - before;
        ctx.stats.events += found as u64;
        Ok(found)
    }

    /// The third step: calls what is to be called. Returns how many callbacks that were.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn dispatch(&mut self, s: &mut S) -> Result<usize, RunError> {
        let before = self.ctx.stats.callbacks;
        let mut ctx = InTurn::begin(&mut self.ctx, true)?;
        ctx.reap();
        ctx.collect();
        ctx.run_hooks(s, HookPoint::Check);
        let before_others = ctx.stats.callbacks;
        // Each stops where a callback comes back in a child: the rest is not its own to be told before it says so.
        ctx.run_timers(s);
        ctx.run_ready(s);
        if ctx.haunted {
            ctx.renew(s);
        }
        ctx.run_done(s);
        ctx.run_posts(s);
        ctx.run_deferred(s);
        ctx.tell_slow(s);
        if ctx.here.has_forked() {
            return Err(RunError::Forked);
        }
        ctx.hooks_owed |= ctx.stats.callbacks != before_others && ctx.has_hooks_before_wait();
        drop(ctx);
        self.ctx.take_fault()?;
        Ok((self.ctx.stats.callbacks - before) as usize)
    }

    /// Makes the loop one of this process, a child that fork(2) made of the one that it was of. Before that it refuses
    /// to wait and to add, whatever happens to it leaves the parent's alone, and dropping it waits for nothing. Starting
    /// a program is no case of it. In the process that made the loop, this does nothing.
    ///
    /// The child has a set of its own then, in which all that is enabled is registered anew, by the next turn; what has
    /// edges is reported again, if it is ready. What the child does not want, it removes before: a descriptor is shared
    /// with the parent, and whoever reads first has what there is to read. Timers go on in both; so does what was queued
    /// by the fork (deferred and posted work, what a wait had found). Operations under way are the parent's, and end
    /// here with `ECANCELED`; their buffers are the child's own copy and come back, in which the parent's operation may
    /// or may not have left something by the fork.
    ///
    /// A callback may fork: in the child `turn` returns [`RunError::Forked`] once it has returned.
    ///
    /// # Honest trouble
    ///
    /// - *The child has one thread.* Its copies of the [`Remote`](crate::Remote)s that other threads of the parent had
    ///   count as handles for ever: `run` does not end by itself. [`embed`](Self::embed) anew what stood in another loop.
    /// - *Signals* by a signalfd(2) are those of whoever reads it: the child reads its own. *Children* of the parent are
    ///   not the child's: a pidfd tells it that one has ended, and waiting for it fails with `ECHILD`. *inotify,
    ///   fanotify, timerfd, GPIO lines and sockets* have one queue for both: close them, and open the child's own.
    /// - *Sources that tidy up* when they are dropped do so in the child, too: a terminal is restored, a socket's path
    ///   removed.
    /// - *Processes that share their memory* (vfork(2), clone(2) with CLONE_VM) are not told apart: there, touch nothing.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the backend cannot; `EMFILE` where no two descriptors are left;
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where another thread of the parent was at work on the loop's queues at
    /// the fork, which then stay locked for ever. The loop stays the parent's then.
    ///
    /// ```
    /// use becket_loop::Loop;
    ///
    /// let mut event_loop: Loop<u32> = Loop::new()?;
    /// event_loop.defer(|n, _| Ok(*n += 1));
    /// // .. in practice, here the process forks and the child goes on with
    /// event_loop.after_fork()?;
    /// let mut n = 0;
    /// event_loop.run(&mut n)?;
    /// assert_eq!(n, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "fork")]
    pub fn after_fork(&mut self) -> io::Result<()> {
        let ctx = &mut self.ctx;
        if ctx.bell.origin.is_here() {
            return Ok(());
        }
        if ctx.mailbox.is_locked() || ctx.nudges.is_locked() || ctx.dropped.is_locked() {
            let why = "another thread was posting to the loop when the process forked";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        ctx.backend.abandon();
        ctx.backend.reopen()?;
        ctx.renew_clock_watch()?;
        trace::forked();
        ctx.outer = None;
        ctx.watch.iter_mut().for_each(|watch| watch.pulse = None); // its thread is the parent's
        ctx.nudges.embedded.store(false, Ordering::Relaxed);
        ctx.dropped.embedded.store(false, Ordering::Relaxed);
        ctx.register_anew();
        ctx.bell.origin.settle();
        ctx.here = ctx.bell.origin.to_ask();
        let _unheard = ctx.abandon(); // the last to be done, for it drops what is the user's
        Ok(())
    }

    /// This loop as a source of another one.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the backend has no descriptor (see
    /// [`Caps::embed`](crate::backend::Caps::embed)); `EMFILE` where no five are left.
    pub fn embed(&mut self) -> io::Result<Embedded> {
        self.ctx.embed()
    }
}

/// The loop while a turn is under way; at its end, by a panic too, an outer loop's view of it is brought up to date.
struct InTurn<'a, S: 'static> {
    ctx: &'a mut Ctx<S>,
    dispatches: bool,
}

impl<'a, S: 'static> InTurn<'a, S> {
    fn begin(ctx: &'a mut Ctx<S>, dispatches: bool) -> Result<Self, RunError> {
        ctx.may_turn()?;
        (ctx.in_turn, ctx.turn_time) = (true, None);
        ctx.begin_step();
        Ok(InTurn { ctx, dispatches })
    }
}

impl<S: 'static> Drop for InTurn<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // What a panic kept from being told has its turn in the next one.
        if self.dispatches {
            self.ctx.queue_found();
            if self.ctx.outer.is_some() {
                self.ctx.outer_expired();
            }
        }
        self.ctx.end_step(self.dispatches);
        self.ctx.in_turn = false;
        self.ctx.settle_outer();
    }
}

impl<S: 'static> Deref for InTurn<'_, S> {
    type Target = Ctx<S>;

    fn deref(&self) -> &Ctx<S> {
        self.ctx
    }
}

impl<S: 'static> DerefMut for InTurn<'_, S> {
    fn deref_mut(&mut self) -> &mut Ctx<S> {
        self.ctx
    }
}

impl<S: 'static> Ctx<S> {
    fn may_turn(&self) -> Result<(), RunError> {
        if self.here.has_forked() || self.here.is_blind() && !self.bell.origin.is_here() {
            return Err(RunError::Forked);
        }
        // By callbacks that exchange what they get for the content of a loop of theirs.
        if self.in_turn { Err(RunError::Nested) } else { Ok(()) }
    }

    fn take_fault(&mut self) -> Result<(), RunError> {
        self.faults.pop_front().map_or(Ok(()), |fault| Err(RunError::Callback(fault)))
    }

    #[inline(always)]
    fn step_nudged(&mut self, s: &mut S) {
        if !self.nudges.is_empty() {
            self.step_those_nudged(s);
        }
    }

    #[cold]
    fn step_those_nudged(&mut self, s: &mut S) {
        // One by one, so that a panic over one loses no step of another; what they ask for anew has its turn in the
        // next.
        for _ in 0..self.nudges.len() {
            if self.here.has_forked() {
                return;
            }
            let Some(key) = self.nudges.pop() else { return };
            let Some(external) = self.external(key) else { continue };
            let cause = if std::mem::replace(&mut external.is_new, false) { Cause::Joined } else { Cause::Nudged };
            self.step_external(s, key, cause);
        }
    }

    /// Takes in what ended, and what other threads left.
    fn collect(&mut self) {
        if self.batch.has_done() {
            self.done.extend(self.batch.drain_done());
        }
        if self.bell.take() {
            self.pool.collect(&mut self.done);
            self.mailbox.take(&mut self.posts);
        }
    }

    fn run_timers(&mut self, s: &mut S) {
        if self.wheel.len() == 0 && !self.wheel.has_due() {
            return; // without a look at the clock
        }
        let now = self.look_at_clock();
        self.wheel.expire(now);
        self.netted(|ctx| {
            while !ctx.here.has_forked()
                && let Some((key, due)) = ctx.wheel.next_due()
            {
                ctx.stats.timers += 1;
                ctx.note_lag(due);
                ctx.run_timer(s, key, due);
            }
        });
    }

    #[inline]
    fn run_timer(&mut self, s: &mut S, key: Key, due: u64) {
        let Some((entry, calls)) = self.slots.get_counted(key) else { return };
        let Kind::Timer(call) = &mut entry.kind else { return };
        match call {
            TimerCall::Plain(plain) => {
                let Plain { call, data } = *plain;
                entry.count(calls);
                let next = self.call(s, key, |s, ctx| call(s, ctx, data, Ready::empty()));
                self.apply(s, key, Ok(next), Ready::empty());
            }
            TimerCall::External(of) => {
                if let Some(of) = *of {
                    self.step_external(s, of, Cause::Timeout);
                }
            }
            TimerCall::Once(_) => {
                let Some(mut entry) = self.take_out(key) else { return };
                let name = entry.take_name();
                let Kind::Timer(TimerCall::Once(call)) = entry.kind else { return };
                self.note_leaving(name.as_deref(), SourceKind::Timer);
                if let Err(error) = self.protected(s, key, call) {
                    self.report(s, Fault { id: Some(AnyId { key }), name, error });
                }
            }
            TimerCall::Clocked(_) => self.run_clocked(s, key),
            TimerCall::Rearmed(call) => {
                let Some(mut call) = call.take() else { return };
                let result = self.protected(s, key, |s, ctx| call(s, ctx));
                if let Some(TimerCall::Rearmed(place)) = self.timer_mut(key) {
                    *place = Some(call);
                }
                self.apply(s, key, result, Ready::empty());
            }
            TimerCall::Every(periodic) => {
                let every = periodic.0;
                let Some(call) = periodic.1.take() else { return };
                let due = self.wheel.time(due);
                self.run_periodic(s, key, due, every, call);
            }
        }
    }

    fn run_periodic(&mut self, s: &mut S, key: Key, due: Instant, every: Every, mut call: TickCall<S>) {
        let now = self.now();
        let tick = Tick { due, missed: missed(due, every.period, now), clock_set: false };
        // Armed before the call, so that the callback may arm or disarm it otherwise.
        let next = match every.missed {
            Missed::Skip => next_in_phase(&every, now),
            Missed::Burst => next_in_phase(&every, due), // where `due` may be out of phase: by `Next::Again`
            Missed::Delay => later(now, every.period),
        };
        self.wheel.arm(key, next);
        let result = self.protected(s, key, |s, ctx| call(s, ctx, tick));
        if let Some(TimerCall::Every(periodic)) = self.timer_mut(key) {
            periodic.1 = Some(call);
            if every.missed == Missed::Delay && self.wheel.is_armed_for(key, next) {
                let next = later(self.now(), every.period);
                self.wheel.arm(key, next);
            }
        }
        self.apply(s, key, result, Ready::empty());
    }

    fn run_ready(&mut self, s: &mut S) {
        let found = !self.batch.is_empty();
        let told = if self.ready.is_empty() && !self.ranked && !self.found_twice {
            // The usual case: nothing has to be queued first.
            let told = self.netted(|ctx| ctx.tell_found(s));
            self.queue_found(); // what is beyond this turn's share
            told
        } else {
            self.queue_found();
            self.rank_ready();
            self.netted(|ctx| ctx.tell_queued(s))
        };
        self.unheard = if found && !told { self.unheard.saturating_add(1) } else { 0 };
    }

    /// Tells what the wait found. Whether there was anybody to be told.
    fn tell_found(&mut self, s: &mut S) -> bool {
        let mut left = self.per_turn;
        while left > 0 && !self.here.has_forked() {
            let Some((key, ready)) = self.batch.next_ready() else { break };
            left -= usize::from(self.tell(s, key, |io| io.found().then_some(ready)));
        }
        left < self.per_turn
    }

    /// Tells what is queued. Whether there was anybody to be told.
    fn tell_queued(&mut self, s: &mut S) -> bool {
        let mut left = self.per_turn;
        for _ in 0..self.ready.len() {
            if left == 0 || self.here.has_forked() {
                break;
            }
            let Some(key) = self.ready.pop() else { break };
            left -= usize::from(self.tell(s, key, |io| {
                io.mark(State::QUEUED, false);
                let ready = std::mem::take(&mut io.pending);
                (!ready.is_empty()).then_some(ready) // else it was disabled since
            }));
        }
        left < self.per_turn
    }

    /// Tells of a descriptor what `what` says, if anything. Whether there was somebody to be told.
    #[inline(always)] // and each path by itself: this is what the loop does most of its time
    fn tell(&mut self, s: &mut S, key: Key, what: impl FnOnce(&mut Io<S>) -> Option<Ready>) -> bool {
        let Some((entry, calls)) = self.slots.get_counted(key) else { return false };
        let Kind::Io(io) = &mut entry.kind else { return false };
        let Some(ready) = what(io) else { return false };
        let has_fired = io.has_fired();
        let keeps = match &io.who {
            Who::Owned(watched) => {
                let watched = Rc::clone(watched);
                entry.count(calls);
                self.rest_if(key, has_fired);
                self.call(s, key, |s, ctx| watched.call(s, ctx, key, ready))
            }
            Who::Borrowed(_, plain) => {
                let Plain { call, data } = *plain;
                entry.count(calls);
                self.rest_if(key, has_fired);
                self.call(s, key, |s, ctx| {
                    let next = call(s, ctx, data, ready);
                    ctx.keeps(Ok(next))
                })
            }
            Who::External(watch) => {
                let (of, token) = (watch.of, watch.token);
                entry.count(calls);
                self.rest_if(key, has_fired);
                self.step_external(s, of, Cause::Ready { token, ready });
                return true;
            }
        };
        self.apply_answer(s, key, keeps, ready);
        true
    }

    /// Disables what fired as one-shot, until it is enabled again, which also arms it.
    #[inline(always)]
    fn rest_if(&mut self, key: Key, has_fired: bool) {
        if has_fired {
            self.enable_key(key, false);
        }
    }

    fn run_done(&mut self, s: &mut S) {
        for _ in 0..self.done.len() {
            if self.here.has_forked() {
                return;
            }
            let Some((key, result)) = self.done.pop_front() else { return };
            self.complete(s, key, result);
        }
    }

    fn run_posts(&mut self, s: &mut S) {
        if self.posts.is_empty() {
            return;
        }
        // Out of the loop, of which they get hold; back with what a panic leaves of them.
        let mut posts = std::mem::replace(&mut self.posts, Posts::new());
        let all = catch_unwind(AssertUnwindSafe(|| {
            while !posts.is_empty() && !self.here.has_forked() {
                self.stats.posts += 1;
                self.stats.callbacks += 1;
                let result = self.observed(s, Whose::Loose, |s, ctx| posts.call_next(s, ctx));
                self.end_loose(s, result);
            }
        }));
        posts.append(&mut self.posts); // none, unless a callback exchanged this loop's content
        posts.tidy();
        self.posts = posts;
        if let Err(panic) = all {
            resume_unwind(panic);
        }
    }

    fn run_deferred(&mut self, s: &mut S) {
        for _ in 0..self.deferred.len() {
            if self.here.has_forked() {
                return;
            }
            let Some(call) = self.deferred.pop_front() else { return };
            self.run_loose(s, call);
        }
    }

    /// Calls what has no place in the table.
    fn run_loose(&mut self, s: &mut S, call: impl FnOnce(&mut S, &mut Ctx<S>) -> crate::Result<()>) {
        self.stats.callbacks += 1;
        let result = self.observed(s, Whose::Loose, call);
        self.end_loose(s, result);
    }

    #[inline]
    fn end_loose(&mut self, s: &mut S, result: crate::Result<()>) {
        self.reap();
        if let Err(e) = result {
            self.fault(s, None, e);
        }
    }
}
