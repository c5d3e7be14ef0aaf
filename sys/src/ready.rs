use crate::ffi::poll::{PollFd, ppoll};
use bitflags::bitflags;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

bitflags! {
    /// What a descriptor is ready for, or what to wait for.
    ///
    /// The bits have the values of poll(2) and epoll(7); unknown ones are kept. [`ERR`](Self::ERR) and
    /// [`HUP`](Self::HUP) are reported whether asked for or not. `ERR` beside [`PRI`](Self::PRI) is how sysfs
    /// attributes report a change: it is not a failure.
    ///
    /// ```
    /// use becket_sys::Ready;
    ///
    /// let edge = Ready::PRI | Ready::ERR; // a sysfs GPIO line changed
    /// assert!(edge.is_priority() && !edge.is_failure());
    /// assert!(Ready::ERR.is_failure());
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Ready: u32 {
        /// There is something to read, or the end of the stream.
        #[doc(alias = "EPOLLIN")]
        #[doc(alias = "POLLIN")]
        const READ = 0x001;
        /// There is something urgent: a changed sysfs attribute, out-of-band data, a packet-mode status.
        #[doc(alias = "EPOLLPRI")]
        #[doc(alias = "POLLPRI")]
        const PRI = 0x002;
        /// There is room to write.
        #[doc(alias = "EPOLLOUT")]
        #[doc(alias = "POLLOUT")]
        const WRITE = 0x004;
        /// An error is pending, or the other end of a pipe is closed.
        #[doc(alias = "EPOLLERR")]
        #[doc(alias = "POLLERR")]
        const ERR = 0x008;
        /// The peer hung up.
        #[doc(alias = "EPOLLHUP")]
        #[doc(alias = "POLLHUP")]
        const HUP = 0x010;
        /// The peer of a stream socket shut down its writing half.
        #[doc(alias = "EPOLLRDHUP")]
        #[doc(alias = "POLLRDHUP")]
        const RDHUP = 0x2000;

        const _ = !0;
    }
}

impl Ready {
    /// Whether a read would not block: data, end of stream, hang-up or error.
    pub fn is_readable(self) -> bool {
        self.intersects(Ready::READ | Ready::RDHUP | Ready::HUP | Ready::ERR)
    }

    /// Whether a write would not block: there is room, or it would fail at once.
    pub fn is_writable(self) -> bool {
        self.intersects(Ready::WRITE | Ready::HUP | Ready::ERR)
    }

    /// Whether something urgent is there.
    pub fn is_priority(self) -> bool {
        self.contains(Ready::PRI)
    }

    /// Whether this says that the descriptor failed: [`ERR`](Self::ERR) without [`PRI`](Self::PRI).
    pub fn is_failure(self) -> bool {
        self.contains(Ready::ERR) && !self.contains(Ready::PRI)
    }
}

/// What to poll a type of descriptor for.
///
/// ```
/// use becket_sys::{Readiness, Ready, event::Event};
///
/// assert_eq!(Event::READINESS, Readiness::Readable);
/// assert_eq!(Event::READINESS.interest(), Some(Ready::READ));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Readiness {
    /// Poll it for [`Ready::READ`] (and [`Ready::WRITE`] where it is written to).
    Readable,
    /// Poll it for [`Ready::WRITE`]: a connection in the making.
    Writable,
    /// Poll it for [`Ready::PRI`] alone: [`Ready::READ`] is always set and would spin.
    Priority,
    /// epoll(7) refuses it with EPERM, and poll(2) calls it always ready: regular files and directories.
    NotPollable,
}

impl Readiness {
    /// The interest to register for what it announces, or `None` where the kernel cannot poll.
    pub fn interest(self) -> Option<Ready> {
        match self {
            Readiness::Readable => Some(Ready::READ),
            Readiness::Writable => Some(Ready::WRITE),
            Readiness::Priority => Some(Ready::PRI),
            Readiness::NotPollable => None,
        }
    }
}

/// Waits until `fd` is ready for any of `want`, or has failed or hung up, or until `deadline`.
///
/// Blocks the calling thread, without any loop; see poll(2). `None` as the deadline waits forever, a deadline
/// in the past looks once. Returns what the descriptor is ready for, or `None` when the deadline came first,
/// never before it. Interruption by a signal is waited through.
///
/// # Errors
/// `ENOMEM` where the kernel has no memory.
///
/// ```
/// use becket_sys::{Ready, event::Event, wait};
/// use std::time::{Duration, Instant};
///
/// let event = Event::new()?;
/// let deadline = Instant::now() + Duration::from_millis(10);
/// assert_eq!(wait(&event, Ready::READ, Some(deadline))?, None);
/// assert!(Instant::now() >= deadline);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "poll")]
#[doc(alias = "ppoll")]
pub fn wait(fd: impl AsFd, want: Ready, deadline: Option<Instant>) -> io::Result<Option<Ready>> {
    let mut fds = [PollFd { fd: fd.as_fd().as_raw_fd(), events: want.bits() as i16, revents: 0 }];
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        match ppoll(&mut fds, left) {
            Ok(0) if deadline.is_some_and(|d| Instant::now() >= d) => return Ok(None),
            Ok(0) => {} // the timeout was clamped: not yet
            Ok(_) => return Ok(Some(Ready::from_bits_retain((fds[0].revents as u16).into()))),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
