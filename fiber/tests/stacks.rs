//! What runs on a fiber's stack, and how many there are.

mod common;

use becket_fiber::{Builder, Io, scope, sleep, spawn, yield_now};
use common::{each_backend, each_builder, kernel_has_guards, settle, skips_valgrind};
use generator::{Gn, Scope};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

fn skips_corosensei() -> bool {
    let skips = cfg!(feature = "corosensei");
    if skips {
        println!("SKIP: corosensei does not take a generator along: a wait inside one is refused");
    }
    skips
}

#[test]
fn a_fiber_waits_inside_a_generator_of_its_own() {
    if skips_corosensei() || skips_valgrind("it does not know the stacks of the test's own generators") {
        return;
    }
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = UnixStream::pair().unwrap();
            let (a, b) = (Io::new(a).unwrap(), Io::new(b).unwrap());
            let others = Cell::new(0);
            scope(|s| {
                s.spawn(|| {
                    for _ in 0..5 {
                        others.set(others.get() + 1);
                        yield_now();
                    }
                    (&b).write_all(b"x").unwrap();
                })
                .unwrap();
                let mut numbers = Gn::new_scoped_opt_local(0x2000, |mut scope: Scope<(), u32>| {
                    yield_now();
                    scope.yield_with(1);
                    sleep(Duration::from_millis(1)).unwrap();
                    scope.yield_with(2);
                    (&a).read_exact(&mut [0]).unwrap();
                    becket_fiber::scope(|s| s.spawn(|| 3).unwrap().join().unwrap())
                });
                let mut seen = Vec::new();
                while let Some(n) = numbers.resume() {
                    seen.push(n);
                    yield_now();
                }
                assert_eq!(seen, [1, 2, 3]);
                assert_eq!(others.get(), 5);
            });
        })
        .unwrap();
    });
}

/// With `generator`, only in a coroutine of another library; there is none among the tests.
#[cfg(feature = "corosensei")]
#[test]
fn a_wait_where_the_fiber_cannot_be_suspended_is_refused() {
    each_backend(|rt| {
        rt.run(|| {
            let mut inside = Gn::new_scoped_opt_local(0x2000, |_: Scope<(), _>| {
                let refused = sleep(Duration::from_millis(1)).unwrap_err();
                yield_now();
                (refused.kind(), becket_fiber::sync::Event::new().wait().unwrap_err().kind())
            });
            let unsupported = std::io::ErrorKind::Unsupported;
            assert_eq!(inside.resume(), Some((unsupported, unsupported)));
            sleep(Duration::from_millis(1)).unwrap();
        })
        .unwrap();
    });
}

#[test]
fn a_scope_in_a_generator_may_outlive_its_fiber_and_its_runtime() {
    if skips_corosensei() || skips_valgrind("it does not know the stacks of the test's own generators") {
        return;
    }
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = order.clone();
        let numbers = rt
            .run(move || {
                let first = spawn(move || {
                    let outer = seen.clone();
                    scope(move |s| {
                        let mut numbers = Gn::<()>::new_scoped_opt_local(0x2000, move |mut yields: Scope<(), u32>| {
                            scope(|s| {
                                let child = outer.clone();
                                s.spawn(move || {
                                    while child.borrow().is_empty() {
                                        yield_now();
                                    }
                                    child.borrow_mut().push("child");
                                })
                                .unwrap();
                                yields.yield_with(1);
                                outer.borrow_mut().push("on another fiber");
                            });
                            outer.borrow_mut().push("joined");
                            scope(|s| {
                                s.spawn(|| ()).unwrap().join().unwrap();
                                yields.yield_with(2);
                            });
                            outer.borrow_mut().push("end");
                            3
                        });
                        assert_eq!(numbers.resume(), Some(1));
                        s.spawn(|| ()).unwrap();
                        numbers
                    })
                })
                .unwrap();
                let mut numbers = first.join().unwrap(); // the fiber that opened the inner scope has ended
                let second = spawn(move || {
                    assert_eq!(numbers.resume(), Some(2));
                    numbers
                })
                .unwrap();
                for _ in 0..10 {
                    let other = spawn(|| scope(|s| s.spawn(|| sleep(common::HOUR)).map(drop).unwrap())).unwrap();
                    settle();
                    other.cancel(); // walks its list of scopes, in a record that may have been the first one's
                    other.join().unwrap();
                }
                second.join().unwrap()
            })
            .unwrap();
        drop(rt);
        let mut numbers = numbers;
        assert_eq!(numbers.resume(), Some(3));
        assert_eq!(*order.borrow(), ["on another fiber", "child", "joined", "end"]);
    });
}

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn rule_13_churn_keeps_the_number_of_mappings_flat() {
    if skips_valgrind("it keeps mappings of its own") {
        return;
    }
    each_builder(|builder| {
        let before = maps();
        let mut rt = builder.build().unwrap();
        rt.run(|| {
            let (mut all, mut stacks) = (Vec::new(), 0);
            for round in 0..5u64 {
                for _ in 0..2000 {
                    all.push(spawn(|| sleep(common::HOUR)).unwrap());
                }
                // Those that have ended leave theirs to the next.
                stacks = stacks.max(all.len());
                settle();
                let mut i = 0;
                all.retain(|fiber| {
                    i += 1;
                    let stays = (i + round) % 2 == 0;
                    if !stays {
                        fiber.cancel();
                    }
                    stays
                });
                settle();
                let now = maps();
                let own = if kernel_has_guards() { 0 } else { 2 * stacks };
                assert!(now < before + 60 + own, "{now} mappings, {before} before, {stacks} stacks");
            }
        })
        .unwrap();
        drop(rt);
        let now = maps();
        assert!(now < before + 60, "{now} mappings, {before} before");
    });
}

#[test]
fn stacks_of_other_sizes_are_pooled_too() {
    each_backend(|rt| {
        rt.run(|| {
            for size in [1, 16 << 10, 100_000, 1 << 20] {
                for _ in 0..3 {
                    let fiber = Builder::new().stack_size(size).spawn(move || size).unwrap();
                    assert_eq!(fiber.join().unwrap(), size);
                }
            }
        })
        .unwrap();
    });
}
