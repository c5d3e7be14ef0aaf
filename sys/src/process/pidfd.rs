use super::Info;
use crate::Ready;
use crate::fd::owned_fd;
use crate::ffi;
use crate::signal::Signal;
use bitflags::bitflags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, WaitId, WaitIdOptions, WaitIdStatus};
use rustix::process::{pidfd_getfd, pidfd_open, waitid};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

/// A process, whatever becomes of its number: pidfd_open(2).
///
/// Readable from the end of the process on; since Linux 6.9 poll(2) reports [`HUP`](crate::Ready::HUP) as well once its
/// status has been taken. Close-on-exec and non-blocking. Dropping it closes the descriptor and does nothing to the
/// process.
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

    /// The thread that has the number `tid` now, of this or another process: gettid(2). The descriptor is readable once
    /// that thread has ended; waiting by it fails with `ECHILD` unless it leads a child.
    ///
    /// # Errors
    /// `EINVAL` from kernels before 6.9; otherwise as [`open`](Self::open).
    ///
    /// ```
    /// use becket_sys::process::PidFd;
    ///
    /// let me = PidFd::open_thread(std::process::id())?; // the main thread's number is the process's
    /// assert!(!me.has_ended()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "PIDFD_THREAD")]
    pub fn open_thread(tid: u32) -> io::Result<PidFd> {
        let tid = i32::try_from(tid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
        // PIDFD_THREAD, which rustix does not have.
        let thread = PidfdFlags::from_bits_retain(rustix::fs::OFlags::EXCL.bits());
        Ok(PidFd { fd: pidfd_open(tid, PidfdFlags::NONBLOCK | thread)? })
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
        let options = options | WaitIdOptions::EXITED;
        Ok(self.waitid(options)?.map(exit_status))
    }

    /// Takes the next of what happened to a child that `what` asks for; `None` where nothing did. Of several stops and
    /// continuations only the last is told.
    ///
    /// **The descriptor tells of the end only:** of a stop or continuation `SIGCHLD` tells, if anything.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait); `EINVAL` where `what` is empty.
    ///
    /// ```
    /// use becket_sys::process::{Change, PidFd, WaitFor};
    /// use becket_sys::signal::Signal;
    /// use becket_sys::Ready;
    ///
    /// let child = std::process::Command::new("sleep").arg("30").spawn()?;
    /// let process = PidFd::of_child(&child)?;
    /// process.send_signal(Signal::KILL)?;
    /// process.wait_ready(Ready::READ, None)?;
    /// let Some(Change::Ended(status)) = process.try_wait_for(WaitFor::all())? else { panic!() };
    /// assert!(!status.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "waitid")]
    pub fn try_wait_for(&self, what: WaitFor) -> io::Result<Option<Change>> {
        Ok(self.waitid(what.options())?.and_then(change))
    }

    /// As [`try_wait_for`](Self::try_wait_for), and leaves it to be taken.
    ///
    /// # Errors
    /// As [`try_wait_for`](Self::try_wait_for).
    #[doc(alias = "WNOWAIT")]
    pub fn peek_for(&self, what: WaitFor) -> io::Result<Option<Change>> {
        Ok(self.waitid(what.options() | WaitIdOptions::NOWAIT)?.and_then(change))
    }

    fn waitid(&self, options: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
        let options = options | WaitIdOptions::NOHANG;
        Ok(rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.fd.as_fd()), options))?)
    }

    /// Whether the process has ended, a child's status taken or not; of one that was opened by
    /// [`open_thread`](Self::open_thread), whether that thread has.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn has_ended(&self) -> io::Result<bool> {
        Ok(self.wait_ready(Ready::READ, Some(Instant::now()))?.is_some())
    }

    /// The number of the process, as this process sees it. `None` once its status was taken, and for a process outside
    /// of our pid namespace. Works on every kernel that has pidfds; see [`info`](Self::info) for more.
    ///
    /// # Errors
    /// `ENOENT` where `/proc` is not mounted; `InvalidData` where the descriptor is no pidfd.
    pub fn pid(&self) -> io::Result<Option<u32>> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()))?;
        let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i64>().ok());
        // Gone is -1, and invisible is 0.
        Ok(u32::try_from(number.ok_or(io::ErrorKind::InvalidData)?).ok().filter(|pid| *pid != 0))
    }

    /// What the kernel says of the process: numbers, users, control group, and how it ended.
    ///
    /// # Errors
    /// `ENOTTY` from kernels before 6.13, and where the descriptor is no pidfd; `ESRCH` where the process has ended and
    /// its status was taken, unless the kernel (6.15) has kept the status.
    #[doc(alias = "PIDFD_GET_INFO")]
    pub fn info(&self) -> io::Result<Info> {
        Info::get(self.fd.as_fd())
    }

    /// A namespace that the process is in, as a descriptor for setns(2) or to compare; see namespaces(7).
    ///
    /// # Errors
    /// `ENOTTY` from kernels before 6.13, and where the descriptor is no pidfd; `EOPNOTSUPP` where the kernel was built
    /// without this kind; `EPERM` or `EACCES` where the caller may not look into the process (PTRACE_MODE_READ);
    /// `ESRCH` where it has ended; `EMFILE` where no descriptor is left.
    #[doc(alias = "PIDFD_GET_MNT_NAMESPACE")]
    #[doc(alias = "setns")]
    pub fn namespace(&self, which: Namespace) -> io::Result<OwnedFd> {
        Ok(ffi::process::namespace(self.fd.as_fd(), which as u8)?)
    }

    /// Sends `signal` to the process: pidfd_send_signal(2). To one that was opened by
    /// [`open_thread`](Self::open_thread), to that thread.
    ///
    /// Nothing happens, and it is no error, while the process has ended and its status is not yet taken.
    ///
    /// # Errors
    /// `ESRCH` where the process has ended and its status was taken; `EPERM` where the caller may not signal it;
    /// `EAGAIN` for a real-time signal where as many are queued as RLIMIT_SIGPENDING allows.
    #[doc(alias = "pidfd_send_signal")]
    #[doc(alias = "kill")]
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        ffi::process::send_signal(&self.fd, signal.as_raw(), None, 0)
    }

    /// Sends `signal` to the thread, the process, or its process group, however the descriptor was opened.
    ///
    /// # Errors
    /// `EINVAL` from kernels before 6.9; otherwise as [`send_signal`](Self::send_signal).
    #[doc(alias = "PIDFD_SIGNAL_PROCESS_GROUP")]
    #[doc(alias = "killpg")]
    pub fn send_signal_to(&self, scope: Scope, signal: Signal) -> io::Result<()> {
        ffi::process::send_signal(&self.fd, signal.as_raw(), None, scope as u32)
    }

    /// Sends `signal` with an integer, which [`SigInfo::value`](crate::signal::SigInfo::value) reads. Real-time signals
    /// queue with their values; of a standard one that is pending already, the first value stays.
    ///
    /// # Errors
    /// As [`send_signal`](Self::send_signal).
    #[doc(alias = "sigqueue")]
    #[doc(alias = "pidfd_send_signal")]
    pub fn queue_signal(&self, signal: Signal, value: i32) -> io::Result<()> {
        ffi::process::send_signal(&self.fd, signal.as_raw(), Some(value), 0)
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

bitflags! {
    /// What to wait for: waitid(2).
    ///
    /// ```
    /// use becket_sys::process::WaitFor;
    ///
    /// assert!(WaitFor::all().contains(WaitFor::ENDED | WaitFor::STOPPED | WaitFor::CONTINUED));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct WaitFor: u32 {
        /// The child ended.
        #[doc(alias = "WEXITED")]
        const ENDED = WaitIdOptions::EXITED.bits();
        /// A signal stopped the child.
        #[doc(alias = "WSTOPPED")]
        const STOPPED = WaitIdOptions::STOPPED.bits();
        /// `SIGCONT` made it go on.
        #[doc(alias = "WCONTINUED")]
        const CONTINUED = WaitIdOptions::CONTINUED.bits();
    }
}

