//! What a loop tells of itself: snapshots, slow callbacks, stalls.

mod common;

use becket_loop::backend::Scripted;
use becket_loop::op::Call;
use becket_loop::{Every, HookPoint, Loop, Mode, Next, Ready, Slow, Snapshot, SourceKind, Stall};
use becket_sys::event::Event;
use common::each_backend;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_snapshot_is_owned_and_may_be_sent() {
    fn sendable<T: Send + Sync + Clone + 'static>() {}
    sendable::<Snapshot>();
}

#[test]
fn times_are_counted_by_source_and_by_loop() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<u32> = Loop::with_backend(backend);
    event_loop.observe(true);
    let start = event_loop.now();
    let event = Event::new().unwrap();
    script.raise(&event, Ready::READ);
    let clock = script.clone();
    let source = event_loop
        .add(event, Ready::READ, Mode::Level, move |n, _, _, _| {
            *n += 1;
            clock.pass(ms(*n as u64));
            Ok(if *n == 3 { Next::Disable } else { Next::Keep })
        })
        .unwrap();
    event_loop.set_name(source, "source");
    let mut n = 0;
    for _ in 0..3 {
        event_loop.turn(&mut n, Some(LONG)).unwrap();
    }
    let snapshot = event_loop.snapshot();
    let seen = &snapshot.sources[0];
    assert_eq!((seen.name.as_deref(), seen.kind, seen.enabled, seen.calls), (Some("source"), SourceKind::Io, false, 3));
    assert_eq!((seen.times.count(), seen.times.total(), seen.times.max()), (3, ms(6), ms(3)));
    assert_eq!(seen.last_call, Some(start + ms(3)));
    assert_eq!((snapshot.worked.count(), snapshot.worked.total()), (3, ms(6)));
    assert_eq!((snapshot.since, snapshot.at), (Some(start), start + ms(6)));
    // The second of two timers that are due together is late by what the first one takes.
    let clock = script.clone();
    let due = event_loop.now() + ms(10);
    event_loop.at(due, move |_, _| Ok(clock.pass(ms(7))));
    event_loop.at(due, |_, _| Ok(()));
    event_loop.defer(move |_, _| Ok(script.pass(ms(2))));
    event_loop.run(&mut n).unwrap();
    let snapshot = event_loop.snapshot();
    assert_eq!((snapshot.lag.count(), snapshot.lag.max(), snapshot.lag.total()), (2, ms(7), ms(7)));
    assert_eq!((snapshot.loose.count(), snapshot.loose.total()), (1, ms(2)));
    assert_eq!((snapshot.gone.count(), snapshot.gone.total()), (2, ms(7)), "the timers have left");
    assert_eq!(snapshot.waited.total(), ms(8), "two of the ten were used up by the deferred work");
    event_loop.remove(source).unwrap();
    assert_eq!((event_loop.snapshot().gone.count(), event_loop.snapshot().sources.len()), (5, 0));
    // The next owner of the slot begins at zero, and the sum stays.
    event_loop.every(Every::new(ms(1)), |_, _, _| Ok(Next::Remove));
    event_loop.run(&mut n).unwrap();
    assert_eq!(event_loop.snapshot().gone.count(), 6);
}

#[test]
fn nothing_is_measured_before_it_is_asked_for_nor_after() {
    each_backend(|mut event_loop: Loop<u32>| {
        let id = event_loop.every(ms(1), |n, ctx, _| {
            *n += 1;
            ctx.exit(0);
            Ok(Next::Keep)
        });
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        let snapshot = event_loop.snapshot();
        assert_eq!((snapshot.since, snapshot.waited.count(), snapshot.sources[0].times.count()), (None, 0, 0));
        assert_eq!((snapshot.sources[0].calls, snapshot.stats.callbacks), (1, 1), "what is counted anyway");
        // From inside a callback; what runs is counted when it ends.
        event_loop.defer(move |_, ctx| {
            ctx.observe(true);
            assert_eq!(ctx.snapshot().loose.count(), 0);
            Ok(())
        });
        event_loop.run(&mut n).unwrap();
        event_loop.run(&mut n).unwrap();
        let snapshot = event_loop.snapshot();
        assert!(snapshot.since.is_some() && snapshot.sources[0].times.count() >= 1 && snapshot.waited.count() >= 1);
        event_loop.observe(false);
        assert_eq!(event_loop.snapshot().since, None);
        event_loop.observe(true);
        assert_eq!(event_loop.snapshot().sources[0].times.count(), 0, "it was forgotten");
        event_loop.defer(move |_, ctx| {
            ctx.observe(false); // in the midst of a call that is measured
            ctx.cancel(id);
            Ok(())
        });
        event_loop.run(&mut n).unwrap();
    });
}

