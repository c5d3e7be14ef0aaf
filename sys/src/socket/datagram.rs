//! Sending and receiving datagrams.

use crate::fd::attempt;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, recv, recvfrom, send, sendto};
use std::io;
use std::os::fd::AsFd;

/// What a datagram socket received: how much of the datagram is in the buffer, and how long it was.
///
/// A datagram longer than the buffer is cut to it and the rest is lost. That is visible here, and no error.
///
/// ```
/// use becket_sys::{Ready, udp::Socket};
///
/// let socket = Socket::bind(([127, 0, 0, 1], 0))?;
/// socket.try_send_to(b"becket", socket.local_addr()?)?;
/// socket.wait_ready(Ready::READ, None)?;
/// let mut buf = [0; 4];
/// let received = socket.try_recv(&mut buf)?.expect("a datagram");
/// assert_eq!(&buf[..received.len()], b"beck");
/// assert!(received.is_truncated());
/// assert_eq!(received.datagram_len(), 6);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "MSG_TRUNC")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    len: usize,
    datagram_len: usize,
    /// Those of the message, where the call tells them.
    flags: i32,
}

impl Received {
    /// How many bytes of the buffer were filled.
    #[inline]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether no byte was filled: the datagram was empty, as is allowed, or the buffer.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// How long the datagram was: more than [`len`](Self::len) where it was truncated. (Not from
    /// [`cmsg::try_recv`](crate::cmsg::try_recv) without [`TRUNC`](crate::cmsg::RecvFlags::TRUNC).)
    pub fn datagram_len(self) -> usize {
        self.datagram_len
    }

    /// Whether the datagram did not fit into the buffer.
    #[inline]
    pub fn is_truncated(self) -> bool {
        self.len < self.datagram_len || self.flags & libc::MSG_TRUNC != 0
    }

    /// Whether ancillary data were lost; see [`Incoming::is_truncated`](crate::cmsg::Incoming::is_truncated). Calls
    /// without room for such data lose them without telling.
    #[doc(alias = "MSG_CTRUNC")]
    pub fn is_control_truncated(self) -> bool {
        self.flags & libc::MSG_CTRUNC != 0
    }

    /// The flags of the message (`MSG_…`), as recvmsg(2) returns them; 0 from calls that do not tell.
    #[doc(alias = "msg_flags")]
    pub fn flags(self) -> i32 {
        self.flags
    }

    pub(crate) fn new(len: usize, datagram_len: usize, flags: i32) -> Received {
        Received { len, datagram_len, flags }
    }

    /// From what a call returned, the length and the flags of the message, for buffers of `room` bytes. The length is
    /// the true one only where the call was asked for it.
    #[inline]
    pub(crate) fn of_call((len, flags): (usize, i32), room: usize) -> Received {
        Received { len: len.min(room), datagram_len: len, flags }
    }
}

pub(crate) fn try_send(fd: impl AsFd, buf: &[u8]) -> io::Result<Option<usize>> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    attempt(|| send(&fd, buf, flags))
}

pub(crate) fn try_send_to(fd: impl AsFd, buf: &[u8], to: &impl SocketAddrArg) -> io::Result<Option<usize>> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    attempt(|| sendto(&fd, buf, flags, to))
}

/// With `flags` beside those that all receiving has: that it does not block, and tells the true length.
pub(crate) fn try_recv(fd: impl AsFd, buf: &mut [u8], flags: RecvFlags) -> io::Result<Option<Received>> {
    let flags = flags | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let result = attempt(|| recv(&fd, &mut *buf, flags));
    Ok(result?.map(|(len, datagram_len)| Received { len, datagram_len, flags: 0 }))
}

pub(crate) fn try_recv_from(
    fd: impl AsFd,
    buf: &mut [u8],
    flags: RecvFlags,
) -> io::Result<Option<(Received, Option<SocketAddrAny>)>> {
    let flags = flags | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let result = attempt(|| recvfrom(&fd, &mut *buf, flags));
    Ok(result?.map(|(len, datagram_len, from)| (Received { len, datagram_len, flags: 0 }, from)))
}

/// Gives `$name` what every socket of datagrams has.
macro_rules! datagram_io {
    ($name:ident) => {
        impl $name {
            /// Sends a datagram to the peer that the socket is connected to; `None` where there is no room. A datagram
            /// goes whole or not at all, so the number returned is the length of `buf`. An empty one is one too.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor.
            ///
            /// # Errors
            /// `EDESTADDRREQ` or `ENOTCONN` where the socket is not connected, `EMSGSIZE` where the datagram is too
            /// long, and `ECONNREFUSED` where nobody receives at the peer's address.
            #[inline]
            pub fn try_send(&self, buf: &[u8]) -> std::io::Result<Option<usize>> {
                crate::socket::datagram::try_send(self, buf)
            }

            /// Receives a datagram; `None` where there is none. What does not fit into `buf` is lost, visibly.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor.
            ///
            /// # Errors
            /// The pending error of the socket, such as `ECONNREFUSED` where an earlier datagram met no receiver.
            #[inline]
            pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<Option<Received>> {
                crate::socket::datagram::try_recv(self, buf, rustix::net::RecvFlags::empty())
            }

            /// As [`try_recv`](Self::try_recv), but leaves the datagram in place.
            ///
            /// # Errors
            /// As [`try_recv`](Self::try_recv).
            #[doc(alias = "MSG_PEEK")]
            pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<Option<Received>> {
                crate::socket::datagram::try_recv(self, buf, rustix::net::RecvFlags::PEEK)
            }
        }
    };
}
pub(crate) use datagram_io;
