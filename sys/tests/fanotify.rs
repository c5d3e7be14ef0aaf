//! fanotify(7) as it behaves at its edges, where nobody waits for an answer.

#[path = "common/descriptors.rs"]
mod descriptors;

mod fanotify_help;

use becket_sys::fanotify::{
    Class, Event, Fanotify, FileHandle, FileId, FileSystems, FsId, Mask, Notice, OpenFlags, Options, Record, Report,
    Scope, parse, path_of,
};
use becket_sys::signal::Signal;
use becket_sys::{EventBuf, Ready, wait};
use fanotify_help::{Dir, Helper, keep, known, notices, privileged, readable, soon};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Instant;

fn group(report: Report) -> Fanotify {
    Fanotify::builder().report(report).open().unwrap()
}

fn masks(group: &Fanotify) -> Vec<Mask> {
    notices(group).iter().map(|notice| notice.mask).collect()
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// The name in the record of the directory entry.
fn name(notice: &Notice<'_>) -> OsString {
    let names = notice.records().filter_map(|record| match record {
        Record::Entry(entry) => Some(entry.name.into_owned()),
        _ => None,
    });
    names.last().unwrap()
}

#[test]
fn what_follows_each_other_is_one_event_with_all_bits() {
    let dir = Dir::new("merge");
    let group = group(Report::DFID_NAME);
    let mask = Mask::CREATE | Mask::MODIFY | Mask::MOVED_FROM;
    group.add(Scope::Inode, &dir.0, mask | Mask::EVENT_ON_CHILD, Options::empty()).unwrap();
    dir.file("a", "text");
    fs::rename(dir.at("a"), dir.at("b")).unwrap();
    assert_eq!(masks(&group), [mask]);
}

#[test]
fn a_file_comes_open_and_reading_it_is_told_to_nobody() {
    let Some(group) = privileged("a_file_comes_open_and_reading_it_is_told_to_nobody", &Fanotify::builder()) else {
        return;
    };
    let dir = Dir::new("open");
    let path = dir.file("a", "text");
    group.add(Scope::Inode, &path, Mask::OPEN | Mask::ACCESS | Mask::CLOSE, Options::empty()).unwrap();
    let opened = File::open(&path).unwrap();
    let [notice] = notices(&group).try_into().unwrap();
    assert_eq!((notice.mask, notice.pid), (Mask::OPEN, Some(std::process::id())));
    assert!(notice.process.is_none());
    assert_eq!(notice.records().count(), 0);
    let mut file = notice.file.unwrap().unwrap();
    assert_eq!(io::read_to_string(&file).unwrap(), "text");
    assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EBADF), "for reading only");
    assert_eq!(path_of(&file).unwrap(), Some(path));
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    drop(file);
    assert_eq!(masks(&group), []);
    drop(opened);
    readable(&group);
    assert_eq!(masks(&group), [Mask::CLOSE_NOWRITE]);
}

#[test]
fn files_in_events_are_opened_as_asked() {
    let builder = Fanotify::builder().event_files(OpenFlags::READ_WRITE | OpenFlags::APPEND | OpenFlags::NONBLOCK);
    let Some(group) = privileged("files_in_events_are_opened_as_asked", &builder) else { return };
    let dir = Dir::new("event_files");
    let path = dir.file("a", "text");
    group.add(Scope::Inode, &path, Mask::OPEN, Options::empty()).unwrap();
    File::open(&path).unwrap();
    let mut file = notices(&group).pop().unwrap().file.unwrap().unwrap();
    file.write_all(b" and more").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "text and more");
    let builder = Fanotify::builder().event_files(OpenFlags::from_bits_retain(libc::O_CREAT as u32));
    assert_eq!(code(builder.open()), libc::EINVAL);
}

#[test]
fn names_come_without_padding() {
    let dir = Dir::new("names");
    let group = group(Report::DFID_NAME);
    group.add(Scope::Inode, &dir.0, Mask::CREATE | Mask::ONDIR, Options::ONLYDIR).unwrap();
    let mut names: Vec<OsString> = [1, 2, 3, 4, 15, 16, 17, 255].map(|n| "n".repeat(n).into()).into();
    names.push(std::os::unix::ffi::OsStringExt::from_vec(b"not \xff UTF-8".to_vec()));
    for name in &names {
        File::create(dir.0.join(name)).unwrap();
    }
    fs::create_dir(dir.at("dir")).unwrap();
    let notices = notices(&group);
    assert_eq!(notices.last().unwrap().mask, Mask::CREATE | Mask::ONDIR);
    names.push("dir".into());
    assert_eq!(notices.iter().map(name).collect::<Vec<_>>(), names);
    for notice in notices {
        let mut records = notice.records();
        assert_eq!((records.by_ref().count(), records.remainder()), (1, &b""[..]));
        assert!(notice.file.is_none());
    }
}