#[test]
fn failures_are_kept_with_what_failed() {
    let mut event_loop: Loop<()> = Loop::with_backend(Scripted::new().0);
    event_loop.observe(true);
    event_loop.on_error(|_, _, _| {});
    let id = event_loop.every(ms(1), |_, _, _| Err("no paper".into()));
    event_loop.set_name(id, "printer");
    event_loop.run(&mut ()).unwrap();
    let at = event_loop.now();
    event_loop.after(ms(5), |_, _| Err("once".into()));
    event_loop.run(&mut ()).unwrap();
    let snapshot = event_loop.snapshot();
    let failure = snapshot.sources[0].last_fault.as_ref().unwrap();
    assert_eq!((failure.text.as_str(), failure.at), ("printer: no paper", at));
    assert!(snapshot.last_fault.unwrap().text.ends_with(": once"));
}

#[test]
fn what_is_printed_is_json() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<()> = Loop::with_backend(backend);
    let parse = |event_loop: &Loop<()>| serde_json::from_str::<Value>(&event_loop.snapshot().to_json()).unwrap();
    assert_eq!(parse(&event_loop)["observed_ns"], Value::Null);
    event_loop.observe(true);
    event_loop.on_error(|_, _, _| {});
    let odd = "quote \" backslash \\ newline \n tab \t bell \u{7} nul \0 é 🦀 </script>\u{2028}";
    let event = Event::new().unwrap();
    let id = event_loop.add(event, Ready::READ | Ready::PRI, Mode::OneShot, |_, _, _, _| Ok(Next::Keep)).unwrap();
    event_loop.set_name(id, odd);
    let timer = event_loop.every(ms(3), move |_, _, _| Err(odd.into()));
    event_loop.turn(&mut (), None).unwrap();
    event_loop.enable(timer, true);
    event_loop.after(ms(4), |_, _| Ok(()));
    script.pass(ms(10));
    event_loop.defer(|_, _| Ok(()));
    let v = parse(&event_loop);
    assert_eq!((&v["backend"], &v["observed_ns"], &v["faults"]), (&"scripted".into(), &13_000_000.into(), &1.into()));
    assert_eq!((&v["queues"]["deferred"], &v["queues"]["armed"]), (&1.into(), &2.into()));
    let sources = v["sources"].as_array().unwrap();
    assert_eq!((&sources[0]["name"], &sources[0]["id"]), (&odd.into(), &"#0.0".into()));
    assert_eq!((&sources[0]["want"], &sources[0]["mode"]), (&"READ | PRI".into(), &"OneShot".into()));
    assert_eq!((&sources[1]["kind"], &sources[1]["name"]), (&"timer".into(), &Value::Null));
    assert_eq!(sources[1]["last_fault"]["text"], format!("#1.0: {odd}"));
    assert_eq!(sources[1]["last_fault"]["ago_ns"], 10_000_000);
    assert_eq!(sources[1]["times"]["count"], 1);
    assert_eq!(sources[1]["times"]["buckets"], serde_json::json!([[2, 1]]));
    assert_eq!((&sources[2]["due_in_ns"], &sources[2]["calls"]), (&(-6_000_000).into(), &0.into()));
}

/// One of each kind is slow, and one of each is not.
#[test]
fn slow_callbacks_are_told_with_their_names_at_the_end_of_the_step() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<Vec<String>> = Loop::with_backend(backend);
    let tell = |log: &mut Vec<String>, _: &mut _, slow: Slow| log.push(format!("{slow} ({:?})", slow.kind));
    event_loop.on_slow(ms(10), tell);
    let (clock, event) = (script.clone(), Event::new().unwrap());
    script.raise(&event, Ready::READ);
    let id = event_loop
        .add(event, Ready::READ, Mode::Level, move |log: &mut Vec<String>, _, _, _| {
            clock.pass(ms(11));
            log.push("called".into());
            Ok(Next::Remove)
        })
        .unwrap();
    event_loop.set_name(id, "source");
    let clock = script.clone();
    let id = event_loop.after(Duration::ZERO, move |_, _| Ok(clock.pass(ms(12))));
    event_loop.set_name(id, "timer");
    let clock = script.clone();
    event_loop.hook(HookPoint::Prepare, move |_, _| {
        clock.pass(ms(13));
        Ok(Next::Remove)
    });
    let clock = script.clone();
    event_loop.hook(HookPoint::Exit, move |_, _| {
        clock.pass(ms(14));
        Ok(Next::Remove)
    });
    let clock = script.clone();
    event_loop.defer(move |_, _| Ok(clock.pass(ms(15))));
    event_loop.defer(move |_, _| Ok(script.pass(ms(9))));
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    let expected = [
        "#2.0 took 13ms (Some(Hook))",
        "called",
        "timer took 12ms (Some(Timer))",
        "source took 11ms (Some(Io))",
        "deferred work took 15ms (None)",
        "#3.0 took 14ms (Some(Hook))",
    ];
    assert_eq!(log, expected);
    let (backend, script) = Scripted::new();
    event_loop = Loop::with_backend(backend);
    event_loop.on_slow(ms(10), tell);
    let id = event_loop.submit(Call::new(|| ()), move |_, _, _| Ok(script.pass(ms(20))));
    event_loop.set_name(id, "operation");
    log.clear();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["operation took 20ms (Some(Operation))"]);
}

