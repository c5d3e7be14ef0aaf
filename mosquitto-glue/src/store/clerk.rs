//! The thread that writes: the disk may take its time, the loop goes on.
//!
//! What comes while a commit is under way goes into the next one together, so that a slow disk sees few large commits.
//! A message that was answered before its commit began is never written.

use super::Durability;
use super::database::{Database, Loaded};
use super::error::StoreError;
use crate::machine::Wake;
use crate::message::Publish;
use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a commit that failed waits for the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// The most that one load reads: so many messages, and no more once they have so many bytes.
const CHUNK: (usize, usize) = (256, 256 << 10);

/// What the loop wants.
#[derive(Debug)]
pub(super) enum Wish {
    Add(u64, Publish),
    Remove(u64),
    /// The messages after this key.
    Load(u64),
    /// The end.
    Close,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The last key up to which all are in the file, or were removed again before that.
    pub(super) written: u64,
    /// The last key up to which all are as safe as [`Durability`] says.
    pub(super) stored: u64,
    pub(super) loaded: Option<Vec<Loaded>>,
    /// What keeps failing, by its first error.
    pub(super) fails: Option<StoreError>,
    pub(super) closed: bool,
}

/// Where the loop and the thread meet.
#[derive(Debug, Default)]
pub(super) struct Desk {
    inside: Mutex<Inside>,
    wished: Condvar,
    is_news: AtomicBool,
}

#[derive(Debug, Default)]
struct Inside {
    wishes: Vec<Wish>,
    answers: Answers,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing that holds the lock can panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what the loop wants, and leaves an empty list.
    pub(super) fn hand_over(&self, wishes: &mut Vec<Wish>) {
        if !wishes.is_empty() {
            self.lock().wishes.append(wishes);
            self.wished.notify_one();
        }
    }

    /// What is known now, if it is more than the last time.
    pub(super) fn take_answers(&self) -> Option<Answers> {
        if !self.is_news.swap(false, Ordering::AcqRel) {
            return None;
        }
        let answers = &mut self.lock().answers;
        let (loaded, fails) = (answers.loaded.take(), answers.fails.clone());
        Some(Answers { loaded, fails, ..*answers })
    }

    /// Waits for wishes, until `end` where there is one.
    fn wait(&self, end: Option<Instant>) -> Vec<Wish> {
        let mut inside = self.lock();
        while inside.wishes.is_empty() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            inside = match left {
                Some(Duration::ZERO) => break,
                Some(left) => self.wished.wait_timeout(inside, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wished.wait(inside).unwrap_or_else(PoisonError::into_inner),
            };
        }
        mem::take(&mut inside.wishes)
    }
}

/// Tells that the thread is at its end, whatever ends it.
struct Farewell<'a>(&'a Desk, Wake);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.lock().answers.closed = true;
        self.0.is_news.store(true, Ordering::Release);
        (self.1)();
    }
}

/// What the thread does: writes until it is told to end.
pub(super) fn work(database: Database, durability: Durability, desk: &Desk, wake: Wake) {
    // Dropped after the clerk: whoever hears of the end may open the file again.
    let _farewell = Farewell(desk, wake.clone());
    let mut clerk = Clerk::new(database, durability, desk, wake);
    while !clerk.close {
        // What fails is tried again in its time, syncs included.
        let end = clerk.retry.or(clerk.sync);
        for wish in desk.wait(end) {
            clerk.note(wish);
        }
        clerk.work(Instant::now());
    }
}

/// The state of [`work`].
struct Clerk<'a> {
    database: Database,
    durability: Durability,
    desk: &'a Desk,
    wake: Wake,
    add: BTreeMap<u64, Publish>,
    remove: Vec<u64>,
    /// The last key that was added.
    last: u64,
    load: Option<u64>,
    load_fails: bool,
    close: bool,
    /// When to try again.
    retry: Option<Instant>,
    /// When what is written has to be on the disk.
    sync: Option<Instant>,
}

