//! Files as they behave at their edges. Where a file system cannot do a thing, the test says so.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::file::{
    Allocate, Attributes, FileHandle, IoFlags, LockKind, allocate, conflict, copy_range, data_ranges, handle,
    is_pollable, link, link_over, lock, lock_whole, next_data, next_hole, open_by_handle, read_vectored_at, start_lock,
    stat, try_lock, try_read_at, unlock, unnamed, write_vectored_at,
};
use becket_sys::{Ready, wait};
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A directory that is gone with it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("becket-file-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> File {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(self.path(name)).unwrap();
        file.write_all(content).unwrap();
        file
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The same file with a description of its own.
fn opened_anew(file: &File) -> File {
    File::options().read(true).write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

#[test]
fn epoll_refuses_files_and_directories() {
    let dir = Dir::new();
    assert!(!is_pollable(dir.file("a", b"")).unwrap());
    assert!(!is_pollable(File::open(&dir.0).unwrap()).unwrap());
    assert!(is_pollable(becket_sys::event::Event::new().unwrap()).unwrap());
    assert!(is_pollable(File::open("/proc/self/mountinfo").unwrap()).unwrap());
    // poll(2) calls them ready all the same.
    let file = dir.file("b", b"");
    assert!(wait(&file, Ready::READ | Ready::WRITE, Some(Instant::now())).unwrap().is_some());
}

#[test]
fn a_file_gets_its_name_when_it_is_complete() {
    let dir = Dir::new();
    let mut file = unnamed(&dir.0).unwrap();
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
    assert_eq!((file.metadata().unwrap().nlink(), file.metadata().unwrap().permissions().mode() & 0o777), (0, 0o600));
    file.write_all(b"whole").unwrap();
    link(&file, dir.path("a")).unwrap();
    assert_eq!(fs::read(dir.path("a")).unwrap(), b"whole");
    assert_eq!(code(link(&file, dir.path("a"))), Some(libc::EEXIST));
    assert_eq!(code(link(&file, dir.path("none/a"))), Some(libc::ENOENT));

    let mut second = unnamed(&dir.0).unwrap();
    second.write_all(b"another").unwrap();
    let old = File::open(dir.path("a")).unwrap();
    link_over(&second, dir.path("a")).unwrap();
    assert_eq!(fs::read(dir.path("a")).unwrap(), b"another");
    assert_eq!(io::read_to_string(old).unwrap(), "whole", "whoever has the old one open keeps it");
    link_over(&second, dir.path("a")).unwrap(); // onto itself
    link_over(&second, dir.path("new")).unwrap();
    fs::create_dir(dir.path("dir")).unwrap();
    assert_eq!(code(link_over(&second, dir.path("dir"))), Some(libc::EISDIR));
    let mut names: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "dir", "new"], "nothing is left beside them");

    assert_eq!(code(unnamed(dir.path("a"))), Some(libc::ENOTDIR));
    fs::remove_file(dir.path("new")).unwrap();
    let removed = dir.file("removed", b"");
    fs::remove_file(dir.path("removed")).unwrap();
    assert_eq!(code(link(&removed, dir.path("again"))), Some(libc::ENOENT));
}

#[test]
fn a_handle_finds_the_file_wherever_it_goes_until_it_is_gone() {
    let dir = Dir::new();
    let kept = match handle(dir.file("a", b"content")) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            println!("SKIP: a_handle_finds_the_file_wherever_it_goes_until_it_is_gone: no handles on this file system");
            return;
        }
        kept => kept.unwrap(),
    };
    let mount = File::open(&dir.0).unwrap();
    fs::rename(dir.path("a"), dir.path("b")).unwrap();
    let found = match open_by_handle(&mount, &kept, true) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            println!("SKIP: a_handle_finds_the_file_wherever_it_goes_until_it_is_gone: no CAP_DAC_READ_SEARCH");
            return;
        }
        found => found.unwrap().unwrap(),
    };
    assert!(rustix::io::fcntl_getfd(&found).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    found.write_all_at(b"C", 0).unwrap();
    assert_eq!(handle(&found).unwrap(), kept);
    assert_eq!(fs::read(dir.path("b")).unwrap(), b"Content");
    let again = FileHandle::new(kept.kind(), kept.as_bytes()); // as restored from a disk
    assert!(open_by_handle(&mount, &again, false).unwrap().is_some());
    drop(found);
    fs::remove_file(dir.path("b")).unwrap();
    assert!(open_by_handle(&mount, &kept, false).unwrap().is_none());
    for junk in [FileHandle::new(1, &[0xff; 8]), FileHandle::new(-5, &[]), FileHandle::new(1, &[7; 200])] {
        assert!(!matches!(open_by_handle(&mount, &junk, false), Ok(Some(_))), "{junk:?}");
    }
}

