//! A loop inside of a main loop that is somebody else's and owns the wait, as GLib's does: here a bare poll(2) over its own
//! descriptors and the loop's. The turn is made in its three steps.
//!
//! `cargo run -p becket-loop --example inside_poll`

use becket_loop::{Loop, Next};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::error::Error;
use std::io::{Read, Write, pipe};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut inner: Loop<u32> = Loop::new()?;
    inner.every(10 * MS, |ticks, _, _| {
        *ticks += 1;
        Ok(Next::Keep)
    });
    let remote = inner.remote();
    let (mut own, mut writer) = pipe()?;
    let thread = std::thread::spawn(move || {
        remote.post(|_, _| Ok(println!("for the loop")));
        writer.write_all(b"for the main loop")
    });

    let embedded = inner.embed()?;
    let (mut ticks, mut fired, mut heard) = (0, 0, String::new());
    let mut due = Instant::now() + 15 * MS; // the main loop's own timer
    while inner.exit_code().is_none() {
        // First: what comes before a wait, and until when to wait at most.
        let deadline = inner.prepare(&mut ticks)?;
        // The main loop's wait, for all of them.
        let until = deadline.map_or(due, |deadline| deadline.min(due)).saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(&embedded, PollFlags::IN)];
        fds.extend(heard.is_empty().then(|| PollFd::new(&own, PollFlags::IN)));
        poll(&mut fds, Some(&Timespec::try_from(until)?))?;
        let own_ready = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        // Second and third: what is ready is collected, without waiting again, and told. This is right also where the
        // loop's descriptor was not ready: its time may have come.
        inner.wait(Some(Instant::now()))?;
        inner.dispatch(&mut ticks)?;
        if own_ready {
            own.read_to_string(&mut heard)?;
        }
        if ticks >= 5 && !heard.is_empty() {
            inner.exit(3);
        }
        if due <= Instant::now() {
            (fired, due) = (fired + 1, due + 15 * MS);
        }
    }
    thread.join().map_err(|_| "the thread has panicked")??;
    let code = inner.run(&mut ticks)?; // it only ends
    println!("{heard}\ncode {code}; both have turned: {}", ticks >= 5 && fired >= 2);
    Ok(())
}
