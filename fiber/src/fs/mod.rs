//! Files and directories, as by [`std::fs`]: the same names, the same meaning, while other fibers run.
//!
//! ```
//! use becket_fiber::{Runtime, fs};
//! use std::io::ErrorKind;
//!
//! let dir = std::env::temp_dir().join(format!("becket-fs-{}", std::process::id()));
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     fs::create_dir_all(dir.join("a/b"))?;
//!     fs::write(dir.join("a/b/text"), "read from top to bottom")?;
//!     assert_eq!(fs::copy(dir.join("a/b/text"), dir.join("copy"))?, 23);
//!     fs::rename(dir.join("copy"), dir.join("moved"))?;
//!     assert_eq!(fs::read_to_string(dir.join("moved"))?, "read from top to bottom");
//!     let names = fs::read_dir(&dir)?.map(|e| Ok(e?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
//!     assert_eq!(names.len(), 2);
//!     fs::remove_dir_all(&dir)?;
//!     assert_eq!(fs::metadata(&dir).unwrap_err().kind(), ErrorKind::NotFound);
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What waits, and how it ends
//!
//! - Each call is an operation of the loop, which never waits for any of it: a directory may be on a disk or a server.
//!   Opening, renaming, removing, [`create_dir`], links and [`exists`] go through io_uring where the loop and the
//!   kernel have it (see the table in [`becket_loop::op`]), else to helper threads. What else looks names up is always
//!   on helper threads, because the ring has none of it ([`read_dir`], [`read_link`], [`canonicalize`],
//!   [`set_permissions`]), has only parts of it ([`create_dir_all`], [`remove_dir_all`], [`read`]), or because nobody
//!   but std can make what comes out of it ([`metadata`]). A [`File`] is read as it says.
//! - A cancel or a deadline keeps a call from beginning. Once the system has begun, the fiber waits for that one call
//!   to the end, and what it did is told; but opening a FIFO that nobody has open at the other end is ended, by
//!   io_uring. [`copy`], [`read`], [`write()`] and [`ReadDir`] consist of many: they end between two.
//! - On a thread that runs no fiber a call blocks the thread; in a callback of the loop it is an error of kind
//!   `Deadlock`.
//!
//! Every function has, beside the errors that it names, [`Cancelled`](crate::Cancelled), `TimedOut` and `Deadlock` for
//! the above, and `InvalidInput` for a path with a NUL byte. Memory files ([`becket_sys::memfd`]) never wait: they need
//! nothing of this.

mod dir;
#[allow(unsafe_code, reason = "lends paths to operations")]
pub(crate) mod name;
mod open;

pub use crate::file::File;
pub use dir::{DirEntry, ReadDir};
pub use open::OpenOptions;
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

use crate::file::{blocking as run, copy_whole};
use name::To;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads a whole file.
///
/// # Errors
/// As [`File::open`], and those of reading.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, size) = run(|| {
        let file = fs::File::open(path)?;
        let size = file.metadata().map_or(0, |m| m.len());
        Ok((file, size))
    })?;
    let mut bytes = Vec::new();
    // Some more than there is, so that the end is found without growing.
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or(0).saturating_add(32))?;
    File::from(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of UTF-8.
///
/// # Errors
/// As [`read`]; `InvalidData` for what is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

/// Writes a whole file: creates it, or replaces its content.
///
/// # Errors
/// As [`File::create`], and those of writing; the file may then have a part of it.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// Copies the content and the permissions of a file to another one, which is created, or replaced; says how many bytes.
/// Within a file system that can, the two share their blocks: copy_file_range(2).
///
/// # Errors
/// As [`File::open`] and [`File::create`], and those of reading and writing; the copy may then have a part of it.
/// `InvalidInput` where `from` is no regular file.
#[doc(alias = "copy_file_range")]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let from = File::open(from)?;
    let metadata = from.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is copied must be a regular file"));
    }
    let permissions = metadata.permissions();
    let to = name::open(to.as_ref(), libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, permissions.mode())?;
    if to.metadata()?.is_file() {
        // The mode of one that was there, and bits that the umask took.
        to.set_permissions(permissions)?;
    }
    copy_whole(&from, &to)
}

