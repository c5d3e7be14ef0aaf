//! Real descriptors on a clock that is moved: hours of timeouts in a test that takes none.

use crate::Mode;
use crate::Ready;
use crate::backend::{AsFd, OwnedFd};
use crate::backend::{Backend, Batch, Caps, Fd, Key, Waker};
use crate::op::RawOp;
use becket_sys::event::Event;
use becket_sys::timer::Clock;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a wait that no timer would end is waited for, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A backend for tests: real descriptors by another backend, and a clock of its own, which stands still unless it is
/// moved.
///
/// Code that goes by [`Ctx::now`](crate::Ctx::now), [`after`](crate::Ctx::after), [`at`](crate::Ctx::at) and
/// [`every`](crate::Ctx::every) runs on it unchanged, and so does what goes by other [clocks](crate::Ctx::every_on), which
/// go with it. It moves in two ways. By hand: [`TestClock::pass`]. And by
/// itself: where a turn would wait for a timer, and no descriptor is ready, it jumps to that timer; so a
/// [`run`](crate::Loop::run) is over as fast as its callbacks are, in an order that does not depend on the machine. A
/// turn with a `max` of zero never moves it.
///
/// What takes its time elsewhere knows nothing of this clock: other threads and processes (those that carry out
/// [operations](crate::Ctx::submit) among them), descriptors of timers, what code reads from [`Instant::now`]. If a
/// test has such, say by [`TestClock::set_grace`] how long to wait for them before each jump. A wait that nothing of
/// the loop's would end is an error of kind [`Deadlock`](io::ErrorKind::Deadlock) after 10 real seconds. For
/// descriptors that are played, too, there is [`Scripted`](crate::backend::Scripted).
///
/// ```
/// use becket_loop::backend::Epoll;
/// use becket_loop::{Ctx, Loop, Mode, Next, Ready, TestTime};
/// use std::io::{PipeReader, Read, Write, pipe};
/// use std::time::Duration;
///
/// /// What is to be tested: it notes when nothing came for an hour.
/// fn watch(event_loop: &mut Loop<Vec<&'static str>>, reader: PipeReader) {
///     let hour = Duration::from_secs(3600);
///     let idle = event_loop.every(hour, |log, _, _| {
///         log.push("idle");
///         Ok(Next::Keep)
///     });
///     let read = move |log: &mut Vec<_>, ctx: &mut Ctx<_>, mut reader: &PipeReader, _: Ready| {
///         reader.read(&mut [0; 64])?;
///         log.push("data");
///         ctx.arm(idle, ctx.now() + hour);
///         Ok(Next::Keep)
///     };
///     event_loop.add(reader, Ready::READ, Mode::Level, read).unwrap();
/// }
///
/// let (backend, clock) = TestTime::over(Epoll::new()?);
/// let mut event_loop = Loop::with_backend(backend);
/// let (reader, mut writer) = pipe()?;
/// watch(&mut event_loop, reader);
///
/// let (start, mut log) = (clock.now(), Vec::new());
/// let minutes = |n: u64| Duration::from_secs(n * 60);
/// clock.pass(minutes(59));
/// writer.write_all(b"x")?;
/// event_loop.turn(&mut log, Some(Duration::ZERO))?;
/// event_loop.turn(&mut log, Some(minutes(59)))?;
/// assert_eq!((log.len(), clock.now() - start), (1, minutes(118)));
/// event_loop.turn(&mut log, None)?;
/// assert_eq!(log, ["data", "idle"]);
/// assert_eq!(clock.now() - start, minutes(119));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TestTime<B> {
    inner: B,
    clock: TestClock,
}

/// The clock of a [`TestTime`]. Clones are handles to one clock.
///
/// ```
/// use becket_loop::backend::Poll;
/// use becket_loop::{Loop, TestTime};
/// use std::time::Duration;
///
/// let (backend, clock) = TestTime::over(Poll::new()?);
/// let event_loop: Loop<()> = Loop::with_backend(backend);
/// let before = event_loop.now();
/// clock.pass(Duration::from_secs(86400));
/// assert_eq!(event_loop.now() - before, Duration::from_secs(86400));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    now: Rc<Cell<Instant>>,
    grace: Rc<Cell<Duration>>,
    system: Rc<System>,
}

/// The system's clocks, as they are played.
#[derive(Debug)]
struct System {
    /// What they read when the test's clock read `start`: the monotonic one, boot time, the time of day.
    start: Instant,
    at_start: [Cell<Duration>; 3],
    /// What is told of changes.
    told: RefCell<Vec<Event>>,
}

impl System {
    fn new(start: Instant) -> Self {
        let at_start = [Clock::Monotonic, Clock::Boottime, Clock::Realtime].map(|clock| Cell::new(clock.now()));
        System { start, at_start, told: RefCell::default() }
    }

    fn at_start(&self, clock: Clock) -> &Cell<Duration> {
        match clock {
            Clock::Monotonic => &self.at_start[0],
            clock if clock.is_realtime() => &self.at_start[2],
            _ => &self.at_start[1],
        }
    }

