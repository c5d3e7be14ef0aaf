//! A loop inside of tokio, on its own thread: tokio waits for both.
//!
//! The loop ticks, and a thread posts to it, while tokio sleeps and wakes a task. `cargo run -p becket-loop --example
//! inside_tokio`

use becket_loop::{Loop, Next};
use futures_lite::future::zip;
use std::error::Error;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

#[derive(Default)]
struct State {
    ticks: u32,
    posted: bool,
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut inner: Loop<State> = Loop::new()?;
    inner.every(Duration::from_millis(10), |state: &mut State, ctx, _| {
        state.ticks += 1;
        println!("loop: tick {}", state.ticks);
        if state.ticks >= 5 && state.posted {
            ctx.exit(3);
        }
        Ok(Next::Keep)
    });
    let remote = inner.remote();
    let thread = std::thread::spawn(move || {
        remote.post(|state: &mut State, _| {
            println!("loop: a post of another thread");
            state.posted = true;
            Ok(())
        });
    });
    let mut state = State::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (turned, slept) = runtime.block_on(zip(turn(&mut inner, &mut state), others()));
    turned?;
    thread.join().map_err(|_| "the thread has panicked")?;
    let code = inner.run(&mut state)?; // it only ends
    assert_eq!((code, slept), (3, 3));
    assert!(state.ticks >= 5 && state.posted);
    Ok(())
}

/// Turns the loop whenever it has anything to do, until it was asked to exit.
#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
async fn turn(inner: &mut Loop<State>, state: &mut State) -> Result<(), Box<dyn Error>> {
    // SAFETY: it owns one descriptor as long as it lives.
    let embedded = unsafe { AsyncFd::register_with_interest(inner.embed()?, Interest::READABLE)? };
    while inner.exit_code().is_none() {
        let mut guard = embedded.readable().await?;
        inner.turn(state, Some(Duration::ZERO))?;
        // tokio hears of what becomes ready, not of what a turn has left.
        if !guard.get_inner().is_ready()? {
            guard.clear_ready();
        }
    }
    Ok(())
}

/// What else there is for tokio to do.
async fn others() -> u32 {
    for n in 1..=3 {
        sleep(Duration::from_millis(15)).await;
        println!("tokio: slept {n} times");
    }
    3
}
