//! What other threads do to a loop.

use crate::backend::fork::Origin;
use crate::backend::{Key, Waker};
use crate::posts::Posts;
use crate::{Ctx, Result};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::{self, ThreadId};

/// Wakes the loop, at most once until it has looked.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waker: Waker,
    /// In a child, the waker is the parent's until the loop has begun anew.
    pub(crate) origin: Origin,
}

impl Bell {
    pub(crate) fn new(waker: Waker) -> Self {
        Bell { rung: AtomicBool::new(false), waker, origin: Origin::here() }
    }

    /// Says that there is something to look at, which the caller has put in its place before. Only the first of
    /// several who ring pays for waking the loop.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) && self.origin.is_here() {
            self.waker.wake();
        }
    }

    /// As [`ring`](Self::ring), where what is to be looked at was put in its place under a lock that the loop takes as
    /// well, after [`take`](Self::take).
    ///
    /// Then a bell that is rung needs no ringing, and to see that costs no write: if the loop had silenced it and held
    /// the lock before we did, we would see it silent; so the loop will take the lock after us.
    pub(crate) fn ring_after_lock(&self) {
        if !self.rung.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Whether somebody rang. The loop asks before it looks, so that who rings while it looks is heard the next time.
    pub(crate) fn take(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }
}

pub(crate) struct Mailbox<S> {
    /// `None` once the loop is gone.
    posts: Mutex<Option<Posts<S>>>,
    /// How many handles there are.
    remotes: AtomicUsize,
    bell: Arc<Bell>,
}

impl<S> Mailbox<S> {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Mailbox { posts: Mutex::new(Some(Posts::new())), remotes: AtomicUsize::new(0), bell }
    }

    pub(crate) fn has_remotes(&self) -> bool {
        self.remotes.load(Ordering::Acquire) > 0
    }

    /// Whether a thread is at work on it: in a child process, one that is not there, and never ends.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.posts.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Locks it; `None` in a child process where a thread of the parent was at work on it, and it stays locked.
    fn lock(&self) -> Option<MutexGuard<'_, Option<Posts<S>>>> {
        lock_if_it_ends(&self.posts, &self.bell)
    }

    /// The loop is gone: what is still in the box is handed back to be dropped.
    pub(crate) fn close(&self) -> Option<Posts<S>> {
        self.posts.lock().expect("no code panics under this lock").take()
    }
}

impl<S: 'static> Mailbox<S> {
    /// Moves what is in the box to the end of `to`.
    pub(crate) fn take(&self, to: &mut Posts<S>) {
        if let Some(posts) = &mut *self.posts.lock().expect("no code panics under this lock") {
            to.append(posts);
        }
    }
}

/// A handle by which other threads reach a loop. As long as one exists, [`run`](crate::Loop::run) does not end for want
/// of anything to wait for.
///
/// ```
/// use becket_loop::{Loop, Remote};
///
/// let mut event_loop: Loop<Vec<&str>> = Loop::new()?;
/// let remote: Remote<Vec<&str>> = event_loop.remote();
/// let thread = std::thread::spawn(move || {
///     remote.post(|log, _| Ok(log.push("posted")));
///     remote.exit(7);
/// });
/// let mut log = Vec::new();
/// assert_eq!(event_loop.run(&mut log)?, 7);
/// assert_eq!(log, ["posted"]);
/// thread.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Remote<S> {
    mailbox: Arc<Mailbox<S>>,
}

impl<S> Remote<S> {
    pub(crate) fn new(mailbox: &Arc<Mailbox<S>>) -> Self {
        mailbox.remotes.fetch_add(1, Ordering::Relaxed);
        Remote { mailbox: Arc::clone(mailbox) }
    }
}

impl<S: 'static> Remote<S> {
    /// Has `f` called in the loop's thread, in the order of posting. Returns `false` where the loop is gone: `f`
    /// was dropped. Where the loop goes before it comes to it, `f` is dropped as well.
    ///
    /// In a child that fork(2) made, before [`after_fork`](crate::Loop::after_fork), it returns `false` also where a
    /// thread of the parent was posting at the fork: then the loop can never be the child's.
    pub fn post(&self, f: impl FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + Send + 'static) -> bool {
        let Some(mut posts) = self.mailbox.lock() else { return false };
        let Some(queue) = &mut *posts else {
            drop(posts); // before `f`, whose destructor is the user's
            return false;
        };
        queue.push(f);
        drop(posts);
        self.mailbox.bell.ring_after_lock();
        true
    }

    /// Ends the loop's wait, so that it makes a turn.
    pub fn wake(&self) {
        self.mailbox.bell.ring();
    }

    /// Asks the loop to exit; see [`Ctx::exit`]. Returns `false` where the loop is gone.
    pub fn exit(&self, code: i32) -> bool {
        self.post(move |_, ctx| {
            ctx.exit(code);
            Ok(())
        })
    }
}

