//! What waits to be sent: bounded by number and by bytes.

use crate::delivery::Delivery;
use crate::message::{Publish, QoS};
use std::collections::VecDeque;

/// A message that was accepted and not yet given to the library.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) publish: Publish,
    pub(crate) delivery: Delivery,
}

/// Two lines, since what waits for the window must not hold up what needs none.
#[derive(Debug)]
pub(crate) struct Queue {
    /// QoS 1 and 2.
    acked: VecDeque<Waiting>,
    /// QoS 0.
    plain: VecDeque<Waiting>,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl Queue {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Queue {
        Queue { acked: VecDeque::new(), plain: VecDeque::new(), bytes: 0, max_count, max_bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.acked.len() + self.plain.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether `publish` has room. One message alone may exceed the bound of bytes: it could never be sent otherwise.
    pub(crate) fn has_room(&self, publish: &Publish) -> bool {
        self.len() < self.max_count && (self.len() == 0 || self.bytes + size(publish) <= self.max_bytes)
    }

    /// Whether a message of this level would have to wait behind another.
    pub(crate) fn is_empty_for(&self, qos: QoS) -> bool {
        if qos == QoS::AtMostOnce { self.plain.is_empty() } else { self.acked.is_empty() }
    }

    /// Appends, whether there is room or not.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.bytes += size(&waiting.publish);
        self.line(waiting.publish.qos == QoS::AtMostOnce).push_back(waiting);
    }

    /// Puts back what was taken.
    pub(crate) fn push_front(&mut self, waiting: Waiting) {
        self.bytes += size(&waiting.publish);
        self.line(waiting.publish.qos == QoS::AtMostOnce).push_front(waiting);
    }

    /// The oldest message of QoS 0, or of the other two.
    pub(crate) fn pop(&mut self, plain: bool) -> Option<Waiting> {
        let waiting = self.line(plain).pop_front()?;
        self.bytes -= size(&waiting.publish);
        Some(waiting)
    }

    fn line(&mut self, plain: bool) -> &mut VecDeque<Waiting> {
        if plain { &mut self.plain } else { &mut self.acked }
    }
}

/// What a message counts against the bound of bytes.
fn size(publish: &Publish) -> usize {
    publish.topic.len() + publish.payload.len() + publish.properties.as_ref().map_or(0, |p| p.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeliveryId;

    fn waiting(payload: usize, qos: QoS) -> Waiting {
        let publish = Publish::new("t", vec![0; payload]).qos(qos);
        Waiting { publish, delivery: Delivery::new(DeliveryId(0)) }
    }

    #[test]
    fn both_bounds_hold_over_both_lines() {
        let mut queue = Queue::new(3, 20);
        let big = waiting(100, QoS::AtLeastOnce);
        assert!(queue.has_room(&big.publish), "alone, a message may be of any size");
        queue.push(waiting(9, QoS::AtLeastOnce));
        assert!(!queue.has_room(&big.publish));
        assert!(queue.has_room(&waiting(9, QoS::AtMostOnce).publish));
        queue.push(waiting(9, QoS::AtMostOnce));
        assert!(!queue.has_room(&waiting(0, QoS::AtMostOnce).publish));
        assert_eq!((queue.len(), queue.bytes()), (2, 20));
        assert!(queue.pop(true).is_some() && queue.pop(true).is_none());
        queue.push(waiting(0, QoS::AtLeastOnce));
        queue.push(waiting(0, QoS::AtLeastOnce));
        assert!(!queue.has_room(&waiting(0, QoS::AtMostOnce).publish), "three messages are enough");
        assert!(queue.pop(false).is_some());
        assert_eq!((queue.len(), queue.bytes()), (2, 2));
    }
}
