//! Use of files, told or decided upon: fanotify(7).
//!
//! A [`Fanotify`] group is told what happens to the files, mounts and file systems that it marks. With privileges it
//! also decides: a [`Permission`] is somebody who waits for an answer. Three kinds of groups serve most needs:
//!
//! | for | [`Class`] | [`Report`] | privileges |
//! |---|---|---|---|
//! | changes, as [`inotify`](crate::inotify) has them | `Notification` | `DFID_NAME` and more | see below |
//! | who opens what | `Notification` | none, or `PIDFD` | CAP_SYS_ADMIN |
//! | deciding | `Content`, `PreContent` | none, or `PIDFD` | CAP_SYS_ADMIN |
//!
//! Reading and parsing are apart: [`parse`] looks at bytes, wherever they come from, and owns nothing. What
//! [`Fanotify::read_events`] gives owns each descriptor that the kernel has put into this process, also those of
//! events that nobody looks at.
//!
//! # What the kernel does that surprises
//!
//! - **Your own accesses are told, and asked for, too.** A thread that opens a file which its own group decides upon
//!   waits for itself, forever. Open nothing there between read and answer but what [`Permission::file`] gives (it is
//!   exempt), or compare [`Permission::pid`] with [`std::process::id`] in a thread that does nothing else. Mind the
//!   loader, locales and time zones where a whole mount is marked.
//! - **An event is many.** What follows each other on one file becomes one event with several bits ([`Mask`]), and
//!   their order is lost.
//! - **An answer goes by number.** The kernel knows a waiting event by the number of the event's descriptor in the
//!   process that read it. Processes that share one group can answer each other's.
//! - **A descriptor that cannot be opened** makes the read fail, and the event is gone: `EMFILE` where the process has
//!   no descriptor left, `ETXTBSY` for [`OpenFlags::READ_WRITE`] on a running program, `EOVERFLOW`, `ENXIO`. With
//!   [`Report::FD_ERROR`] the event comes, and says why. Who waited for a permission is refused in both cases.
//! - **Loss.** [`Event::Overflow`] says that events were lost: look at everything again.
//! - **Handles are of the past.** Between event and look the file may be gone or renamed; see [`FileSystems`].
//! - **Without privileges** a group marks single files and directories only, learns no process but its own, and needs
//!   handles ([`Report::FID`], [`Report::DFID_NAME`]); all else is `EPERM`.
//! - **A tree** takes a mark for each directory, or one for its mount or file system; see
//!   [`inotify`](crate::inotify) for how the former races.
//! - **Not everything is told:** changes through memory maps and on the other side of network file systems are not,
//!   and a file on overlayfs may be told as another than was marked.

mod builder;
mod event;
mod file_systems;
mod mask;
mod permission;
mod record;

pub use builder::{Builder, Class, OpenFlags, Report};
pub use event::{Event, Events, Notice};
pub use file_systems::{FileSystems, path_of};
pub use mask::{Mask, Options, Scope};
pub use permission::{AuditRule, Permission, Response};
pub use record::{Entry, FileHandle, FileId, FsId, Range, RawEvent, RawEvents, Record, Records, parse};

use crate::EventBuf;
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi::fanotify::GroupFd;
use event::Group;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A group: marks on files, and a queue of what happens to them. fanotify_init(2).
///
/// Close-on-exec and non-blocking. Dropping it closes the descriptor; with the last duplicate of it, the marks end,
/// what was not read is gone, and whoever waits for a permission has it.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::fanotify::{Event, Fanotify, FileId, Mask, Options, Record, Report, Scope};
/// use std::collections::HashMap;
///
/// let dir = std::env::temp_dir().join(format!("becket-fanotify-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
///
/// let group = Fanotify::builder().report(Report::DFID_NAME).open()?; // needs no privileges
/// group.add(Scope::Inode, &dir, Mask::CREATE | Mask::DELETE, Options::ONLYDIR)?;
/// let marked = HashMap::from([(FileId::of(&dir)?, dir.clone())]);
///
/// std::fs::write(dir.join("a"), "text")?;
/// std::fs::write(dir.join("b"), "text")?;
/// std::fs::remove_file(dir.join("a"))?;
///
/// let mut seen = Vec::new();
/// let mut buf = EventBuf::new();
/// while let Some(events) = group.read_events(&mut buf)? {
///     for event in events {
///         let Event::Notice(notice) = event else { panic!("overflow: look at everything again") };
///         for record in notice.records() {
///             if let Record::Entry(entry) = record {
///                 seen.push((notice.mask, marked[&entry.directory].join(entry.name)));
///             }
///         }
///     }
/// }
/// // What follows each other becomes one.
/// assert_eq!(seen, [(Mask::CREATE | Mask::DELETE, dir.join("a")), (Mask::CREATE, dir.join("b"))]);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fanotify {
    fd: GroupFd,
    on_drop: Response,
}

owned_fd!(Fanotify, Readable);

impl Fanotify {
    /// Says how to open a group.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The answer to permission events that are dropped without one.
    pub fn on_drop(&self) -> Response {
        self.on_drop
    }

