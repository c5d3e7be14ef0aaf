use crate::backend::Key;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// Names something that a loop holds: a source of type `T`, a [`Timer`], a [`Hook`], an [`Op`](crate::op::Op).
///
/// It is a number: copying it costs nothing, dropping it does nothing. After what it names was removed it is stale,
/// also when its slot has a new owner (for four thousand million owners): calls with it then do nothing and say so.
///
/// ```
/// use becket_loop::{Id, Loop, Timer};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let id: Id<Timer> = event_loop.after(Duration::from_secs(1), |_, _| Ok(()));
/// assert!(event_loop.cancel(id));
/// assert!(!event_loop.cancel(id)); // stale
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Id<T: ?Sized> {
    pub(crate) key: Key,
    marker: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> Id<T> {
    pub(crate) fn new(key: Key) -> Self {
        Id { key, marker: PhantomData }
    }
}

impl<T: ?Sized> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Id<T> {}

impl<T: ?Sized> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T: ?Sized> Eq for Id<T> {}

impl<T: ?Sized> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&AnyId { key: self.key }, f)
    }
}

/// An [`Id`] without the type of what it names.
///
/// ```
/// use becket_loop::{AnyId, Loop};
/// use std::time::Duration;
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let id = event_loop.after(Duration::from_secs(1), |_, _| Ok(()));
/// let any: AnyId = id.into();
/// assert!(event_loop.cancel(any));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnyId {
    pub(crate) key: Key,
}

impl fmt::Display for AnyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.key.slot(), self.key.generation())
    }
}

impl<T: ?Sized> From<Id<T>> for AnyId {
    fn from(id: Id<T>) -> Self {
        AnyId { key: id.key }
    }
}

/// What the [`Id`] of a timer names.
///
/// ```
/// use becket_loop::{Id, Timer};
///
/// assert_eq!(size_of::<Id<Timer>>(), 8);
/// ```
#[derive(Debug)]
pub enum Timer {}

/// What the [`Id`] of a hook names.
///
/// ```
/// use becket_loop::{Hook, HookPoint, Id, Loop, Next};
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// let id: Id<Hook> = event_loop.hook(HookPoint::Prepare, |_, _| Ok(Next::Keep));
/// assert!(event_loop.cancel(id));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub enum Hook {}

/// What the [`Id`] of a borrowed descriptor names; see [`Ctx::add_borrowed`](crate::Ctx::add_borrowed).
///
/// ```
/// use becket_loop::{Borrowed, Id};
///
/// assert_eq!(size_of::<Id<Borrowed>>(), 8);
/// ```
#[derive(Debug)]
pub enum Borrowed {}
