//! Futures in fibers, and fibers as futures.

use crate::park::{Here, Place, Reason, in_callback, place, wake_by_bits};
use crate::sched::current_core;
use crate::time::thread_deadline;
use crate::{JoinError, JoinHandle, RemoteJoinHandle};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Runs a future to its end: in a fiber the fiber waits, on a thread that runs no fiber the thread does.
///
/// It is for futures that bring their own wake-ups: channels, locks, whatever other threads or executors complete.
/// Those that need a certain runtime around them (tokio's sockets and timers) want that runtime entered, and running on
/// another thread. The future may borrow, and need not be `Send`; it stands in the caller's frame, so a large one
/// wants a [larger stack](crate::Builder::stack_size), or `Box::pin`. It may call blocking functions of this crate,
/// which then wait as in the fiber that they are in.
///
/// Waking costs what waking a fiber costs where that is done on the fiber's thread, and a post to the loop elsewhere.
/// A future that wakes itself lets the other fibers run before it is polled again.
///
/// # Errors
/// [`Cancelled`](crate::Cancelled), and `TimedOut` when a deadline around is reached: the future is dropped where it
/// stands. `Deadlock` where it would have to wait in a callback of the loop, where it is polled once.
///
/// # Panics
/// With the panic of the future. An aborted fiber unwinds from here and drops the future.
///
/// ```
/// use becket_fiber::{Runtime, block_on, sleep, spawn, timeout};
/// use std::io::ErrorKind;
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let fiber = spawn(|| sleep(Duration::from_millis(1)).map(|()| 20))?;
///     let sum = block_on(async { Ok::<_, std::io::Error>(22 + fiber.await??) })??; // a fiber is a future, too
///     assert_eq!(sum, 42);
///
///     let never = std::future::pending::<()>();
///     let e = timeout(Duration::from_millis(1), || block_on(never)).unwrap_err();
///     assert_eq!(e.kind(), ErrorKind::TimedOut);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    match place() {
        Place::Fiber(here) => in_fiber(here, future),
        Place::Callback => match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Ok(value),
            Poll::Pending => Err(in_callback()),
        },
        Place::Thread => on_thread(future),
    }
}

/// What a waker of a fiber holds. The fiber says which wait is to be ended; whoever wakes says that it did.
struct Alarm {
    core: u32,
    remote: Arc<becket_loop::Remote<()>>,
    /// The bits of the token of the current wait, or of one that is over.
    wait: AtomicU64,
    /// Whether it was woken since the future was polled.
    rung: AtomicBool,
}

