//! Files, read and written while other fibers run.

mod common;

use becket_fiber::{File, Runtime, deadline, is_cancelled, scope, shield, spawn, with_ctx};
use common::{each_backend, kind};
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// A path of its own, whose file goes with it.
struct Path(PathBuf);

impl Path {
    fn new() -> Path {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Path(std::env::temp_dir().join(format!("becket-fiber-file-{}-{n}", std::process::id())))
    }
}

impl AsRef<std::path::Path> for Path {
    fn as_ref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_is_written_and_read_back() {
    each_backend(|rt| {
        rt.run(|| {
            let path = Path::new();
            let mut file = File::create_new(&path)?;
            assert_eq!(kind(File::create_new(&path)), Some(ErrorKind::AlreadyExists));
            file.write_all(b"one\ntwo\nthree\n")?;
            file.sync_data()?;
            file.sync_all()?;
            assert_eq!(file.stream_position()?, 14);
            assert_eq!(file.metadata()?.len(), 14);
            assert_eq!(file.read(&mut [0; 8])?, 0);

            file.rewind()?;
            let lines: Vec<String> = BufReader::new(&file).lines().collect::<Result<_, _>>()?;
            assert_eq!(lines, ["one", "two", "three"]);

            assert_eq!(file.seek(SeekFrom::End(-6))?, 8);
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            assert_eq!(text, "three\n");
            assert_eq!(kind(file.seek(SeekFrom::Current(-100))), Some(ErrorKind::InvalidInput));

            file.set_len(3)?;
            assert_eq!(std::fs::read(&path)?, b"one");
            drop(File::create(&path)?);
            assert_eq!(file.metadata()?.len(), 0);
            Ok::<_, io::Error>(())
        })
        .unwrap()
        .unwrap();
    });
}

#[test]
fn offsets_of_the_callers_own_leave_the_position() {
    each_backend(|rt| {
        rt.run(|| {
            let path = Path::new();
            let mut file = File::create_new(&path)?;
            file.write_all(b"0123456789")?;
            file.seek(SeekFrom::Start(2))?;
            file.write_all_at(b"xyz", 7)?;
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, 5)?;
            assert_eq!(&bytes, b"56xy");
            assert_eq!(kind(file.read_exact_at(&mut bytes, 8)), Some(ErrorKind::UnexpectedEof));
            assert_eq!(file.stream_position()?, 2);

            let mut twin = file.try_clone()?;
            twin.seek(SeekFrom::Start(9))?;
            assert_eq!(file.read(&mut bytes)?, 1);
            assert_eq!(bytes[0], b'z');
            Ok::<_, io::Error>(())
        })
        .unwrap()
        .unwrap();
    });
}

#[test]
fn appending_keeps_what_others_have_appended() {
    each_backend(|rt| {
        rt.run(|| {
            let path = Path::new();
            let options = OpenOptions::new().append(true).create(true).clone();
            let (mut a, mut b) = (File::open_with(&options, &path)?, File::open_with(&options, &path)?);
            a.write_all(b"a")?;
            b.write_all(b"bb")?;
            a.write_all(b"ccc")?;
            assert_eq!(a.stream_position()?, 6);
            assert_eq!(std::fs::read(&path)?, b"abbccc");
            Ok::<_, io::Error>(())
        })
        .unwrap()
        .unwrap();
    });
}

#[test]
fn errors_keep_their_code() {
    each_backend(|rt| {
        rt.run(|| {
            let e = File::open("/does/not/exist").unwrap_err();
            assert_eq!(e.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()));
            let mut file = File::open("/proc/self/exe").unwrap();
            let e = file.write(b"x").unwrap_err();
            assert_eq!(e.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
            assert_eq!(kind(file.set_len(0)), Some(ErrorKind::InvalidInput));
            assert_eq!(kind(File::open("with\0zero")), Some(ErrorKind::InvalidInput));
        })
        .unwrap();
    });
}

#[test]
fn fibers_that_write_through_one_file_lose_nothing() {
    each_backend(|rt| {
        rt.run(|| {
            let path = Path::new();
            let file = File::create(&path)?;
            scope(|s| {
                for fiber in 0..10u8 {
                    let file = &file;
                    s.spawn(move || (0..20).try_for_each(|_| (&*file).write_all(&[b'a' + fiber; 100])))?;
                }
                Ok::<_, io::Error>(())
            })?;
            let all = std::fs::read(&path)?;
            assert_eq!(all.len(), 10 * 20 * 100);
            assert!(all.chunks(100).all(|record| record.iter().all(|b| *b == record[0])));
            Ok::<_, io::Error>(())
        })
        .unwrap()
        .unwrap();
    });
}

#[test]
fn a_shield_lets_a_cancelled_fiber_put_its_file_in_order() {
    each_backend(|rt| {
        rt.run(|| {
            let path = Path::new();
            let mut file = File::create(&path).unwrap();
            let fiber = spawn(move || {
                let refused = file.write_all(b"lost").unwrap_err();
                shield(|| file.write_all(b"kept").and_then(|()| file.sync_all())).unwrap();
                refused
            })
            .unwrap();
            fiber.cancel();
            assert!(is_cancelled(&fiber.join().unwrap()));
            assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        })
        .unwrap();
    });
}

#[test]
fn a_plain_thread_blocks_and_a_callback_is_refused() {
    let path = Path::new();
    let mut file = File::create_new(&path).unwrap();
    file.write_all(b"plain").unwrap();
    file.rewind().unwrap();
    assert_eq!(io::read_to_string(&file).unwrap(), "plain");
    let late = deadline(Instant::now(), || (kind(file.metadata()), kind((&file).write(b"x"))));
    assert_eq!(late, (Some(ErrorKind::TimedOut), Some(ErrorKind::TimedOut)));

    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        let refused = with_ctx(|_| (kind((&file).read(&mut [0])), kind(File::open(&path)), kind(file.sync_all())));
        let expected = Some(ErrorKind::Deadlock);
        assert_eq!(refused.unwrap(), (expected, expected, expected));
    })
    .unwrap();
}

#[test]
fn files_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<File>();
}
