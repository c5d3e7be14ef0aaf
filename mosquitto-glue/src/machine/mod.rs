//! The state machine around one client of libmosquitto, without any loop.
//!
//! Whoever drives it watches [`socket`](Machine::socket) edge-triggered, calls [`step`](Machine::step) when it is
//! ready, when [`deadline`](Machine::deadline) has come, and after every other call, and then takes the events.
//!
//! ```text
//! IDLE -> RESOLVE -> CONNECT -> UP -> CLOSING -> CLOSED
//!            ^          |        |
//!            +- BACKOFF <- DOWN -+
//! ```
//!
//! With a store, STORING comes before CLOSED: until what is to be kept is.
//!
//! # What becomes of a message
//!
//! Once the library has a message, the broker may have it. What it comes to depends on what happens to the connection
//! and to the session that it was sent in. "Goes on": the library repeats the packet that was not answered, under the
//! same identifier, with DUP. "Anew": it is published again, in its old place before everything newer.
//!
//! | QoS | how far it is | what happens | what is done | outcome, once acknowledged |
//! |---|---|---|---|---|
//! | any | in the queue | the connection is lost, the session or not | waits on, at QoS 0 where it may wait at all | the one it gets |
//! | any | in the queue | its deadline comes | given up | Expired |
//! | any | in the queue | the client is closed, or fails | given up | Dropped(Closed, Failed) |
//! | 1, 2 | in a store, by an earlier client | anything | anew | as one whose session is lost |
//! | 1, 2 | in a store | the client is closed, or fails | stays there | Kept |
//! | 0 | in the library | the connection is lost | given up | Dropped(ConnectionLost) |
//! | 1 | PUBLISH | the connection is lost, the session kept | goes on | Acknowledged |
//! | 1 | PUBLISH | the session is lost | anew | Acknowledged |
//! | 1 | PUBLISH | either, and the repetition is refused | nothing | Uncertain(RefusedAgain) |
//! | 2 | PUBLISH | the connection is lost, the session kept | goes on | Acknowledged |
//! | 2 | PUBREC, PUBREL | the connection is lost, the session kept | goes on, with PUBREL | Acknowledged |
//! | 2 | PUBLISH, PUBREC, PUBREL | the session is lost | anew | Uncertain(SessionLost) |
//! | 2 | PUBLISH, PUBREC, PUBREL | the session is lost, and a copy refused | nothing | Uncertain(RefusedAgain) |
//! | 2 | PUBLISH, PUBREC, PUBREL | kept, its receive maximum too small | goes on, or anew | Uncertain(SessionLost) |
//! | 2 | PUBREL | PUBCOMP "packet identifier not found", first time | nothing | Uncertain(Forgotten) |
//! | 2 | PUBREL | the same, after it went on | nothing | Acknowledged |
//! | 1, 2 | PUBLISH and later | the session is lost, then its deadline comes | given up | Uncertain(Expired) |
//! | 1, 2 | PUBLISH and later | the client is closed, or fails | given up | Uncertain(Closed, Failed) |
//! | 1, 2 | acknowledged | anything | nothing | stays |
//!
//! A message of QoS 2 whose PUBREC did not come may be with subscribers all the same: a broker may deliver it when the
//! PUBLISH comes, or when the PUBREL does. So a lost session leaves all of them uncertain, however far they were.
//!
//! That a session is lost is told by the CONNACK. The library would repeat what it has under way before anybody can
//! look, so the callback itself answers with a DISCONNECT (see `ffi/trampolines.rs`); the next connection is made by a
//! new client of the library, which knows of nothing. The same way round, a session that an earlier client left is
//! cleared: by a connection of its own that asks for a clean session (see [`Stage`]).

mod aliases;
mod connection;
mod keeper;
mod pump;
mod sending;
mod storing;
mod subscriptions;
#[cfg(test)]
mod tests;

