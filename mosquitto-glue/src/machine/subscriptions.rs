//! What the client wants to hear of, who of the program's wants it, and what the broker knows of that.

use crate::message::QoS;
use crate::reason::ReasonCode;
use crate::router::{Router, identifier};
use crate::subscribe::SubscribeOptions;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The most filters in one packet: there are brokers that take no more.
const BATCH: usize = 8;

/// The most packets that the broker has not answered: each has a packet identifier.
const PENDING: usize = 1000;

/// Somebody who gets messages: the client itself, which is called with what its own subscriptions bring and with what
/// is for nobody, or one of its handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Holder(pub(crate) u64);

impl Holder {
    pub(crate) const CLIENT: Holder = Holder(0);
}

/// Whom one message is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Takers {
    /// The handlers, each once, the oldest first.
    pub(crate) handlers: Vec<Holder>,
    /// Whether the client itself subscribed to it.
    pub(crate) client: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The broker has to be asked.
    New,
    /// It was asked, by this packet of this connection.
    Asked(u16),
    /// It has answered, in the session that it holds.
    Settled,
    /// It refused, and is not asked again.
    Refused,
}

/// One filter.
#[derive(Debug)]
struct Entry {
    /// Those who want it, and how; without any, it is to be unsubscribed.
    holders: Vec<(Holder, SubscribeOptions)>,
    /// The user properties that go with an UNSUBSCRIBE.
    goodbye: Vec<(String, String)>,
    /// The subscription identifier by which the broker knows it, where it does: the program's, or ours.
    id: Rc<Cell<u32>>,
    state: State,
    /// Its place among those that were subscribed to.
    order: u64,
}

impl Entry {
    fn is_wanted(&self) -> bool {
        !self.holders.is_empty()
    }

    /// What to ask for: everything that somebody wants.
    fn options(&self) -> SubscribeOptions {
        let mut all = self.holders.iter().map(|(_, options)| options);
        let first = all.next().cloned().unwrap_or_default();
        all.fold(first, |one, other| SubscribeOptions {
            qos: one.qos.max(other.qos),
            no_local: one.no_local && other.no_local,
            retain_as_published: one.retain_as_published || other.retain_as_published,
            retain_handling: std::cmp::min_by_key(one.retain_handling, other.retain_handling, |how| *how as u8),
            id: other.id.or(one.id),
            user: if other.user.is_empty() { one.user } else { other.user.clone() },
        })
    }
}

/// A packet to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe {
        filters: Vec<Rc<str>>,
        options: SubscribeOptions,
    },
    /// With the user properties that it carries.
    Unsubscribe {
        filters: Vec<Rc<str>>,
        user: Vec<(String, String)>,
    },
}

impl Request {
    pub(super) fn filters(&self) -> &[Rc<str>] {
        match self {
            Request::Subscribe { filters, .. } | Request::Unsubscribe { filters, .. } => filters,
        }
    }

    /// The same for other filters.
    pub(super) fn with(&self, filters: Vec<Rc<str>>) -> Request {
        match self {
            Request::Subscribe { options, .. } => Request::Subscribe { filters, options: options.clone() },
            Request::Unsubscribe { user, .. } => Request::Unsubscribe { filters, user: user.clone() },
        }
    }
}

/// What became of a filter that the broker was asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Subscribe(String, Result<QoS, ReasonCode>),
    Unsubscribe(String),
}

/// One holder of one filter.
#[derive(Debug)]
struct Held {
    /// The filter's.
    id: Rc<Cell<u32>>,
    holder: Holder,
}

/// The library remembers no subscription over a connection; this does.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    entries: HashMap<Rc<str>, Entry>,
    /// Those that are `New`, in the order in which they were made first.
    todo: BTreeMap<u64, Rc<str>>,
    /// The filters of the packets under way.
    pending: HashMap<u16, Vec<Rc<str>>>,
    router: Router<Held>,
    /// The subscription identifiers that the program did not choose, and how many filters have each.
    own: HashMap<u32, usize>,
    /// Whether the broker of this connection is to tell by which subscription each copy of a message comes.
    identifies: bool,
    last_order: u64,
    last_holder: u64,
}

impl Subscriptions {
    /// A new handler's name.
    pub(super) fn new_holder(&mut self) -> Holder {
        self.last_holder += 1;
        Holder(self.last_holder)
    }

