//! Stacks kept for the next fiber, and given back when they are not needed.

use super::Context;
use super::stack::Fresh;
use std::cell::{Cell, RefCell};
use std::{io, mem};

/// The smallest stack, of class 0, in bytes.
const SMALLEST: usize = 16 * 1024;

/// A size of stacks: a power of two, at least 16 KiB, so that there are few.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Class(u8);

impl Class {
    /// The class for stacks of at least `size` bytes.
    pub(crate) fn of(size: usize) -> io::Result<Class> {
        let bytes = size.max(SMALLEST).checked_next_power_of_two();
        let class = bytes.map(|b| Class((b / SMALLEST).trailing_zeros() as u8));
        class.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("stack size {size} is too large")))
    }

    pub(crate) fn bytes(self) -> usize {
        SMALLEST << self.0
    }
}

/// How many stacks that lie side by side are unmapped together at least. Each gap in a mapping makes two of it, and the
/// kernel allows few: so gaps are large, or none.
const RUN: usize = 64;

/// How many idle stacks go at once where there is no room for one of another size, which may be larger.
const ROOM: usize = 64;

/// Idle stacks by size. They stay mapped for a while: a warm stack is 280 times cheaper than a new one.
///
/// What was idle for a whole interval is surplus, save for `keep`: [`condemn`](Self::condemn) finds it out, and
/// [`unmap`](Self::unmap) gives it back, a few at a time.
pub(crate) struct Pool {
    /// By class.
    shelves: RefCell<Vec<Shelf>>,
    /// How many are idle, in all classes.
    count: Cell<usize>,
    /// How many may be idle for good.
    keep: usize,
    /// As `keep`, or more where some lie so that they cannot be given back.
    floor: Cell<usize>,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Context>,
    /// The fewest that were idle since the interval began.
    low: usize,
    /// To be unmapped, by falling address, so that mappings shrink from their ends. Idle like the others.
    condemned: Vec<Context>,
    /// Mapped, and not made.
    fresh: Fresh,
}

impl Pool {
    pub(crate) fn new(keep: usize) -> Pool {
        Pool { shelves: RefCell::default(), count: Cell::new(0), keep, floor: Cell::new(keep) }
    }

    /// An idle stack.
    #[inline]
    pub(crate) fn take(&self, class: Class) -> io::Result<Context> {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.get_mut(usize::from(class.0)) {
            if let Some(context) = shelf.idle.pop() {
                shelf.low = shelf.low.min(shelf.idle.len());
                self.count.set(self.count.get() - 1);
                return Ok(context);
            }
            if let Some(context) = shelf.condemned.pop() {
                self.count.set(self.count.get() - 1);
                return Ok(context);
            }
        }
        drop(shelves);
        match self.make(class) {
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory && self.make_room() => self.make(class),
            made => made,
        }
    }

    #[cold]
    fn make(&self, class: Class) -> io::Result<Context> {
        let at = usize::from(class.0);
        // Not borrowed meanwhile: a panic hook might run.
        let mut fresh =
            self.shelves.borrow_mut().get_mut(at).map(|shelf| mem::take(&mut shelf.fresh)).unwrap_or_default();
        let made = Context::make(class.bytes(), &mut fresh);
        let mut shelves = self.shelves.borrow_mut();
        if shelves.len() <= at {
            shelves.resize_with(at + 1, Shelf::default);
        }
        shelves[at].fresh = fresh;
        made
    }

    /// Unmaps a few idle stacks whose guards are mappings, of which there may be as many as the limit allows; returns
    /// whether there were any.
    #[cold]
    fn make_room(&self) -> bool {
        let mut freed = 0;
        for shelf in self.shelves.borrow_mut().iter_mut() {
            while freed < ROOM
                && let Some(context) = shelf.condemned.pop_if(|c| c.has_own_mapping())
            {
                context.free();
                freed += 1;
            }
            while freed < ROOM
                && let Some(context) = shelf.idle.pop_if(|c| c.has_own_mapping())
            {
                context.free();
                freed += 1;
            }
            shelf.low = shelf.low.min(shelf.idle.len());
        }
        self.count.set(self.count.get() - freed);
        freed > 0
    }

    /// Takes a stack back. One that is not idle is leaked.
    #[inline]
    pub(crate) fn put(&self, class: Class, context: Context) {
        if !context.is_idle() {
            return;
        }
        let mut shelves = self.shelves.borrow_mut();
        let class = usize::from(class.0);
        if shelves.len() <= class {
            shelves.resize_with(class + 1, Shelf::default);
        }
        shelves[class].idle.push(context);
        self.count.set(self.count.get() + 1);
    }

    /// Whether there are more than are kept.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        self.count.get() > self.floor.get()
    }

    /// Begins an interval: what is used from now on is no surplus.
    pub(crate) fn begin_interval(&self) {
        self.shelves.borrow_mut().iter_mut().for_each(|shelf| shelf.low = shelf.idle.len());
    }

    /// Ends an interval: decides which of the stacks that were idle in all of it are to be unmapped. Those that would
    /// leave small gaps stay, with the memory of all but their ends given back.
    pub(crate) fn condemn(&self) {
        let (mut left, mut stuck) = (self.keep, 0);
        for shelf in self.shelves.borrow_mut().iter_mut() {
            let spare = left.min(shelf.idle.len());
            left -= spare;
            let surplus = shelf.low.min(shelf.idle.len() - spare);
            if surplus == 0 {
                continue;
            }
            // The lowest: the kernel maps downwards, so that the oldest ones stay.
            shelf.idle.sort_unstable_by_key(|c| std::cmp::Reverse(c.bounds().start));
            let mut candidates = shelf.idle.split_off(shelf.idle.len() - surplus).into_iter().peekable();
            while let Some(first) = candidates.next() {
                let mut run = vec![first];
                while let Some(next) = candidates.next_if(|c| run.last().is_some_and(|upper| c.is_right_below(upper))) {
                    run.push(next);
                }
                if run.len() >= RUN || run[0].has_own_mapping() {
                    shelf.condemned.append(&mut run);
                } else {
                    stuck += run.len();
                    run.iter().for_each(Context::give_memory_back);
                    shelf.idle.append(&mut run);
                }
            }
        }
        self.floor.set(self.keep + stuck);
    }

    /// Unmaps up to `max` condemned stacks; returns whether more are left.
    pub(crate) fn unmap(&self, max: usize) -> bool {
        let mut shelves = self.shelves.borrow_mut();
        for _ in 0..max {
            let Some(context) = shelves.iter_mut().find_map(|shelf| shelf.condemned.pop()) else {
                return false;
            };
            self.count.set(self.count.get() - 1);
            context.free();
        }
        true
    }

    /// Lets the limit fall with the number of stacks, for [`has_surplus`](Self::has_surplus) to tell what is new.
    pub(crate) fn settle(&self) {
        self.floor.set(self.floor.get().min(self.count.get()).max(self.keep));
    }
}

/// Unmaps in the order of addresses, so that mappings shrink from an end and are not split.
impl Drop for Pool {
    fn drop(&mut self) {
        for Shelf { mut idle, condemned, .. } in self.shelves.take() {
            idle.extend(condemned);
            idle.sort_unstable_by_key(|c| c.bounds().start);
            idle.into_iter().for_each(Context::free);
        }
    }
}
