use crate::ffi::fanotify::{FAN_MARK_MNTNS, FAN_MNT_ATTACH, FAN_MNT_DETACH, FAN_PRE_ACCESS};
use bitflags::bitflags;

bitflags! {
    /// What happens to files: what to mark them for, and what an event tells.
    ///
    /// **Bits add up.** Events of one file and one process that follow each other become one with all their bits, and
    /// which of them came first is lost: ask `contains`, do not compare. Permission events stay apart. Unknown bits
    /// are kept.
    ///
    /// "Needs file handles" is said of what only a group with [`Report::FID`](super::Report::FID) or
    /// [`Report::DIR_FID`](super::Report::DIR_FID) can be asked for.
    ///
    /// ```
    /// use becket_sys::fanotify::Mask;
    ///
    /// let mask = Mask::CREATE | Mask::MODIFY; // created and written to, in whatever order
    /// assert!(mask.contains(Mask::CREATE) && !mask.is_permission());
    /// assert!((Mask::OPEN_PERM | Mask::ONDIR).is_permission());
    /// assert_eq!(Mask::from_bits_retain(1 << 40).bits(), 1 << 40);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Mask: u64 {
        /// Read from, or, of a directory, listed.
        #[doc(alias = "FAN_ACCESS")]
        const ACCESS = libc::FAN_ACCESS;
        /// Written to or truncated.
        #[doc(alias = "FAN_MODIFY")]
        const MODIFY = libc::FAN_MODIFY;
        /// Owner, permissions, times, extended attributes or the number of links changed. Needs file handles.
        #[doc(alias = "FAN_ATTRIB")]
        const ATTRIB = libc::FAN_ATTRIB;
        /// Closed after it was open for writing.
        #[doc(alias = "FAN_CLOSE_WRITE")]
        const CLOSE_WRITE = libc::FAN_CLOSE_WRITE;
        /// Closed after it was open for reading only.
        #[doc(alias = "FAN_CLOSE_NOWRITE")]
        const CLOSE_NOWRITE = libc::FAN_CLOSE_NOWRITE;
        /// Opened.
        #[doc(alias = "FAN_OPEN")]
        const OPEN = libc::FAN_OPEN;
        /// Opened to be executed; scripts that an interpreter reads are not.
        #[doc(alias = "FAN_OPEN_EXEC")]
        const OPEN_EXEC = libc::FAN_OPEN_EXEC;
        /// Renamed: told of the directory that it left. Needs file handles.
        #[doc(alias = "FAN_MOVED_FROM")]
        const MOVED_FROM = libc::FAN_MOVED_FROM;
        /// Renamed: told of the directory that it came to. Needs file handles.
        #[doc(alias = "FAN_MOVED_TO")]
        const MOVED_TO = libc::FAN_MOVED_TO;
        /// Renamed: one event with the old and the new entry ([`Record::OldEntry`](super::Record::OldEntry),
        /// [`Record::NewEntry`](super::Record::NewEntry)), as far as marks cover them. Needs
        /// [`Report::NAME`](super::Report::NAME), and a directory for a mark of an inode. Since Linux 5.17.
        #[doc(alias = "FAN_RENAME")]
        const RENAME = libc::FAN_RENAME;
        /// Made in the directory: a file, a directory, a link. Needs file handles.
        #[doc(alias = "FAN_CREATE")]
        const CREATE = libc::FAN_CREATE;
        /// Removed from the directory. Needs file handles.
        #[doc(alias = "FAN_DELETE")]
        const DELETE = libc::FAN_DELETE;
        /// The marked file or directory itself is gone. Needs file handles.
        #[doc(alias = "FAN_DELETE_SELF")]
        const DELETE_SELF = libc::FAN_DELETE_SELF;
        /// The marked file or directory itself was renamed. Needs file handles.
        #[doc(alias = "FAN_MOVE_SELF")]
        const MOVE_SELF = libc::FAN_MOVE_SELF;
        /// The file system found itself damaged; see [`Record::Error`](super::Record::Error). Needs file handles and
        /// [`Scope::Filesystem`]. Since Linux 5.16, told by ext4 and a few others.
        #[doc(alias = "FAN_FS_ERROR")]
        const FS_ERROR = libc::FAN_FS_ERROR;

        /// Somebody waits for the permission to open. Needs a class other than
        /// [`Class::Notification`](super::Class::Notification), as the three that follow do.
        #[doc(alias = "FAN_OPEN_PERM")]
        const OPEN_PERM = libc::FAN_OPEN_PERM;
        /// Somebody waits for the permission to read or to list.
        #[doc(alias = "FAN_ACCESS_PERM")]
        const ACCESS_PERM = libc::FAN_ACCESS_PERM;
        /// Somebody waits for the permission to open for execution.
        #[doc(alias = "FAN_OPEN_EXEC_PERM")]
        const OPEN_EXEC_PERM = libc::FAN_OPEN_EXEC_PERM;
        /// Somebody waits for the content of a range of a regular file
        /// ([`Permission::range`](super::Permission::range)), to read or to write it. Needs
        /// [`Class::PreContent`](super::Class::PreContent). Since Linux 6.14, on ext4, xfs, btrfs.
        #[doc(alias = "FAN_PRE_ACCESS")]
        const PRE_ACCESS = FAN_PRE_ACCESS;

        /// A mount was attached: [`Record::Mount`](super::Record::Mount) has its number. Needs
        /// [`Report::MNT`](super::Report::MNT) and [`Scope::MountNamespace`]. Since Linux 6.15.
        #[doc(alias = "FAN_MNT_ATTACH")]
        const MNT_ATTACH = FAN_MNT_ATTACH;
        /// A mount was detached. A mount that is moved is both detached and attached, in one event.
        #[doc(alias = "FAN_MNT_DETACH")]
        const MNT_DETACH = FAN_MNT_DETACH;

        /// Closed, in either way.
        #[doc(alias = "FAN_CLOSE")]
        const CLOSE = libc::FAN_CLOSE;
        /// Renamed: both halves.
        #[doc(alias = "FAN_MOVE")]
        const MOVE = libc::FAN_MOVE;

        /// To ask for: of a marked directory, also what happens to the files in it; directly, not below.
        #[doc(alias = "FAN_EVENT_ON_CHILD")]
        const EVENT_ON_CHILD = libc::FAN_EVENT_ON_CHILD;
        /// To ask for: directories too, which are left out otherwise, their making and removal included. Told beside
        /// others, in groups with file handles only: it happened to a directory.
        #[doc(alias = "FAN_ONDIR")]
        const ONDIR = libc::FAN_ONDIR;

        /// Told unasked, and alone: see [`Event::Overflow`](super::Event::Overflow).
        #[doc(alias = "FAN_Q_OVERFLOW")]
        const OVERFLOW = libc::FAN_Q_OVERFLOW;

        const _ = !0;
    }
}

