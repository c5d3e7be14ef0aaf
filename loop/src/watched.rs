//! Registered descriptors: whose they are, and who is told of them.

use crate::backend::{AsFd, Fd, Key, OwnedFd};
use crate::{Ctx, Mode, Plain, Ready, Result};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// A registered descriptor. There may be a million of them, so it is small: what few have stands in
/// [`Rare`](crate::ctx::Rare).
pub(crate) struct Io<S> {
    pub(crate) who: Who<S>,
    pub(crate) want: Ready,
    /// What it is ready for and was not yet told.
    pub(crate) pending: Ready,
    /// What the backend was told last. `None` (of the mode) where it does not have the descriptor.
    registered_want: Ready,
    registered_mode: Option<Mode>,
    pub(crate) mode: Mode,
    state: State,
}

bitflags::bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct State: u8 {
        const ENABLED = 1 << 0;
        /// A one-shot registration that fired: the backend has it, and reports nothing of it.
        const SPENT = 1 << 1;
        /// An edge may have been dropped: it was disabled. Told of a change, the backend reports it again.
        const MISSED = 1 << 2;
        /// It stands in the list of changes for the backend.
        const DIRTY = 1 << 3;
        /// It stands in the queue of those that are ready.
        const QUEUED = 1 << 4;
        /// It was disabled since the backend was told of the last changes: what a wait found before is not to be told.
        const VOID = 1 << 5;
    }
}

impl<S> Io<S> {
    pub(crate) fn new(who: Who<S>, want: Ready, mode: Mode) -> Self {
        Io {
            who,
            want,
            pending: Ready::empty(),
            registered_want: Ready::empty(),
            registered_mode: None,
            mode,
            state: State::ENABLED,
        }
    }

    #[inline]
    pub(crate) fn is(&self, state: State) -> bool {
        self.state.contains(state)
    }

    /// Whether it is one-shot, and fired.
    #[inline]
    pub(crate) fn has_fired(&self) -> bool {
        self.is(State::SPENT) && self.mode == Mode::OneShot
    }

    /// Takes in that a wait found it ready. Whether somebody is to be told.
    #[inline]
    pub(crate) fn found(&mut self) -> bool {
        if self.registered_mode == Some(Mode::OneShot) {
            self.state |= State::SPENT; // also where nobody is to be told: the backend has disarmed it
        }
        self.state & (State::ENABLED | State::VOID) == State::ENABLED
    }

    #[inline]
    pub(crate) fn mark(&mut self, state: State, on: bool) {
        self.state.set(state, on);
    }

    /// What the backend was told last, where it has the descriptor.
    #[inline]
    pub(crate) fn registered(&self) -> Option<(Ready, Mode)> {
        self.registered_mode.map(|mode| (self.registered_want, mode))
    }

    #[inline]
    pub(crate) fn set_registered(&mut self, told: Option<(Ready, Mode)>) {
        self.registered_mode = told.map(|told| told.1);
        self.registered_want = told.map_or(Ready::empty(), |told| told.0);
    }
}

/// Whose descriptor a registration is, and who is told.
pub(crate) enum Who<S> {
    /// The loop owns the source and the closure.
    Owned(Rc<dyn Watched<S>>),
    /// The user keeps it open, as `add_borrowed` made him promise.
    Borrowed(Fd<'static>, Plain<S>),
    External(Box<Watch>),
}

/// A descriptor that an external watches: our duplicate of it, and its name.
pub(crate) struct Watch {
    pub(crate) fd: OwnedFd,
    pub(crate) of: Key,
    pub(crate) token: u64,
}

impl<S> Who<S> {
    pub(crate) fn fd(&self) -> Fd<'_> {
        match self {
            Who::Owned(watched) => watched.fd(),
            Who::Borrowed(fd, _) => *fd,
            Who::External(watch) => watch.fd.as_fd(),
        }
    }
}

/// A source and what is called for it, without their types. While it is called, the table and the caller have a handle
/// each, so that it may be removed meanwhile.
pub(crate) trait Watched<S> {
    fn fd(&self) -> Fd<'_>;
    fn source(&self) -> &dyn Any;
    /// Whether all stays as it is: [`Ctx::keeps`], of what was called.
    fn call(&self, s: &mut S, ctx: &mut Ctx<S>, key: Key, ready: Ready) -> bool;
    /// Moves the source to `to`, an `Option` of its type, where this is the only handle, and drops the rest.
    fn give_back(self: Rc<Self>, to: &mut dyn Any);
}

/// A source with a closure, in one piece of memory.
pub(crate) struct WithClosure<T, F> {
    pub(crate) source: T,
    pub(crate) f: RefCell<F>,
}

impl<S: 'static, T, F> Watched<S> for WithClosure<T, F>
where
    T: AsFd + 'static,
    F: FnMut(&mut S, &mut Ctx<S>, Key, &T, Ready) -> Result,
{
    fn fd(&self) -> Fd<'_> {
        self.source.as_fd()
    }

    fn source(&self) -> &dyn Any {
        &self.source
    }

    fn call(&self, s: &mut S, ctx: &mut Ctx<S>, key: Key, ready: Ready) -> bool {
        match self.f.try_borrow_mut() {
            Ok(mut f) => {
                let result = f(s, ctx, key, &self.source, ready);
                ctx.keeps(result)
            }
            Err(_) => true, // it is running: a callback had another loop turn this one's content
        }
    }

    fn give_back(self: Rc<Self>, to: &mut dyn Any) {
        give(Rc::into_inner(self).map(|this| this.source), to);
    }
}

/// A source with a plain function.
pub(crate) struct WithPlain<T, S> {
    pub(crate) source: T,
    pub(crate) plain: Plain<S>,
}

impl<S: 'static, T: AsFd + 'static> Watched<S> for WithPlain<T, S> {
    fn fd(&self) -> Fd<'_> {
        self.source.as_fd()
    }

    fn source(&self) -> &dyn Any {
        &self.source
    }

    fn call(&self, s: &mut S, ctx: &mut Ctx<S>, _: Key, ready: Ready) -> bool {
        let next = (self.plain.call)(s, ctx, self.plain.data, ready);
        ctx.keeps(Ok(next))
    }

    fn give_back(self: Rc<Self>, to: &mut dyn Any) {
        give(Rc::into_inner(self).map(|this| this.source), to);
    }
}

fn give<T: 'static>(source: Option<T>, to: &mut dyn Any) {
    if let Some(to) = to.downcast_mut() {
        *to = source;
    }
}

/// The source that only `watched` holds.
pub(crate) fn take_source<S, T: 'static>(watched: Rc<dyn Watched<S>>) -> Option<T> {
    let mut source: Option<T> = None;
    watched.give_back(&mut source);
    source
}
