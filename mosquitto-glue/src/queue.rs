//! What waits to be sent: bounded by number and by bytes, oldest first, and not for longer than it may.

use crate::delivery::Delivery;
use crate::machine::Key;
use crate::message::{Publish, QoS};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What a client does with a message that finds its queue full.
///
/// ```
/// use becket_mosquitto::{Options, WhenFull};
///
/// let options = Options::new("mqtt://localhost".parse()?).queue(100, 1 << 20).when_full(WhenFull::DropOldest);
/// options.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// A fiber waits for room. A callback, which cannot, gets its message back, and later
    /// [`Event::Room`](crate::Event::Room). The default.
    #[default]
    Wait,
    /// The message is handed back, to a fiber too.
    Refuse,
    /// The oldest messages of QoS 0 that wait are [dropped](crate::Dropped::QueueFull) to make room; without any, as
    /// [`Wait`](Self::Wait).
    DropOldestQoS0,
    /// The oldest messages that wait are [dropped](crate::Dropped::QueueFull) to make room. Those under way stay.
    DropOldest,
}

/// A message that was accepted.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) publish: Publish,
    pub(crate) delivery: Delivery,
    /// Whether it was under way before, in a session that is gone: the broker may have it.
    pub(crate) before: bool,
    pub(crate) key: Option<Key>,
}

/// Two lines, since what waits for the window must not hold up what needs none.
#[derive(Debug)]
pub(crate) struct Queue {
    /// QoS 1 and 2, by the number of the delivery.
    acked: BTreeMap<u64, Item>,
    /// QoS 0.
    plain: BTreeMap<u64, Item>,
    /// When those that may not wait for ever have waited long enough.
    deadlines: BTreeSet<(Instant, u64)>,
    bytes: usize,
    /// Messages of QoS 1 and 2 behind those here, which wait in a store alone, and their bytes.
    parked: (usize, usize),
    max_count: usize,
    max_bytes: usize,
}

/// How many messages, and bytes, wait in memory where there is a store for the others.
const LONG: (usize, usize) = (1024, 4 << 20);

impl Queue {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Queue {
        Queue {
            acked: BTreeMap::new(),
            plain: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            parked: (0, 0),
            max_count,
            max_bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.acked.len() + self.plain.len() + self.parked.0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.parked.1
    }

    /// Whether there are enough messages here for the next ones to wait in a store.
    pub(crate) fn is_long(&self) -> bool {
        self.acked.len() >= LONG.0 || self.bytes >= LONG.1
    }

    /// Whether messages wait in a store alone.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.0 > 0
    }

    /// The messages of QoS 1 and 2 that are here.
    pub(crate) fn in_memory(&self) -> usize {
        self.acked.len()
    }

    /// Counts messages that wait in a store alone.
    pub(crate) fn park(&mut self, messages: usize, bytes: usize) {
        self.parked = (self.parked.0 + messages, self.parked.1 + bytes);
    }

    /// One of them is there no more.
    pub(crate) fn unpark(&mut self, bytes: usize) {
        let messages = self.parked.0.saturating_sub(1);
        // Those of earlier clients were counted without their properties.
        self.parked = (messages, if messages == 0 { 0 } else { self.parked.1.saturating_sub(bytes) });
    }

    /// None is there.
    pub(crate) fn unpark_all(&mut self) {
        self.parked = (0, 0);
    }