#[test]
fn locks_belong_to_descriptions_and_split_and_merge() {
    let dir = Dir::new();
    let a = dir.file("a", b"0123456789");
    let (twin, b) = (a.try_clone().unwrap(), opened_anew(&a));
    assert!(try_lock(&a, LockKind::Write, 2..8).unwrap());
    assert!(try_lock(&twin, LockKind::Write, 0..9).unwrap(), "a duplicate is the same owner");
    assert!(!try_lock(&b, LockKind::Read, 0..1).unwrap());
    assert!(try_lock(&b, LockKind::Write, 9..).unwrap());
    unlock(&a, 3..5).unwrap(); // two locks are left
    assert!(try_lock(&b, LockKind::Write, 3..=4).unwrap());
    let found = conflict(&b, LockKind::Write, 0..9).unwrap().unwrap();
    assert_eq!((found.kind, found.start, found.end, found.pid), (LockKind::Write, 0, Some(3), None));
    let found = conflict(&a, LockKind::Read, 5..).unwrap().unwrap();
    assert_eq!((found.start, found.end), (9, None));
    assert_eq!(conflict(&b, LockKind::Write, 3..5).unwrap(), None, "its own is in nobody's way");

    // Readers share, and a reader alone may become a writer.
    unlock(&a, ..).unwrap();
    unlock(&b, ..).unwrap();
    assert!(try_lock(&a, LockKind::Read, ..).unwrap() && try_lock(&b, LockKind::Read, ..).unwrap());
    assert!(!try_lock(&a, LockKind::Write, 0..1).unwrap());
    unlock(&b, 0..1).unwrap();
    assert!(try_lock(&a, LockKind::Write, 0..1).unwrap());

    // The last duplicate ends them.
    drop(a);
    assert!(!try_lock(&b, LockKind::Write, ..).unwrap());
    drop(twin);
    assert!(try_lock(&b, LockKind::Write, ..).unwrap());
}

#[test]
fn wrong_ranges_and_descriptors_are_refused() {
    let dir = Dir::new();
    let file = dir.file("a", b"");
    #[allow(clippy::reversed_empty_ranges)]
    let wrong = [5..5, 7..3, 0..u64::MAX, u64::MAX - 1..u64::MAX];
    for range in wrong {
        assert_eq!(code(try_lock(&file, LockKind::Write, range.clone())), Some(libc::EINVAL), "{range:?}");
        assert_eq!(code(unlock(&file, range.clone())), Some(libc::EINVAL));
        assert_eq!(code(conflict(&file, LockKind::Write, range.clone())), Some(libc::EINVAL));
        assert_eq!(code(start_lock(&file, LockKind::Write, range.clone())), Some(libc::EINVAL));
        assert_eq!(code(lock(&file, LockKind::Write, range, soon())), Some(libc::EINVAL));
    }
    assert_eq!(code(try_lock(&file, LockKind::Write, ..=u64::MAX)), Some(libc::EINVAL));
    let read_only = File::open(dir.path("a")).unwrap();
    assert_eq!(code(try_lock(&read_only, LockKind::Write, ..)), Some(libc::EBADF));
    assert_eq!(code(lock(&read_only, LockKind::Write, .., soon())), Some(libc::EBADF));
    let wait = start_lock(&read_only, LockKind::Write, ..).unwrap();
    wait.wait_ready(Ready::READ, soon()).unwrap().unwrap();
    assert_eq!(code(wait.is_locked()), Some(libc::EBADF));
    assert!(try_lock(&read_only, LockKind::Read, ..).unwrap());
}