impl WaitFor {
    fn options(self) -> WaitIdOptions {
        WaitIdOptions::from_bits_retain(self.bits())
    }
}

/// What happened to a child.
///
/// ```
/// use becket_sys::process::Change;
/// use becket_sys::signal::Signal;
///
/// assert_ne!(Change::Stopped(Signal::TSTP), Change::Continued);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It ended.
    #[doc(alias = "CLD_EXITED")]
    Ended(ExitStatus),
    /// This signal stopped it.
    #[doc(alias = "CLD_STOPPED")]
    Stopped(Signal),
    /// It is traced by the caller, and stopped by this signal.
    #[doc(alias = "CLD_TRAPPED")]
    Trapped(Signal),
    /// It goes on.
    #[doc(alias = "CLD_CONTINUED")]
    Continued,
}

fn change(status: WaitIdStatus) -> Option<Change> {
    let signal = |raw: Option<i32>| Signal::from_kernel(raw.unwrap_or(0).cast_unsigned());
    Some(match status.raw_code() {
        libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => Change::Ended(exit_status(status)),
        libc::CLD_STOPPED => Change::Stopped(signal(status.stopping_signal())),
        libc::CLD_TRAPPED => Change::Trapped(signal(status.trapping_signal())),
        libc::CLD_CONTINUED => Change::Continued,
        _ => return None,
    })
}

