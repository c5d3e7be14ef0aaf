//! Modem lines, break and the output queue of a serial port: ioctl_tty(2).

use rustix::io;
use rustix::ioctl::{Getter, NoArg, Opcode, Setter, ioctl};
use std::ffi::c_int;
use std::os::fd::BorrowedFd;

pub(crate) fn modem_lines(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: TIOCMGET writes one `int` by pointer, which is what this getter offers.
    let bits = unsafe { ioctl(fd, Getter::<{ libc::TIOCMGET as Opcode }, c_int>::new())? };
    Ok(bits.cast_unsigned())
}

pub(crate) fn set_modem_lines(fd: BorrowedFd<'_>, bits: u32, asserted: bool) -> io::Result<()> {
    let bits = bits.cast_signed();
    // SAFETY: TIOCMBIS and TIOCMBIC read one `int` by pointer, which is what these setters pass.
    unsafe {
        if asserted {
            ioctl(fd, Setter::<{ libc::TIOCMBIS as Opcode }, c_int>::new(bits))
        } else {
            ioctl(fd, Setter::<{ libc::TIOCMBIC as Opcode }, c_int>::new(bits))
        }
    }
}

pub(crate) fn set_break(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: TIOCSBRK and TIOCCBRK take no argument.
    unsafe {
        if on {
            ioctl(fd, NoArg::<{ libc::TIOCSBRK as Opcode }>::new())
        } else {
            ioctl(fd, NoArg::<{ libc::TIOCCBRK as Opcode }>::new())
        }
    }
}

pub(crate) fn output_queued(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: TIOCOUTQ writes one `int` by pointer, which is what this getter offers.
    let count = unsafe { ioctl(fd, Getter::<{ libc::TIOCOUTQ as Opcode }, c_int>::new())? };
    Ok(usize::try_from(count).unwrap_or(0))
}
