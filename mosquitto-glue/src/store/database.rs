//! The file: a table of messages in an SQLite database, which this process alone has open.
//!
//! The journal is a write-ahead log (WAL): a commit appends to it by write(2), so that it outlives the process from
//! then on, and waits for the disk only where that is asked for. A commit that was torn by the end of the process or of
//! the power is found by its checksum, and undone, when the file is opened next.

use super::error::{StoreError, StoreProblem};
use crate::machine::Held;
use crate::message::{Publish, QoS};
use crate::properties::Properties;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Marks the file as ours: `BcMq`.
const APPLICATION_ID: i64 = 0x4263_4d71;

/// The version of the table.
const VERSION: i64 = 1;

/// How long the log may stay after what is in it was moved to the table.
const LOG_BYTES: i64 = 4 << 20;

/// How much of the disk is left free: so that what was delivered can be removed when the store has filled the disk. For
/// that the log has to grow, and what is in the log has to have its place in the table.
const RESERVE: u64 = 2 * LOG_BYTES as u64;

/// How many unused pages the file may keep while it has no message: 1 MiB.
const SPARE_PAGES: i64 = 256;

/// The payload comes last, so that what stands before it is read without it.
const TABLE: &str = "CREATE TABLE message (
    key INTEGER PRIMARY KEY, topic TEXT NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
    deadline INTEGER, expiry_to_broker INTEGER NOT NULL, content_type TEXT, response_topic TEXT,
    correlation_data BLOB, message_expiry INTEGER, is_text INTEGER NOT NULL, user BLOB NOT NULL,
    checksum INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT";

/// A message from the file; `None` where it is not what was written.
pub(super) type Loaded = (u64, Option<Publish>);

#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    /// Whether commits wait for the disk.
    syncs: bool,
}

impl Database {
    /// Opens the store at `path`, or makes it.
    pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
        let fail = |problem| Err(StoreError::new(path, problem));
        // SQLite's own text for these does not say which.
        if let Err(problem) = reach(path) {
            return fail(problem);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match Connection::open_with_flags(path, flags) {
            Ok(connection) => connection,
            Err(e) => return fail(problem(&e)),
        };
        let mut database = Database { connection, path: path.to_owned(), syncs: false };
        match database.prepare() {
            Ok(None) => Ok(database),
            Ok(Some(problem)) => fail(problem),
            Err(e) => fail(problem(&e)),
        }
    }

