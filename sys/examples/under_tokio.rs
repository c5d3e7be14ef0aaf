//! Descriptors of this crate under tokio: in an `AsyncFd`, with the interest that fits. Without one it asks for reading
//! and writing, which is ready at once where a descriptor can be written to.

mod things;

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use things::Things;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
pub(crate) fn main() -> io::Result<()> {
    let things = Things::new()?; // before the runtime may start threads: it blocks signals
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        things.stir()?;
        // The usual way: the source belongs to the `AsyncFd`.
        // SAFETY: a timer has one descriptor, which is open as long as the timer lives.
        let timer = unsafe { AsyncFd::register_with_interest(things.timer.try_clone()?, Interest::READABLE)? };
        next("timer", &timer, Interest::READABLE, || timer.get_ref().try_read()).await?;

        // What others use too is lent.
        let signals = register(things.signals.as_fd(), Interest::READABLE)?;
        next("signal", &signals, Interest::READABLE, || things.signals.try_read()).await?;
        let inotify = register(things.inotify.as_fd(), Interest::READABLE)?;
        next("inotify", &inotify, Interest::READABLE, || things.inotify.try_read()).await?;
        let event = register(things.event.as_fd(), Interest::READABLE)?;
        next("event", &event, Interest::READABLE, || things.event.try_read()).await?;
        let child = register(things.child.as_fd(), Interest::READABLE)?;
        next("child", &child, Interest::READABLE, || things.child.try_wait()).await?;
        let packets = register(things.packets.as_fd(), Interest::READABLE)?;
        next("packet", &packets, Interest::READABLE, || things.try_packet()).await?;
        let urgent = register(things.urgent.as_fd(), Interest::PRIORITY)?;
        next("urgent", &urgent, Interest::PRIORITY, || things.urgent.try_recv_urgent()).await
    })
}

#[allow(unsafe_code, reason = "tokio does not know that a borrowed descriptor stays open")]
fn register(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: it is one descriptor, which is open as long as the borrow lasts.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}

/// Waits for the next thing that `take` finds.
async fn next<T: AsRawFd, R: Debug>(
    name: &str,
    fd: &AsyncFd<T>,
    interest: Interest,
    take: impl Fn() -> io::Result<Option<R>>,
) -> io::Result<()> {
    loop {
        let mut guard = fd.ready(interest).await?;
        if let Some(it) = take()? {
            println!("{name}: {it:?}");
            return Ok(());
        }
        guard.clear_ready();
    }
}
