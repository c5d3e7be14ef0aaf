//! Descriptors: modes, interest, removal, what is lent and what comes back.

use super::*;
use becket_loop::{Ctx, HookPoint, Id, Mode, Next, Plain, SourceKind};
use rustix::process::{Resource, Rlimit};

type Log = Vec<&'static str>;

on_every_backend! {
    fn level_repeats_until_it_is_lowered(world: World<u32>) {
        let probe = world.probe();
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |n, _, _, ready| {
            assert!(ready.contains(Ready::READ));
            *n += 1;
            Ok(Next::Keep)
        }).unwrap();
        let mut n = 0;
        probe.raise();
        for _ in 0..3 {
            world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        }
        probe.lower();
        world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 3);
    }

    fn edge_reports_a_change_once_or_is_unsupported(world: World<u32>) {
        let probe = world.probe();
        let added = world.event_loop.add(probe.source(), Ready::READ, Mode::Edge, |n, _, _, _| {
            *n += 1;
            Ok(Next::Keep)
        });
        if !world.event_loop.caps().edge {
            let refused = added.unwrap_err();
            assert_eq!(refused.error().kind(), std::io::ErrorKind::Unsupported);
            assert_eq!(world.event_loop.sources().count(), 0);
            return;
        }
        let mut n = 0;
        probe.raise();
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 1);
        probe.raise();
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2);
    }

    fn again_is_called_next_turn_without_a_new_event(world: World<u32>) {
        let probe = world.probe();
        let mode = if world.event_loop.caps().edge { Mode::Edge } else { Mode::OneShot };
        world.event_loop.add(probe.source(), Ready::READ, mode, |n, _, _, ready| {
            assert!(ready.contains(Ready::READ));
            *n += 1;
            Ok(if *n < 3 { Next::Again } else { Next::Remove })
        }).unwrap();
        probe.raise();
        let mut n = 0;
        world.event_loop.run(&mut n).unwrap();
        assert_eq!((n, world.event_loop.stats().waits), (3, 3));
    }

    fn one_shot_is_silent_until_it_is_enabled(world: World<u32>) {
        let probe = world.probe();
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::OneShot, |n, _, _, _| {
            *n += 1;
            Ok(Next::Keep)
        }).unwrap();
        let mut n = 0;
        probe.raise();
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        probe.raise();
        world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 1);
        assert!(world.event_loop.enable(id, true));
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2);
        // And armed from within its own callback.
        world.event_loop.cancel(id);
        let own: Rc<std::cell::Cell<Option<Id<Rc<Event>>>>> = Rc::default();
        let inner = Rc::clone(&own);
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::OneShot, move |n, ctx, _, _| {
            *n += 10;
            ctx.enable(inner.get().unwrap(), true);
            Ok(Next::Keep)
        }).unwrap();
        own.set(Some(id));
        for _ in 0..3 {
            world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        }
        assert_eq!(n, 32);
    }

    fn one_shot_that_fired_while_it_was_disabled_is_armed_again(world: World<u32>) {
        let probe = world.probe();
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::OneShot, |n, _, _, _| {
            *n += 1;
            Ok(Next::Keep)
        }).unwrap();
        world.event_loop.after(LONG, |_, _| Ok(()));
        let mut n = 0;
        probe.raise();
        world.event_loop.prepare(&mut n).unwrap();
        let now = world.event_loop.now();
        world.event_loop.wait(Some(now)).unwrap();
        world.event_loop.enable(id, false);
        world.event_loop.dispatch(&mut n).unwrap();
        assert_eq!(n, 0);
        world.event_loop.enable(id, true);
        world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 1);
    }

    fn a_one_shot_that_fired_and_is_made_another_before_it_is_told_stays_enabled(world: World<Vec<&'static str>>) {
        let probe = world.probe();
        let l = &mut world.event_loop;
        let ids = Rc::new(std::cell::Cell::new(None));
        let seen = Rc::clone(&ids);
        l.hook(HookPoint::Check, move |_, ctx| {
            if let Some(id) = seen.take() {
                ctx.set(id, Ready::READ, Mode::Level);
            }
            Ok(Next::Keep)
        });
        let tell = |log: &mut Vec<_>, _: &mut Ctx<_>, _: &Rc<Event>, _| {
            log.push("told");
            Ok(Next::Keep)
        };
        ids.set(Some(l.add(probe.source(), Ready::READ, Mode::OneShot, tell).unwrap()));
        probe.raise();
        let mut log = Vec::new();
        for _ in 0..3 {
            l.turn(&mut log, Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(log, ["told"; 3]);
    }

    fn what_was_removed_takes_nobodys_share_of_a_turn(world: World<u32>) {
        world.event_loop.set_calls_per_turn(1);
        // Of two that are ready, each is removed once: which is first in the queue is the backend's.
        for removed in 0..2 {
            let probes = [world.probe(), world.probe()];
            probes.iter().for_each(Probe::raise);
            let l = &mut world.event_loop;
            let ids = probes.each_ref().map(|probe| {
                let add = l.add(probe.source(), Ready::READ, Mode::Level, |n, _, _, _| {
                    *n += 1;
                    Ok(Next::Keep)
                });
                add.unwrap()
            });
            l.hook(HookPoint::Check, move |_, ctx| {
                ctx.cancel(ids[removed]);
                Ok(Next::Remove)
            });
            let mut n = 0;
            l.turn(&mut n, Some(Duration::ZERO)).unwrap();
            assert_eq!(n, 1);
            probes.iter().for_each(Probe::lower);
            ids.iter().for_each(|id| assert_eq!(l.cancel(*id), *id != ids[removed]));
            l.turn(&mut n, Some(Duration::ZERO)).unwrap(); // the queue is empty
        }
    }

    fn interest_changes_before_the_next_wait(world: World<Vec<Ready>>) {
        let probe = world.probe();
        let other = if world.event_loop.caps().pri { Ready::PRI } else { Ready::empty() };
        let id = world.event_loop.add(probe.source(), other, Mode::Level, |seen, _, _, ready| {
            seen.push(ready);
            Ok(Next::Keep)
        }).unwrap();
        let mut seen = Vec::new();
        probe.raise();
        world.event_loop.turn(&mut seen, Some(Duration::ZERO)).unwrap();
        assert_eq!(seen, []);
        assert!(world.event_loop.set(id, Ready::READ, Mode::Level));
        world.event_loop.turn(&mut seen, Some(LONG)).unwrap();
        assert_eq!(seen, [Ready::READ]);
        world.event_loop.set(id, other, Mode::Level);
        world.event_loop.set(id, Ready::READ, Mode::Level); // merged: nothing to tell the backend
        world.event_loop.turn(&mut seen, Some(LONG)).unwrap();
        assert_eq!(seen.len(), 2);
    }

    fn trap_16_whoever_is_removed_by_another_is_not_called(world: World<Log>) {
        let (one, two) = (world.probe(), world.probe());
        let ids: Rc<std::cell::RefCell<Vec<Id<Rc<Event>>>>> = Rc::default();
        for probe in [&one, &two] {
            let all = Rc::clone(&ids);
            let (again, script) = (world.probe(), probe.clone());
            let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, move |log: &mut Log, ctx, own, _| {
                log.push("first");
                script.lower();
                for id in all.borrow().iter() {
                    let it_is_this_one = ctx.get(*id).is_some_and(|event| Rc::ptr_eq(event, own));
                    if !it_is_this_one {
                        assert!(ctx.remove(*id).is_some());
                    }
                }
                // A newcomer gets the slot, and must not get the event.
                ctx.add(again.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
                    log.push("misdelivered");
                    Ok(Next::Keep)
                })?;
                Ok(Next::Remove)
            }).unwrap();
            ids.borrow_mut().push(id);
        }
        one.raise();
        two.raise();
        let mut log = Log::new();
        world.event_loop.turn(&mut log, Some(LONG)).unwrap();
        world.event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, ["first"]);
        assert!(ids.borrow().iter().all(|id| !world.event_loop.cancel(*id)));
    }

    fn a_source_is_lent_in_its_callback_and_comes_back(world: World<Log>) {
        let probe = world.probe();
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
        assert_eq!(Rc::strong_count(&probe.event), 2);
        assert!(Rc::ptr_eq(world.event_loop.get(id).unwrap(), &probe.event));
        let back = world.event_loop.remove(id).unwrap();
        assert!(Rc::ptr_eq(&back, &probe.event) && Rc::strong_count(&back) == 2);
        assert!(world.event_loop.remove(id).is_none() && world.event_loop.get(id).is_none());

        let own: Rc<std::cell::Cell<Option<Id<Rc<Event>>>>> = Rc::default();
        let inner = Rc::clone(&own);
        let id = world.event_loop.add(back, Ready::READ, Mode::Level, move |log: &mut Log, ctx, lent, _| {
            let id = inner.get().unwrap();
            assert!(Rc::ptr_eq(ctx.get(id).unwrap(), lent));
            assert!(ctx.remove(id).is_none(), "it is being lent");
            assert!(ctx.get(id).is_none() && Rc::strong_count(lent) == 2);
            log.push("called");
            Ok(Next::Keep)
        }).unwrap();
        own.set(Some(id));
        probe.raise();
        let mut log = Log::new();
        world.event_loop.run(&mut log).unwrap();
        assert_eq!((log.as_slice(), Rc::strong_count(&probe.event)), (["called"].as_slice(), 1));
    }

    fn trap_03_disabled_means_silent_hang_up_included(world: World<u32>) {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = Rc::new(near);
        if let Some(script) = &world.script {
            script.raise(&*near, Ready::READ | Ready::HUP);
        }
        drop(far);
        let id = world.event_loop.add(near, Ready::empty(), Mode::Level, |n, _, _, ready| {
            assert!(ready.contains(Ready::HUP));
            *n += 1;
            Ok(Next::Disable)
        }).unwrap();
        let mut n = 0;
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 1);
        world.event_loop.enable(id, true);
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2);
    }

    fn a_pause_ends_by_itself(world: World<Vec<std::time::Instant>>) {
        let probe = world.probe();
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |seen: &mut Vec<_>, ctx, _, _| {
            seen.push(ctx.now());
            Ok(if seen.len() == 1 { Next::Pause(Duration::from_millis(30)) } else { Next::Remove })
        }).unwrap();
        probe.raise();
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert!(seen[1] - seen[0] >= Duration::from_millis(30));
        assert!(world.event_loop.stats().waits < 6, "it did not spin: {:?}", world.event_loop.stats());
    }

    fn a_pause_undoes_nothing_that_is_asked_for_meanwhile(world: World<u32>) {
        let probe = world.probe();
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |n, _, _, _| {
            *n += 1;
            Ok(Next::Pause(if *n == 1 { Duration::from_millis(10) } else { LONG * 100 }))
        }).unwrap();
        probe.raise();
        let mut n = 0;
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
        world.event_loop.enable(id, false);
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0, "nothing is left, the pause included");
        assert_eq!(n, 1);
        for expected in 2..4 {
            world.event_loop.enable(id, true);
            world.event_loop.turn(&mut n, Some(LONG)).unwrap();
            assert_eq!(n, expected, "enabled before the pause is over");
        }
        assert!(world.event_loop.remove(id).is_some());
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0);
        assert_eq!(world.event_loop.sources().count(), 0, "the pause went with its source");
    }

    fn a_pause_of_what_was_removed_keeps_nothing_alive(world: World<u32>) {
        let probe = world.probe();
        let own: Rc<std::cell::Cell<Option<Id<Rc<Event>>>>> = Rc::default();
        let inner = Rc::clone(&own);
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, move |n, ctx, _, _| {
            *n += 1;
            assert!(ctx.cancel(inner.get().unwrap()));
            Ok(Next::Pause(LONG * 100))
        }).unwrap();
        own.set(Some(id));
        probe.raise();
        let mut n = 0;
        assert_eq!(world.event_loop.run(&mut n).unwrap(), 0);
        assert_eq!((n, world.event_loop.sources().count()), (1, 0));
    }

    fn an_edge_survives_that_its_source_is_disabled_and_enabled(world: World<u32>) {
        let probe = world.probe();
        let mode = if world.event_loop.caps().edge { Mode::Edge } else { Mode::OneShot };
        let id = world.event_loop.add(probe.source(), Ready::READ, mode, |n, _, _, _| {
            *n += 1;
            Ok(Next::Remove)
        }).unwrap();
        // Between the wait that took the edge and the callback that would tell of it.
        world.event_loop.hook(HookPoint::Check, move |_, ctx| {
            ctx.enable(id, false);
            ctx.enable(id, true);
            Ok(Next::Remove)
        });
        probe.raise();
        let mut n = 0;
        for _ in 0..2 {
            world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(n, 1);
    }

    fn what_caps_deny_is_unsupported(world: World<()>) {
        let (probe, caps) = (world.probe(), world.event_loop.caps());
        let asked = [
            (Ready::PRI, Mode::Level, caps.pri),
            (Ready::RDHUP, Mode::Level, caps.rdhup),
            (Ready::READ, Mode::Edge, caps.edge),
        ];
        for (want, mode, can) in asked {
            match world.event_loop.add(probe.source(), want, mode, |_, _, _, _| Ok(Next::Keep)) {
                Ok(id) => assert!(can && world.event_loop.cancel(id), "{want:?}, {mode:?}"),
                Err(refused) => {
                    assert_eq!((can, refused.error().kind()), (false, std::io::ErrorKind::Unsupported));
                    assert!(refused.error().to_string().contains(caps.name), "{}", refused.error());
                }
            }
        }
        let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
        match world.event_loop.set_flags(id, becket_loop::Flags::WAKE_UP) {
            Ok(known) => assert!(known && caps.flags),
            Err(e) => assert_eq!((caps.flags, e.kind()), (false, std::io::ErrorKind::Unsupported)),
        }
        if !caps.embed {
            assert_eq!(world.event_loop.embed().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
        }
    }

    fn a_refused_source_comes_back(world: World<()>) {
        let probe = world.probe();
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
        let twice = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep));
        let refused = twice.unwrap_err();
        assert_eq!(refused.error().kind(), std::io::ErrorKind::AlreadyExists);
        assert!(Rc::ptr_eq(&refused.into_source(), &probe.event));
        assert_eq!(world.event_loop.sources().filter(|s| s.kind == SourceKind::Io).count(), 1);
    }

    fn a_plain_handler_gets_its_word(world: World<Vec<u64>>) {
        fn note(seen: &mut Vec<u64>, _: &mut Ctx<Vec<u64>>, data: u64, ready: Ready) -> Next {
            assert!(ready.contains(Ready::READ));
            seen.push(data);
            Next::Remove
        }
        let probe = world.probe();
        world.event_loop.add_plain(probe.source(), Ready::READ, Mode::Level, Plain { call: note, data: 9 }).unwrap();
        probe.raise();
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, [9]);
    }

    fn trap_13_many_ready_sources_are_all_served_and_timers_between(world: World<(u32, u32)>) {
        // The usual limit is 1024 a process, and the tests run side by side.
        let limit = rustix::process::getrlimit(Resource::Nofile);
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        let probes: Vec<Probe> = (0..700).map(|_| world.probe()).collect();
        for probe in &probes {
            probe.raise();
            let script = world.script.clone();
            world.event_loop.add(probe.source(), Ready::READ, Mode::Level, move |(served, _), _, _, _| {
                script.iter().for_each(|script| script.pass(Duration::from_nanos(1)));
                *served += 1;
                Ok(Next::Remove)
            }).unwrap();
        }
        world.event_loop.every(Duration::from_nanos(1), |(served, ticks), _, _| {
            *ticks += 1;
            Ok(if *served == 700 { Next::Remove } else { Next::Keep })
        });
        let mut counts = (0, 0);
        world.event_loop.run(&mut counts).unwrap();
        assert!(counts.0 == 700 && counts.1 >= 3, "{counts:?}");
    }

    fn trap_14_a_source_that_is_always_ready_starves_nobody(world: World<Log>) {
        let (greedy, modest) = (world.probe(), world.probe());
        world.event_loop.add(greedy.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Again)).unwrap();
        world.event_loop.add(modest.source(), Ready::READ, Mode::Level, |log: &mut Log, _, _, _| {
            log.push("modest");
            Ok(Next::Remove)
        }).unwrap();
        world.event_loop.after(Duration::from_millis(1), |log, _| Ok(log.push("timer")));
        let remote = world.event_loop.remote();
        remote.post(|log, _| Ok(log.push("post")));
        greedy.raise();
        modest.raise();
        let mut log = Log::new();
        let start = std::time::Instant::now();
        while log.len() < 3 && start.elapsed() < LONG {
            world.event_loop.turn(&mut log, None).unwrap();
            if let Some(script) = &world.script {
                script.pass(Duration::from_millis(1));
            }
        }
        log.sort_unstable();
        assert_eq!(log, ["modest", "post", "timer"]);
    }
}

