//! Urgent data: a byte that overtakes the stream.

use crate::fd::attempt;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::AsFd;

pub(crate) fn try_send(fd: impl AsFd, buf: &[u8]) -> io::Result<Option<usize>> {
    attempt(|| send(&fd, buf, SendFlags::OOB | SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
}

pub(crate) fn try_recv(fd: impl AsFd, flags: RecvFlags) -> io::Result<Option<u8>> {
    let mut byte = [0];
    match recv(&fd, &mut byte, flags | RecvFlags::OOB | RecvFlags::DONTWAIT) {
        Ok((1, _)) => Ok(Some(byte[0])),
        // The stream ended before the byte came; none there, or taken, or in line; announced but not yet there.
        Ok(_) | Err(Errno::INVAL | Errno::AGAIN) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Gives `$name`, a stream socket, urgent data.
macro_rules! urgent_io {
    ($name:ident) => {
        /// Urgent ("out-of-band") data: one byte that the reader can take before what was written ahead of it.
        ///
        /// It announces itself by [`Ready::PRI`](crate::Ready::PRI), until it is taken. It stays apart from the bytes
        /// of the stream, and ordinary reads stop at its place, the *mark*, and then go on as if it was not there:
        /// [`is_at_mark`](Self::is_at_mark) tells where it was. There is one urgent byte at a time: when the next one
        /// arrives, the one before is lost if nobody took it.
        impl $name {
            /// Writes bytes, of which the **last** is urgent if all are taken; `None` where there is no room. See
            /// [`try_write`](Self::try_write).
            ///
            /// # Errors
            /// As [`try_write`](Self::try_write).
            #[doc(alias = "MSG_OOB")]
            pub fn try_send_urgent(&self, buf: &[u8]) -> std::io::Result<Option<usize>> {
                crate::socket::urgent::try_send(self, buf)
            }

            /// Takes the urgent byte; `None` where there is none: nobody sent one, it is on its way, it was taken
            /// already, or it comes [in line](Self::set_urgent_inline).
            ///
            /// # Errors
            /// `ENOTCONN` where the socket is not connected. A pending error of the connection is not among them:
            /// ordinary reads return it.
            #[doc(alias = "MSG_OOB")]
            pub fn try_recv_urgent(&self) -> std::io::Result<Option<u8>> {
                crate::socket::urgent::try_recv(self, rustix::net::RecvFlags::empty())
            }

            /// As [`try_recv_urgent`](Self::try_recv_urgent), but leaves the byte, and the readiness, in place.
            ///
            /// # Errors
            /// As [`try_recv_urgent`](Self::try_recv_urgent).
            pub fn try_peek_urgent(&self) -> std::io::Result<Option<u8>> {
                crate::socket::urgent::try_recv(self, rustix::net::RecvFlags::PEEK)
            }

            /// Whether the next read begins at the mark: all that was sent before the urgent byte is read, and nothing
            /// after it. A read never crosses the mark, so read and ask in turn.
            ///
            /// # Errors
            /// `ENOTTY` or `EINVAL` where the descriptor is no stream socket.
            #[doc(alias = "SIOCATMARK")]
            #[doc(alias = "sockatmark")]
            pub fn is_at_mark(&self) -> std::io::Result<bool> {
                Ok(crate::ffi::tcp::is_at_mark(self)?)
            }

            /// Whether urgent bytes stay in line; see [`set_urgent_inline`](Self::set_urgent_inline).
            ///
            /// # Errors
            /// `ENOTSOCK` where the descriptor is no socket.
            pub fn urgent_inline(&self) -> std::io::Result<bool> {
                Ok(rustix::net::sockopt::socket_oobinline(self)?)
            }

            /// Leaves urgent bytes where they stand in the stream, for ordinary reads to find; the default is to keep
            /// them apart. A read still stops at the mark, and the byte after it is the urgent one.
            ///
            /// # Errors
            /// `ENOTSOCK` where the descriptor is no socket.
            #[doc(alias = "SO_OOBINLINE")]
            pub fn set_urgent_inline(&self, inline: bool) -> std::io::Result<()> {
                Ok(rustix::net::sockopt::set_socket_oobinline(self, inline)?)
            }
        }
    };
}
pub(crate) use urgent_io;
