//! Long work in slices: deferred work that defers its rest, so that timers and descriptors have their turns in between.
//!
//! `cargo run -p becket-loop --example work_in_slices`

use becket_loop::{Ctx, Loop, Next, RunError};
use std::time::Duration;

#[derive(Default)]
struct State {
    primes: u32,
    ticks: u32,
}

const SLICE: u32 = 200;

fn count_primes(ctx: &mut Ctx<State>, from: u32, to: u32) {
    ctx.defer(move |state, ctx| {
        let end = to.min(from + SLICE);
        state.primes += (from..end).filter(|n| (2..*n).all(|d| n % d != 0)).count() as u32;
        if end < to {
            count_primes(ctx, end, to); // in the next turn, after what is due by then
        } else {
            ctx.exit(0);
        }
        Ok(())
    });
}

fn main() -> Result<(), RunError> {
    let mut event_loop: Loop<State> = Loop::new()?;
    event_loop.every(Duration::from_micros(100), |state: &mut State, _, _| {
        state.ticks += 1;
        Ok(Next::Keep)
    });
    count_primes(&mut event_loop, 2, 20_000);
    let mut state = State::default();
    event_loop.run(&mut state)?;
    println!("{} primes; ticks in between: {}", state.primes, if state.ticks > 5 { "yes" } else { "no" });
    Ok(())
}
