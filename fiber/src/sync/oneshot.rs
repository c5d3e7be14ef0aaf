use super::channel::SendError;
use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Told};
use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// A channel for one value: an answer, for instance.
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::oneshot};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (sender, receiver) = oneshot();
///     spawn(move || sender.send(42).unwrap())?;
///     assert_eq!(receiver.recv()?, 42);
///
///     let (sender, receiver) = oneshot::<u8>();
///     drop(sender);
///     assert_eq!(receiver.recv().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        sender: Cell::new(true),
        receiver: Cell::new(true),
        waiting: List::default(),
    });
    (OneshotSender { shared: Rc::clone(&shared) }, OneshotReceiver { shared })
}

struct Shared<T> {
    value: Cell<Option<T>>,
    /// Whether they live.
    sender: Cell<bool>,
    receiver: Cell<bool>,
    waiting: List<()>,
}

impl<T> Shared<T> {
    /// The value, or the error where none will come; `None` where it may still come.
    fn take(&self) -> Option<io::Result<T>> {
        match self.value.take() {
            None if !self.sender.get() => Some(Err(ErrorKind::BrokenPipe.into())),
            value => value.map(Ok),
        }
    }
}

/// Sends one value; see [`oneshot`]. Dropped without, it tells the receiver that none will come.
pub struct OneshotSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> OneshotSender<T> {
    /// Sends the value; does not wait.
    ///
    /// # Errors
    /// [`SendError`] of kind `BrokenPipe`, with the value in it, where the receiver is gone.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError::closed(value));
        }
        self.shared.value.set(Some(value));
        Ok(()) // the receiver is woken when this is dropped
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.shared.receiver.get()
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        self.shared.sender.set(false);
        self.shared.waiting.wake_all();
    }
}

/// Receives one value; see [`oneshot`].
pub struct OneshotReceiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> OneshotReceiver<T> {
    /// Takes the value, and waits for it. A call that fails for other reasons may be made again.
    ///
    /// # Errors
    /// `BrokenPipe` where the sender is gone and sent none, or it was taken before; [`Cancelled`](crate::Cancelled);
    /// `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn recv(&self) -> io::Result<T> {
        check()?;
        if let Some(ended) = self.shared.take() {
            return ended;
        }
        let here = fiber()?;
        let (woken, ()) = self.shared.waiting.wait(here, "an answer", ());
        match self.shared.take() {
            Some(ended) => ended,
            None => Err(here.event(woken).err().unwrap_or_else(|| ErrorKind::BrokenPipe.into())),
        }
    }

    /// An arm of [`select!`](crate::select!) that takes the value; out comes what [`recv`](Self::recv) returns.
    pub fn on_recv(&self) -> impl Arm<Output = io::Result<T>> + '_ {
        Told::new(&self.shared.waiting, || self.shared.take())
    }

    /// Takes the value if it is there.
    pub fn try_recv(&self) -> Option<T> {
        self.shared.value.take()
    }
}

impl<T> Drop for OneshotReceiver<T> {
    fn drop(&mut self) {
        self.shared.receiver.set(false);
        drop(self.shared.value.take());
    }
}

impl<T> fmt::Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").field("closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for OneshotReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotReceiver").finish_non_exhaustive()
    }
}
