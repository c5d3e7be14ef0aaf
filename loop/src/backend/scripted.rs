use super::{Backend, Batch, Caps, Completions, Event, Fd, Key, Waker};
use crate::{Mode, Ready};
use becket_sys::timer::Clock;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a wait that only another thread could end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A backend that plays a script on a clock of its own: for tests that must not depend on the kernel or on time.
///
/// Descriptors are ready when the [`Script`] says so. A wait with a deadline and nothing ready moves the clock to the
/// deadline at once, so that hours pass in microseconds. A wait without a deadline in which for 10 real seconds no
/// other thread calls the waker is an error of kind [`Deadlock`](io::ErrorKind::Deadlock).
///
/// ```
/// use becket_loop::{Loop, backend::Scripted};
/// use std::time::Duration;
///
/// let (backend, _script) = Scripted::new();
/// let mut event_loop: Loop<u32> = Loop::with_backend(backend);
/// let start = event_loop.now();
/// event_loop.after(Duration::from_secs(3600), |fired, _| Ok(*fired += 1));
/// let mut fired = 0;
/// event_loop.run(&mut fired)?;
/// assert_eq!(fired, 1);
/// assert_eq!(event_loop.now() - start, Duration::from_secs(3600));
/// # Ok::<(), becket_loop::RunError>(())
/// ```
#[derive(Debug)]
pub struct Scripted {
    state: Rc<RefCell<State>>,
    woken: Arc<Wake>,
}

/// Tells a [`Scripted`] backend what happens.
///
/// ```
/// use becket_loop::{Loop, Mode, Next, Ready, backend::Scripted};
/// use becket_sys::event::Event;
///
/// let (backend, script) = Scripted::new();
/// let mut event_loop: Loop<Ready> = Loop::with_backend(backend);
/// let event = Event::new()?;
/// script.raise(&event, Ready::PRI | Ready::ERR);
/// event_loop.add(event, Ready::PRI, Mode::Level, |seen, _, _, ready| {
///     *seen = ready;
///     Ok(Next::Remove)
/// })?;
/// let mut seen = Ready::empty();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, Ready::PRI | Ready::ERR);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Script {
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    now: Instant,
    start: Instant,
    /// What the system's clocks read at `start`.
    at_start: [(Clock, Duration); 3],
    /// What each descriptor that the script spoke of is ready for, and what of it is news.
    levels: Vec<(RawFd, Ready, Ready)>,
    registered: Vec<Registered>,
}

#[derive(Debug)]
struct Registered {
    fd: RawFd,
    key: Key,
    want: Ready,
    mode: Mode,
    armed: bool,
}

#[derive(Debug, Default)]
struct Wake {
    flag: AtomicBool,
    /// Woken from a real thread: a wait with nothing scripted parks on this.
    signal: (std::sync::Mutex<()>, std::sync::Condvar),
}

impl Scripted {
    /// A backend on which nothing is ready, and its script.
    pub fn new() -> (Scripted, Script) {
        let at_start = [Clock::Monotonic, Clock::Boottime, Clock::Realtime].map(|clock| (clock, clock.now()));
        let now = Instant::now();
        let state = State { now, start: now, at_start, levels: Vec::new(), registered: Vec::new() };
        let state = Rc::new(RefCell::new(state));
        (Scripted { state: Rc::clone(&state), woken: Arc::default() }, Script { state })
    }
}

impl Script {
    /// From now on `fd` is ready for `what`, too.
    pub fn raise(&self, fd: impl AsFd, what: Ready) {
        let fd = fd.as_fd().as_raw_fd();
        let mut state = self.state.borrow_mut();
        match state.levels.iter_mut().find(|level| level.0 == fd) {
            Some(level) => *level = (fd, level.1 | what, level.2 | what),
            None => state.levels.push((fd, what, what)),
        }
    }

    /// From now on `fd` is no longer ready for `what`.
    pub fn lower(&self, fd: impl AsFd, what: Ready) {
        let fd = fd.as_fd().as_raw_fd();
        let mut state = self.state.borrow_mut();
        if let Some(level) = state.levels.iter_mut().find(|level| level.0 == fd) {
            *level = (fd, level.1 - what, level.2 - what);
        }
    }

    /// Moves the clock on.
    pub fn pass(&self, time: Duration) {
        self.state.borrow_mut().now += time;
    }
}

impl State {
    fn collect(&mut self, batch: &mut Batch) {
        for r in self.registered.iter_mut().filter(|r| r.armed) {
            let Some(level) = self.levels.iter_mut().find(|level| level.0 == r.fd) else { continue };
            let seen = if r.mode == Mode::Edge { level.2 } else { level.1 };
            let asked = r.want | Ready::ERR | Ready::HUP;
            if seen.intersects(asked) {
                level.2 = Ready::empty();
                r.armed = r.mode != Mode::OneShot;
                batch.push(Event::Ready { key: r.key, what: level.1 & asked });
            }
        }
    }
}

// SAFETY: it takes no operation, and pushes the end of none.
#[allow(unsafe_code, reason = "a promise about operations, of which it has none")]
unsafe impl Backend for Scripted {
    fn caps(&self) -> Caps {
        Caps {
            name: "scripted",
            edge: true,
            pri: true,
            rdhup: true,
            flags: false,
            embed: false,
            regular_files: true,
            completions: Completions::HelperThreads,
            reads_on_the_spot: false,
        }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let mut state = self.state.borrow_mut();
        if state.registered.iter().any(|r| r.fd == fd) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.registered.push(Registered { fd, key, want, mode, armed: true });
        if let Some(level) = state.levels.iter_mut().find(|level| level.0 == fd) {
            level.2 = level.1; // a fresh registration reports what holds already
        }
        Ok(())
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.remove(fd, key)?;
        self.add(fd, key, want, mode)
    }

    fn remove(&mut self, fd: Fd<'_>, _key: Key) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let mut state = self.state.borrow_mut();
        let at = state.registered.iter().position(|r| r.fd == fd).ok_or(io::ErrorKind::NotFound)?;
        state.registered.remove(at);
        Ok(())
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        let before = batch.len();
        let mut state = self.state.borrow_mut();
        state.collect(batch);
        if batch.len() > before || self.woken.flag.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        if let Some(deadline) = deadline {
            state.now = state.now.max(deadline);
            return Ok(());
        }
        let (mutex, signal) = &self.woken.signal;
        let guard = mutex.lock().expect("no code panics under this lock");
        let idle = |_: &mut ()| !self.woken.flag.swap(false, Ordering::SeqCst);
        let (_guard, result) =
            signal.wait_timeout_while(guard, PATIENCE, idle).expect("no code panics under this lock");
        if result.timed_out() {
            return Err(io::Error::new(io::ErrorKind::Deadlock, "the script has nothing that could end this wait"));
        }
        Ok(())
    }

    fn renew(&mut self) -> io::Result<()> {
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.state.borrow_mut().registered.clear();
        Ok(())
    }

    fn waker(&self) -> Waker {
        let woken = Arc::clone(&self.woken);
        Waker::new(move || {
            let _guard = woken.signal.0.lock().expect("no code panics under this lock");
            woken.flag.store(true, Ordering::SeqCst);
            woken.signal.1.notify_one();
        })
    }

    fn now(&self) -> Instant {
        self.state.borrow().now
    }

    fn clock_now(&self, clock: Clock) -> Duration {
        let state = self.state.borrow();
        let at_start = state.at_start.iter().find(|at_start| at_start.0 == clock);
        at_start.map_or_else(|| clock.now(), |(_, at_start)| *at_start + (state.now - state.start))
    }
}
