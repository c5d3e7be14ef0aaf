//! The fiber face.

use crate::client::Client as Callbacks;
use crate::delivery::{Delivery, Outcome};
use crate::error::{OptionsError, PublishRefusal, SubscribeError};
use crate::event::Event;
use crate::message::{Publish, QoS};
use crate::options::Options;
use becket_fiber::sync::Condvar;
use becket_fiber::with_ctx;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;

/// A client of a broker, for fibers: calls that have to wait do so in the fiber, and end by its deadlines and when it is
/// cancelled.
///
/// A handle: cloning it is cheap, and dropping it changes nothing. The client lives in the loop of the runtime until it
/// is [closed](Self::close) or gives up. Its events wait until somebody takes them by [`next_event`](Self::next_event);
/// they are not bounded, so somebody should.
///
/// ```no_run
/// use becket_fiber::Runtime;
/// use becket_mosquitto::fiber::Client;
/// use becket_mosquitto::{Event, Options, Publish, QoS};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let client = Client::connect(Options::new("mqtt://localhost".parse().unwrap()))?;
///     let delivery = client.publish(Publish::new("greetings", "hello").qos(QoS::AtLeastOnce))?;
///     assert!(client.wait(&delivery)?.is_acknowledged());
///     client.close();
///     while let Some(event) = client.next_event()? {
///         println!("{event:?}");
///     }
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    callbacks: Callbacks,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    events: RefCell<VecDeque<Event>>,
    /// Told of every event.
    news: Condvar,
}

impl Client {
    /// Makes a client, which begins to connect at once. That the broker cannot be reached is no error: it is told by
    /// [`Event::Disconnected`], and tried again.
    ///
    /// # Errors
    /// `InvalidInput` with an [`OptionsError`] for options that contradict themselves; an error outside of a fiber, for
    /// there is no loop to join.
    pub fn connect(options: Options) -> io::Result<Client> {
        let shared = Rc::new(Shared::default());
        let told = Rc::clone(&shared);
        let joined = with_ctx(|ctx| {
            Callbacks::join(ctx, options, move |(), _, _, event| {
                told.events.borrow_mut().push_back(event);
                told.news.notify_all();
                Ok(())
            })
        })?;
        let invalid = |e: OptionsError| io::Error::new(io::ErrorKind::InvalidInput, e);
        Ok(Client { callbacks: joined.map_err(invalid)?, shared })
    }

    /// Takes the next event, and waits for one; `None` after [`Event::Closed`] or [`Event::Failed`] was taken.
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled); `TimedOut`. No event is lost by them.
    pub fn next_event(&self) -> io::Result<Option<Event>> {
        let nothing = || self.shared.events.borrow().is_empty() && !self.callbacks.is_closed();
        self.shared.news.wait_while(nothing)?;
        Ok(self.shared.events.borrow_mut().pop_front())
    }

    /// Sends a message, or queues it for the connection; waits while the queue is full. The delivery says what becomes of
    /// it; [`wait`](Self::wait) waits for that.
    ///
    /// # Errors
    /// An error with a [`PublishError`](crate::PublishError) in it, for every other refusal;
    /// [`Cancelled`](becket_fiber::Cancelled); `TimedOut`: the message was then not taken.
    pub fn publish(&self, publish: Publish) -> io::Result<Delivery> {
        let mut publish = publish;
        loop {
            match self.callbacks.publish(publish) {
                Ok(delivery) => return Ok(delivery),
                Err(e) if e.refusal() == PublishRefusal::QueueFull => publish = e.into_publish(),
                Err(e) => return Err(io::Error::other(e)),
            }
            self.shared.news.wait()?;
        }
    }

    /// Waits for what becomes of a message.
    ///
    /// # Errors
    /// [`Cancelled`](becket_fiber::Cancelled); `TimedOut`. The message goes its way all the same.
    pub fn wait(&self, delivery: &Delivery) -> io::Result<Outcome> {
        self.shared.news.wait_while(|| delivery.outcome().is_none())?;
        delivery.outcome().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Subscribes to a topic filter; see [`Client::subscribe`](Callbacks::subscribe).
    ///
    /// # Errors
    /// A filter that is none, and a client that was closed.
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), SubscribeError> {
        self.callbacks.subscribe(filter, qos)
    }

    /// Ends the client; see [`Client::close`](Callbacks::close). [`Event::Closed`] is its last event.
    pub fn close(&self) {
        self.callbacks.close();
    }

    /// The same client, with the calls that never wait.
    pub fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.callbacks.fmt(f)
    }
}
