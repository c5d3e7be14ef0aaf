use crate::fd::owned_fd;
use crate::ffi;
use crate::signal::Signal;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, WaitId, WaitIdOptions, WaitIdStatus};
use rustix::process::{pidfd_getfd, pidfd_open, waitid};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A process, whatever becomes of its number: pidfd_open(2).
///
/// Readable from the end of the process on; poll(2) reports [`HUP`](crate::Ready::HUP) as well once its status has
/// been taken. Close-on-exec and non-blocking. Dropping it closes the descriptor and does nothing to the process.
///
/// ```
/// use becket_sys::process::PidFd;
/// use becket_sys::Ready;
/// use std::process::Command;
///
/// let child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
/// let process = PidFd::of_child(&child)?;
/// process.wait_ready(Ready::READ, None)?;
/// assert_eq!(process.peek()?.and_then(|status| status.code()), Some(3));
/// assert_eq!(process.try_wait()?.and_then(|status| status.code()), Some(3));
///
/// let e = process.try_wait().unwrap_err(); // the status can be taken once
/// assert_eq!(e.raw_os_error(), Some(10)); // ECHILD
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pidfd")]
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
}

owned_fd!(PidFd, Readable);

impl PidFd {
    /// The process that has the number `pid` now.
    ///
    /// The number of a process that has ended, and whose parent has waited for it, may already be another's. It is
    /// safe for one's own process and for children that nobody has waited for.
    ///
    /// # Errors
    /// `ESRCH` where there is no such process; `EINVAL` or `ENOENT` where it is the number of a thread that does not
    /// lead its process; `EINVAL` for what cannot be the number of a process; `EMFILE` or `ENFILE` where no
    /// descriptor is left; `ENOMEM`; `ENOSYS` from kernels before 5.3, and under old versions of valgrind.
    ///
    /// ```
    /// use becket_sys::process::PidFd;
    ///
    /// let me = PidFd::open(std::process::id())?;
    /// let e = me.try_wait().unwrap_err(); // not a child
    /// assert_eq!(e.raw_os_error(), Some(10)); // ECHILD
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "pidfd_open")]
    pub fn open(pid: u32) -> io::Result<PidFd> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
        Ok(PidFd { fd: pidfd_open(pid, PidfdFlags::NONBLOCK)? })
    }

    /// A child that the standard library started and that nobody has waited for.
    ///
    /// Its status can be taken once: by [`try_wait`](Self::try_wait) or by the methods of `child`; the other then
    /// fails with `ECHILD`.
    ///
    /// # Errors
    /// `ESRCH` or `ECHILD` where the child's status was taken already, which is what also happens to every child
    /// while SIGCHLD is ignored; otherwise as [`open`](Self::open).
    pub fn of_child(child: &std::process::Child) -> io::Result<PidFd> {
        Self::open_child(child.id())
    }

    /// Opens the descriptor and makes sure that it is a child's: a number that was given away again is almost always
    /// a stranger's.
    pub(super) fn open_child(pid: u32) -> io::Result<PidFd> {
        let process = Self::open(pid)?;
        process.peek()?;
        Ok(process)
    }

    /// Takes the status of a child that has ended; `None` while it runs. No other child is touched.
    ///
    /// # Errors
    /// `ECHILD` where the process is no child of this one, or its status was taken already.
    #[doc(alias = "waitid")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.status(WaitIdOptions::empty())
    }

    /// As [`try_wait`](Self::try_wait), and leaves the status to be taken: the child stays a zombie.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait).
    #[doc(alias = "WNOWAIT")]
    pub fn peek(&self) -> io::Result<Option<ExitStatus>> {
        self.status(WaitIdOptions::NOWAIT)
    }

    fn status(&self, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.fd.as_fd()), options))?;
        Ok(status.map(exit_status))
    }

    /// Sends `signal` to the process: pidfd_send_signal(2).
    ///
    /// Nothing happens, and it is no error, while the process has ended and its status is not yet taken.
    ///
    /// # Errors
    /// `ESRCH` where the process has ended and its status was taken; `EPERM` where the caller may not signal it;
    /// `EAGAIN` for a real-time signal where as many are queued as RLIMIT_SIGPENDING allows.
    #[doc(alias = "pidfd_send_signal")]
    #[doc(alias = "kill")]
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        ffi::process::send_signal(&self.fd, signal.as_raw())
    }

    /// A duplicate of the descriptor that has the number `number` in that process: pidfd_getfd(2).
    ///
    /// It is close-on-exec; everything else, the blocking mode too, is shared with that process.
    ///
    /// # Errors
    /// `EBADF` where it has no such descriptor; `EPERM` where the caller may not look into it (PTRACE_MODE_ATTACH,
    /// see ptrace(2)); `ESRCH` where it has ended; `EMFILE` where no descriptor is left here.
    #[doc(alias = "pidfd_getfd")]
    pub fn get_fd(&self, number: RawFd) -> io::Result<OwnedFd> {
        // rustix asserts this.
        if number < 0 {
            return Err(Errno::BADF.into());
        }
        Ok(pidfd_getfd(&self.fd, number, PidfdGetfdFlags::empty())?)
    }

    /// A second handle to the same process.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<PidFd> {
        Ok(PidFd { fd: self.fd.try_clone()? })
    }
}

/// A wrong descriptor can merely make calls fail.
impl From<OwnedFd> for PidFd {
    fn from(fd: OwnedFd) -> Self {
        PidFd { fd }
    }
}

/// From the form of waitid(2) into that of wait(2), which the standard library takes.
fn exit_status(status: WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) if status.dumped() => signal | CORE_DUMPED,
        (None, signal) => signal.unwrap_or_default(),
    };
    ExitStatus::from_raw(raw)
}
