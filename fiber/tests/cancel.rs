//! Cancelling, shielding, aborting.

mod common;

use becket_fiber::{
    Io, JoinError, Ready, is_cancelled, is_current_cancelled, scope, shield, sleep, spawn, unblock, yield_now,
};
use common::{Drops, HOUR, each_backend, each_builder, settle};
use std::cell::Cell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn every_kind_of_wait_ends_and_says_so() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, _b) = UnixStream::pair().unwrap();
            let io = Rc::new(Io::new(a).unwrap());
            let (r, w) = (io.clone(), io.clone());
            type Wait = Box<dyn FnOnce() -> io::Result<()>>;
            let waits: Vec<(&str, Wait)> = vec![
                ("sleep", Box::new(|| sleep(HOUR))),
                ("read", Box::new(move || (&*r).read_exact(&mut [0]))),
                ("wait", Box::new(move || w.wait(Ready::READ, None).map(drop))),
                ("join", Box::new(|| Ok(spawn(|| sleep(HOUR))?.join().map(drop)?))),
                ("shielded before", Box::new(|| shield(|| sleep(Duration::from_millis(1))).and(sleep(HOUR)))),
            ];
            for (what, wait) in waits {
                let fiber = spawn(wait).unwrap();
                settle();
                fiber.cancel();
                let e = fiber.join().unwrap().unwrap_err();
                assert!(is_cancelled(&e) && e.kind() != io::ErrorKind::Interrupted, "{what}: {e}");
            }
        })
        .unwrap();
    });
}

#[test]
fn a_cancel_before_the_start_meets_the_first_wait() {
    each_backend(|rt| {
        rt.run(|| {
            let fiber = spawn(|| (is_current_cancelled(), sleep(HOUR))).unwrap();
            fiber.cancel();
            let (knew, slept) = fiber.join().unwrap();
            assert!(knew && is_cancelled(&slept.unwrap_err()));
        })
        .unwrap();
    });
}

#[test]
fn rule_04_swallowing_the_error_and_waiting_again_is_refused_again() {
    each_backend(|rt| {
        rt.run(|| {
            let fiber = spawn(|| {
                let mut refused = 0;
                while refused < 1000 {
                    assert!(is_cancelled(&sleep(HOUR).unwrap_err()));
                    refused += 1;
                }
                refused
            })
            .unwrap();
            // It does not keep the thread for itself either.
            let other = spawn(|| (0..100).for_each(|_| yield_now())).unwrap();
            settle();
            fiber.cancel();
            other.join().unwrap();
            assert!(!fiber.is_finished());
            assert_eq!(fiber.join().unwrap(), 1000);
        })
        .unwrap();
    });
}

#[test]
fn a_shield_keeps_the_cancel_off() {
    each_backend(|rt| {
        rt.run(|| {
            let fiber = spawn(|| {
                shield(|| {
                    shield(|| sleep(Duration::from_millis(2)))?;
                    assert!(!is_current_cancelled());
                    sleep(Duration::from_millis(2))
                })?;
                sleep(HOUR)
            })
            .unwrap();
            settle();
            fiber.cancel();
            assert!(is_cancelled(&fiber.join().unwrap().unwrap_err()));
        })
        .unwrap();
    });
}

