//! Descriptors in a `select!`.

use super::Io;
use super::registry::{Entered, enter_once};
use crate::select::Arm;
use crate::select::arm::{Turn, Wait};
use becket_loop::Ready;
use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

/// The arm of [`Io::on_ready`].
pub(super) struct OnReady<'a, T: AsFd> {
    of: &'a Io<T>,
    want: Ready,
    entered: Cell<Option<Entered<'a>>>,
    /// What it is ready for, or why that cannot be known.
    found: Cell<Option<Ready>>,
}

impl<'a, T: AsFd> OnReady<'a, T> {
    pub(super) fn new(of: &'a Io<T>, want: Ready) -> Self {
        OnReady { of, want, entered: Cell::new(None), found: Cell::new(None) }
    }
}

impl<T: AsFd> Wait for OnReady<'_, T> {
    fn look(&self, _: Turn) -> bool {
        // The level, as in `Io::wait`. Where it cannot be known, entering tells why.
        self.found.set(becket_sys::wait(&self.of.source, self.want, Some(Instant::now())).ok().flatten());
        self.found.get().is_some()
    }

    unsafe fn enter(&self, turn: Turn) -> io::Result<Option<Instant>> {
        let Some(here) = turn.here else { return Ok(None) };
        let entered = match self.of.settle(here, self.want)? {
            Some(entry) => Entered::home(entry, here, self.want, turn.token),
            // SAFETY: the descriptor is borrowed with the arm, which stays until it has left.
            None => unsafe { enter_once(here, self.of.source.as_fd(), self.want, turn.token) }?,
        };
        self.entered.set(Some(entered));
        Ok(None)
    }

    fn leave(&self, turn: Turn) -> bool {
        if let (Some(entered), Some(here)) = (self.entered.take(), turn.here) {
            entered.leave(here);
        }
        false // somebody else may have taken what was there: to be looked at again
    }
}

impl<T: AsFd> Arm for OnReady<'_, T> {
    type Output = Ready;

    fn finish(self) -> Option<Ready> {
        self.found.into_inner()
    }
}
