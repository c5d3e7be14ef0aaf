//! What only the backend over io_uring has, and what it must not have.

#![cfg(feature = "uring")]
#![allow(unsafe_code, reason = "one test closes a descriptor behind the loop's back")]

use becket_loop::backend::Uring;
use becket_loop::op::Read as ReadOp;
use becket_loop::{Ctx, Loop, Mode, Next, Plain, Ready};
use becket_sys::event::Event;
use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// A loop over io_uring; or says why the test is skipped.
fn by_uring<S: 'static>(test: &str) -> Option<Loop<S>> {
    match Uring::new() {
        Ok(uring) => Some(Loop::with_backend(uring)),
        Err(e) => {
            println!("SKIP: {test}: no io_uring here: {e}");
            None
        }
    }
}

/// As it is at first; and with the ring that it has inside another loop, and before Linux 6.1.
fn each_ring<S: 'static>(test: &str, body: impl Fn(Loop<S>)) {
    for exposed in [false, true] {
        let Some(mut event_loop) = by_uring(test) else { return };
        if exposed {
            event_loop.embed().unwrap();
        }
        body(event_loop);
    }
}

/// Whether what was at the other end of `peer` is closed.
fn is_closed(mut peer: &UnixStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    matches!(peer.read(&mut [0]), Ok(0))
}

/// The time for which this thread had a processor.
fn busy() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// The kernel has the file of a poll open: no poll may outlive the registration.
#[test]
fn what_leaves_is_let_go_of_at_once() {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot] {
        each_ring("what_leaves_is_let_go_of_at_once", |mut event_loop: Loop<()>| {
            let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
            let (near, far): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let add = |ctx: &mut Loop<()>, near| ctx.add(near, Ready::READ, mode, |_, _, _, _| Ok(Next::Keep)).unwrap();
            let ids: Vec<_> = near.into_iter().map(|near| add(&mut event_loop, near)).collect();
            event_loop.turn(&mut (), Some(Duration::ZERO)).unwrap(); // the kernel has them
            assert!(event_loop.cancel(ids[0]));
            assert!(is_closed(&far[0]), "{mode:?}");
            drop(event_loop.remove(ids[1]));
            assert!(is_closed(&far[1]), "{mode:?}");
            assert!(!is_closed(&far[2]));
            drop(event_loop);
            assert!(is_closed(&far[2]), "{mode:?}");
        });
    }
}

/// The kernel looks for RDHUP whether it is asked to or not. That lasts, and must not keep the loop busy, nor hide what
/// was asked for.
#[test]
fn what_nobody_asked_for_ends_no_wait() {
    for mode in [Mode::Level, Mode::OneShot] {
        each_ring("what_nobody_asked_for_ends_no_wait", |mut event_loop: Loop<u32>| {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            far.set_nonblocking(true).unwrap();
            while near.write(&[0; 4096]).is_ok() {}
            far.shutdown(Shutdown::Write).unwrap();
            let call = |n: &mut u32, _: &mut Ctx<u32>, _: &UnixStream, ready: Ready| {
                assert_eq!(ready, Ready::WRITE);
                *n += 1;
                Ok(Next::Keep)
            };
            let id = event_loop.add(near, Ready::WRITE, mode, call).unwrap();
            let (mut n, start, before) = (0, Instant::now(), busy());
            event_loop.turn(&mut n, Some(Duration::from_millis(300))).unwrap();
            assert!(start.elapsed() >= Duration::from_millis(300) && n == 0);
            assert!(busy() - before < Duration::from_millis(150), "{mode:?}: it was busy for {:?}", busy() - before);
            while far.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
            for expected in 1..4 {
                event_loop.turn(&mut n, Some(LONG)).unwrap();
                assert_eq!(n, expected, "{mode:?}");
                event_loop.enable(id, true);
            }
        });
    }
}

#[test]
fn a_regular_file_is_always_ready() {
    each_ring("a_regular_file_is_always_ready", |mut event_loop: Loop<Vec<Mode>>| {
        assert!(event_loop.caps().regular_files);
        for (mode, want) in [(Mode::Level, Ready::READ), (Mode::Edge, Ready::READ), (Mode::OneShot, Ready::PRI)] {
            let call = move |seen: &mut Vec<Mode>, _: &mut Ctx<Vec<Mode>>, _: &File, _: Ready| {
                seen.push(mode);
                Ok(Next::Keep)
            };
            event_loop.add(File::open("/proc/self/exe").unwrap(), want, mode, call).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap();
        }
        let count = |mode| seen.iter().filter(|m| **m == mode).count();
        assert_eq!((count(Mode::Level), count(Mode::Edge), count(Mode::OneShot)), (3, 1, 0));
    });
}