    /// The same group with another answer to permission events that are dropped without one.
    pub fn with_on_drop(self, on_drop: Response) -> Fanotify {
        Fanotify { on_drop, ..self }
    }

    /// A second handle to the same group, with the same answer on drop. Each event is read by one of the two.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Fanotify> {
        Ok(Fanotify { fd: self.fd.try_clone()?, on_drop: self.on_drop })
    }

    /// Marks what is at `path` for what `mask` says, besides what it is marked for already: fanotify_mark(2).
    ///
    /// # Errors
    /// `EINVAL` where `mask` is empty, or asks for what a group of this class and report, or this scope, does not
    /// have. `EPERM` without CAP_SYS_ADMIN for another scope than [`Scope::Inode`]. `ENOSPC` where the user has as
    /// many marks as /proc/sys/fs/fanotify/max_user_marks allows; no disk is full. `EEXIST` where the object has a
    /// mark that differs in [`Options::EVICTABLE`] or in the way of ignoring. `EISDIR` or `EINVAL` for
    /// [`Options::IGNORE`] without [`Options::SURV_MODIFY`] on more than a file. `ENOTDIR` for what only a directory
    /// can be marked for. With file handles: `ENODEV` for a file system without a number, `EOPNOTSUPP` without
    /// handles, `EXDEV` for a part of a btrfs that has another number than its root, or for marks of several file
    /// systems where one has no number. `ENOENT`, `ENOTDIR`, `EACCES` (reading must be allowed), `ELOOP`,
    /// `ENAMETOOLONG` for the path; `ENOMEM`.
    #[doc(alias = "fanotify_mark")]
    #[doc(alias = "FAN_MARK_ADD")]
    pub fn add(&self, scope: Scope, path: impl AsRef<Path>, mask: Mask, options: Options) -> io::Result<()> {
        self.mark(libc::FAN_MARK_ADD, scope, None, Some(path.as_ref()), mask, options)
    }

    /// As [`add`](Self::add) with a path that starts at the directory `dir`, or, without a path, for `dir` itself,
    /// which may then be any file. It does not suffice that `dir` is open as [`FileSystems::locate`] opens it; with a
    /// path it does.
    ///
    /// # Errors
    /// As [`add`](Self::add). `EBADF` for a `dir` without a path that is open as a path only.
    ///
    /// ```
    /// use becket_sys::fanotify::{Fanotify, Mask, Options, Report, Scope};
    /// use std::fs::File;
    ///
    /// let path = std::env::temp_dir().join(format!("becket-fanotify-at-{}", std::process::id()));
    /// std::fs::create_dir(&path)?;
    /// let dir = File::open(&path)?;
    /// std::fs::write(path.join("a"), "")?;
    /// let group = Fanotify::builder().report(Report::FID).open()?;
    /// group.add_at(Scope::Inode, &dir, Some("a".as_ref()), Mask::OPEN, Options::empty())?;
    /// group.add_at(Scope::Inode, &dir, None, Mask::DELETE, Options::empty())?;
    ///
    /// File::open(path.join("a"))?;
    /// std::fs::remove_file(path.join("a"))?;
    /// assert_eq!(group.try_read()?.unwrap().len(), 2);
    /// # std::fs::remove_dir(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add_at(
        &self,
        scope: Scope,
        dir: impl AsFd,
        path: Option<&Path>,
        mask: Mask,
        options: Options,
    ) -> io::Result<()> {
        self.mark(libc::FAN_MARK_ADD, scope, Some(dir.as_fd()), path, mask, options)
    }

    /// Takes what `mask` says away from the mark of what is at `path`; a mark that is left with nothing is gone. With
    /// [`Options::IGNORE`] and the like, from what is ignored.
    ///
    /// # Errors
    /// `ENOENT` where the object has no mark of this group; otherwise as [`add`](Self::add).
    #[doc(alias = "FAN_MARK_REMOVE")]
    pub fn remove(&self, scope: Scope, path: impl AsRef<Path>, mask: Mask, options: Options) -> io::Result<()> {
        self.mark(libc::FAN_MARK_REMOVE, scope, None, Some(path.as_ref()), mask, options)
    }

    /// As [`remove`](Self::remove), of what [`add_at`](Self::add_at) marks.
    ///
    /// # Errors
    /// As [`remove`](Self::remove) and [`add_at`](Self::add_at).
    pub fn remove_at(
        &self,
        scope: Scope,
        dir: impl AsFd,
        path: Option<&Path>,
        mask: Mask,
        options: Options,
    ) -> io::Result<()> {
        self.mark(libc::FAN_MARK_REMOVE, scope, Some(dir.as_fd()), path, mask, options)
    }

    /// Removes all marks of this scope.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN for another scope than [`Scope::Inode`]. `EINVAL` for a scope that the kernel
    /// does not know.
    #[doc(alias = "FAN_MARK_FLUSH")]
    pub fn flush(&self, scope: Scope) -> io::Result<()> {
        // The kernel wants a path that it can look up.
        let root = Some(Path::new("/"));
        self.mark(libc::FAN_MARK_FLUSH, scope, None, root, Mask::empty(), Options::empty())
    }

    fn mark(
        &self,
        action: u32,
        scope: Scope,
        dir: Option<BorrowedFd<'_>>,
        path: Option<&Path>,
        mask: Mask,
        options: Options,
    ) -> io::Result<()> {
        Ok(self.fd.mark(action | scope.flags() | options.bits(), mask.bits(), dir, path)?)
    }

    /// Takes as many events as `buf` has room for; `None` where there are none. Each takes 24 bytes and its records:
    /// 4096 bytes have room for at least 4, and for 170 without records.
    ///
    /// What it gives owns all the descriptors in the buffer, whether they are looked at or not.
    ///
    /// # Errors
    /// `EINVAL` for a buffer too small for the next event: 1024 bytes always do. Without [`Report::FD_ERROR`], why
    /// the file of the next event, which is then gone, could not be opened: `EMFILE`, `ENFILE`, `ETXTBSY` and others
    /// of open(2). [`InvalidData`](io::ErrorKind::InvalidData) from a kernel whose events are of another version.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<Events<'_, 'b>>> {
        self.read(Group::Lent(self), buf)
    }

    /// As [`read_events`](Self::read_events), for permissions that are answered by somebody who may outlive the
    /// borrow, such as another thread: they keep the group open.
    ///
    /// # Errors
    /// As [`read_events`](Self::read_events).
    ///
    /// ```
    /// use becket_sys::EventBuf;
    /// use becket_sys::fanotify::{Event, Fanotify, Mask, Options, Permission, Report, Scope};
    /// use std::sync::{Arc, mpsc};
    ///
    /// let (send, scanner) = mpsc::channel::<Permission<'static>>();
    /// let thread = std::thread::spawn(move || scanner.into_iter().try_for_each(|permission| permission.allow()));
    ///
    /// let group = Arc::new(Fanotify::builder().report(Report::FID).open()?);
    /// let path = std::env::temp_dir().join(format!("becket-fanotify-shared-{}", std::process::id()));
    /// std::fs::write(&path, "")?;
    /// group.add(Scope::Inode, &path, Mask::OPEN, Options::empty())?;
    /// std::fs::File::open(&path)?;
    /// let mut buf = EventBuf::new();
    /// for event in group.read_events_shared(&mut buf)?.unwrap() {
    ///     match event {
    ///         Event::Permission(permission) => send.send(permission).expect("the thread runs"),
    ///         notice => assert!(matches!(notice, Event::Notice(_))), // as no permission was asked for here
    ///     }
    /// }
    /// drop(send);
    /// thread.join().unwrap()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_events_shared<'b>(self: &Arc<Self>, buf: &'b mut EventBuf) -> io::Result<Option<Events<'static, 'b>>> {
        self.read(Group::Shared(Arc::clone(self)), buf)
    }

    fn read<'g, 'b>(&self, group: Group<'g>, buf: &'b mut EventBuf) -> io::Result<Option<Events<'g, 'b>>> {
        let Some(unread) = unless_blocked(self.fd.read(buf))? else { return Ok(None) };
        if unread.events().clone().next().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "fanotify events of an unknown version"));
        }
        Ok(Some(Events::new(group, unread)))
    }

    /// Takes some of the events, at least one, in memory of their own; `None` where there are none. Of use where
    /// events are few; [`read_events`](Self::read_events) allocates nothing.
    ///
    /// # Errors
    /// As [`read_events`](Self::read_events), the buffer left out.
    pub fn try_read(&self) -> io::Result<Option<Vec<Event<'_, 'static>>>> {
        let mut buf = EventBuf::new();
        Ok(self.read_events(&mut buf)?.map(|events| events.map(Event::into_owned).collect()))
    }
}

