//! A loop per thread.

use crate::net::TcpListener;
use crate::park::{Place, Reason, RemoteToken, place};
use crate::runtime::Settings;
use crate::{Cancelled, Remote, RemoteJoinHandle, Runtime, RuntimeBuilder, is_cancelled, sleep};
use becket_loop::Loop;
use becket_loop::backend::Backend;
use becket_sys::SetupError;
use becket_sys::tcp::Listener;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

type MakeLoop = Arc<dyn Fn() -> io::Result<Loop<()>> + Send + Sync>;

/// The settings of runtimes on several threads, one each: [`RuntimeBuilder::threads`].
///
/// [`run`](Self::run) is for a program that does nothing else, and [`start`](Self::start) for one that goes on beside
/// them.
///
/// Threads have the signals blocked that their maker has. Where one of them takes signals by
/// [`Signals`](crate::signal::Signals), they must be blocked in all, also in the maker: by a
/// [`MaskGuard`](crate::signal::MaskGuard), before.
///
/// ```
/// use becket_fiber::net::{TcpListener, TcpStream};
/// use becket_fiber::{Runtime, is_cancelled, spawn};
/// use std::io::{self, Read, Write};
///
/// let listeners = TcpListener::bind_shards(([127, 0, 0, 1], 0), 2)?;
/// let addr = listeners[0].local_addr()?;
/// # let client = std::thread::spawn(move || {
/// #     let mut stream = TcpStream::connect_addr(addr)?;
/// #     stream.write_all(b"last")?;
/// #     io::read_to_string(stream)
/// # });
/// let served = Runtime::builder().threads(2).name("echo").run(|thread| {
///     let mut served = 0;
///     loop {
///         let mut stream = match listeners[thread.index()].accept() {
///             Ok((stream, _)) => stream,
///             Err(e) if is_cancelled(&e) => return Ok(served), // another thread has called `stop`
///             Err(e) => return Err(e),
///         };
///         served += 1;
///         let mut word = [0; 4];
///         stream.read_exact(&mut word)?; // or in a fiber of its own, by `spawn`
///         stream.write_all(&word)?;
///         if &word == b"last" {
///             thread.stop();
///         }
///     }
/// })?;
/// assert_eq!(served.iter().sum::<u32>(), 1);
/// # assert_eq!(client.join().unwrap()?, "last");
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub struct ThreadsBuilder {
    settings: Settings,
    count: usize,
    name: String,
    cpus: Vec<usize>,
    backend: Option<MakeLoop>,
    /// Why it cannot be.
    refused: Option<&'static str>,
}

impl RuntimeBuilder {
    /// `count` runtimes with these settings, each on a thread of its own; the limits hold for each. A
    /// [`backend`](Self::backend) is to be given anew, as a function that makes one in each thread.
    pub fn threads(self, count: usize) -> ThreadsBuilder {
        let refused = match count {
            0 => Some("no threads"),
            _ if self.has_backend() => {
                Some("a backend belongs to one thread: let `ThreadsBuilder::backend` make one in each")
            }
            _ => None,
        };
        ThreadsBuilder {
            settings: self.settings(),
            count,
            name: "fibers".into(),
            cpus: Vec::new(),
            backend: None,
            refused,
        }
    }
}

impl ThreadsBuilder {
    /// Names the threads `name-0`, `name-1` and so on, as ps(1) and debuggers show, cut to 15 bytes. The default is
    /// `fibers`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Keeps each thread on one processor: the first thread on the first of `cpus`, and so on, round and round. By
    /// default, and where there are none, the kernel chooses.
    #[doc(alias = "affinity")]
    #[doc(alias = "sched_setaffinity")]
    pub fn cpus(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = cpus.into_iter().collect();
        self
    }

