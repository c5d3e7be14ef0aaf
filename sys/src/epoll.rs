//! The kernel's readiness set: epoll(7).
//!
//! # Honest trouble
//!
//! - **A registration belongs to the open file, not to the number.** Closing a descriptor ends it only when no duplicate
//!   is left anywhere: a clone, a child, a message on its way. Until then the set reports the file under the old key, and
//!   nothing can take it out: delete before closing.
//! - **Errors and hang-ups come unasked.** A hung-up descriptor in a level-triggered set ends each wait at once, also when
//!   no interest is left: delete it, or make it one-shot.
//! - **Regular files and directories are refused** with `EPERM`: they are always ready.
//! - **Edges are told once.** Read until nothing is there, or ask again by modifying, which looks anew. More may arrive
//!   between the two: an edge too many is possible, one too few is not.
//! - **A one-shot that fired is still registered**: adding it again is `EEXIST`; modify it.
//! - **Sets in sets**: at most five deep, and never in a circle (`ELOOP`). The outer one says that the inner one *may*
//!   have something.

use crate::Ready;
use crate::fd::owned_fd;
use crate::ffi;
use bitflags::bitflags;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};

bitflags! {
    /// How a registration in an [`Epoll`] fires; empty is level-triggered.
    ///
    /// ```
    /// use becket_sys::epoll::Trigger;
    ///
    /// assert_eq!(Trigger::default(), Trigger::empty()); // level-triggered
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Trigger: u32 {
        /// Once a change, not as long as the state lasts.
        #[doc(alias = "EPOLLET")]
        const EDGE = 1 << 31;
        /// Once, then silent (failure and hang-up included) until modified.
        #[doc(alias = "EPOLLONESHOT")]
        const ONE_SHOT = 1 << 30;
        /// Keeps the system awake while the event is handled; needs CAP_BLOCK_SUSPEND, else it is ignored.
        #[doc(alias = "EPOLLWAKEUP")]
        const WAKE_UP = 1 << 29;
        /// Of several sets that wait for one descriptor, wakes at least one, not all. Only with
        /// [`Epoll::add`]; such a registration cannot be modified.
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = 1 << 28;

        const _ = !0;
    }
}

/// A set of descriptors to wait for: epoll(7).
///
/// Every registration carries a `u64` of the caller's, which comes back with its events. The set refers to open
/// file descriptions: closing a descriptor ends its registration only when no duplicate is left, so delete first.
/// Regular files and directories are refused with `EPERM`. Dropping the set closes it; what it watched stays open.
///
/// ```
/// use becket_sys::{Ready, epoll::{Epoll, Events, Trigger}, event::Event};
///
/// let set = Epoll::new()?;
/// let event = Event::new()?;
/// set.add(&event, 7, Ready::READ, Trigger::empty())?;
///
/// event.add(1)?;
/// let mut events = Events::with_capacity(16);
/// set.wait(&mut events, None)?;
/// assert_eq!(events.iter().collect::<Vec<_>>(), [(7, Ready::READ)]);
///
/// set.delete(&event)?;
/// assert_eq!(set.delete(&event).unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

owned_fd!(Epoll, Readable);

