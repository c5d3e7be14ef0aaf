//! Operations of the backend over epoll: by io_uring, by helper threads, and by these where that is forbidden.

#![allow(unsafe_code, reason = "system calls are forbidden to a thread by hand")]

use becket_loop::backend::{Completions, Epoll};
use becket_loop::op::{Open, Read, ReadVectored, Sync, Write};
use becket_loop::{Loop, Mode, Next, Ready};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _, Seek, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const CANCELED: Option<i32> = Some(libc::ECANCELED);

/// One test at a time: some count the descriptors of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A loop whose operations go through a ring; or says why the test is skipped.
fn by_ring<S: 'static>(test: &str) -> Option<Loop<S>> {
    match Epoll::with_completions(Completions::Backend) {
        Ok(epoll) => Some(Loop::with_backend(epoll)),
        Err(e) => {
            println!("SKIP: {test}: no io_uring here: {e}");
            None
        }
    }
}

fn by_threads<S: 'static>() -> Loop<S> {
    Loop::with_backend(Epoll::with_completions(Completions::HelperThreads).unwrap())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A file without a name, of these bytes.
fn file_of(bytes: &[u8]) -> File {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("becket-uring-{}-{number}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// Has the kernel refuse a system call of this thread, and of those that it starts, with `EPERM`; or says why `test` is
/// skipped.
fn forbid(test: &str, call: libc::c_long) -> bool {
    let filter = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let program = [
        filter((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0), // the call's number
        filter((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, call as u32),
        filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: a number alone; and a program of four instructions, which the kernel copies and checks.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if !done {
        println!("SKIP: {test}: no seccomp(2) here: {}", io::Error::last_os_error());
    }
    done
}

#[test]
fn who_serves_is_told() {
    let _alone = alone();
    assert_eq!(by_threads::<()>().caps().completions, Completions::HelperThreads);
    let Some(forced) = by_ring::<()>("who_serves_is_told") else { return };
    assert_eq!(forced.caps().completions, Completions::Backend);
}

/// What [`the_environment_forces_either`] starts.
#[test]
fn says_who_serves() {
    let _alone = alone();
    match Loop::<()>::new() {
        Ok(event_loop) => {
            let caps = event_loop.caps();
            let spot = if caps.reads_on_the_spot { ", and on the spot" } else { "" };
            println!("served by {:?}{spot}", caps.completions);
        }
        Err(e) => println!("served by none: {e}"),
    }
}

#[test]
fn the_environment_forces_either() {
    let _alone = alone();
    let says = |value: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "says_who_serves", "--nocapture"])
            .env_remove("BECKET_OPS")
            .env_remove("BECKET_BACKEND");
        if let Some(value) = value {
            command.env("BECKET_OPS", value);
        }
        let output = match command.output() {
            Ok(output) => String::from_utf8(output.stdout).unwrap(),
            Err(e) => {
                println!("SKIP: the_environment_forces_either: a test program cannot start itself here: {e}");
                return None;
            }
        };
        let says = output.lines().find_map(|line| line.split_once("served by ")).map(|(_, who)| who.to_owned());
        Some(says.unwrap_or_else(|| panic!("{output}")))
    };
    let Some(by_threads) = says(Some("threads")) else { return };
    assert_eq!(by_threads, "HelperThreads");
    let says = |value| says(value).unwrap();
    if by_ring::<()>("the_environment_forces_either").is_some() {
        assert_eq!(says(Some("uring")), "Backend");
        assert_eq!(says(None), "Backend, and on the spot");
        assert_eq!(says(Some("anything")), "Backend, and on the spot");
    } else {
        assert!(says(Some("uring")).starts_with("none"));
        assert_eq!(says(None), "HelperThreads, and on the spot");
    }
}

/// A loop that is left its choice, with a ring that has been in use; or says why the test is skipped.
fn by_choice(test: &str) -> Option<Loop<Log>> {
    by_ring::<()>(test)?;
    let mut event_loop = Loop::with_backend(Epoll::new().unwrap());
    event_loop.submit(Sync::data(file_of(b"")), |_, _, end| Ok(end.0?));
    event_loop.run(&mut Log::new()).unwrap();
    Some(event_loop)
}

type Log = Vec<String>;

fn note(log: &mut Log, end: io::Result<Vec<u8>>) {
    log.push(match end {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(e) => format!("{:?}", e.raw_os_error()),
    });
}

fn read_into(event_loop: &mut becket_loop::Ctx<Log>, file: &Rc<File>, buf: Vec<u8>, at: u64) {
    event_loop.submit(Read::new(Rc::clone(file), buf, Some(at)), |log, _, end| {
        note(log, end.filled());
        Ok(())
    });
}

/// Whether a read of what was just written can be made without waiting, by this kernel and on this file system.
fn is_read_at_once(file: &File) -> bool {
    matches!(becket_sys::file::try_read_at(file, &mut [0; 2], 0), Ok(Some(2)))
}

/// Where the ring takes nothing, what is answered was read on the spot.
#[test]
fn few_reads_of_what_is_in_memory_are_made_on_the_spot_and_others_are_not() {
    let _alone = alone();
    std::thread::spawn(|| {
        let test = "few_reads_of_what_is_in_memory_are_made_on_the_spot_and_others_are_not";
        let file = Rc::new(file_of(b"abcdef"));
        let Some(mut event_loop) = by_choice(test) else { return };
        if !is_read_at_once(&file) {
            return println!("SKIP: {test}: reads that do not wait are not offered here");
        }
        if !forbid(test, libc::SYS_io_uring_enter) {
            return;
        }
        let mut log = Log::new();
        // One that is answered in the turn after, by itself and from within a callback.
        read_into(&mut event_loop, &file, vec![0; 2], 1);
        assert!(log.is_empty());
        event_loop.turn(&mut log, None).unwrap();
        assert_eq!(log, ["bc"]);
        let shared = Rc::clone(&file);
        event_loop.after(Duration::ZERO, move |log, ctx| {
            read_into(ctx, &shared, vec![0; 2], 3);
            log.push("submitted".into());
            Ok(())
        });
        event_loop.run(&mut log).unwrap();
        assert_eq!(log[1..], ["submitted", "de"]);
        // Up to the end of the file, at the end, and nothing at all.
        for (len, at, what) in [(4096, 4, "ef"), (8, 6, ""), (0, 0, ""), (4096, 0, "abcdef")] {
            log.clear();
            read_into(&mut event_loop, &file, vec![0; len], at);
            event_loop.run(&mut log).unwrap();
            assert_eq!(log, [what]);
        }
        // Four of a turn at most.
        log.clear();
        (0..6).for_each(|at| read_into(&mut event_loop, &file, vec![0; 1], at));
        event_loop.turn(&mut log, None).unwrap();
        assert_eq!(log, ["a", "b", "c", "d", "Some(1)", "Some(1)"]);
    })
    .join()
    .unwrap();
}

/// Memory as a device asks for it: as it comes, one block in 32 is so.
fn aligned() -> Vec<u8> {
    let bufs: Vec<Vec<u8>> = (0..256).map(|_| vec![0; 4096]).collect();
    bufs.into_iter().find(|buf| buf.as_ptr().addr().is_multiple_of(512)).unwrap_or_else(|| {
        println!("SKIP: what_may_wait_is_not_tried_on_the_spot: direct: no memory is where a device wants it");
        vec![0; 4096]
    })
}

/// Each of them goes to the ring, which takes nothing any more; in a loop of its own, as that is given up.
#[test]
fn what_may_wait_is_not_tried_on_the_spot() {
    let _alone = alone();
    type Submit = fn(&mut Loop<Log>, &Rc<File>);
    let after_another: Submit = |event_loop, file| {
        event_loop.submit(Write::new(Rc::clone(file), b"xy".to_vec(), Some(0)), |_, _, _| Ok(()));
        read_into(event_loop, file, vec![0; 2], 0);
    };
    let long: Submit = |event_loop, file| read_into(event_loop, file, vec![0; 64 * 1024 + 1], 0);
    let after_many: Submit = |event_loop, file| read_into(event_loop, file, vec![0; 1], 0);
    let direct: Submit = |event_loop, file| read_into(event_loop, file, aligned(), 0);
    for (what, submit) in
        [("after another", after_another), ("long", long), ("after many", after_many), ("direct", direct)]
    {
        std::thread::spawn(move || {
            let test = &format!("what_may_wait_is_not_tried_on_the_spot: {what}");
            let file = Rc::new(file_of(&[b'a'; 4096]));
            file.sync_all().unwrap(); // before that, none of it is the device's
            let Some(mut event_loop) = by_choice(test) else { return };
            let mut log = Log::new();
            if what == "after many" {
                (0..5).for_each(|at| read_into(&mut event_loop, &file, vec![0; 1], at));
                event_loop.run(&mut log).unwrap();
                log.clear();
            }
            if what == "direct"
                && let Err(e) = rustix::fs::fcntl_setfl(&*file, rustix::fs::OFlags::DIRECT)
            {
                return println!("SKIP: {test}: not on this file system: {e}");
            }
            if !forbid(test, libc::SYS_io_uring_enter) {
                return;
            }
            submit(&mut event_loop, &file);
            event_loop.run(&mut log).unwrap();
            assert_eq!(log, ["Some(1)"], "{what}");
        })
        .join()
        .unwrap();
    }
}

/// What was read on the spot and never told is let go of with the loop.
#[test]
fn what_was_read_on_the_spot_goes_with_the_loop() {
    let _alone = alone();
    let file = Rc::new(file_of(b"abc"));
    let mut event_loop: Loop<Log> = Loop::with_backend(Epoll::new().unwrap());
    read_into(&mut event_loop, &file, vec![0; 2], 0);
    assert_eq!(Rc::strong_count(&file), 2);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&file), 1);
}

