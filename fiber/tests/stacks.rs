//! What runs on a fiber's stack, and how many there are.

mod common;

use becket_fiber::{Builder, Io, scope, sleep, spawn, yield_now};
use common::{each_backend, each_builder, settle};
use generator::{Gn, Scope};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn a_fiber_waits_inside_a_generator_of_its_own() {
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

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn churn_keeps_the_number_of_mappings_flat() {
    each_builder(|builder| {
        let before = maps();
        let mut rt = builder.build().unwrap();
        rt.run(|| {
            let mut all = Vec::new();
            for round in 0..5u64 {
                for _ in 0..2000 {
                    all.push(spawn(|| sleep(common::HOUR)).unwrap());
                }
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
                assert!(now < before + 60, "{now} mappings, {before} before");
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
