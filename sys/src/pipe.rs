//! Pipes, of bytes or of packets, with a name or without: pipe(7), fifo(7).
//!
//! # Honest trouble
//!
//! - **The room is in pages, not bytes.** A pipe of 65536 bytes has 16 places, and a short write or packet may take a
//!   whole one: it can be full with 16 packets of one byte, and poll(2) calls it writable when there is a place.
//! - **Many pipes of one user** make each new one smaller, two pages and then one, from 16384 pages on
//!   (`/proc/sys/fs/pipe-user-pages-soft`).
//! - **Splicing** never blocks for the pipe, but for the other side it does if that is in blocking mode. Where it is
//!   refused (`EINVAL`: terminals, files opened to append, some file systems) copy by reading and writing.
//! - **What was spliced from a file** is the file's own memory: it shows later writes to the file until it is read.
//! - **The end of a FIFO** is not for good: the next writer revives it. Until the first one has come there is nothing,
//!   and no hang-up; after that [`Ready::HUP`](crate::Ready::HUP) is reported whatever is asked for. A reader that is
//!   to go on holds a [`Writer`] of its own.

use crate::SetupError;
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::{Errno, ioctl_fionbio, ioctl_fionread, read, readv, retry_on_intr, write, writev};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout};

/// The longest write that arrives in one piece where several write to one pipe, and the longest packet, in bytes.
#[doc(alias = "PIPE_BUF")]
pub const ATOMIC_WRITE: usize = rustix::pipe::PIPE_BUF;

/// A pipe of bytes: what goes into the writer comes out of the reader. Both are close-on-exec and non-blocking; see
/// pipe(2).
///
/// # Errors
/// `EMFILE` or `ENFILE` where no descriptors are left, or the user's limit of memory in pipes is reached.
///
/// ```
/// use becket_sys::pipe;
///
/// let (reader, writer) = pipe::pair()?;
/// assert_eq!(reader.try_read(&mut [0; 8])?, None); // would block
/// assert_eq!(writer.try_write(b"abc")?, Some(3));
/// let mut buf = [0; 8];
/// assert_eq!(reader.try_read(&mut buf)?, Some(3));
/// assert_eq!(&buf[..3], b"abc");
/// drop(writer);
/// assert_eq!(reader.try_read(&mut buf)?, Some(0)); // the end
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pipe2")]
pub fn pair() -> io::Result<(Reader, Writer)> {
    create(PipeFlags::empty())
}

/// A pipe of packets: each write of at most [`ATOMIC_WRITE`] bytes is one packet, a longer one is several, and each
/// read takes one packet. What of a packet does not fit into the reader's buffer is lost. There are no empty packets.
///
/// # Errors
/// As [`pair`].
///
/// ```
/// use becket_sys::pipe;
///
/// let (reader, writer) = pipe::packet_pair()?;
/// writer.try_write(b"one")?;
/// writer.try_write(b"three")?;
/// let mut buf = [0; 4];
/// assert_eq!(reader.try_read(&mut buf)?, Some(3));
/// assert_eq!(reader.try_read(&mut buf)?, Some(4)); // the last byte is lost
/// assert_eq!(reader.try_read(&mut buf)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "O_DIRECT")]
pub fn packet_pair() -> io::Result<(Reader, Writer)> {
    create(PipeFlags::DIRECT)
}

fn create(flags: PipeFlags) -> io::Result<(Reader, Writer)> {
    let (reader, writer) = pipe_with(flags | PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((Reader { fd: reader }, Writer { fd: writer }))
}

/// The end of a pipe that is read from.
///
/// [`Read`] is there for the value and for a reference, and follows the blocking mode of the descriptor. Dropping it
/// closes the descriptor; with the last duplicate of it, what was not read is lost, and writers get `EPIPE`.
///
/// ```
/// use becket_sys::pipe;
/// use std::io::{Read, Write};
///
/// let (mut reader, writer) = pipe::pair()?;
/// (&writer).write_all(b"becket")?;
/// drop(writer);
/// let mut all = String::new();
/// reader.read_to_string(&mut all)?;
/// assert_eq!(all, "becket");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    fd: OwnedFd,
}

