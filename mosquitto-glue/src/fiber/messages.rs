//! What fibers take out of a client: messages and events.

use super::Shared;
use crate::acknowledge::Hold;
use crate::client::Pause;
use crate::event::Event;
use crate::handlers::Handler;
use crate::message::{Message, QoS};
use crate::reason::ReasonCode;
use becket_fiber::select::Arm;
use becket_fiber::sync::{self, Condvar};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::{fmt, io};

/// What happens to a message that comes while as many wait as may.
///
/// ```
/// use becket_mosquitto::fiber::Overflow;
///
/// assert_eq!(Overflow::default(), Overflow::DropOldest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest one that waits is dropped and counted: what is taken is up to date. The default.
    #[default]
    DropOldest,
    /// It is dropped and counted: what is taken has no gaps in the middle.
    DropNewest,
    /// It is kept, and nothing more is read from the broker until half of them are taken: back-pressure, with all that
    /// is said at [`Client::pause`](crate::Client::pause). What was read before is kept as well, so that more may wait
    /// than the capacity. Nothing is dropped. A fiber that waits for an answer of the same broker by the same client,
    /// such as [`Delivery::wait`](super::Delivery::wait), waits for itself while the messages are not taken.
    Pause,
}

/// How many messages of a subscription wait for a fiber, and what happens when there are more.
///
/// ```
/// use becket_mosquitto::fiber::{Buffer, Messages, Overflow};
///
/// let buffer = Buffer::new(100).overflow(Overflow::DropNewest);
/// assert_ne!(buffer, Buffer::default());
/// assert_eq!(Buffer::default(), Buffer::new(Messages::CAPACITY));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buffer {
    capacity: usize,
    overflow: Overflow,
}

impl Buffer {
    /// One for so many messages, of which the oldest is dropped when it is full. A capacity of 0 counts as 1.
    pub fn new(capacity: usize) -> Buffer {
        Buffer { capacity: capacity.max(1), overflow: Overflow::default() }
    }

    /// What happens when it is full.
    pub fn overflow(mut self, overflow: Overflow) -> Buffer {
        self.overflow = overflow;
        self
    }
}

/// [`Messages::CAPACITY`], and the oldest is dropped.
impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::new(Messages::CAPACITY)
    }
}

/// A queue that the loop fills, which cannot wait, and fibers empty.
pub(super) struct Line<T> {
    queue: RefCell<VecDeque<T>>,
    buffer: Buffer,
    lost: Cell<u64>,
    /// Whether nothing more comes.
    ended: Cell<bool>,
    changed: Condvar,
    /// Set while [`next`](Self::next) does not wait.
    some: sync::Event,
    /// There while the broker has to wait.
    pause: RefCell<Option<Pause>>,
}

impl<T> Line<T> {
    pub(super) fn new(buffer: Buffer) -> Line<T> {
        Line {
            queue: RefCell::default(),
            buffer,
            lost: Cell::new(0),
            ended: Cell::new(false),
            changed: Condvar::new(),
            some: sync::Event::new(),
            pause: RefCell::default(),
        }
    }

    /// Appends; `pause` is called where the broker has to wait.
    pub(super) fn push(&self, value: T, pause: impl FnOnce() -> Option<Pause>) {
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= self.buffer.capacity && self.buffer.overflow != Overflow::Pause {
            self.lost.set(self.lost.get() + 1);
            if self.buffer.overflow == Overflow::DropNewest {
                return;
            }
            queue.pop_front();
        }
        queue.push_back(value);
        let is_full = queue.len() >= self.buffer.capacity;
        drop(queue);
        if is_full && self.buffer.overflow == Overflow::Pause && self.pause.borrow().is_none() {
            *self.pause.borrow_mut() = pause();
        }
        self.some.set();
        self.changed.notify_one();
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.pause.take();
        self.some.set();
        self.changed.notify_all();
    }

