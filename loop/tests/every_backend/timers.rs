//! Timers: order, phase, and never early.

use super::*;
use becket_loop::{Ctx, Every, Id, Missed, Next, Plain, Tick, Timer};
use std::time::Instant;

on_every_backend! {
    fn slack_joins_wake_ups_and_is_never_early(world: World<Vec<u32>>) {
        let mut event_loop = world.event_loop;
        let start = event_loop.now();
        let ms = Duration::from_millis;
        for (number, time, slack) in [(1, 10, 60), (2, 20, 30), (3, 40, 0), (4, 90, 0)] {
            let timer = event_loop.after(ms(time), move |log: &mut Vec<u32>, ctx| {
                assert!(ctx.now() >= start + ms(time));
                log.push(number);
                Ok(())
            });
            assert!(event_loop.set_slack(timer, ms(slack)));
        }
        let mut log = Vec::new();
        event_loop.turn(&mut log, None).unwrap();
        assert_eq!(log[..3], [1, 2, 3], "in their order");
        assert!(event_loop.now() >= start + ms(40));
        event_loop.run(&mut log).unwrap();
        assert_eq!(log, [1, 2, 3, 4]);
        // It went with its timer, whose slot is used again.
        let before = event_loop.stats().waits;
        for time in [1, 2] {
            event_loop.after(ms(time), |_, _| Ok(()));
        }
        event_loop.turn(&mut log, None).unwrap();
        event_loop.run(&mut log).unwrap();
        assert!(event_loop.stats().waits > before);
        let stale = event_loop.after(LONG, |_, _| Ok(()));
        event_loop.cancel(stale);
        assert!(!event_loop.set_slack(stale, ms(1)));
    }

    fn a_timer_that_stays_is_called_as_often_as_it_is_armed(world: World<u32>) {
        let mut event_loop = world.event_loop;
        let ms = Duration::from_millis;
        let timer = event_loop.timer(|calls: &mut u32, ctx| {
            *calls += 1;
            match *calls {
                1 | 4 => Ok(Next::Keep),
                2 => Ok(Next::Again),
                3 => {
                    let own = ctx.current().unwrap();
                    assert!(!ctx.sources().any(|source| source.id == own && source.enabled), "it is not armed");
                    ctx.enable(own, true); // as an armed one, at once
                    Ok(Next::Keep)
                }
                5 => Err("no more".into()),
                _ => Ok(Next::Remove),
            }
        });
        let mut calls = 0;
        assert_eq!(event_loop.run(&mut calls).unwrap(), 0, "not armed, it keeps nothing alive");
        assert_eq!(calls, 0);
        // Put off, it is called once, and not before.
        let due = event_loop.now() + ms(4);
        for time in [1, 2, 4] {
            assert!(event_loop.arm(timer, due - ms(4) + ms(time)));
        }
        event_loop.run(&mut calls).unwrap();
        assert!(calls == 1 && event_loop.now() >= due);
        event_loop.arm(timer, due);
        event_loop.run(&mut calls).unwrap();
        assert_eq!(calls, 4);
        event_loop.arm(timer, due);
        assert!(event_loop.run(&mut calls).is_err());
        assert!(event_loop.arm(timer, due), "it failed, and stays");
        event_loop.run(&mut calls).unwrap();
        assert_eq!(calls, 6);
        assert!(!event_loop.arm(timer, due) && !event_loop.cancel(timer), "it is removed");
    }

    fn a_period_with_slack_keeps_its_phase(world: World<Vec<Duration>>) {
        let mut event_loop = world.event_loop;
        let start = event_loop.now();
        let ms = Duration::from_millis;
        let every = Every::new(ms(10)).first(start + ms(10));
        let timer = event_loop.every(every, move |log: &mut Vec<Duration>, _, tick| {
            log.push(tick.due - start);
            Ok(if log.len() < 5 { Next::Keep } else { Next::Remove })
        });
        event_loop.set_slack(timer, ms(4));
        let mut log = Vec::new();
        event_loop.run(&mut log).unwrap();
        assert!(log.iter().all(|due| due.as_nanos() % ms(10).as_nanos() == 0), "{log:?}");
    }

    fn trap_12_timers_are_never_early_and_come_in_order(world: World<Vec<(u64, Instant)>>) {
        let start = world.event_loop.now();
        for micros in [5000, 1, 700, 3000, 700, 0] {
            world.event_loop.at(start + Duration::from_micros(micros), move |seen: &mut Vec<_>, ctx| {
                seen.push((micros, ctx.now()));
                Ok(())
            });
        }
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 1, 700, 700, 3000, 5000]);
        assert!(seen.iter().all(|(micros, at)| *at - start >= Duration::from_micros(*micros)), "{seen:?}");
        assert!(seen.iter().all(|(_, at)| *at - start < LONG));
    }

    fn a_due_timer_may_be_cancelled_by_another(world: World<Vec<u32>>) {
        let now = world.event_loop.now();
        let later: Rc<std::cell::Cell<Option<Id<Timer>>>> = Rc::default();
        let inner = Rc::clone(&later);
        world.event_loop.at(now, move |seen: &mut Vec<u32>, ctx| {
            seen.push(1);
            assert!(ctx.cancel(inner.get().unwrap()));
            Ok(())
        });
        let id = world.event_loop.at(now, |seen: &mut Vec<u32>, _| Ok(seen.push(2)));
        later.set(Some(id));
        world.event_loop.at(now, |seen: &mut Vec<u32>, _| Ok(seen.push(3)));
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [1, 3]);
        assert!(!world.event_loop.cancel(id));
    }

    fn a_due_timer_that_is_moved_comes_at_its_new_time(world: World<Vec<u32>>) {
        let now = world.event_loop.now();
        let moved: Rc<std::cell::Cell<Option<Id<Timer>>>> = Rc::default();
        let inner = Rc::clone(&moved);
        world.event_loop.at(now, move |seen: &mut Vec<u32>, ctx| {
            seen.push(1);
            let when = ctx.now() + Duration::from_millis(2);
            assert!(ctx.arm(inner.get().unwrap(), when));
            Ok(())
        });
        moved.set(Some(world.event_loop.at(now, |seen: &mut Vec<u32>, _| Ok(seen.push(2)))));
        world.event_loop.at(now, |seen: &mut Vec<u32>, _| Ok(seen.push(3)));
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [1, 3, 2]);
    }

    fn a_due_timer_that_is_moved_comes_after_those_that_a_panic_left_over(world: World<Vec<u64>>) {
        fn call(log: &mut Vec<u64>, _: &mut Ctx<Vec<u64>>, name: u64, _: Ready) -> Next {
            log.push(name);
            Next::Keep
        }
        let l = &mut world.event_loop;
        let before = |nanos| l.now() - Duration::from_nanos(nanos);
        let times = [3, 2, 1].map(before);
        let moved = l.timer_plain(Plain { call, data: 2 });
        l.at(times[0], move |log, ctx| {
            log.push(1);
            ctx.arm(moved, times[1]);
            std::panic::resume_unwind(Box::new("on purpose")) // without a message
        });
        l.arm(moved, times[1]);
        let last = l.timer_plain(Plain { call, data: 3 });
        l.arm(last, times[2]);
        let mut log = Vec::new();
        let turn = |l: &mut Loop<_>, log: &mut _| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| l.turn(log, Some(Duration::ZERO)).unwrap()))
        };
        assert!(turn(l, &mut log).is_err());
        assert!(turn(l, &mut log).is_ok());
        assert_eq!(log, [1, 3, 2]);
    }

    fn a_timer_armed_for_now_has_its_turn_in_the_next_turn(world: World<Vec<u64>>) {
        fn rearm(seen: &mut Vec<u64>, ctx: &mut Ctx<Vec<u64>>) {
            seen.push(ctx.stats().waits);
            if seen.len() < 4 {
                ctx.after(Duration::ZERO, |seen, ctx| Ok(rearm(seen, ctx)));
            }
        }
        world.event_loop.defer(|seen, ctx| Ok(rearm(seen, ctx)));
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [1, 2, 3, 4]);
    }

    fn a_periodic_timer_is_disabled_and_enabled_in_phase(world: World<Vec<Instant>>) {
        let start = world.event_loop.now();
        let period = Duration::from_millis(20);
        let id = world.event_loop.every(period, |seen: &mut Vec<Instant>, _, tick| {
            seen.push(tick.due);
            Ok(Next::Disable)
        });
        let mut seen = Vec::new();
        assert_eq!(world.event_loop.run(&mut seen).unwrap(), 0, "a disabled timer keeps nothing alive");
        assert!(world.event_loop.enable(id, true));
        world.event_loop.run(&mut seen).unwrap();
        assert!(world.event_loop.cancel(id));
        assert!(seen[0] >= start + period && seen.len() == 2);
        assert_eq!((seen[1] - seen[0]).as_nanos() % period.as_nanos(), 0);
    }

    fn a_plain_timer_stays_and_is_armed_again(world: World<u64>) {
        fn count(n: &mut u64, _: &mut Ctx<u64>, data: u64, ready: Ready) -> Next {
            assert!(ready.is_empty());
            *n += data;
            Next::Keep
        }
        let id = world.event_loop.timer_plain(Plain { call: count, data: 2 });
        let mut n = 0;
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0);
        for _ in 0..3 {
            let now = world.event_loop.now();
            assert!(world.event_loop.arm(id, now));
            world.event_loop.run(&mut n).unwrap();
        }
        let later = world.event_loop.now() + LONG;
        world.event_loop.arm(id, later);
        assert!(world.event_loop.disarm(id) && !world.event_loop.disarm(id));
        world.event_loop.run(&mut n).unwrap();
        assert_eq!(n, 6);
    }

    fn times_beyond_all_bounds_never_come(world: World<()>) {
        let id = world.event_loop.after(Duration::MAX, |_, _| Ok(()));
        for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
            let every = Every::new(Duration::MAX).missed(missed);
            world.event_loop.every(every, |_, _, _| Ok(Next::Keep));
            world.event_loop.every(every.first(Instant::now()), |_, _, _| Ok(Next::Keep));
        }
        world.event_loop.after(Duration::from_secs(1 << 40), |_, _| Ok(()));
        world.event_loop.turn(&mut (), Some(Duration::ZERO)).unwrap();
        assert!(world.event_loop.cancel(id));
    }
}

