//! When a loop runs and when it ends; other threads.

use super::*;
use becket_loop::{HookPoint, Mode, Next};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

on_every_backend! {
    fn it_ends_when_nothing_is_left(world: World<()>) {
        world.event_loop.hook(HookPoint::Prepare, |_, _| Ok(Next::Keep));
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 0);
        let probe = world.probe();
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
        world.event_loop.enable(id, false);
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 0);
        world.event_loop.enable(id, true);
        world.event_loop.defer(move |_, ctx| {
            ctx.cancel(id);
            Ok(())
        });
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 0);
    }

    fn exit_finishes_the_turn_and_calls_the_exit_hooks(world: World<Vec<&'static str>>) {
        world.event_loop.defer(|_, ctx| Ok(ctx.exit(3)));
        world.event_loop.defer(|log, _| Ok(log.push("the rest of the turn")));
        world.event_loop.hook(HookPoint::Exit, |log: &mut Vec<_>, _| {
            log.push("exit");
            Ok(Next::Keep)
        });
        world.event_loop.after(Duration::from_secs(3600), |_, _| Ok(()));
        let mut log = Vec::new();
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 3);
        assert_eq!(log, ["the rest of the turn", "exit"]);
        world.event_loop.defer(|_, ctx| Ok(ctx.exit(4)));
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 4, "it can be run again");
    }

    fn an_exit_hook_that_fails_costs_no_code(world: World<Vec<&'static str>>) {
        world.event_loop.hook(HookPoint::Exit, |_, _| Err("broken".into()));
        world.event_loop.hook(HookPoint::Exit, |log: &mut Vec<_>, _| {
            log.push("exit");
            Ok(Next::Keep)
        });
        world.event_loop.exit(3);
        let mut log = Vec::new();
        assert_eq!(world.event_loop.run(&mut log).unwrap_err().to_string(), "#0.0: broken");
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 3);
        assert_eq!(log, ["exit"], "called once for one exit");
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 0, "what failed is disabled");
        assert_eq!(log.len(), 2);
    }

    fn an_exit_hook_that_panics_costs_no_code(world: World<Vec<&'static str>>) {
        world.event_loop.hook(HookPoint::Exit, |_, _| panic!("on purpose"));
        world.event_loop.hook(HookPoint::Exit, |log: &mut Vec<_>, _| {
            log.push("exit");
            Ok(Next::Keep)
        });
        world.event_loop.exit(3);
        let mut log = Vec::new();
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut log))).is_err());
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 3);
        assert_eq!(log, ["exit"]);
    }

    fn the_last_to_ask_says_the_code_exit_hooks_included(world: World<()>) {
        let id = world.event_loop.hook(HookPoint::Exit, |_, ctx| {
            assert_eq!(ctx.exit_code(), Some(3));
            ctx.exit(9);
            Ok(Next::Keep)
        });
        world.event_loop.exit(3);
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 9);
        world.event_loop.cancel(id);
        assert_eq!(world.event_loop.exit_code(), None);
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 0, "the next run has nothing of it");
    }

    fn whoever_makes_turns_sees_that_exit_was_asked_for(world: World<()>) {
        world.event_loop.every(Duration::from_millis(1), |_, ctx, _| {
            ctx.exit(4);
            Ok(Next::Keep)
        });
        while world.event_loop.exit_code().is_none() {
            world.event_loop.turn(&mut (), None).unwrap();
        }
        assert_eq!(world.event_loop.run(&mut ()).unwrap(), 4);
        assert_eq!(world.event_loop.exit_code(), None);
    }

    fn posts_of_other_threads_keep_their_order(world: World<Vec<u32>>) {
        let remote = world.event_loop.remote();
        let threads: Vec<_> = (0..4).map(|thread| {
            let remote = remote.clone();
            thread::spawn(move || {
                for n in 0..500 {
                    assert!(remote.post(move |seen: &mut Vec<u32>, _| Ok(seen.push(thread * 1000 + n))));
                }
            })
        }).collect();
        drop(remote);
        let mut seen = Vec::new();
        assert_eq!(world.event_loop.run(&mut seen).unwrap(), 0, "it ends with the last handle");
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(seen.len(), 2000);
        for thread in 0..4 {
            let own: Vec<_> = seen.iter().filter(|n| **n / 1000 == thread).copied().collect();
            assert!(own.is_sorted() && own.len() == 500);
        }
    }

    fn another_thread_ends_a_wait(world: World<u32>) {
        let remote = world.event_loop.remote();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            assert!(remote.post(|n, _| Ok(*n = 7)));
            assert!(remote.exit(9));
            remote
        });
        let mut n = 0;
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 9);
        assert_eq!(n, 7);
        let remote = thread.join().unwrap();
        drop(world);
        assert!(!remote.post(|_, _| Ok(())), "the loop is gone");
        remote.wake();
    }

    fn what_was_posted_and_never_run_is_dropped(world: World<()>) {
        let token = std::sync::Arc::new(());
        let (remote, held) = (world.event_loop.remote(), token.clone());
        remote.post(move |_, _| Ok(drop(held)));
        drop(world);
        assert_eq!(std::sync::Arc::strong_count(&token), 1);
    }

    fn dropping_the_loop_drops_sources_and_closures(world: World<()>) {
        let probe = world.probe();
        let token = Rc::new(());
        let held = Rc::clone(&token);
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, move |_, _, _, _| {
            let _ = &held;
            Ok(Next::Keep)
        }).unwrap();
        drop(world.event_loop);
        assert_eq!((Rc::strong_count(&token), Rc::strong_count(&probe.event)), (1, 1));
    }
}
