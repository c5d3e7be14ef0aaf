//! Fibers and their handles.

mod common;

use becket_fiber::{Builder, JoinError, Runtime, current_id, fibers, sleep, spawn, spawn_named, yield_now};
use common::{Drops, HOUR, each_backend, each_builder, quiet_panic, settle};
use std::cell::RefCell;
use std::rc::Rc;

#[test]
fn results_of_every_size_come_out_of_join() {
    each_backend(|rt| {
        rt.run(|| {
            spawn(|| ()).unwrap().join().unwrap();
            assert_eq!(spawn(|| 7u8).unwrap().join().unwrap(), 7);
            assert_eq!(spawn(|| [1u64; 4]).unwrap().join().unwrap(), [1; 4]);
            assert_eq!(spawn(|| [2u64; 5]).unwrap().join().unwrap(), [2; 5]);
            assert_eq!(spawn(|| vec![3u8; 4096]).unwrap().join().unwrap(), [3; 4096]);
            let big = [4u8; 3000]; // a closure that does not fit into the stack's own room
            assert_eq!(spawn(move || big).unwrap().join().unwrap(), big);
        })
        .unwrap();
    });
}

#[test]
fn every_result_and_closure_is_dropped_once() {
    let drops = Drops::default();
    each_backend(|rt| {
        let before = drops.count();
        rt.run(|| {
            let make = || {
                let witness = drops.witness();
                spawn(move || witness).unwrap()
            };
            drop(make().join().unwrap()); // taken
            drop(make()); // detached before it ran
            make().detach();
            settle();
            assert_eq!(drops.count() - before, 3);
            let finished = make();
            settle();
            assert!(finished.is_finished());
            assert_eq!(drops.count() - before, 3);
            drop(finished); // detached after it ran
            assert_eq!(drops.count() - before, 4);
            let never = make();
            never.abort().unwrap(); // before it began: the closure is dropped
            assert!(matches!(never.join(), Err(JoinError::Cancelled)));
            assert_eq!(drops.count() - before, 5);
        })
        .unwrap();
    });
}

#[test]
fn rule_03_a_panic_stays_in_its_fiber() {
    each_backend(|rt| {
        rt.run(|| {
            let bad = spawn(|| -> u32 { quiet_panic() }).unwrap();
            let good = spawn(|| 1).unwrap();
            match bad.join() {
                Err(JoinError::Panicked(payload)) => assert_eq!(*payload.downcast::<&str>().unwrap(), "quiet"),
                other => panic!("{other:?}"),
            }
            assert_eq!(good.join().unwrap(), 1);
            drop(spawn(|| quiet_panic()).unwrap()); // detached: nobody hears of it
            settle();
        })
        .unwrap();
    });
}

#[test]
fn fibers_run_in_the_order_of_the_queue() {
    each_backend(|rt| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = order.clone();
        rt.run(move || {
            let all: Vec<_> = (0..3)
                .map(|i| {
                    let seen = seen.clone();
                    spawn(move || {
                        for round in 0..2 {
                            seen.borrow_mut().push((round, i));
                            yield_now();
                        }
                    })
                    .unwrap()
                })
                .collect();
            all.into_iter().for_each(|f| f.join().unwrap());
        })
        .unwrap();
        assert_eq!(*order.borrow(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    });
}

#[test]
fn the_limit_is_an_error_and_frees_up_again() {
    each_builder(|builder| {
        let mut rt = builder.max_fibers(3).build().unwrap();
        rt.run(|| {
            let a = spawn(|| sleep(HOUR)).unwrap();
            let b = spawn(|| sleep(HOUR)).unwrap();
            let e = spawn(|| ()).unwrap_err();
            assert!(e.is_limit() && !e.is_out_of_memory());
            assert_eq!(e.to_string(), "cannot spawn a fiber: there are 3, the limit of the runtime");
            a.cancel();
            a.join().unwrap().unwrap_err();
            assert!(spawn(|| ()).is_ok());
            b.cancel();
        })
        .unwrap();
    });
}

#[test]
fn a_stack_that_cannot_be_is_an_error() {
    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        assert!(Builder::new().stack_size(usize::MAX).spawn(|| ()).is_err());
        let e = Builder::new().stack_size(1 << 50).spawn(|| ()).unwrap_err();
        assert!(e.to_string().starts_with("cannot spawn a fiber: no stack: "), "{e}");
        let big = Builder::new().stack_size(8 << 20).spawn(|| {
            let room = [1u8; 4 << 20];
            std::hint::black_box(&room).iter().map(|b| usize::from(*b)).sum::<usize>()
        });
        assert_eq!(big.unwrap().join().unwrap(), 4 << 20);
    })
    .unwrap();
}

#[test]
fn ten_thousand_fibers_wait_at_once_and_reuse_their_stacks() {
    each_backend(|rt| {
        for _ in 0..2 {
            let sum = rt
                .run(|| {
                    let all: Vec<_> = (0..10_000u64)
                        .map(|i| {
                            spawn(move || {
                                yield_now();
                                i
                            })
                            .unwrap()
                        })
                        .collect();
                    all.into_iter().map(|f| f.join().unwrap()).sum::<u64>()
                })
                .unwrap();
            assert_eq!(sum, 49_995_000);
        }
    });
}

#[test]
fn a_handle_may_outlive_the_run_and_the_runtime() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let (done, slow) = rt
            .run(|| {
                let done = spawn(|| 5).unwrap();
                let slow = spawn(|| sleep(HOUR)).unwrap();
                settle();
                (done, slow)
            })
            .unwrap();
        assert_eq!(done.join().unwrap(), 5);
        assert!(!slow.is_finished());
        let later = rt.spawn(|| 6).unwrap();
        rt.run(settle).unwrap(); // both go on
        assert_eq!(later.join().unwrap(), 6);
        drop(rt); // cancels it
        assert!(slow.is_finished());
        assert!(slow.join().unwrap().is_err());
    });
}

#[test]
fn joining_where_nobody_runs_the_fiber_is_an_error() {
    let rt = Runtime::new().unwrap();
    let fiber = rt.spawn(|| 1).unwrap();
    match fiber.join() {
        Err(JoinError::Interrupted(e)) => assert_eq!(e.kind(), std::io::ErrorKind::Unsupported),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fibers_are_listed_with_what_they_wait_for() {
    each_backend(|rt| {
        rt.run(|| {
            let sleeper = spawn_named("sleeper", || sleep(HOUR)).unwrap();
            let joiner = spawn(move || sleeper.join().unwrap()).unwrap();
            settle();
            let lines: Vec<String> = fibers().iter().map(ToString::to_string).collect();
            assert_eq!(
                lines,
                ["fiber 1 main: running", "fiber 2 sleeper: waits: sleep", "fiber 3: waits: join of fiber 2"]
            );
            assert_eq!(current_id(), Some(1));
            joiner.cancel();
        })
        .unwrap();
    });
}

#[test]
fn main_may_borrow() {
    let mut total = 0;
    each_backend(|_| {});
    let mut rt = Runtime::new().unwrap();
    rt.run(|| total += 1).unwrap();
    rt.run(|| total += 1).unwrap();
    assert_eq!(total, 2);
}

#[test]
fn a_runtime_inside_a_fiber_is_an_error() {
    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        let mut inner = Runtime::new().unwrap();
        assert_eq!(inner.run(|| ()).unwrap_err().kind(), std::io::ErrorKind::Deadlock);
    })
    .unwrap();
}
