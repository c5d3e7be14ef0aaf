//! Fibers from other threads.

use crate::error::JoinError;
use crate::outcome::quietly;
use crate::park::{Aborted, Place, Reason, RemoteToken, in_callback, place};
use crate::record::Fiber;
use crate::sched::{Core, Priority, current_core};
use crate::select::Arm;
use crate::select::arm::{Turn, Wait};
use crate::task::{Builder, can_abort};
use crate::time::thread_deadline;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

/// Spawns fibers on a runtime from other threads. Clones are cheap.
///
/// ```
/// use becket_fiber::Runtime;
/// use std::thread;
///
/// let mut runtime = Runtime::new()?;
/// let remote = runtime.remote();
/// let other = thread::spawn(move || remote.spawn(|| 6 * 7)?.join().map_err(std::io::Error::from));
/// runtime.run(|| {
///     while !other.is_finished() {
///         becket_fiber::sleep(std::time::Duration::from_millis(1))?;
///     }
///     assert_eq!(other.join().unwrap()?, 42);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote {
    events: becket_loop::Remote<()>,
}

impl Remote {
    pub(crate) fn new(core: &Core) -> Remote {
        Remote { events: (*core.remote).clone() }
    }

    /// Starts a fiber that runs `f` on the runtime's thread, in its current or next `run`; wakes the runtime.
    ///
    /// # Errors
    /// `BrokenPipe` where the runtime is gone. When the runtime cannot make the fiber,
    /// [`join`](RemoteJoinHandle::join) says so.
    pub fn spawn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> io::Result<RemoteJoinHandle<T>> {
        let state = Mutex::new(State::Running(None, Vec::new()));
        let packet = Arc::new(Packet { state, done: Condvar::new(), fiber: Mutex::new(None) });
        let sender = Sender(packet.clone());
        let posted = self.events.post(move |(), _| {
            let packet = sender.0.clone();
            // In a cell, so that it is left here where the fiber is not made.
            let sender = Rc::new(Cell::new(Some(sender)));
            let in_fiber = Rc::clone(&sender);
            let spawned = Builder::new().spawn(move || {
                let Some(sender) = in_fiber.take() else { return };
                match catch_unwind(AssertUnwindSafe(f)) {
                    Ok(value) => sender.send(Ok(value)),
                    Err(payload) if payload.is::<Aborted>() => {
                        drop(sender);
                        resume_unwind(payload);
                    }
                    Err(payload) => sender.send(Err(JoinError::Panicked(payload))),
                }
            });
            match (spawned, sender) {
                (Ok(handle), _) => *lock(&packet.fiber) = Some(handle.place()),
                (Err(e), sender) => {
                    if let Some(sender) = sender.take() {
                        sender.send(Err(JoinError::Interrupted(e.into())));
                    }
                }
            }
            Ok(())
        });
        if !posted {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the runtime is gone"));
        }
        Ok(RemoteJoinHandle { packet, events: self.events.clone() })
    }
}

impl Remote {
    /// Has `f` called in the loop; returns whether that is there.
    pub(crate) fn post(&self, f: impl FnOnce() + Send + 'static) -> bool {
        self.events.post(move |(), _| {
            f();
            Ok(())
        })
    }

