use super::Stream;
use crate::fd::owned_fd;
use crate::socket::options::{inet_builder_options, inet_options};
use crate::socket::{self, failed, inet, socket};
use crate::{SetupError, ffi};
use rustix::net::{SocketType, listen};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A socket that accepts TCP connections: listen(2), accept(2), tcp(7).
///
/// Close-on-exec and non-blocking. It is readable while connections wait. Dropping it closes the socket and resets
/// the connections that were not accepted.
///
/// ```
/// use becket_sys::tcp::Listener;
///
/// let listener = Listener::builder().backlog(16).bind(([127, 0, 0, 1], 0))?;
/// assert_ne!(listener.local_addr()?.port(), 0); // the system chose one
/// assert!(listener.try_accept()?.is_none());
///
/// let e = Listener::bind(listener.local_addr()?).unwrap_err();
/// assert_eq!((e.step(), e.kind()), ("bind", std::io::ErrorKind::AddrInUse));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "listen")]
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

owned_fd!(Listener, Readable);
socket!(Listener, std::net::TcpListener);
inet_options!(Listener);

impl Listener {
    /// Listens at `addr` with the defaults of [`builder`](Self::builder). Port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`].
    pub fn bind(addr: impl Into<SocketAddr>) -> Result<Listener, SetupError> {
        Self::builder().bind(addr)
    }

    /// Sets up a listener in detail.
    pub fn builder() -> ListenerBuilder {
        let options = inet::Options { reuse_address: true, ..Default::default() };
        ListenerBuilder { options, backlog: 4096, defer_accept: None, fast_open: None, max_segment: None }
    }

    /// The address it is bound to, with the port that the system chose.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no TCP socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet::local_addr(self)
    }

    /// Accepts a connection; `None` where none waits. The stream is close-on-exec and non-blocking, and inherits the
    /// other options that the listener has.
    ///
    /// Connections that failed while they waited are passed over, so that an error is the listener's own; after 64
    /// in a row the error of the next is returned, as a guard. A listener that was made blocking blocks.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` where something has run out: [`is_exhausted`](crate::is_exhausted)
    /// tells these apart and says what to do; [`Reserve`](crate::Reserve) turns the connection away. `EPERM` where a
    /// firewall forbids it; `EINVAL` where the socket does not listen.
    #[doc(alias = "accept4")]
    pub fn try_accept(&self) -> io::Result<Option<(Stream, SocketAddr)>> {
        let Some((fd, from)) = socket::try_accept(self)? else { return Ok(None) };
        Ok(Some((fd.into(), inet::address(from)?)))
    }
}

/// What to set up before a [`Listener`] listens; see [`Listener::builder`].
///
/// ```
/// use becket_sys::tcp::Listener;
///
/// // Two listeners share a port; the kernel spreads the connections over them.
/// let a = Listener::builder().reuse_port(true).bind(([127, 0, 0, 1], 0))?;
/// let b = Listener::builder().reuse_port(true).bind(a.local_addr()?)?;
/// assert_eq!(a.local_addr()?, b.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ListenerBuilder {
    options: inet::Options,
    backlog: u32,
    defer_accept: Option<Duration>,
    fast_open: Option<u32>,
    max_segment: Option<u32>,
}

inet_builder_options!(ListenerBuilder);

impl ListenerBuilder {
    /// How many connections may wait to be accepted. The default is 4096; the kernel takes at most
    /// `/proc/sys/net/core/somaxconn`, and lets one more wait than it is told. Whoever comes when the queue is full
    /// is not refused: its attempts go unanswered until there is room.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether to bind while connections of an earlier listener linger in the state TIME_WAIT. The default is yes:
    /// a daemon can be started again at once. Two listeners cannot share a port by this.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Whether to share the port with other listeners of the same user that ask for it too. The default is no. The
    /// kernel spreads the connections; those that wait at a listener are reset when it closes.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 listener refuses IPv4, which it would otherwise serve under addresses such as
    /// `::ffff:127.0.0.1`. The default is that of the system, `/proc/sys/net/ipv6/bindv6only`. It does nothing for
    /// an IPv4 address.
    #[doc(alias = "IPV6_V6ONLY")]
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.options.v6only = Some(v6only);
        self
    }

    /// Hands out a connection only when its first data has come, or after about `patience` without any, rounded up to
    /// the times of the kernel's own retries (1, 3, 7, .. seconds). The default is at once.
    #[doc(alias = "TCP_DEFER_ACCEPT")]
    pub fn defer_accept(mut self, patience: Duration) -> Self {
        self.defer_accept = Some(patience);
        self
    }

    /// Takes data that comes with the request to connect (RFC 7413), from at most `waiting` connections at a time that
    /// are not confirmed yet. The default is none. The system has to allow it too: `/proc/sys/net/ipv4/tcp_fastopen`
    /// must have the bit 2. Such data can come twice: serve nothing by it that must happen once.
    #[doc(alias = "TCP_FASTOPEN")]
    pub fn fast_open(mut self, waiting: u32) -> Self {
        self.fast_open = Some(waiting);
        self
    }

    /// Whether to use several paths at once where both ends have them (RFC 8684, Multipath TCP). The default is no.
    /// With a peer that does not know it, it is plain TCP. `socket` fails with `EPROTONOSUPPORT` or `ENOPROTOOPT` where
    /// this system does not have it. Accepted connections may be of either kind.
    #[doc(alias = "IPPROTO_MPTCP")]
    pub fn multipath(mut self, multipath: bool) -> Self {
        self.options.multipath = multipath;
        self
    }

    /// The largest segment to announce and to send, in bytes, from 88 to 32767, for accepted connections; the default
    /// follows from the interface.
    #[doc(alias = "TCP_MAXSEG")]
    pub fn max_segment(mut self, bytes: u32) -> Self {
        self.max_segment = Some(bytes);
        self
    }

    /// Creates the socket, binds it to `addr` and listens. Port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// Each names the step and the address. `bind`: `EADDRINUSE` where another socket has the port, `EADDRNOTAVAIL`
    /// where the address is not of this machine, `EACCES` for a port below 1024 without privilege. `listen`:
    /// `EADDRINUSE` where another socket was bound at the same time and listens already. `socket`: `EMFILE`,
    /// `EAFNOSUPPORT` where the system has no IPv6. `set ..`: `EPERM`, `EINVAL`, `ENODEV` for what the option says.
    pub fn bind(&self, addr: impl Into<SocketAddr>) -> Result<Listener, SetupError> {
        let addr = addr.into();
        let fd = self.options.bind(SocketType::STREAM, addr)?;
        let set = |step, name, value: i32| {
            ffi::sockopt::set(&fd, libc::IPPROTO_TCP, name, &value).map_err(failed(step, &addr))
        };
        if let Some(patience) = self.defer_accept {
            let seconds = patience.as_millis().div_ceil(1000).try_into().unwrap_or(i32::MAX);
            set("set TCP_DEFER_ACCEPT", libc::TCP_DEFER_ACCEPT, seconds)?;
        }
        if let Some(waiting) = self.fast_open {
            set("set TCP_FASTOPEN", libc::TCP_FASTOPEN, waiting.try_into().unwrap_or(i32::MAX))?;
        }
        if let Some(bytes) = self.max_segment {
            set("set TCP_MAXSEG", libc::TCP_MAXSEG, bytes.try_into().unwrap_or(i32::MAX))?;
        }
        let backlog = self.backlog.try_into().unwrap_or(i32::MAX);
        listen(&fd, backlog).map_err(failed("listen", &addr))?;
        Ok(Listener { fd })
    }
}