/// The end of a pipe that is written to.
///
/// [`Write`] is there for the value and for a reference, and follows the blocking mode of the descriptor; flushing
/// does nothing. Dropping it closes the descriptor; with the last duplicate of it, readers come to the end. Poll it
/// for [`WRITE`](crate::Ready::WRITE) to wait for room; [`ERR`](crate::Ready::ERR) says that no reader is left.
///
/// A write without a reader fails with `EPIPE`. It also raises SIGPIPE, which Rust programs ignore unless they, or
/// the C program around them, ask for it.
///
/// ```
/// use becket_sys::pipe;
/// use std::io::Write;
///
/// let (reader, mut writer) = pipe::pair()?;
/// drop(reader);
/// let e = writer.write(b"lost").unwrap_err();
/// assert_eq!(e.kind(), std::io::ErrorKind::BrokenPipe);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    fd: OwnedFd,
}

owned_fd!(Reader, Readable);
owned_fd!(Writer, Writable);

impl Reader {
    /// Reads what is there, at most `buf.len()` bytes: `Some(0)` is the end, when all was read and no writer is left
    /// (or `buf` is empty); `None` says that nothing is there yet.
    ///
    /// # Errors
    /// None is known for the reading end of a pipe. One that was taken over in blocking mode waits in place of
    /// `None`, and may be interrupted (`EINTR`).
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(read(&self.fd, buf))
    }

    /// Moves at most `len` bytes to `to` without copying them through the program: splice(2).
    ///
    /// `Some(0)` is the end, when no writer is left; `None` says that nothing is there to be read, or no room in
    /// `to`. The pipe never blocks; `to` does if it is in blocking mode and no pipe. `offset` is where to write in a
    /// file, and is moved on; without it the file's own position is used.
    ///
    /// # Errors
    /// `EINVAL` where `to` is a kind of descriptor that cannot be spliced to, or a file opened to append: copy with
    /// [`try_read`](Self::try_read) then. `EINVAL` too where both are the same pipe. `ESPIPE` for an offset in what
    /// has none. The errors of writing to `to`.
    #[doc(alias = "splice")]
    pub fn splice_to(&self, to: impl AsFd, offset: Option<&mut u64>, len: usize) -> io::Result<Option<usize>> {
        unless_blocked(splice(&self.fd, None, to, offset, len, SpliceFlags::NONBLOCK))
    }

    /// Copies at most `len` bytes into another pipe, and leaves them here: tee(2).
    ///
    /// `Some(0)` is the end, when no writer is left; `None` says that nothing is there to be read, or no room in `to`.
    ///
    /// # Errors
    /// `EINVAL` where both are the same pipe, or one is none; `ENOMEM`.
    #[doc(alias = "tee")]
    pub fn tee_to(&self, to: &Writer, len: usize) -> io::Result<Option<usize>> {
        unless_blocked(tee(&self.fd, &to.fd, len, SpliceFlags::NONBLOCK))
    }
}

