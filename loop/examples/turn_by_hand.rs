//! Turns by hand: a program with a main loop of its own, such as a game, gives the loop a share of each frame.
//!
//! `cargo run -p becket-loop --example turn_by_hand`

use becket_loop::{Loop, Next, RunError};
use std::time::{Duration, Instant};

fn main() -> Result<(), RunError> {
    const FRAME: Duration = Duration::from_millis(16);
    let mut event_loop: Loop<u32> = Loop::new()?;
    let start = event_loop.now();
    event_loop.every(Duration::from_millis(5), |ticks, _, _| {
        *ticks += 1;
        Ok(Next::Keep)
    });
    event_loop.after(Duration::from_millis(70), |_, ctx| Ok(ctx.exit(7)));

    let (mut ticks, mut frames) = (0, 0);
    let mut next = Instant::now();
    while event_loop.exit_code().is_none() {
        frames += 1; // what there is to draw
        next += FRAME;
        // The rest of the frame is the loop's: each turn waits until there is something to do, or the frame is over.
        while event_loop.exit_code().is_none() {
            let left = next.saturating_duration_since(Instant::now());
            event_loop.turn(&mut ticks, Some(left))?; // zero: it looks, and does not wait
            if left.is_zero() {
                break;
            }
        }
    }
    let code = event_loop.run(&mut ticks)?; // it only ends: the exit hooks, and the code
    let on_time = start.elapsed() >= Duration::from_millis(70);
    println!(
        "code {code}, not early: {on_time}; {}",
        if frames > 0 && ticks > 0 { "both had their share" } else { "?" }
    );
    Ok(())
}
