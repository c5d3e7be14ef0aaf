//! Values that each fiber has its own of.

use crate::outcome::quietly;
use crate::sched::current_core;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::{error, fmt, mem, ptr};

/// Declares values of which each fiber has its own, as `thread_local!` does for threads: [`LocalKey`]s.
///
/// ```
/// use becket_fiber::{Runtime, fiber_local, spawn, yield_now};
/// use std::cell::{Cell, RefCell};
///
/// fiber_local! {
///     /// The request that the fiber serves.
///     pub static REQUEST: Cell<u32> = const { Cell::new(0) };
///     static LOG: RefCell<Vec<String>> = RefCell::default();
/// }
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let fibers = [1, 2].map(|n| spawn(move || {
///         REQUEST.with(|request| request.set(n));
///         yield_now();
///         LOG.with(|log| log.borrow_mut().push(format!("served {}", REQUEST.with(Cell::get))));
///         LOG.with(RefCell::take)
///     }));
///     let logs = fibers.map(|fiber| fiber.unwrap().join().unwrap());
///     assert_eq!(logs, [["served 1"], ["served 2"]]);
///     assert_eq!(REQUEST.with(Cell::get), 0);
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! fiber_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr);+ $(;)?) => {
        $($(#[$attribute])* $visibility static $name: $crate::LocalKey<$type> = $crate::LocalKey::new(|| $init);)+
    };
}

/// A value that each fiber has its own of, made when it first asks for it; see [`fiber_local!`](crate::fiber_local).
///
/// It is dropped when the fiber ends, by its closure's return or unwinding, on the fiber's own stack: its destructor may
/// wait as the fiber may, unless that unwinds. A fiber that is left behind by its runtime leaks it. The fiber of
/// [`Runtime::run`](crate::Runtime::run) has its own, too. Code that runs in no fiber, and in callbacks of the loop, has
/// the thread's.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

/// The value cannot be had: the fiber or the thread ends, and drops what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a local value was asked for after it was dropped")
    }
}

impl error::Error for AccessError {}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init }
    }

    /// Calls `f` with the value of this fiber, which is made first where there is none. `f` may wait.
    ///
    /// # Panics
    /// In a destructor that runs when this value was dropped with the fiber; see [`try_with`](Self::try_with).
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(e) => panic!("{e}"),
        }
    }

    /// As [`with`](Self::with).
    ///
    /// # Errors
    /// [`AccessError`] where `with` panics.
    ///
    /// ```
    /// use becket_fiber::fiber_local;
    ///
    /// fiber_local!(static NAME: String = "thread".to_owned());
    /// assert_eq!(NAME.try_with(String::len), Ok(6));
    /// ```
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = with_locals(|locals| locals.get(self.id()))?;
        let value = match value {
            Some(value) => value,
            None => {
                // The user's code: it may ask for this value itself, and wait.
                let made: Rc<dyn Any> = Rc::new((self.init)());
                with_locals(|locals| locals.get_or_put(self.id(), made))?
            }
        };
        // Held meanwhile: a generator may take this frame to another fiber.
        match value.downcast::<T>() {
            Ok(value) => Ok(f(&value)),
            Err(_) => unreachable!("an address is that of one key, which has one type"),
        }
    }

    fn id(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The values of one fiber. Made for the first of them, then kept.
#[derive(Default)]
pub(crate) struct Locals(OnceCell<Box<Values>>);

/// By the addresses of their keys. Borrowed for moments only.
#[derive(Default)]
struct Values {
    values: RefCell<Vec<(usize, Rc<dyn Any>)>>,
    /// No more are made.
    ended: Cell<bool>,
}

impl Locals {
    fn get(&self, id: usize) -> Result<Option<Rc<dyn Any>>, AccessError> {
        let Some(Values { values, ended }) = self.0.get().map(|values| &**values) else { return Ok(None) };
        let value = values.borrow().iter().find(|(other, _)| *other == id).map(|(_, value)| Rc::clone(value));
        if value.is_none() && ended.get() { Err(AccessError) } else { Ok(value) }
    }

    /// The value that is there, or else `made`.
    fn get_or_put(&self, id: usize, made: Rc<dyn Any>) -> Result<Rc<dyn Any>, AccessError> {
        if let Some(earlier) = self.get(id)? {
            return Ok(earlier);
        }
        self.0.get_or_init(Box::default).values.borrow_mut().push((id, Rc::clone(&made)));
        Ok(made)
    }

    /// Drops all, the newest first. Their destructors may still ask for those that are left, and for no other.
    #[inline]
    pub(crate) fn end(&self) {
        if let Some(values) = self.0.get() {
            values.end();
        }
    }

    /// For the next fiber.
    #[inline]
    pub(crate) fn reset(&self) {
        if let Some(values) = self.0.get() {
            values.ended.set(false);
        }
    }

    /// Those of a fiber that is left behind may be in use in its frames.
    pub(crate) fn leak(&self) {
        if let Some(values) = self.0.get() {
            mem::forget(values.values.take());
        }
    }
}

impl Values {
    fn end(&self) {
        self.ended.set(true);
        loop {
            let Some(last) = self.values.borrow_mut().pop() else { return };
            quietly(|| drop(last));
        }
    }
}

impl Drop for Locals {
    fn drop(&mut self) {
        self.end();
    }
}

thread_local! {
    static OF_THREAD: Locals = Locals::default();
}

fn with_locals<R>(f: impl FnOnce(&Locals) -> Result<R, AccessError>) -> Result<R, AccessError> {
    // SAFETY: it is entered on this thread, and its running fiber's record is in use.
    if let Some(fiber) = current_core().and_then(|core| unsafe { core.as_ref() }.current()) {
        // SAFETY: as above.
        return f(&unsafe { fiber.as_ref() }.locals);
    }
    OF_THREAD.try_with(f).map_err(|_| AccessError).and_then(|result| result)
}
