//! The runtime: a loop, the fibers on it, and their end.

use crate::context::{AltStack, Class};
use crate::error::SpawnError;
use crate::list::{FiberInfo, list};
use crate::park::{Place, in_callback, place};
use crate::record::{Fiber, State};
use crate::remote::Remote;
use crate::sched::{Core, Entered};
use crate::stacks::{StackUse, report};
use crate::task::{Builder, JoinHandle, can_abort};
use crate::time::thread_deadline;
use crate::{Cancelled, JoinError};
use becket_loop::backend::Backend;
use becket_loop::{Ctx, Loop};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

/// How many errors of the loop in a row end the attempt to shut down in order.
const ERRORS_MAX: u32 = 100;

/// Fibers on one loop, on one thread.
///
/// [`run`](Self::run) calls a closure in a fiber and drives everything until that returns. What it has spawned stays,
/// and goes on when `run` is called again. Dropping the runtime ends it in order; see [`shutdown`](Self::shutdown).
///
/// ```
/// use becket_fiber::{Runtime, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let answer = runtime.run(|| {
///     let slow = spawn(|| sleep(Duration::from_millis(2)).map(|()| 40))?;
///     let quick = spawn(|| 2)?;
///     Ok::<_, std::io::Error>(slow.join()?? + quick.join()?)
/// })??;
/// assert_eq!(answer, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    pub(crate) core: Rc<Core>,
    grace: Duration,
}

/// The settings of a [`Runtime`].
///
/// ```
/// use becket_fiber::{Runtime, backend};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::builder()
///     .backend(backend::Poll::new()?)
///     .max_fibers(10_000)
///     .stack_size(64 * 1024)
///     .grace(Duration::from_secs(1))
///     .build()?;
/// assert_eq!(runtime.run(|| "on poll(2)")?, "on poll(2)");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub struct RuntimeBuilder {
    backend: Option<Box<dyn FnOnce() -> Loop<()>>>,
    settings: Settings,
}

/// What the runtimes of several threads have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    max_fibers: usize,
    stack_size: usize,
    idle_stacks: usize,
    measure_stacks: bool,
    /// `None` is what the loop has.
    blocking_threads: Option<usize>,
    grace: Duration,
}

impl RuntimeBuilder {
    /// What waits for descriptors; epoll(7) is the default.
    pub fn backend(mut self, backend: impl Backend + 'static) -> RuntimeBuilder {
        self.backend = Some(Box::new(move || Loop::with_backend(backend)));
        self
    }

    /// How many fibers there may be at a time, the one of [`run`](Runtime::run) included; one more is a
    /// [`SpawnError`]. The default is 1,000,000.
    pub fn max_fibers(mut self, max: usize) -> RuntimeBuilder {
        self.settings.max_fibers = max;
        self
    }

    /// The size of a fiber's stack in bytes, rounded up to a power of two, at least 16 KiB. The default is 128 KiB of
    /// address space; memory is used for the pages that were touched.
    pub fn stack_size(mut self, bytes: usize) -> RuntimeBuilder {
        self.settings.stack_size = bytes;
        self
    }

    /// How many stacks may stay mapped for fibers to come; the default is 256.
    ///
    /// What a fiber leaves is kept: the next one starts on it about 200 times faster than on a new one. Stacks beyond
    /// this number that nobody needed for a second are unmapped, a few at a time. One that would leave a small gap
    /// between others stays, empty but for two or three pages.
    #[doc(alias = "pool")]
    pub fn idle_stacks(mut self, max: usize) -> RuntimeBuilder {
        self.settings.idle_stacks = max;
        self
    }

    /// Whether to measure how much of their stacks the fibers use, for [`stack_use`](crate::stack_use); the default is
    /// not to.
    ///
    /// Each fiber then costs two system calls when it ends, mincore(2) and madvise(2), and begins on a stack whose
    /// memory the system has to give anew: a microsecond or two, where it is a twentieth of one otherwise.
    pub fn measure_stacks(mut self, measure: bool) -> RuntimeBuilder {
        self.settings.measure_stacks = measure;
        self
    }

