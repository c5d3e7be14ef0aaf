//! signalfd and signal masks, which rustix leaves to the C library. Sets cross this border as the kernel has them:
//! bit n-1 is signal n.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

const _: () = assert!(size_of::<libc::signalfd_siginfo>() == 128);

fn to_libc(set: u64) -> libc::sigset_t {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) writes all of the set that it is given, which is valid for writes; after that the set
    // is initialised, and sigaddset(3) only changes bits in it (or refuses a number, and changes nothing).
    unsafe {
        libc::sigemptyset(mask.as_mut_ptr());
        for signal in (1..=64).filter(|n| set & (1 << (n - 1)) != 0) {
            libc::sigaddset(mask.as_mut_ptr(), signal);
        }
        mask.assume_init()
    }
}

fn from_libc(mask: &libc::sigset_t) -> u64 {
    // SAFETY: a reference is valid for reads, and sigismember(3) does nothing else.
    let member = |signal| unsafe { libc::sigismember(mask, signal) == 1 };
    (1..=64).filter(|n| member(*n)).fold(0, |set, n| set | 1 << (n - 1))
}

pub(crate) fn signalfd(set: u64) -> io::Result<OwnedFd> {
    // SAFETY: the set lives until the call returns; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &to_libc(set), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, so nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn change_signalfd(fd: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    // SAFETY: the set lives until the call returns; the descriptor is open, and of another kind the call refuses it.
    let result = unsafe { libc::signalfd(fd.as_raw_fd(), &to_libc(set), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Changes the calling thread's mask; returns the one before. It cannot fail: `how` is one of the three known words.
fn change(how: libc::c_int, set: u64) -> u64 {
    let mut old = to_libc(0);
    // SAFETY: both sets are initialised and live until the call returns.
    let error = unsafe { libc::pthread_sigmask(how, &to_libc(set), &mut old) };
    debug_assert_eq!(error, 0);
    from_libc(&old)
}

pub(crate) fn block(set: u64) -> u64 {
    change(libc::SIG_BLOCK, set)
}

pub(crate) fn unblock(set: u64) {
    change(libc::SIG_UNBLOCK, set);
}

pub(crate) fn blocked() -> u64 {
    change(libc::SIG_BLOCK, 0)
}

pub(crate) fn pending() -> u64 {
    let mut set = to_libc(0);
    // SAFETY: the set is valid for writes until the call returns.
    unsafe { libc::sigpending(&mut set) };
    from_libc(&set)
}

/// Takes one pending signal of `set` away from the calling thread or its process; false where none is pending.
pub(crate) fn discard_pending(set: u64) -> bool {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: set and time live until the call returns; a null pointer says that the details are not wanted.
    let signal = unsafe { libc::sigtimedwait(&to_libc(set), ptr::null_mut(), &at_once) };
    signal > 0
}

pub(crate) fn raise(signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed. A number that is no signal is refused with EINVAL.
    if unsafe { libc::raise(signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Raises the signal with its default action, unblocked for the moment.
pub(crate) fn act_by_default(signal: i32, bit: u64) -> io::Result<()> {
    if signal == libc::SIGKILL || signal == libc::SIGSTOP {
        return raise(signal); // nobody can change these
    }
    // SAFETY: both structs are plain integers and a function's address, for which zero is valid, and SIG_DFL is 0; they
    // outlive the calls. What is put back at the end is what the first call has found.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, &default, &mut old) != 0 {
            return Err(io::Error::last_os_error());
        }
        let raised = raise(signal);
        let before = change(libc::SIG_UNBLOCK, bit);
        if before & bit != 0 {
            block(bit);
        }
        libc::sigaction(signal, &old, ptr::null_mut());
        raised
    }
}

pub(crate) fn queue(pid: i32, signal: i32, value: i32) -> io::Result<()> {
    // `union sigval` holds the integer at its start; libc declares it by its pointer only.
    let mut bytes = [0; size_of::<usize>()];
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
    let sival_ptr = ptr::without_provenance_mut(usize::from_ne_bytes(bytes));
    // SAFETY: the pointer is a number to the kernel and is never followed.
    let result = unsafe { libc::sigqueue(pid, signal, libc::sigval { sival_ptr }) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn reset_sigmask(command: &mut Command) {
    let empty = to_libc(0);
    let reset = move || {
        // SAFETY: the closure owns the set; a null pointer says that the old mask is not wanted.
        match unsafe { libc::sigprocmask(libc::SIG_SETMASK, &empty, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: sigprocmask is one, reading errno is
    // fine, and nothing is allocated or locked.
    unsafe { command.pre_exec(reset) };
}
