//! The packet mode of pseudoterminals: ioctl_tty(2).

use rustix::io;
use rustix::ioctl::{Opcode, Setter, ioctl};
use std::ffi::c_int;
use std::os::fd::BorrowedFd;

pub(crate) fn set_packet_mode(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: TIOCPKT reads one `int` by pointer, which is what this setter passes.
    unsafe { ioctl(fd, Setter::<{ libc::TIOCPKT as Opcode }, c_int>::new(on.into())) }
}
