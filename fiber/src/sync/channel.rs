use super::{Turn, Waiters, check};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::{error, fmt, io};

/// A queue of at most `capacity` values between fibers of one thread; 0 counts as 1.
///
/// Values come out in the order in which they were sent, and fibers that wait to send take turns. When the last sender
/// is gone, the receiver still gets what is in the queue; when the receiver is gone, sending fails.
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
        capacity: capacity.max(1),
        senders: Cell::new(1),
        receiver: Cell::new(true),
        not_full: Waiters::default(),
        not_empty: Waiters::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    /// Whether there still is one.
    receiver: Cell<bool>,
    not_full: Waiters,
    not_empty: Waiters,
}

impl<T> Shared<T> {
    fn room(&self) -> usize {
        self.capacity - self.queue.borrow().len()
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
    /// Puts a value into the queue, and waits for room.
    ///
    /// # Errors
    /// [`SendError`] with the value in it: of kind `BrokenPipe` where the receiver is gone;
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = value;
        let mut turn = Turn::new(&self.shared.not_full);
        loop {
            if let Err(error) = check() {
                return Err(SendError { value, error });
            }
            if self.is_closed() || turn.has_come(self.shared.room()) {
                value = match self.try_send(value) {
                    Ok(()) => {
                        turn.end();
                        return Ok(());
                    }
                    Err(TrySendError::Full(value)) => value,
                    Err(TrySendError::Closed(value)) => {
                        return Err(SendError { value, error: io::ErrorKind::BrokenPipe.into() });
                    }
                };
            }
            if let Err(error) = turn.wait("room in a channel") {
                return Err(SendError { value, error });
            }
        }
    }

    /// Puts a value into the queue if there is room, past those who wait for it; they keep their places.
    ///
    /// # Errors
    /// [`TrySendError`] with the value in it, where the queue is full or the receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if !self.shared.receiver.get() {
            return Err(TrySendError::Closed(value));
        }
        let mut queue = self.shared.queue.borrow_mut();
        if queue.len() >= self.shared.capacity {
            return Err(TrySendError::Full(value));
        }
        queue.push_back(value);
        drop(queue);
        self.shared.not_empty.wake_one();
        Ok(())
    }

    /// How many values are in the queue.
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.shared.receiver.get()
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
            self.shared.not_empty.wake_all();
        }
    }
}

/// The receiving half of a [`channel`]. Dropping it drops what is in the queue, and fails the senders that wait.
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
    pub fn recv(&self) -> io::Result<Option<T>> {
        let mut turn = Turn::new(&self.shared.not_empty);
        loop {
            check()?;
            if (self.is_closed() || turn.has_come(self.len()))
                && let Some(value) = self.try_recv()
            {
                turn.end();
                return Ok(Some(value));
            }
            if self.is_closed() {
                return Ok(None);
            }
            turn.wait("a value of a channel")?;
        }
    }

    /// Takes the next value if there is one, past those who wait for it; they keep their places.
    pub fn try_recv(&self) -> Option<T> {
        let value = self.shared.queue.borrow_mut().pop_front()?;
        self.shared.not_full.wake_one();
        Some(value)
    }

    /// The values, until no sender is left or the wait fails; [`recv`](Self::recv) tells which.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok().flatten())
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

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver.set(false);
        self.shared.not_full.wake_all();
        // The values' destructors are the user's: not under the borrow.
        let left = std::mem::take(&mut *self.shared.queue.borrow_mut());
        drop(left);
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
    /// The receiver is gone.
    Closed(T),
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Closed(_) => "the receiver is gone",
        })
    }
}

impl<T: fmt::Debug> error::Error for TrySendError<T> {}