#[test]
fn a_lock_is_waited_for_until_the_deadline_and_no_longer() {
    let dir = Dir::new();
    let a = dir.file("a", b"");
    let b = opened_anew(&a);
    assert!(lock(&a, LockKind::Write, 0..10, None).unwrap());
    assert!(!lock(&b, LockKind::Write, 5..6, Some(Instant::now())).unwrap());
    let deadline = Instant::now() + Duration::from_millis(30);
    assert!(!lock(&b, LockKind::Write, 5..6, Some(deadline)).unwrap());
    assert!(Instant::now() >= deadline);
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| lock(&b, LockKind::Write, 0..5, None).unwrap()),
            scope.spawn(|| lock(&b, LockKind::Write, 5..10, soon()).unwrap()),
        ];
        std::thread::sleep(Duration::from_millis(20));
        unlock(&a, ..).unwrap();
        assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
    });
    assert_eq!(conflict(&a, LockKind::Read, ..).unwrap().map(|c| (c.start, c.end)), Some((0, Some(10))));
}

#[test]
fn a_wait_that_is_dropped_gets_no_lock() {
    let dir = Dir::new();
    let a = dir.file("a", b"");
    let b = opened_anew(&a);
    for pause in [0, 0, 1, 5] {
        assert!(try_lock(&a, LockKind::Write, ..).unwrap());
        let wait = start_lock(&b, LockKind::Write, ..).unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        assert!(!wait.is_locked().unwrap());
        drop(wait);
        unlock(&a, ..).unwrap();
        assert_eq!(conflict(&a, LockKind::Write, ..).unwrap(), None);
    }
    // Nor one that had got it unseen.
    let wait = start_lock(&b, LockKind::Write, ..).unwrap();
    wait.wait_ready(Ready::READ, soon()).unwrap().unwrap();
    drop(wait);
    assert_eq!(conflict(&a, LockKind::Write, ..).unwrap(), None);
    // Seen, it stays.
    let wait = start_lock(&b, LockKind::Write, 3..4).unwrap();
    wait.wait_ready(Ready::READ, soon()).unwrap().unwrap();
    assert!(wait.is_locked().unwrap());
    drop(wait);
    assert_eq!(conflict(&a, LockKind::Write, ..).unwrap().map(|c| c.start), Some(3));
    // Nothing keeps the file open: with the last descriptor of its description the lock ends.
    drop(b);
    assert_eq!(conflict(&a, LockKind::Write, ..).unwrap(), None);
}

#[test]
fn whole_files_are_locked_with_a_deadline_and_the_two_kinds_do_not_meet() {
    let dir = Dir::new();
    let a = dir.file("a", b"");
    let b = opened_anew(&a);
    assert!(lock_whole(&a, LockKind::Read, soon()).unwrap() && lock_whole(&b, LockKind::Read, None).unwrap());
    b.unlock().unwrap();
    assert!(lock_whole(&a, LockKind::Write, soon()).unwrap());
    assert!(!lock_whole(&b, LockKind::Read, Some(Instant::now())).unwrap());
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(!lock_whole(&b, LockKind::Write, Some(deadline)).unwrap());
    assert!(Instant::now() >= deadline);
    assert!(try_lock(&b, LockKind::Write, ..).unwrap(), "a lock of a range knows nothing of it");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| lock_whole(&b, LockKind::Write, soon()).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        a.unlock().unwrap();
        assert!(waits.join().unwrap());
    });
    assert!(a.try_lock_shared().is_err());
}

#[test]
fn what_is_cached_is_read_and_the_rest_would_block() {
    let dir = Dir::new();
    let file = dir.file("a", &[b'x'; 50_000]);
    let mut buf = [0; 4096];
    match try_read_at(&file, &mut buf, 40_000) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            println!("SKIP: what_is_cached_is_read_and_the_rest_would_block: this file system cannot tell");
            return;
        }
        got => assert_eq!(got.unwrap(), Some(4096)),
    }
    // Of the last page, parts may be known to the disk only: no block was written there.
    let last = try_read_at(&file, &mut buf, 49_990).unwrap();
    assert!(matches!(last, None | Some(10)), "{last:?}");
    assert_eq!(file.read_at(&mut buf, 49_990).unwrap(), 10);
    assert_eq!(try_read_at(&file, &mut buf, 49_990).unwrap(), Some(10));
    assert_eq!(try_read_at(&file, &mut buf, 50_000).unwrap(), Some(0));
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let got = try_read_at(&file, &mut buf, 0).unwrap();
    println!("a file dropped from the cache: {got:?}"); // of a tmpfs it is there all the same
    assert!(matches!(got, None | Some(1..=4096)));
    let directory = code(try_read_at(File::open(&dir.0).unwrap(), &mut buf, 0));
    assert!(matches!(directory, Some(libc::EISDIR | libc::EOPNOTSUPP)), "{directory:?}");
}

