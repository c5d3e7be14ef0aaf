//! Regular files, which no loop can wait for: helper threads or io_uring read and write them while other fibers run.

use crate::fs::name;
use crate::lent::{Reading, sealed};
use crate::op::{op, unblock};
use crate::park::{Place, in_callback, place};
use crate::time::thread_deadline;
use crate::{Ready, sleep};
use becket_loop::op::{RawBuf, RawOp};
use becket_sys::file::{IoFlags, read_vectored_at};
use rustix::fs::{OFlags, fcntl_getfl};
use std::fs::{self, FileTimes, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A file whose calls wait in the fiber while the disk works.
///
/// It is [`std::fs::File`] for fibers: the same names, the same meaning, [`Read`], [`Write`] and [`Seek`] for the file
/// and for references to it, and [`FileExt`] for offsets of the caller's own. A read of what the system has in memory is
/// done on the spot, by a call that never waits (preadv2(2) with `RWF_NOWAIT`), and may give less than was asked for,
/// as any read may; not so a read of a file that had `O_DIRECT` when it came here, since the kernel waits for a device
/// even then. Every other call is an operation of the loop on the caller's buffer, which may lie on the fiber's stack.
/// It costs a trip to a helper thread (at offsets, and where [`Epoll`](becket_loop::backend::Epoll) has one, through
/// io_uring): read and write kilobytes at a time, through `BufReader` and `BufWriter` where the program does not.
///
/// - A cancel or a deadline keeps a call from beginning. Once it has begun it is waited for, whatever happens, and what
///   it did is returned: no byte is moved that its caller is not told of (but for one that is aborted). A read that
///   waits in the kernel for a pipe or a socket, by io_uring, is ended there, and has moved nothing.
/// - On a thread that runs no fiber a call blocks the thread; in a callback of the loop it is an error of kind
///   `Deadlock`.
/// - The position is that of the open file, as in std: duplicates share it, appending moves it, and reads or writes
///   that fibers make at the same time through one file follow each other.
/// - For what can be waited for (pipes, terminals, sockets) use [`Io`](crate::Io): a read from a terminal that begins
///   here cannot be cancelled, and holds one of a few helper threads until it ends.
/// - Dropping closes it, on the spot; an error that only then shows is lost, so call [`sync_all`](Self::sync_all)
///   where it matters.
///
/// ```
/// use becket_fiber::{File, Runtime};
/// use std::io::{Read, Seek, SeekFrom, Write};
///
/// let path = std::env::temp_dir().join(format!("becket-file-{}", std::process::id()));
/// let mut runtime = Runtime::new()?;
/// let text = runtime.run(|| {
///     let mut file = File::create_new(&path)?;
///     file.write_all(b"read from top to bottom")?;
///     file.sync_all()?;
///     file.seek(SeekFrom::Start(10))?;
///     let mut text = [0; 3];
///     file.read_exact(&mut text)?;
///     std::fs::remove_file(&path)?;
///     Ok::<_, std::io::Error>(text)
/// })??;
/// assert_eq!(&text, b"top");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    file: fs::File,
    /// How many operations at the position are under way: each locks it, and a call on the spot would wait for that.
    at_position: Arc<AtomicU32>,
    /// Whether it is read from the device itself, for which the kernel waits, whatever a call says.
    is_direct: bool,
}

