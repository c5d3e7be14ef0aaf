//! Descriptors of this crate under async-io: in an `Async`. Byte streams read and write by `&Async<T>`.
//!
//! async-io has no interest in priority alone: an [`Adapter`] around such a descriptor is readable when that is urgent.

mod things;

use async_io::{Async, block_on};
use becket_sys::pri::Adapter;
use becket_sys::timer::Timer;
use std::fmt::Debug;
use std::io;
use std::os::fd::AsFd;
use things::Things;

pub(crate) fn main() -> io::Result<()> {
    let things = Things::new()?; // before async-io starts its thread: it blocks signals
    block_on(async {
        things.stir()?;
        // The usual way: the source belongs to the `Async`.
        let timer: Async<Timer> = Async::new_nonblocking(things.timer.try_clone()?)?;
        next("timer", &timer, |timer| timer.try_read()).await?;

        // What others use too is lent.
        next("signal", &Async::new_nonblocking(&things.signals)?, |signals| signals.try_read()).await?;
        next("inotify", &Async::new_nonblocking(&things.inotify)?, |inotify| inotify.try_read()).await?;
        next("event", &Async::new_nonblocking(&things.event)?, |event| event.try_read()).await?;
        next("child", &Async::new_nonblocking(&things.child)?, |child| child.try_wait()).await?;

        next("packet", &Async::new_nonblocking(&things.packets)?, |_| things.try_packet()).await?;

        let urgent = Async::new_nonblocking(Adapter::new(&things.urgent)?)?;
        next("urgent", &urgent, |adapter| adapter.get_ref().try_recv_urgent()).await
    })
}

/// Waits for the next thing that `take` finds.
async fn next<T: AsFd, R: Debug>(
    name: &str,
    fd: &Async<T>,
    take: impl Fn(&T) -> io::Result<Option<R>>,
) -> io::Result<()> {
    loop {
        if let Some(it) = take(fd.get_ref())? {
            println!("{name}: {it:?}");
            return Ok(());
        }
        fd.readable().await?;
    }
}
