use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Handed};
use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::rc::Rc;

/// A number of permits, which fibers take and give back: a limit to how many do something at a time.
///
/// Permits go to fibers in the order in which they came; one that asks for many is not overtaken by those who ask for
/// few. Permits are given back when they are dropped.
///
/// ```
/// use becket_fiber::{Runtime, scope, sync::Semaphore, yield_now};
/// use std::cell::Cell;
///
/// let mut runtime = Runtime::new()?;
/// let (limit, now, most) = (Semaphore::new(3), Cell::new(0), Cell::new(0));
/// runtime.run(|| {
///     scope(|s| {
///         for _ in 0..10 {
///             s.spawn(|| {
///                 let _permit = limit.acquire()?;
///                 now.set(now.get() + 1);
///                 most.set(most.get().max(now.get()));
///                 yield_now();
///                 now.set(now.get() - 1);
///                 Ok::<_, std::io::Error>(())
///             })?;
///         }
///         Ok::<_, std::io::Error>(())
///     })
/// })??;
/// assert_eq!((most.get(), limit.available()), (3, 3));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Semaphore {
    available: Cell<usize>,
    closed: Cell<bool>,
    waiting: List<Want>,
}

/// One who waits.
struct Want {
    n: usize,
    /// Closing wakes without it.
    granted: Cell<bool>,
}

impl Semaphore {
    /// One with so many permits.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { available: Cell::new(permits), closed: Cell::new(false), waiting: List::default() }
    }

    /// Takes one permit, and waits for it.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `BrokenPipe` where it is [closed](Self::close); `Deadlock` where it
    /// would have to wait outside of a fiber. No permit is lost by them.
    pub fn acquire(&self) -> io::Result<Permit<'_>> {
        self.acquire_many(1)
    }

    /// Takes `n` permits at once, and waits until there are so many. 0 is a place in the queue.
    ///
    /// More than there ever are is waited for until a deadline, a cancel or [`close`](Self::close).
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many(&self, n: usize) -> io::Result<Permit<'_>> {
        self.take(n).map(|()| Permit { semaphore: self, n })
    }

    /// As [`acquire_many`](Self::acquire_many), with a permit that owns its share of the semaphore, to be moved into
    /// a fiber that outlives the caller.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// ```
    /// use becket_fiber::{Runtime, spawn, sync::Semaphore};
    /// use std::rc::Rc;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let connections = Rc::new(Semaphore::new(1));
    ///     let permit = connections.acquire_owned(1)?;
    ///     let serving = spawn(move || drop(permit))?;
    ///     assert!(connections.try_acquire(1).is_none());
    ///     let _next = connections.acquire()?; // waits for the fiber
    ///     serving.join()?;
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn acquire_owned(self: &Rc<Self>, n: usize) -> io::Result<OwnedPermit> {
        self.take(n).map(|()| OwnedPermit { semaphore: Rc::clone(self), n })
    }

    /// An arm of [`select!`](crate::select!) that takes `n` permits; out comes what
    /// [`acquire_many`](Self::acquire_many) returns.
    pub fn on_permits(&self, n: usize) -> impl Arm<Output = io::Result<Permit<'_>>> + '_ {
        let permit = move || Permit { semaphore: self, n };
        let look = move || {
            let taken = self.try_take(n).then(permit);
            taken.map(Ok).or_else(|| self.is_closed().then(|| Err(ErrorKind::BrokenPipe.into())))
        };
        let granted = move |want: &Want| match want.granted.get() {
            true => Ok(permit()),
            false => Err(ErrorKind::BrokenPipe.into()),
        };
        let want = Want { n, granted: Cell::new(false) };
        Handed::new(&self.waiting, want, look, granted, || self.hand_out())
    }

    /// Takes `n` permits if there are so many, nobody waits and it is not closed.
    pub fn try_acquire(&self, n: usize) -> Option<Permit<'_>> {
        self.try_take(n).then(|| Permit { semaphore: self, n })
    }

    fn try_take(&self, n: usize) -> bool {
        let there = !self.closed.get() && self.available.get() >= n && self.waiting.is_empty();
        if there {
            self.available.set(self.available.get() - n);
        }
        there
    }

    fn take(&self, n: usize) -> io::Result<()> {
        check()?;
        if self.closed.get() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.try_take(n) {
            return Ok(());
        }
        let here = fiber()?;
        let want = Want { n, granted: Cell::new(false) };
        let (woken, want) = self.waiting.wait(here, "permits of a semaphore", want);
        if want.granted.get() {
            return Ok(());
        }
        // This one may have stood before somebody whose wish can be met.
        self.hand_out();
        here.event(woken)?;
        Err(ErrorKind::BrokenPipe.into())
    }

    /// Adds permits, new ones or such as were [forgotten](Permit::forget).
    ///
    /// # Panics
    /// Where there would be more than `usize::MAX`.
    pub fn add_permits(&self, n: usize) {
        let sum = self.available.get().checked_add(n);
        self.available.set(sum.expect("a semaphore cannot have more than usize::MAX permits"));
        self.hand_out();
    }

    fn hand_out(&self) {
        while self.waiting.wake_one_if(|want| {
            let left = self.available.get().checked_sub(want.n);
            left.inspect(|left| self.available.set(*left));
            want.granted.set(left.is_some());
            left.is_some()
        }) {}
    }

    /// Ends every wait for a permit, and refuses every later one, with `BrokenPipe`. Permits that are out stay good.
    pub fn close(&self) {
        self.closed.set(true);
        self.waiting.wake_all();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How many permits there are to take.
    pub fn available(&self) -> usize {
        self.available.get()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (available, closed) = (self.available.get(), self.closed.get());
        f.debug_struct("Semaphore").field("available", &available).field("closed", &closed).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`]; dropping it gives them back.
///
/// ```
/// use becket_fiber::sync::Semaphore;
///
/// let semaphore = Semaphore::new(5);
/// let three = semaphore.try_acquire(3).unwrap();
/// assert!((three.count(), semaphore.available()) == (3, 2) && semaphore.try_acquire(3).is_none());
/// three.forget();
/// assert_eq!(semaphore.available(), 2); // for good
/// ```
#[derive(Debug)]
#[must_use = "the permits are given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl Permit<'_> {
    /// How many it is.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Takes the permits out of the semaphore for good.
    pub fn forget(mut self) {
        self.n = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.n);
    }
}

/// As [`Permit`], with a share of the semaphore; see [`Semaphore::acquire_owned`].
#[derive(Debug)]
#[must_use = "the permits are given back when it is dropped"]
pub struct OwnedPermit {
    semaphore: Rc<Semaphore>,
    n: usize,
}

impl OwnedPermit {
    /// How many it is.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Takes the permits out of the semaphore for good.
    pub fn forget(mut self) {
        self.n = 0;
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.n);
    }
}
