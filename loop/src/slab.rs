//! The table of everything that a loop holds.

use crate::backend::Key;

/// Values in numbered slots that are used again, each with a generation that counts its owners.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The vacant slots, the last vacated on top.
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    /// How often the present value was counted, modulo 2^32. It stands here because there is room.
    count: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }

    #[inline(always)] // so that the value is written where it stays
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let s = &mut self.slots[slot as usize];
            // Vacant, so nothing is to be dropped: that alone would have the value made elsewhere first.
            std::mem::forget(s.value.replace(value));
            s.count = 0;
            return Key::new(slot, s.generation);
        }
        // u32::MAX stays free: backends use its word for themselves.
        let slot = u32::try_from(self.slots.len()).ok().filter(|s| *s != u32::MAX).expect("fewer than 2^32 slots");
        self.slots.push(Slot { generation: 0, count: 0, value: Some(value) });
        Key::new(slot, 0)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.slot() as usize)?;
        if slot.generation == key.generation() { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.get_counted(key).map(|(value, _)| value)
    }

    /// A value with its count.
    #[inline]
    pub(crate) fn get_counted(&mut self, key: Key) -> Option<(&mut T, &mut u32)> {
        let slot = self.slots.get_mut(key.slot() as usize)?;
        if slot.generation != key.generation() {
            return None; // not by `filter`, of which a check for nothing would be left
        }
        Some((slot.value.as_mut()?, &mut slot.count))
    }

    /// Vacates a slot, and drops its value where that stands.
    #[inline]
    pub(crate) fn vacate(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key.slot() as usize).filter(|s| s.generation == key.generation()) else {
            return;
        };
        if slot.value.is_some() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot());
            slot.value = None;
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot() as usize).filter(|s| s.generation == key.generation())?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot());
        Some(value)
    }

    /// All values, with their keys and counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, u32, &T)> {
        let numbered = (0u32..).zip(&self.slots);
        numbered.filter_map(|(slot, s)| Some((Key::new(slot, s.generation), s.count, s.value.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let numbered = (0u32..).zip(&mut self.slots);
        numbered.filter_map(|(slot, s)| Some((Key::new(slot, s.generation), s.value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn a_stale_key_finds_nothing_in_a_slot_used_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        *slab.get_counted(first).unwrap().1 += 1;
        assert_eq!(slab.iter().map(|(_, count, _)| count).collect::<Vec<_>>(), [1]);
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!((second.slot(), second.generation()), (first.slot(), first.generation() + 1));
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
        assert!(slab.get_counted(first).is_none());
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.iter().map(|(_, count, _)| count).collect::<Vec<_>>(), [0]);
    }
}
