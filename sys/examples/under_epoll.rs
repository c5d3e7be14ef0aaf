//! Descriptors of this crate under an epoll(7) set of one's own. [`becket_sys::Ready`] has epoll's bits.
//!
//! Run it with `cargo run -p becket-sys --example under_epoll`.

mod things;

use becket_sys::epoll::{Epoll, Events, Trigger};
use std::io;
use things::Things;

fn main() -> io::Result<()> {
    let things = Things::new()?;
    let set = Epoll::new()?;
    for (place, (fd, want)) in things.all().into_iter().enumerate() {
        set.add(fd, place as u64, want, Trigger::empty())?;
    }

    things.stir()?;
    let mut left = things.all().len();
    let mut events = Events::with_capacity(8);
    while left > 0 {
        set.wait(&mut events, None)?;
        for (place, _ready) in events.iter() {
            if things.take(place as usize)? {
                left -= 1;
                set.delete(things.all()[place as usize].0)?;
            }
        }
    }
    Ok(())
}
