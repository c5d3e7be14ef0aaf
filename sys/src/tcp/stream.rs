use super::Connecting;
use crate::SetupError;
use crate::fd::owned_fd;
use crate::socket::{inet, socket, stream::stream_io};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

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

impl Stream {
    /// Starts to connect to `addr`, and returns at once. Names are not looked up.
    ///
    /// # Errors
    /// Each names the step and the address. `socket`: `EMFILE`, `EAFNOSUPPORT` where the system has no IPv6.
    /// `connect`: `ENETUNREACH` where there is no way, `EADDRNOTAVAIL` where no port is left for this end,
    /// `ECONNREFUSED` where that is known at once.
    pub fn connect(addr: impl Into<SocketAddr>) -> Result<Connecting, SetupError> {
        Connecting::start(None, addr.into())
    }

    /// As [`connect`](Self::connect), from the address `local` of this machine. Port 0 lets the system choose one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); and `bind`: `EADDRINUSE`, `EADDRNOTAVAIL` where `local` is not of this machine.
    pub fn connect_from(local: impl Into<SocketAddr>, addr: impl Into<SocketAddr>) -> Result<Connecting, SetupError> {
        Connecting::start(Some(local.into()), addr.into())
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

    /// Whether small writes go out at once; see [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    /// `EOPNOTSUPP` or `ENOTSOCK` where the descriptor is no TCP socket.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(sockopt::tcp_nodelay(self)?)
    }

    /// Sends small writes at once instead of gathering them while an acknowledgement is outstanding (Nagle's
    /// algorithm). The default is to gather.
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(self, nodelay)?)
    }

    /// The probes of an idle connection, or `None` where there are none; see [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        if !sockopt::socket_keepalive(self)? {
            return Ok(None);
        }
        let idle = sockopt::tcp_keepidle(self)?;
        let interval = sockopt::tcp_keepintvl(self)?;
        let probes = sockopt::tcp_keepcnt(self)?;
        Ok(Some(Keepalive { idle, interval, probes }))
    }

    /// Probes the connection while it is idle, so that a peer that vanished is noticed: reads then fail with
    /// `ETIMEDOUT`. `None`, the default, does not.
    ///
    /// # Errors
    /// `EINVAL` where a time is zero or above 32767 s, or the probes are none or above 127: probing is then on or
    /// off as before, but some of the numbers may have been set.
    #[doc(alias = "SO_KEEPALIVE")]
    #[doc(alias = "TCP_KEEPIDLE")]
    #[doc(alias = "TCP_KEEPINTVL")]
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        if let Some(Keepalive { idle, interval, probes }) = keepalive {
            sockopt::set_tcp_keepidle(self, idle)?;
            sockopt::set_tcp_keepintvl(self, interval)?;
            sockopt::set_tcp_keepcnt(self, probes)?;
        }
        Ok(sockopt::set_socket_keepalive(self, keepalive.is_some())?)
    }

    /// What closing does; see [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(sockopt::socket_linger(self)?)
    }

    /// Says what closing the last handle does. `None`, the default: what was written goes out in the background.
    /// Zero: it is thrown away and the connection is reset. Another duration (rounded up to seconds): closing
    /// **blocks the thread**, in non-blocking mode too, until it has gone out, at most so long.
    ///
    /// # Errors
    /// `EINVAL` above `i32::MAX` seconds; `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "SO_LINGER")]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self, linger)?)
    }

    /// How long written data may stay unacknowledged; see [`set_user_timeout`](Self::set_user_timeout).
    ///
    /// # Errors
    /// As [`nodelay`](Self::nodelay).
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        let ms = sockopt::tcp_user_timeout(self)?;
        Ok((ms != 0).then(|| Duration::from_millis(ms.into())))
    }

    /// Ends the connection with `ETIMEDOUT` when written data stays unacknowledged, or the peer's window shut, for
    /// so long: rounded up to milliseconds, zero counts as one. With keepalive it also takes the place of the number
    /// of probes. `None`, the default, leaves it to the kernel's retries, about 15 minutes.
    ///
    /// # Errors
    /// `EINVAL` above `i32::MAX` milliseconds (24 days); otherwise as [`nodelay`](Self::nodelay).
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let ms = match timeout {
            None => 0,
            // Zero would mean none to the kernel.
            Some(d) => d.as_nanos().div_ceil(1_000_000).max(1).try_into().map_err(|_| Errno::INVAL)?,
        };
        Ok(sockopt::set_tcp_user_timeout(self, ms)?)
    }
}

/// How an idle connection is probed: after `idle` without a packet, every `interval`; it has failed when `probes` in
/// a row stay unanswered. Times are rounded up to seconds, from 1 to 32767.
///
/// ```
/// use becket_sys::tcp::{Keepalive, Listener, Stream};
/// use std::time::Duration;
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let stream = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// assert_eq!(stream.keepalive()?, None);
///
/// // A peer that vanishes is noticed after 30 + 3 * 5 seconds.
/// let (idle, interval) = (Duration::from_secs(30), Duration::from_secs(5));
/// let keepalive = Keepalive { idle, interval, probes: 3 };
/// stream.set_keepalive(Some(keepalive))?;
/// assert_eq!(stream.keepalive()?, Some(keepalive));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long the connection is idle before the first probe.
    pub idle: Duration,
    /// How long after one probe the next goes out.
    pub interval: Duration,
    /// How many probes may stay unanswered, from 1 to 127.
    pub probes: u32,
}