/// A foreign loop, which waits for the set alone, is told of what was read on the spot.
#[test]
fn an_outer_loop_is_told_of_what_was_read_on_the_spot() {
    let _alone = alone();
    let file = Rc::new(file_of(b"abc"));
    let mut event_loop: Loop<Log> = Loop::with_backend(Epoll::new().unwrap());
    let embedded = event_loop.embed().unwrap();
    let mut log = Log::new();
    event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
    read_into(&mut event_loop, &file, vec![0; 2], 0);
    let soon = Some(std::time::Instant::now() + LONG);
    while log.is_empty() {
        assert!(becket_sys::wait(&embedded, Ready::READ, soon).unwrap().is_some(), "nobody told");
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(log, ["ab"]);
}

#[test]
fn where_it_is_forbidden_helper_threads_serve() {
    let _alone = alone();
    let before = open_descriptors();
    std::thread::spawn(|| {
        if !forbid("where_it_is_forbidden_helper_threads_serve", libc::SYS_io_uring_setup) {
            return;
        }
        let refused = Epoll::with_completions(Completions::Backend).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        let mut event_loop: Loop<Vec<u8>> = Loop::with_backend(Epoll::new().unwrap());
        // Vectored, for a plain one would be made on the spot.
        let read = ReadVectored::new(file_of(b"abc"), vec![vec![0; 8]], Some(1));
        event_loop.submit(read, |seen, _, end| Ok(*seen = end.filled()?.concat()));
        assert_eq!(event_loop.caps().completions, Completions::HelperThreads);
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, b"bc");
    })
    .join()
    .unwrap();
    assert_eq!(open_descriptors(), before);
}

