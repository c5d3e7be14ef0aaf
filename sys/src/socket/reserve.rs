use super::{is_exhausted, try_accept};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// A descriptor kept in reserve, so that a listener can turn connections away when no other is left.
///
/// When `accept` fails for want of descriptors, the connection stays in the queue: the listener is ready all the time
/// and a loop spins, while the peer is kept waiting. [`turn_away`](Self::turn_away) gives up the descriptor kept here,
/// takes the connection with it and closes it at once: the peer is told, by the end of the stream (or a reset, where it
/// has already sent something). Then it opens the reserve again.
///
/// It serves any number of listeners and any kind. Dropping it closes the descriptor.
///
/// ```
/// use becket_sys::tcp::{Listener, Stream};
/// use becket_sys::{Ready, Reserve, is_exhausted};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let reserve = Reserve::new()?;
/// let client = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// listener.wait_ready(Ready::READ, None)?;
///
/// match listener.try_accept() {
///     Ok(Some((_stream, _from))) => { /* serve it */ }
///     Ok(None) => {}
///     Err(e) if is_exhausted(&e) => assert!(reserve.turn_away(&listener)?),
///     Err(e) => return Err(e.into()),
/// }
/// assert!(!reserve.turn_away(&listener)?); // nobody waits any more
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "EMFILE")]
#[derive(Debug)]
pub struct Reserve {
    fd: Mutex<Option<OwnedFd>>,
}

impl Reserve {
    /// Opens a descriptor (of `/dev/null`) to keep. Do so at the start, while there are some.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where none is left; `ENOENT` or `EACCES` where `/dev/null` cannot be opened.
    pub fn new() -> io::Result<Reserve> {
        Ok(Reserve { fd: Mutex::new(Some(spare()?)) })
    }

    /// Takes one connection off the queue of `listener` and closes it. False where none waits.
    ///
    /// Where descriptors are not the matter after all, the connection is turned away all the same. It never blocks if
    /// the listener is non-blocking.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where another thread was faster in taking the descriptor that was given up: try again
    /// later, for the reserve is filled again by the next call that finds a free one. `ENOBUFS` or `ENOMEM` where it
    /// is memory that has run out; `EINVAL` where the socket does not listen.
    pub fn turn_away(&self, listener: impl AsFd) -> io::Result<bool> {
        // Nothing panics while it is held, and what it holds is valid at all times.
        let mut fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        *fd = None;
        let accepted = match try_accept(listener) {
            // Closes it before the reserve is opened again, in its place.
            Ok(connection) => Ok(connection.is_some()),
            Err(e) => Err(e),
        };
        match spare() {
            Ok(spare) => *fd = Some(spare),
            Err(e) if is_exhausted(&e.into()) => {}
            Err(e) => return Err(e.into()),
        }
        accepted
    }
}

fn spare() -> Result<OwnedFd, Errno> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
