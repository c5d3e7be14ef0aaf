//! What the client wants to hear of, and what the broker knows of that.

use crate::message::QoS;
use crate::subscribe::SubscribeOptions;
use std::collections::HashMap;

/// One filter.
#[derive(Debug)]
struct Entry {
    filter: String,
    options: SubscribeOptions,
    /// Whether the client wants it, or wants to be rid of it.
    wanted: bool,
    /// Whether the broker has answered, in the session that it holds.
    settled: bool,
    /// The packet that the broker has not answered, of this connection.
    mid: Option<u16>,
}

/// A packet to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(String, SubscribeOptions),
    /// With the user properties that it carries.
    Unsubscribe(String, Vec<(String, String)>),
}

/// A packet that the broker answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Subscribe(String),
    Unsubscribe(String),
}

/// The library remembers no subscription over a connection; this does.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// In the order in which they were made first.
    entries: Vec<Entry>,
    /// The filters of the packets under way.
    pending: HashMap<u16, String>,
}

impl Subscriptions {
    /// Notes that `filter` is wanted, in this way, or not wanted.
    pub(super) fn want(&mut self, filter: &str, options: SubscribeOptions, wanted: bool) {
        let entry = Entry { filter: filter.to_owned(), options, wanted, settled: false, mid: None };
        match self.entries.iter_mut().find(|e| e.filter == filter) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// A connection was accepted. Without a session at the broker, everything wanted is asked for again; what was
    /// unwanted is gone with the session, and returned.
    pub(super) fn connected(&mut self, session_present: bool) -> Vec<String> {
        let mut gone = Vec::new();
        if !session_present {
            self.entries.retain_mut(|e| {
                e.settled = false;
                if !e.wanted {
                    gone.push(e.filter.clone());
                }
                e.wanted
            });
        }
        gone
    }

    /// The connection is gone, and the packets that were under way with it.
    pub(super) fn lost(&mut self) {
        self.pending.clear();
        for entry in &mut self.entries {
            entry.mid = None;
        }
    }

    /// What the broker has to be asked for next.
    pub(super) fn next_request(&self) -> Option<Request> {
        let entry = self.entries.iter().find(|e| !e.settled && e.mid.is_none())?;
        let (filter, options) = (entry.filter.clone(), entry.options.clone());
        Some(if entry.wanted {
            Request::Subscribe(filter, options)
        } else {
            Request::Unsubscribe(filter, options.user)
        })
    }

    /// The request for `filter` went out as packet `mid`.
    pub(super) fn sent(&mut self, filter: &str, mid: u16) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.filter == filter) {
            entry.mid = Some(mid);
            self.pending.insert(mid, filter.to_owned());
        }
    }

    /// Whether a message of QoS 2 may come, so that the library may hold a part of one.
    pub(super) fn may_bring_exactly_once(&self) -> bool {
        self.entries.iter().any(|e| e.options.qos == QoS::ExactlyOnce)
    }

    /// Whether a packet of this identifier is under way.
    pub(super) fn uses(&self, mid: u16) -> bool {
        self.pending.contains_key(&mid)
    }

    /// The broker answered packet `mid`. An answer to a request that was changed meanwhile counts for nothing; a
    /// refused filter, and one that is wanted no more, is forgotten.
    pub(super) fn answered(&mut self, mid: u16, accepted: bool) -> Option<Answered> {
        let filter = self.pending.remove(&mid)?;
        let at = self.entries.iter().position(|e| e.filter == filter && e.mid == Some(mid))?;
        let entry = &mut self.entries[at];
        entry.mid = None;
        entry.settled = true;
        if entry.wanted {
            if !accepted {
                self.entries.remove(at);
            }
            Some(Answered::Subscribe(filter))
        } else {
            self.entries.remove(at);
            Some(Answered::Unsubscribe(filter))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(filter: &str) -> Option<Request> {
        Some(Request::Subscribe(filter.to_owned(), QoS::AtLeastOnce.into()))
    }

    #[test]
    fn what_was_asked_for_is_asked_for_again() {
        let mut subs = Subscriptions::default();
        subs.want("a", QoS::AtLeastOnce.into(), true);
        assert_eq!(subs.next_request(), subscribe("a"));
        subs.sent("a", 1);
        assert_eq!(subs.next_request(), None);
        subs.lost();
        assert!(subs.connected(true).is_empty());
        assert_eq!(subs.next_request(), subscribe("a"), "it was never answered");
        subs.sent("a", 2);
        assert_eq!(subs.answered(1, true), None, "an answer of the past");
        assert_eq!(subs.answered(2, true), Some(Answered::Subscribe("a".to_owned())));
        subs.lost();
        subs.connected(true);
        assert_eq!(subs.next_request(), None, "the broker kept it");
        subs.lost();
        subs.connected(false);
        assert_eq!(subs.next_request(), subscribe("a"));
    }

    #[test]
    fn the_last_word_counts() {
        let mut subs = Subscriptions::default();
        subs.want("a", QoS::AtLeastOnce.into(), true);
        subs.sent("a", 1);
        subs.want("a", QoS::AtMostOnce.into(), false);
        assert_eq!(subs.next_request(), Some(Request::Unsubscribe("a".to_owned(), vec![])));
        subs.sent("a", 2);
        assert_eq!(subs.answered(1, true), None);
        assert_eq!(subs.answered(2, true), Some(Answered::Unsubscribe("a".to_owned())));
        subs.lost();
        subs.connected(false);
        assert_eq!(subs.next_request(), None);
    }

    #[test]
    fn a_refused_filter_is_forgotten_and_a_lost_session_unsubscribes() {
        let mut subs = Subscriptions::default();
        subs.want("a", QoS::AtLeastOnce.into(), true);
        subs.sent("a", 1);
        assert!(subs.answered(1, false).is_some());
        subs.want("b", QoS::AtLeastOnce.into(), false);
        subs.lost();
        assert_eq!(subs.connected(false), ["b"]);
        assert_eq!(subs.next_request(), None);
    }
}
