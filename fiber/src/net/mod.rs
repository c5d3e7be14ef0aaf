//! Sockets: TCP, UDP, and those of this machine.
//!
//! Each is an [`Io`](crate::Io) over the type of the same kind in `becket_sys`, and lends that type's methods that
//! never wait, such as `set_nodelay` and `local_addr`. All of them may be used from several fibers at once.

#[cfg(feature = "c-ares")]
mod ares;
mod connect;
mod resolve;
mod split;
mod tcp;
mod udp;
mod unix;

#[cfg(feature = "c-ares")]
pub use ares::{Resolver, ResolverBuilder};
pub use becket_sys::tcp::Keepalive;
pub use becket_sys::udp::Received;
pub use becket_sys::unix::{Address, Credentials, Record};
pub use resolve::resolve;
pub use split::{HalfClose, NotOfOne, ReadHalf, WriteHalf};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};