/// The ticks of a periodic timer of 10 ms that is kept from running between 5 and 37 ms.
fn ticks(missed: Missed) -> Vec<(u64, u64)> {
    let mut world: World<Vec<Tick>> = World::scripted();
    let script = world.script.clone().unwrap();
    let start = world.event_loop.now();
    world.event_loop.every(Every::new(Duration::from_millis(10)).missed(missed), |seen: &mut Vec<Tick>, _, tick| {
        seen.push(tick);
        Ok(if seen.len() < 5 { Next::Keep } else { Next::Remove })
    });
    world.event_loop.after(Duration::from_millis(5), move |_, _| Ok(script.pass(Duration::from_millis(32))));
    let mut seen = Vec::new();
    world.event_loop.run(&mut seen).unwrap();
    seen.iter().map(|tick| ((tick.due - start).as_millis() as u64, tick.missed)).collect()
}

#[test]
fn skipping_keeps_the_phase() {
    assert_eq!(ticks(Missed::Skip), [(10, 2), (40, 0), (50, 0), (60, 0), (70, 0)]);
}

#[test]
fn a_burst_makes_up_for_every_period() {
    assert_eq!(ticks(Missed::Burst), [(10, 2), (20, 1), (30, 0), (40, 0), (50, 0)]);
}