use crate::acknowledge::Acknowledge;
use crate::address::Address;
use crate::announced::{Announced, Remark};
use crate::backoff::{Backoff, random};
use crate::delivery::{Delivery, DeliveryId, Dropped, Outcome, Uncertain};
use crate::disconnect::{Disconnect, DisconnectError};
use crate::error::{OptionsError, SubscribeError};
use crate::event::Event;
use crate::ffi::{self, Handle, PropertyList, TlsContext};
use crate::identity::ClientId;
use crate::message::QoS;
use crate::options::{Options, Protocol};
use crate::queue::{Item, Queue};
use crate::reason::ReasonCode;
use crate::remote::{Mailbox, Slot};
use crate::resolve::Lookup;
use crate::session::Session;
use crate::subscribe::SubscribeOptions;
use crate::trace;
use aliases::Aliases;
use becket_sys::Ready;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;
use storing::Shelf;
use subscriptions::Subscriptions;
pub(crate) use subscriptions::{Holder, Takers};

#[cfg(any(feature = "store", test))]
pub(crate) use keeper::{Held, News};
pub(crate) use keeper::{Keeper, Key};
pub(crate) use sending::problem_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Made, and not stepped yet.
    Idle,
    /// A lookup is under way.
    Resolve { deadline: Instant },
    /// A socket is connecting, or waits for the CONNACK.
    Connect { deadline: Instant },
    /// Accepted by the broker; `misc` is when the library's clock is looked after next.
    Up { misc: Instant },
    /// A connection is being taken down; left again within the same call.
    Down,
    /// Until the next attempt.
    Backoff { until: Instant },
    /// A DISCONNECT is on its way.
    Closing { deadline: Instant },
    /// At the end, but for what the store has to write.
    Storing,
    /// The end.
    Closed,
}

/// One address to connect to: what the library takes for a host, and the port (0 for a unix socket).
#[derive(Debug, Clone)]
struct Target {
    host: CString,
    port: u16,
    /// The same for people.
    address: Address,
}

/// How far a client is with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No connection was accepted yet.
    First,
    /// The next connection clears what an earlier client left, or asks for a client id, and is ended once it is
    /// accepted.
    Sweep,
    /// The session is ours, or about to be, and the library has nothing under way: whatever the broker has will do.
    Empty,
    /// The session is ours.
    Ours,
}

/// A message that the library has.
#[derive(Debug)]
struct Flight {
    /// With the publish that goes out anew where the session is lost; without its payload at QoS 0.
    item: Item,
    /// Whether it was sent on more than this connection.
    repeated: bool,
}

impl Flight {
    fn is_plain(&self) -> bool {
        self.item.publish.qos == QoS::AtMostOnce
    }
}

/// What is called, from another thread, to have the machine stepped.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Machine {
    options: Options,
    /// What connections are made with, where they speak TLS.
    tls: Option<TlsContext>,
    /// There until the state is `Closed`.
    handle: Option<Handle>,
    /// The name under which the broker knows us, once there is one.
    client_id: Option<CString>,
    /// Whether `handle` is to be replaced before the next connection, since it remembers what belongs to a session of
    /// the past.
    renew: bool,
    stage: Stage,
    /// Whether the broker's session is not the one that it should be, so that this connection is at its end.
    wrong_session: bool,
    /// Whether the session that the next connection finds is new, whatever the broker says.
    lost_session: bool,
    keeper: Option<Box<dyn Keeper>>,
    /// Where other threads put what they publish, once somebody wants to.
    mailbox: Option<Arc<Mailbox>>,
    shelf: Shelf,
    /// What is reported last, once the store has ended.
    last: Option<Event>,
    /// The size of a message that was refused for want of room, and may come again.
    wants_room: Option<usize>,
    state: State,
    wake: Wake,
    /// Counts connections, their beginnings and their ends: while it is the same, so is the socket.
    generation: u64,
    /// The addresses of the host, and the one to try next.
    targets: Vec<Target>,
    next_target: usize,
    lookup: Option<Lookup>,
    backoff: Backoff,
    /// The most messages of QoS 1 and 2 under way: our own limit or the broker's, whichever is lower.
    window: usize,
    /// What the broker said when it accepted the connection last.
    announced: Announced,
    /// The topics that the broker knows by number on this connection.
    aliases: Aliases,
    queue: Queue,
    /// What the library has, by packet identifier. In a kept session those of QoS 1 and 2 outlive connections, as they
    /// do in the library.
    flights: HashMap<u16, Flight>,
    /// How many of `flights` are of QoS 1 or 2.
    in_flight: usize,
    /// The packet identifier that the library used last.
    last_mid: u16,
    subscriptions: Subscriptions,
    events: VecDeque<Event>,
    /// Whom the messages among `events` are for.
    takers: VecDeque<Takers>,
    next_id: u64,
    /// Whether there is more to read than one step took.
    pump_again: bool,
    /// How many there are who want nothing to be read.
    pauses: usize,
    /// Whether messages were read that are not handed out yet, or are being handled, where that matters.
    unhandled: bool,
    /// How many there are who want nothing to be sent.
    holds: usize,
    /// Stands in for a client id that the broker has not told yet.
    salt: u64,
    /// Whether the program asked for the end.
    close_asked: bool,
    /// What it says then.
    goodbye: Disconnect,
    /// What the broker said when it refused the connection.
    refusal: Option<ReasonCode>,
    /// What the library reported when the connection ended: its code, or the broker's, and `errno`.
    ended: Option<(i32, i32)>,
}

