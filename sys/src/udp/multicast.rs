use super::Socket;
use crate::ffi;
use crate::socket::FLAGS;
use crate::socket::options::{Twin, is_v6};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Multicast. An interface is named by its index, as if_nametoindex(3) tells it; 0 leaves the choice to the system's
/// routes.
///
/// To receive, bind to the group's port on the unspecified address, with
/// [`reuse_address`](super::SocketBuilder::reuse_address) where several programs of the machine listen, and join.
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

    /// Joins the multicast group `group` on an interface, for what the sender `source` sends to it, and no others. Call
    /// it for each sender; a group is joined in this way or by [`join_multicast`](Self::join_multicast).
    ///
    /// # Errors
    /// `EINVAL` where the group is no multicast address, or was joined for all senders; `ENODEV` where there is no such
    /// interface; `EADDRNOTAVAIL` where it is joined for this sender already; `ENOBUFS` above the limit of the system;
    /// `EAFNOSUPPORT` where one is IPv4 and the other IPv6; `ENOPROTOOPT` for an IPv6 group on an IPv4 socket.
    #[doc(alias = "MCAST_JOIN_SOURCE_GROUP")]
    #[doc(alias = "IP_ADD_SOURCE_MEMBERSHIP")]
    pub fn join_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        ffi::udp::group_source(self, libc::MCAST_JOIN_SOURCE_GROUP, group, source, interface)
    }

    /// No longer receives what `source` sends to the group; with the last sender, leaves it.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` where it is not joined there for this sender; otherwise as
    /// [`join_multicast_source`](Self::join_multicast_source).
    #[doc(alias = "MCAST_LEAVE_SOURCE_GROUP")]
    #[doc(alias = "IP_DROP_SOURCE_MEMBERSHIP")]
    pub fn leave_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        ffi::udp::group_source(self, libc::MCAST_LEAVE_SOURCE_GROUP, group, source, interface)
    }

    /// Of a group that was joined for all senders, leaves one out.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` where it is left out already; `EINVAL` where the group is not joined for all; otherwise as
    /// [`join_multicast_source`](Self::join_multicast_source).
    #[doc(alias = "MCAST_BLOCK_SOURCE")]
    pub fn block_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        ffi::udp::group_source(self, libc::MCAST_BLOCK_SOURCE, group, source, interface)
    }

    /// Takes a sender in again that was [left out](Self::block_multicast_source).
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` where it is not left out; otherwise as
    /// [`block_multicast_source`](Self::block_multicast_source).
    #[doc(alias = "MCAST_UNBLOCK_SOURCE")]
    pub fn unblock_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        ffi::udp::group_source(self, libc::MCAST_UNBLOCK_SOURCE, group, source, interface)
    }

    /// Whether it receives of groups that others joined; see [`set_multicast_all`](Self::set_multicast_all).
    ///
    /// # Errors
    /// As [`set_multicast_loop`](Self::set_multicast_loop).
    pub fn multicast_all(&self) -> io::Result<bool> {
        Ok(ALL.get(self)? != 0)
    }

    /// Whether a socket that is bound to the unspecified address receives, on its port, the datagrams of every group
    /// that any socket of this machine has joined. The default is yes: without this call, filter by
    /// [packet info](Self::set_packet_info), or bind to the group's address.
    ///
    /// # Errors
    /// As [`set_multicast_loop`](Self::set_multicast_loop).
    #[doc(alias = "IP_MULTICAST_ALL")]
    #[doc(alias = "IPV6_MULTICAST_ALL")]
    pub fn set_multicast_all(&self, all: bool) -> io::Result<()> {
        ALL.set(self, all.into())
    }

    /// Whether this machine receives the multicast that it sends by this socket; see
    /// [`set_multicast_loop`](Self::set_multicast_loop).
    ///
    /// # Errors
    /// As [`set_multicast_loop`](Self::set_multicast_loop).
    pub fn multicast_loop(&self) -> io::Result<bool> {
        Ok(Twin { v4: libc::IP_MULTICAST_LOOP, v6: libc::IPV6_MULTICAST_LOOP }.get(self)? != 0)
    }

    /// How many routers multicast may pass; see [`set_multicast_hops`](Self::set_multicast_hops).
    ///
    /// # Errors
    /// As [`set_multicast_loop`](Self::set_multicast_loop).
    pub fn multicast_hops(&self) -> io::Result<u8> {
        Ok(Twin { v4: libc::IP_MULTICAST_TTL, v6: libc::IPV6_MULTICAST_HOPS }.get(self)? as u8)
    }
}

const ALL: Twin = Twin { v4: libc::IP_MULTICAST_ALL, v6: libc::IPV6_MULTICAST_ALL };

/// The index of the interface of this name.
///
/// # Errors
/// `ENODEV` where there is none.
///
/// ```
/// use becket_sys::udp::interface_index;
///
/// assert_eq!(interface_index("lo")?, 1); // it comes first
/// assert_eq!(interface_index("no-such").unwrap_err().raw_os_error(), Some(19)); // ENODEV
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "if_nametoindex")]
pub fn interface_index(name: &str) -> io::Result<u32> {
    if name.len() >= 16 {
        return Err(Errno::NODEV.into()); // which the call would cut
    }
    let any = socket_with(AddressFamily::UNIX, SocketType::DGRAM, FLAGS, None)?;
    Ok(name_to_index(any, name)?)
}
