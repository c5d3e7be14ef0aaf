use super::raw::MOST_BUFS;
use super::{Operation, RawBuf, RawOp};
use crate::backend::{AsFd, OwnedFd, number};
use becket_sys::file::Advice;
use std::fmt;
use std::io;
use std::ops::Range;

/// How a vectored read or write ended: the result, with the file and the buffers handed back.
///
/// ```
/// use becket_loop::op::TransferVectored;
///
/// let end = TransferVectored { result: Ok(3), file: std::io::stdin(), bufs: vec![vec![1, 2], vec![3, 4]] };
/// assert_eq!(end.filled().unwrap(), [vec![1, 2], vec![3]]);
/// ```
#[derive(Debug)]
pub struct TransferVectored<F> {
    /// How many bytes were moved. 0 from a read into buffers that are not empty is the end of the file.
    pub result: io::Result<usize>,
    /// The file.
    pub file: F,
    /// The buffers, of the lengths they had.
    pub bufs: Vec<Vec<u8>>,
}

impl<F> TransferVectored<F> {
    /// The part of the buffers that was moved; those after it are empty.
    ///
    /// # Errors
    /// The operation's.
    pub fn filled(self) -> io::Result<Vec<Vec<u8>>> {
        let mut left = self.result?;
        let mut bufs = self.bufs;
        for buf in &mut bufs {
            buf.truncate(left);
            left -= buf.len();
        }
        Ok(bufs)
    }
}

/// The buffers of a vectored operation, and the table of them that the system reads.
struct Bufs {
    bufs: Vec<Vec<u8>>,
    table: Vec<RawBuf>,
}

impl Bufs {
    fn new(bufs: Vec<Vec<u8>>) -> Bufs {
        Bufs { bufs, table: Vec::new() }
    }

    fn raw(&mut self) -> (*const RawBuf, usize) {
        let used = self.bufs.iter_mut().take(MOST_BUFS);
        self.table = used.map(|buf| RawBuf { base: buf.as_mut_ptr(), len: buf.len() }).collect();
        (self.table.as_ptr(), self.table.len())
    }
}

impl fmt::Debug for Bufs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bufs.fmt(f)
    }
}

/// Reads into several buffers, one after the other: preadv(2). At most 1024 of them are used.
///
/// ```
/// use becket_loop::{Loop, op::ReadVectored};
/// use std::fs::File;
///
/// let mut event_loop: Loop<Vec<Vec<u8>>> = Loop::new()?;
/// let file = File::open("/proc/self/exe")?;
/// let read = ReadVectored::new(file, vec![vec![0; 1], vec![0; 3]], Some(0));
/// event_loop.submit(read, |magic, _, end| Ok(*magic = end.filled()?));
/// let mut magic = Vec::new();
/// event_loop.run(&mut magic)?;
/// assert_eq!(magic, [b"\x7f".to_vec(), b"ELF".to_vec()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "preadv")]
#[doc(alias = "readv")]
pub struct ReadVectored<F> {
    file: F,
    bufs: Bufs,
    at: Option<u64>,
}

impl<F: AsFd + 'static> ReadVectored<F> {
    /// Reads from offset `at`, or from the file's own position where that is `None`, up to the length of the buffers.
    pub fn new(file: F, bufs: Vec<Vec<u8>>, at: Option<u64>) -> Self {
        ReadVectored { file, bufs: Bufs::new(bufs), at }
    }
}

// SAFETY: the file is owned, so its descriptor stays open; buffers and table are owned, lie on the heap, and are
// neither touched nor moved there until `finish` takes them apart.
unsafe impl<F: AsFd + 'static> Operation for ReadVectored<F> {
    type Output = TransferVectored<F>;

    fn raw(&mut self) -> RawOp {
        let (bufs, count) = self.bufs.raw();
        RawOp::ReadVectored { fd: number(&self.file), bufs, count, at: self.at }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> TransferVectored<F> {
        TransferVectored { result, file: self.file, bufs: self.bufs.bufs }
    }
}

/// Writes several buffers, one after the other: pwritev(2). Less than all of it may be written, and at most 1024 of
/// them.
///
/// ```
/// use becket_loop::{Loop, op::WriteVectored};
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut event_loop: Loop<usize> = Loop::new()?;
/// let write = WriteVectored::new(writer, vec![b"head: ".to_vec(), b"text".to_vec()], None);
/// event_loop.submit(write, |n, _, end| Ok(*n = end.result?));
/// let mut n = 0;
/// event_loop.run(&mut n)?;
/// assert_eq!((n, std::io::read_to_string(reader)?.as_str()), (10, "head: text"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "pwritev")]
#[doc(alias = "writev")]
pub struct WriteVectored<F> {
    file: F,
    bufs: Bufs,
    at: Option<u64>,
}

