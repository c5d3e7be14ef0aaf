//! Hours of many timers, on clocks that jump.

use becket_loop::backend::{Backend, Poll, Scripted};
use becket_loop::{Ctx, Every, Loop, Missed, Next, Plain, Ready, TestTime, Tick};
use std::rc::Rc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MANY: usize = 10_000;

/// What the timers of a day tell, by their number.
struct Day {
    /// When the clock was moved on last, while a callback ran.
    disturbed: Instant,
    calls: Vec<u64>,
    /// The calls, and the periods that had none.
    periods: Vec<u64>,
    next: Vec<Instant>,
}

impl Day {
    /// Checks the time of a call: never early, and late no more than the timer may be, or where the loop was kept.
    fn called(&mut self, number: usize, due: Instant, now: Instant, slack: Duration) {
        assert!(due <= now, "{number} is early");
        assert!(now <= due + slack || now == self.disturbed, "{number} is late by {:?}", now - due);
        self.calls[number] += 1;
    }
}

fn random(mut seed: u64) -> impl FnMut(Duration, Duration) -> Duration {
    move |least, most| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + Duration::from_nanos((seed >> 16) % (most - least).as_nanos() as u64)
    }
}

/// A timer that is armed anew again and again, before it is due, until one time that is the last.
fn bite(day: &mut Day, ctx: &mut Ctx<Day>, number: u64, _: Ready) -> Next {
    let number = number as usize;
    day.called(number, day.next[number], ctx.now(), Duration::ZERO);
    Next::Keep
}

/// A day of timers of all kinds, with calls that take an hour now and then.
fn day(backend: impl Backend + 'static, pass: impl Fn(Duration) + 'static) {
    let mut event_loop: Loop<Day> = Loop::with_backend(backend);
    let start = event_loop.now();
    let end = start + 24 * HOUR;
    let mut random = random(24);
    let mut day = Day { disturbed: start, calls: vec![0; MANY], periods: vec![0; MANY], next: vec![start; MANY] };
    let mut plan = Vec::new(); // by number: the first time, the period and the slack of a periodic one
    for number in 0..MANY {
        let when = start + random(Duration::ZERO, 24 * HOUR);
        let slack = if number % 3 == 0 { random(SECOND, HOUR) } else { Duration::ZERO };
        let missed = [Missed::Skip, Missed::Burst, Missed::Delay][number % 7 % 3];
        day.next[number] = when;
        match number % 7 {
            0..4 => {
                let (first, period) = (start + random(Duration::ZERO, HOUR), random(HOUR / 4, 3 * HOUR));
                let mut expected = first;
                let every = Every::new(period).first(first).missed(missed);
                let id = event_loop.every(every, move |day: &mut Day, ctx, tick: Tick| {
                    assert_eq!(tick.due, expected, "{number} drifts, or loses a period");
                    let now = ctx.now();
                    day.called(number, tick.due, now, slack);
                    let periods = if missed == Missed::Skip { tick.missed + 1 } else { 1 };
                    day.periods[number] += periods;
                    expected = match missed {
                        Missed::Delay => now + period,
                        _ => tick.due + period * periods as u32,
                    };
                    day.next[number] = expected;
                    Ok(Next::Keep)
                });
                event_loop.set_slack(id, slack);
                plan.push((number, missed, first, period, slack));
            }
            4 => {
                let id = event_loop.at(when, move |day: &mut Day, ctx| Ok(day.called(number, when, ctx.now(), slack)));
                event_loop.set_slack(id, slack);
            }
            5 => {
                let id = event_loop.at(when, move |_, _| panic!("{number} was cancelled"));
                event_loop.at(start + (when - start) / 2, move |_, ctx| Ok(assert!(ctx.cancel(id))));
            }
            _ => {
                let dog = event_loop.timer_plain(Plain { call: bite, data: number as u64 });
                let period = random(HOUR / 2, 2 * HOUR);
                event_loop.arm(dog, start + 3 * period);
                day.next[number] = start + 3 * period;
                event_loop.every(period, move |day: &mut Day, ctx, _| {
                    let now = ctx.now();
                    assert!(ctx.arm(dog, now + 3 * period));
                    day.next[number] = now + 3 * period;
                    Ok(if now > when { Next::Remove } else { Next::Keep })
                });
            }
        }
    }
    let pass = Rc::new(pass);
    for hour in [2, 5, 6, 11, 17] {
        let pass = Rc::clone(&pass);
        event_loop.at(start + hour * HOUR, move |day: &mut Day, ctx| {
            pass(HOUR + SECOND * hour);
            Ok(day.disturbed = ctx.now())
        });
    }
    event_loop.at(end, |_, ctx| Ok(ctx.exit(24)));
    assert_eq!(event_loop.run(&mut day).unwrap(), 24);
    assert_eq!(event_loop.now(), end, "it takes no longer than it takes");

    for (number, missed, first, period, slack) in plan {
        assert!(day.next[number] + slack > end, "{number} has stopped");
        let all = (end - first).as_nanos() / period.as_nanos() + 1;
        let (calls, periods) = (day.calls[number], u128::from(day.periods[number]));
        match missed {
            // One that has slack may have its last period before it.
            Missed::Skip | Missed::Burst => assert!(periods == all || periods + 1 == all && !slack.is_zero()),
            Missed::Delay => assert!((5..=all as u64).contains(&calls)),
        }
    }
    for number in (0..MANY).filter(|number| number % 7 > 3) {
        let expected = match number % 7 {
            4 => 1,
            5 => 0,
            _ => u64::from(day.next[number] <= end),
        };
        let may_wait = number % 7 == 4 && number % 3 == 0 && day.next[number] + HOUR > end;
        assert!(day.calls[number] == expected || may_wait, "{number} was called {} times", day.calls[number]);
    }
    let all: u64 = day.calls.iter().sum();
    assert!(all > 50_000, "{all} calls");
}