impl<'a> Clerk<'a> {
    fn new(database: Database, durability: Durability, desk: &'a Desk, wake: Wake) -> Clerk<'a> {
        Clerk {
            database,
            durability,
            desk,
            wake,
            add: BTreeMap::new(),
            remove: Vec::new(),
            last: 0,
            load: None,
            load_fails: false,
            close: false,
            retry: None,
            sync: None,
        }
    }

    fn note(&mut self, wish: Wish) {
        match wish {
            Wish::Add(key, publish) => {
                self.last = key;
                self.add.insert(key, publish);
            }
            Wish::Remove(key) => {
                if self.add.remove(&key).is_none() {
                    self.remove.push(key);
                }
            }
            Wish::Load(after) => self.load = Some(after),
            Wish::Close => self.close = true,
        }
    }

    fn work(&mut self, now: Instant) {
        let is_due = self.retry.is_none_or(|at| now >= at) || self.close;
        let mut failure = None;
        let mut loaded = None;
        let mut committed = false;
        if is_due {
            match self.commit(now) {
                Ok(()) => committed = true,
                Err(e) => failure = Some(e),
            }
        }
        if let Some(after) = self.load
            && (is_due || !self.load_fails)
        {
            let result = self.load(after);
            self.load_fails = result.is_err();
            match result {
                Ok(list) => loaded = Some(list),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        if failure.is_some() {
            self.retry = Some(now + RETRY);
        } else if is_due {
            self.retry = None;
        }
        self.report(committed, loaded, failure);
    }

    /// Writes what has to be written, and syncs where that is due.
    fn commit(&mut self, now: Instant) -> Result<(), StoreError> {
        let is_due = self.sync.is_some_and(|at| now >= at || self.close);
        let is_empty = self.add.is_empty() && self.remove.is_empty();
        if is_empty && !is_due {
            return Ok(());
        }
        if self.retry.is_some() {
            // What is removed makes room for what is added, and takes little itself.
            let _ = self.database.make_room();
            self.database.commit(&BTreeMap::new(), &self.remove, false)?;
            self.remove.clear();
        }
        if !self.add.is_empty() {
            self.database.check_room(&self.add)?;
        }
        let sync = is_due || self.durability == Durability::EachCommit;
        self.database.commit(&self.add, &self.remove, sync)?;
        if let Durability::Periodic(period) = self.durability {
            self.sync = match self.sync {
                _ if sync => None,
                at => at.or(now.checked_add(period)),
            };
        }
        let removed = !self.remove.is_empty();
        self.add.clear();
        self.remove.clear();
        if removed {
            // A file that stays large is no failure.
            let _ = self.database.tidy();
        }
        Ok(())
    }

    /// Tells the loop what is new.
    fn report(&mut self, committed: bool, loaded: Option<Vec<Loaded>>, failure: Option<StoreError>) {
        let mut inside = self.desk.lock();
        let answers = &mut inside.answers;
        let mut is_news = false;
        if committed {
            let stored = if self.sync.is_none() { self.last } else { answers.stored };
            is_news = (answers.written, answers.stored) != (self.last, stored);
            (answers.written, answers.stored) = (self.last, stored);
        }
        if loaded.is_some() {
            self.load = None;
            answers.loaded = loaded;
            is_news = true;
        }
        let fails = self.retry.is_some();
        if fails != answers.fails.is_some() {
            answers.fails = failure;
            is_news = true;
        }
        drop(inside);
        if is_news {
            self.desk.is_news.store(true, Ordering::Release);
            (self.wake)();
        }
    }

    /// What is in the file, and after that what could not be written yet.
    fn load(&self, after: u64) -> Result<Vec<Loaded>, StoreError> {
        let mut loaded = self.database.load(after, CHUNK.0, CHUNK.1)?;
        if loaded.is_empty() {
            let more = self.add.range(after.saturating_add(1)..).take(CHUNK.0);
            loaded.extend(more.map(|(&key, publish)| (key, Some(publish.clone()))));
        }
        Ok(loaded)
    }
}
