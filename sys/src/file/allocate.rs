use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, ioctl_ficlone, seek};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

/// What to do with the room of a range of a file: fallocate(2).
///
/// ```
/// use becket_sys::file::{Allocate, allocate, unnamed};
///
/// let file = unnamed(std::env::temp_dir())?;
/// allocate(&file, Allocate::Room, 0..10_000)?;
/// assert_eq!(file.metadata()?.len(), 10_000);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "fallocate")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Allocate {
    /// Takes room on the disk, so that writing there does not fail for want of it, and makes the file as long as the
    /// range demands. What is there stays, the rest reads as zeros.
    Room,
    /// As `Room`, and leaves the length.
    #[doc(alias = "FALLOC_FL_KEEP_SIZE")]
    RoomBeyondEnd,
    /// Gives the room back: the range reads as zeros, and the length stays.
    #[doc(alias = "FALLOC_FL_PUNCH_HOLE")]
    Hole,
    /// Makes zeros of the range and keeps its room; a longer file where the range demands it.
    #[doc(alias = "FALLOC_FL_ZERO_RANGE")]
    Zeros,
    /// Takes the range out: what follows moves up. In whole blocks, and not up to the end.
    #[doc(alias = "FALLOC_FL_COLLAPSE_RANGE")]
    Collapse,
    /// Puts a hole in: what follows moves down. In whole blocks, and not at the end.
    #[doc(alias = "FALLOC_FL_INSERT_RANGE")]
    Insert,
    /// Gives the file blocks of its own where it shares them by [`reflink`].
    #[doc(alias = "FALLOC_FL_UNSHARE_RANGE")]
    Unshare,
}

impl Allocate {
    /// The `FALLOC_FL_` bits that ask the kernel for it.
    ///
    /// ```
    /// use becket_sys::file::Allocate;
    ///
    /// assert_eq!((Allocate::Room.mode(), Allocate::Hole.mode()), (0, 3));
    /// ```
    pub fn mode(self) -> u32 {
        let flags = match self {
            Allocate::Room => FallocateFlags::empty(),
            Allocate::RoomBeyondEnd => FallocateFlags::KEEP_SIZE,
            Allocate::Hole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            Allocate::Zeros => FallocateFlags::ZERO_RANGE,
            Allocate::Collapse => FallocateFlags::COLLAPSE_RANGE,
            Allocate::Insert => FallocateFlags::INSERT_RANGE,
            Allocate::Unshare => FallocateFlags::UNSHARE_RANGE,
        };
        flags.bits()
    }
}

/// Changes the room that a range of the file takes.
///
/// # Errors
/// `EOPNOTSUPP` where the file system cannot; `EINVAL` for an empty range, and for one that is not of whole blocks
/// where it must be; `EFBIG`, `ENOSPC`; `EBADF` where the file is not open for writing; `EPERM` for what is sealed or
/// immutable; `ENODEV` or `ESPIPE` for what is no file.
pub fn allocate(fd: impl AsFd, what: Allocate, range: Range<u64>) -> io::Result<()> {
    let len = range.end.checked_sub(range.start).filter(|len| *len > 0).ok_or(Errno::INVAL)?;
    let mode = FallocateFlags::from_bits_retain(what.mode());
    Ok(retry_on_intr(|| fallocate(&fd, mode, range.start, len))?)
}

/// The ranges that hold data; what lies between them, and up to the end, is holes, which read as zeros. A file system
/// that does not tell calls all of it data, and in any case data may be zeros.
///
/// The file's position is moved meanwhile, and put back: others that share it see that.
///
/// # Errors
/// `EINVAL` or `ESPIPE` for what is no file; `EIO` where a file system answers with a place before the one asked for.
///
/// ```
/// use becket_sys::file::{data_ranges, unnamed};
/// use std::os::unix::fs::FileExt;
///
/// let file = unnamed(std::env::temp_dir())?;
/// file.set_len(1 << 20)?;
/// file.write_all_at(b"data", 1 << 19)?;
/// let ranges = data_ranges(&file)?;
/// assert!(ranges.iter().any(|range| range.contains(&(1 << 19))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SEEK_DATA")]
#[doc(alias = "SEEK_HOLE")]
pub fn data_ranges(fd: impl AsFd) -> io::Result<Vec<Range<u64>>> {
    let fd = fd.as_fd();
    let before = seek(fd, SeekFrom::Current(0))?;
    let mut ranges = Vec::new();
    let found = loop {
        let from = ranges.last().map_or(0, |range: &Range<u64>| range.end);
        match next_data(fd, from) {
            // A file system in user space may answer anything.
            Ok(Some(start)) if start < from => break Err(Errno::IO.into()),
            Ok(Some(start)) => match next_hole(fd, start) {
                Ok(Some(end)) if end > start => ranges.push(start..end),
                // Cut off meanwhile.
                Ok(_) => break Ok(ranges),
                Err(e) => break Err(e),
            },
            Ok(None) => break Ok(ranges),
            Err(e) => break Err(e),
        }
    };
    seek(fd, SeekFrom::Start(before))?;
    found
}

