use rustix::event::epoll::Event;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// `struct __kernel_timespec`: 64 bits wide on every processor.
#[repr(C)]
struct KernelTimespec {
    sec: i64,
    nsec: i64,
}

const _: () = assert!(size_of::<KernelTimespec>() == 16);

/// epoll_pwait2(2) without a signal mask; returns how many events were written. rustix has it only without a
/// fallback for kernels before 5.11, libc only by number.
pub(crate) fn epoll_pwait2(
    epoll: BorrowedFd<'_>,
    events: &mut [MaybeUninit<Event>],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let timeout = timeout
        .map(|t| KernelTimespec { sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX), nsec: t.subsec_nanos().into() });
    // SAFETY: `events` is writable for its whole length, of the kernel's `struct epoll_event` layout (rustix passes
    // the same type to epoll_wait); the timespec outlives the call; a null mask leaves the signal mask alone.
    let n = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            events.len().min(i32::MAX as usize) as i32,
            timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            std::ptr::null::<libc::c_void>(),
            0usize,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Takes the first `n` elements of the spare room of an empty `list` for filled.
pub(crate) fn set_filled(list: &mut Vec<Event>, n: usize) {
    assert!(list.is_empty() && n <= list.capacity());
    // SAFETY: the kernel wrote `n` events to the start of the spare room, which for an empty list is the start of its
    // buffer; `n` is within the capacity. An event is plain integers: every bit pattern is valid.
    unsafe { list.set_len(n) }
}
