//! `rusqlite` in fibers. It reads files by itself and has no stream to replace: its calls go to helper threads by
//! [`unblock`], which may borrow the connection, while other fibers run.
//!
//! ```
//! use becket_fiber::Runtime;
//! use becket_libraries::database::Database;
//! use std::time::Duration;
//!
//! let mut runtime = Runtime::new()?;
//! let sum = runtime.run(|| {
//!     let mut readings = Database::open_in_memory()?;
//!     readings.with(|c| c.execute_batch("CREATE TABLE reading (value INTEGER)"))?;
//!     for value in [21, 22, 23] {
//!         readings.with(|c| c.execute("INSERT INTO reading VALUES (?1)", [value]))?;
//!     }
//!     readings.with_timeout(Duration::from_secs(5), |c| {
//!         c.query_row("SELECT sum(value) FROM reading", [], |row| row.get::<_, i64>(0))
//!     })
//! })??;
//! assert_eq!(sum, 66);
//! # Ok::<(), std::io::Error>(())
//! ```

use becket_fiber::{Cancelled, is_current_cancelled, scope, sleep, unblock};
use rusqlite::{Connection, ErrorCode};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A connection to a database, whose calls wait in the fiber. One call at a time: have one for each fiber that needs it.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
}

impl Database {
    /// Opens a file, which is created where it is missing.
    ///
    /// # Errors
    /// SQLite's, in one of kind `Other`; [`Cancelled`], `TimedOut`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Database> {
        let path = path.as_ref();
        let connection = unblock(|| Connection::open(path))?.map_err(io_error)?;
        Ok(Database { connection })
    }

    /// A database that is gone with its connection.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in_memory() -> io::Result<Database> {
        Ok(Database { connection: Connection::open_in_memory().map_err(io_error)? })
    }

    /// Calls `f` with the connection, on a helper thread. A cancel or a deadline keeps it from beginning; once it has
    /// begun it is waited for.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with<T: Send>(&mut self, f: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send) -> io::Result<T> {
        let connection = &mut self.connection;
        unblock(|| f(connection))?.map_err(io_error)
    }

    /// As [`with`](Self::with), but statements are interrupted after `limit`, and where the fiber's deadline is reached or
    /// it is cancelled: a second fiber watches over them. A statement that waits for the lock of another connection does
    /// so for as long as [`Connection::busy_timeout`] says, 5 s by default.
    ///
    /// # Errors
    /// As [`open`](Self::open); `TimedOut` where it was interrupted: what the statement had changed is taken back.
    pub fn with_timeout<T: Send>(
        &mut self,
        limit: Duration,
        f: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send,
    ) -> io::Result<T> {
        let (late, done) = (Arc::new(AtomicBool::new(false)), Cell::new(false));
        let is_late = late.clone();
        self.connection.progress_handler(1000, Some(move || is_late.load(Ordering::Relaxed))).map_err(io_error)?;
        let result = scope(|s| {
            // It is woken by the limit, by a deadline and a cancel, both of which it has from this fiber, and at the end.
            let watcher = s.spawn(|| {
                let _ = sleep(limit);
                late.store(!done.get(), Ordering::Relaxed);
            })?;
            let result = self.with(f);
            done.set(true);
            watcher.cancel();
            result
        });
        self.connection.progress_handler(0, None::<fn() -> bool>).map_err(io_error)?;
        match result {
            Err(e) if e.kind() == io::ErrorKind::TimedOut && is_current_cancelled() => Err(Cancelled.into()),
            other => other,
        }
    }
}

/// SQLite's error in one of kind `Other`; `TimedOut` for a statement that was interrupted.
pub fn io_error(e: rusqlite::Error) -> io::Error {
    match e.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => io::Error::new(io::ErrorKind::TimedOut, e),
        _ => io::Error::other(e),
    }
}
