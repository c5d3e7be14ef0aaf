//! The same program over several backends: what each can do is said, and what it cannot is refused, never emulated.
//!
//! `Loop::new` is over epoll(7), or what `BECKET_BACKEND` names. `cargo run -p becket-loop --example choose_a_backend`

use becket_loop::backend::{Epoll, Poll, Scripted};
use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use std::error::Error;
use std::time::Duration;

fn show(mut event_loop: Loop<u32>) -> Result<(), Box<dyn Error>> {
    let caps = event_loop.caps();
    event_loop.every(Duration::from_millis(1), |ticks, _, _| {
        *ticks += 1;
        Ok(if *ticks < 3 { Next::Keep } else { Next::Remove })
    });
    let mut ticks = 0;
    event_loop.run(&mut ticks)?;

    let edge = event_loop.add(Event::new()?, Ready::READ, Mode::Edge, |_, _, _, _| Ok(Next::Keep));
    let edge = edge.map_or_else(|refused| format!("refused: {:?}", refused.error().kind()), |_| "added".into());
    let embed = event_loop.embed().map_or_else(|e| format!("refused: {:?}", e.kind()), |_| "a descriptor".into());
    println!("{}: {ticks} ticks; by edge: {edge}; inside another loop: {embed}", caps.name);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    show(Loop::with_backend(Epoll::new()?))?;
    show(Loop::with_backend(Poll::new()?))?; // every unix has it
    show(Loop::with_backend(Scripted::new().0))?; // for tests: it plays a script, on a clock of its own
    // With the features of their names: `backend::Uring`, `backend::Polling`.
    Ok(())
}
