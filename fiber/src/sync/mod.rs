//! Waiting for other fibers of the same thread: channels, a mutex, a condition variable.
//!
//! All of it belongs to one thread (nothing here is `Send`), and serves in the order of waiting: who comes while others
//! wait stands behind them, but for the `try_` methods. A wait ends with an error when its fiber is cancelled or its
//! deadline is reached. On a thread that runs no fiber, and in a callback
//! of the loop, a call that would have to wait is an error of kind `Deadlock`: nobody there could end the wait.

mod channel;
mod condvar;
mod mutex;

pub use channel::{Receiver, SendError, Sender, TrySendError, channel};
pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};

use crate::park::{Here, Place, Reason, Token, Woken, in_callback, place};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

/// Fibers that wait for the same thing, in order.
#[derive(Debug, Default)]
struct Waiters {
    /// By ticket: who was woken in vain goes back to where it stood.
    queue: RefCell<VecDeque<(u64, Token)>>,
    next_ticket: Cell<u64>,
    /// Fibers that were woken to take something, and have neither taken it nor left.
    woken: Cell<usize>,
}

impl Waiters {
    /// Wakes the first that still waits; returns whether there was one.
    fn wake_one(&self) -> bool {
        loop {
            let Some((_, token)) = self.queue.borrow_mut().pop_front() else { return false };
            if token.wake(0) {
                self.woken.set(self.woken.get() + 1);
                return true;
            }
        }
    }

    fn wake_all(&self) {
        while self.wake_one() {}
    }

    /// Whether one who comes anew may take something of `available` things: nobody waits, and one is left for each
    /// that was woken.
    fn leaves(&self, available: usize) -> bool {
        self.queue.borrow().is_empty() && available > self.woken.get()
    }
}

/// The turn of a fiber to take something: if it is woken for it and leaves without it, by an error or unwinding, the
/// next one is woken.
struct Turn<'a> {
    waiters: &'a Waiters,
    ticket: Option<u64>,
    /// Whether it was woken and is counted as that.
    woken: bool,
}

impl<'a> Turn<'a> {
    fn new(waiters: &'a Waiters) -> Self {
        Turn { waiters, ticket: None, woken: false }
    }

    /// Whether it is its turn to take something of `available` things.
    fn has_come(&self, available: usize) -> bool {
        self.woken || self.waiters.leaves(available)
    }

    /// Waits for the turn, or until the fiber's deadline, or until it is cancelled.
    fn wait(&mut self, what: &'static str) -> io::Result<()> {
        self.uncount();
        let here = fiber()?;
        let waiters = self.waiters;
        let ticket = *self.ticket.get_or_insert_with(|| waiters.next_ticket.replace(waiters.next_ticket.get() + 1));
        let wait = here.wait(Reason::new(what));
        let token = wait.token();
        let mut queue = waiters.queue.borrow_mut();
        let place = queue.partition_point(|(earlier, _)| *earlier < ticket);
        queue.insert(place, (ticket, token));
        drop(queue);
        let woken = wait.park(None);
        let mut queue = waiters.queue.borrow_mut();
        let waits_still = queue.iter().position(|(_, queued)| *queued == token).and_then(|i| queue.remove(i));
        drop(queue);
        self.woken = waits_still.is_none() && matches!(woken, Woken::Event(_));
        here.event(woken).map(drop)
    }

    /// It was taken.
    fn end(mut self) {
        self.uncount();
    }

    /// Returns whether it was counted.
    fn uncount(&mut self) -> bool {
        let was_woken = std::mem::take(&mut self.woken);
        self.waiters.woken.set(self.waiters.woken.get() - usize::from(was_woken));
        was_woken
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.uncount() {
            self.waiters.wake_one();
        }
    }
}

/// What every blocking call here begins with, where a fiber runs: it may be cancelled, late, or have to let others run.
fn check() -> io::Result<()> {
    match place() {
        Place::Fiber(here) => here.check(),
        Place::Callback | Place::Thread => Ok(()),
    }
}

/// The running fiber, for a call that has to wait.
fn fiber() -> io::Result<Here> {
    match place() {
        Place::Fiber(here) => Ok(here),
        Place::Callback => Err(in_callback()),
        Place::Thread => Err(io::Error::new(io::ErrorKind::Deadlock, "no fiber runs here that could be waited for")),
    }
}