    fn entry(&mut self, filter: &str) -> (Rc<str>, &mut Entry) {
        let key = self.entries.get_key_value(filter).map_or_else(|| filter.into(), |(key, _)| Rc::clone(key));
        let entry = self.entries.entry(Rc::clone(&key)).or_insert_with(|| {
            self.last_order += 1;
            *self.own.entry(identifier(filter)).or_default() += 1;
            Entry {
                holders: Vec::new(),
                goodbye: Vec::new(),
                id: Rc::new(Cell::new(identifier(filter))),
                state: State::Settled,
                order: self.last_order,
            }
        });
        (key, entry)
    }

    /// Has the broker asked about `filter`, again if need be.
    fn ask(&mut self, filter: &str) {
        let (key, entry) = self.entry(filter);
        entry.state = State::New;
        let order = entry.order;
        self.todo.insert(order, key);
    }

    fn forget(&mut self, filter: &str) {
        if let Some(entry) = self.entries.remove(filter) {
            self.todo.remove(&entry.order);
            let id = identifier(filter);
            if let Some(filters) = self.own.get_mut(&id) {
                *filters -= 1;
                if *filters == 0 {
                    self.own.remove(&id);
                }
            }
        }
    }

    /// Notes that `holder` wants `filter`, in this way; the broker is asked whether it was before or not.
    pub(super) fn hold(&mut self, filter: &str, options: SubscribeOptions, holder: Holder) {
        let (_, entry) = self.entry(filter);
        let id = Rc::clone(&entry.id);
        match entry.holders.iter_mut().find(|(other, _)| *other == holder) {
            Some((_, old)) => *old = options,
            None => {
                entry.holders.push((holder, options));
                self.router.insert(filter, Held { id: Rc::clone(&id), holder });
            }
        }
        id.set(self.entries[filter].options().id.unwrap_or_else(|| identifier(filter)));
        self.ask(filter);
    }

    /// Notes that `holder` wants `filter` no more. The broker is told, with these user properties, where nobody else
    /// does; `false` where somebody does.
    pub(super) fn release(&mut self, filter: &str, user: Vec<(String, String)>, holder: Holder) -> bool {
        let (_, entry) = self.entry(filter);
        entry.holders.retain(|(other, _)| *other != holder);
        entry.goodbye = user;
        let (is_wanted, state, id) = (entry.is_wanted(), entry.state, Rc::clone(&entry.id));
        self.router.remove(filter, |held| Rc::ptr_eq(&held.id, &id) && held.holder == holder);
        if is_wanted {
            return false;
        }
        match state {
            State::Refused => self.forget(filter),
            _ => self.ask(filter),
        }
        true
    }

    /// Whom a message is for that came by the subscriptions with these identifiers, if the broker told any.
    pub(super) fn takers(&self, topic: &str, identifiers: &[u32]) -> Takers {
        let named = |held: &Held| identifiers.contains(&held.id.get());
        // A kept session may name what was subscribed to under another identifier: then the topic decides.
        let mut exact = false;
        // Where not every subscription has an identifier, one that has none may be meant as well.
        if self.identifies && !identifiers.is_empty() {
            self.router.visit(topic, |held| exact |= named(held));
        }
        let mut takers = Takers::default();
        self.router.visit(topic, |held| match held.holder {
            _ if exact && !named(held) => {}
            Holder::CLIENT => takers.client = true,
            holder => takers.handlers.push(holder),
        });
        takers.handlers.sort_unstable();
        takers.handlers.dedup();
        takers
    }

    /// Whether a message may come with this identifier because a filter was subscribed to, and not because the program
    /// chose it.
    pub(super) fn is_own(&self, identifier: u32) -> bool {
        self.identifies && self.own.contains_key(&identifier)
    }

    /// A connection was accepted. Without a session at the broker, everything wanted is asked for again; what was
    /// unwanted is gone with the session, and returned.
    pub(super) fn connected(&mut self, session_present: bool, identifies: bool) -> Vec<String> {
        self.identifies = identifies;
        if session_present {
            return Vec::new();
        }
        let mut all: Vec<_> = self.entries.iter().map(|(filter, entry)| (entry.order, Rc::clone(filter))).collect();
        all.sort_unstable_by_key(|(order, _)| *order);
        let mut gone = Vec::new();
        for (_, filter) in all {
            let entry = &self.entries[&filter];
            if !entry.is_wanted() {
                gone.push(filter.to_string());
                self.forget(&filter);
            } else if entry.state != State::Refused {
                self.ask(&filter);
            }
        }
        gone
    }

