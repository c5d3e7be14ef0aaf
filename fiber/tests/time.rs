//! Sleeping, deadlines, intervals.

mod common;

use becket_fiber::{
    Missed, current_deadline, deadline, interval, scope, sleep, sleep_until, spawn, timeout, yield_now,
};
use common::{HOUR, each_backend, kind};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

#[test]
fn sleep_is_never_early() {
    each_backend(|rt| {
        rt.run(|| {
            for micros in [1, 50, 999, 1000, 1001, 5000] {
                let start = Instant::now();
                sleep(Duration::from_micros(micros)).unwrap();
                assert!(start.elapsed() >= Duration::from_micros(micros));
            }
            sleep_until(Instant::now() - MS).unwrap();
            sleep(Duration::ZERO).unwrap();
        })
        .unwrap();
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    each_backend(|rt| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = order.clone();
        rt.run(move || {
            let start = Instant::now();
            let all: Vec<_> = [30, 10, 20]
                .into_iter()
                .map(|ms| {
                    let seen = seen.clone();
                    spawn(move || {
                        sleep_until(start + ms * MS).unwrap();
                        seen.borrow_mut().push(ms);
                    })
                    .unwrap()
                })
                .collect();
            all.into_iter().for_each(|f| f.join().unwrap());
        })
        .unwrap();
        assert_eq!(*order.borrow(), [10, 20, 30]);
    });
}

#[test]
fn the_earliest_deadline_counts_and_is_taken_back() {
    each_backend(|rt| {
        rt.run(|| {
            let start = Instant::now();
            timeout(HOUR, || {
                let outer = current_deadline();
                let e = timeout(5 * MS, || timeout(HOUR, || sleep(HOUR)));
                assert_eq!(kind(e), Some(ErrorKind::TimedOut));
                assert_eq!(current_deadline(), outer);
            });
            assert!(start.elapsed() >= 5 * MS);
            assert_eq!(current_deadline(), None);
            // One that is over ends every call, also those that would not have to wait.
            deadline(start, || {
                assert_eq!(kind(sleep(HOUR)), Some(ErrorKind::TimedOut));
                assert_eq!(kind(sleep(Duration::ZERO)), Some(ErrorKind::TimedOut));
            });
            // The sleep's own end is no timeout.
            timeout(HOUR, || sleep(MS)).unwrap();
            timeout(Duration::MAX, || sleep(MS)).unwrap();
        })
        .unwrap();
    });
}

#[test]
fn rule_10_a_deadline_is_inherited_by_children_of_scopes_alone() {
    each_backend(|rt| {
        rt.run(|| {
            timeout(5 * MS, || {
                let detached = spawn(|| current_deadline().is_none()).unwrap();
                let inner = Cell::new(None);
                scope(|s| {
                    s.spawn(|| scope(|s| drop(s.spawn(|| inner.set(kind(sleep(HOUR))))))).unwrap();
                });
                assert_eq!(inner.get(), Some(ErrorKind::TimedOut));
                while !detached.is_finished() {
                    yield_now();
                }
            });
            assert_eq!(spawn(current_deadline).unwrap().join().unwrap(), None);
        })
        .unwrap();
    });
}

#[test]
fn a_child_gets_its_parents_deadline() {
    each_backend(|rt| {
        rt.run(|| {
            let at = Instant::now() + HOUR;
            deadline(at, || scope(|s| assert_eq!(s.spawn(current_deadline).unwrap().join().unwrap(), Some(at))));
        })
        .unwrap();
    });
}

#[test]
fn an_interval_keeps_its_phase() {
    each_backend(|rt| {
        rt.run(|| {
            let start = Instant::now();
            let mut ticks = interval(10 * MS).first(start);
            assert_eq!(ticks.tick().unwrap().due, start);
            thread::sleep(35 * MS); // the whole thread is late
            let late = ticks.tick().unwrap();
            assert!(late.missed >= 2, "{late:?}");
            let next = ticks.tick().unwrap();
            for tick in [late, next] {
                assert_eq!((tick.due - start).as_nanos() % (10 * MS).as_nanos(), 0, "{tick:?}");
            }
            assert!(Instant::now() >= next.due);
        })
        .unwrap();
    });
}

#[test]
fn missed_ticks_come_in_a_burst_or_delay_the_next() {
    each_backend(|rt| {
        rt.run(|| {
            let start = Instant::now();
            let mut burst = interval(5 * MS).first(start).missed(Missed::Burst);
            let mut delay = interval(5 * MS).first(start).missed(Missed::Delay);
            thread::sleep(20 * MS);
            for i in 0..4 {
                assert_eq!(burst.tick().unwrap().due, start + i * 5 * MS);
            }
            delay.tick().unwrap();
            assert!(delay.tick().unwrap().due >= start + 25 * MS);
        })
        .unwrap();
    });
}

#[test]
fn an_interrupted_tick_is_still_to_come() {
    each_backend(|rt| {
        rt.run(|| {
            let first = Instant::now() + 20 * MS;
            let mut ticks = interval(HOUR).first(first);
            assert_eq!(kind(timeout(Duration::ZERO, || ticks.tick())), Some(ErrorKind::TimedOut));
            assert_eq!(ticks.tick().unwrap().due, first);
        })
        .unwrap();
    });
}

#[test]
fn a_plain_thread_sleeps_and_has_deadlines_too() {
    let start = Instant::now();
    sleep(MS).unwrap();
    assert_eq!(kind(timeout(2 * MS, || sleep(HOUR))), Some(ErrorKind::TimedOut));
    assert!(start.elapsed() >= 3 * MS);
    assert_eq!(current_deadline(), None);
}
