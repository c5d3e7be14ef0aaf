//! Numbers instead of topics, on one connection.

use std::collections::HashMap;
use std::rc::Rc;

/// What a PUBLISH says of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) number: u16,
    /// Whether the broker knows it, so that the topic can be left out.
    pub(super) is_known: bool,
}

/// One number that the broker knows.
#[derive(Debug)]
struct Slot {
    topic: Rc<str>,
    /// Whether it was used since the hand came by.
    used: bool,
}

/// The topics that the broker knows by number. When all numbers are taken, one that was not used of late changes its
/// topic (second chance: a hand goes round and takes the first that it finds unused).
#[derive(Debug, Default)]
pub(super) struct Aliases {
    max: usize,
    numbers: HashMap<Rc<str>, u16>,
    /// The slot of number n is at n - 1.
    slots: Vec<Slot>,
    hand: usize,
}

impl Aliases {
    /// A new connection, on which the broker knows none and takes up to `max`.
    pub(super) fn new(max: u16) -> Aliases {
        Aliases { max: max.into(), ..Aliases::default() }
    }

    /// The bytes that an alias adds to a packet, beside what the length of the properties may take more.
    pub(super) const LEN: usize = 3;

    /// How to name `topic`; `None` where it has to be written out.
    pub(super) fn look(&mut self, topic: &str) -> Option<Alias> {
        if let Some(&number) = self.numbers.get(topic) {
            return Some(Alias { number, is_known: true });
        }
        if self.slots.len() < self.max {
            return Some(Alias { number: self.slots.len() as u16 + 1, is_known: false });
        }
        // Ends after one round at the latest, since each look takes a mark away.
        while self.slots.get(self.hand)?.used {
            self.slots[self.hand].used = false;
            self.hand = (self.hand + 1) % self.slots.len();
        }
        Some(Alias { number: self.hand as u16 + 1, is_known: false })
    }

    /// A packet with `topic` under this alias is on its way.
    pub(super) fn sent(&mut self, topic: &str, alias: Alias) {
        let at = usize::from(alias.number) - 1;
        if alias.is_known {
            self.slots[at].used = true;
            return;
        }
        let slot = Slot { topic: topic.into(), used: true };
        self.numbers.insert(Rc::clone(&slot.topic), alias.number);
        match self.slots.get_mut(at) {
            None => self.slots.push(slot),
            Some(old) => {
                self.numbers.remove(&old.topic);
                *old = slot;
                self.hand = (at + 1) % self.slots.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(aliases: &mut Aliases, topic: &str) -> Option<(u16, bool)> {
        let alias = aliases.look(topic)?;
        aliases.sent(topic, alias);
        Some((alias.number, alias.is_known))
    }

    #[test]
    fn the_least_used_number_changes_its_topic() {
        let mut aliases = Aliases::new(2);
        assert_eq!(send(&mut aliases, "a"), Some((1, false)));
        assert_eq!(send(&mut aliases, "b"), Some((2, false)));
        assert_eq!(send(&mut aliases, "a"), Some((1, true)));
        assert_eq!(send(&mut aliases, "c"), Some((1, false)), "all were used, so the oldest goes");
        assert_eq!(send(&mut aliases, "c"), Some((1, true)));
        assert_eq!(send(&mut aliases, "a"), Some((2, false)), "`b` was not used since");
        assert_eq!(send(&mut aliases, "b"), Some((1, false)));
    }

    #[test]
    fn what_was_not_sent_is_not_known() {
        let mut aliases = Aliases::new(1);
        assert_eq!(aliases.look("a"), Some(Alias { number: 1, is_known: false }));
        assert_eq!(aliases.look("a"), Some(Alias { number: 1, is_known: false }));
        assert_eq!(Aliases::new(0).look("a"), None);
    }
}
