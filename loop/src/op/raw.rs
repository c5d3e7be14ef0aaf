use crate::backend::{Fd, FdNumber, OwnedFd, number};
use becket_sys::file::Advice;
use rustix::fs::{self, AtFlags, StatxFlags};
use rustix::io::{self as rio, retry_on_intr};
use std::ffi::{CStr, c_char};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::IntoRawFd;

/// The most that one call moves.
const MOST: usize = 0x7fff_f000;

/// The most buffers that one call takes: IOV_MAX.
pub(crate) const MOST_BUFS: usize = 1024;

/// A path as the system is asked for it.
///
/// ```
/// use becket_loop::op::RawName;
///
/// let name = RawName::relative_to_cwd(c"file".as_ptr());
/// assert!(name.dir < 0); // AT_FDCWD
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RawName {
    /// The directory from which a relative path leads.
    pub dir: FdNumber,
    /// A NUL-terminated path.
    pub path: *const c_char,
}

impl RawName {
    /// A path that leads from the working directory (of the time when the operation begins) where it is relative.
    pub fn relative_to_cwd(path: *const c_char) -> RawName {
        RawName { dir: number(&fs::CWD), path }
    }

    /// # Safety
    /// The descriptor must be open, or `AT_FDCWD`, and the path a NUL-terminated string, for as long as the result is
    /// used.
    unsafe fn lend<'a>(self) -> (Fd<'a>, &'a CStr) {
        // SAFETY: the caller's promise; AT_FDCWD is not -1, which alone is no descriptor.
        unsafe { (Fd::borrow_raw(self.dir), CStr::from_ptr(self.path)) }
    }
}

/// A piece of memory, as the system is asked for it: `struct iovec`.
///
/// ```
/// use becket_loop::op::RawBuf;
///
/// let mut bytes = [0_u8; 4];
/// let raw = RawBuf { base: bytes.as_mut_ptr(), len: bytes.len() };
/// assert_eq!(raw.len, 4);
/// ```
#[doc(alias = "iovec")]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct RawBuf {
    /// Where it begins. Writing operations only read from it.
    pub base: *mut u8,
    /// How many bytes.
    pub len: usize,
}

// std promises that these are laid out as `struct iovec` is.
const _: () =
    assert!(size_of::<RawBuf>() == size_of::<IoSlice<'_>>() && align_of::<RawBuf>() == align_of::<IoSlice<'_>>());

/// Where statx(2) writes to: `struct statx`.
///
/// ```
/// use becket_loop::op::RawStat;
///
/// assert_eq!(size_of::<RawStat>(), 256);
/// ```
#[doc(alias = "statx")]
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct RawStat(pub(super) fs::Statx);

