//! Questions and their answers, by the response topic and the correlation data of MQTT 5.

use crate::backoff::random;
use crate::client::Client;
use crate::delivery::{Delivery, DeliveryId, Outcome};
use crate::error::{PublishError, SubscribeError};
use crate::event::Event;
use crate::handlers::Handler;
use crate::message::{Message, Publish, QoS};
use crate::reason::{Reason, ReasonCode};
use crate::subscribe::SubscribeOptions;
use becket_loop::{Ctx, Id, Next, Result, Timer};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;
use std::{error, fmt, io};

/// Names one request of one client, see [`Client::request`]. Dropping it changes nothing.
///
/// ```
/// use becket_mosquitto::RequestId;
/// use std::collections::HashMap;
///
/// let open: HashMap<RequestId, &str> = HashMap::new();
/// assert!(open.is_empty());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

/// Why a request has no answer.
///
/// ```
/// use becket_mosquitto::RequestError;
///
/// assert_eq!(RequestError::NoResponder.to_string(), "request: nobody subscribes to its topic");
/// assert_eq!(std::io::Error::from(RequestError::TimedOut).kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The client speaks MQTT 3.1.1, which has no response topic and no correlation data.
    NeedsV5,
    /// The request was not accepted.
    Publish(PublishError),
    /// The response topic could not be subscribed to.
    Subscribe(SubscribeError),
    /// The broker refuses the subscription to the response topic.
    Refused(ReasonCode),
    /// The request did not reach the broker, or was refused by it.
    NotDelivered(Outcome),
    /// The broker has nobody to give the request to (reason code 0x10, which it may leave out).
    NoResponder,
    /// No answer came within the time given.
    TimedOut,
    /// The broker has lost the session in which the answer was to come.
    ConnectionLost,
    /// The client was closed.
    Closed,
    /// The client gave up.
    Failed(Reason),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request: ")?;
        match self {
            RequestError::NeedsV5 => f.write_str("it needs MQTT 5"),
            RequestError::Publish(e) => e.fmt(f),
            RequestError::Subscribe(e) => write!(f, "response topic: {e}"),
            RequestError::Refused(code) => write!(f, "the broker refused the response topic: {code}"),
            RequestError::NotDelivered(outcome) => outcome.fmt(f),
            RequestError::NoResponder => f.write_str("nobody subscribes to its topic"),
            RequestError::TimedOut => f.write_str("no answer came in time"),
            RequestError::ConnectionLost => f.write_str("the broker has lost the session"),
            RequestError::Closed => f.write_str("the client is closed"),
            RequestError::Failed(reason) => reason.fmt(f),
        }
    }
}

impl error::Error for RequestError {}

/// As what [`PublishError`] and [`SubscribeError`] become; else `Unsupported` (MQTT 3.1.1), `PermissionDenied`
/// (refused, gave up), `NotFound` (no responder), `TimedOut`, `ConnectionAborted` (lost, not delivered) or `BrokenPipe`
/// (closed), with this inside.
impl From<RequestError> for io::Error {
    fn from(e: RequestError) -> io::Error {
        let kind = match e {
            RequestError::Publish(e) => return e.into(),
            RequestError::Subscribe(e) => return e.into(),
            RequestError::NeedsV5 => io::ErrorKind::Unsupported,
            RequestError::Refused(_) | RequestError::Failed(_) => io::ErrorKind::PermissionDenied,
            RequestError::NoResponder => io::ErrorKind::NotFound,
            RequestError::TimedOut => io::ErrorKind::TimedOut,
            RequestError::NotDelivered(_) | RequestError::ConnectionLost => io::ErrorKind::ConnectionAborted,
            RequestError::Closed => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, e)
    }
}

/// What is called with the answer.
pub(crate) type Answer<S> =
    Box<dyn FnOnce(&mut S, &mut Ctx<S>, &Client, std::result::Result<Message, RequestError>) -> Result<()>>;

/// One request without an answer.
struct Open<S> {
    delivery: Delivery,
    /// Whether the broker has it.
    is_delivered: bool,
    response_topic: String,
    timer: Option<Id<Timer>>,
    answer: Answer<S>,
}