    /// What waits for descriptors: `make` is called in each thread.
    ///
    /// ```
    /// use becket_fiber::{Runtime, backend};
    ///
    /// let names = Runtime::builder().threads(2).backend(backend::Poll::new).run(|_| {
    ///     Ok::<_, std::io::Error>(becket_fiber::with_ctx(|ctx| ctx.caps().name)?)
    /// })?;
    /// assert_eq!(names, ["poll", "poll"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn backend<B: Backend + 'static>(mut self, make: impl Fn() -> io::Result<B> + Send + Sync + 'static) -> Self {
        self.backend = Some(Arc::new(move || Ok(Loop::with_backend(make()?))));
        self
    }

    /// Calls `main` in a fiber on each thread, waits until all of them have returned, and gives what they returned, in
    /// the order of the threads.
    ///
    /// When one returns an error or panics, the fibers of the others' `main` are cancelled, and what happened first is
    /// returned. Fibers of a thread go on until every `main` has returned, or all are stopped; then each runtime ends
    /// as by [`shutdown`](Runtime::shutdown). `main` may borrow.
    ///
    /// # Errors
    /// The first of `main`'s; `EAGAIN` where no thread can be had, `InvalidInput` where there are to be none, or for a
    /// processor that cannot be; `EINVAL` for one that is not there; those of [`RuntimeBuilder::build`]; `Deadlock` in
    /// a fiber or in a callback, which must not block.
    ///
    /// # Panics
    /// With the first panic of `main`, or of a callback.
    pub fn run<T: Send, E: Send + From<io::Error>>(
        self,
        main: impl Fn(&Shard) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E> {
        self.check()?;
        let shared = Shared::new(self.count);
        let results: Mutex<Vec<Option<T>>> = Mutex::new((0..self.count).map(|_| None).collect());
        let first: Mutex<Option<First<E>>> = Mutex::new(None);
        thread::scope(|s| {
            for index in 0..self.count {
                let (this, shard, main) = (&self, Shard { index, shared: Arc::clone(&shared) }, &main);
                let (results, first) = (&results, &first);
                let body = move || {
                    let ended = catch_unwind(AssertUnwindSafe(|| this.serve(&shard, || main(&shard))));
                    let failed = match ended {
                        Ok(Ok(None)) => return,
                        Ok(Ok(Some(value))) => return lock(results)[index] = Some(value),
                        Ok(Err(e)) => First::Error(e),
                        Err(payload) => First::Panic(payload),
                    };
                    lock(first).get_or_insert(failed);
                    shard.stop();
                };
                if let Err(e) = self.thread(index).spawn_scoped(s, body) {
                    lock(first).get_or_insert(First::Error(e.into()));
                    shared.give_up(self.count - index);
                    break;
                }
            }
        });
        match take(first) {
            Some(First::Panic(payload)) => resume_unwind(payload),
            Some(First::Error(e)) => Err(e),
            None => Ok(take(results).into_iter().flatten().collect()),
        }
    }

    /// Starts the threads, which wait for what [`Threads::spawn`] gives them.
    ///
    /// # Errors
    /// As [`run`](Self::run): then none is left running.
    pub fn start(self) -> io::Result<Threads> {
        self.check()?;
        let count = self.count;
        let shared = Shared::new(count);
        let first: Arc<Mutex<Option<First<io::Error>>>> = Arc::default();
        let mut threads =
            Threads { shared: Arc::clone(&shared), first: Arc::clone(&first), threads: Vec::new(), next: 0.into() };
        let this = Arc::new(self);
        for index in 0..count {
            let (settings, first) = (Arc::clone(&this), Arc::clone(&first));
            let shard = Shard { index, shared: Arc::clone(&shared) };
            let body = move || {
                let forever = || match sleep(Duration::MAX) {
                    Err(e) if !is_cancelled(&e) => Err(e),
                    _ => Ok(()),
                };
                let failed = match catch_unwind(AssertUnwindSafe(|| settings.serve(&shard, forever))) {
                    Ok(Ok(_)) => return,
                    Ok(Err(e)) => First::Error(e),
                    Err(payload) => First::Panic(payload),
                };
                lock(&first).get_or_insert(failed);
                shard.stop();
            };
            match this.thread(index).spawn(body) {
                Ok(thread) => threads.threads.push(thread),
                Err(e) => {
                    lock(&threads.first).get_or_insert(First::Error(e));
                    shared.give_up(count - index);
                    break;
                }
            }
        }
        if shared.all_are_up() { Ok(threads) } else { Err(threads.end().err().unwrap_or_else(|| Cancelled.into())) }
    }

    fn check(&self) -> io::Result<()> {
        let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if let Some(why) = self.refused {
            return invalid(why);
        }
        if self.cpus.iter().any(|cpu| *cpu >= CpuSet::MAX_CPU) {
            return invalid("a processor with a number that is too large");
        }
        match place() {
            Place::Thread => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::Deadlock, "a fiber cannot wait for threads")),
        }
    }

    fn thread(&self, index: usize) -> thread::Builder {
        thread::Builder::new().name(format!("{}-{index}", self.name))
    }

    fn build(&self, index: usize) -> io::Result<Runtime> {
        if !self.cpus.is_empty() {
            let mut cpu = CpuSet::new();
            cpu.set(self.cpus[index % self.cpus.len()]);
            sched_setaffinity(None, &cpu)?;
        }
        let events = self.backend.as_ref().map(|make| make()).transpose()?;
        RuntimeBuilder::from_settings(self.settings).build_on(events)
    }

    /// The life of one thread. `None` where it did not come to `main`, since another one could not be made.
    fn serve<T, E: From<io::Error>>(&self, shard: &Shard, main: impl FnOnce() -> Result<T, E>) -> Result<Option<T>, E> {
        let built = self.build(shard.index);
        shard.shared.is_up(shard.index, built.as_ref().ok().map(Runtime::remote));
        let mut runtime = built?;
        if !shard.shared.all_are_up() {
            return Ok(None);
        }
        let value = runtime.run(|| {
            shard.shared.may_stop_me();
            let running = Running(&shard.shared);
            let value = main();
            drop(running);
            if value.is_ok() {
                shard.shared.wait_for_the_others();
            }
            value
        })??;
        runtime.shutdown()?;
        Ok(Some(value))
    }
}