impl<F: AsFd + 'static> WriteVectored<F> {
    /// Writes at offset `at`, or at the file's own position where that is `None`.
    pub fn new(file: F, bufs: Vec<Vec<u8>>, at: Option<u64>) -> Self {
        WriteVectored { file, bufs: Bufs::new(bufs), at }
    }
}

// SAFETY: as for `ReadVectored`.
unsafe impl<F: AsFd + 'static> Operation for WriteVectored<F> {
    type Output = TransferVectored<F>;

    fn raw(&mut self) -> RawOp {
        let (bufs, count) = self.bufs.raw();
        RawOp::WriteVectored { fd: number(&self.file), bufs, count, at: self.at }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> TransferVectored<F> {
        TransferVectored { result, file: self.file, bufs: self.bufs.bufs }
    }
}

/// Cuts or extends a file: ftruncate(2). What is new reads as zeros.
///
/// ```
/// use becket_loop::{Loop, op::SetLen};
///
/// let file = becket_sys::file::unnamed(std::env::temp_dir())?;
/// let mut event_loop: Loop<u64> = Loop::new()?;
/// event_loop.submit(SetLen::new(file, 5000), |len, _, (result, file)| {
///     result?;
///     Ok(*len = file.metadata()?.len())
/// });
/// let mut len = 0;
/// event_loop.run(&mut len)?;
/// assert_eq!(len, 5000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "ftruncate")]
pub struct SetLen<F> {
    file: F,
    len: u64,
}

impl<F: AsFd + 'static> SetLen<F> {
    /// To `len` bytes.
    pub fn new(file: F, len: u64) -> Self {
        SetLen { file, len }
    }
}

// SAFETY: the file is owned, so its descriptor stays open.
unsafe impl<F: AsFd + 'static> Operation for SetLen<F> {
    /// The errors are those of ftruncate(2): `EINVAL` where it is not open for writing, or `len` is above `i64::MAX`.
    type Output = (io::Result<()>, F);

    fn raw(&mut self) -> RawOp {
        RawOp::SetLen { fd: number(&self.file), len: self.len }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        (result.map(drop), self.file)
    }
}

/// Changes the room that a range of a file takes: fallocate(2).
///
/// ```
/// use becket_loop::{Loop, op::Allocate};
/// use becket_sys::file;
///
/// let file = file::unnamed(std::env::temp_dir())?;
/// let mut event_loop: Loop<u64> = Loop::new()?;
/// event_loop.submit(Allocate::new(file, file::Allocate::Room, 0..10_000), |len, _, (result, file)| {
///     result?;
///     Ok(*len = file.metadata()?.len())
/// });
/// let mut len = 0;
/// event_loop.run(&mut len)?;
/// assert_eq!(len, 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "fallocate")]
pub struct Allocate<F> {
    file: F,
    what: becket_sys::file::Allocate,
    range: Range<u64>,
}

impl<F: AsFd + 'static> Allocate<F> {
    /// Does `what` with the bytes of `range`.
    pub fn new(file: F, what: becket_sys::file::Allocate, range: Range<u64>) -> Self {
        Allocate { file, what, range }
    }
}

// SAFETY: as for `SetLen`.
unsafe impl<F: AsFd + 'static> Operation for Allocate<F> {
    /// The errors are those of [`becket_sys::file::allocate`].
    type Output = (io::Result<()>, F);

    fn raw(&mut self) -> RawOp {
        // An empty range is the kernel's to refuse.
        let len = self.range.end.saturating_sub(self.range.start);
        RawOp::Allocate { fd: number(&self.file), mode: self.what.mode(), offset: self.range.start, len }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        (result.map(drop), self.file)
    }
}

/// Tells the kernel how a range of a file will be used: posix_fadvise(2), which may wait for the disk.
///
/// ```
/// use becket_loop::{Loop, op::Advise};
/// use becket_sys::file::Advice;
/// use std::fs::File;
///
/// let mut event_loop: Loop<bool> = Loop::new()?;
/// let exe = File::open("/proc/self/exe")?;
/// event_loop.submit(Advise::new(exe, Advice::WillNeed, 0..4096), |told, _, (result, _file)| {
///     result?;
///     Ok(*told = true)
/// });
/// let mut told = false;
/// event_loop.run(&mut told)?;
/// assert!(told);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "posix_fadvise")]
#[doc(alias = "readahead")]
pub struct Advise<F> {
    file: F,
    advice: Advice,
    range: Range<u64>,
}

