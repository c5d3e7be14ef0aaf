use super::Stream;
use crate::fd::owned_fd;
use crate::ffi;
use crate::socket::options::inet_builder_options;
use crate::socket::{failed, inet};
use crate::{Ready, SetupError, wait};
use rustix::io::Errno;
use rustix::net::{SocketType, bind, connect, getpeername, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// A TCP connection in the making: connect(2).
///
/// Wait until it is ready for [`Ready::WRITE`], then [`try_finish`](Self::try_finish) it; or let
/// [`finish`](Self::finish) wait. Dropping it gives up the attempt.
///
/// ```
/// use becket_sys::tcp::{Listener, Progress, Stream};
/// use becket_sys::{Ready, wait};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let mut connecting = Stream::connect(listener.local_addr()?)?;
/// let stream = loop {
///     wait(&connecting, Ready::WRITE, None)?; // or by any event loop
///     match connecting.try_finish()? {
///         Progress::Connected(stream) => break stream,
///         Progress::Pending(still) => connecting = still,
///     }
/// };
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
///
/// // A port that nobody listens at: bound, and closed again.
/// let addr = listener.local_addr()?;
/// drop(listener);
/// let e = Stream::connect(addr).and_then(|c| c.finish(None)).unwrap_err();
/// assert_eq!(e.to_string(), format!("connect {addr}: Connection refused (os error 111)"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "EINPROGRESS")]
#[derive(Debug)]
pub struct Connecting {
    fd: OwnedFd,
    target: SocketAddr,
    /// Whether it counts as made before the peer was asked.
    fast_open: bool,
}

owned_fd!(Connecting, Writable);

/// What [`Connecting::try_finish`] found.
#[derive(Debug)]
pub enum Progress {
    /// The connection is made.
    Connected(Stream),
    /// The peer has not answered yet: wait for [`Ready::WRITE`] again.
    Pending(Connecting),
}

impl Connecting {
    /// The address that it connects to.
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// Whether the connection is made; `Ok(false)` says that the peer has not answered yet. Never blocks.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), with the step `connect` and the address. The cause is told once; after that it
    /// is `ENOTCONN`.
    #[doc(alias = "SO_ERROR")]
    pub fn is_connected(&self) -> Result<bool, SetupError> {
        self.check().map_err(failed("connect", &self.target))
    }

    fn check(&self) -> io::Result<bool> {
        sockopt::socket_error(self)??;
        match getpeername(self) {
            // A port chosen by the system for this end can be the very one that nobody listens at, and TCP then
            // connects the socket with itself.
            Ok(peer) if inet::address(peer.clone())? == inet::local_addr(self)? => Err(Errno::CONNREFUSED.into()),
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => {
                let want = if self.fast_open { Ready::WRITE } else { Ready::empty() };
                let ready = wait(self, want, Some(Instant::now()))?;
                if self.fast_open && ready == Some(Ready::WRITE) {
                    return Ok(true); // the first write brings the request along
                }
                if !ready.is_some_and(|r| r.contains(Ready::HUP)) {
                    return Ok(false);
                }
                // It failed just now, or somebody took its error before.
                sockopt::socket_error(self)??;
                Err(Errno::NOTCONN.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Looks whether the connection is made, and makes a stream of it if so. Never blocks.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), but for the deadline's.
    pub fn try_finish(self) -> Result<Progress, SetupError> {
        if self.is_connected()? { Ok(Progress::Connected(self.fd.into())) } else { Ok(Progress::Pending(self)) }
    }

    /// Blocks the thread until the connection is made, or until `deadline`; see [`wait`]. After
    /// [`Ready::WRITE`] it returns at once.
    ///
    /// # Errors
    /// Each has the step `connect` and names the address. `ECONNREFUSED` where nobody listens, `ETIMEDOUT` where
    /// nobody answers for a time that the kernel sets (about two minutes) or where `deadline` passed,
    /// `EHOSTUNREACH` or `ENETUNREACH` where there is no way. The attempt is then given up.
    pub fn finish(self, deadline: Option<Instant>) -> Result<Stream, SetupError> {
        while !self.is_connected()? {
            let ready = wait(&self, Ready::WRITE, deadline).map_err(failed("poll", &self.target))?;
            if ready.is_none() {
                return Err(failed("connect", &self.target)(Errno::TIMEDOUT));
            }
        }
        Ok(self.fd.into())
    }
}

/// What to set up before a [`Stream`] connects; see [`Stream::builder`].
///
/// ```
/// use becket_sys::tcp::{Listener, Stream};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let builder = Stream::builder().from(([127, 0, 0, 5], 0)).recv_buffer_size(1 << 20).max_segment(1000);
/// let stream = builder.connect(listener.local_addr()?)?.finish(None)?;
/// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.5");
/// assert!(stream.max_segment()? <= 1000);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StreamBuilder {
    options: inet::Options,
    from: Option<SocketAddr>,
    late_port: bool,
    max_segment: Option<u32>,
    fast_open: bool,
}

inet_builder_options!(StreamBuilder);

impl StreamBuilder {
    /// The address of this machine to connect from. Port 0 lets the system choose one; by default it chooses both.
    #[doc(alias = "bind")]
    pub fn from(mut self, local: impl Into<SocketAddr>) -> Self {
        self.from = Some(local.into());
        self
    }

    /// Whether a port that [`from`](Self::from) leaves to the system is chosen when the peer is known, and not
    /// before: connections to different peers can then share a port, of which there are otherwise some 28000 for each
    /// local address. The default is no.
    #[doc(alias = "IP_BIND_ADDRESS_NO_PORT")]
    pub fn late_port(mut self, late: bool) -> Self {
        self.late_port = late;
        self
    }

    /// Whether to connect from an address and port that connections in the state TIME_WAIT still have. The default is
    /// no.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Whether to share the local port with other sockets of the same user that ask for it too. The default is no.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether to use several paths at once where both ends have them (RFC 8684, Multipath TCP). The default is no.
    /// With a peer that does not know it, it is plain TCP. `socket` fails with `EPROTONOSUPPORT` or `ENOPROTOOPT` where
    /// this system does not have it; some of the options of a stream fail then that work with plain TCP.
    #[doc(alias = "IPPROTO_MPTCP")]
    pub fn multipath(mut self, multipath: bool) -> Self {
        self.options.multipath = multipath;
        self
    }

    /// The largest segment to announce and to send, in bytes, from 88 to 32767; the default follows from the
    /// interface. The peer may ask for less.
    #[doc(alias = "TCP_MAXSEG")]
    pub fn max_segment(mut self, bytes: u32) -> Self {
        self.max_segment = Some(bytes);
        self
    }

    /// Whether the first write goes out together with the request to connect (RFC 7413), where the kernel kept a
    /// cookie of this peer from an earlier connection. The default is no.
    ///
    /// It then counts as connected at once, before the peer was asked: write first. Until then
    /// [`peer_addr`](Stream::peer_addr) and reads fail with `ENOTCONN`, and what would have been an error of
    /// connecting is one of the stream. Where the first write is lost and sent again, a peer may get it twice. Without
    /// a cookie it connects as ever, and asks for one.
    #[doc(alias = "TCP_FASTOPEN_CONNECT")]
    pub fn fast_open(mut self, fast_open: bool) -> Self {
        self.fast_open = fast_open;
        self
    }

    /// Creates the socket, binds it where a local address is given, and starts to connect to `addr`. Returns at once.
    ///
    /// # Errors
    /// Each names the step and the address. `socket`: `EMFILE`, `EAFNOSUPPORT` where the system has no IPv6. `set ..`:
    /// `EPERM`, `EINVAL`, `ENODEV` for what the option says. `bind`: `EADDRINUSE`, `EADDRNOTAVAIL` where the local
    /// address is not of this machine. `connect`: `ENETUNREACH` where there is no way, `EADDRNOTAVAIL` where no port is
    /// left for this end, `ECONNREFUSED` where that is known at once.
    pub fn connect(&self, addr: impl Into<SocketAddr>) -> Result<Connecting, SetupError> {
        let target = addr.into();
        let fd = self.options.open(SocketType::STREAM, target)?;
        let set = |level, name, value: i32| ffi::sockopt::set(&fd, level, name, &value);
        if let Some(bytes) = self.max_segment {
            let result = set(libc::IPPROTO_TCP, libc::TCP_MAXSEG, bytes.try_into().unwrap_or(i32::MAX));
            result.map_err(failed("set TCP_MAXSEG", &target))?;
        }
        if let Some(from) = self.from {
            if self.late_port {
                let result = set(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
                result.map_err(failed("set IP_BIND_ADDRESS_NO_PORT", &from))?;
            }
            bind(&fd, &from).map_err(failed("bind", &from))?;
        }
        if self.fast_open {
            let result = set(libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
            result.map_err(failed("set TCP_FASTOPEN_CONNECT", &target))?;
        }
        match connect(&fd, &target) {
            // Interrupted or not, the attempt goes on.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Connecting { fd, target, fast_open: self.fast_open }),
            Err(e) => Err(failed("connect", &target)(e)),
        }
    }
}
