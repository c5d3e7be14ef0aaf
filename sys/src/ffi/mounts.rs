//! Namespaces of mounts, which rustix enters with its feature `thread` only.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes the calling thread, and no other, into a mount namespace: its root and its working directory are those of the
/// namespace then.
pub(crate) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is passed. The thread first gets directories of its own, so that other threads keep theirs;
    // what a wrong descriptor is good for is refused with EINVAL.
    let result = unsafe {
        match libc::unshare(libc::CLONE_FS) {
            0 => libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS),
            failed => failed,
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