/// The requests of one client that have no answer. Nothing of it is borrowed while code of the program's runs, or
/// drops.
pub(crate) struct Requests<S> {
    /// Tells these requests from those of other clients, and of other lives of this one.
    salt: u64,
    last: Cell<u64>,
    late: Cell<u64>,
    open: RefCell<HashMap<u64, Open<S>>>,
    by_delivery: RefCell<HashMap<DeliveryId, u64>>,
    /// The response topics in use, and who listens there.
    topics: RefCell<HashMap<String, Handler>>,
}

impl<S> Default for Requests<S> {
    fn default() -> Requests<S> {
        Requests {
            salt: random(),
            last: Cell::new(0),
            late: Cell::new(0),
            open: RefCell::default(),
            by_delivery: RefCell::default(),
            topics: RefCell::default(),
        }
    }
}

impl<S: 'static> Requests<S> {
    /// A name for the next request, and its correlation data.
    pub(crate) fn next_id(&self) -> (RequestId, Vec<u8>) {
        self.last.set(self.last.get() + 1);
        let id = self.last.get();
        (RequestId(id), [self.salt.to_be_bytes(), id.to_be_bytes()].concat())
    }

    fn id_of(&self, message: &Message) -> Option<RequestId> {
        let data = message.properties.as_ref()?.correlation_data.as_ref()?;
        let (salt, id) = data.split_first_chunk()?;
        (u64::from_be_bytes(*salt) == self.salt).then_some(RequestId(u64::from_be_bytes(id.try_into().ok()?)))
    }

    pub(crate) fn listens(&self, topic: &str) -> bool {
        self.topics.borrow().contains_key(topic)
    }

    pub(crate) fn listen(&self, topic: &str, handler: Handler) {
        self.topics.borrow_mut().insert(topic.to_owned(), handler);
    }

    pub(crate) fn insert(&self, id: RequestId, delivery: Delivery, response_topic: String, answer: Answer<S>) {
        self.by_delivery.borrow_mut().insert(delivery.id(), id.0);
        let open = Open { delivery, is_delivered: false, response_topic, timer: None, answer };
        self.open.borrow_mut().insert(id.0, open);
    }

    pub(crate) fn set_timer(&self, id: RequestId, timer: Id<Timer>) {
        if let Some(open) = self.open.borrow_mut().get_mut(&id.0) {
            open.timer = Some(timer);
        }
    }

    /// How many answers came for which nobody waited.
    pub(crate) fn late(&self) -> u64 {
        self.late.get()
    }

    fn take(&self, id: RequestId) -> Option<Open<S>> {
        let open = self.open.borrow_mut().remove(&id.0)?;
        self.by_delivery.borrow_mut().remove(&open.delivery.id());
        Some(open)
    }

    /// Nobody waits for this one any more.
    pub(crate) fn forget(&self, id: RequestId) -> bool {
        self.take(id).is_some()
    }

    /// Hands a request its end, if it is open.
    pub(crate) fn finish(
        &self,
        state: &mut S,
        ctx: &mut Ctx<S>,
        client: &Client,
        id: RequestId,
        end: std::result::Result<Message, RequestError>,
    ) -> Result<()> {
        let Some(open) = self.take(id) else { return Ok(()) };
        if let Some(timer) = open.timer {
            ctx.cancel(timer);
        }
        (open.answer)(state, ctx, client, end)
    }

    /// A message came on a response topic.
    pub(crate) fn answered(&self, state: &mut S, ctx: &mut Ctx<S>, client: &Client, message: Message) -> Result<()> {
        match self.id_of(&message).filter(|id| self.open.borrow().contains_key(&id.0)) {
            Some(id) => self.finish(state, ctx, client, id, Ok(message)),
            None => {
                self.late.set(self.late.get() + 1);
                Ok(())
            }
        }
    }

    /// Something happened to the client, after which some requests will have no answer. Of errors, the first is kept.
    pub(crate) fn told(&self, state: &mut S, ctx: &mut Ctx<S>, client: &Client, event: &Event) -> Result<()> {
        if self.open.borrow().is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        for (id, why) in self.ended(client, event) {
            result = result.and(self.finish(state, ctx, client, id, Err(why)));
        }
        result
    }

    /// The requests that end with `event`.
    fn ended(&self, client: &Client, event: &Event) -> Vec<(RequestId, RequestError)> {
        let all = |f: &dyn Fn(&Open<S>) -> bool, why: RequestError| {
            let open = self.open.borrow();
            let mut ids: Vec<_> = open.iter().filter(|(_, open)| f(open)).map(|(id, _)| RequestId(*id)).collect();
            ids.sort_unstable_by_key(|id| id.0);
            ids.into_iter().map(|id| (id, why.clone())).collect()
        };
        match event {
            Event::Delivered { id, outcome, .. } => {
                let Some(id) = self.by_delivery.borrow_mut().remove(id) else { return Vec::new() };
                let why = match *outcome {
                    Outcome::Acknowledged(ReasonCode::NO_MATCHING_SUBSCRIBERS) => RequestError::NoResponder,
                    Outcome::Sent | Outcome::Acknowledged(_) => {
                        if let Some(open) = self.open.borrow_mut().get_mut(&id) {
                            open.is_delivered = true;
                        }
                        return Vec::new();
                    }
                    other => RequestError::NotDelivered(other),
                };
                vec![(RequestId(id), why)]
            }
            // What the broker has not acknowledged is sent to it again.
            Event::Connected { session_present: false, .. } => {
                all(&|open| open.is_delivered, RequestError::ConnectionLost)
            }
            Event::Subscribed { filter, granted: Err(code), .. } => {
                let handler = self.topics.borrow_mut().remove(filter);
                if let Some(handler) = handler {
                    client.off(handler);
                }
                all(&|open| open.response_topic == *filter, RequestError::Refused(*code))
            }
            Event::Closed => all(&|_| true, RequestError::Closed),
            Event::Failed(reason) => all(&|_| true, RequestError::Failed(reason.clone())),
            _ => Vec::new(),
        }
    }
}