impl Machine {
    /// A machine at rest. `wake` is called from a helper thread when a lookup is done.
    pub(crate) fn new(options: Options, wake: Wake) -> Result<Machine, OptionsError> {
        options.check()?;
        let tls = options.tls_context()?;
        let client_id = options.client_id.get()?.as_deref().map(c_string);
        // A session that is to go on needs a name first, and only a new one can be had without.
        let asks_first = matches!(options.client_id, ClientId::Assigned) && options.session != Session::PerConnection;
        let stage = if asks_first { Stage::Sweep } else { Stage::First };
        let handle = make_handle(&options, client_id.as_deref(), stage, tls.as_ref())?;
        let machine = Machine {
            tls,
            handle: Some(handle),
            client_id,
            renew: false,
            stage,
            wrong_session: false,
            lost_session: false,
            keeper: None,
            mailbox: None,
            shelf: Shelf::default(),
            last: None,
            wants_room: None,
            state: State::Idle,
            wake,
            generation: 0,
            targets: Vec::new(),
            next_target: 0,
            lookup: None,
            backoff: Backoff::new(*options.backoff.start(), *options.backoff.end()),
            window: options.window.into(),
            announced: Announced::default(),
            aliases: Aliases::default(),
            queue: Queue::new(options.queue_messages, options.queue_bytes),
            flights: HashMap::new(),
            in_flight: 0,
            last_mid: 0,
            subscriptions: Subscriptions::default(),
            events: VecDeque::new(),
            takers: VecDeque::new(),
            next_id: 1,
            pump_again: false,
            pauses: 0,
            unhandled: false,
            holds: 0,
            salt: random(),
            close_asked: false,
            goodbye: Disconnect::default(),
            refusal: None,
            ended: None,
            options,
        };
        machine.with_store()
    }

    /// The library's socket and the number of its connection. It is to be watched edge-triggered, for both
    /// directions: the library says that it wants to write at times when it wants to read.
    pub(crate) fn socket(&self) -> Option<(u64, BorrowedFd<'_>)> {
        let fd = self.handle.as_ref()?.socket()?;
        matches!(self.state, State::Connect { .. } | State::Up { .. } | State::Closing { .. })
            .then_some((self.generation, fd))
    }

