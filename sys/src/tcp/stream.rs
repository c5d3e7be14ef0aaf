use super::{Connecting, Info, StreamBuilder};
use crate::SetupError;
use crate::fd::attempt;
use crate::fd::owned_fd;
use crate::socket::options::inet_options;
use crate::socket::stream::stream_io;
use crate::socket::urgent::urgent_io;
use crate::socket::{inet, socket};
use rustix::fs::sendfile;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

/// A TCP connection: tcp(7).
///
/// Close-on-exec and non-blocking. Dropping it closes the connection in the background, after what was written has
/// gone out; where received data is left unread it is reset instead, and what was written may be lost. See
/// [`set_linger`](Self::set_linger).
///
/// ```
/// use becket_sys::tcp::{Listener, Stream};
/// use std::io::{Read, Write};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let mut client = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// client.write_all(b"becket")?;
/// client.shutdown(std::net::Shutdown::Write)?;
///
/// // As a stream of the standard library, which can wait for the end.
/// listener.wait_ready(becket_sys::Ready::READ, None)?;
/// let (server, _) = listener.try_accept()?.expect("a connection");
/// let mut server = std::net::TcpStream::from(server);
/// server.set_nonblocking(false)?;
/// let mut text = String::new();
/// server.read_to_string(&mut text)?;
/// assert_eq!(text, "becket");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

owned_fd!(Stream, Readable);
socket!(Stream, std::net::TcpStream);
stream_io!(Stream);
urgent_io!(Stream);
inet_options!(Stream);

impl Stream {
    /// Starts to connect to `addr`, and returns at once. Names are not looked up.
    ///
    /// # Errors
    /// As [`StreamBuilder::connect`].
    pub fn connect(addr: impl Into<SocketAddr>) -> Result<Connecting, SetupError> {
        Self::builder().connect(addr)
    }

    /// As [`connect`](Self::connect), from the address `local` of this machine. Port 0 lets the system choose one.
    ///
    /// # Errors
    /// As [`StreamBuilder::connect`].
    pub fn connect_from(local: impl Into<SocketAddr>, addr: impl Into<SocketAddr>) -> Result<Connecting, SetupError> {
        Self::builder().from(local).connect(addr)
    }

    /// Sets up a connection in detail.
    pub fn builder() -> StreamBuilder {
        StreamBuilder::default()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no TCP socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet::local_addr(self)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `ENOTCONN` where the connection is gone, so ask early; otherwise as [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet::peer_addr(self)
    }

    /// Where the peer was connecting to, of a connection that the firewall has redirected here.
    ///
    /// # Errors
    /// `ENOENT` where it was not redirected; `ENOPROTOOPT` where this system does not keep track of connections.
    #[doc(alias = "SO_ORIGINAL_DST")]
    #[doc(alias = "IP6T_SO_ORIGINAL_DST")]
    pub fn original_destination(&self) -> io::Result<SocketAddr> {
        match self.local_addr()? {
            SocketAddr::V4(_) => Ok(sockopt::ip_original_dst(self)?.into()),
            SocketAddr::V6(_) => Ok(sockopt::ipv6_original_dst(self)?.into()),
        }
    }

    /// What the kernel knows of the connection.
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no TCP socket.
    #[doc(alias = "TCP_INFO")]
    pub fn info(&self) -> io::Result<Info> {
        Info::of(self)
    }

    /// How many written bytes the peer has not acknowledged yet, sent or not.
    ///
    /// # Errors
    /// `EINVAL` where the socket listens, `ENOTTY` where the descriptor is no socket.
    #[doc(alias = "SIOCOUTQ")]
    pub fn unacknowledged(&self) -> io::Result<usize> {
        Ok(crate::ffi::tcp::unacknowledged(self)?)
    }

    /// Writes at most `len` bytes of `file`, from `offset` on, without bringing them into this process; adds what it
    /// wrote to `offset` and returns it. `None` where there is no room, `Some(0)` at the end of the file. The file's
    /// own position is neither used nor changed. See sendfile(2).
    ///
    /// Waiting for the file itself, on a disk, blocks the thread; for the socket it waits where the descriptor is
    /// blocking. Unlike every other write here, it raises SIGPIPE where the peer has gone; a Rust program ignores that
    /// signal unless it asks otherwise.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write); `EINVAL` where `file` is not of a kind that can be mapped; `EIO` where
    /// reading fails.
    #[doc(alias = "sendfile")]
    pub fn try_send_file(&self, file: impl AsFd, offset: &mut u64, len: usize) -> io::Result<Option<usize>> {
        // The kernel moves no more at a time, and refuses a length that runs past the largest offset.
        let len = len.min(0x7fff_f000);
        attempt(|| sendfile(self, &file, Some(offset), len))
    }
}
