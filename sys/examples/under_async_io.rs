//! Descriptors of this crate under async-io: in an `Async`. Byte streams read and write by `&Async<T>`.
//!
//! Run it with `cargo run -p becket-sys --example under_async_io`. async-io has no interest in priority alone: an
//! [`Adapter`] around such a descriptor is readable when that is urgent.

mod things;

use async_io::{Async, block_on};
use becket_sys::pri::Adapter;
use becket_sys::timer::Timer;
use std::io;
use std::os::fd::AsFd;
use things::Things;

/// Waits until `take` has found something.
async fn next<T: AsFd>(fd: Async<T>, take: impl Fn(&T) -> io::Result<bool>) -> io::Result<()> {
    while !take(fd.get_ref())? {
        fd.readable().await?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let things = Things::new()?; // before async-io starts its thread
    block_on(async {
        things.stir()?;
        // The usual way: the source belongs to the `Async`.
        let timer: Async<Timer> = Async::new_nonblocking(things.timer.try_clone()?)?;
        next(timer, |timer| Ok(timer.try_read()?.map(|event| println!("timer: {event:?}")).is_some())).await?;

        // What others use too is lent.
        next(Async::new_nonblocking(&things.signals)?, |_| things.take(1)).await?;
        next(Async::new_nonblocking(&things.child)?, |_| things.take(2)).await?;
        next(Async::new_nonblocking(Adapter::new(&things.urgent)?)?, |_| things.take(3)).await
    })
}