#[test]
fn a_day_of_ten_thousand_timers_on_the_scripted_clock() {
    let (backend, script) = Scripted::new();
    day(backend, move |time| script.pass(time));
}

#[test]
fn a_day_of_ten_thousand_timers_over_real_descriptors() {
    let (backend, clock) = TestTime::over(Poll::new().unwrap());
    day(backend, move |time| clock.pass(time));
}

/// A thousand that need not be exact share their wake-ups: between two of them lies the slack at least. One that is to
/// be exact is, among them.
#[test]
fn a_thousand_periods_with_slack_cost_few_wake_ups() {
    let (backend, _script) = Scripted::new();
    let mut event_loop: Loop<[u64; 2]> = Loop::with_backend(backend);
    let start = event_loop.now();
    let (period, slack) = (60 * SECOND, 6 * SECOND);
    let mut random = random(1);
    for _ in 0..1000 {
        let every = Every::new(period).first(start + random(Duration::ZERO, period));
        let id = event_loop.every(every, move |calls: &mut [u64; 2], ctx, tick| {
            assert!(tick.due <= ctx.now() && ctx.now() <= tick.due + slack);
            assert_eq!(tick.missed, 0);
            calls[0] += 1;
            Ok(Next::Keep)
        });
        assert!(event_loop.set_slack(id, slack));
    }
    let exact = Every::new(7 * SECOND);
    event_loop.every(exact, |calls, ctx, tick| {
        assert_eq!(tick.due, ctx.now());
        calls[1] += 1;
        Ok(Next::Keep)
    });
    event_loop.at(start + HOUR, |_, ctx| Ok(ctx.exit(0)));
    let mut calls = [0; 2];
    event_loop.run(&mut calls).unwrap();
    let slacks = HOUR.as_secs() / slack.as_secs();
    assert!((59_000..=60_000).contains(&calls[0]), "{calls:?}");
    assert_eq!(calls[1], HOUR.as_secs() / 7);
    let waits = event_loop.stats().waits;
    assert!(waits <= slacks + calls[1] + 2, "{waits} wake-ups");
}

#[test]
fn a_turn_has_one_time_for_all_that_it_calls() {
    fn expired(log: &mut Vec<Instant>, ctx: &mut Ctx<Vec<Instant>>, _: u64, _: Ready) -> Next {
        log.push(ctx.now());
        Next::Keep
    }
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<Vec<Instant>> = Loop::with_backend(backend);
    let start = event_loop.now();
    let timeout = event_loop.timer_plain(Plain { call: expired, data: 0 });
    for _ in 0..3 {
        let script = script.clone();
        event_loop.after(SECOND, move |log, ctx| {
            log.push(ctx.turn_time());
            script.pass(SECOND); // it takes its time
            assert!(ctx.arm_timeout(timeout, 10 * SECOND));
            assert!(ctx.sources().any(|timer| timer.due == Some(start + 11 * SECOND)));
            Ok(())
        });
    }
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    let [once, told] = [start + SECOND, start + 11 * SECOND];
    assert_eq!(log, [once, once, once, told]);

    // Outside of turns it is what the clock says.
    script.pass(SECOND);
    assert_eq!(event_loop.turn_time(), event_loop.now());
    assert!(event_loop.arm_timeout(timeout, SECOND));
    event_loop.run(&mut log).unwrap();
    assert_eq!(log[4..], [told + 2 * SECOND]);
    // A time that nobody lives to see, and a timer that is gone.
    assert!(event_loop.arm_timeout(timeout, Duration::MAX) && event_loop.cancel(timeout));
    assert!(!event_loop.arm_timeout(timeout, SECOND));
}

#[test]
fn a_timeout_of_the_turn_sets_the_phase_of_a_periodic_timer() {
    let (backend, _script) = Scripted::new();
    let mut event_loop: Loop<Vec<Instant>> = Loop::with_backend(backend);
    let start = event_loop.now();
    let id = event_loop.every(10 * SECOND, |log, ctx, tick| {
        log.push(tick.due);
        if log.len() == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    });
    event_loop.after(3 * SECOND, move |_, ctx| {
        assert!(ctx.arm_timeout(id, SECOND));
        Ok(())
    });
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, [start + 4 * SECOND, start + 14 * SECOND]);
}
