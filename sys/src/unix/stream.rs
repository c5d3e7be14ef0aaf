use super::Address;
use super::ancillary::{ancillary_io, pass_options, peer};
use crate::SetupError;
use crate::cmsg::RecvFlags;
use crate::fd::owned_fd;
use crate::socket::stream::stream_io;
use crate::socket::{FLAGS, open, socket};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect, socketpair};
use std::io;
use std::os::fd::OwnedFd;

/// A connection within this machine: unix(7).
///
/// Close-on-exec and non-blocking. Dropping it closes the connection: the peer reads what was written, then
/// `ECONNRESET` where received data was left unread here, then the end of the stream.
///
/// ```
/// use becket_sys::unix::Stream;
///
/// let (a, b) = Stream::pair()?;
/// let mut buf = [0; 8];
/// assert_eq!(b.try_read(&mut buf)?, None);
/// assert_eq!(a.try_write(b"becket")?, Some(6));
/// assert_eq!(b.try_read(&mut buf)?, Some(6));
/// assert!(a.local_addr()?.is_unnamed());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

owned_fd!(Stream, Readable);
socket!(Stream, std::os::unix::net::UnixStream);
stream_io!(Stream);
ancillary_io!(Stream, RecvFlags::empty());
pass_options!(Stream);
peer!(Stream);

impl Stream {
    /// Connects to `addr`. That succeeds or fails at once: there is nothing to wait for.
    ///
    /// # Errors
    /// Each names the step and the address. `connect`: `ENOENT` where there is no such file, `ECONNREFUSED` where
    /// nobody listens, `EACCES` without permission to write to the file or to search its directory, `EPROTOTYPE`
    /// where the socket there is one of datagrams.
    ///
    /// `EAGAIN` ([`WouldBlock`](io::ErrorKind::WouldBlock)): the listener's backlog is full. No readiness will tell
    /// when there is room; try again after a while. `socket`: `EMFILE`.
    #[doc(alias = "EAGAIN")]
    pub fn connect(addr: &Address) -> Result<Stream, SetupError> {
        let fd = open(AddressFamily::UNIX, SocketType::STREAM, addr)?;
        match addr.encode().and_then(|encoded| connect(&fd, &encoded)) {
            Ok(()) => Ok(Stream { fd }),
            Err(Errno::AGAIN) => {
                Err(SetupError::new("connect", format!("{addr} (the listener's backlog is full)"), Errno::AGAIN))
            }
            Err(e) => Err(SetupError::new("connect", addr.to_string(), e)),
        }
    }

    /// Two streams connected with each other, both unnamed: socketpair(2).
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(Stream, Stream)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        Ok((a.into(), b.into()))
    }

    /// The address of this end: unnamed, unless it was accepted.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no unix socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::local(self)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `ENOTCONN` where it is not connected; otherwise as [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<Address> {
        Address::peer(self)
    }
}
