//! Operations that are submitted and end later: regular files, which no readiness set can wait for, and calls that
//! block.
//!
//! An operation owns its buffer and hands it back at its end. Which one serves them is visible in
//! [`Caps::completions`](crate::backend::Caps::completions): the backend (over epoll by io_uring: see
//! [`Epoll`](crate::backend::Epoll) for what it does and what it leaves), or helper threads.

use crate::backend::{AsFd, Fd, FdNumber, OwnedFd, number};
use std::ffi::{CString, c_char};
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What the [`Id`](crate::Id) of an operation names.
///
/// ```
/// use becket_loop::{Id, op::Op};
///
/// assert_eq!(size_of::<Id<Op>>(), 8);
/// ```
#[derive(Debug)]
pub enum Op {}

/// An operation as the system is asked for it: plain numbers and pointers.
///
/// ```
/// use becket_loop::op::{Operation, RawOp, Sync};
///
/// let mut sync = Sync::all(std::io::stdout());
/// assert!(matches!(sync.raw(), RawOp::Sync { fd: 1, data_only: false }));
/// ```
#[non_exhaustive]
pub enum RawOp {
    /// pread(2) at `at`, or read(2) at the file's own position.
    Read {
        /// From where.
        fd: FdNumber,
        /// To where.
        buf: *mut u8,
        /// At most how many bytes.
        len: usize,
        /// From which offset; `None`: the file's own position.
        at: Option<u64>,
    },
    /// pwrite(2) at `at`, or write(2) at the file's own position.
    Write {
        /// To where.
        fd: FdNumber,
        /// From where.
        buf: *const u8,
        /// At most how many bytes.
        len: usize,
        /// To which offset; `None`: the file's own position.
        at: Option<u64>,
    },
    /// fsync(2), or fdatasync(2).
    Sync {
        /// Of what.
        fd: FdNumber,
        /// Whether metadata that reading does not need may be left out.
        data_only: bool,
    },
    /// openat(2) relative to the working directory, close-on-exec; the result is the new descriptor's number.
    Open {
        /// A NUL-terminated path.
        path: *const c_char,
        /// The `O_` flags.
        flags: u32,
        /// The mode of a file that is created.
        mode: u32,
    },
    /// Any call that blocks; only helper threads can.
    Call(Box<dyn FnOnce() -> io::Result<usize> + Send>),
}

// SAFETY: whoever makes one promises that what the pointers name stays valid until the operation ends, on whatever
// thread it is carried out (`Operation` and `Ctx::submit_raw` ask for it); nothing else in it is bound to a thread.
unsafe impl Send for RawOp {}

impl fmt::Debug for RawOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawOp::Read { fd, len, at, .. } => write!(f, "Read {{ fd: {fd}, len: {len}, at: {at:?} }}"),
            RawOp::Write { fd, len, at, .. } => write!(f, "Write {{ fd: {fd}, len: {len}, at: {at:?} }}"),
            RawOp::Sync { fd, data_only } => write!(f, "Sync {{ fd: {fd}, data_only: {data_only} }}"),
            RawOp::Open { flags, mode, .. } => write!(f, "Open {{ flags: {flags:#x}, mode: {mode:#o} }}"),
            RawOp::Call(_) => f.write_str("Call"),
        }
    }
}

impl RawOp {
    /// Carries it out, blocking the calling thread. A call that a signal interrupted before it moved anything is
    /// made again.
    ///
    /// # Errors
    /// Those of the call.
    ///
    /// # Safety
    /// Descriptors must be open, and pointers valid for the length beside them, until this returns.
    pub unsafe fn perform(self) -> io::Result<usize> {
        use rustix::{fs, io as rio};
        // SAFETY: the caller promises that the descriptor is open for the time of the call.
        let lend = |fd| unsafe { Fd::borrow_raw(fd) };
        match self {
            RawOp::Read { fd, buf, len, at } => {
                // SAFETY: the caller promises `len` bytes at `buf`, for the time of the call and for us alone.
                let buf = unsafe { std::slice::from_raw_parts_mut(buf, len) };
                let read = || match at {
                    Some(at) => rio::pread(lend(fd), &mut *buf, at),
                    None => rio::read(lend(fd), &mut *buf),
                };
                Ok(rio::retry_on_intr(read)?)
            }
            RawOp::Write { fd, buf, len, at } => {
                // SAFETY: the caller promises `len` bytes at `buf` for the time of the call.
                let buf = unsafe { std::slice::from_raw_parts(buf, len) };
                let write = || match at {
                    Some(at) => rio::pwrite(lend(fd), buf, at),
                    None => rio::write(lend(fd), buf),
                };
                Ok(rio::retry_on_intr(write)?)
            }
            RawOp::Sync { fd, data_only } => {
                let sync = || if data_only { fs::fdatasync(lend(fd)) } else { fs::fsync(lend(fd)) };
                rio::retry_on_intr(sync)?;
                Ok(0)
            }
            RawOp::Open { path, flags, mode } => {
                // SAFETY: the caller promises a NUL-terminated path for the time of the call.
                let path = unsafe { std::ffi::CStr::from_ptr(path) };
                let flags = fs::OFlags::from_bits_retain(flags) | fs::OFlags::CLOEXEC;
                let mode = fs::Mode::from_bits_retain(mode as _);
                let fd = rio::retry_on_intr(|| fs::open(path, flags, mode))?;
                Ok(fd.into_raw_fd() as usize)
            }
            RawOp::Call(call) => call(),
        }
    }
}

