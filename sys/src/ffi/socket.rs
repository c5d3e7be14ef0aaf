//! Sockets: what rustix decodes with more trust in the kernel's bytes than they deserve.

use super::sockopt;
use rustix::net::SocketAddrAny;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The encoded address, family included.
///
/// rustix's own decoder of unix addresses panics on a path of 108 bytes, for which the kernel reports a length
/// beyond the struct; and such a path is the peer's choice.
pub(crate) fn address_bytes(address: &SocketAddrAny) -> &[u8] {
    // SAFETY: the pointer is to `address`'s own storage, borrowed for as long as the slice lives; that its first
    // `addr_len` bytes are initialized is the contract of the only ways to make a `SocketAddrAny` (its `new` and
    // `read`), which also bound the length by the storage's.
    unsafe { std::slice::from_raw_parts(address.as_ptr().cast(), address.addr_len() as usize) }
}

/// SO_PEERCRED: process, user and group, all integers. A process of another namespace is 0, a missing peer is
/// 0 and -1, so that rustix's type, whose process is never zero, does not fit.
pub(crate) fn peer_credentials(fd: impl AsFd) -> io::Result<libc::ucred> {
    let mut ucred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to live locals; the kernel writes at most `len` bytes, the size of `ucred`, all of
    // whose bit patterns are valid.
    let result = unsafe {
        let value = (&raw mut ucred).cast();
        libc::getsockopt(fd.as_fd().as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, value, &raw mut len)
    };
    if result == 0 { Ok(ucred) } else { Err(io::Error::last_os_error()) }
}

/// SO_PEERPIDFD: the process that made the other end, close-on-exec.
pub(crate) fn peer_pidfd(fd: impl AsFd) -> io::Result<OwnedFd> {
    let mut number: i32 = -1;
    sockopt::read(fd, libc::SOL_SOCKET, libc::SO_PEERPIDFD, &mut number)?;
    if number < 0 {
        return Err(io::Error::from_raw_os_error(number.saturating_neg()));
    }
    // SAFETY: nothing but a socket has socket options, and of all sockets this one makes a descriptor for who asks, which
    // nobody else knows of: so it is ours. That the kernel wrote it is sure, because it was -1 before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// An option of any length, of which the kernel tells how long it is when there is too little room: bytes.
pub(crate) fn long_option(fd: impl AsFd, name: libc::c_int) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; 256];
    loop {
        let mut len = value.len() as libc::socklen_t;
        // SAFETY: both pointers are to live locals; the kernel writes at most `len` bytes, which are there.
        let result = unsafe {
            let value = value.as_mut_ptr().cast();
            libc::getsockopt(fd.as_fd().as_raw_fd(), libc::SOL_SOCKET, name, value, &raw mut len)
        };
        if result == 0 {
            value.truncate(len as usize);
            return Ok(value);
        }
        let e = io::Error::last_os_error();
        if e.raw_os_error() != Some(libc::ERANGE) || len as usize <= value.len() {
            return Err(e);
        }
        value.resize(len as usize, 0);
    }
}
