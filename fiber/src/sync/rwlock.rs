use super::list::List;
use super::{check, fiber};
use crate::park::Woken;
use crate::select::{Arm, Handed};
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

/// A value that many fibers may read at a time, or one may write, also across waits.
///
/// Fibers get it in the order in which they came: readers that come after a waiting writer wait behind it, so that
/// neither readers nor writers starve. For that reason a fiber that reads must not read again before it is done: with a
/// writer in between it would wait for itself. Without waits inside, a `RefCell` does the same for less.
///
/// ```
/// use becket_fiber::{Runtime, scope, sync::RwLock, yield_now};
///
/// let mut runtime = Runtime::new()?;
/// let table = RwLock::new(vec![1]);
/// runtime.run(|| {
///     scope(|s| {
///         let reader = s.spawn(|| {
///             let table = table.read()?;
///             yield_now();
///             Ok::<_, std::io::Error>(table.len())
///         })?;
///         yield_now();
///         assert!(table.try_read().is_some() && table.try_write().is_none());
///         table.write()?.push(2); // waits for the reader
///         assert_eq!(reader.join()??, 1);
///         Ok::<_, std::io::Error>(())
///     })
/// })??;
/// assert_eq!(table.into_inner(), [1, 2]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    held: Cell<Held>,
    waiting: List<Want>,
    value: UnsafeCell<T>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// So many; 0 is free.
    Reading(usize),
    Writing,
}

impl Default for Held {
    fn default() -> Self {
        Held::Reading(0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Want {
    Read,
    Write,
}

impl Held {
    /// What it is once somebody more has it; `None` where that has to wait.
    fn with(self, want: Want) -> Option<Held> {
        match (self, want) {
            (Held::Reading(n), Want::Read) => n.checked_add(1).map(Held::Reading),
            (Held::Reading(0), Want::Write) => Some(Held::Writing),
            _ => None,
        }
    }
}

impl<T> RwLock<T> {
    /// One that nobody uses.
    pub fn new(value: T) -> RwLock<T> {
        RwLock { held: Cell::default(), waiting: List::default(), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it for reading, and waits until no writer has it and none that came before waits.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn read(&self) -> io::Result<RwLockReadGuard<'_, T>> {
        self.take(Want::Read).map(|()| RwLockReadGuard { lock: self })
    }

    /// Locks it for writing, and waits until nobody has it and it is its turn.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self) -> io::Result<RwLockWriteGuard<'_, T>> {
        self.take(Want::Write).map(|()| RwLockWriteGuard { lock: self })
    }

    /// An arm of [`select!`](crate::select!) that locks it for reading; out comes the guard.
    pub fn on_read(&self) -> impl Arm<Output = RwLockReadGuard<'_, T>> + '_ {
        let guard = |_: &Want| RwLockReadGuard { lock: self };
        Handed::new(&self.waiting, Want::Read, || self.try_read(), guard, || self.hand_on())
    }

    /// An arm of [`select!`](crate::select!) that locks it for writing; out comes the guard.
    pub fn on_write(&self) -> impl Arm<Output = RwLockWriteGuard<'_, T>> + '_ {
        let guard = |_: &Want| RwLockWriteGuard { lock: self };
        Handed::new(&self.waiting, Want::Write, || self.try_write(), guard, || self.hand_on())
    }

    /// Locks it for reading if no writer has it and nobody waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.try_take(Want::Read).then(|| RwLockReadGuard { lock: self })
    }

    /// Locks it for writing if nobody has it.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.try_take(Want::Write).then(|| RwLockWriteGuard { lock: self })
    }

    /// The value, which nobody else can have locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn try_take(&self, want: Want) -> bool {
        let held = self.held.get().with(want).filter(|_| self.waiting.is_empty());
        held.inspect(|held| self.held.set(*held)).is_some()
    }

    fn take(&self, want: Want) -> io::Result<()> {
        check()?;
        if self.try_take(want) {
            return Ok(());
        }
        let here = fiber()?;
        let (woken, _) = self.waiting.wait(here, "a lock for reading or writing", want);
        if !matches!(woken, Woken::Event(_)) {
            // Readers may have stood behind this writer.
            self.hand_on();
        }
        here.event(woken).map(drop)
    }

    fn hand_on(&self) {
        while self.waiting.wake_one_if(|want| {
            let held = self.held.get().with(*want);
            held.inspect(|held| self.held.set(*held)).is_some()
        }) {}
    }

    fn release(&self) {
        self.held.set(match self.held.get() {
            Held::Reading(n) => Held::Reading(n.saturating_sub(1)),
            Held::Writing => Held::Reading(0),
        });
        self.hand_on();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwLock").field(&&*guard).finish(),
            None => f.write_str("RwLock(<locked>)"),
        }
    }
}

/// An [`RwLock`] locked for reading; dropping it lets go.
///
/// ```
/// use becket_fiber::sync::RwLock;
///
/// let lock = RwLock::new(1);
/// let (a, b) = (lock.try_read().unwrap(), lock.try_read().unwrap());
/// assert_eq!(*a + *b, 2);
/// ```
#[must_use = "it is unlocked when the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// An [`RwLock`] locked for writing; dropping it lets go.
///
/// ```
/// use becket_fiber::sync::RwLock;
///
/// let lock = RwLock::new(1);
/// *lock.try_write().unwrap() += 1;
/// assert_eq!(lock.into_inner(), 2);
/// ```
#[must_use = "it is unlocked when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while there are guards for reading `held` counts them, one for each that `try_take` or `hand_on` let
        // in, and lets no writer in. All on one thread, for the lock is not `Sync`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while there is a guard for writing `held` lets nobody else in; and `self` is borrowed.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and this guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}
