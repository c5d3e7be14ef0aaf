//! The one place where a fiber waits, and the errors that end a wait.
//!
//! A blocking call of this crate reads like this:
//!
//! ```text
//! match place() {
//!     Place::Thread => block the thread plainly,
//!     Place::Callback => Err(in_callback()),
//!     Place::Fiber(here) => loop {
//!         here.check()?;                          // cancelled? too late? time to let others run?
//!         if let Some(done) = attempt { return done }
//!         let wait = here.wait(reason);           // a new wait, with its token
//!         hand wait.token() to whoever is to call Token::wake
//!         let woken = wait.park(until);           // the first of {event, deadline, cancel} wins
//!         take the token back
//!         here.event(woken)?;                     // an error for the latter two; may unwind for an abort
//!     }
//! }
//! ```
//!
//! A wake may be spurious, so the attempt is repeated. Between `park` and `event` the token must be taken back:
//! `event` may not return.

use crate::record::{Fiber, State};
use crate::sched::{Core, core_by_id, current_core};
use becket_loop::{Ctx, Next, Plain, Ready};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    /// Somebody used the token; with a word of theirs.
    Event(u32),
    /// The deadline of the wait or of the fiber is reached.
    Deadline,
    /// The fiber is cancelled or aborted.
    Cancelled,
}

/// Names one wait of one fiber. Using it later than that wait, or twice, does nothing.
///
/// To be used on the fiber's thread; [`RemoteToken`] is for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    core: u32,
    wait: u32,
    /// The record, which is there as long as the scheduler `core` is.
    fiber: NonNull<Fiber>,
}

impl Token {
    /// Names no wait: schedulers are counted from 1.
    pub(crate) const NONE: Token = Token { core: 0, wait: 0, fiber: NonNull::dangling() };

    /// The current wait of a fiber of the scheduler with this number.
    #[inline(always)]
    pub(crate) fn new(core: u32, fiber: &Fiber) -> Token {
        Token { core, wait: fiber.wait.get(), fiber: NonNull::from(fiber) }
    }

    /// The fiber, where it is one of `core`'s, and the number of its wait.
    #[inline(always)]
    pub(crate) fn of(self, core: &Core) -> Option<(&Fiber, u32)> {
        if core.id != self.core {
            return None;
        }
        // SAFETY: the scheduler has that number, so that it is the one whose record this is: see the field.
        Some((unsafe { self.fiber.as_ref() }, self.wait))
    }

    /// Ends the wait; returns whether this call did. Where it did, the wait ends with this event, whatever comes
    /// after it in the same turn.
    #[inline]
    pub(crate) fn wake(self, word: u32) -> bool {
        if let Some(core) = current_core() {
            // SAFETY: what `current_core` returns lives while it is entered, which it is during this call.
            let core = unsafe { core.as_ref() };
            if let Some((fiber, wait)) = self.of(core) {
                return core.end_wait(fiber, wait, Woken::Event(word));
            }
        }
        self.wake_elsewhere(word)
    }

    /// A fiber of a runtime that does not run: it has its turn when that does again.
    #[cold]
    fn wake_elsewhere(self, word: u32) -> bool {
        let Some(core) = core_elsewhere(self.core) else { return false };
        let woken = self.of(&core).is_some_and(|(fiber, wait)| core.end_wait(fiber, wait, Woken::Event(word)));
        core.nudge();
        woken
    }

    /// Whether the wait still goes on, so that [`wake`](Self::wake) would end it.
    pub(crate) fn waits(self) -> bool {
        let waits = |core: &Core| self.of(core).map(|(fiber, wait)| fiber.waits(wait));
        // SAFETY: as in `wake`.
        let here = current_core().and_then(|core| waits(unsafe { core.as_ref() }));
        here.or_else(|| core_elsewhere(self.core).and_then(|core| waits(&core))).unwrap_or(false)
    }

