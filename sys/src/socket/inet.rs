//! What TCP and UDP have in common: addresses, and what is set before binding.

use super::{failed, open};
use crate::SetupError;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, bind, getpeername, getsockname, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) fn family(addr: SocketAddr) -> AddressFamily {
    if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// What the kernel gave as an address, where a wrong descriptor may have given any family or none.
pub(crate) fn address(addr: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    Ok(addr.ok_or(Errno::AFNOSUPPORT)?.try_into()?)
}

pub(crate) fn local_addr(fd: impl AsFd) -> io::Result<SocketAddr> {
    address(Some(getsockname(fd)?))
}

pub(crate) fn peer_addr(fd: impl AsFd) -> io::Result<SocketAddr> {
    address(getpeername(fd)?)
}

/// What is set on a socket before it is bound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    /// `None` leaves it to the system's default.
    pub(crate) v6only: Option<bool>,
}

impl Options {
    /// Creates a socket with these options and binds it.
    pub(crate) fn bind(&self, kind: SocketType, addr: SocketAddr) -> Result<OwnedFd, SetupError> {
        let fd = open(family(addr), kind, &addr)?;
        if self.reuse_address {
            sockopt::set_socket_reuseaddr(&fd, true).map_err(failed("set SO_REUSEADDR", &addr))?;
        }
        if self.reuse_port {
            sockopt::set_socket_reuseport(&fd, true).map_err(failed("set SO_REUSEPORT", &addr))?;
        }
        if let (Some(v6only), SocketAddr::V6(_)) = (self.v6only, addr) {
            sockopt::set_ipv6_v6only(&fd, v6only).map_err(failed("set IPV6_V6ONLY", &addr))?;
        }
        bind(&fd, &addr).map_err(failed("bind", &addr))?;
        Ok(fd)
    }
}
