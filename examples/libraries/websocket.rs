//! `tungstenite` over fibers: a WebSocket over a [`TcpStream`], or over TLS, with nothing in between.
//!
//! ```
//! use becket_fiber::net::{TcpListener, TcpStream};
//! use becket_fiber::{Runtime, spawn};
//! use becket_libraries::websocket;
//! use tungstenite::Message;
//!
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
//!     let address = listener.local_addr()?;
//!     let server = spawn(move || websocket::echo(listener.accept()?.0))?;
//!     let mut socket = websocket::connect(TcpStream::connect_addr(address)?)?;
//!     socket.send(Message::text("both ways")).map_err(websocket::io_error)?;
//!     assert_eq!(socket.read().map_err(websocket::io_error)?, Message::text("both ways"));
//!     websocket::close(socket)?;
//!     assert_eq!(server.join()??, 1);
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```

use becket_fiber::net::TcpStream;
use std::io::{self, Read, Write};
use tungstenite::handshake::{HandshakeError, HandshakeRole};
use tungstenite::{Error, WebSocket};

/// The error of the stream, such as `TimedOut` and a cancel, or the library's own in one of kind `Other`.
pub fn io_error(e: Error) -> io::Error {
    match e {
        Error::Io(e) => e,
        other => io::Error::other(other),
    }
}

fn failed<R: HandshakeRole>(e: HandshakeError<R>) -> io::Error {
    match e {
        HandshakeError::Failure(e) => io_error(e),
        // Nothing here ever would block.
        HandshakeError::Interrupted(_) => io::ErrorKind::WouldBlock.into(),
    }
}

/// Opens a WebSocket as a client, over whatever stream.
///
/// # Errors
/// Those of the stream; of kind `Other` for a peer that does not speak the protocol.
pub fn connect<S: Read + Write>(stream: S) -> io::Result<WebSocket<S>> {
    Ok(tungstenite::client("ws://localhost/", stream).map_err(failed)?.0)
}

/// Answers as a server and sends back every message that has data, until the client closes; says how many it was.
///
/// # Errors
/// As [`connect`].
pub fn echo(stream: TcpStream) -> io::Result<usize> {
    let mut socket = tungstenite::accept(stream).map_err(failed)?;
    let mut messages = 0;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => {
                socket.send(message).map_err(io_error)?;
                messages += 1;
            }
            // The library answers pings itself.
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(messages),
            Err(e) => return Err(io_error(e)),
        }
    }
}

/// Says goodbye, and waits until the peer has.
///
/// # Errors
/// Those of the stream.
pub fn close<S: Read + Write>(mut socket: WebSocket<S>) -> io::Result<()> {
    socket.close(None).map_err(io_error)?;
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(e) => return Err(io_error(e)),
        }
    }
}
