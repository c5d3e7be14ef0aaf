use super::SocketBuilder;
use crate::SetupError;
use crate::fd::owned_fd;
use crate::socket::datagram::{self, Received, datagram_io};
use crate::socket::options::inet_options;
use crate::socket::{inet, socket};
use rustix::net::{RecvFlags, connect, connect_unspec, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A UDP socket: udp(7).
///
/// Close-on-exec and non-blocking. Dropping it closes the socket; datagrams not received are gone.
///
/// A *connected* socket has one peer, sends to it without an address, receives from it alone, and is told
/// when nobody listens there: the kernel turns the ICMP message that a datagram met into the error `ECONNREFUSED` of
/// the **next** call, of whatever kind; [`try_recv`](Self::try_recv) is where it is mostly seen. It ends nothing: the
/// socket goes on. An unconnected socket never hears of it.
///
/// ```
/// use becket_sys::{Ready, udp::Socket};
/// use std::io::ErrorKind;
///
/// let nobody = Socket::bind(([127, 0, 0, 1], 0))?.local_addr()?; // closed again
/// let socket = Socket::bind(([127, 0, 0, 1], 0))?;
/// socket.connect(nobody)?;
/// socket.try_send(b"is there anybody?")?;
/// socket.wait_ready(Ready::READ, None)?;
/// let e = socket.try_recv(&mut [0; 8]).unwrap_err();
/// assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    pub(super) fd: OwnedFd,
}

owned_fd!(Socket, Readable);
socket!(Socket, std::net::UdpSocket);
datagram_io!(Socket);
inet_options!(Socket);

impl Socket {
    /// Creates a socket bound to `addr`, with the defaults of [`builder`](Self::builder). Port 0 lets the system
    /// choose a free one.
    ///
    /// # Errors
    /// As [`SocketBuilder::bind`].
    pub fn bind(addr: impl Into<SocketAddr>) -> Result<Socket, SetupError> {
        Self::builder().bind(addr)
    }

    /// Sets up a socket in detail.
    pub fn builder() -> SocketBuilder {
        SocketBuilder::default()
    }

    /// The address it is bound to, with the port that the system chose.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no UDP socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet::local_addr(self)
    }

    /// The peer it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN` where it is not; otherwise as [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet::peer_addr(self)
    }

    /// Makes `addr` the only peer. Sends nothing and never waits; may be called again for another peer. What
    /// others sent before stays in the queue.
    ///
    /// # Errors
    /// `ENETUNREACH` where there is no way, `EACCES` for a broadcast address without
    /// [`set_broadcast`](Self::set_broadcast), `EAFNOSUPPORT` for an IPv6 address on an IPv4 socket.
    pub fn connect(&self, addr: impl Into<SocketAddr>) -> io::Result<()> {
        Ok(connect(self, &addr.into())?)
    }

    /// Gives up the peer. A port that was named to `bind` stays; one that the system chose is lost, and the next
    /// datagram sent gets another.
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "AF_UNSPEC")]
    pub fn disconnect(&self) -> io::Result<()> {
        Ok(connect_unspec(self)?)
    }

    /// Sends a datagram to `addr`; `None` where there is no room. A datagram goes whole or not at all, so the number
    /// returned is the length of `buf`. That it was sent does not say that it arrives.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor.
    ///
    /// # Errors
    /// `EMSGSIZE` where the datagram is too long (65507 bytes over IPv4), `ENETUNREACH` where there is no way,
    /// `EACCES` for a broadcast address without [`set_broadcast`](Self::set_broadcast), `EPERM` where a firewall
    /// forbids it, `EAFNOSUPPORT` for an IPv6 address on an IPv4 socket.
    pub fn try_send_to(&self, buf: &[u8], addr: impl Into<SocketAddr>) -> io::Result<Option<usize>> {
        datagram::try_send_to(self, buf, &addr.into())
    }

    /// Receives a datagram and its sender; `None` where there is none. What does not fit into `buf` is lost, visibly.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor.
    ///
    /// # Errors
    /// The pending error of the socket, such as `ECONNREFUSED` of a connected one.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<Option<(Received, SocketAddr)>> {
        self.receive_from(buf, RecvFlags::empty())
    }

    /// As [`try_recv_from`](Self::try_recv_from), but leaves the datagram in place.
    ///
    /// # Errors
    /// As [`try_recv_from`](Self::try_recv_from).
    #[doc(alias = "MSG_PEEK")]
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<Option<(Received, SocketAddr)>> {
        self.receive_from(buf, RecvFlags::PEEK)
    }

    fn receive_from(&self, buf: &mut [u8], flags: RecvFlags) -> io::Result<Option<(Received, SocketAddr)>> {
        let Some((received, from)) = datagram::try_recv_from(self, buf, flags)? else { return Ok(None) };
        Ok(Some((received, inet::address(from)?)))
    }

    /// Whether it may send to broadcast addresses.
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(sockopt::socket_broadcast(self)?)
    }

    /// Allows sending to broadcast addresses; the default is not.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    #[doc(alias = "SO_BROADCAST")]
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_broadcast(self, broadcast)?)
    }
}