/// An operation that owns what it works on.
///
/// # Safety
/// What the [`RawOp`] of [`raw`](Self::raw) names must stay valid, and be nobody else's to write, from then until
/// [`finish`](Self::finish), while the operation itself does not move; and it must not be the operation's to free
/// earlier.
pub unsafe trait Operation: 'static {
    /// What its end hands to the user.
    type Output;

    /// The operation as the system is asked for it. Called once, after the operation has its final place; it may begin
    /// then or later.
    fn raw(&mut self) -> RawOp;

    /// Makes the output of what the system answered. An operation that was cancelled before it began got
    /// `ECANCELED`.
    ///
    /// # Safety
    /// `result` is what carrying out the operation of [`raw`](Self::raw) returned, and is handed in once.
    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output;
}

/// How a read or a write ended: the result, with the file and the buffer handed back.
///
/// ```
/// use becket_loop::op::Transfer;
///
/// let end = Transfer { result: Ok(2), file: std::io::stdin(), buf: vec![1, 2, 3] };
/// assert_eq!(end.filled().unwrap(), [1, 2]);
/// ```
#[derive(Debug)]
pub struct Transfer<F> {
    /// How many bytes were moved. 0 from a read of a non-empty buffer is the end of the file.
    pub result: io::Result<usize>,
    /// The file.
    pub file: F,
    /// The buffer, of the length it had.
    pub buf: Vec<u8>,
}

impl<F> Transfer<F> {
    /// The part of the buffer that was moved.
    ///
    /// # Errors
    /// The operation's.
    pub fn filled(self) -> io::Result<Vec<u8>> {
        let n = self.result?;
        let mut buf = self.buf;
        buf.truncate(n);
        Ok(buf)
    }
}

/// Reads into a buffer of the caller's, up to its length: pread(2).
///
/// ```
/// use becket_loop::{Loop, op::Read};
/// use std::fs::File;
///
/// let mut event_loop: Loop<Vec<u8>> = Loop::new()?;
/// let file = File::open("/proc/self/exe")?;
/// event_loop.submit(Read::new(file, vec![0; 3], Some(1)), |magic, _, end| Ok(*magic = end.filled()?));
/// let mut magic = Vec::new();
/// event_loop.run(&mut magic)?;
/// assert_eq!(magic, b"ELF");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Read<F> {
    file: F,
    buf: Vec<u8>,
    at: Option<u64>,
}

impl<F: AsFd + 'static> Read<F> {
    /// Reads up to `buf.len()` bytes from offset `at`, or from the file's own position where that is `None`.
    pub fn new(file: F, buf: Vec<u8>, at: Option<u64>) -> Self {
        Read { file, buf, at }
    }
}

// SAFETY: the file is owned, so its descriptor stays open; the buffer's heap memory is owned and neither touched nor
// moved until `finish` takes it apart.
unsafe impl<F: AsFd + 'static> Operation for Read<F> {
    type Output = Transfer<F>;

    fn raw(&mut self) -> RawOp {
        let fd = number(&self.file);
        RawOp::Read { fd, buf: self.buf.as_mut_ptr(), len: self.buf.len(), at: self.at }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Transfer<F> {
        Transfer { result, file: self.file, buf: self.buf }
    }
}

/// Writes a buffer of the caller's: pwrite(2). Less than all of it may be written.
///
/// ```
/// use becket_loop::{Loop, op::Write};
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut event_loop: Loop<usize> = Loop::new()?;
/// event_loop.submit(Write::new(writer, b"hello".to_vec(), None), |n, _, end| Ok(*n = end.result?));
/// let mut n = 0;
/// event_loop.run(&mut n)?;
/// assert_eq!((n, std::io::read_to_string(reader)?.as_str()), (5, "hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Write<F> {
    file: F,
    buf: Vec<u8>,
    at: Option<u64>,
}

impl<F: AsFd + 'static> Write<F> {
    /// Writes up to `buf.len()` bytes at offset `at`, or at the file's own position where that is `None`.
    pub fn new(file: F, buf: Vec<u8>, at: Option<u64>) -> Self {
        Write { file, buf, at }
    }
}

// SAFETY: as for `Read`.
unsafe impl<F: AsFd + 'static> Operation for Write<F> {
    type Output = Transfer<F>;

    fn raw(&mut self) -> RawOp {
        let fd = number(&self.file);
        RawOp::Write { fd, buf: self.buf.as_ptr(), len: self.buf.len(), at: self.at }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Transfer<F> {
        Transfer { result, file: self.file, buf: self.buf }
    }
}

