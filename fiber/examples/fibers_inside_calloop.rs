//! Fibers inside of calloop, which waits for both. Run it with
//! `cargo run -p becket-fiber --example fibers_inside_calloop`.

use becket_fiber::{Runtime, interval, sync};
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, Mode, PostAction};
use std::error::Error;
use std::time::Duration;

struct State {
    fibers: Runtime,
    words: Option<sync::Sender<&'static str>>,
    left: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut fibers = Runtime::new()?;
    let (sender, words) = sync::channel(1);
    fibers.spawn(move || {
        for word in words.iter() {
            println!("fiber: {word}");
        }
    })?;
    fibers.spawn(|| {
        let mut ticks = interval(Duration::from_millis(5));
        (1..=3).try_for_each(|n| ticks.tick().map(|_| println!("fiber: tick {n}")))
    })?;

    let mut event_loop: EventLoop<'_, State> = EventLoop::try_new()?;
    let embedded = Generic::new(fibers.embed()?, Interest::READ, Mode::Level);
    let turn = |_, _: &mut _, state: &mut State| {
        state.left = state.fibers.turn(Some(Duration::ZERO))?;
        Ok(PostAction::Continue)
    };
    event_loop.handle().insert_source(embedded, turn).map_err(|refused| refused.error)?;
    // A callback of calloop's wakes a fiber.
    let later = |_, _: &mut (), state: &mut State| {
        if let Some(words) = state.words.take() {
            let _ = words.try_send("a word from calloop");
        }
        TimeoutAction::Drop
    };
    let timer = Timer::from_duration(Duration::from_millis(2));
    event_loop.handle().insert_source(timer, later).map_err(|refused| refused.error)?;

    let mut state = State { fibers, words: Some(sender), left: 2 };
    while state.left > 0 {
        event_loop.dispatch(None, &mut state)?;
    }
    Ok(())
}
