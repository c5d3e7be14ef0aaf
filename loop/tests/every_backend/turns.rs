//! The order of a turn, failures and panics in it.

use super::*;
use becket_loop::{HookPoint, Mode, Next, RunError};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Log = Vec<String>;

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

    fn a_failure_disables_one_source_and_no_other(world: World<Log>) {
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
