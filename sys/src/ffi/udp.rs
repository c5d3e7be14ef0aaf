//! Groups with senders: ip(7), RFC 3678.

use super::sockopt::{Plain, set};
use std::ffi::c_int;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// `struct group_source_req`: addresses as bytes, for the kernel reads them by their family.
#[repr(C)]
#[derive(Clone, Copy)]
struct GroupSource {
    interface: u32,
    /// The kernel aligns addresses to a word.
    #[cfg(target_pointer_width = "64")]
    padding: u32,
    group: [u8; 128],
    source: [u8; 128],
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == 128);
const _: () = assert!(std::mem::offset_of!(GroupSource, group) == size_of::<usize>());
const _: () = assert!(std::mem::offset_of!(GroupSource, source) == size_of::<usize>() + 128);
const _: () = assert!(size_of::<GroupSource>() == size_of::<usize>() + 256);

// SAFETY: integers and bytes, the padding spelt out (the size is asserted above).
unsafe impl Plain for GroupSource {}

/// A `sockaddr_in` or `sockaddr_in6` with port 0, and nothing but zeros after it.
fn storage(address: IpAddr) -> [u8; 128] {
    let mut bytes = [0; 128];
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    match address {
        IpAddr::V4(address) => bytes[4..8].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes[8..24].copy_from_slice(&address.octets()),
    }
    bytes
}

const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in, sin_addr) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_addr) == 8);

/// One of the four options that name a group, a sender and an interface.
pub(crate) fn group_source(
    fd: impl AsFd,
    name: c_int,
    group: IpAddr,
    source: IpAddr,
    interface: u32,
) -> io::Result<()> {
    // The kernel looks at the address of the sender by the family of the group.
    if group.is_ipv4() != source.is_ipv4() {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    let request = GroupSource {
        interface,
        #[cfg(target_pointer_width = "64")]
        padding: 0,
        group: storage(group),
        source: storage(source),
    };
    set(fd, level, name, &request)
}
