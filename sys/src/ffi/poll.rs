use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// One descriptor of a poll(2) call: `struct pollfd`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollFd {
    pub(crate) fd: RawFd,
    pub(crate) events: i16,
    pub(crate) revents: i16,
}

const _: () = assert!(size_of::<PollFd>() == size_of::<libc::pollfd>());
const _: () = assert!(std::mem::offset_of!(PollFd, events) == std::mem::offset_of!(libc::pollfd, events));
const _: () = assert!(std::mem::offset_of!(PollFd, revents) == std::mem::offset_of!(libc::pollfd, revents));

/// ppoll(2) without a signal mask; returns how many have events. rustix takes only descriptors that are known to be
/// open; here a number that is not is reported as POLLNVAL.
pub(crate) fn ppoll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos() as _,
    });
    // SAFETY: `fds` is writable for its whole length and has the layout of `struct pollfd` (asserted above); the
    // timespec outlives the call; a null mask leaves the signal mask alone. Any number may stand for a descriptor.
    let n = unsafe {
        libc::ppoll(
            fds.as_mut_ptr().cast(),
            fds.len() as libc::nfds_t,
            timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            std::ptr::null(),
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}
