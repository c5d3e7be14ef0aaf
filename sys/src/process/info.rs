use crate::ffi::process as ffi;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What the kernel says of a process: made by [`PidFd::info`](super::PidFd::info).
///
/// Where it does not say something, the answer is `None`: of a process whose status was taken, all but the status.
///
/// ```
/// use becket_sys::process::PidFd;
///
/// let me = PidFd::open(std::process::id())?;
/// match me.info() {
///     Ok(info) => {
///         assert_eq!(info.pid(), Some(std::process::id()));
///         assert_eq!(info.parent(), Some(std::os::unix::process::parent_id()));
///         assert_eq!(info.exit_status(), None);
///     }
///     Err(e) => assert_eq!(e.raw_os_error(), Some(25)), // ENOTTY: before Linux 6.13
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pidfd_info")]
#[derive(Debug, Clone, Copy)]
pub struct Info {
    raw: ffi::Info,
}

/// A user or group of a process in its four parts: credentials(7).
///
/// ```
/// use becket_sys::process::Ids;
///
/// let ids = Ids { real: 1000, effective: 0, saved: 0, file_system: 0 };
/// assert_ne!(ids.real, ids.effective); // a set-user-ID program
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ids {
    /// Whoever started it.
    pub real: u32,
    /// Whose rights it has.
    pub effective: u32,
    /// Whose rights it can take.
    pub saved: u32,
    /// Whose rights it has with files.
    pub file_system: u32,
}

// What the kernel is asked for, and what it says it has filled in.
const PID: u64 = 1;
const CREDENTIALS: u64 = 1 << 1;
const CGROUP: u64 = 1 << 2;
const EXIT: u64 = 1 << 3;
const COREDUMP: u64 = 1 << 4;

impl Info {
    pub(super) fn get(pidfd: BorrowedFd<'_>) -> io::Result<Info> {
        Ok(Info { raw: ffi::info(pidfd, PID | CREDENTIALS | CGROUP | EXIT | COREDUMP)? })
    }

    fn has(&self, what: u64) -> bool {
        self.raw.mask & what != 0
    }

    /// The number of the thread that the descriptor refers to; of a process, its own.
    pub fn thread(&self) -> Option<u32> {
        self.has(PID).then_some(self.raw.pid)
    }

    /// The number of the process.
    #[doc(alias = "tgid")]
    pub fn pid(&self) -> Option<u32> {
        self.has(PID).then_some(self.raw.tgid)
    }

    /// The number of its parent; 0 where that is outside of our pid namespace.
    #[doc(alias = "ppid")]
    pub fn parent(&self) -> Option<u32> {
        self.has(PID).then_some(self.raw.ppid)
    }

    /// Its user.
    pub fn user(&self) -> Option<Ids> {
        let i = &self.raw;
        self.has(CREDENTIALS).then_some(Ids { real: i.ruid, effective: i.euid, saved: i.suid, file_system: i.fsuid })
    }

    /// Its group.
    pub fn group(&self) -> Option<Ids> {
        let i = &self.raw;
        self.has(CREDENTIALS).then_some(Ids { real: i.rgid, effective: i.egid, saved: i.sgid, file_system: i.fsgid })
    }

    /// Its control group, as the number of that directory.
    #[doc(alias = "cgroupid")]
    pub fn cgroup(&self) -> Option<u64> {
        self.has(CGROUP).then_some(self.raw.cgroup_id)
    }

    /// How it ended, whoever has taken the status: of strangers too. Only once it was taken, and since Linux 6.15.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.has(EXIT).then(|| ExitStatus::from_raw(self.raw.exit_code))
    }

    /// Whether it has dumped core, or begun to; false while it runs. Since Linux 6.16.
    #[doc(alias = "PIDFD_COREDUMPED")]
    pub fn dumped_core(&self) -> Option<bool> {
        const DUMPED: u32 = 1;
        self.has(COREDUMP).then_some(self.raw.coredump_mask & DUMPED != 0)
    }
}