impl Alarm {
    /// To be called on the fiber's thread. In vain where the fiber does not wait: then it looks at `rung` before.
    fn wake_here(&self) {
        let Some(core) = current_core() else { return };
        // SAFETY: it is entered on this thread.
        if unsafe { core.as_ref() }.id == self.core {
            wake_by_bits(self.wait.load(Ordering::Relaxed), 0);
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Who rang first has woken it, or is about to.
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // SAFETY: it is entered on this thread.
        if current_core().is_some_and(|core| unsafe { core.as_ref() }.id == self.core) {
            self.wake_here();
        } else {
            let alarm = Arc::clone(self);
            self.remote.post(move |(), _| {
                alarm.wake_here();
                Ok(())
            });
        }
    }
}

fn in_fiber<F: Future>(here: Here, future: F) -> io::Result<F::Output> {
    here.check()?;
    let core = here.core();
    let alarm = Arc::new(Alarm {
        core: core.id,
        remote: Arc::clone(&core.remote),
        wait: AtomicU64::new(u64::MAX),
        rung: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut future = pin!(future);
    loop {
        alarm.rung.store(false, Ordering::Release);
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        here.check()?;
        if alarm.rung.load(Ordering::Acquire) {
            // Others come first, so that a future that wakes itself starves nobody.
            here.reschedule();
            here.check()?;
            continue;
        }
        let wait = here.wait(Reason::new("future"));
        alarm.wait.store(wait.bits(), Ordering::Relaxed);
        // Who rings from now on, on whichever thread, ends this wait by this thread's doing, so after it is parked.
        let woken = wait.park(None);
        here.event(woken)?;
    }
}

/// Wakes a thread that runs no fiber.
struct Unpark {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

fn on_thread<F: Future>(future: F) -> io::Result<F::Output> {
    let limit = thread_deadline();
    let alarm = Arc::new(Unpark { thread: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut future = pin!(future);
    loop {
        alarm.rung.store(false, Ordering::Release);
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        while !alarm.rung.load(Ordering::Acquire) {
            let Some(limit) = limit else {
                thread::park();
                continue;
            };
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::park_timeout(left);
        }
    }
}

/// A fiber as a future, for whatever polls on its thread: [`block_on`] in another fiber, or an executor around a
/// runtime that is [embedded](crate::Runtime::embed). Dropping it lets the fiber go on, as dropping the handle does.
///
/// ```
/// use becket_fiber::{JoinError, Runtime, block_on, spawn};
///
/// let mut runtime = Runtime::new()?;
/// let ended = runtime.run(|| {
///     let fiber = spawn(|| -> u32 { std::panic::resume_unwind(Box::new("lost")) })?;
///     block_on(async { fiber.await })
/// })??;
/// assert!(matches!(ended, Err(JoinError::Panicked(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct JoinFuture<T> {
    handle: Option<JoinHandle<T>>,
}

impl<T> Unpin for JoinFuture<T> {}

impl<T> Future for JoinFuture<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When it was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = self.handle.as_ref().expect("a future is not polled after it was ready");
        if !handle.is_finished() {
            handle.wake_at_end(cx.waker());
            return Poll::Pending;
        }
        match self.handle.take() {
            Some(handle) => Poll::Ready(handle.join()), // without a wait
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for JoinFuture<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.wake_nobody();
        }
    }
}

/// Waits for the fiber as a future. It wants what the fiber's runtime does: to be polled on its thread.
impl<T> IntoFuture for JoinHandle<T> {
    type Output = Result<T, JoinError>;
    type IntoFuture = JoinFuture<T>;

    fn into_future(self) -> JoinFuture<T> {
        JoinFuture { handle: Some(self) }
    }
}

impl<T> fmt::Debug for JoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinFuture").field("handle", &self.handle).finish()
    }
}

/// A fiber of another thread as a future, for any executor on any thread. Dropping it lets the fiber go on.
///
/// ```
/// use becket_fiber::{Runtime, block_on, sleep};
/// use std::time::Duration;
/// use std::{io, thread};
///
/// let mut runtime = Runtime::new()?;
/// let remote = runtime.remote();
/// let executor = thread::spawn(move || {
///     let fiber = remote.spawn(|| sleep(Duration::from_millis(1)).is_ok())?;
///     block_on(async { fiber.await })?.map_err(io::Error::from) // or tokio, or any other
/// });
/// runtime.run(|| {
///     while !executor.is_finished() {
///         sleep(Duration::from_millis(1))?;
///     }
///     assert!(executor.join().unwrap()?);
///     Ok::<_, io::Error>(())
/// })??;
/// # Ok::<(), io::Error>(())
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct RemoteJoinFuture<T> {
    handle: RemoteJoinHandle<T>,
}

impl<T: Send + 'static> Future for RemoteJoinFuture<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When it was ready before.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.handle.poll(cx.waker())
    }
}

/// Waits for the fiber as a future, on any thread.
impl<T: Send + 'static> IntoFuture for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;
    type IntoFuture = RemoteJoinFuture<T>;

    fn into_future(self) -> RemoteJoinFuture<T> {
        RemoteJoinFuture { handle: self }
    }
}

impl<T> fmt::Debug for RemoteJoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinFuture").finish_non_exhaustive()
    }
}
