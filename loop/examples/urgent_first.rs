//! Priorities: what is urgent is called first, and what is not waits its turn, but never for ever.
//!
//! A talkative source is always ready, and one call a turn is all there is: with each turn that others wait they become more
//! urgent. `cargo run -p becket-loop --example urgent_first`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<Vec<&str>> = Loop::new()?;
    event_loop.set_calls_per_turn(1); // 256 by default; the fewer, the sharper the priorities
    for (name, priority, next) in
        [("statistics", 4, Next::Remove), ("data", 0, Next::Keep), ("alarm", -4, Next::Remove)]
    {
        let event = Event::new()?;
        event.add(1)?; // never taken: ready for ever, as a peer who never stops talking
        let id = event_loop.add(event, Ready::READ, Mode::Level, move |log: &mut Vec<_>, _, _, _| {
            log.push(name);
            Ok(next)
        })?;
        event_loop.set_priority(id, priority);
    }
    let mut log = Vec::new();
    for _ in 0..10 {
        event_loop.turn(&mut log, Some(Duration::ZERO))?;
    }
    println!("{}", log.join(" "));
    Ok(())
}
