use crate::fd::owned_fd;
use crate::ffi::file::{self as ffi, Command, Flock};
use crate::helper::Call;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// What a lock lets others do.
///
/// ```
/// use becket_sys::file::LockKind;
///
/// assert_ne!(LockKind::Read, LockKind::Write);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Others may lock for reading too. The descriptor must be open for reading.
    #[doc(alias = "F_RDLCK")]
    #[doc(alias = "LOCK_SH")]
    Read,
    /// Nobody else may lock. The descriptor must be open for writing.
    #[doc(alias = "F_WRLCK")]
    #[doc(alias = "LOCK_EX")]
    Write,
}

/// A lock that is in the way; see [`conflict`].
///
/// ```
/// use becket_sys::file::{LockKind, conflict, try_lock, unnamed};
///
/// let file = unnamed(std::env::temp_dir())?;
/// let other = std::fs::File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))?;
/// assert!(try_lock(&file, LockKind::Write, 10..20)?);
/// let found = conflict(&other, LockKind::Read, ..)?.unwrap();
/// assert_eq!((found.kind, found.start, found.end, found.pid), (LockKind::Write, 10, Some(20), None));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "F_OFD_GETLK")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conflict {
    /// What it lets others do.
    pub kind: LockKind,
    /// Its first byte.
    pub start: u64,
    /// The byte after its last; `None` where it goes on to the end of the file, wherever that will be.
    pub end: Option<u64>,
    /// The process that has it, if it is a lock of a process (`F_SETLK`); one of an open file description is nobody's.
    pub pid: Option<u32>,
}