/// A sandbox that closes after the start: what the kernel has goes on to its end, what it has not ends with the error,
/// what comes later goes to helper threads.
#[test]
fn where_it_is_forbidden_later_nothing_is_lost() {
    let _alone = alone();
    let before = open_descriptors();
    std::thread::spawn(|| {
        let test = "where_it_is_forbidden_later_nothing_is_lost";
        let Some(mut event_loop) = by_ring::<Vec<String>>(test) else { return };
        let (reader, mut writer) = pipe().unwrap();
        let note = |end: io::Result<Vec<u8>>| match end {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(e) => format!("{:?}", e.raw_os_error()),
        };
        event_loop.submit(Read::new(reader, vec![0; 8], None), move |log, _, end| Ok(log.push(note(end.filled()))));
        let mut log = Vec::new();
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();

        if !forbid(test, libc::SYS_io_uring_enter) {
            return;
        }
        let file = file_of(b"late");
        event_loop.submit(Read::new(file, vec![0; 8], Some(0)), move |log, _, end| Ok(log.push(note(end.filled()))));
        event_loop.turn(&mut log, Some(LONG)).unwrap();
        assert_eq!(log, [format!("{:?}", Some(libc::EPERM))]);
        assert_eq!(event_loop.caps().completions, Completions::HelperThreads);

        let file = file_of(b"later");
        event_loop.submit(Read::new(file, vec![0; 8], Some(0)), move |log, _, end| Ok(log.push(note(end.filled()))));
        event_loop.turn(&mut log, Some(LONG)).unwrap();
        assert_eq!(log[1..], ["later"]);
        writer.write_all(b"piped").unwrap();
        event_loop.run(&mut log).unwrap();
        assert_eq!(log[2..], ["piped"]);

        // And what is still in the kernel's hands when the loop goes is waited for.
        let (reader, writer) = pipe().unwrap();
        event_loop.submit(Read::new(reader, vec![0; 8], None), |_, _, _| Ok(()));
        let closer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(writer);
        });
        drop(event_loop);
        closer.join().unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(open_descriptors(), before);
}

