//! Operations on files and names: by io_uring and by helper threads the same results, errors and effects.

use becket_loop::backend::{Completions, Epoll};
use becket_loop::op::*;
use becket_loop::{Loop, RunError};
use becket_sys::file::{Allocate as Room, unnamed};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek, SeekFrom, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A loop by each of the two, one after the other; where there is no io_uring it is said that it is left out.
fn loops<S: 'static>(test: &str) -> Vec<(&'static str, Loop<S>)> {
    let mut loops = Vec::new();
    match Epoll::with_completions(Completions::Backend) {
        Ok(epoll) => loops.push(("io_uring", Loop::with_backend(epoll))),
        Err(e) => println!("SKIP: {test} by io_uring: {e}"),
    }
    let threads = Epoll::with_completions(Completions::HelperThreads).unwrap();
    loops.push(("helper threads", Loop::with_backend(threads)));
    loops
}

/// Carries out one operation, and returns its output.
fn end<O: Operation>(event_loop: &mut Loop<Option<O::Output>>, op: O) -> O::Output {
    let mut output = None;
    event_loop.submit(op, |place, _, output| Ok(*place = Some(output)));
    event_loop.run(&mut output).unwrap();
    output.unwrap()
}

/// The same, by a loop of its own of the kind of `like`.
fn once<O: Operation>(like: &str, op: O) -> O::Output {
    let completions = if like == "io_uring" { Completions::Backend } else { Completions::HelperThreads };
    end(&mut Loop::with_backend(Epoll::with_completions(completions).unwrap()), op)
}

fn code<T>(result: io::Result<T>) -> i32 {
    result.map_or_else(|e| e.raw_os_error().unwrap(), |_| 0)
}

