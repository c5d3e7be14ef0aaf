//! What a fiber ended with, kept in its record until somebody takes it.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Room for a result; a larger one is boxed.
const BYTES: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Empty,
    Value,
    Panicked,
    Aborted,
}

/// How a fiber ended.
pub(crate) enum Ended<T> {
    Value(T),
    Panicked(Box<dyn Any + Send>),
    Aborted,
}

#[repr(align(16))]
struct Bytes {
    _room: MaybeUninit<[u8; BYTES]>,
}

/// A result whose type the record does not know.
pub(crate) struct Outcome {
    kind: Cell<Kind>,
    /// A value or the pointer to it, or the payload of a panic.
    bytes: UnsafeCell<Bytes>,
    /// Drops the value in `bytes`; belongs to [`Kind::Value`], `None` where nothing is to be done.
    drop_value: Cell<Option<unsafe fn(*mut u8)>>,
}

impl Outcome {
    pub(crate) fn new() -> Outcome {
        Outcome {
            kind: Cell::new(Kind::Empty),
            bytes: UnsafeCell::new(Bytes { _room: MaybeUninit::uninit() }),
            drop_value: Cell::new(None),
        }
    }

    fn inline<T>() -> bool {
        size_of::<T>() <= BYTES && align_of::<T>() <= align_of::<Bytes>()
    }

    fn place<T>(&self) -> *mut T {
        self.bytes.get().cast()
    }

    #[inline]
    pub(crate) fn set_value<T>(&self, value: T) {
        debug_assert_eq!(self.kind.get(), Kind::Empty);
        // SAFETY: it fits and is aligned, or is boxed; the place is empty.
        unsafe {
            if Self::inline::<T>() {
                self.place::<T>().write(value);
                let drops = std::mem::needs_drop::<T>();
                self.drop_value.set(drops.then_some(|at| at.cast::<T>().drop_in_place()));
            } else {
                self.place::<*mut T>().write(Box::into_raw(Box::new(value)));
                self.drop_value.set(Some(|at| drop(Box::from_raw(at.cast::<*mut T>().read()))));
            }
        }
        self.kind.set(Kind::Value);
    }

    /// Replaces whatever is there: a panic while the result was stored or dropped comes after it.
    pub(crate) fn set_panic(&self, payload: Box<dyn Any + Send>) {
        self.clear();
        // SAFETY: it fits and is aligned; the place is empty.
        unsafe { self.place::<Box<dyn Any + Send>>().write(payload) };
        self.kind.set(Kind::Panicked);
    }

    pub(crate) fn set_aborted(&self) {
        self.clear();
        self.kind.set(Kind::Aborted);
    }

    /// Takes what is there; `None` where it was taken or never set.
    ///
    /// # Safety
    /// `T` must be the type that the fiber's result has.
    #[inline]
    pub(crate) unsafe fn take<T>(&self) -> Option<Ended<T>> {
        match self.kind.get() {
            Kind::Empty => None,
            Kind::Aborted => {
                self.kind.set(Kind::Empty);
                Some(Ended::Aborted)
            }
            Kind::Panicked => self.take_panic().map(Ended::Panicked),
            Kind::Value => {
                self.kind.set(Kind::Empty);
                // SAFETY: `set_value` wrote a `T` in the form that depends on `T` alone; it is taken once, since
                // the kind is `Empty` from now on.
                Some(Ended::Value(unsafe {
                    if Self::inline::<T>() {
                        self.place::<T>().read()
                    } else {
                        *Box::from_raw(self.place::<*mut T>().read())
                    }
                }))
            }
        }
    }

    /// Whether the fiber panicked, and nobody took the payload.
    pub(crate) fn is_panic(&self) -> bool {
        self.kind.get() == Kind::Panicked
    }

    /// The payload of a panic that nobody took.
    pub(crate) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        if self.kind.get() != Kind::Panicked {
            return None;
        }
        self.kind.set(Kind::Empty);
        // SAFETY: `set_panic` wrote it; it is taken once, since the kind is `Empty` from now on.
        Some(unsafe { self.place::<Box<dyn Any + Send>>().read() })
    }

    /// Drops what is there: user code. A panic out of it ends here; the hook has reported it.
    #[inline]
    pub(crate) fn clear(&self) {
        if self.kind.get() != Kind::Empty {
            self.clear_slowly();
        }
    }

    fn clear_slowly(&self) {
        match self.kind.get() {
            Kind::Value => {
                self.kind.set(Kind::Empty);
                if let Some(drop_value) = self.drop_value.take() {
                    // SAFETY: `set_value` wrote the value that this function drops; the kind is `Empty` now.
                    quietly(|| unsafe { drop_value(self.place()) });
                }
            }
            Kind::Panicked => quietly(|| drop(self.take_panic())),
            Kind::Empty | Kind::Aborted => self.kind.set(Kind::Empty),
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs a destructor whose panic must not unwind through the runtime.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // Its own destructor might panic again, without end.
        std::mem::forget(payload);
    }
}
