//! What a loop holds and has done: each source by its name, counts, and, once it is observed, how long everything took.
//!
//! The snapshot is a value, and prints as a line of JSON for whoever asks the service; another thread asks by a post.
//! `cargo run -p becket-loop --example what_it_holds`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<()> = Loop::new()?;
    let bell = event_loop.add(Event::new()?, Ready::READ, Mode::Level, |(), _, _, _| Ok(Next::Keep))?;
    event_loop.set_name(bell, "doorbell");
    let mut left = 3;
    let tick = event_loop.every(Duration::from_millis(1), move |(), ctx, _| {
        left -= 1;
        if left == 0 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    });
    event_loop.set_name(tick, "tick");

    event_loop.observe(true); // off at first: then nothing is measured, and nothing is paid
    event_loop.run(&mut ())?;

    event_loop.sources().for_each(|source| println!("{source}"));
    let stats = event_loop.stats();
    println!("{} timers, {} callbacks", stats.timers, stats.callbacks);
    let snapshot = event_loop.snapshot();
    println!(
        "how late they were is known of {}, how long was waited {} times",
        snapshot.lag.count(),
        snapshot.waited.count()
    );
    let json = snapshot.to_string();
    println!("in JSON: {}", json.contains(r#""name":"tick","kind":"timer","enabled":true"#));
    Ok(())
}
