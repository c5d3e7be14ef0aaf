use super::channel::{SendError, TrySendError};
use super::is_there;
use crate::park::{Place, Reason, RemoteToken, in_callback, place};
use crate::select::Arm;
use crate::select::arm::{Turn, Wait};
use crate::time::thread_deadline;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use std::{fmt, iter, mem};

/// A queue of at most `capacity` values (0 counts as 1) between threads: of runtimes, where the fiber waits, and plain
/// ones, which block. Within one thread a [`channel`](super::channel) is cheaper, and serves in order.
///
/// Values come out in the order in which they were put in. Who waits is woken in turn, but who comes may be quicker than
/// who is just woken. A runtime is woken once for any number of values that were sent before its fiber runs. When the last
/// sender is gone, the receivers still get what is in the queue; when the last receiver is gone, sending fails. Both ends
/// go with the fibers that have them, so that a runtime which shuts down ends the waits of others.
///
/// ```
/// use becket_fiber::{Runtime, sync::thread_channel};
/// use std::thread;
///
/// let (questions, asked) = thread_channel(1);
/// let (answer, answers) = thread_channel(1);
/// let worker = thread::spawn(move || asked.iter().for_each(|n: u64| answer.send(n * n).unwrap()));
/// let mut runtime = Runtime::new()?;
/// let squares = runtime.run(|| {
///     (1..=3).map(|n| {
///         questions.send(n)?;
///         answers.recv()
///     }).collect::<std::io::Result<Vec<_>>>()
/// })??;
/// assert_eq!(squares, [Some(1), Some(4), Some(9)]);
/// drop(questions);
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn thread_channel<T>(capacity: usize) -> (ThreadSender<T>, ThreadReceiver<T>) {
    let state = State {
        queue: VecDeque::new(),
        capacity: capacity.max(1),
        senders: 1,
        receivers: 1,
        sending: Line::default(),
        receiving: Line::default(),
    };
    let shared = Arc::new(Shared { state: Mutex::new(state) });
    (ThreadSender { shared: Arc::clone(&shared) }, ThreadReceiver { shared })
}

/// A [`thread_channel`] that is never full: sending does not wait.
///
/// ```
/// use becket_fiber::sync::thread_unbounded;
///
/// let (sender, receiver) = thread_unbounded();
/// (0..1000).try_for_each(|n| sender.send(n))?;
/// drop(sender);
/// assert_eq!(receiver.iter().sum::<u32>(), 499_500);
/// # Ok::<(), becket_fiber::sync::SendError<u32>>(())
/// ```
pub fn thread_unbounded<T>() -> (ThreadSender<T>, ThreadReceiver<T>) {
    thread_channel(usize::MAX)
}