/// A directory that goes at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("becket-files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn open(&self) -> Arc<OwnedFd> {
        Arc::new(File::open(&self.0).unwrap().into())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file_of(bytes: &[u8]) -> File {
    let file = unnamed(std::env::temp_dir()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

#[test]
fn vectored_transfers() {
    for (by, mut event_loop) in loops("vectored_transfers") {
        let file = file_of(b"0123456789");
        let end1 = end(&mut event_loop, ReadVectored::new(file, vec![vec![7; 3], vec![], vec![7; 4]], Some(1)));
        assert_eq!((end1.result.unwrap(), &end1.bufs), (7, &vec![b"123".to_vec(), vec![], b"4567".to_vec()]), "{by}");
        // A short one: buffers keep their lengths, what was not reached its bytes.
        let short = end(&mut event_loop, ReadVectored::new(end1.file, vec![vec![7; 3], vec![7; 4]], Some(8)));
        assert_eq!(
            (short.result.as_ref().unwrap(), &short.bufs[0][..], &short.bufs[1][..]),
            (&2, &b"89\x07"[..], &[7; 4][..]),
            "{by}"
        );
        let file = short.file;
        let at_end = end(&mut event_loop, ReadVectored::new(file, vec![vec![7; 3]], Some(10)));
        assert_eq!(at_end.filled().unwrap(), [vec![]], "{by}");
        // None at all, and more than the system takes.
        let none = once(by, ReadVectored::new(file_of(b"abc"), vec![], Some(0)));
        assert_eq!(none.result.unwrap(), 0, "{by}");
        let many = once(by, WriteVectored::new(file_of(b""), vec![vec![b'x']; 3000], Some(2)));
        assert_eq!((many.result.unwrap(), many.bufs.len()), (1024, 3000), "{by}");
        assert_eq!(many.file.metadata().unwrap().len(), 1026);
        // At the file's own position, from and to pipes, and with errors.
        let mut file = file_of(b"0123456789");
        file.seek(SeekFrom::Start(4)).unwrap();
        let own = once(by, ReadVectored::new(file, vec![vec![0; 1], vec![0; 2]], None));
        assert_eq!((own.bufs.concat(), (&own.file).stream_position().unwrap()), (b"456".to_vec(), 7), "{by}");
        let (reader, writer) = pipe().unwrap();
        let written = once(by, WriteVectored::new(writer, vec![b"ab".to_vec(), b"c".to_vec()], None));
        assert_eq!(written.result.unwrap(), 3, "{by}");
        let read = once(by, ReadVectored::new(reader, vec![vec![0; 2], vec![0; 2]], None));
        assert_eq!(read.filled().unwrap(), [b"ab".to_vec(), b"c".to_vec()], "{by}");
        let read_only = File::open("/proc/self/exe").unwrap();
        assert_eq!(code(once(by, WriteVectored::new(read_only, vec![vec![0]], Some(0))).result), libc::EBADF, "{by}");
        for at in [u64::MAX, 1 << 63] {
            assert_eq!(code(once(by, ReadVectored::new(file_of(b"a"), vec![vec![0]], Some(at))).result), libc::EINVAL);
        }
    }
}

#[test]
fn metadata_is_that_of_std() {
    let dir = Dir::new("metadata");
    fs::write(dir.path("file"), "12345").unwrap();
    fs::set_permissions(dir.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("file", dir.path("link")).unwrap();
    for (by, mut event_loop) in loops("metadata_is_that_of_std") {
        let same = |ours: &Metadata, path: &Path| {
            let std = fs::symlink_metadata(path).unwrap();
            assert_eq!((ours.len(), ours.mode(), ours.ino()), (std.len(), std.mode(), std.ino()), "{by}");
            assert_eq!((ours.dev(), ours.rdev(), ours.nlink()), (std.dev(), std.rdev(), std.nlink()), "{by}");
            assert_eq!((ours.uid(), ours.gid()), (std.uid(), std.gid()), "{by}");
            assert_eq!((ours.blocks(), ours.blksize()), (std.blocks(), std.blksize()), "{by}");
            assert_eq!((ours.modified(), ours.accessed()), (std.modified().unwrap(), std.accessed().unwrap()), "{by}");
            assert_eq!(ours.created(), std.created().ok(), "{by}");
            let changed = Duration::new(std.ctime() as u64, std.ctime_nsec() as u32);
            assert_eq!(ours.changed().duration_since(std::time::UNIX_EPOCH).unwrap(), changed, "{by}");
            assert_eq!(
                (ours.is_file(), ours.is_dir(), ours.is_symlink()),
                (std.is_file(), std.is_dir(), std.is_symlink())
            );
        };
        same(&end(&mut event_loop, Stat::path(dir.path("link")).unwrap()).unwrap(), &dir.path("file"));
        same(&end(&mut event_loop, Stat::link(dir.path("link")).unwrap()).unwrap(), &dir.path("link"));
        same(&end(&mut event_loop, Stat::path("file").unwrap().at(dir.open())).unwrap(), &dir.path("file"));
        same(&end(&mut event_loop, Stat::path("/dev/null").unwrap()).unwrap(), Path::new("/dev/null"));
        let (metadata, _file) = once(by, StatFile::new(File::open(dir.path("file")).unwrap()));
        same(&metadata.unwrap(), &dir.path("file"));
        assert_eq!(code(end(&mut event_loop, Stat::path(dir.path("missing")).unwrap())), libc::ENOENT, "{by}");
        assert_eq!(code(end(&mut event_loop, Stat::path(dir.path("file/below")).unwrap())), libc::ENOTDIR, "{by}");
    }
}

#[test]
fn names_come_and_go() {
    for (by, _) in loops::<()>("names_come_and_go") {
        let dir = Dir::new("names");
        let at = dir.open();
        // Each kind by a path, and from a directory.
        let umask = 0o777 & !(0o7777 & fs::metadata(&dir.0).unwrap().mode());
        once(by, MakeDir::new(dir.path("a"), 0o777).unwrap()).unwrap();
        once(by, MakeDir::new("b", 0o700).unwrap().at(at.clone())).unwrap();
        let modes = ["a", "b"].map(|name| fs::metadata(dir.path(name)).unwrap().mode() & 0o7777);
        assert_eq!(modes, [0o777 & !umask, 0o700], "{by}");
        assert_eq!(code(once(by, MakeDir::new(dir.path("a"), 0).unwrap())), libc::EEXIST, "{by}");

        fs::write(dir.path("a/file"), "one").unwrap();
        once(by, Link::hard(dir.path("a/file"), dir.path("b/same")).unwrap()).unwrap();
        once(by, Link::hard("a/file", "b/too").unwrap().from_at(at.clone()).at(at.clone())).unwrap();
        assert_eq!(fs::metadata(dir.path("b/same")).unwrap().nlink(), 3, "{by}");
        assert_eq!(code(once(by, Link::hard(dir.path("a"), dir.path("c")).unwrap())), libc::EPERM, "{by}");
        once(by, Link::symbolic("../a/file", "b/link").unwrap().at(at.clone())).unwrap();
        assert_eq!(fs::read(dir.path("b/link")).unwrap(), b"one", "{by}");
        assert_eq!(code(once(by, Link::symbolic("x", dir.path("b/link")).unwrap())), libc::EEXIST, "{by}");

        fs::write(dir.path("other"), "two").unwrap();
        let rename = |from: &str, to: &str| Rename::new(dir.path(from), dir.path(to)).unwrap();
        assert_eq!(code(once(by, rename("other", "b/same").keep_target())), libc::EEXIST, "{by}");
        once(by, rename("other", "b/same").exchange()).unwrap();
        assert_eq!(
            (fs::read(dir.path("other")).unwrap(), fs::read(dir.path("b/same")).unwrap()),
            (b"one".into(), b"two".into())
        );
        once(by, Rename::new("other", "b/same").unwrap().at(at.clone(), at.clone())).unwrap();
        assert_eq!(fs::read(dir.path("b/same")).unwrap(), b"one", "{by}");
        assert_eq!(code(once(by, rename("other", "x"))), libc::ENOENT, "{by}");

        assert_eq!(code(once(by, Unlink::dir(dir.path("b")).unwrap())), libc::ENOTEMPTY, "{by}");
        assert_eq!(code(once(by, Unlink::file(dir.path("b")).unwrap())), libc::EISDIR, "{by}");
        assert_eq!(code(once(by, Unlink::dir(dir.path("b/same")).unwrap())), libc::ENOTDIR, "{by}");
        for name in ["b/same", "b/too", "b/link"] {
            once(by, Unlink::file(name).unwrap().at(at.clone())).unwrap();
        }
        once(by, Unlink::dir(dir.path("b")).unwrap()).unwrap();
        assert!(!dir.path("b").exists(), "{by}");
        assert_eq!(code(once(by, Unlink::file(dir.path("b")).unwrap())), libc::ENOENT, "{by}");

        let mut names: Vec<_> =
            once(by, read_dir(&dir.0)).unwrap().unwrap().iter().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a"], "{by}");
        assert_eq!(code(once(by, read_dir(dir.path("b"))).unwrap()), libc::ENOENT, "{by}");
    }
    assert_eq!(MakeDir::new("a\0b", 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(Rename::new("a", "a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn files_are_opened_as_by_std() {
    for (by, mut event_loop) in loops("files_are_opened_as_by_std") {
        let dir = Dir::new("open");
        let at = dir.open();
        let mut open = |options: &OpenOptions, name: &str| {
            end(&mut event_loop, options.open(name).unwrap().at(at.clone())).map(File::from)
        };
        let mut file = open(OpenOptions::new().write(true).create_new(true).mode(0o600), "a").unwrap();
        file.write_all(b"12345").unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{by}");
        assert_eq!(code(open(OpenOptions::new().write(true).create_new(true), "a")), libc::EEXIST, "{by}");
        let mut file = open(OpenOptions::new().read(true).append(true), "a").unwrap();
        file.write_all(b"6").unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "123456", "{by}");
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::APPEND), "{by}");
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC), "{by}");
        open(OpenOptions::new().write(true).truncate(true), "a").unwrap();
        assert_eq!(fs::metadata(dir.path("a")).unwrap().len(), 0, "{by}");
        assert_eq!(code(open(OpenOptions::new().read(true), "b")), libc::ENOENT, "{by}");
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
        std::os::unix::fs::symlink("a", dir.path("link")).unwrap();
        assert_eq!(code(open(OpenOptions::new().read(true).custom_flags(no_follow), "link")), libc::ELOOP, "{by}");

        let mut resolve =
            |name: &str, bound| code(end(&mut event_loop, Open::read(name).unwrap().at(at.clone()).resolve(bound)));
        assert_eq!(resolve("a", Resolve::BENEATH | Resolve::NO_SYMLINKS), 0, "{by}");
        assert_eq!(resolve("link", Resolve::BENEATH | Resolve::NO_SYMLINKS), libc::ELOOP, "{by}");
        assert_eq!(resolve("../x", Resolve::BENEATH), libc::EXDEV, "{by}");
        assert_eq!(resolve("/a", Resolve::IN_ROOT), 0, "{by}");
        assert_eq!(resolve("a", Resolve::from_bits_retain(1 << 40)), libc::EINVAL, "{by}");
    }
    // What std refuses is refused.
    let refused: [fn(&mut OpenOptions) -> &mut OpenOptions; 4] = [
        |options| options,
        |options| options.read(true).truncate(true),
        |options| options.read(true).create(true),
        |options| options.append(true).truncate(true),
    ];
    for set in refused {
        let mut options = OpenOptions::new();
        assert_eq!(set(&mut options).open("/x").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn room_and_length() {
    for (by, _) in loops::<()>("room_and_length") {
        let (result, file) = once(by, SetLen::new(file_of(b"12345"), 3));
        result.unwrap();
        let (result, file) = once(by, SetLen::new(file, 8));
        result.unwrap();
        let mut bytes = [1; 8];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"123\0\0\0\0\0", "{by}");
        let (result, file) = once(by, SetLen::new(file, u64::MAX));
        assert_eq!(code(result), libc::EINVAL, "{by}");
        let read_only = File::open("/proc/self/exe").unwrap();
        assert_eq!(code(once(by, SetLen::new(read_only, 0)).0), libc::EINVAL, "{by}");

        let (result, file) = once(by, Allocate::new(file, Room::Room, 0..10_000));
        if code(result) == libc::EOPNOTSUPP {
            println!("SKIP: room_and_length: no fallocate(2) in {}", std::env::temp_dir().display());
            continue;
        }
        assert_eq!(file.metadata().unwrap().len(), 10_000, "{by}");
        let (result, file) = once(by, Allocate::new(file, Room::RoomBeyondEnd, 10_000..20_000));
        result.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_000, "{by}");
        for range in [5..5, u64::MAX - 1..u64::MAX] {
            let (result, _) = once(by, Allocate::new(file_of(b"a"), Room::Room, range));
            assert_eq!(code(result), libc::EINVAL, "{by}");
        }
        let (_reader, writer) = pipe().unwrap();
        assert_eq!(code(once(by, Allocate::new(writer, Room::Room, 0..1)).0), libc::ESPIPE, "{by}");
    }
}

#[test]
fn advice_is_taken() {
    use becket_sys::file::{Advice, try_read_at};
    for (by, mut event_loop) in loops("advice_is_taken") {
        let file = file_of(&[7; 1 << 16]);
        file.sync_all().unwrap();
        let cached = |file: &File| matches!(try_read_at(file, &mut [0; 4096], 4096), Ok(Some(4096)));
        let can_tell = cached(&file);
        let (result, file) = end(&mut event_loop, Advise::new(file, Advice::DontNeed, 0..u64::MAX));
        assert_eq!(code(result), 0, "{by}");
        if can_tell && cached(&file) {
            println!("SKIP: advice_is_taken: whether it has an effect: this file system keeps everything in memory");
        }
        for (range, answer) in [(0..4096, 0), (0..5 << 30, 0), (1 << 40..u64::MAX, 0), (8..8, libc::EINVAL)] {
            let (result, _) = once(by, Advise::new(file.try_clone().unwrap(), Advice::Sequential, range.clone()));
            assert_eq!(code(result), answer, "{range:?} by {by}");
        }
        let (reader, _writer) = pipe().unwrap();
        assert_eq!(code(once(by, Advise::new(reader, Advice::WillNeed, 0..1)).0), libc::ESPIPE);
        let (result, file) = once(by, Advise::new(Rc::new(file), Advice::Random, 1..2));
        assert_eq!((code(result), Rc::strong_count(&file)), (0, 1));
    }
}

#[test]
fn bytes_are_carried_within_the_kernel() {
    for (by, _) in loops::<()>("bytes_are_carried_within_the_kernel") {
        let (reader, writer) = pipe().unwrap();
        let mut file = file_of(b"0123456789");
        // At an offset the position stays; without one it moves.
        let moved = once(by, Carry::splice(file, Some(2), writer, None, 3));
        assert_eq!((moved.result.unwrap(), (&moved.from).stream_position().unwrap()), (3, 0), "{by}");
        file = moved.from;
        file.seek(SeekFrom::Start(8)).unwrap();
        let moved = once(by, Carry::splice(file, None, moved.to, None, 100));
        assert_eq!((moved.result.unwrap(), (&moved.from).stream_position().unwrap()), (2, 10), "{by}");
        let moved = once(by, Carry::splice(moved.from, None, moved.to, None, 100));
        assert_eq!(moved.result.unwrap(), 0, "{by}: the end");
        let into = once(by, Carry::splice(reader, None, file_of(b"......"), Some(1), 100));
        assert_eq!(into.result.unwrap(), 5, "{by}");
        let mut bytes = [0; 6];
        into.to.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b".23489", "{by}");
        // An offset of a pipe; neither is a pipe; offsets that are none.
        let wrong = once(by, Carry::splice(into.from, Some(0), into.to, Some(0), 1));
        assert_eq!(code(wrong.result), libc::ESPIPE, "{by}");
        let wrong = once(by, Carry::splice(file_of(b"a"), Some(0), file_of(b""), Some(0), 1));
        assert_eq!(code(wrong.result), libc::EINVAL, "{by}");
        let (_reader, writer) = pipe().unwrap();
        let wrong = once(by, Carry::splice(file_of(b"a"), Some(u64::MAX), writer, None, 1));
        assert_eq!(code(wrong.result), libc::EINVAL, "{by}");

        let copied = once(by, Carry::copy_range(file_of(b"0123456789"), Some(8), file_of(b""), Some(1), 100));
        assert_eq!((copied.result.unwrap(), copied.to.metadata().unwrap().len()), (2, 3), "{by}");
        let (_reader, writer) = pipe().unwrap();
        assert_eq!(code(once(by, Carry::copy_range(file_of(b"a"), Some(0), writer, None, 1)).result), libc::EINVAL);
    }
}

#[test]
fn a_close_tells_and_always_closes() {
    for (by, mut event_loop) in loops::<Vec<i32>>("a_close_tells_and_always_closes") {
        let (mut reader, writer) = pipe().unwrap();
        once(by, Close::new(writer)).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "{by}: the end");

        // Cancelled while all helper threads are busy; and with the loop dropped.
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let (started, starts) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let (gate, started) = (gate.clone(), started.clone());
            let call = Call::new(move || {
                started.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            });
            event_loop.submit(call, |_, _, _| Ok(()));
        }
        (0..4).for_each(|_| starts.recv().unwrap());
        let (mut reader, writer) = pipe().unwrap();
        let id = event_loop.submit(Close::new(writer), |log, _, result| Ok(log.push(code(result))));
        assert!(event_loop.cancel_op(id), "{by}");
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "{by}");
        let mut log = Vec::new();
        event_loop.turn(&mut log, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(log, [libc::ECANCELED], "{by}");
        let (mut reader, writer) = pipe().unwrap();
        event_loop.submit(Close::new(writer), |_, _, _| Ok(()));
        drop(release);
        drop(event_loop);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "{by}");
    }
}