/// The longest rest between two looks at a lock that somebody else has.
const LOCK_REST: Duration = Duration::from_millis(50);

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of open(2); [`Cancelled`](crate::Cancelled) and `TimedOut`, where it had not begun; `Deadlock` in a
    /// callback.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        name::open(path.as_ref(), libc::O_RDONLY, 0)
    }

    /// Opens a file for writing: an empty one, created where it is missing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        name::open(path.as_ref(), libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0o666)
    }

    /// Creates a file for reading and writing, which must not be there yet.
    ///
    /// # Errors
    /// As [`open`](Self::open); `AlreadyExists`.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        name::open(path.as_ref(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o666)
    }

    /// Opens a file with options of std's, on a helper thread. [`options`](Self::options) are those of this crate.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// ```
    /// use becket_fiber::{File, Runtime};
    /// use std::fs::OpenOptions;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let opened = runtime.run(|| File::open_with(OpenOptions::new().append(true), "/does/not/exist"))?;
    /// assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open_with(options: &OpenOptions, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        // Nobody but std knows which flags they are.
        blocking(|| options.open(path)).map(File::from)
    }

    /// Brings data and metadata to the device: fsync(2).
    ///
    /// # Errors
    /// Those of the call, such as `EIO` and `ENOSPC` for what was written before; others as [`open`](Self::open).
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> io::Result<()> {
        self.sync(false)
    }

    /// Brings data, and the metadata that reading it needs, to the device: fdatasync(2).
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn sync(&self, data_only: bool) -> io::Result<()> {
        let fd = self.as_raw_fd();
        // SAFETY: the descriptor is open while `self` is borrowed.
        unsafe { carry_out("sync file", RawOp::Sync { fd, data_only }) }.map(drop)
    }

    /// Cuts or extends the file to `size` bytes; what is new reads as zeros. The position stays: ftruncate(2).
    ///
    /// # Errors
    /// Those of the call: `InvalidInput` where it is not open for writing; others as [`open`](Self::open).
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        let (fd, len) = (self.as_raw_fd(), size);
        // SAFETY: the descriptor is open while `self` is borrowed.
        unsafe { carry_out("set length of file", RawOp::SetLen { fd, len }) }.map(drop)
    }

    /// Size, kind, owner, times: statx(2).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(alias = "statx")]
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.file.metadata())
    }

    /// A second descriptor of the same open file: they share one position.
    ///
    /// # Errors
    /// `EMFILE`: the process has too many descriptors.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File { file: self.file.try_clone()?, at_position: self.at_position.clone(), is_direct: self.is_direct })
    }

    /// How to open a file; [`OpenOptions::new`](crate::fs::OpenOptions::new).
    pub fn options() -> crate::fs::OpenOptions {
        crate::fs::OpenOptions::new()
    }

    /// Changes who may do what with it: fchmod(2).
    ///
    /// # Errors
    /// Those of fchmod(2); others as [`open`](Self::open).
    #[doc(alias = "fchmod")]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        blocking(|| self.file.set_permissions(permissions))
    }

    /// Changes when it was accessed and modified: futimens(3).
    ///
    /// # Errors
    /// Those of futimens(3); others as [`open`](Self::open).
    #[doc(alias = "futimens")]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        blocking(|| self.file.set_times(times))
    }

    /// Changes when it was modified; see [`set_times`](Self::set_times).
    ///
    /// # Errors
    /// As [`set_times`](Self::set_times).
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Waits until nobody else has a lock on the file, and locks it: flock(2). The lock belongs to the open file, and is
    /// shared by its duplicates; closing the last of them unlocks it.
    ///
    /// Nothing tells when somebody else unlocks it: it is tried again after rests of 1 to 50 ms, in no order of
    /// arrival. Locks of ranges that are waited for in order: [`becket_sys::file::start_lock`], in an
    /// [`Io`](crate::Io).
    ///
    /// # Errors
    /// `ENOLCK`; [`Cancelled`](crate::Cancelled) and `TimedOut`, and it is then not locked; `Deadlock` in a callback,
    /// where it would have to wait.
    ///
    /// ```
    /// use becket_fiber::{File, Runtime, sleep, spawn, timeout};
    /// use std::{io::ErrorKind, time::Duration};
    ///
    /// let path = std::env::temp_dir().join(format!("becket-flock-{}", std::process::id()));
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let (first, second) = (File::create(&path)?, File::open(&path)?);
    ///     first.lock()?;
    ///     let late = timeout(Duration::from_millis(5), || second.lock_shared());
    ///     assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    ///     let waiting = spawn(move || second.lock())?;
    ///     sleep(Duration::from_millis(5))?;
    ///     assert!(!waiting.is_finished());
    ///     first.unlock()?;
    ///     waiting.join()??;
    ///     std::fs::remove_file(&path)
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "flock")]
    pub fn lock(&self) -> io::Result<()> {
        locked(|| self.file.try_lock())
    }

    /// As [`lock`](Self::lock), with a lock that others may have at the same time.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        locked(|| self.file.try_lock_shared())
    }

    /// Locks the file where nobody else has a lock on it. Does not wait.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] where somebody has; `ENOLCK`.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.file.try_lock()
    }

    /// As [`try_lock`](Self::try_lock), with a lock that others may have at the same time.
    ///
    /// # Errors
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.file.try_lock_shared()
    }

    /// Unlocks it. Does not wait.
    ///
    /// # Errors
    /// None is known.
    pub fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Reads what is in memory already, on the spot; `None` where that is not possible, or is not known to be.
    fn read_cached(&self, bufs: &mut [IoSliceMut<'_>], at: Option<u64>) -> io::Result<Option<usize>> {
        let Place::Fiber(here) = place() else { return Ok(None) };
        if self.is_direct || at.is_none() && self.at_position.load(Ordering::Relaxed) > 0 {
            return Ok(None);
        }
        here.check()?;
        // Whatever the error is, the operation finds it as well, or does better: old kernels know no such call.
        Ok(read_vectored_at(&self.file, bufs, at, IoFlags::NOWAIT).unwrap_or(None))
    }

    fn read_from(&self, buf: &mut [u8], at: Option<u64>) -> io::Result<usize> {
        if let Some(n) = self.read_cached(&mut [IoSliceMut::new(buf)], at)? {
            return Ok(n);
        }
        let raw = RawOp::Read { fd: self.as_raw_fd(), buf: buf.as_mut_ptr(), len: buf.len(), at };
        let _counted = self.count(at);
        // SAFETY: the descriptor is open while `self` is borrowed, and the buffer is lent to this call alone.
        unsafe { carry_out("read file", raw) }
    }

    fn write_to(&self, buf: &[u8], at: Option<u64>) -> io::Result<usize> {
        let raw = RawOp::Write { fd: self.as_raw_fd(), buf: buf.as_ptr(), len: buf.len(), at };
        let _counted = self.count(at);
        // SAFETY: the descriptor is open while `self` is borrowed, and the buffer does not change while it is.
        unsafe { carry_out("write file", raw) }
    }

    fn read_vectored_from(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.len() <= MOST_BUFS
            && let Some(n) = self.read_cached(bufs, None)?
        {
            return Ok(n);
        }
        // std promises that its slices are laid out as `struct iovec`, which is what `RawBuf` is.
        let table = bufs.as_ptr().cast::<RawBuf>();
        let raw = RawOp::ReadVectored { fd: self.as_raw_fd(), bufs: table, count: bufs.len(), at: None };
        let _counted = self.count(None);
        // SAFETY: the descriptor is open while `self` is borrowed; buffers and table are lent to this call alone.
        unsafe { carry_out("read file", raw) }
    }

    fn write_vectored_to(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let table = bufs.as_ptr().cast::<RawBuf>();
        let raw = RawOp::WriteVectored { fd: self.as_raw_fd(), bufs: table, count: bufs.len(), at: None };
        let _counted = self.count(None);
        // SAFETY: the descriptor is open while `self` is borrowed; buffers and table do not change while they are.
        unsafe { carry_out("write file", raw) }
    }

    /// Counts an operation at the position until it is dropped.
    fn count(&self, at: Option<u64>) -> Option<Counted<'_>> {
        at.is_none().then(|| {
            self.at_position.fetch_add(1, Ordering::Relaxed);
            Counted(&self.at_position)
        })
    }
}

