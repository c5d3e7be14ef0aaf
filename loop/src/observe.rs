//! What is measured of callbacks and turns, where that is asked for. It stands apart from the table, and costs two
//! branches in each call where nobody asks.

use crate::backend::Key;
use crate::snapshot::{Failure, Queues, Snapshot, SourceSnapshot};
use crate::stall::Pulse;
use crate::{AnyId, Ctx, Fault, Histogram, SourceKind, trace};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

type SlowCall<S> = Box<dyn FnMut(&mut S, &mut Ctx<S>, Slow)>;

/// A callback took longer than the limit of [`Ctx::on_slow`]; prints as one line.
///
/// ```
/// use becket_loop::{Loop, backend::Scripted};
/// use std::time::Duration;
///
/// let (backend, script) = Scripted::new(); // by its clock, which a test moves
/// let mut event_loop: Loop<Vec<String>> = Loop::with_backend(backend);
/// event_loop.on_slow(Duration::from_millis(10), |log, _, slow| log.push(slow.to_string()));
/// let id = event_loop.after(Duration::ZERO, move |_, _| Ok(script.pass(Duration::from_millis(25))));
/// event_loop.set_name(id, "report");
/// let mut log = Vec::new();
/// event_loop.run(&mut log)?;
/// assert_eq!(log, ["report took 25ms"]);
/// # Ok::<(), becket_loop::RunError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slow {
    /// What was called; `None` for work that was posted or deferred. It may have left the loop.
    pub id: Option<AnyId>,
    /// Its name, if it had one when it was called.
    pub name: Option<Box<str>>,
    /// What it is; `None` as for `id`.
    pub kind: Option<SourceKind>,
    /// How long the call took.
    pub took: Duration,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.id) {
            (Some(name), _) => f.write_str(name)?,
            (None, Some(id)) => id.fmt(f)?,
            (None, None) => f.write_str("deferred work")?,
        }
        write!(f, " took {:?}", self.took)
    }
}

/// All that somebody asked to watch.
pub(crate) struct Watch<S> {
    table: Option<Box<Table>>,
    slow: Option<(Duration, Option<SlowCall<S>>)>,
    /// Calls that were slow, to be told at the end of the turn's step.
    slow_ones: VecDeque<Slow>,
    pub(crate) pulse: Option<Arc<Pulse>>,
    /// Whether calls are to be traced.
    traced: bool,
    /// The name and kind of what is called next, where that has left the loop before.
    leaving: Option<(Option<Box<str>>, SourceKind)>,
    called: Called,
    /// When the call began that is under way.
    began: Option<Instant>,
    /// When the present step of a turn began, and how long the step before the wait took.
    step: Option<Instant>,
    worked: Duration,
}

/// What is being called.
#[derive(Default)]
struct Called {
    kind: Option<SourceKind>,
    /// Kept, so that nothing is allocated by each call.
    name: String,
    has_name: bool,
}

impl Called {
    fn name(&self) -> Option<&str> {
        self.has_name.then_some(&*self.name)
    }
}

/// What [`Ctx::observe`] asks for.
struct Table {
    since: Instant,
    waited: Histogram,
    worked: Histogram,
    lag: Histogram,
    loose: Histogram,
    gone: Histogram,
    last_fault: Option<Failure>,
    /// By slot.
    records: Vec<Option<Box<Record>>>,
}

/// What is known of one entry of the loop's table.
struct Record {
    key: Key,
    times: Histogram,
    last_call: Option<Instant>,
    last_fault: Option<Failure>,
}

impl Table {
    fn new(since: Instant) -> Self {
        Table {
            since,
            waited: Histogram::default(),
            worked: Histogram::default(),
            lag: Histogram::default(),
            loose: Histogram::default(),
            gone: Histogram::default(),
            last_fault: None,
            records: Vec::new(),
        }
    }

    fn record(&self, key: Key) -> Option<&Record> {
        self.records.get(key.slot() as usize)?.as_deref().filter(|record| record.key == key)
    }

