//! Sockets: TCP, UDP, and those of this machine.
//!
//! Each is an [`Io`](crate::Io) over the type of the same kind in `becket_sys`, and lends that type's methods that
//! never wait, such as `set_nodelay` and `local_addr`. All of them may be used from several fibers at once.

mod tcp;
mod udp;
mod unix;

pub use becket_sys::tcp::Keepalive;
pub use becket_sys::udp::Received;
pub use becket_sys::unix::{Address, Credentials, Record};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};

use crate::unblock;
use becket_sys::SetupError;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses of `name`, which is `HOST:PORT`: at least one. The resolver of the C library, which blocks, is asked
/// on a helper thread; an address in numbers needs none.
///
/// # Errors
/// Step `resolve` on the name: `InvalidInput` where it has no port, the resolver's error,
/// [`Cancelled`](crate::Cancelled), `TimedOut`. Once the resolver has begun it is waited for.
///
/// ```
/// use becket_fiber::net::resolve;
///
/// assert_eq!(resolve("127.0.0.1:1883")?, [([127, 0, 0, 1], 1883).into()]);
/// let e = resolve("localhost").unwrap_err();
/// assert_eq!(e.to_string(), "resolve localhost: invalid socket address");
/// # Ok::<(), becket_sys::SetupError>(())
/// ```
#[doc(alias = "getaddrinfo")]
pub fn resolve(name: &str) -> Result<Vec<SocketAddr>, SetupError> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let found = unblock(|| name.to_socket_addrs()).and_then(|found| found);
    let found: Vec<_> = found.map_err(|e| SetupError::new("resolve", name, e))?.collect();
    if found.is_empty() { Err(no_address(name)) } else { Ok(found) }
}

fn no_address(name: &str) -> SetupError {
    SetupError::new("resolve", name, io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}