    fn tell(&self) {
        for event in &*self.told.borrow() {
            let _ = event.add(1); // full, it is readable anyway
        }
    }
}

impl TestClock {
    /// What time it is. At first it is the real time.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves it on. What is due by then is called in the next turn; what periodic timers miss is missed.
    pub fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    /// What a clock of the system reads: at first what it really does.
    pub fn read(&self, clock: Clock) -> Duration {
        self.system.at_start(clock).get() + self.now().saturating_duration_since(self.system.start)
    }

    /// Sets the time of day, since 1970: as an administrator does, forward or back. What reads earlier than how long the
    /// test's clock has run counts as that.
    ///
    /// ```
    /// use becket_loop::{Loop, TestTime, backend::Poll};
    /// use becket_sys::timer::Clock;
    /// use std::time::Duration;
    ///
    /// let (backend, clock) = TestTime::over(Poll::new()?);
    /// let mut event_loop: Loop<bool> = Loop::with_backend(backend);
    /// let noon = Duration::from_secs(2_000_000_000);
    /// event_loop.at_on(Clock::Realtime, noon, |rang, _| Ok(*rang = true))?;
    /// clock.set_realtime(noon);
    /// let mut rang = false;
    /// event_loop.run(&mut rang)?;
    /// assert!(rang && clock.read(Clock::Realtime) == noon);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_realtime(&self, to: Duration) {
        let run = self.now().saturating_duration_since(self.system.start);
        self.system.at_start(Clock::Realtime).set(to.saturating_sub(run));
        self.system.tell();
    }

    /// Lets the system sleep for so long: boot time and the time of day go on, and nothing else does.
    pub fn sleep(&self, time: Duration) {
        for clock in [Clock::Boottime, Clock::Realtime] {
            let at_start = self.system.at_start(clock);
            at_start.set(at_start.get() + time);
        }
        self.system.tell();
    }

    /// How long, in real time, descriptors and other threads are waited for before the clock jumps: zero at first.
    pub fn set_grace(&self, grace: Duration) {
        self.grace.set(grace);
    }
}

impl<B: Backend> TestTime<B> {
    /// Puts a clock in front of a backend.
    pub fn over(inner: B) -> (TestTime<B>, TestClock) {
        let now = Instant::now();
        let system = Rc::new(System::new(now));
        let clock = TestClock { now: Rc::new(Cell::new(now)), grace: Rc::default(), system };
        (TestTime { inner, clock: clock.clone() }, clock)
    }

    /// Looks at the descriptors for so long in real time, or until the waker is called. Whether all that time is over
    /// and nothing was found.
    fn look(&mut self, batch: &mut Batch, real: Duration) -> io::Result<bool> {
        let (before, end) = (batch.len(), Instant::now() + real);
        self.inner.wait(batch, Some(end))?;
        Ok(batch.len() == before && Instant::now() >= end)
    }
}

// SAFETY: operations are the inner backend's, which promises the same: they are handed to it unchanged, nothing is
// pushed beside what it pushes, and it is dropped with this.
unsafe impl<B: Backend> Backend for TestTime<B> {
    fn caps(&self) -> Caps {
        // An outer loop would wait for timers by the real clock.
        Caps { embed: false, ..self.inner.caps() }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.inner.add(fd, key, want, mode)
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.inner.change(fd, key, want, mode)
    }

    fn remove(&mut self, fd: Fd<'_>, key: Key) -> io::Result<()> {
        self.inner.remove(fd, key)
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        let now = self.clock.now();
        let idle = match deadline {
            None => {
                if self.look(batch, PATIENCE)? {
                    let why = "no timer is armed, and nothing happened for 10 s";
                    return Err(io::Error::new(io::ErrorKind::Deadlock, why));
                }
                return Ok(());
            }
            Some(deadline) if deadline <= now => self.look(batch, Duration::ZERO)?,
            Some(_) => self.look(batch, self.clock.grace.get())?,
        };
        if idle && let Some(deadline) = deadline {
            self.clock.now.set(now.max(deadline));
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn detach(&self) -> Option<crate::backend::Detach> {
        self.inner.detach()
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn clock_now(&self, clock: Clock) -> Duration {
        self.clock.read(clock)
    }

    fn clock_changes(&self) -> io::Result<OwnedFd> {
        let event = Event::new()?;
        let told = event.as_fd().try_clone_to_owned()?;
        self.clock.system.told.borrow_mut().push(event);
        Ok(told)
    }

    unsafe fn submit(&mut self, key: Key, op: RawOp) -> Result<(), RawOp> {
        // SAFETY: handed on from the caller.
        unsafe { self.inner.submit(key, op) }
    }

    fn start(&mut self) {
        self.inner.start();
    }

    fn close(&mut self, batch: &mut Batch) {
        self.inner.close(batch);
    }

    fn cancel(&mut self, key: Key) {
        self.inner.cancel(key);
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.inner.reopen()
    }

    fn renew(&mut self) -> io::Result<()> {
        self.inner.renew()
    }
}