/// Whom a signal is for.
///
/// ```
/// use becket_sys::process::{PidFd, Scope};
/// use becket_sys::signal::Signal;
///
/// let me = PidFd::open(std::process::id())?;
/// me.send_signal_to(Scope::Process, Signal::CHLD)?; // ignored by default
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Scope {
    /// The thread that the descriptor refers to; of one opened for a process, its first thread.
    #[doc(alias = "PIDFD_SIGNAL_THREAD")]
    Thread = 1,
    /// The process: any of its threads.
    #[doc(alias = "PIDFD_SIGNAL_THREAD_GROUP")]
    Process = 2,
    /// Every process of the group that the process leads. `ESRCH` where it leads none.
    #[doc(alias = "PIDFD_SIGNAL_PROCESS_GROUP")]
    Group = 4,
}

/// A kind of namespace: namespaces(7).
///
/// ```
/// use becket_sys::process::{Namespace, PidFd};
///
/// let me = PidFd::open(std::process::id())?;
/// match me.namespace(Namespace::User) {
///     Ok(fd) => assert!(std::fs::File::from(fd).metadata()?.is_file()),
///     Err(e) => assert!(matches!(e.raw_os_error(), Some(25 | 95))), // an older kernel, or one without them
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Namespace {
    /// Control groups.
    #[doc(alias = "PIDFD_GET_CGROUP_NAMESPACE")]
    Cgroup = 1,
    /// System V's and POSIX's message queues.
    #[doc(alias = "PIDFD_GET_IPC_NAMESPACE")]
    Ipc = 2,
    /// Mounts.
    #[doc(alias = "PIDFD_GET_MNT_NAMESPACE")]
    Mount = 3,
    /// The network.
    #[doc(alias = "PIDFD_GET_NET_NAMESPACE")]
    Net = 4,
    /// Numbers of processes: its own.
    #[doc(alias = "PIDFD_GET_PID_NAMESPACE")]
    Pid = 5,
    /// Numbers of processes: that of its future children.
    #[doc(alias = "PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE")]
    PidForChildren = 6,
    /// Monotonic and boot time: its own.
    #[doc(alias = "PIDFD_GET_TIME_NAMESPACE")]
    Time = 7,
    /// Monotonic and boot time: that of its future children.
    #[doc(alias = "PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE")]
    TimeForChildren = 8,
    /// Users and rights.
    #[doc(alias = "PIDFD_GET_USER_NAMESPACE")]
    User = 9,
    /// The names of the host.
    #[doc(alias = "PIDFD_GET_UTS_NAMESPACE")]
    Uts = 10,
}

/// From the form of waitid(2) into that of wait(2), which the standard library takes.
pub(super) fn exit_status(status: WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) if status.dumped() => signal | CORE_DUMPED,
        (None, signal) => signal.unwrap_or_default(),
    };
    ExitStatus::from_raw(raw)
}
