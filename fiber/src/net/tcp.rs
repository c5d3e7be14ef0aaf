use super::connect::{interleave, to_any, to_one};
use super::resolve;
use crate::over::{accept, clones, over_io, reads, timeouts, until, writes};
use crate::{Io, Ready};
use becket_sys::SetupError;
use becket_sys::tcp::{Listener, Stream};
use std::io;
use std::net::SocketAddr;

/// A listening TCP socket: tcp(7).
///
/// Options that must be set before it is bound: `TcpListener::try_from(Listener::builder()...bind(addr)?)`, with
/// [`Listener::builder`]. Dropping it closes the socket; connections in its queue are reset.
///
/// ```
/// use becket_fiber::net::{TcpListener, TcpStream};
/// use becket_fiber::{Runtime, spawn};
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
///     let name = format!("localhost:{}", listener.local_addr()?.port());
///     let server = spawn(move || {
///         let (mut stream, _) = listener.accept()?;
///         std::io::copy(&mut &stream, &mut &stream)?;
///         stream.flush()
///     })?;
///     let mut stream = TcpStream::connect(&name)?;
///     stream.set_nodelay(true)?;
///     stream.write_all(b"becket")?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     assert_eq!(text, "becket");
///     server.join()?
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    io: Io<Listener>,
}

over_io!(TcpListener, Listener, convert);
clones!(TcpListener);

impl TcpListener {
    /// Listens at `addr`; port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// As [`Listener::bind`]: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EMFILE`.
    pub fn bind(addr: impl Into<SocketAddr>) -> Result<TcpListener, SetupError> {
        let addr = addr.into();
        TcpListener::try_from(Listener::bind(addr)?).map_err(|e| SetupError::new("fcntl", addr.to_string(), e))
    }

    /// Waits for a connection. Where descriptors or memory have run out it rests for a moment and tries again, for as
    /// long as it takes: the connection stays in the queue.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; those of [`Listener::try_accept`] that are the listener's own.
    #[doc(alias = "EMFILE")]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = accept(&self.io, Listener::try_accept)?;
        Ok((stream.try_into()?, from))
    }
}

/// A TCP connection: tcp(7). See [`TcpListener`] for an example.
///
/// Dropping it closes the connection; see [`Stream`] for what the peer then sees. Two fibers may read and write at the
/// same time, through references.
///
/// ```
/// use becket_fiber::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
/// let stream = TcpStream::connect_addr(listener.local_addr()?)?; // on a plain thread it blocks that
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// assert!(listener.accept().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    io: Io<Stream>,
}

over_io!(TcpStream, Stream, convert);
clones!(TcpStream);
timeouts!(TcpStream);
reads!(TcpStream);
writes!(TcpStream);

impl TcpStream {
    /// Connects to `name`, which is `HOST:PORT`: [resolves](resolve) it, has the families of its addresses take turns, and
    /// [tries them all](Self::connect_any).
    ///
    /// # Errors
    /// Those of [`resolve`]; those of [`connect_any`](Self::connect_any).
    #[doc(alias = "happy eyeballs")]
    pub fn connect(name: &str) -> Result<TcpStream, SetupError> {
        TcpStream::connect_any(&interleave(resolve(name)?))
    }

    /// Connects to the first of several addresses that answers (RFC 8305): they are tried in order, each 250 ms after the
    /// one before, or as soon as that has failed. Attempts that come too late are given up.
    ///
    /// ```
    /// use becket_fiber::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    /// let addr = listener.local_addr()?;
    /// let nobody = TcpListener::bind(([127, 0, 0, 1], 0))?.local_addr()?;
    /// assert_eq!(TcpStream::connect_any(&[nobody, addr])?.peer_addr()?, addr);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`connect_addr`](Self::connect_addr), for the one that failed last; `InvalidInput` for no address at all;
    /// `EMFILE`.
    pub fn connect_any(addresses: &[SocketAddr]) -> Result<TcpStream, SetupError> {
        TcpStream::made(to_any(addresses)?)
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    /// Step `connect` on the address: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`;
    /// [`Cancelled`](crate::Cancelled), and `TimedOut` at a deadline of the fiber: the attempt is then given up.
    #[doc(alias = "EINPROGRESS")]
    pub fn connect_addr(addr: impl Into<SocketAddr>) -> Result<TcpStream, SetupError> {
        TcpStream::made(to_one(addr.into())?)
    }

    fn made(stream: Stream) -> Result<TcpStream, SetupError> {
        stream.try_into().map_err(|e| SetupError::new("fcntl", "a TCP connection", e))
    }

    /// Waits for data and copies what is there into `buf`, without taking it; 0 is the end of the stream.
    ///
    /// # Errors
    /// As reading.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        until(&self.io, Ready::READ, |s| s.try_peek(buf))
    }
}