impl<S> Clone for Remote<S> {
    fn clone(&self) -> Self {
        Remote::new(&self.mailbox)
    }
}

impl<S> Drop for Remote<S> {
    fn drop(&mut self) {
        self.mailbox.remotes.fetch_sub(1, Ordering::AcqRel);
        // Perhaps the last thing that kept the loop alive: let it see.
        self.mailbox.bell.ring();
    }
}

impl<S> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// Locks what is locked for moments, by threads of the loop's process; `None` where one of them had it at the fork that
/// made this one, in which it never ends.
fn lock_if_it_ends<'a, T>(mutex: &'a Mutex<T>, bell: &Bell) -> Option<MutexGuard<'a, T>> {
    // The lock is asked first: it is free but for moments, and the origin costs more.
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::WouldBlock) if !bell.origin.is_here() => None,
        Err(_) => Some(mutex.lock().expect("no code panics under this lock")),
    }
}

/// Keys for the loop to look at before it waits: externals that asked to be stepped, entries whose guards are gone.
#[derive(Debug)]
pub(crate) struct Nudges {
    queue: Mutex<VecDeque<Key>>,
    some: AtomicBool,
    thread: ThreadId,
    /// Whether the loop, outside of its turns, may be waiting in another loop.
    pub(crate) embedded: AtomicBool,
    bell: Arc<Bell>,
}

impl Nudges {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Nudges {
            queue: Mutex::default(),
            some: AtomicBool::new(false),
            thread: thread::current().id(),
            embedded: AtomicBool::new(false),
            bell,
        }
    }

    /// Puts a key there, unless it is there.
    pub(crate) fn push(&self, key: Key) {
        self.put(key, true);
    }

    /// Puts a key there, which is not.
    pub(crate) fn append(&self, key: Key) {
        self.put(key, false);
    }

    fn put(&self, key: Key, once: bool) {
        // In a child where it stays locked, the loop turns no more.
        let Some(mut queue) = lock_if_it_ends(&self.queue, &self.bell) else { return };
        if !(once && queue.contains(&key)) {
            queue.push_back(key);
        }
        self.some.store(true, Ordering::Release);
        drop(queue);
        // In the loop's own thread the loop is not waiting, and looks before it does.
        if self.embedded.load(Ordering::Relaxed) || thread::current().id() != self.thread {
            self.bell.ring();
        }
    }

    /// As of the mailbox.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.queue.try_lock(), Err(TryLockError::WouldBlock))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.some.load(Ordering::Acquire)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().expect("no code panics under this lock").len()
    }

    pub(crate) fn pop(&self) -> Option<Key> {
        let mut queue = self.queue.lock().expect("no code panics under this lock");
        let key = queue.pop_front();
        self.some.store(!queue.is_empty(), Ordering::Release);
        key
    }
}

#[cfg(test)]
mod tests {
    use crate::{Cause, External, Loop, Next, Nudge, Wishes};
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};

    /// Hands its nudge out.
    struct Nudged(Sender<Nudge>);

    impl External for Nudged {
        type Event = ();

        fn step(&mut self, wishes: &mut Wishes<'_>, _: Cause) {
            self.0.send(wishes.nudge()).unwrap();
        }

        fn next_event(&mut self) -> Option<()> {
            None
        }
    }

    #[test]
    fn in_a_child_nothing_waits_for_a_lock_of_a_thread_that_is_not_there() {
        let mut event_loop: Loop<u32> = Loop::new().unwrap();
        let (nudge, nudges) = channel();
        event_loop.join(Nudged(nudge), |_, _, ()| Ok(Next::Keep));
        event_loop.turn(&mut 0, Some(std::time::Duration::ZERO)).unwrap();
        let nudge = nudges.recv().unwrap();
        let (remote, held) = (event_loop.remote(), Arc::new(()));
        let post = || {
            let held = Arc::clone(&held);
            remote.post(move |n, _| Ok(*n += Arc::strong_count(&held) as u32))
        };
        let (mailbox, queue) = (Arc::clone(&event_loop.mailbox), Arc::clone(&event_loop.nudges));
        let locked = (mailbox.posts.lock().unwrap(), queue.queue.lock().unwrap());
        let origin = &event_loop.bell.origin;
        origin.pretend_to_be_elsewhere();
        nudge.now();
        assert!(!post() && Arc::strong_count(&held) == 1);
        drop(locked);
        assert!(post(), "where nobody had locked it");
        origin.settle();
        assert!(post());
        let mut n = 0;
        event_loop.turn(&mut n, Some(std::time::Duration::ZERO)).unwrap();
        assert_eq!(n, 3 + 2);
    }
}
