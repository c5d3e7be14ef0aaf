//! How messages and requests go out.

use super::aliases::{Alias, Aliases};
use super::subscriptions::{Answered, Request};
use super::{Flight, Machine};
use crate::announced::Remark;
use crate::delivery::{Delivery, Dropped, Outcome, Uncertain};
use crate::error::{PublishError, PublishRefusal};
use crate::event::Event;
use crate::ffi::{self, Code, PropertyList};
use crate::message::{Publish, QoS};
use crate::options::Protocol;
use crate::queue::{Item, WhenFull, size};
use crate::reason::{Reason, ReasonCode};
use crate::remote::Slot;
use crate::session::Session;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The most that the length field of a packet can say.
const PACKET_MAX: usize = 268_435_455;

impl Machine {
    /// Sends a message, or has it wait.
    pub(crate) fn publish(&mut self, publish: Publish) -> Result<Delivery, PublishError> {
        self.accept(publish, None)
    }

    /// Takes in what other threads published. Their messages are bounded where they come from.
    pub(super) fn take_posts(&mut self) {
        while let Some((publish, slot)) = self.mailbox.as_ref().and_then(|mailbox| mailbox.take()) {
            if let Err(e) = self.accept(publish, Some(Arc::clone(&slot))) {
                slot.set(match e.refusal() {
                    PublishRefusal::Closed => Outcome::Dropped(Dropped::Closed),
                    PublishRefusal::NotConnected => Outcome::Dropped(Dropped::ConnectionLost),
                    PublishRefusal::Store(_) => Outcome::Dropped(Dropped::Store),
                    _ => Outcome::Refused(ReasonCode::UNSPECIFIED),
                });
            }
        }
    }

    /// Accepts a message; with a slot it is another thread's, and there is room for it.
    fn accept(&mut self, publish: Publish, slot: Option<Arc<Slot>>) -> Result<Delivery, PublishError> {
        let refuse = |refusal, publish| Err(PublishError { refusal, publish });
        if self.is_ending() {
            return refuse(PublishRefusal::Closed, publish);
        }
        if let Some(refusal) = problem_of(&publish, self.options.protocol == Protocol::V5) {
            return refuse(refusal, publish);
        }
        let plain = publish.qos == QoS::AtMostOnce;
        if plain && !self.is_up() && !self.options.queue_plain {
            return refuse(PublishRefusal::NotConnected, publish);
        }
        if !plain
            && let Some(refusal) = self.store_refusal(size(&publish))
            && (slot.is_none() || refusal != PublishRefusal::QueueFull)
        {
            if refusal == PublishRefusal::QueueFull {
                self.note_no_room(size(&publish));
            }
            return refuse(refusal, publish);
        }
        if publish.deadline.is_some_and(|at| at <= Instant::now()) {
            let item = Item { publish, delivery: self.new_delivery(slot), before: false, key: None };
            self.answer(&item, Outcome::Expired);
            return Ok(item.delivery);
        }
        let at_once = self.queue.is_empty_for(publish.qos) && self.may_send(plain);
        if !at_once && slot.is_none() && !self.make_room(size(&publish)) {
            return refuse(PublishRefusal::QueueFull, publish);
        }
        let delivery = self.new_delivery(slot);
        let item = Item { publish, delivery: delivery.clone(), before: false, key: None };
        match if plain { Some(item) } else { self.shelve(item) } {
            Some(item) if at_once => self.send(item),
            Some(item) => self.queue.push(item),
            None => {}
        }
        Ok(delivery)
    }

    /// Whether a message of this size has room in the queue, after others made it where they are to.
    fn make_room(&mut self, size: usize) -> bool {
        loop {
            if self.queue.has_room(size) {
                return true;
            }
            let oldest = match self.options.when_full {
                WhenFull::Wait | WhenFull::Refuse => None,
                WhenFull::DropOldestQoS0 => self.queue.pop(true),
                WhenFull::DropOldest => self.queue.pop_oldest_new(),
            };
            let Some(item) = oldest else {
                self.note_no_room(size);
                return false;
            };
            self.answer(&item, Outcome::Dropped(Dropped::QueueFull));
        }
    }

    /// Has it told when there is room for a message of this size.
    fn note_no_room(&mut self, size: usize) {
        self.wants_room = Some(self.wants_room.map_or(size, |other| other.min(size)));
    }