    /// Takes the lock, looks whether the file is ours, and makes the table in a new one.
    fn prepare(&mut self) -> rusqlite::Result<Option<StoreProblem>> {
        let connection = &mut self.connection;
        connection.busy_timeout(Duration::ZERO)?;
        // Never given back, and no index of the log in shared memory: nobody else reads it.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let get = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application_id, version) = (get("application_id")?, get("user_version")?);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        // One of which the making was cut short may have the next line's trace in it.
        let is_new = (application_id, version, tables) == (0, 0, 0);
        if is_new {
            // Lets the file shrink again; to be said before anything is written.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        } else {
            if application_id != APPLICATION_ID {
                return Ok(Some(StoreProblem::NotAStore));
            }
            if version != VERSION {
                return Ok(Some(StoreProblem::OtherVersion(version as u32)));
            }
        }
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // Of two that make the same file at once, one meets the other's lock here. All of it is made, or nothing.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        if is_new {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.execute_batch(TABLE)?;
        }
        transaction.commit()?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        // Commits append to the log; the disk is waited for when the log is moved to the table.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(None)
    }

    fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|e| StoreError::new(&self.path, problem(&e)))
    }

    /// Counts what is there. Reads the whole table but for long payloads.
    pub(super) fn held(&self) -> Result<Held, StoreError> {
        const SQL: &str = "SELECT count(*), coalesce(sum(octet_length(topic) + octet_length(payload)), 0),
            coalesce(max(key), 0) FROM message";
        let unsigned = |row: &Row<'_>, at| row.get::<_, i64>(at).map(|n| n as u64);
        self.check(self.connection.query_row(SQL, [], |row| {
            Ok(Held { messages: unsigned(row, 0)?, bytes: unsigned(row, 1)?, last: unsigned(row, 2)? })
        }))
    }

    /// Adds and removes, both or neither; with `sync`, returns when that is on the disk, and all before it.
    pub(super) fn commit(
        &mut self,
        add: &BTreeMap<u64, Publish>,
        remove: &[u64],
        sync: bool,
    ) -> Result<(), StoreError> {
        let result = self.try_commit(add, remove, sync);
        self.check(result)
    }

    /// Looks whether the disk has room for these, and what is left free.
    pub(super) fn check_room(&self, add: &BTreeMap<u64, Publish>) -> Result<(), StoreError> {
        let bytes: u64 = add.values().map(|publish| crate::queue::size(publish) as u64).sum();
        // Where that is not known, it will be seen.
        let Ok(disk) = rustix::fs::statvfs(&self.path) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let spare = self.check(pragma("freelist_count"))? as u64 * self.check(pragma("page_size"))? as u64;
        if free >= RESERVE / 2 + bytes && free + spare >= RESERVE + 2 * bytes {
            return Ok(());
        }
        Err(StoreError::new(&self.path, StoreProblem::DiskFull))
    }

    fn try_commit(&mut self, add: &BTreeMap<u64, Publish>, remove: &[u64], sync: bool) -> rusqlite::Result<()> {
        if self.syncs != sync {
            self.connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "NORMAL" })?;
            self.syncs = sync;
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut statement =
                transaction.prepare_cached("INSERT INTO message VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?;
            for (&key, publish) in add {
                let none = Properties::default();
                let p = publish.properties.as_deref().unwrap_or(&none);
                let user = join_user(&p.user);
                let deadline = publish.deadline.map(wall_clock);
                statement.execute(params![
                    key as i64,
                    publish.topic,
                    publish.qos as u8,
                    publish.retain,
                    deadline,
                    publish.expiry_to_broker,
                    p.content_type,
                    p.response_topic,
                    p.correlation_data,
                    p.message_expiry,
                    p.is_text,
                    user,
                    checksum(publish, deadline, &user),
                    publish.payload,
                ])?;
            }
            let mut statement = transaction.prepare_cached("DELETE FROM message WHERE key = ?")?;
            for &key in remove {
                statement.execute([key as i64])?;
            }
        }
        if add.is_empty() && remove.is_empty() {
            // Something to write, so that the log is waited for.
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()
    }

    /// The first messages with higher keys than `after`: so many at most, and no more once they have so many bytes.
    pub(super) fn load(&self, after: u64, messages: usize, bytes: usize) -> Result<Vec<Loaded>, StoreError> {
        self.check(self.try_load(after, messages, bytes))
    }

    fn try_load(&self, after: u64, messages: usize, bytes: usize) -> rusqlite::Result<Vec<Loaded>> {
        let mut statement =
            self.connection.prepare_cached("SELECT * FROM message WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let mut rows = statement.query([after as i64, messages as i64])?;
        let (mut all, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some(row) = rows.next()?
        {
            let key = row.get::<_, i64>("key")? as u64;
            let publish = read(row)?;
            size += publish.as_ref().map_or(0, crate::queue::size);
            all.push((key, publish));
        }
        Ok(all)
    }

    /// Has the file shrink where it is large and nothing is in it.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let tidy = || {
            let any = self
                .connection
                .prepare_cached("SELECT 1 FROM message LIMIT 1")?
                .query_row([], |_| Ok(()))
                .optional()?;
            let spare = || self.connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
            if any.is_none() && spare()? > SPARE_PAGES {
                // One page a step.
                let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
                let mut steps = vacuum.query([])?;
                while steps.next()?.is_some() {}
                drop(steps);
                self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
            }
            Ok(())
        };
        self.check(tidy())
    }

    /// Moves what is in the log to the table, so that the log needs no more room.
    pub(super) fn make_room(&self) -> Result<(), StoreError> {
        self.check(self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
    }
}

/// Names and values one after the other, each ended by NUL, which no string of MQTT holds.
fn join_user(user: &[(String, String)]) -> Vec<u8> {
    let mut joined = Vec::new();
    for text in user.iter().flat_map(|(name, value)| [name, value]) {
        joined.extend_from_slice(text.as_bytes());
        joined.push(0);
    }
    joined
}

fn split_user(joined: &[u8]) -> Option<Vec<(String, String)>> {
    let mut texts = str::from_utf8(joined).ok()?.split_terminator('\0').map(str::to_owned);
    let mut user = Vec::new();
    while let Some(name) = texts.next() {
        user.push((name, texts.next()?));
    }
    Some(user)
}