    /// As the 64 bits that the loop's plain handlers carry, of a fiber of `core`; [`wake_by_bits`] takes them.
    pub(crate) fn bits(self, core: &Core) -> u64 {
        self.of(core).map_or(0, |(fiber, wait)| u64::from(fiber.slot) << 32 | u64::from(wait))
    }
}

/// A scheduler that does not run now; `None` where it is of another thread, or will never run again.
fn core_elsewhere(id: u32) -> Option<Rc<Core>> {
    core_by_id(id).filter(|core| !core.closed.get())
}

/// Ends the wait whose [`Token::bits`] these are, in a fiber of the runtime whose loop dispatches now.
pub(crate) fn wake_by_bits(bits: u64, word: u32) -> bool {
    let Some(core) = current_core() else { return false };
    // SAFETY: as in `Token::wake`.
    unsafe { core.as_ref() }.wake((bits >> 32) as u32, bits as u32, Woken::Event(word))
}

/// A token that any thread may use.
#[derive(Clone)]
pub(crate) struct RemoteToken {
    core: u32,
    bits: u64,
    remote: Arc<becket_loop::Remote<()>>,
}

impl RemoteToken {
    pub(crate) fn new(token: Token, here: Here) -> RemoteToken {
        RemoteToken { core: token.core, bits: token.bits(here.core()), remote: here.core().remote.clone() }
    }

    /// Whether it was made of `token`.
    pub(crate) fn is(&self, token: Token, here: Here) -> bool {
        self.core == token.core && self.bits == token.bits(here.core())
    }

    /// Ends the wait, if it still is the current one: at once where its scheduler runs on this thread, else soon.
    /// Returns `false` where it is known that nobody waits any more.
    pub(crate) fn wake(&self, word: u32) -> bool {
        let RemoteToken { core, bits, .. } = *self;
        // SAFETY: as in `Token::wake`.
        if current_core().is_some_and(|current| unsafe { current.as_ref() }.id == core) {
            return wake_by_bits(bits, word);
        }
        // Where it runs, that scheduler's loop dispatches.
        self.remote.post(move |(), _| {
            wake_by_bits(bits, word);
            Ok(())
        })
    }
}

/// Why a fiber waits, for people: a verb, and its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reason {
    pub(crate) what: &'static str,
    pub(crate) object: Object,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Object {
    None,
    Descriptor(RawFd),
    /// By its number.
    Fiber(u64),
    /// Whatever several fibers may wait for, by its address.
    Address(usize),
}

impl Reason {
    pub(crate) const NONE: Reason = Reason::new("");

    pub(crate) const fn new(what: &'static str) -> Reason {
        Reason { what, object: Object::None }
    }

    pub(crate) fn on(what: &'static str, fd: BorrowedFd<'_>) -> Reason {
        Reason { what, object: Object::Descriptor(fd.as_raw_fd()) }
    }

    pub(crate) fn fiber(what: &'static str, id: u64) -> Reason {
        Reason { what, object: Object::Fiber(id) }
    }

    pub(crate) fn address<T>(what: &'static str, at: &T) -> Reason {
        Reason { what, object: Object::Address(std::ptr::from_ref(at).addr()) }
    }
}

/// Where a blocking call was made.
pub(crate) enum Place {
    /// On a thread that runs no fiber: block it.
    Thread,
    /// In a callback of this thread's loop, in the closure of `with_ctx`, or in a destructor that the scheduler runs:
    /// blocking would freeze every fiber.
    Callback,
    Fiber(Here),
}

/// The place where the caller is.
#[inline(always)]
pub(crate) fn place() -> Place {
    let Some(core) = current_core() else { return Place::Thread };
    // SAFETY: it lives while it is entered, which it is while code of its thread asks.
    let c = unsafe { core.as_ref() };
    match c.current() {
        Some(fiber) if !c.is_lent() => Place::Fiber(Here { core, fiber }),
        _ => Place::Callback,
    }
}

/// The running fiber, and its scheduler. Not to be kept beyond the call that asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    core: NonNull<Core>,
    fiber: NonNull<Fiber>,
}

