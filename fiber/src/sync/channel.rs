use super::list::{List, Node};
use super::{check, is_there, must};
use crate::park::Here;
use crate::select::Arm;
use crate::select::arm::{Turn, Wait};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Instant;
use std::{error, fmt, iter};

/// A value on its way: there until it is taken, or from when it is given.
pub(super) type Slot<T> = Cell<Option<T>>;

/// A queue of at most `capacity` values between fibers of one thread. With 0 there is no queue: sending and receiving
/// wait for each other, and a value goes from hand to hand (a *rendezvous*).
///
/// Values come out in the order in which they were sent, and fibers that wait to send or to receive take turns. When
/// the last sender is gone, the receivers still get what is in the queue; when the last receiver is gone, sending fails.
/// Sending and receiving allocate nothing once the queue has been as long as it gets.
///
/// A wait that is ended by a cancel or a deadline has neither taken nor given anything. Where the value was handed over
/// first, the call succeeds, and the cancel is told to the next one.
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::channel};
///
/// let mut runtime = Runtime::new()?;
/// let sum = runtime.run(|| {
///     let (sender, receiver) = channel(2);
///     spawn(move || {
///         for n in 1..=10 {
///             sender.send(n).unwrap(); // waits while two are in the queue
///         }
///     })?;
///     Ok::<u32, std::io::Error>(receiver.iter().sum())
/// })??;
/// assert_eq!(sum, 55);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        queue: RefCell::default(),
        capacity,
        senders: Cell::new(1),
        receivers: Cell::new(1),
        sending: List::default(),
        receiving: List::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

/// A [`channel`] that is never full: sending does not wait.
///
/// It still lets others run now and then, as every call here does. What the receivers do not take is held in memory:
/// where senders may be faster for long, a capacity is the better choice.
///
/// ```
/// use becket_fiber::sync::unbounded;
///
/// let (sender, receiver) = unbounded();
/// (0..1000).try_for_each(|n| sender.send(n))?;
/// assert_eq!((receiver.len(), receiver.try_recv()), (1000, Some(0)));
/// # Ok::<(), becket_fiber::sync::SendError<i32>>(())
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// Never at the same time: waiting receivers and a value in the queue, or waiting senders and room in it. Neither the
/// queue nor a list is borrowed while user code runs.
struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Who waits with a value.
    sending: List<Slot<T>>,
    /// Who waits for one.
    receiving: List<Slot<T>>,
}

impl<T> Shared<T> {
    /// Gives a value to who waits for it, or to the queue.
    #[inline]
    fn put(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.receivers.get() == 0 {
            return Err(TrySendError::Closed(value));
        }
        let Err(value) = self.receiving.wake_with(value, |slot, value| slot.set(Some(value))) else { return Ok(()) };
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.capacity {
            return Err(TrySendError::Full(value));
        }
        queue.push_back(value);
        Ok(())
    }

    /// Takes the next value out of the queue, in which the next one of who waits follows, or out of their hands.
    #[inline]
    fn take(&self) -> Option<T> {
        let next = self.queue.borrow_mut().pop_front();
        if self.sending.has_nobody() {
            return next;
        }
        let waited = self.sending.wake_with((), |slot, ()| slot.take()).ok().flatten();
        match (next, waited) {
            (Some(next), Some(waited)) => {
                self.queue.borrow_mut().push_back(waited);
                Some(next)
            }
            (next, waited) => next.or(waited),
        }
    }
}

