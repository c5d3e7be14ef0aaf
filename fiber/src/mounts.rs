//! The table of mounts and its changes: proc_pid_mountinfo(5).

pub use becket_sys::mounts::{Change, Mount, Options, Propagation, Table};

use crate::over::over_io;
use crate::{Io, Ready};
use becket_sys::mounts;
use std::io;

/// Tells when the table of mounts has changed.
///
/// ```
/// use becket_fiber::mounts::Watcher;
/// use becket_fiber::{Runtime, timeout};
/// use std::time::Duration;
///
/// let watcher = Watcher::new()?;
/// let before = watcher.read()?; // does not wait
/// let mut runtime = Runtime::new()?;
/// match runtime.run(|| timeout(Duration::from_millis(5), || watcher.next()))? {
///     Ok(table) => println!("{:?}", before.changes(&table)),
///     Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::TimedOut),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "mountinfo")]
pub struct Watcher {
    io: Io<mounts::Watcher>,
}

over_io!(Watcher, mounts::Watcher, apart);

impl Watcher {
    /// Watches the mounts of this process.
    ///
    /// # Errors
    /// As [`mounts::Watcher::new`].
    pub fn new() -> io::Result<Watcher> {
        Ok(mounts::Watcher::new()?.into())
    }

    /// Waits for a change since somebody last looked, and reads the table.
    ///
    /// # Errors
    /// As [`mounts::Watcher::read`]; [`Cancelled`](crate::Cancelled) and `TimedOut`. A change that comes at that very
    /// moment may count as seen: look at the table then.
    pub fn next(&self) -> io::Result<Table> {
        self.io.wait(Ready::PRI, None)?;
        self.io.get_ref().read()
    }
}
