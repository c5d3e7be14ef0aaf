use super::{Fanotify, Mask, Permission, RawEvent, Records};
use crate::ffi::fanotify::Unread;
use crate::process::PidFd;
use rustix::io::Errno;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::iter::FusedIterator;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What an fanotify group tells.
///
/// ```
/// use becket_sys::fanotify::{Event, Fanotify, Mask, Options, Report, Scope};
///
/// let path = std::env::temp_dir().join(format!("becket-fanotify-event-{}", std::process::id()));
/// std::fs::write(&path, "")?;
/// let group = Fanotify::builder().report(Report::FID).open()?;
/// group.add(Scope::Inode, &path, Mask::OPEN | Mask::MODIFY, Options::empty())?;
/// std::fs::write(&path, "text")?;
/// for event in group.try_read()?.unwrap() {
///     match event {
///         Event::Notice(notice) => {
///             assert!(notice.mask.contains(Mask::OPEN | Mask::MODIFY)); // two in one
///             assert_eq!(notice.pid, Some(std::process::id()));
///         }
///         Event::Permission(permission) => permission.allow()?,
///         Event::Overflow => panic!("events were lost: look at everything again"),
///     }
/// }
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it closes its descriptors, and answers who waits with the group's default"]
pub enum Event<'g, 'b> {
    /// Something has happened.
    Notice(Notice<'b>),
    /// Somebody waits for an answer.
    Permission(Permission<'g>),
    /// The queue was full (/proc/sys/fs/fanotify/max_queued_events), and what came after this was lost, up to the
    /// next event: look at everything again. Who would have had to wait for a permission got it.
    #[doc(alias = "FAN_Q_OVERFLOW")]
    Overflow,
}

impl<'g> Event<'g, '_> {
    /// The event in memory of its own.
    pub fn into_owned(self) -> Event<'g, 'static> {
        match self {
            Event::Notice(notice) => Event::Notice(notice.into_owned()),
            Event::Permission(permission) => Event::Permission(permission),
            Event::Overflow => Event::Overflow,
        }
    }
}

/// Something has happened. Dropping it closes its descriptors. The example of [`Event`] shows it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Notice<'b> {
    /// What happened, with bits that this crate does not know. Each bit once, in an order that is not told.
    pub mask: Mask,
    /// Who did it: a process, or a thread with [`Report::TID`](super::Report::TID). `None` where it is not in this
    /// process's namespace, and, without privileges, where it is any other process.
    pub pid: Option<u32>,
    /// The file that it happened to, in a group that reports no file handles; otherwise `None`. Opened as
    /// [`Builder::event_files`](super::Builder::event_files) says; reading it is told to nobody. An error is why it
    /// could not be opened, with [`Report::FD_ERROR`](super::Report::FD_ERROR). Without that, such an event makes the
    /// read fail, and is lost; except that who waits for a permission is refused in both cases.
    pub file: Option<io::Result<File>>,
    /// Who did it, with [`Report::PIDFD`](super::Report::PIDFD); otherwise `None`. An error is `ESRCH` where the
    /// process has ended and was waited for before the event was read; otherwise why there is none, with a code only
    /// if [`Report::FD_ERROR`](super::Report::FD_ERROR) is on.
    pub process: Option<io::Result<PidFd>>,
    records: Cow<'b, [u8]>,
}

impl Notice<'_> {
    /// What else the event tells.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.records)
    }

    /// The notice in memory of its own.
    pub fn into_owned(self) -> Notice<'static> {
        Notice { records: Cow::Owned(self.records.into_owned()), ..self }
    }
}

/// The group of an event.
#[derive(Debug, Clone)]
pub(crate) enum Group<'g> {
    Lent(&'g Fanotify),
    Shared(Arc<Fanotify>),
}

impl Deref for Group<'_> {
    type Target = Fanotify;

    fn deref(&self) -> &Fanotify {
        match self {
            Group::Lent(group) => group,
            Group::Shared(group) => group,
        }
    }
}

impl<'g> From<&'g Fanotify> for Group<'g> {
    fn from(group: &'g Fanotify) -> Self {
        Group::Lent(group)
    }
}

/// The events that one read brought: an iterator that owns all their descriptors.
///
/// Dropping it closes those of the events that were not taken, and answers who waits with the group's default.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::fanotify::{Fanotify, Mask, Options, Report, Scope};
///
/// let dir = std::env::temp_dir().join(format!("becket-fanotify-events-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
/// let group = Fanotify::builder().report(Report::DFID_NAME).open()?;
/// group.add(Scope::Inode, &dir, Mask::CREATE | Mask::ONDIR, Options::ONLYDIR)?;
/// std::fs::create_dir(dir.join("a"))?;
/// std::fs::create_dir(dir.join("b"))?;
///
/// let mut buf = EventBuf::new();
/// let mut events = group.read_events(&mut buf)?.unwrap();
/// assert!(events.next().is_some());
/// drop(events); // what happened to `b` is gone
/// assert!(group.read_events(&mut buf)?.is_none());
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Events<'g, 'b> {
    group: Group<'g>,
    unread: Unread<'b>,
}

impl<'g, 'b> Events<'g, 'b> {
    pub(crate) fn new(group: Group<'g>, unread: Unread<'b>) -> Events<'g, 'b> {
        Events { group, unread }
    }

    /// What is not taken yet; at the end, what could not be parsed: nothing, if the kernel writes the known version.
    pub fn remainder(&self) -> &'b [u8] {
        self.unread.events().remainder()
    }
}

impl<'g, 'b> Iterator for Events<'g, 'b> {
    type Item = Event<'g, 'b>;

    fn next(&mut self) -> Option<Event<'g, 'b>> {
        let taken = self.unread.next()?;
        let RawEvent { mask, pid, .. } = taken.event;
        // Not known in this namespace: 0.
        let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0);
        let process = taken.pidfd.map(|pidfd| pidfd.map(PidFd::from).map_err(no_process));
        Some(match taken.fd {
            _ if mask.contains(Mask::OVERFLOW) => Event::Overflow,
            Ok(fd) if mask.is_permission() => {
                Event::Permission(Permission::new(self.group.clone(), &taken.event, pid, fd, process))
            }
            // Who waits where no file could be opened has been refused by the kernel.
            fd => {
                Event::Notice(Notice { mask, pid, file: file(fd), process, records: taken.event.record_bytes().into() })
            }
        })
    }
}

impl FusedIterator for Events<'_, '_> {}

impl Drop for Events<'_, '_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

fn file(fd: Result<OwnedFd, i32>) -> Option<io::Result<File>> {
    match fd {
        Ok(fd) => Some(Ok(fd.into())),
        Err(libc::FAN_NOFD) => None,
        Err(code) => Some(Err(io::Error::from_raw_os_error(code.saturating_neg()))),
    }
}

fn no_process(code: i32) -> io::Error {
    match code {
        libc::FAN_NOPIDFD => Errno::SRCH.into(),
        libc::FAN_EPIDFD => io::Error::other("no descriptor for the process"),
        // What Report::FD_ERROR gives instead of the two.
        code => io::Error::from_raw_os_error(code.saturating_neg()),
    }
}
