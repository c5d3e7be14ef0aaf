//! Operations on files that are under way when their fiber, or its runtime, is to end.

mod common;

use becket_fiber::{
    File, JoinError, Ready, deadline, is_cancelled, scope, sleep_until, spawn, timeout, unblock, yield_now,
};
use common::{Drops, each_backend, each_builder, kind, quiet_panic, settle};
use std::cell::Cell;
use std::io::{ErrorKind, PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes where it works.
const LONG: Duration = Duration::from_secs(30);
/// More than the pipe of [`slow`] holds: a write of it begins, and waits for a reader. It fits on the stack of a fiber.
const TOO_MUCH: usize = 20_000;

/// A file whose writes of [`TOO_MUCH`] take until somebody reads.
fn slow() -> (PipeReader, File) {
    let (reader, writer) = pipe().unwrap();
    let writer = becket_sys::pipe::Writer::from(OwnedFd::from(writer));
    assert!(writer.set_capacity(4096).unwrap() < TOO_MUCH);
    (reader, File::from(OwnedFd::from(writer)))
}

fn has_begun(reader: &PipeReader) -> bool {
    becket_sys::wait(reader, Ready::READ, Some(Instant::now())).unwrap().is_some()
}

fn until_begun(reader: &PipeReader) {
    while !has_begun(reader) {
        yield_now();
    }
}

/// Reads all of a write of sevens, on a thread of its own, after the loop has had some time to give up too early.
fn drain(mut reader: PipeReader) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        becket_sys::wait(&reader, Ready::READ, Some(Instant::now() + LONG)).unwrap();
        thread::sleep(Duration::from_millis(30));
        // Not to the end: a fiber that is left behind never closes its file.
        let mut all = vec![0; TOO_MUCH];
        reader.read_exact(&mut all).unwrap();
        all.iter().filter(|b| **b == 7).count()
    })
}

#[test]
fn others_run_while_a_file_is_slow_and_a_cancel_lets_it_end() {
    each_backend(|rt| {
        rt.run(|| {
            let (mut reader, file) = slow();
            let writer = spawn(move || {
                let on_the_stack = [7; TOO_MUCH];
                ((&file).write(&on_the_stack), (&file).write(&on_the_stack))
            })
            .unwrap();
            until_begun(&reader);
            writer.cancel();
            settle();
            assert!(!writer.is_finished());
            let mut all = vec![0; TOO_MUCH];
            reader.read_exact(&mut all).unwrap();
            let (begun, next) = writer.join().unwrap();
            assert_eq!(begun.unwrap(), TOO_MUCH); // what was done is told
            assert!(is_cancelled(&next.unwrap_err()));
            assert_eq!(reader.read(&mut all).unwrap(), 0); // and the next one never began
        })
        .unwrap();
    });
}

#[test]
fn an_abort_unwinds_when_the_operation_has_ended() {
    each_backend(|rt| {
        rt.run(|| {
            let (reader, file) = slow();
            let drops = Drops::default();
            let witness = drops.witness();
            let writer = spawn(move || {
                let on_the_stack = [7; TOO_MUCH];
                let _witness = witness;
                let _ = (&file).write(&on_the_stack);
            })
            .unwrap();
            until_begun(&reader);
            writer.abort().unwrap();
            settle();
            assert_eq!(drops.count(), 0);
            let drained = drain(reader);
            assert!(matches!(writer.join(), Err(JoinError::Cancelled)));
            assert_eq!((drops.count(), drained.join().unwrap()), (1, TOO_MUCH));
        })
        .unwrap();
    });
}

#[test]
fn a_deadline_lets_what_has_begun_end() {
    each_backend(|rt| {
        rt.run(|| {
            let (mut reader, file) = slow();
            let at = Instant::now() + Duration::from_millis(500);
            let writer = spawn(move || deadline(at, || (&file).write(&[7; TOO_MUCH][..]))).unwrap();
            until_begun(&reader);
            sleep_until(at + Duration::from_millis(10)).unwrap();
            assert!(!writer.is_finished());
            reader.read_exact(&mut vec![0; TOO_MUCH]).unwrap();
            assert_eq!(writer.join().unwrap().unwrap(), TOO_MUCH);
        })
        .unwrap();
    });
}

