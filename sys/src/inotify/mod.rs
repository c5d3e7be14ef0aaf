//! Changes of files and directories: inotify(7).
//!
//! # Honest trouble
//!
//! - **A watch is of the file, not of the path.** Two paths to one file are one watch, and a watch goes along when the
//!   file is renamed.
//! - **Watches end by themselves** when the file is gone. The last event of a watch says so
//!   ([`Change::ends_watch`]), after a removal too; forget a watch then, not earlier.
//! - **A tree** takes a watch for each directory. Add the watch first and look into the directory then: what was made
//!   in between is seen twice, but not missed.
//! - **Loss.** [`Event::Overflow`] says that events were lost: look at everything again.
//! - **Not everything is told:** changes through memory maps and on the other side of network file systems are not.

mod event;
mod mask;

pub use event::{Change, Event, Events, WatchId};
pub use mask::{Mask, Options};

use crate::EventBuf;
use crate::fd::{owned_fd, unless_blocked};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A queue of changes of the files that it watches: inotify_init(2).
///
/// Close-on-exec and non-blocking. Dropping it closes the descriptor; with the last duplicate of it, the watches end
/// and what was not read is gone.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::inotify::{Event, Inotify, Mask, Options};
/// use std::collections::HashMap;
///
/// let dir = std::env::temp_dir().join(format!("becket-inotify-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
///
/// let inotify = Inotify::new()?;
/// let mut watched = HashMap::new();
/// let id = inotify.add(&dir, Mask::CLOSE_WRITE | Mask::DELETE, Options::ONLYDIR)?;
/// watched.insert(id, dir.clone());
///
/// std::fs::write(dir.join("a"), "text")?;
/// std::fs::remove_dir_all(&dir)?;
///
/// let mut seen = Vec::new();
/// let mut buf = EventBuf::new();
/// while let Some(events) = inotify.read_events(&mut buf)? {
///     for event in events {
///         let Event::Change(change) = event else { panic!("overflow: look at everything again") };
///         if let (Some(dir), Some(name)) = (watched.get(&change.watch), change.name) {
///             seen.push((change.mask, dir.join(name)));
///         }
///         if change.ends_watch() {
///             watched.remove(&change.watch);
///         }
///     }
/// }
/// assert_eq!(seen, [(Mask::CLOSE_WRITE, dir.join("a")), (Mask::DELETE, dir.join("a"))]);
/// assert!(watched.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

owned_fd!(Inotify, Readable);

impl Inotify {
    /// A queue that watches nothing.
    ///
    /// # Errors
    /// `EMFILE` where the user has as many as /proc/sys/fs/inotify/max_user_instances allows (128 by default), or no
    /// descriptor is left; `ENFILE`; `ENOMEM`.
    #[doc(alias = "inotify_init1")]
    pub fn new() -> io::Result<Inotify> {
        Ok(Inotify { fd: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)? })
    }

    /// Watches the file or directory at `path` for what `mask` says: inotify_add_watch(2).
    ///
    /// # Errors
    /// `EEXIST` where this object watches the file already, by whatever path: see [`modify`](Self::modify).
    /// `ENOSPC` where the user has as many watches as /proc/sys/fs/inotify/max_user_watches allows; no disk is full.
    /// `EINVAL` where `mask` asks for nothing. `ENOENT`, `ENOTDIR`, `EACCES` (reading must be allowed), `ELOOP`,
    /// `ENAMETOOLONG` for the path; `ENOMEM`.
    #[doc(alias = "inotify_add_watch")]
    #[doc(alias = "IN_MASK_CREATE")]
    pub fn add(&self, path: impl AsRef<Path>, mask: Mask, options: Options) -> io::Result<WatchId> {
        self.watch(path.as_ref(), mask, options.bits() | libc::IN_MASK_CREATE)
    }

    /// Watches a file for what `mask` says and no longer for what it was watched for until now. Where it is not yet
    /// watched, it is now. The number of an existing watch stays.
    ///
    /// # Errors
    /// As [`add`](Self::add), `EEXIST` left out.
    pub fn modify(&self, path: impl AsRef<Path>, mask: Mask, options: Options) -> io::Result<WatchId> {
        self.watch(path.as_ref(), mask, options.bits())
    }

    /// Watches a file for what `mask` says besides what it was watched for until now. Where it is not yet watched, it
    /// is now. The number of an existing watch stays.
    ///
    /// # Errors
    /// As [`add`](Self::add), `EEXIST` left out.
    #[doc(alias = "IN_MASK_ADD")]
    pub fn extend(&self, path: impl AsRef<Path>, mask: Mask, options: Options) -> io::Result<WatchId> {
        self.watch(path.as_ref(), mask, options.bits() | libc::IN_MASK_ADD)
    }

    fn watch(&self, path: &Path, mask: Mask, flags: u32) -> io::Result<WatchId> {
        // The kernel takes one of the flags for something to watch for.
        let told_unasked = Mask::UNMOUNT | Mask::IGNORED | Mask::ISDIR;
        if told_unasked.contains(mask) {
            return Err(Errno::INVAL.into());
        }
        let flags = WatchFlags::from_bits_retain(mask.bits() | flags);
        Ok(WatchId::from_raw(add_watch(&self.fd, path, flags)?))
    }

    /// Ends a watch. What happened before is still to be read, and then a last change that
    /// [`ends_watch`](Change::ends_watch).
    ///
    /// # Errors
    /// `EINVAL` where there is no such watch, or no longer: it may have ended by itself, which is still to be read.
    #[doc(alias = "inotify_rm_watch")]
    pub fn remove(&self, watch: WatchId) -> io::Result<()> {
        Ok(remove_watch(&self.fd, watch.as_raw())?)
    }

    /// Takes as many events as `buf` has room for; `None` where there are none. Each takes 16 bytes and its name,
    /// which is at most 256 with its NULs.
    ///
    /// Two events that follow each other and are equal are one.
    ///
    /// # Errors
    /// `EINVAL` for a buffer too small for the next event: 272 bytes always do.
    #[inline]
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<Events<'b>>> {
        let n = unless_blocked(buf.read_from(&self.fd))?;
        Ok(n.map(|_| Events::parse(buf.as_bytes())))
    }

    /// Takes some of the events, at least one, in memory of their own; `None` where there are none. Of use where
    /// events are few; [`read_events`](Self::read_events) allocates nothing.
    ///
    /// # Errors
    /// None is known for a descriptor that is an inotify one.
    pub fn try_read(&self) -> io::Result<Option<Vec<Event>>> {
        let mut buf = EventBuf::new();
        Ok(self.read_events(&mut buf)?.map(|events| events.map(Event::into_owned).collect()))
    }
}

/// A wrong descriptor can merely make calls fail, or events come out as nonsense. The blocking mode stays as it is:
/// on a blocking one reads wait.
impl From<OwnedFd> for Inotify {
    fn from(fd: OwnedFd) -> Self {
        Inotify { fd }
    }
}
