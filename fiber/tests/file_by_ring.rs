//! Files whose operations io_uring carries out, on buffers of the fiber's stack, when their fiber, or its runtime, is to
//! end.

mod common;

use becket_fiber::{File, JoinError, Runtime, is_cancelled, scope, sleep, spawn, timeout};
use becket_loop::backend::{Completions, Epoll};
use common::{Drops, kind, quiet_panic, settle};
use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// A runtime over a ring; or says why the test is skipped.
fn by_ring(test: &str) -> Option<Runtime> {
    match Epoll::with_completions(Completions::Backend) {
        Ok(epoll) => Some(Runtime::builder().backend(epoll).build().unwrap()),
        Err(e) => {
            println!("SKIP: {test}: no io_uring here: {e}");
            None
        }
    }
}

fn file(reader: PipeReader) -> File {
    File::from(OwnedFd::from(reader))
}

#[test]
fn what_waits_in_the_kernel_is_cancelled_and_moves_nothing() {
    let Some(mut rt) = by_ring("what_waits_in_the_kernel_is_cancelled_and_moves_nothing") else { return };
    rt.run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let waiting = file(reader);
        let rest = waiting.try_clone().unwrap();
        let fiber = spawn(move || {
            let mut on_the_stack = [0; 4096];
            ((&waiting).read(&mut on_the_stack), on_the_stack)
        })
        .unwrap();
        settle();
        fiber.cancel();
        let (read, on_the_stack) = fiber.join().unwrap();
        assert!(is_cancelled(&read.unwrap_err()));
        writer.write_all(b"late").unwrap();
        assert_eq!(on_the_stack, [0; 4096]);
        // A deadline, too; and what came is there for the next.
        let mut buf = [0; 9];
        assert_eq!((&rest).read(&mut buf).unwrap(), 4);
        assert_eq!(kind(timeout(Duration::from_millis(5), || (&rest).read(&mut [0]))), Some(ErrorKind::TimedOut));
    })
    .unwrap();
}

#[test]
fn an_abort_unwinds_when_the_kernel_has_let_go() {
    let Some(mut rt) = by_ring("an_abort_unwinds_when_the_kernel_has_let_go") else { return };
    rt.run(|| {
        let drops = Drops::default();
        for _ in 0..20 {
            let (reader, _writer) = pipe().unwrap();
            let witness = drops.witness();
            let fiber = spawn(move || {
                let _witness = witness;
                let _ = file(reader).read(&mut [0; 4096]);
                unreachable!("it is unwound");
            })
            .unwrap();
            settle();
            fiber.abort().unwrap();
            assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
        }
        assert_eq!(drops.count(), 20);
    })
    .unwrap();
}

#[test]
fn a_panic_in_a_scope_ends_what_its_children_wait_for() {
    let Some(mut rt) = by_ring("a_panic_in_a_scope_ends_what_its_children_wait_for") else { return };
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        rt.run(|| {
            let (reader, _writer) = pipe().unwrap();
            let (file, mut buf) = (file(reader), [0; 64]);
            scope(|s| {
                s.spawn(|| (&file).read(&mut buf)).unwrap();
                settle();
                quiet_panic()
            })
        })
    }));
    assert!(unwound.is_err());
}

#[test]
fn a_runtime_that_goes_leaves_nothing_to_the_kernel() {
    for _ in 0..20 {
        let Some(mut rt) = by_ring("a_runtime_that_goes_leaves_nothing_to_the_kernel") else { return };
        let mut writers = Vec::new();
        rt.run(|| {
            for _ in 0..50 {
                let (reader, writer) = pipe().unwrap();
                writers.push(writer);
                spawn(move || file(reader).read(&mut [0; 4096])).unwrap().detach();
            }
            settle();
        })
        .unwrap();
        drop(rt);
    }
}

#[test]
fn at_offsets_all_is_read_and_written() {
    let Some(mut rt) = by_ring("at_offsets_all_is_read_and_written") else { return };
    rt.run(|| {
        let path = std::env::temp_dir().join(format!("becket-fiber-ring-{}", std::process::id()));
        let file = File::create_new(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        scope(|s| {
            for n in 0..200_u8 {
                let file = &file;
                s.spawn(move || {
                    let at = u64::from(n) * 1000;
                    file.write_all_at(&[n; 1000], at).unwrap();
                    file.sync_data().unwrap();
                    let mut back = [0; 1000];
                    file.read_exact_at(&mut back, at).unwrap();
                    assert_eq!(back, [n; 1000]);
                })
                .unwrap();
            }
        });
        assert_eq!(kind(file.read_exact_at(&mut [0], 200_000)), Some(ErrorKind::UnexpectedEof));
    })
    .unwrap();
}

/// How many descriptors of this process are open on that file. Other tests of this program have some of their own.
fn descriptors(of: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter(|fd| fd.as_ref().is_ok_and(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path == of))).count()
}

#[test]
fn opening_what_waits_is_ended_and_a_descriptor_that_comes_all_the_same_is_closed() {
    let Some(mut rt) = by_ring("opening_what_waits_is_ended_and_a_descriptor_that_comes_all_the_same_is_closed") else {
        return;
    };
    let fifo = std::env::temp_dir().join(format!("becket-open-{}", std::process::id()));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    rt.run(|| {
        assert_eq!(kind(timeout(Duration::from_millis(5), || File::open(&fifo))), Some(ErrorKind::TimedOut));
        let begin = || {
            let fifo = fifo.clone();
            let fiber = spawn(move || File::open(fifo)).unwrap();
            sleep(Duration::from_millis(5)).unwrap();
            assert!(!fiber.is_finished());
            fiber
        };
        let fiber = begin();
        fiber.cancel();
        assert!(is_cancelled(&fiber.join().unwrap().unwrap_err()));
        // Aborted at the moment when the other end comes: whichever is first, nothing stays open.
        for delay in 0..20 {
            let fiber = begin();
            let other = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
            if delay > 10 {
                std::thread::sleep(Duration::from_micros(100));
            }
            fiber.abort().unwrap();
            assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
            drop(other);
            assert_eq!(descriptors(&fifo), 0);
        }
        // And where nobody stops it.
        let fiber = begin();
        let mut other = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let mut opened = fiber.join().unwrap().unwrap();
        other.write_all(b"came").unwrap();
        let mut bytes = [0; 4];
        opened.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"came");
    })
    .unwrap();
    std::fs::remove_file(fifo).unwrap();
}