    fn try_next(&self) -> Option<T> {
        let next = self.queue.borrow_mut().pop_front();
        if self.queue.borrow().is_empty() && !self.ended.get() {
            self.some.reset();
        }
        if self.queue.borrow().len() <= self.buffer.capacity / 2 {
            self.pause.take();
        }
        next
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
    /// There while messages are not acknowledged because a fiber has not handled them.
    hold: RefCell<Option<Hold>>,
    granted: Cell<Option<Result<QoS, ReasonCode>>>,
    pub(super) answered: Condvar,
}

impl Inbox {
    pub(super) fn new(filter: &str, buffer: Buffer) -> Inbox {
        Inbox {
            filter: filter.to_owned(),
            line: Line::new(buffer),
            hold: RefCell::default(),
            granted: Cell::new(None),
            answered: Condvar::new(),
        }
    }

    /// A message came.
    pub(super) fn push(&self, client: &crate::Client, message: Message) {
        if self.hold.borrow().is_none() {
            *self.hold.borrow_mut() = client.hold();
        }
        self.line.push(message, || Some(client.pause()));
    }

    /// A fiber asks for another message: those that it has taken are handled.
    fn settle(&self) {
        if self.line.queue.borrow().is_empty() {
            self.hold.take();
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
/// What a fiber does not take in time waits here, up to [`CAPACITY`](Self::CAPACITY) messages; beyond, the oldest is
/// dropped and [counted](Self::lost), or what the [`Buffer`] says. A message that matches the filters of several
/// subscriptions goes to each of them, as [`Client::on`](crate::Client::on) says. Dropping this unsubscribes, where
/// nobody else has the same filter.
///
/// With [`Acknowledge::WhenHandled`](crate::Acknowledge::WhenHandled) a message counts as handled when all that wait
/// are taken and a fiber asks for another one, or when this is dropped. Until then there is a [`Hold`]: a fiber that
/// waits in between for an answer of the same broker by the same client, such as
/// [`Delivery::wait`](super::Delivery::wait), waits for itself.
///
/// See the [module](super) for an example.
pub struct Messages {
    inbox: Rc<Inbox>,
    handler: Handler,
    client: crate::Client,
    shared: Weak<Shared>,
}

impl Messages {
    /// The most messages that wait, where the [`Buffer`] says nothing else.
    pub const CAPACITY: usize = 1000;

    pub(super) fn new(inbox: Rc<Inbox>, handler: Handler, client: crate::Client, shared: Weak<Shared>) -> Messages {
        Messages { inbox, handler, client, shared }
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
        self.inbox.settle();
        self.inbox.line.next()
    }

    /// An arm of [`select!`](becket_fiber::select!) that is chosen when [`next`](Self::next) does not wait, at the end too:
    /// nothing is taken by it. To make it is to ask for a message.
    ///
    /// ```no_run
    /// use becket_fiber::{Runtime, interval, select};
    /// use becket_mosquitto::{Options, QoS, fiber::Client};
    /// use std::time::Duration;
    ///
    /// Runtime::new()?.run(|| {
    ///     let client = Client::connect(Options::new("mqtt://localhost".parse().unwrap()))?;
    ///     let commands = client.subscribe("pump/command", QoS::AtLeastOnce)?;
    ///     let mut beat = interval(Duration::from_secs(1));
    ///     loop {
    ///         select! {
    ///             () = commands.on_next() => match commands.next()? {
    ///                 Some(command) => println!("{}", command.topic),
    ///                 None => return Ok::<_, std::io::Error>(()),
    ///             },
    ///             _ = beat.on_tick() => println!("alive"),
    ///         }?;
    ///     }
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_next(&self) -> impl Arm<Output = ()> + '_ {
        self.inbox.settle();
        self.inbox.line.some.on_set()
    }

    /// The next message, if there is one.
    pub fn try_next(&self) -> Option<Message> {
        self.inbox.settle();
        self.inbox.line.try_next()
    }

    /// How many messages wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inbox.line.queue.borrow().len()
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
        if let Some(shared) = self.shared.upgrade() {
            shared.forget(&self.inbox);
        }
        self.inbox.line.end();
        self.client.off(self.handler);
        self.inbox.hold.take();
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

    /// As [`Messages::on_next`].
    pub fn on_next(&self) -> impl Arm<Output = ()> + '_ {
        self.line.some.on_set()
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
