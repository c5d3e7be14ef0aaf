//! The fiber face: calls that wait for the broker, and let other fibers run meanwhile.
//!
//! ```no_run
//! use becket_fiber::{Runtime, timeout};
//! use becket_mosquitto::{Options, Publish, QoS, fiber::Client};
//! use std::time::Duration;
//!
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let options = Options::new("mqtt://localhost".parse().unwrap());
//!     let client = timeout(Duration::from_secs(30), || Client::connect(options))?;
//!     let questions = client.subscribe("questions/#", QoS::AtLeastOnce)?;
//!     while let Some(question) = questions.next()? {
//!         let answer = client.publish(Publish::new("answers", question.payload))?; // waits for room in the queue
//!         println!("{}", answer.wait()?); // and for the broker
//!     }
//!     client.close()
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Every call that waits ends with [`Cancelled`](becket_fiber::Cancelled) or `TimedOut` as the calls of
//! `becket-fiber` do, and is an error of kind `Deadlock` outside of a fiber.

mod messages;
mod request;

pub use messages::{Buffer, Events, Messages, Overflow};

use crate::announced::Remark;
use crate::delivery::{DeliveryId, Outcome};
use crate::disconnect::Disconnect;
use crate::event::Event;
use crate::message::Publish;
use crate::options::Options;
use crate::reason::{Reason, ReasonCode};
use crate::subscribe::SubscribeOptions;
use crate::{Backlog, PublishRefusal, Remote, WhenFull};
use becket_fiber::sync::{Condvar, Mutex};
use becket_fiber::with_ctx;
use becket_loop::Next;
use messages::{Inbox, Line};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;
use std::{fmt, io};

/// A client of a broker, for the fibers of one runtime.
///
/// A clone is another handle to the same client. Dropping the last one closes the client as [`close`](Self::close)
/// does, without a wait: wait for what was published before.
///
/// See the [module](self) for an example with a broker.
///
/// ```
/// use becket_fiber::{Runtime, timeout};
/// use becket_mosquitto::{Options, fiber::Client};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let error = runtime.run(|| {
///     let options = Options::new("unix:/nobody/listens".parse().unwrap());
///     timeout(Duration::from_millis(50), || Client::connect(options)).unwrap_err()
/// })?;
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// assert!(error.to_string().contains("No such file or directory"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    closes: Rc<Closes>,
    shared: Rc<Shared>,
    /// Whether a publisher waits for room.
    waits: bool,
}

/// Closes the client when the last handle goes.
struct Closes(crate::Client);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the callback of the client and its handles share. Nothing of it is borrowed over a wait.
#[derive(Default)]
struct Shared {
    /// Those who wait for an answer to their message.
    waiting: RefCell<HashMap<DeliveryId, Rc<Condvar>>>,
    /// Those who wait to publish, in order; the first of them waits for `room`.
    turn: Mutex<()>,
    room: Condvar,
    /// The last message up to which all are stored, where there is a store, and those who wait for theirs.
    stored: Cell<Option<DeliveryId>>,
    stores: Condvar,
    /// Who waits for messages, by filter.
    inboxes: RefCell<HashMap<String, Vec<Rc<Inbox>>>>,
    /// Where the events go, while somebody wants them.
    events: RefCell<Option<Rc<Line<Event>>>>,
    /// Why it is over, once it is.
    over: RefCell<Option<Over>>,
    ended: Condvar,
}

#[derive(Clone)]
enum Over {
    Closed,
    Failed(Reason),
}

impl Shared {
    /// Hands on what happened. Called by the loop, so nothing here may wait.
    fn tell(&self, event: Event) {
        match &event {
            Event::Delivered { id, .. } => {
                let waiting = self.waiting.borrow_mut().remove(id);
                if let Some(condvar) = waiting {
                    condvar.notify_all();
                }
                self.stores.notify_all();
            }
            Event::Stored { through } => {
                self.stored.set(Some(*through));
                self.stores.notify_all();
            }
            Event::Subscribed { filter, granted, .. } => {
                for inbox in self.inboxes.borrow().get(filter).into_iter().flatten() {
                    inbox.answer(*granted);
                }
            }
            Event::Closed => self.end(Over::Closed),
            Event::Failed(reason) => self.end(Over::Failed(reason.clone())),
            _ => {}
        }
        let is_last = matches!(event, Event::Closed | Event::Failed(_));
        let is_room = is_last || event == Event::Room;
        if let Some(line) = &*self.events.borrow() {
            line.push(event, || None);
            if is_last {
                line.end();
            }
        }
        if is_room {
            self.room.notify_all();
        }
    }

