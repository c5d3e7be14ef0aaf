use super::Stream;
use crate::fd::owned_fd;
use crate::socket::{failed, inet, open};
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
    /// Creates a socket, binds it to `from` if given, and starts to connect.
    pub(super) fn start(from: Option<SocketAddr>, target: SocketAddr) -> Result<Connecting, SetupError> {
        let fd = open(inet::family(target), SocketType::STREAM, &target)?;
        if let Some(from) = from {
            bind(&fd, &from).map_err(failed("bind", &from))?;
        }
        match connect(&fd, &target) {
            // Interrupted or not, the attempt goes on.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Connecting { fd, target }),
            Err(e) => Err(failed("connect", &target)(e)),
        }
    }

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
                let ready = wait(self, Ready::empty(), Some(Instant::now()))?;
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
