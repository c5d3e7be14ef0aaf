use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Lists, listed};
use std::cell::Cell;
use std::io;

/// A flag that fibers wait for: once [`set`](Self::set) it lets everybody through, until it is [`reset`](Self::reset).
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::Event};
/// use std::rc::Rc;
///
/// let mut runtime = Runtime::new()?;
/// let ready = Rc::new(Event::new());
/// let waiting = Rc::clone(&ready);
/// runtime.run(|| {
///     let fiber = spawn(move || waiting.wait())?;
///     ready.set();
///     fiber.join()??;
///     ready.wait()?; // at once: it is still set
///     ready.reset();
///     assert!(!ready.is_set());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "manual-reset")]
pub struct Event {
    set: Cell<bool>,
    waiting: List<()>,
}

impl Event {
    /// One that is not set.
    pub fn new() -> Event {
        Event::default()
    }

    /// Sets it: all that wait go on, also where it is reset before they run. Callable everywhere on the thread.
    pub fn set(&self) {
        self.set.set(true);
        self.waiting.wake_all();
    }

    /// Makes the next who come wait again.
    pub fn reset(&self) {
        self.set.set(false);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until it is set; returns at once where it is.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn wait(&self) -> io::Result<()> {
        check()?;
        if self.is_set() {
            return Ok(());
        }
        let here = fiber()?;
        let (woken, ()) = self.waiting.wait(here, "an event", ());
        here.event(woken).map(drop)
    }

    /// An arm of [`select!`](crate::select!) that is chosen when it is set.
    pub fn on_set(&self) -> impl Arm<Output = ()> + '_ {
        listed(self)
    }
}

impl Lists for Event {
    fn list(&self) -> &List<()> {
        &self.waiting
    }

    fn holds(&self) -> bool {
        self.is_set()
    }
}

impl Lists for Notify {
    fn list(&self) -> &List<()> {
        &self.waiting
    }

    fn holds(&self) -> bool {
        self.try_wait()
    }
}

/// A signal from one fiber to another that is not lost where nobody waits yet: the next who comes takes it.
///
/// It holds one signal at most: several before somebody waits count as one.
///
/// ```
/// use becket_fiber::{Runtime, sync::Notify};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let work = Notify::new();
///     work.notify_one();
///     work.notify_one();
///     work.wait()?; // at once
///     assert!(!work.try_wait());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "auto-reset")]
pub struct Notify {
    signalled: Cell<bool>,
    waiting: List<()>,
}

impl Notify {
    /// One without a signal.
    pub fn new() -> Notify {
        Notify::default()
    }

    /// Wakes the fiber that has waited longest; where nobody waits, the next who comes need not. Callable everywhere on
    /// the thread.
    pub fn notify_one(&self) {
        if !self.waiting.wake_one() {
            self.signalled.set(true);
        }
    }

    /// Wakes all that wait now, and leaves no signal behind.
    pub fn notify_waiters(&self) {
        self.waiting.wake_all();
    }

    /// Waits for a signal, and takes it.
    ///
    /// # Errors
    /// As [`Event::wait`]. The signal is not lost by them.
    pub fn wait(&self) -> io::Result<()> {
        check()?;
        if self.try_wait() {
            return Ok(());
        }
        let here = fiber()?;
        let (woken, ()) = self.waiting.wait(here, "a signal", ());
        here.event(woken).map(drop)
    }

    /// An arm of [`select!`](crate::select!) that takes the signal.
    pub fn on_signal(&self) -> impl Arm<Output = ()> + '_ {
        listed(self)
    }

    /// Takes the signal if there is one.
    pub fn try_wait(&self) -> bool {
        self.signalled.replace(false)
    }
}