struct Shared<T> {
    /// Locked for moments only: no user code runs under it.
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
    sending: Line,
    receiving: Line,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T> State<T> {
    fn put(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.receivers == 0 {
            return Err(TrySendError::Closed(value));
        }
        if self.queue.len() >= self.capacity {
            return Err(TrySendError::Full(value));
        }
        self.queue.push_back(value);
        self.receiving.wake_one();
        Ok(())
    }

    fn take(&mut self) -> Option<T> {
        let value = self.queue.pop_front()?;
        self.sending.wake_one();
        Some(value)
    }

    fn line(&mut self, side: Side) -> &mut Line {
        match side {
            Side::Send => &mut self.sending,
            Side::Receive => &mut self.receiving,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Send,
    Receive,
}

enum Waiter {
    Fiber(RemoteToken),
    Thread(Thread),
}

impl Waiter {
    /// Returns `false` where nobody is there any more.
    fn wake(self) -> bool {
        match self {
            Waiter::Fiber(token) => token.wake(0),
            Waiter::Thread(thread) => {
                thread.unpark();
                true
            }
        }
    }
}

/// Who waits, by ticket. Who is woken is taken out, and looks itself whether there is something; it knows by that.
#[derive(Default)]
struct Line {
    waiting: VecDeque<(u64, Waiter)>,
    tickets: u64,
}

impl Line {
    fn wake_one(&mut self) {
        while let Some((_, waiter)) = self.waiting.pop_front() {
            if waiter.wake() {
                return;
            }
        }
    }

    fn wake_all(&mut self) {
        for (_, waiter) in self.waiting.drain(..) {
            waiter.wake();
        }
    }
}

/// A place in a line. Who was woken and leaves without what it was woken for wakes the next.
struct Ticket<'a, T> {
    shared: &'a Shared<T>,
    side: Side,
    number: Cell<Option<u64>>,
    entered: Cell<bool>,
    woken: Cell<bool>,
}

impl<'a, T> Ticket<'a, T> {
    fn new(shared: &'a Shared<T>, side: Side) -> Self {
        Ticket { shared, side, number: Cell::new(None), entered: Cell::new(false), woken: Cell::new(false) }
    }

    /// Stands in line, where it stood before, in the same turn of the lock as the look that found nothing.
    fn enter(&self, state: &mut State<T>, waiter: Waiter) {
        let line = state.line(self.side);
        let number = self.number.get().unwrap_or(line.tickets);
        line.tickets = line.tickets.max(number + 1);
        self.number.set(Some(number));
        self.entered.set(true);
        self.woken.set(false);
        let at = line.waiting.partition_point(|(earlier, _)| *earlier < number);
        line.waiting.insert(at, (number, waiter));
    }

    /// Leaves the line, unless it was woken out of it.
    fn leave(&self) {
        let Some(number) = self.number.get().filter(|_| self.entered.replace(false)) else { return };
        let mut state = self.shared.lock();
        let line = state.line(self.side);
        let at = line.waiting.iter().position(|(other, _)| *other == number);
        let left = at.and_then(|at| line.waiting.remove(at));
        drop(state);
        self.woken.set(left.is_none());
    }

    fn is_in_line(&self) -> bool {
        let waits = |line: &mut Line| line.waiting.iter().any(|(other, _)| Some(*other) == self.number.get());
        waits(self.shared.lock().line(self.side))
    }

    /// It has what it was woken for.
    fn end(&self) {
        self.woken.set(false);
    }

    /// Wakes the next where it was woken, and has not taken what for.
    fn pass_on(&self) {
        if self.woken.take() {
            self.shared.lock().line(self.side).wake_one();
        }
    }

    /// Repeats `attempt`, which is lent the state, until it returns something; waits in between.
    fn wait<R>(&self, what: &'static str, mut attempt: impl FnMut(&mut State<T>) -> Option<R>) -> io::Result<R> {
        loop {
            let place = place();
            if let Place::Fiber(here) = place {
                here.check()?;
            }
            let mut state = self.shared.lock();
            if let Some(result) = attempt(&mut state) {
                self.end();
                return Ok(result);
            }
            match place {
                Place::Callback => return Err(in_callback()),
                Place::Fiber(here) => {
                    let wait = here.wait(Reason::new(what));
                    self.enter(&mut state, Waiter::Fiber(wait.remote_token()));
                    drop(state);
                    let woken = wait.park(None);
                    self.leave();
                    here.event(woken)?;
                }
                Place::Thread => {
                    self.enter(&mut state, Waiter::Thread(thread::current()));
                    drop(state);
                    let limit = thread_deadline();
                    let left = || limit.map_or(Duration::MAX, |l| l.saturating_duration_since(Instant::now()));
                    while self.is_in_line() && !left().is_zero() {
                        thread::park_timeout(left());
                    }
                    self.leave();
                    if left().is_zero() && !self.woken.get() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }
}

impl<T> Drop for Ticket<'_, T> {
    fn drop(&mut self) {
        self.pass_on();
    }
}

/// The sending half of a [`thread_channel`]; a clone is another one. `Send` where the values are.
pub struct ThreadSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> ThreadSender<T> {
    /// Puts a value into the queue, and waits for room: the fiber, or on a thread that runs none the thread.
    ///
    /// # Errors
    /// [`SendError`] with the value in it: of kind `BrokenPipe` where no receiver is left;
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait in a callback of a loop.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = Some(value);
        let ticket = Ticket::new(&self.shared, Side::Send);
        let ended = ticket.wait("room in a channel", |state| match state.put(value.take()?) {
            Ok(()) => Some(true),
            Err(TrySendError::Full(back)) => {
                value = Some(back);
                None
            }
            Err(TrySendError::Closed(back)) => {
                value = Some(back);
                Some(false)
            }
        });
        match (ended, value) {
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(value)) => Err(SendError::closed(value)),
            (Err(error), Some(value)) => Err(SendError::new(value, error)),
            (Err(_), None) => unreachable!("a value that was sent is no error"),
        }
    }

    /// Puts a value into the queue if there is room.
    ///
    /// # Errors
    /// [`TrySendError`] with the value in it, where the queue is full or no receiver is left.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.lock().put(value)
    }

    /// An arm of [`select!`](crate::select!), as [`Sender::on_send`](super::Sender::on_send) is.
    pub fn on_send<'a>(&'a self, value: &'a mut Option<T>) -> impl Arm<Output = io::Result<()>> + 'a {
        let ticket = Ticket::new(&*self.shared, Side::Send);
        OnSend { ticket, value: Cell::from_mut(value), result: Cell::new(None) }
    }
}

/// What the two kinds of ends have in common.
macro_rules! ends {
    ($name:ident, $own:ident, $other:ident, $closed:literal) => {
        impl<T> $name<T> {
            /// How many values are in the queue.
            pub fn len(&self) -> usize {
                self.shared.lock().queue.len()
            }

            /// Whether the queue is empty.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            #[doc = $closed]
            pub fn is_closed(&self) -> bool {
                self.shared.lock().$other == 0
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                self.shared.lock().$own += 1;
                $name { shared: Arc::clone(&self.shared) }
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("len", &self.len()).finish_non_exhaustive()
            }
        }
    };
}

ends!(ThreadSender, senders, receivers, "Whether no receiver is left.");
ends!(ThreadReceiver, receivers, senders, "Whether no sender is left.");

impl<T> Drop for ThreadSender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            state.receiving.wake_all();
        }
    }
}