#[test]
fn what_has_not_begun_never_does() {
    each_backend(|rt| {
        rt.run(|| {
            let path = std::env::temp_dir().join(format!("becket-fiber-never-{}", std::process::id()));
            // More than there are helper threads.
            let blockers: Vec<_> = (0..16)
                .map(|_| {
                    let (mut reader, writer) = pipe().unwrap();
                    (spawn(move || unblock(move || reader.read(&mut [0]))).unwrap(), writer)
                })
                .collect();
            settle();
            // By options of std's, on a helper thread.
            let create =
                |path: &std::path::Path| File::open_with(std::fs::OpenOptions::new().write(true).create(true), path);
            let p = path.clone();
            let creator = spawn(move || create(&p)).unwrap();
            settle();
            creator.cancel();
            assert!(is_cancelled(&creator.join().unwrap().unwrap_err()));
            let late = timeout(Duration::from_millis(5), || create(&path));
            assert_eq!(kind(late), Some(ErrorKind::TimedOut));
            for (fiber, writer) in blockers {
                drop(writer);
                assert_eq!(fiber.join().unwrap().unwrap().unwrap(), 0);
            }
            assert_eq!(kind(std::fs::metadata(&path)), Some(ErrorKind::NotFound));
        })
        .unwrap();
    });
}

#[test]
fn rule_07_a_panic_in_a_scope_waits_for_the_file_that_a_child_borrows() {
    each_backend(|rt| {
        let drained = Rc::new(Cell::new(None));
        let d = drained.clone();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            rt.run(move || {
                let (reader, file) = slow();
                let all = vec![7; TOO_MUCH];
                let ended = Cell::new(0);
                struct Last<'a>(&'a Cell<usize>);
                impl Drop for Last<'_> {
                    fn drop(&mut self) {
                        assert_eq!(self.0.get(), TOO_MUCH);
                    }
                }
                let _last = Last(&ended);
                scope(|s| {
                    s.spawn(|| ended.set({ &file }.write(&all).unwrap())).unwrap();
                    until_begun(&reader);
                    d.set(Some(drain(reader)));
                    quiet_panic()
                })
            })
        }));
        assert!(unwound.is_err());
        assert_eq!(drained.take().unwrap().join().unwrap(), TOO_MUCH);
    });
}

#[test]
fn a_runtime_dropped_with_files_in_flight_waits_for_them() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let written = Rc::new(Cell::new(0));
        let drained: Vec<_> = rt
            .run(|| {
                let drained = (0..3).map(|_| {
                    let (reader, file) = slow();
                    let w = written.clone();
                    spawn(move || {
                        let on_the_stack = [7; TOO_MUCH];
                        let n = { &file }.write(&on_the_stack).unwrap();
                        w.set(w.get() + n);
                    })
                    .unwrap();
                    until_begun(&reader);
                    drain(reader)
                });
                drained.collect()
            })
            .unwrap();
        drop(rt);
        assert_eq!(written.get(), 3 * TOO_MUCH);
        assert!(drained.into_iter().all(|d| d.join().unwrap() == TOO_MUCH));
    });
}

#[test]
fn a_runtime_dropped_while_unwinding_frees_nothing_that_a_file_uses() {
    each_builder(|builder| {
        let drained = Rc::new(Cell::new(None));
        let d = drained.clone();
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let mut rt = builder.build().unwrap();
            rt.run(|| {
                let (reader, file) = slow();
                spawn(move || {
                    let on_the_stack = [7; TOO_MUCH]; // freed memory would not read as this
                    { &file }.write_all(&on_the_stack).unwrap();
                })
                .unwrap();
                until_begun(&reader);
                d.set(Some(drain(reader)));
            })
            .unwrap();
            quiet_panic();
        }));
        assert!(unwound.is_err());
        assert_eq!(drained.take().unwrap().join().unwrap(), TOO_MUCH);
    });
}