    /// The record of an entry that is in the loop's table, begun where there is none. What its slot's last owner left
    /// counts among what is gone.
    fn record_mut(&mut self, key: Key) -> &mut Record {
        let slot = key.slot() as usize;
        if self.records.len() <= slot {
            self.records.resize_with(slot + 1, || None);
        }
        let new = || Box::new(Record { key, times: Histogram::default(), last_call: None, last_fault: None });
        let record = self.records[slot].get_or_insert_with(new);
        if record.key != key {
            let old = std::mem::replace(record, new());
            self.gone.merge(&old.times);
        }
        record
    }
}

impl<S> Watch<S> {
    fn new() -> Self {
        Watch {
            table: None,
            slow: None,
            slow_ones: VecDeque::new(),
            pulse: None,
            traced: false,
            leaving: None,
            called: Called::default(),
            began: None,
            step: None,
            worked: Duration::ZERO,
        }
    }

    fn is_wanted(&self) -> bool {
        // Its own is the last handle where all watchdogs are gone.
        let pulse = self.pulse.as_ref().is_some_and(|pulse| Arc::strong_count(pulse) > 1);
        self.table.is_some() || self.slow.is_some() || !self.slow_ones.is_empty() || self.traced || pulse
    }
}

/// Whose call it is.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Entry(Key),
    /// Of nothing in the table: posted or deferred.
    Loose,
}