#[test]
fn a_slow_hook_may_do_anything_and_its_panic_costs_no_source() {
    let (backend, script) = Scripted::new();
    let mut event_loop: Loop<u32> = Loop::with_backend(backend);
    event_loop.on_slow(Duration::ZERO, |_, ctx, slow| {
        ctx.on_slow(ms(1), |_, _, _| panic!("on purpose")); // the next one is another
        assert!(ctx.cancel(slow.id.unwrap()));
    });
    let (clock, event) = (script.clone(), Event::new().unwrap());
    let removed = event_loop.every(ms(1), |_, _, _| Ok(Next::Keep));
    event_loop.turn(&mut 0, None).unwrap();
    assert!(!event_loop.cancel(removed));
    script.raise(&event, Ready::READ);
    event_loop
        .add(event, Ready::READ, Mode::Level, move |n, _, _, _| {
            *n += 1;
            clock.pass(ms(5));
            Ok(Next::Keep)
        })
        .unwrap();
    let mut n = 0;
    assert!(catch_unwind(AssertUnwindSafe(|| event_loop.turn(&mut n, None))).is_err());
    event_loop.turn(&mut n, None).unwrap();
    assert_eq!((n, event_loop.sources().count()), (2, 1), "it is called on");
}

#[test]
fn a_panic_while_it_is_measured_loses_nothing_else() {
    each_backend(|mut event_loop: Loop<u32>| {
        event_loop.observe(true);
        event_loop.after(Duration::ZERO, |_, _| panic!("on purpose"));
        event_loop.after(ms(1), |n, _| Ok(*n += 1));
        let mut n = 0;
        assert!(catch_unwind(AssertUnwindSafe(|| event_loop.turn(&mut n, None))).is_err());
        event_loop.run(&mut n).unwrap();
        assert_eq!((n, event_loop.snapshot().gone.count()), (1, 1));
    });
}

fn stalls<S: 'static>(event_loop: &mut Loop<S>, limit: Duration) -> (Receiver<Stall>, becket_loop::Watchdog) {
    let (sender, receiver) = channel();
    let watchdog = event_loop.on_stall(limit, move |stall| drop(sender.send(stall))).unwrap();
    (receiver, watchdog)
}

#[test]
fn a_stall_is_told_once_while_it_lasts_and_once_when_it_is_over() {
    each_backend(|mut event_loop: Loop<Vec<Stall>>| {
        let (stalls, watchdog) = stalls(&mut event_loop, ms(20));
        let id = event_loop.after(ms(1), |_, _| Ok(()));
        event_loop.cancel(id);
        let event = Event::new().unwrap();
        event.add(1).unwrap();
        let id = event_loop
            .add(event, Ready::READ, Mode::Level, move |seen: &mut Vec<Stall>, ctx, _, _| {
                if seen.is_empty() {
                    seen.push(stalls.recv_timeout(LONG)?);
                    assert!(stalls.recv_timeout(ms(60)).is_err(), "once");
                } else if let Ok(over) = stalls.try_recv() {
                    seen.push(over);
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        event_loop.set_name(id, "sluggish");
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        drop(watchdog);
        for (stall, over) in seen.iter().zip([false, true]) {
            assert_eq!((stall.id, stall.name.as_deref(), stall.over), (Some(id.into()), Some("sluggish"), over));
        }
        assert!(seen.len() == 2 && seen[0].lasted >= ms(20) && seen[1].lasted >= ms(80), "{seen:?}");
    });
}

#[test]
fn to_wait_and_to_be_elsewhere_is_no_stall() {
    each_backend(|mut event_loop: Loop<u32>| {
        let (stalls, _watchdog) = stalls(&mut event_loop, ms(20));
        event_loop.after(ms(100), |n, _| Ok(*n += 1));
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        std::thread::sleep(ms(60)); // outside of it
        let deadline = event_loop.prepare(&mut n).unwrap();
        std::thread::sleep(ms(60)); // as inside another one
        event_loop.wait(deadline).unwrap();
        event_loop.dispatch(&mut n).unwrap();
        // Many that are short, each in a turn of its own, are none either.
        event_loop.every(ms(1), |n, ctx, _| {
            *n += 1;
            if *n == 50 {
                ctx.exit(0);
            }
            Ok(Next::Keep)
        });
        event_loop.run(&mut n).unwrap();
        // On a busy machine any of them may have been a real one.
        let told: Vec<Stall> = stalls.try_iter().collect();
        assert!(told.iter().all(|stall| stall.lasted >= ms(20)), "{told:?}");
        assert_eq!(n, 50);
    });
}

#[test]
fn a_stall_of_no_callback_in_particular_has_no_name_and_a_watch_can_begin_within_one() {
    let mut event_loop: Loop<()> = Loop::new().unwrap();
    event_loop.defer(|_, ctx| {
        let (sender, stalls) = channel();
        let watchdog = ctx.on_stall(ms(5), move |stall| sender.send(stall).unwrap())?;
        let stall = stalls.recv_timeout(LONG)?;
        assert!(stall.id.is_none() && stall.name.is_none() && !stall.over);
        drop(watchdog);
        assert!(stalls.try_recv().is_err());
        Ok(())
    });
    event_loop.run(&mut ()).unwrap();
    event_loop.turn(&mut (), Some(Duration::ZERO)).unwrap();
}
