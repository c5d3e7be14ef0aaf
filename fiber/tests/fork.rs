//! A runtime in a child that fork(2) made. Without a harness: a process that forks has one thread.

mod common;

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Io, is_cancelled, shield, sleep, spawn};
use common::{Drops, HOUR, settle};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TESTS: &[(&str, fn())] = &[
    ("a_child_is_refused_and_ends_no_fiber", a_child_is_refused_and_ends_no_fiber),
    ("after_fork_both_go_on", after_fork_both_go_on),
    ("a_fiber_that_forks_is_cancelled_in_the_child", a_fiber_that_forks_is_cancelled_in_the_child),
];

fn main() {
    common::run(TESTS);
}

/// Calls `f` in a child, and waits for that to end well.
#[allow(unsafe_code, reason = "forks a process of one thread")]
fn in_a_child(f: impl FnOnce()) {
    // SAFETY: there is one thread, so that no lock is held by one that is not there.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        // SAFETY: nothing of the parent's is to be run here.
        unsafe { libc::_exit(ended.is_err().into()) };
    }
    let mut status = 0;
    // SAFETY: the status is ours, for the time of the call.
    let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!((ended, status), (pid, 0), "the child failed");
}

fn a_child_is_refused_and_ends_no_fiber() {
    common::each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let drops = Drops::default();
        let witness = drops.witness();
        rt.run(|| {
            let far = Io::new(far).unwrap();
            spawn(move || {
                let _witness = witness;
                let e = sleep(HOUR).unwrap_err();
                assert!(is_cancelled(&e));
                shield(|| (&far).write_all(b"goodbye")).unwrap();
            })
            .unwrap();
            settle();
        })
        .unwrap();
        let mut copy = Some(rt);
        in_a_child(|| {
            let mut rt = copy.take().unwrap();
            let mut called = false;
            assert_eq!(rt.run(|| called = true).unwrap_err().raw_os_error(), Some(libc::ECHILD));
            assert_eq!(rt.turn(None).unwrap_err().raw_os_error(), Some(libc::ECHILD));
            assert_eq!(rt.embed().unwrap_err().raw_os_error(), Some(libc::ECHILD));
            assert!(!called);
            assert!(rt.shutdown().unwrap_err().to_string().contains("waits: sleep"));
            assert_eq!(drops.count(), 0);
        });
        near.set_nonblocking(true).unwrap();
        assert!(near.read(&mut [0; 8]).is_err(), "the child said goodbye for its parent");
        drop(copy);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), drops.count()), ("goodbye", 1));
    });
}

fn after_fork_both_go_on() {
    common::each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let fiber = rt
            .run(|| {
                let near = Io::new(near).unwrap();
                let fiber = spawn(move || {
                    let mut byte = [0];
                    (&near).read_exact(&mut byte).unwrap();
                    sleep(Duration::from_millis(1)).unwrap();
                    byte[0]
                });
                settle();
                fiber.unwrap()
            })
            .unwrap();
        let mut copy = Some((rt, fiber));
        in_a_child(|| {
            let (mut rt, fiber) = copy.take().unwrap();
            rt.after_fork().unwrap();
            rt.after_fork().unwrap();
            far.write_all(b"c").unwrap(); // what the two share, one of them reads
            assert_eq!(rt.run(|| fiber.join().unwrap()).unwrap(), b'c');
            // New things work, and are let go of.
            rt.run(|| {
                let listener = TcpListener::bind(([127, 0, 0, 1], 0)).unwrap();
                let addr = listener.local_addr().unwrap();
                let server = spawn(move || listener.accept().unwrap().0.read(&mut [0; 8]).unwrap()).unwrap();
                TcpStream::connect_addr(addr).unwrap().write_all(b"four").unwrap();
                assert_eq!(server.join().unwrap(), 4);
            })
            .unwrap();
            rt.shutdown().unwrap();
        });
        let (mut rt, fiber) = copy.unwrap();
        far.write_all(b"p").unwrap();
        assert_eq!(rt.run(|| fiber.join().unwrap()).unwrap(), b'p', "the child has taken the registration along");
    });
}

fn a_fiber_that_forks_is_cancelled_in_the_child() {
    common::each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let mut is_child = false;
        let run = rt.run(|| {
            #[allow(unsafe_code, reason = "forks a process of one thread")]
            // SAFETY: as in `in_a_child`.
            let pid = unsafe { libc::fork() };
            is_child = pid == 0;
            let slept = sleep(Duration::from_millis(5));
            (pid, slept)
        });
        if is_child {
            let refused = run.is_err_and(|e| e.raw_os_error() == Some(libc::ECHILD));
            let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(rt)));
            #[allow(unsafe_code, reason = "ends a child")]
            // SAFETY: nothing of the parent's is to be run here.
            unsafe {
                libc::_exit((!refused || dropped.is_err()).into())
            };
        }
        let (pid, slept) = run.unwrap();
        slept.unwrap();
        let mut status = 0;
        #[allow(unsafe_code, reason = "waits for a child")]
        // SAFETY: the status is ours, for the time of the call.
        let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!((ended, status), (pid, 0));
    });
}
