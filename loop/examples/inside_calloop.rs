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

const MS: Duration = Duration::from_millis(1);

#[derive(Default)]
struct State {
    ticks: u32,
    posted: bool,
}

struct Outer {
    inner: Loop<State>,
    state: State,
    fired: u32, // calloop's own timer
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut inner: Loop<State> = Loop::new()?;
    inner.every(10 * MS, |state: &mut State, ctx, _| {
        state.ticks += 1;
        if state.ticks >= 5 && state.posted {
            ctx.exit(3);
        }
        Ok(Next::Keep)
    });
    let remote = inner.remote();
    let thread = std::thread::spawn(move || remote.post(|state: &mut State, _| Ok(state.posted = true)));

    let mut calloop: EventLoop<'_, Outer> = EventLoop::try_new()?;
    // By level: where a turn leaves something, calloop calls again.
    let embedded = Generic::new(inner.embed()?, Interest::READ, Mode::Level);
    let insert = calloop.handle().insert_source(embedded, |_, _, outer| {
        outer.inner.turn(&mut outer.state, Some(Duration::ZERO)).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(PostAction::Continue)
    });
    insert.map_err(|refused| refused.error)?;
    let insert = calloop.handle().insert_source(Timer::from_duration(15 * MS), |_, (), outer| {
        outer.fired += 1;
        TimeoutAction::ToDuration(15 * MS)
    });
    insert.map_err(|refused| refused.error)?;
    let mut outer = Outer { inner, state: State::default(), fired: 0 };
    while outer.inner.exit_code().is_none() {
        calloop.dispatch(None, &mut outer)?;
    }
    assert!(thread.join().map_err(|_| "the thread has panicked")?);
    let code = outer.inner.run(&mut outer.state)?; // it only ends
    println!("code {code}; both have turned: {}", outer.state.ticks >= 5 && outer.fired >= 2);
    Ok(())
}
