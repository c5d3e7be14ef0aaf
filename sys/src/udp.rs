//! UDP sockets: udp(7).
//!
//! ```
//! use becket_sys::{Ready, udp::Socket};
//! use std::net::Ipv4Addr;
//!
//! let a = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
//! let b = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
//! assert_eq!(a.try_send_to(b"hello", b.local_addr()?)?, Some(5));
//!
//! b.wait_ready(Ready::READ, None)?;
//! let mut buf = [0; 4]; // too short
//! let (received, from) = b.try_recv_from(&mut buf)?.expect("a datagram");
//! assert_eq!((&buf[..received.len()], from), (&b"hell"[..], a.local_addr()?));
//! assert_eq!((received.is_truncated(), received.datagram_len()), (true, 5));
//! assert_eq!(b.try_recv_from(&mut buf)?, None); // would block
//! # Ok::<(), std::io::Error>(())
//! ```

pub use crate::socket::datagram::Received;

use crate::SetupError;
use crate::fd::owned_fd;
use crate::socket::datagram::{self, datagram_io};
use crate::socket::options::{inet_builder_options, inet_options, is_v6};
use crate::socket::{inet, socket};
use rustix::net::{RecvFlags, SocketType, connect, connect_unspec, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
    fd: OwnedFd,
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
        SocketBuilder { options: inet::Options::default() }
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

/// Multicast. An interface is named by its index, as if_nametoindex(3) tells it; 0 leaves the choice to the system's
/// routes.
///
/// To receive, bind to the group's port on the unspecified address, with
/// [`reuse_address`](SocketBuilder::reuse_address) where several programs of the machine listen, and join.
/// Memberships end when the last handle to the socket is closed.
impl Socket {
    /// Joins the multicast group `group` on an interface.
    ///
    /// # Errors
    /// `EINVAL` where the address is no multicast address, `ENODEV` where there is no such interface, or none was
    /// named and no route leads to the group, `EADDRINUSE` where it is joined already, `ENOBUFS` above the limit of
    /// the system, `ENOPROTOOPT` for an IPv6 group on an IPv4 socket.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    #[doc(alias = "IPV6_JOIN_GROUP")]
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        let any = Ipv4Addr::UNSPECIFIED;
        match group {
            IpAddr::V4(group) => sockopt::set_ip_add_membership_with_ifindex(self, &group, &any, interface)?,
            IpAddr::V6(group) => sockopt::set_ipv6_add_membership(self, &group, interface)?,
        }
        Ok(())
    }

    /// Leaves the multicast group `group`, joined with the same `interface`.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` where it is not joined there; otherwise as [`join_multicast`](Self::join_multicast).
    #[doc(alias = "IP_DROP_MEMBERSHIP")]
    #[doc(alias = "IPV6_LEAVE_GROUP")]
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        let any = Ipv4Addr::UNSPECIFIED;
        match group {
            IpAddr::V4(group) => sockopt::set_ip_drop_membership_with_ifindex(self, &group, &any, interface)?,
            IpAddr::V6(group) => sockopt::set_ipv6_drop_membership(self, &group, interface)?,
        }
        Ok(())
    }

    /// Sends multicast by this interface; 0, the default, by the route.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` or `ENODEV` where there is no such interface.
    #[doc(alias = "IP_MULTICAST_IF")]
    #[doc(alias = "IPV6_MULTICAST_IF")]
    pub fn set_multicast_interface(&self, interface: u32) -> io::Result<()> {
        let any = Ipv4Addr::UNSPECIFIED;
        if is_v6(self)? {
            sockopt::set_ipv6_multicast_if(self, interface)?
        } else {
            sockopt::set_ip_multicast_if_with_ifindex(self, &any, &any, interface)?
        }
        Ok(())
    }

    /// Whether this machine receives the multicast that it sends by this socket; the default is yes.
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    #[doc(alias = "IPV6_MULTICAST_LOOP")]
    pub fn set_multicast_loop(&self, back: bool) -> io::Result<()> {
        if is_v6(self)? {
            sockopt::set_ipv6_multicast_loop(self, back)?
        } else {
            sockopt::set_ip_multicast_loop(self, back)?
        }
        Ok(())
    }

    /// How many routers multicast may pass, from 0 (not beyond this machine) to 255; the default is 1: not beyond
    /// the local network.
    ///
    /// # Errors
    /// As [`set_multicast_loop`](Self::set_multicast_loop).
    #[doc(alias = "IP_MULTICAST_TTL")]
    #[doc(alias = "IPV6_MULTICAST_HOPS")]
    pub fn set_multicast_hops(&self, hops: u8) -> io::Result<()> {
        if is_v6(self)? {
            sockopt::set_ipv6_multicast_hops(self, hops.into())?
        } else {
            sockopt::set_ip_multicast_ttl(self, hops.into())?
        }
        Ok(())
    }
}

/// What to set up before a [`Socket`] is bound; see [`Socket::builder`].
///
/// ```
/// use becket_sys::udp::Socket;
///
/// let socket = Socket::builder().v6only(true).bind(([127, 0, 0, 1], 0))?; // does nothing for IPv4
/// assert!(socket.local_addr()?.ip().is_loopback());
/// assert!(!socket.broadcast()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SocketBuilder {
    options: inet::Options,
}

inet_builder_options!(SocketBuilder);

impl SocketBuilder {
    /// Whether to share the port with other sockets that ask for it too. The default is no. Of datagrams to one
    /// machine, the socket that was bound last gets all; of multicast and broadcast, each gets a copy, and that is
    /// what it is for.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Whether to share the port with other sockets of the same user that ask for it too; the kernel spreads the
    /// senders over them. The default is no.
    #[doc(alias = "SO_REUSEPORT")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 socket refuses IPv4, which it would otherwise serve under addresses such as
    /// `::ffff:127.0.0.1`. The default is that of the system, `/proc/sys/net/ipv6/bindv6only`. It does nothing for
    /// an IPv4 address.
    #[doc(alias = "IPV6_V6ONLY")]
    pub fn v6only(mut self, v6only: bool) -> Self {
        self.options.v6only = Some(v6only);
        self
    }

    /// Creates the socket and binds it to `addr`. Port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// Each names the step and the address. `bind`: `EADDRINUSE` where another socket has the port, `EADDRNOTAVAIL`
    /// where the address is not of this machine, `EACCES` for a port below 1024 without privilege. `socket`:
    /// `EMFILE`, `EAFNOSUPPORT` where the system has no IPv6.
    pub fn bind(&self, addr: impl Into<SocketAddr>) -> Result<Socket, SetupError> {
        let fd = self.options.bind(SocketType::DGRAM, addr.into())?;
        Ok(Socket { fd })
    }
}
