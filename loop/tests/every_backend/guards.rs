use super::*;
use becket_loop::{Guard, Mode, Next};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Default)]
struct State {
    guards: Vec<Guard>,
    log: Vec<&'static str>,
}

/// Counts how many of it are left.
struct Token(Rc<Cell<u32>>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A source that does not go quietly.
struct Noisy(Rc<Event>);

impl AsFd for Noisy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Noisy {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

on_every_backend! {
    fn dropping_it_outside_of_turns_cancels(world: World<State>) {
        let World { event_loop, .. } = &mut world;
        let left = Rc::new(Cell::new(1));
        let token = Token(Rc::clone(&left));
        let timer = event_loop.every(Duration::from_millis(1), move |_, _, _| {
            let _held = &token;
            panic!("called")
        });
        let guard = event_loop.guard(timer);
        assert_eq!(guard.id(), timer.into());
        drop(guard);
        let mut state = State::default();
        assert_eq!(event_loop.run(&mut state).unwrap(), 0, "nothing is left to wait for");
        assert_eq!((left.get(), event_loop.sources().count()), (0, 0));
    }

    fn what_is_dropped_by_a_callback_is_called_no_more(world: World<State>) {
        let probes = [world.probe(), world.probe(), world.probe()];
        let World { mut event_loop, .. } = world;
        let mut state = State::default();
        for probe in &probes {
            let id = event_loop
                .add(probe.source(), Ready::READ, Mode::Level, |state: &mut State, _, _, _| {
                    state.log.push("ready");
                    state.guards.clear(); // its own, too
                    Ok(Next::Keep)
                })
                .unwrap();
            state.guards.push(event_loop.guard(id));
            probe.raise(); // all of them in one batch
        }
        event_loop.run(&mut state).unwrap();
        assert_eq!(state.log, ["ready"]);
        assert!(probes.iter().all(|probe| Rc::strong_count(&probe.event) == 1), "the sources are dropped");
    }

    fn deferred_work_and_posts_drop_it_too(world: World<State>) {
        let World { mut event_loop, .. } = world;
        let mut state = State::default();
        for _ in 0..2 {
            let id = event_loop.after(LONG, |_, _| panic!("called"));
            state.guards.push(event_loop.guard(id));
        }
        event_loop.remote().post(|state, _| Ok(drop(state.guards.pop())));
        event_loop.defer(|state, ctx| {
            assert_eq!(ctx.sources().count(), 1, "posts come first");
            state.guards.clear();
            ctx.defer(|_, ctx| Ok(assert_eq!(ctx.sources().count(), 0)));
            Ok(())
        });
        event_loop.run(&mut state).unwrap();
    }

    fn released_or_stale_it_does_nothing(world: World<State>) {
        let World { mut event_loop, .. } = world;
        let timer = event_loop.after(Duration::from_millis(1), |state: &mut State, _| Ok(state.log.push("cancelled")));
        let stale = event_loop.guard(timer);
        event_loop.cancel(timer);
        let timer = event_loop.after(Duration::from_millis(1), |state: &mut State, _| Ok(state.log.push("timer")));
        drop(stale); // of the same slot
        assert_eq!(event_loop.guard(timer).release(), timer.into());
        let mut state = State::default();
        event_loop.run(&mut state).unwrap();
        assert_eq!(state.log, ["timer"]);
    }

    fn another_thread_ends_the_wait_by_it(world: World<State>) {
        let probe = world.probe();
        let World { mut event_loop, .. } = world;
        let id = event_loop.add(probe.source(), Ready::READ, Mode::Level, |_, _, _, _| panic!("not ready")).unwrap();
        let guard = event_loop.guard(id);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(guard);
        });
        event_loop.run(&mut State::default()).unwrap(); // ends, for nothing is left
        thread.join().unwrap();
    }

    fn a_panic_of_what_it_drops_counts_as_the_callbacks(world: World<State>) {
        let (quiet, noisy) = (world.probe(), world.probe());
        let World { mut event_loop, .. } = world;
        let noisy = event_loop.add(Noisy(noisy.source()), Ready::READ, Mode::Level, |_, _, _, _| panic!("called"));
        let guard = event_loop.guard(noisy.unwrap());
        quiet.raise();
        let call = |state: &mut State, _: &mut _, _: &Rc<Event>, _| {
            state.log.push("call");
            state.guards.clear();
            Ok(Next::Keep)
        };
        event_loop.add(quiet.source(), Ready::READ, Mode::Level, call).unwrap();
        let mut state = State { guards: vec![guard], ..State::default() };
        let turn = std::panic::AssertUnwindSafe(|| event_loop.turn(&mut state, Some(LONG)));
        let panic = std::panic::catch_unwind(turn).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"dropped"));
        assert_eq!((event_loop.sources().count(), event_loop.run(&mut state).unwrap()), (0, 0));
        assert_eq!(state.log, ["call"]);
    }

    fn it_outlives_the_loop(world: World<State>) {
        let World { mut event_loop, .. } = world;
        let timer = event_loop.after(Duration::from_millis(1), |_, _| Ok(()));
        let guard = event_loop.guard(timer);
        drop(event_loop);
        drop(guard);
    }
}