    /// The connection is gone, and the packets that were under way with it.
    pub(super) fn lost(&mut self) {
        for (_, filters) in std::mem::take(&mut self.pending) {
            for filter in filters {
                // An entry that was changed meanwhile is to be asked about anyway.
                if self.entries.get(&filter).is_some_and(|entry| matches!(entry.state, State::Asked(_))) {
                    self.ask(&filter);
                }
            }
        }
    }

    /// Whether the broker was asked for everything, if not answered.
    pub(super) fn is_all_sent(&self) -> bool {
        self.todo.is_empty()
    }

    /// What the broker has to be asked for next: several filters at once where they are wanted alike.
    pub(super) fn next_request(&self) -> Option<Request> {
        if self.pending.len() >= PENDING {
            return None;
        }
        let mut todo = self.todo.values().map(|filter| (filter, &self.entries[filter]));
        let (filter, first) = todo.next()?;
        let mut filters = vec![Rc::clone(filter)];
        if !first.is_wanted() {
            let alike = todo.take_while(|(_, entry)| !entry.is_wanted() && entry.goodbye == first.goodbye);
            filters.extend(alike.take(BATCH - 1).map(|(filter, _)| Rc::clone(filter)));
            return Some(Request::Unsubscribe { filters, user: first.goodbye.clone() });
        }
        let mut options = first.options();
        if self.identifies {
            // An identifier is a packet's, so each filter has one of its own.
            options.id = Some(first.id.get());
        } else {
            let alike = todo.take_while(|(_, entry)| entry.is_wanted() && entry.options() == options);
            filters.extend(alike.take(BATCH - 1).map(|(filter, _)| Rc::clone(filter)));
        }
        Some(Request::Subscribe { filters, options })
    }

    /// The request for these filters went out as packet `mid`.
    pub(super) fn sent(&mut self, filters: &[Rc<str>], mid: u16) {
        for filter in filters {
            if let Some(entry) = self.entries.get_mut(filter) {
                entry.state = State::Asked(mid);
                self.todo.remove(&entry.order);
            }
        }
        self.pending.insert(mid, filters.to_vec());
    }

    /// Whether a message of QoS 2 may come, so that the library may hold a part of one.
    pub(super) fn may_bring_exactly_once(&self) -> bool {
        let wants = |entry: &Entry| entry.holders.iter().any(|(_, options)| options.qos == QoS::ExactlyOnce);
        self.entries.values().any(wants)
    }

    /// Whether a packet of this identifier is under way.
    pub(super) fn uses(&self, mid: u16) -> bool {
        self.pending.contains_key(&mid)
    }

    /// The broker answered packet `mid`, with one code for each filter of a SUBSCRIBE; what it left out counts as
    /// refused. An answer to a request that was changed meanwhile counts for nothing.
    pub(super) fn answered(&mut self, mid: u16, codes: &[u8]) -> Vec<Answered> {
        let Some(filters) = self.pending.remove(&mid) else { return Vec::new() };
        // None at all is against the protocol, and no consent.
        let codes = codes.iter().copied().map(ReasonCode).chain(std::iter::repeat(ReasonCode::PROTOCOL_ERROR));
        let answers = filters.into_iter().zip(codes).filter_map(|(filter, code)| self.answer(&filter, mid, code));
        answers.collect()
    }

    /// A request for `filter` could not be sent, and would be refused.
    pub(super) fn refused(&mut self, filter: &str, code: ReasonCode) -> Option<Answered> {
        // No packet has this identifier.
        let entry = self.entries.get_mut(filter)?;
        entry.state = State::Asked(0);
        self.todo.remove(&entry.order);
        self.answer(filter, 0, code)
    }

