//! What a loop holds, and how it changes: what callbacks get beside the user's state.

use crate::backend::fork::Here;
use crate::backend::{AsFd, Backend, Batch, Caps, Key};
use crate::clocked::Clocked;
use crate::embed::Outer;
use crate::external::ExternalEntry;
use crate::observe::{Watch, Whose};
use crate::pool::Pool;
use crate::posts::Posts;
use crate::queue::Queue;
use crate::remote::{Bell, Mailbox, Nudges};
use crate::slab::Slab;
use crate::submit::{Ending, OpEntry};
use crate::trace;
use crate::watched::{Io, State, Watched, Who, WithClosure, WithPlain, take_source};
use crate::wheel::{TimerWheel, nanos};
use crate::{AddError, AnyId, CallbackError, Every, Fault, Flags, Hook, HookPoint, Id, Mode, Next, Plain, Ready};
use crate::{Cause, Remote, Result, SourceInfo, SourceKind, Stats, Tick, Timer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) type OnceCall<S> = Box<dyn FnOnce(&mut S, &mut Ctx<S>) -> Result<()>>;
pub(crate) type TickCall<S> = Box<dyn FnMut(&mut S, &mut Ctx<S>, Tick) -> Result>;
pub(crate) type HookCall<S> = Box<dyn FnMut(&mut S, &mut Ctx<S>) -> Result>;
pub(crate) type ErrorCall<S> = Box<dyn FnMut(&mut S, &mut Ctx<S>, Fault)>;

/// How many ready descriptors one turn serves at most, unless the user says otherwise, so that timers and other threads
/// are not kept waiting by many busy ones. The rest is served in the next turn, before what that one finds.
const READY_PER_TURN: usize = 256;

/// How many waits in a row may be ended by what nobody is told of. One is nothing: it was removed or disabled meanwhile.
const PATIENCE: u32 = 4;

/// A key that no slot has.
const NOBODY: Key = Key::from_u64(u64::MAX);

/// One slot of the table. There may be a million of them, so it is small.
pub(crate) struct Entry<S> {
    /// What few have.
    rare: Option<Box<Rare>>,
    pub(crate) kind: Kind<S>,
}

/// What few entries have.
#[derive(Default)]
pub(crate) struct Rare {
    name: Option<Box<str>>,
    /// How often the slot's count of calls came round to zero.
    calls_over: u32,
    /// The timer that will enable it again, where its callback asked for a pause.
    pause: Option<Key>,
    flags: Flags,
    priority: i32,
    limit: Option<RateLimit>,
}

impl<S> Entry<S> {
    pub(crate) fn name(&self) -> Option<&str> {
        self.rare.as_ref()?.name.as_deref()
    }

    /// Its name, of which it has no more.
    pub(crate) fn take_name(&mut self) -> Option<Box<str>> {
        self.rare.as_mut()?.name.take()
    }

    /// Counts a call, in the slot's count.
    #[inline]
    pub(crate) fn count(&mut self, calls: &mut u32) {
        *calls = calls.wrapping_add(1);
        if *calls == 0 {
            self.carry();
        }
    }

    #[cold]
    fn carry(&mut self) {
        self.rare().calls_over += 1;
    }

    fn is_enabled_io(&self) -> bool {
        matches!(&self.kind, Kind::Io(io) if io.is(State::ENABLED))
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn take_pause(&mut self) -> Option<Key> {
        self.rare.as_mut()?.pause.take()
    }
}

pub(crate) enum Kind<S> {
    Io(Io<S>),
    Timer(TimerCall<S>),
    Hook(HookEntry<S>),
    Op(OpEntry<S>),
    External(Box<ExternalEntry<S>>),
}

impl<S> Kind<S> {
    pub(crate) fn of_source(&self) -> SourceKind {
        match self {
            Kind::Io(_) => SourceKind::Io,
            Kind::Timer(_) => SourceKind::Timer,
            Kind::Hook(_) => SourceKind::Hook,
            Kind::Op(_) => SourceKind::Operation,
            Kind::External(_) => SourceKind::External,
        }
    }
}

// A connection's share of the table is this, and eight bytes of the slab's.
const _: () = assert!(size_of::<Option<Entry<u8>>>() == 48);

/// At most so many calls in so much time.
struct RateLimit {
    calls: u32,
    interval: Duration,
    /// When the present interval began, and how many calls it has had.
    since: Option<Instant>,
    had: u32,
}

fn flags_of(rare: &Option<Box<Rare>>) -> Flags {
    rare.as_ref().map_or(Flags::empty(), |rare| rare.flags)
}

/// What the backend is told to watch for.
fn interest<S>(io: &Io<S>, flags: Flags) -> Ready {
    io.want | Ready::from_bits_retain(flags.bits())
}

/// Whom a timer tells; when, the wheel knows.
pub(crate) enum TimerCall<S> {
    Once(OnceCall<S>),
    /// The closure is out while it is called.
    Every(Box<(Every, Option<TickCall<S>>)>),
    /// By another clock.
    Clocked(Box<Clocked<S>>),
    Plain(Plain<S>),
    /// Stays, and is armed by whoever has its id. The closure is out while it is called.
    Rearmed(Option<HookCall<S>>),
    /// The timeout of an external; `None` until that has its own place.
    External(Option<Key>),
}

pub(crate) struct HookEntry<S> {
    point: HookPoint,
    enabled: bool,
    /// The closure is out while it is called.
    call: Option<HookCall<S>>,
}

/// The loop as callbacks see it, beside the user's state: what it holds, and every change to it.
///
/// Calls with a stale [`Id`] do nothing and say so. Any callback may add, change and remove anything, itself included:
/// what runs is out of the table, and what is removed while it runs is dropped after it.
///
/// ```
/// use becket_loop::{Ctx, Loop, Next};
/// use std::time::Duration;
///
/// fn greet(log: &mut Vec<String>, ctx: &mut Ctx<Vec<String>>) {
///     log.push("hello".into());
///     ctx.after(Duration::from_millis(1), |log, ctx| {
///         log.push("goodbye".into());
///         ctx.exit(0);
///         Ok(())
///     });
/// }
///
/// let mut event_loop = Loop::new()?;
/// event_loop.defer(|log, ctx| Ok(greet(log, ctx)));
/// let mut log = Vec::new();
/// event_loop.run(&mut log)?;
/// assert_eq!(log, ["hello", "goodbye"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It makes no turns: a callback cannot turn the loop that called it.
///
/// ```compile_fail,E0599
/// let mut event_loop: becket_loop::Loop<()> = becket_loop::Loop::new()?;
/// event_loop.defer(|s, ctx| {
///     ctx.turn(s, None)?;
///     Ok(())
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Ctx<S> {
    /// Before the table, and so dropped before it: it may work on what operations own.
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) slots: Slab<Entry<S>>,
    pub(crate) wheel: TimerWheel,
    /// What the last wait found.
    pub(crate) batch: Batch,
    /// Whether it is from several waits, and may have a descriptor twice.
    pub(crate) found_twice: bool,
    /// Descriptors that are ready, and operations that ended, which are not yet told.
    pub(crate) ready: Queue,
    /// How many descriptors are told in one turn.
    pub(crate) per_turn: usize,
    /// Whether any source has, or had, a priority; whether any has, or had, a limit.
    pub(crate) ranked: bool,
    limited: bool,
    pub(crate) done: VecDeque<(Key, io::Result<usize>)>,
    /// Emptied boxes of operations that ended, for the next ones.
    pub(crate) spare_ops: Vec<Box<dyn Ending<S>>>,
    pub(crate) deferred: VecDeque<OnceCall<S>>,
    /// Posts that were taken out of the mailbox.
    pub(crate) posts: Posts<S>,
    /// Registrations whose interest the backend does not know yet.
    dirty: VecDeque<Key>,
    hooks: [Vec<Key>; 4],
    /// Room for a copy of one of those lists, while it is gone through.
    hooks_now: Vec<Key>,
    pub(crate) bell: Arc<Bell>,
    /// Whether this is a child of the process that it is of, as the bell knows.
    pub(crate) here: Here,
    pub(crate) mailbox: Arc<Mailbox<S>>,
    pub(crate) nudges: Arc<Nudges>,
    /// What guards let go of.
    pub(crate) dropped: Arc<Nudges>,
    pub(crate) pool: Pool,
    pub(crate) outer: Option<Outer>,
    /// How many turns in a row told nobody of what the wait found, and from how many on that is looked into.
    pub(crate) unheard: u32,
    pub(crate) patience: u32,
    /// Whether the last wait found what the backend was told to forget.
    pub(crate) haunted: bool,
    /// When it was made: a time that has passed, for which nobody has to look at the clock.
    pub(crate) past: Instant,
    /// Whose callback is running, or `NOBODY`.
    running: Key,
    /// What the last callback asked for that [does not keep](Self::keeps) things as they are, until that is done.
    answer: Option<Result>,
    pub(crate) in_turn: bool,
    /// When the step of the turn that is under way first looked at the clock, as the wheel counts.
    pub(crate) turn_time: Option<u64>,
    /// Whether hooks that come before a wait have to be called once more before an outer loop waits.
    pub(crate) hooks_owed: bool,
    pub(crate) exit: Option<i32>,
    /// Whether the exit hooks were called for the end that `run` is to tell of.
    pub(crate) ended: bool,
    /// The error hook; out of its place while it is called.
    on_error: Option<Option<ErrorCall<S>>>,
    /// What somebody asked to watch.
    pub(crate) watch: Option<Box<Watch<S>>>,
    /// Failures that no error hook took.
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) stats: Stats,
    /// How many enabled descriptors, operations and externals there are: what could wake the loop, beside timers.
    enabled: usize,
    pub(crate) ops: usize,
    externals: usize,
    /// How many timers go by clocks that move against the loop's, and what tells of that while there are any.
    pub(crate) clocked: usize,
    pub(crate) clock_watch: Option<Key>,
}

