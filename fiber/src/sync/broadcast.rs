use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Told};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::{fmt, io, mem};

/// A channel whose receivers each get every value. It keeps the last `capacity` values (0 counts as 1) for those who have
/// not got them yet; a receiver that lags further behind is told how many it has lost. Sending never waits.
///
/// ```
/// use becket_fiber::sync::{Received, broadcast};
///
/// let (sender, mut a) = broadcast(2);
/// let mut b = sender.subscribe();
/// (1..=3).for_each(|n| assert_eq!(sender.send(n).unwrap(), 2));
/// assert_eq!(a.recv()?, Received::Lagged(1));
/// assert_eq!((a.recv()?, a.recv()?), (Received::Value(2), Received::Value(3)));
/// drop(sender);
/// assert_eq!(b.recv()?, Received::Lagged(1));
/// assert_eq!((b.recv()?, b.recv()?, b.recv()?), (Received::Value(2), Received::Value(3), Received::Closed));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn broadcast<T: Clone>(capacity: usize) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    let shared = Rc::new(Shared {
        kept: RefCell::default(),
        end: Cell::new(0),
        capacity: capacity.max(1),
        senders: Cell::new(1),
        receivers: Cell::new(0),
        waiting: List::default(),
    });
    let sender = BroadcastSender { shared };
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// A value, and how many are still to get it. Its clones are made outside of the borrow, for they are user code.
struct Kept<T> {
    value: Rc<T>,
    left: usize,
}

struct Shared<T> {
    /// The newest ones; nobody is left for none of them. Borrowed for moments only.
    kept: RefCell<VecDeque<Kept<T>>>,
    /// The number of the next value to be sent.
    end: Cell<u64>,
    capacity: usize,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiting: List<()>,
}

impl<T> Shared<T> {
    /// The number of the oldest that is kept.
    fn first(&self) -> u64 {
        self.end.get() - self.kept.borrow().len() as u64
    }

    /// Takes value number `n`, which is kept, for one receiver.
    fn take(&self, n: u64) -> Rc<T> {
        let index = (n - self.first()) as usize;
        let mut kept = self.kept.borrow_mut();
        kept[index].left -= 1;
        // Who is still to get one is still to get the later ones, so that what is left for nobody is in front.
        if kept[index].left == 0
            && let Some(last) = kept.pop_front()
        {
            return last.value;
        }
        Rc::clone(&kept[index].value)
    }
}

impl<T: Clone> Shared<T> {
    /// What the receiver that is to get value number `next` gets, where it need not wait.
    fn next(&self, next: &mut u64) -> Option<Received<T>> {
        let first = self.first();
        if *next < first {
            return Some(Received::Lagged(first - mem::replace(next, first)));
        }
        if *next == self.end.get() {
            return (self.senders.get() == 0).then_some(Received::Closed);
        }
        let value = self.take(*next);
        *next += 1;
        Some(Received::Value(Rc::try_unwrap(value).unwrap_or_else(|shared| T::clone(&shared))))
    }
}

/// Sends values to all receivers; see [`broadcast`]. A clone is another one; when the last is dropped the receivers get
/// what is kept, then [`Received::Closed`].
pub struct BroadcastSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T: Clone> BroadcastSender<T> {
    /// Sends a value; returns how many receivers there are. Does not wait, and may be called everywhere on the thread.
    ///
    /// # Errors
    /// The value, back, where there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, T> {
        let receivers = self.shared.receivers.get();
        if receivers == 0 {
            return Err(value);
        }
        let mut kept = self.shared.kept.borrow_mut();
        let oldest = if kept.len() == self.shared.capacity { kept.pop_front() } else { None };
        kept.push_back(Kept { value: Rc::new(value), left: receivers });
        drop(kept);
        self.shared.end.set(self.shared.end.get() + 1);
        self.shared.waiting.wake_all();
        drop(oldest); // the user's destructor
        Ok(receivers)
    }

    /// A receiver that gets what is sent from now on.
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        BroadcastReceiver { next: self.shared.end.get(), shared: Rc::clone(&self.shared) }
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Clone for BroadcastSender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        BroadcastSender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.waiting.wake_all();
        }
    }
}

/// What a [`BroadcastReceiver`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<T> {
    /// The next value.
    Value(T),
    /// So many values are lost: the receiver was too slow. The next call gets the oldest that is kept.
    Lagged(u64),
    /// No sender is left, and all values were got.
    Closed,
}

/// Receives every value; see [`broadcast`].
pub struct BroadcastReceiver<T> {
    /// The number of the value that it is to get next.
    next: u64,
    shared: Rc<Shared<T>>,
}

impl<T: Clone> BroadcastReceiver<T> {
    /// Takes the next value, and waits for one.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber. No value
    /// is lost by them.
    pub fn recv(&mut self) -> io::Result<Received<T>> {
        check()?;
        if let Some(received) = self.try_recv() {
            return Ok(received);
        }
        let here = fiber()?;
        let (woken, ()) = self.shared.waiting.wait(here, "a value of a broadcast", ());
        match self.try_recv() {
            Some(received) => Ok(received),
            None => here.event(woken).map(|_| Received::Closed),
        }
    }

    /// An arm of [`select!`](crate::select!) that takes the next value; out comes what [`recv`](Self::recv) returns.
    pub fn on_recv(&mut self) -> impl Arm<Output = Received<T>> + '_ {
        let BroadcastReceiver { next, shared } = self;
        let shared: &Shared<T> = shared;
        Told::new(&shared.waiting, || shared.next(next))
    }

    /// What [`recv`](Self::recv) returns, where it need not wait.
    pub fn try_recv(&mut self) -> Option<Received<T>> {
        self.shared.next(&mut self.next)
    }

    /// How many values it has still to get, those among them that are lost.
    pub fn len(&self) -> usize {
        usize::try_from(self.shared.end.get() - self.next).unwrap_or(usize::MAX)
    }

    /// Whether there is nothing to get now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A receiver that still gets all that its original does.
impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        let shared = Rc::clone(&self.shared);
        shared.receivers.set(shared.receivers.get() + 1);
        let from = self.next.saturating_sub(shared.first()) as usize;
        shared.kept.borrow_mut().iter_mut().skip(from).for_each(|kept| kept.left += 1);
        BroadcastReceiver { next: self.next, shared }
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.receivers.set(shared.receivers.get() - 1);
        let from = self.next.saturating_sub(shared.first()) as usize;
        let mut kept = shared.kept.borrow_mut();
        kept.iter_mut().skip(from).for_each(|kept| kept.left -= 1);
        let nobodys = kept.iter().take_while(|kept| kept.left == 0).count();
        let gone: Vec<Kept<T>> = kept.drain(..nobodys).collect();
        drop(kept);
        drop(gone); // the user's destructors
    }
}

impl<T> fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSender").field("receivers", &self.shared.receivers.get()).finish()
    }
}

impl<T> fmt::Debug for BroadcastReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReceiver").field("next", &self.next).finish()
    }
}
