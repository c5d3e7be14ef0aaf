use super::{Fanotify, Response};
use crate::ffi::fanotify::{FAN_REPORT_FD_ERROR, FAN_REPORT_MNT, GroupFd};
use bitflags::bitflags;
use std::io;

/// What a group may do, and in which order groups are asked: the last of this list first.
///
/// ```
/// use becket_sys::fanotify::{Class, Fanotify, Report};
///
/// // Who decides needs the file itself, which a handle is not.
/// let e = Fanotify::builder().class(Class::Content).report(Report::FID).open().unwrap_err();
/// assert!(matches!(e.raw_os_error(), Some(1 | 22))); // EPERM without privileges, else EINVAL
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Class {
    /// Is told what has happened.
    #[doc(alias = "FAN_CLASS_NOTIF")]
    #[default]
    Notification,
    /// Decides also, on files that have their final content: scanners.
    #[doc(alias = "FAN_CLASS_CONTENT")]
    Content,
    /// Decides also, before the content is there: hierarchical storage.
    #[doc(alias = "FAN_CLASS_PRE_CONTENT")]
    PreContent,
}

bitflags! {
    /// What a group tells with each event, beside what happened.
    ///
    /// With none of [`FID`](Self::FID), [`DIR_FID`](Self::DIR_FID) and [`MNT`](Self::MNT), an event comes with an
    /// open file.
    ///
    /// ```
    /// use becket_sys::fanotify::{Fanotify, Report};
    ///
    /// assert_eq!(Report::DFID_NAME, Report::DIR_FID | Report::NAME);
    /// // Bits that could change what the numbers in an event mean are not passed on.
    /// let e = Fanotify::builder().report(Report::from_bits_retain(0x8000)).open().unwrap_err();
    /// assert_eq!(e.raw_os_error(), Some(22)); // EINVAL
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Report: u32 {
        /// A descriptor of the process ([`Notice::process`](super::Notice::process)): since Linux 5.15.
        #[doc(alias = "FAN_REPORT_PIDFD")]
        const PIDFD = libc::FAN_REPORT_PIDFD;
        /// The number of the thread instead of that of its process. Not beside [`PIDFD`](Self::PIDFD).
        #[doc(alias = "FAN_REPORT_TID")]
        const TID = libc::FAN_REPORT_TID;
        /// The handle of the file ([`Record::Object`](super::Record::Object)) instead of an open file: since
        /// Linux 5.1.
        #[doc(alias = "FAN_REPORT_FID")]
        const FID = libc::FAN_REPORT_FID;
        /// The handle of the directory that it is in ([`Record::Directory`](super::Record::Directory)) instead of an
        /// open file: since Linux 5.9. Better beside [`NAME`](Self::NAME) or [`FID`](Self::FID): alone, it comes as
        /// [`Record::Object`](super::Record::Object) where a file in the directory is used.
        #[doc(alias = "FAN_REPORT_DIR_FID")]
        const DIR_FID = libc::FAN_REPORT_DIR_FID;
        /// Beside [`DIR_FID`](Self::DIR_FID), the name in the directory ([`Record::Entry`](super::Record::Entry)).
        #[doc(alias = "FAN_REPORT_NAME")]
        const NAME = libc::FAN_REPORT_NAME;
        /// Beside all three, in events of directory entries, the handle of what was made, removed or renamed: since
        /// Linux 5.17.
        #[doc(alias = "FAN_REPORT_TARGET_FID")]
        const TARGET_FID = libc::FAN_REPORT_TARGET_FID;
        /// Why a file could not be opened or a pidfd not be made, instead of a failing read: since Linux 6.13, and in
        /// the later releases of 6.12.
        #[doc(alias = "FAN_REPORT_FD_ERROR")]
        const FD_ERROR = FAN_REPORT_FD_ERROR;
        /// Mounts instead of files: since Linux 6.15.
        #[doc(alias = "FAN_REPORT_MNT")]
        const MNT = FAN_REPORT_MNT;

        /// The directory and the name in it.
        #[doc(alias = "FAN_REPORT_DFID_NAME")]
        const DFID_NAME = libc::FAN_REPORT_DFID_NAME;
        /// The directory, the name in it, and what bears the name.
        #[doc(alias = "FAN_REPORT_DFID_NAME_TARGET")]
        const DFID_NAME_TARGET = libc::FAN_REPORT_DFID_NAME_TARGET;
    }
}

impl Report {
    /// Those whose effect on the format of an event is known.
    pub(crate) const KNOWN: Report = Report::all();
}

