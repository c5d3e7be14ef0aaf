use super::{Operation, RawName, RawOp};
use crate::backend::{FdNumber, OwnedFd, number};
use bitflags::bitflags;
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A path, and the directory from which it leads.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) dir: Option<Arc<OwnedFd>>,
    path: CString,
}

impl Name {
    pub(super) fn new(path: impl AsRef<Path>) -> io::Result<Name> {
        Ok(Name { dir: None, path: CString::new(path.as_ref().as_os_str().as_bytes())? })
    }

    /// Good for as long as this is neither changed nor dropped; it may be moved.
    pub(super) fn raw(&self) -> RawName {
        let name = RawName::relative_to_cwd(self.path.as_ptr());
        self.dir.as_ref().map_or(name, |dir| RawName { dir: number(dir), ..name })
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
#[doc(alias = "openat2")]
pub struct Open {
    name: Name,
    flags: u32,
    mode: u32,
    resolve: Resolve,
}

impl Open {
    /// With the `O_` flags of open(2), and the mode of a file that is created (less the process's umask).
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn new(path: impl AsRef<Path>, flags: u32, mode: u32) -> io::Result<Self> {
        Ok(Open { name: Name::new(path)?, flags, mode, resolve: Resolve::empty() })
    }

    /// For reading.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(path, OFlags::RDONLY.bits(), 0)
    }

    /// For writing, created with mode 0o666 where it is missing, emptied where it is not.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(path, (OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC).bits(), 0o666)
    }

    /// Has a relative path lead from a directory that is open, not from the working directory.
    pub fn at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.name.dir = Some(dir.into());
        self
    }

    /// Bounds where the path may lead: openat2(2).
    ///
    /// The operation then fails with `ENOSYS` on kernels before 5.6, with `EXDEV` or `ELOOP` where the path leads
    /// elsewhere, and with `EAGAIN` where a name was moved meanwhile, so that the kernel could not tell.
    pub fn resolve(mut self, resolve: Resolve) -> Self {
        self.resolve = resolve;
        self
    }
}

// SAFETY: path and directory are owned, the path lies on the heap, and neither is touched until `finish`.
unsafe impl Operation for Open {
    /// The errors are those of openat(2).
    type Output = io::Result<OwnedFd>;

    fn raw(&mut self) -> RawOp {
        RawOp::Open { name: self.name.raw(), flags: self.flags, mode: self.mode, resolve: self.resolve.bits() }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        // SAFETY: the caller promises that this is what openat(2) returned: a new descriptor that nobody else knows.
        result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as FdNumber) })
    }
}

bitflags! {
    /// Where the path of an [`Open`] may lead: openat2(2). Unknown bits are kept.
    ///
    /// ```
    /// use becket_loop::{Loop, op::{Open, Resolve}};
    /// use std::os::fd::OwnedFd;
    ///
    /// let dir = OwnedFd::from(std::fs::File::open("/proc/self")?);
    /// let mut event_loop: Loop<Option<i32>> = Loop::new()?;
    /// let open = Open::read("../version")?.at(dir).resolve(Resolve::BENEATH);
    /// event_loop.submit(open, |code, _, opened| Ok(*code = opened.unwrap_err().raw_os_error()));
    /// let mut code = None;
    /// event_loop.run(&mut code)?;
    /// assert_eq!(code, Some(18)); // EXDEV: it leads out of the directory
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Resolve: u64 {
        /// Not into another mount.
        #[doc(alias = "RESOLVE_NO_XDEV")]
        const NO_XDEV = 1;
        /// Not through links of procfs that lead anywhere.
        #[doc(alias = "RESOLVE_NO_MAGICLINKS")]
        const NO_MAGICLINKS = 2;
        /// Not through symbolic links.
        #[doc(alias = "RESOLVE_NO_SYMLINKS")]
        const NO_SYMLINKS = 4;
        /// Not out of the directory: neither by `..` nor by an absolute path or link.
        #[doc(alias = "RESOLVE_BENEATH")]
        const BENEATH = 8;
        /// As if the directory were the root.
        #[doc(alias = "RESOLVE_IN_ROOT")]
        const IN_ROOT = 16;

        const _ = !0;
    }
}

