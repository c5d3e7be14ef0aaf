//! A set of descriptors to wait for without a descriptor of its own: poll(2).
//!
//! # Honest trouble
//!
//! - **Every wait hands the kernel the whole set**: its cost grows with the set, not with what is ready.
//! - **There are no edges**: what is not read is reported again.
//! - **Regular files are always ready**, for everything that is asked; epoll(7) refuses them.
//! - **Errors and hang-ups come unasked**, and end each wait at once until the descriptor is taken out.

use crate::Ready;
use crate::ffi::poll::{PollFd, ppoll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Instant;

/// A list of descriptors to wait for by poll(2): the interface of [`Epoll`](crate::epoll::Epoll), level-triggered
/// only, on every unix.
///
/// The list knows descriptors by number: delete one before you close it, or the list waits for whatever gets the
/// number next. Regular files are accepted and always ready. A wait costs time in proportion to the list.
///
/// ```
/// use becket_sys::{Ready, event::Event, poll::Poll};
///
/// let mut set = Poll::new();
/// let event = Event::new()?;
/// set.add(&event, 7, Ready::READ)?;
/// event.add(1)?;
/// set.wait(None)?;
/// assert_eq!(set.ready().collect::<Vec<_>>(), [(7, Ready::READ)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pollfd")]
#[derive(Debug, Default)]
pub struct Poll {
    fds: Vec<PollFd>,
    /// The caller's words, by the same index as `fds`.
    data: Vec<u64>,
}

impl Poll {
    /// An empty list.
    pub fn new() -> Poll {
        Poll::default()
    }

    /// Adds `fd`; its events come with `data`.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where the descriptor is in the list.
    pub fn add(&mut self, fd: impl AsFd, data: u64, want: Ready) -> io::Result<()> {
        let fd = fd.as_fd().as_raw_fd();
        if self.position(fd).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.fds.push(PollFd { fd, events: want.bits() as i16, revents: 0 });
        self.data.push(data);
        Ok(())
    }

    /// Changes what `fd` is watched for, and its `data`.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where it is not in the list.
    pub fn modify(&mut self, fd: impl AsFd, data: u64, want: Ready) -> io::Result<()> {
        let i = self.position(fd.as_fd().as_raw_fd())?;
        self.fds[i].events = want.bits() as i16;
        self.data[i] = data;
        Ok(())
    }

    /// Takes `fd` off the list.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where it is not in the list.
    pub fn delete(&mut self, fd: impl AsFd) -> io::Result<()> {
        self.delete_number(fd.as_fd().as_raw_fd())
    }

    /// As [`delete`](Self::delete), for a number that may be no open descriptor any more.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn delete_number(&mut self, fd: RawFd) -> io::Result<()> {
        let i = self.position(fd)?;
        self.fds.swap_remove(i);
        self.data.swap_remove(i);
        Ok(())
    }

    /// Waits until something is ready or until `deadline` (`None`: forever; a past one looks once). Returns how many
    /// are ready: 0 only when the deadline is reached, never before it. Interruption by a signal is waited through.
    /// A number that is no open descriptor is ready with the bit `POLLNVAL` (0x20).
    ///
    /// # Errors
    /// `EINVAL` where the list is longer than `RLIMIT_NOFILE`, `ENOMEM`.
    #[doc(alias = "ppoll")]
    #[doc(alias = "POLLNVAL")]
    pub fn wait(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            match ppoll(&mut self.fds, left) {
                Ok(0) if deadline.is_none_or(|d| Instant::now() < d) => {} // the timeout was clamped: not yet
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// What the last wait found: each ready descriptor's `data`, and what it is ready for.
    pub fn ready(&self) -> impl Iterator<Item = (u64, Ready)> + '_ {
        self.ready_numbers().map(|(_, data, ready)| (data, ready))
    }

    /// As [`ready`](Self::ready), with the descriptor's number before it.
    pub fn ready_numbers(&self) -> impl Iterator<Item = (RawFd, u64, Ready)> + '_ {
        let ready = self.fds.iter().zip(&self.data).filter(|(fd, _)| fd.revents != 0);
        ready.map(|(fd, data)| (fd.fd, *data, Ready::from_bits_retain((fd.revents as u16).into())))
    }

    fn position(&self, fd: RawFd) -> io::Result<usize> {
        self.fds.iter().position(|p| p.fd == fd).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
