//! What became of a published message.

use crate::announced::Remark;
use crate::reason::ReasonCode;
use crate::remote::Slot;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// Tells the deliveries of one client apart. Counts up from 1 in the order of publishing.
///
/// ```
/// use becket_mosquitto::DeliveryId;
/// use std::collections::HashMap;
///
/// let mut waiting: HashMap<DeliveryId, &str> = HashMap::new();
/// assert!(waiting.is_empty());
/// # waiting.clear();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub(crate) u64);

/// What became of a published message. Reported once, and final.
///
/// What is acknowledged arrived at the broker: at QoS 1 once or more often, at QoS 2 once. What is refused, dropped or
/// expired did not. Where the client cannot know, it says [`Uncertain`](Self::Uncertain).
///
/// ```
/// use becket_mosquitto::{Dropped, Outcome, ReasonCode, Uncertain};
///
/// assert!(Outcome::Acknowledged(ReasonCode::SUCCESS).is_acknowledged());
/// assert!(!Outcome::Dropped(Dropped::Closed).is_acknowledged());
/// let outcome = Outcome::Uncertain(Uncertain::SessionLost);
/// assert_eq!(outcome.to_string(), "uncertain: acknowledged after its session was lost, so once or twice");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// QoS 0: it was handed to the kernel. Nobody acknowledges it.
    Sent,
    /// QoS 1 and 2: the broker took charge of it (PUBACK or PUBCOMP).
    Acknowledged(ReasonCode),
    /// The broker, or what it announced when it accepted the connection, refuses the message.
    Refused(ReasonCode),
    /// Its [deadline](crate::Publish::deadline) came while it waited.
    Expired,
    /// Given up without having been sent; at QoS 0, perhaps sent in part.
    Dropped(Dropped),
    /// QoS 1 and 2: it was sent, and nobody can know what the broker did with it.
    Uncertain(Uncertain),
    /// QoS 1 and 2, with a store: the client ended without an answer, and a later client sends the message.
    Kept,
}

impl Outcome {
    /// Whether the broker took charge of it.
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Outcome::Acknowledged(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Sent => f.write_str("sent"),
            Outcome::Acknowledged(code) => write!(f, "acknowledged: {code}"),
            Outcome::Refused(code) => write!(f, "refused: {code}"),
            Outcome::Expired => f.write_str("expired"),
            Outcome::Dropped(why) => write!(f, "dropped: {why}"),
            Outcome::Uncertain(why) => write!(f, "uncertain: {why}"),
            Outcome::Kept => f.write_str("kept for a later client"),
        }
    }
}

/// Why a message was given up.
///
/// ```
/// use becket_mosquitto::Dropped;
///
/// assert_eq!(Dropped::ConnectionLost.to_string(), "the connection was lost");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// The connection was lost with a message of QoS 0 unsent.
    ConnectionLost,
    /// The store has its record, and it is damaged. It was kept there by an earlier client, or until its turn came.
    Damaged,
    /// The queue was full, and a newer message [took its place](crate::WhenFull).
    QueueFull,
    /// The store could not take the message of another thread.
    Store,
    /// The client was closed.
    Closed,
    /// The client gave up, see [`Event::Failed`](crate::Event::Failed).
    Failed,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dropped::ConnectionLost => "the connection was lost",
            Dropped::Damaged => "its record in the store is damaged",
            Dropped::QueueFull => "a newer message took its place in the full queue",
            Dropped::Store => "the store could not take it",
            Dropped::Closed => "the client was closed",
            Dropped::Failed => "the client gave up",
        })
    }
}

/// Why nobody can know whether, or how often, a message of QoS 1 or 2 arrived.
///
/// ```
/// use becket_mosquitto::Uncertain;
///
/// assert_eq!(Uncertain::Closed.to_string(), "the client was closed while it was under way");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Uncertain {
    /// QoS 2: the broker lost the [session](crate::Session) in which the message was under way, or the client was not
    /// to keep it; or the broker came back with room for fewer messages than were under way, of which libmosquitto then
    /// publishes some anew. It was sent again, and acknowledged: it arrived once or twice.
    SessionLost,
    /// It was sent on more than one connection, and the last copy was refused: it arrived with an earlier one or not
    /// at all.
    RefusedAgain,
    /// The broker lost the session in which the message was under way, and its deadline came before it was sent again.
    Expired,
    /// QoS 2: the broker answers that it knows nothing of the message that it has taken.
    Forgotten,
    /// The client was closed while it was under way.
    Closed,
    /// The client gave up while it was under way, see [`Event::Failed`](crate::Event::Failed).
    Failed,
}

impl fmt::Display for Uncertain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Uncertain::SessionLost => "acknowledged after its session was lost, so once or twice",
            Uncertain::RefusedAgain => "sent again, and refused",
            Uncertain::Expired => "its session was lost, and it expired before it could be sent again",
            Uncertain::Forgotten => "the broker has forgotten it",
            Uncertain::Closed => "the client was closed while it was under way",
            Uncertain::Failed => "the client gave up while it was under way",
        })
    }
}

/// A message on its way: what a client gives for a [`Publish`](crate::Publish).
///
/// It is a handle to look at; dropping it changes nothing for the message.
#[derive(Clone)]
pub struct Delivery(Rc<Inner>);

struct Inner {
    id: DeliveryId,
    outcome: Cell<Option<Outcome>>,
    remark: OnceCell<Box<Remark>>,
    /// Where another thread waits for it.
    slot: Option<Arc<Slot>>,
}

impl Delivery {
    pub(crate) fn new(id: DeliveryId, slot: Option<Arc<Slot>>) -> Delivery {
        Delivery(Rc::new(Inner { id, outcome: Cell::new(None), remark: OnceCell::new(), slot }))
    }

    /// What [`Event::Delivered`](crate::Event::Delivered) calls it.
    pub fn id(&self) -> DeliveryId {
        self.0.id
    }

    /// What became of it; `None` while that is open. Once there, it never changes.
    pub fn outcome(&self) -> Option<Outcome> {
        self.0.outcome.get()
    }

    /// What the broker said beside the code of its answer, if it said anything (MQTT 5).
    pub fn remark(&self) -> Option<&Remark> {
        self.0.remark.get().map(|remark| &**remark)
    }

    /// Notes what the broker said; the outcome follows.
    pub(crate) fn note(&self, remark: &Remark) {
        if self.outcome().is_none() {
            self.0.remark.get_or_init(|| Box::new(remark.clone()));
        }
    }

    /// Sets the outcome; `false` where there is one already, or it is another thread's to hear.
    pub(crate) fn resolve(&self, outcome: Outcome) -> bool {
        if self.outcome().is_some() {
            return false;
        }
        self.0.outcome.set(Some(outcome));
        if let Some(slot) = &self.0.slot {
            slot.set(outcome);
        }
        self.0.slot.is_none()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id()).field("outcome", &self.outcome()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outcome_stays() {
        let delivery = Delivery::new(DeliveryId(1), None);
        assert_eq!(delivery.outcome(), None);
        assert!(delivery.resolve(Outcome::Dropped(Dropped::Closed)));
        assert!(!delivery.resolve(Outcome::Sent));
        assert_eq!(delivery.clone().outcome(), Some(Outcome::Dropped(Dropped::Closed)));
    }
}