    /// When to step next, whatever happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = match self.state {
            State::Resolve { deadline } | State::Connect { deadline } | State::Closing { deadline } => Some(deadline),
            State::Up { misc } => Some(misc),
            State::Backoff { until } => Some(until),
            State::Idle | State::Down | State::Storing | State::Closed => None,
        };
        own.into_iter().chain(self.queue.deadline()).min()
    }

    /// Whether another step is due at once.
    pub(crate) fn is_due(&self) -> bool {
        (self.pump_again && !self.is_paused()) || (self.unhandled && self.holds == 0) || self.state == State::Idle
    }

    /// Nothing is sent until [`release`](Self::release) is called as often; `false` where acknowledgements leave at
    /// once anyway.
    pub(crate) fn hold(&mut self) -> bool {
        let can = self.options.acknowledge == Acknowledge::WhenHandled;
        self.holds += usize::from(can);
        can
    }

    pub(crate) fn release(&mut self) {
        self.holds -= 1;
    }

    /// Whether what the library has to send has to wait.
    fn is_held(&self) -> bool {
        (self.unhandled || self.holds > 0) && matches!(self.state, State::Up { .. } | State::Closing { .. })
    }

    /// Nothing is read from an accepted connection until [`resume`](Self::resume) is called as often.
    pub(crate) fn pause(&mut self) {
        self.pauses += 1;
    }

    pub(crate) fn resume(&mut self) {
        self.pauses -= 1;
    }

    pub(crate) fn pauses(&self) -> bool {
        self.pauses > 0
    }

    /// Whether nothing is read now.
    pub(crate) fn is_paused(&self) -> bool {
        (self.pauses > 0 || self.holds > 0) && self.is_up() && !self.close_asked
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether it takes nothing any more.
    fn is_ending(&self) -> bool {
        self.close_asked || self.last.is_some() || self.is_closed()
    }

    /// Whether the socket has to be watched for room to write: while it connects, and while there is more to send.
    pub(crate) fn wants_write(&self) -> bool {
        !self.is_held()
            && self.handle.as_ref().is_some_and(|handle| handle.handshake_wants_write().unwrap_or(handle.wants_write()))
    }

    /// The loop is gone: answers every delivery that is open, and closes the connection without a DISCONNECT.
    pub(crate) fn abandon(&mut self) {
        if !self.is_closed() {
            self.finish(Event::Closed);
            self.await_keeper();
        }
    }

    /// The next event, and whom it is for where it is a message.
    pub(crate) fn next_event(&mut self) -> Option<(Event, Takers)> {
        let event = self.events.pop_front()?;
        trace::event(self.client_id(), &event);
        let takers = match event {
            Event::Message(_) => self.takers.pop_front().expect("one for each message"),
            _ => Takers::default(),
        };
        Some((event, takers))
    }

    /// How many messages wait to be sent, how many bytes these are, and how many messages are under way.
    pub(crate) fn backlog(&self) -> (usize, usize, usize) {
        (self.queue.len(), self.queue.bytes(), self.in_flight)
    }

    /// Does what is due: `ready` is what the socket is ready for, where that is why.
    pub(crate) fn step(&mut self, ready: Option<Ready>) {
        self.hear_keeper();
        self.take_posts();
        self.advance(ready);
        self.expire();
        self.tell_room();
        self.refill();
        if let Some(keeper) = &mut self.keeper {
            keeper.settle();
        }
    }

    fn advance(&mut self, ready: Option<Ready>) {
        if self.close_asked && !matches!(self.state, State::Closing { .. } | State::Storing | State::Closed) {
            return self.begin_close();
        }
        // Whoever they are for has returned.
        self.unhandled &= !self.takers.is_empty();
        let now = Instant::now();
        match self.state {
            State::Idle => self.resolve(),
            State::Resolve { deadline } => self.check_lookup(now >= deadline),
            State::Backoff { until } if now >= until => self.resolve(),
            State::Connect { .. } | State::Up { .. } | State::Closing { .. } => self.step_connection(ready, now),
            State::Backoff { .. } | State::Down | State::Storing | State::Closed => {}
        }
    }

    /// Asks for the end. Takes effect with the next step.
    pub(crate) fn close(&mut self) {
        // A plain goodbye can always be said.
        let _ = self.close_with(Disconnect::default());
    }

    /// The same with something to say; the first time counts.
    pub(crate) fn close_with(&mut self, goodbye: Disconnect) -> Result<(), DisconnectError> {
        let v5 = self.options.protocol == Protocol::V5;
        if let Some(why) = goodbye.problem(v5, self.asked_expiry().map_or(0, |expiry| expiry.as_secs())) {
            return Err(DisconnectError(why));
        }
        if !self.close_asked {
            self.close_asked = true;
            self.goodbye = goodbye;
        }
        Ok(())
    }

    /// The name under which the broker knows this client; `None` until it has given it one.
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.client_id.as_ref().map(|id| id.to_str().expect("made of a text"))
    }

    pub(crate) fn subscribe(&mut self, filter: &str, options: SubscribeOptions) -> Result<(), SubscribeError> {
        self.subscribe_as(filter, options, Holder::CLIENT)
    }

    /// Subscribes for a handler, which is given a name.
    pub(crate) fn subscribe_for(&mut self, filter: &str, options: SubscribeOptions) -> Result<Holder, SubscribeError> {
        let holder = self.subscriptions.new_holder();
        self.subscribe_as(filter, options, holder)?;
        Ok(holder)
    }

    fn subscribe_as(&mut self, filter: &str, options: SubscribeOptions, holder: Holder) -> Result<(), SubscribeError> {
        self.check_request(filter, &options)?;
        self.subscriptions.hold(filter, options, holder);
        self.send_requests();
        Ok(())
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str, user: Vec<(String, String)>) -> Result<(), SubscribeError> {
        self.check_request(filter, &SubscribeOptions { user: user.clone(), ..SubscribeOptions::default() })?;
        if !self.subscriptions.release(filter, user, Holder::CLIENT) {
            // The broker is not asked: handlers go on.
            self.events.push_back(Event::Unsubscribed { filter: filter.to_owned(), remark: None });
        }
        self.send_requests();
        Ok(())
    }

    /// A handler is gone, which was there for `filter`.
    pub(crate) fn unsubscribe_for(&mut self, filter: &str, holder: Holder) {
        if !self.is_ending() {
            self.subscriptions.release(filter, Vec::new(), holder);
            self.send_requests();
        }
    }

    fn check_request(&self, filter: &str, options: &SubscribeOptions) -> Result<(), SubscribeError> {
        if !ffi::is_filter(filter) {
            return Err(SubscribeError::Filter(filter.to_owned()));
        }
        if let Some(what) = options.needs_v5().filter(|_| self.options.protocol != Protocol::V5) {
            return Err(SubscribeError::NeedsV5(what));
        }
        if let Some(why) = options.problem(filter) {
            return Err(SubscribeError::Options(why));
        }
        if self.is_ending() {
            return Err(SubscribeError::Closed);
        }
        Ok(())
    }

    /// Where answers to this client's requests go; `None` without MQTT 5.
    pub(crate) fn response_topic(&self) -> Option<String> {
        if self.options.protocol != Protocol::V5 {
            return None;
        }
        let announced = self.announced.response_information.as_ref().filter(|topic| ffi::is_topic(topic));
        Some(announced.cloned().unwrap_or_else(|| {
            let id =
                self.client_id().map_or_else(|| format!("{:016x}", self.salt), |id| id.replace(['/', '+', '#'], "_"));
            format!("responses/{id}")
        }))
    }

    /// Reports the outcome of a message.
    fn answer(&mut self, item: &Item, outcome: Outcome) {
        self.answer_with(item, outcome, None);
    }

    /// Reports the outcome of a message, and what the broker said beside it.
    fn answer_with(&mut self, item: &Item, outcome: Outcome, remark: Option<Box<Remark>>) {
        if let (Some(key), Some(keeper)) = (item.key, &mut self.keeper) {
            keeper.done(key);
        }
        if let Some(remark) = &remark {
            item.delivery.note(remark);
        }
        if item.delivery.resolve(outcome) {
            self.events.push_back(Event::Delivered { id: item.delivery.id(), outcome, remark });
        }
    }

    fn new_delivery(&mut self, slot: Option<Arc<Slot>>) -> Delivery {
        let id = DeliveryId(self.next_id);
        self.next_id += 1;
        Delivery::new(id, slot)
    }

    /// Where other threads put what they publish.
    pub(crate) fn mailbox(&mut self) -> Arc<Mailbox> {
        let closed = self.is_closed();
        let mailbox = self.mailbox.get_or_insert_with(|| {
            let v5 = self.options.protocol == Protocol::V5;
            let mailbox = Mailbox::new(v5, self.options.queue_messages, self.options.queue_bytes);
            if closed {
                mailbox.close(Dropped::Closed);
            }
            mailbox
        });
        Arc::clone(mailbox)
    }

    /// The end: destroys the library's client, and where there is a store has it end too.
    fn finish(&mut self, last: Event) {
        self.pump_again = false;
        self.unhandled = false;
        self.lookup = None;
        self.handle = None;
        self.take_back();
        match &mut self.keeper {
            Some(keeper) => {
                keeper.close(false);
                self.state = State::Storing;
                self.last = Some(last);
            }
            None => self.end(last),
        }
    }

    /// Answers every delivery that is open, and reports `last`.
    fn end(&mut self, last: Event) {
        let (dropped, uncertain) = match last {
            Event::Closed => (Dropped::Closed, Uncertain::Closed),
            _ => (Dropped::Failed, Uncertain::Failed),
        };
        // First, so that nobody who has heard of the end finds it open.
        if let Some(mailbox) = &self.mailbox {
            mailbox.close(dropped);
        }
        self.state = State::Closed;
        let mut open = self.empty_shelf();
        open.extend(std::iter::from_fn(|| self.queue.pop_oldest()));
        open.sort_by_key(|item| item.delivery.id());
        for item in open {
            let outcome = match &item {
                Item { key: Some(key), .. } if self.is_stored(*key) => Outcome::Kept,
                Item { before: true, .. } => Outcome::Uncertain(uncertain),
                _ => Outcome::Dropped(dropped),
            };
            self.answer(&item, outcome);
        }
        self.events.push_back(last);
    }

    /// Gives up what has waited for as long as it may.
    fn expire(&mut self) {
        if self.queue.deadline().is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(item) = self.queue.pop_expired(now) {
            let outcome = if item.before { Outcome::Uncertain(Uncertain::Expired) } else { Outcome::Expired };
            self.answer(&item, outcome);
        }
    }

    /// Says that there is room, to somebody who found none.
    fn tell_room(&mut self) {
        if self.wants_room.is_some_and(|size| self.queue.has_room(size) && self.store_refusal(size).is_none())
            && !self.is_closed()
        {
            self.wants_room = None;
            self.events.push_back(Event::Room);
        }
    }
}