bitflags! {
    /// How the files in events are opened: for reading only if empty. They are close-on-exec always.
    ///
    /// ```
    /// use becket_sys::fanotify::OpenFlags;
    ///
    /// assert!(!OpenFlags::READ_WRITE.intersects(OpenFlags::WRITE_ONLY));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct OpenFlags: u32 {
        /// For writing only. Not beside [`READ_WRITE`](Self::READ_WRITE).
        #[doc(alias = "O_WRONLY")]
        const WRITE_ONLY = libc::O_WRONLY as u32;
        /// For reading and writing. A program that is running cannot be opened so: `ETXTBSY`.
        #[doc(alias = "O_RDWR")]
        const READ_WRITE = libc::O_RDWR as u32;
        /// Each write goes to the end.
        #[doc(alias = "O_APPEND")]
        const APPEND = libc::O_APPEND as u32;
        /// Reading does not change the time of the last access.
        #[doc(alias = "O_NOATIME")]
        const NOATIME = libc::O_NOATIME as u32;
        /// Non-blocking, for what is no regular file.
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCK = libc::O_NONBLOCK as u32;
        /// Each write waits for the data to be stored.
        #[doc(alias = "O_DSYNC")]
        const DSYNC = libc::O_DSYNC as u32;
        /// Each write waits for the data and all else of the file to be stored.
        #[doc(alias = "O_SYNC")]
        const SYNC = libc::O_SYNC as u32;

        const _ = !0;
    }
}

/// Says how to open a [`Fanotify`] group; made by [`Fanotify::builder`].
///
/// ```
/// use becket_sys::fanotify::{Class, Fanotify, OpenFlags, Report, Response};
///
/// let group = Fanotify::builder()
///     .class(Class::PreContent)
///     .report(Report::PIDFD | Report::FD_ERROR)
///     .event_files(OpenFlags::READ_WRITE)
///     .on_drop(Response::DENY)
///     .open();
/// match group {
///     Ok(group) => assert_eq!(group.on_drop(), Response::DENY),
///     Err(e) => assert!(matches!(e.raw_os_error(), Some(1 | 22))), // no CAP_SYS_ADMIN; a kernel before 6.13
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    class: Class,
    report: Report,
    others: u32,
    event_files: OpenFlags,
    on_drop: Response,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            class: Class::Notification,
            report: Report::empty(),
            others: 0,
            event_files: OpenFlags::empty(),
            on_drop: Response::ALLOW,
        }
    }

    /// What the group may do; [`Class::Notification`] by default.
    pub fn class(mut self, class: Class) -> Builder {
        self.class = class;
        self
    }

    /// What comes with an event; an open file by default.
    pub fn report(mut self, report: Report) -> Builder {
        self.report = report;
        self
    }

    /// Queues without a limit, so that nothing is lost while there is memory. By default
    /// /proc/sys/fs/fanotify/max_queued_events (16384) is the limit. Needs CAP_SYS_ADMIN.
    #[doc(alias = "FAN_UNLIMITED_QUEUE")]
    pub fn unlimited_queue(mut self) -> Builder {
        self.others |= libc::FAN_UNLIMITED_QUEUE;
        self
    }

    /// As many marks as there is memory for. By default /proc/sys/fs/fanotify/max_user_marks is the limit, for all
    /// groups of a user together. Needs CAP_SYS_ADMIN.
    #[doc(alias = "FAN_UNLIMITED_MARKS")]
    pub fn unlimited_marks(mut self) -> Builder {
        self.others |= libc::FAN_UNLIMITED_MARKS;
        self
    }

    /// Allows answers that are written to the audit log: [`Response::audited`]. Needs CAP_AUDIT_WRITE.
    #[doc(alias = "FAN_ENABLE_AUDIT")]
    pub fn audit(mut self) -> Builder {
        self.others |= libc::FAN_ENABLE_AUDIT;
        self
    }

    /// How the files in events are opened; for reading by default.
    #[doc(alias = "event_f_flags")]
    pub fn event_files(mut self, flags: OpenFlags) -> Builder {
        self.event_files = flags;
        self
    }

    /// The answer to permission events that are dropped without one; [`Response::ALLOW`] by default.
    pub fn on_drop(mut self, response: Response) -> Builder {
        self.on_drop = response;
        self
    }

    /// Opens the group: fanotify_init(2).
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN for anything but [`Class::Notification`] with [`Report::FID`],
    /// [`Report::DIR_FID`] (and [`Report::NAME`], [`Report::TARGET_FID`]) or [`Report::MNT`], and without
    /// CAP_AUDIT_WRITE for [`audit`](Self::audit). `EINVAL` where the parts do not go together, or the kernel does not
    /// know one of them. `EMFILE` where the user has as many groups as /proc/sys/fs/fanotify/max_user_groups allows
    /// (128), or no descriptor is left; `ENFILE`; `ENOMEM`. `ENOSYS` from kernels without CONFIG_FANOTIFY.
    #[doc(alias = "fanotify_init")]
    pub fn open(&self) -> io::Result<Fanotify> {
        let class = match self.class {
            Class::Notification => libc::FAN_CLASS_NOTIF,
            Class::Content => libc::FAN_CLASS_CONTENT,
            Class::PreContent => libc::FAN_CLASS_PRE_CONTENT,
        };
        let fd = GroupFd::new(class, self.report, self.others, self.event_files.bits())?;
        Ok(Fanotify::from(fd).with_on_drop(self.on_drop))
    }
}