/// The most buffers that one call takes: IOV_MAX.
const MOST_BUFS: usize = 1024;

struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tries to lock until nobody else has a lock.
fn locked(try_lock: impl Fn() -> Result<(), TryLockError>) -> io::Result<()> {
    let mut rest = Duration::from_millis(1);
    loop {
        match try_lock() {
            Err(TryLockError::WouldBlock) => sleep(rest)?,
            Err(TryLockError::Error(e)) => return Err(e),
            Ok(()) => return Ok(()),
        }
        rest = (2 * rest).min(LOCK_REST);
    }
}

/// Copies from one position to the other, to the end, and says how many bytes.
pub(crate) fn copy_whole(from: &File, to: &File) -> io::Result<u64> {
    /// How much one operation copies: a cancel has to wait for no more.
    const PIECE: usize = 16 << 20;

    let mut copied = 0;
    loop {
        let raw = RawOp::CopyRange { from: (from.as_raw_fd(), None), to: (to.as_raw_fd(), None), len: PIECE };
        let _counted = (from.count(None), to.count(None));
        // SAFETY: both descriptors are open while the files are borrowed.
        match unsafe { carry_out("copy file", raw) } {
            // Files of /proc say that they are empty.
            Ok(0) if copied == 0 => break,
            Ok(0) => return Ok(copied),
            Ok(n) => copied += n as u64,
            // What is not regular, another file system, an old kernel, a seccomp filter.
            Err(e) if copied == 0 && is_no_way_to_copy(&e) => break,
            Err(e) => return Err(e),
        }
    }
    let mut buf = vec![0; 1 << 18];
    loop {
        let n = { from }.read(&mut buf)?;
        if n == 0 {
            return Ok(copied);
        }
        { to }.write_all(&buf[..n])?;
        copied += n as u64;
    }
}

