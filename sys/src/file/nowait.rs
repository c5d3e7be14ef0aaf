use crate::fd::unless_blocked;
use bitflags::bitflags;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

bitflags! {
    /// What holds for a single read or write: preadv2(2). Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::file::IoFlags;
    ///
    /// assert!(!IoFlags::NOWAIT.intersects(IoFlags::SYNC | IoFlags::DSYNC));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct IoFlags: u32 {
        /// Poll the device for the end, for direct I/O.
        #[doc(alias = "RWF_HIPRI")]
        const HIPRI = 1;
        /// A write returns once the data are on the disk, with what it takes to read them.
        #[doc(alias = "RWF_DSYNC")]
        const DSYNC = 2;
        /// A write returns once data and times are on the disk.
        #[doc(alias = "RWF_SYNC")]
        const SYNC = 4;
        /// Do not wait for a disk or a lock: would block instead.
        #[doc(alias = "RWF_NOWAIT")]
        const NOWAIT = 8;
        /// Write at the end, whatever the offset says.
        #[doc(alias = "RWF_APPEND")]
        const APPEND = 16;
        /// Write at the offset even where the file is open to append. Linux 6.9.
        #[doc(alias = "RWF_NOAPPEND")]
        const NOAPPEND = 32;
        /// A write arrives whole or not at all, also where power fails. Needs a disk that can. Linux 6.11.
        #[doc(alias = "RWF_ATOMIC")]
        const ATOMIC = 64;
        /// Leave nothing in the cache that was not there. Linux 6.14.
        #[doc(alias = "RWF_DONTCACHE")]
        const DONTCACHE = 128;

        const _ = !0;
    }
}

/// Reads what is in memory already: `Some(n)` bytes, which may be fewer than there are in the file; `None` where the
/// disk would have to be waited for; `Some(0)` at the end. Then read it on a helper thread.
///
/// The end of what was just written can be such a case too, where the file system's blocks are smaller than pages: the
/// kernel then fetches the rest of the page. A file that was opened with `O_DIRECT` is read from the device, which this
/// waits for all the same.
///
/// # Errors
/// `EOPNOTSUPP` where the file system cannot tell (tmpfs before Linux 6.6, FUSE, NFS); `EISDIR`, `EINVAL`, `EIO` and
/// the others of pread(2).
///
/// ```
/// use becket_sys::file::try_read_at;
///
/// let path = std::env::temp_dir().join(format!("becket-nowait-{}", std::process::id()));
/// std::fs::write(&path, "just written, hence in memory")?;
/// let file = std::fs::File::open(&path)?;
/// let mut buf = [0; 4];
/// match try_read_at(&file, &mut buf, 5) {
///     Ok(Some(n)) => assert_eq!(&buf[..n], &b"writ"[..n]),
///     Ok(None) => {} // the system was short of memory
///     Err(e) => assert_eq!(e.raw_os_error(), Some(95)), // EOPNOTSUPP
/// }
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "RWF_NOWAIT")]
#[doc(alias = "preadv2")]
pub fn try_read_at(fd: impl AsFd, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
    read_vectored_at(fd, &mut [IoSliceMut::new(buf)], Some(offset), IoFlags::NOWAIT)
}

/// Reads at `offset`, or without one at the file's position, which moves on: `Some(n)` bytes, `Some(0)` at the end.
/// `None` where it would block, which only [`IoFlags::NOWAIT`] and descriptors in non-blocking mode do.
///
/// # Errors
/// `EOPNOTSUPP` for flags that kernel or file system do not have; `EINVAL` for an offset beyond `i64::MAX` or more than
/// 1024 buffers; `ESPIPE` for an offset in what has none; the others of read(2).
#[doc(alias = "preadv2")]
pub fn read_vectored_at(
    fd: impl AsFd,
    bufs: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
    flags: IoFlags,
) -> io::Result<Option<usize>> {
    unless_blocked(preadv2(fd, bufs, position(offset)?, ReadWriteFlags::from_bits_retain(flags.bits())))
}

/// Writes at `offset`, or without one at the file's position, which moves on. Returns how many bytes; `None` where it
/// would block, which only [`IoFlags::NOWAIT`] and descriptors in non-blocking mode do.
///
/// # Errors
/// As [`read_vectored_at`]; `ENOSPC`, `EDQUOT`, `EFBIG` and the others of write(2).
///
/// ```
/// use becket_sys::file::{IoFlags, unnamed, write_vectored_at};
/// use std::io::IoSlice;
///
/// let log = unnamed(std::env::temp_dir())?;
/// let line = [IoSlice::new(b"head: "), IoSlice::new(b"text\n")];
/// for _ in 0..2 {
///     // At the end, and on the disk when it returns.
///     assert_eq!(write_vectored_at(&log, &line, Some(0), IoFlags::APPEND | IoFlags::DSYNC)?, Some(11));
/// }
/// assert_eq!(log.metadata()?.len(), 22);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pwritev2")]
pub fn write_vectored_at(
    fd: impl AsFd,
    bufs: &[IoSlice<'_>],
    offset: Option<u64>,
    flags: IoFlags,
) -> io::Result<Option<usize>> {
    unless_blocked(pwritev2(fd, bufs, position(offset)?, ReadWriteFlags::from_bits_retain(flags.bits())))
}

/// To the kernel, -1 is the file's own position.
fn position(offset: Option<u64>) -> Result<u64, Errno> {
    match offset {
        None => Ok(u64::MAX),
        Some(n) if i64::try_from(n).is_ok() => Ok(n),
        Some(_) => Err(Errno::INVAL),
    }
}