#[test]
fn several_buffers_and_flags_go_with_one_call() {
    let dir = Dir::new();
    let mut file = dir.file("a", b"");
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
    assert_eq!(write_vectored_at(&file, &parts, None, IoFlags::empty()).unwrap(), Some(5));
    assert_eq!(file.stream_position().unwrap(), 5, "without an offset the position moves");
    assert_eq!(write_vectored_at(&file, &parts, Some(1), IoFlags::SYNC).unwrap(), Some(5));
    assert_eq!(file.stream_position().unwrap(), 5);
    assert_eq!(write_vectored_at(&file, &parts, Some(0), IoFlags::APPEND).unwrap(), Some(5));
    let (mut head, mut rest) = ([0; 3], [0; 20]);
    let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
    assert_eq!(read_vectored_at(&file, &mut bufs, Some(0), IoFlags::empty()).unwrap(), Some(11));
    assert_eq!((&head, &rest[..8]), (b"aab", &b"cdeabcde"[..]));
    for offset in [u64::MAX, 1 << 63] {
        assert_eq!(code(write_vectored_at(&file, &parts, Some(offset), IoFlags::empty())), Some(libc::EINVAL));
        assert_eq!(code(try_read_at(&file, &mut head, offset)), Some(libc::EINVAL));
    }
    let unknown = IoFlags::from_bits_retain(1 << 30);
    assert_eq!(code(write_vectored_at(&file, &parts, Some(0), unknown)), Some(libc::EOPNOTSUPP));

    let (reader, writer) = becket_sys::pipe::pair().unwrap();
    assert_eq!(code(try_read_at(&reader, &mut head, 0)), Some(libc::ESPIPE));
    let mut bufs = [IoSliceMut::new(&mut head)];
    match read_vectored_at(&reader, &mut bufs, None, IoFlags::NOWAIT) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            println!("SKIP: several_buffers_and_flags_go_with_one_call: pipes with NOWAIT need Linux 6.4");
            return;
        }
        got => assert_eq!(got.unwrap(), None),
    }
    writer.try_write(b"xyz").unwrap();
    assert_eq!(read_vectored_at(&reader, &mut bufs, None, IoFlags::NOWAIT).unwrap(), Some(3));
}

