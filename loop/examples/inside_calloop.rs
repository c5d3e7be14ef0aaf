//! A loop inside of calloop: calloop waits for both.
//!
//! The loop ticks, and a thread posts to it, while calloop has a timer. `cargo run -p becket-loop --example inside_calloop`

use becket_loop::{Loop, Next};
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use std::error::Error;
use std::io;
use std::time::Duration;

#[derive(Default)]
struct State {
    ticks: u32,
    posted: bool,
}

struct Outer {
    inner: Loop<State>,
    state: State,
    fired: u32,
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut inner: Loop<State> = Loop::new()?;
    inner.every(Duration::from_millis(10), |state: &mut State, ctx, _| {
        state.ticks += 1;
        println!("loop: tick {}", state.ticks);
        if state.ticks >= 5 && state.posted {
            ctx.exit(3);
        }
        Ok(Next::Keep)
    });
    let remote = inner.remote();
    let thread = std::thread::spawn(move || {
        remote.post(|state: &mut State, _| {
            println!("loop: a post of another thread");
            state.posted = true;
            Ok(())
        });
    });

    let mut calloop: EventLoop<'_, Outer> = EventLoop::try_new()?;
    // By level: where a turn leaves something, calloop calls again.
    let embedded = Generic::new(inner.embed()?, Interest::READ, Mode::Level);
    let insert = calloop.handle().insert_source(embedded, |_, _, outer| {
        outer.inner.turn(&mut outer.state, Some(Duration::ZERO)).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(PostAction::Continue)
    });
    insert.map_err(|refused| refused.error)?;
    let insert = calloop.handle().insert_source(Timer::from_duration(Duration::from_millis(15)), |_, (), outer| {
        outer.fired += 1;
        println!("calloop: timer {}", outer.fired);
        TimeoutAction::ToDuration(Duration::from_millis(15))
    });
    insert.map_err(|refused| refused.error)?;

    let mut outer = Outer { inner, state: State::default(), fired: 0 };
    while outer.inner.exit_code().is_none() {
        calloop.dispatch(None, &mut outer)?;
    }
    thread.join().map_err(|_| "the thread has panicked")?;
    let code = outer.inner.run(&mut outer.state)?; // it only ends
    assert_eq!(code, 3);
    assert!(outer.state.ticks >= 5 && outer.state.posted && outer.fired >= 2);
    Ok(())
}
