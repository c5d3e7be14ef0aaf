//! Times by the system's clocks, on epoll and on poll(2).

mod common;
#[path = "../examples/keep_a_schedule.rs"]
mod keep_a_schedule;

use becket_loop::{Loop, Next, Schedule};
use becket_sys::timer::{Clock, Event, Timer, When};
use common::{each_backend, skips_valgrind};
use rustix::time::{ClockId, clock_gettime, clock_settime};
use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);
const VDSO: &str = "it hides the vdso, where rustix reads the clock";

#[test]
fn the_example_keeps_its_schedule() {
    if !skips_valgrind("the_example_keeps_its_schedule", VDSO) {
        keep_a_schedule::main().unwrap();
    }
}

#[test]
fn a_schedule_is_never_early_and_ends_with_its_plan() {
    if skips_valgrind("a_schedule_is_never_early_and_ends_with_its_plan", VDSO) {
        return;
    }
    for clock in [Clock::Monotonic, Clock::Boottime, Clock::Realtime] {
        each_backend(|mut event_loop: Loop<Vec<Duration>>| {
            // What is planned, and how often that was told.
            let state = Rc::new((Cell::new(Duration::ZERO), Cell::new(0)));
            let plan = {
                let state = Rc::clone(&state);
                move |now: Duration| {
                    state.0.set(now + Duration::from_millis(4));
                    (state.1.get() < 3).then_some(state.0.get())
                }
            };
            let id = event_loop
                .on(Schedule::new(clock, plan).unwrap(), move |seen: &mut Vec<Duration>, _, at| {
                    assert_eq!(at, state.0.get());
                    assert!(at <= clock.now());
                    state.1.set(state.1.get() + 1);
                    seen.push(at);
                    Ok(Next::Keep)
                })
                .unwrap();
            assert!(event_loop.get(id).unwrap().next().is_some());
            let mut seen = Vec::new();
            assert_eq!(event_loop.run(&mut seen).unwrap(), 0, "the source is gone with the last time");
            assert!(event_loop.get(id).is_none());
            assert_eq!(seen.len(), 3);
        });
    }
}

#[test]
fn a_schedule_of_nothing_is_removed_and_one_of_the_past_is_refused() {
    if skips_valgrind("a_schedule_of_nothing_is_removed_and_one_of_the_past_is_refused", VDSO) {
        return;
    }
    let mut event_loop: Loop<()> = Loop::new().unwrap();
    let nothing = Schedule::new(Clock::Realtime, |_| None).unwrap();
    assert_eq!(nothing.next(), None);
    event_loop.on(nothing, |_, _, _| panic!("nothing was planned")).unwrap();
    assert_eq!(event_loop.run(&mut ()).unwrap(), 0);
    for clock in [Clock::Boottime, Clock::Realtime] {
        let error = Schedule::new(clock, Some).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    // Later it is an error of the source's, and not a loop without end.
    let first = Cell::new(true);
    let plan = move |now| Some(if first.take() { now + Duration::from_millis(1) } else { now });
    let id = event_loop.on(Schedule::new(Clock::Boottime, plan).unwrap(), |_, _, _| Ok(Next::Keep)).unwrap();
    let error = event_loop.run(&mut ()).unwrap_err();
    assert!(error.to_string().contains("not after"), "{error}");
    assert_eq!(event_loop.run(&mut ()).unwrap(), 0, "it is disabled");
    assert!(event_loop.cancel(id));
}

/// Sets the clock to what it is, which is a change like any other.
fn touch_the_clock(test: &str) -> bool {
    let set = clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime));
    set.map_err(|e| println!("SKIP: {test}: the clock cannot be set ({e})")).is_ok()
}

#[test]
fn trap_21_a_schedule_is_planned_anew_when_the_clock_is_set() {
    let name = "trap_21_a_schedule_is_planned_anew_when_the_clock_is_set";
    if skips_valgrind(name, VDSO) {
        return;
    }
    each_backend(|mut event_loop: Loop<()>| {
        let plans = Rc::new(Cell::new(0));
        let plan = {
            let plans = Rc::clone(&plans);
            move |now| {
                plans.set(plans.get() + 1);
                Some(now + HOUR)
            }
        };
        let id = event_loop
            .on(Schedule::new(Clock::Realtime, plan).unwrap(), |_, _, at| panic!("{at:?} is an hour away"))
            .unwrap();
        let (before, first) = (plans.get(), event_loop.get(id).unwrap().next());
        if !touch_the_clock(name) {
            return;
        }
        let end = Instant::now() + LONG;
        while plans.get() == before {
            assert!(Instant::now() < end, "nobody told of the change");
            event_loop.turn(&mut (), Some(LONG)).unwrap();
        }
        assert!(event_loop.get(id).unwrap().next() > first);
    });
}

#[test]
fn a_timer_that_counts_sleep_is_never_early() {
    if skips_valgrind("a_timer_that_counts_sleep_is_never_early", VDSO) {
        return;
    }
    each_backend(|mut event_loop: Loop<u64>| {
        let timer = Timer::new(Clock::Boottime).unwrap();
        let at = Clock::Boottime.now() + Duration::from_millis(5);
        timer.set(When::At(at), None).unwrap();
        event_loop
            .on(timer, move |n: &mut u64, _, event| {
                assert!(Clock::Boottime.now() >= at);
                assert_eq!(event, Event::Expired(1));
                *n += 1;
                Ok(Next::Remove)
            })
            .unwrap();
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        assert_eq!(n, 1);
    });
}
