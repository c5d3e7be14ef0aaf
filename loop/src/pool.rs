//! Helper threads, which carry out operations where no backend does.

use crate::backend::Key;
use crate::op::RawOp;
use crate::remote::Bell;
use becket_sys::signal::{MaskGuard, SignalSet};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// How many threads there are at most, where nobody said. They sleep in system calls, so their number has little to do
/// with cores.
const THREADS: usize = 4;

/// A queue of operations and the threads that serve it, started as they are needed.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// As in the state, which a child cannot always read.
    most: usize,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Key, RawOp)>,
    done: Vec<(Key, io::Result<usize>)>,
    /// How many threads there are, and how many there may be.
    threads: usize,
    most: usize,
    /// How many of them wait for work.
    idle: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }
}

impl Pool {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Pool::with_most(bell, THREADS)
    }

    fn with_most(bell: Arc<Bell>, most: usize) -> Self {
        let state = Mutex::new(State { most, ..State::default() });
        Pool { shared: Arc::new(Shared { state, work: Condvar::new(), bell }), threads: Vec::new(), most }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Changes how many threads there may be, 0 being 1. Those that are too many end after what they are at.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        if !self.shared.bell.origin.is_here() {
            return; // a child's, which has none of the threads: see `abandon`
        }
        let mut state = self.shared.lock();
        state.most = self.most;
        let more = state.queue.len().saturating_sub(state.idle);
        drop(state);
        self.shared.work.notify_all();
        (0..more).for_each(|_| self.start_one());
    }

    /// Queues an operation.
    ///
    /// The caller has promised (as [`RawOp::perform`] asks) that what it names is valid until its end is collected.
    pub(crate) fn submit(&mut self, key: Key, op: RawOp) {
        self.shared.lock().queue.push_back((key, op));
        self.shared.work.notify_one();
        self.start_one();
    }

    /// Starts a thread, where there is more work than threads that wait for it, and there may be one more. Where none
    /// can be started, and there is none, what was submitted last is refused.
    fn start_one(&mut self) {
        let mut state = self.shared.lock();
        if state.idle >= state.queue.len() || state.threads >= state.most {
            return;
        }
        state.threads += 1;
        drop(state);
        self.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        // A signal that the process takes by descriptor must not be delivered to it: it inherits this mask, and is
        // without it at no time.
        let _mask = MaskGuard::block(SignalSet::all());
        match thread::Builder::new().name("becket-helper".into()).spawn(move || serve(&shared)) {
            Ok(thread) => self.threads.push(thread),
            Err(e) => {
                let mut state = self.shared.lock();
                state.threads -= 1;
                // If there are others, they will come to it.
                let left = if state.threads == 0 { state.queue.back().map(|(key, _)| *key) } else { None };
                drop(state);
                if let Some(key) = left {
                    self.refuse(key, e);
                }
            }
        }
    }

    fn refuse(&self, key: Key, error: io::Error) {
        let mut state = self.shared.lock();
        let Some(at) = state.queue.iter().position(|(queued, _)| *queued == key) else { return };
        let refused = state.queue.remove(at);
        state.done.push((key, Err(error)));
        drop(state);
        self.shared.bell.ring();
        drop(refused); // it may own what is the user's to destroy, and that may panic: not under the lock, and last
    }

    /// Ends an operation that has not begun; one that has ends by itself.
    pub(crate) fn cancel(&self, key: Key) {
        self.refuse(key, rustix::io::Errno::CANCELED.into());
    }

    /// Takes the operations that ended since the last call.
    pub(crate) fn collect(&self, into: &mut VecDeque<(Key, io::Result<usize>)>) {
        into.extend(self.shared.lock().done.drain(..));
    }

    /// Lets go of the threads in a child process, which has none of them, and begins anew. Returns what has not begun,
    /// and is the parent's to do, to be dropped; what ended by then is told here, too.
    pub(crate) fn abandon(&mut self, done: &mut VecDeque<(Key, io::Result<usize>)>) -> VecDeque<(Key, RawOp)> {
        let bell = Arc::clone(&self.shared.bell);
        let old = std::mem::replace(self, Pool::with_most(bell, self.most));
        let mut old = std::mem::ManuallyDrop::new(old); // for the threads, which cannot be let go by their handles
        let left = match old.shared.state.try_lock() {
            Ok(mut state) => {
                done.extend(state.done.drain(..));
                std::mem::take(&mut state.queue)
            }
            Err(_) => VecDeque::new(), // locked by a thread that is not there
        };
        old.threads.drain(..).for_each(std::mem::forget);
        left
    }

    /// Cancels what has not begun and waits for the rest: afterwards no operation is under way. Returns what was
    /// cancelled, to be dropped: it may own what is the user's to destroy.
    pub(crate) fn close(&mut self) -> VecDeque<(Key, RawOp)> {
        let mut state = self.shared.lock();
        state.closed = true;
        let cancelled = std::mem::take(&mut state.queue);
        state.done.extend(cancelled.iter().map(|(key, _)| (*key, Err(rustix::io::Errno::CANCELED.into()))));
        drop(state);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // one that a waker's panic ended is not under way either
        }
        cancelled
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.close());
    }
}

fn serve(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.threads > state.most {
            state.threads -= 1;
            drop(state);
            shared.work.notify_one(); // whom it was woken for, perhaps
            return;
        }
        if let Some((key, op)) = state.queue.pop_front() {
            drop(state);
            // SAFETY: who submitted it promised that what it names is valid until its end is collected, which is
            // after this call returned.
            let perform = || unsafe { op.perform() };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(perform));
            let result = result.unwrap_or_else(|_| Err(io::Error::other("the operation panicked")));
            shared.lock().done.push((key, result));
            shared.bell.ring(); // a backend's own waker may be anybody's code: not under the lock
            state = shared.lock();
        } else if state.closed {
            return;
        } else {
            state.idle += 1;
            state = shared.work.wait(state).expect("no code panics under this lock");
            state.idle -= 1;
        }
    }
}
