use super::Address;
use super::ancillary::{Pass, ancillary_io, pass_options, peer, set_pass};
use crate::SetupError;
use crate::cmsg::RecvFlags;
use crate::fd::owned_fd;
use crate::socket::stream::stream_io;
use crate::socket::urgent::urgent_io;
use crate::socket::{FLAGS, failed, open, socket};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType, bind, socketpair};
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
#[doc(alias = "SOCK_STREAM")]
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

owned_fd!(Stream, Readable);
socket!(Stream, std::os::unix::net::UnixStream);
stream_io!(Stream);
urgent_io!(Stream);
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
        Ok(Stream { fd: connect(SocketType::STREAM, None, addr)? })
    }

    /// As [`connect`](Self::connect), from a socket that is bound to `local` before, so that the listener sees who it
    /// is: an [unnamed](Address::unnamed) one lets the system choose an abstract name. The file of a path stays.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and of the step `bind`, which names `local`: `EADDRINUSE` where the file exists or
    /// the name is taken, `ENOENT`, `ENOTDIR`, `EACCES` or `EROFS` for the directory.
    #[doc(alias = "autobind")]
    pub fn connect_from(local: &Address, addr: &Address) -> Result<Stream, SetupError> {
        Ok(Stream { fd: connect(SocketType::STREAM, Some(local), addr)? })
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

    /// Whether each receive tells how many bytes are [left to read](crate::cmsg::Message::Unread); the default is no.
    /// The kernel does not tell whether it is switched on.
    ///
    /// # Errors
    /// `ENOPROTOOPT` from kernels that do not know it, and where it is no unix stream.
    #[doc(alias = "SO_INQ")]
    pub fn set_recv_unread(&self, on: bool) -> io::Result<()> {
        set_pass(self, Pass::Unread, on)
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

/// Opens a socket of this kind, binds it where asked to, and connects it.
pub(super) fn connect(kind: SocketType, local: Option<&Address>, addr: &Address) -> Result<OwnedFd, SetupError> {
    let fd = open(AddressFamily::UNIX, kind, addr)?;
    if let Some(local) = local {
        local.encode().and_then(|encoded| bind(&fd, &encoded)).map_err(failed("bind", local))?;
    }
    match addr.encode().and_then(|encoded| net::connect(&fd, &encoded)) {
        Ok(()) => Ok(fd),
        Err(Errno::AGAIN) => {
            Err(SetupError::new("connect", format!("{addr} (the listener's backlog is full)"), Errno::AGAIN))
        }
        Err(e) => Err(SetupError::new("connect", addr.to_string(), e)),
    }
}