impl Mask {
    /// Whether this asks for, or tells of, something that waits for an answer.
    ///
    /// Also with bits of the kernel's range for such events that this crate has no name for.
    pub fn is_permission(self) -> bool {
        // 0x80000 was for a short time something else, and is not given away again.
        self.bits() & 0x00f7_0000 != 0
    }
}

/// What a mark is on: how far it reaches.
///
/// ```
/// use becket_sys::fanotify::{Fanotify, Mask, Options, Report, Scope};
///
/// let dir = std::env::temp_dir();
/// let group = Fanotify::builder().report(Report::FID).open()?;
/// group.add(Scope::Inode, &dir, Mask::CREATE, Options::ONLYDIR)?;
///
/// // Only this one, besides a group without privileges: all others need CAP_SYS_ADMIN.
/// let e = group.remove(Scope::Filesystem, &dir, Mask::CREATE, Options::empty()).unwrap_err();
/// assert!(matches!(e.raw_os_error(), Some(1 | 2))); // EPERM; ENOENT: no such mark
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The file or directory itself.
    #[doc(alias = "FAN_MARK_INODE")]
    Inode,
    /// All of the mount that the path is in, as far as it is reached by this mount. Has no events of directory
    /// entries ([`Mask::CREATE`] and so on).
    #[doc(alias = "FAN_MARK_MOUNT")]
    Mount,
    /// All of the file system that the path is in, by whatever mount it is reached. Since Linux 4.20.
    #[doc(alias = "FAN_MARK_FILESYSTEM")]
    Filesystem,
    /// The mount namespace of which the path is the file, such as `/proc/self/ns/mnt`. Since Linux 6.15.
    #[doc(alias = "FAN_MARK_MNTNS")]
    MountNamespace,
}