impl<S> fmt::Debug for Ctx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("caps", &self.backend.caps()).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<S: 'static> Ctx<S> {
    pub(crate) fn new(backend: Box<dyn Backend>) -> Self {
        let bell = Arc::new(Bell::new(backend.waker()));
        Ctx {
            slots: Slab::new(),
            wheel: TimerWheel::new(),
            batch: Batch::default(),
            found_twice: false,
            ready: Queue::default(),
            per_turn: READY_PER_TURN,
            ranked: false,
            limited: false,
            done: VecDeque::new(),
            spare_ops: Vec::new(),
            deferred: VecDeque::new(),
            posts: Posts::new(),
            dirty: VecDeque::new(),
            hooks: Default::default(),
            hooks_now: Vec::new(),
            mailbox: Arc::new(Mailbox::new(Arc::clone(&bell))),
            nudges: Arc::new(Nudges::new(Arc::clone(&bell))),
            dropped: Arc::new(Nudges::new(Arc::clone(&bell))),
            pool: Pool::new(Arc::clone(&bell)),
            here: bell.origin.to_ask(),
            bell,
            outer: None,
            unheard: 0,
            patience: PATIENCE,
            haunted: false,
            past: backend.now(),
            running: NOBODY,
            answer: None,
            in_turn: false,
            turn_time: None,
            hooks_owed: false,
            exit: None,
            ended: false,
            on_error: None,
            watch: None,
            faults: VecDeque::new(),
            stats: Stats::default(),
            enabled: 0,
            ops: 0,
            externals: 0,
            clocked: 0,
            clock_watch: None,
            backend,
        }
    }

    /// Adds a source: whenever it is ready for what is wanted, or failed or hung up, `f` is called with the user's
    /// state, the loop, the source and the raw mask.
    ///
    /// The loop owns the source and closes it when it is removed, or with the loop; [`remove`](Self::remove) hands it
    /// back. It is lent only as `&T`: nobody can swap the descriptor under its registration. `f` may be called when
    /// there is nothing to do after all, so what it does must not block: the descriptor should be non-blocking.
    ///
    /// # Errors
    /// The source comes back with `EPERM` where its kind cannot be waited for (regular files, with epoll), `EEXIST`
    /// where the descriptor is in the loop already, [`Unsupported`](io::ErrorKind::Unsupported) where
    /// [`caps`](Self::caps) denies the mode, `ENOSPC` and `ENOMEM` at the system's limits, `ECHILD` in a child process
    /// before [`after_fork`](crate::Loop::after_fork).
    ///
    /// ```
    /// use becket_loop::{Loop, Mode, Next, Ready};
    /// use std::io::{Read, Write, pipe};
    ///
    /// let (reader, mut writer) = pipe()?;
    /// let mut event_loop: Loop<String> = Loop::new()?;
    /// event_loop.add(reader, Ready::READ, Mode::Level, |text, _, mut reader, _| {
    ///     let mut buf = [0; 64];
    ///     let n = reader.read(&mut buf)?;
    ///     text.push_str(std::str::from_utf8(&buf[..n])?);
    ///     Ok(if n == 0 { Next::Remove } else { Next::Keep })
    /// })?;
    /// writer.write_all(b"hello")?;
    /// drop(writer);
    /// let mut text = String::new();
    /// event_loop.run(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add<T: AsFd + 'static>(
        &mut self,
        source: T,
        want: Ready,
        mode: Mode,
        mut f: impl FnMut(&mut S, &mut Ctx<S>, &T, Ready) -> Result + 'static,
    ) -> Result<Id<T>, AddError<T>> {
        self.add_watched(source, want, mode, move |s, ctx, _, source, ready| f(s, ctx, source, ready))
    }

    /// As [`add`](Self::add), with a plain function and a word instead of a closure.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_plain<T: AsFd + 'static>(
        &mut self,
        source: T,
        want: Ready,
        mode: Mode,
        handler: Plain<S>,
    ) -> Result<Id<T>, AddError<T>> {
        self.add_owned(Rc::new(WithPlain { source, plain: handler }), want, mode)
    }

    /// Adds a source with a closure that gets its key, too.
    pub(crate) fn add_watched<T: AsFd + 'static>(
        &mut self,
        source: T,
        want: Ready,
        mode: Mode,
        f: impl FnMut(&mut S, &mut Ctx<S>, Key, &T, Ready) -> Result + 'static,
    ) -> Result<Id<T>, AddError<T>> {
        self.add_owned(Rc::new(WithClosure { source, f: RefCell::new(f) }), want, mode)
    }

    fn add_owned<T: 'static>(
        &mut self,
        watched: Rc<dyn Watched<S>>,
        want: Ready,
        mode: Mode,
    ) -> Result<Id<T>, AddError<T>> {
        self.register(Io::new(Who::Owned(watched), want, mode)).map(Id::new).map_err(|(who, error)| {
            let Who::Owned(watched) = who else { unreachable!("it was just made") };
            let source = take_source(watched).expect("the registration had the only handle");
            AddError { source, error }
        })
    }

    /// Puts a registration into the table and the backend.
    pub(crate) fn register(&mut self, io: Io<S>) -> Result<Key, (Who<S>, io::Error)> {
        if let Err(e) = self.bell.origin.check() {
            return Err((io.who, e));
        }
        let (want, mode) = (io.want, io.mode);
        let key = self.insert(Kind::Io(io));
        let Some(Entry { kind: Kind::Io(io), .. }) = self.slots.get_mut(key) else { unreachable!("just inserted") };
        match self.backend.add(io.who.fd(), key, want, mode) {
            Ok(()) => {
                io.set_registered(Some((want, mode)));
                self.enabled += 1;
                self.settle_outer();
                Ok(key)
            }
            Err(e) => match self.slots.remove(key) {
                Some(Entry { kind: Kind::Io(io), .. }) => Err((io.who, e)),
                _ => unreachable!("just inserted"),
            },
        }
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, kind: Kind<S>) -> Key {
        self.slots.insert(Entry { rare: None, kind })
    }

    pub(crate) fn name_of(&self, key: Key) -> Option<&str> {
        self.slots.get(key)?.name()
    }

    pub(crate) fn entry_mut(&mut self, key: Key) -> Option<&mut Entry<S>> {
        self.slots.get_mut(key)
    }

    pub(crate) fn io_mut(&mut self, key: Key) -> Option<&mut Io<S>> {
        match self.slots.get_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::Io(io)) => Some(io),
            _ => None,
        }
    }

    /// The source or [external](crate::External) that `id` names, also inside its own callback.
    pub fn get<T: 'static>(&self, id: Id<T>) -> Option<&T> {
        match &self.slots.get(id.key)?.kind {
            Kind::Io(Io { who: Who::Owned(watched), .. }) => watched.source().downcast_ref(),
            Kind::External(external) => external.lib.as_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// Removes a source or an [external](crate::External) and hands it back. It leaves the backend at once. `None`
    /// where the id is stale, or where this is called in a source's own callback, which is still holding it: it is then
    /// dropped after that.
    pub fn remove<T: 'static>(&mut self, id: Id<T>) -> Option<T> {
        self.get(id)?;
        match self.take_out(id.key)?.kind {
            Kind::Io(Io { who: Who::Owned(watched), .. }) => take_source(watched),
            Kind::External(external) => external.lib?.downcast().ok().map(|lib| *lib),
            _ => None,
        }
    }

    /// Removes and drops whatever `id` names: a source, timer, hook or external. An operation is asked to end instead,
    /// as by [`cancel_op`](Self::cancel_op). Returns whether it was there.
    pub fn cancel(&mut self, id: impl Into<AnyId>) -> bool {
        let key = id.into().key;
        match self.slots.get(key) {
            Some(Entry { kind: Kind::Op(_), .. }) => self.cancel_op(Id::new(key)),
            Some(_) => self.take_out(key).is_some(),
            None => false,
        }
    }

    /// Takes an entry out of the table and of everything that knows it. An operation stays: it leaves by its end.
    pub(crate) fn take_out(&mut self, key: Key) -> Option<Entry<S>> {
        // Asked for where a callback exchanged this loop's content for another's: the system works on what it owns.
        if matches!(self.slots.get(key)?.kind, Kind::Op(_)) {
            return None;
        }
        let mut entry = self.slots.remove(key)?;
        if let Some(pause) = entry.take_pause() {
            self.take_out(pause);
        }
        match &mut entry.kind {
            Kind::Io(io) => {
                if io.registered().is_some() && self.bell.origin.is_here() {
                    io.set_registered(None);
                    // Fails only where the user closed the descriptor behind our back: then nothing is left to remove.
                    let _ = self.backend.remove(io.who.fd(), key);
                }
                self.enabled -= usize::from(io.is(State::ENABLED));
            }
            Kind::Timer(call) => {
                self.wheel.remove(key);
                if matches!(call, TimerCall::Clocked(timer) if timer.is_watched()) {
                    self.note_clocked_gone();
                }
            }
            Kind::Hook(hook) => self.hooks[hook.point as usize].retain(|h| *h != key),
            Kind::External(external) => {
                self.externals -= 1;
                for watch in std::mem::take(&mut external.watches).into_values().chain([external.timer]) {
                    self.take_out(watch);
                }
            }
            Kind::Op(_) => {}
        }
        Some(entry)
    }

    /// Changes what a source is watched for, from the next wait on. Returns whether `id` names a source.
    ///
    /// A mode that [`caps`](Self::caps) denies fails then, as an error of the source's.
    pub fn set(&mut self, id: impl Into<AnyId>, want: Ready, mode: Mode) -> bool {
        self.set_interest(id.into().key, want, mode)
    }

    pub(crate) fn set_interest(&mut self, key: Key, want: Ready, mode: Mode) -> bool {
        let Some(io) = self.io_mut(key) else { return false };
        (io.want, io.mode) = (want, mode);
        self.note_change(key);
        true
    }

    /// Enables or disables a source, timer or hook. Returns whether `id` names one (operations and externals cannot be
    /// disabled).
    ///
    /// A disabled source is not in the backend: it reports nothing, failure and hang-up included. A source that fired
    /// as one-shot is armed again. A disabled timer is disarmed; an enabled one, unless it is armed, is due the next
    /// time that its phase has (a periodic one) or at once (any other).
    pub fn enable(&mut self, id: impl Into<AnyId>, on: bool) -> bool {
        self.enable_key(id.into().key, on)
    }

    pub(crate) fn enable_key(&mut self, key: Key, on: bool) -> bool {
        if let Some(pause) = self.slots.get_mut(key).and_then(Entry::take_pause) {
            self.take_out(pause); // whoever enables or disables it says what holds from now on
        }
        match self.slots.get_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::Io(io)) => {
                match (io.is(State::ENABLED), on) {
                    (false, true) => self.enabled += 1,
                    (true, false) => self.enabled -= 1,
                    _ => {}
                }
                io.mark(State::ENABLED, on);
                if !on {
                    io.mark(State::MISSED, io.is(State::MISSED) || io.mode == Mode::Edge);
                    io.mark(State::VOID, true);
                    io.pending = Ready::empty(); // what it was ready for, nobody is to be told any more
                }
                if !io.is(State::DIRTY) {
                    self.note_change(key);
                }
                true
            }
            Some(Kind::Timer(call)) => {
                let next = match call {
                    TimerCall::Every(periodic) => next_in_phase(&periodic.0, self.backend.now()),
                    _ => self.backend.now(),
                };
                if !on {
                    self.disarm_key(key);
                } else if !self.wheel.is_pending(key) && !self.arm_clocked_in_phase(key) {
                    self.arm_key(key, next);
                }
                true
            }
            Some(Kind::Hook(hook)) => {
                hook.enabled = on;
                true
            }
            Some(Kind::Op(_) | Kind::External(_)) | None => false,
        }
    }

    /// Sets what few systems have, instead of what was set before. It holds at once, and for every later interest and
    /// mode. Returns whether `id` names a source.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the backend is not that over epoll; `EINVAL` where the flags
    /// do not go with the source's interest or mode; `ECHILD` as for [`add`](Self::add). All stays as it was then. Where a later interest or mode does not
    /// go with the flags, the source fails, as with a mode that the backend does not have.
    ///
    /// ```
    /// use becket_loop::{Flags, Loop, Next};
    /// use becket_sys::tcp;
    /// use std::os::fd::AsFd;
    ///
    /// // Two loops, in two threads in practice, accept from one listener.
    /// let listener = tcp::Listener::bind(([127, 0, 0, 1], 0))?;
    /// let second = tcp::Listener::from(listener.as_fd().try_clone_to_owned()?);
    /// let mut loops: [Loop<u32>; 2] = [Loop::new()?, Loop::new()?];
    /// for (event_loop, listener) in loops.iter_mut().zip([listener, second]) {
    ///     let id = event_loop.on(listener, |n, _, _| {
    ///         *n += 1;
    ///         Ok(Next::Keep)
    ///     })?;
    ///     assert!(event_loop.set_flags(id, Flags::EXCLUSIVE)?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_flags(&mut self, id: impl Into<AnyId>, flags: Flags) -> io::Result<bool> {
        let key = id.into().key;
        let caps = self.backend.caps();
        let Some(entry) = self.slots.get_mut(key) else { return Ok(false) };
        if !matches!(entry.kind, Kind::Io(_)) {
            return Ok(false);
        }
        // The flags travel with the interest, where a backend that does not know them would pass them over.
        if !flags.is_empty() && !caps.flags {
            let name = caps.name;
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} has no {flags:?}")));
        }
        self.bell.origin.check()?;
        let old = flags_of(&entry.rare);
        if old == flags {
            return Ok(true);
        }
        entry.rare().flags = flags;
        let Entry { rare: Some(rare), kind: Kind::Io(io) } = entry else { return Ok(false) };
        // One that fired as one-shot is silent, and is registered anew when it is enabled.
        if let Some((want, mode)) = io.registered().filter(|_| !io.is(State::SPENT)) {
            let _ = self.backend.remove(io.who.fd(), key);
            let asked = (interest(io, flags), io.mode);
            io.set_registered(Some(asked));
            if let Err(e) = self.backend.add(io.who.fd(), key, asked.0, asked.1) {
                rare.flags = old;
                let back = self.backend.add(io.who.fd(), key, want, mode);
                io.set_registered(back.is_ok().then_some((want, mode)));
                return Err(e);
            }
            // A registration is armed; what was to be silent is silenced before the wait.
            self.note_change(key);
        }
        Ok(true)
    }

    /// Says which of several sources that are ready are called first: those with the lower number; 0 is the default.
    /// Returns whether `id` names a source.
    ///
    /// The number counts turns. A source that is not called in the turn in which it is ready, because that has had its
    /// [share](Self::set_calls_per_turn) of calls, becomes more urgent with each turn, as if its number were one less.
    /// So the unimportant comes late, but never not at all. It is for sources; timers come before them.
    ///
    /// ```
    /// use becket_loop::{Loop, Mode, Next, Ready};
    /// use becket_sys::event::Event;
    ///
    /// let mut event_loop: Loop<Vec<&str>> = Loop::new()?;
    /// for (name, priority) in [("statistics", 10), ("data", 0), ("alarm", -10)] {
    ///     let event = Event::new()?;
    ///     event.add(1)?;
    ///     let id = event_loop.on(event, move |log, _, _| {
    ///         log.push(name);
    ///         Ok(Next::Remove)
    ///     })?;
    ///     event_loop.set_priority(id, priority);
    /// }
    /// let mut log = Vec::new();
    /// event_loop.run(&mut log)?;
    /// assert_eq!(log, ["alarm", "data", "statistics"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_priority(&mut self, id: impl Into<AnyId>, priority: i32) -> bool {
        let key = id.into().key;
        let Some(entry) = self.slots.get_mut(key) else { return false };
        let Kind::Io(io) = &entry.kind else { return false };
        let queued = io.is(State::QUEUED);
        let before = std::mem::replace(&mut entry.rare().priority, priority);
        if queued {
            self.ready.move_by(key, i64::from(priority) - i64::from(before));
        }
        self.ranked |= priority != 0;
        true
    }

    /// Of how many sources the callbacks are called in one turn, before timers, posts and new events have theirs; 256
    /// at first, and at least 1. The rest comes in the next turn, which does not wait. Few make priorities sharp, for a
    /// source that becomes ready overtakes more of those that wait; a look at the descriptors comes with each turn.
    pub fn set_calls_per_turn(&mut self, sources: usize) {
        self.per_turn = sources.max(1);
    }

    /// Sorts what is ready by urgency, where anything has a priority.
    pub(crate) fn rank_ready(&mut self) {
        if self.ranked {
            self.ready.sort();
        }
    }

    /// Lets a source be called at most so many times (0 counts as 1) within an interval from the first of them. Then it
    /// rests until the end of the interval, as if its callback had answered [`Next::Pause`]: it is disabled, and what
    /// comes meanwhile stays where it is until then. `None` ends the limit, and a rest that is under way is not cut
    /// short: [`enable`](Self::enable) does that. Returns whether `id` names a source.
    ///
    /// For those who may make this process busy: a talkative peer, a bouncing line, a mount table in a storm. A typed
    /// source counts one call for all events of one read. [`Next::Again`] does not outlast the rest, unless the
    /// descriptor is ready then. A source with [`Mode::OneShot`] has its rest anyway, and no limit.
    ///
    /// ```
    /// use becket_loop::{Loop, Mode, Next, Ready};
    /// use becket_sys::event::Event;
    /// use std::time::Duration;
    ///
    /// let mut event_loop: Loop<u32> = Loop::new()?;
    /// let event = Event::new()?;
    /// event.add(1)?; // never taken: ready for ever
    /// let id = event_loop.add(event, Ready::READ, Mode::Level, |n, _, _, _| {
    ///     *n += 1;
    ///     Ok(Next::Keep)
    /// })?;
    /// event_loop.set_rate_limit(id, Some((3, Duration::from_secs(60))));
    /// event_loop.after(Duration::from_millis(5), |_, ctx| Ok(ctx.exit(0)));
    /// let mut n = 0;
    /// event_loop.run(&mut n)?;
    /// assert_eq!(n, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_rate_limit(&mut self, id: impl Into<AnyId>, limit: Option<(u32, Duration)>) -> bool {
        let Some(entry) = self.slots.get_mut(id.into().key) else { return false };
        if !matches!(entry.kind, Kind::Io(_)) {
            return false;
        }
        self.limited |= limit.is_some();
        entry.rare().limit = limit.map(|(calls, interval)| RateLimit { calls, interval, since: None, had: 0 });
        true
    }

    /// Counts a call, and has the source rest where that was the last for now.
    fn count_call(&mut self, key: Key) {
        let Some(Entry { rare: Some(rare), kind: Kind::Io(io) }) = self.slots.get_mut(key) else { return };
        let Some(limit) = rare.limit.as_mut().filter(|_| io.is(State::ENABLED)) else { return };
        let now = self.backend.now();
        if limit.since.is_none_or(|since| now.saturating_duration_since(since) >= limit.interval) {
            (limit.since, limit.had) = (Some(now), 0);
        }
        limit.had += 1;
        if limit.had >= limit.calls && io.mode != Mode::OneShot {
            let since = limit.since.take().unwrap_or(now);
            let rest = limit.interval.saturating_sub(now.saturating_duration_since(since));
            self.pause(key, rest);
        }
    }

    /// Disables a source, timer or hook for a time.
    fn pause(&mut self, key: Key, time: Duration) {
        self.enable_key(key, false);
        if self.slots.get(key).is_some() {
            let pause = self.after(time, move |_, ctx| {
                ctx.enable_key(key, true);
                Ok(())
            });
            self.slots.get_mut(key).into_iter().for_each(|entry| entry.rare().pause = Some(pause.key));
        }
    }

    /// Whether this process is a child of the one that made the loop: then the loop refuses to turn, until
    /// [`after_fork`](crate::Loop::after_fork).
    ///
    /// ```
    /// use becket_loop::Loop;
    ///
    /// let event_loop: Loop<()> = Loop::new()?;
    /// assert!(!event_loop.has_forked());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn has_forked(&self) -> bool {
        !self.bell.origin.is_here()
    }

    /// Has everything registered anew, with a backend that knows none of it.
    pub(crate) fn register_anew(&mut self) {
        let (slots, dirty) = (&mut self.slots, &mut self.dirty);
        for (key, entry) in slots.iter_mut() {
            let Kind::Io(io) = &mut entry.kind else { continue };
            // One that fired as one-shot waits to be enabled.
            let anew = io.registered().is_some() && !io.is(State::SPENT);
            io.set_registered(None);
            if anew && !io.is(State::DIRTY) {
                io.mark(State::DIRTY, true);
                dirty.push_back(key);
            }
        }
    }

    /// Looks whether the wait found what is not registered: whatever left, left before.
    #[cold]
    pub(crate) fn look_for_ghosts(&mut self) {
        let slots = &self.slots;
        let registered = |key| match slots.get(key).map(|entry| &entry.kind) {
            Some(Kind::Io(io)) => io.registered().is_some(),
            _ => Outer::has(key),
        };
        self.haunted |= self.batch.ready().any(|key| !registered(key));
    }

    /// Has the backend forget what it was told to forget and reports all the same.
    #[cold]
    pub(crate) fn renew(&mut self, s: &mut S) {
        (self.haunted, self.unheard) = (false, 0);
        if self.here.has_forked() {
            return;
        }
        let renewed = self.backend.renew().and_then(|()| {
            trace::renewed();
            self.stats.renewals += 1;
            self.register_anew();
            self.outer.as_ref().map_or(Ok(()), |outer| outer.join(&mut *self.backend))
        });
        match renewed {
            Ok(()) => self.patience = PATIENCE,
            Err(e) => {
                self.patience = self.patience.saturating_mul(2); // lest it is told of all the time
                let why = format!("something that was removed, and is open elsewhere, keeps the loop awake: {e}");
                let error = io::Error::new(e.kind(), why).into();
                self.report(s, Fault { id: None, name: Some("the backend".into()), error });
            }
        }
    }

    fn note_change(&mut self, key: Key) {
        if let Some(io) = self.io_mut(key)
            && !io.is(State::DIRTY)
        {
            io.mark(State::DIRTY, true);
            self.dirty.push_back(key);
            self.settle_outer();
        }
    }

    /// Tells the backend of the changes since the last wait.
    #[inline(always)]
    pub(crate) fn flush(&mut self, s: &mut S) {
        if self.has_changes() {
            self.flush_changes(s);
        }
    }

    #[cold]
    fn flush_changes(&mut self, s: &mut S) {
        // A snapshot: what an error hook changes has its turn in the next turn, lest a failure that comes again and
        // again keeps us here.
        for _ in 0..self.dirty.len() {
            if self.here.has_forked() {
                return; // a hook forked, and this is the child
            }
            let Some(key) = self.dirty.pop_front() else { return };
            let Some(Entry { rare, kind: Kind::Io(io) }) = self.slots.get_mut(key) else { continue };
            io.mark(State::DIRTY | State::VOID, false);
            let flags = flags_of(rare);
            let (old, spent) = (io.registered(), io.is(State::SPENT));
            let asked = io.is(State::ENABLED).then_some((interest(io, flags), io.mode));
            let result = match (old, asked) {
                (None, Some((want, mode))) => self.backend.add(io.who.fd(), key, want, mode),
                (Some(_), None) if spent => continue, // silent already
                (Some(_), None) => {
                    // Fails only where somebody else took it out, or closed it: then nothing is left to remove.
                    let _ = self.backend.remove(io.who.fd(), key);
                    Ok(())
                }
                (Some(_), Some((want, mode))) if old != asked || spent || io.is(State::MISSED) => {
                    if flags.is_empty() {
                        self.backend.change(io.who.fd(), key, want, mode)
                    } else {
                        // What is exclusive cannot be changed.
                        let _ = self.backend.remove(io.who.fd(), key);
                        io.set_registered(None);
                        self.backend.add(io.who.fd(), key, want, mode)
                    }
                }
                _ => continue,
            };
            match result {
                Ok(()) => {
                    io.set_registered(asked);
                    io.mark(State::SPENT | State::MISSED, false);
                }
                Err(e) => {
                    let why = e.kind();
                    let library = match &io.who {
                        Who::External(watch) => Some((watch.of, Cause::Failed { token: watch.token, why })),
                        _ => None,
                    };
                    self.fault(s, Some(key), e.into());
                    if let Some((of, cause)) = library {
                        self.step_external(s, of, cause);
                    }
                }
            }
        }
    }

    /// Gives whatever `id` names a name, for [`sources`](Self::sources) and [`Fault`]. Returns whether it was there.
    pub fn set_name(&mut self, id: impl Into<AnyId>, name: impl Into<Box<str>>) -> bool {
        let entry = self.slots.get_mut(id.into().key);
        entry.map(|entry| entry.rare().name = Some(name.into())).is_some()
    }

    /// The state of everything that the loop holds.
    pub fn sources(&self) -> impl Iterator<Item = SourceInfo<'_>> {
        self.slots.iter().map(|(key, calls, entry)| {
            let due = match entry.kind {
                Kind::Timer(_) => self.wheel.deadline(key),
                _ => None,
            };
            let (enabled, want) = match &entry.kind {
                Kind::Io(io) => (io.is(State::ENABLED), Some((io.want, io.mode))),
                Kind::Timer(_) => (due.is_some(), None),
                Kind::Hook(hook) => (hook.enabled, None),
                Kind::Op(_) | Kind::External(_) => (true, None),
            };
            let (kind, name, rare) = (entry.kind.of_source(), entry.name(), entry.rare.as_deref());
            let calls = u64::from(rare.map_or(0, |rare| rare.calls_over)) << 32 | u64::from(calls);
            SourceInfo { id: AnyId { key }, name, kind, enabled, want, due, calls }
        })
    }

    /// What the callback that is running belongs to; `None` outside of callbacks, and in those of work that was posted or
    /// deferred. So a closure can change what it belongs to without having been told the id.
    ///
    /// ```
    /// use becket_loop::{Loop, Mode, Next, Ready};
    /// use becket_sys::event::Event;
    ///
    /// let event = Event::new()?;
    /// event.add(1)?;
    /// let mut event_loop: Loop<u32> = Loop::new()?;
    /// event_loop.add(event, Ready::READ, Mode::Level, |n, ctx, _, _| {
    ///     *n += 1;
    ///     let own = ctx.current().unwrap();
    ///     ctx.set(own, Ready::PRI, Mode::Level); // which an event never has
    ///     Ok(Next::Keep)
    /// })?;
    /// let mut n = 0;
    /// event_loop.turn(&mut n, None)?;
    /// event_loop.turn(&mut n, Some(std::time::Duration::ZERO))?;
    /// assert_eq!((n, event_loop.current()), (1, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn current(&self) -> Option<AnyId> {
        (self.running != NOBODY).then_some(AnyId { key: self.running })
    }

    /// The time by which the loop's timers go: [`Instant::now`], unless the backend has a clock of its own.
    pub fn now(&self) -> Instant {
        self.backend.now()
    }

    /// What a clock of the system reads, since its epoch: the time by which the timers of [`at_on`](Self::at_on) and
    /// [`every_on`](Self::every_on) go. It is [`Clock::now`](becket_sys::timer::Clock::now), unless the backend has clocks
    /// of its own.
    pub fn clock_now(&self, clock: becket_sys::timer::Clock) -> Duration {
        self.backend.clock_now(clock)
    }

    /// The time of the turn: the same for all that it calls, and one look at the clock. It is when the turn looked which
    /// timers are due, before it calls anything but hooks; where it did not have to, or before its wait, when this was
    /// first asked for. Outside of turns it is [`now`](Self::now).
    ///
    /// ```
    /// use becket_loop::Loop;
    ///
    /// let mut event_loop = Loop::new()?;
    /// for _ in 0..2 {
    ///     event_loop.defer(|times: &mut Vec<_>, ctx| Ok(times.push(ctx.turn_time())));
    /// }
    /// let mut times = Vec::new();
    /// event_loop.run(&mut times)?;
    /// assert!(times[0] == times[1] && times[0] <= event_loop.now());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "ev_now")]
    pub fn turn_time(&mut self) -> Instant {
        let offset = self.turn_offset();
        self.wheel.time(offset)
    }

    #[inline]
    pub(crate) fn turn_offset(&mut self) -> u64 {
        match self.turn_time {
            Some(time) if self.in_turn => time,
            _ => self.look_at_clock(),
        }
    }

    pub(crate) fn look_at_clock(&mut self) -> u64 {
        let now = self.wheel.offset(self.backend.now());
        self.turn_time = Some(now);
        now
    }

    /// Calls `f` once, `delay` from now, never early. A delay beyond what an [`Instant`] holds counts as 136 years.
    pub fn after(&mut self, delay: Duration, f: impl FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + 'static) -> Id<Timer> {
        let key = self.insert_timer(TimerCall::Once(Box::new(f)));
        self.arm_key(key, later(self.now(), delay));
        Id::new(key)
    }

    /// Calls `f` once at `when`, never early; in the next turn, if that has passed.
    pub fn at(&mut self, when: Instant, f: impl FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + 'static) -> Id<Timer> {
        let key = self.insert_timer(TimerCall::Once(Box::new(f)));
        self.arm_key(key, when);
        Id::new(key)
    }

    /// Calls `f` periodically, by the loop's clock, which stands still while the system sleeps and which nobody can set.
    /// For clocks that count sleep, or the time of day, there is [`every_on`](Self::every_on).
    pub fn every(
        &mut self,
        every: impl Into<Every>,
        f: impl FnMut(&mut S, &mut Ctx<S>, Tick) -> Result + 'static,
    ) -> Id<Timer> {
        let mut every = every.into();
        let first = every.first.unwrap_or_else(|| later(self.now(), every.period));
        every.first = Some(first);
        let key = self.insert_timer(TimerCall::Every(Box::new((every, Some(Box::new(f))))));
        self.arm_key(key, first);
        Id::new(key)
    }

    /// A timer that is not armed, and stays: [`arm`](Self::arm) or [`arm_after`](Self::arm_after) says when `f` is called
    /// the next time, or, as long as it was not, when instead. Arming it, again and again, allocates nothing.
    ///
    /// For what is put off: a time without news, a debounced switch, a retry.
    ///
    /// ```
    /// use becket_loop::{Loop, Next};
    /// use std::time::Duration;
    ///
    /// let mut event_loop: Loop<u32> = Loop::new()?;
    /// let quiet = event_loop.timer(|saves, _| {
    ///     *saves += 1; // some time after the last change
    ///     Ok(Next::Keep)
    /// });
    /// for _change in 0..3 {
    ///     event_loop.arm_after(quiet, Duration::from_millis(5));
    /// }
    /// let mut saves = 0;
    /// event_loop.run(&mut saves)?; // a timer that is not armed does not keep it alive
    /// assert_eq!(saves, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "debounce")]
    pub fn timer(&mut self, f: impl FnMut(&mut S, &mut Ctx<S>) -> Result + 'static) -> Id<Timer> {
        Id::new(self.insert_timer(TimerCall::Rearmed(Some(Box::new(f)))))
    }

    /// A timer with a plain function and a word, not armed. It stays until it is cancelled: arming it, again and again,
    /// allocates nothing.
    pub fn timer_plain(&mut self, handler: Plain<S>) -> Id<Timer> {
        Id::new(self.insert_timer(TimerCall::Plain(handler)))
    }

    /// Sets when a timer is due, whether it is armed or not: a periodic one the next time, with its phase from then on.
    /// Returns whether it was there.
    pub fn arm(&mut self, id: Id<Timer>, when: Instant) -> bool {
        let deadline = self.wheel.offset(when);
        self.arm_for(id.key, deadline)
    }

    /// Arms a timer, whether it is armed or not, for `delay` after the [time of the turn](Self::turn_time): a timeout
    /// that begins anew with all that comes, and need not be exact. Returns whether it was there.
    ///
    /// That costs half of what [`arm`](Self::arm) costs with a look at the clock, and as long as the turn has been at
    /// work, as much earlier it is due.
    ///
    /// ```
    /// use becket_loop::{Ctx, Loop, Plain, Ready, Next};
    /// use std::time::Duration;
    ///
    /// fn expired(timeouts: &mut u32, ctx: &mut Ctx<u32>, _: u64, _: Ready) -> Next {
    ///     *timeouts += 1;
    ///     ctx.exit(0);
    ///     Next::Keep
    /// }
    ///
    /// let mut event_loop = Loop::new()?;
    /// let timeout = event_loop.timer_plain(Plain { call: expired, data: 0 });
    /// let began = event_loop.now();
    /// for _ in 0..10 {
    ///     event_loop.defer(move |_, ctx| {
    ///         ctx.arm_timeout(timeout, Duration::from_millis(5)); // and each time a packet comes
    ///         Ok(())
    ///     });
    /// }
    /// let mut timeouts = 0;
    /// event_loop.run(&mut timeouts)?;
    /// assert_eq!(timeouts, 1);
    /// assert!(event_loop.now() - began >= Duration::from_millis(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "ev_timer_again")]
    pub fn arm_timeout(&mut self, id: Id<Timer>, delay: Duration) -> bool {
        let deadline = self.turn_offset().saturating_add(nanos(delay));
        self.arm_for(id.key, deadline)
    }

    #[inline]
    fn arm_for(&mut self, key: Key, deadline: u64) -> bool {
        let Some(is_periodic) = self.wheel.arm_at(key, deadline) else { return false };
        if is_periodic {
            self.set_phase(key, deadline);
        }
        self.settle_outer();
        true
    }

    #[cold]
    fn set_phase(&mut self, key: Key, deadline: u64) {
        let first = self.wheel.time(deadline);
        match self.timer_mut(key) {
            Some(TimerCall::Every(periodic)) => periodic.0.first = Some(first),
            Some(TimerCall::Clocked(_)) => _ = self.arm_clocked_at(key, first),
            _ => {}
        }
    }

    /// As [`arm`](Self::arm), `delay` from now: puts it off.
    pub fn arm_after(&mut self, id: Id<Timer>, delay: Duration) -> bool {
        self.arm(id, later(self.now(), delay))
    }

    /// Sets how late a timer may be: zero at first. Returns whether it is there.
    ///
    /// The loop then wakes up as late as all timers allow, and calls all that are due by then: several timers that need
    /// not be exact cost one wake-up, and one that has slack costs none of its own where another is exact soon after.
    /// It is never early, keeps its phase, and is called as soon as it is due where the loop is awake for something
    /// else.
    ///
    /// ```
    /// use becket_loop::{Loop, backend::Scripted};
    /// use std::time::Duration;
    ///
    /// let (backend, _script) = Scripted::new();
    /// let mut event_loop: Loop<Vec<&str>> = Loop::with_backend(backend);
    /// let save = event_loop.after(Duration::from_secs(60), |log, _| Ok(log.push("save")));
    /// event_loop.set_slack(save, Duration::from_secs(10));
    /// event_loop.after(Duration::from_secs(65), |log, _| Ok(log.push("exact")));
    /// let mut log = Vec::new();
    /// event_loop.run(&mut log)?;
    /// assert_eq!(log, ["save", "exact"]);
    /// assert_eq!(event_loop.stats().waits, 1);
    /// # Ok::<(), becket_loop::RunError>(())
    /// ```
    pub fn set_slack(&mut self, id: Id<Timer>, slack: Duration) -> bool {
        let known = self.wheel.set_slack(id.key, slack);
        if known {
            self.settle_outer();
        }
        known
    }

    pub(crate) fn arm_key(&mut self, key: Key, when: Instant) -> bool {
        let known = self.wheel.arm(key, when).is_some();
        if known {
            self.settle_outer();
        }
        known
    }

    /// Disarms a timer. It stays, and may be armed again. Returns whether it was armed.
    pub fn disarm(&mut self, id: Id<Timer>) -> bool {
        self.disarm_key(id.key)
    }

    pub(crate) fn disarm_key(&mut self, key: Key) -> bool {
        self.wheel.disarm(key)
    }

    pub(crate) fn insert_timer(&mut self, call: TimerCall<S>) -> Key {
        let periodic = matches!(call, TimerCall::Every(_) | TimerCall::Clocked(_));
        let key = self.insert(Kind::Timer(call));
        self.wheel.insert(key, periodic);
        key
    }

    pub(crate) fn timer_mut(&mut self, key: Key) -> Option<&mut TimerCall<S>> {
        match self.slots.get_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::Timer(call)) => Some(call),
            _ => None,
        }
    }

    /// Calls `f` at the end of this turn, or of the next one: of work deferred by deferred work, each turn does one
    /// round. The loop does not wait before.
    pub fn defer(&mut self, f: impl FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + 'static) {
        self.deferred.push_back(Box::new(f));
        self.settle_outer();
    }

    /// Calls `f` at a point of every turn. A hook does not keep the loop alive.
    pub fn hook(&mut self, point: HookPoint, f: impl FnMut(&mut S, &mut Ctx<S>) -> Result + 'static) -> Id<Hook> {
        let key = self.insert(Kind::Hook(HookEntry { point, enabled: true, call: Some(Box::new(f)) }));
        self.hooks[point as usize].push(key);
        self.hooks_owed |= self.has_hooks_before_wait();
        self.settle_outer();
        Id::new(key)
    }

    pub(crate) fn has_hooks_before_wait(&self) -> bool {
        self.has_hooks(HookPoint::Prepare) || self.has_hooks(HookPoint::Idle)
    }

    #[inline(always)]
    pub(crate) fn has_hooks(&self, point: HookPoint) -> bool {
        !self.hooks[point as usize].is_empty()
    }

    /// Calls the hooks of a point; whether one asked to be called again.
    #[inline(always)]
    pub(crate) fn run_hooks(&mut self, s: &mut S, point: HookPoint) -> bool {
        self.has_hooks(point) && self.run_hooks_there(s, point)
    }

    #[cold]
    fn run_hooks_there(&mut self, s: &mut S, point: HookPoint) -> bool {
        let mut again = false;
        let mut keys = std::mem::take(&mut self.hooks_now);
        keys.clone_from(&self.hooks[point as usize]);
        for key in keys.iter().copied() {
            if self.here.has_forked() {
                break;
            }
            let Some(hook) = self.hook_mut(key).filter(|hook| hook.enabled) else { continue };
            let Some(mut call) = hook.call.take() else { continue };
            let result = self.protected(s, key, |s, ctx| call(s, ctx));
            if let Some(hook) = self.hook_mut(key) {
                hook.call = Some(call);
            }
            again |= matches!(result, Ok(Next::Again));
            self.apply(s, key, result, Ready::empty());
        }
        self.hooks_now = keys;
        again
    }

    fn hook_mut(&mut self, key: Key) -> Option<&mut HookEntry<S>> {
        match self.slots.get_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::Hook(hook)) => Some(hook),
            _ => None,
        }
    }

    /// Calls `f` with every failure of a callback, after what failed was disabled. Without one,
    /// [`turn`](crate::Loop::turn) and [`run`](crate::Loop::run) return them.
    pub fn on_error(&mut self, f: impl FnMut(&mut S, &mut Ctx<S>, Fault) + 'static) {
        self.on_error = Some(Some(Box::new(f)));
    }

    /// Takes back the error hook, if there is one: failures are returned again.
    ///
    /// ```
    /// use becket_loop::Loop;
    ///
    /// let mut event_loop: Loop<u32> = Loop::new()?;
    /// event_loop.on_error(|faults, ctx, _| {
    ///     *faults += 1;
    ///     ctx.clear_on_error(); // the first one alone
    /// });
    /// event_loop.defer(|_, _| Err("once".into()));
    /// event_loop.defer(|_, _| Err("again".into()));
    /// let mut faults = 0;
    /// let error = event_loop.run(&mut faults).unwrap_err();
    /// assert_eq!((faults, error.to_string().as_str()), (1, "deferred work: again"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clear_on_error(&mut self) {
        self.on_error = None;
    }

    pub(crate) fn fault(&mut self, s: &mut S, key: Option<Key>, error: CallbackError) {
        let name = key.and_then(|key| self.slots.get(key)?.rare.as_ref()?.name.clone());
        if let Some(key) = key {
            self.enable_key(key, false);
        }
        self.report(s, Fault { id: key.map(|key| AnyId { key }), name, error });
    }

    pub(crate) fn report(&mut self, s: &mut S, fault: Fault) {
        self.stats.faults += 1;
        self.note_fault(&fault);
        match self.on_error.as_mut().and_then(Option::take) {
            Some(mut call) => {
                call(s, self, fault);
                self.reap();
                if let Some(place @ None) = &mut self.on_error {
                    *place = Some(call); // unless it has set another, or taken itself back
                }
            }
            None => self.faults.push_back(fault),
        }
    }

    /// Asks [`run`](crate::Loop::run) to return `code` when this turn ends, after the exit hooks. The last to ask says
    /// the code.
    pub fn exit(&mut self, code: i32) {
        self.exit = Some(code);
        self.settle_outer();
    }

    /// The code that [`exit`](Self::exit) was asked for with, until [`run`](crate::Loop::run) has returned it.
    ///
    /// For those who make turns by hand, or step the loop inside another one: from then on no turn waits, and it is
    /// theirs to stop.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use std::time::Duration;
    ///
    /// let mut event_loop: Loop<()> = Loop::new()?;
    /// event_loop.after(Duration::from_millis(1), |_, ctx| Ok(ctx.exit(3)));
    /// while event_loop.exit_code().is_none() {
    ///     event_loop.turn(&mut (), None)?;
    /// }
    /// assert_eq!(event_loop.run(&mut ())?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_code(&self) -> Option<i32> {
        self.exit
    }

    /// A handle by which other threads reach this loop.
    pub fn remote(&self) -> Remote<S> {
        Remote::new(&self.mailbox)
    }

    /// What the loop has done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What the backend can do.
    pub fn caps(&self) -> Caps {
        self.backend.caps()
    }

    pub(crate) fn nudges(&self) -> Arc<Nudges> {
        Arc::clone(&self.nudges)
    }

    pub(crate) fn note_joined(&mut self, key: Key) {
        self.externals += 1;
        self.nudges.push(key);
    }

    /// Whether there is something that could ever call anything.
    pub(crate) fn is_alive(&self) -> bool {
        let lasting = self.enabled + self.ops + self.externals + self.wheel.len();
        // What tells of the clocks is there for the timers' sake.
        let own = self.clock_watch.is_some_and(|key| self.slots.get(key).is_some_and(|entry| entry.is_enabled_io()));
        lasting > usize::from(own) || self.has_work() || self.mailbox.has_remotes()
    }

    /// Whether there is nothing to do without waiting, nor for the backend to be told.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        !self.has_work() && !self.has_changes()
    }

    /// Whether there is something to do without waiting.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || self.wheel.has_due()
            || !self.done.is_empty()
            || !self.posts.is_empty()
            || !self.deferred.is_empty()
            || !self.nudges.is_empty()
            || !self.faults.is_empty()
            || self.exit.is_some()
            || self.bell.is_rung()
    }

    pub(crate) fn changes(&self) -> usize {
        self.dirty.len()
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Calls user code on behalf of `key`. If it panics, what it stood for is removed, and the panic goes on: the
    /// loop is as if it had been removed before.
    #[inline]
    pub(crate) fn protected<R>(&mut self, s: &mut S, key: Key, f: impl FnOnce(&mut S, &mut Self) -> R) -> R {
        if let Some((entry, calls)) = self.slots.get_counted(key) {
            entry.count(calls);
        }
        self.netted(|ctx| ctx.call(s, key, f))
    }

    /// Runs `f`; where a [`call`](Self::call) in it panics, what it stood for is removed before the panic goes on. One
    /// net may serve many calls.
    #[inline]
    pub(crate) fn netted<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        match catch_unwind(AssertUnwindSafe(|| f(self))) {
            Ok(value) => value,
            Err(panic) => {
                let key = std::mem::replace(&mut self.running, NOBODY);
                self.forget_call();
                drop(self.take_out(key));
                resume_unwind(panic)
            }
        }
    }

    /// Calls user code on behalf of `key`, whose entry has counted it, in a [net](Self::netted). Whatever belongs to an
    /// entry is called here.
    #[inline(always)]
    pub(crate) fn call<R>(&mut self, s: &mut S, key: Key, f: impl FnOnce(&mut S, &mut Self) -> R) -> R {
        self.stats.callbacks += 1;
        self.running = key;
        let value = self.observed(s, Whose::Entry(key), f);
        self.reap(); // what a guard lets go of may panic as well when it is dropped
        self.running = NOBODY;
        value
    }

    /// Whether what a callback asked for is that all stays as it is, as nearly always; else it is put aside for
    /// [`apply_answer`](Self::apply_answer). The one bit costs less to hand on.
    #[inline(always)]
    pub(crate) fn keeps(&mut self, result: Result) -> bool {
        let keeps = matches!(result, Ok(Next::Keep));
        if !keeps {
            self.put_aside(result);
        }
        keeps
    }

    #[cold]
    #[inline(never)]
    fn put_aside(&mut self, result: Result) {
        self.answer = Some(result);
    }

    /// Does what was put aside, where a callback of `key` does not keep things as they are.
    #[inline(always)]
    pub(crate) fn apply_answer(&mut self, s: &mut S, key: Key, keeps: bool, ready: Ready) {
        if !keeps && let Some(result) = self.answer.take() {
            self.apply_change(s, key, result, ready);
        }
        if self.limited {
            self.count_call(key);
        }
    }

    /// Does what a callback of `key` asked for.
    #[inline(always)]
    pub(crate) fn apply(&mut self, s: &mut S, key: Key, result: Result, ready: Ready) {
        if !matches!(result, Ok(Next::Keep)) {
            self.apply_change(s, key, result, ready);
        }
        if self.limited {
            self.count_call(key);
        }
    }

    #[cold]
    fn apply_change(&mut self, s: &mut S, key: Key, result: Result, ready: Ready) {
        match result {
            Ok(Next::Keep) => {}
            Ok(Next::Again) => match self.slots.get(key).map(|entry| &entry.kind) {
                Some(Kind::Io(_)) => self.queue(key, ready),
                // Not where a period that is to be made up for comes first, which it would replace.
                Some(Kind::Timer(_)) => {
                    let now = self.now();
                    if self.wheel.deadline(key).is_none_or(|due| due > now) && !self.arm_clocked_now(key) {
                        self.arm_key(key, now);
                    }
                }
                _ => {}
            },
            Ok(Next::Pause(time)) => self.pause(key, time),
            Ok(Next::Disable) => {
                self.enable_key(key, false);
            }
            Ok(Next::Remove) => drop(self.take_out(key)),
            Err(e) => self.fault(s, Some(key), e),
        }
    }

    /// Queues a descriptor to be told that it is ready.
    pub(crate) fn queue(&mut self, key: Key, what: Ready) {
        let turn = self.stats.waits as i64;
        let Some(Entry { rare, kind: Kind::Io(io) }) = self.slots.get_mut(key) else { return };
        io.pending |= what;
        if !io.is(State::QUEUED) {
            io.mark(State::QUEUED, true);
            let priority = rare.as_ref().map_or(0, |rare| rare.priority);
            self.ready.push(key, turn + i64::from(priority));
        }
    }

    /// Moves what the wait found ready to the queue of what is to be told.
    #[inline(always)]
    pub(crate) fn queue_found(&mut self) {
        self.found_twice = false;
        self.ready.tidy();
        if self.batch.has_ready() {
            self.queue_all_found();
        }
        self.batch.tidy();
    }

    #[cold]
    fn queue_all_found(&mut self) {
        while let Some((key, what)) = self.batch.next_ready() {
            if self.io_mut(key).is_some_and(Io::found) {
                self.queue(key, what);
            }
        }
    }
}

/// `time` after `at`, or, where no [`Instant`] holds that, a time that nobody lives to see.
pub(crate) fn later(at: Instant, time: Duration) -> Instant {
    at.checked_add(time).unwrap_or_else(|| at + Duration::from_secs(1 << 32))
}

/// The next time after `now` that a periodic timer's phase has.
pub(crate) fn next_in_phase(every: &Every, now: Instant) -> Instant {
    match every.first {
        Some(first) if first <= now => later(first, periods(every.period, missed(first, every.period, now) + 1)),
        Some(first) => first,
        None => now,
    }
}

/// How many whole periods have passed since `due`.
pub(crate) fn missed(due: Instant, period: Duration, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(due).as_nanos() / period.as_nanos();
    u64::try_from(passed).unwrap_or(u64::MAX - 1)
}

pub(crate) fn periods(period: Duration, n: u64) -> Duration {
    let nanos = period.as_nanos().saturating_mul(n.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
