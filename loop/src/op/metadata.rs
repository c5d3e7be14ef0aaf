use super::name::Name;
use super::{Operation, RawName, RawOp, RawStat};
use crate::backend::{AsFd, OwnedFd, number};
use rustix::fs::{AtFlags, FileType, StatxFlags, StatxTimestamp, makedev};
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Size, kind, owner and times of a file: what [`Stat`] and [`StatFile`] end with. The names are those of
/// [`std::fs::Metadata`].
///
/// ```
/// use becket_loop::{Loop, op::{Metadata, Stat}};
///
/// let mut event_loop: Loop<Option<Metadata>> = Loop::new()?;
/// event_loop.submit(Stat::path("/")?, |root, _, metadata| Ok(*root = Some(metadata?)));
/// let mut root = None;
/// event_loop.run(&mut root)?;
/// let root = root.unwrap();
/// assert!(root.is_dir() && !root.is_file());
/// assert_eq!(root.modified(), std::fs::metadata("/")?.modified()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Metadata {
    raw: RawStat,
}

#[allow(clippy::len_without_is_empty, reason = "std's has none either")]
impl Metadata {
    /// The size in bytes.
    pub fn len(&self) -> u64 {
        self.raw.0.stx_size
    }

    /// The kind and the permissions: `st_mode`.
    pub fn mode(&self) -> u32 {
        self.raw.0.stx_mode.into()
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode() as _)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind().is_file()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind().is_dir()
    }

    /// Whether it is a symbolic link, which was not followed.
    pub fn is_symlink(&self) -> bool {
        self.kind().is_symlink()
    }

    /// When its content changed last.
    #[doc(alias = "mtime")]
    pub fn modified(&self) -> SystemTime {
        time(&self.raw.0.stx_mtime)
    }

    /// When it was read last, as far as the mount keeps count of that.
    #[doc(alias = "atime")]
    pub fn accessed(&self) -> SystemTime {
        time(&self.raw.0.stx_atime)
    }

    /// When its metadata changed last.
    #[doc(alias = "ctime")]
    pub fn changed(&self) -> SystemTime {
        time(&self.raw.0.stx_ctime)
    }

    /// When it was created; `None` where the file system does not know.
    #[doc(alias = "btime")]
    pub fn created(&self) -> Option<SystemTime> {
        let knows = self.raw.0.stx_mask & StatxFlags::BTIME.bits() != 0;
        knows.then(|| time(&self.raw.0.stx_btime))
    }

    /// The file's number in its file system.
    pub fn ino(&self) -> u64 {
        self.raw.0.stx_ino
    }

    /// The device that it lies on.
    pub fn dev(&self) -> u64 {
        makedev(self.raw.0.stx_dev_major, self.raw.0.stx_dev_minor)
    }

    /// The device that it is, where it is one.
    pub fn rdev(&self) -> u64 {
        makedev(self.raw.0.stx_rdev_major, self.raw.0.stx_rdev_minor)
    }

    /// How many names it has.
    pub fn nlink(&self) -> u64 {
        self.raw.0.stx_nlink.into()
    }

    /// Its owner.
    pub fn uid(&self) -> u32 {
        self.raw.0.stx_uid
    }

    /// Its group.
    pub fn gid(&self) -> u32 {
        self.raw.0.stx_gid
    }

    /// What it takes on the disk, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.raw.0.stx_blocks
    }

    /// In pieces of which size it is best read.
    pub fn blksize(&self) -> u64 {
        self.raw.0.stx_blksize.into()
    }
}

/// A time of a file; that of the epoch for what a file system in user space makes up.
fn time(of: &StatxTimestamp) -> SystemTime {
    let whole = Duration::from_secs(of.tv_sec.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let whole = if of.tv_sec < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
    whole.and_then(|time| time.checked_add(Duration::from_nanos(of.tv_nsec.into()))).unwrap_or(epoch)
}

/// Where the system writes the answer.
type Answer = Box<MaybeUninit<RawStat>>;

/// # Safety
/// `result` must be that of a [`RawOp::Stat`] that was given this answer to write to.
unsafe fn metadata(answer: &Answer, result: io::Result<usize>) -> io::Result<Metadata> {
    // SAFETY: by the caller's promise it was written where that succeeded.
    result.map(|_| Metadata { raw: unsafe { answer.assume_init_read() } })
}

/// Asks for the metadata of what a path names: statx(2).
///
/// ```
/// use becket_loop::{Loop, op::Stat};
///
/// let mut event_loop: Loop<bool> = Loop::new()?;
/// event_loop.submit(Stat::link("/proc/self")?, |is_link, _, metadata| Ok(*is_link = metadata?.is_symlink()));
/// let mut is_link = false;
/// event_loop.run(&mut is_link)?;
/// assert!(is_link);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "statx")]
#[doc(alias = "fstatat")]
pub struct Stat {
    name: Name,
    flags: AtFlags,
    answer: Answer,
}

impl Stat {
    /// Of what `path` leads to: links are followed.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn path(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Stat { name: Name::new(path)?, flags: AtFlags::empty(), answer: Box::new(MaybeUninit::uninit()) })
    }

    /// Of what stands at `path`, a link included.
    ///
    /// # Errors
    /// As [`path`](Self::path).
    #[doc(alias = "lstat")]
    pub fn link(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Stat { flags: AtFlags::SYMLINK_NOFOLLOW, ..Self::path(path)? })
    }

    /// Has a relative path lead from a directory that is open, not from the working directory.
    pub fn at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.name.dir = Some(dir.into());
        self
    }
}

// SAFETY: path, directory and answer are owned, lie on the heap, and are not touched until `finish`.
unsafe impl Operation for Stat {
    /// The errors are those of statx(2).
    type Output = io::Result<Metadata>;

    fn raw(&mut self) -> RawOp {
        RawOp::Stat { name: self.name.raw(), flags: self.flags.bits(), into: self.answer.as_mut_ptr() }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        // SAFETY: the caller promises that the result is of `raw`.
        unsafe { metadata(&self.answer, result) }
    }
}

/// Asks for the metadata of an open file: statx(2).
///
/// ```
/// use becket_loop::{Loop, op::StatFile};
/// use std::fs::File;
///
/// let file = File::open("/proc/self/exe")?;
/// let expected = file.metadata()?.len();
/// let mut event_loop: Loop<u64> = Loop::new()?;
/// event_loop.submit(StatFile::new(file), |len, _, (metadata, _file)| Ok(*len = metadata?.len()));
/// let mut len = 0;
/// event_loop.run(&mut len)?;
/// assert_eq!(len, expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "fstat")]
pub struct StatFile<F> {
    file: F,
    answer: Answer,
}

impl<F: AsFd + 'static> StatFile<F> {
    /// Of `file`.
    pub fn new(file: F) -> Self {
        StatFile { file, answer: Box::new(MaybeUninit::uninit()) }
    }
}

// SAFETY: the file is owned, so its descriptor stays open; the answer lies on the heap and is not touched until
// `finish`; the path is static.
unsafe impl<F: AsFd + 'static> Operation for StatFile<F> {
    /// The errors are those of statx(2).
    type Output = (io::Result<Metadata>, F);

    fn raw(&mut self) -> RawOp {
        let name = RawName { dir: number(&self.file), path: c"".as_ptr() };
        RawOp::Stat { name, flags: AtFlags::EMPTY_PATH.bits(), into: self.answer.as_mut_ptr() }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        // SAFETY: the caller promises that the result is of `raw`.
        (unsafe { metadata(&self.answer, result) }, self.file)
    }
}