    /// Whether the next message of QoS 0, or of the others, may go to the library.
    pub(super) fn may_send(&self, plain: bool) -> bool {
        self.is_up()
            // What answers it must find the subscription in place.
            && self.subscriptions.is_all_sent()
            && if plain {
                // The library's own queue has no bound; ours has.
                !self.handle.as_ref().is_some_and(|handle| handle.wants_write())
            } else {
                self.in_flight < self.window
            }
    }

    /// Gives the library what waits and may go.
    pub(super) fn feed(&mut self) {
        self.expire();
        for plain in [false, true] {
            while self.may_send(plain)
                && let Some(item) = self.queue.pop(plain)
            {
                self.send(item);
            }
        }
    }

    fn send(&mut self, mut item: Item) {
        item.publish.set_expiry(Instant::now());
        let publish = &item.publish;
        let v5 = self.options.protocol == Protocol::V5;
        if let Some(code) = self.announced.refuses_publish(publish, v5) {
            return self.refuse(&item, false, code, None);
        }
        if !self.free_packet_id() {
            self.queue.push(item);
            return self.down(Reason::PacketIds);
        }
        let alias = self.alias_for(&item.publish);
        let publish = &item.publish;
        let list = match PropertyList::of_publish(publish.properties.as_deref(), alias.map(|alias| alias.number)) {
            Ok(list) => list,
            Err(code) => return self.refuse(&item, false, reason_of(code), None),
        };
        let topic = if alias.is_some_and(|alias| alias.is_known) { "" } else { publish.topic.as_str() };
        let topic = CString::new(topic).expect("a topic has no NUL");
        let handle = self.handle.as_mut().expect("up");
        let (after, mid) = handle.publish(&topic, &publish.payload, publish.qos as u8, publish.retain, &list);
        if mid != 0 {
            self.last_mid = mid;
        }
        if mid == 0 || ffi::is_argument_error(after.code) {
            return self.refuse(&item, false, reason_of(after.code), None);
        }
        if let Some(alias) = alias {
            self.aliases.sent(&publish.topic, alias);
        }
        // Whatever else went wrong, a message of QoS 1 or 2 is in the library's list now, and goes out on this
        // connection or, in a kept session, on the next one.
        if publish.qos == QoS::AtMostOnce {
            item.publish.payload = Vec::new();
        } else {
            self.in_flight += 1;
        }
        self.flights.insert(mid, Flight { item, repeated: false });
        self.settle(after);
    }

    /// The number that stands for the topic of this message, where one may.
    ///
    /// An alias holds for one connection, and the library sends a message of QoS 1 or 2 again on the next one, as it
    /// is, where the session goes on. In a session that is new with each connection it is us who publish it again.
    fn alias_for(&mut self, publish: &Publish) -> Option<Alias> {
        let may_outlive = self.options.session != Session::PerConnection && publish.qos != QoS::AtMostOnce;
        // The first one carries both topic and number, and both lengths in front may take a byte more.
        let len = publish.packet_len(true) + Aliases::LEN + 2;
        let fits = self.announced.maximum_packet_size.is_none_or(|max| len <= max as usize) && len <= PACKET_MAX;
        if may_outlive || !fits { None } else { self.aliases.look(&publish.topic) }
    }

    /// Sees to it that the library's next packet identifier is not in use; `false` where that cannot be.
    fn free_packet_id(&mut self) -> bool {
        loop {
            let next = self.last_mid.checked_add(1).unwrap_or(1);
            if !self.flights.contains_key(&next) && !self.subscriptions.uses(next) {
                return true;
            }
            if !self.handle.as_mut().is_some_and(|handle| handle.skip_packet_id()) {
                return false;
            }
            self.last_mid = next;
        }
    }

    /// The broker, or for QoS 0 the kernel, has taken a message.
    pub(super) fn published(&mut self, mid: u16, reason: ReasonCode, remark: Option<Box<Remark>>) {
        let Some(flight) = self.flights.remove(&mid) else { return };
        let Flight { item, repeated } = flight;
        if item.publish.qos == QoS::AtMostOnce {
            return self.answer(&item, Outcome::Sent);
        }
        self.in_flight -= 1;
        let exactly_once = item.publish.qos == QoS::ExactlyOnce;
        // The second answer to a message of QoS 2, of which the broker that took it remembers nothing any more.
        let settled = exactly_once && reason == ReasonCode::PACKET_ID_NOT_FOUND;
        let outcome = match () {
            () if settled && !repeated => Outcome::Uncertain(Uncertain::Forgotten),
            () if reason.is_error() && !settled => {
                return self.refuse(&item, repeated && !exactly_once, reason, remark);
            }
            () if exactly_once && item.before => Outcome::Uncertain(Uncertain::SessionLost),
            () => Outcome::Acknowledged(reason),
        };
        self.answer_with(&item, outcome, remark);
    }