impl Reader {
    /// Opens the FIFO at `path` for reading: close-on-exec, non-blocking, without waiting for a writer.
    ///
    /// # Errors
    /// Step `open`: `ENOENT`, `EACCES`, `EMFILE` and the others of open(2). Step `fstat`: `EINVAL` where the file is no
    /// FIFO; a device may have been disturbed by the opening then.
    ///
    /// ```
    /// use becket_sys::pipe::{self, Reader, Writer};
    ///
    /// let path = std::env::temp_dir().join(format!("becket-fifo-{}", std::process::id()));
    /// pipe::make_fifo(&path, 0o600)?;
    /// assert_eq!(Writer::open(&path).unwrap_err().raw_os_error(), Some(6)); // ENXIO: nobody reads
    /// let reader = Reader::open(&path)?;
    /// assert_eq!(reader.try_read(&mut [0; 8])?, Some(0)); // nobody writes: the end, for the time being
    /// let writer = Writer::open(&path)?;
    /// assert_eq!(reader.try_read(&mut [0; 8])?, None);
    /// writer.try_write(b"hi")?;
    /// assert_eq!(reader.try_read(&mut [0; 8])?, Some(2));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "fifo")]
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, SetupError> {
        Ok(Reader { fd: open_fifo(path.as_ref(), OFlags::RDONLY)? })
    }
}

fn open_fifo(path: &Path, mode: OFlags) -> Result<OwnedFd, SetupError> {
    let fail = |step, e: Errno| SetupError::new(step, path.display().to_string(), e);
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|e| fail("open", e))?;
    let stat = fstat(&fd).map_err(|e| fail("fstat", e))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Ok(fd),
        _ => Err(fail("fstat", Errno::INVAL)),
    }
}

/// Makes a FIFO, a pipe with a name in the file system: mkfifo(3). `permissions` are cut by the umask, as for a file.
///
/// # Errors
/// `EEXIST` where there is a file of that name; `ENOENT`, `EACCES`, `ENOSPC`, `EROFS` and the others of mknod(2).
#[doc(alias = "mkfifo")]
pub fn make_fifo(path: impl AsRef<Path>, permissions: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(permissions);
    Ok(rustix::fs::mknodat(rustix::fs::CWD, path.as_ref(), FileType::Fifo, mode, 0)?)
}

impl Writer {
    /// Opens the FIFO at `path` for writing: close-on-exec, non-blocking. Somebody must have it open for reading.
    ///
    /// # Errors
    /// As [`Reader::open`]; `ENXIO` at step `open` where nobody has it open for reading.
    #[doc(alias = "fifo")]
    pub fn open(path: impl AsRef<Path>) -> Result<Writer, SetupError> {
        Ok(Writer { fd: open_fifo(path.as_ref(), OFlags::WRONLY)? })
    }

    /// Puts `bytes` into the pipe without copying them: vmsplice(2). Returns how many; `None` where there is no room.
    ///
    /// The reader sees the memory itself, whenever it reads, hence only what never changes can be given. Of use for
    /// answers of many kilobytes that are sent again and again; a short text is copied sooner.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write); `EBADF` where the descriptor is no pipe; `ENOMEM`.
    ///
    /// ```
    /// static ANSWER: [u8; 10_000] = [b'x'; 10_000];
    ///
    /// let (reader, writer) = becket_sys::pipe::pair()?;
    /// assert_eq!(writer.try_write_static(&ANSWER)?, Some(10_000));
    /// let mut buf = vec![0; 20_000];
    /// assert_eq!(reader.try_read(&mut buf)?, Some(10_000));
    /// assert_eq!(&buf[..10_000], &ANSWER);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "vmsplice")]
    pub fn try_write_static(&self, bytes: &'static [u8]) -> io::Result<Option<usize>> {
        unless_blocked(ffi::pipe::vmsplice(&self.fd, bytes))
    }

