//! Names, directories, whole files: as by `std::fs`, while other fibers run.

mod common;

use becket_fiber::{File, Runtime, fs, is_cancelled, scope, sleep, spawn, timeout, with_ctx, yield_now};
use common::{HOUR, each_backend, kind, settle};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// An empty directory, which goes with all that is in it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("becket-fiber-fs-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` in a fiber on each backend.
fn in_fiber(test: impl Fn(&Dir) -> io::Result<()>) {
    each_backend(|rt| rt.run(|| test(&Dir::new())).unwrap().unwrap());
}

#[test]
fn whole_files() {
    in_fiber(|dir| {
        let path = dir.at("a");
        assert_eq!(kind(fs::read(&path)), Some(ErrorKind::NotFound));
        fs::write(&path, vec![7; 300_000])?;
        assert!(fs::read(&path)? == vec![7; 300_000]);
        fs::write(&path, "short")?;
        assert_eq!(fs::read_to_string(&path)?, "short");
        fs::write(&path, [0xff])?;
        assert_eq!(kind(fs::read_to_string(&path)), Some(ErrorKind::InvalidData));
        // Its size is zero, and there is something in it all the same.
        assert!(fs::read_to_string("/proc/self/status")?.starts_with("Name:"));
        assert_eq!(kind(fs::read("a\0b")), Some(ErrorKind::InvalidInput));
        Ok(())
    });
}

#[test]
fn copies_have_content_and_permissions() {
    in_fiber(|dir| {
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(dir.at("from"), &content)?;
        fs::set_permissions(dir.at("from"), fs::Permissions::from_mode(0o640))?;
        fs::write(dir.at("to"), vec![1; 4_000_000])?;
        assert_eq!(fs::copy(dir.at("from"), dir.at("to"))?, content.len() as u64);
        assert!(fs::read(dir.at("to"))? == content);
        assert_eq!(fs::metadata(dir.at("to"))?.mode() & 0o777, 0o640);

        fs::write(dir.at("empty"), "")?;
        assert_eq!(fs::copy(dir.at("empty"), dir.at("to"))?, 0);
        assert_eq!(fs::metadata(dir.at("to"))?.len(), 0);
        // What says that it is empty is read all the same, and from another file system.
        assert!(fs::copy("/proc/self/status", dir.at("status"))? > 100);
        assert!(fs::read_to_string(dir.at("status"))?.starts_with("Name:"));
        assert_eq!(kind(fs::copy(&dir.0, dir.at("to"))), Some(ErrorKind::InvalidInput));
        Ok(())
    });
}

#[test]
fn names_come_and_go() {
    in_fiber(|dir| {
        fs::create_dir(dir.at("a"))?;
        assert_eq!(kind(fs::create_dir(dir.at("a"))), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind(fs::create_dir(dir.at("b/c"))), Some(ErrorKind::NotFound));
        fs::create_dir_all(dir.at("b/c"))?;
        fs::create_dir_with(dir.at("private"), 0o700)?;
        assert_eq!(fs::metadata(dir.at("private"))?.mode() & 0o777, 0o700);
        fs::write(dir.at("b/c/text"), "text")?;
        fs::hard_link(dir.at("b/c/text"), dir.at("hard"))?;
        fs::symlink("b/c/text", dir.at("soft"))?;
        assert_eq!(fs::read_link(dir.at("soft"))?, PathBuf::from("b/c/text"));
        assert!(fs::symlink_metadata(dir.at("soft"))?.is_symlink());
        assert_eq!(fs::metadata(dir.at("soft"))?.ino(), fs::metadata(dir.at("hard"))?.ino());
        assert_eq!(fs::canonicalize(dir.at("soft"))?, std::fs::canonicalize(dir.at("b/c/text"))?);
        fs::rename(dir.at("hard"), dir.at("moved"))?;
        assert!(fs::exists(dir.at("moved"))? && !fs::exists(dir.at("hard"))?);
        assert_eq!(kind(fs::remove_dir(dir.at("b"))), Some(ErrorKind::DirectoryNotEmpty));
        assert_eq!(kind(fs::remove_file(dir.at("hard"))), Some(ErrorKind::NotFound));
        fs::remove_file(dir.at("moved"))?;
        fs::remove_dir(dir.at("a"))?;
        fs::remove_dir_all(dir.at("b"))?;
        assert_eq!(kind(fs::read(dir.at("soft"))), Some(ErrorKind::NotFound));
        Ok(())
    });
}