impl fmt::Debug for ThreadsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, name, cpus) = (self.count, &self.name, &self.cpus);
        f.debug_struct("ThreadsBuilder")
            .field("count", &count)
            .field("name", name)
            .field("cpus", cpus)
            .finish_non_exhaustive()
    }
}

/// What went wrong first.
enum First<E> {
    Panic(Box<dyn Any + Send>),
    Error(E),
}

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    count: usize,
}

struct State {
    /// One for each thread, once it is up.
    remotes: Vec<Option<Remote>>,
    /// Threads of which it is not known yet whether they come up.
    awaited: usize,
    /// The main fibers that are to be cancelled when it stops: slot, number and whose.
    mains: Vec<(u32, u64, Remote)>,
    /// How many of `main` have not returned, once all are up.
    running: usize,
    /// Main fibers that wait for the others.
    waiting: Vec<RemoteToken>,
    stopped: bool,
}

impl Shared {
    fn new(count: usize) -> Arc<Shared> {
        let state = State {
            remotes: vec![None; count],
            awaited: count,
            mains: Vec::new(),
            running: count,
            waiting: Vec::new(),
            stopped: false,
        };
        Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), count })
    }

    fn is_up(&self, index: usize, remote: Option<Remote>) {
        let mut state = lock(&self.state);
        state.remotes[index] = remote;
        state.awaited -= 1;
        self.changed.notify_all();
    }

    /// So many will not come.
    fn give_up(&self, threads: usize) {
        lock(&self.state).awaited -= threads;
        self.changed.notify_all();
    }

    /// Waits until that is known.
    fn all_are_up(&self) -> bool {
        let state = lock(&self.state);
        let state = self.changed.wait_while(state, |s| s.awaited > 0).unwrap_or_else(|p| p.into_inner());
        state.remotes.iter().all(Option::is_some)
    }

    fn remote(&self, thread: usize) -> io::Result<Remote> {
        let remote = lock(&self.state).remotes.get(thread).cloned().flatten();
        remote.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("there is no thread {thread}")))
    }

    /// Says of the running fiber that it is to be cancelled when the threads stop.
    fn may_stop_me(&self) {
        let Place::Fiber(here) = place() else { return };
        let (core, fiber) = (here.core(), here.fiber());
        let mut state = lock(&self.state);
        if state.stopped {
            drop(state);
            return core.cancel(fiber);
        }
        state.mains.push((fiber.slot, fiber.id.get(), Remote::new(core)));
    }

    /// In the main fiber: until no other `main` runs, which may want something of this thread; or until this fiber is
    /// cancelled.
    fn wait_for_the_others(&self) {
        let Place::Fiber(here) = place() else { return };
        while here.check().is_ok() {
            let mut state = lock(&self.state);
            if state.running == 0 {
                return;
            }
            let wait = here.wait(Reason::new("main of the other threads"));
            state.waiting.push(wait.remote_token());
            drop(state);
            if here.event(wait.park(None)).is_err() {
                return;
            }
        }
    }

    fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        let mains = std::mem::take(&mut state.mains);
        drop(state);
        for (slot, id, remote) in mains {
            remote.cancel_fiber(slot, id);
        }
    }
}

/// A `main` that runs, or unwinds.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.running -= 1;
        if state.running == 0 {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            for token in waiting {
                token.wake(0);
            }
        }
    }
}

/// One of the threads of [`ThreadsBuilder::run`], as its `main` sees it.
///
/// ```
/// use becket_fiber::Runtime;
///
/// let numbers = Runtime::builder().threads(3).run(|thread| {
///     // A ring: each asks the next for its number.
///     let next = (thread.index() + 1) % thread.count();
///     Ok::<_, std::io::Error>(thread.spawn_on(next, move || next)?.join()?)
/// })?;
/// assert_eq!(numbers, [1, 2, 0]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Shard {
    index: usize,
    shared: Arc<Shared>,
}

