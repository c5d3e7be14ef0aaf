//! pidfd_send_signal(2): rustix has it for the signals with a name only, not for real-time ones.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

pub(crate) fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let info: *const libc::siginfo_t = ptr::null();
    let flags: libc::c_uint = 0;
    // SAFETY: the four arguments have the types of the call; a null pointer asks the kernel to fill in the details.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, info, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