impl<F: AsFd + 'static> Advise<F> {
    /// Says that of the bytes of `range`. An end beyond that of the file means its end.
    pub fn new(file: F, advice: Advice, range: Range<u64>) -> Self {
        Advise { file, advice, range }
    }
}

// SAFETY: as for `SetLen`.
unsafe impl<F: AsFd + 'static> Operation for Advise<F> {
    /// The errors are those of [`becket_sys::file::advise`].
    type Output = (io::Result<()>, F);

    fn raw(&mut self) -> RawOp {
        let len = self.range.end.saturating_sub(self.range.start);
        RawOp::Advise { fd: number(&self.file), advice: self.advice, offset: self.range.start, len }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        (result.map(drop), self.file)
    }
}

/// How a [`Carry`] ended: the result, with both files handed back.
///
/// ```
/// use becket_loop::op::Carried;
///
/// let end = Carried { result: Ok(3), from: std::io::stdin(), to: std::io::stdout() };
/// assert_eq!(end.result.unwrap(), 3);
/// ```
#[derive(Debug)]
pub struct Carried<A, B> {
    /// How many bytes were moved. 0 is the end of `from`.
    pub result: io::Result<usize>,
    /// From where.
    pub from: A,
    /// To where.
    pub to: B,
}

/// Moves bytes from one descriptor to another within the kernel: splice(2), copy_file_range(2).
///
/// ```
/// use becket_loop::{Loop, op::Carry};
/// use std::fs::File;
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut event_loop: Loop<usize> = Loop::new()?;
/// let exe = File::open("/proc/self/exe")?;
/// event_loop.submit(Carry::splice(exe, Some(1), writer, None, 3), |n, _, end| Ok(*n = end.result?));
/// let mut n = 0;
/// event_loop.run(&mut n)?;
/// assert_eq!((n, std::io::read_to_string(reader)?.as_str()), (3, "ELF"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Carry<A, B> {
    from: A,
    from_at: Option<u64>,
    to: B,
    to_at: Option<u64>,
    len: usize,
    splice: bool,
}

impl<A: AsFd + 'static, B: AsFd + 'static> Carry<A, B> {
    /// At most `len` bytes from or to a pipe, which has no offset; where a file's is `None`, its own position is used,
    /// and moves on.
    #[doc(alias = "sendfile")]
    pub fn splice(from: A, from_at: Option<u64>, to: B, to_at: Option<u64>, len: usize) -> Self {
        Carry { from, from_at, to, to_at, len, splice: true }
    }

    /// At most `len` bytes from a file to another one; where an offset is `None`, the file's own position is used, and
    /// moves on. See [`becket_sys::file::copy_range`] for what can be copied so.
    #[doc(alias = "copy_file_range")]
    pub fn copy_range(from: A, from_at: Option<u64>, to: B, to_at: Option<u64>, len: usize) -> Self {
        Carry { from, from_at, to, to_at, len, splice: false }
    }
}

// SAFETY: both files are owned, so their descriptors stay open.
unsafe impl<A: AsFd + 'static, B: AsFd + 'static> Operation for Carry<A, B> {
    /// The errors are those of splice(2) or copy_file_range(2).
    type Output = Carried<A, B>;

    fn raw(&mut self) -> RawOp {
        let (from, to) = ((number(&self.from), self.from_at), (number(&self.to), self.to_at));
        match self.splice {
            true => RawOp::Splice { from, to, len: self.len },
            false => RawOp::CopyRange { from, to, len: self.len },
        }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Carried<A, B> {
        Carried { result, from: self.from, to: self.to }
    }
}

/// Closes a descriptor on a helper thread, and tells how that went: close(2). The last close of a file may have to wait
/// for a disk or a server, and some file systems tell only then that what was written is lost.
///
/// It is closed in any case: with an error, and where the operation is cancelled (`ECANCELED`) or the loop dropped.
///
/// ```
/// use becket_loop::{Loop, op::Close};
/// use std::io::Read;
///
/// let (mut reader, writer) = std::io::pipe()?;
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.submit(Close::new(writer), |_, _, result| Ok(result?));
/// event_loop.run(&mut ())?;
/// assert_eq!(reader.read(&mut [0])?, 0); // the end
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "close")]
pub struct Close {
    fd: Option<OwnedFd>,
}

impl Close {
    /// Closes `fd`.
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        Close { fd: Some(fd.into()) }
    }
}

// SAFETY: the raw operation owns all that it works on.
unsafe impl Operation for Close {
    /// The errors are those of close(2).
    type Output = io::Result<()>;

    fn raw(&mut self) -> RawOp {
        match self.fd.take() {
            Some(fd) => RawOp::Close(fd),
            None => RawOp::Call(Box::new(|| Ok(0))), // asked twice
        }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        result.map(drop)
    }
}