    /// Whether a message of this size has room. One alone may exceed the bound of bytes: it could never be sent
    /// otherwise.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.len() < self.max_count && (self.len() == 0 || self.bytes().saturating_add(size) <= self.max_bytes)
    }

    /// Whether a message of this level would have to wait behind another.
    pub(crate) fn is_empty_for(&self, qos: QoS) -> bool {
        if qos == QoS::AtMostOnce { self.plain.is_empty() } else { self.acked.is_empty() && !self.is_parked() }
    }

    /// Puts a message in its place by its number, whether there is room or not.
    pub(crate) fn push(&mut self, item: Item) {
        self.bytes += size(&item.publish);
        let id = item.delivery.id().0;
        self.deadlines.extend(item.publish.deadline.map(|at| (at, id)));
        self.line(item.publish.qos == QoS::AtMostOnce).insert(id, item);
    }

    /// The oldest message of QoS 0, or of the other two.
    pub(crate) fn pop(&mut self, plain: bool) -> Option<Item> {
        let (_, item) = self.line(plain).pop_first()?;
        Some(self.forget(item))
    }

    /// The oldest message of all.
    pub(crate) fn pop_oldest(&mut self) -> Option<Item> {
        let first = |line: &BTreeMap<u64, Item>| line.first_key_value().map_or(u64::MAX, |(id, _)| *id);
        self.pop(first(&self.plain) < first(&self.acked))
    }

    /// The oldest message of all that were never under way. The others, no more than a window, stand before them.
    pub(crate) fn pop_oldest_new(&mut self) -> Option<Item> {
        let acked = self.acked.iter().find(|(_, item)| !item.before).map(|(id, _)| *id);
        let id = acked.into_iter().chain(self.plain.first_key_value().map(|(id, _)| *id)).min()?;
        let item = self.plain.remove(&id).or_else(|| self.acked.remove(&id))?;
        Some(self.forget(item))
    }

    /// A message that has waited for as long as it may.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Item> {
        let &(at, id) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        let item = self.plain.remove(&id).or_else(|| self.acked.remove(&id))?;
        Some(self.forget(item))
    }

    /// When the next message has waited for as long as it may.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn forget(&mut self, item: Item) -> Item {
        self.bytes -= size(&item.publish);
        if let Some(at) = item.publish.deadline {
            self.deadlines.remove(&(at, item.delivery.id().0));
        }
        item
    }

    fn line(&mut self, plain: bool) -> &mut BTreeMap<u64, Item> {
        if plain { &mut self.plain } else { &mut self.acked }
    }
}

/// What a message counts against the bound of bytes.
pub(crate) fn size(publish: &Publish) -> usize {
    publish.topic.len() + publish.payload.len() + publish.properties.as_ref().map_or(0, |p| p.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeliveryId;
    use std::time::Duration;

    fn item(id: u64, payload: usize, qos: QoS) -> Item {
        let publish = Publish::new("t", vec![0; payload]).qos(qos);
        Item { publish, delivery: Delivery::new(DeliveryId(id), None), before: false, key: None }
    }

    #[test]
    fn both_bounds_hold_over_both_lines() {
        let mut queue = Queue::new(3, 20);
        assert!(queue.has_room(101), "alone, a message may be of any size");
        queue.push(item(1, 9, QoS::AtLeastOnce));
        assert!(!queue.has_room(101));
        assert!(queue.has_room(10));
        queue.push(item(2, 9, QoS::AtMostOnce));
        assert!(!queue.has_room(1));
        assert_eq!((queue.len(), queue.bytes()), (2, 20));
        assert!(queue.pop(true).is_some() && queue.pop(true).is_none());
        queue.push(item(3, 0, QoS::AtLeastOnce));
        queue.push(item(4, 0, QoS::AtLeastOnce));
        assert!(!queue.has_room(1), "three messages are enough");
        assert!(queue.pop(false).is_some());
        assert_eq!((queue.len(), queue.bytes()), (2, 2));
    }

    #[test]
    fn what_comes_back_stands_where_it_stood() {
        let mut queue = Queue::new(10, 100);
        for id in [3, 1, 2] {
            queue.push(item(id, 0, if id == 2 { QoS::AtMostOnce } else { QoS::ExactlyOnce }));
        }
        let order = std::iter::from_fn(|| queue.pop_oldest()).map(|item| item.delivery.id().0);
        assert_eq!(order.collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_waited_long_enough_leaves_from_anywhere() {
        let mut queue = Queue::new(10, 100);
        let now = Instant::now();
        for (id, after) in [(1, None), (2, Some(2)), (3, Some(1)), (4, Some(3))] {
            let mut item = item(id, 1, QoS::AtLeastOnce);
            item.publish.deadline = after.map(|s| now + Duration::from_secs(s));
            queue.push(item);
        }
        assert!(queue.pop_expired(now).is_none());
        assert_eq!(queue.deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.pop(false).unwrap().delivery.id().0, 1);
        assert_eq!(queue.pop(false).unwrap().delivery.id().0, 2);
        let late = now + Duration::from_secs(3);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_expired(late)).map(|i| i.delivery.id().0).collect();
        assert_eq!(order, [3, 4]);
        assert_eq!((queue.len(), queue.bytes(), queue.deadline()), (0, 0, None));
    }
}