/// More than the queues take, at once: every end comes, with its own bytes.
#[test]
fn more_than_the_ring_takes() {
    let _alone = alone();
    const BLOCKS: usize = 3000;
    let Some(mut event_loop) = by_ring::<usize>("more_than_the_ring_takes") else { return };
    let bytes: Vec<u8> = (0..BLOCKS as u32).flat_map(u32::to_ne_bytes).collect();
    let file = Rc::new(file_of(&bytes));
    for n in 0..BLOCKS {
        event_loop.submit(Read::new(Rc::clone(&file), vec![0; 4], Some(4 * n as u64)), move |seen, _, end| {
            assert_eq!(end.filled()?, (n as u32).to_ne_bytes());
            Ok(*seen += 1)
        });
    }
    let mut seen = 0;
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, BLOCKS);
    assert_eq!(event_loop.stats().completions, BLOCKS as u64);
}

/// So many that wait in the kernel that no room is left: they can all be cancelled, and those behind them.
#[test]
fn a_ring_full_of_what_waits_is_cancelled() {
    let _alone = alone();
    let test = "a_ring_full_of_what_waits_is_cancelled";
    for by_drop in [false, true] {
        let Some(mut event_loop) = by_ring::<usize>(test) else { return };
        let (reader, _writer) = pipe().unwrap();
        let reader = Rc::new(reader);
        let ids: Vec<_> = (0..1500)
            .map(|_| {
                event_loop.submit(Read::new(Rc::clone(&reader), vec![0; 16], None), |seen, _, end| {
                    assert_eq!((end.result.unwrap_err().raw_os_error(), end.buf), (CANCELED, vec![0; 16]));
                    Ok(*seen += 1)
                })
            })
            .collect();
        let mut seen = 0;
        event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap();
        assert_eq!(seen, 0);
        if by_drop {
            drop(event_loop);
        } else {
            assert!(ids.iter().all(|id| event_loop.cancel_op(*id)));
            event_loop.run(&mut seen).unwrap();
            assert_eq!(seen, 1500);
        }
        assert_eq!(Rc::strong_count(&reader), 1, "all are handed back");
    }
}

#[test]
fn a_read_that_waits_is_cancelled_with_its_buffer_handed_back() {
    let _alone = alone();
    let test = "a_read_that_waits_is_cancelled_with_its_buffer_handed_back";
    let Some(mut event_loop) = by_ring::<u32>(test) else { return };
    let (reader, mut writer) = pipe().unwrap();
    let buf = vec![7; 100];
    let place = buf.as_ptr().addr();
    let id = event_loop.submit(Read::new(reader, buf, None), move |ended, _, end| {
        assert_eq!(end.result.unwrap_err().raw_os_error(), CANCELED);
        assert_eq!((end.buf.as_ptr().addr(), end.buf), (place, vec![7; 100]));
        // The bytes that come later are there for the next.
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        let mut reader = end.file;
        reader.read_exact(&mut byte).unwrap();
        Ok(*ended += u32::from(byte[0] == b'x'))
    });
    let mut ended = 0;
    event_loop.turn(&mut ended, Some(Duration::from_millis(20))).unwrap();
    assert!(event_loop.cancel_op(id) && event_loop.cancel_op(id), "twice is as once");
    event_loop.run(&mut ended).unwrap();
    assert_eq!(ended, 1);
    assert!(!event_loop.cancel_op(id));
}

