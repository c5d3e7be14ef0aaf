//! A loop inside of tokio, on its own thread: tokio waits for both.
//!
//! The loop ticks, and a thread posts to it, while a task sleeps. `cargo run -p becket-loop --example inside_tokio`

use becket_loop::{Loop, Next};
use futures_lite::future::zip;
use std::error::Error;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const MS: Duration = Duration::from_millis(1);

#[derive(Default)]
struct State {
    ticks: u32,
    posted: bool,
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

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut inner: Loop<State> = Loop::new()?;
    inner.every(10 * MS, |state: &mut State, ctx, _| {
        state.ticks += 1;
        if state.ticks >= 5 && state.posted {
            ctx.exit(3);
        }
        Ok(Next::Keep)
    });
    let remote = inner.remote();
    let thread = std::thread::spawn(move || remote.post(|state: &mut State, _| Ok(state.posted = true)));
    let mut state = State::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let others = async {
        tokio::time::sleep(15 * MS).await;
        "a task has slept"
    };
    let (turned, slept) = runtime.block_on(zip(turn(&mut inner, &mut state), others));
    turned?;
    assert!(thread.join().map_err(|_| "the thread has panicked")?);
    let code = inner.run(&mut state)?; // it only ends
    println!("code {code}; {slept}; the loop has turned: {}", state.ticks >= 5);
    Ok(())
}
