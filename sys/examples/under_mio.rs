//! Descriptors of this crate under mio: by `SourceFd`, and `Interest::PRIORITY` for what is urgent.
//!
//! Run it with `cargo run -p becket-sys --example under_mio`. mio is edge-triggered: read until there is nothing left.

mod things;

use becket_sys::Ready;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::AsRawFd;
use things::Things;

fn main() -> io::Result<()> {
    let things = Things::new()?;
    let mut poll = Poll::new()?;
    for (place, (fd, want)) in things.all().into_iter().enumerate() {
        let interest = if want == Ready::PRI { Interest::PRIORITY } else { Interest::READABLE };
        poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(place), interest)?;
    }

    things.stir()?;
    let mut left = things.all().len();
    let mut events = Events::with_capacity(8);
    while left > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(place) = event.token();
            if things.take(place)? {
                left -= 1;
                poll.registry().deregister(&mut SourceFd(&things.all()[place].0.as_raw_fd()))?;
            }
        }
    }
    Ok(())
}
