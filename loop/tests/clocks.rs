//! Timers by other clocks than the loop's own.

mod common;

use becket_loop::backend::{Epoll, Scripted};
use becket_loop::{EveryOn, Id, Loop, Missed, Next, SourceKind, TestClock, TestTime, Tick, Timer};
use becket_sys::timer::Clock;
use common::{each_backend, skips_valgrind};
use rustix::time::{ClockId, clock_gettime, clock_settime};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const VDSO: &str = "it hides the vdso, where rustix reads the clock";

#[test]
fn timers_on_each_clock_are_never_early_and_end_with_the_loop() {
    if skips_valgrind("timers_on_each_clock_are_never_early_and_end_with_the_loop", VDSO) {
        return;
    }
    for clock in [Clock::Monotonic, Clock::Boottime, Clock::Realtime] {
        each_backend(|mut event_loop: Loop<u32>| {
            let period = Duration::from_millis(3);
            let start = clock.now() + period;
            let mut due = start;
            event_loop
                .every_on(
                    EveryOn::new(clock, period).first(start).missed(Missed::Burst),
                    move |n: &mut u32, _, tick| {
                        assert!(clock.now() >= due, "early by {:?}", due - clock.now());
                        assert!(tick.due <= Instant::now());
                        due += period;
                        *n += 1;
                        Ok(if *n % 100 < 5 { Next::Keep } else { Next::Remove })
                    },
                )
                .unwrap();
            event_loop
                .at_on(clock, start, move |n, _| {
                    assert!(clock.now() >= start);
                    *n += 100;
                    Ok(())
                })
                .unwrap();
            let mut n = 0;
            assert_eq!(event_loop.run(&mut n).unwrap(), 0, "what watches the clocks is no reason to go on");
            assert_eq!(n, 105);
            assert_eq!(event_loop.sources().count(), 0, "it left with the last timer");
        });
    }
}

