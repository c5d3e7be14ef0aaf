//! A counter to wake a waiter with: eventfd(2).
//!
//! # Honest trouble
//!
//! - Nothing tells how often something was added: three times one and once three read the same. A semaphore keeps count
//!   by giving one a read.
//! - Of several waiters all are woken by one addition, and all but the first find nothing: `None`.
//! - Each addition is an edge (`EPOLLET`), also where the counter was not zero before. So a loop that watches by edges
//!   need not read to be woken again.
//! - Whoever has a duplicate can add and take, a child that inherited it too.

use crate::fd::{owned_fd, unless_blocked};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use std::io;
use std::os::fd::OwnedFd;

/// A 64-bit counter that is readable while it is above zero: eventfd(2).
///
/// Any thread may [`add`](Self::add) to it by shared reference; the reader takes the sum (or, in semaphore mode,
/// one at a time). Close-on-exec and non-blocking. Dropping it closes the descriptor; what was added and not
/// read is gone with the last duplicate of it.
///
/// ```
/// use becket_sys::event::Event;
///
/// let event = Event::new()?;
/// assert_eq!(event.try_read()?, None);
/// event.add(2)?;
/// event.add(40)?;
/// assert_eq!(event.try_read()?, Some(42));
///
/// let semaphore = Event::semaphore(2)?;
/// assert_eq!(semaphore.try_read()?, Some(1));
/// assert_eq!(semaphore.try_read()?, Some(1));
/// assert_eq!(semaphore.try_read()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "eventfd")]
#[derive(Debug)]
pub struct Event {
    fd: OwnedFd,
}

owned_fd!(Event, Readable);

impl Event {
    /// Creates a counter at zero.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left, `ENOMEM`.
    pub fn new() -> io::Result<Event> {
        Self::create(0, EventfdFlags::empty())
    }

    /// Creates a counter at `initial`, of which each read takes one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[doc(alias = "EFD_SEMAPHORE")]
    pub fn semaphore(initial: u32) -> io::Result<Event> {
        Self::create(initial, EventfdFlags::SEMAPHORE)
    }

    /// Creates a counter at `initial`, as if that had been added.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_count(initial: u32) -> io::Result<Event> {
        Self::create(initial, EventfdFlags::empty())
    }

    fn create(initial: u32, flags: EventfdFlags) -> io::Result<Event> {
        let fd = eventfd(initial, flags | EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Event { fd })
    }

    /// Adds `count`; returns whether it fitted. `Ok(false)` says that the counter would have passed `u64::MAX - 1`:
    /// nothing was added, and the descriptor is not writable until somebody reads.
    ///
    /// # Errors
    /// `EINVAL` for `u64::MAX`, which the kernel reserves.
    #[inline]
    pub fn add(&self, count: u64) -> io::Result<bool> {
        Ok(unless_blocked(write(&self.fd, &count.to_ne_bytes()))?.is_some())
    }

    /// Takes the sum and resets it to zero, or takes one in semaphore mode; `None` where it is zero.
    ///
    /// # Errors
    /// None is known for a descriptor that is an eventfd.
    #[inline]
    pub fn try_read(&self) -> io::Result<Option<u64>> {
        let mut sum = [0; 8];
        let n = unless_blocked(read(&self.fd, &mut sum))?;
        Ok(n.map(|_| u64::from_ne_bytes(sum)))
    }

    /// A second handle to the same counter.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Event> {
        Ok(Event { fd: self.fd.try_clone()? })
    }
}

/// A wrong descriptor can merely make calls fail. The blocking mode stays as it is: on a blocking one
/// [`try_read`](Event::try_read) waits.
impl From<OwnedFd> for Event {
    fn from(fd: OwnedFd) -> Self {
        Event { fd }
    }
}
