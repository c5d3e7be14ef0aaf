//! Waiting for other fibers of the same thread: channels, locks, events, and what else std has for threads.
//!
//! All of it belongs to one thread (nothing here is `Send`, but for a [`thread_channel`]), and serves in the order of
//! waiting: who comes while others wait stands behind them. What is waited for is handed over when the waiting fiber is
//! woken, not when it next runs, so that a fiber which is cancelled before gets nothing, and one that is cancelled
//! after has it: nothing is lost.
//!
//! A wait ends with an error when its fiber is cancelled or its deadline is reached; a call that need not wait fails for
//! these, too. While a fiber unwinds every such call is an error at once. On a thread that runs no fiber, and in a
//! callback of the loop, a call that would have to wait is an error of kind `Deadlock`: nobody there could end the wait.
//! Giving something (`try_send`, `notify_one`, `set`, dropping a guard) works everywhere on the thread.
//!
//! Nothing here is poisoned by a panic. Waiting allocates nothing, again but for a [`thread_channel`].

mod barrier;
mod broadcast;
mod channel;
mod condvar;
mod event;
pub(crate) mod list;
mod mutex;
mod once;
mod oneshot;
mod rwlock;
mod semaphore;
mod thread_channel;
mod watch;

pub use barrier::{Barrier, Member, WaitGroup};
pub use broadcast::{BroadcastReceiver, BroadcastSender, Received, broadcast};
pub use channel::{Receiver, SendError, Sender, TrySendError, channel, unbounded};
pub use condvar::Condvar;
pub use event::{Event, Notify};
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceCell};
pub use oneshot::{OneshotReceiver, OneshotSender, oneshot};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
pub use thread_channel::{ThreadReceiver, ThreadSender, thread_channel, thread_unbounded};
pub use watch::{WatchReceiver, WatchSender, watch};

use crate::park::{Here, Place, in_callback, place};
use std::cell::Cell;
use std::io;

/// What every blocking call here begins with, where a fiber runs: it may be cancelled, late, or have to let others run.
/// Returns the fiber, for [`must`].
#[inline(always)]
fn check() -> io::Result<Option<Here>> {
    match place() {
        Place::Fiber(here) => here.check().map(|()| Some(here)),
        Place::Callback | Place::Thread => Ok(None),
    }
}

/// Whether a value is in there, which is looked at in no other way.
fn is_there<T>(value: &Cell<Option<T>>) -> bool {
    let taken = value.take();
    let there = taken.is_some();
    value.set(taken);
    there
}

/// The fiber that [`check`] found, for a call that has to wait.
#[inline(always)]
fn must(here: Option<Here>) -> io::Result<Here> {
    here.ok_or_else(nobody)
}

#[cold]
fn nobody() -> io::Error {
    match place() {
        Place::Callback => in_callback(),
        _ => io::Error::new(io::ErrorKind::Deadlock, "no fiber runs here that could be waited for"),
    }
}

/// The running fiber, likewise.
fn fiber() -> io::Result<Here> {
    match place() {
        Place::Fiber(here) => Ok(here),
        Place::Callback | Place::Thread => Err(nobody()),
    }
}