#[test]
fn clocks_that_wake_the_system_are_refused() {
    for clock in [Clock::BoottimeAlarm, Clock::RealtimeAlarm] {
        let mut event_loop: Loop<()> = Loop::new().unwrap();
        let e = event_loop.every_on(EveryOn::new(clock, HOUR), |_, _, _| Ok(Next::Keep)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        let e = event_loop.at_on(clock, HOUR, |_, _| Ok(())).unwrap_err();
        assert_eq!((e.kind(), event_loop.sources().count()), (ErrorKind::Unsupported, 0));
    }
}

#[test]
fn one_descriptor_serves_them_all() {
    let mut event_loop: Loop<()> = Loop::new().unwrap();
    let far = event_loop.clock_now(Clock::Realtime) + HOUR;
    let on = |clock| move |event_loop: &mut Loop<()>| event_loop.at_on(clock, far, |_, _| Ok(())).unwrap();
    let ids: Vec<Id<Timer>> = (0..100)
        .map(|n| if n % 2 == 0 { on(Clock::Realtime)(&mut event_loop) } else { on(Clock::Boottime)(&mut event_loop) })
        .collect();
    let io = |event_loop: &Loop<()>| event_loop.sources().filter(|source| source.kind == SourceKind::Io).count();
    assert_eq!(io(&event_loop), 1);
    assert_eq!(event_loop.sources().find_map(|source| source.name), Some("clock changes"));
    for id in &ids[1..] {
        assert!(event_loop.cancel(*id) && !event_loop.cancel(*id));
    }
    assert_eq!(io(&event_loop), 1);
    assert!(event_loop.disarm(ids[0]));
    assert_eq!(event_loop.run(&mut ()).unwrap(), 0, "a timer that is not armed keeps no loop alive");
    assert!(event_loop.cancel(ids[0]));
    assert_eq!(io(&event_loop), 0);
}

/// A loop on a clock that is played, and what its timers told.
fn played() -> (Loop<Vec<Tick>>, TestClock) {
    let (backend, clock) = TestTime::over(Epoll::new().unwrap());
    (Loop::with_backend(backend), clock)
}

fn note(ticks: &mut Vec<Tick>, _: &mut becket_loop::Ctx<Vec<Tick>>, tick: Tick) -> becket_loop::Result {
    ticks.push(tick);
    Ok(Next::Keep)
}

/// Turns until nothing more is due, without any time.
fn settle(event_loop: &mut Loop<Vec<Tick>>, ticks: &mut Vec<Tick>) {
    for _ in 0..20 {
        event_loop.turn(ticks, Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn trap_21_a_timer_by_boot_time_counts_sleep_and_one_by_the_loops_clock_does_not() {
    for (missed, calls) in [(Missed::Skip, 1), (Missed::Delay, 1), (Missed::Burst, 3)] {
        let (mut event_loop, clock) = played();
        event_loop.every_on(EveryOn::new(Clock::Boottime, HOUR).missed(missed), note).unwrap();
        event_loop.every(2 * HOUR, |_, _, _| panic!("the loop's clock stood still"));
        let mut ticks = Vec::new();
        settle(&mut event_loop, &mut ticks);
        assert!(ticks.is_empty());
        clock.sleep(3 * HOUR + MINUTE);
        settle(&mut event_loop, &mut ticks);
        assert_eq!((ticks.len(), ticks[0].missed), (calls, 2), "{missed:?}");
        assert!(ticks.iter().all(|tick| !tick.clock_set), "boot time cannot be set");
        // The next one: in phase, or a period after the call.
        let (before, wait) = (clock.now(), if missed == Missed::Delay { HOUR } else { HOUR - MINUTE });
        clock.pass(wait - Duration::from_nanos(1));
        settle(&mut event_loop, &mut ticks);
        assert_eq!(ticks.len(), calls, "early");
        clock.pass(Duration::from_nanos(1));
        settle(&mut event_loop, &mut ticks);
        assert_eq!((ticks.len(), clock.now() - before), (calls + 1, wait));
    }
}

#[test]
fn trap_21_a_timer_by_the_time_of_day_keeps_its_phase_when_that_is_set() {
    for missed in [Missed::Skip, Missed::Burst] {
        let (mut event_loop, clock) = played();
        let on_the_hour = EveryOn::new(Clock::Realtime, HOUR).first(Duration::ZERO).missed(missed);
        event_loop.every_on(on_the_hour, note).unwrap();
        let (noon, mut ticks) = (500_000 * HOUR, Vec::new());
        clock.set_realtime(noon + 10 * MINUTE);
        settle(&mut event_loop, &mut ticks);
        ticks.clear();

        // Forward past five of its times: one call.
        clock.set_realtime(noon + 5 * HOUR + 20 * MINUTE);
        settle(&mut event_loop, &mut ticks);
        assert_eq!(ticks.len(), 1, "{missed:?}");
        assert!(ticks[0].clock_set);
        assert_eq!(ticks[0].missed, if missed == Missed::Skip { 4 } else { 0 });
        assert_eq!(clock.now() - ticks[0].due, if missed == Missed::Skip { 4 } else { 0 } * HOUR + 20 * MINUTE);

        // Back by years: on the next hour all the same.
        clock.set_realtime(noon / 2 + 30 * MINUTE);
        settle(&mut event_loop, &mut ticks);
        assert_eq!(ticks.len(), 1);
        clock.pass(30 * MINUTE - Duration::from_nanos(1));
        settle(&mut event_loop, &mut ticks);
        assert_eq!(ticks.len(), 1, "early");
        clock.pass(Duration::from_nanos(1));
        settle(&mut event_loop, &mut ticks);
        assert_eq!((ticks.len(), ticks[1].clock_set, ticks[1].missed), (2, true, 0));
        clock.pass(HOUR);
        settle(&mut event_loop, &mut ticks);
        assert_eq!((ticks.len(), ticks[2].clock_set), (3, false), "told once");
    }
}

#[test]
fn a_first_time_far_off_stays_what_it_was_when_the_clock_is_set_back() {
    let (mut event_loop, clock) = played();
    let noon = 500_000 * HOUR;
    clock.set_realtime(noon);
    event_loop.every_on(EveryOn::new(Clock::Realtime, MINUTE).first(noon + HOUR), note).unwrap();
    event_loop.at_on(Clock::Realtime, noon + HOUR, |ticks: &mut Vec<Tick>, _| Ok(ticks.clear())).unwrap();
    let mut ticks = Vec::new();
    clock.set_realtime(noon - HOUR);
    settle(&mut event_loop, &mut ticks);
    clock.pass(2 * HOUR - Duration::from_nanos(1));
    settle(&mut event_loop, &mut ticks);
    assert_eq!((ticks.len(), event_loop.stats().callbacks), (0, 1), "the change alone was told");
    clock.pass(Duration::from_nanos(1));
    settle(&mut event_loop, &mut ticks);
    assert_eq!(event_loop.stats().callbacks, 3);
}

#[test]
fn they_are_armed_disarmed_enabled_and_delayed_as_any_other() {
    let (mut event_loop, clock) = played();
    let id = event_loop.every_on(EveryOn::new(Clock::Boottime, HOUR), note).unwrap();
    let mut ticks = Vec::new();
    // Armed by the loop's clock, it still counts sleep.
    assert!(event_loop.arm(id, clock.now() + 10 * MINUTE));
    clock.sleep(9 * MINUTE);
    settle(&mut event_loop, &mut ticks);
    assert_eq!(ticks.len(), 0);
    clock.pass(MINUTE);
    settle(&mut event_loop, &mut ticks);
    assert_eq!(ticks.len(), 1);
    // Disabled, it sleeps over its times; enabled, it comes in phase.
    assert!(event_loop.enable(id, false));
    clock.sleep(HOUR + 20 * MINUTE);
    settle(&mut event_loop, &mut ticks);
    assert_eq!(ticks.len(), 1);
    assert!(event_loop.enable(id, true));
    clock.pass(40 * MINUTE - Duration::from_nanos(1));
    settle(&mut event_loop, &mut ticks);
    assert_eq!(ticks.len(), 1);
    clock.pass(Duration::from_nanos(1));
    settle(&mut event_loop, &mut ticks);
    assert_eq!((ticks.len(), ticks[1].missed), (2, 0));
    // A callback that fails disables it, one that asks for it is called again, and the phase stays.
    let mut answers = vec![Ok(Next::Again), Ok(Next::Keep), Err("no".into())].into_iter();
    let id = event_loop
        .every_on(EveryOn::new(Clock::Realtime, 7 * MINUTE), move |ticks: &mut Vec<Tick>, _, tick| {
            ticks.push(tick);
            answers.next().unwrap()
        })
        .unwrap();
    ticks.clear();
    clock.pass(7 * MINUTE);
    settle(&mut event_loop, &mut ticks);
    assert_eq!(ticks.len(), 2);
    clock.pass(7 * MINUTE);
    assert!(event_loop.turn(&mut ticks, Some(Duration::ZERO)).is_err());
    assert_eq!(ticks.len(), 3);
    assert!(event_loop.sources().find(|source| source.id == id.into()).is_some_and(|source| !source.enabled));
}

#[test]
fn a_day_of_them_passes_on_a_scripted_clock() {
    let (backend, _script) = Scripted::new();
    let mut event_loop: Loop<u32> = Loop::with_backend(backend);
    for clock in [Clock::Monotonic, Clock::Boottime, Clock::Realtime] {
        event_loop
            .every_on(EveryOn::new(clock, MINUTE), |n: &mut u32, _, tick| {
                *n += 1;
                assert_eq!(tick.missed, 0);
                Ok(Next::Keep)
            })
            .unwrap();
    }
    let mut n = 0;
    event_loop.after(24 * HOUR + Duration::from_secs(1), |_, ctx| Ok(ctx.exit(7)));
    assert_eq!(event_loop.run(&mut n).unwrap(), 7);
    assert_eq!(n, 3 * 24 * 60);
}

#[test]
fn trap_21_the_kernel_tells_that_its_clock_was_set() {
    let name = "trap_21_the_kernel_tells_that_its_clock_was_set";
    if skips_valgrind(name, VDSO) {
        return;
    }
    each_backend(|mut event_loop: Loop<Option<Tick>>| {
        let every = EveryOn::new(Clock::Realtime, Duration::from_millis(400));
        event_loop
            .every_on(every, |seen, ctx, tick| {
                *seen = Some(tick);
                if tick.clock_set {
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        // To what it is, which is a change like any other.
        if let Err(e) = clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime)) {
            return println!("SKIP: {name}: the clock cannot be set ({e})");
        }
        event_loop.after(LONG, |_, ctx| Ok(ctx.exit(1)));
        assert_eq!(event_loop.run(&mut None).unwrap(), 0);
    });
}
