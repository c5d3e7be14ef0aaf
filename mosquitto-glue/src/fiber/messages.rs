//! What fibers take out of a client: messages and events.

use super::Shared;
use crate::event::Event;
use crate::message::{Message, QoS};
use crate::reason::ReasonCode;
use becket_fiber::sync::Condvar;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::{fmt, io};

/// A queue that the loop fills, which cannot wait, and fibers empty: when it is full, the oldest entry goes.
pub(super) struct Line<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    lost: Cell<u64>,
    /// Whether nothing more comes.
    ended: Cell<bool>,
    changed: Condvar,
}

impl<T> Line<T> {
    pub(super) fn new(capacity: usize) -> Line<T> {
        Line {
            queue: RefCell::default(),
            capacity,
            lost: Cell::new(0),
            ended: Cell::new(false),
            changed: Condvar::new(),
        }
    }

    pub(super) fn push(&self, value: T) {
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.capacity {
            queue.pop_front();
            self.lost.set(self.lost.get() + 1);
        }
        queue.push_back(value);
        drop(queue);
        self.changed.notify_one();
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.changed.notify_all();
    }

    fn try_next(&self) -> Option<T> {
        self.queue.borrow_mut().pop_front()
    }

    /// The next value; `None` after the last one.
    fn next(&self) -> io::Result<Option<T>> {
        loop {
            self.changed.wait_while(|| self.queue.borrow().is_empty() && !self.ended.get())?;
            match self.try_next() {
                None if !self.ended.get() => {}
                next => return Ok(next),
            }
        }
    }
}

/// One subscription of a fiber's.
pub(super) struct Inbox {
    pub(super) filter: String,
    pub(super) line: Line<Message>,
    granted: Cell<Option<Result<QoS, ReasonCode>>>,
    pub(super) answered: Condvar,
}

impl Inbox {
    pub(super) fn new(filter: &str) -> Inbox {
        Inbox {
            filter: filter.to_owned(),
            line: Line::new(Messages::CAPACITY),
            granted: Cell::new(None),
            answered: Condvar::new(),
        }
    }

    /// The broker answered; a refusal, also one after a reconnection, ends the stream.
    pub(super) fn answer(&self, granted: Result<QoS, ReasonCode>) {
        self.granted.set(Some(granted));
        if granted.is_err() {
            self.line.end();
        }
        self.answered.notify_all();
    }
}

/// The messages of one subscription, as [`Client::subscribe`](super::Client::subscribe) gives them.
///
/// Libmosquitto acknowledges a message when it comes, so the broker cannot be kept waiting: what a fiber does not
/// take in time waits here, up to [`CAPACITY`](Self::CAPACITY) messages; beyond, the oldest is dropped and
/// [counted](Self::lost). A message that matches the filters of several subscriptions goes to each of them. Dropping
/// this unsubscribes, where no other one has the same filter. See the [module](super) for an example.
pub struct Messages {
    inbox: Rc<Inbox>,
    client: crate::Client,
    shared: Weak<Shared>,
}

impl Messages {
    /// The most messages that wait.
    pub const CAPACITY: usize = 1000;

    pub(super) fn new(inbox: Rc<Inbox>, client: crate::Client, shared: Weak<Shared>) -> Messages {
        Messages { inbox, client, shared }
    }

    pub(super) fn wait_for_answer(&self, is_over: impl Fn() -> bool) -> io::Result<()> {
        self.inbox.answered.wait_while(|| self.inbox.granted.get().is_none() && !is_over())
    }

    /// What the broker said last, where it said something.
    pub(super) fn granted(&self) -> Option<Result<QoS, ReasonCode>> {
        self.inbox.granted.get()
    }

    /// The next message, and waits for one; `None` once the client is closed or has given up, or the broker has refused
    /// the subscription after a reconnection.
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`; no message is lost by them.
    pub fn next(&self) -> io::Result<Option<Message>> {
        self.inbox.line.next()
    }

    /// The next message, if there is one.
    pub fn try_next(&self) -> Option<Message> {
        self.inbox.line.try_next()
    }

    /// How many messages were dropped here because nobody took them in time.
    pub fn lost(&self) -> u64 {
        self.inbox.line.lost.get()
    }

    /// The filter, as it was given.
    pub fn filter(&self) -> &str {
        &self.inbox.filter
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut inboxes = shared.inboxes.borrow_mut();
        inboxes.retain(|inbox| !Rc::ptr_eq(inbox, &self.inbox));
        let is_last = inboxes.iter().all(|inbox| inbox.filter != self.inbox.filter);
        drop(inboxes);
        // A refused filter is forgotten already.
        if is_last && !matches!(self.inbox.granted.get(), Some(Err(_))) {
            // Fails only for a client that is closed.
            let _ = self.client.unsubscribe(&self.inbox.filter);
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("filter", &self.inbox.filter).field("lost", &self.lost()).finish()
    }
}

/// What happens to a client, as [`Client::start`](super::Client::start) gives it: all events but the messages that a
/// [`Messages`] took.
///
/// Up to [`CAPACITY`](Self::CAPACITY) of them wait; beyond, the oldest is dropped and [counted](Self::lost). Dropping
/// this drops the events from then on.
///
/// ```no_run
/// # becket_fiber::Runtime::new()?.run(|| {
/// use becket_mosquitto::{Event, Options, fiber::Client};
///
/// let (client, events) = Client::start(Options::new("mqtt://localhost".parse().unwrap()))?;
/// becket_fiber::spawn(move || {
///     while let Ok(Some(event)) = events.next() {
///         if let Event::Disconnected { reason, retry_in } = event {
///             eprintln!("{reason}; again in {retry_in:?}");
///         }
///     }
/// })?;
/// client.close()
/// # })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Events {
    line: Rc<Line<Event>>,
    shared: Weak<Shared>,
}

impl Events {
    /// The most events that wait.
    pub const CAPACITY: usize = 10_000;

    pub(super) fn new(line: Rc<Line<Event>>, shared: Weak<Shared>) -> Events {
        Events { line, shared }
    }

    /// The next event, and waits for one; `None` after [`Event::Closed`] or [`Event::Failed`].
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`; no event is lost by them.
    pub fn next(&self) -> io::Result<Option<Event>> {
        self.line.next()
    }

    /// The next event, if there is one.
    pub fn try_next(&self) -> Option<Event> {
        self.line.try_next()
    }

    /// How many events were dropped because nobody took them in time.
    pub fn lost(&self) -> u64 {
        self.line.lost.get()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.events.take();
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("lost", &self.lost()).finish_non_exhaustive()
    }
}