const _: () = assert!(size_of::<RawStat>() == 256);

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
    /// preadv(2) at `at`, or readv(2) at the file's own position.
    ReadVectored {
        /// From where.
        fd: FdNumber,
        /// To where.
        bufs: *const RawBuf,
        /// How many buffers: of more than 1024 that many are used.
        count: usize,
        /// From which offset; `None`: the file's own position.
        at: Option<u64>,
    },
    /// pwritev(2) at `at`, or writev(2) at the file's own position.
    WriteVectored {
        /// To where.
        fd: FdNumber,
        /// From where.
        bufs: *const RawBuf,
        /// How many buffers: of more than 1024 that many are used.
        count: usize,
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
    /// ftruncate(2).
    SetLen {
        /// Of what.
        fd: FdNumber,
        /// The new length in bytes.
        len: u64,
    },
    /// fallocate(2).
    Allocate {
        /// Of what.
        fd: FdNumber,
        /// The `FALLOC_FL_` bits.
        mode: u32,
        /// Where the range begins.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
    /// posix_fadvise(2).
    Advise {
        /// On what.
        fd: FdNumber,
        /// The advice.
        advice: Advice,
        /// Where the range begins.
        offset: u64,
        /// How many bytes it has.
        len: u64,
    },
    /// splice(2).
    Splice {
        /// From where, and from which offset; `None`: the file's own position, or a pipe.
        from: (FdNumber, Option<u64>),
        /// To where, and to which offset; `None`: the file's own position, or a pipe.
        to: (FdNumber, Option<u64>),
        /// At most how many bytes.
        len: usize,
    },
    /// copy_file_range(2).
    CopyRange {
        /// From where, and from which offset; `None`: the file's own position.
        from: (FdNumber, Option<u64>),
        /// To where, and to which offset; `None`: the file's own position.
        to: (FdNumber, Option<u64>),
        /// At most how many bytes.
        len: usize,
    },
    /// openat(2), close-on-exec, or openat2(2); the result is the new descriptor's number.
    Open {
        /// What is opened.
        name: RawName,
        /// The `O_` flags.
        flags: u32,
        /// The mode of a file that is created.
        mode: u32,
        /// The `RESOLVE_` flags; with none it is openat(2).
        resolve: u64,
    },
    /// close(2). Dropped without having been carried out, the descriptor is closed all the same.
    Close(OwnedFd),
    /// statx(2) for the basic fields and the time of creation.
    Stat {
        /// Of what: an empty path with `AT_EMPTY_PATH` among the flags means `dir` itself.
        name: RawName,
        /// The `AT_` flags.
        flags: u32,
        /// Where the answer goes, which is written where this succeeds.
        into: *mut RawStat,
    },
    /// unlinkat(2).
    Unlink {
        /// Which name goes.
        name: RawName,
        /// Whether it is an empty directory's.
        dir: bool,
    },
    /// renameat2(2).
    Rename {
        /// The old name.
        from: RawName,
        /// The new name.
        to: RawName,
        /// The `RENAME_` flags.
        flags: u32,
    },
    /// mkdirat(2).
    MakeDir {
        /// The new directory.
        name: RawName,
        /// Its mode, less the process's umask.
        mode: u32,
    },
    /// linkat(2).
    Link {
        /// The name that is there.
        from: RawName,
        /// The name that is added.
        to: RawName,
        /// The `AT_` flags.
        flags: u32,
    },
    /// symlinkat(2).
    Symlink {
        /// What the link says: a NUL-terminated path.
        target: *const c_char,
        /// The new link.
        name: RawName,
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
            RawOp::ReadVectored { fd, count, at, .. } => {
                write!(f, "ReadVectored {{ fd: {fd}, count: {count}, at: {at:?} }}")
            }
            RawOp::WriteVectored { fd, count, at, .. } => {
                write!(f, "WriteVectored {{ fd: {fd}, count: {count}, at: {at:?} }}")
            }
            RawOp::Sync { fd, data_only } => write!(f, "Sync {{ fd: {fd}, data_only: {data_only} }}"),
            RawOp::SetLen { fd, len } => write!(f, "SetLen {{ fd: {fd}, len: {len} }}"),
            RawOp::Allocate { fd, mode, offset, len } => {
                write!(f, "Allocate {{ fd: {fd}, mode: {mode:#x}, offset: {offset}, len: {len} }}")
            }
            RawOp::Advise { fd, advice, offset, len } => {
                write!(f, "Advise {{ fd: {fd}, advice: {advice:?}, offset: {offset}, len: {len} }}")
            }
            RawOp::Splice { from, to, len } => write!(f, "Splice {{ from: {from:?}, to: {to:?}, len: {len} }}"),
            RawOp::CopyRange { from, to, len } => write!(f, "CopyRange {{ from: {from:?}, to: {to:?}, len: {len} }}"),
            RawOp::Open { name, flags, mode, resolve } => {
                let dir = name.dir;
                write!(f, "Open {{ dir: {dir}, flags: {flags:#x}, mode: {mode:#o}, resolve: {resolve:#x} }}")
            }
            RawOp::Close(fd) => write!(f, "Close({fd:?})"),
            RawOp::Stat { name, flags, .. } => write!(f, "Stat {{ dir: {}, flags: {flags:#x} }}", name.dir),
            RawOp::Unlink { name, dir } => write!(f, "Unlink {{ dir: {}, is_dir: {dir} }}", name.dir),
            RawOp::Rename { from, to, flags } => {
                write!(f, "Rename {{ dirs: {} and {}, flags: {flags:#x} }}", from.dir, to.dir)
            }
            RawOp::MakeDir { name, mode } => write!(f, "MakeDir {{ dir: {}, mode: {mode:#o} }}", name.dir),
            RawOp::Link { from, to, flags } => {
                write!(f, "Link {{ dirs: {} and {}, flags: {flags:#x} }}", from.dir, to.dir)
            }
            RawOp::Symlink { name, .. } => write!(f, "Symlink {{ dir: {} }}", name.dir),
            RawOp::Call(_) => f.write_str("Call"),
        }
    }
}