    fn answer(&mut self, filter: &str, mid: u16, code: ReasonCode) -> Option<Answered> {
        let entry = self.entries.get_mut(filter).filter(|entry| entry.state == State::Asked(mid))?;
        if !entry.is_wanted() {
            self.forget(filter);
            return Some(Answered::Unsubscribe(filter.to_owned()));
        }
        let granted = QoS::try_from(code.0).map_err(ReasonCode);
        entry.state = if granted.is_ok() { State::Settled } else { State::Refused };
        if granted.is_err() && entry.holders.iter().all(|(holder, _)| *holder == Holder::CLIENT) {
            let id = Rc::clone(&entry.id);
            self.router.remove(filter, |held| Rc::ptr_eq(&held.id, &id));
            self.forget(filter);
        }
        Some(Answered::Subscribe(filter.to_owned(), granted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QOS: QoS = QoS::AtLeastOnce;
    const ONE: Holder = Holder(1);
    const TWO: Holder = Holder(2);

    fn subscribe(filters: &[&str]) -> Option<Request> {
        let filters = filters.iter().map(|f| Rc::from(*f)).collect();
        Some(Request::Subscribe { filters, options: QOS.into() })
    }

    fn unsubscribe(filters: &[&str]) -> Option<Request> {
        Some(Request::Unsubscribe { filters: filters.iter().map(|f| Rc::from(*f)).collect(), user: vec![] })
    }

    /// Sends what is next as packet `mid`.
    fn send(subs: &mut Subscriptions, mid: u16) -> Option<Request> {
        let request = subs.next_request()?;
        subs.sent(request.filters(), mid);
        Some(request)
    }

    fn granted(filter: &str) -> Answered {
        Answered::Subscribe(filter.to_owned(), Ok(QOS))
    }

    #[test]
    fn what_was_asked_for_is_asked_for_again() {
        let mut subs = Subscriptions::default();
        subs.hold("a", QOS.into(), Holder::CLIENT);
        assert_eq!(send(&mut subs, 1), subscribe(&["a"]));
        assert_eq!(subs.next_request(), None);
        subs.lost();
        assert!(subs.connected(true, false).is_empty());
        assert_eq!(send(&mut subs, 2), subscribe(&["a"]), "it was never answered");
        assert_eq!(subs.answered(1, &[1]), [], "an answer of the past");
        assert_eq!(subs.answered(2, &[1]), [granted("a")]);
        subs.lost();
        subs.connected(true, false);
        assert_eq!(subs.next_request(), None, "the broker kept it");
        subs.lost();
        subs.connected(false, false);
        assert_eq!(subs.next_request(), subscribe(&["a"]));
    }

    #[test]
    fn the_last_word_counts() {
        let mut subs = Subscriptions::default();
        subs.hold("a", QOS.into(), Holder::CLIENT);
        send(&mut subs, 1);
        assert!(subs.release("a", vec![], Holder::CLIENT));
        assert_eq!(send(&mut subs, 2), unsubscribe(&["a"]));
        assert_eq!(subs.answered(1, &[1]), []);
        assert_eq!(subs.answered(2, &[]), [Answered::Unsubscribe("a".to_owned())]);
        subs.lost();
        subs.connected(false, false);
        assert_eq!(subs.next_request(), None);
        assert!(subs.entries.is_empty() && subs.own.is_empty() && subs.is_all_sent());
    }

    #[test]
    fn a_refused_filter_is_forgotten_and_a_lost_session_unsubscribes() {
        let mut subs = Subscriptions::default();
        subs.hold("a", QOS.into(), Holder::CLIENT);
        send(&mut subs, 1);
        assert_eq!(subs.answered(1, &[0x87]), [Answered::Subscribe("a".to_owned(), Err(ReasonCode(0x87)))]);
        assert!(subs.entries.is_empty());
        subs.release("b", vec![], Holder::CLIENT);
        subs.lost();
        assert_eq!(subs.connected(false, false), ["b"]);
        assert_eq!(subs.next_request(), None);
    }

    #[test]
    fn the_last_holder_unsubscribes_and_the_highest_level_is_asked_for() {
        let mut subs = Subscriptions::default();
        subs.hold("a", QoS::AtMostOnce.into(), ONE);
        subs.hold("a", QOS.into(), TWO);
        assert_eq!(send(&mut subs, 1), subscribe(&["a"]));
        assert_eq!(subs.answered(1, &[1]), [granted("a")]);
        assert!(!subs.release("a", vec![], ONE));
        assert_eq!(subs.next_request(), None);
        assert_eq!(subs.takers("a", &[]), Takers { handlers: vec![TWO], client: false });
        assert!(subs.release("a", vec![], TWO));
        assert_eq!(subs.takers("a", &[]), Takers::default());
        assert_eq!(send(&mut subs, 2), unsubscribe(&["a"]));
        // Others can go with it.
        subs.release("b", vec![], ONE);
        subs.release("c", vec![("why".to_owned(), String::new())], ONE);
        subs.release("d", vec![], ONE);
        let sizes: Vec<_> = (10..).map_while(|mid| send(&mut subs, mid).map(|r| r.filters().len())).collect();
        assert_eq!(sizes, [1, 1, 1], "they differ, and keep their order");
        // Somebody wants it again before the broker has answered.
        subs.hold("a", QOS.into(), ONE);
        assert_eq!(subs.answered(2, &[]), []);
        assert_eq!(send(&mut subs, 3), subscribe(&["a"]));
        // A refusal leaves the handler where it is, and is final.
        subs.answered(3, &[0x80]);
        subs.connected(false, false);
        assert_eq!(subs.next_request(), None);
        assert!(subs.release("a", vec![], ONE));
        assert!(subs.next_request().is_none() && subs.entries.is_empty());
    }

    #[test]
    fn filters_wanted_alike_share_a_packet_and_have_codes_of_their_own() {
        let mut subs = Subscriptions::default();
        let names: Vec<_> = (0..20).map(|n| format!("f/{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            let qos = if n == 9 { QoS::ExactlyOnce } else { QOS };
            subs.hold(name, qos.into(), Holder::CLIENT);
        }
        let sizes: Vec<_> = (1..).map_while(|mid| send(&mut subs, mid).map(|r| r.filters().len())).collect();
        assert_eq!(sizes, [8, 1, 1, 8, 2]);
        let answers = subs.answered(1, &[1, 0x87, 0, 2]);
        assert_eq!(answers.len(), 8);
        assert_eq!(answers[0], granted("f/0"));
        assert_eq!(answers[1], Answered::Subscribe("f/1".to_owned(), Err(ReasonCode(0x87))));
        assert_eq!(answers[3], Answered::Subscribe("f/3".to_owned(), Ok(QoS::ExactlyOnce)));
        assert_eq!(answers[7], Answered::Subscribe("f/7".to_owned(), Err(ReasonCode::PROTOCOL_ERROR)));
        assert!(subs.uses(2) && !subs.uses(1));
    }

    #[test]
    fn identifiers_say_which_of_overlapping_subscriptions_a_message_is_for() {
        let mut subs = Subscriptions::default();
        subs.connected(false, true);
        subs.hold("a/#", QOS.into(), ONE);
        subs.hold("a/+", QOS.into(), TWO);
        subs.hold("a/b", QOS.into(), Holder::CLIENT);
        let (wide, narrow) = (identifier("a/#"), identifier("a/+"));
        let request = send(&mut subs, 1).unwrap();
        assert_eq!(
            request,
            Request::Subscribe { filters: vec!["a/#".into()], options: SubscribeOptions::new(QOS).id(wide) }
        );
        let takers = |ids: &[u32]| {
            let takers = subs.takers("a/b", ids);
            (takers.handlers, takers.client)
        };
        assert_eq!(takers(&[wide]), (vec![ONE], false));
        assert_eq!(takers(&[narrow]), (vec![TWO], false));
        assert_eq!(takers(&[wide, narrow]), (vec![ONE, TWO], false));
        // One that nobody knows, or nobody's of this topic.
        for other in [1, identifier("c")] {
            assert_eq!(takers(&[other]), (vec![ONE, TWO], true));
        }
        assert!(subs.is_own(wide) && !subs.is_own(1));
        // One that the program chose counts as well.
        subs.hold("a/+", SubscribeOptions::new(QOS).id(7), TWO);
        assert_eq!(subs.takers("a/b", &[7]), Takers { handlers: vec![TWO], client: false });
        // Where the others have none, they may be meant as well.
        subs.connected(true, false);
        assert_eq!(subs.takers("a/b", &[7]), Takers { handlers: vec![ONE, TWO], client: true });
        assert!(!subs.is_own(wide));
    }
}
