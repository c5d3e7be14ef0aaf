//! The points of a turn at which hooks are called: before and after each wait, when nothing is left to do, and at the end.
//!
//! An idle hook that answers `Next::Again` keeps the loop from blocking: work for when there is no other.
//! `cargo run -p becket-loop --example hooks_of_a_turn`

use becket_loop::{HookPoint, Loop, Next, RunError};
use std::time::Duration;

fn main() -> Result<(), RunError> {
    let mut event_loop: Loop<Vec<&str>> = Loop::new()?;
    for (point, word) in [(HookPoint::Prepare, "prepare"), (HookPoint::Check, "check"), (HookPoint::Exit, "exit")] {
        event_loop.hook(point, move |log, _| {
            log.push(word);
            Ok(Next::Keep)
        });
    }
    let mut left = 2;
    event_loop.hook(HookPoint::Idle, move |log, _| {
        log.push("idle");
        left -= 1;
        // Again: the loop looks at its descriptors without waiting, and comes back. Remove: it may block now.
        Ok(if left > 0 { Next::Again } else { Next::Remove })
    });
    event_loop.after(Duration::from_millis(250), |log, ctx| {
        log.push("timer");
        ctx.defer(|log, _| Ok(log.push("deferred")));
        ctx.exit(0);
        Ok(())
    });
    let mut log = Vec::new();
    event_loop.run(&mut log)?; // hooks alone would not keep it alive
    println!("{}", log.join(" "));
    Ok(())
}