#[test]
fn trap_08_the_raw_mask_reaches_the_callback() {
    let mut world: World<Vec<Ready>> = World::scripted();
    let probe = world.probe();
    let script = world.script.clone().unwrap();
    script.raise(&*probe.event, Ready::PRI | Ready::ERR | Ready::READ);
    world
        .event_loop
        .add(probe.source(), Ready::PRI, Mode::Level, |seen, _, _, ready| {
            seen.push(ready);
            Ok(Next::Remove)
        })
        .unwrap();
    let mut seen = Vec::new();
    world.event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, [Ready::PRI | Ready::ERR]);
}

/// A failure of the backend that comes again whenever the error hook asks again: one a turn, and the turns go on.
#[test]
fn an_error_hook_that_enables_what_fails_does_not_hang_the_loop() {
    let mut world: World<u32> = World::real(Poll::new().unwrap());
    let probe = world.probe();
    let id = world.event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
    world.event_loop.on_error(move |n, ctx, fault| {
        assert_eq!(fault.id(), Some(id.into()));
        *n += 1;
        assert!(*n < 1000, "the turn does not end");
        ctx.enable(id, true);
    });
    world.event_loop.set(id, Ready::READ, Mode::Edge); // which poll(2) has not
    let mut n = 0;
    for _ in 0..4 {
        world.event_loop.turn(&mut n, Some(LONG)).unwrap();
    }
    assert!((1..=4).contains(&n), "{n}");
    world.event_loop.set(id, Ready::READ, Mode::Level);
    world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    let told = n;
    world.event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, told);
}
