use super::*;
use becket_loop::{Mode, Next};

#[derive(Default)]
struct State {
    log: Vec<&'static str>,
    n: u32,
}

fn log(world: &mut World<State>, name: &'static str) -> becket_loop::Id<Rc<Event>> {
    let probe = world.probe();
    probe.raise(); // for good
    let call = move |state: &mut State, _: &mut _, _: &Rc<Event>, _| {
        state.log.push(name);
        Ok(Next::Keep)
    };
    world.event_loop.add(probe.source(), Ready::READ, Mode::Level, call).unwrap()
}

on_every_backend! {
    fn the_urgent_comes_first(world: World<State>) {
        for (name, priority) in [("b", 0), ("d", 7), ("a", -3), ("c", 0)] {
            let id = log(&mut world, name);
            assert!(world.event_loop.set_priority(id, priority));
        }
        let mut state = State::default();
        world.event_loop.turn(&mut state, Some(LONG)).unwrap();
        // Of equal ones the order is the backend's.
        state.log[1..3].sort_unstable();
        assert_eq!(state.log, ["a", "b", "c", "d"]);
        let timer = world.event_loop.after(LONG, |_, _| Ok(()));
        assert!(!world.event_loop.set_priority(timer, 1));
    }

    fn the_unimportant_comes_late_but_comes(world: World<State>) {
        let busy = log(&mut world, "busy");
        let idle = log(&mut world, "idle");
        world.event_loop.set_priority(idle, 5);
        world.event_loop.set_calls_per_turn(1);
        let mut state = State::default();
        for _ in 0..30 {
            world.event_loop.turn(&mut state, Some(LONG)).unwrap();
        }
        assert_eq!(state.log.len(), 30);
        let first = state.log.iter().position(|name| *name == "idle").unwrap();
        assert!((4..=7).contains(&first), "{first}");
        let idles = state.log.iter().filter(|name| **name == "idle").count();
        assert!((3..=7).contains(&idles), "{idles}");
        // Made important while it waits, it is the next.
        while state.log.last() == Some(&"idle") {
            world.event_loop.turn(&mut state, Some(LONG)).unwrap();
        }
        world.event_loop.set_priority(idle, -5);
        state.log.clear();
        world.event_loop.turn(&mut state, Some(LONG)).unwrap();
        assert_eq!(state.log, ["idle"]);
        assert!(world.event_loop.cancel(busy));
    }

    fn a_source_has_so_many_calls_in_so_much_time(world: World<State>) {
        const INTERVAL: Duration = Duration::from_millis(20);
        let id = log(&mut world, "call");
        assert!(world.event_loop.set_rate_limit(id, Some((3, INTERVAL))));
        let start = world.event_loop.now();
        let mut state = State::default();
        while state.log.len() < 9 {
            world.event_loop.turn(&mut state, Some(LONG)).unwrap();
            let passed = world.event_loop.now() - start;
            let intervals = passed.as_nanos() / INTERVAL.as_nanos() + 1;
            assert!(state.log.len() <= 3 * intervals as usize, "{} calls in {passed:?}", state.log.len());
        }
        assert!(world.event_loop.now() - start >= INTERVAL * 2);
        // It rests now. Whoever enables it says what holds; so does who ends the limit, for what comes after.
        assert!(!world.event_loop.sources().next().unwrap().enabled);
        world.event_loop.set_rate_limit(id, None);
        world.event_loop.enable(id, true);
        for _ in 0..20 {
            world.event_loop.turn(&mut state, Some(LONG)).unwrap();
        }
        assert_eq!(state.log.len(), 29);
    }

    fn what_a_callback_disables_no_limit_enables(world: World<State>) {
        let probe = world.probe();
        probe.raise();
        let World { mut event_loop, .. } = world;
        let id = event_loop
            .add(probe.source(), Ready::READ, Mode::Level, |state: &mut State, _, _, _| {
                state.n += 1;
                Ok(if state.n == 2 { Next::Disable } else { Next::Keep })
            })
            .unwrap();
        event_loop.set_rate_limit(id, Some((0, Duration::from_millis(5)))); // counts as 1
        let mut state = State::default();
        event_loop.run(&mut state).unwrap(); // until nothing is enabled
        assert_eq!(state.n, 2);
        // A rest ends with its source.
        event_loop.set_rate_limit(id, Some((1, LONG * 100)));
        event_loop.enable(id, true);
        event_loop.turn(&mut state, Some(LONG)).unwrap();
        assert_eq!((state.n, event_loop.sources().count()), (3, 2), "it and the timer that will wake it");
        drop(event_loop.remove(id));
        assert_eq!(event_loop.sources().count(), 0);
    }

    fn an_edge_that_comes_while_it_rests_is_told_after(world: World<State>) {
        let probe = world.probe();
        let World { mut event_loop, .. } = world;
        if !event_loop.caps().edge {
            return;
        }
        let id = event_loop
            .add(probe.source(), Ready::READ, Mode::Edge, |state: &mut State, _, _, _| {
                state.n += 1;
                Ok(Next::Keep)
            })
            .unwrap();
        event_loop.set_rate_limit(id, Some((1, Duration::from_millis(10))));
        let mut state = State::default();
        probe.raise();
        event_loop.turn(&mut state, Some(LONG)).unwrap();
        probe.lower();
        assert_eq!(state.n, 1);
        probe.raise();
        let start = event_loop.now();
        while state.n == 1 {
            event_loop.turn(&mut state, Some(LONG)).unwrap();
        }
        assert!(event_loop.now() > start);
    }
}
