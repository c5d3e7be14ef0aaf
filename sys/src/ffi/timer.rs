//! The ioctl of timerfd, which rustix does not have.

use rustix::io;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use std::os::fd::AsFd;

const TFD_IOC_SET_TICKS: Opcode = opcode::write::<u64>(b'T', 0);

// Some architectures number the directions otherwise.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const _: () = assert!(TFD_IOC_SET_TICKS == 0x4008_5400);

pub(crate) fn set_ticks(fd: impl AsFd, ticks: u64) -> io::Result<()> {
    // SAFETY: the opcode says, and the kernel's `timerfd_ioctl` does: read one u64. `Setter` passes the address of
    // its own copy of `ticks`, which lives until the call returns. On a descriptor of another kind the number is
    // either unknown (ENOTTY) or, for its type byte is 'T', a terminal's: no terminal has a call of this number.
    unsafe { ioctl(fd, Setter::<{ TFD_IOC_SET_TICKS }, u64>::new(ticks)) }
}
