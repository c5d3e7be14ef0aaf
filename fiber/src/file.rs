//! Regular files, which no loop can wait for: helper threads or io_uring read and write them while other fibers run.

use crate::op::{op, unblock};
use crate::park::{Place, in_callback, place};
use crate::time::thread_deadline;
use becket_loop::op::RawOp;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// A file whose calls wait in the fiber while the disk works.
///
/// It is [`std::fs::File`] for fibers: the same names, the same meaning, [`Read`], [`Write`] and [`Seek`] for the file
/// and for references to it, and [`FileExt`] for offsets of the caller's own. Each call is an operation of the loop on
/// the caller's buffer, which may lie on the fiber's stack. It costs a trip to a helper thread (at offsets, and where
/// [`Epoll`](becket_loop::backend::Epoll) has one, through io_uring): read and write kilobytes at a time, through
/// `BufReader` and `BufWriter` where the program does not.
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
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of open(2); [`Cancelled`](crate::Cancelled) and `TimedOut`, where it had not begun; `Deadlock` in a
    /// callback.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        Self::open_with(OpenOptions::new().read(true), path)
    }

    /// Opens a file for writing: an empty one, created where it is missing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        Self::open_with(OpenOptions::new().write(true).create(true).truncate(true), path)
    }

    /// Creates a file for reading and writing, which must not be there yet.
    ///
    /// # Errors
    /// As [`open`](Self::open); `AlreadyExists`.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        Self::open_with(OpenOptions::new().read(true).write(true).create_new(true), path)
    }

    /// Opens a file with options of std's.
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
        // Not as an operation on a number: here an abort drops the file that was opened.
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
        self.file.try_clone().map(File::from)
    }

    fn read_from(&self, buf: &mut [u8], at: Option<u64>) -> io::Result<usize> {
        let raw = RawOp::Read { fd: self.as_raw_fd(), buf: buf.as_mut_ptr(), len: buf.len(), at };
        // SAFETY: the descriptor is open while `self` is borrowed, and the buffer is lent to this call alone.
        unsafe { carry_out("read file", raw) }
    }

    fn write_to(&self, buf: &[u8], at: Option<u64>) -> io::Result<usize> {
        let raw = RawOp::Write { fd: self.as_raw_fd(), buf: buf.as_ptr(), len: buf.len(), at };
        // SAFETY: the descriptor is open while `self` is borrowed, and the buffer does not change while it is.
        unsafe { carry_out("write file", raw) }
    }
}

/// Carries out an operation from wherever the caller is.
///
/// # Safety
/// As for [`op`]; on a thread that runs no fiber as for [`RawOp::perform`]: what `raw` names is good until this returns
/// or unwinds.
unsafe fn carry_out(what: &'static str, raw: RawOp) -> io::Result<usize> {
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
fn blocking<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if let Place::Thread = place() {
        check_thread()?;
    }
    unblock(f)?
}

/// What [`Here::check`](crate::park::Here::check) is to a thread that runs no fiber.
fn check_thread() -> io::Result<()> {
    match thread_deadline() {
        Some(at) if Instant::now() >= at => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_from(buf, None)
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_to(buf, None)
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
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
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
        File { file }
    }
}

impl From<File> for fs::File {
    fn from(file: File) -> fs::File {
        file.file
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File { file: fd.into() }
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
