//! Operations that are submitted and end later: regular files, which no readiness set can wait for, names in
//! directories, and calls that block.
//!
//! An operation owns its buffer and hands it back at its end. Which one serves them is visible in
//! [`Caps::completions`](crate::backend::Caps::completions): the backend (over epoll by io_uring: see
//! [`Epoll`](crate::backend::Epoll) for what it does and what it leaves), or helper threads. Results and errors are the
//! same.
//!
//! # Who serves which
//!
//! Where io_uring is offered, and the kernel's has the operation:
//!
//! | operation | as by | served by | because, since Linux |
//! |---|---|---|---|
//! | [`Read`], [`Write`] at an offset | pread(2), pwrite(2) | io_uring | 5.6 |
//! | [`ReadVectored`], [`WriteVectored`] at an offset | preadv(2), pwritev(2) | io_uring | 5.6 |
//! | [`Read`], [`ReadVectored`] of a pipe or a socket | read(2), readv(2) | io_uring | can be cancelled there |
//! | those four at the file's own position | read(2), write(2) | helper threads | the ring does not lock that |
//! | [`Sync`] | fsync(2), fdatasync(2) | io_uring | 5.6 |
//! | [`SetLen`] | ftruncate(2) | io_uring | 6.9 |
//! | [`Allocate`] | fallocate(2) | io_uring | 5.6 |
//! | [`Advise`] | posix_fadvise(2) | io_uring | 5.6; helper threads for 4 GiB and more, unless to the end |
//! | [`Carry::splice`] | splice(2) | io_uring | 5.7 |
//! | [`Carry::copy_range`] | copy_file_range(2) | helper threads | the ring has none |
//! | [`Open`] | openat(2) | io_uring | 5.6 |
//! | [`Open`] with [`Resolve`] | openat2(2) | helper threads | what it reads must stay longer than it is asked for |
//! | [`Close`] | close(2) | helper threads | a cancel could not tell whether it was closed |
//! | [`Stat`], [`StatFile`] | statx(2) | io_uring | 5.6 |
//! | [`Unlink`] | unlinkat(2) | io_uring | 5.11 |
//! | [`Rename`] | renameat2(2) | io_uring | 5.11 |
//! | [`MakeDir`] | mkdirat(2) | io_uring | 5.15 |
//! | [`Link`] | linkat(2), symlinkat(2) | io_uring | 5.15 |
//! | [`Call`], [`read_dir`] | | helper threads | code of the program's |
//!
//! A [`Read`] at an offset, of what is in memory, needs neither where few are submitted in a turn: it is made on the
//! spot. See [`Caps::reads_on_the_spot`](crate::backend::Caps::reads_on_the_spot).

mod file;
mod metadata;
mod name;
mod raw;

pub use file::{Advise, Allocate, Carried, Carry, Close, ReadVectored, SetLen, TransferVectored, WriteVectored};
pub use metadata::{Metadata, Stat, StatFile};
pub use name::{Link, MakeDir, Open, OpenOptions, Rename, Resolve, Unlink};
pub(crate) use raw::MOST_BUFS;
pub use raw::{RawBuf, RawName, RawOp, RawStat};

use crate::backend::{AsFd, number};
use std::fmt;
use std::fs::DirEntry;
use std::io;
use std::path::PathBuf;
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

/// Any call that blocks, on a helper thread. A panic in it goes on in the loop's thread, as one of the callback; when
/// the loop is dropped first, nobody hears of it.
///
/// A loop has four helper threads at most, for files too, or as many as
/// [`set_helper_threads`](crate::Ctx::set_helper_threads) says: calls that block for long keep others waiting, and
/// those that wait for each other may wait for ever. The threads block all signals, and a process that is started in
/// one inherits that: see [`reset_sigmask`](becket_sys::signal::CommandSignalExt::reset_sigmask).
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

/// Reads a whole directory, on a helper thread: opendir(3), readdir(3). In no order, without `.` and `..`.
///
/// The output's outer error is that of [`Call`], the inner one that of opening or reading.
///
/// ```
/// use becket_loop::{Loop, op::read_dir};
///
/// let mut event_loop: Loop<Vec<String>> = Loop::new()?;
/// event_loop.submit(read_dir("/proc/self"), |names, _, entries| {
///     Ok(names.extend(entries??.iter().map(|entry| entry.file_name().to_string_lossy().into_owned())))
/// });
/// let mut names = Vec::new();
/// event_loop.run(&mut names)?;
/// assert!(names.contains(&"fd".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "opendir")]
#[doc(alias = "getdents")]
pub fn read_dir(path: impl Into<PathBuf>) -> Call<io::Result<Vec<DirEntry>>> {
    let path = path.into();
    Call::new(move || std::fs::read_dir(path)?.collect())
}