/// Cancelled too late: what was done is told.
#[test]
fn a_cancel_that_comes_too_late_hides_nothing() {
    let _alone = alone();
    let Some(mut event_loop) = by_ring::<Vec<u8>>("a_cancel_that_comes_too_late_hides_nothing") else { return };
    let id =
        event_loop.submit(Read::new(file_of(b"moved"), vec![0; 9], Some(0)), |seen, _, end| Ok(*seen = end.filled()?));
    let mut seen = Vec::new();
    event_loop.prepare(&mut seen).unwrap(); // it begins, and with cached bytes ends
    assert!(event_loop.cancel_op(id));
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"moved");
}

#[test]
fn the_opening_of_a_fifo_is_cancelled() {
    let _alone = alone();
    let Some(mut event_loop) = by_ring::<Option<i32>>("the_opening_of_a_fifo_is_cancelled") else { return };
    let path = std::env::temp_dir().join(format!("becket-uring-fifo-{}", std::process::id()));
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let id = event_loop.submit(Open::read(&path).unwrap(), |seen, _, opened| {
        *seen = opened.unwrap_err().raw_os_error();
        Ok(())
    });
    let mut seen = None;
    event_loop.turn(&mut seen, Some(Duration::from_millis(50))).unwrap();
    assert_eq!(seen, None);
    event_loop.cancel_op(id);
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, CANCELED);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_opened_for_a_loop_that_goes_is_closed() {
    let _alone = alone();
    let before = open_descriptors();
    for turns in 0..3 {
        for mut event_loop in
            [by_ring::<()>("what_is_opened_for_a_loop_that_goes_is_closed"), Some(by_threads())].into_iter().flatten()
        {
            for _ in 0..200 {
                event_loop.submit(Open::read("/proc/self/exe").unwrap(), |_, _, _| panic!("nobody is told"));
            }
            // Not begun; begun; found, but not told.
            if turns > 0 {
                event_loop.prepare(&mut ()).unwrap();
            }
            if turns > 1 {
                event_loop.wait(Some(std::time::Instant::now() + LONG)).unwrap();
            }
        }
        assert_eq!(open_descriptors(), before, "{turns}");
    }
}

#[test]
fn a_panic_where_an_end_is_told_loses_no_other() {
    let _alone = alone();
    let Some(mut event_loop) = by_ring::<Vec<u32>>("a_panic_where_an_end_is_told_loses_no_other") else { return };
    let file = Rc::new(file_of(b"0123456789"));
    for n in 0..10 {
        event_loop.submit(Read::new(Rc::clone(&file), vec![0; 1], Some(n)), move |seen: &mut Vec<u32>, _, end| {
            let digit = u32::from(end.filled()?[0] - b'0');
            assert!(digit != 3 && digit != 7, "on purpose");
            Ok(seen.push(digit))
        });
    }
    let (mut seen, mut panics) = (Vec::new(), 0);
    while catch_unwind(AssertUnwindSafe(|| event_loop.run(&mut seen).unwrap())).is_err() {
        panics += 1;
    }
    seen.sort_unstable();
    assert_eq!((seen, panics), (vec![0, 1, 2, 4, 5, 6, 8, 9], 2));
    drop(event_loop);
    assert_eq!(Rc::strong_count(&file), 1);
}

/// Reads that are made at the same time follow each other: each byte is read once.
#[test]
fn the_position_moves_as_by_read() {
    let _alone = alone();
    for event_loop in [by_ring("the_position_moves_as_by_read"), Some(by_threads())] {
        let Some(mut event_loop) = event_loop else { continue };
        let bytes: Vec<u8> = (0..=255).collect();
        let file = Rc::new(file_of(&bytes));
        for _ in 0..256 {
            event_loop.submit(Read::new(Rc::clone(&file), vec![0; 1], None), |seen: &mut Vec<u8>, _, end| {
                Ok(seen.extend(end.filled()?))
            });
        }
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        seen.sort_unstable();
        assert_eq!(seen, bytes);
        // At offsets it stays.
        event_loop.submit(Read::new(Rc::clone(&file), vec![0; 1], Some(0)), |seen, _, end| Ok(*seen = end.filled()?));
        event_loop.run(&mut seen).unwrap();
        assert_eq!(((&*file).stream_position().unwrap(), seen), (256, vec![0]));
    }
}

