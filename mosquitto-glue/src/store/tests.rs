//! The file and the thread that writes it, without any broker.

use super::clerk::{self, Desk, Wish};
use super::database::Database;
use super::*;
use crate::message::{Publish, QoS};
use crate::properties::Properties;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{env, fs, process, thread};

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("becket-store-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("owed")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn numbered(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, Publish> {
    numbers.into_iter().map(|n| (n, Publish::new("t", n.to_string()))).collect()
}

fn keys(database: &Database) -> Vec<u64> {
    database.load(0, usize::MAX >> 1, usize::MAX).unwrap().into_iter().map(|(key, _)| key).collect()
}

fn problem_at(path: &Path) -> StoreProblem {
    Store::open(path).unwrap_err().problem().clone()
}

#[test]
fn everything_of_a_message_comes_back() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.file()).unwrap();
    let properties = Properties {
        content_type: Some("text/plain".into()),
        response_topic: Some("answers".into()),
        correlation_data: Some(vec![0, 1, 255]),
        message_expiry: Some(u32::MAX),
        is_text: true,
        user: vec![("a".into(), "".into()), ("".into(), "ü".into()), ("a".into(), "b".into())],
    };
    let full = Publish::new("t/ü", vec![0, 255]).qos(QoS::ExactlyOnce).retain(true).properties(properties);
    let long = Publish::new("long", vec![7; 200_000]).expire_after(Duration::from_secs(3600)).expiry_to_broker(true);
    let late = Publish::new("late", "").deadline(Instant::now());
    let add: BTreeMap<_, _> = [full, long, late].into_iter().zip(5..).map(|(publish, key)| (key, publish)).collect();
    database.commit(&add, &[], true).unwrap();
    drop(database);

    let store = Store::open(folder.file()).unwrap();
    assert_eq!((store.messages(), store.bytes()), (3, 4 + 2 + 4 + 200_000 + 4));
    let database = store.take().unwrap();
    assert_eq!(database.held().unwrap().last, 7);
    for ((key, back), (asked, publish)) in database.load(0, 10, usize::MAX).unwrap().into_iter().zip(add) {
        let mut back = back.unwrap();
        assert_eq!(key, asked);
        // By way of milliseconds of another clock.
        let apart = |a: Instant, b: Instant| a.max(b) - a.min(b);
        match (back.deadline, publish.deadline) {
            (Some(a), Some(b)) => assert!(apart(a, b) < Duration::from_secs(20)),
            (a, b) => assert_eq!(a, b),
        }
        back.deadline = publish.deadline;
        assert_eq!(back, publish);
    }
}

#[test]
fn what_is_added_and_removed_is_so_when_it_is_opened_again() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.file()).unwrap();
    assert_eq!(database.held().unwrap(), Held::default());
    for turn in 0..10 {
        database.commit(&numbered(turn * 10 + 1..=turn * 10 + 10), &[turn * 10 - turn.min(1)], false).unwrap();
    }
    database.commit(&BTreeMap::new(), &(1..=97).collect::<Vec<_>>(), false).unwrap();
    drop(database);
    let database = Database::open(&folder.file()).unwrap();
    assert_eq!(keys(&database), [98, 99, 100]);
    assert_eq!(database.held().unwrap(), Held { messages: 3, bytes: 3 + 7, last: 100 });
    assert_eq!(database.load(98, 1, usize::MAX).unwrap().len(), 1);
    assert_eq!(database.load(98, 9, 1).unwrap().len(), 1, "no more than the bytes asked for and a message");
}

#[test]
fn one_at_a_time_has_it_open() {
    let folder = Folder::new();
    let store = Store::open(folder.file()).unwrap();
    assert_eq!(problem_at(&folder.file()), StoreProblem::InUse);
    let first = store.clone().take().unwrap();
    assert_eq!(store.take().unwrap_err().problem(), &StoreProblem::InUse);
    assert_eq!(problem_at(&folder.file()), StoreProblem::InUse);
    drop(first);
    Store::open(folder.file()).unwrap();
}

