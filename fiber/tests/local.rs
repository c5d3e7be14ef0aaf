//! Values of which each fiber has its own, and priorities.

mod common;

use becket_fiber::sync::{Mutex, channel, oneshot};
use becket_fiber::{
    Builder, JoinError, Priority, Runtime, fiber_local, fibers, report, scope, set_current_priority, sleep, spawn,
    stack_use, with_ctx, yield_now,
};
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

/// Uses all that the runtime keeps books of, wherever it is dropped.
struct UsesAll(Rc<Cell<u32>>);

impl Drop for UsesAll {
    fn drop(&mut self) {
        let (spawned, count) = (spawn(|| ()), self.0.clone());
        drop((fibers(), report(true), stack_use(), spawned));
        let _ = with_ctx(|ctx| ctx.defer(|(), _| Ok(())));
        COUNT.with(|n| n.set(n.get() + 1));
        yield_now();
        count.set(count.get() + 1);
    }
}

#[test]
fn rule_11_whatever_the_users_code_asks_while_it_is_called_no_borrow_is_in_its_way() {
    each_backend(|runtime| {
        let count = Rc::new(Cell::new(0));
        let all = || UsesAll(count.clone());
        runtime
            .run(|| {
                // A result that nobody takes, one of a fiber that is let go, one of an aborted one, and of a scope's child.
                let (first, second, third, fourth) = (all(), all(), all(), all());
                drop(spawn(move || first).unwrap());
                let kept = spawn(move || second).unwrap();
                let aborted = spawn(move || sleep(HOUR).map(|()| third)).unwrap();
                settle();
                drop(kept);
                aborted.abort().unwrap();
                drop(aborted);
                scope(|s| drop(s.spawn(move || fourth).unwrap()));
                // Values of channels and locks, closures in the loop, wakers.
                let (sender, receiver) = channel(3);
                sender.send(all()).unwrap();
                drop((sender, receiver));
                let (answer, answered) = oneshot();
                answer.send(all()).map_err(drop).unwrap();
                drop(answered);
                drop(Mutex::new(all()));
                let held = all();
                with_ctx(|ctx| ctx.defer(move |(), _| Ok(drop(held)))).unwrap();
                while count.get() < 8 {
                    sleep(Duration::from_millis(1)).unwrap();
                }
            })
            .unwrap();
        assert_eq!(count.get(), 8);
    });
}

#[test]
fn a_borrow_that_the_program_holds_across_a_wait_is_refused_to_the_next_fiber_by_a_panic_of_that() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let cell = Rc::new(RefCell::new(1));
                let (first, second) = (cell.clone(), cell.clone());
                let holds = spawn(move || {
                    let mut value = first.borrow_mut();
                    yield_now();
                    *value += 1;
                    *value
                })
                .unwrap();
                let wants = spawn(move || {
                    // As a panic of `borrow` would be, but that it is not reported.
                    second.try_borrow().map(|value| *value).unwrap_or_else(|_| quiet_panic())
                })
                .unwrap();
                assert!(matches!(wants.join(), Err(JoinError::Panicked(_))));
                assert_eq!((holds.join().unwrap(), *cell.borrow()), (2, 2));
                // A value of the thread's, or of the fiber's, may be lent across a wait.
                let lent = || {
                    COUNT.with(|count| {
                        count.set(5);
                        DROPS.with(|_| yield_now());
                        count.get()
                    })
                };
                let (a, b) = (spawn(lent).unwrap(), spawn(lent).unwrap());
                assert_eq!((a.join().unwrap(), b.join().unwrap()), (5, 5));
            })
            .unwrap();
    });
}

#[test]
fn a_priority_may_be_changed_later() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let order = RefCell::new(String::new());
                let gate = becket_fiber::sync::Event::new();
                scope(|s| {
                    let named = |name: char| {
                        let (order, gate) = (&order, &gate);
                        move || {
                            gate.wait().unwrap();
                            order.borrow_mut().push(name);
                        }
                    };
                    let low = s.spawn_with(Builder::new().priority(Priority::Low), named('a')).unwrap();
                    let normal = s.spawn(named('b')).unwrap();
                    let high = s.spawn_named("high", named('c')).unwrap();
                    assert_eq!(high.name().as_deref(), Some("high"));
                    sleep(Duration::from_millis(1)).unwrap(); // now all wait
                    low.set_priority(Priority::High);
                    high.set_priority(Priority::Low);
                    assert_eq!(set_current_priority(Priority::High), Some(Priority::Normal));
                    gate.set();
                    normal.join().unwrap();
                    assert_eq!(*order.borrow(), "ab");
                    high.join().unwrap();
                });
                assert_eq!(*order.borrow(), "abc");
                assert_eq!(set_current_priority(Priority::Normal), Some(Priority::High));
                // One in the queue has its turn all the same; one that has ended is not in the way.
                let fiber = spawn(|| fibers().len()).unwrap();
                fiber.set_priority(Priority::Low);
                settle();
                fiber.set_priority(Priority::High);
                assert_eq!(fiber.join().unwrap(), 2);
            })
            .unwrap();
    });
}
