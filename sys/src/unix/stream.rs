use super::Address;
use crate::SetupError;
use crate::fd::owned_fd;
use crate::ffi::socket::peer_credentials;
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

    /// Who made the other end, as the kernel recorded it at that time: the client's connect(2), the server's
    /// listen(2), or socketpair(2). It cannot be forged, but may have been handed on since, and the process may have
    /// ended.
    ///
    /// # Errors
    /// `ENOTCONN` where there is no peer; `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        let ucred = peer_credentials(self)?;
        if ucred.pid == 0 && ucred.uid == u32::MAX {
            return Err(Errno::NOTCONN.into());
        }
        let pid = ucred.pid.try_into().ok().filter(|pid| *pid != 0);
        Ok(Credentials { pid, uid: ucred.uid, gid: ucred.gid })
    }
}

/// Who is at the other end; see [`Stream::peer_credentials`].
///
/// ```
/// use becket_sys::unix::Stream;
///
/// let (a, _b) = Stream::pair()?;
/// let me = a.peer_credentials()?;
/// assert_eq!(me.pid, Some(std::process::id()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ucred")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process; `None` where it is in a pid namespace that is not seen from here. The number may be another
    /// process's by now.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}
