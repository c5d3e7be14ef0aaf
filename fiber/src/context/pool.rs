//! Stacks kept for the next fiber.

use super::Context;
use std::cell::RefCell;
use std::io;

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

/// Idle stacks by size. They stay mapped: unmapping one in the middle would split a mapping, and the kernel allows
/// few; and a warm stack is 280 times cheaper than a new one.
#[derive(Default)]
pub(crate) struct Pool {
    /// By class.
    idle: RefCell<Vec<Vec<Context>>>,
}

impl Pool {
    /// An idle stack.
    #[inline]
    pub(crate) fn take(&self, class: Class) -> io::Result<Context> {
        let idle = self.idle.borrow_mut().get_mut(usize::from(class.0)).and_then(Vec::pop);
        match idle {
            Some(context) => Ok(context),
            None => Context::new(class.bytes()),
        }
    }

    /// Takes a stack back. One that is not idle is leaked.
    #[inline]
    pub(crate) fn put(&self, class: Class, context: Context) {
        if !context.is_idle() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let class = usize::from(class.0);
        if idle.len() <= class {
            idle.resize_with(class + 1, Vec::new);
        }
        idle[class].push(context);
    }
}

/// Unmaps in the order of addresses, so that mappings shrink from an end and are not split.
impl Drop for Pool {
    fn drop(&mut self) {
        for mut idle in self.idle.take() {
            idle.sort_by_key(|c| c.bounds().start);
            idle.into_iter().for_each(Context::free);
        }
    }
}
