//! What became of a published message.

use crate::reason::ReasonCode;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

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
/// ```
/// use becket_mosquitto::{Dropped, Outcome, ReasonCode};
///
/// assert!(Outcome::Acknowledged(ReasonCode::SUCCESS).is_acknowledged());
/// assert!(!Outcome::Dropped(Dropped::Closed).is_acknowledged());
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
    /// Given up. A message of QoS 1 or 2 that was under way may have reached the broker all the same.
    Dropped(Dropped),
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
            Outcome::Dropped(why) => write!(f, "dropped: {why}"),
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
    /// The client was closed.
    Closed,
    /// The client gave up, see [`Event::Failed`](crate::Event::Failed).
    Failed,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dropped::ConnectionLost => "the connection was lost",
            Dropped::Closed => "the client was closed",
            Dropped::Failed => "the client gave up",
        })
    }
}

/// A message on its way: what a client gives for a [`Publish`](crate::Publish).
///
/// It is a handle to look at; dropping it changes nothing for the message.
#[derive(Clone)]
pub struct Delivery {
    id: DeliveryId,
    outcome: Rc<Cell<Option<Outcome>>>,
}

impl Delivery {
    pub(crate) fn new(id: DeliveryId) -> Delivery {
        Delivery { id, outcome: Rc::new(Cell::new(None)) }
    }

    /// What [`Event::Delivered`](crate::Event::Delivered) calls it.
    pub fn id(&self) -> DeliveryId {
        self.id
    }

    /// What became of it; `None` while that is open. Once there, it never changes.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get()
    }

    /// Sets the outcome; `false` where there is one already.
    pub(crate) fn resolve(&self, outcome: Outcome) -> bool {
        let first = self.outcome.get().is_none();
        if first {
            self.outcome.set(Some(outcome));
        }
        first
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).field("outcome", &self.outcome()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outcome_stays() {
        let delivery = Delivery::new(DeliveryId(1));
        assert_eq!(delivery.outcome(), None);
        assert!(delivery.resolve(Outcome::Dropped(Dropped::Closed)));
        assert!(!delivery.resolve(Outcome::Sent));
        assert_eq!(delivery.clone().outcome(), Some(Outcome::Dropped(Dropped::Closed)));
    }
}
