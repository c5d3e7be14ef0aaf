//! The descriptors that are ready and were not yet told.

use crate::backend::Key;

/// First in, first out, unless it is sorted. Not a ring: what is taken out stays in front until it is half of all, so
/// that to put in and to take out are a few instructions each.
#[derive(Default)]
pub(crate) struct Queue {
    list: Vec<(Key, i64)>,
    /// How many were taken out, from the front.
    taken: usize,
}

impl Queue {
    /// Appends a key with its rank: the turn in which it came, and its priority.
    #[inline]
    pub(crate) fn push(&mut self, key: Key, rank: i64) {
        self.list.push((key, rank));
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Key> {
        let (key, _) = *self.list.get(self.taken)?;
        self.taken += 1;
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room of what was taken out. To be called now and then.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        if self.taken > 0 && self.taken >= self.list.len() - self.taken {
            self.list.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Sorts by rank; equal ones stay in order.
    pub(crate) fn sort(&mut self) {
        self.list[self.taken..].sort_by_key(|place| place.1);
    }

    /// Changes the rank of a key that is in it.
    pub(crate) fn move_by(&mut self, key: Key, ranks: i64) {
        if let Some(place) = self.list[self.taken..].iter_mut().find(|place| place.0 == key) {
            place.1 += ranks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::backend::Key;

    #[test]
    fn what_is_put_in_comes_out_in_order_whatever_is_tidied() {
        let mut queue = Queue::default();
        let (mut put, mut got) = (0, 0);
        for round in 0..1000u32 {
            for _ in 0..round % 7 {
                queue.push(Key::new(put, 0), 0);
                put += 1;
            }
            for _ in 0..round % 5 {
                if let Some(key) = queue.pop() {
                    assert_eq!(key.slot(), got);
                    got += 1;
                }
            }
            queue.tidy();
            assert_eq!(queue.len(), (put - got) as usize);
            assert!(queue.list.len() <= 2 * queue.len() + 1);
        }
        assert_eq!(queue.is_empty(), put == got);
    }

    #[test]
    fn sorting_leaves_what_was_taken_out() {
        let mut queue = Queue::default();
        for (slot, rank) in [(0, 5), (1, 3), (2, 1), (3, 1)] {
            queue.push(Key::new(slot, 0), rank);
        }
        assert_eq!(queue.pop().unwrap().slot(), 0);
        queue.move_by(Key::new(0, 0), -10);
        queue.move_by(Key::new(3, 0), -1);
        queue.sort();
        assert_eq!(std::iter::from_fn(|| queue.pop()).map(Key::slot).collect::<Vec<_>>(), [3, 2, 1]);
    }
}
