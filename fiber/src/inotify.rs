//! Changes of files: inotify(7).

pub use becket_sys::inotify::{Change, Event, Events, Mask, Options, WatchId};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::{EventBuf, inotify};
use std::io;

/// A queue of changes of the files that it watches: inotify(7).
///
/// `add`, `modify` and `remove` are [`becket_sys::inotify::Inotify`]'s.
///
/// ```
/// use becket_fiber::inotify::{Event, Inotify, Mask, Options};
/// use becket_fiber::{Runtime, spawn};
///
/// # let dir = std::env::temp_dir().join(format!("becket-fiber-inotify-{}", std::process::id()));
/// # std::fs::create_dir(&dir)?;
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let inotify = Inotify::new()?;
///     inotify.add(&dir, Mask::CLOSE_WRITE, Options::empty())?;
///     let path = dir.join("reading");
///     spawn(move || std::fs::write(path, "21.53"))?.detach();
///     let events = inotify.read()?;
///     assert!(matches!(&events[..], [Event::Change(c)] if c.name.as_deref() == Some("reading".as_ref())));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Inotify {
    io: Io<inotify::Inotify>,
}

over_io!(Inotify, inotify::Inotify, convert);

impl Inotify {
    /// A queue that watches nothing.
    ///
    /// # Errors
    /// `EMFILE` where the user has as many as /proc/sys/fs/inotify/max_user_instances allows, or no descriptor is
    /// left; `ENFILE`; `ENOMEM`.
    #[doc(alias = "inotify_init1")]
    pub fn new() -> io::Result<Inotify> {
        inotify::Inotify::new()?.try_into()
    }

    /// Waits for events and takes some of them, at least one.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        until(&self.io, Ready::READ, inotify::Inotify::try_read)
    }

    /// Waits for events and takes those that `buf` has room for. Allocates nothing.
    ///
    /// # Errors
    /// `EINVAL` for a buffer too small for the next event: 272 bytes always do; [`Cancelled`](crate::Cancelled);
    /// `TimedOut`.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Events<'b>> {
        until(&self.io, Ready::READ, |i| Ok(i.read_events(buf)?.map(drop)))?;
        Ok(Events::parse(buf.as_bytes()))
    }
}