#[test]
fn directories_of_any_size() {
    in_fiber(|dir| {
        assert!(fs::read_dir(&dir.0)?.next().is_none());
        let names: BTreeSet<String> = (0..1000).map(|n| format!("file-{n}")).collect();
        names.iter().try_for_each(|name| std::fs::write(dir.at(name), name))?;
        fs::create_dir(dir.at("dir"))?;
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(&dir.0)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(entry.path(), dir.at(&name));
            assert_eq!(entry.file_type()?.is_dir(), name == "dir");
            if name.ends_with("99") {
                assert_eq!(entry.metadata()?.len(), name.len() as u64);
            }
            assert!(entry.ino() > 0);
            seen.insert(name);
        }
        assert!(seen.remove("dir"));
        assert_eq!(seen, names);
        assert_eq!(kind(fs::read_dir(dir.at("nothing"))), Some(ErrorKind::NotFound));
        assert_eq!(kind(fs::read_dir(dir.at("file-1"))), Some(ErrorKind::NotADirectory));
        Ok(())
    });
}

#[test]
fn a_cancelled_fiber_begins_nothing_and_ends_between_batches() {
    in_fiber(|dir| {
        let path = dir.at("never");
        (0..500).try_for_each(|n| std::fs::write(dir.at(&n.to_string()), ""))?;
        let (p, d) = (path.clone(), dir.0.clone());
        let sleeps = Rc::new(Cell::new(false));
        let will_sleep = sleeps.clone();
        let fiber = spawn(move || {
            let mut entries = fs::read_dir(d)?;
            entries.next().unwrap()?;
            will_sleep.set(true);
            assert!(is_cancelled(&sleep(HOUR).unwrap_err()));
            assert!(is_cancelled(&fs::write(p, "x").unwrap_err()));
            assert!(is_cancelled(&entries.find_map(Result::err).unwrap()));
            Ok::<_, io::Error>(())
        })?;
        while !sleeps.get() {
            sleep(Duration::from_millis(1))?;
        }
        fiber.cancel();
        fiber.join()??;
        assert!(!std::fs::exists(path)?);
        Ok(())
    });
}

#[test]
fn times_permissions_and_vectors_of_a_file() {
    in_fiber(|dir| {
        let file = File::options().read(true).write(true).create_new(true).open(dir.at("a"))?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(then)?;
        let metadata = file.metadata()?;
        assert_eq!((metadata.mode() & 0o777, metadata.modified()?), (0o600, then));

        assert_eq!((&file).write_vectored(&[IoSlice::new(b"head: "), IoSlice::new(b"text")])?, 10);
        (&file).rewind()?;
        let (mut a, mut b) = ([0; 6], [0; 8]);
        let n = (&file).read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)])?;
        assert_eq!((n, &a, &b[..4]), (10, b"head: ", &b"text"[..]));
        assert_eq!((&file).read_vectored(&mut [])?, 0);
        Ok(())
    });
}

#[test]
fn what_is_in_memory_is_read_without_a_trip_and_the_position_stays_right() {
    in_fiber(|dir| {
        std::fs::write(dir.at("a"), (0..=255_u8).cycle().take(100_000).collect::<Vec<_>>())?;
        let file = File::open(dir.at("a"))?;
        scope(|s| {
            // Many at once, on the spot or not: every byte goes to one of them.
            let readers: Vec<_> = (0..8)
                .map(|_| {
                    s.spawn(|| {
                        let mut sum = 0_u64;
                        let mut buf = [0; 997];
                        loop {
                            match (&file).read(&mut buf)? {
                                0 => return Ok::<_, io::Error>(sum),
                                n => sum += buf[..n].iter().map(|b| u64::from(*b)).sum::<u64>(),
                            }
                            yield_now();
                        }
                    })
                })
                .collect::<Result<_, _>>()?;
            let mut sum = 0;
            for reader in readers {
                sum += reader.join()??;
            }
            assert_eq!(sum, (0..=255_u64).cycle().take(100_000).sum());
            Ok::<_, io::Error>(())
        })?;
        assert_eq!((&file).stream_position()?, 100_000);
        let mut two = [0; 2];
        file.read_exact_at(&mut two, 255)?;
        assert_eq!(two, [255, 0]);
        (&file).seek(SeekFrom::Start(3))?;
        (&file).read_exact(&mut two)?;
        assert_eq!(two, [3, 4]);
        Ok(())
    });
}

#[test]
fn locks_are_waited_for() {
    in_fiber(|dir| {
        let (a, b) = (File::create(dir.at("lock"))?, File::open(dir.at("lock"))?);
        a.lock_shared()?;
        b.try_lock_shared().map_err(io::Error::from)?;
        b.unlock()?;
        assert!(matches!(b.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        assert_eq!(kind(timeout(Duration::from_millis(5), || b.lock())), Some(ErrorKind::TimedOut));
        let waiting = spawn(move || b.lock().map(|()| b))?;
        settle();
        assert!(!waiting.is_finished());
        drop(a);
        let b = waiting.join()??;
        let again = File::open(dir.at("lock"))?;
        let waiting = spawn(move || again.lock())?;
        settle();
        waiting.cancel();
        assert!(is_cancelled(&waiting.join()?.unwrap_err()));
        drop(b);
        Ok(())
    });
}

#[test]
fn a_callback_is_refused() {
    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        let expected = Some(ErrorKind::Deadlock);
        let seen = with_ctx(|_| [kind(fs::read("/proc/self/status")), kind(fs::read_dir("/")), kind(fs::exists("/"))]);
        assert_eq!(seen.unwrap(), [expected; 3]);
    })
    .unwrap();
}