/// A call more than the period has is no reason to lose or to move those that it has.
#[test]
fn again_keeps_the_phase() {
    for (missed, expected) in [(Missed::Skip, [10, 13, 20, 40, 50]), (Missed::Burst, [10, 13, 20, 30, 36])] {
        let mut world: World<Vec<Instant>> = World::scripted();
        let script = world.script.clone().unwrap();
        let start = world.event_loop.now();
        let every = Every::new(Duration::from_millis(10)).missed(missed);
        world.event_loop.every(every, move |seen: &mut Vec<Instant>, _, tick| {
            seen.push(tick.due);
            Ok(match seen.len() {
                1 => {
                    script.pass(Duration::from_millis(3));
                    Next::Again
                }
                2 => {
                    script.pass(Duration::from_millis(20)); // past two periods, which a burst makes up for
                    Next::Again
                }
                4 if missed == Missed::Burst => {
                    script.pass(Duration::from_millis(3));
                    Next::Again
                }
                5 => Next::Remove,
                _ => Next::Keep,
            })
        });
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        let seen: Vec<_> = seen.iter().map(|due| (*due - start).as_millis()).collect();
        assert_eq!(seen, expected, "{missed:?}");
    }
}

#[test]
fn a_delay_moves_the_phase() {
    assert_eq!(ticks(Missed::Delay), [(10, 2), (47, 0), (57, 0), (67, 0), (77, 0)]);
}

#[test]
fn a_year_of_heartbeats_passes_on_the_scripted_clock() {
    let mut world: World<u32> = World::scripted();
    let start = world.event_loop.now();
    world.event_loop.every(Duration::from_secs(3600), |n, _, _| {
        *n += 1;
        Ok(if *n < 24 * 365 { Next::Keep } else { Next::Remove })
    });
    let mut n = 0;
    world.event_loop.run(&mut n).unwrap();
    assert_eq!(world.event_loop.now() - start, Duration::from_secs(3600 * 24 * 365));
}
