//! Packet mode, signals and sessions of pseudoterminals: ioctl_tty(2).

use rustix::io;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl, opcode};
use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

const TIOCSIG: Opcode = opcode::write::<c_int>(b'T', 0x36);

// Some architectures number the directions otherwise.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const _: () = assert!(TIOCSIG == 0x4004_5436);

pub(crate) fn set_packet_mode(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: TIOCPKT reads one `int` by pointer, which is what this setter passes.
    unsafe { ioctl(fd, Setter::<{ libc::TIOCPKT as Opcode }, c_int>::new(on.into())) }
}

pub(crate) fn signal_foreground(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: whatever its number says, TIOCSIG takes the signal itself for its argument and touches no memory of ours.
    unsafe { ioctl(fd, IntegerSetter::<TIOCSIG>::new_usize(signal as usize)) }
}

/// What a terminal sends to those who are on it.
const SIGNALS: [c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGCONT];

/// The child is to lead a session with its standard input for the controlling terminal, and to block no signal, nor to
/// ignore one of the terminal's.
pub(crate) fn lead_session_on_stdin(command: &mut Command) {
    let lead = || {
        for signal in SIGNALS {
            // SAFETY: no handler is installed. It cannot fail for these.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: no memory is passed.
        let result = unsafe {
            match libc::setsid() {
                -1 => -1,
                _ => libc::ioctl(0, libc::TIOCSCTTY, 0),
            }
        };
        if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: these are, reading errno is fine,
    // and nothing is allocated or locked.
    unsafe { command.pre_exec(lead) };
    super::signal::reset_sigmask(command);
}