/// Milliseconds from 1970 until a point in time of this process's clock, which no other process knows.
fn wall_clock(at: Instant) -> i64 {
    let (now, wall) = (Instant::now(), now_ms());
    match at.checked_duration_since(now) {
        Some(left) => wall.saturating_add(left.as_millis().try_into().unwrap_or(i64::MAX)),
        None => wall.saturating_sub((now - at).as_millis().try_into().unwrap_or(i64::MAX)),
    }
}

/// The same as a point in time of this process's clock; `None` where that does not reach so far.
fn monotonic(wall: i64) -> Option<Instant> {
    let left = wall.saturating_sub(now_ms());
    // What is past is past, however long.
    Instant::now().checked_add(Duration::from_millis(left.max(0) as u64))
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_millis().try_into().unwrap_or(i64::MAX)
}

/// SQLite finds damage to its pages' structure by itself; this is for what stands in them.
fn checksum(publish: &Publish, deadline: Option<i64>, user: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(publish.topic.as_bytes());
    part(&[publish.qos as u8, publish.retain.into(), publish.expiry_to_broker.into()]);
    part(&deadline.unwrap_or(i64::MAX).to_le_bytes());
    if let Some(p) = &publish.properties {
        for text in [&p.content_type, &p.response_topic] {
            part(text.as_deref().unwrap_or_default().as_bytes());
        }
        part(p.correlation_data.as_deref().unwrap_or_default());
        part(&p.message_expiry.unwrap_or(0).to_le_bytes());
        part(&[p.is_text.into()]);
    }
    part(user);
    part(&publish.payload);
    hasher.finalize()
}

/// The message of a row; `None` where it is not what was written.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Publish>> {
    // A text that is none, a number out of range: damage, like a wrong checksum.
    match try_read(row) {
        Ok(publish) => Ok(publish),
        Err(e) if matches!(e, rusqlite::Error::SqliteFailure(..)) => Err(e),
        Err(_) => Ok(None),
    }
}

fn try_read(row: &Row<'_>) -> rusqlite::Result<Option<Publish>> {
    let joined: Vec<u8> = row.get("user")?;
    let (Some(user), Ok(qos)) = (split_user(&joined), QoS::try_from(row.get::<_, u8>("qos")?)) else {
        return Ok(None);
    };
    let properties = Properties {
        content_type: row.get("content_type")?,
        response_topic: row.get("response_topic")?,
        correlation_data: row.get("correlation_data")?,
        message_expiry: row.get("message_expiry")?,
        is_text: row.get("is_text")?,
        user,
    };
    let topic: String = row.get("topic")?;
    let payload: Vec<u8> = row.get("payload")?;
    let mut publish = Publish::new(topic, payload).qos(qos).retain(row.get("retain")?).properties(properties);
    publish = publish.expiry_to_broker(row.get("expiry_to_broker")?);
    let deadline: Option<i64> = row.get("deadline")?;
    publish.deadline = deadline.and_then(monotonic);
    Ok((row.get::<_, u32>("checksum")? == checksum(&publish, deadline, &joined)).then_some(publish))
}

/// Whether a file can be made or opened at `path`.
fn reach(path: &Path) -> Result<(), StoreProblem> {
    use rustix::fs::{Access, access};
    let os = |e: rustix::io::Errno| StoreProblem::Os(e.raw_os_error());
    // Not opened: closing it would give up the locks that another client of this process has on it.
    if path.is_dir() {
        return Err(StoreProblem::Os(libc::EISDIR));
    }
    match access(path, Access::READ_OK | Access::WRITE_OK) {
        Err(rustix::io::Errno::NOENT) => {}
        other => other.map_err(os)?,
    }
    // The log is made beside it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(os)
}

fn problem(e: &rusqlite::Error) -> StoreProblem {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreProblem::InUse,
        Some(ErrorCode::NotADatabase) => StoreProblem::NotAStore,
        Some(ErrorCode::DatabaseCorrupt) => StoreProblem::Damaged(e.to_string()),
        Some(ErrorCode::DiskFull) => StoreProblem::DiskFull,
        _ => StoreProblem::Database(e.to_string()),
    }
}