    /// Nobody waits for the messages of this one any more.
    fn forget(&self, inbox: &Rc<Inbox>) {
        let mut inboxes = self.inboxes.borrow_mut();
        if let Some(same) = inboxes.get_mut(&inbox.filter) {
            same.retain(|other| !Rc::ptr_eq(other, inbox));
            if same.is_empty() {
                inboxes.remove(&inbox.filter);
            }
        }
    }

    fn end(&self, over: Over) {
        *self.over.borrow_mut() = Some(over);
        for inbox in self.inboxes.borrow().values().flatten() {
            inbox.line.end();
            inbox.answered.notify_all();
        }
        self.ended.notify_all();
    }

    /// Whether the client is over, as an error.
    fn check(&self) -> io::Result<()> {
        match self.over.borrow().clone() {
            None => Ok(()),
            Some(Over::Closed) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is closed")),
            Some(Over::Failed(reason)) => Err(failed(reason)),
        }
    }
}

impl Client {
    /// Makes a client on the loop of this fiber, which begins to connect, without a wait; and the stream of what
    /// happens to it.
    ///
    /// # Errors
    /// `InvalidInput` for options that contradict themselves; those of [`with_ctx`].
    pub fn start(options: Options) -> io::Result<(Client, Events)> {
        let line = Rc::new(Line::new(Buffer::new(Events::CAPACITY)));
        let shared = Rc::new(Shared { events: RefCell::new(Some(Rc::clone(&line))), ..Shared::default() });
        let told = Rc::clone(&shared);
        let waits = options.when_full != WhenFull::Refuse;
        let inner = with_ctx(|ctx| {
            crate::Client::join(ctx, options, move |(), _, _, event| {
                told.tell(event);
                Ok(())
            })
        })??;
        let events = Events::new(line, Rc::downgrade(&shared));
        Ok((Client { closes: Rc::new(Closes(inner)), shared, waits }, events))
    }