impl Scope {
    pub(super) fn flags(self) -> u32 {
        match self {
            Scope::Inode => libc::FAN_MARK_INODE,
            Scope::Mount => libc::FAN_MARK_MOUNT,
            Scope::Filesystem => libc::FAN_MARK_FILESYSTEM,
            Scope::MountNamespace => FAN_MARK_MNTNS,
        }
    }
}

bitflags! {
    /// How to mark. Empty is the usual way.
    ///
    /// Each object has, for each group, a mask of what is told and a mask of what is not ("ignored"), whatever other
    /// marks say: mark a mount, and leave out a directory.
    ///
    /// ```
    /// use becket_sys::fanotify::{Fanotify, Mask, Options, Report, Scope};
    ///
    /// let group = Fanotify::builder().report(Report::FID).open()?;
    /// let e = group.add(Scope::Inode, "/dev/null", Mask::OPEN, Options::ONLYDIR).unwrap_err();
    /// assert_eq!(e.kind(), std::io::ErrorKind::NotADirectory);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Options: u32 {
        /// Fail with `ENOTDIR` where the path is no directory, without a race.
        #[doc(alias = "FAN_MARK_ONLYDIR")]
        const ONLYDIR = libc::FAN_MARK_ONLYDIR;
        /// If the path is a symbolic link, mark the link.
        #[doc(alias = "FAN_MARK_DONT_FOLLOW")]
        const DONT_FOLLOW = libc::FAN_MARK_DONT_FOLLOW;
        /// Change what is ignored, not what is told. Directories and their children are ignored where the mask has
        /// [`Mask::ONDIR`] and [`Mask::EVENT_ON_CHILD`]. On a mount, a file system or a directory this needs
        /// [`SURV_MODIFY`](Self::SURV_MODIFY). Since Linux 6.0.
        #[doc(alias = "FAN_MARK_IGNORE")]
        const IGNORE = libc::FAN_MARK_IGNORE;
        /// As [`IGNORE`](Self::IGNORE) in the way of older kernels, which has no say about directories and children.
        /// One mark takes one of the two ways.
        #[doc(alias = "FAN_MARK_IGNORED_MASK")]
        const IGNORED_MASK = libc::FAN_MARK_IGNORED_MASK;
        /// With one of the two above: go on ignoring after the file is modified. Otherwise a modification clears
        /// what is ignored.
        #[doc(alias = "FAN_MARK_IGNORED_SURV_MODIFY")]
        const SURV_MODIFY = libc::FAN_MARK_IGNORED_SURV_MODIFY;
        /// Do not hold the inode in memory: the mark is gone when the kernel evicts it. For ignoring much.
        /// [`Scope::Inode`] only. Since Linux 5.19.
        #[doc(alias = "FAN_MARK_EVICTABLE")]
        const EVICTABLE = libc::FAN_MARK_EVICTABLE;

        /// Ignore, also after modifications.
        #[doc(alias = "FAN_MARK_IGNORE_SURV")]
        const IGNORE_SURV = libc::FAN_MARK_IGNORE_SURV;

        const _ = !0;
    }
}
