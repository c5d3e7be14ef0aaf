//! The order of a turn, failures and panics in it.

use super::*;
use becket_loop::op::Call;
use becket_loop::{Cause, External, HookPoint, Mode, Next, Plain, RunError, Wishes};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Log = Vec<String>;

/// A library that panics when it is stepped.
struct Explosive;

impl External for Explosive {
    type Event = ();

    fn step(&mut self, _: &mut Wishes<'_>, _: Cause) {
        panic!("on purpose");
    }

    fn next_event(&mut self) -> Option<()> {
        None
    }
}

on_every_backend! {
    fn a_turn_has_its_order(world: World<Log>) {
        let probe = world.probe();
        probe.raise();
        let hooks = [(HookPoint::Prepare, "prepare"), (HookPoint::Check, "check"), (HookPoint::Idle, "idle")];
        for (point, name) in hooks {
            world.event_loop.hook(point, move |log: &mut Log, _| {
                log.push(name.into());
                Ok(Next::Keep)
            });
        }
        world.event_loop.remote().post(|log, _| Ok(log.push("post".into())));
        world.event_loop.defer(|log, ctx| {
            log.push("deferred".into());
            ctx.defer(|log, _| Ok(log.push("deferred twice".into())));
            Ok(())
        });
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
            log.push("ready".into());
            Ok(Next::Remove)
        }).unwrap();
        world.event_loop.after(Duration::ZERO, |log, _| Ok(log.push("timer".into())));
        let mut log = Log::new();
        world.event_loop.turn(&mut log, None).unwrap();
        assert_eq!(log, ["prepare", "check", "timer", "ready", "post", "deferred"]);
        log.clear();
        world.event_loop.turn(&mut log, None).unwrap();
        assert_eq!(log, ["prepare", "check", "deferred twice"]);
        log.clear();
        world.event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, ["prepare", "idle", "check"]);
    }

    fn an_idle_hook_keeps_the_loop_from_blocking_as_long_as_it_asks(world: World<u32>) {
        world.event_loop.after(Duration::from_secs(3600), |_, _| Ok(()));
        world.event_loop.hook(HookPoint::Idle, |n, ctx| {
            *n += 1;
            if *n == 3 {
                ctx.exit(5);
            }
            Ok(Next::Again)
        });
        let mut n = 0;
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 5);
        assert_eq!(n, 3);
    }

    fn trap_18_a_failure_disables_one_source_and_no_other(world: World<Log>) {
        let (bad, good) = (world.probe(), world.probe());
        let id = world.event_loop.add(bad.source(), Ready::READ, Mode::Level, |_, _, _, _| Err("broken".into())).unwrap();
        world.event_loop.set_name(id, "bad");
        world.event_loop.add(good.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
            log.push("good".into());
            Ok(Next::Remove)
        }).unwrap();
        world.event_loop.after(Duration::ZERO, |log, _| Ok(log.push("timer".into())));
        world.event_loop.on_error(move |log, ctx, fault| {
            assert_eq!((fault.id(), fault.name()), (Some(id.into()), Some("bad")));
            assert!(ctx.get(id).is_some(), "it is disabled, not gone");
            log.push(fault.to_string());
        });
        bad.raise();
        good.raise();
        let mut log = Log::new();
        world.event_loop.run(&mut log).unwrap();
        log.sort_unstable();
        assert_eq!(log, ["bad: broken", "good", "timer"]);
        assert!(world.event_loop.enable(id, true));
        world.event_loop.run(&mut log).unwrap();
        assert_eq!((log.len(), world.event_loop.stats().faults), (4, 2));
    }

    fn without_a_hook_failures_come_out_one_by_one(world: World<u32>) {
        for _ in 0..2 {
            world.event_loop.after(Duration::ZERO, |_, _| Err("broken".into()));
        }
        world.event_loop.after(Duration::ZERO, |n, _| Ok(*n += 1));
        let mut n = 0;
        for _ in 0..2 {
            let e = world.event_loop.run(&mut n).unwrap_err();
            assert!(matches!(&e, RunError::Callback(fault) if fault.error().to_string() == "broken"));
            assert_eq!(n, 1, "the turn was finished first");
        }
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0);
    }

    fn a_panic_removes_its_source_and_the_next_turn_goes_on(world: World<Log>) {
        let (bad, good) = (world.probe(), world.probe());
        let id = world.event_loop.add(bad.source(), Ready::READ, Mode::Level, |_, _, _, _| panic!("on purpose")).unwrap();
        world.event_loop.add(good.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
            log.push("good".into());
            Ok(Next::Remove)
        }).unwrap();
        let now = world.event_loop.now();
        world.event_loop.at(now, |_, _| panic!("on purpose"));
        world.event_loop.at(now, |log, _| Ok(log.push("timer".into())));
        bad.raise();
        good.raise();
        let mut log = Log::new();
        let mut panics = 0;
        loop {
            let run = catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut log)));
            match run {
                Ok(result) => break assert_eq!(result.unwrap(), 0),
                Err(_) => panics += 1,
            }
        }
        log.sort_unstable();
        assert_eq!((log, panics), (vec!["good".to_string(), "timer".into()], 2));
        assert!(!world.event_loop.cancel(id));
        assert_eq!(Rc::strong_count(&bad.event), 1);
    }

    /// Whatever panics goes, and takes nothing with it: what was under way beside it is told in the turns that follow.
    fn a_panic_of_any_kind_costs_what_panicked_and_no_more(world: World<Log>) {
        type Setup = fn(&mut Loop<Log>);
        let kinds: [(&str, Setup); 11] = [
            ("a post", |l| { let _ = l.remote().post(|_, _| panic!("on purpose")); }),
            ("deferred work", |l| l.defer(|_, _| panic!("on purpose"))),
            ("a prepare hook", |l| { let _ = l.hook(HookPoint::Prepare, |_, _| panic!("on purpose")); }),
            ("a check hook", |l| { let _ = l.hook(HookPoint::Check, |_, _| panic!("on purpose")); }),
            ("an idle hook", |l| { let _ = l.hook(HookPoint::Idle, |_, _| panic!("on purpose")); }),
            ("an exit hook", |l| { let _ = l.hook(HookPoint::Exit, |_, _| panic!("on purpose")); }),
            ("a periodic timer", |l| { let _ = l.every(Duration::from_millis(1), |_, _, _| panic!("on purpose")); }),
            ("a plain timer", |l| {
                let id = l.timer_plain(Plain { call: |_, _, _, _| panic!("on purpose"), data: 0 });
                let now = l.now();
                l.arm(id, now);
            }),
            ("an operation's end", |l| { let _ = l.submit(Call::new(|| ()), |_, _, _| panic!("on purpose")); }),
            ("a library's step", |l| { let _ = l.join(Explosive, |_, _, ()| Ok(Next::Keep)); }),
            ("an error hook", |l| {
                l.on_error(|_, _, _| panic!("on purpose"));
                l.defer(|_, _| Err("for the error hook".into()));
            }),
        ];
        for (name, setup) in kinds {
            let l = &mut world.event_loop;
            let probe = Probe { event: Rc::new(Event::new().unwrap()), script: world.script.clone() };
            setup(l);
            probe.raise();
            l.add(probe.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
                log.push("source".into());
                Ok(Next::Remove)
            }).unwrap();
            l.submit(Call::new(|| ()), |log, _, _| Ok(log.push("operation".into())));
            l.remote().post(|log, _| Ok(log.push("post".into())));
            l.after(Duration::from_millis(2), |log, _| Ok(log.push("timer".into())));
            let mut log = Log::new();
            l.defer(|log: &mut Log, _| Ok(log.push("deferred".into())));
            let mut panics = 0;
            while catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut log).unwrap())).is_err() {
                panics += 1;
            }
            log.sort_unstable();
            assert_eq!(log, ["deferred", "operation", "post", "source", "timer"], "beside {name}");
            assert_eq!((panics, world.event_loop.sources().count()), (1, 0), "{name}");
            probe.lower();
        }
    }

    /// What no type forbids: a callback that has put the loop's content where it can make turns of it.
    fn trap_17_a_nested_turn_is_refused(world: World<u32>) {
        let mut other: Loop<u32> = Loop::with_backend(Scripted::new().0);
        world.event_loop.after(Duration::ZERO, move |n, ctx| {
            std::mem::swap(ctx, &mut *other);
            let refused = [
                other.turn(n, None).map(drop),
                other.run(n).map(drop),
                other.prepare(n).map(drop),
                other.wait(None).map(drop),
                other.dispatch(n).map(drop),
            ];
            assert!(refused.iter().all(|refused| matches!(refused, Err(RunError::Nested))), "{refused:?}");
            std::mem::swap(ctx, &mut *other);
            Ok(*n += 1)
        });
        world.event_loop.after(Duration::ZERO, |n, _| Ok(*n += 1));
        let mut n = 0;
        world.event_loop.turn(&mut n, None).unwrap();
        assert_eq!(n, 2, "the turn went on");
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0);
    }

    fn three_steps_make_a_turn(world: World<u32>) {
        world.event_loop.after(Duration::from_millis(3), |n, _| Ok(*n += 1));
        let due = world.event_loop.now();
        let mut n = 0;
        let deadline = world.event_loop.prepare(&mut n).unwrap().unwrap();
        assert!(deadline > due);
        assert_eq!(world.event_loop.wait(Some(deadline)).unwrap(), 0);
        assert_eq!(world.event_loop.dispatch(&mut n).unwrap(), 1);
        assert_eq!(n, 1);
    }
}