#[test]
fn room_and_holes_are_seen_where_they_are() {
    const BLOCK: u64 = 1 << 16; // a multiple of every file system's
    let dir = Dir::new();
    let mut file = dir.file("a", &vec![b'x'; 4 * BLOCK as usize]);
    match allocate(&file, Allocate::Hole, BLOCK..2 * BLOCK) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            println!("SKIP: room_and_holes_are_seen_where_they_are: no holes on this file system");
            return;
        }
        made => made.unwrap(),
    }
    assert_eq!(file.metadata().unwrap().len(), 4 * BLOCK);
    file.seek(io::SeekFrom::Start(7)).unwrap();
    let ranges = data_ranges(&file).unwrap();
    assert_eq!(file.stream_position().unwrap(), 7, "put back");
    if ranges.len() == 1 {
        println!("SKIP: room_and_holes_are_seen_where_they_are: this file system does not tell of holes");
    } else {
        assert_eq!(ranges, [0..BLOCK, 2 * BLOCK..4 * BLOCK]);
        assert_eq!(next_data(&file, BLOCK).unwrap(), Some(2 * BLOCK));
        assert_eq!(next_hole(&file, 3 * BLOCK).unwrap(), Some(4 * BLOCK), "the end counts as one");
    }
    assert_eq!((next_data(&file, 4 * BLOCK).unwrap(), next_hole(&file, 4 * BLOCK).unwrap()), (None, None));
    let mut byte = [1];
    file.read_exact_at(&mut byte, BLOCK).unwrap();
    assert_eq!(byte, [0]);

    allocate(&file, Allocate::Room, 5 * BLOCK..6 * BLOCK).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6 * BLOCK);
    allocate(&file, Allocate::RoomBeyondEnd, 6 * BLOCK..7 * BLOCK).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6 * BLOCK);
    let sure = |what, range| match allocate(&file, what, range) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            println!("SKIP: room_and_holes_are_seen_where_they_are: {what:?} is not to be had here");
            false
        }
        done => done.map(|()| true).unwrap(),
    };
    if sure(Allocate::Zeros, 0..10) {
        file.read_exact_at(&mut byte, 9).unwrap();
        assert_eq!(byte, [0]);
    }
    if sure(Allocate::Collapse, BLOCK..2 * BLOCK) {
        assert_eq!(file.metadata().unwrap().len(), 5 * BLOCK);
        assert!(sure(Allocate::Insert, BLOCK..2 * BLOCK));
        assert_eq!(file.metadata().unwrap().len(), 6 * BLOCK);
        assert_eq!(code(allocate(&file, Allocate::Collapse, 1..2)), Some(libc::EINVAL));
    }
    assert_eq!(code(allocate(&file, Allocate::Hole, 5..5)), Some(libc::EINVAL));
    assert_eq!(code(allocate(File::open(dir.path("a")).unwrap(), Allocate::Room, 0..1)), Some(libc::EBADF));

    let empty = dir.file("empty", b"");
    assert_eq!(data_ranges(&empty).unwrap(), []);
    assert!(data_ranges(becket_sys::pipe::pair().unwrap().0).is_err());
}

#[test]
fn copies_stay_within_the_kernel_and_end_at_the_end() {
    let dir = Dir::new();
    let (mut from, mut to) = (dir.file("from", b"0123456789"), dir.file("to", b""));
    let (mut read, mut written) = (5, 2);
    assert_eq!(copy_range(&from, Some(&mut read), &to, Some(&mut written), 100).unwrap(), 5);
    assert_eq!((read, written), (10, 7));
    assert_eq!(copy_range(&from, Some(&mut read), &to, None, 100).unwrap(), 0, "the end");
    from.rewind().unwrap();
    to.rewind().unwrap();
    assert_eq!(copy_range(&from, None, &to, None, 2).unwrap(), 2);
    assert_eq!((from.stream_position().unwrap(), to.stream_position().unwrap()), (2, 2));
    let mut text = Vec::new();
    to.rewind().unwrap();
    to.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"0156789");
    assert_eq!(code(copy_range(&from, Some(&mut 0), &from, Some(&mut 1), 5)), Some(libc::EINVAL), "an overlap");
    let append = File::options().append(true).open(dir.path("to")).unwrap();
    assert_eq!(code(copy_range(&from, Some(&mut 0), &append, None, 5)), Some(libc::EBADF));
}

#[test]
fn the_mount_and_attributes_are_told() {
    let proc = stat(File::open("/proc").unwrap()).unwrap();
    let dir = Dir::new();
    let here = stat(dir.file("a", b"")).unwrap();
    let Some(mount) = here.mount else {
        println!("SKIP: the_mount_and_attributes_are_told: numbers of mounts need Linux 5.8");
        return;
    };
    assert_ne!(proc.mount, Some(mount));
    assert_eq!(stat(File::open(&dir.0).unwrap()).unwrap().mount, Some(mount));
    if let (Some(unique), Some(proc)) = (here.unique_mount, proc.unique_mount) {
        assert!(unique != proc && unique > i32::MAX as u64, "{unique}: no number of the other kind");
    }
    assert!(!proc.known.contains(Attributes::MOUNT_ROOT) || proc.attributes.contains(Attributes::MOUNT_ROOT));
    assert!(!here.attributes.intersects(Attributes::MOUNT_ROOT | Attributes::IMMUTABLE));
    if let Some((memory, offset)) = here.direct_io {
        assert!(memory == 0 || memory.is_power_of_two(), "{memory} {offset}");
    }
    assert!(stat(becket_sys::pipe::pair().unwrap().0).is_ok(), "of any kind");
}
