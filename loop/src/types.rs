//! The words of the interface: modes, what a callback says, errors.

use crate::{AnyId, Ctx, Ready};
use std::time::{Duration, Instant};
use std::{error, fmt, io};

/// What a callback may fail with: anything that is an error, so that `?` works on all of them.
pub type CallbackError = Box<dyn error::Error>;

/// What a callback returns.
///
/// ```
/// use becket_loop::{Next, Result};
///
/// fn on_line(line: &str) -> Result {
///     let _number: u32 = line.parse()?;
///     Ok(Next::Keep)
/// }
/// assert!(matches!(on_line("7"), Ok(Next::Keep)));
/// assert_eq!(on_line("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub type Result<T = Next, E = CallbackError> = std::result::Result<T, E>;

/// When a registered descriptor is reported.
///
/// ```
/// use becket_loop::Mode;
///
/// assert_eq!(Mode::default(), Mode::Level);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Every turn for as long as it is ready.
    #[default]
    Level,
    /// Once a change: whoever is told must read or write until the call would block, or return [`Next::Again`].
    Edge,
    /// Once, then disabled until [`Ctx::enable`](crate::Ctx::enable).
    OneShot,
}

bitflags::bitflags! {
    /// What few systems have beside modes; see [`Ctx::set_flags`](crate::Ctx::set_flags).
    ///
    /// ```
    /// use becket_loop::Flags;
    ///
    /// assert_eq!(Flags::default(), Flags::empty());
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u32 {
        /// Of several loops that watch one descriptor, such as a listener that threads share, at least one is woken,
        /// and not all. For [`Ready::READ`] and [`Ready::WRITE`] only, and not with [`Mode::OneShot`].
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = 1 << 28;
        /// The system does not suspend from the event on until the loop waits again. Needs CAP_BLOCK_SUSPEND; without,
        /// it is ignored.
        #[doc(alias = "EPOLLWAKEUP")]
        const WAKE_UP = 1 << 29;
    }
}

/// What happens next with the source, timer or hook whose callback returns it.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<Vec<u64>> = Loop::new()?;
/// event_loop.every(Duration::from_millis(1), |seen, _, tick| {
///     seen.push(tick.missed);
///     Ok(if seen.len() < 3 { Next::Keep } else { Next::Remove })
/// });
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?; // returns once nothing is left
/// assert_eq!(seen.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// It stays as it is.
    Keep,
    /// It is called again in the next turn, which does not wait: there is more to do, but others come first.
    Again,
    /// It is disabled for a time.
    Pause(Duration),
    /// It is disabled until it is enabled.
    Disable,
    /// It is removed and dropped.
    Remove,
}

/// What a periodic timer does about periods that passed while the loop was busy.
///
/// ```
/// use becket_loop::Missed;
///
/// assert_eq!(Missed::default(), Missed::Skip);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Missed {
    /// One call for all of them; the next one comes at a whole number of periods after the first: the phase is kept.
    #[default]
    Skip,
    /// One call for each, one a turn, until they are made up for.
    Burst,
    /// One call; the next one comes a whole period after it: the phase moves.
    Delay,
}

/// One call of a periodic timer.
///
/// ```
/// use becket_loop::{Loop, Next, Tick};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<Option<Tick>> = Loop::new()?;
/// let start = event_loop.now();
/// event_loop.every(Duration::from_millis(5), |tick, _, t| {
///     *tick = Some(t);
///     Ok(Next::Remove)
/// });
/// let mut tick = None;
/// event_loop.run(&mut tick)?;
/// assert!(tick.unwrap().due >= start + Duration::from_millis(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When this call was due; it is never made before.
    pub due: Instant,
    /// How many further periods had passed by the time of the call. With [`Missed::Burst`] they are still to come.
    pub missed: u64,
    /// Whether the timer goes by the time of day, and that was set since the last call, or since it was made; that the
    /// system has slept counts as well. See [`Ctx::every_on`].
    pub clock_set: bool,
}

/// A periodic timer's settings: a period, when it starts, and what happens to missed periods. It goes by the loop's clock;
/// by another one there is [`EveryOn`](crate::EveryOn).
///
/// ```
/// use becket_loop::{Every, Loop, Missed, Next};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// let start = event_loop.now(); // the first call comes at once
/// event_loop.every(Every::new(Duration::from_millis(2)).first(start).missed(Missed::Burst), |n, _, _| {
///     *n += 1;
///     Ok(if *n < 3 { Next::Keep } else { Next::Remove })
/// });
/// let mut n = 0;
/// event_loop.run(&mut n)?;
/// assert!(n == 3 && start.elapsed() >= Duration::from_millis(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Every {
    pub(crate) period: Duration,
    pub(crate) first: Option<Instant>,
    pub(crate) missed: Missed,
}

