//! A loop inside calloop, which asks by level, or by edge, and knows nothing of it.

mod nested;
#[path = "../examples/inside_calloop.rs"]
mod the_example;

use becket_loop::Loop;
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use nested::Done;
use std::time::{Duration, Instant};

struct State {
    inner: Loop<Done>,
    done: Done,
}

fn inside(mode: Mode) {
    let mut event_loop: EventLoop<'_, State> = EventLoop::try_new().unwrap();
    let mut state = State { inner: nested::busy(), done: Done::default() };
    let source = Generic::new(state.inner.embed().unwrap(), Interest::READ, mode);
    let by_level = matches!(mode, Mode::Level);
    let turn = move |_, embedded: &mut calloop::generic::NoIoDrop<_>, state: &mut State| {
        loop {
            state.inner.turn(&mut state.done, Some(Duration::ZERO)).unwrap();
            // By level calloop calls again, and others come between. A loop that is to exit stays ready.
            let ends = by_level || state.inner.exit_code().is_some();
            if ends || !becket_loop::Embedded::is_ready(embedded)? {
                break Ok(PostAction::Continue);
            }
        }
    };
    event_loop.handle().insert_source(source, turn).map_err(|refused| refused.error).unwrap();
    let later = Timer::from_duration(Duration::from_millis(10));
    let outside = |_, _: &mut (), state: &mut State| {
        nested::outside(&mut state.inner);
        TimeoutAction::Drop
    };
    event_loop.handle().insert_source(later, outside).map_err(|refused| refused.error).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while state.inner.exit_code().is_none() {
        assert!(Instant::now() < end, "{:?}", state.done);
        event_loop.dispatch(Duration::from_secs(20), &mut state).unwrap();
    }
    drop(event_loop);
    nested::check(state.inner, state.done);
}

#[test]
fn calloop_turns_it_whenever_there_is_something_to_do() {
    inside(Mode::Level);
}

#[test]
fn calloop_turns_it_by_edge_as_well() {
    inside(Mode::Edge);
}

#[test]
fn the_example_runs() {
    the_example::main().unwrap();
}
