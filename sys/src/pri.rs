//! Priority readiness for loops that know reading and writing only.
//!
//! Pressure triggers, mount tables, sysfs attributes and GPIO lines of sysfs announce themselves by [`Ready::PRI`],
//! which calloop, async-io and others cannot ask for. An [`Adapter`] puts such a descriptor into an epoll set of its
//! own; the set is readable when the descriptor is urgent, and a set can be polled anywhere.
//!
//! # Honest trouble
//!
//! There are two kinds of descriptors, and one of them forgets when it is looked at.
//!
//! | | level | edge | one-shot, armed again |
//! |---|---|---|---|
//! | sysfs, control groups, out-of-band data, packet mode: urgent **until read** | yes | yes | yes |
//! | [mount tables](crate::mounts), [pressure](crate::psi): urgent **until looked at** | yes | yes | **loses events** |
//!
//! - Under a loop that waits level- or edge-triggered, the readiness of the adapter *is* the event of the second kind:
//!   the look that reported it has taken it, and [`Adapter::try_ready`] then says `None`.
//! - Under a loop that arms one-shot (async-io, `polling` by default), an event between two waits is lost: arming
//!   looks, and throws away what it sees. Read the mount table after each arming, before each wait; then nothing is
//!   missed that the table shows. A pressure event is lost for good, and the next comes a window later if the pressure
//!   lasts.
//! - Registering looks, too: what changed before is not told of the second kind. Register first and read then.
//! - Of some statuses of [packet mode](crate::pty#what-else-surprises), a stop and a start, the kernel wakes only who
//!   waits for reading, and so not an adapter: such a controller is readable as it is, which is what to wait for.
//! - A set inside a set inside a set: the kernel allows five levels.
//! - Two adapters, or an adapter and a set, on one *open file* of the second kind share its events, each told to one of
//!   them.

use crate::Ready;
use crate::epoll::{Epoll, Events, Trigger};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

/// Readable when what it holds is urgent.
///
/// Lends the descriptor of an epoll set, close-on-exec; register that for reading. Dropping it closes the set and drops
/// what it holds.
///
/// ```
/// use becket_sys::tcp::{Listener, Stream};
/// use becket_sys::{Ready, pri::Adapter};
///
/// let listener = Listener::bind(([127, 0, 0, 1], 0))?;
/// let client = Stream::connect(listener.local_addr()?)?.finish(None)?;
/// listener.wait_ready(Ready::READ, None)?;
/// let (server, _) = listener.try_accept()?.expect("a connection");
///
/// let urgent = Adapter::new(server)?;
/// client.try_send_urgent(b"!")?;
/// becket_sys::wait(&urgent, Ready::READ, None)?;
/// assert_eq!(urgent.get_ref().try_recv_urgent()?, Some(b'!'));
/// assert_eq!(urgent.try_ready()?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Adapter<T> {
    set: Epoll,
    inner: T,
}

impl<T: AsFd> Adapter<T> {
    /// What to poll this type for.
    pub const READINESS: crate::Readiness = crate::Readiness::Readable;

    /// Watches `inner` for [`Ready::PRI`]; failure and hang-up make it readable as well.
    ///
    /// # Errors
    /// `EPERM` where that kind of descriptor cannot be polled: an ordinary file; `EMFILE` or `ENFILE` where no
    /// descriptor is left; `ENOSPC` at the limit of `/proc/sys/fs/epoll/max_user_watches`; `ENOMEM`. `inner` is dropped
    /// then.
    pub fn new(inner: T) -> io::Result<Adapter<T>> {
        let set = Epoll::new()?;
        // Level-triggered: the set then forgets a state when the state has ended, not when somebody has asked.
        set.add(&inner, 0, Ready::PRI, Trigger::empty())?;
        Ok(Adapter { set, inner })
    }

    /// What is watched.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Ends the watch and gives back what was watched.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Looks what the descriptor is ready for: [`PRI`](Ready::PRI) and what came along. `None` where it is not urgent,
    /// or no longer: a mount table or a pressure trigger was urgent until the loop looked.
    ///
    /// # Errors
    /// None is known.
    pub fn try_ready(&self) -> io::Result<Option<Ready>> {
        let mut events = Events::with_capacity(1);
        self.set.wait(&mut events, Some(Instant::now()))?;
        Ok(events.iter().next().map(|(_, ready)| ready))
    }
}

/// The set, not what it holds: see [`Adapter::get_ref`] for that.
impl<T> AsFd for Adapter<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl<T> AsRawFd for Adapter<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }
}