impl Every {
    /// Every `period`, the first time one period from now, missed ones skipped. A period of zero counts as one
    /// nanosecond: once every turn.
    pub fn new(period: Duration) -> Every {
        Every { period: period.max(Duration::from_nanos(1)), first: None, missed: Missed::Skip }
    }

    /// The first time at `when`; a time in the past means at once, with the phase that it has.
    pub fn first(self, when: Instant) -> Every {
        Every { first: Some(when), ..self }
    }

    /// What happens to missed periods.
    pub fn missed(self, missed: Missed) -> Every {
        Every { missed, ..self }
    }
}

impl From<Duration> for Every {
    fn from(period: Duration) -> Self {
        Every::new(period)
    }
}

/// Where in a turn a hook is called.
///
/// ```
/// use becket_loop::{HookPoint, Loop, Next};
///
/// let mut event_loop: Loop<Vec<&str>> = Loop::new()?;
/// event_loop.hook(HookPoint::Exit, |log, _| { log.push("exit"); Ok(Next::Keep) });
/// event_loop.hook(HookPoint::Prepare, |log, _| { log.push("prepare"); Ok(Next::Keep) });
/// event_loop.hook(HookPoint::Check, |log, ctx| { log.push("check"); ctx.exit(3); Ok(Next::Keep) });
/// let mut log = Vec::new();
/// event_loop.defer(|_, _| Ok(()));
/// assert_eq!(event_loop.run(&mut log)?, 3);
/// assert_eq!(log, ["prepare", "check", "exit"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// Before each wait.
    Prepare,
    /// After each wait, before the callbacks.
    Check,
    /// Before a wait when nothing is to be done: the loop is about to block. Returning [`Next::Again`] keeps it from
    /// blocking, and the hook is called again after the next look at the descriptors.
    Idle,
    /// After [`exit`](Ctx::exit) was asked for, before [`run`](crate::Loop::run) returns.
    Exit,
}

/// A callback as a function and a word, for those who keep their state elsewhere: registering it allocates nothing.
///
/// ```
/// use becket_loop::{Ctx, Loop, Next, Plain, Ready};
///
/// fn note(seen: &mut Vec<u64>, _: &mut Ctx<Vec<u64>>, data: u64, _: Ready) -> Next {
///     seen.push(data);
///     Next::Remove
/// }
///
/// let mut event_loop: Loop<Vec<u64>> = Loop::new()?;
/// let timer = event_loop.timer_plain(Plain { call: note, data: 42 });
/// let now = event_loop.now();
/// event_loop.arm(timer, now);
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, [42]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Plain<S> {
    /// What is called, with `data` and what the descriptor is ready for (nothing, for a timer).
    pub call: fn(&mut S, &mut Ctx<S>, u64, Ready) -> Next,
    /// The word that `call` gets.
    pub data: u64,
}

impl<S> Clone for Plain<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Plain<S> {}

impl<S> fmt::Debug for Plain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("data", &self.data).finish_non_exhaustive()
    }
}

/// A source was not added: why, and the source, handed back.
///
/// ```
/// use becket_loop::{Loop, Mode, Next, Ready};
/// use std::fs::File;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let file = File::open("/proc/self/exe")?; // a regular file, which epoll refuses
/// let refused = event_loop.add(file, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap_err();
/// assert_eq!(refused.error().kind(), std::io::ErrorKind::PermissionDenied);
/// let _file: File = refused.into_source();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct AddError<T> {
    pub(crate) source: T,
    pub(crate) error: io::Error,
}

impl<T> AddError<T> {
    /// Why it was refused.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The source, back.
    pub fn into_source(self) -> T {
        self.source
    }
}

impl<T> fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be added to the loop: {}", self.error)
    }
}

impl<T> error::Error for AddError<T> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<T> From<AddError<T>> for io::Error {
    fn from(e: AddError<T>) -> Self {
        e.error
    }
}

/// A callback failed: which, and with what. What failed is disabled and may be enabled again.
///
/// ```
/// use becket_loop::Loop;
/// use std::time::Duration;
///
/// let mut event_loop: Loop<String> = Loop::new()?;
/// let id = event_loop.every(Duration::from_millis(1), |_, _, _| Err("no more paper".into()));
/// event_loop.set_name(id, "printer");
/// event_loop.on_error(|log, _, fault| *log = fault.to_string());
/// let mut log = String::new();
/// event_loop.run(&mut log)?; // the timer is disabled: nothing is left to wait for
/// assert_eq!(log, "printer: no more paper");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fault {
    pub(crate) id: Option<AnyId>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) error: CallbackError,
}

impl Fault {
    /// What failed; `None` for work that was posted or deferred. A timer of one call and an operation are gone by then.
    pub fn id(&self) -> Option<AnyId> {
        self.id
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What its callback returned.
    pub fn error(&self) -> &(dyn error::Error + 'static) {
        &*self.error
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.id) {
            (Some(name), _) => write!(f, "{name}: {}", self.error),
            (None, Some(id)) => write!(f, "{id}: {}", self.error),
            (None, None) => write!(f, "deferred work: {}", self.error),
        }
    }
}

