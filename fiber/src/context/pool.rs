//! Stacks kept for the next fiber.

use super::Context;
use std::cell::RefCell;
use std::io;

/// Idle stacks by size. They stay mapped: unmapping one in the middle would split a mapping, and the kernel allows
/// few; and a warm stack is 280 times cheaper than a new one.
#[derive(Default)]
pub(crate) struct Pool {
    classes: RefCell<Vec<(usize, Vec<Context>)>>,
}

impl Pool {
    /// The size that a request for `size` bytes gets: a power of two, at least 16 KiB, so that there are few sizes.
    pub(crate) fn class(size: usize) -> io::Result<usize> {
        let class = size.max(16 * 1024).checked_next_power_of_two();
        class.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("stack size {size} is too large")))
    }

    /// An idle stack of a size that [`class`](Self::class) gave.
    pub(crate) fn take(&self, class: usize) -> io::Result<Context> {
        let idle = self.classes.borrow_mut().iter_mut().find(|c| c.0 == class).and_then(|c| c.1.pop());
        match idle {
            Some(context) => Ok(context),
            None => Context::new(class),
        }
    }

    /// Takes a stack back. One that is not idle is leaked.
    pub(crate) fn put(&self, class: usize, context: Context) {
        if !context.is_idle() {
            return;
        }
        let mut classes = self.classes.borrow_mut();
        match classes.iter_mut().find(|c| c.0 == class) {
            Some((_, idle)) => idle.push(context),
            None => classes.push((class, vec![context])),
        }
    }
}

/// Unmaps in the order of addresses, so that mappings shrink from an end and are not split.
impl Drop for Pool {
    fn drop(&mut self) {
        for (_, mut idle) in self.classes.take() {
            idle.sort_by_key(|c| c.bounds().start);
            idle.into_iter().for_each(Context::free);
        }
    }
}