    /// How many helper threads there may be, of each runtime, for [`unblock`](crate::unblock), and for calls on files
    /// that io_uring does not serve. The default is 4; 0 counts as 1.
    ///
    /// They are started as they are needed. Beyond their number calls wait for their turn, in the order in which they
    /// were made; a cancel or a deadline ends that wait. Calls that wait for each other may wait for ever where there
    /// are more of them than threads. In a fiber, `with_ctx(|ctx| ctx.set_helper_threads(n))` changes it.
    ///
    /// ```
    /// use becket_fiber::{Runtime, scope, unblock};
    /// use std::sync::Barrier;
    ///
    /// let mut runtime = Runtime::builder().blocking_threads(10).build()?;
    /// let all = Barrier::new(10);
    /// runtime.run(|| {
    ///     scope(|s| {
    ///         (0..10).try_for_each(|_| s.spawn(|| unblock(|| all.wait())).map(drop)) // each on a thread of its own
    ///     })
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "max_blocking_threads")]
    pub fn blocking_threads(mut self, most: usize) -> RuntimeBuilder {
        self.settings.blocking_threads = Some(most);
        self
    }

    /// How long [`shutdown`](Runtime::shutdown) and drop wait for cancelled fibers, and again for aborted ones. The
    /// default is 5 seconds.
    pub fn grace(mut self, grace: Duration) -> RuntimeBuilder {
        self.settings.grace = grace;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`, where the loop cannot have its descriptors; `InvalidInput` for a stack size beyond
    /// half of all addresses.
    pub fn build(mut self) -> io::Result<Runtime> {
        let events = self.backend.take().map(|make| make());
        self.build_on(events)
    }

    pub(crate) fn build_on(self, events: Option<Loop<()>>) -> io::Result<Runtime> {
        let mut events = events.map_or_else(Loop::new, Ok)?;
        let Settings { max_fibers, stack_size, idle_stacks, measure_stacks, blocking_threads, grace } = self.settings;
        if let Some(most) = blocking_threads {
            events.set_helper_threads(most);
        }
        let class = Class::of(stack_size)?;
        Ok(Runtime { core: Core::new(events, max_fibers, class, idle_stacks, measure_stacks), grace })
    }
}

/// For [`threads`](RuntimeBuilder::threads).
impl RuntimeBuilder {
    pub(crate) fn has_backend(&self) -> bool {
        self.backend.is_some()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    pub(crate) fn from_settings(settings: Settings) -> RuntimeBuilder {
        RuntimeBuilder { backend: None, settings }
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime on epoll(7).
    ///
    /// # Errors
    /// As [`RuntimeBuilder::build`].
    pub fn new() -> io::Result<Runtime> {
        Self::builder().build()
    }

    /// The settings, at their defaults.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::from_settings(Settings {
            max_fibers: 1_000_000,
            stack_size: 128 * 1024,
            idle_stacks: 256,
            measure_stacks: false,
            blocking_threads: None,
            grace: Duration::from_secs(5),
        })
    }

    /// Calls `main` in a fiber, and runs all fibers and callbacks of this runtime until it returns.
    ///
    /// `main` may borrow. Fibers that are left over wait for the next `run`, or for the shutdown. Deadlines that hold
    /// for the caller hold for `main`.
    ///
    /// # Errors
    /// A fiber cannot be made (see [`SpawnError`]), another runtime runs on this thread, the thread unwinds, or this is
    /// a [child](Self::after_fork) of the process that made the runtime (`ECHILD`): then `main` was not called. When
    /// the loop fails, or a callback's error has no handler, `main` is cancelled, and the error is returned once it has
    /// ended.
    ///
    /// # Panics
    /// With the panic of `main`, after all other fibers were ended as by [`shutdown`](Self::shutdown); with that of a
    /// callback, after `main` was cancelled and has ended.
    ///
    /// # Aborts
    /// The process, when `main` has to be ended but ignores its cancel and its abort: it may borrow from the caller.
    pub fn run<T>(&mut self, main: impl FnOnce() -> T) -> io::Result<T> {
        self.may_run()?;
        let core = &self.core;
        let _entered = Entered::new(core)?;
        let _altstack = AltStack::ensure();
        // SAFETY: the fiber has finished when this function returns or unwinds; else the process ends.
        let at = unsafe { core.spawn(Builder::new().name("main"), main)? };
        // SAFETY: the record is held until `release` below.
        let main = unsafe { at.as_ref() };
        main.deadline.set(thread_deadline());

        let finished = || main.state.get() == State::Finished;
        let failure = self.drive(&finished).err();
        if !finished() && !self.stop(&[main], &finished) {
            crate::park::die("the main fiber ignores its abort, and may borrow from its caller");
        }
        // SAFETY: it was spawned with this type, and is held. It has finished, so that this does not wait.
        let result = unsafe { core.join::<T>(main) };
        main.held.set(false);
        core.release(main);
        match (failure, result) {
            (Some(Failure::Panic(payload)), _) => resume_unwind(payload),
            (Some(Failure::Error(e)), _) => Err(e),
            (None, Ok(value)) => Ok(value),
            (None, Err(JoinError::Panicked(payload))) => {
                self.stop_all();
                resume_unwind(payload)
            }
            (None, Err(JoinError::Cancelled)) => Err(Cancelled.into()),
            (None, Err(JoinError::Interrupted(e))) => Err(e),
        }
    }

    /// Whether fibers may run here and now.
    pub(crate) fn may_run(&self) -> io::Result<()> {
        if thread::panicking() {
            return Err(io::Error::other("a runtime cannot run while the thread unwinds"));
        }
        if self.core.has_forked() { Err(rustix::io::Errno::CHILD.into()) } else { Ok(()) }
    }

    /// Runs fibers and callbacks until `stop` says so.
    fn drive(&self, stop: &impl Fn() -> bool) -> Result<(), Failure> {
        loop {
            self.core.run_queued(stop);
            if stop() {
                return Ok(());
            }
            self.turn_loop(None)?;
        }
    }

    pub(crate) fn turn_loop(&self, max: Option<Duration>) -> Result<(), Failure> {
        match catch_unwind(AssertUnwindSafe(|| self.core.turn(max))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Failure::Error(e)),
            Err(payload) => Err(Failure::Panic(payload)),
        }
    }

    /// Cancels fibers and runs until `done`, then aborts them and runs again, each for the time of grace. Returns
    /// whether `done`.
    fn stop(&self, fibers: &[&Fiber], done: &impl Fn() -> bool) -> bool {
        fibers.iter().for_each(|f| self.core.cancel(f));
        if self.drive_for(self.grace, done) {
            return true;
        }
        if can_abort().is_ok() {
            fibers.iter().for_each(|f| self.core.abort(f));
        }
        self.drive_for(self.grace, done)
    }

    fn drive_for(&self, limit: Duration, done: &impl Fn() -> bool) -> bool {
        let until = Instant::now().checked_add(limit);
        let mut errors = 0;
        loop {
            self.core.run_queued(done);
            if done() {
                return true;
            }
            let left = until.map(|u| u.saturating_duration_since(Instant::now()));
            if left.is_some_and(|l| l.is_zero()) {
                return false;
            }
            match self.turn_loop(left) {
                Ok(()) => errors = 0,
                Err(_) => errors += 1,
            }
            if errors >= ERRORS_MAX {
                return false;
            }
        }
    }

    /// Ends all fibers; returns how many are left. To be called while entered.
    fn stop_all(&self) -> usize {
        let core = &self.core;
        let mut all = Vec::new();
        core.table.for_each(|fiber| {
            if fiber.state.get() != State::Finished {
                all.push(core.table.get(fiber.slot));
            }
        });
        // SAFETY: records live as long as the table; `cancel` and `abort` do nothing to one that has finished, and a
        // record that is used anew belongs to a fiber of this runtime, which is to end, too.
        let all: Vec<&Fiber> = all.iter().flatten().map(|f| unsafe { f.as_ref() }).collect();
        self.stop(&all, &|| core.live.get() == 0);
        core.live.get()
    }

    /// Starts a fiber, which first runs in the next [`run`](Self::run); see [`spawn`](crate::spawn).
    ///
    /// # Errors
    /// As [`spawn`](crate::spawn).
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Result<JoinHandle<T>, SpawnError> {
        let spawned = Builder::new().spawn_on(self.core.clone(), f);
        self.core.nudge();
        spawned
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        Remote::new(&self.core)
    }

    /// Lends the loop, to add callbacks that run beside the fibers. In fibers use [`with_ctx`](crate::with_ctx).
    pub fn ctx(&mut self) -> &mut Ctx<()> {
        // SAFETY: `self` is borrowed exclusively for as long as the loop is, and only `run`, `shutdown` and the
        // destructor use the loop, and fibers and callbacks inside of these.
        unsafe { self.core.exclusive_ctx() }
    }

    /// The fibers that have not ended; see [`fibers`](crate::fibers).
    pub fn fibers(&self) -> Vec<FiberInfo> {
        list(&self.core)
    }

    /// How much of their stacks the fibers have used; see [`stack_use`](crate::stack_use).
    pub fn stack_use(&self) -> Vec<StackUse> {
        report(&self.core)
    }

    /// Ends the runtime in order, as dropping it does, and says whether all fibers have ended.
    ///
    /// No fiber can be spawned any more. All fibers are cancelled, and run until they have ended, for the
    /// [grace](RuntimeBuilder::grace) at most; those that are left are aborted, and run for the same time again. An
    /// operation in the kernel's hands is waited for by its fiber. Then the loop is dropped with its callbacks.
    ///
    /// A fiber that is still there is never run again, and never freed: its stack, and all that it borrows or owns, is
    /// leaked. So are all fibers when the runtime is dropped while the thread unwinds, or inside another runtime, or in
    /// a [child](Self::after_fork) process.
    ///
    /// # Errors
    /// The names of the fibers that would not end.
    pub fn shutdown(mut self) -> io::Result<()> {
        let left = self.end();
        if left.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = left.iter().map(ToString::to_string).collect();
        Err(io::Error::other(format!("fibers that would not end: {}", names.join("; "))))
    }

    fn end(&mut self) -> Vec<FiberInfo> {
        let core = &self.core;
        if core.closed.replace(true) {
            return Vec::new(); // by `shutdown`, before the destructor
        }
        let mut left = Vec::new();
        if core.live.get() > 0 {
            if !thread::panicking()
                && !core.has_forked()
                && let Ok(_entered) = Entered::new(core)
            {
                let _altstack = AltStack::ensure();
                self.stop_all();
            }
            left = list(core);
        }
        core.close();
        left
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("fibers", &self.core.live.get()).field("grace", &self.grace).finish()
    }
}

/// Why the loop cannot go on.
pub(crate) enum Failure {
    Error(io::Error),
    Panic(Box<dyn Any + Send>),
}

/// Lends the loop of the fiber that calls, to add callbacks, timers and signals that run on it beside the fibers.
///
/// Nothing may wait inside `f`: blocking calls there are errors of kind `Deadlock`, as they are in the callbacks.
///
/// # Errors
/// `Unsupported` where no fiber runs; `Deadlock` inside a callback, which has its own `Ctx`, or inside another call
/// of this.
///
/// ```
/// use becket_fiber::{Runtime, sleep, with_ctx};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let mut runtime = Runtime::new()?;
/// let called = Rc::new(Cell::new(false));
/// let c = called.clone();
/// runtime.run(|| {
///     with_ctx(|ctx| ctx.after(Duration::from_millis(1), move |(), _| Ok(c.set(true))))?;
///     while !called.get() {
///         sleep(Duration::from_millis(1))?;
///     }
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_ctx<R>(f: impl FnOnce(&mut Ctx<()>) -> R) -> io::Result<R> {
    match place() {
        Place::Fiber(here) => here.core().with_ctx(f).ok_or_else(in_callback),
        Place::Callback => Err(in_callback()),
        Place::Thread => Err(io::Error::new(io::ErrorKind::Unsupported, "no fiber runs here")),
    }
}
