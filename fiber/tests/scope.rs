//! Children that borrow from their parent.

mod common;

use becket_fiber::{JoinError, is_cancelled, scope, sleep, spawn, yield_now};
use common::{Drops, HOUR, each_backend, quiet_panic, settle};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[test]
fn children_borrow_and_are_waited_for() {
    each_backend(|rt| {
        rt.run(|| {
            let log = RefCell::new(Vec::new());
            scope(|s| {
                for i in 0..3 {
                    let log = &log;
                    s.spawn(move || {
                        sleep(Duration::from_millis(3 - i)).unwrap();
                        log.borrow_mut().push(i);
                    })
                    .unwrap();
                }
                log.borrow_mut().push(10);
            });
            let mut log = log.into_inner();
            assert_eq!(log.remove(0), 10);
            log.sort();
            assert_eq!(log, [0, 1, 2]);
        })
        .unwrap();
    });
}

#[test]
fn children_spawn_siblings_while_the_scope_ends() {
    each_backend(|rt| {
        rt.run(|| {
            let count = Cell::new(0);
            scope(|s| {
                s.spawn(|| {
                    yield_now();
                    s.spawn(|| {
                        yield_now();
                        s.spawn(|| count.set(count.get() + 1)).unwrap();
                        count.set(count.get() + 1);
                    })
                    .unwrap();
                    count.set(count.get() + 1);
                })
                .unwrap();
            });
            assert_eq!(count.get(), 3);
        })
        .unwrap();
    });
}

#[test]
fn a_panic_of_the_closure_cancels_the_children_and_waits() {
    each_backend(|rt| {
        rt.run(|| {
            let ended = Cell::new(false);
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| ended.set(is_cancelled(&sleep(HOUR).unwrap_err()))).unwrap();
                    settle();
                    quiet_panic();
                })
            }));
            assert_eq!(*unwound.unwrap_err().downcast::<&str>().unwrap(), "quiet");
            assert!(ended.get());
            sleep(Duration::from_millis(1)).unwrap(); // the parent itself is not cancelled
        })
        .unwrap();
    });
}

#[test]
fn rule_06_the_first_panic_of_a_child_cancels_its_siblings_and_the_closure() {
    each_backend(|rt| {
        rt.run(|| {
            let cancelled = Cell::new(0);
            let note =
                |r: std::io::Result<()>| cancelled.set(cancelled.get() + u32::from(is_cancelled(&r.unwrap_err())));
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| note(sleep(HOUR))).unwrap();
                    s.spawn(|| note(sleep(HOUR))).unwrap();
                    s.spawn(|| {
                        yield_now();
                        quiet_panic();
                    })
                    .unwrap();
                    note(sleep(HOUR));
                    // One that is born later is cancelled from the start.
                    s.spawn(|| note(sleep(HOUR))).unwrap();
                })
            }));
            assert_eq!(*unwound.unwrap_err().downcast::<&str>().unwrap(), "quiet");
            assert_eq!(cancelled.get(), 4);
            sleep(Duration::from_millis(1)).unwrap();
        })
        .unwrap();
    });
}

#[test]
fn a_panic_that_was_joined_is_not_raised_again() {
    each_backend(|rt| {
        rt.run(|| {
            scope(|s| {
                let child = s.spawn(|| quiet_panic()).unwrap();
                // The panic has cancelled this closure, too; the child has ended, so nothing has to be waited for.
                while !child.is_finished() {
                    yield_now();
                }
                assert!(matches!(child.join(), Err(JoinError::Panicked(_))));
            });
        })
        .unwrap();
    });
}

#[test]
fn an_error_of_a_child_can_cancel_its_siblings() {
    each_backend(|rt| {
        rt.run(|| {
            let cancelled = Cell::new(false);
            scope(|s| {
                s.spawn(|| cancelled.set(sleep(HOUR).is_err())).unwrap();
                s.spawn_or_cancel(|| Err::<(), _>("no more paper")).unwrap();
                assert!(sleep(HOUR).is_err());
            });
            assert!(cancelled.get());
            scope(|s| {
                s.spawn(|| sleep(HOUR).unwrap_err()).unwrap();
                s.cancel();
            });
        })
        .unwrap();
    });
}

#[test]
fn results_that_nobody_takes_are_dropped_before_the_scope_ends() {
    /// Its destructor looks at what the scope borrowed.
    struct Looks<'a>(&'a Cell<u32>);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    each_backend(|rt| {
        rt.run(|| {
            let drops = Cell::new(0);
            scope(|s| {
                drop(s.spawn(|| Looks(&drops)).unwrap()); // detached before it ends
                let kept = s.spawn(|| Looks(&drops)).unwrap();
                std::mem::forget(s.spawn(|| Looks(&drops)).unwrap());
                // The handle of one is the result of another.
                s.spawn(move || kept).map(std::mem::forget).unwrap();
                settle();
                let joined = s.spawn(|| Looks(&drops)).unwrap().join().unwrap();
                assert_eq!(drops.get(), 1);
                drop(joined);
                assert_eq!(drops.get(), 2);
            });
            assert_eq!(drops.get(), 4);
        })
        .unwrap();
        // Every record was given back.
        assert!(rt.fibers().is_empty());
    });
}

#[test]
fn a_scope_with_many_short_children_stays_small() {
    each_backend(|rt| {
        let drops = Drops::default();
        rt.run(|| {
            scope(|s| {
                for _ in 0..1000 {
                    let witness = drops.witness();
                    s.spawn(move || drop(witness)).unwrap();
                    yield_now();
                }
            });
        })
        .unwrap();
        assert_eq!(drops.count(), 1000);
    });
}

#[test]
fn an_aborted_parent_takes_its_children_along() {
    each_backend(|rt| {
        rt.run(|| {
            let drops = Drops::default();
            let (a, b) = (drops.witness(), drops.witness());
            let parent = spawn(move || {
                let _a = a;
                scope(|s| {
                    s.spawn(|| {
                        let _b = b;
                        loop {
                            let _ = sleep(HOUR); // does not listen to a cancel
                        }
                    })
                    .unwrap();
                });
            })
            .unwrap();
            settle();
            parent.abort().unwrap();
            assert!(matches!(parent.join(), Err(JoinError::Cancelled)));
            assert_eq!(drops.count(), 2);
        })
        .unwrap();
    });
}

#[test]
fn where_no_fiber_runs_the_closure_runs_without_children() {
    let n = scope(|s| {
        s.spawn(|| ()).unwrap_err();
        7
    });
    assert_eq!(n, 7);
}