fn is_no_way_to_copy(e: &io::Error) -> bool {
    use libc::{EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, ETXTBSY, EXDEV};
    // EBADF also for a file that is open for appending.
    let codes = [EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, ETXTBSY, EXDEV];
    e.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Carries out an operation from wherever the caller is.
///
/// # Safety
/// As for [`op`]; on a thread that runs no fiber as for [`RawOp::perform`]: what `raw` names is good until this returns
/// or unwinds.
pub(crate) unsafe fn carry_out(what: &'static str, raw: RawOp) -> io::Result<usize> {
    match place() {
        Place::Fiber(here) => {
            here.check()?;
            // SAFETY: the caller's promise.
            unsafe { op(here, what, raw) }
        }
        Place::Callback => Err(in_callback()),
        Place::Thread => {
            check_thread()?;
            // SAFETY: the caller's promise.
            unsafe { raw.perform() }
        }
    }
}

/// Makes a call that has no operation of its own.
pub(crate) fn blocking<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if let Place::Thread = place() {
        check_thread()?;
    }
    unblock(f)?
}

/// What [`Here::check`](crate::park::Here::check) is to a thread that runs no fiber.
pub(crate) fn check_thread() -> io::Result<()> {
    match thread_deadline() {
        Some(at) if Instant::now() >= at => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_from(buf, None)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored_from(bufs)
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_to(buf, None)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored_to(bufs)
    }

    /// Does nothing: nothing is held back here. See [`sync_data`](File::sync_data).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    /// On a helper thread: the kernel lets it wait for a read or write that is under way at the position.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        blocking(|| (&self.file).seek(to))
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

/// At offsets of the caller's, whatever the position: pread(2), pwrite(2). In a file that is open for appending, Linux
/// writes at the end all the same.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_from(buf, Some(offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write_to(buf, Some(offset))
    }
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        let is_direct = fcntl_getfl(&file).is_ok_and(|flags| flags.contains(OFlags::DIRECT));
        File { file, at_position: Arc::default(), is_direct }
    }
}

impl From<File> for fs::File {
    fn from(file: File) -> fs::File {
        file.file
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.file.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl sealed::Readable for File {
    fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize> {
        f(&mut { self }).map(|(n, _)| n)
    }

    fn wait_for(&self, _: Ready) -> io::Result<()> {
        Ok(())
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}

impl sealed::Writable for File {
    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        self.write_to(buf, None)
    }

    fn wait_for(&self, _: Ready) -> io::Result<()> {
        Ok(())
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}