/// A text in which the check of the options found no NUL.
fn c_string(text: &str) -> CString {
    CString::new(text).expect("the check of the options refuses NUL")
}

fn make_handle(
    options: &Options,
    id: Option<&CStr>,
    stage: Stage,
    tls: Option<&TlsContext>,
) -> Result<Handle, OptionsError> {
    let log = options.log.map_or(0, |level| level.mask());
    let sweeps = stage == Stage::Sweep;
    let mut handle = Handle::new(id, sweeps || options.session == Session::PerConnection, log).map_err(|e| {
        let id = id.map(CStr::to_string_lossy).unwrap_or_default();
        OptionsError::new(format!("client id `{}`: {e}", id.escape_debug()))
    })?;
    let check = |what: &str, code: ffi::Code| match code {
        ffi::Code::SUCCESS => Ok(()),
        ffi::Code::NOT_SUPPORTED => Err(OptionsError::new(format!("{what}: this libmosquitto was built without it"))),
        _ => Err(OptionsError::new(format!("{what}: {code}"))),
    };
    let version = if options.protocol == Protocol::V5 { 5 } else { 4 };
    check("protocol", handle.set_protocol(version))?;
    check("TCP_NODELAY", handle.set_nodelay())?;
    // Some brokers send more than the library's default of 20 whatever they are told, and would be cut off.
    let receive_maximum = options.connect.receive_maximum.unwrap_or(u16::MAX);
    check("receive maximum", handle.set_receive_maximum(receive_maximum))?;
    if let Some(tls) = tls {
        check("TLS", handle.set_tls(tls))?;
    }
    if options.acknowledge == Acknowledge::WhenHandled {
        check("acknowledge", handle.set_deferred())?;
    }
    if let Some((user, password)) = &options.credentials {
        let password = password.as_deref().map(c_string);
        check("credentials", handle.set_credentials(&c_string(user), password.as_deref()))?;
    }
    if let Some(will) = options.will.as_ref().filter(|_| !sweeps) {
        let list = PropertyList::of_will(will.properties.as_deref(), options.connect.will_delay);
        let topic = c_string(&will.topic);
        check("will", handle.set_will(&topic, &will.payload, will.qos as u8, will.retain, list))?;
    }
    Ok(handle)
}
