//! Cancelling a part of what a fiber does, and keeping a cancel off.

use crate::park::{Place, place};
use crate::scope::Owner;
use crate::select::{Arm, Lists, listed};
use crate::sync::list::List;
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// Calls `f`, in which a cancel from outside of it does not reach this fiber, neither its own nor that of a
/// [`scope`](crate::scope()) or [`cancel_scope`] around: to say goodbye to a peer, to flush, to give something back.
///
/// Outside again, blocking calls return [`Cancelled`](crate::Cancelled) as before. Deadlines hold inside too, and an
/// [`abort`](crate::JoinHandle::abort) goes through. A fiber inside a shield can hold up the end of its runtime: set a
/// [`timeout`](crate::timeout).
///
/// ```
/// use becket_fiber::{Runtime, is_cancelled, shield, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let fiber = spawn(|| {
///         let e = sleep(Duration::from_secs(3600)).unwrap_err();
///         shield(|| sleep(Duration::from_millis(1))).unwrap();
///         is_cancelled(&e) && is_cancelled(&sleep(Duration::from_millis(1)).unwrap_err())
///     })?;
///     fiber.cancel();
///     assert!(fiber.join()?);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    /// The fiber, and what it was inside of before.
    struct Shielded(Option<Owner>, u32, u32);
    impl Drop for Shielded {
        fn drop(&mut self) {
            // Where a generator took the guard along to another fiber, that one is left alone.
            if let Some(fiber) = self.0.as_ref().and_then(Owner::fiber) {
                fiber.shield.set(self.1);
                fiber.depth.set(self.2);
                fiber.update_stop();
            }
        }
    }
    let owner = Owner::current();
    let Some(fiber) = owner.as_ref().and_then(Owner::fiber) else { return f() };
    let (outer, depth) = (fiber.shield.get(), fiber.depth.get());
    fiber.shield.set(fiber.enter_depth());
    fiber.update_stop();
    let _shielded = Shielded(owner, outer, depth);
    f()
}

/// Whether blocking calls of this fiber return [`Cancelled`](crate::Cancelled) here and now: for loops that compute
/// and seldom wait. `false` where no fiber runs.
pub fn is_current_cancelled() -> bool {
    matches!(place(), Place::Fiber(here) if here.fiber().must_stop())
}

/// Calls `f` with a token by which others can cancel what is inside of it, and nothing else of this fiber.
///
/// The same as [`CancelToken::scope`] with a new token.
///
/// ```
/// use becket_fiber::{Runtime, cancel_scope, is_cancelled, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let ended = cancel_scope(|token| {
///         let token = token.clone();
///         spawn(move || token.cancel())?;
///         sleep(Duration::from_secs(3600))
///     });
///     assert!(is_cancelled(&ended.unwrap_err()));
///     sleep(Duration::from_millis(1)) // outside of it the fiber goes on
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn cancel_scope<T>(f: impl FnOnce(&CancelToken) -> T) -> T {
    let token = CancelToken::new();
    token.scope(|| f(&token))
}

/// Cancels what any number of fibers do inside of its [scopes](Self::scope); a clone is the same token. Dropping it does
/// nothing.
///
/// ```
/// use becket_fiber::{CancelToken, Runtime, is_cancelled, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let token = CancelToken::new();
///     let fibers = [(); 2].map(|()| {
///         let token = token.clone();
///         spawn(move || token.scope(|| sleep(Duration::from_secs(3600))))
///     });
///     token.cancel();
///     for fiber in fibers {
///         assert!(is_cancelled(&fiber?.join()?.unwrap_err()));
///     }
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: Cell<bool>,
    /// Who is inside: each is in a frame, and taken out before that goes. Never borrowed while user code runs.
    regions: RefCell<Vec<NonNull<Region>>>,
    waiting: List<()>,
}

impl CancelToken {
    /// One that is not cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Calls `f`, in which blocking calls of this fiber return [`Cancelled`](crate::Cancelled) once the token is
    /// [cancelled](Self::cancel), and so do those of the children of scopes inside. A [`shield`] inside keeps that off.
    /// Outside again, the fiber is what it was. It ends with `f`: a cancel afterwards does nothing.
    ///
    /// They nest in any order, also inside a shield. On a thread that runs no fiber nothing can be cancelled: `f` is called
    /// as it is.
    pub fn scope<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Inside<'a>(&'a Region);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        let Some(owner) = Owner::current() else { return f() };
        let mut region = Region { token: Rc::clone(&self.shared), owner, outer: Cell::new(ptr::null()), depth: 0 };
        if let Some(fiber) = region.owner.fiber() {
            region.outer.set(fiber.regions.get());
            region.depth = fiber.enter_depth();
        }
        // From here on it must not move.
        let region = region;
        region.enter();
        let _inside = Inside(&region);
        f()
    }

    /// Cancels what is inside, now and later. For good; callable everywhere on the thread.
    pub fn cancel(&self) {
        if self.shared.cancelled.replace(true) {
            return;
        }
        self.shared.waiting.wake_all();
        for region in self.shared.regions.borrow().iter() {
            // SAFETY: whoever is listed has its frame.
            let region = unsafe { region.as_ref() };
            if let Some(fiber) = region.owner.fiber() {
                region.owner.core.cancel_inside(fiber, region.depth);
            }
        }
    }

    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.get()
    }

    /// An arm of [`select!`](crate::select!) that is chosen when it is cancelled.
    pub fn on_cancel(&self) -> impl Arm<Output = ()> + '_ {
        listed(&*self.shared)
    }
}

impl Lists for Shared {
    fn list(&self) -> &List<()> {
        &self.waiting
    }

    fn holds(&self) -> bool {
        self.cancelled.get()
    }
}

/// One use of a token by one fiber. In the frame of [`CancelToken::scope`].
pub(crate) struct Region {
    token: Rc<Shared>,
    owner: Owner,
    /// The next one outwards of the same fiber.
    outer: Cell<*const Region>,
    depth: u32,
}

impl Region {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.cancelled.get()
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn outer(&self) -> *const Region {
        self.outer.get()
    }

    fn enter(&self) {
        self.token.regions.borrow_mut().push(NonNull::from(self));
        if let Some(fiber) = self.owner.fiber() {
            fiber.regions.set(self);
            fiber.update_stop();
        }
    }

    /// Takes it out of both lists, where it need not be the first.
    fn leave(&self) {
        self.token.regions.borrow_mut().retain(|region| !ptr::eq(region.as_ptr(), self));
        let Some(fiber) = self.owner.fiber() else { return };
        let mut place = &fiber.regions;
        while !ptr::eq(place.get(), self) {
            // SAFETY: whoever is in the list has its frame: it is taken out before that goes.
            let Some(inner) = (unsafe { place.get().as_ref() }) else { return };
            place = &inner.outer;
        }
        place.set(self.outer.get());
        fiber.depth.set(self.depth - 1);
        fiber.update_stop();
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("depth", &self.depth).finish_non_exhaustive()
    }
}