    /// Cancels the fiber of this slot and number, soon, if it still is that one.
    pub(crate) fn cancel_fiber(&self, slot: u32, id: u64) {
        self.events.post(move |(), _| {
            with_fiber((slot, id), |core, fiber| core.cancel(fiber));
            Ok(())
        });
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// A fiber on another thread: waits for its result, or stops it. Dropping it lets the fiber go.
///
/// May be joined on any thread; in a fiber the fiber waits.
pub struct RemoteJoinHandle<T> {
    packet: Arc<Packet<T>>,
    events: becket_loop::Remote<()>,
}

impl<T: Send + 'static> RemoteJoinHandle<T> {
    /// Waits until the fiber has ended, and returns its result; see [`JoinHandle::join`](crate::JoinHandle::join).
    ///
    /// # Errors
    /// As [`JoinHandle::join`](crate::JoinHandle::join); [`JoinError::Interrupted`] also where the fiber could
    /// not be made, [`JoinError::Cancelled`] where the runtime ended before it began.
    pub fn join(self) -> Result<T, JoinError> {
        match place() {
            Place::Thread => self.join_thread(),
            Place::Callback => self.packet.take().unwrap_or_else(|| Err(JoinError::Interrupted(in_callback()))),
            Place::Fiber(here) => loop {
                here.check().map_err(JoinError::Interrupted)?;
                let wait = here.wait(Reason::new("join of a remote fiber"));
                if let Some(result) = self.packet.take_or_wait(Waiter::Fiber(wait.remote_token())) {
                    return result;
                }
                let woken = wait.park(None);
                here.event(woken).map_err(JoinError::Interrupted)?;
            },
        }
    }

    /// An arm of [`select!`](crate::select!) that is chosen when the fiber has ended; [`join`](Self::join) does not
    /// wait then.
    ///
    /// ```
    /// use becket_fiber::{Runtime, select, sleep};
    /// use std::time::Duration;
    ///
    /// let threads = Runtime::builder().threads(2).start()?;
    /// let (quick, slow) = (threads.spawn(|| 1)?, threads.spawn(|| sleep(Duration::from_secs(3600)))?);
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     select! {
    ///         () = quick.on_end() => assert_eq!(quick.join()?, 1),
    ///         () = slow.on_end() => unreachable!("it sleeps for an hour"),
    ///     }
    /// })??;
    /// threads.shutdown()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_end(&self) -> impl Arm<Output = ()> + '_ {
        OnEnd { packet: &self.packet, ended: Cell::new(false) }
    }

    /// As [`join`](Self::join), for a future.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<T, JoinError>> {
        let is_taken = matches!(*lock(&self.packet.state), State::Taken);
        assert!(!is_taken, "a future is not polled after it was ready");
        self.packet.take_or_wait(Waiter::Future(waker.clone())).map_or(Poll::Pending, Poll::Ready)
    }

    fn join_thread(self) -> Result<T, JoinError> {
        let limit = thread_deadline();
        let mut state = lock(&self.packet.state);
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            let left = limit.map_or(Duration::MAX, |l| l.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(JoinError::Interrupted(io::ErrorKind::TimedOut.into()));
            }
            state = match limit {
                None => self.packet.done.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(_) => self.packet.done.wait_timeout(state, left).unwrap_or_else(|p| p.into_inner()).0,
            };
        }
    }

    /// As [`JoinHandle::cancel`](crate::JoinHandle::cancel), soon.
    pub fn cancel(&self) {
        self.with_fiber(|core, fiber| core.cancel(fiber));
    }

    /// As [`JoinHandle::abort`](crate::JoinHandle::abort), soon.
    ///
    /// # Errors
    /// `Unsupported` where panics do not unwind.
    pub fn abort(&self) -> io::Result<()> {
        can_abort()?;
        self.with_fiber(|core, fiber| core.abort(fiber));
        Ok(())
    }

    /// As [`JoinHandle::set_priority`](crate::JoinHandle::set_priority), soon.
    pub fn set_priority(&self, priority: Priority) {
        self.with_fiber(move |_, fiber| fiber.priority.set(priority));
    }

    fn with_fiber(&self, f: impl FnOnce(&Core, &Fiber) + Send + 'static) {
        let packet = self.packet.clone();
        self.events.post(move |(), _| {
            // Posts run in order, so the fiber was spawned before this.
            let place = *lock(&packet.fiber);
            if let Some(place) = place {
                with_fiber(place, f);
            }
            Ok(())
        });
    }

    /// Whether the fiber has ended.
    pub fn is_finished(&self) -> bool {
        self.packet.has_ended()
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").finish_non_exhaustive()
    }
}

