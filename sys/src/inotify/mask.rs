use bitflags::bitflags;

bitflags! {
    /// What happens to files: what to watch for, and what a [`Change`](super::Change) tells.
    ///
    /// Unknown bits are kept. In a directory that is watched, all but [`DELETE_SELF`](Self::DELETE_SELF) and
    /// [`MOVE_SELF`](Self::MOVE_SELF) are told for what is in it, by name; directly, not below.
    ///
    /// ```
    /// use becket_sys::inotify::Mask;
    ///
    /// assert_eq!(Mask::MOVE, Mask::MOVED_FROM | Mask::MOVED_TO);
    /// assert_eq!(Mask::from_bits_retain(0x0080_0000).bits(), 0x0080_0000);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Mask: u32 {
        /// Read from, or executed.
        #[doc(alias = "IN_ACCESS")]
        const ACCESS = libc::IN_ACCESS;
        /// Written to, or truncated. A change of a sysfs or cgroup attribute is one too.
        #[doc(alias = "IN_MODIFY")]
        const MODIFY = libc::IN_MODIFY;
        /// Owner, permissions, times, extended attributes or the number of links changed.
        #[doc(alias = "IN_ATTRIB")]
        const ATTRIB = libc::IN_ATTRIB;
        /// Closed after it was open for writing.
        #[doc(alias = "IN_CLOSE_WRITE")]
        const CLOSE_WRITE = libc::IN_CLOSE_WRITE;
        /// Closed after it was open for reading only.
        #[doc(alias = "IN_CLOSE_NOWRITE")]
        const CLOSE_NOWRITE = libc::IN_CLOSE_NOWRITE;
        /// Opened.
        #[doc(alias = "IN_OPEN")]
        const OPEN = libc::IN_OPEN;
        /// Renamed: the old name, in the directory that it left.
        #[doc(alias = "IN_MOVED_FROM")]
        const MOVED_FROM = libc::IN_MOVED_FROM;
        /// Renamed: the new name, in the directory that it came to.
        #[doc(alias = "IN_MOVED_TO")]
        const MOVED_TO = libc::IN_MOVED_TO;
        /// Made in the directory: a file, a directory, a link.
        #[doc(alias = "IN_CREATE")]
        const CREATE = libc::IN_CREATE;
        /// Removed from the directory.
        #[doc(alias = "IN_DELETE")]
        const DELETE = libc::IN_DELETE;
        /// The watched file or directory itself is gone: its last link and its last open descriptor.
        #[doc(alias = "IN_DELETE_SELF")]
        const DELETE_SELF = libc::IN_DELETE_SELF;
        /// The watched file or directory itself was renamed. The watch goes with it.
        #[doc(alias = "IN_MOVE_SELF")]
        const MOVE_SELF = libc::IN_MOVE_SELF;

        /// Closed, in either way.
        #[doc(alias = "IN_CLOSE")]
        const CLOSE = libc::IN_CLOSE;
        /// Renamed: both halves.
        #[doc(alias = "IN_MOVE")]
        const MOVE = libc::IN_MOVE;
        /// All of the above.
        #[doc(alias = "IN_ALL_EVENTS")]
        const ALL = libc::IN_ALL_EVENTS;

        /// Told unasked: the file system was unmounted. [`IGNORED`](Self::IGNORED) follows.
        #[doc(alias = "IN_UNMOUNT")]
        const UNMOUNT = libc::IN_UNMOUNT;
        /// Told unasked: the watch has ended, and this is the last of it. It was removed, had done its one shot, or
        /// the file is gone or unmounted.
        #[doc(alias = "IN_IGNORED")]
        const IGNORED = libc::IN_IGNORED;
        /// Told beside others: it happened to a directory.
        #[doc(alias = "IN_ISDIR")]
        const ISDIR = libc::IN_ISDIR;

        const _ = !0;
    }
}

bitflags! {
    /// How to watch. Empty is the usual way.
    ///
    /// ```
    /// use becket_sys::inotify::{Inotify, Mask, Options};
    ///
    /// let inotify = Inotify::new()?;
    /// let e = inotify.add("/dev/null", Mask::OPEN, Options::ONLYDIR).unwrap_err();
    /// assert_eq!(e.kind(), std::io::ErrorKind::NotADirectory);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Options: u32 {
        /// Fail with `ENOTDIR` where the path is no directory, without a race.
        #[doc(alias = "IN_ONLYDIR")]
        const ONLYDIR = libc::IN_ONLYDIR;
        /// If the path is a symbolic link, watch the link.
        #[doc(alias = "IN_DONT_FOLLOW")]
        const DONT_FOLLOW = libc::IN_DONT_FOLLOW;
        /// Say nothing of files that have left the directory but are still open, such as unlinked temporary ones.
        #[doc(alias = "IN_EXCL_UNLINK")]
        const EXCL_UNLINK = libc::IN_EXCL_UNLINK;
        /// Tell one event, and end the watch.
        #[doc(alias = "IN_ONESHOT")]
        const ONESHOT = libc::IN_ONESHOT;

        const _ = !0;
    }
}
