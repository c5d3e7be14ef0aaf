//! A rate limit: a source that never stops is called five times in a while, rests, and costs nothing meanwhile.
//!
//! `Next::Pause` in a callback is the same by the callback's own judgement. Time is simulated, so that what is printed is
//! exact. `cargo run -p becket-loop --example calm_a_talker`

use becket_loop::backend::Epoll;
use becket_loop::{Loop, Mode, Next, Ready, TestTime};
use becket_sys::event::Event;
use std::error::Error;
use std::time::Duration;

const WHILE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let (backend, _clock) = TestTime::over(Epoll::new()?);
    let mut event_loop: Loop<u32> = Loop::with_backend(backend);
    let talker = Event::new()?;
    talker.add(1)?; // never taken: ready for ever
    let id = event_loop.add(talker, Ready::READ, Mode::Level, |calls, _, _, _| {
        *calls += 1;
        Ok(Next::Keep)
    })?;
    event_loop.set_name(id, "talker");
    event_loop.set_rate_limit(id, Some((5, WHILE)));
    event_loop.after(WHILE * 5 / 2, |_, ctx| Ok(ctx.exit(0)));
    let mut calls = 0;
    event_loop.run(&mut calls)?;
    println!("{calls} calls in two and a half whiles, and {} turns", event_loop.stats().waits);
    Ok(())
}