impl From<GroupFd> for Fanotify {
    fn from(fd: GroupFd) -> Self {
        Fanotify { fd, on_drop: Response::ALLOW }
    }
}

/// Takes over a descriptor that is an fanotify group, which is looked up in /proc: what is read from another would
/// let its writer choose which descriptors of this process are taken for owned.
///
/// The blocking mode stays as it is: on a blocking one reads wait. Dropped permission events are allowed; see
/// [`with_on_drop`](Fanotify::with_on_drop).
///
/// The error has the descriptor, and why: `EINVAL` for what is no group, `EOPNOTSUPP` for one of a format that this
/// crate does not know, `ENOENT` or `ENOSYS` where there is no /proc to ask.
///
/// ```
/// use becket_sys::fanotify::{Fanotify, Report};
/// use std::os::fd::OwnedFd;
///
/// let (pipe, _writer) = std::io::pipe()?;
/// let (pipe, e) = Fanotify::try_from(OwnedFd::from(pipe)).unwrap_err();
/// assert_eq!(e.raw_os_error(), Some(22)); // EINVAL
/// # drop(pipe);
///
/// let fd = OwnedFd::from(Fanotify::builder().report(Report::FID).open()?);
/// assert!(Fanotify::try_from(fd).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
impl TryFrom<OwnedFd> for Fanotify {
    type Error = (OwnedFd, io::Error);

    fn try_from(fd: OwnedFd) -> Result<Self, Self::Error> {
        GroupFd::check(fd).map(Fanotify::from)
    }
}