/// Locks the bytes of `range` if that can be done at once; returns whether it was. A part that the same open file
/// description has locked already changes its kind. The range may lie beyond the end of the file; `..` is all of it,
/// however long it becomes.
///
/// The lock ends by [`unlock`], or when the last duplicate of the descriptor is closed.
///
/// # Errors
/// `EBADF` where the descriptor is not open for what `kind` says; `EINVAL` for an empty range, one beyond `i64::MAX`,
/// and for files without locks; `ENOLCK`.
///
/// ```
/// use becket_sys::file::{LockKind, try_lock, unlock, unnamed};
/// use std::{fs::File, os::fd::AsRawFd};
///
/// let file = unnamed(std::env::temp_dir())?;
/// let other = File::options().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
/// assert!(try_lock(&file, LockKind::Write, 0..100)?);
/// assert!(!try_lock(&other, LockKind::Write, 50..)?);
/// assert!(try_lock(&other, LockKind::Write, 100..)?);
/// unlock(&file, 50..100)?;
/// assert!(try_lock(&other, LockKind::Write, 50..)?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "F_OFD_SETLK")]
pub fn try_lock(fd: impl AsFd, kind: LockKind, range: impl RangeBounds<u64>) -> io::Result<bool> {
    let mut lock = flock_of(kind.raw(), range)?;
    match ffi::lock(fd.as_fd(), Command::Set, &mut lock) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// As [`try_lock`], and waits for it until `deadline`: false when that came first, never before it. Without a deadline
/// it waits forever, a past one looks once. Blocks the calling thread.
///
/// Where it waited in vain, this description no longer locks the range at all, also where it did before, for the other
/// kind.
///
/// # Errors
/// As [`try_lock`]; with a deadline, those of [`start_lock`].
#[doc(alias = "F_OFD_SETLKW")]
pub fn lock(
    fd: impl AsFd,
    kind: LockKind,
    range: impl RangeBounds<u64>,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let lock = flock_of(kind.raw(), range)?;
    match deadline {
        None => Ok(retry_on_intr(|| set_and_wait(fd.as_fd(), lock)).map(|()| true)?),
        Some(deadline) => {
            // Without a thread where there is nothing to wait for.
            match ffi::lock(fd.as_fd(), Command::Set, &mut { lock }) {
                Ok(()) => return Ok(true),
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {}
                Err(e) => return Err(e),
            }
            if deadline <= Instant::now() {
                return Ok(false);
            }
            let wait = LockWait::start(fd.as_fd(), lock)?;
            wait.wait_ready(crate::Ready::READ, Some(deadline))?;
            wait.is_locked()
        }
    }
}

/// Waits for a lock on a helper thread; what this returns is readable once it is there.
///
/// # Errors
/// As [`try_lock`] for the range, the others by [`LockWait::is_locked`]; `EMFILE` where no descriptor is left (it takes
/// five); `EAGAIN` where no thread can be started.
#[doc(alias = "F_OFD_SETLKW")]
pub fn start_lock(fd: impl AsFd, kind: LockKind, range: impl RangeBounds<u64>) -> io::Result<LockWait> {
    LockWait::start(fd.as_fd(), flock_of(kind.raw(), range)?)
}

/// Ends the locks of this open file description on the bytes of `range`. Bytes that are not locked stay so.
///
/// # Errors
/// `EINVAL` as for [`try_lock`]; `ENOLCK` where the middle of a lock is taken out, which makes two of it.
#[doc(alias = "F_UNLCK")]
pub fn unlock(fd: impl AsFd, range: impl RangeBounds<u64>) -> io::Result<()> {
    ffi::lock(fd.as_fd(), Command::Set, &mut flock_of(libc::F_UNLCK, range)?)
}

/// A lock that is in the way of locking `range`; `None` where nothing is. By the time of an attempt it may be
/// otherwise.
///
/// # Errors
/// `EINVAL` as for [`try_lock`].
#[doc(alias = "F_OFD_GETLK")]
pub fn conflict(fd: impl AsFd, kind: LockKind, range: impl RangeBounds<u64>) -> io::Result<Option<Conflict>> {
    let mut lock = flock_of(kind.raw(), range)?;
    ffi::lock(fd.as_fd(), Command::Query, &mut lock)?;
    let kind = match i32::from(lock.kind) {
        libc::F_UNLCK => return Ok(None),
        libc::F_RDLCK => LockKind::Read,
        _ => LockKind::Write,
    };
    let start = u64::try_from(lock.start).unwrap_or(0);
    let end = u64::try_from(lock.len).ok().filter(|len| *len > 0).map(|len| start.saturating_add(len));
    Ok(Some(Conflict { kind, start, end, pid: u32::try_from(lock.pid).ok().filter(|pid| *pid > 0) }))
}

/// Locks the whole file by flock(2), as std's [`File::lock`](std::fs::File::lock) and
/// [`lock_shared`](std::fs::File::lock_shared) do, and waits for it until `deadline`; false when that came first.
/// Without a deadline it waits forever, a past one looks once. Blocks the calling thread. A lock held before, of the
/// other kind, is given up at the beginning.
///
/// # Errors
/// `ENOLCK`; with a deadline, those of [`start_lock`].
///
/// ```
/// use becket_sys::file::{LockKind, lock_whole};
/// use std::time::{Duration, Instant};
///
/// let path = std::env::temp_dir().join(format!("becket-lock-{}", std::process::id()));
/// let (first, second) = (std::fs::File::create(&path)?, std::fs::File::open(&path)?);
/// assert!(lock_whole(&first, LockKind::Write, None)?);
/// let deadline = Instant::now() + Duration::from_millis(20);
/// assert!(!lock_whole(&second, LockKind::Read, Some(deadline))?);
/// assert!(Instant::now() >= deadline);
/// first.unlock()?;
/// assert!(lock_whole(&second, LockKind::Read, Some(deadline))?);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "flock")]
pub fn lock_whole(fd: impl AsFd, kind: LockKind, deadline: Option<Instant>) -> io::Result<bool> {
    let fd = fd.as_fd();
    let (at_once, waiting) = match kind {
        LockKind::Read => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
        LockKind::Write => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
    };
    let Some(deadline) = deadline else {
        retry_on_intr(|| flock(fd, waiting))?;
        return Ok(true);
    };
    match retry_on_intr(|| flock(fd, at_once)) {
        Err(Errno::AGAIN) if deadline <= Instant::now() => return Ok(false),
        Err(Errno::AGAIN) => {}
        other => return Ok(other.map(|()| true)?),
    }
    let call = Call::start(fd, "flock", move |work| flock(work, waiting))?;
    crate::wait(&call, crate::Ready::READ, Some(deadline))?;
    match call.result() {
        Some(result) => Ok(result.map(|()| true)?),
        None => {
            drop(call);
            // It may have come at the last moment.
            flock(fd, FlockOperation::NonBlockingUnlock)?;
            Ok(false)
        }
    }
}

/// A lock that is being waited for; see [`start_lock`].
///
/// Readable once the wait is over. The lock belongs to the open file description of the file, not to this: dropping
/// this afterwards leaves it. **Dropping this before [`is_locked`](Self::is_locked) was true unlocks the range,** also
/// where it was locked already, for another kind. It never takes long.
///
/// ```
/// use becket_sys::Ready;
/// use becket_sys::file::{LockKind, start_lock, try_lock, unlock, unnamed};
/// use std::{fs::File, os::fd::AsRawFd};
///
/// let file = unnamed(std::env::temp_dir())?;
/// let other = File::options().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
/// assert!(try_lock(&file, LockKind::Write, ..)?);
/// let wait = start_lock(&other, LockKind::Write, 0..10)?;
/// assert!(!wait.is_locked()?);
/// unlock(&file, ..)?;
/// wait.wait_ready(Ready::READ, None)?;
/// assert!(wait.is_locked()?);
/// drop(wait);
/// assert!(!try_lock(&file, LockKind::Read, ..)?); // it is the other's now
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it gives the lock up"]
pub struct LockWait {
    fd: Waiting,
}

owned_fd!(LockWait, Readable);

impl LockWait {
    fn start(fd: BorrowedFd<'_>, lock: Flock) -> io::Result<LockWait> {
        let file = fd.try_clone_to_owned()?;
        let call = Call::start(fd, "file lock", move |work| set_and_wait(work.as_fd(), lock))?;
        Ok(LockWait { fd: Waiting { call: Some(call), file, lock, seen: false.into() } })
    }

    /// Whether the lock is there, as often as asked.
    ///
    /// # Errors
    /// As [`try_lock`], as often as asked.
    pub fn is_locked(&self) -> io::Result<bool> {
        let result = self.fd.call.as_ref().and_then(Call::result).transpose()?;
        if result.is_some() {
            self.fd.seen.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(result.is_some())
    }
}

/// The call, and what to undo where nobody waits for its end any more.
#[derive(Debug)]
struct Waiting {
    /// `None` only once this was turned into an `OwnedFd`, or while it is dropped.
    call: Option<Call>,
    file: OwnedFd,
    lock: Flock,
    /// Whether the user knows that the lock is there.
    seen: std::sync::atomic::AtomicBool,
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.call.as_ref().expect("the call is there until it is given away").as_fd()
    }
}

/// As by dropping it, the wait ends.
impl From<Waiting> for OwnedFd {
    fn from(mut waiting: Waiting) -> OwnedFd {
        waiting.call.take().expect("the call is there until it is given away").into()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // First the call, which might still get the lock.
        drop(self.call.take());
        if !*self.seen.get_mut() {
            self.lock.kind = libc::F_UNLCK as i16;
            let _ = ffi::lock(self.file.as_fd(), Command::Set, &mut self.lock);
        }
    }
}

fn set_and_wait(fd: BorrowedFd<'_>, mut lock: Flock) -> Result<(), Errno> {
    let result = ffi::lock(fd, Command::SetWait, &mut lock);
    result.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

impl LockKind {
    fn raw(self) -> i32 {
        match self {
            LockKind::Read => libc::F_RDLCK,
            LockKind::Write => libc::F_WRLCK,
        }
    }
}

fn flock_of(kind: i32, range: impl RangeBounds<u64>) -> io::Result<Flock> {
    let start = match range.start_bound() {
        Bound::Included(n) => Some(*n),
        Bound::Excluded(n) => n.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    // To the kernel a length of zero means: to the end.
    let end = match range.end_bound() {
        Bound::Included(n) => Some(n.checked_add(1).ok_or(Errno::INVAL)?),
        Bound::Excluded(n) => Some(*n),
        Bound::Unbounded => None,
    };
    let start = start.ok_or(Errno::INVAL)?;
    let len = match end {
        None => 0,
        Some(end) => end.checked_sub(start).filter(|len| *len > 0).ok_or(Errno::INVAL)?,
    };
    let signed = |n: u64| i64::try_from(n).map_err(|_| Errno::INVAL);
    Ok(Flock { kind: kind as i16, whence: libc::SEEK_SET as i16, start: signed(start)?, len: signed(len)?, pid: 0 })
}
