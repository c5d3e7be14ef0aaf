//! What ends a blocking call of another thread.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::thread::JoinHandle;

/// Ignored by default, so that it harms nobody who has no handler for it.
const INTERRUPT: libc::c_int = libc::SIGURG;

extern "C" fn nothing(_: libc::c_int) {}

/// Makes [`interrupt`] interrupt: without any handler the kernel would drop the signal. A handler that the program has
/// put there stays, and serves as well. Other threads notice little, for calls that can be resumed are.
pub(crate) fn allow_interrupts() -> io::Result<()> {
    // SAFETY: both structs are plain integers and a function's address, for which zero is valid; they outlive the
    // calls. The handler does nothing, hence is async-signal-safe, and has the signature that goes without SA_SIGINFO.
    let result = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(INTERRUPT, ptr::null(), &mut old) != 0 {
            return Err(io::Error::last_os_error());
        }
        if old.sa_sigaction != libc::SIG_DFL && old.sa_sigaction != libc::SIG_IGN {
            return Ok(());
        }
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = nothing as *const () as usize;
        new.sa_flags = libc::SA_RESTART;
        libc::sigaction(INTERRUPT, &new, ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The bit of the interrupting signal in a set of the kernel.
pub(crate) const fn interrupt_bit() -> u64 {
    1 << (INTERRUPT - 1)
}

/// Interrupts the call that `thread` is in, if any.
pub(crate) fn interrupt<T>(thread: &JoinHandle<T>) {
    // SAFETY: the handle is neither joined nor detached as long as it exists, so the identifier is valid even where
    // the thread has ended. Of the signal's effect see `allow_interrupts`.
    let _ = unsafe { libc::pthread_kill(thread.as_pthread_t(), INTERRUPT) };
}

/// Makes the number of `fd` another name of `by`, close-on-exec, in one step. Calls that are under way stay with the
/// old file, calls that begin or are resumed get the new one.
pub(crate) fn replace(fd: &OwnedFd, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` is ours and stays an open descriptor, owned by the same object, the whole time: dup3(2) closes the
    // old file and installs the new one at once. All that is allowed on one's own descriptor of any kind.
    let result = unsafe { libc::dup3(by.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
