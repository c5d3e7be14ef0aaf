use super::{no_address, resolve};
use crate::over::{accept, over_io, reads, timeouts, until, writes};
use crate::{Io, Ready};
use becket_sys::SetupError;
use becket_sys::tcp::{Listener, Progress, Stream};
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
timeouts!(TcpStream);
reads!(TcpStream);
writes!(TcpStream);

impl TcpStream {
    /// Connects to `name`, which is `HOST:PORT`. A name is [resolved](resolve) on a helper thread; its addresses are
    /// tried in turn.
    ///
    /// # Errors
    /// Those of [`resolve`]; those of [`connect_addr`](Self::connect_addr) for the last address.
    pub fn connect(name: &str) -> Result<TcpStream, SetupError> {
        let mut addresses = resolve(name)?.into_iter().peekable();
        while let Some(addr) = addresses.next() {
            match TcpStream::connect_addr(addr) {
                // What ends the fiber's own calls has no code of the system's.
                Err(e) if e.raw_os_error().is_some() && addresses.peek().is_some() => {}
                other => return other,
            }
        }
        Err(no_address(name))
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    /// Step `connect` on the address: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`;
    /// [`Cancelled`](crate::Cancelled), and `TimedOut` at a deadline of the fiber: the attempt is then given up.
    #[doc(alias = "EINPROGRESS")]
    pub fn connect_addr(addr: impl Into<SocketAddr>) -> Result<TcpStream, SetupError> {
        let addr = addr.into();
        let failed = |e: io::Error| SetupError::new("connect", addr.to_string(), e);
        let mut connecting = Stream::connect(addr)?;
        loop {
            let io = Io::new(connecting).map_err(failed)?;
            io.wait(Ready::WRITE, None).map_err(failed)?;
            match io.into_inner().try_finish()? {
                Progress::Connected(stream) => return stream.try_into().map_err(failed),
                Progress::Pending(still) => connecting = still,
            }
        }
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