impl Epoll {
    /// Creates an empty set, close-on-exec.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left, `ENOMEM`.
    #[doc(alias = "epoll_create1")]
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Registers `fd`; its events come with `data`.
    ///
    /// # Errors
    /// `EEXIST` where it is registered already, `EPERM` where its kind cannot be polled, `ENOSPC` at the limit of
    /// `/proc/sys/fs/epoll/max_user_watches`, `ELOOP` for a cycle of sets or more than five nested ones, `EINVAL`
    /// for the set itself or an invalid mix with [`Trigger::EXCLUSIVE`].
    #[doc(alias = "EPOLL_CTL_ADD")]
    pub fn add(&self, fd: impl AsFd, data: u64, want: Ready, trigger: Trigger) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(data), flags(want, trigger))?)
    }

    /// Changes what `fd` is watched for. Arms it again where it was one-shot, and reports a state that
    /// already holds once more where it is edge-triggered.
    ///
    /// # Errors
    /// `ENOENT` where it is not registered, `EINVAL` where it is [`Trigger::EXCLUSIVE`].
    #[doc(alias = "EPOLL_CTL_MOD")]
    pub fn modify(&self, fd: impl AsFd, data: u64, want: Ready, trigger: Trigger) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(data), flags(want, trigger))?)
    }

    /// Ends the registration of `fd`. Events of it that an earlier [`wait`](Self::wait) returned are the
    /// caller's to ignore.
    ///
    /// # Errors
    /// `ENOENT` where it is not registered.
    #[doc(alias = "EPOLL_CTL_DEL")]
    pub fn delete(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Replaces the contents of `events` with what is ready, waiting until something is or until `deadline`
    /// (`None`: forever; a past one looks once). Returns how many there are: 0 only when the deadline is reached,
    /// never before it. Interruption by a signal is waited through.
    ///
    /// The wait is exact to the nanosecond by epoll_pwait2(2) (Linux 5.11); before, it is rounded up to the
    /// millisecond.
    ///
    /// # Errors
    /// None is known for a descriptor that is an epoll set.
    #[doc(alias = "epoll_pwait2")]
    #[doc(alias = "epoll_wait")]
    pub fn wait(&self, events: &mut Events, deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            match self.wait_once(events, left) {
                // The timeout was clamped: not yet.
                Ok(0) if left != Some(Duration::ZERO) && deadline.is_none_or(|d| Instant::now() < d) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// As [`wait`](Self::wait) with a deadline that has passed, without a look at the clock.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// use becket_sys::epoll::{Epoll, Events};
    ///
    /// let mut events = Events::with_capacity(1);
    /// assert_eq!(Epoll::new()?.look(&mut events)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn look(&self, events: &mut Events) -> io::Result<usize> {
        loop {
            match self.wait_once(events, Some(Duration::ZERO)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn wait_once(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        // Set once where the kernel (or a sandbox, or valgrind) does not know the newer call.
        static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

        events.list.clear();
        if !NO_PWAIT2.load(Ordering::Relaxed) {
            match ffi::epoll::epoll_pwait2(self.fd.as_fd(), events.list.spare_capacity_mut(), timeout) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    NO_PWAIT2.store(true, Ordering::Relaxed);
                }
                Ok(n) => {
                    ffi::epoll::set_filled(&mut events.list, n);
                    return Ok(n);
                }
                Err(e) => return Err(e),
            }
        }
        // Rounded up: rounding down would wake early and spin until the deadline.
        let millis = timeout.map(|t| t.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as u64);
        let timeout = millis.map(|ms| Duration::from_millis(ms).try_into().expect("an i32 of milliseconds fits"));
        epoll::wait(&self.fd, rustix::buffer::spare_capacity(&mut events.list), timeout.as_ref())?;
        Ok(events.list.len())
    }
}

/// A wrong descriptor can merely make calls fail.
impl From<OwnedFd> for Epoll {
    fn from(fd: OwnedFd) -> Self {
        Epoll { fd }
    }
}

fn flags(want: Ready, trigger: Trigger) -> EventFlags {
    EventFlags::from_bits_retain(want.bits() | trigger.bits())
}

/// Room for the events of one [`Epoll::wait`].
///
/// ```
/// use becket_sys::epoll::Events;
///
/// let events = Events::with_capacity(64);
/// assert_eq!((events.capacity(), events.iter().count()), (64, 0));
/// ```
#[doc(alias = "epoll_event")]
pub struct Events {
    list: Vec<epoll::Event>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Events {
    /// Room for `capacity` events in one wait; 0 counts as 1.
    pub fn with_capacity(capacity: usize) -> Events {
        Events { list: Vec::with_capacity(capacity.max(1)) }
    }

    /// How many events one wait can return.
    pub fn capacity(&self) -> usize {
        self.list.capacity()
    }

    /// What the last wait returned: each registration's `data`, and what it is ready for.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Ready)> + '_ {
        self.list.iter().map(|event| {
            let flags = event.flags;
            (event.data.u64(), Ready::from_bits_retain(flags.bits()))
        })
    }
}