#[test]
fn what_is_no_store_is_told_and_left_alone() {
    let folder = Folder::new();
    let file = folder.file();
    fs::write(&file, "something else, which is longer than the header of a database: ".repeat(100)).unwrap();
    let before = fs::read(&file).unwrap();
    assert_eq!(problem_at(&file), StoreProblem::NotAStore);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();

    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE message (key INTEGER)").unwrap();
    drop(other);
    let before = fs::read(&file).unwrap();
    assert_eq!(problem_at(&file), StoreProblem::NotAStore);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::remove_file(&file).unwrap();

    drop(Store::open(&file).unwrap());
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert_eq!(problem_at(&file), StoreProblem::OtherVersion(7));
    assert_eq!(problem_at(&folder.0), StoreProblem::Os(libc::EISDIR));
    assert_eq!(problem_at(&folder.0.join("no/file")), StoreProblem::Os(libc::ENOENT));
    assert_eq!(problem_at(&file.join("below")), StoreProblem::Os(libc::ENOTDIR));
}

/// As a process leaves the file that is killed: without what closing does.
fn killed(folder: &Folder, f: impl FnOnce(&mut Database)) -> Folder {
    let mut database = Database::open(&folder.file()).unwrap();
    f(&mut database);
    let copy = Folder::new();
    for name in ["owed", "owed-wal"] {
        fs::copy(folder.0.join(name), copy.0.join(name)).unwrap();
    }
    copy
}

#[test]
fn a_torn_end_costs_the_commit_that_was_torn_and_no_other() {
    let folder = Folder::new();
    let copy = killed(&folder, |database| {
        for key in 1..=20 {
            database.commit(&numbered([key]), &[], false).unwrap();
        }
    });
    let log = copy.0.join("owed-wal");
    let whole = fs::metadata(&log).unwrap().len();
    let mut last = 20;
    // From the end backwards, by steps that meet every part of a page and its header.
    for cut in (0..whole / 2).step_by(509) {
        let torn = Folder::new();
        fs::copy(copy.file(), torn.file()).unwrap();
        fs::copy(&log, torn.0.join("owed-wal")).unwrap();
        let file = fs::OpenOptions::new().write(true).open(torn.0.join("owed-wal")).unwrap();
        file.set_len(whole - cut).unwrap();
        let found = keys(&Database::open(&torn.file()).unwrap());
        let n = found.len() as u64;
        assert!(n <= last && n + 2 >= last, "{n} after {last}");
        assert_eq!(found, (1..=n).collect::<Vec<_>>());
        last = n;
    }
    assert!(last < 15);
}

#[test]
fn damage_is_told() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.file()).unwrap();
    database.commit(&(1..=200).map(|key| (key, Publish::new("t", vec![b'x'; 1000]))).collect(), &[], true).unwrap();
    database.make_room().unwrap();
    drop(database);
    let whole = fs::read(folder.file()).unwrap();

    // A bit in each payload, wherever a copy of it is.
    let mut bytes = whole.clone();
    for run in bytes.chunk_by_mut(|a, b| a == b).filter(|run| run.len() > 100) {
        let middle = run.len() / 2;
        run[middle] ^= 1;
    }
    fs::write(folder.file(), &bytes).unwrap();
    let database = Database::open(&folder.file()).unwrap();
    let loaded = database.load(0, 1000, usize::MAX).unwrap();
    assert!(loaded.len() == 200 && loaded.iter().all(|(_, publish)| publish.is_none()));
    drop(database);

    // Pages of nonsense.
    let mut bytes = whole.clone();
    bytes[8192..].fill(0xa5);
    fs::write(folder.file(), &bytes).unwrap();
    let damaged = |e: StoreError| assert!(matches!(e.problem(), StoreProblem::Damaged(_)), "{e}");
    damaged(Store::open(folder.file()).map(drop).unwrap_err());
    assert_eq!(fs::read(folder.file()).unwrap(), bytes, "left as it was");

    // Half of it.
    fs::write(folder.file(), &whole[..whole.len() / 2]).unwrap();
    damaged(Store::open(folder.file()).map(drop).unwrap_err());
}

