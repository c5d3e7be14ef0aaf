//! How a runtime ends.

mod common;

use becket_fiber::{Runtime, is_cancelled, shield, sleep, spawn, spawn_named, unblock, with_ctx, yield_now};
use common::{Drops, HOUR, each_builder, quiet_panic, settle};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn all_fibers_are_cancelled_and_end_in_order() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let said_goodbye = Rc::new(Cell::new(0));
        rt.run(|| {
            for _ in 0..3 {
                let said = said_goodbye.clone();
                spawn(move || {
                    assert!(is_cancelled(&sleep(HOUR).unwrap_err()));
                    shield(|| sleep(Duration::from_millis(2))).unwrap();
                    assert!(spawn(|| ()).is_err()); // nothing new
                    said.set(said.get() + 1);
                })
                .unwrap();
            }
            settle();
        })
        .unwrap();
        let never_run = said_goodbye.clone();
        rt.spawn(move || never_run.set(never_run.get() + 10)).unwrap();
        rt.shutdown().unwrap();
        assert_eq!(said_goodbye.get(), 13);
    });
}

#[test]
fn who_ignores_the_cancel_is_aborted() {
    each_builder(|builder| {
        let mut rt = builder.grace(SHORT).build().unwrap();
        let drops = Drops::default();
        let witness = drops.witness();
        rt.run(|| {
            spawn(move || {
                let _witness = witness;
                loop {
                    let _ = sleep(HOUR);
                }
            })
            .unwrap();
            settle();
        })
        .unwrap();
        rt.shutdown().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn who_ignores_the_abort_too_is_left_behind_and_named() {
    each_builder(|builder| {
        let mut rt = builder.grace(SHORT).build().unwrap();
        let drops = Drops::default();
        let witness = drops.witness();
        let stubborn = rt
            .run(|| {
                let stubborn = spawn_named("stubborn", move || {
                    let _witness = witness;
                    loop {
                        let _ = catch_unwind(|| sleep(HOUR));
                    }
                });
                settle();
                stubborn.unwrap()
            })
            .unwrap();
        let e = rt.shutdown().unwrap_err();
        assert!(e.to_string().starts_with("fibers that would not end: fiber 2 stubborn"), "{e}");
        assert_eq!(drops.count(), 0);
        assert!(!stubborn.is_finished());
        let _: Result<(), _> = stubborn.join().inspect_err(|e| println!("{e}"));
        assert_eq!(drops.count(), 0);
    });
}

#[test]
fn rule_01_a_runtime_dropped_while_the_thread_unwinds_leaks_its_fibers() {
    each_builder(|builder| {
        let drops = Drops::default();
        let witness = drops.witness();
        // A thread that borrows from the stack of a fiber, and goes on.
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let mut rt = builder.build().unwrap();
            rt.run(|| {
                spawn(move || {
                    let _witness = witness;
                    let on_the_stack = [7u8; 1024];
                    thread::scope(|s| {
                        s.spawn(|| {
                            while !stopped.load(Ordering::Acquire) {
                                assert_eq!(std::hint::black_box(&on_the_stack)[512], 7);
                                thread::yield_now();
                            }
                            sender.send(on_the_stack[1023]).unwrap();
                        });
                        let _ = sleep(HOUR);
                    });
                })
                .unwrap();
                settle();
            })
            .unwrap();
            quiet_panic();
        }));
        assert!(unwound.is_err());
        stop.store(true, Ordering::Release);
        assert_eq!(receiver.recv().unwrap(), 7);
        assert_eq!(drops.count(), 0);
    });
}

#[test]
fn a_panic_of_main_comes_out_after_the_others_have_ended() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let drops = Drops::default();
        let witness = drops.witness();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            rt.run(|| {
                spawn(move || {
                    let _witness = witness;
                    let _ = sleep(HOUR);
                })
                .unwrap();
                settle();
                quiet_panic()
            })
        }));
        assert!(unwound.is_err());
        assert_eq!(drops.count(), 1);
        assert_eq!(rt.run(|| 1).unwrap(), 1);
    });
}

#[test]
fn a_failing_callback_cancels_main_and_comes_out_of_run() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let main_ended = Cell::new(false);
        let e = rt.run(|| {
            with_ctx(|ctx| ctx.after(Duration::ZERO, |(), _| Err("no more paper".into()))).unwrap();
            main_ended.set(is_cancelled(&sleep(HOUR).unwrap_err()));
        });
        assert!(e.unwrap_err().to_string().ends_with("no more paper"));
        assert!(main_ended.get());

        main_ended.set(false);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            rt.run(|| {
                with_ctx(|ctx| ctx.after(Duration::ZERO, |(), _| quiet_panic())).unwrap();
                main_ended.set(sleep(HOUR).is_err());
            })
        }));
        assert!(unwound.is_err() && main_ended.get());
        assert_eq!(rt.run(|| 2).unwrap(), 2);
    });
}

#[test]
fn a_runtime_dropped_with_an_operation_in_flight_waits_for_it() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (b, e) = (begun.clone(), ended.clone());
        rt.run(|| {
            spawn(move || {
                let mut on_the_stack = [0u8; 512];
                let result = unblock(|| {
                    b.store(true, Ordering::Release);
                    thread::sleep(Duration::from_millis(50));
                    on_the_stack.fill(7);
                });
                result.unwrap();
                assert_eq!(on_the_stack, [7; 512]);
                e.store(true, Ordering::Release);
            })
            .unwrap();
            while !begun.load(Ordering::Acquire) {
                yield_now();
            }
        })
        .unwrap();
        drop(rt);
        assert!(ended.load(Ordering::Acquire));
    });
}

#[test]
fn a_runtime_dropped_while_unwinding_with_an_operation_in_flight_frees_nothing() {
    each_builder(|builder| {
        let begun = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicBool::new(false));
        let (b, w) = (begun.clone(), written.clone());
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let mut rt = builder.build().unwrap();
            rt.run(|| {
                spawn(move || {
                    let mut on_the_stack = [0u8; 4096];
                    unblock(|| {
                        b.store(true, Ordering::Release);
                        thread::sleep(Duration::from_millis(50));
                        on_the_stack.fill(7); // the stack is still there
                        w.store(true, Ordering::Release);
                    })
                    .unwrap();
                })
                .unwrap();
                while !begun.load(Ordering::Acquire) {
                    yield_now();
                }
            })
            .unwrap();
            quiet_panic();
        }));
        assert!(unwound.is_err());
        assert!(written.load(Ordering::Acquire)); // the loop has waited for it
    });
}

#[test]
fn dropping_a_runtime_that_never_ran_runs_its_fibers_once() {
    let rt = Runtime::new().unwrap();
    let drops = Drops::default();
    let witness = drops.witness();
    rt.spawn(move || {
        let _witness = witness;
        sleep(HOUR)
    })
    .unwrap();
    let start = Instant::now();
    drop(rt);
    assert_eq!(drops.count(), 1);
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_runtime_cannot_run_while_the_thread_unwinds() {
    struct Runs(Rc<Cell<Option<io::ErrorKind>>>);
    impl Drop for Runs {
        fn drop(&mut self) {
            let mut rt = Runtime::new().unwrap();
            self.0.set(common::kind(rt.run(|| ())));
        }
    }
    let kind = Rc::new(Cell::new(None));
    let runs = Runs(kind.clone());
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _runs = runs;
        quiet_panic();
    }));
    assert!(unwound.is_err());
    assert_eq!(kind.get(), Some(io::ErrorKind::Other));
}
