//! The armed timers, the next one first.

use crate::backend::Key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// The timers of a loop in a hierarchical wheel: arming, moving and disarming one costs the same however many there
/// are, and time that passes costs as much as what is due in it.
///
/// Times are nanoseconds since `base`. A tick is 2^`TICK` of them, and a level of the wheel has a bucket for each value
/// of one digit of a tick, to base 64. A timer stands on the level of the highest digit in which its tick differs from
/// the wheel's own, in the bucket of that digit; so every timer of a level comes before every one of the next, and of
/// one level, those of a lower bucket before those of a higher. When the wheel's tick comes to a bucket, its timers
/// move to lower levels. Exact order is made where it is needed: among those that are due together, by sorting them;
/// and for the time of the next wake-up, by a look at the first bucket, the best of which are remembered. Those with
/// one deadline are always in one bucket, in the order of arming, for all buckets are filled at their ends.
pub(crate) struct TimerWheel {
    base: Instant,
    /// The heads of the buckets, then the timers by slot. Each bucket is a ring through its head.
    cells: Vec<Cell>,
    /// For each level: which buckets have timers.
    occupied: [u64; LEVELS],
    /// How far the wheel has turned. Whatever was armed for before stands in the bucket of this tick.
    tick: u64,
    /// Before this nothing is due, nor has the wheel to turn.
    floor: u64,
    len: usize,
    /// The cells of what has expired, in its order, and the number of the first. One that was withdrawn since is not
    /// due, or has another number. Of those, how many places were gone through, and how many timers are still to be told.
    expired: Vec<u32>,
    first: u32,
    told: usize,
    due: usize,
    /// While what is due is taken out: the deadline of the last one so far, and whether any came after a later one.
    last_due: u64,
    unsorted: bool,
    /// By slot: how late it may be woken for, in nanoseconds. As long as those that have any.
    slacks: Vec<u64>,
    /// Until when each may be woken for, and its cell; some may be outdated. Of the armed ones, all those that are to
    /// be woken for before `bound` are among them.
    front: BinaryHeap<Reverse<(u64, u32)>>,
    bound: u64,
    /// How many `front` may have before some are forgotten.
    front_limit: usize,
}

/// A timer, or the head of a bucket.
#[derive(Clone, Copy)]
struct Cell {
    /// Of a head: a time that no timer of the bucket is later than.
    deadline: u64,
    /// Of a timer that is due: its number.
    next: u32,
    prev: u32,
    generation: u32,
    state: State,
    periodic: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No timer has this slot.
    Vacant,
    Idle,
    Armed,
    /// Expired, and not yet told.
    Due,
}

const TICK: u32 = 16;
const DIGIT: u32 = 6;
const LEVELS: usize = ((u64::BITS - TICK) / DIGIT) as usize;
const HEADS: u32 = (LEVELS as u32) << DIGIT;
/// For how many that are due memory is kept; more only where an eighth of it was used.
const KEPT: usize = 1024;
const VACANT: Cell = Cell { deadline: 0, next: 0, prev: 0, generation: 0, state: State::Vacant, periodic: false };

const _: () = assert!(size_of::<Cell>() == 24 && LEVELS as u32 * DIGIT + TICK == u64::BITS);

