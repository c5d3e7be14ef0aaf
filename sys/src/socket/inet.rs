//! What TCP and UDP have in common: addresses, and what is set before binding.

use super::options::set_device;
use super::{failed, open_with};
use crate::{SetupError, ffi};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, bind, getpeername, getsockname, ipproto, sockopt};
use std::ffi::OsString;
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

/// What is set on a socket before it is bound or connected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    /// `None` leaves it to the system's default, here and below.
    pub(crate) v6only: Option<bool>,
    /// Of TCP alone.
    pub(crate) multipath: bool,
    pub(crate) freebind: bool,
    pub(crate) transparent: bool,
    pub(crate) device: Option<OsString>,
    pub(crate) mark: Option<u32>,
    pub(crate) recv_buffer_size: Option<usize>,
    pub(crate) send_buffer_size: Option<usize>,
}

impl Options {
    /// Creates a socket with these options, for use with `addr`.
    pub(crate) fn open(&self, kind: SocketType, addr: SocketAddr) -> Result<OwnedFd, SetupError> {
        let protocol = self.multipath.then_some(ipproto::MPTCP);
        let fd = open_with(family(addr), kind, protocol, &addr)?;
        let step = |step| failed(step, &addr);
        if self.reuse_address {
            sockopt::set_socket_reuseaddr(&fd, true).map_err(step("set SO_REUSEADDR"))?;
        }
        if self.reuse_port {
            sockopt::set_socket_reuseport(&fd, true).map_err(step("set SO_REUSEPORT"))?;
        }
        if let (Some(v6only), SocketAddr::V6(_)) = (self.v6only, addr) {
            sockopt::set_ipv6_v6only(&fd, v6only).map_err(step("set IPV6_V6ONLY"))?;
        }
        if self.freebind {
            match addr {
                SocketAddr::V4(_) => sockopt::set_ip_freebind(&fd, true).map_err(step("set IP_FREEBIND"))?,
                SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&fd, true).map_err(step("set IPV6_FREEBIND"))?,
            }
        }
        let set = |level, name, value| ffi::sockopt::set::<i32>(&fd, level, name, &value);
        if self.transparent {
            match addr {
                SocketAddr::V4(_) => set(libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1),
                SocketAddr::V6(_) => set(libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1),
            }
            .map_err(failed("set IP_TRANSPARENT", &addr))?;
        }
        if let Some(device) = &self.device {
            let subject = device.display();
            set_device(&fd, Some(device)).map_err(failed("set SO_BINDTODEVICE", &subject))?;
        }
        if let Some(mark) = self.mark {
            set(libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed()).map_err(failed("set SO_MARK", &addr))?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            let bytes = bytes.min(i32::MAX as usize);
            sockopt::set_socket_recv_buffer_size(&fd, bytes).map_err(step("set SO_RCVBUF"))?;
        }
        if let Some(bytes) = self.send_buffer_size {
            let bytes = bytes.min(i32::MAX as usize);
            sockopt::set_socket_send_buffer_size(&fd, bytes).map_err(step("set SO_SNDBUF"))?;
        }
        Ok(fd)
    }

    /// Creates a socket with these options and binds it.
    pub(crate) fn bind(&self, kind: SocketType, addr: SocketAddr) -> Result<OwnedFd, SetupError> {
        let fd = self.open(kind, addr)?;
        bind(&fd, &addr).map_err(failed("bind", &addr))?;
        Ok(fd)
    }
}