#[test]
fn records_say_what_was_asked_for() {
    let dir = Dir::new("records");
    let path = dir.file("a", "");
    let (dir_id, file_id) = (FileId::of(&dir.0).unwrap(), FileId::of(&path).unwrap());
    let records = |report, mask| {
        let group = group(report);
        group.add(Scope::Inode, &dir.0, mask | Mask::EVENT_ON_CHILD, Options::empty()).unwrap();
        File::open(&path).unwrap();
        let [notice] = notices(&group).try_into().unwrap();
        assert_eq!(notice.mask, mask);
        let records = notice.records().map(|record| format!("{record:?}")).collect::<Vec<_>>();
        let is = |record: Record<'_>| records.contains(&format!("{record:?}"));
        (records.len(), is(Record::Object(file_id.clone())), is(Record::Directory(dir_id.clone())))
    };
    assert_eq!(records(Report::FID, Mask::OPEN), (1, true, false));
    assert_eq!(records(Report::DIR_FID | Report::FID, Mask::OPEN), (2, true, true));
    assert_eq!(records(Report::DFID_NAME | Report::FID, Mask::OPEN), (2, true, false));

    // Alone, it is the directory's handle as well, which Linux 6.18 calls the object's.
    let alone = group(Report::DIR_FID);
    alone.add(Scope::Inode, &dir.0, Mask::OPEN | Mask::CREATE | Mask::EVENT_ON_CHILD, Options::empty()).unwrap();
    File::open(&path).unwrap();
    File::create(dir.at("new")).unwrap();
    for notice in notices(&alone) {
        match notice.records().next() {
            Some(Record::Directory(id)) => assert_eq!(id, dir_id),
            Some(Record::Object(id)) => assert_eq!((id, notice.mask), (dir_id.clone(), Mask::OPEN)),
            other => panic!("{other:?}"),
        }
    }

    let group = group(Report::DFID_NAME_TARGET);
    group.add(Scope::Inode, &dir.0, Mask::RENAME | Mask::DELETE, Options::empty()).unwrap();
    fs::rename(&path, dir.at("b")).unwrap();
    fs::remove_file(dir.at("b")).unwrap();
    let [renamed, deleted] = notices(&group).try_into().unwrap();
    assert_eq!((renamed.mask, deleted.mask), (Mask::RENAME, Mask::DELETE));
    let mut told = Vec::new();
    for record in renamed.records().chain(deleted.records()) {
        match record {
            Record::OldEntry(entry) => told.push(("old", entry.directory.into_owned(), entry.name.into_owned())),
            Record::NewEntry(entry) => told.push(("new", entry.directory.into_owned(), entry.name.into_owned())),
            Record::Entry(entry) => told.push(("entry", entry.directory.into_owned(), entry.name.into_owned())),
            Record::Object(id) => told.push(("object", id.into_owned(), OsString::new())),
            other => panic!("{other:?}"),
        }
    }
    told.sort_by_key(|(kind, _, _)| *kind);
    let expected = [
        ("entry", dir_id.clone(), "b".into()),
        ("new", dir_id.clone(), "b".into()),
        ("object", file_id.clone(), "".into()),
        ("object", file_id, "".into()),
        ("old", dir_id, "a".into()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_directory_itself_has_the_name_dot() {
    let dir = Dir::new("dot");
    let group = group(Report::DFID_NAME);
    group.add(Scope::Inode, &dir.0, Mask::OPEN | Mask::ONDIR, Options::empty()).unwrap();
    File::open(&dir.0).unwrap();
    let [notice] = notices(&group).try_into().unwrap();
    assert_eq!((notice.mask, name(&notice)), (Mask::OPEN | Mask::ONDIR, ".".into()));
}

#[test]
fn a_pidfd_is_of_the_process() {
    let Some(group) = privileged("a_pidfd_is_of_the_process", &Fanotify::builder().report(Report::PIDFD)) else {
        return;
    };
    let dir = Dir::new("pidfd");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::CLOSE_WRITE, Options::empty()).unwrap();
    let mut child = Helper::sh("echo x > $1; exec sleep 100", &[&path]);
    readable(&group);
    let [notice] = notices(&group).try_into().unwrap();
    assert_eq!(notice.pid, Some(child.0.id()));
    notice.process.unwrap().unwrap().send_signal(Signal::KILL).unwrap();
    assert_eq!(child.end().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_process_that_is_gone_has_no_pidfd() {
    let test = "a_process_that_is_gone_has_no_pidfd";
    for report in [Report::PIDFD, Report::PIDFD | Report::FID, Report::PIDFD | Report::FD_ERROR] {
        if report.contains(Report::FD_ERROR) && !known(&format!("{test} (in part)"), Report::FD_ERROR) {
            continue;
        }
        let Some(group) = privileged(test, &Fanotify::builder().report(report)) else { return };
        let dir = Dir::new("gone");
        let path = dir.file("a", "");
        group.add(Scope::Inode, &path, Mask::CLOSE_WRITE, Options::empty()).unwrap();
        let mut child = Helper::sh("echo x > $1", &[&path]);
        assert!(child.end().success());
        let [notice] = notices(&group).try_into().unwrap();
        assert_eq!(notice.process.unwrap().unwrap_err().raw_os_error(), Some(libc::ESRCH), "{report:?}");
    }
}

#[test]
fn a_thread_is_told_by_its_number() {
    let Some(group) = privileged("a_thread_is_told_by_its_number", &Fanotify::builder().report(Report::TID)) else {
        return;
    };
    let dir = Dir::new("thread");
    let path = dir.file("a", "");
    group.add(Scope::Inode, &path, Mask::OPEN, Options::empty()).unwrap();
    let open = || {
        File::open(&path).unwrap();
        rustix::thread::gettid()
    };
    let tid = std::thread::scope(|s| s.spawn(open).join().unwrap());
    let [notice] = notices(&group).try_into().unwrap();
    assert_eq!(notice.pid, Some(tid.as_raw_nonzero().get() as u32));
    let both = Report::TID | Report::PIDFD;
    assert_eq!(code(Fanotify::builder().report(both).open()), libc::EINVAL);
}

#[test]
fn an_overflow_is_an_event_and_the_last() {
    let limit = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 200_000 {
        println!("SKIP: an_overflow_is_an_event_and_the_last: the queue takes {limit} events, too many to fill");
        return;
    }
    let dir = Dir::new("overflow");
    let path = dir.file("a", "");
    let group = group(Report::DFID_NAME);
    group.add(Scope::Inode, &dir.0, Mask::MOVED_TO, Options::empty()).unwrap();
    // To a new name each time, for equal events are one.
    let mut last = path;
    for n in 0..limit + 10 {
        let next = dir.at(&n.to_string());
        fs::rename(&last, &next).unwrap();
        last = next;
    }
    let mut buf = EventBuf::with_capacity(1 << 16);
    let (mut count, mut overflows, mut last_bytes) = (0, 0, None);
    while let Some(events) = group.read_events(&mut buf).unwrap() {
        last_bytes = events.remainder().last_chunk::<24>().copied();
        for event in events {
            assert_eq!(overflows, 0, "the last");
            match event {
                Event::Overflow => overflows += 1,
                _ => count += 1,
            }
        }
    }
    assert_eq!((count, overflows), (limit, 1));
    // A head alone, with no descriptor.
    let raw = parse(&last_bytes.unwrap()).next().map(|event| (event.mask, event.fd, event.records().count()));
    assert_eq!(raw, Some((Mask::OVERFLOW, libc::FAN_NOFD, 0)));

    // It goes on afterwards.
    fs::rename(&last, dir.at("b")).unwrap();
    assert_eq!(masks(&group), [Mask::MOVED_TO]);
}

#[test]
fn a_buffer_too_small_is_invalid_and_loses_nothing() {
    let dir = Dir::new("small");
    let group = group(Report::DFID_NAME);
    group.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    let mut small = EventBuf::with_capacity(24 + 255);
    assert!(group.read_events(&mut small).unwrap().is_none());
    File::create(dir.at(&"n".repeat(255))).unwrap();
    assert_eq!(code(group.read_events(&mut small)), libc::EINVAL);
    assert_eq!(small.as_bytes(), b"");
    let mut enough = EventBuf::with_capacity(1024);
    assert_eq!(group.read_events(&mut enough).unwrap().unwrap().count(), 1);
}

#[test]
fn the_longest_event_fits_into_1024_bytes() {
    let report = Report::DFID_NAME_TARGET | Report::PIDFD;
    let Some(group) = privileged("the_longest_event_fits_into_1024_bytes", &Fanotify::builder().report(report)) else {
        return;
    };
    let dir = Dir::new("longest");
    let (old, new) = ("o".repeat(255), "n".repeat(255));
    dir.file(&old, "");
    group.add(Scope::Inode, &dir.0, Mask::RENAME, Options::empty()).unwrap();
    fs::rename(dir.at(&old), dir.at(&new)).unwrap();
    let mut buf = EventBuf::with_capacity(1024);
    let events: Vec<_> = group.read_events(&mut buf).unwrap().unwrap().collect();
    let [Event::Notice(notice)] = &events[..] else { panic!() };
    assert_eq!(notice.records().count(), 4);
    drop(events);
    // Each of the three handles could be 128 bytes long.
    assert!(buf.as_bytes().len() + 3 * 128 <= 1024 + 3 * 16);
}

#[test]
fn readiness_follows_the_queue() {
    let dir = Dir::new("readiness");
    let group = group(Report::FID);
    group.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    assert_eq!(wait(&group, Ready::READ, Some(Instant::now())).unwrap(), None);
    assert!(group.try_read().unwrap().is_none());
    File::create(dir.at("a")).unwrap();
    assert!(wait(&group, Ready::READ, Some(Instant::now())).unwrap().is_some_and(Ready::is_readable));
    notices(&group);
    assert!(!wait(&group, Ready::READ, Some(Instant::now())).unwrap().is_some_and(Ready::is_readable));
}

#[test]
fn marks_add_up_and_are_taken_away() {
    let dir = Dir::new("marks");
    let path = dir.file("a", "");
    let group = group(Report::FID);
    let add = |mask| group.add(Scope::Inode, &path, mask, Options::empty());
    let remove = |mask| group.remove(Scope::Inode, &path, mask, Options::empty());
    assert_eq!(code(remove(Mask::OPEN)), libc::ENOENT);
    assert_eq!(code(add(Mask::empty())), libc::EINVAL);
    add(Mask::OPEN).unwrap();
    add(Mask::MODIFY).unwrap();
    fs::write(&path, "x").unwrap();
    assert_eq!(masks(&group), [Mask::OPEN | Mask::MODIFY]);
    remove(Mask::OPEN).unwrap();
    fs::write(&path, "x").unwrap();
    assert_eq!(masks(&group), [Mask::MODIFY]);
    group.flush(Scope::Inode).unwrap();
    fs::write(&path, "x").unwrap();
    assert_eq!(masks(&group), []);
    assert_eq!(code(remove(Mask::MODIFY)), libc::ENOENT);
}

#[test]
fn options_reach_the_kernel() {
    let dir = Dir::new("options");
    let path = dir.file("file", "");
    symlink("file", dir.at("link")).unwrap();
    let group = group(Report::FID);
    let e = group.add(Scope::Inode, &path, Mask::OPEN, Options::ONLYDIR);
    assert_eq!(code(e), libc::ENOTDIR);
    group.add(Scope::Inode, dir.at("link"), Mask::ATTRIB, Options::DONT_FOLLOW).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(masks(&group), [], "it is the link that is marked");
    fs::remove_file(dir.at("link")).unwrap();
    assert!(masks(&group).iter().all(|mask| *mask == Mask::ATTRIB));

    assert_eq!(code(group.add(Scope::Inode, "nul\0inside", Mask::OPEN, Options::empty())), libc::EINVAL);
    assert_eq!(code(group.add(Scope::Inode, dir.at("none"), Mask::OPEN, Options::empty())), libc::ENOENT);
    assert_eq!(code(group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty())), libc::EINVAL);

    let at = File::open(&dir.0).unwrap();
    group.add_at(Scope::Inode, &at, Some(Path::new("file")), Mask::OPEN, Options::empty()).unwrap();
    group.add_at(Scope::Inode, &at, None, Mask::CREATE, Options::ONLYDIR).unwrap();
    File::open(&path).unwrap();
    dir.file("new", "");
    assert_eq!(masks(&group), [Mask::OPEN, Mask::CREATE]);
    group.remove_at(Scope::Inode, &at, Some(Path::new("file")), Mask::OPEN, Options::empty()).unwrap();
    group.remove_at(Scope::Inode, &at, None, Mask::CREATE, Options::empty()).unwrap();
    File::open(&path).unwrap();
    dir.file("newer", "");
    assert_eq!(masks(&group), []);
}

#[test]
fn what_is_ignored_is_not_told() {
    let dir = Dir::new("ignore");
    let (path, other) = (dir.file("a", ""), dir.file("b", ""));
    let group = group(Report::FID);
    let mask = Mask::OPEN | Mask::EVENT_ON_CHILD;
    group.add(Scope::Inode, &dir.0, mask, Options::empty()).unwrap();
    let opens = || {
        File::open(&path).unwrap();
        File::open(&other).unwrap();
        masks(&group).len()
    };
    assert_eq!(opens(), 2);
    group.add(Scope::Inode, &path, Mask::OPEN, Options::IGNORE_SURV).unwrap();
    assert_eq!(opens(), 1);
    fs::write(&path, "modified").unwrap();
    assert_eq!(opens(), 1, "survives");
    group.remove(Scope::Inode, &path, Mask::OPEN, Options::IGNORE).unwrap();
    assert_eq!(opens(), 2);
    group.add(Scope::Inode, &path, Mask::OPEN, Options::IGNORE).unwrap();
    assert_eq!(opens(), 1);
    fs::write(&path, "modified").unwrap();
    masks(&group);
    assert_eq!(opens(), 2, "cleared by a modification");
    group.add(Scope::Inode, &other, Mask::OPEN, Options::IGNORED_MASK).unwrap();
    assert_eq!(opens(), 1);

    // One way for one mark; more than a file must survive.
    let add = |path, options| code(group.add(Scope::Inode, path, Mask::OPEN, options));
    group.add(Scope::Inode, &path, Mask::OPEN, Options::IGNORE_SURV).unwrap();
    assert_eq!(add(&path, Options::IGNORED_MASK), libc::EEXIST);
    assert_eq!(add(&path, Options::IGNORE), libc::EEXIST);
    assert_eq!(add(&dir.0, Options::IGNORE), libc::EISDIR);
    assert_eq!(add(&path, Options::IGNORE | Options::IGNORED_MASK), libc::EINVAL);
}

#[test]
fn evictable_marks_do_not_replace_others() {
    let dir = Dir::new("evictable");
    let path = dir.file("a", "");
    let group = group(Report::FID);
    let add = |options| group.add(Scope::Inode, &path, Mask::OPEN, options);
    add(Options::EVICTABLE).unwrap();
    File::open(&path).unwrap();
    assert_eq!(masks(&group), [Mask::OPEN]);
    add(Options::EVICTABLE).unwrap();
    add(Options::empty()).unwrap();
    assert_eq!(code(add(Options::EVICTABLE)), libc::EEXIST);
}

/// A file system of memory, mounted at `at` in a mount namespace that ends with the helper.
fn mounted(at: &Path) -> (Helper, std::path::PathBuf) {
    let mut helper = Helper::unshared("mount -t tmpfs becket $1 && echo mounted && read x", &[at]);
    assert_eq!(helper.line(), "mounted");
    let seen = format!("/proc/{}/root{}", helper.0.id(), at.display());
    (helper, seen.into())
}

#[test]
fn mounts_and_file_systems_are_marked_as_a_whole() {
    let report = Report::DFID_NAME;
    let Some(group) = privileged(
        "mounts_and_file_systems_are_marked_as_a_whole",
        &Fanotify::builder().report(report).unlimited_marks(),
    ) else {
        return;
    };
    let dir = Dir::new("mount");
    fs::create_dir(dir.at("m")).unwrap();
    let (_mount, seen) = mounted(&dir.at("m"));
    fs::create_dir_all(seen.join("deep/down")).unwrap();
    let file = seen.join("deep/down/a");

    group.add(Scope::Filesystem, &seen, Mask::CREATE, Options::empty()).unwrap();
    fs::write(&file, "").unwrap();
    let [created] = notices(&group).try_into().unwrap();
    assert_eq!((created.mask, name(&created)), (Mask::CREATE, "a".into()));
    group.flush(Scope::Filesystem).unwrap();
    fs::write(seen.join("b"), "").unwrap();
    assert_eq!(masks(&group), []);

    assert_eq!(code(group.add(Scope::Mount, &seen, Mask::CREATE, Options::empty())), libc::EINVAL);
    assert_eq!(code(group.add(Scope::Mount, &seen, Mask::OPEN, Options::EVICTABLE)), libc::EINVAL);
    assert_eq!(code(group.add(Scope::Mount, &seen, Mask::OPEN, Options::IGNORE)), libc::EINVAL);
    group.add(Scope::Mount, &seen, Mask::OPEN, Options::empty()).unwrap();
    group.add(Scope::Inode, seen.join("b"), Mask::OPEN, Options::IGNORE_SURV).unwrap();
    File::open(seen.join("b")).unwrap();
    File::open(&file).unwrap();
    let [opened] = notices(&group).try_into().unwrap();
    assert_eq!((opened.mask, name(&opened)), (Mask::OPEN, "a".into()));
    group.flush(Scope::Mount).unwrap();
    File::open(&file).unwrap();
    assert_eq!(masks(&group), []);
}

#[test]
fn mounts_are_told_by_their_number() {
    let test = "mounts_are_told_by_their_number";
    if privileged(test, &Fanotify::builder()).is_none() || !known(test, Report::MNT) {
        return;
    }
    let group = group(Report::MNT);
    let dir = Dir::new("namespace");
    let (from, to) = (dir.at("from"), dir.at("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    let script = "echo ready; read x; mount -t tmpfs becket $1; echo mounted; read x; mount --move $1 $2; echo moved;
        read x; umount $2; echo done; read x";
    let mut helper = Helper::unshared(script, &[&from, &to]);
    assert_eq!(helper.line(), "ready");
    let namespace = format!("/proc/{}/ns/mnt", helper.0.id());
    let mask = Mask::MNT_ATTACH | Mask::MNT_DETACH;
    group.add(Scope::MountNamespace, &namespace, mask, Options::empty()).unwrap();
    let mut told = |line, mask| {
        writeln!(helper.0.stdin.as_ref().unwrap()).unwrap();
        assert_eq!(helper.line(), line);
        let [notice] = notices(&group).try_into().unwrap();
        assert_eq!(notice.mask, mask);
        let records: Vec<_> = notice.records().collect();
        let [Record::Mount(id)] = records[..] else { panic!() };
        id
    };
    let id = told("mounted", Mask::MNT_ATTACH);
    assert!(id > 1 << 31, "not one of the numbers that are given again");
    assert_eq!(told("moved", Mask::MNT_ATTACH | Mask::MNT_DETACH), id);
    assert_eq!(told("done", Mask::MNT_DETACH), id);
    group.remove(Scope::MountNamespace, &namespace, mask, Options::empty()).unwrap();
    let gone = || code(group.remove(Scope::MountNamespace, &namespace, mask, Options::empty())) == libc::ENOENT;
    assert!(gone());
    group.add(Scope::MountNamespace, &namespace, mask, Options::empty()).unwrap();
    group.flush(Scope::MountNamespace).unwrap();
    assert!(gone());
    assert_eq!(code(group.add(Scope::Inode, &dir.0, Mask::OPEN, Options::empty())), libc::EINVAL);
}

#[test]
fn a_damaged_file_system_is_told_with_its_error() {
    let Some(group) =
        privileged("a_damaged_file_system_is_told_with_its_error", &Fanotify::builder().report(Report::FID))
    else {
        return;
    };
    let dir = Dir::new("damaged");
    let image = File::create(dir.at("image")).unwrap();
    image.set_len(4 << 20).unwrap();
    drop(image);
    fs::create_dir(dir.at("m")).unwrap();
    // Where there is no mkfs.ext4, the older kind that others make will do: ext4 mounts it, too.
    let script = "{ mkfs.ext4 -q $1 || mke2fs -F $1; } >&2 && mount -t ext4 -o loop $1 $2 && echo mounted ||
        echo not mounted; read x;
        mount -o remount,abort $2; echo aborted; read x";
    let mut helper = Helper::unshared(script, &[&dir.at("image"), &dir.at("m")]);
    if helper.line() != "mounted" {
        println!("SKIP: a_damaged_file_system_is_told_with_its_error: {}", helper.errors());
        return;
    }
    let seen = format!("/proc/{}/root{}", helper.0.id(), dir.at("m").display());
    group.add(Scope::Filesystem, &seen, Mask::FS_ERROR, Options::empty()).unwrap();
    writeln!(helper.0.stdin.as_ref().unwrap()).unwrap();
    assert_eq!(helper.line(), "aborted");
    let mut buf = EventBuf::new();
    let events: Vec<_> = group.read_events(&mut buf).unwrap().unwrap().collect();
    let [Event::Notice(notice)] = &events[..] else { panic!() };
    assert_eq!(notice.mask, Mask::FS_ERROR);
    let (mut invalid, mut error) = (false, None);
    for record in notice.records() {
        match record {
            Record::Object(id) => invalid = id.is_invalid(),
            Record::Error { errno, count } => error = Some((errno, count)),
            other => panic!("{other:?}"),
        }
    }
    assert!(invalid, "it is in no file");
    assert_eq!(error, Some((libc::ESHUTDOWN, 1)));
    drop(events);
    keep("error", buf.as_bytes());
}

#[test]
fn handles_lead_to_files_and_paths_until_they_are_gone() {
    if privileged("handles_lead_to_files_and_paths_until_they_are_gone", &Fanotify::builder()).is_none() {
        return;
    }
    let dir = Dir::new("handles");
    let mut file_systems = FileSystems::new();
    for parent in [dir.0.clone(), Path::new("/dev/shm").canonicalize().unwrap()] {
        let parent = parent.join(format!("becket-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let group = group(Report::DFID_NAME | Report::FID);
        group.add(Scope::Inode, &parent, Mask::MODIFY | Mask::EVENT_ON_CHILD, Options::empty()).unwrap();
        fs::write(parent.join("a"), "text").unwrap();
        let [notice] = notices(&group).try_into().unwrap();
        let mut ids = (None, None);
        for record in notice.records() {
            match record {
                Record::Object(id) => ids.0 = Some(id.into_owned()),
                Record::Entry(entry) => ids.1 = Some(entry.into_owned()),
                other => panic!("{other:?}"),
            }
        }
        let (Some(id), Some(entry)) = ids else { panic!() };
        assert_eq!(code(file_systems.open(&id)), libc::ENODEV);
        assert_eq!(file_systems.add(&parent).unwrap(), id.file_system);

        assert_eq!(io::read_to_string(file_systems.open(&id).unwrap().unwrap()).unwrap(), "text");
        let located = file_systems.locate(&id).unwrap().unwrap();
        assert_eq!(rustix::fs::fstat(&located).unwrap().st_ino, fs::metadata(parent.join("a")).unwrap().ino());
        assert_eq!(file_systems.path(&id).unwrap(), Some(parent.join("a")));
        assert_eq!(file_systems.entry_path(&entry).unwrap(), Some(parent.join("a")));
        assert_eq!(file_systems.path(&entry.directory).unwrap(), Some(parent.clone()));

        // They go along.
        let moved = parent.with_extension("moved");
        fs::rename(&parent, &moved).unwrap();
        assert_eq!(file_systems.entry_path(&entry).unwrap(), Some(moved.join("a")));

        // Of a name that is odd, too.
        fs::rename(moved.join("a"), moved.join("a (deleted)")).unwrap();
        assert_eq!(file_systems.path(&id).unwrap(), Some(moved.join("a (deleted)")));
        fs::remove_file(moved.join("a (deleted)")).unwrap();
        assert_eq!(file_systems.path(&id).unwrap(), None, "still open, but without a name");
        drop(located);
        let end = soon();
        while file_systems.open(&id).unwrap().is_some() {
            assert!(Some(Instant::now()) < end);
        }
        assert_eq!(file_systems.path(&id).unwrap(), None);
        fs::remove_dir(&moved).unwrap();
        assert_eq!(file_systems.entry_path(&entry).unwrap(), None);
        assert!(file_systems.remove(id.file_system) && !file_systems.remove(id.file_system));
    }
    assert_eq!(FsId::from_raw(7).as_raw(), 7);
}

#[test]
fn odd_handles_and_names_are_errors() {
    if privileged("odd_handles_and_names_are_errors", &Fanotify::builder()).is_none() {
        return;
    }
    let dir = Dir::new("odd");
    let mut file_systems = FileSystems::new();
    file_systems.add(&dir.0).unwrap();
    let mut id = FileId::of(&dir.0).unwrap();
    id.handle = FileHandle::new(1, &[0; 129]);
    assert_eq!(code(file_systems.open(&id)), libc::EINVAL);
    id.handle = FileHandle::new(0x7fff_ffff, &[7; 8]);
    assert!(!matches!(file_systems.locate(&id), Ok(Some(_))));
    id.handle = FileHandle::new(1, &[]);
    assert!(!matches!(file_systems.locate(&id), Ok(Some(_))));

    // Names that no kernel writes, out of a recorded event.
    let group = group(Report::DFID_NAME);
    group.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    dir.file("name", "");
    let mut buf = EventBuf::new();
    drop(group.read_events(&mut buf).unwrap().unwrap());
    let bytes = buf.as_bytes().to_vec();
    let at = bytes.windows(4).position(|four| four == b"name").unwrap();
    for name in [b"../x", b"a/b\0", b"..\0\0", b"\0\0\0\0"] {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(name);
        let Some(Record::Entry(entry)) = parse(&bytes).next().unwrap().records().next() else { panic!() };
        assert_eq!(code(file_systems.entry_path(&entry)), libc::EINVAL);
    }
}

#[test]
fn paths_are_those_of_the_file() {
    let dir = Dir::new("paths");
    let path = dir.file("a", "");
    let file = File::open(&path).unwrap();
    assert_eq!(path_of(&file).unwrap(), Some(path.clone()));
    fs::rename(&path, dir.at("b")).unwrap();
    assert_eq!(path_of(&file).unwrap(), Some(dir.at("b")));
    fs::remove_file(dir.at("b")).unwrap();
    dir.file("b (deleted)", "");
    assert_eq!(path_of(&file).unwrap(), None, "the text fits, the file does not");
    assert_eq!(path_of(io::pipe().unwrap().0).unwrap(), None);
}

#[test]
fn only_a_group_is_taken_for_one() {
    let refused = |fd: OwnedFd| {
        let number = fd.as_raw_fd();
        let (fd, e) = Fanotify::try_from(fd).unwrap_err();
        assert_eq!((fd.as_raw_fd(), e.raw_os_error()), (number, Some(libc::EINVAL)));
    };
    refused(io::pipe().unwrap().0.into());
    refused(becket_sys::event::Event::new().unwrap().into());
    refused(becket_sys::inotify::Inotify::new().unwrap().into());
    refused(File::open("/").unwrap().into());

    let dir = Dir::new("taken");
    let group = group(Report::DFID_NAME_TARGET);
    group.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    let fd = OwnedFd::from(group);
    rustix::io::ioctl_fionbio(&fd, false).unwrap();
    let group = Fanotify::try_from(fd).unwrap();
    let flags = rustix::fs::fcntl_getfl(&group).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "as it was");
    dir.file("a", "");
    let events = group.try_read().unwrap().unwrap();
    let [Event::Notice(notice)] = &events[..] else { panic!() };
    assert_eq!(name(notice), "a");
    drop(events);
    let test = "only_a_group_is_taken_for_one (in part)";
    if privileged(test, &Fanotify::builder()).is_none() {
        return;
    }
    let newer = if known(test, Report::FD_ERROR) { Report::FD_ERROR } else { Report::empty() };
    for class in [Class::Content, Class::PreContent] {
        let builder = Fanotify::builder().class(class).report(Report::PIDFD | newer);
        let group = builder.unlimited_queue().unlimited_marks().audit().open().unwrap();
        assert!(Fanotify::try_from(OwnedFd::from(group)).is_ok());
    }
}

#[test]
fn a_clone_is_of_the_same_group() {
    let dir = Dir::new("clone");
    let group = group(Report::FID);
    let clone = group.try_clone().unwrap();
    clone.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    dir.file("a", "");
    assert_eq!((masks(&group), masks(&clone)), (vec![Mask::CREATE], vec![]));
    drop(group);
    dir.file("b", "");
    assert_eq!(masks(&clone), [Mask::CREATE]);
}

#[test]
#[allow(unsafe_code, reason = "the constructor that does not look")]
fn who_knows_need_not_ask() {
    let dir = Dir::new("unchecked");
    // SAFETY: it was a group a moment ago.
    let group = unsafe { Fanotify::from_owned_fd_unchecked(group(Report::FID).into()) };
    group.add(Scope::Inode, &dir.0, Mask::CREATE, Options::empty()).unwrap();
    dir.file("a", "");
    assert_eq!(masks(&group), [Mask::CREATE]);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_of_the_read_or_of_the_event() {
    let test = "a_file_that_cannot_be_opened_is_an_error_of_the_read_or_of_the_event";
    let builder = Fanotify::builder().event_files(OpenFlags::READ_WRITE);
    let Some(failing) = privileged(test, &builder) else { return };
    let telling =
        known(&format!("{test} (in part)"), Report::FD_ERROR).then(|| builder.report(Report::FD_ERROR).open().unwrap());
    let dir = Dir::new("busy");
    let program = dir.program("sleep");
    let _running = Helper::spawn(std::process::Command::new(&program).arg("100"));
    for group in [&failing].into_iter().chain(&telling) {
        // The helper may still be about to start it.
        while fs::read_link(format!("/proc/{}/exe", _running.0.id())).ok().as_ref() != Some(&program) {
            std::thread::yield_now();
        }
        group.add(Scope::Inode, &program, Mask::OPEN, Options::empty()).unwrap();
    }
    let mut byte = [0];
    File::open(&program).unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(code(failing.try_read()), libc::ETXTBSY);
    assert!(failing.try_read().unwrap().is_none(), "the event is gone");
    let Some(telling) = telling else { return };
    let [notice] = notices(&telling).try_into().unwrap();
    assert_eq!(notice.mask, Mask::OPEN);
    assert_eq!(code(notice.file.unwrap()), libc::ETXTBSY);
}

#[test]
fn parts_that_do_not_go_together_are_invalid() {
    let open = |report| Fanotify::builder().report(report).open();
    assert_eq!(code(open(Report::NAME)), libc::EINVAL);
    assert_eq!(code(open(Report::DFID_NAME | Report::TARGET_FID)), libc::EINVAL);
    assert_eq!(code(open(Report::FID | Report::from_bits_retain(1 << 20))), libc::EINVAL);
    if privileged("parts_that_do_not_go_together_are_invalid", &Fanotify::builder()).is_some() {
        assert_eq!(code(open(Report::FID | Report::MNT)), libc::EINVAL);
        let content = Fanotify::builder().class(Class::Content).report(Report::FID);
        assert_eq!(code(content.open()), libc::EINVAL);
    }
}
