//! A thread that notices that the loop does not turn.

use crate::backend::Key;
use crate::backend::fork::Origin;
use crate::{AnyId, Ctx};
use becket_sys::signal::{MaskGuard, SignalSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The loop has been at work for too long without coming to its next wait; or it goes on after that.
///
/// ```
/// use becket_loop::Stall;
///
/// fn report(stall: Stall) -> String {
///     let name = stall.name.as_deref().unwrap_or("something");
///     if stall.over { format!("{name} is over") } else { format!("{name} hangs for {:?}", stall.lasted) }
/// }
/// # let _ = report;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// What the callback belongs to that is running; `None` where that is posted or deferred work, or where none is
    /// (many callbacks can take long together). At its end: what it was as it was noticed.
    pub id: Option<AnyId>,
    /// The name of that, if it was given one.
    pub name: Option<Box<str>>,
    /// For how long the loop has been at work, at least.
    pub lasted: Duration,
    /// Whether the loop goes on now.
    pub over: bool,
}

/// Watches that a loop turns, as long as it is not dropped; see [`Ctx::on_stall`]. Dropping it ends its thread, and
/// waits for a call that is under way.
///
/// ```
/// use becket_loop::{Loop, Watchdog};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let watchdog: Watchdog = event_loop.on_stall(Duration::from_secs(5), |stall| eprintln!("{stall:?}"))?;
/// drop(watchdog); // never called
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping it ends the watch"]
pub struct Watchdog {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    origin: Origin,
}

/// What the loop says of itself.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Counts up whenever the loop begins to work and whenever it ends; odd while it works.
    step: AtomicU64,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    key: Option<Key>,
    /// Kept, so that nothing is allocated by each call.
    name: String,
    has_name: bool,
}

impl Pulse {
    fn new(works: bool) -> Self {
        Pulse { step: AtomicU64::new(works.into()), running: Mutex::default() }
    }

    pub(crate) fn works(&self) {
        self.step.store((self.step.load(Ordering::Relaxed) + 1) | 1, Ordering::Release);
    }

    pub(crate) fn rests(&self) {
        self.step.store((self.step.load(Ordering::Relaxed) | 1) + 1, Ordering::Release);
    }

    pub(crate) fn calls(&self, key: Option<Key>, name: Option<&str>) {
        let mut running = self.running.lock().expect("no code panics under this lock");
        running.key = key;
        running.has_name = name.is_some();
        running.name.clear();
        running.name.push_str(name.unwrap_or_default());
    }

    fn running(&self) -> (Option<AnyId>, Option<Box<str>>) {
        let running = self.running.lock().expect("no code panics under this lock");
        (running.key.map(|key| AnyId { key }), running.has_name.then(|| running.name.as_str().into()))
    }
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    signal: Condvar,
}

