//! Use of files, and verdicts on it: fanotify(7).

pub use becket_sys::fanotify::{
    AuditRule, Builder, Class, Entry, Event, FileHandle, FileId, FileSystems, FsId, Mask, Notice, OpenFlags, Options,
    Permission, Range, Record, Records, Report, Response, Scope, path_of,
};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::{EventBuf, fanotify};
use std::io;
use std::sync::Arc;

/// A group that is told of the use of files, and asked for permissions.
///
/// It is made by [`becket_sys::fanotify::Fanotify::builder`]; marks are that type's. A [`Permission`] keeps the group
/// open, and may be answered by any fiber, later: whoever asked waits until then.
///
/// **Whoever is asked must not be who asks.** A call of this thread on a file that needs a verdict of this thread's
/// fibers stops the thread, and with it whoever would answer. Have such files opened, read and executed by others: the
/// functions of [`fs`](crate::fs) do so on helper threads, [`unblock`](crate::unblock) too.
///
/// ```
/// use becket_fiber::fanotify::{Event, Fanotify, Mask, Options, Report, Scope};
/// use becket_fiber::{Runtime, fs, spawn};
/// use becket_sys::fanotify;
///
/// let path = std::env::temp_dir().join(format!("becket-fiber-fanotify-{}", std::process::id()));
/// std::fs::write(&path, "")?;
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let group = Fanotify::try_from(fanotify::Fanotify::builder().report(Report::FID).open()?)?;
///     group.add(Scope::Inode, &path, Mask::OPEN, Options::empty())?;
///     let p = path.clone();
///     spawn(move || fs::read(p))?.detach();
///     let events = group.read()?;
///     assert!(matches!(&events[..], [Event::Notice(n)] if n.mask.contains(Mask::OPEN)));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fanotify {
    io: Io<Arc<fanotify::Fanotify>>,
}

over_io!(Fanotify, Arc<fanotify::Fanotify>, convert);

/// Makes it non-blocking; see [`Io::new`].
impl TryFrom<fanotify::Fanotify> for Fanotify {
    type Error = io::Error;

    fn try_from(group: fanotify::Fanotify) -> io::Result<Fanotify> {
        Arc::new(group).try_into()
    }
}

impl Fanotify {
    /// Waits for events and takes some of them, at least one.
    ///
    /// A permission that is dropped without an answer gets the group's
    /// [default](becket_sys::fanotify::Builder::on_drop).
    ///
    /// # Errors
    /// As [`fanotify::Fanotify::read_events`], the buffer left out; [`Cancelled`](crate::Cancelled) and `TimedOut`, and
    /// none was taken.
    pub fn read(&self) -> io::Result<Vec<Event<'static, 'static>>> {
        until(&self.io, Ready::READ, |group| {
            let mut buf = EventBuf::new();
            Ok(group.read_events_shared(&mut buf)?.map(|events| events.map(Event::into_owned).collect()))
        })
    }
}
