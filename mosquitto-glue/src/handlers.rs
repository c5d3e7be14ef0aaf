//! The handlers of one client, which get the state of its loop.

use crate::client::Client;
use crate::delivery::{DeliveryId, Outcome};
use crate::error::SubscribeError;
use crate::event::Event;
use crate::machine::{Holder, Takers};
use crate::message::Message;
use crate::request::{RequestId, Requests};
use crate::subscribe::SubscribeOptions;
use becket_loop::{Ctx, Next, Result};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Names one handler of one client, see [`Client::on`]. Dropping it changes nothing.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use becket_mosquitto::{Client, Options, QoS};
///
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// let options = Options::new("unix:/nobody/listens".parse()?);
/// let client = Client::join(&mut event_loop, options, |_, _, _, _| Ok(()))?;
/// let handler = client.on("a/#", QoS::AtLeastOnce, |count: &mut u32, _ctx, _client, _message| {
///     *count += 1;
///     Ok(Next::Keep)
/// })?;
/// assert!(client.off(handler));
/// assert!(!client.off(handler), "it is gone");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handler(pub(crate) Holder);

/// What is called with an outcome.
pub(crate) type Then<S> = Box<dyn FnOnce(&mut S, &mut Ctx<S>, &Client, Outcome) -> Result<()>>;

type Call<S> = Box<dyn FnMut(&mut S, &mut Ctx<S>, &Client, Message) -> Result>;

struct Entry<S> {
    filter: String,
    /// Taken out while it is called.
    call: Option<Call<S>>,
}

/// The handlers of one client, and its requests. Nothing of it is borrowed while code of the program's runs, or drops.
pub(crate) struct Handlers<S> {
    by_name: RefCell<HashMap<Holder, Entry<S>>>,
    /// What is called with which outcome.
    pub(crate) thens: RefCell<HashMap<DeliveryId, Then<S>>>,
    pub(crate) requests: Requests<S>,
}

impl<S> Default for Handlers<S> {
    fn default() -> Handlers<S> {
        Handlers { by_name: RefCell::default(), thens: RefCell::default(), requests: Requests::default() }
    }
}

/// [`Handlers`] without the state.
pub(crate) trait AnyHandlers {
    /// Takes a handler out, and says what its filter was.
    fn remove(&self, name: Holder) -> Option<String>;

    /// Nobody waits for this request any more. Says whether somebody did.
    fn forget(&self, request: RequestId) -> bool;

    /// How many answers came too late.
    fn late_answers(&self) -> u64;

    fn as_any(&self) -> &dyn Any;
}

impl<S: 'static> AnyHandlers for Handlers<S> {
    fn remove(&self, name: Holder) -> Option<String> {
        // The closure drops after the borrow.
        let entry = self.by_name.borrow_mut().remove(&name);
        entry.map(|entry| entry.filter)
    }

    fn forget(&self, request: RequestId) -> bool {
        self.requests.forget(request)
    }

    fn late_answers(&self) -> u64 {
        self.requests.late()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is called with the events of one client.
pub(crate) struct Told<S> {
    pub(crate) handlers: Rc<Handlers<S>>,
    pub(crate) client: Client,
}

impl<S> Drop for Told<S> {
    /// With the loop go the calls that will never come, and what they hold: which may be handles to this client.
    fn drop(&mut self) {
        let handlers = self.handlers.by_name.take();
        drop(handlers);
        let thens = self.handlers.thens.take();
        drop(thens);
        self.handlers.requests.clear();
    }
}

impl<S: 'static> Told<S> {
    /// Hands an event to those whom it is for: a message to its handlers, and all else, and what is left, to `f`. Of
    /// errors, the first one is kept.
    pub(crate) fn tell(
        &self,
        state: &mut S,
        ctx: &mut Ctx<S>,
        event: Event,
        takers: &Takers,
        f: &mut impl FnMut(&mut S, &mut Ctx<S>, &Client, Event) -> Result<()>,
    ) -> Result<()> {
        let mut result = Ok(());
        let event = match event {
            Event::Message(message) => match self.hand_out(state, ctx, message, takers, &mut result) {
                Some(message) => Event::Message(message),
                None => return result,
            },
            event => {
                result = self.handlers.requests.told(state, ctx, &self.client, &event);
                if let Event::Delivered { id, outcome, .. } = event
                    && let Some(then) = { self.handlers.thens.borrow_mut().remove(&id) }
                {
                    return result.and(then(state, ctx, &self.client, outcome));
                }
                event
            }
        };
        result.and(f(state, ctx, &self.client, event))
    }

    /// Calls the handlers of a message, and hands it back where the client itself subscribed to it, or there is nobody.
    /// A handler that an earlier one removed is not called.
    fn hand_out(
        &self,
        state: &mut S,
        ctx: &mut Ctx<S>,
        message: Message,
        takers: &Takers,
        result: &mut Result<()>,
    ) -> Option<Message> {
        let by_name = &self.handlers.by_name;
        let mut is_taken = false;
        let mut left = Some(message);
        for (at, name) in takers.handlers.iter().enumerate() {
            let call = by_name.borrow_mut().get_mut(name).and_then(|entry| entry.call.take());
            let Some(mut call) = call else { continue };
            is_taken = true;
            let is_last = at + 1 == takers.handlers.len() && !takers.client;
            let message = if is_last { left.take() } else { left.clone() };
            let next = call(state, ctx, &self.client, message.expect("taken by the last one only"));
            if matches!(next, Ok(Next::Remove)) {
                self.client.off(Handler(*name));
            }
            if let Some(entry) = by_name.borrow_mut().get_mut(name) {
                entry.call = Some(call);
            }
            if let Err(e) = next
                && result.is_ok()
            {
                *result = Err(e);
            }
        }
        left.filter(|_| takers.client || !is_taken)
    }
}