    /// Writes as much of `buf` as there is room for, and returns how much that is; `None` where there is none. What
    /// is no longer than [`ATOMIC_WRITE`] goes whole or not at all.
    ///
    /// # Errors
    /// `EPIPE` where no reader is left. One that was taken over in blocking mode waits in place of `None`, and may be
    /// interrupted (`EINTR`).
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(write(&self.fd, buf))
    }

    /// Moves at most `len` bytes from `from` into the pipe without copying them through the program: splice(2).
    ///
    /// `Some(0)` is the end of `from`; `None` says that nothing is there to be read, or no room in the pipe. The pipe
    /// never blocks; `from` does if it is in blocking mode and no pipe. `offset` is where to read in a file, and is
    /// moved on; without it the file's own position is used.
    ///
    /// # Errors
    /// `EINVAL` where `from` is a kind of descriptor that cannot be spliced from: copy with
    /// [`try_write`](Self::try_write) then. `EINVAL` too where both are the same pipe. `ESPIPE` for an offset in what
    /// has none. `EPIPE` where no reader is left. The errors of reading from `from`.
    #[doc(alias = "splice")]
    pub fn splice_from(&self, from: impl AsFd, offset: Option<&mut u64>, len: usize) -> io::Result<Option<usize>> {
        unless_blocked(splice(from, offset, &self.fd, None, len, SpliceFlags::NONBLOCK))
    }
}

macro_rules! pipe_end {
    ($name:ident) => {
        impl $name {
            /// How many bytes the pipe holds at most; 65536 by default. Both ends tell the same.
            ///
            /// # Errors
            /// `EBADF` where the descriptor is no pipe.
            #[doc(alias = "F_GETPIPE_SZ")]
            pub fn capacity(&self) -> io::Result<usize> {
                Ok(fcntl_getpipe_size(&self.fd)?)
            }

            /// Makes the pipe hold at least `bytes`, and returns how many it holds now: the kernel rounds up to a
            /// number of pages that is a power of two.
            ///
            /// # Errors
            /// `EPERM` beyond the limit for ordinary users, /proc/sys/fs/pipe-max-size; `EBUSY` where what is in the
            /// pipe would not fit; `EINVAL` beyond 2 GiB; `ENOMEM`; `EBADF` where the descriptor is no pipe.
            #[doc(alias = "F_SETPIPE_SZ")]
            pub fn set_capacity(&self, bytes: usize) -> io::Result<usize> {
                // The call takes a C int, into which a longer number would be cut.
                if i32::try_from(bytes).is_err() {
                    return Err(Errno::INVAL.into());
                }
                fcntl_setpipe_size(&self.fd, bytes)?;
                self.capacity()
            }

            /// How many bytes are in the pipe. Both ends tell the same; with packets, the sum of them.
            ///
            /// # Errors
            /// None is known.
            #[doc(alias = "FIONREAD")]
            pub fn queued(&self) -> io::Result<usize> {
                Ok(ioctl_fionread(&self.fd)? as usize)
            }

            /// Sets the blocking mode, of all duplicates of this end too. To hand an end to a child, which seldom
            /// expects it non-blocking, clear it first.
            ///
            /// # Errors
            /// None is known.
            #[doc(alias = "O_NONBLOCK")]
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                Ok(ioctl_fionbio(&self.fd, nonblocking)?)
            }

            /// A second handle to the same end.
            ///
            /// # Errors
            /// `EMFILE` where no descriptor is left.
            pub fn try_clone(&self) -> io::Result<$name> {
                Ok($name { fd: self.fd.try_clone()? })
            }
        }

        /// A wrong descriptor can merely make calls fail. The blocking mode stays as it is.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> Self {
                $name { fd }
            }
        }
    };
}

pipe_end!(Reader);
pipe_end!(Writer);

/// Gives `$end` the descriptor of a type of the standard library, in the blocking mode that it has.
macro_rules! from_std {
    ($end:ident from $($std:ty),+) => {
        $(
            /// The blocking mode stays as it is: the standard library opens its pipes blocking.
            impl From<$std> for $end {
                fn from(end: $std) -> Self {
                    $end { fd: end.into() }
                }
            }
        )+
    };
}

from_std!(Reader from io::PipeReader, ChildStdout, ChildStderr);
from_std!(Writer from io::PipeWriter, ChildStdin);

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Read for &Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(read(&self.fd, buf)?)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(readv(&self.fd, bufs)?)
    }
}

impl Write for Writer {
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

impl Write for &Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(write(&self.fd, buf)?)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(writev(&self.fd, bufs)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