#[test]
fn a_number_that_is_not_open_is_told_of_once() {
    fn note(seen: &mut Vec<u32>, _: &mut Ctx<Vec<u32>>, _: u64, ready: Ready) -> Next {
        seen.push(ready.bits());
        Next::Keep
    }
    let Some(mut event_loop) = by_uring::<Vec<u32>>("a_number_that_is_not_open_is_told_of_once") else { return };
    let event = OwnedFd::from(Event::new().unwrap());
    // A number that no other test of this process gets meanwhile.
    let event = rustix::io::fcntl_dupfd_cloexec(event, 900).unwrap();
    // SAFETY: it does not stay open, which is what is tested: the kernel is given a number that means nothing.
    unsafe { event_loop.add_borrowed(event.as_fd(), Ready::READ, Mode::Level, Plain { call: note, data: 0 }) }.unwrap();
    drop(event);
    let mut seen = Vec::new();
    for _ in 0..3 {
        event_loop.turn(&mut seen, Some(Duration::from_millis(5))).unwrap();
    }
    assert_eq!(seen, [0x20]); // POLLNVAL
}

/// More than the kernel keeps for us, several times over: nothing is lost, edges included, nor what ends beside.
#[test]
fn more_events_than_the_queue_holds() {
    const N: usize = 6000;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let test = "more_events_than_the_queue_holds";
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot] {
        each_ring(test, |mut event_loop: Loop<Vec<u32>>| {
            let events: Result<Vec<_>, _> = (0..N).map(|_| Event::new().map(Rc::new)).collect();
            let Ok(events) = events else { return println!("SKIP: {test}: a process may have too few descriptors") };
            let mut ids = Vec::new();
            for (n, event) in events.iter().enumerate() {
                let call = move |seen: &mut Vec<u32>, _: &mut Ctx<Vec<u32>>, event: &Rc<Event>, _: Ready| {
                    seen[n] += 1;
                    event.try_read()?;
                    Ok(Next::Keep)
                };
                ids.push(event_loop.add(Rc::clone(event), Ready::READ, mode, call).unwrap());
            }
            let mut seen = vec![0; N];
            event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap();
            assert!(seen.iter().all(|n| *n == 0));
            for round in 1..4 {
                let (reader, mut writer) = pipe().unwrap();
                event_loop.submit(ReadOp::new(reader, vec![0; 8], None), |_, ctx, end| {
                    assert_eq!(end.filled()?, b"beside");
                    Ok(ctx.exit(0))
                });
                event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap(); // it is under way
                for event in &events {
                    event.add(1).unwrap();
                }
                writer.write_all(b"beside").unwrap();
                event_loop.run(&mut seen).unwrap();
                while event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap() > 0 {}
                assert!(seen.iter().all(|n| *n >= round), "{mode:?}, {round}: {:?}", seen.iter().min());
                assert!(mode != Mode::OneShot || seen.iter().all(|n| *n == round), "{round}: {:?}", seen.iter().max());
                ids.iter().for_each(|id| assert!(event_loop.enable(*id, true)));
            }
        });
    }
}

#[test]
fn in_another_loop_edges_are_told_and_operations_are_finished_first() {
    let test = "in_another_loop_edges_are_told_and_operations_are_finished_first";
    let Some(mut inner) = by_uring::<u32>(test) else { return };
    let (reader, mut writer) = pipe().unwrap();
    inner.submit(ReadOp::new(reader, vec![0; 1], None), |_, _, _| Ok(()));
    let mut n = 0;
    inner.turn(&mut n, Some(Duration::ZERO)).unwrap();
    // Only a ring that defers its work, as newer kernels have, has to be exchanged.
    if let Err(e) = inner.embed() {
        assert_eq!(e.kind(), std::io::ErrorKind::ResourceBusy, "{e}");
        writer.write_all(b"x").unwrap();
        while inner.sources().any(|s| s.kind == becket_loop::SourceKind::Operation) {
            inner.turn(&mut n, Some(LONG)).unwrap();
        }
    }
    let (near, mut far) = UnixStream::pair().unwrap();
    inner
        .add(near, Ready::READ, Mode::Edge, |n, _, _, _| {
            *n += 1;
            Ok(Next::Keep)
        })
        .unwrap();
    far.write_all(b"before").unwrap();
    let embedded = inner.embed().unwrap();
    for expected in 1..3 {
        let ready = becket_sys::wait(&embedded, Ready::READ, Some(Instant::now() + LONG)).unwrap();
        assert!(ready.is_some());
        while inner.turn(&mut n, Some(Duration::ZERO)).unwrap() > 0 {}
        assert_eq!(n, expected);
        far.write_all(b"after").unwrap();
    }
}
