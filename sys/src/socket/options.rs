//! The options that TCP and UDP sockets have in common.

use crate::ffi::sockopt;
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{ip_tos, ipv6_tclass, ipv6_v6only, set_ip_tos, set_ipv6_tclass, socket_domain};
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// IFNAMSIZ, the NUL at the end included.
const NAME_SIZE: usize = 16;

pub(crate) fn is_v6(fd: impl AsFd) -> io::Result<bool> {
    Ok(socket_domain(fd)? == AddressFamily::INET6)
}

pub(crate) fn device(fd: impl AsFd) -> io::Result<Option<OsString>> {
    let mut name = [0u8; NAME_SIZE];
    sockopt::read(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &mut name)?;
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?.to_bytes();
    Ok((!name.is_empty()).then(|| OsString::from_vec(name.to_vec())))
}

pub(crate) fn set_device(fd: impl AsFd, name: Option<&OsStr>) -> io::Result<()> {
    let name = name.unwrap_or_default().as_bytes();
    // The kernel would cut a longer one.
    if name.len() >= NAME_SIZE || name.contains(&0) {
        return Err(Errno::NODEV.into());
    }
    sockopt::set_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name)
}

pub(crate) fn tos(fd: impl AsFd) -> io::Result<u8> {
    if is_v6(&fd)? { Ok(ipv6_tclass(fd)? as u8) } else { Ok(ip_tos(fd)?) }
}

pub(crate) fn set_tos(fd: impl AsFd, tos: u8) -> io::Result<()> {
    if !is_v6(&fd)? {
        return Ok(set_ip_tos(fd, tos)?);
    }
    set_ipv6_tclass(&fd, tos.into())?;
    // What such a socket sends to an IPv4 address follows the option of IPv4.
    if ipv6_v6only(&fd)? { Ok(()) } else { Ok(set_ip_tos(fd, tos)?) }
}

const HOPS: Twin = Twin { v4: libc::IP_TTL, v6: libc::IPV6_UNICAST_HOPS };

pub(crate) fn hops(fd: impl AsFd) -> io::Result<u8> {
    Ok(HOPS.get(fd)? as u8)
}

pub(crate) fn set_hops(fd: impl AsFd, hops: u8) -> io::Result<()> {
    if hops == 0 {
        return Err(Errno::INVAL.into()); // as IPv4 has it; IPv6 would send what nobody may forward
    }
    HOPS.set(fd, hops.into())
}

/// An option that is an `int` and has one number for IPv4 and another for IPv6.
#[derive(Clone, Copy)]
pub(crate) struct Twin {
    pub(crate) v4: i32,
    pub(crate) v6: i32,
}

impl Twin {
    /// Of an IPv6 socket, that of IPv6.
    pub(crate) fn get(self, fd: impl AsFd) -> io::Result<i32> {
        let v6 = is_v6(&fd)?;
        let (level, name) = if v6 { (libc::IPPROTO_IPV6, self.v6) } else { (libc::IPPROTO_IP, self.v4) };
        sockopt::int(fd, level, name)
    }

    /// Of an IPv6 socket that also speaks to IPv4, both.
    pub(crate) fn set(self, fd: impl AsFd, value: i32) -> io::Result<()> {
        if is_v6(&fd)? {
            sockopt::set(&fd, libc::IPPROTO_IPV6, self.v6, &value)?;
            if ipv6_v6only(&fd)? {
                return Ok(());
            }
        }
        sockopt::set(fd, libc::IPPROTO_IP, self.v4, &value)
    }
}

