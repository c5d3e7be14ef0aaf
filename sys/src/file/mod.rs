//! Files and directories, beyond what [`std::fs`] has: for anything that is [`AsFd`], such as
//! [`File`](std::fs::File).
//!
//! | what | functions |
//! |---|---|
//! | whether it can be polled | [`is_pollable`] |
//! | locks of ranges | [`try_lock`], [`lock`], [`start_lock`], [`unlock`], [`conflict`] |
//! | locks of whole files | std's own; with a deadline, [`lock_whole`] |
//! | files without a name, and giving them one | [`unnamed`], [`link`], [`link_over`] |
//! | handles that outlive descriptors | [`handle`], [`open_by_handle`] |
//! | reading what is in memory already | [`try_read_at`] |
//! | saying what will be read, and what not again | [`advise`] |
//! | flags for a single call | [`read_vectored_at`], [`write_vectored_at`] |
//! | room, holes, copies within the file system | [`allocate`], [`data_ranges`], [`copy_range`], [`reflink`] |
//! | mount, attributes, alignment | [`stat`] |
//!
//! # Honest trouble
//!
//! - **Regular files and directories cannot be polled:** epoll(7) refuses them with `EPERM`, poll(2) calls them always
//!   ready, and a read of them waits for the disk whatever `O_NONBLOCK` says. [`try_read_at`] reads what is cached;
//!   for the rest there are helper threads and io_uring(7).
//! - **Locks are advisory,** and there are three kinds that do not all see each other: of ranges by open file
//!   description (here), of ranges by process (`F_SETLK`, which the former respects; avoid it: closing *any* descriptor
//!   of the file drops them), and of whole files (flock(2)).
//! - **A lock belongs to the open file description:** duplicates and children share it, a second open(2) of the same
//!   file does not, not even in the same thread. Nobody finds out about deadlocks.
//! - **A lock is waited for on a helper thread** where there is a deadline or a descriptor to wait by: `SIGURG`, sent
//!   to that thread alone, ends the wait. Such a wait, when it begins and when it is given up, gives the signal a
//!   handler that does nothing, unless the program has one.
//! - **valgrind** (3.19) takes the waiting for a lock of a range for a call that never blocks, and stops the whole
//!   program as long as it does.
//! - **Network file systems** may do each of these differently, or not at all.

mod advise;
mod allocate;
mod lock;
mod nowait;
mod stat;
mod unnamed;

pub use crate::fanotify::FileHandle;
pub use advise::{Advice, advise};
pub use allocate::{Allocate, allocate, copy_range, data_ranges, next_data, next_hole, reflink};
pub use lock::{Conflict, LockKind, LockWait, conflict, lock, lock_whole, start_lock, try_lock, unlock};
pub use nowait::{IoFlags, read_vectored_at, try_read_at, write_vectored_at};
pub use stat::{Attributes, Stat, stat};
pub use unnamed::{handle, link, link_over, open_by_handle, unnamed};

use rustix::event::epoll;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// What regular files and directories are to be polled for: nothing.
pub const READINESS: crate::Readiness = crate::Readiness::NotPollable;

/// Whether epoll(7) takes the descriptor: it does for sockets, pipes, terminals and the like, and for some files of
/// sysfs, procfs and cgroups.
///
/// ```
/// use becket_sys::file::is_pollable;
///
/// assert!(!is_pollable(std::fs::File::open("/")?)?);
/// assert!(is_pollable(std::io::pipe()?.0)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `EMFILE`, `ENFILE` or `ENOSPC` where the set to ask with cannot be made.
#[doc(alias = "EPERM")]
pub fn is_pollable(fd: impl AsFd) -> io::Result<bool> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    match epoll::add(&set, fd, epoll::EventData::new_u64(0), epoll::EventFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::PERM) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
