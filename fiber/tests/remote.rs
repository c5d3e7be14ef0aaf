//! Fibers spawned from other threads.

mod common;

use becket_fiber::{
    CancelToken, JoinError, JoinFuture, JoinHandle, Runtime, Scope, ScopedJoinHandle, block_on, is_cancelled, scope,
    sleep, spawn, sync, timeout,
};
use common::{HOUR, each_backend, each_builder, settle};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
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

/// Fails to build where one of the types may go to another thread: then two implementations fit.
macro_rules! stay_on_their_thread {
    ($($type:ty),+ $(,)?) => {
        $({
            trait Fits<How> {
                fn fits() {}
            }
            struct ByBeingSend;
            impl<T: ?Sized> Fits<()> for T {}
            impl<T: ?Sized + Send> Fits<ByBeingSend> for T {}
            let _ = <$type as Fits<_>>::fits;
        })+
    };
}

#[test]
fn rule_08_a_fiber_and_its_handles_stay_and_a_late_wake_does_nothing() {
    stay_on_their_thread!(
        Runtime,
        JoinHandle<()>,
        JoinFuture<()>,
        ScopedJoinHandle<'static, ()>,
        Scope<'static, 'static>,
        &'static Scope<'static, 'static>,
        CancelToken,
        sync::Sender<()>,
        sync::MutexGuard<'static, ()>,
        sync::Permit<'static>,
        &'static sync::Event,
    );
    each_backend(|rt| {
        // Fibers run where they were spawned, whoever wakes them.
        let (wakers, woken) = mpsc::channel::<(Waker, mpsc::Sender<()>)>();
        let waking = thread::spawn(move || {
            for (waker, done) in woken {
                (0..100).for_each(|_| waker.wake_by_ref());
                drop(done);
            }
        });
        rt.run(|| {
            let home = thread::current().id();
            let by_thread = |waker: &Waker| {
                let (done, is_done) = mpsc::channel();
                wakers.send((waker.clone(), done)).unwrap();
                is_done
            };
            // One that a thread wakes, and that keeps its waker for later.
            let kept = Rc::new(Cell::new(None));
            let keep = kept.clone();
            scope(|s| {
                let fiber = s.spawn(|| {
                    let mut asked = false;
                    block_on(poll_fn(|cx| {
                        assert_eq!(thread::current().id(), home);
                        if std::mem::replace(&mut asked, true) {
                            keep.set(Some(cx.waker().clone()));
                            return Poll::Ready(());
                        }
                        by_thread(cx.waker());
                        Poll::Pending
                    }))
                });
                fiber.unwrap().join().unwrap().unwrap();
            });
            // The next in its record waits for something else, and does not hear what is for the one before.
            let late = kept.take().unwrap();
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            let next = spawn(move || {
                block_on(poll_fn(|_| -> Poll<()> {
                    counted.set(counted.get() + 1);
                    Poll::Pending
                }))
            })
            .unwrap();
            settle();
            let done = by_thread(&late);
            assert!(done.recv().is_err(), "it has woken, and let go");
            (0..100).for_each(|_| late.wake_by_ref());
            sleep(Duration::from_millis(5)).unwrap();
            assert!(polls.get() == 1 && !next.is_finished());
            next.cancel();
            assert!(is_cancelled(&next.join().unwrap().unwrap_err()));
        })
        .unwrap();
        drop(wakers);
        waking.join().unwrap();
    });
}