/// Gives `$name`, a TCP or UDP socket, the options of socket(7) and ip(7) that may be set at any time.
macro_rules! inet_options {
    ($name:ident) => {
        /// Options of socket(7), ip(7) and ipv6(7). Each getter and setter also fails with `ENOTSOCK` or `ENOPROTOOPT`
        /// where the descriptor is no socket of this kind.
        impl $name {
            /// The size of the receive buffer as the kernel counts it; see
            /// [`set_recv_buffer_size`](Self::set_recv_buffer_size).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
                Ok(rustix::net::sockopt::socket_recv_buffer_size(self)?)
            }

            /// Sets the size of the receive buffer, in bytes of data. The kernel doubles the number, for its own
            /// bookkeeping, and that is what is read back; it caps it at `/proc/sys/net/core/rmem_max` without an
            /// error. TCP no longer tunes the buffer by itself then, and agrees on how large its window can become
            /// while it connects: set it before.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "SO_RCVBUF")]
            pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                Ok(rustix::net::sockopt::set_socket_recv_buffer_size(self, bytes.min(i32::MAX as usize))?)
            }

            /// The size of the send buffer as the kernel counts it; see
            /// [`set_send_buffer_size`](Self::set_send_buffer_size).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn send_buffer_size(&self) -> std::io::Result<usize> {
                Ok(rustix::net::sockopt::socket_send_buffer_size(self)?)
            }

            /// Sets the size of the send buffer, in bytes of data. The kernel doubles the number, for its own
            /// bookkeeping, and that is what is read back; it caps it at `/proc/sys/net/core/wmem_max` without an
            /// error. TCP no longer tunes the buffer by itself then.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "SO_SNDBUF")]
            pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                Ok(rustix::net::sockopt::set_socket_send_buffer_size(self, bytes.min(i32::MAX as usize))?)
            }

            /// The interface that the socket is bound to; see [`set_device`](Self::set_device).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn device(&self) -> std::io::Result<Option<std::ffi::OsString>> {
                crate::socket::options::device(self)
            }

            /// Sends and receives by the interface of this name alone; `None`, the default, by any.
            ///
            /// # Errors
            /// `ENODEV` where there is none of that name; `EPERM` where one is set already, without
            /// CAP_NET_RAW.
            #[doc(alias = "SO_BINDTODEVICE")]
            pub fn set_device(&self, interface: Option<impl AsRef<std::ffi::OsStr>>) -> std::io::Result<()> {
                crate::socket::options::set_device(self, interface.as_ref().map(AsRef::as_ref))
            }

            /// The mark of what it sends; see [`set_mark`](Self::set_mark).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn mark(&self) -> std::io::Result<u32> {
                Ok(crate::ffi::sockopt::int(self, libc::SOL_SOCKET, libc::SO_MARK)?.cast_unsigned())
            }

            /// Marks what it sends, for rules of routing and of the firewall; the default is 0.
            ///
            /// # Errors
            /// `EPERM` without CAP_NET_ADMIN (or CAP_NET_RAW).
            #[doc(alias = "SO_MARK")]
            pub fn set_mark(&self, mark: u32) -> std::io::Result<()> {
                crate::ffi::sockopt::set(self, libc::SOL_SOCKET, libc::SO_MARK, &mark.cast_signed())
            }

            /// The priority of what it sends; see [`set_priority`](Self::set_priority).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn priority(&self) -> std::io::Result<u32> {
                Ok(crate::ffi::sockopt::int(self, libc::SOL_SOCKET, libc::SO_PRIORITY)?.cast_unsigned())
            }

            /// The priority, within this machine's queues, of what it sends. The default is 0, or follows from
            /// [`set_tos`](Self::set_tos) where that was called later.
            ///
            /// # Errors
            /// `EPERM` above 6 without CAP_NET_ADMIN (or CAP_NET_RAW).
            #[doc(alias = "SO_PRIORITY")]
            pub fn set_priority(&self, priority: u32) -> std::io::Result<()> {
                crate::ffi::sockopt::set(self, libc::SOL_SOCKET, libc::SO_PRIORITY, &priority.cast_signed())
            }

            /// The type of service of what it sends; see [`set_tos`](Self::set_tos).
            ///
            /// # Errors
            /// None but those that all options have.
            pub fn tos(&self) -> std::io::Result<u8> {
                crate::socket::options::tos(self)
            }

            /// The type of service, or traffic class, of what it sends: six bits of DSCP above two bits of ECN; the
            /// default is 0. TCP keeps the ECN bits to itself: they are ignored. An IPv6 socket that also speaks to
            /// IPv4 gets both.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "IP_TOS")]
            #[doc(alias = "IPV6_TCLASS")]
            pub fn set_tos(&self, tos: u8) -> std::io::Result<()> {
                crate::socket::options::set_tos(self, tos)
            }

            /// How many routers what it sends may pass; see [`set_hops`](Self::set_hops).
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "ttl")]
            pub fn hops(&self) -> std::io::Result<u8> {
                crate::socket::options::hops(self)
            }

            /// How many routers what it sends may pass, from 1 to 255; the default is the system's, mostly 64. An IPv6
            /// socket that also speaks to IPv4 gets both. Multicast has a number of its own.
            ///
            /// # Errors
            /// `EINVAL` for 0.
            #[doc(alias = "IP_TTL")]
            #[doc(alias = "IPV6_UNICAST_HOPS")]
            pub fn set_hops(&self, hops: u8) -> std::io::Result<()> {
                crate::socket::options::set_hops(self, hops)
            }

            /// Whether an IPv6 socket refuses IPv4. It is set by the builder.
            ///
            /// # Errors
            /// `EOPNOTSUPP` for an IPv4 socket.
            #[doc(alias = "IPV6_V6ONLY")]
            pub fn v6only(&self) -> std::io::Result<bool> {
                Ok(rustix::net::sockopt::ipv6_v6only(self)?)
            }

            /// How long a read that finds nothing asks the network card by itself before it gives up; see
            /// [`set_busy_poll`](Self::set_busy_poll).
            ///
            /// # Errors
            /// `ENOPROTOOPT` where the kernel cannot do it.
            pub fn busy_poll(&self) -> std::io::Result<std::time::Duration> {
                let us = crate::ffi::sockopt::int(self, libc::SOL_SOCKET, libc::SO_BUSY_POLL)?;
                Ok(std::time::Duration::from_micros(us.unsigned_abs().into()))
            }

            /// Lets a blocking read or wait that finds nothing ask the network card by itself for so long (rounded up
            /// to microseconds), where its driver can do that: less delay for more work. The default is that of the
            /// system, mostly zero.
            ///
            /// # Errors
            /// `EPERM` above the present value without CAP_NET_ADMIN, `EINVAL` above `i32::MAX` microseconds,
            /// `ENOPROTOOPT` where the kernel cannot do it.
            #[doc(alias = "SO_BUSY_POLL")]
            pub fn set_busy_poll(&self, time: std::time::Duration) -> std::io::Result<()> {
                let us = i32::try_from(time.as_nanos().div_ceil(1000)).map_err(|_| rustix::io::Errno::INVAL)?;
                crate::ffi::sockopt::set(self, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &us)
            }

            /// The processor that last handled something for this socket; `None` where nothing came yet.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "SO_INCOMING_CPU")]
            pub fn incoming_cpu(&self) -> std::io::Result<Option<u32>> {
                let cpu = crate::ffi::sockopt::int(self, libc::SOL_SOCKET, libc::SO_INCOMING_CPU)?;
                Ok(cpu.try_into().ok())
            }

            /// Of sockets that share a port, prefers this one for what arrives at this processor.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "SO_INCOMING_CPU")]
            pub fn set_incoming_cpu(&self, cpu: u32) -> std::io::Result<()> {
                Ok(rustix::net::sockopt::set_socket_incoming_cpu(self, cpu)?)
            }

            /// A number that no other socket of this machine has, or had, since it was started.
            ///
            /// # Errors
            /// None but those that all options have.
            #[doc(alias = "SO_COOKIE")]
            pub fn cookie(&self) -> std::io::Result<u64> {
                Ok(rustix::net::sockopt::socket_cookie(self)?)
            }
        }
    };
}
pub(crate) use inet_options;