    /// A message was refused; `repeated` where an earlier copy of it may have been taken in the same session.
    fn refuse(&mut self, item: &Item, repeated: bool, reason: ReasonCode, remark: Option<Box<Remark>>) {
        let outcome = match repeated || item.before {
            true => Outcome::Uncertain(Uncertain::RefusedAgain),
            false => Outcome::Refused(reason),
        };
        self.answer_with(item, outcome, remark);
    }

    /// Sends the subscriptions, and the ends of some, that the broker does not know of.
    pub(super) fn send_requests(&mut self) {
        while self.is_up()
            && self.handle.as_ref().is_some_and(|handle| handle.socket().is_some())
            && let Some(request) = self.subscriptions.next_request()
        {
            if let Request::Subscribe { filters, options } = &request {
                let refused = |filter: &Rc<str>| Some((Rc::clone(filter), self.announced.refuses(filter, options)?));
                if let Some((filter, code)) = filters.iter().find_map(refused) {
                    self.refuse_request(&filter, code);
                    continue;
                }
            }
            if let Err(code) = self.send_request(&request) {
                // One of them is what the library refuses: it says which one when asked one by one.
                for filter in request.filters().to_vec() {
                    let one = request.with(vec![Rc::clone(&filter)]);
                    let code = if request.filters().len() == 1 { Err(code) } else { self.send_request(&one) };
                    if let Err(code) = code {
                        self.refuse_request(&filter, reason_of(code));
                    }
                }
            }
        }
    }

    /// Sends one packet, if the connection is still there; an error is the library's refusal of what it is.
    fn send_request(&mut self, request: &Request) -> Result<(), Code> {
        if !self.is_up() {
            return Ok(());
        }
        if !self.free_packet_id() {
            self.down(Reason::PacketIds);
            return Ok(());
        }
        let handle = self.handle.as_mut().expect("up");
        let c_string = |filter: &Rc<str>| CString::new(&**filter).expect("a filter has no NUL");
        let filters: Vec<_> = request.filters().iter().map(c_string).collect();
        let (after, mid) = match request {
            Request::Subscribe { options, .. } => handle.subscribe(&filters, options),
            Request::Unsubscribe { user, .. } => handle.unsubscribe(&filters, user),
        };
        if ffi::is_argument_error(after.code) {
            return Err(after.code);
        }
        if mid != 0 {
            self.last_mid = mid;
        }
        self.subscriptions.sent(request.filters(), mid);
        self.settle(after);
        Ok(())
    }

    /// Answers a request that the broker does not get to see, since it would end the connection for it.
    fn refuse_request(&mut self, filter: &str, code: ReasonCode) {
        if let Some(answered) = self.subscriptions.refused(filter, code) {
            self.tell_answered(answered, None);
        }
    }

    /// Reports what a request came to.
    pub(super) fn tell_answered(&mut self, answered: Answered, remark: Option<Box<Remark>>) {
        self.events.push_back(match answered {
            Answered::Subscribe(filter, granted) => Event::Subscribed { filter, granted, remark },
            Answered::Unsubscribe(filter) => Event::Unsubscribed { filter, remark },
        });
    }
}

/// What MQTT cannot carry of a message, in this version of it.
pub(crate) fn problem_of(publish: &Publish, v5: bool) -> Option<PublishRefusal> {
    if !ffi::is_topic(&publish.topic) {
        return Some(PublishRefusal::Topic);
    }
    if let Some(properties) = &publish.properties {
        if !v5 {
            return Some(PublishRefusal::PropertiesNeedV5);
        }
        if let Some(why) = properties.problem() {
            return Some(PublishRefusal::Property(why));
        }
    }
    if !v5 && publish.expiry_to_broker && publish.deadline.is_some() {
        return Some(PublishRefusal::PropertiesNeedV5);
    }
    (publish.remaining_length(v5) > PACKET_MAX).then_some(PublishRefusal::TooLong)
}

/// With which code the broker would have refused what the library refused for what it is.
fn reason_of(code: Code) -> ReasonCode {
    match code {
        Code::OVERSIZE_PACKET | Code::PAYLOAD_SIZE => ReasonCode::PACKET_TOO_LARGE,
        Code::QOS_NOT_SUPPORTED => ReasonCode::QOS_NOT_SUPPORTED,
        _ => ReasonCode::UNSPECIFIED,
    }
}