#[test]
fn a_file_that_was_large_is_small_when_it_is_empty() {
    let folder = Folder::new();
    let mut database = Database::open(&folder.file()).unwrap();
    let all: BTreeMap<_, _> = (1..=300).map(|key| (key, Publish::new("t", vec![1; 20_000]))).collect();
    database.commit(&all, &[], false).unwrap();
    database.make_room().unwrap();
    let size = || fs::metadata(folder.file()).unwrap().len();
    assert!(size() > 6_000_000);
    database.commit(&BTreeMap::new(), &all.into_keys().collect::<Vec<_>>(), false).unwrap();
    database.tidy().unwrap();
    assert!(size() < 100_000, "{}", size());
}

/// A thread that writes, and how often it told of news.
struct Office {
    desk: Arc<Desk>,
    thread: Option<thread::JoinHandle<()>>,
    wakes: Arc<AtomicU32>,
}

impl Office {
    fn open(path: &Path, durability: Durability) -> Office {
        let database = Database::open(path).unwrap();
        let (desk, wakes) = (Arc::new(Desk::default()), Arc::new(AtomicU32::new(0)));
        let (theirs, count) = (Arc::clone(&desk), Arc::clone(&wakes));
        let wake = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let thread = Some(thread::spawn(move || clerk::work(database, durability, &theirs, wake)));
        Office { desk, thread, wakes }
    }

    fn wish(&self, wishes: impl IntoIterator<Item = Wish>) {
        self.desk.hand_over(&mut wishes.into_iter().collect());
    }

    fn until<T>(&self, what: &str, mut f: impl FnMut(clerk::Answers) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = self.desk.take_answers().and_then(&mut f) {
                return found;
            }
            assert!(Instant::now() < end, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.wish([Wish::Close]);
        self.thread.take().unwrap().join().unwrap();
        assert!(self.desk.take_answers().unwrap().closed);
    }
}

fn add(key: u64) -> Wish {
    Wish::Add(key, Publish::new("t", key.to_string()))
}

#[test]
fn what_is_removed_before_it_was_written_never_is() {
    let folder = Folder::new();
    let office = Office::open(&folder.file(), Durability::Os);
    office.wish((1..=100).flat_map(|key| [add(key), Wish::Remove(key)]));
    office.until("stored", |answers| (answers.stored == 100).then_some(()));
    assert_eq!(office.wakes.load(Ordering::Relaxed), 1);
    let written = fs::metadata(folder.0.join("owed-wal")).map_or(0, |m| m.len());
    assert!(written < 40_000, "{written}");
    office.wish([add(101), add(102), add(103), Wish::Remove(102)]);
    drop(office);
    assert_eq!(keys(&Database::open(&folder.file()).unwrap()), [101, 103]);
}

#[test]
fn a_period_has_to_pass_or_the_end_to_come() {
    let folder = Folder::new();
    let period = Duration::from_millis(300);
    let office = Office::open(&folder.file(), Durability::Periodic(period));
    let begin = Instant::now();
    office.wish([add(1)]);
    office.until("written", |answers| {
        (answers.written == 1).then(|| assert!(answers.stored == 0 || begin.elapsed() >= period))
    });
    office.wish([add(2)]);
    office.until("stored", |answers| (answers.stored == 2).then_some(()));
    assert!(begin.elapsed() >= period);
    office.wish([add(3)]);
    let desk = Arc::clone(&office.desk);
    drop(office);
    // The last answers were taken by the drop; the end left nothing behind.
    assert!(desk.take_answers().is_none());
    assert_eq!(keys(&Database::open(&folder.file()).unwrap()), [1, 2, 3]);
}

#[test]
fn loads_go_on_where_the_last_one_ended() {
    let folder = Folder::new();
    let office = Office::open(&folder.file(), Durability::Os);
    office.wish((1..=1000).map(add));
    let (mut after, mut loads) = (0, 0);
    while after < 1000 {
        office.wish([Wish::Load(after)]);
        let loaded = office.until("loaded", |answers| answers.loaded);
        assert_eq!(loaded[0].0, after + 1);
        after = loaded.last().unwrap().0;
        loads += 1;
    }
    assert_eq!(loads, 4);
}