#[test]
fn an_abort_unwinds_without_a_word_and_runs_destructors() {
    let hooked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (count, drops) = (hooked.clone(), Drops::default());
    each_backend(|rt| {
        let drops = drops.clone();
        let count = count.clone();
        rt.run(move || {
            let before = drops.count();
            let witness = drops.witness();
            let fiber = spawn(move || {
                let _witness = witness;
                let _ = sleep(HOUR);
                unreachable!("the sleep does not return");
            })
            .unwrap();
            settle();
            let counter = count.clone();
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |_| {
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }));
            fiber.abort().unwrap();
            let result = fiber.join();
            std::panic::set_hook(previous);
            assert!(matches!(result, Err(JoinError::Cancelled)));
            assert_eq!(drops.count(), before + 1);
        })
        .unwrap();
    });
    assert_eq!(hooked.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn an_abort_is_raised_again_where_it_was_caught() {
    each_backend(|rt| {
        rt.run(|| {
            let caught = Rc::new(Cell::new(0));
            let c = caught.clone();
            let fiber = spawn(move || {
                for _ in 0..3 {
                    let unwound = catch_unwind(AssertUnwindSafe(|| shield(|| sleep(HOUR)))).is_err();
                    c.set(c.get() + u32::from(unwound));
                }
                yield_now();
                unreachable!();
            })
            .unwrap();
            settle();
            fiber.abort().unwrap();
            assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
            assert_eq!(caught.get(), 3);
        })
        .unwrap();
    });
}

#[test]
fn rule_05_a_wait_in_a_destructor_while_unwinding_is_an_error_at_once() {
    struct Waits(Rc<Cell<u32>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            let refused = sleep(HOUR).is_err();
            let no_children = scope(|s| s.spawn(|| ()).is_err());
            let no_fiber = spawn(|| ()).is_err();
            yield_now();
            let (a, _b) = UnixStream::pair().unwrap();
            let no_read = Io::new(a).unwrap().read(&mut [0]).is_err();
            let no_join = unblock(|| ()).is_err();
            self.0.set(self.0.get() + u32::from(refused && no_children && no_fiber && no_read && no_join));
        }
    }
    each_backend(|rt| {
        rt.run(|| {
            let refused = Rc::new(Cell::new(0));
            let (a, b) = (Waits(refused.clone()), Waits(refused.clone()));
            let aborted = spawn(move || {
                let _a = a;
                let _ = sleep(HOUR);
            })
            .unwrap();
            let panics = spawn(move || {
                let _b = b;
                common::quiet_panic()
            })
            .unwrap();
            // Others never see the thread unwind.
            let other = spawn(|| {
                for _ in 0..20 {
                    assert!(!std::thread::panicking());
                    yield_now();
                }
            })
            .unwrap();
            settle();
            aborted.abort().unwrap();
            assert!(aborted.join().is_err());
            assert!(matches!(panics.join(), Err(JoinError::Panicked(_))));
            other.join().unwrap();
            assert_eq!(refused.get(), 2);
        })
        .unwrap();
    });
}

#[test]
fn a_child_that_waits_in_a_scope_is_cancelled_with_its_parent() {
    each_backend(|rt| {
        rt.run(|| {
            let parent = spawn(|| {
                scope(|s| {
                    s.spawn(|| scope(|s| drop(s.spawn(|| sleep(HOUR)).unwrap()))).unwrap();
                    shield(|| scope(|s| s.spawn(|| sleep(Duration::from_millis(5))).unwrap().join().unwrap()))
                })
            })
            .unwrap();
            settle();
            parent.cancel();
            // The shielded child ended by itself, the other by the cancel: else this would take an hour.
            parent.join().unwrap().unwrap();
        })
        .unwrap();
    });
}

#[test]
fn a_running_helper_is_waited_for() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        rt.run(|| {
            let (mut text, begun) = (String::new(), AtomicBool::new(false));
            scope(|s| {
                let helped = s.spawn(|| {
                    unblock(|| {
                        begun.store(true, Ordering::Release);
                        std::thread::sleep(Duration::from_millis(30));
                        text.push_str("written by the helper");
                        7
                    })
                });
                let helped = helped.unwrap();
                while !begun.load(Ordering::Acquire) {
                    yield_now();
                }
                helped.cancel();
                // It had begun, so it is waited for, and its success counts.
                assert_eq!(helped.join().unwrap().unwrap(), 7);
            });
            assert_eq!(text, "written by the helper");
            let panic = catch_unwind(|| unblock(|| -> u8 { common::quiet_panic() }));
            assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "quiet");
        })
        .unwrap();
    });
}
