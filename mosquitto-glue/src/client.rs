//! The callback face.

use crate::delivery::{Delivery, Outcome};
use crate::disconnect::{Disconnect, DisconnectError};
use crate::error::{OptionsError, PublishError, PublishRefusal, SubscribeError};
use crate::event::Event;
use crate::handlers::{AnyHandlers, Handlers, Told};
use crate::link::{Bell, Link, Shared};
use crate::machine::Machine;
use crate::message::Publish;
use crate::options::Options;
use crate::remote::Remote;
use crate::subscribe::SubscribeOptions;
use becket_loop::{Ctx, Next, Result};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A client of a broker, on the loop of this thread.
///
/// A handle: cloning it is cheap, and dropping it changes nothing. The client lives in the loop, and keeps the loop
/// alive, until it is [closed](Self::close) or gives up. All calls return at once and may be made from anywhere on the
/// loop's thread, also from the client's own callback.
///
/// ```no_run
/// use becket_loop::Loop;
/// use becket_mosquitto::{Client, Event, Options, Publish, QoS};
///
/// let mut event_loop = Loop::new()?;
/// let options = Options::new("mqtt://localhost".parse()?);
/// let client = Client::join(&mut event_loop, options, |seen: &mut usize, _ctx, client, event| {
///     match event {
///         Event::Message(message) => {
///             *seen += 1;
///             client.publish(Publish::new("answers", message.payload))?;
///         }
///         Event::Disconnected { reason, retry_in } => eprintln!("{reason}; again in {retry_in:?}"),
///         _ => {}
///     }
///     Ok(())
/// })?;
/// client.subscribe("questions/#", QoS::AtLeastOnce)?;
/// let mut seen = 0;
/// event_loop.run(&mut seen)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) machine: Shared,
    bell: Bell,
    /// Those of the loop's state, which a handle does not name.
    pub(crate) handlers: Rc<dyn AnyHandlers>,
}

/// What a client has not got rid of yet.
///
/// ```
/// use becket_mosquitto::Backlog;
///
/// let idle = Backlog::default();
/// assert_eq!(idle.waiting + idle.under_way, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Backlog {
    /// Messages in the queue, in memory and in a store.
    pub waiting: usize,
    /// Bytes of these: topics, payloads, properties.
    pub waiting_bytes: usize,
    /// Messages of QoS 1 and 2 that were sent, or will be on the next connection, and are not acknowledged.
    pub under_way: usize,
}

