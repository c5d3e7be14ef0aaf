//! Values of which each fiber has its own, and priorities.

mod common;

use becket_fiber::{Builder, Priority, Runtime, fiber_local, scope, sleep, spawn, with_ctx, yield_now};
use common::{Drops, HOUR, Witness, each_backend, quiet_panic, settle};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

thread_local! {
    static DROPS: Drops = Drops::default();
    static SEEN: RefCell<Vec<String>> = RefCell::default();
}

/// A value that tells where it was dropped.
struct Told(&'static str, Option<Witness>);

impl Drop for Told {
    fn drop(&mut self) {
        let waited = sleep(Duration::ZERO).is_ok();
        let name = becket_fiber::current_name();
        let other = OTHER.try_with(|_| ()).is_ok();
        SEEN.with_borrow_mut(|seen| seen.push(format!("{} {name:?} {waited} {other}", self.0)));
        drop(self.1.take());
    }
}

fiber_local! {
    static COUNT: Cell<u32> = const { Cell::new(1) };
    static TOLD: Told = Told("told", Some(DROPS.with(Drops::witness)));
    static OTHER: String = String::from("other");
}

#[test]
fn rule_11_each_fiber_has_its_own_and_the_next_in_its_place_a_new_one() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                COUNT.with(|count| count.set(10));
                for _ in 0..3 {
                    let fiber = spawn(|| {
                        let before = COUNT.with(|count| count.replace(7));
                        yield_now();
                        (before, COUNT.with(Cell::get))
                    });
                    assert_eq!(fiber.unwrap().join().unwrap(), (1, 7));
                }
                scope(|s| assert_eq!(s.spawn(|| COUNT.with(Cell::get)).unwrap().join().unwrap(), 1));
                // It is the fiber's also where it lends the loop, and the thread's in callbacks.
                assert_eq!(with_ctx(|_| COUNT.with(Cell::get)).unwrap(), 10);
                let seen = Rc::new(Cell::new(0));
                let told = seen.clone();
                with_ctx(|ctx| ctx.defer(move |(), _| Ok(told.set(COUNT.with(Cell::get))))).unwrap();
                while seen.get() == 0 {
                    sleep(Duration::from_millis(1)).unwrap();
                }
                assert_eq!((seen.get(), COUNT.with(Cell::get)), (1, 10));
            })
            .unwrap();
        assert_eq!(runtime.run(|| COUNT.with(Cell::get)).unwrap(), 1);
    });
    assert_eq!(COUNT.with(Cell::get), 1);
}

#[test]
fn it_is_dropped_at_the_end_of_its_fiber_and_in_it() {
    each_backend(|runtime| {
        let before = DROPS.with(Drops::count);
        SEEN.take();
        runtime
            .run(|| {
                let uses = || {
                    OTHER.with(|_| ());
                    TOLD.with(|_| settle()); // waits while it is lent
                };
                let returns = Builder::new().name("returns").spawn(uses).unwrap();
                returns.join().unwrap();
                assert_eq!(DROPS.with(Drops::count), before + 1);
                let panics = Builder::new().name("panics").spawn(move || {
                    uses();
                    quiet_panic()
                });
                assert!(panics.unwrap().join().is_err());
                let aborted = Builder::new().name("aborted").spawn(move || {
                    TOLD.with(|_| sleep(HOUR)).unwrap();
                });
                let aborted = aborted.unwrap();
                settle();
                aborted.abort().unwrap();
                assert!(aborted.join().is_err());
                uses();
            })
            .unwrap();
        // Waiting works where the fiber does not unwind; what is made later is dropped earlier; nothing is made anew.
        let expected = [
            "told Some(\"returns\") true true",
            "told Some(\"panics\") false true",
            "told Some(\"aborted\") false false",
            "told Some(\"main\") true true",
        ];
        assert_eq!(SEEN.take(), expected);
        assert_eq!(DROPS.with(Drops::count), before + 4);
    });
}

#[test]
fn one_that_asks_for_itself_while_it_is_made_is_made_by_the_inner_call() {
    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    fiber_local!(static NESTED: u32 = {
        let depth = DEPTH.replace(DEPTH.get() + 1);
        if depth == 0 { NESTED.with(|inner| assert_eq!(*inner, 1)) }
        depth
    });
    Runtime::new().unwrap().run(|| NESTED.with(|value| assert_eq!(*value, 1))).unwrap();
}

#[test]
fn a_fiber_that_is_left_behind_leaks_its_values() {
    let before = DROPS.with(Drops::count);
    let mut runtime = Runtime::builder().grace(Duration::from_millis(1)).build().unwrap();
    runtime
        .run(|| {
            let stubborn = spawn(|| {
                TOLD.with(|_| {
                    loop {
                        let _ = std::panic::catch_unwind(|| sleep(HOUR));
                    }
                })
            });
            stubborn.unwrap().detach();
            settle();
        })
        .unwrap();
    drop(runtime);
    assert_eq!(DROPS.with(Drops::count), before);
}

#[test]
fn higher_priorities_run_first_and_none_starves() {
    each_backend(|runtime| {
        let turns = runtime
            .run(|| {
                let turns = Rc::new([const { Cell::new(0_u32) }; 3]);
                let stop = Rc::new(Cell::new(false));
                let fibers: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
                    .into_iter()
                    .enumerate()
                    .flat_map(|(i, priority)| [(i, priority); 3])
                    .map(|(i, priority)| {
                        let (turns, stop) = (Rc::clone(&turns), Rc::clone(&stop));
                        Builder::new().priority(priority).spawn(move || {
                            while !stop.get() {
                                turns[i].set(turns[i].get() + 1);
                                yield_now();
                            }
                        })
                    })
                    .collect::<Result<_, _>>()
                    .unwrap();
                // This fiber is of normal priority, and has its turns, too.
                while turns[0].get() < 50 {
                    yield_now();
                }
                stop.set(true);
                fibers.into_iter().for_each(|fiber| fiber.join().unwrap());
                [turns[0].get(), turns[1].get(), turns[2].get()]
            })
            .unwrap();
        let [low, normal, high] = turns;
        assert!(high > 4 * normal && normal > low && low >= 50, "{turns:?}");
    });
}