/// Calls `f` with the fiber of this slot and number, if it still is that one. To be called in a post to its loop.
fn with_fiber((slot, id): (u32, u64), f: impl FnOnce(&Core, &Fiber)) {
    let Some(core) = current_core() else { return };
    // SAFETY: its loop dispatches, so it is entered.
    let core = unsafe { core.as_ref() };
    // SAFETY: records live as long as the table.
    if let Some(fiber) = core.table.get(slot).map(|f| unsafe { f.as_ref() })
        && fiber.id.get() == id
    {
        f(core, fiber);
    }
}

/// What the two threads share.
struct Packet<T> {
    state: Mutex<State<T>>,
    done: Condvar,
    /// The slot and the number of the fiber, once it is made.
    fiber: Mutex<Option<(u32, u64)>>,
}

enum Waiter {
    Fiber(RemoteToken),
    Future(Waker),
}

enum State<T> {
    /// With who waits for it, and who only wants to be told.
    Running(Option<Waiter>, Vec<RemoteToken>),
    Done(Result<T, JoinError>),
    Taken,
}

impl<T> State<T> {
    fn take(&mut self) -> Option<Result<T, JoinError>> {
        match mem::replace(self, State::Taken) {
            State::Done(result) => Some(result),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<T> Packet<T> {
    fn take(&self) -> Option<Result<T, JoinError>> {
        lock(&self.state).take()
    }

    fn take_or_wait(&self, new: Waiter) -> Option<Result<T, JoinError>> {
        let mut state = lock(&self.state);
        let result = state.take();
        let old = match &mut *state {
            State::Running(waiter, _) => waiter.replace(new),
            _ => Some(new),
        };
        drop(state); // before a waker's destructor, which may be anybody's code
        drop(old);
        result
    }

    fn has_ended(&self) -> bool {
        !matches!(*lock(&self.state), State::Running(..))
    }

    /// Only the first one counts.
    fn finish(&self, result: Result<T, JoinError>) {
        let mut state = lock(&self.state);
        let State::Running(waiter, watching) = &mut *state else { return };
        let (waiter, watching) = (waiter.take(), mem::take(watching));
        *state = State::Done(result);
        drop(state);
        self.done.notify_all();
        for token in watching {
            token.wake(0);
        }
        match waiter {
            None => {}
            Some(Waiter::Fiber(token)) => {
                token.wake(0);
            }
            Some(Waiter::Future(waker)) => quietly(|| waker.wake()),
        }
    }
}

/// The arm of [`RemoteJoinHandle::on_end`].
struct OnEnd<'a, T> {
    packet: &'a Packet<T>,
    ended: Cell<bool>,
}

impl<T> Wait for OnEnd<'_, T> {
    fn look(&self, _: Turn) -> bool {
        self.ended.set(self.packet.has_ended());
        self.ended.get()
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        let Some(here) = turn.here else { return Ok(None) };
        match &mut *lock(&self.packet.state) {
            State::Running(_, watching) => watching.push(RemoteToken::new(turn.token, here)),
            // Since the look: to look again.
            _ => drop(turn.token.wake(0)),
        }
        Ok(None)
    }

    fn leave(&self, turn: Turn) -> bool {
        if let (Some(here), State::Running(_, watching)) = (turn.here, &mut *lock(&self.packet.state)) {
            watching.retain(|other| !other.is(turn.token, here));
        }
        false // to be looked at again
    }
}

impl<T> Arm for OnEnd<'_, T> {
    type Output = ();

    fn finish(self) -> Option<()> {
        self.ended.get().then_some(())
    }
}

/// Sends a result; dropped without one, it says that the fiber was aborted, or never made.
struct Sender<T>(Arc<Packet<T>>);

impl<T> Sender<T> {
    fn send(self, result: Result<T, JoinError>) {
        self.0.finish(result);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.finish(Err(JoinError::Cancelled));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