impl Client {
    /// Makes a client, which begins to connect in the loop's next turn, and has `f` called with what happens to it.
    ///
    /// # Errors
    /// Options that contradict themselves. That the broker cannot be reached is no error: it is told by
    /// [`Event::Disconnected`], and tried again.
    pub fn join<S: 'static>(
        ctx: &mut Ctx<S>,
        options: Options,
        mut f: impl FnMut(&mut S, &mut Ctx<S>, &Client, Event) -> Result<()> + 'static,
    ) -> std::result::Result<Client, OptionsError> {
        let name = format!("mosquitto {}", options.address);
        let handlers = Rc::new(Handlers::default());
        let (client, link) = Client::new(options, Rc::clone(&handlers) as Rc<dyn AnyHandlers>)?;
        let told = Told { handlers, client: client.clone() };
        let id = ctx.join(link, move |s, ctx, (event, takers)| {
            told.tell(s, ctx, event, &takers, &mut f)?;
            // What the callback did to the client is done before the loop waits.
            Ok(Next::Keep)
        });
        ctx.set_name(id, name);
        Ok(client)
    }

    /// A client and what has to join the loop for it.
    fn new(options: Options, handlers: Rc<dyn AnyHandlers>) -> std::result::Result<(Client, Link), OptionsError> {
        let bell = Bell::default();
        let ring = Arc::clone(&bell);
        let wake = Arc::new(move || {
            if let Some(nudge) = ring.get() {
                nudge.now();
            }
        });
        let machine = Rc::new(RefCell::new(Machine::new(options, wake)?));
        let link = Link::new(Rc::clone(&machine), Arc::clone(&bell));
        Ok((Client { machine, bell, handlers }, link))
    }

    /// Has the loop see to what a call changed.
    pub(crate) fn nudge(&self) {
        // Before the first step there is nothing to see to.
        if let Some(nudge) = self.bell.get() {
            nudge.now();
        }
    }

    /// Sends a message, or has it wait for the connection, or for room in the window.
    ///
    /// Messages of QoS 1 and 2 go out in the order of these calls. They survive the loss of a connection, not the end
    /// of the process. One of QoS 0 is sent on this connection or never, unless
    /// [the queue is for it too](crate::Options::queue_qos0).
    ///
    /// # Errors
    /// [`PublishError`] with the message in it: the queue is full, in which case [`Event::Room`] follows when it
    /// is worth another try; a message of QoS 0 without a connection; a client that was closed; a message that MQTT, or
    /// the version of it in use, cannot carry.
    pub fn publish(&self, publish: Publish) -> std::result::Result<Delivery, PublishError> {
        let delivery = self.machine.borrow_mut().publish(publish)?;
        self.nudge();
        Ok(delivery)
    }

    /// As [`publish`](Self::publish), and has `then` called with what became of the message, in place of
    /// [`Event::Delivered`]; an error of its is one of the client's callback. It is called once, in a turn of the loop,
    /// also where the client is closed or gives up; where the loop goes first, it is dropped. `ctx` is the client's
    /// loop, or what a callback on it was given.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and where `ctx` is of a loop with another type of state.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use becket_mosquitto::{Client, Options, Outcome, Publish};
    ///
    /// let mut event_loop = Loop::new()?;
    /// let options = Options::new("unix:/nobody/listens".parse()?);
    /// let client = Client::join(&mut event_loop, options, |_: &mut Vec<Outcome>, _, _, _| Ok(()))?;
    /// client.publish_then(&event_loop, Publish::new("t", "1"), |outcomes, _ctx, _client, outcome| {
    ///     outcomes.push(outcome);
    ///     Ok(())
    /// })?;
    /// client.close();
    /// let mut outcomes = Vec::new();
    /// event_loop.run(&mut outcomes)?;
    /// assert!(matches!(outcomes[..], [Outcome::Dropped(_)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_then<S: 'static>(
        &self,
        _ctx: &Ctx<S>,
        publish: Publish,
        then: impl FnOnce(&mut S, &mut Ctx<S>, &Client, Outcome) -> Result<()> + 'static,
    ) -> std::result::Result<Delivery, PublishError> {
        let Some(handlers) = self.handlers_of::<S>() else {
            return Err(PublishError { refusal: PublishRefusal::OtherLoop, publish });
        };
        let delivery = self.publish(publish)?;
        // Even an outcome that is there already is told by an event, which the loop takes later.
        handlers.thens.borrow_mut().insert(delivery.id(), Box::new(then));
        Ok(delivery)
    }

    /// A handle by which other threads publish. All of a client's share one bound.
    pub fn remote(&self) -> Remote {
        Remote::new(self.machine.borrow_mut().mailbox(), Arc::clone(&self.bell))
    }

    /// Subscribes to a topic filter, at a [`QoS`](crate::QoS) or as [`SubscribeOptions`] say, now and after each
    /// reconnection that finds no session; the broker's answer is [`Event::Subscribed`]. A filter that was subscribed
    /// to before gets the new options.
    ///
    /// # Errors
    /// A filter that is none; options that need MQTT 5 where MQTT 3.1.1 is spoken, or that cannot be; a client that was
    /// closed. The client goes on as if nothing was asked for.
    pub fn subscribe(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
    ) -> std::result::Result<(), SubscribeError> {
        self.machine.borrow_mut().subscribe(filter, options.into())?;
        self.nudge();
        Ok(())
    }

    /// Ends a subscription; the broker's answer is [`Event::Unsubscribed`]. Messages may come until then.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn unsubscribe(&self, filter: &str) -> std::result::Result<(), SubscribeError> {
        self.unsubscribe_with(filter, Vec::new())
    }

    /// As [`unsubscribe`](Self::unsubscribe), with user properties for the broker to read. MQTT 5 only.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    #[doc(alias = "mosquitto_unsubscribe_v5")]
    pub fn unsubscribe_with(
        &self,
        filter: &str,
        user: Vec<(String, String)>,
    ) -> std::result::Result<(), SubscribeError> {
        self.machine.borrow_mut().unsubscribe(filter, user)?;
        self.nudge();
        Ok(())
    }

    /// Has nothing be read from the broker until what this returns is dropped: back-pressure. What one step of the loop
    /// has read already still comes, a hundred messages or so, and what is published goes out.
    ///
    /// Nothing at all is read: neither messages, whoever they are for, nor acknowledgements of what is published, nor
    /// the end of the connection. The broker's buffers fill, and it keeps or drops further messages as it is configured
    /// to. A pause has to be shorter than the [keep-alive](crate::Options::keep_alive), since the answers to it are not
    /// read either: after between one and two times as long the connection ends with
    /// [`Reason::KeepAlive`](crate::Reason::KeepAlive), a new one is made, and the pause goes on there. Where
    /// the [session](crate::Session) outlives connections, nothing of QoS 1 and 2 is lost by that.
    ///
    /// ```
    /// use becket_loop::Loop;
    /// use becket_mosquitto::{Client, Options};
    ///
    /// let mut event_loop: Loop<()> = Loop::new()?;
    /// let client = Client::join(&mut event_loop, Options::new("unix:/nobody".parse()?), |_, _, _, _| Ok(()))?;
    /// let one = client.pause();
    /// let other = client.pause();
    /// drop(one);
    /// assert!(client.is_paused());
    /// drop(other);
    /// assert!(!client.is_paused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "dropping it ends the pause"]
    pub fn pause(&self) -> Pause {
        self.machine.borrow_mut().pause();
        Pause { client: self.clone() }
    }

    /// Whether a [pause](Self::pause) lasts.
    pub fn is_paused(&self) -> bool {
        self.machine.borrow().pauses()
    }

    /// Ends the client: it says DISCONNECT, for which it waits as long as [`Options::linger`] says, and leaves the loop
    /// with [`Event::Closed`]. Messages that wait are [dropped](crate::Outcome::Dropped), those under way are
    /// [uncertain](crate::Outcome::Uncertain); who wants them answered waits for that first. The broker does not
    /// publish the will. A session [of the client's own](crate::Session::PerClient) ends too, where there is a
    /// connection: with MQTT 3.1.1 that takes another one, as short as can be. A second call changes nothing.
    #[doc(alias = "disconnect")]
    pub fn close(&self) {
        self.machine.borrow_mut().close();
        self.nudge();
    }

    /// As [`close`](Self::close), with something to say to a broker of MQTT 5. It is not said where there is no
    /// connection, nor by a second call.
    ///
    /// # Errors
    /// What cannot be said, or needs MQTT 5; the client goes on.
    #[doc(alias = "mosquitto_disconnect_v5")]
    pub fn close_with(&self, goodbye: Disconnect) -> std::result::Result<(), DisconnectError> {
        self.machine.borrow_mut().close_with(goodbye)?;
        self.nudge();
        Ok(())
    }

    /// The name under which the broker knows this client: given, made, or from a file. `None` until a broker that is to
    /// [choose one](Options::assigned_client_id) has done so.
    pub fn client_id(&self) -> Option<String> {
        self.machine.borrow().client_id().map(str::to_owned)
    }

    /// Whether the broker has accepted the connection and it is not known to be lost.
    pub fn is_connected(&self) -> bool {
        self.machine.borrow().is_up()
    }

    /// Whether it was closed or gave up, and has left the loop or is about to.
    pub fn is_closed(&self) -> bool {
        self.machine.borrow().is_closed()
    }

    /// What it has not got rid of yet.
    pub fn backlog(&self) -> Backlog {
        let (waiting, waiting_bytes, under_way) = self.machine.borrow().backlog();
        Backlog { waiting, waiting_bytes, under_way }
    }
}

/// Nothing is read from the broker while there is one, see [`Client::pause`]. Dropping it ends the pause, if it is the
/// last one.
#[derive(Debug)]
pub struct Pause {
    client: Client,
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.client.machine.borrow_mut().resume();
        self.client.nudge();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.machine.try_borrow().map(|machine| machine.is_up()).ok();
        f.debug_struct("Client").field("connected", &connected).finish_non_exhaustive()
    }
}
