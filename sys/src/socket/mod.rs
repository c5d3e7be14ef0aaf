//! What TCP, UDP and unix sockets have in common.

pub(crate) mod datagram;
pub(crate) mod inet;
pub(crate) mod options;
pub(crate) mod reserve;
pub(crate) mod stream;
pub(crate) mod urgent;

use crate::SetupError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with, socket_with};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// How all sockets are created here.
pub(crate) const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Creates a socket, close-on-exec and non-blocking; `subject` is for the error.
pub(crate) fn open(family: AddressFamily, kind: SocketType, subject: &dyn Display) -> Result<OwnedFd, SetupError> {
    open_with(family, kind, None, subject)
}

/// As [`open`], of a protocol that is not the usual one.
pub(crate) fn open_with(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
    subject: &dyn Display,
) -> Result<OwnedFd, SetupError> {
    socket_with(family, kind, FLAGS, protocol).map_err(failed("socket", subject))
}

/// Makes the error that says that `step` failed on `subject`.
pub(crate) fn failed<E: Into<io::Error>>(step: &'static str, subject: &dyn Display) -> impl Fn(E) -> SetupError {
    move |e| SetupError::new(step, subject.to_string(), e)
}

/// Whether an error of `accept`, or of whatever else opens a descriptor, says that something has run out:
/// descriptors of this process (`EMFILE`) or of the system (`ENFILE`), or memory (`ENOBUFS`, `ENOMEM`).
///
/// The connection then still waits in the listener's queue and the listener stays readable: whoever goes on
/// polling it spins. Stop polling it for a while, by a timer, or until a connection has been closed.
///
/// ```
/// use becket_sys::is_exhausted;
/// use std::io;
///
/// assert!(is_exhausted(&io::Error::from_raw_os_error(24))); // EMFILE
/// assert!(!is_exhausted(&io::Error::from_raw_os_error(22))); // EINVAL
/// ```
#[doc(alias = "EMFILE")]
#[doc(alias = "ENFILE")]
#[doc(alias = "ENOBUFS")]
#[doc(alias = "ENOMEM")]
pub fn is_exhausted(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// How many failed connections one call of [`try_accept`] passes over. They have left the queue, but something
/// (a seccomp filter, a security module) may answer so forever.
const PASSED_OVER: usize = 64;

/// Takes a connection off the queue of a listener; `None` where there is none.
pub(crate) fn try_accept(fd: impl AsFd) -> io::Result<Option<(OwnedFd, Option<SocketAddrAny>)>> {
    let mut passed_over = 0;
    loop {
        match acceptfrom_with(&fd, FLAGS) {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(e) if is_transient(e) && passed_over < PASSED_OVER => passed_over += 1,
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether an error of accept(2) is one of the connection that it took off the queue, not of the listener.
fn is_transient(e: Errno) -> bool {
    // accept(2) names these, and EOPNOTSUPP, which is also what a socket that cannot accept answers forever.
    matches!(
        e,
        Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    )
}

/// Gives `$name`, a struct whose only necessary field is `fd: From<OwnedFd>`, what every socket has, and the conversions
/// from and to its twin `$std` in the standard library, if there is one.
macro_rules! socket {
    ($name:ident) => {
        impl $name {
            /// Takes the pending error of the socket, if there is one: such as what an earlier packet met.
            /// [`Ready::ERR`](crate::Ready::ERR) announces it, and the next call would return it otherwise.
            ///
            /// # Errors
            /// `ENOTSOCK` where the descriptor is no socket.
            #[doc(alias = "SO_ERROR")]
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                Ok(rustix::net::sockopt::socket_error(self)?.err().map(Into::into))
            }

            /// A second handle to the same socket. Both share everything, the blocking mode included.
            ///
            /// # Errors
            /// `EMFILE` where no descriptor is left.
            pub fn try_clone(&self) -> std::io::Result<$name> {
                Ok(std::os::fd::AsFd::as_fd(self).try_clone_to_owned()?.into())
            }
        }

        /// A wrong descriptor can merely make calls fail. The blocking mode stays as it is.
        impl From<std::os::fd::OwnedFd> for $name {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                #[allow(clippy::useless_conversion, reason = "useless for some of the types only")]
                $name { fd: fd.into() }
            }
        }
    };
    ($name:ident, $std:ty) => {
        crate::socket::socket!($name);

        /// The blocking mode stays as it is, and the standard library opens sockets blocking: call its
        /// `set_nonblocking(true)` before.
        impl From<$std> for $name {
            fn from(socket: $std) -> Self {
                std::os::fd::OwnedFd::from(socket).into()
            }
        }

        /// The blocking mode stays as it is, and this crate opens sockets non-blocking: call `set_nonblocking(false)`
        /// afterwards where calls shall wait.
        impl From<$name> for $std {
            fn from(socket: $name) -> Self {
                std::os::fd::OwnedFd::from(socket).into()
            }
        }
    };
}
pub(crate) use socket;
