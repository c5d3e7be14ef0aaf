//! A loop inside of a main loop that is somebody else's and owns the wait, as GLib's does: here a bare poll(2) over its own
//! descriptors and the loop's. The turn is made in its three steps.
//!
//! `cargo run -p becket-loop --example inside_poll`

use becket_loop::{Embedded, Loop, Next};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::error::Error;
use std::io::{PipeReader, Read, Write, pipe};
use std::time::{Duration, Instant};

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
    let (own, mut writer) = pipe()?;
    let thread = std::thread::spawn(move || {
        remote.post(|state: &mut State, _| {
            println!("loop: a post of another thread");
            state.posted = true;
            Ok(())
        });
        writer.write_all(b"for the main loop")
    });

    let embedded = inner.embed()?;
    let (mut state, mut heard) = (State::default(), String::new());
    // The main loop's own timer.
    let mut due = Instant::now() + Duration::from_millis(15);
    let mut fired = 0;
    let mut open = true;
    while inner.exit_code().is_none() {
        // First: what comes before a wait, and until when to wait at most.
        let deadline = inner.prepare(&mut state)?;
        // The main loop's wait, for all of them.
        let until = deadline.map_or(due, |deadline| deadline.min(due));
        let (own_ready, _) = wait(open.then_some(&own), &embedded, until)?;
        // Second and third: what is ready is collected, without waiting again, and told. This is right also where the
        // loop's descriptor was not ready: its time may have come.
        inner.wait(Some(Instant::now()))?;
        inner.dispatch(&mut state)?;
        if own_ready {
            let mut buf = [0; 64];
            let n = (&own).read(&mut buf)?;
            heard.push_str(std::str::from_utf8(&buf[..n])?);
            open = n > 0;
        }
        if due <= Instant::now() {
            fired += 1;
            println!("main loop: timer {fired}");
            due += Duration::from_millis(15);
        }
    }
    thread.join().map_err(|_| "the thread has panicked")??;
    let code = inner.run(&mut state)?; // it only ends
    assert_eq!((code, heard.as_str()), (3, "for the main loop"));
    assert!(state.ticks >= 5 && state.posted && fired >= 2);
    Ok(())
}

/// Waits until one of the two is ready, or the time is reached; which of them is ready.
fn wait(own: Option<&PipeReader>, embedded: &Embedded, until: Instant) -> Result<(bool, bool), Box<dyn Error>> {
    let mut fds = vec![PollFd::new(embedded, PollFlags::IN)];
    fds.extend(own.map(|own| PollFd::new(own, PollFlags::IN)));
    let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now()))?;
    poll(&mut fds, Some(&timeout))?;
    Ok((fds.get(1).is_some_and(|fd| !fd.revents().is_empty()), !fds[0].revents().is_empty()))
}