impl RawOp {
    /// Carries it out, blocking the calling thread. A call that a signal interrupted before it moved anything is
    /// made again (but for close(2), which has closed by then).
    ///
    /// # Errors
    /// Those of the call.
    ///
    /// # Safety
    /// Descriptors must be open, and pointers valid for the length beside them, until this returns.
    pub unsafe fn perform(self) -> io::Result<usize> {
        // SAFETY: the caller promises that the descriptor is open for the time of the call.
        let lend = |fd| unsafe { Fd::borrow_raw(fd) };
        let moved = match self {
            RawOp::Read { fd, buf, len, at } => {
                // SAFETY: the caller promises `len` bytes at `buf`, for the time of the call and for us alone.
                let buf = unsafe { std::slice::from_raw_parts_mut(buf, len) };
                retry_on_intr(|| match at {
                    Some(at) => rio::pread(lend(fd), &mut *buf, at),
                    None => rio::read(lend(fd), &mut *buf),
                })?
            }
            RawOp::Write { fd, buf, len, at } => {
                // SAFETY: the caller promises `len` bytes at `buf` for the time of the call.
                let buf = unsafe { std::slice::from_raw_parts(buf, len) };
                retry_on_intr(|| match at {
                    Some(at) => rio::pwrite(lend(fd), buf, at),
                    None => rio::write(lend(fd), buf),
                })?
            }
            RawOp::ReadVectored { fd, bufs, count, at } => {
                // SAFETY: the caller promises `count` buffers, for the time of the call and for us alone, and they are
                // laid out as std's. The table of them is his, and read only: it is copied to be a mutable slice.
                let bufs = unsafe { std::slice::from_raw_parts(bufs, count.min(MOST_BUFS)) };
                let mut bufs: Vec<IoSliceMut<'_>> = bufs
                    .iter()
                    // SAFETY: the same promise.
                    .map(|buf| IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(buf.base, buf.len) }))
                    .collect();
                retry_on_intr(|| match at {
                    Some(at) => rio::preadv(lend(fd), &mut bufs, at),
                    None => rio::readv(lend(fd), &mut bufs),
                })?
            }
            RawOp::WriteVectored { fd, bufs, count, at } => {
                // SAFETY: the caller promises `count` buffers for the time of the call, laid out as std's.
                let bufs = unsafe { std::slice::from_raw_parts(bufs.cast::<IoSlice<'_>>(), count.min(MOST_BUFS)) };
                retry_on_intr(|| match at {
                    Some(at) => rio::pwritev(lend(fd), bufs, at),
                    None => rio::writev(lend(fd), bufs),
                })?
            }
            RawOp::Sync { fd, data_only } => {
                retry_on_intr(|| if data_only { fs::fdatasync(lend(fd)) } else { fs::fsync(lend(fd)) })?;
                0
            }
            RawOp::SetLen { fd, len } => {
                retry_on_intr(|| fs::ftruncate(lend(fd), len))?;
                0
            }
            RawOp::Allocate { fd, mode, offset, len } => {
                let mode = fs::FallocateFlags::from_bits_retain(mode);
                retry_on_intr(|| fs::fallocate(lend(fd), mode, offset, len))?;
                0
            }
            RawOp::Advise { fd, advice, offset, len } => {
                becket_sys::file::advise(lend(fd), advice, offset..offset.saturating_add(len))?;
                0
            }
            RawOp::Splice { from: (from, mut at), to: (to, mut to_at), len } => {
                let flags = rustix::pipe::SpliceFlags::empty();
                let len = len.min(MOST);
                retry_on_intr(|| rustix::pipe::splice(lend(from), at.as_mut(), lend(to), to_at.as_mut(), len, flags))?
            }
            RawOp::CopyRange { from: (from, mut at), to: (to, mut to_at), len } => {
                let len = len.min(MOST);
                retry_on_intr(|| fs::copy_file_range(lend(from), at.as_mut(), lend(to), to_at.as_mut(), len))?
            }
            RawOp::Open { name, flags, mode, resolve } => {
                // SAFETY: handed on from the caller.
                let (dir, path) = unsafe { name.lend() };
                let flags = fs::OFlags::from_bits_retain(flags) | fs::OFlags::CLOEXEC;
                let mode = fs::Mode::from_bits_retain(mode as _);
                let resolve = fs::ResolveFlags::from_bits_retain(resolve);
                let fd = retry_on_intr(|| match resolve.is_empty() {
                    true => fs::openat(dir, path, flags, mode),
                    false => fs::openat2(dir, path, flags, mode, resolve),
                })?;
                fd.into_raw_fd() as usize
            }
            RawOp::Close(fd) => {
                // SAFETY: it is ours, and is gone with this, whatever the call says.
                unsafe { rio::try_close(fd.into_raw_fd()) }?;
                0
            }
            RawOp::Stat { name, flags, into } => {
                // SAFETY: handed on from the caller.
                let (dir, path) = unsafe { name.lend() };
                let flags = AtFlags::from_bits_retain(flags);
                let what = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
                let stat = retry_on_intr(|| fs::statx(dir, path, flags, what))?;
                // SAFETY: the caller promises room for it.
                unsafe { into.write(RawStat(stat)) };
                0
            }
            RawOp::Unlink { name, dir: is_dir } => {
                // SAFETY: handed on from the caller.
                let (dir, path) = unsafe { name.lend() };
                let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                retry_on_intr(|| fs::unlinkat(dir, path, flags))?;
                0
            }
            RawOp::Rename { from, to, flags } => {
                // SAFETY: handed on from the caller.
                let ((from_dir, from), (to_dir, to)) = unsafe { (from.lend(), to.lend()) };
                let flags = fs::RenameFlags::from_bits_retain(flags);
                retry_on_intr(|| fs::renameat_with(from_dir, from, to_dir, to, flags))?;
                0
            }
            RawOp::MakeDir { name, mode } => {
                // SAFETY: handed on from the caller.
                let (dir, path) = unsafe { name.lend() };
                retry_on_intr(|| fs::mkdirat(dir, path, fs::Mode::from_bits_retain(mode as _)))?;
                0
            }
            RawOp::Link { from, to, flags } => {
                // SAFETY: handed on from the caller.
                let ((from_dir, from), (to_dir, to)) = unsafe { (from.lend(), to.lend()) };
                let flags = AtFlags::from_bits_retain(flags);
                retry_on_intr(|| fs::linkat(from_dir, from, to_dir, to, flags))?;
                0
            }
            RawOp::Symlink { target, name } => {
                // SAFETY: handed on from the caller.
                let (target, (dir, path)) = unsafe { (CStr::from_ptr(target), name.lend()) };
                retry_on_intr(|| fs::symlinkat(target, dir, path))?;
                0
            }
            RawOp::Call(call) => call()?,
        };
        Ok(moved)
    }
}
