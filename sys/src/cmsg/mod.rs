//! Ancillary data, which messages of sockets carry beside their bytes: recvmsg(2), sendmsg(2), cmsg(3).
//!
//! [`Outgoing`] is filled and sent, [`Incoming`] is received into and looked at. The sockets of [`unix`](crate::unix)
//! have methods for both (`try_send_with`, `try_recv_with`); the functions here do the same for any socket, those of
//! other crates too.
//!
//! ```
//! use becket_sys::cmsg::{self, Incoming, Message, Outgoing, RecvFlags};
//! use std::io::{IoSlice, IoSliceMut};
//! use std::net::UdpSocket;
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! rustix::net::sockopt::set_ip_recvtos(&socket, true)?; // asks for the traffic class
//! let mut out = Outgoing::new();
//! out.push_source([127, 0, 0, 5].into(), 0).push_traffic_class(0xb8);
//! cmsg::try_send_to(&socket, &[IoSlice::new(b"hello")], &out, socket.local_addr()?)?;
//!
//! let mut control = Incoming::new();
//! let mut buf = [0; 16];
//! let bufs = &mut [IoSliceMut::new(&mut buf)];
//! let received = cmsg::try_recv(&socket, bufs, &mut control, RecvFlags::empty())?.expect("a datagram");
//! assert_eq!(received.len(), 5);
//! assert_eq!(control.sender().unwrap().ip().to_string(), "127.0.0.5");
//! assert!(control.messages().eq([Message::TrafficClass(0xb8)]));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Bytes, and what owns
//!
//! [`parse`] takes bytes apart and owns nothing: the descriptors in it are numbers. Only a call that receives, and
//! [`Incoming::adopt`] for those who receive in another way, makes owners out of them, at once and of each: also of
//! those that were not asked for, that came in too small a buffer, or that nobody looks at.
//!
//! # Honest trouble
//!
//! - **Room is rounded up.** Room for one descriptor admits two where words have 8 bytes. What came beyond what was
//!   expected is visible ([`Incoming::take_exactly`]), and closed unless taken.
//! - **Truncation loses.** What finds no room is gone, and the kernel does not say what it was. With descriptors it
//!   also means "this process has as many open as it may". See [`Incoming::is_truncated`].
//! - **On a stream, descriptors need a byte.** Without data the kernel takes them, and loses them without a word;
//!   sending refuses that here, with `EINVAL`. They arrive with the first byte of the data that they were sent with:
//!   after a partial send, send the rest *without* them.
//! - **On a stream, a receive ends** before data that other descriptors came with, and where the sender changes (if
//!   credentials are asked for). It never mixes descriptors of two sends. It may begin with data sent before, without.
//! - **Plain reads drop them.** Who reads by read(2), or `try_read`, loses what came with the bytes, without a word.
//! - **Peeking duplicates.** A peek of a message with descriptors opens new ones each time; the first real receive
//!   brings others again.
//! - A received descriptor shares its *description* with the sender's: whether it blocks, and where it reads, is
//!   common to both. Nothing here changes that. It may be anything, a directory or a socket to yourself: check it.
//! - A unix socket in flight inside itself, or in a circle, is not lost: the kernel collects such garbage.

mod batch;
mod incoming;
mod message;
mod outgoing;

pub use crate::socket::datagram::Received;
pub use batch::{Batch, Packet, Slot};
pub use incoming::{Incoming, UnexpectedFds};
pub use message::{ExtendedError, Message, Numbers, PacketInfo, Record, Records, parse, space};
pub(crate) use message::{HEAD, SCM_PIDFD, only_fd};
pub use outgoing::Outgoing;

use crate::fd::{attempt, unless_blocked};
use crate::ffi::cmsg as ffi;
use bitflags::bitflags;
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::sockopt::socket_type;
use rustix::net::{SocketAddrAny, SocketType};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd;

bitflags! {
    /// How to receive. That it does not block, and that descriptors come close-on-exec, is always so.
    ///
    /// ```
    /// use becket_sys::cmsg::RecvFlags;
    ///
    /// assert_eq!((RecvFlags::PEEK | RecvFlags::TRUNC).bits(), 0x22);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct RecvFlags: u32 {
        /// Leaves the message in place.
        #[doc(alias = "MSG_PEEK")]
        const PEEK = libc::MSG_PEEK as u32;
        /// Tells the true length of a datagram. Not for streams: TCP then throws the data away.
        #[doc(alias = "MSG_TRUNC")]
        const TRUNC = libc::MSG_TRUNC as u32;
        /// Receives from the queue of errors. The data are those of the packet that met the error.
        #[doc(alias = "MSG_ERRQUEUE")]
        const ERRQUEUE = libc::MSG_ERRQUEUE as u32;
        /// What this crate does not know is kept.
        const _ = !0;
    }
}

