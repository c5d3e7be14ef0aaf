//! No read of an fanotify group leaves a descriptor behind. The tests count those of the whole process, so that they
//! take turns.

#[path = "common/descriptors.rs"]
mod descriptors;

mod fanotify_help;

use becket_sys::EventBuf;
use becket_sys::fanotify::{Class, Event, Fanotify, FileId, FileSystems, Mask, Options, Report, Scope};
use fanotify_help::{Dir, Helper, known, privileged, readable};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Opens a file of the directory `count` times, in turns, so that the events stay apart.
fn open_in_turns(dir: &Dir, count: usize) {
    let paths: Vec<_> = (0..10).map(|n| dir.file(&n.to_string(), "")).collect();
    for path in paths.iter().cycle().take(count) {
        File::open(path).unwrap();
    }
}

fn flood(test: &str, report: Report) {
    let _turn = turn();
    let Some(group) = privileged(test, &Fanotify::builder().report(report)) else { return };
    let dir = Dir::new(test);
    group.add(Scope::Inode, &dir.0, Mask::OPEN | Mask::EVENT_ON_CHILD, Options::empty()).unwrap();
    let mut buf = EventBuf::new();
    let before = open_descriptors();
    let mut told = 0;
    for round in 0..50 {
        open_in_turns(&dir, 20);
        while let Some(events) = group.read_events(&mut buf).unwrap() {
            match round % 4 {
                0 => told += events.map(|event| assert!(matches!(event, Event::Notice(_)))).count(),
                1 => drop(events),
                // One that is looked at, and the rest not.
                2 => drop(events.into_iter().next()),
                _ => told += events.map(Event::into_owned).collect::<Vec<_>>().len(),
            }
        }
        assert_eq!(open_descriptors(), before);
    }
    assert!(told > 0);
}

#[test]
fn a_flood_with_files_and_pidfds_leaves_nothing_open() {
    flood("a_flood_with_files_and_pidfds_leaves_nothing_open", Report::PIDFD);
}

#[test]
fn a_flood_with_handles_and_pidfds_leaves_nothing_open() {
    flood("a_flood_with_handles_and_pidfds_leaves_nothing_open", Report::PIDFD | Report::DFID_NAME_TARGET);
}

#[test]
fn a_flood_with_pidfds_or_errors_leaves_nothing_open() {
    let test = "a_flood_with_pidfds_or_errors_leaves_nothing_open";
    let is_known = {
        // Asking opens groups too.
        let _turn = turn();
        privileged(test, &Fanotify::builder()).is_some() && known(test, Report::FD_ERROR)
    };
    if is_known {
        flood(test, Report::PIDFD | Report::DFID_NAME_TARGET | Report::FD_ERROR);
    }
}

#[test]
fn a_flood_with_files_leaves_nothing_open() {
    flood("a_flood_with_files_leaves_nothing_open", Report::empty());
}

#[test]
fn descriptors_are_there_as_long_as_the_event() {
    let _turn = turn();
    let Some(group) =
        privileged("descriptors_are_there_as_long_as_the_event", &Fanotify::builder().report(Report::PIDFD))
    else {
        return;
    };
    let dir = Dir::new("held");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN, Options::empty()).unwrap();
    let before = open_descriptors();
    File::open(&path).unwrap();
    let mut events = group.try_read().unwrap().unwrap();
    assert_eq!(open_descriptors(), before + 2);
    let Some(Event::Notice(mut notice)) = events.pop() else { panic!() };
    let file = notice.file.take().unwrap().unwrap();
    drop((notice, events));
    assert_eq!(open_descriptors(), before + 1, "what was taken out stays");
    drop(file);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn an_overflow_has_nothing_to_close() {
    let _turn = turn();
    let limit = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 200_000 {
        println!("SKIP: an_overflow_has_nothing_to_close: the queue takes {limit} events, too many to fill");
        return;
    }
    let builder = Fanotify::builder().report(Report::PIDFD | Report::DFID_NAME);
    let Some(group) = privileged("an_overflow_has_nothing_to_close", &builder) else { return };
    let dir = Dir::new("overflow");
    let mut last = dir.file("a", "");
    group.add(Scope::Inode, &dir.0, Mask::MOVED_TO, Options::empty()).unwrap();
    let before = open_descriptors();
    for n in 0..limit + 1 {
        let next = dir.at(&n.to_string());
        fs::rename(&last, &next).unwrap();
        last = next;
    }
    let mut buf = EventBuf::new();
    let mut overflows = 0;
    while let Some(events) = group.read_events(&mut buf).unwrap() {
        overflows += events.filter(|event| matches!(event, Event::Overflow)).count();
    }
    assert_eq!((overflows, open_descriptors()), (1, before));
}

