//! Fibers spawned from other threads.

mod common;

use becket_fiber::{JoinError, Runtime, is_cancelled, sleep, spawn, timeout};
use common::{HOUR, each_backend, each_builder};
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

#[test]
fn rule_08_results_and_panics_reach_the_other_thread() {
    each_backend(|rt| {
        let remote = rt.remote();
        let other = thread::spawn(move || {
            let sum: u64 = (0..100).map(|i| remote.spawn(move || i).unwrap().join().unwrap()).sum();
            let panicked = remote.spawn(|| -> u8 { common::quiet_panic() }).unwrap().join();
            assert!(matches!(panicked, Err(JoinError::Panicked(_))));
            let sleeper = remote.spawn(|| sleep(HOUR)).unwrap();
            assert!(!sleeper.is_finished());
            sleeper.cancel();
            assert!(is_cancelled(&sleeper.join().unwrap().unwrap_err()));
            let stubborn = remote.spawn(|| {
                loop {
                    let _ = sleep(HOUR);
                }
            });
            let stubborn = stubborn.unwrap();
            stubborn.abort().unwrap();
            let ended: Result<(), _> = stubborn.join();
            assert!(matches!(ended, Err(JoinError::Cancelled)));
            remote.spawn(|| common::HOUR).unwrap(); // detached
            sum
        });
        rt.run(|| {
            while !other.is_finished() {
                sleep(Duration::from_millis(1)).unwrap();
            }
        })
        .unwrap();
        assert_eq!(other.join().unwrap(), 4950);
    });
}

#[test]
fn a_fiber_joins_a_fiber_of_another_runtime() {
    each_builder(|builder| {
        let mut here = builder.build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            let mut there = Runtime::new().unwrap();
            sender.send(there.remote()).unwrap();
            there.run(|| sleep(HOUR)).unwrap()
        });
        let remote = receiver.recv().unwrap();
        here.run(|| {
            let far = remote.spawn(|| sleep(Duration::from_millis(5)).map(|()| thread::current().id())).unwrap();
            let near = spawn(|| sleep(Duration::from_millis(1))).unwrap(); // runs meanwhile
            assert_ne!(far.join().unwrap().unwrap(), thread::current().id());
            near.join().unwrap().unwrap();
            let far = remote.spawn(|| sleep(HOUR)).unwrap();
            match timeout(Duration::from_millis(2), || far.join()) {
                Err(JoinError::Interrupted(e)) => assert_eq!(e.kind(), ErrorKind::TimedOut),
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
        // Ends the other main fiber: its runtime is dropped, and cancels what is left.
        remote.spawn(|| becket_fiber::fibers().len()).unwrap().join().unwrap();
        drop(remote);
        drop(other); // still asleep; it ends with the process
    });
}

#[test]
fn a_runtime_that_is_gone_is_an_error() {
    let mut rt = Runtime::builder().max_fibers(1).build().unwrap();
    let remote = rt.remote();
    let full = rt.run(|| {
        let full = remote.spawn(|| ()).unwrap();
        while !full.is_finished() {
            sleep(Duration::from_millis(1)).unwrap();
        }
        full
    });
    match full.unwrap().join() {
        Err(JoinError::Interrupted(e)) => assert!(e.to_string().contains("limit of the runtime"), "{e}"),
        other => panic!("{other:?}"),
    }
    let posted = remote.spawn(|| ()).unwrap();
    drop(rt);
    assert!(matches!(posted.join(), Err(JoinError::Cancelled)));
    assert_eq!(remote.spawn(|| ()).unwrap_err().kind(), ErrorKind::BrokenPipe);
}