/// Gives a builder with a field `options: inet::Options` what may be set before a socket is bound.
macro_rules! inet_builder_options {
    ($name:ident) => {
        impl $name {
            /// Whether to bind to an address that is not, or not yet, of this machine. The default is no.
            #[doc(alias = "IP_FREEBIND")]
            #[doc(alias = "IPV6_FREEBIND")]
            pub fn freebind(mut self, freebind: bool) -> Self {
                self.options.freebind = freebind;
                self
            }

            /// Whether to bind to addresses of other machines, for which the routes bring packets here, as a
            /// transparent proxy does. The default is no. Needs CAP_NET_ADMIN or CAP_NET_RAW.
            #[doc(alias = "IP_TRANSPARENT")]
            #[doc(alias = "IPV6_TRANSPARENT")]
            pub fn transparent(mut self, transparent: bool) -> Self {
                self.options.transparent = transparent;
                self
            }

            /// The name of the only interface to use. The default is any.
            #[doc(alias = "SO_BINDTODEVICE")]
            pub fn device(mut self, interface: impl Into<std::ffi::OsString>) -> Self {
                self.options.device = Some(interface.into());
                self
            }

            /// The mark of all packets, those that make a connection included. The default is 0. Needs CAP_NET_ADMIN or
            /// CAP_NET_RAW.
            #[doc(alias = "SO_MARK")]
            pub fn mark(mut self, mark: u32) -> Self {
                self.options.mark = Some(mark);
                self
            }

            /// The size of the receive buffer in bytes of data; the kernel keeps the double, and caps it. The default
            /// is that of the system, which TCP tunes as it goes. Where TCP is to have a large window, the size has to
            /// be set here, since its scale is agreed on while it connects; accepted connections inherit it.
            #[doc(alias = "SO_RCVBUF")]
            pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
                self.options.recv_buffer_size = Some(bytes);
                self
            }

            /// The size of the send buffer in bytes of data; the kernel keeps the double, and caps it. The default is
            /// that of the system, which TCP tunes as it goes.
            #[doc(alias = "SO_SNDBUF")]
            pub fn send_buffer_size(mut self, bytes: usize) -> Self {
                self.options.send_buffer_size = Some(bytes);
                self
            }
        }
    };
}
pub(crate) use inet_builder_options;
