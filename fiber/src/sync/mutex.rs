use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Handed};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

/// A value that one fiber at a time may use, also across waits.
///
/// Fibers get it in the order in which they came, also where one locks it again and again: whoever unlocks it hands it
/// to the next. There is no poisoning, as nothing here has: a fiber that panics gives it back as it is. Locking it
/// twice in one fiber waits for ever, or until a deadline.
///
/// ```
/// use becket_fiber::{Runtime, scope, sync::Mutex, yield_now};
///
/// let mut runtime = Runtime::new()?;
/// let total = runtime.run(|| {
///     let total = Mutex::new(0);
///     scope(|s| {
///         for _ in 0..10 {
///             s.spawn(|| {
///                 let mut total = total.lock()?;
///                 let before = *total;
///                 yield_now(); // nobody else gets in between
///                 *total = before + 1;
///                 Ok::<_, std::io::Error>(())
///             })?;
///         }
///         Ok::<_, std::io::Error>(())
///     })?;
///     Ok::<u32, std::io::Error>(total.into_inner())
/// })??;
/// assert_eq!(total, 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    /// Stays set when it is handed to the next one.
    locked: Cell<bool>,
    waiters: List<()>,
    value: UnsafeCell<T>,
}

impl<T> Mutex<T> {
    /// One that nobody has locked.
    pub fn new(value: T) -> Mutex<T> {
        Mutex { locked: Cell::new(false), waiters: List::default(), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks it, and waits until it is free.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn lock(&self) -> io::Result<MutexGuard<'_, T>> {
        check()?;
        if let Some(guard) = self.try_lock() {
            return Ok(guard);
        }
        let here = fiber()?;
        let (woken, ()) = self.waiters.wait(here, "a mutex", ());
        here.event(woken)?;
        Ok(MutexGuard { mutex: self }) // handed over
    }

    /// An arm of [`select!`](crate::select!) that locks it; out comes the guard.
    ///
    /// ```
    /// use becket_fiber::{Runtime, select, sync::Mutex};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let mutex = Mutex::new(1);
    /// runtime.run(|| {
    ///     let locked = mutex.lock()?;
    ///     let late = select! {
    ///         _ = mutex.on_lock() => false,
    ///         () = select::after(Duration::from_millis(1)) => true,
    ///     }?;
    ///     drop(locked);
    ///     select! { mut guard = mutex.on_lock() => *guard += 1 }?;
    ///     assert!(late && *mutex.lock()? == 2);
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_lock(&self) -> impl Arm<Output = MutexGuard<'_, T>> + '_ {
        Handed::new(&self.waiters, (), || self.try_lock(), |()| MutexGuard { mutex: self }, || ())
    }

    /// Locks it if it is free. Where others wait for it, it is not.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // Not `then_some`: a guard that is made and dropped unlocks.
        (!self.locked.replace(true)).then(|| MutexGuard { mutex: self })
    }

    /// The value, which nobody else can have locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

/// A locked [`Mutex`]; dropping it hands it to the fiber that has waited longest.
///
/// ```
/// use becket_fiber::sync::Mutex;
///
/// let mutex = Mutex::new(1);
/// let guard = mutex.try_lock().unwrap();
/// assert!(mutex.try_lock().is_none());
/// assert!(mutex.try_lock().is_none()); // asking changes nothing
/// drop(guard);
/// assert_eq!(*mutex.try_lock().unwrap(), 1);
/// ```
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time (`try_lock` hands out none while `locked`; a guard's drop either resets
        // that, or wakes one fiber, whose `lock` then makes the next), all on one thread, for the mutex is not `Sync`;
        // so nobody has the value mutably but through this guard.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and this guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if !self.mutex.waiters.wake_one() {
            self.mutex.locked.set(false);
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}
