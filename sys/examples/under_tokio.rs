//! Descriptors of this crate under tokio: in an `AsyncFd`, with the interest that fits.
//!
//! Run it with `cargo run -p becket-sys --example under_tokio`. Without an interest, `AsyncFd` asks for reading and
//! writing, which is ready at once where a descriptor can be written to.

mod things;

use becket_sys::Ready;
use std::io;
use std::os::fd::AsRawFd;
use things::Things;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until `take` has found something.
async fn next(fd: &AsyncFd<impl AsRawFd>, interest: Interest, take: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    loop {
        let mut guard = fd.ready(interest).await?;
        if take()? {
            return Ok(());
        }
        guard.clear_ready(); // only now: not before there was nothing
    }
}

#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
fn main() -> io::Result<()> {
    let things = Things::new()?; // before the runtime may start threads
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        things.stir()?;
        // The usual way: the source belongs to the `AsyncFd`.
        // SAFETY: a timer has one descriptor, which is open as long as the timer lives.
        let timer = unsafe { AsyncFd::register_with_interest(things.timer.try_clone()?, Interest::READABLE)? };
        next(&timer, Interest::READABLE, || {
            let event = timer.get_ref().try_read()?;
            Ok(event.map(|event| println!("timer: {event:?}")).is_some())
        })
        .await?;

        // What others use too is lent.
        for (place, (fd, want)) in things.all().into_iter().enumerate().skip(1) {
            let interest = if want == Ready::PRI { Interest::PRIORITY } else { Interest::READABLE };
            // SAFETY: it is one descriptor, which is open as long as the borrow lasts.
            let fd = unsafe { AsyncFd::register_with_interest(fd, interest)? };
            next(&fd, interest, || things.take(place)).await?;
        }
        Ok(())
    })
}