/// All descriptors that this process may have but `left`.
struct Full {
    _files: Vec<File>,
    limit: Rlimit,
}

impl Full {
    fn but(left: usize) -> Full {
        let limit = getrlimit(Resource::Nofile);
        let current = Some(open_descriptors() as u64 + 20);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
        let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        files.truncate(files.len() - left);
        Full { _files: files, limit }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.limit).unwrap();
    }
}

#[test]
fn where_no_descriptor_is_left_the_event_or_the_read_says_so() {
    let test = "where_no_descriptor_is_left_the_event_or_the_read_says_so";
    let _turn = turn();
    let dir = Dir::new("full");
    let path = dir.file("a", "");
    let code = |e: &io::Error| e.raw_os_error();
    for report in [Report::PIDFD, Report::PIDFD | Report::FD_ERROR] {
        if report.contains(Report::FD_ERROR) && !known(&format!("{test} (in part)"), Report::FD_ERROR) {
            continue;
        }
        let Some(group) = privileged(test, &Fanotify::builder().report(report)) else { return };
        group.add(Scope::Inode, &path, Mask::OPEN, Options::empty()).unwrap();
        let before = open_descriptors();
        let read = |left| {
            File::open(&path).unwrap();
            let _full = Full::but(left);
            let result = group.try_read().map(|events| events.unwrap().pop().unwrap());
            result.map(|event| match event {
                Event::Notice(notice) => (notice.file.unwrap(), notice.process.unwrap()),
                other => panic!("{other:?}"),
            })
        };
        let tells = report.contains(Report::FD_ERROR);
        match read(0) {
            Err(e) => assert_eq!((tells, code(&e)), (false, Some(libc::EMFILE))),
            Ok((Err(file), Err(process))) => {
                assert!(tells);
                assert_eq!((code(&file), code(&process)), (Some(libc::EMFILE), Some(libc::EMFILE)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(open_descriptors(), before);
        let (file, process) = read(1).unwrap();
        assert_eq!(code(&process.unwrap_err()), tells.then_some(libc::EMFILE));
        assert!(file.is_ok());
        drop(file);
        assert_eq!(open_descriptors(), before);
        assert!(group.try_read().unwrap().is_none());
    }
}

#[test]
fn permissions_close_after_their_answer() {
    let _turn = turn();
    let builder = Fanotify::builder().class(Class::Content).report(Report::PIDFD);
    let Some(group) = privileged("permissions_close_after_their_answer", &builder) else { return };
    let dir = Dir::new("permission");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty()).unwrap();
    let mut buf = EventBuf::new();
    for how in 0..4 {
        let mut reader = Helper::cat(&path);
        let before = open_descriptors();
        readable(&group);
        let mut events = group.read_events(&mut buf).unwrap().unwrap();
        assert_eq!(open_descriptors(), before + 2);
        if how < 3 {
            let Some(Event::Permission(permission)) = events.next() else { panic!() };
            match how {
                0 => permission.allow().unwrap(),
                1 => permission.deny().unwrap(),
                _ => drop(permission),
            }
        }
        drop(events);
        assert_eq!(open_descriptors(), before);
        assert_eq!(reader.end().success(), how != 1);
    }
}

#[test]
fn what_is_refused_or_resolved_leaves_nothing_open() {
    let _turn = turn();
    let dir = Dir::new("refused");
    let before = open_descriptors();
    for _ in 0..10 {
        drop(Fanotify::try_from(OwnedFd::from(File::open("/").unwrap())).unwrap_err());
        drop(Fanotify::try_from(OwnedFd::from(Fanotify::builder().report(Report::FID).open().unwrap())).unwrap());
        let id = FileId::of(&dir.0).unwrap();
        let mut file_systems = FileSystems::new();
        assert_eq!(file_systems.add(&dir.0).unwrap(), id.file_system);
        assert_eq!(file_systems.add("/").unwrap(), FileId::of("/").unwrap().file_system);
        match file_systems.path(&id) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            path => assert_eq!(path.unwrap().as_deref(), Some(Path::new(&dir.0))),
        }
    }
    assert_eq!(open_descriptors(), before);
}
