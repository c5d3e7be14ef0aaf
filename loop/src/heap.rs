//! The armed timers, the next one first.

use std::time::{Duration, Instant};

/// A 4-ary heap of slots by deadline, equal ones in the order of arming, with each slot's place in it, so that a timer
/// is moved or cancelled without a search.
pub(crate) struct TimerHeap {
    nodes: Vec<Node>,
    /// By slot: where in `nodes` it stands, or `ABSENT`.
    places: Vec<u32>,
    armed: u64,
    /// By slot: how late it may be woken for. As long as those that have any.
    slacks: Vec<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    when: Instant,
    order: u64,
    slot: u32,
}

const ABSENT: u32 = u32::MAX;
const BRANCHES: usize = 4;

impl TimerHeap {
    pub(crate) fn new() -> Self {
        TimerHeap { nodes: Vec::new(), places: Vec::new(), armed: 0, slacks: Vec::new() }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.nodes.first().map(|node| node.when)
    }

    /// Until when to wait at most: the last time at which none is later than it may be.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let next = self.next()?;
        if self.slacks.is_empty() {
            return Some(next);
        }
        let mut wake = None;
        let mut open = vec![0];
        while let Some(place) = open.pop() {
            let Some(node) = self.nodes.get(place) else { continue };
            // Nor need anything below it be looked at.
            if wake.is_some_and(|wake| node.when >= wake) {
                continue;
            }
            let slack = self.slacks.get(node.slot as usize).copied().unwrap_or_default();
            let latest = node.when.checked_add(slack).unwrap_or(node.when);
            wake = Some(wake.map_or(latest, |wake: Instant| wake.min(latest)));
            open.extend(place * BRANCHES + 1..=place * BRANCHES + BRANCHES);
        }
        wake
    }

    /// Sets how late a slot may be woken for, armed or not.
    pub(crate) fn set_slack(&mut self, slot: u32, slack: Duration) {
        let slot = slot as usize;
        if self.slacks.len() <= slot && !slack.is_zero() {
            self.slacks.resize(slot + 1, Duration::ZERO);
        }
        if let Some(old) = self.slacks.get_mut(slot) {
            *old = slack;
        }
        while self.slacks.last().is_some_and(Duration::is_zero) {
            self.slacks.pop();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn deadline(&self, slot: u32) -> Option<Instant> {
        let place = *self.places.get(slot as usize)?;
        self.nodes.get(place as usize).map(|node| node.when)
    }

    /// Sets the deadline of a slot, armed or not.
    pub(crate) fn arm(&mut self, slot: u32, when: Instant) {
        let node = Node { when, order: self.armed, slot };
        self.armed += 1;
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, ABSENT);
        }
        let place = match self.places[slot as usize] {
            ABSENT => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
            place => place as usize,
        };
        self.settle(place, node);
    }

    /// Whether it was armed.
    pub(crate) fn disarm(&mut self, slot: u32) -> bool {
        let Some(place) = self.places.get_mut(slot as usize) else { return false };
        let place = std::mem::replace(place, ABSENT);
        if place == ABSENT {
            return false;
        }
        let last = self.nodes.pop().expect("a slot with a place is in the heap");
        if last.slot != slot {
            self.settle(place as usize, last);
        }
        true
    }

    /// Takes the next slot whose deadline is not after `now`, and its deadline.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(u32, Instant)> {
        let Node { when, slot, .. } = *self.nodes.first().filter(|node| node.when <= now)?;
        self.disarm(slot);
        Some((slot, when))
    }

    /// Puts `node` at `place`, whose content is outdated, or as far up or down from it as the order asks.
    fn settle(&mut self, mut place: usize, node: Node) {
        while place > 0 {
            let parent = (place - 1) / BRANCHES;
            if self.nodes[parent] <= node {
                break;
            }
            self.put(place, self.nodes[parent]);
            place = parent;
        }
        loop {
            let first = place * BRANCHES + 1;
            let children = first..(first + BRANCHES).min(self.nodes.len());
            let Some(least) = children.min_by_key(|child| self.nodes[*child]) else { break };
            if node <= self.nodes[least] {
                break;
            }
            self.put(place, self.nodes[least]);
            place = least;
        }
        self.put(place, node);
    }

    fn put(&mut self, place: usize, node: Node) {
        self.nodes[place] = node;
        self.places[node.slot as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::TimerHeap;
    use std::time::{Duration, Instant};

    /// Arms, moves and disarms at random, and compares with a sorted list.
    #[test]
    fn agrees_with_a_sorted_list() {
        let start = Instant::now();
        let mut heap = TimerHeap::new();
        let mut model: Vec<(u64, u64, u32)> = Vec::new();
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for order in 0..20_000 {
            let slot = random(300) as u32;
            let armed = model.iter().position(|m| m.2 == slot);
            if random(3) == 0 {
                assert_eq!(heap.disarm(slot), armed.is_some());
                armed.map(|at| model.swap_remove(at));
            } else {
                let when = random(1000);
                heap.arm(slot, start + Duration::from_nanos(when));
                armed.map(|at| model.swap_remove(at));
                model.push((when, order, slot));
                assert_eq!(heap.deadline(slot), Some(start + Duration::from_nanos(when)));
            }
            assert_eq!(heap.len(), model.len());
            let next = model.iter().min().map(|m| start + Duration::from_nanos(m.0));
            assert_eq!(heap.next(), next);
        }
        model.sort_unstable();
        let popped: Vec<u32> =
            std::iter::from_fn(|| heap.pop_due(start + Duration::from_secs(1))).map(|p| p.0).collect();
        assert_eq!(popped, model.iter().map(|m| m.2).collect::<Vec<_>>());
        assert_eq!(heap.next(), None);
    }

    /// Sets slacks, arms and disarms at random, and compares with a look at all of them.
    #[test]
    fn wakes_for_the_first_that_cannot_wait_longer() {
        let start = Instant::now();
        let mut heap = TimerHeap::new();
        let (mut armed, mut slacks) = (vec![None; 50], vec![0; 50]);
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..20_000 {
            let slot = random(50) as usize;
            match random(4) {
                0 => {
                    heap.disarm(slot as u32);
                    armed[slot] = None;
                }
                1 => {
                    slacks[slot] = random(3) * random(200);
                    heap.set_slack(slot as u32, Duration::from_nanos(slacks[slot]));
                }
                _ => {
                    let when = random(1000);
                    heap.arm(slot as u32, start + Duration::from_nanos(when));
                    armed[slot] = Some(when);
                }
            }
            let latest = armed.iter().zip(&slacks).filter_map(|(when, slack)| Some((*when)? + slack)).min();
            assert_eq!(heap.wake(), latest.map(|latest| start + Duration::from_nanos(latest)));
        }
        (0..50).for_each(|slot| heap.set_slack(slot, Duration::ZERO));
        assert!(heap.slacks.is_empty(), "no slack, no search");
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let now = Instant::now();
        let mut heap = TimerHeap::new();
        heap.arm(5, now + Duration::from_nanos(1));
        assert_eq!(heap.pop_due(now), None);
        assert_eq!(heap.pop_due(now + Duration::from_nanos(1)), Some((5, now + Duration::from_nanos(1))));
        assert!(!heap.disarm(5));
    }
}