impl<S: 'static> Ctx<S> {
    pub(crate) fn watch(&mut self) -> &mut Watch<S> {
        self.watch.get_or_insert_with(|| Box::new(Watch::new()))
    }

    /// Begins to measure how long everything takes, for [`snapshot`](Self::snapshot), or ends it and forgets what was
    /// measured. It is off at first, and then costs nothing but two branches in each call; while it is on, each callback
    /// costs two looks at the clock, and each source 400 bytes. Where it is on already, it goes on.
    pub fn observe(&mut self, on: bool) {
        let now = self.now();
        let watch = self.watch();
        match on {
            true => drop(watch.table.get_or_insert_with(|| Box::new(Table::new(now)))),
            false => watch.table = None,
        }
        self.tidy_watch();
    }

    /// Calls `f` after each callback that took `limit` or longer, by the loop's clock: at the end of the turn's step in
    /// which it was, so that what is told is told in order and `f` may do whatever a callback may. It replaces the one
    /// before. What `f` itself takes is not measured.
    ///
    /// See [`Slow`] for an example; what hangs right now is told by [`on_stall`](Self::on_stall).
    pub fn on_slow(&mut self, limit: Duration, f: impl FnMut(&mut S, &mut Ctx<S>, Slow) + 'static) {
        self.watch().slow = Some((limit, Some(Box::new(f))));
    }

    /// Takes back what [`on_slow`](Self::on_slow) asked for: nothing is measured for it any more, and what was slow and not
    /// yet told is not told.
    ///
    /// ```
    /// use becket_loop::{Loop, backend::Scripted};
    /// use std::time::Duration;
    ///
    /// let (backend, script) = Scripted::new();
    /// let mut event_loop: Loop<u32> = Loop::with_backend(backend);
    /// event_loop.on_slow(Duration::from_millis(10), |n, ctx, _| {
    ///     *n += 1;
    ///     ctx.clear_on_slow(); // the first one alone
    /// });
    /// for _ in 0..2 {
    ///     let script = script.clone();
    ///     event_loop.defer(move |_, _| Ok(script.pass(Duration::from_millis(25))));
    /// }
    /// let mut n = 0;
    /// event_loop.run(&mut n)?;
    /// assert_eq!(n, 1);
    /// # Ok::<(), becket_loop::RunError>(())
    /// ```
    pub fn clear_on_slow(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.slow = None;
            watch.slow_ones.clear();
        }
        self.tidy_watch();
    }

    /// The state of the loop and of all that it holds, also inside callbacks. How long everything took it says where that
    /// is [observed](Self::observe).
    pub fn snapshot(&self) -> Snapshot {
        let table = self.watch.as_ref().and_then(|watch| watch.table.as_deref());
        let mut gone = table.map(|table| table.gone.clone()).unwrap_or_default();
        for record in table.into_iter().flat_map(|table| table.records.iter().flatten()) {
            if self.slots.get(record.key).is_none() {
                gone.merge(&record.times);
            }
        }
        let times = |of: fn(&Table) -> &Histogram| table.map(|table| of(table).clone()).unwrap_or_default();
        let sources = self.sources().map(|source| {
            let record = table.and_then(|table| table.record(source.id.key));
            SourceSnapshot {
                id: source.id,
                name: source.name.map(Into::into),
                kind: source.kind,
                enabled: source.enabled,
                want: source.want,
                due: source.due,
                calls: source.calls,
                times: record.map(|record| record.times.clone()).unwrap_or_default(),
                last_call: record.and_then(|record| record.last_call),
                last_fault: record.and_then(|record| record.last_fault.clone()),
            }
        });
        Snapshot {
            backend: self.caps().name,
            at: self.now(),
            since: table.map(|table| table.since),
            stats: self.stats(),
            queues: Queues {
                ready: self.ready.len(),
                due: self.wheel.due_len(),
                armed: self.wheel.len(),
                done: self.done.len(),
                operations: self.ops,
                deferred: self.deferred.len(),
                changes: self.changes(),
            },
            waited: times(|table| &table.waited),
            worked: times(|table| &table.worked),
            lag: times(|table| &table.lag),
            loose: times(|table| &table.loose),
            gone,
            last_fault: table.and_then(|table| table.last_fault.clone()),
            sources: sources.collect(),
        }
    }

    /// Lets go of what nobody wants any more.
    fn tidy_watch(&mut self) {
        if self.watch.as_ref().is_some_and(|watch| !watch.is_wanted()) {
            self.watch = None;
        }
    }

    /// Calls user code, and measures it where that is asked for.
    #[inline(always)]
    pub(crate) fn observed<R>(&mut self, s: &mut S, whose: Whose, f: impl FnOnce(&mut S, &mut Self) -> R) -> R {
        if self.watch.is_some() {
            self.begin_call(whose);
        }
        let value = f(s, self);
        if self.watch.is_some() {
            self.end_call(whose);
        }
        value
    }

    #[cold]
    #[inline(never)]
    fn begin_call(&mut self, whose: Whose) {
        let now = self.now();
        if let Some(watch) = &mut self.watch {
            let entry = match whose {
                Whose::Entry(key) => self.slots.get(key),
                Whose::Loose => None,
            };
            let leaving = watch.leaving.take();
            let name = match (entry, &leaving) {
                (Some(entry), _) => entry.name(),
                (None, Some((name, _))) => name.as_deref(),
                (None, None) => None,
            };
            let called = &mut watch.called;
            called.kind = entry.map(|entry| entry.kind.of_source()).or(leaving.as_ref().map(|leaving| leaving.1));
            called.has_name = name.is_some();
            called.name.clear();
            called.name.push_str(name.unwrap_or_default());
            if let Some(pulse) = &watch.pulse {
                pulse.calls(whose.key(), name);
            }
            watch.began = Some(now);
        }
    }

    #[cold]
    #[inline(never)]
    fn end_call(&mut self, whose: Whose) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some(began) = watch.began.take() else { return }; // it was begun before anybody watched
        let took = now.saturating_duration_since(began);
        if let Some(table) = &mut watch.table {
            match whose {
                Whose::Entry(key) if self.slots.get(key).is_some() => {
                    let record = table.record_mut(key);
                    record.times.record(took);
                    record.last_call = Some(began);
                }
                Whose::Entry(_) => table.gone.record(took),
                Whose::Loose => table.loose.record(took),
            }
        }
        let called = &watch.called;
        trace::callback(whose.key(), called.name(), called.kind, took);
        if watch.slow.as_ref().is_some_and(|(limit, _)| took >= *limit) {
            let (id, name, kind) = (whose.key().map(|key| AnyId { key }), called.name().map(Into::into), called.kind);
            let slow = Slow { id, name, kind, took };
            trace::slow(&slow);
            watch.slow_ones.push_back(slow);
        }
        self.end_pulse();
    }

    fn end_pulse(&mut self) {
        if let Some(pulse) = self.watch.as_ref().and_then(|watch| watch.pulse.as_ref()) {
            pulse.calls(None, None);
        }
    }

    /// A call ended by a panic.
    pub(crate) fn forget_call(&mut self) {
        self.end_pulse();
        self.watch.iter_mut().for_each(|watch| (watch.leaving, watch.began) = (None, None));
    }

    /// What is called next has left the loop already: this is what it was.
    #[inline]
    pub(crate) fn note_leaving(&mut self, name: Option<&str>, kind: SourceKind) {
        if let Some(watch) = &mut self.watch {
            watch.leaving = Some((name.map(Into::into), kind));
        }
    }

    /// A timer that was due then is about to be called.
    #[inline]
    pub(crate) fn note_lag(&mut self, due: u64) {
        if self.watch.is_some() {
            let late = self.now().saturating_duration_since(self.wheel.time(due));
            if let Some(table) = self.table() {
                table.lag.record(late);
            }
        }
    }

    pub(crate) fn note_fault(&mut self, fault: &Fault) {
        trace::fault(fault);
        if self.table().is_none() {
            return;
        }
        let failure = Failure { text: fault.to_string(), at: self.now() };
        let of = fault.id().map(|id| id.key).filter(|key| self.slots.get(*key).is_some());
        let Some(table) = self.table() else { return };
        if let Some(key) = of {
            table.record_mut(key).last_fault = Some(failure.clone());
        }
        table.last_fault = Some(failure);
    }

    fn table(&mut self) -> Option<&mut Table> {
        self.watch.as_mut()?.table.as_deref_mut()
    }

    /// A step of a turn begins, in which the loop works.
    #[inline]
    pub(crate) fn begin_step(&mut self) {
        if trace::wants_calls() {
            self.watch().traced = true;
        }
        if self.watch.is_some() {
            self.begin_watched_step();
        }
    }

    #[cold]
    fn begin_watched_step(&mut self) {
        let now = self.now();
        self.watch().traced = trace::wants_calls();
        self.watch().step = Some(now);
        match &self.watch().pulse {
            Some(pulse) if Arc::strong_count(pulse) == 1 => self.watch().pulse = None, // no watchdog is left
            Some(pulse) => pulse.works(),
            None => {}
        }
        self.tidy_watch();
    }

    /// The step ends; the last one of a turn is the one that dispatches.
    #[inline]
    pub(crate) fn end_step(&mut self, dispatches: bool) {
        if self.watch.is_some() {
            self.end_watched_step(dispatches);
        }
    }

    #[cold]
    fn end_watched_step(&mut self, dispatches: bool) {
        let now = self.now();
        let watch = self.watch();
        if let Some(pulse) = &watch.pulse {
            pulse.rests();
        }
        let Some(began) = watch.step.take() else { return };
        watch.worked += now.saturating_duration_since(began);
        if dispatches {
            let worked = std::mem::take(&mut watch.worked);
            if let Some(table) = &mut watch.table {
                table.worked.record(worked);
            }
            trace::turn(&self.stats, worked);
        }
    }

    pub(crate) fn note_wait(&mut self, began: Option<Instant>) {
        let Some(began) = began else { return };
        let waited = self.now().saturating_duration_since(began);
        if let Some(table) = self.table() {
            table.waited.record(waited);
        }
    }

    /// When a wait begins, where that is measured.
    pub(crate) fn begin_wait(&mut self) -> Option<Instant> {
        self.table()?;
        Some(self.now())
    }

    /// Tells of the calls that were slow. Whether anybody could have been told.
    #[inline]
    pub(crate) fn tell_slow(&mut self, s: &mut S) -> bool {
        let watched = self.watch.is_some();
        if watched {
            self.tell_slow_ones(s);
        }
        watched
    }

    #[cold]
    fn tell_slow_ones(&mut self, s: &mut S) {
        while !self.here.has_forked()
            && let Some(watch) = &mut self.watch
            && let Some(slow) = watch.slow_ones.pop_front()
        {
            let Some(mut call) = watch.slow.as_mut().and_then(|(_, call)| call.take()) else { continue };
            call(s, self, slow);
            self.reap();
            // Unless it has set another.
            if let Some((_, place @ None)) = self.watch.as_mut().and_then(|watch| watch.slow.as_mut()) {
                *place = Some(call);
            }
        }
    }
}

impl Whose {
    fn key(self) -> Option<Key> {
        match self {
            Whose::Entry(key) => Some(key),
            Whose::Loose => None,
        }
    }
}
