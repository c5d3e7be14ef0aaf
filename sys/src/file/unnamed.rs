use super::FileHandle;
use crate::ffi::fanotify as ffi;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open, rename, unlink};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a file without a name in the file system of the directory `dir`, open for reading and writing, for our user
/// alone (mode 0600). It is gone with its last descriptor, whatever happens to the program, unless [`link`] or
/// [`link_over`] gives it a name.
///
/// # Errors
/// `EOPNOTSUPP` where the file system cannot (NFS, overlay file systems on some); `EISDIR` or `ENOENT` from kernels
/// before 3.11; `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC` and the others of open(2).
///
/// ```
/// use std::io::{Read, Seek, Write};
///
/// let mut file = becket_sys::file::unnamed(std::env::temp_dir())?;
/// file.write_all(b"nobody sees this")?;
/// file.rewind()?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// assert_eq!(text, "nobody sees this");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "O_TMPFILE")]
pub fn unnamed(dir: impl AsRef<Path>) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| open(dir.as_ref(), flags, Mode::RUSR | Mode::WUSR))?;
    Ok(File::from(fd))
}

/// Gives an open file a (further) name, in one step, with all that is in it. Nothing is written to the disk for it: a
/// crash of the machine may leave the name and not the content, unless [`File::sync_all`] came before.
///
/// # Errors
/// `EEXIST` where the name is taken: see [`link_over`]. `ENOENT` for a file whose last name was removed (one that never
/// had any is fine), for no such directory, and where `/proc` is not mounted; `EXDEV` for another file system;
/// `EACCES`, `EPERM`, `EMLINK`, `ENOSPC`, `EROFS`.
///
/// ```
/// use becket_sys::file::{link, unnamed};
/// use std::io::Write;
///
/// let path = std::env::temp_dir().join(format!("becket-link-{}", std::process::id()));
/// let mut file = unnamed(std::env::temp_dir())?;
/// file.write_all(b"complete")?;
/// link(&file, &path)?;
/// assert_eq!(std::fs::read(&path)?, b"complete");
/// assert_eq!(link(&file, &path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "linkat")]
#[doc(alias = "AT_EMPTY_PATH")]
pub fn link(file: impl AsFd, path: impl AsRef<Path>) -> io::Result<()> {
    // By the descriptor itself it would take CAP_DAC_READ_SEARCH.
    let source = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(linkat(CWD, source, CWD, path.as_ref(), AtFlags::SYMLINK_FOLLOW)?)
}

/// As [`link`], in place of what has the name: whoever opens it finds either the old file or the new one, complete.
///
/// It takes a name beside it for a moment, which a crash may leave: `.` and the file's name and two numbers.
///
/// # Errors
/// As [`link`] without `EEXIST`; `EISDIR` for a directory; `EINVAL` for a path that ends in no name; `ENAMETOOLONG`.
///
/// ```
/// use becket_sys::file::{link_over, unnamed};
/// use std::io::Write;
///
/// let path = std::env::temp_dir().join(format!("becket-over-{}", std::process::id()));
/// for version in ["first", "second"] {
///     let mut file = unnamed(std::env::temp_dir())?;
///     file.write_all(version.as_bytes())?;
///     file.sync_all()?; // for crashes of the machine
///     link_over(&file, &path)?;
///     assert_eq!(std::fs::read_to_string(&path)?, version);
/// }
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "renameat")]
pub fn link_over(file: impl AsFd, path: impl AsRef<Path>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = path.as_ref();
    let name = path.file_name().ok_or(Errno::INVAL)?;
    loop {
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let beside = path.with_file_name(beside);
        match link(&file, &beside) {
            // A leftover of a process that had our number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        // Where both names are of the same file, rename(2) does nothing, and leaves both.
        let renamed = rename(&beside, path);
        let _ = unlink(&beside);
        return Ok(renamed?);
    }
}

/// A name of the file for as long as it exists, over closing, renaming and restarting: name_to_handle_at(2). With
/// [`open_by_handle`] it is opened again.
///
/// # Errors
/// `EOPNOTSUPP` where the file system has no handles.
///
/// ```
/// use becket_sys::file::handle;
///
/// let dir = std::fs::File::open("/")?;
/// if let Ok(root) = handle(&dir) {
///     assert_eq!(root, handle(std::fs::File::open("/.")?)?); // the same file
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "name_to_handle_at")]
pub fn handle(file: impl AsFd) -> io::Result<FileHandle<'static>> {
    Ok(ffi::handle_of(file.as_fd())?)
}

/// Opens a file by its handle, for reading, or for reading and writing; `None` where it is gone (`ESTALE`). `mount` is
/// any open file or directory of the same mount. Close-on-exec, and non-blocking, should it be a FIFO.
///
/// # Errors
/// `EPERM` without CAP_DAC_READ_SEARCH; `EISDIR`, `EROFS` for writing; `ELOOP` for a symbolic link; `EINVAL` for bytes
/// that are no handle there; `EMFILE`.
///
/// ```
/// use becket_sys::file::{handle, open_by_handle};
///
/// let path = std::env::temp_dir().join(format!("becket-handle-of-{}", std::process::id()));
/// std::fs::write(&path, "found")?;
/// let dir = std::fs::File::open(std::env::temp_dir())?;
/// let kept = handle(std::fs::File::open(&path)?)?;
/// match open_by_handle(&dir, &kept, false) {
///     Ok(file) => assert_eq!(std::io::read_to_string(file.unwrap())?, "found"),
///     Err(e) => assert_eq!(e.raw_os_error(), Some(1)), // EPERM
/// }
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "open_by_handle_at")]
pub fn open_by_handle(mount: impl AsFd, handle: &FileHandle<'_>, write: bool) -> io::Result<Option<File>> {
    let mode = if write { libc::O_RDWR } else { libc::O_RDONLY };
    let flags = mode | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    match retry_on_intr(|| ffi::open_by_handle(mount.as_fd(), handle, flags)) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::STALE) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
