//! Locks of open file descriptions, fcntl(2): rustix has locks of processes only.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kernel's `struct flock64`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flock {
    pub(crate) kind: i16,
    pub(crate) whence: i16,
    pub(crate) start: i64,
    pub(crate) len: i64,
    pub(crate) pid: i32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Flock>() == 32 && offset_of!(Flock, start) == 8 && offset_of!(Flock, pid) == 24);
const _: () = assert!(offset_of!(Flock, len) == offset_of!(Flock, start) + 8);

// The call itself, because of glibc on processors of 32 bits: since 2.28 its fcntl(3) takes a struct with offsets of 32
// bits for the commands below, and makes the kernel's of it.
#[cfg(any(target_pointer_width = "64", target_arch = "riscv32", target_arch = "x86_64"))]
use libc::SYS_fcntl as FCNTL;
#[cfg(not(any(target_pointer_width = "64", target_arch = "riscv32", target_arch = "x86_64")))]
use libc::SYS_fcntl64 as FCNTL;

/// One of the commands on locks of open file descriptions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Query = libc::F_OFD_GETLK as isize,
    Set = libc::F_OFD_SETLK as isize,
    SetWait = libc::F_OFD_SETLKW as isize,
}

pub(crate) fn lock(fd: BorrowedFd<'_>, command: Command, lock: &mut Flock) -> io::Result<()> {
    // SAFETY: these three commands take a `struct flock64`, on processors of 32 bits too; its layout is asserted above.
    // The kernel reads it, writes it for `Query`, and keeps no pointer to it.
    let result = unsafe { libc::syscall(FCNTL, fd.as_raw_fd(), command as libc::c_int, &raw mut *lock) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