impl Stop {
    /// Sleeps for so long, or until it is asked to stop, which it says.
    fn wait(&self, time: Duration) -> bool {
        let asked = self.asked.lock().expect("no code panics under this lock");
        let (asked, _) =
            self.signal.wait_timeout_while(asked, time, |asked| !*asked).expect("no code panics under this lock");
        *asked
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.origin.is_here() {
            return std::mem::forget(thread); // it is the parent's
        }
        *self.stop.asked.lock().expect("no code panics under this lock") = true;
        self.stop.signal.notify_all();
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join(); // a panic of the closure's ended it before
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

impl<S: 'static> Ctx<S> {
    /// Has a thread of its own call `f` when the loop has been at work for `limit` without coming to its next wait:
    /// once for each such stall, while it lasts, and once more after it, with [`over`](Stall::over) set. It tells which
    /// callback hangs. (That a service hangs, its manager learns by [`watchdog`](Self::watchdog).)
    ///
    /// To wait is no stall, and neither is to be elsewhere between two turns, as inside another loop. It is never
    /// called early; it is called late by as much as half of `limit`, or more on a machine that is busy. A process that
    /// was stopped as a whole, by a signal or a debugger, has mostly not stalled. A `limit` below a millisecond counts
    /// as one. Time is real time here, whatever clock the loop has.
    ///
    /// The thread wakes up twice within `limit`, and the loop pays two stores in each turn, and a lock that nobody else
    /// wants in each callback. `f` must not wait for the loop. If it panics, the watch has ended. In a child that
    /// fork(2) made there is no such thread: ask anew, after [`after_fork`](crate::Loop::after_fork).
    ///
    /// # Errors
    /// `EAGAIN` where no thread can be had.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use std::sync::mpsc;
    /// use std::thread::sleep;
    /// use std::time::Duration;
    ///
    /// let (sender, stalls) = mpsc::channel();
    /// let mut event_loop: Loop<()> = Loop::new()?;
    /// let _watchdog = event_loop.on_stall(Duration::from_millis(20), move |stall| sender.send(stall).unwrap())?;
    /// let id = event_loop.after(Duration::ZERO, move |_, _| {
    ///     let stall = stalls.recv()?; // hangs, until that is noticed
    ///     assert!(stall.name.as_deref() == Some("lazy") && !stall.over);
    ///     assert!(stall.lasted >= Duration::from_millis(20));
    ///     Ok(())
    /// });
    /// event_loop.set_name(id, "lazy");
    /// event_loop.run(&mut ())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_stall(&mut self, limit: Duration, f: impl FnMut(Stall) + Send + 'static) -> io::Result<Watchdog> {
        let (works, running) = (self.in_turn, self.current());
        let name = running.and_then(|id| self.name_of(id.key)).map(str::to_owned);
        let pulse = self.watch().pulse.get_or_insert_with(|| {
            let pulse = Arc::new(Pulse::new(works));
            pulse.calls(running.map(|id| id.key), name.as_deref());
            pulse
        });
        let (pulse, stop) = (Arc::clone(pulse), Arc::new(Stop::default()));
        let own = Arc::clone(&stop);
        // Signals that the process takes by descriptor must not be delivered to it.
        let _mask = MaskGuard::block(SignalSet::all());
        let limit = limit.max(Duration::from_millis(1));
        let builder = thread::Builder::new().name("becket-watchdog".into());
        let thread = builder.spawn(move || watch(&pulse, &own, limit, f))?;
        Ok(Watchdog { stop, thread: Some(thread), origin: Origin::here() })
    }
}

impl<S: 'static> Ctx<S> {
    /// Tells the [watchdogs](Self::on_stall) of work that the loop's thread does on the loop's behalf between two
    /// turns, as a scheduler above it does: that it begins, under a name, or with `None` that it has ended. Each such
    /// piece of work is to take no longer than a callback. Does nothing where there is no watchdog.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (sender, stalls) = mpsc::channel();
    /// let mut event_loop: Loop<()> = Loop::new()?;
    /// let _watchdog = event_loop.on_stall(Duration::from_millis(20), move |stall| sender.send(stall).unwrap())?;
    /// event_loop.note_work(Some("job 7"));
    /// assert_eq!(stalls.recv().unwrap().name.as_deref(), Some("job 7")); // it takes long
    /// event_loop.note_work(None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn note_work(&mut self, name: Option<&str>) {
        let Some(pulse) = self.watch.as_ref().and_then(|watch| watch.pulse.as_ref()) else { return };
        if name.is_none() {
            pulse.rests();
        }
        pulse.calls(None, name);
        if name.is_some() {
            pulse.works();
        }
    }
}

fn watch(pulse: &Pulse, stop: &Stop, limit: Duration, mut f: impl FnMut(Stall)) {
    let now = || pulse.step.load(Ordering::Acquire);
    let (mut seen, mut since) = (now(), Instant::now());
    let mut told: Option<Stall> = None;
    loop {
        let works = seen % 2 == 1;
        let nap = if works && told.is_none() { limit.saturating_sub(since.elapsed()) } else { limit / 2 };
        let asleep = Instant::now();
        if stop.wait(nap) {
            return;
        }
        let (step, awake) = (now(), Instant::now());
        if step != seen {
            if let Some(stall) = told.take() {
                f(Stall { lasted: awake - since, over: true, ..stall });
            }
            (seen, since) = (step, awake);
        } else if told.is_none() && awake - asleep > nap + limit {
            since = awake; // nobody ran, nor this thread: the loop is not to blame
        } else if works && told.is_none() && awake - since >= limit {
            let (id, name) = pulse.running();
            let stall = Stall { id, name, lasted: awake - since, over: false };
            told = Some(stall.clone());
            f(stall);
        }
    }
}