impl TimerWheel {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        // As far back as the clock goes, for those who are armed for the past: 146 years, where it has no bound.
        let past = (0..=62).rev().find_map(|bits| Some((1 << bits, now.checked_sub(Duration::from_nanos(1 << bits))?)));
        let (past, base) = past.unwrap_or((0, now));
        TimerWheel {
            base,
            cells: Vec::new(),
            occupied: [0; LEVELS],
            tick: past >> TICK,
            floor: 0,
            len: 0,
            expired: Vec::new(),
            first: 0,
            told: 0,
            due: 0,
            last_due: 0,
            unsorted: false,
            slacks: Vec::new(),
            front: BinaryHeap::new(),
            bound: 0,
            front_limit: 0,
        }
    }

    /// How many are armed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for a timer, not armed.
    pub(crate) fn insert(&mut self, key: Key, periodic: bool) {
        if self.cells.is_empty() {
            self.cells.extend((0..HEADS).map(|head| Cell { next: head, prev: head, ..VACANT }));
        }
        let cell = key.slot().checked_add(HEADS).expect("fewer than 2^32 - 512 slots") as usize;
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, VACANT);
        }
        self.cells[cell] = Cell { generation: key.generation(), state: State::Idle, periodic, ..VACANT };
    }

    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(cell) = self.find(key) {
            self.disarm(key);
            self.set_slack(key, Duration::ZERO);
            self.cells[cell as usize].state = State::Vacant;
        }
    }

    #[inline(always)]
    fn find(&self, key: Key) -> Option<u32> {
        let index = key.slot().checked_add(HEADS)?;
        let cell = self.cells.get(index as usize)?;
        (cell.generation == key.generation() && cell.state != State::Vacant).then_some(index)
    }

    /// Whether it is armed, or has expired and was not yet told.
    pub(crate) fn is_pending(&self, key: Key) -> bool {
        self.find(key).is_some_and(|cell| matches!(self.cells[cell as usize].state, State::Armed | State::Due))
    }

    /// For when it is armed. A time beyond what the wheel holds, 146 years ago and in 438 years, counts as that.
    pub(crate) fn deadline(&self, key: Key) -> Option<Instant> {
        let cell = &self.cells[self.find(key)? as usize];
        (cell.state == State::Armed).then(|| self.time(cell.deadline))
    }

    pub(crate) fn is_armed_for(&self, key: Key, when: Instant) -> bool {
        let cell = self.find(key).map(|cell| &self.cells[cell as usize]);
        cell.is_some_and(|cell| cell.state == State::Armed && cell.deadline == self.offset(when))
    }

    /// Sets the deadline of a timer, armed or not; what has expired and was not yet told is not told. Returns whether
    /// it is periodic, if there is such a timer.
    pub(crate) fn arm(&mut self, key: Key, when: Instant) -> Option<bool> {
        self.arm_at(key, self.offset(when))
    }

    /// As [`arm`](Self::arm), where the [offset](Self::offset) is known.
    #[inline(always)]
    pub(crate) fn arm_at(&mut self, key: Key, deadline: u64) -> Option<bool> {
        let index = self.find(key)?;
        let (tick, level, head) = self.place(deadline);
        let Cell { deadline: old, state, periodic, .. } = self.cells[index as usize];
        let latest = self.cells[head as usize].deadline;
        if state == State::Armed && deadline > latest && (self.tick_of(old) ^ tick) >> (level * DIGIT) == 0 {
            // It stays where it is, and is the last of its bucket, as timeouts are that begin anew all the time.
            self.cells[head as usize].deadline = deadline;
        } else {
            match state {
                State::Armed => self.unlink(index),
                State::Due => (self.due, self.len) = (self.due - 1, self.len + 1),
                _ => self.len += 1,
            }
            self.append(level, head, index, deadline);
        }
        let cell = &mut self.cells[index as usize];
        (cell.deadline, cell.state) = (deadline, State::Armed);
        self.floor = self.floor.min(deadline);
        self.note(index, deadline);
        Some(periodic)
    }

    /// Whether it was armed, or had expired and was not yet told.
    pub(crate) fn disarm(&mut self, key: Key) -> bool {
        let Some(index) = self.find(key) else { return false };
        match std::mem::replace(&mut self.cells[index as usize].state, State::Idle) {
            State::Armed => {
                self.len -= 1;
                self.unlink(index);
            }
            State::Due => self.due -= 1,
            _ => return false,
        }
        true
    }

    /// Sets how late a timer may be woken for, armed or not. Returns whether there is such a timer.
    pub(crate) fn set_slack(&mut self, key: Key, slack: Duration) -> bool {
        let Some(index) = self.find(key) else { return false };
        let slot = key.slot() as usize;
        if self.slacks.len() <= slot && !slack.is_zero() {
            self.slacks.resize(slot + 1, 0);
        }
        if let Some(old) = self.slacks.get_mut(slot) {
            *old = nanos(slack);
        }
        while self.slacks.last() == Some(&0) {
            self.slacks.pop();
        }
        let cell = &self.cells[index as usize];
        if cell.state == State::Armed {
            self.note(index, cell.deadline);
        }
        true
    }

    /// Until when to wait at most: the last time at which none is later than it may be.
    #[inline(always)]
    pub(crate) fn wake(&mut self) -> Option<Instant> {
        if self.len == 0 && self.bound == 0 { None } else { self.find_wake() }
    }

    fn find_wake(&mut self) -> Option<Instant> {
        if self.len == 0 {
            self.forget_front();
            return None;
        }
        loop {
            while let Some(Reverse((latest, index))) =
                self.front.peek().copied().filter(|first| first.0.0 <= self.bound)
            {
                if self.cells[index as usize].state == State::Armed && self.latest(index) == latest {
                    return Some(self.time(latest));
                }
                self.front.pop();
            }
            self.find_front();
        }
    }

    /// Takes out what is due at `now`, for [`next_due`](Self::next_due).
    pub(crate) fn expire(&mut self, now: u64) {
        if now < self.floor || self.len == 0 {
            return;
        }
        self.first = self.first.wrapping_add(self.told as u32);
        self.expired.drain(..std::mem::take(&mut self.told));
        let (armed, before) = (self.len, self.expired.len());
        (self.last_due, self.unsorted) = (0, false);
        let tick = now >> TICK;
        if tick > self.tick {
            self.turn_to(tick);
        }
        self.floor = (self.tick + 1) << TICK;
        let head = digit(self.tick, 0);
        if self.occupied[0] & 1 << head != 0 {
            // Of the present tick only a part may be due.
            let mut index = self.cells[head as usize].next;
            while index != head {
                let cell = self.cells[index as usize];
                if cell.deadline <= now {
                    self.unlink(index);
                    self.note_due(index);
                } else {
                    self.floor = self.floor.min(cell.deadline);
                }
                index = cell.next;
            }
        }
        if self.unsorted {
            self.sort_expired(before);
        }
        if armed - self.len >= self.front.len() {
            self.forget_front(); // for few of them are still armed, if any
        }
    }

    /// Sorts what has just expired.
    fn sort_expired(&mut self, from: usize) {
        let mut due: Vec<_> =
            self.expired[from..].iter().map(|index| (self.cells[*index as usize].deadline, *index)).collect();
        due.sort_by_key(|due| due.0); // stable: equal ones are in the order of arming
        for (place, (_, index)) in (from..).zip(due) {
            self.expired[place] = index;
            self.cells[index as usize].next = self.first.wrapping_add(place as u32);
        }
    }

    /// How many have expired and were not yet told.
    pub(crate) fn due_len(&self) -> usize {
        self.due
    }

    /// Takes the first of what has expired and was not yet told, nor disarmed, armed anew or removed since; and its
    /// deadline, for [`time`](Self::time).
    #[inline]
    pub(crate) fn next_due(&mut self) -> Option<(Key, u64)> {
        while let Some(index) = self.expired.get(self.told).copied() {
            let number = self.first.wrapping_add(self.told as u32);
            self.told += 1;
            let cell = &mut self.cells[index as usize];
            if cell.state == State::Due && cell.next == number {
                cell.state = State::Idle;
                self.due -= 1;
                return Some((Key::new(index - HEADS, cell.generation), cell.deadline));
            }
        }
        if !self.expired.is_empty() {
            self.forget_expired();
        }
        None
    }

    fn forget_expired(&mut self) {
        let used = std::mem::take(&mut self.told);
        self.expired.clear();
        if self.expired.capacity() > KEPT.max(8 * used) {
            self.expired = Vec::new(); // of a flood that is over
        }
    }

    #[inline]
    pub(crate) fn has_due(&self) -> bool {
        self.due > 0
    }

    pub(crate) fn time(&self, nanos: u64) -> Instant {
        // A clock that ends before has no later time.
        self.base.checked_add(Duration::from_nanos(nanos)).unwrap_or(self.base)
    }

    /// A time as the wheel counts it; see [`time`](Self::time).
    #[inline(always)]
    pub(crate) fn offset(&self, when: Instant) -> u64 {
        nanos(when.saturating_duration_since(self.base))
    }

    #[inline(always)]
    fn tick_of(&self, deadline: u64) -> u64 {
        (deadline >> TICK).max(self.tick)
    }

    /// The tick of a deadline, and in which bucket of which level it belongs.
    #[inline(always)]
    fn place(&self, deadline: u64) -> (u64, u32, u32) {
        let tick = self.tick_of(deadline);
        let level = ((tick ^ self.tick) | 1).ilog2() / DIGIT;
        (tick, level, level << DIGIT | digit(tick, level))
    }

    /// Puts it at the end of a bucket.
    #[inline(always)]
    fn append(&mut self, level: u32, head: u32, index: u32, deadline: u64) {
        self.occupied[level as usize] |= 1 << (head & 63);
        let bucket = &mut self.cells[head as usize];
        bucket.deadline = bucket.deadline.max(deadline);
        let last = std::mem::replace(&mut bucket.prev, index);
        self.cells[last as usize].next = index;
        let cell = &mut self.cells[index as usize];
        (cell.next, cell.prev) = (head, last);
    }

    #[inline(always)]
    fn unlink(&mut self, index: u32) {
        let Cell { next, prev, .. } = self.cells[index as usize];
        self.cells[prev as usize].next = next;
        self.cells[next as usize].prev = prev;
        if next == prev {
            self.mark_empty(next); // both are the head
        }
    }

    #[inline]
    fn mark_empty(&mut self, head: u32) {
        self.occupied[(head >> DIGIT) as usize] &= !(1 << (head & 63));
        self.cells[head as usize].deadline = 0;
    }

    /// Turns the wheel to a later tick: what is before that is due.
    fn turn_to(&mut self, tick: u64) {
        let level = (tick ^ self.tick).ilog2() / DIGIT;
        self.tick = tick;
        for level in 0..level {
            self.take_due(level, u64::MAX);
        }
        let digit = digit(tick, level);
        self.take_due(level, (1 << digit) - 1);
        if level > 0 && self.occupied[level as usize] & 1 << digit != 0 {
            let mut index = self.empty(level << DIGIT | digit);
            while index >= HEADS {
                let Cell { next, deadline, .. } = self.cells[index as usize];
                let (_, level, head) = self.place(deadline);
                self.append(level, head, index, deadline);
                index = next;
            }
        }
    }

    /// All in the buckets of a mask is due.
    fn take_due(&mut self, level: u32, mask: u64) {
        let mut digits = self.occupied[level as usize] & mask;
        while digits != 0 {
            let mut index = self.empty(level << DIGIT | digits.trailing_zeros());
            while index >= HEADS {
                index = self.note_due(index);
            }
            digits &= digits - 1;
        }
    }

    /// One that is in no bucket any more is due. Returns which was next to it.
    #[inline(always)]
    fn note_due(&mut self, index: u32) -> u32 {
        let cell = &mut self.cells[index as usize];
        let (deadline, number) = (cell.deadline, self.first.wrapping_add(self.expired.len() as u32));
        cell.state = State::Due;
        let next = std::mem::replace(&mut cell.next, number);
        self.expired.push(index);
        self.unsorted |= deadline < self.last_due;
        self.last_due = deadline;
        self.len -= 1;
        self.due += 1;
        next
    }

    /// Empties a bucket that is not empty. Returns the first of what was in it; the last still leads to the head.
    fn empty(&mut self, head: u32) -> u32 {
        self.mark_empty(head);
        let cell = &mut self.cells[head as usize];
        cell.prev = head;
        std::mem::replace(&mut cell.next, head)
    }

    /// Until when an armed one may be woken for.
    #[inline]
    fn latest(&self, index: u32) -> u64 {
        let slack = self.slacks.get((index - HEADS) as usize).copied().unwrap_or(0);
        self.cells[index as usize].deadline.saturating_add(slack)
    }

    /// Sees to it that `front` knows of an armed one, where it has to.
    #[inline(always)]
    fn note(&mut self, index: u32, deadline: u64) {
        if deadline < self.bound {
            self.note_first(index);
        }
    }

    fn note_first(&mut self, index: u32) {
        let latest = self.latest(index);
        if latest >= self.bound {
            return;
        }
        if self.front.len() < self.front_limit {
            self.front.push(Reverse((latest, index)));
        } else if self.front.peek().is_some_and(|first| first.0.0 < latest) {
            self.bound = latest; // and what is as late or later is no longer known
        } else {
            self.front.clear();
            self.front.push(Reverse((latest, index)));
            self.bound = latest;
        }
    }

    fn forget_front(&mut self) {
        self.front.clear();
        self.bound = 0;
    }

    /// Finds those that are to be woken for first. A sixteenth of all at least, if the first bucket has as many: it is
    /// not gone through again before they are gone.
    fn find_front(&mut self) {
        let wanted = 64 + self.len / 16;
        let mut found = std::mem::take(&mut self.front).into_vec();
        found.clear();
        let (mut first, mut bound) = (u64::MAX, u64::MAX);
        'wheel: for level in 0..LEVELS as u32 {
            let mut digits = self.occupied[level as usize];
            while digits != 0 {
                let digit = digits.trailing_zeros();
                digits &= digits - 1;
                let above = (level + 1) * DIGIT;
                let start = (self.tick >> above << above | u64::from(digit) << (level * DIGIT)) << TICK;
                if start >= first {
                    bound = bound.min(start);
                    break 'wheel; // from here on all are later
                }
                let head = level << DIGIT | digit;
                let mut index = self.cells[head as usize].next;
                while index != head {
                    let latest = self.latest(index);
                    if latest < bound || bound == u64::MAX {
                        first = first.min(latest);
                        found.push(Reverse((latest, index)));
                        if found.len() == 2 * wanted {
                            found.select_nth_unstable_by_key(wanted, |found| found.0);
                            bound = found[wanted].0.0;
                            found.truncate(wanted);
                        }
                    }
                    index = self.cells[index as usize].next;
                }
            }
        }
        (self.bound, self.front_limit) = (bound, 64 + 2 * found.len());
        if found.capacity() / 16 > self.front_limit {
            found.shrink_to(self.front_limit);
        }
        self.front = found.into();
    }
}

/// The digit of a tick on a level.
fn digit(tick: u64, level: u32) -> u32 {
    (tick >> (level * DIGIT)) as u32 & 63
}

#[inline(always)]
pub(crate) fn nanos(time: Duration) -> u64 {
    if time.as_secs() < 1 << 33 {
        return time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos());
    }
    let seconds = time.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|nanos| nanos.checked_add(time.subsec_nanos().into())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