/// The sending half of a [`channel`]; a clone is another one. Dropping the last one ends the receiver's stream.
///
/// ```
/// use becket_fiber::sync::{TrySendError, channel};
///
/// let (sender, receiver) = channel(1);
/// sender.try_send("first").unwrap();
/// assert!(matches!(sender.try_send("second"), Err(TrySendError::Full("second"))));
/// drop(receiver);
/// assert!(matches!(sender.try_send("third"), Err(TrySendError::Closed("third"))));
/// ```
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Puts a value into the queue, and waits for room; without a queue, for a receiver that takes it.
    ///
    /// # Errors
    /// [`SendError`] with the value in it: of kind `BrokenPipe` where no receiver is left;
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let here = match check() {
            Ok(here) => here,
            Err(error) => return Err(SendError { value, error }),
        };
        match self.shared.put(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(value)) => self.wait(here, value),
            Err(TrySendError::Closed(value)) => Err(SendError::closed(value)),
        }
    }

    #[inline(always)]
    fn wait(&self, here: Option<Here>, value: T) -> Result<(), SendError<T>> {
        let here = match must(here) {
            Ok(here) => here,
            Err(error) => return Err(SendError { value, error }),
        };
        let (woken, slot) = self.shared.sending.wait(here, "room in a channel", Cell::new(Some(value)));
        let Some(value) = slot.into_inner() else { return Ok(()) };
        match here.event(woken) {
            Ok(_) => Err(SendError::closed(value)),
            Err(error) => Err(SendError { value, error }),
        }
    }

    /// Puts a value into the queue if there is room, or hands it to a receiver that waits. Where others wait to send,
    /// there is no room.
    ///
    /// # Errors
    /// [`TrySendError`] with the value in it, where the queue is full or no receiver is left.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.put(value)
    }

    /// An arm of [`select!`](crate::select!) that sends the value in `value`, which is `None` afterwards. It is still there
    /// where the arm was not chosen, or comes out with an error of kind `BrokenPipe`: no receiver is left. Never chosen
    /// where there is none.
    ///
    /// ```
    /// use becket_fiber::{select, sync::channel};
    ///
    /// let (sender, receiver) = channel(1);
    /// let mut next = Some(1);
    /// select! { sent = sender.on_send(&mut next) => sent? }?;
    /// assert_eq!((next, receiver.try_recv()), (None, Some(1)));
    /// drop(receiver);
    /// next = Some(2);
    /// let sent = select! { sent = sender.on_send(&mut next) => sent }?;
    /// assert_eq!((sent.unwrap_err().kind(), next), (std::io::ErrorKind::BrokenPipe, Some(2)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_send<'a>(&'a self, value: &'a mut Option<T>) -> impl Arm<Output = io::Result<()>> + 'a {
        let (shared, value) = (&*self.shared, Cell::from_mut(value));
        OnSend { shared, value, node: Node::new(Cell::new(None)), result: Cell::new(None) }
    }

    /// How many values are in the queue.
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the queue may hold; `None` where there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.shared.capacity).filter(|n| *n != usize::MAX)
    }

    /// Whether no receiver is left.
    pub fn is_closed(&self) -> bool {
        self.shared.receivers.get() == 0
    }
}

/// The arm of [`Sender::on_send`].
struct OnSend<'a, T> {
    shared: &'a Shared<T>,
    /// Where the value is when it is not in the node.
    value: &'a Slot<T>,
    node: Node<Slot<T>>,
    result: Cell<Option<io::Result<()>>>,
}

impl<T> OnSend<'_, T> {
    fn end(&self, result: io::Result<()>) -> bool {
        self.result.set(Some(result));
        true
    }
}

impl<T> Wait for OnSend<'_, T> {
    fn is_enabled(&self) -> bool {
        is_there(self.value)
    }

    fn look(&self, _: Turn) -> bool {
        let Some(value) = self.value.take() else { return false };
        let (value, closed) = match self.shared.put(value) {
            Ok(()) => return self.end(Ok(())),
            Err(TrySendError::Full(value)) => (value, false),
            Err(TrySendError::Closed(value)) => (value, true),
        };
        self.value.set(Some(value));
        closed && self.end(Err(ErrorKind::BrokenPipe.into()))
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        if let Some(value) = self.value.take() {
            self.node.data.set(Some(value));
            // SAFETY: the caller's promise, for the node; the list is borrowed.
            unsafe { self.shared.sending.push(&self.node, turn.token) };
        }
        Ok(None)
    }

    fn leave(&self, _: Turn) -> bool {
        self.shared.sending.remove(&self.node);
        let left = self.node.data.take();
        let taken = left.is_none();
        if !taken {
            self.value.set(left);
        }
        self.node.fired() && self.end(if taken { Ok(()) } else { Err(ErrorKind::BrokenPipe.into()) })
    }
}

impl<T> Arm for OnSend<'_, T> {
    type Output = io::Result<()>;

    fn finish(self) -> Option<io::Result<()>> {
        self.result.into_inner()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.receiving.wake_all();
        }
    }
}