impl<S> Requests<S> {
    /// Drops all, without a word.
    pub(crate) fn clear(&self) {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        drop(open);
    }
}

impl Client {
    /// Publishes a request, and has `f` called once: with the answer, or with the reason why there is none. MQTT 5
    /// only.
    ///
    /// The request gets this client's response topic, correlation data that nobody else has and, where it has no
    /// expiry, one of `timeout` in whole seconds, rounded up: the broker does not deliver it later. The response topic
    /// is what the broker's [response information](crate::Announced::response_information) says, else `responses/` and
    /// the client id; it is subscribed to with the first request. Any number of requests may be open, and the answers
    /// may come in any order. An answer for which nobody waits any more, and the second one of several, is dropped and
    /// [counted](Self::late_answers).
    ///
    /// A lost connection does not end a request: what the broker had not acknowledged is sent again, so that a
    /// responder may get it twice. Where the broker has lost the session, answers to what it had acknowledged may be
    /// lost with it, and these requests end with [`RequestError::ConnectionLost`]; so does, as not delivered, a request
    /// of QoS 0 that had not left.
    ///
    /// # Errors
    /// MQTT 3.1.1; what [`publish`](Self::publish) refuses; [`SubscribeError::OtherLoop`]
    /// where the client was [made](Self::join) with another type of state. `f` is then not called.
    ///
    /// ```no_run
    /// use becket_loop::Loop;
    /// use becket_mosquitto::{Client, Options, Protocol, Publish, QoS};
    /// use std::time::Duration;
    ///
    /// let mut event_loop: Loop<Vec<u8>> = Loop::new()?;
    /// let options = Options::new("mqtt://localhost".parse()?).protocol(Protocol::V5);
    /// let client = Client::join(&mut event_loop, options, |_, _, _, _| Ok(()))?;
    /// client.respond("time/+", QoS::AtLeastOnce, |_: &mut Vec<u8>, _, _, request| {
    ///     Ok(Some(request.topic.clone().into_bytes()))
    /// })?;
    /// let timeout = Duration::from_secs(5);
    /// client.request(&mut event_loop, Publish::new("time/utc", ""), timeout, |got, _, client, answer| {
    ///     *got = answer?.payload;
    ///     client.close();
    ///     Ok(())
    /// })?;
    /// let mut got = Vec::new();
    /// event_loop.run(&mut got)?;
    /// assert_eq!(got, b"time/utc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request<S: 'static, F>(
        &self,
        ctx: &mut Ctx<S>,
        publish: Publish,
        timeout: Duration,
        f: F,
    ) -> std::result::Result<RequestId, RequestError>
    where
        F: FnOnce(&mut S, &mut Ctx<S>, &Client, std::result::Result<Message, RequestError>) -> Result<()> + 'static,
    {
        let mut publish = publish;
        let properties = publish.properties.get_or_insert_default();
        if properties.message_expiry.is_none() {
            let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
            properties.message_expiry = Some(seconds.max(1).try_into().unwrap_or(u32::MAX));
        }
        let id = self.ask(publish, Box::new(f))?;
        let client = self.clone();
        let timer = ctx.after(timeout, move |state, ctx| {
            let Some(handlers) = client.handlers_of::<S>() else { return Ok(()) };
            handlers.requests.finish(state, ctx, &client, id, Err(RequestError::TimedOut))
        });
        if let Some(handlers) = self.handlers_of::<S>() {
            handlers.requests.set_timer(id, timer);
        }
        Ok(id)
    }

    /// A request without an end of its own.
    pub(crate) fn ask<S: 'static>(
        &self,
        mut publish: Publish,
        answer: Answer<S>,
    ) -> std::result::Result<RequestId, RequestError> {
        let handlers = self.handlers_of::<S>().ok_or(RequestError::Subscribe(SubscribeError::OtherLoop))?;
        let topic = self.machine.borrow().response_topic().ok_or(RequestError::NeedsV5)?;
        let requests = &handlers.requests;
        if !requests.listens(&topic) {
            let listen = self.on(&topic, QoS::AtLeastOnce, |state: &mut S, ctx, client, message| {
                if let Some(handlers) = client.handlers_of::<S>() {
                    handlers.requests.answered(state, ctx, client, message)?;
                }
                Ok(Next::Keep)
            });
            requests.listen(&topic, listen.map_err(RequestError::Subscribe)?);
        }
        let (id, correlation) = requests.next_id();
        let properties = publish.properties.get_or_insert_default();
        properties.response_topic = Some(topic.clone());
        properties.correlation_data = Some(correlation);
        let delivery = self.publish(publish).map_err(RequestError::Publish)?;
        requests.insert(id, delivery, topic, answer);
        Ok(id)
    }

    /// Gives a request up: its callback is dropped, and an answer that comes all the same is
    /// [late](Self::late_answers). Returns whether it was open. The message itself stays on its way.
    pub fn cancel_request(&self, request: RequestId) -> bool {
        self.handlers.forget(request)
    }

    /// How many answers came for which nobody waited.
    pub fn late_answers(&self) -> u64 {
        self.handlers.late_answers()
    }

    /// Answers requests: as [`on`](Self::on), where `f` returns the payload of the answer, or `None` where there is
    /// none to give now. The answer is published to the response topic of the request, at its level and with its
    /// correlation data; of a message without a response topic it is dropped. To answer later, keep the message and
    /// publish its [`response`](Message::response).
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn respond<S: 'static>(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
        mut f: impl FnMut(&mut S, &mut Ctx<S>, &Client, &Message) -> Result<Option<Vec<u8>>> + 'static,
    ) -> std::result::Result<Handler, SubscribeError> {
        self.on(filter, options, move |state, ctx, client, message| {
            if let Some(payload) = f(state, ctx, client, &message)?
                && let Some(answer) = message.response(payload)
            {
                client.publish(answer)?;
            }
            Ok(Next::Keep)
        })
    }
}