#[test]
fn ends_are_those_of_the_calls() {
    let _alone = alone();
    for event_loop in [by_ring("ends_are_those_of_the_calls"), Some(by_threads())] {
        let Some(mut event_loop) = event_loop else { continue };
        let mut log: Vec<String> = Vec::new();
        let note = |what: &'static str| {
            move |log: &mut Vec<String>, result: io::Result<usize>| {
                let told = result.map_or_else(|e| format!("error {}", e.raw_os_error().unwrap()), |n| n.to_string());
                Ok(log.push(format!("{what}: {told}")))
            }
        };
        let file = Rc::new(file_of(b"12345"));
        let reads = [("short", 3, 8), ("end", 5, 8), ("empty", 0, 0), ("own position's word", u64::MAX, 8)];
        for (what, at, len) in reads.into_iter().chain([("negative", 1 << 63, 8)]) {
            let note = note(what);
            event_loop
                .submit(Read::new(Rc::clone(&file), vec![0; len], Some(at)), move |log, _, end| note(log, end.result));
        }
        let read_only: OwnedFd = File::open("/proc/self/exe").unwrap().into();
        let n = note("not for writing");
        event_loop.submit(Write::new(read_only, vec![0], Some(0)), move |log, _, end| n(log, end.result));
        let n = note("written");
        event_loop.submit(Write::new(Rc::clone(&file), b"67".to_vec(), Some(5)), move |log, _, end| n(log, end.result));
        let (a, b) = UnixStream::pair().unwrap();
        (&b).write_all(b"sent").unwrap();
        let n = note("socket");
        event_loop.submit(Read::new(a, vec![0; 9], None), move |log, _, end| n(log, end.result));
        let n = note("socket's sync");
        event_loop.submit(Sync::all(b), move |log, _, (end, _)| n(log, end.map(|()| 0)));
        let n = note("directory");
        let directory = File::open("/").unwrap();
        event_loop.submit(Read::new(directory, vec![0; 9], Some(0)), move |log, _, end| n(log, end.result));
        event_loop.run(&mut log).unwrap();
        log.sort_unstable();
        let expected = [
            "directory: error 21",
            "empty: 0",
            "end: 0",
            "negative: error 22",
            "not for writing: error 9",
            "own position's word: error 22",
            "short: 2",
            "socket's sync: error 22",
            "socket: 4",
            "written: 2",
        ];
        assert_eq!(log, expected);
    }
}

/// A foreign loop waits: what was submitted begins all the same, and its end makes the descriptor ready.
#[test]
fn in_another_loop_operations_begin_and_are_told() {
    let _alone = alone();
    let test = "in_another_loop_operations_begin_and_are_told";
    let Some(mut inner) = by_ring::<u32>(test) else { return };
    let mut outer: Loop<()> = Loop::new().unwrap();
    let told = Rc::new(Cell::new(0));
    let embedded = inner.embed().unwrap();
    let (reader, mut writer) = pipe().unwrap();
    let seen = Rc::clone(&told);
    // Between turns; and, from its end, within one.
    inner.submit(Read::new(file_of(b"a"), vec![0; 1], Some(0)), move |_, ctx, end| {
        seen.set(1);
        ctx.submit(Read::new(end.file, vec![0; 1], Some(0)), move |_, ctx, _| {
            seen.set(2);
            ctx.submit(Read::new(reader, vec![0; 1], None), move |_, _, _| Ok(seen.set(3)));
            Ok(())
        });
        Ok(())
    });
    let mut steps = 0;
    outer
        .add(embedded, Ready::READ, Mode::Level, move |_, _, _, _| {
            inner.turn(&mut steps, Some(Duration::ZERO))?;
            Ok(Next::Keep)
        })
        .unwrap();
    while told.get() < 2 {
        assert!(outer.turn(&mut (), Some(LONG)).unwrap() > 0);
    }
    // All is at rest until the pipe has something.
    while outer.turn(&mut (), Some(Duration::from_millis(30))).unwrap() > 0 {}
    assert_eq!(told.get(), 2);
    writer.write_all(b"x").unwrap();
    while told.get() < 3 {
        assert!(outer.turn(&mut (), Some(LONG)).unwrap() > 0);
    }
}