    /// Makes a client, and waits until the broker has accepted it, however many attempts that takes: set a
    /// [`timeout`](becket_fiber::timeout).
    ///
    /// # Errors
    /// As [`start`](Self::start); `PermissionDenied` where the broker refuses it for good; `TimedOut` with
    /// the reason why the last attempt failed; [`Cancelled`](becket_fiber::Cancelled).
    pub fn connect(options: Options) -> io::Result<Client> {
        let (client, events) = Client::start(options)?;
        let mut last = None;
        loop {
            match events.next() {
                Ok(Some(Event::Connected { .. })) => return Ok(client),
                Ok(Some(Event::Disconnected { reason, .. })) => last = Some(reason),
                Ok(Some(_)) => {}
                Ok(None) => {
                    client.shared.check()?;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    return Err(last.map_or(e, |reason| io::Error::new(io::ErrorKind::TimedOut, reason)));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends a message, or has it wait for the connection or the window; where the queue is full, and the
    /// [policy](crate::WhenFull) says no other, waits for room in it. Fibers that wait for room get it in the order in
    /// which they came. A message whose [deadline](Publish::deadline) comes meanwhile has
    /// [expired](Outcome::Expired), which is no error.
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`: the message was not accepted. `NotConnected`
    /// for a message of QoS 0 without a connection; `BrokenPipe` for a client that was closed or gave up;
    /// `WouldBlock` for a full queue where the policy is to refuse; `InvalidInput` for what MQTT cannot carry: each
    /// with a [`PublishError`](crate::PublishError) inside.
    pub fn publish(&self, publish: Publish) -> io::Result<Delivery> {
        let mut publish = publish;
        let acked = publish.level() != crate::QoS::AtMostOnce;
        let turn = until(publish.deadline, || self.shared.turn.lock())?;
        loop {
            publish = match self.closes.0.publish(publish) {
                Ok(inner) => return Ok(Delivery { inner, acked, shared: Rc::clone(&self.shared) }),
                Err(e) if e.refusal() == PublishRefusal::QueueFull && self.waits && turn.is_some() => e.into_publish(),
                Err(e) => return Err(e.into()),
            };
            until(publish.deadline, || self.shared.room.wait())?;
        }
    }

    /// Subscribes, at a [`QoS`](crate::QoS) or as [`SubscribeOptions`] say, and waits for the broker's answer; the
    /// messages come by what is returned, up to [`Messages::CAPACITY`] of them waiting. It is asked for again after
    /// each reconnection that finds no session.
    ///
    /// # Errors
    /// `PermissionDenied` where the broker refuses; `InvalidInput` for a filter that is none, or for
    /// options that cannot be; `BrokenPipe`
    /// where the client is closed or gives up; [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`, after which the
    /// filter is unsubscribed.
    pub fn subscribe(&self, filter: &str, options: impl Into<SubscribeOptions>) -> io::Result<Messages> {
        self.subscribe_with(filter, options, Buffer::default())
    }

    /// As [`subscribe`](Self::subscribe), with another buffer for the messages that wait.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
        buffer: Buffer,
    ) -> io::Result<Messages> {
        let handle = &self.closes.0;
        let inbox = Rc::new(Inbox::new(filter, buffer));
        let to = Rc::clone(&inbox);
        let handler = handle.on(filter, options, move |(): &mut (), _, client, message| {
            to.push(client, message);
            Ok(Next::Keep)
        })?;
        self.shared.inboxes.borrow_mut().entry(filter.to_owned()).or_default().push(Rc::clone(&inbox));
        let messages = Messages::new(inbox, handler, handle.clone(), Rc::downgrade(&self.shared));
        messages.wait_for_answer(|| self.shared.over.borrow().is_some())?;
        match messages.granted() {
            Some(Ok(_)) => Ok(messages),
            Some(Err(code)) => Err(refused(code)),
            None => {
                self.shared.check()?;
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    /// Says DISCONNECT and waits until it is gone, as long as [`Options::linger`] says; without a connection it
    /// is quicker. Messages without an answer are [dropped](Outcome::Dropped).
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`; it closes all the same.
    pub fn close(&self) -> io::Result<()> {
        self.close_with(Disconnect::default())
    }

    /// As [`close`](Self::close), with something to say to a broker of MQTT 5.
    ///
    /// # Errors
    /// As [`close`](Self::close); `InvalidInput` with a [`DisconnectError`](crate::DisconnectError) inside for what
    /// cannot be said, and then the client goes on.
    pub fn close_with(&self, goodbye: Disconnect) -> io::Result<()> {
        self.closes.0.close_with(goodbye)?;
        self.shared.ended.wait_while(|| self.shared.over.borrow().is_none())
    }

    /// The same client by the calls that never wait: for callbacks, for a message now or never, for a subscription that
    /// is to be asked for whenever the broker is there.
    pub fn handle(&self) -> &crate::Client {
        &self.closes.0
    }

    /// A handle by which other threads publish. It does not keep the client from being closed with the
    /// last of its own handles.
    pub fn remote(&self) -> Remote {
        self.closes.0.remote()
    }

    /// Whether the broker has accepted the connection and it is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.closes.0.is_connected()
    }

    /// What it has not got rid of yet.
    pub fn backlog(&self) -> Backlog {
        self.closes.0.backlog()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}

/// A message on its way, whose end a fiber can wait for.
///
/// A clone is another handle to the same; dropping it changes nothing for the message. See the [module](self) for an
/// example.
#[derive(Clone)]
pub struct Delivery {
    inner: crate::Delivery,
    /// Whether it is of QoS 1 or 2.
    acked: bool,
    shared: Rc<Shared>,
}

impl Delivery {
    /// Waits until it is known what became of the message; several fibers may. For QoS 1 and 2 that takes as long as
    /// the broker is away.
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled) and `TimedOut`: the message stays on its way.
    pub fn wait(&self) -> io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.inner.outcome() {
                return Ok(outcome);
            }
            let condvar = Rc::clone(self.shared.waiting.borrow_mut().entry(self.inner.id()).or_default());
            condvar.wait_while(|| self.inner.outcome().is_none())?;
        }
    }

    /// Waits until it is [stored](Event::Stored), so that it is not lost with the process, or has its outcome. Without a
    /// store, and at QoS 0, that is [`wait`](Self::wait).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_stored(&self) -> io::Result<()> {
        let is_stored = || self.acked && self.shared.stored.get() >= Some(self.inner.id());
        self.shared.stores.wait_while(|| self.inner.outcome().is_none() && !is_stored())
    }

    /// What became of it; `None` while that is open.
    pub fn outcome(&self) -> Option<Outcome> {
        self.inner.outcome()
    }

    /// What the broker said beside the code of its answer, if it said anything (MQTT 5).
    pub fn remark(&self) -> Option<&Remark> {
        self.inner.remark()
    }

    /// What [`Event::Delivered`] calls it.
    pub fn id(&self) -> DeliveryId {
        self.inner.id()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Waits no longer than until `at`; `None` where that has come.
fn until<T>(at: Option<Instant>, wait: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
    let Some(at) = at else { return wait().map(Some) };
    match becket_fiber::deadline(at, wait) {
        Err(e) if e.kind() == io::ErrorKind::TimedOut && Instant::now() >= at => Ok(None),
        other => other.map(Some),
    }
}

fn refused(code: ReasonCode) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("the broker refused the subscription: {code}"))
}

fn failed(reason: Reason) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}