impl Client {
    /// Subscribes to a topic filter as [`subscribe`](Self::subscribe) does, and has `f`, not the client's own callback,
    /// called with the messages. `f` stays until it returns [`Next::Remove`] or [`off`](Self::off) is called, and is
    /// dropped with the client's membership in the loop; all other answers count as [`Next::Keep`]. An error goes where
    /// errors of callbacks go.
    ///
    /// A message that matches the filters of several handlers goes to each of them, in the order in which they were
    /// made, and to the client's callback where a filter of [`subscribe`](Self::subscribe) matches, too; one that
    /// nobody's does goes to the client's callback. A broker may send such a message several times, once for each
    /// subscription, and then each handler gets it as often, unless
    /// [`Options::separate_copies`](crate::Options::separate_copies) says that it gets but the one that is for it.
    ///
    /// Several handlers may have the same filter. The broker is then asked for all that any of them wants: the highest
    /// level, no-local where all want it. Each new one has it send anew the messages that it has kept, to all of them.
    /// With the last one the subscription ends.
    ///
    /// With a [kept](crate::Session::Kept) session messages come as soon as there is a connection: whose handlers are
    /// made before that, right after [`join`](Self::join), misses none.
    ///
    /// A handle to the client does not know the type of the state: the closure has to name it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); and [`SubscribeError::OtherLoop`] where the client was
    /// [made](Self::join) with another type of state.
    pub fn on<S: 'static>(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
        f: impl FnMut(&mut S, &mut Ctx<S>, &Client, Message) -> Result + 'static,
    ) -> std::result::Result<Handler, SubscribeError> {
        let handlers = self.handlers_of::<S>().ok_or(SubscribeError::OtherLoop)?;
        let name = self.machine.borrow_mut().subscribe_for(filter, options.into())?;
        let entry = Entry { filter: filter.to_owned(), call: Some(Box::new(f) as Call<S>) };
        handlers.by_name.borrow_mut().insert(name, entry);
        self.nudge();
        Ok(Handler(name))
    }

    /// Removes a handler: it is not called any more, not even with what has arrived already, and dropped, or, where it
    /// calls this itself, dropped when it returns. Returns whether it was there. Where nobody else has its filter, the
    /// subscription ends.
    pub fn off(&self, handler: Handler) -> bool {
        let Some(filter) = self.handlers.remove(handler.0) else { return false };
        self.machine.borrow_mut().unsubscribe_for(&filter, handler.0);
        self.nudge();
        true
    }

    /// The handlers, if this is the state that the client was made with.
    pub(crate) fn handlers_of<S: 'static>(&self) -> Option<&Handlers<S>> {
        self.handlers.as_any().downcast_ref()
    }
}