/// The receiving half of a [`channel`]; a clone is another one, and each value goes to one of them. Dropping the last
/// one drops what is in the queue, and fails the senders that wait.
///
/// ```
/// use becket_fiber::sync::channel;
///
/// let (sender, receiver) = channel(4);
/// sender.try_send(1).unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv()?, Some(1));
/// assert_eq!(receiver.recv()?, None); // nobody is left who could send
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Takes the next value, and waits for one; `None` where the queue is empty and no sender is left.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber. No value
    /// is lost by them.
    #[inline]
    pub fn recv(&self) -> io::Result<Option<T>> {
        let here = check()?;
        match self.shared.take() {
            None if !self.is_closed() => self.wait(here),
            taken => Ok(taken),
        }
    }

    #[inline(always)]
    fn wait(&self, here: Option<Here>) -> io::Result<Option<T>> {
        let here = must(here)?;
        let (woken, slot) = self.shared.receiving.wait(here, "a value of a channel", Cell::new(None));
        match slot.into_inner() {
            None => here.event(woken).map(|_| None),
            given => Ok(given),
        }
    }

    /// Takes the next value if there is one in the queue, or of a sender that waits.
    pub fn try_recv(&self) -> Option<T> {
        self.shared.take()
    }

    /// An arm of [`select!`](crate::select!) that takes the next value; out comes what [`recv`](Self::recv) returns.
    pub fn on_recv(&self) -> impl Arm<Output = Option<T>> + '_ {
        OnRecv { shared: &self.shared, node: Node::new(Cell::new(None)), got: Cell::new(None) }
    }

    /// The values, until no sender is left or the wait fails; [`recv`](Self::recv) tells which.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        iter::from_fn(|| self.recv().ok().flatten())
    }

    /// How many values are in the queue.
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no sender is left.
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }
}

/// The arm of [`Receiver::on_recv`].
struct OnRecv<'a, T> {
    shared: &'a Shared<T>,
    node: Node<Slot<T>>,
    got: Cell<Option<Option<T>>>,
}

impl<T> Wait for OnRecv<'_, T> {
    fn look(&self, _: Turn) -> bool {
        // What nobody has taken out since the last time goes before it waits: while it leaves no destructor may run.
        drop(self.got.take());
        let value = self.shared.take();
        let done = value.is_some() || self.shared.senders.get() == 0;
        if done {
            self.got.set(Some(value));
        }
        done
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        // SAFETY: the caller's promise, for the node; the list is borrowed.
        unsafe { self.shared.receiving.push(&self.node, turn.token) };
        Ok(None)
    }

    fn leave(&self, _: Turn) -> bool {
        self.shared.receiving.remove(&self.node);
        if self.node.fired() {
            self.got.set(Some(self.node.data.take()));
        }
        self.node.fired()
    }
}

impl<T> Arm for OnRecv<'_, T> {
    type Output = Option<T>;

    fn finish(self) -> Option<Option<T>> {
        self.got.into_inner()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        Receiver { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.shared.receivers.get() - 1;
        self.shared.receivers.set(left);
        if left == 0 {
            self.shared.sending.wake_all();
            // The values' destructors are the user's: not under the borrow.
            let left = std::mem::take(&mut *self.shared.queue.borrow_mut());
            drop(left);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A value was not sent: why, and the value, handed back. Converts into the [`io::Error`] that it holds.
///
/// ```
/// use becket_fiber::sync::channel;
///
/// let (sender, receiver) = channel(1);
/// drop(receiver);
/// let refused = sender.send("lost").unwrap_err();
/// assert_eq!(refused.error().kind(), std::io::ErrorKind::BrokenPipe);
/// assert_eq!(refused.into_value(), "lost");
/// ```
pub struct SendError<T> {
    value: T,
    error: io::Error,
}

impl<T> SendError<T> {
    pub(super) fn new(value: T, error: io::Error) -> SendError<T> {
        SendError { value, error }
    }

    pub(super) fn closed(value: T) -> SendError<T> {
        SendError { value, error: io::ErrorKind::BrokenPipe.into() }
    }

    /// Why.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The value, back.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sending into a channel: {}", self.error)
    }
}

impl<T> error::Error for SendError<T> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(e: SendError<T>) -> Self {
        e.error
    }
}

/// A value was not sent at once.
///
/// ```
/// use becket_fiber::sync::{TrySendError, channel};
///
/// let (sender, _receiver) = channel(1);
/// sender.try_send(1).unwrap();
/// assert_eq!(sender.try_send(2).unwrap_err().to_string(), "the channel is full");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The queue is full.
    Full(T),
    /// No receiver is left.
    Closed(T),
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => "no receiver is left",
        })
    }
}

impl<T: fmt::Debug> error::Error for TrySendError<T> {}