/// Gives something another name; what has that name already is replaced: rename(2).
///
/// # Errors
/// Those of rename(2): `CrossesDevices` between file systems, `DirectoryNotEmpty`.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    name::run("rename", from.as_ref(), To::Rename(to.as_ref()))
}

/// Takes away a name of what is no directory: unlink(2). The file goes with its last name, once it is closed.
///
/// # Errors
/// Those of unlink(2).
#[doc(alias = "unlink")]
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    name::run("remove file", path.as_ref(), To::Unlink { dir: false })
}

/// Removes an empty directory: rmdir(2).
///
/// # Errors
/// Those of rmdir(2): `DirectoryNotEmpty`.
#[doc(alias = "rmdir")]
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    name::run("remove directory", path.as_ref(), To::Unlink { dir: true })
}

/// Removes a directory with all that is in it; a symbolic link is removed, not followed. One operation, which neither a
/// cancel nor a deadline ends once it has begun.
///
/// # Errors
/// As [`std::fs::remove_dir_all`]; a part may then be gone.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    run(|| fs::remove_dir_all(path))
}

/// Makes a directory, with mode 0o777 less the process's umask: mkdir(2).
///
/// # Errors
/// Those of mkdir(2): `AlreadyExists`, `NotFound` where the one that it stands in is missing.
#[doc(alias = "mkdir")]
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    create_dir_with(path, 0o777)
}

/// As [`create_dir`], with a mode, less the process's umask.
///
/// # Errors
/// As [`create_dir`].
pub fn create_dir_with(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    name::run("make directory", path.as_ref(), To::MakeDir { mode })
}

/// Makes a directory, and all that it stands in; what is there already is well.
///
/// # Errors
/// As [`create_dir`]; `AlreadyExists` or `NotADirectory` where one of them is no directory.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    run(|| fs::create_dir_all(path))
}

/// What is in a directory, in no order.
///
/// # Errors
/// Those of opening the directory: `NotFound`, `NotADirectory`, `PermissionDenied`.
#[doc(alias = "opendir")]
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    ReadDir::open(path.as_ref())
}

/// Gives the file `original` the further name `link`: link(2).
///
/// # Errors
/// Those of link(2): `CrossesDevices`, `AlreadyExists`, `PermissionDenied` for a directory.
#[doc(alias = "link")]
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    name::run("link", original.as_ref(), To::Link(link.as_ref()))
}

/// Makes a symbolic link at `link`, which says `original`, whether that is there or not: symlink(2).
///
/// # Errors
/// Those of symlink(2): `AlreadyExists`.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    name::run("symbolic link", original.as_ref(), To::Symlink(link.as_ref()))
}

/// What a symbolic link says: readlink(2).
///
/// # Errors
/// Those of readlink(2): `InvalidInput` for what is no symbolic link.
#[doc(alias = "readlink")]
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    run(|| fs::read_link(path))
}

/// The absolute path, without symbolic links and `..`: realpath(3).
///
/// # Errors
/// `NotFound`, and `NotADirectory` where something on the way is none.
#[doc(alias = "realpath")]
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    run(|| fs::canonicalize(path))
}

/// Size, kind, owner, times of what a path leads to: statx(2).
///
/// # Errors
/// Those of statx(2): `NotFound`, `PermissionDenied` for a directory on the way.
#[doc(alias = "stat")]
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    run(|| fs::metadata(path))
}

/// As [`metadata`], of a symbolic link itself.
///
/// # Errors
/// As [`metadata`].
#[doc(alias = "lstat")]
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    run(|| fs::symlink_metadata(path))
}

/// Whether a path leads to something. By the time that it is used it may be otherwise.
///
/// # Errors
/// As [`metadata`], but for `NotFound`.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match name::run("exists", path.as_ref(), To::Exist) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    }
}

/// Changes who may do what with a file: chmod(2).
///
/// # Errors
/// Those of chmod(2): `PermissionDenied` where it is another user's.
#[doc(alias = "chmod")]
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    run(|| fs::set_permissions(path, permissions))
}