/// The receiving half of a [`thread_channel`]; a clone is another one, and each value goes to one of them. `Send` where
/// the values are. Dropping the last one drops what is in the queue.
pub struct ThreadReceiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> ThreadReceiver<T> {
    /// Takes the next value, and waits for one: the fiber, or on a thread that runs none the thread. `None` where the
    /// queue is empty and no sender is left.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait in a callback of a loop. No
    /// value is lost by them.
    pub fn recv(&self) -> io::Result<Option<T>> {
        Ticket::new(&*self.shared, Side::Receive).wait("a value of a channel", |state| match state.take() {
            None if state.senders > 0 => None,
            taken => Some(taken),
        })
    }

    /// Takes the next value if there is one.
    pub fn try_recv(&self) -> Option<T> {
        self.shared.lock().take()
    }

    /// An arm of [`select!`](crate::select!) that takes the next value; out comes what [`recv`](Self::recv) returns.
    pub fn on_recv(&self) -> impl Arm<Output = Option<T>> + '_ {
        OnRecv { ticket: Ticket::new(&*self.shared, Side::Receive), got: Cell::new(None) }
    }

    /// The values, until no sender is left or the wait fails; [`recv`](Self::recv) tells which.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        iter::from_fn(|| self.recv().ok().flatten())
    }
}

impl<T> Drop for ThreadReceiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            state.sending.wake_all();
            let left = mem::take(&mut state.queue);
            drop(state);
            drop(left); // the values' destructors are the user's
        }
    }
}

/// Stands in line for a `select!`, unless something is to be had after all.
///
/// The look and the place in line are two turns of the lock here; so it looks again between them.
fn enter<T>(ticket: &Ticket<'_, T>, turn: Turn, there: impl FnOnce(&State<T>) -> bool) {
    let Some(here) = turn.here else { return };
    let token = RemoteToken::new(turn.token, here);
    let mut state = ticket.shared.lock();
    if there(&state) {
        turn.token.wake(0); // to look again
    } else {
        ticket.enter(&mut state, Waiter::Fiber(token));
    }
}

/// The arm of [`ThreadSender::on_send`].
struct OnSend<'a, T> {
    ticket: Ticket<'a, T>,
    value: &'a Cell<Option<T>>,
    result: Cell<Option<io::Result<()>>>,
}

impl<T> Wait for OnSend<'_, T> {
    fn is_enabled(&self) -> bool {
        is_there(self.value)
    }

    fn look(&self, _: Turn) -> bool {
        let Some(value) = self.value.take() else { return false };
        let put = self.ticket.shared.lock().put(value);
        let result = match put {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(value)) => {
                self.value.set(Some(value));
                return false;
            }
            Err(TrySendError::Closed(value)) => {
                self.value.set(Some(value));
                Err(ErrorKind::BrokenPipe.into())
            }
        };
        self.ticket.end();
        self.result.set(Some(result));
        true
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        if self.is_enabled() {
            enter(&self.ticket, turn, |state| state.queue.len() < state.capacity || state.receivers == 0);
        }
        Ok(None)
    }

    fn leave(&self, _: Turn) -> bool {
        self.ticket.leave();
        false // to be looked at again
    }

    fn pass_on(&self) {
        self.ticket.pass_on();
    }
}

impl<T> Arm for OnSend<'_, T> {
    type Output = io::Result<()>;

    fn finish(self) -> Option<io::Result<()>> {
        self.result.take()
    }
}

/// The arm of [`ThreadReceiver::on_recv`].
struct OnRecv<'a, T> {
    ticket: Ticket<'a, T>,
    got: Cell<Option<Option<T>>>,
}

impl<T> Wait for OnRecv<'_, T> {
    fn look(&self, _: Turn) -> bool {
        let mut state = self.ticket.shared.lock();
        let value = state.take();
        let done = value.is_some() || state.senders == 0;
        drop(state);
        if done {
            self.ticket.end();
            self.got.set(Some(value));
        }
        done
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        enter(&self.ticket, turn, |state| !state.queue.is_empty() || state.senders == 0);
        Ok(None)
    }

    fn leave(&self, _: Turn) -> bool {
        self.ticket.leave();
        false // to be looked at again
    }

    fn pass_on(&self) {
        self.ticket.pass_on();
    }
}

impl<T> Arm for OnRecv<'_, T> {
    type Output = Option<T>;

    fn finish(self) -> Option<Option<T>> {
        self.got.take()
    }
}
