use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Told};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::{fmt, io, mem};

/// A value that one side changes and the others look at: settings, a state. Receivers see the newest value, not each.
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::watch};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (level, mut seen) = watch(1);
///     assert_eq!(*seen.get(), 1);
///     spawn(move || {
///         level.send(2);
///         level.send(3);
///     })?;
///     assert!(seen.changed()?);
///     assert_eq!(*seen.get(), 3);
///     assert!(!seen.changed()?); // nobody is left who could change it
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn watch<T>(initial: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(Rc::new(initial)),
        version: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        waiting: List::default(),
    });
    (WatchSender { shared: Rc::clone(&shared) }, WatchReceiver { shared, seen: 0 })
}

struct Shared<T> {
    /// Borrowed for moments only.
    value: RefCell<Rc<T>>,
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiting: List<()>,
}

impl<T> Shared<T> {
    fn get(&self) -> Rc<T> {
        Rc::clone(&self.value.borrow())
    }

    /// Whether there is a value newer than `seen`, which is brought up to date; `None` where there may still be one.
    fn look(&self, seen: &mut u64) -> Option<bool> {
        let newest = self.version.get();
        let changed = mem::replace(seen, newest) != newest;
        (changed || self.senders.get() == 0).then_some(changed)
    }
}

/// Changes the value; see [`watch`]. A clone is another one; when the last is dropped, the receivers are told.
pub struct WatchSender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> WatchSender<T> {
    /// Replaces the value, and wakes who waits for a change; returns the one before. Callable everywhere on the thread.
    pub fn send(&self, value: T) -> Rc<T> {
        let before = self.shared.value.replace(Rc::new(value));
        self.shared.version.set(self.shared.version.get() + 1);
        self.shared.waiting.wake_all();
        before
    }

    /// The value.
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// A receiver for which the value of now is seen.
    pub fn subscribe(&self) -> WatchReceiver<T> {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        WatchReceiver { shared: Rc::clone(&self.shared), seen: self.shared.version.get() }
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        WatchSender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.waiting.wake_all();
        }
    }
}

/// Looks at the value; see [`watch`]. A clone has seen what its original has.
pub struct WatchReceiver<T> {
    shared: Rc<Shared<T>>,
    seen: u64,
}

impl<T> WatchReceiver<T> {
    /// The newest value, which is seen with that. What is returned stays as it is when the value changes.
    pub fn get(&mut self) -> Rc<T> {
        self.seen = self.shared.version.get();
        self.shared.get()
    }

    /// The newest value, seen or not.
    pub fn peek(&self) -> Rc<T> {
        self.shared.get()
    }

    /// Whether the newest value was not seen.
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// Whether no sender is left.
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }

    /// Waits until there is a value that was not seen, which counts as seen then; [`get`](Self::get) it. Returns `false`
    /// where there is none and no sender is left.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn changed(&mut self) -> io::Result<bool> {
        check()?;
        if let Some(changed) = self.look() {
            return Ok(changed);
        }
        let here = fiber()?;
        let (woken, ()) = self.shared.waiting.wait(here, "a change", ());
        match self.look() {
            Some(changed) => Ok(changed),
            None => here.event(woken).map(|_| false),
        }
    }

    /// An arm of [`select!`](crate::select!) that is chosen when there is a value that was not seen, which counts as seen
    /// then; out comes what [`changed`](Self::changed) returns.
    pub fn on_change(&mut self) -> impl Arm<Output = bool> + '_ {
        let WatchReceiver { shared, seen } = self;
        let shared: &Shared<T> = shared;
        Told::new(&shared.waiting, || shared.look(seen))
    }

    /// What [`changed`](Self::changed) returns, where it need not wait.
    fn look(&mut self) -> Option<bool> {
        self.shared.look(&mut self.seen)
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        WatchReceiver { shared: Rc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.set(self.shared.receivers.get() - 1);
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchSender").field(&self.get()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchReceiver").field(&self.peek()).finish()
    }
}