/// How a file is opened, as by [`std::fs::OpenOptions`]: makes an [`Open`].
///
/// ```
/// use becket_loop::{Loop, op::OpenOptions};
/// use std::{fs::File, io::Write};
///
/// let path = std::env::temp_dir().join(format!("becket-options-{}", std::process::id()));
/// let mut event_loop: Loop<Option<File>> = Loop::new()?;
/// let open = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
/// event_loop.submit(open, |log, _, opened| Ok(*log = Some(opened?.into())));
/// let mut log = None;
/// event_loop.run(&mut log)?;
/// log.unwrap().write_all(b"a line\n")?;
/// assert_eq!(std::fs::read(&path)?, b"a line\n");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: u32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is set; a file that is created gets mode 0o666.
    pub fn new() -> Self {
        let (read, write, append, truncate, create, create_new) = (false, false, false, false, false, false);
        OpenOptions { read, write, append, truncate, create, create_new, mode: 0o666, flags: 0 }
    }

    /// For reading.
    pub fn read(&mut self, yes: bool) -> &mut Self {
        self.read = yes;
        self
    }

    /// For writing.
    pub fn write(&mut self, yes: bool) -> &mut Self {
        self.write = yes;
        self
    }

    /// For writing, always at the end.
    #[doc(alias = "O_APPEND")]
    pub fn append(&mut self, yes: bool) -> &mut Self {
        self.append = yes;
        self
    }

    /// Emptied first.
    #[doc(alias = "O_TRUNC")]
    pub fn truncate(&mut self, yes: bool) -> &mut Self {
        self.truncate = yes;
        self
    }

    /// Created where it is missing.
    #[doc(alias = "O_CREAT")]
    pub fn create(&mut self, yes: bool) -> &mut Self {
        self.create = yes;
        self
    }

    /// Created, and an error where it is there; `create` and `truncate` then count for nothing.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(&mut self, yes: bool) -> &mut Self {
        self.create_new = yes;
        self
    }

    /// The mode of a file that is created, less the process's umask. 0o666 unless it is set.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Further `O_` flags, such as `O_DIRECT`. The bits of the access mode count for nothing.
    pub fn custom_flags(&mut self, flags: u32) -> &mut Self {
        self.flags = flags;
        self
    }

    /// The operation that opens `path` so.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte; where none of read, write and append
    /// is set; for truncating or creating without writing, and truncating with appending.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<Open> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => OFlags::RDONLY,
            (false, true, false) => OFlags::WRONLY,
            (true, true, false) => OFlags::RDWR,
            (false, _, true) => OFlags::WRONLY | OFlags::APPEND,
            (true, _, true) => OFlags::RDWR | OFlags::APPEND,
            (false, false, false) => return Err(Errno::INVAL.into()),
        };
        let makes = self.truncate || self.create || self.create_new;
        if makes && !self.write && !self.append || self.truncate && self.append && !self.create_new {
            return Err(Errno::INVAL.into());
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => OFlags::CREATE | OFlags::EXCL,
            (true, true, _) => OFlags::CREATE | OFlags::TRUNC,
            (true, false, _) => OFlags::CREATE,
            (false, true, _) => OFlags::TRUNC,
            (false, false, _) => OFlags::empty(),
        };
        let custom = self.flags & !OFlags::ACCMODE.bits();
        Open::new(path, (access | creation).bits() | custom, self.mode)
    }
}

/// Takes a name away: unlinkat(2). The file goes with its last name, once it is closed.
///
/// ```
/// use becket_loop::{Loop, op::Unlink};
///
/// let path = std::env::temp_dir().join(format!("becket-unlink-{}", std::process::id()));
/// std::fs::write(&path, "")?;
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.submit(Unlink::file(&path)?, |_, _, result| Ok(result?));
/// event_loop.run(&mut ())?;
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "unlinkat")]
#[doc(alias = "rmdir")]
pub struct Unlink {
    name: Name,
    is_dir: bool,
}

impl Unlink {
    /// Of what is no directory.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Unlink { name: Name::new(path)?, is_dir: false })
    }

    /// Of an empty directory.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn dir(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Unlink { name: Name::new(path)?, is_dir: true })
    }

    /// Has a relative path lead from a directory that is open, not from the working directory.
    pub fn at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.name.dir = Some(dir.into());
        self
    }
}

// SAFETY: as for `Open`.
unsafe impl Operation for Unlink {
    /// The errors are those of unlinkat(2).
    type Output = io::Result<()>;

    fn raw(&mut self) -> RawOp {
        RawOp::Unlink { name: self.name.raw(), dir: self.is_dir }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        result.map(drop)
    }
}

