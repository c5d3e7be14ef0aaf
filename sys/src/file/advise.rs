use rustix::fs::fadvise;
use rustix::io::Errno;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::AsFd;

/// How a range of a file will be used: posix_fadvise(2).
///
/// ```
/// use becket_sys::file::Advice;
///
/// assert_eq!((Advice::Normal.code(), Advice::WillNeed.code()), (0, 3));
/// ```
#[doc(alias = "posix_fadvise")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing is known. For the whole file, whatever the range.
    #[doc(alias = "POSIX_FADV_NORMAL")]
    Normal,
    /// From lower to higher offsets: the kernel reads further ahead. For the whole file, whatever the range.
    #[doc(alias = "POSIX_FADV_SEQUENTIAL")]
    Sequential,
    /// In no order: the kernel reads nothing ahead. For the whole file, whatever the range.
    #[doc(alias = "POSIX_FADV_RANDOM")]
    Random,
    /// Once. Linux took no notice before 6.3; since then, what is read so is among the first to leave memory.
    #[doc(alias = "POSIX_FADV_NOREUSE")]
    NoReuse,
    /// Soon: the kernel begins to read it.
    #[doc(alias = "POSIX_FADV_WILLNEED")]
    WillNeed,
    /// Not soon: it may leave memory. What is not yet on the disk stays, so [sync](std::fs::File::sync_data) before.
    #[doc(alias = "POSIX_FADV_DONTNEED")]
    DontNeed,
}

impl Advice {
    /// The number by which the kernel is told: `POSIX_FADV_NORMAL` and so on.
    pub fn code(self) -> u32 {
        self.to_rustix() as u32
    }

    fn to_rustix(self) -> rustix::fs::Advice {
        use rustix::fs::Advice as R;
        match self {
            Advice::Normal => R::Normal,
            Advice::Sequential => R::Sequential,
            Advice::Random => R::Random,
            Advice::NoReuse => R::NoReuse,
            Advice::WillNeed => R::WillNeed,
            Advice::DontNeed => R::DontNeed,
        }
    }
}

/// Tells the kernel how a range of a file will be used: posix_fadvise(2). It changes no content, only what is read ahead
/// and what is kept in memory. An end beyond that of the file means its end, however long it grows.
///
/// It may wait for the disk: to read where the range lies, or to begin to write what is to leave. For loops there is an
/// operation of `becket-loop`.
///
/// # Errors
/// `ESPIPE` for pipes and FIFOs; `EINVAL` for an empty range, and for what the descriptor cannot be advised on; `EBADF`
/// where it was opened with `O_PATH`.
///
/// ```
/// use becket_sys::file::{Advice, advise};
///
/// let file = std::fs::File::open("/proc/self/exe")?;
/// advise(&file, Advice::WillNeed, 0..4096)?;
/// advise(&file, Advice::Random, 0..u64::MAX)?;
///
/// let (reader, _writer) = std::io::pipe()?;
/// assert_eq!(advise(reader, Advice::WillNeed, 0..1).unwrap_err().kind(), std::io::ErrorKind::NotSeekable);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "posix_fadvise")]
#[doc(alias = "fadvise64")]
pub fn advise(fd: impl AsFd, advice: Advice, range: Range<u64>) -> io::Result<()> {
    let len = range.end.checked_sub(range.start).filter(|len| *len > 0).ok_or(Errno::INVAL)?;
    // To the kernel, none is to the end.
    let len = NonZeroU64::new(len).filter(|len| i64::try_from(len.get()).is_ok());
    Ok(fadvise(fd, range.start, len, advice.to_rustix())?)
}
