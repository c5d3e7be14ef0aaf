//! The one door by which a descriptor is registered that the loop does not own.

use crate::backend::{Detach, Fd};
use crate::watched::{Io, Who};
use crate::{Borrowed, Ctx, Id, Mode, Plain, Ready};
use std::io;

impl<S: 'static> Ctx<S> {
    /// Adds a descriptor that stays the caller's, with a plain function and a word.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// # Safety
    /// The descriptor must stay open until the id is [cancelled](Self::cancel), or the loop dropped; else the loop may
    /// wait for whatever gets its number next.
    pub unsafe fn add_borrowed(
        &mut self,
        fd: Fd<'_>,
        want: Ready,
        mode: Mode,
        handler: Plain<S>,
    ) -> io::Result<Id<Borrowed>> {
        // SAFETY: the caller promises that it stays open for as long as the registration that this is stored in.
        let fd: Fd<'static> = unsafe { std::mem::transmute(fd) };
        let io = Io::new(Who::Borrowed(fd, handler), want, mode);
        self.register(io).map(Id::new).map_err(|(_, e)| e)
    }

    /// Takes descriptors out of this loop from any thread, with [`forget`](Self::forget) to follow on the loop's own:
    /// for a borrowed descriptor that is to be closed elsewhere. `None` where the backend cannot.
    pub fn detach(&self) -> Option<Detach> {
        self.backend.detach()
    }

    /// Removes the entry of a borrowed descriptor that a [`Detach`] has deleted, and that may be closed, without
    /// telling the backend. Returns whether it was there.
    pub fn forget(&mut self, id: Id<Borrowed>) -> bool {
        if let Some(io) = self.io_mut(id.key) {
            io.set_registered(None);
        }
        self.take_out(id.key).is_some()
    }
}
