//! Descriptors of this crate under polling, which is one-shot unless told otherwise, and which knows priority.
//!
//! Run it with `cargo run -p becket-sys --example under_polling`.

mod things;

use becket_sys::Ready;
use polling::{Event, Events, PollMode, Poller};
use std::io;
use std::os::fd::AsRawFd;
use things::Things;

#[allow(unsafe_code, reason = "the poller does not own what it polls")]
fn main() -> io::Result<()> {
    let things = Things::new()?;
    let poller = Poller::new()?;
    for (place, (fd, want)) in things.all().into_iter().enumerate() {
        let interest = if want == Ready::PRI { Event::none(place).with_priority() } else { Event::readable(place) };
        // SAFETY: each descriptor is deleted below, while `things` still has it; or else the poller goes first.
        unsafe { poller.add_with_mode(fd.as_raw_fd(), interest, PollMode::Level)? };
    }

    things.stir()?;
    let mut left = things.all().len();
    let mut events = Events::new();
    while left > 0 {
        events.clear();
        poller.wait(&mut events, None)?;
        for event in events.iter() {
            if things.take(event.key)? {
                left -= 1;
                poller.delete(things.all()[event.key].0)?;
            }
        }
    }
    Ok(())
}