/// Gives something another name: renameat2(2).
///
/// ```
/// use becket_loop::{Loop, op::Rename};
///
/// let path = |name| std::env::temp_dir().join(format!("becket-rename-{}-{name}", std::process::id()));
/// std::fs::write(path("a"), "one")?;
/// std::fs::write(path("b"), "two")?;
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.submit(Rename::new(path("a"), path("b"))?.keep_target(), |_, _, result| {
///     assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
///     Ok(())
/// });
/// event_loop.run(&mut ())?;
/// event_loop.submit(Rename::new(path("a"), path("b"))?, |_, _, result| Ok(result?));
/// event_loop.run(&mut ())?;
/// assert_eq!(std::fs::read(path("b"))?, b"one");
/// # std::fs::remove_file(path("b"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "renameat2")]
pub struct Rename {
    from: Name,
    to: Name,
    flags: u32,
}

impl Rename {
    /// What has the name `to` is replaced.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Rename { from: Name::new(from)?, to: Name::new(to)?, flags: 0 })
    }

    /// Fails with `EEXIST` where the new name is taken.
    #[doc(alias = "RENAME_NOREPLACE")]
    pub fn keep_target(mut self) -> Self {
        self.flags |= rustix::fs::RenameFlags::NOREPLACE.bits();
        self
    }

    /// Exchanges the two names; both must be there.
    #[doc(alias = "RENAME_EXCHANGE")]
    pub fn exchange(mut self) -> Self {
        self.flags |= rustix::fs::RenameFlags::EXCHANGE.bits();
        self
    }

    /// Has relative paths lead from directories that are open, not from the working directory.
    pub fn at(mut self, from: impl Into<Arc<OwnedFd>>, to: impl Into<Arc<OwnedFd>>) -> Self {
        (self.from.dir, self.to.dir) = (Some(from.into()), Some(to.into()));
        self
    }
}

// SAFETY: as for `Open`.
unsafe impl Operation for Rename {
    /// The errors are those of renameat2(2): `EXDEV` between file systems, for one.
    type Output = io::Result<()>;

    fn raw(&mut self) -> RawOp {
        RawOp::Rename { from: self.from.raw(), to: self.to.raw(), flags: self.flags }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        result.map(drop)
    }
}

/// Makes a directory: mkdirat(2).
///
/// ```
/// use becket_loop::{Loop, op::MakeDir};
///
/// let path = std::env::temp_dir().join(format!("becket-mkdir-{}", std::process::id()));
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.submit(MakeDir::new(&path, 0o700)?, |_, _, result| Ok(result?));
/// event_loop.run(&mut ())?;
/// assert!(path.is_dir());
/// # std::fs::remove_dir(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "mkdirat")]
pub struct MakeDir {
    name: Name,
    mode: u32,
}

impl MakeDir {
    /// With a mode, less the process's umask. The directory that it stands in must be there.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn new(path: impl AsRef<Path>, mode: u32) -> io::Result<Self> {
        Ok(MakeDir { name: Name::new(path)?, mode })
    }

    /// Has a relative path lead from a directory that is open, not from the working directory.
    pub fn at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.name.dir = Some(dir.into());
        self
    }
}

// SAFETY: as for `Open`.
unsafe impl Operation for MakeDir {
    /// The errors are those of mkdirat(2).
    type Output = io::Result<()>;

    fn raw(&mut self) -> RawOp {
        RawOp::MakeDir { name: self.name.raw(), mode: self.mode }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        result.map(drop)
    }
}

/// Adds a name: a second one of a file, or one that leads to another path: linkat(2), symlinkat(2).
///
/// ```
/// use becket_loop::{Loop, op::Link};
///
/// let path = std::env::temp_dir().join(format!("becket-symlink-{}", std::process::id()));
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.submit(Link::symbolic("/does/not/exist", &path)?, |_, _, result| Ok(result?));
/// event_loop.run(&mut ())?;
/// assert_eq!(std::fs::read_link(&path)?, std::path::Path::new("/does/not/exist"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "linkat")]
#[doc(alias = "symlinkat")]
pub struct Link {
    /// Of a symbolic one: what it says.
    from: Name,
    to: Name,
    symbolic: bool,
}

impl Link {
    /// A second name of the file `from`, where that is no directory; a symbolic link is not followed.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path with a NUL byte.
    pub fn hard(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Link { from: Name::new(from)?, to: Name::new(to)?, symbolic: false })
    }

    /// A symbolic link at `path`, which says `target`, whether that is there or not.
    ///
    /// # Errors
    /// As [`hard`](Self::hard).
    pub fn symbolic(target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Link { from: Name::new(target)?, to: Name::new(path)?, symbolic: true })
    }

    /// Has the path of the new name, where it is relative, lead from a directory that is open, not from the working
    /// directory.
    pub fn at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.to.dir = Some(dir.into());
        self
    }

    /// The same for the path of the file that a hard link is of.
    pub fn from_at(mut self, dir: impl Into<Arc<OwnedFd>>) -> Self {
        self.from.dir = Some(dir.into());
        self
    }
}

// SAFETY: as for `Open`.
unsafe impl Operation for Link {
    /// The errors are those of linkat(2) or symlinkat(2).
    type Output = io::Result<()>;

    fn raw(&mut self) -> RawOp {
        match self.symbolic {
            true => RawOp::Symlink { target: self.from.raw().path, name: self.to.raw() },
            false => RawOp::Link { from: self.from.raw(), to: self.to.raw(), flags: AtFlags::empty().bits() },
        }
    }

    unsafe fn finish(self, result: io::Result<usize>) -> Self::Output {
        result.map(drop)
    }
}
