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
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let s = &mut self.slots[slot as usize];
            s.value = Some(value);
            return Key::new(slot, s.generation);
        }
        // u32::MAX stays free: backends use its word for themselves.
        let slot = u32::try_from(self.slots.len()).ok().filter(|s| *s != u32::MAX).expect("fewer than 2^32 slots");
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Key::new(slot, 0)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key.slot() as usize).filter(|s| s.generation == key.generation())?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key.slot() as usize).filter(|s| s.generation == key.generation())?.value.as_mut()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot() as usize).filter(|s| s.generation == key.generation())?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot());
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let numbered = (0u32..).zip(&self.slots);
        numbered.filter_map(|(slot, s)| Some((Key::new(slot, s.generation), s.value.as_ref()?)))
    }

    /// The key under which a slot's present value stands.
    pub(crate) fn key_of(&self, slot: u32) -> Option<Key> {
        let s = self.slots.get(slot as usize)?;
        s.value.as_ref()?;
        Some(Key::new(slot, s.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn a_stale_key_finds_nothing_in_a_slot_used_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!((second.slot(), second.generation()), (first.slot(), first.generation() + 1));
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.key_of(second.slot()), Some(second));
        assert_eq!(slab.iter().count(), 1);
    }
}
