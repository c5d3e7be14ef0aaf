//! What a client owes, kept in a file.

mod clerk;
mod database;
mod error;
mod keeper;
#[cfg(test)]
mod tests;

pub use error::{StoreError, StoreProblem};
pub(crate) use keeper::StoreKeeper;

use crate::machine::Held;
use database::Database;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How safe a message is when it counts as [stored](crate::Event::Stored).
///
/// Whatever is chosen, the loop never waits for the disk: a thread of the store's own does.
///
/// ```
/// use becket_mosquitto::Durability;
///
/// assert_eq!(Durability::default(), Durability::Os);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The operating system has it: it outlives the process, however that ends, and not a loss of power, which takes
    /// what the kernel had not written yet, half a minute or so. The default.
    #[default]
    Os,
    /// As [`Os`](Self::Os) at once, and on the disk, where it outlives a loss of power, after this time at the latest;
    /// then it counts as stored.
    #[doc(alias = "fdatasync")]
    Periodic(Duration),
    /// On the disk. Messages that come while the disk is waited for go there together.
    #[doc(alias = "fsync")]
    EachCommit,
}

/// A file that keeps the messages of QoS 1 and 2 until they have their outcome, so that a client made after the process
/// was killed sends what was owed: at least once, in the old order, before anything new.
///
/// Given to [`Options::store`](crate::Options::store); one client at a time uses it. A clone names the same file.
///
/// # What it promises
///
/// - A message that [`Event::Stored`](crate::Event::Stored) has told of is sent until it has an outcome, by this
///   process or by a later one that opens the file. What "stored" withstands is the [`Durability`].
/// - A message that `publish` accepted is written in the same turn of the loop, by the store's thread. Killed before
///   that, within about a millisecond, the process loses it, as it loses what it was about to publish.
/// - A message is sent to the broker whether it is stored yet or not: the store delays nothing. One that is answered
///   before it was written never is, and counts as stored.
/// - Messages owed by an earlier process are sent again even at QoS 2, and may arrive twice, for which they are reported
///   as [`Uncertain`](crate::Outcome::Uncertain) then: a new process begins its packet identifiers anew, so the first
///   thing it does is to clear the session that the broker held for the old one. With it go the messages that the
///   broker held for this client's subscriptions.
/// - Those that wait count against [`Options::queue`](crate::Options::queue), wherever they are. In memory are at
///   most the first 1024 of them, or 4 MiB; the others are read when their turn comes, and take some 110 bytes of memory
///   each where this client accepted them, none where an earlier one did.
/// - A deadline is kept as a point of the system's clock, and means the same to the next process. A message that is not
///   in memory expires when it is read.
///
/// # What it does not promise
///
/// - QoS 0 is not kept.
/// - A message with an outcome is removed by the next commit. A process that is killed before sends it again.
/// - Where the file cannot be written, [`Event::StoreFailed`](crate::Event::StoreFailed) says so: what was accepted and
///   is not stored is sent as ever, and what is published from then on is refused, until writing succeeds again, which
///   is tried each second.
///
/// # The end
///
/// [`close`](crate::Client::close) leaves what has no outcome in the file: its outcome is
/// [`Outcome::Kept`](crate::Outcome::Kept), and the next client sends it. [`Event::Closed`](crate::Event::Closed) comes
/// when all is written and the file is closed. Dropping the loop and the last handle of the client waits for that too;
/// dropping a `Store` that no client took closes the file.
///
/// # The file
///
/// An SQLite database, with its log beside it (`-wal`), on a file system of this machine. It keeps its size until it is
/// empty, and shrinks then. `sqlite3 FILE 'SELECT key, topic, qos FROM message'` shows what is in it.
///
/// # What it costs
///
/// The thread, and 1 to 2 µs of its time for a message of 64 bytes that is written and removed, where 20 of each come
/// together. Such a commit took 27 µs without the disk and 4 ms with it ([`EachCommit`](Durability::EachCommit)), on a
/// virtual machine of two busy processors; on memory cards, expect ten times that. What is written goes to the disk
/// twice, once into the log, and wears memory cards accordingly. After a kill, 100,000 messages of 64 bytes were counted
/// and the first of them there 14 ms after the start.
///
/// ```
/// use becket_mosquitto::{Durability, Options, Store};
/// use std::time::Duration;
///
/// # let folder = std::env::temp_dir().join(format!("becket-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let store = Store::open(folder.join("owed"))?;
/// assert_eq!(store.messages(), 0); // none are owed
/// assert!(Store::open(store.path()).unwrap_err().to_string().ends_with("another client uses it"));
///
/// let store = store.durability(Durability::Periodic(Duration::from_secs(1)));
/// let options = Options::new("mqtt://localhost".parse()?).queue(100_000, 1 << 30).store(store);
/// # drop(options);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    durability: Durability,
    held: Held,
    /// Until a client takes it.
    database: Arc<Mutex<Option<Database>>>,
}

impl Store {
    /// Opens the store at `path`, or makes one, of which the folder has to exist. Nobody else can open it meanwhile.
    /// This waits for the disk, and reads the file to count what is in it.
    ///
    /// # Errors
    /// [`StoreProblem`] has them all: `InUse`, `NotAStore`, `OtherVersion`, `Damaged`, `DiskFull`; `Os`
    /// for a folder that is not there or not to be written to. The file is left as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        let path = path.as_ref().to_owned();
        let database = Database::open(&path)?;
        let held = database.held()?;
        Ok(Store { path, durability: Durability::default(), held, database: Arc::new(Mutex::new(Some(database))) })
    }

    /// How safe a message is when it counts as stored. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Store {
        self.durability = durability;
        self
    }

    /// How many messages were in it when it was opened.
    pub fn messages(&self) -> u64 {
        self.held.messages
    }

    /// Their bytes: topics and payloads.
    pub fn bytes(&self) -> u64 {
        self.held.bytes
    }

    /// The file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take(&self) -> Result<Database, StoreError> {
        let taken = self.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| StoreError::new(&self.path, StoreProblem::InUse))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Store");
        s.field("path", &self.path).field("durability", &self.durability).field("messages", &self.messages()).finish()
    }
}
