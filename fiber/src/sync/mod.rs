//! Waiting for other fibers of the same thread: channels, a mutex, a condition variable.
//!
//! All of it belongs to one thread (nothing here is `Send`), wakes in the order of waiting, and ends with an error
//! when the fiber that waits is cancelled or its deadline is reached. On a thread that runs no fiber, and in a callback
//! of the loop, a call that would have to wait is an error of kind `Deadlock`: nobody there could end the wait.

mod channel;
mod condvar;
mod mutex;

pub use channel::{Receiver, SendError, Sender, TrySendError, channel};
pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};

use crate::park::{Here, Place, Reason, Token, Woken, in_callback, place};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

/// Fibers that wait for the same thing, in order.
#[derive(Debug, Default)]
struct Waiters {
    queue: RefCell<VecDeque<Token>>,
}

impl Waiters {
    /// Wakes the first that still waits; returns whether there was one.
    fn wake_one(&self) -> bool {
        loop {
            let Some(token) = self.queue.borrow_mut().pop_front() else { return false };
            if token.wake(0) {
                return true;
            }
        }
    }

    fn wake_all(&self) {
        while self.wake_one() {}
    }

    fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Waits to be woken, or until the fiber's deadline, or until it is cancelled.
    fn wait(&self, here: Here, what: &'static str) -> Woken {
        let wait = here.wait(Reason::new(what));
        let token = wait.token();
        self.queue.borrow_mut().push_back(token);
        let woken = wait.park(None);
        if !matches!(woken, Woken::Event(_)) {
            self.queue.borrow_mut().retain(|queued| *queued != token);
        }
        woken
    }
}

/// The turn of a fiber that was woken to take something: if it leaves without it, by an error or unwinding, the next
/// one is woken.
struct Turn<'a> {
    waiters: &'a Waiters,
    woken: bool,
}

impl<'a> Turn<'a> {
    fn new(waiters: &'a Waiters) -> Self {
        Turn { waiters, woken: false }
    }

    /// Waits for the turn.
    fn wait(&mut self, what: &'static str) -> io::Result<()> {
        self.woken = false;
        let here = fiber()?;
        let woken = self.waiters.wait(here, what);
        self.woken = matches!(woken, Woken::Event(_));
        here.event(woken).map(drop)
    }

    /// It was taken.
    fn end(mut self) {
        self.woken = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.woken {
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