/// All kinds at once, cancelled at once, before they begin and while they are under way, and dropped with the loop:
/// each ends once, and hands back or frees what it owns.
#[test]
fn all_kinds_are_cancelled_and_dropped() {
    let dir = Dir::new("cancel");
    fs::write(dir.path("file"), "12345").unwrap();
    for step in 0..4 {
        for (by, mut event_loop) in loops::<usize>("all_kinds_are_cancelled_and_dropped") {
            let at = dir.open();
            let file = Rc::new(File::options().read(true).write(true).open(dir.path("file")).unwrap());
            let mut ids = Vec::new();
            let mut go = |kind: usize, event_loop: &mut Loop<usize>| {
                fn tell<T>(ended: &mut usize, _: &mut becket_loop::Ctx<usize>, _: T) -> becket_loop::Result<()> {
                    *ended += 1;
                    Ok(())
                }
                let (file, name) = (Rc::clone(&file), format!("new{kind}"));
                ids.push(match kind % 12 {
                    0 => event_loop.submit(ReadVectored::new(file, vec![vec![0; 9]; 3], Some(0)), tell),
                    1 => event_loop.submit(WriteVectored::new(file, vec![vec![0; 9]; 3], Some(0)), tell),
                    2 => event_loop.submit(SetLen::new(file, 9), tell),
                    3 => event_loop.submit(Allocate::new(file, Room::Room, 0..9), tell),
                    4 => event_loop.submit(Carry::copy_range(Rc::clone(&file), Some(0), file, Some(100), 2), tell),
                    5 => event_loop.submit(Stat::path("file").unwrap().at(at.clone()), tell),
                    6 => event_loop.submit(StatFile::new(file), tell),
                    7 => event_loop.submit(Unlink::file("missing").unwrap().at(at.clone()), tell),
                    8 => event_loop.submit(MakeDir::new(name, 0o700).unwrap().at(at.clone()), tell),
                    9 => event_loop.submit(Link::symbolic("file", name).unwrap().at(at.clone()), tell),
                    10 => event_loop.submit(Open::read("file").unwrap().at(at.clone()), tell),
                    _ => event_loop.submit(Close::new(File::open("/dev/null").unwrap()), tell),
                });
            };
            (0..240).for_each(|kind| go(kind, &mut event_loop));
            let mut ended = 0;
            if step > 1 {
                event_loop.turn(&mut ended, Some(Duration::ZERO)).unwrap();
            }
            if step % 2 == 0 {
                ids.iter().for_each(|id| assert!(event_loop.cancel_op(*id) || step > 1));
                event_loop.run(&mut ended).unwrap();
                assert_eq!(ended, 240, "{by}, step {step}");
            }
            drop(event_loop);
            assert_eq!((Rc::strong_count(&file), Arc::strong_count(&at)), (1, 1), "{by}, step {step}");
        }
    }
    drop(dir);
}

