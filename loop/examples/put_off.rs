//! A timer that is put off again and again: settings are saved once, some time after the last change of many.
//!
//! The same timer serves as a timeout that begins anew with all that comes: arming it allocates nothing.
//! `cargo run -p becket-loop --example put_off`

use becket_loop::{Every, Loop, Next};
use std::error::Error;
use std::time::Duration;

#[derive(Default)]
struct Settings {
    volume: u32,
    saved: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    const QUIET: Duration = Duration::from_millis(400);
    let mut event_loop: Loop<Settings> = Loop::new()?;
    let save = event_loop.timer(|settings: &mut Settings, _| {
        settings.saved += 1;
        println!("saved: volume {}", settings.volume);
        Ok(Next::Keep) // it stays, and is armed by the next change
    });
    let often = Every::new(Duration::from_millis(2));
    event_loop.every(often, move |settings, ctx, _| {
        settings.volume += 1; // a knob is turned
        ctx.arm_timeout(save, QUIET); // from the time of the turn on: no look at the clock
        Ok(if settings.volume < 10 { Next::Keep } else { Next::Remove })
    });
    let mut settings = Settings::default();
    event_loop.run(&mut settings)?; // a timer that is not armed does not keep it alive
    println!("{} changes, saved {} times", settings.volume, settings.saved);
    Ok(())
}
