//! Timers of one call: after a time, at a point in time, and one that is cancelled. None is ever early.
//!
//! `cargo run -p becket-loop --example call_later`

use becket_loop::Loop;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<u32> = Loop::new()?;
    let start = event_loop.now();
    let ms = Duration::from_millis;

    // A deadline is better than a delay where something else has taken its time before.
    event_loop.at(start + ms(30), move |calls, ctx| {
        assert!(ctx.now() >= start + ms(30));
        *calls += 1;
        println!("{calls}: at 30 ms");
        // What a callback adds may be due at once: it is called in the next turn.
        ctx.at(start, |calls, _| {
            *calls += 1;
            Ok(println!("{calls}: what was due long ago"))
        });
        Ok(())
    });
    event_loop.after(ms(10), |calls, _| {
        *calls += 1;
        Ok(println!("{calls}: after 10 ms"))
    });
    let never = event_loop.after(ms(20), |_, _| Err("it was cancelled".into()));
    assert!(event_loop.cancel(never));
    assert!(!event_loop.cancel(never), "it is gone, and its id names nothing any more");

    let mut calls = 0;
    event_loop.run(&mut calls)?; // until no timer is left
    println!("{calls} calls");
    Ok(())
}
