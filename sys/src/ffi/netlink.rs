//! Receiving from netlink sockets with sender and group, which rustix does not decode.

use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for the control messages of one datagram: a group, a namespace, and what might be new.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// What came with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Received {
    /// How long the datagram is, which may be more than was asked for.
    pub(crate) len: usize,
    /// The port of the sender; 0 is the kernel.
    pub(crate) sender: u32,
    pub(crate) group: Option<u32>,
    pub(crate) namespace: Option<i32>,
}

/// recvmsg(2). Only for netlink sockets: on others a descriptor that comes along would be lost.
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], peek: bool) -> Result<Received, Errno> {
    // SAFETY: both structs are plain integers and null pointers, for which zero is valid.
    let (mut sender, mut message): (libc::sockaddr_nl, libc::msghdr) = unsafe { std::mem::zeroed() };
    let mut control = Control([0; 128]);
    let mut space = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    message.msg_name = (&raw mut sender).cast();
    message.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    message.msg_iov = &raw mut space;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC | if peek { libc::MSG_PEEK } else { 0 };
    // SAFETY: every pointer in the message is to a live, writable object of the length beside it, and the kernel writes
    // no more than that; any bytes are valid for all of them.
    let n = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    let Ok(len) = usize::try_from(n) else {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    // A datagram without an address is not from the kernel either.
    let named = message.msg_namelen as usize >= size_of::<libc::sockaddr_nl>();
    let mut received = Received { len, sender: if named { sender.nl_pid } else { u32::MAX }, ..Received::default() };
    #[allow(clippy::unnecessary_cast, reason = "musl declares it narrower")]
    let filled = (message.msg_controllen as usize).min(control.0.len());
    read_control(&control.0[..filled], &mut received);
    Ok(received)
}

/// Walks the control messages: length (of a C `size_t`), level, type, and data, each aligned as `size_t` is.
fn read_control(mut bytes: &[u8], received: &mut Received) {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    const WORD: usize = size_of::<usize>();
    const _: () = assert!(HEAD == WORD + 8);

    while let Some((len, rest)) = bytes.split_first_chunk::<WORD>() {
        let len = usize::from_ne_bytes(*len);
        let words = rest.as_chunks::<4>().0;
        if len < HEAD || len > bytes.len() || words.len() < 2 {
            return;
        }
        let data = words.get(2).filter(|_| len >= HEAD + 4).copied();
        match (i32::from_ne_bytes(words[0]), i32::from_ne_bytes(words[1])) {
            (libc::SOL_NETLINK, libc::NETLINK_PKTINFO) => received.group = data.map(u32::from_ne_bytes),
            (libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID) => received.namespace = data.map(i32::from_ne_bytes),
            _ => {}
        }
        bytes = &bytes[len.next_multiple_of(WORD).min(bytes.len())..];
    }
}
