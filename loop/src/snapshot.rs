//! What a loop has done, as a value and as JSON.

use crate::{AnyId, Histogram, Mode, Ready, SourceKind, Stats};
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

/// The state of a loop and of all that it holds, at one time, and where that is [observed](crate::Ctx::observe), how long
/// everything took. It owns what it says, and may go to another thread.
///
/// Times are by the loop's clock. It prints as one line of JSON:
///
/// - `backend`, its name, and `observed_ns`, for how long it was observed, or `null`;
/// - `waits`, `events`, `timers`, `completions`, `posts`, `callbacks`, `faults`, `renewals`: the counts of
///   [`Stats`];
/// - `queues`: an object of the lengths in [`Queues`];
/// - `waited`, `worked`, `lag`, `loose`, `gone`: times;
/// - `last_fault`: `null`, or an object of `text` and `ago_ns`;
/// - `sources`: an array of objects, each of `id`, `name` (or `null`), `kind`, `enabled`, `want` and `mode` (of descriptors
///   alone), `due_in_ns` (of timers that are armed alone; below zero: overdue), `calls`, `times`, `last_call_ago_ns`,
///   `last_fault`.
///
/// Times are objects of `count`, `total_ns`, `max_ns`, and `buckets`, an array of pairs as of [`Histogram::buckets`].
///
/// ```
/// use becket_loop::{Loop, Next};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// event_loop.observe(true);
/// let id = event_loop.every(Duration::from_millis(1), |n, ctx, _| {
///     *n += 1;
///     if *n == 3 {
///         ctx.exit(0);
///     }
///     Ok(Next::Keep)
/// });
/// event_loop.set_name(id, "tick");
/// event_loop.run(&mut 0)?;
///
/// let snapshot = event_loop.snapshot();
/// let tick = &snapshot.sources[0];
/// assert_eq!((tick.name.as_deref(), tick.times.count()), (Some("tick"), 3));
/// assert_eq!(snapshot.lag.count(), 3);
/// assert!(snapshot.waited.total() >= Duration::from_millis(2));
/// assert!(snapshot.to_string().contains(r#""name":"tick","kind":"timer""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Another thread asks for one by posting:
///
/// ```
/// use becket_loop::Loop;
/// use std::sync::mpsc;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let remote = event_loop.remote();
/// let thread = std::thread::spawn(move || {
///     let (sender, receiver) = mpsc::channel();
///     remote.post(move |_, ctx| Ok(sender.send(ctx.snapshot())?));
///     receiver.recv().unwrap().to_string()
/// });
/// event_loop.run(&mut ())?; // until the thread drops its handle
/// assert!(thread.join().unwrap().starts_with('{'));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The backend's name.
    pub backend: &'static str,
    /// When it was taken.
    pub at: Instant,
    /// Since when the loop is observed; `None` where it is not: then all times are empty.
    pub since: Option<Instant>,
    /// What the loop has counted since it was made, observed or not.
    pub stats: Stats,
    /// What is waiting for its turn.
    pub queues: Queues,
    /// How long each wait took.
    pub waited: Histogram,
    /// How long each turn took, beside its wait: callbacks, hooks, and what the loop does itself.
    pub worked: Histogram,
    /// How late each timer was called.
    pub lag: Histogram,
    /// How long posted and deferred work took, each.
    pub loose: Histogram,
    /// How long calls took of what has left the loop since: timers of one call, operations, sources that were removed.
    pub gone: Histogram,
    /// What failed last, whatever it belonged to.
    pub last_fault: Option<Failure>,
    /// All that the loop holds.
    pub sources: Vec<SourceSnapshot>,
}

/// How much is waiting for its turn in a loop, beside what the system has not yet told of.
///
/// ```
/// let mut event_loop: becket_loop::Loop<()> = becket_loop::Loop::new()?;
/// event_loop.defer(|_, _| Ok(()));
/// assert_eq!(event_loop.snapshot().queues.deferred, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queues {
    /// Descriptors that are ready.
    pub ready: usize,
    /// Timers that expired, those that were disarmed since among them.
    pub due: usize,
    /// Timers that are armed.
    pub armed: usize,
    /// Operations that ended.
    pub done: usize,
    /// Operations that have not ended, or whose end was not told.
    pub operations: usize,
    /// Deferred work.
    pub deferred: usize,
    /// Changes of interest that the backend does not know yet.
    pub changes: usize,
}

/// Something failed.
///
/// ```
/// let mut event_loop: becket_loop::Loop<()> = becket_loop::Loop::new()?;
/// event_loop.observe(true);
/// event_loop.on_error(|_, _, _| {});
/// event_loop.defer(|_, _| Err("no paper".into()));
/// event_loop.run(&mut ()).unwrap();
/// assert_eq!(event_loop.snapshot().last_fault.unwrap().text, "deferred work: no paper");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What [`Fault`](crate::Fault) prints.
    pub text: String,
    /// When it failed.
    pub at: Instant,
}