impl error::Error for Fault {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(self.error())
    }
}

/// A turn failed.
///
/// ```
/// use becket_loop::{Loop, RunError};
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.defer(|_, _| Err("nobody listens".into())); // and no error hook is set
/// assert!(matches!(event_loop.run(&mut ()), Err(RunError::Callback(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The system could not wait.
    Wait(io::Error),
    /// A callback failed, and there is no [error hook](Ctx::on_error). The turn was finished first; running
    /// the loop again goes on from there.
    Callback(Fault),
    /// This process is a child of the one that made the loop: see [`after_fork`](crate::Loop::after_fork).
    #[doc(alias = "ECHILD")]
    Forked,
    /// The loop is in a turn already, and one of its callbacks asked for another, which only those can who exchange what
    /// they were lent for the content of another loop. The turn goes on.
    Nested,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Wait(e) => write!(f, "waiting for events: {e}"),
            RunError::Callback(fault) => fault.fmt(f),
            RunError::Forked => f.write_str("the loop was made by a process that this one was forked from"),
            RunError::Nested => f.write_str("the loop is in a turn already"),
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            RunError::Wait(e) => Some(e),
            RunError::Callback(fault) => Some(fault),
            RunError::Forked | RunError::Nested => None,
        }
    }
}

impl From<io::Error> for RunError {
    fn from(e: io::Error) -> Self {
        RunError::Wait(e)
    }
}

/// What a loop has done so far.
///
/// ```
/// use becket_loop::Loop;
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.after(Duration::from_millis(1), |_, _| Ok(()));
/// event_loop.run(&mut ())?;
/// let stats = event_loop.stats();
/// assert_eq!((stats.timers, stats.callbacks, stats.waits), (1, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How often the system was asked to wait or to look.
    pub waits: u64,
    /// How many events those waits returned, stale ones included.
    pub events: u64,
    /// How many timers expired.
    pub timers: u64,
    /// How many operations ended.
    pub completions: u64,
    /// How many pieces of work of other threads were called.
    pub posts: u64,
    /// How many callbacks were called, of every kind.
    pub callbacks: u64,
    /// How many of them failed.
    pub faults: u64,
    /// How often the set was made anew, because it went on reporting what had been taken out of it: somebody closes
    /// descriptors behind the loop's back, see [`Epoll`](crate::backend::Epoll).
    pub renewals: u64,
}

/// What kind of thing an entry of [`Ctx::sources`] is.
///
/// ```
/// use becket_loop::{Loop, SourceKind};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.after(Duration::from_secs(1), |_, _| Ok(()));
/// assert_eq!(event_loop.sources().next().unwrap().kind, SourceKind::Timer);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// A descriptor.
    Io,
    /// A timer.
    Timer,
    /// A hook.
    Hook,
    /// An operation under way.
    Operation,
    /// A foreign library.
    External,
}

impl SourceKind {
    /// As it is written in a [`Snapshot`](crate::Snapshot) and in events of the feature `tracing`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SourceKind::Io => "io",
            SourceKind::Timer => "timer",
            SourceKind::Hook => "hook",
            SourceKind::Operation => "operation",
            SourceKind::External => "external",
        }
    }
}

/// The state of one thing that a loop holds; prints as one line.
///
/// ```
/// use becket_loop::{Loop, Mode, Next, Ready};
/// use becket_sys::event::Event;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let id = event_loop.add(Event::new()?, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep))?;
/// event_loop.set_name(id, "doorbell");
/// let lines: Vec<String> = event_loop.sources().map(|s| s.to_string()).collect();
/// assert_eq!(lines, ["#0.0 doorbell: Io enabled, waits for READ (Level), 0 calls"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceInfo<'a> {
    /// Its id.
    pub id: AnyId,
    /// Its name, if it was given one.
    pub name: Option<&'a str>,
    /// What it is.
    pub kind: SourceKind,
    /// Whether it may be called; a timer: whether it is armed.
    pub enabled: bool,
    /// What a descriptor is watched for.
    pub want: Option<(Ready, Mode)>,
    /// When a timer is due.
    pub due: Option<Instant>,
    /// How often it was called.
    pub calls: u64,
}

impl fmt::Display for SourceInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(name) = self.name {
            write!(f, " {name}")?;
        }
        write!(f, ": {:?} {}", self.kind, if self.enabled { "enabled" } else { "disabled" })?;
        if let Some((want, mode)) = self.want {
            write!(f, ", waits for ")?;
            bitflags::parser::to_writer(&want, &mut *f)?;
            write!(f, " ({mode:?})")?;
        }
        write!(f, ", {} calls", self.calls)
    }
}