/// Brings what was written to the device: fsync(2).
///
/// ```
/// use becket_loop::{Loop, op::Sync};
/// use std::fs::File;
///
/// let mut event_loop: Loop<bool> = Loop::new()?;
/// event_loop.submit(Sync::data(File::open("/proc/self/exe")?), |done, _, (result, _file)| {
///     result?;
///     Ok(*done = true)
/// });
/// let mut done = false;
/// event_loop.run(&mut done)?;
/// assert!(done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "fsync")]
#[doc(alias = "fdatasync")]
pub struct Sync<F> {
    file: F,
    data_only: bool,
}

impl<F: AsFd + 'static> Sync<F> {
    /// Data and metadata: fsync(2).
    pub fn all(file: F) -> Self {
        Sync { file, data_only: false }
    }

    /// Data, and the metadata that reading it needs: fdatasync(2).
    pub fn data(file: F) -> Self {
        Sync { file, data_only: true }
    }
}

// SAFETY: the file is owned, so its descriptor stays open.
unsafe impl<F: AsFd + 'static> Operation for Sync<F> {
    type Output = (io::Result<()>, F);

    fn raw(&mut self) -> RawOp {
        RawOp::Sync { fd: number(&self.file), data_only: self.data_only }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        (result.map(drop), self.file)
    }
}

/// Opens a file: openat(2), close-on-exec.
///
/// ```
/// use becket_loop::{Loop, op::Open};
/// use std::os::fd::OwnedFd;
///
/// let mut event_loop: Loop<Option<std::io::Result<OwnedFd>>> = Loop::new()?;
/// event_loop.submit(Open::read("/does/not/exist")?, |opened, _, result| Ok(*opened = Some(result)));
/// let mut opened = None;
/// event_loop.run(&mut opened)?;
/// assert_eq!(opened.unwrap().unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "openat")]
pub struct Open {
    path: CString,
    flags: u32,
    mode: u32,
}

impl Open {
    /// With the `O_` flags of open(2), and the mode of a file that is created (less the process's umask).
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn new(path: impl AsRef<Path>, flags: u32, mode: u32) -> io::Result<Self> {
        let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
        Ok(Open { path, flags, mode })
    }

    /// For reading.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(path, rustix::fs::OFlags::RDONLY.bits(), 0)
    }

    /// For writing, created with mode 0o666 where it is missing, emptied where it is not.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        use rustix::fs::OFlags;
        Self::new(path, (OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC).bits(), 0o666)
    }
}

// SAFETY: the path's heap memory is owned and not touched until `finish`.
unsafe impl Operation for Open {
    type Output = io::Result<OwnedFd>;

    fn raw(&mut self) -> RawOp {
        RawOp::Open { path: self.path.as_ptr(), flags: self.flags, mode: self.mode }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        // SAFETY: the caller promises that this is what openat(2) returned: a new descriptor that nobody else knows.
        result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as FdNumber) })
    }
}

/// Any call that blocks, on a helper thread. A panic in it goes on in the loop's thread, as one of the callback; when
/// the loop is dropped first, nobody hears of it.
///
/// A loop has four helper threads at most, for files too: calls that block for long keep others waiting, and those that
/// wait for each other may wait for ever. The threads block all signals, and a process that is started in one inherits
/// that: see [`reset_sigmask`](becket_sys::signal::CommandSignalExt::reset_sigmask).
///
/// ```
/// use becket_loop::{Loop, op::Call};
/// use std::net::{SocketAddr, ToSocketAddrs};
///
/// let mut event_loop: Loop<Vec<SocketAddr>> = Loop::new()?;
/// let resolve = Call::new(|| "localhost:80".to_socket_addrs().map(Vec::from_iter));
/// event_loop.submit(resolve, |found, _, addresses| Ok(*found = addresses??));
/// let mut found = Vec::new();
/// event_loop.run(&mut found)?;
/// assert!(found.iter().all(|address| address.ip().is_loopback()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Call<R> {
    call: Option<Box<dyn FnOnce() -> R + Send>>,
    answer: Answer<R>,
}

/// Where the helper thread leaves what the call returned.
type Answer<R> = Arc<Mutex<Option<std::thread::Result<R>>>>;

impl<R: Send + 'static> Call<R> {
    /// Calls `f` on a helper thread.
    pub fn new(f: impl FnOnce() -> R + Send + 'static) -> Self {
        Call { call: Some(Box::new(f)), answer: Arc::default() }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

// SAFETY: the raw operation owns all that it works on.
unsafe impl<R: Send + 'static> Operation for Call<R> {
    /// An error (`ECANCELED`) where it was cancelled before it began.
    type Output = io::Result<R>;

    fn raw(&mut self) -> RawOp {
        let call = self.call.take();
        let answer = Arc::clone(&self.answer);
        RawOp::Call(Box::new(move || {
            let call = call.ok_or(io::ErrorKind::InvalidInput)?;
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
            *answer.lock().expect("no code panics under this lock") = Some(result);
            Ok(0)
        }))
    }

    unsafe fn finish(self, result: io::Result<usize>) -> io::Result<R> {
        result?;
        let answer = self.answer.lock().expect("no code panics under this lock").take();
        match answer.expect("the call ended, so it left an answer") {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