/// One thing that a loop holds, in a [`Snapshot`].
///
/// ```
/// use becket_loop::{Loop, SourceKind};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.after(Duration::from_secs(1), |_, _| Ok(()));
/// let timer = &event_loop.snapshot().sources[0];
/// assert_eq!((timer.kind, timer.calls, timer.last_call), (SourceKind::Timer, 0, None));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceSnapshot {
    /// Its id.
    pub id: AnyId,
    /// Its name, if it was given one.
    pub name: Option<Box<str>>,
    /// What it is.
    pub kind: SourceKind,
    /// Whether it may be called; a timer: whether it is armed.
    pub enabled: bool,
    /// What a descriptor is watched for.
    pub want: Option<(Ready, Mode)>,
    /// When a timer is due.
    pub due: Option<Instant>,
    /// How often it was called since it was added, observed or not.
    pub calls: u64,
    /// How long calls took while it was observed.
    pub times: Histogram,
    /// When it was called last while it was observed.
    pub last_call: Option<Instant>,
    /// What failed last while it was observed.
    pub last_fault: Option<Failure>,
}

impl Snapshot {
    /// What it prints: one line of JSON.
    pub fn to_json(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { waits, events, timers, completions, posts, callbacks, faults, renewals } = self.stats;
        let Queues { ready, due, armed, done, operations, deferred, changes } = self.queues;
        write!(f, r#"{{"backend":{},"observed_ns":"#, Text(self.backend))?;
        option(f, self.since, |f, since| write!(f, "{}", nanos(self.at.saturating_duration_since(since))))?;
        write!(f, r#","waits":{waits},"events":{events},"timers":{timers},"completions":{completions}"#)?;
        write!(f, r#","posts":{posts},"callbacks":{callbacks},"faults":{faults},"renewals":{renewals}"#)?;
        write!(f, r#","queues":{{"ready":{ready},"due":{due},"armed":{armed},"done":{done}"#)?;
        write!(f, r#","operations":{operations},"deferred":{deferred},"changes":{changes}}}"#)?;
        let times = [&self.waited, &self.worked, &self.lag, &self.loose, &self.gone];
        for (name, times) in ["waited", "worked", "lag", "loose", "gone"].into_iter().zip(times) {
            write!(f, r#","{name}":"#)?;
            histogram(f, times)?;
        }
        f.write_str(r#","last_fault":"#)?;
        failure(f, self.last_fault.as_ref(), self.at)?;
        f.write_str(r#","sources":["#)?;
        for (n, source) in self.sources.iter().enumerate() {
            if n > 0 {
                f.write_char(',')?;
            }
            source.write(f, self.at)?;
        }
        f.write_str("]}")
    }
}

impl SourceSnapshot {
    fn write(&self, f: &mut fmt::Formatter<'_>, at: Instant) -> fmt::Result {
        write!(f, r#"{{"id":"{}","name":"#, self.id)?;
        option(f, self.name.as_deref(), |f, name| write!(f, "{}", Text(name)))?;
        write!(f, r#","kind":"{}","enabled":{}"#, self.kind.word(), self.enabled)?;
        if let Some((want, mode)) = self.want {
            f.write_str(r#","want":""#)?;
            bitflags::parser::to_writer(&want, &mut *f)?;
            write!(f, r#"","mode":"{mode:?}""#)?;
        }
        if let Some(due) = self.due {
            let late = nanos(at.saturating_duration_since(due));
            let left = nanos(due.saturating_duration_since(at));
            write!(f, r#","due_in_ns":{}"#, i128::from(left) - i128::from(late))?;
        }
        write!(f, r#","calls":{},"times":"#, self.calls)?;
        histogram(f, &self.times)?;
        f.write_str(r#","last_call_ago_ns":"#)?;
        option(f, self.last_call, |f, last| write!(f, "{}", nanos(at.saturating_duration_since(last))))?;
        f.write_str(r#","last_fault":"#)?;
        failure(f, self.last_fault.as_ref(), at)?;
        f.write_char('}')
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn option<T>(
    f: &mut fmt::Formatter<'_>,
    value: Option<T>,
    write: impl FnOnce(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    match value {
        Some(value) => write(f, value),
        None => f.write_str("null"),
    }
}

fn histogram(f: &mut fmt::Formatter<'_>, times: &Histogram) -> fmt::Result {
    let (total, max) = (nanos(times.total()), nanos(times.max()));
    write!(f, r#"{{"count":{},"total_ns":{total},"max_ns":{max},"buckets":["#, times.count())?;
    for (n, (end, count)) in times.buckets().enumerate() {
        write!(f, "{}[{},{count}]", if n > 0 { "," } else { "" }, nanos(end))?;
    }
    f.write_str("]}")
}

fn failure(f: &mut fmt::Formatter<'_>, failure: Option<&Failure>, now: Instant) -> fmt::Result {
    option(f, failure, |f, failure| {
        let ago = nanos(now.saturating_duration_since(failure.at));
        write!(f, r#"{{"text":{},"ago_ns":{ago}}}"#, Text(&failure.text))
    })
}

/// A JSON string (RFC 8259, 7).
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\u{0}'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(c))?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
