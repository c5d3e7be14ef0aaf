//! Publishing from other threads.

use crate::delivery::{Dropped, Outcome};
use crate::error::{PublishError, PublishRefusal};
use crate::link::Bell;
use crate::machine::problem_of;
use crate::message::Publish;
use crate::queue::size;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A way to publish for other threads: what [`Client::remote`](crate::Client::remote) gives.
///
/// Cloning it is cheap, and dropping it changes nothing. It keeps neither the client nor its loop alive.
///
/// ```
/// use becket_loop::Loop;
/// use becket_mosquitto::{Client, Dropped, Options, Outcome, Publish, PublishRefusal};
/// use std::thread;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let options = Options::new("unix:/nobody/listens".parse()?);
/// let client = Client::join(&mut event_loop, options, |_, _, _, _| Ok(()))?;
/// let remote = client.remote();
/// let publisher = thread::spawn(move || {
///     let delivery = remote.publish(Publish::new("t", "from afar")).unwrap();
///     (delivery.wait(), remote.publish(Publish::new("t", "too late")).unwrap_err().refusal())
/// });
/// event_loop.after(std::time::Duration::from_millis(50), move |_, _| {
///     client.close();
///     Ok(())
/// });
/// event_loop.run(&mut ())?;
/// let (outcome, refusal) = publisher.join().unwrap();
/// assert!(matches!(outcome, Outcome::Dropped(Dropped::Closed)));
/// assert_eq!(refusal, PublishRefusal::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Remote {
    mailbox: Arc<Mailbox>,
    bell: Bell,
}

/// What other threads put there, and the machine takes.
pub(crate) struct Mailbox {
    posts: Mutex<Posts>,
    v5: bool,
    max_count: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Posts {
    new: VecDeque<(Publish, Arc<Slot>)>,
    /// Those without an outcome, here and in the machine.
    count: usize,
    bytes: usize,
    closed: bool,
}

/// Where an outcome is left for other threads.
pub(crate) struct Slot {
    outcome: Mutex<Option<Outcome>>,
    answered: Condvar,
    mailbox: Arc<Mailbox>,
    size: usize,
}

/// Nothing of ours panics under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Mailbox {
    pub(crate) fn new(v5: bool, max_count: usize, max_bytes: usize) -> Arc<Mailbox> {
        Arc::new(Mailbox { posts: Mutex::default(), v5, max_count, max_bytes })
    }

    /// The oldest message that was not taken yet.
    pub(crate) fn take(&self) -> Option<(Publish, Arc<Slot>)> {
        lock(&self.posts).new.pop_front()
    }

    /// The client is over: nothing more is accepted.
    pub(crate) fn close(&self, why: Dropped) {
        lock(&self.posts).closed = true;
        while let Some((_, slot)) = self.take() {
            slot.set(Outcome::Dropped(why));
        }
    }
}

impl Slot {
    pub(crate) fn set(&self, outcome: Outcome) {
        let mut place = lock(&self.outcome);
        if place.is_none() {
            *place = Some(outcome);
            self.answered.notify_all();
            drop(place);
            let mut posts = lock(&self.mailbox.posts);
            posts.count -= 1;
            posts.bytes -= self.size;
        }
    }
}

impl Remote {
    pub(crate) fn new(mailbox: Arc<Mailbox>, bell: Bell) -> Remote {
        Remote { mailbox, bell }
    }

    /// Sends a message, or has it wait, as [`Client::publish`](crate::Client::publish) does in the loop's next turn;
    /// those of one thread go out in the order of its calls. No event tells what becomes of it, only what is returned.
    ///
    /// All remotes of a client together may have as many messages, and as many bytes of them, without an outcome as
    /// [`Options::queue`](crate::Options::queue) says, beside those that the loop's thread publishes. A message of
    /// QoS 0 that finds no connection is [dropped](Dropped::ConnectionLost), unless
    /// [the queue is for it too](crate::Options::queue_qos0).
    ///
    /// # Errors
    /// [`PublishError`] with the message in it: too many without an outcome; a client that is closed, has given up, or
    /// whose loop is gone; a message that MQTT, or the version of it in use, cannot carry.
    pub fn publish(&self, publish: Publish) -> Result<RemoteDelivery, PublishError> {
        let refuse = |refusal, publish| Err(PublishError { refusal, publish });
        if let Some(refusal) = problem_of(&publish, self.mailbox.v5) {
            return refuse(refusal, publish);
        }
        let size = size(&publish);
        let mut posts = lock(&self.mailbox.posts);
        if posts.closed {
            return refuse(PublishRefusal::Closed, publish);
        }
        let fits = posts.count == 0 || posts.bytes.saturating_add(size) <= self.mailbox.max_bytes;
        if posts.count >= self.mailbox.max_count || !fits {
            return refuse(PublishRefusal::QueueFull, publish);
        }
        posts.count += 1;
        posts.bytes += size;
        let mailbox = Arc::clone(&self.mailbox);
        let slot = Arc::new(Slot { outcome: Mutex::default(), answered: Condvar::new(), mailbox, size });
        posts.new.push_back((publish, Arc::clone(&slot)));
        drop(posts);
        // Before its first step the client looks by itself.
        if let Some(nudge) = self.bell.get() {
            nudge.now();
        }
        Ok(RemoteDelivery { slot })
    }

    /// Whether the client was closed, has given up, or its loop is gone.
    pub fn is_closed(&self) -> bool {
        lock(&self.mailbox.posts).closed
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// A message that another thread published, whose end can be waited for.
///
/// A clone is another handle to the same; dropping it changes nothing for the message. See [`Remote`] for an example.
#[derive(Clone)]
pub struct RemoteDelivery {
    slot: Arc<Slot>,
}

impl RemoteDelivery {
    /// Blocks the thread until it is known what became of the message, which may take as long as the broker is away,
    /// and for ever where the loop is not run any more but still there. Not for the loop's own thread.
    pub fn wait(&self) -> Outcome {
        let mut outcome = lock(&self.slot.outcome);
        loop {
            match *outcome {
                Some(outcome) => return outcome,
                None => outcome = self.slot.answered.wait(outcome).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
    }

    /// As [`wait`](Self::wait), but no longer than this; `None` where it is not known then. The message stays on its
    /// way.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Outcome> {
        let end = Instant::now().checked_add(timeout);
        let Some(end) = end else { return Some(self.wait()) };
        let mut outcome = lock(&self.slot.outcome);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if outcome.is_some() || left.is_zero() {
                return *outcome;
            }
            let waited = self.slot.answered.wait_timeout(outcome, left);
            outcome = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// What became of it; `None` while that is open. Once there, it never changes.
    pub fn outcome(&self) -> Option<Outcome> {
        *lock(&self.slot.outcome)
    }
}

impl fmt::Debug for RemoteDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteDelivery").field("outcome", &self.outcome()).finish()
    }
}