impl Shard {
    /// The number of this thread, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Cancels the main fibers of all threads, this one included, soon. Those that it has told before, and those that
    /// begin later, are cancelled, too.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Starts a fiber on the thread of this number; see [`Threads::spawn_on`].
    ///
    /// # Errors
    /// As [`Threads::spawn_on`].
    pub fn spawn_on<T: Send + 'static>(
        &self,
        thread: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<RemoteJoinHandle<T>> {
        self.shared.remote(thread)?.spawn(f)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("index", &self.index).field("count", &self.count()).finish()
    }
}

/// Runtimes on threads of their own, which wait for fibers: [`ThreadsBuilder::start`].
///
/// Dropping it stops all of them, as [`shutdown`](Self::shutdown) does, and waits. When one of them fails, because its
/// loop does or a callback panics, the others stop, too, and `shutdown` says why.
///
/// ```
/// use becket_fiber::{Runtime, sleep};
/// use std::time::Duration;
///
/// let threads = Runtime::builder().threads(2).name("pool").start()?;
/// let name = || std::thread::current().name().map(str::to_owned);
/// let a = threads.spawn(move || sleep(Duration::from_millis(1)).map(|()| name()))?;
/// let b = threads.spawn_on(1, || 42)?;
/// assert_eq!(a.join()??.as_deref(), Some("pool-0"));
/// assert_eq!(b.join()?, 42);
/// threads.shutdown()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Threads {
    shared: Arc<Shared>,
    first: Arc<Mutex<Option<First<io::Error>>>>,
    threads: Vec<thread::JoinHandle<()>>,
    next: AtomicUsize,
}

impl Threads {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.shared.count
    }

    /// Starts a fiber on one thread after the other.
    ///
    /// # Errors
    /// As [`spawn_on`](Self::spawn_on).
    pub fn spawn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> io::Result<RemoteJoinHandle<T>> {
        self.spawn_on(self.next.fetch_add(1, Ordering::Relaxed) % self.len(), f)
    }

    /// Starts a fiber on the thread of this number, from 0; there it may spawn others, which stay there.
    ///
    /// # Errors
    /// `InvalidInput` where there is no such thread; `BrokenPipe` where it has ended.
    pub fn spawn_on<T: Send + 'static>(
        &self,
        thread: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<RemoteJoinHandle<T>> {
        self.remote(thread)?.spawn(f)
    }

    /// A handle to the runtime of the thread of this number.
    ///
    /// # Errors
    /// `InvalidInput` where there is no such thread.
    pub fn remote(&self, thread: usize) -> io::Result<Remote> {
        self.shared.remote(thread)
    }

    /// Ends all runtimes in order, each as [`Runtime::shutdown`] does, all at the same time, and waits for the threads.
    /// In a fiber it blocks the thread.
    ///
    /// # Errors
    /// What went wrong first: a loop that failed, a panic of a callback, fibers that would not end.
    pub fn shutdown(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // its panics were caught
        }
        match lock(&self.first).take() {
            None => Ok(()),
            Some(First::Error(e)) => Err(e),
            Some(First::Panic(payload)) => Err(crate::JoinError::Panicked(payload).into()),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("count", &self.shared.count).finish_non_exhaustive()
    }
}

impl TcpListener {
    /// `count` listeners at one address, over which the kernel spreads the connections, by a hash of the addresses and
    /// ports of both ends: one for each thread of [`threads`](RuntimeBuilder::threads). With port 0 the system chooses
    /// one for all.
    ///
    /// Only processes of the same user can join them at the port. When one of them is closed the connections in its
    /// queue are reset, and later ones go to the others: close them together, and let all threads accept.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// ```
    /// use becket_fiber::net::TcpListener;
    ///
    /// let shards = TcpListener::bind_shards(([127, 0, 0, 1], 0), 4)?;
    /// assert!(shards.iter().all(|s| s.local_addr().ok() == shards[0].local_addr().ok()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_REUSEPORT")]
    pub fn bind_shards(addr: impl Into<SocketAddr>, count: usize) -> Result<Vec<TcpListener>, SetupError> {
        let builder = Listener::builder().reuse_port(true);
        let mut addr = addr.into();
        let mut all = Vec::new();
        for _ in 0..count {
            let listener = builder.bind(addr)?;
            addr = listener.local_addr().map_err(|e| SetupError::new("getsockname", addr.to_string(), e))?;
            all.push(TcpListener::try_from(listener).map_err(|e| SetupError::new("fcntl", addr.to_string(), e))?);
        }
        Ok(all)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn take<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}