/// Receives a message from any socket, and what comes beside its data; `None` where there is none.
///
/// Never blocks, whatever the blocking mode of the descriptor. Descriptors in `control` that nobody took before are
/// closed, also where this fails. Of `bufs` at most 1024 are used.
///
/// # Errors
/// Those of recvmsg(2): the pending error of the socket, `ENOTCONN`, `ENOTSOCK`; `EINVAL` for flags that it does not
/// take.
#[doc(alias = "recvmsg")]
#[inline(always)] // its result is taken apart at once, mostly
pub fn try_recv(
    fd: impl AsFd,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut Incoming,
    flags: RecvFlags,
) -> io::Result<Option<Received>> {
    let room = bufs.iter().take(ffi::MAX_SLICES).map(|buf| buf.len()).sum();
    let (control, name) = control.parts();
    let bits = flags.bits().cast_signed() | libc::MSG_DONTWAIT;
    let result = unless_blocked(ffi::recvmsg(fd.as_fd(), bufs, control, name, bits))?;
    Ok(result.map(|raw| Received::of_call(raw, room)))
}

/// Receives several messages from any socket of datagrams or records, and says how many; `None` where there are none.
/// They are then in [`Batch::messages`]; those of the call before are gone, also where this fails.
///
/// Never blocks, whatever the blocking mode of the descriptor.
///
/// # Errors
/// As [`try_recv`]. An error after the first message is returned by the next call.
#[doc(alias = "recvmmsg")]
pub fn try_recv_batch(fd: impl AsFd, batch: &mut Batch, flags: RecvFlags) -> io::Result<Option<usize>> {
    let bits = flags.bits().cast_signed() | libc::MSG_DONTWAIT;
    let call = |headers: &mut _, slots: &mut [_]| ffi::recvmmsg(fd.as_fd(), headers, slots, Slot::place, bits);
    attempt(|| batch.receive(call))
}

/// Sends a message to the peer of any connected socket, with `control` beside its data, and says how many bytes it
/// took; `None` where there is no room.
///
/// A stream may take a part of the data, and then all of `control`: send the rest without it. Never blocks, whatever
/// the blocking mode of the descriptor, and never raises SIGPIPE. Of `bufs` at most 1024 are used.
///
/// # Errors
/// `EINVAL` where descriptors or credentials are to go over a stream without any data, and for control messages that
/// the socket does not take; otherwise those of sendmsg(2). See also the methods of [`Outgoing`].
#[doc(alias = "sendmsg")]
#[inline]
pub fn try_send(fd: impl AsFd, bufs: &[IoSlice<'_>], control: &Outgoing<'_>) -> io::Result<Option<usize>> {
    send(fd, bufs, control, None::<&SocketAddrAny>)
}

/// As [`try_send`], to this address.
///
/// # Errors
/// As [`try_send`].
pub fn try_send_to(
    fd: impl AsFd,
    bufs: &[IoSlice<'_>],
    control: &Outgoing<'_>,
    addr: impl Into<SocketAddr>,
) -> io::Result<Option<usize>> {
    send(fd, bufs, control, Some(&addr.into()))
}

#[inline]
pub(crate) fn send(
    fd: impl AsFd,
    bufs: &[IoSlice<'_>],
    control: &Outgoing<'_>,
    to: Option<&impl SocketAddrArg>,
) -> io::Result<Option<usize>> {
    if !control.is_empty() && bufs.iter().take(ffi::MAX_SLICES).all(|buf| buf.is_empty()) {
        refuse_on_streams(&fd)?;
    }
    let bytes = control.as_bytes();
    unless_blocked(ffi::sendmsg(fd.as_fd(), bufs, bytes, to, libc::MSG_DONTWAIT))
}

/// Sends several messages by one call, at most 1024, and says how many of them; `None` where there is no room for
/// the first. The rest is to be sent again. Each goes whole or not at all; not for streams, of whose messages any may
/// be cut.
///
/// Never blocks, whatever the blocking mode of the descriptor, and never raises SIGPIPE.
///
/// # Errors
/// Those of the first message, as [`try_send`]. An error of a later one ends the call, and comes with the next one.
#[doc(alias = "sendmmsg")]
pub fn try_send_batch(fd: impl AsFd, packets: &[Packet<'_>]) -> io::Result<Option<usize>> {
    let packets = &packets[..packets.len().min(ffi::MAX_SLICES)];
    if packets.iter().any(|p| p.data.is_empty() && p.control.is_some_and(|c| !c.is_empty())) {
        refuse_on_streams(&fd)?;
    }
    let call = || {
        let departures: Result<Vec<_>, Errno> = packets.iter().map(Packet::departure).collect();
        ffi::sendmmsg(fd.as_fd(), departures?, libc::MSG_DONTWAIT)
    };
    attempt(call)
}

/// A stream takes control messages without data for sent, and loses them.
fn refuse_on_streams(fd: impl AsFd) -> io::Result<()> {
    if socket_type(fd)? == SocketType::STREAM { Err(Errno::INVAL.into()) } else { Ok(()) }
}