impl Here {
    #[inline(always)]
    pub(crate) fn core<'a>(self) -> &'a Core {
        // SAFETY: the fiber runs, so its scheduler does.
        unsafe { self.core.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn fiber<'a>(self) -> &'a Fiber {
        // SAFETY: the fiber runs, so its record is in use.
        unsafe { self.fiber.as_ref() }
    }

    /// The time on the loop's clock.
    pub(crate) fn now(self) -> Instant {
        self.core().with_ctx(|ctx| ctx.now()).unwrap_or_else(Instant::now)
    }

    /// To be called at the start of every blocking call, and after each wait: whether the fiber may go on. Lets
    /// others run now and then, so that a fiber whose calls never wait starves nobody.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut` when the fiber's deadline is reached; an error while unwinding
    /// and under a coroutine that this crate cannot suspend.
    ///
    /// # Panics
    /// Unwinds with a private payload where the fiber is aborted.
    #[inline(always)]
    pub(crate) fn check(self) -> io::Result<()> {
        let fiber = self.fiber();
        let budget = fiber.budget.get();
        if budget > 1 && !fiber.must_stop() && fiber.deadline.get().is_none() && self.is_here() && !thread::panicking()
        {
            fiber.budget.set(budget - 1);
            return Ok(());
        }
        self.check_slowly()
    }

    #[cold]
    #[inline(never)]
    fn check_slowly(self) -> io::Result<()> {
        let fiber = self.fiber();
        if thread::panicking() {
            return Err(Refusal::Unwinding.into());
        }
        if !self.can_suspend() {
            return Err(Refusal::Foreign.into());
        }
        let budget = fiber.budget.get();
        let late = || fiber.deadline.get().is_some_and(|d| self.now() >= d);
        // One that ignores its errors and calls again must not keep the thread for itself.
        if budget <= 1 || fiber.must_stop() || late() {
            self.reschedule();
        } else {
            fiber.budget.set(budget - 1);
        }
        if fiber.must_stop() {
            self.event(Woken::Cancelled)?;
        }
        if late() {
            self.event(Woken::Deadline)?;
        }
        Ok(())
    }

    /// What a wait's end means to the call that waited.
    ///
    /// # Errors
    /// `TimedOut`, or [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    /// Unwinds with a private payload where the fiber is aborted.
    #[inline(always)]
    pub(crate) fn event(self, woken: Woken) -> io::Result<u32> {
        match woken {
            Woken::Event(word) => Ok(word),
            _ => Err(self.early_end(woken)),
        }
    }

    #[cold]
    #[inline(never)]
    fn early_end(self, woken: Woken) -> io::Error {
        if woken == Woken::Deadline {
            return io::ErrorKind::TimedOut.into();
        }
        if self.fiber().aborted.get() && !thread::panicking() {
            resume_unwind(Box::new(Aborted));
        }
        crate::Cancelled.into()
    }

    /// Whether the code that asks can be suspended.
    #[inline(always)]
    pub(crate) fn can_suspend(self) -> bool {
        self.fiber().switch().is_some_and(|s| s.can_suspend())
    }

    /// Whether it runs on the fiber's own stack: then it can be suspended, cheaply.
    #[inline(always)]
    fn is_here(self) -> bool {
        self.fiber().switch().is_some_and(|s| s.is_here())
    }

    /// Goes to the end of the run queue. The caller has asked [`can_suspend`](Self::can_suspend), and does not unwind.
    #[inline(always)]
    pub(crate) fn reschedule(self) {
        self.core().enqueue(self.fiber());
        self.suspend();
    }

    /// As [`reschedule`](Self::reschedule), where that can be: not while unwinding. Returns whether it was.
    #[inline(always)]
    pub(crate) fn give_way(self) -> bool {
        match self.fiber().switch() {
            Some(switch) if switch.is_here() && !thread::panicking() => {
                self.core().enqueue(self.fiber());
                // SAFETY: the fiber runs, on the stack of its switch, and that it is here was just asked.
                self.suspend_by(|| unsafe { switch.suspend_here() });
                true
            }
            _ => self.give_way_slowly(),
        }
    }

    #[cold]
    #[inline(never)]
    fn give_way_slowly(self) -> bool {
        let may = !thread::panicking() && self.can_suspend();
        if may {
            self.reschedule();
        }
        may
    }

    #[inline(always)]
    fn suspend(self) {
        let Some(switch) = self.fiber().switch() else { return };
        // SAFETY: the fiber runs, on the stack of its switch, and the callers have asked `can_suspend`.
        self.suspend_by(|| unsafe { switch.suspend() });
    }

    /// Suspends by `leave`, and again after each time that somebody only wants to know where.
    #[inline(always)]
    fn suspend_by(self, leave: impl FnOnce()) {
        let core = self.core();
        if core.observed.get() {
            core.note_suspended(self.fiber());
        }
        leave();
        if core.tracing.is_asked() {
            self.answer();
        }
    }

    #[cold]
    #[inline(never)]
    fn answer(self) {
        let Some(switch) = self.fiber().switch() else { return };
        let core = self.core();
        while core.tracing.is_asked() {
            core.tracing.answer(switch.room() >= crate::report::ROOM);
            // SAFETY: as in `suspend`; it has just been suspended here.
            unsafe { switch.suspend() };
        }
    }

    /// Begins a wait. Its token is good until the wait is over.
    #[inline(always)]
    pub(crate) fn wait(self, reason: Reason) -> Wait {
        let fiber = self.fiber();
        fiber.wait.set(fiber.wait.get().wrapping_add(1));
        fiber.woken.set(None);
        fiber.reason.set(reason);
        Wait { here: self }
    }
}

/// A wait that was begun. Somebody may use its token before it is parked: then it does not suspend.
pub(crate) struct Wait {
    here: Here,
}

impl Wait {
    #[inline(always)]
    pub(crate) fn token(&self) -> Token {
        Token::new(self.here.core().id, self.here.fiber())
    }

    /// [`Token::bits`] of it.
    pub(crate) fn bits(&self) -> u64 {
        self.token().bits(self.here.core())
    }

    /// The token in a form for other threads.
    pub(crate) fn remote_token(&self) -> RemoteToken {
        RemoteToken::new(self.token(), self.here)
    }

    /// Suspends until the token is used, or until `until` or the fiber's deadline, or until the fiber is cancelled.
    /// To be called after [`Here::check`] in the same call. While unwinding it returns [`Woken::Cancelled`] at once.
    #[inline(always)]
    pub(crate) fn park(self, until: Option<Instant>) -> Woken {
        let fiber = self.here.fiber();
        if fiber.woken.get().is_none() {
            match fiber.switch() {
                Some(switch)
                    if until.is_none()
                        && fiber.deadline.get().is_none()
                        && !fiber.must_stop()
                        && switch.is_here()
                        && !thread::panicking() =>
                {
                    fiber.state.set(State::Parked);
                    // SAFETY: the fiber runs, on the stack of its switch, and that it is here was just asked.
                    self.here.suspend_by(|| unsafe { switch.suspend_here() });
                }
                _ => self.park_slowly(until),
            }
        }
        self.end()
    }

    #[inline(never)]
    fn park_slowly(&self, until: Option<Instant>) {
        let fiber = self.here.fiber();
        let until = earliest(until, fiber.deadline.get());
        if thread::panicking() || !self.here.can_suspend() {
            fiber.woken.set(Some(Woken::Cancelled));
        } else if fiber.must_stop() {
            self.refuse(Woken::Cancelled);
        } else if until.is_some_and(|at| at <= self.here.now()) {
            self.refuse(Woken::Deadline);
        } else {
            self.suspend(until);
        }
    }

    /// Suspends until the token is used, whatever else happens: for what the memory of this frame depends on.
    ///
    /// Where it cannot suspend it ends the process: it is called where returning would be unsound.
    pub(crate) fn park_through(self) -> u32 {
        let fiber = self.here.fiber();
        if fiber.woken.get().is_none() {
            if thread::panicking() || !self.here.can_suspend() {
                die("a fiber has to wait for what borrows from its stack, where it cannot be suspended");
            }
            fiber.interruptible.set(false);
            self.suspend(None);
            fiber.interruptible.set(true);
        }
        match self.end() {
            Woken::Event(word) => word,
            Woken::Deadline | Woken::Cancelled => 0,
        }
    }

    fn suspend(&self, until: Option<Instant>) {
        let (core, fiber) = (self.here.core(), self.here.fiber());
        if let Some(at) = until {
            core.arm(fiber, at);
        }
        fiber.state.set(State::Parked);
        self.here.suspend();
        if until.is_some() {
            core.disarm(fiber);
        }
    }

    /// Lets others run once, then ends with `woken`, unless somebody used the token meanwhile.
    #[cold]
    fn refuse(&self, woken: Woken) {
        self.here.reschedule();
        let fiber = self.here.fiber();
        if fiber.woken.get().is_none() {
            fiber.woken.set(Some(woken));
        }
    }

    #[inline(always)]
    fn end(self) -> Woken {
        let fiber = self.here.fiber();
        fiber.wait.set(fiber.wait.get().wrapping_add(1));
        fiber.woken.take().unwrap_or(Woken::Event(0))
    }
}

impl Core {
    fn arm(&self, fiber: &Fiber, at: Instant) {
        fiber.wake_at.set(Some(at));
        self.with_ctx(|ctx| {
            let timer = match fiber.timer.get() {
                Some(timer) => timer,
                None => {
                    let timer = ctx.timer_plain(Plain { call: timer_fired, data: fiber.slot.into() });
                    fiber.timer.set(Some(timer));
                    timer
                }
            };
            ctx.arm(timer, at);
        });
    }

    fn disarm(&self, fiber: &Fiber) {
        fiber.wake_at.set(None);
        if let Some(timer) = fiber.timer.get() {
            self.with_ctx(|ctx| ctx.disarm(timer));
        }
    }
}

/// The handler of a fiber's timer. One that was armed anew since the loop found it due is not due.
fn timer_fired((): &mut (), ctx: &mut Ctx<()>, slot: u64, _: Ready) -> Next {
    if let Some(core) = current_core()
        // SAFETY: the loop dispatches, so its scheduler is entered, and the table outlives the loop.
        && let core = unsafe { core.as_ref() }
        && let Some(fiber) = core.table.get(slot as u32)
        // SAFETY: as above.
        && let fiber = unsafe { fiber.as_ref() }
        && fiber.wake_at.get().is_some_and(|at| at <= ctx.now())
    {
        core.wake(fiber.slot, fiber.wait.get(), Woken::Deadline);
    }
    Next::Keep
}

/// The earlier of two points in time, where `None` is never.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The payload with which an aborted fiber unwinds.
pub(crate) struct Aborted;

/// Ends the process where going on would be unsound.
pub(crate) fn die(why: &str) -> ! {
    eprintln!("becket: {why}");
    std::process::abort()
}

/// Why a blocking call was refused, apart from a cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Unwinding,
    Callback,
    Foreign,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Unwinding => "a fiber cannot wait while it unwinds",
            Refusal::Callback => "a callback of the loop cannot wait: it would freeze the loop",
            Refusal::Foreign => "a fiber cannot wait inside a coroutine of another library",
        })
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Unwinding => io::ErrorKind::Other,
            Refusal::Callback => io::ErrorKind::Deadlock,
            Refusal::Foreign => io::ErrorKind::Unsupported,
        };
        io::Error::new(kind, refusal)
    }
}

/// The error of a call that would have to block in a callback.
pub(crate) fn in_callback() -> io::Error {
    Refusal::Callback.into()
}