/// Where the next data are, from `from` on; `None` where none are up to the end. Moves the file's position there.
///
/// # Errors
/// As [`data_ranges`].
#[doc(alias = "SEEK_DATA")]
pub fn next_data(fd: impl AsFd, from: u64) -> io::Result<Option<u64>> {
    some_or_beyond(seek(fd, SeekFrom::Data(from)))
}

/// Where the next hole is, from `from` on: the end counts as one. `None` for a `from` at the end or beyond. Moves the
/// file's position there.
///
/// # Errors
/// As [`data_ranges`].
#[doc(alias = "SEEK_HOLE")]
pub fn next_hole(fd: impl AsFd, from: u64) -> io::Result<Option<u64>> {
    some_or_beyond(seek(fd, SeekFrom::Hole(from)))
}

fn some_or_beyond(result: Result<u64, Errno>) -> io::Result<Option<u64>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Copies at most `len` bytes between two files within the kernel, and returns how many: copy_file_range(2). 0 at the
/// end of `from`, and also for files of procfs and the like, whose size is 0: read those. Offsets are moved on; without
/// one the file's position is used. Some file systems copy on the server, or share the blocks.
///
/// std's [`io::copy`] does so by itself between two files, from position to position.
///
/// # Errors
/// `EXDEV` or `EOPNOTSUPP` where these file systems cannot: copy by reading and writing. `EINVAL` for ranges of one
/// file that overlap, and for what is no file; `EBADF` for `to` open to append; `ENOSPC`, `EFBIG` and others of
/// write(2).
///
/// ```
/// use becket_sys::file::{copy_range, unnamed};
/// use std::os::unix::fs::FileExt;
///
/// let (from, to) = (unnamed(std::env::temp_dir())?, unnamed(std::env::temp_dir())?);
/// from.write_all_at(b"0123456789", 0)?;
/// let (mut read, mut written) = (2, 0);
/// assert_eq!(copy_range(&from, Some(&mut read), &to, Some(&mut written), 5)?, 5);
/// assert_eq!((read, written), (7, 5));
/// let mut buf = [0; 5];
/// to.read_exact_at(&mut buf, 0)?;
/// assert_eq!(&buf, b"23456");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "copy_file_range")]
pub fn copy_range(
    from: impl AsFd,
    from_offset: Option<&mut u64>,
    to: impl AsFd,
    to_offset: Option<&mut u64>,
    len: usize,
) -> io::Result<usize> {
    Ok(copy_file_range(from, from_offset, to, to_offset, len)?)
}

/// Makes `to` a copy of `from` that shares its blocks until one of them is written to: ioctl_ficlone(2).
///
/// # Errors
/// `EOPNOTSUPP` where the file system cannot (ext4, tmpfs); `EXDEV` for two file systems; `EINVAL` for what is no file;
/// `EBADF` where one is not open for it, or `to` is open to append; `ETXTBSY` for swap.
///
/// ```
/// use becket_sys::file::{reflink, unnamed};
///
/// let (from, to) = (unnamed(std::env::temp_dir())?, unnamed(std::env::temp_dir())?);
/// if let Err(e) = reflink(&from, &to) {
///     assert!(matches!(e.raw_os_error(), Some(95 | 25 | 22))); // or else copy
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "FICLONE")]
pub fn reflink(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    Ok(ioctl_ficlone(to, from)?)
}
