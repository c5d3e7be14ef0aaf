use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Handed};
use std::io;

/// Waits until another fiber says that something changed.
///
/// As fibers of one thread never run at the same time, no mutex belongs to it: nothing changes between a look at the
/// condition and the wait. A wake may come without a change: wait [while](Self::wait_while) the condition holds.
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::Condvar};
/// use std::{cell::Cell, rc::Rc};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let stock = Rc::new((Cell::new(0), Condvar::new()));
///     let shop = Rc::clone(&stock);
///     spawn(move || {
///         shop.0.set(5);
///         shop.1.notify_all();
///     })?;
///     stock.1.wait_while(|| stock.0.get() == 0)?;
///     assert_eq!(stock.0.get(), 5);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Condvar {
    waiters: List<()>,
}

impl Condvar {
    /// One that nobody waits for.
    pub fn new() -> Condvar {
        Condvar::default()
    }

    /// Waits for a notification that comes after this call.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` outside of a fiber.
    pub fn wait(&self) -> io::Result<()> {
        check()?;
        self.wait_once()
    }

    /// Waits for notifications as long as `condition` holds; returns at once where it does not.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_while(&self, mut condition: impl FnMut() -> bool) -> io::Result<()> {
        while condition() {
            check()?;
            // The check may have let other fibers run, who may have changed it.
            if condition() {
                self.wait_once()?;
            }
        }
        Ok(())
    }

    fn wait_once(&self) -> io::Result<()> {
        let here = fiber()?;
        let (woken, ()) = self.waiters.wait(here, "a condition", ());
        here.event(woken).map(drop)
    }

    /// An arm of [`select!`](crate::select!) that is chosen by a notification that comes while it waits, which it
    /// takes: then look at the condition, as after [`wait`](Self::wait).
    pub fn on_notify(&self) -> impl Arm<Output = ()> + '_ {
        Handed::new(&self.waiters, (), || None, |()| (), || ())
    }

    /// Wakes the fiber that has waited longest; from anywhere on the thread, callbacks included.
    pub fn notify_one(&self) {
        self.waiters.wake_one();
    }

    /// Wakes all that wait; from anywhere on the thread, callbacks included.
    pub fn notify_all(&self) {
        self.waiters.wake_all();
    }
}
