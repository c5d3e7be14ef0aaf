//! fanotify(7) without privileges: the tests run again in a process of another user.

#[path = "common/descriptors.rs"]
mod descriptors;

mod fanotify_help;

use becket_sys::fanotify::{Class, Event, Fanotify, FileId, FileSystems, Mask, Notice, Options, Record, Report, Scope};
use fanotify_help::{Dir, Helper, notices};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

const NOBODY: u32 = 65534;

/// Runs `body` in a directory of its own, as nobody.
fn as_nobody(test: &str, body: fn(PathBuf)) {
    if let Some(dir) = std::env::var_os("BECKET_AS_NOBODY") {
        assert!(!rustix::process::geteuid().is_root());
        return body(dir.into());
    }
    if !rustix::process::geteuid().is_root() {
        let dir = Dir::new(test);
        return body(dir.0.clone());
    }
    // Not where only root may look.
    let dir = Dir(std::env::temp_dir().join(format!("becket-{test}-{}", std::process::id())));
    fs::create_dir(&dir.0).unwrap();
    chown(&dir.0, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture"]).env("BECKET_AS_NOBODY", &dir.0);
    let mut helper = Helper::spawn(command.uid(NOBODY).gid(NOBODY).current_dir("/"));
    let ended = helper.end();
    let output = io::read_to_string(helper.0.stdout.take().unwrap()).unwrap();
    assert!(ended.success() && output.contains("1 passed"), "{output}{}", helper.errors());
}

fn code<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

#[test]
fn what_needs_privileges_is_refused() {
    as_nobody("what_needs_privileges_is_refused", |dir| {
        let open = |report| Fanotify::builder().report(report);
        for builder in [
            open(Report::empty()),
            open(Report::FID | Report::PIDFD),
            open(Report::FID | Report::TID),
            open(Report::FID).unlimited_queue(),
            open(Report::FID).unlimited_marks(),
            open(Report::FID).audit(),
            open(Report::empty()).class(Class::Content),
            open(Report::empty()).class(Class::PreContent),
        ] {
            assert_eq!(code(builder.open()), Some(libc::EPERM), "{builder:?}");
        }
        let group = open(Report::FID).open().unwrap();
        for scope in [Scope::Mount, Scope::Filesystem] {
            assert_eq!(code(group.add(scope, &dir, Mask::OPEN, Options::empty())), Some(libc::EPERM));
            assert_eq!(code(group.flush(scope)), Some(libc::EPERM));
        }
        group.add(Scope::Inode, &dir, Mask::OPEN | Mask::ONDIR, Options::empty()).unwrap();
        group.flush(Scope::Inode).unwrap();

        // Of mounts too, a group alone is for everybody.
        if let Ok(group) = open(Report::MNT).open() {
            let mask = Mask::MNT_ATTACH;
            let result = group.add(Scope::MountNamespace, "/proc/self/ns/mnt", mask, Options::empty());
            assert_eq!(code(result), Some(libc::EPERM));
        }

        let mut file_systems = FileSystems::new();
        file_systems.add(&dir).unwrap();
        assert_eq!(code(file_systems.path(&FileId::of(&dir).unwrap())), Some(libc::EPERM));
    });
}

#[test]
fn own_directories_are_watched_by_name() {
    as_nobody("own_directories_are_watched_by_name", |dir| {
        let entry = |notice: &Notice<'_>| {
            let Some(Record::Entry(entry)) = notice.records().next() else { panic!() };
            (entry.directory.into_owned(), entry.name.into_owned())
        };
        for report in [Report::DFID_NAME, Report::DFID_NAME_TARGET] {
            let group = Fanotify::builder().report(report).open().unwrap();
            group.add(Scope::Inode, &dir, Mask::CREATE, Options::ONLYDIR).unwrap();
            File::create(dir.join("own")).unwrap();
            assert!(Helper::sh("echo > $1", &[&dir.join("child's")]).end().success());
            let [own, childs] = notices(&group).try_into().unwrap();
            let id = FileId::of(&dir).unwrap();
            assert_eq!((entry(&own), own.pid), ((id.clone(), "own".into()), Some(std::process::id())));
            assert_eq!((entry(&childs), childs.pid), ((id, "child's".into()), None), "others are not told");
            assert!(own.file.is_none() && own.process.is_none());
            fs::remove_file(dir.join("own")).unwrap();
            fs::remove_file(dir.join("child's")).unwrap();
        }
    });
}

#[test]
fn a_group_of_nobody_is_taken_for_one() {
    as_nobody("a_group_of_nobody_is_taken_for_one", |dir| {
        let group = Fanotify::builder().report(Report::FID).open().unwrap();
        let group = Fanotify::try_from(std::os::fd::OwnedFd::from(group)).unwrap();
        group.add(Scope::Inode, &dir, Mask::CREATE, Options::empty()).unwrap();
        File::create(dir.join("a")).unwrap();
        assert!(matches!(group.try_read().unwrap().unwrap()[..], [Event::Notice(_)]));
    });
}