#[test]
fn options_open_as_those_of_std_do() {
    in_fiber(|dir| {
        for set in 0..1 << 7 {
            let has = |bit: u32| set & 1 << bit != 0;
            let (mut ours, mut stds) = (File::options(), std::fs::OpenOptions::new());
            ours.read(has(0)).write(has(1)).append(has(2)).truncate(has(3)).create(has(4)).create_new(has(5));
            stds.read(has(0)).write(has(1)).append(has(2)).truncate(has(3)).create(has(4)).create_new(has(5));
            ours.mode(0o640);
            std::os::unix::fs::OpenOptionsExt::mode(&mut stds, 0o640);
            let opened = |name: &str, open: &dyn Fn(&PathBuf) -> io::Result<File>| {
                let path = dir.at(name);
                let _ = std::fs::remove_file(&path);
                if has(6) {
                    std::fs::write(&path, "four")?;
                }
                let file = open(&path)?;
                let flags = rustix::fs::fcntl_getfl(&file)?;
                let close_on_exec = rustix::io::fcntl_getfd(&file)?;
                let metadata = std::fs::metadata(&path)?;
                Ok::<_, io::Error>((flags, close_on_exec, metadata.len(), metadata.permissions().mode()))
            };
            let by_ours = opened("ours", &|path| ours.open(path));
            let by_stds = opened("stds", &|path| Ok(stds.open(path)?.into()));
            let by_conversion = opened("both", &|path| fs::OpenOptions::from(stds.clone()).open(path));
            for other in [&by_ours, &by_conversion] {
                match (other, &by_stds) {
                    (Ok(other), Ok(stds)) => assert_eq!(other, stds, "{set:#b}"),
                    (Err(other), Err(stds)) => {
                        assert_eq!((other.kind(), other.raw_os_error()), (stds.kind(), stds.raw_os_error()), "{set:#b}")
                    }
                    (other, stds) => panic!("{set:#b}: {other:?}, {stds:?}"),
                }
            }
        }
        Ok(())
    });
}

#[test]
fn what_cannot_be_done_to_a_name_fails_as_by_std() {
    in_fiber(|dir| {
        let at = |name: &str| dir.at(name);
        fs::create_dir(at("dir"))?;
        fs::write(at("dir/file"), "x")?;
        fs::symlink("nowhere", at("link"))?;
        let same = |ours: io::Result<()>, stds: io::Result<()>| {
            let (ours, stds) = (ours.unwrap_err(), stds.unwrap_err());
            assert_eq!((ours.kind(), ours.raw_os_error()), (stds.kind(), stds.raw_os_error()), "{ours}, {stds}");
        };
        same(fs::rename(at("none"), at("a")), std::fs::rename(at("none"), at("a")));
        same(fs::rename(at("dir"), at("dir/file")), std::fs::rename(at("dir"), at("dir/file")));
        same(fs::remove_file(at("dir")), std::fs::remove_file(at("dir")));
        same(fs::remove_dir(at("dir")), std::fs::remove_dir(at("dir")));
        same(fs::remove_dir(at("dir/file")), std::fs::remove_dir(at("dir/file")));
        same(fs::create_dir(at("dir")), std::fs::create_dir(at("dir")));
        same(fs::create_dir(at("none/dir")), std::fs::create_dir(at("none/dir")));
        same(fs::hard_link(at("none"), at("a")), std::fs::hard_link(at("none"), at("a")));
        same(fs::hard_link(at("dir/file"), at("link")), std::fs::hard_link(at("dir/file"), at("link")));
        same(fs::symlink("x", at("link")), std::os::unix::fs::symlink("x", at("link")));
        same(fs::exists(at("dir/file/more")).map(drop), std::fs::exists(at("dir/file/more")).map(drop));
        same(File::open(at("link")).map(drop), std::fs::File::open(at("link")).map(drop));
        same(File::create(at("dir")).map(drop), std::fs::File::create(at("dir")).map(drop));
        let nul = PathBuf::from("a\0b");
        same(fs::remove_file(&nul), std::fs::remove_file(&nul));
        same(fs::rename(at("dir"), &nul), std::fs::rename(at("dir"), &nul));
        same(File::open(&nul).map(drop), std::fs::File::open(&nul).map(drop));
        assert_eq!(
            (fs::exists(at("dir/file"))?, fs::exists(at("link"))?, fs::exists(at("none"))?),
            (true, false, false)
        );
        // A hard link of a symbolic one is another name of that.
        fs::hard_link(at("link"), at("second"))?;
        assert_eq!(fs::read_link(at("second"))?, PathBuf::from("nowhere"));
        Ok(())
    });
}