/// A splice that waits for a pipe, by io_uring: it is cancelled, and has moved nothing.
#[test]
fn a_splice_that_waits_is_cancelled() -> Result<(), RunError> {
    for (by, mut event_loop) in loops::<Option<i32>>("a_splice_that_waits_is_cancelled") {
        if by != "io_uring" {
            continue; // a helper thread waits to the end
        }
        let ((reader, mut writer), (mut far, into)) = (pipe()?, pipe()?);
        let kept = Rc::new(RefCell::new(None));
        let place = Rc::clone(&kept);
        let id = event_loop.submit(Carry::splice(reader, None, into, None, 10), move |seen, _, end| {
            *seen = Some(code(end.result));
            *place.borrow_mut() = Some((end.from, end.to));
            Ok(())
        });
        let mut seen = None;
        event_loop.turn(&mut seen, Some(Duration::from_millis(50)))?;
        assert_eq!(seen, None);
        assert!(event_loop.cancel_op(id));
        event_loop.run(&mut seen)?;
        assert_eq!(seen, Some(libc::ECANCELED));
        let (mut reader, into) = kept.take().unwrap();
        drop(into);
        assert_eq!(far.read(&mut [0])?, 0);
        writer.write_all(b"x")?;
        assert_eq!(reader.read(&mut [0])?, 1);
    }
    Ok(())
}
