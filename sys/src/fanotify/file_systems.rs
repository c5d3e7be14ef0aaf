use super::{Entry, FileId, FsId};
use crate::ffi;
use rustix::fs::{Mode, OFlags, fstat, fstatvfs, lstat, open, readlink};
use rustix::io::{Errno, retry_on_intr};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// File systems, by their number: to make files and paths out of the [`FileId`]s in events.
///
/// A descriptor for each is kept open, so that it cannot be unmounted meanwhile. Opening by a handle needs
/// CAP_DAC_READ_SEARCH; without, keep the paths of what you mark, by [`FileId::of`].
///
/// ```
/// use becket_sys::fanotify::{FileId, FileSystems};
///
/// let path = std::env::temp_dir().canonicalize()?.join(format!("becket-handle-{}", std::process::id()));
/// std::fs::create_dir(&path)?;
/// let id = FileId::of(&path)?;
/// let mut file_systems = FileSystems::new();
/// assert_eq!(file_systems.add(&path)?, id.file_system);
/// match file_systems.path(&id) {
///     Err(e) if e.raw_os_error() == Some(1) => {} // EPERM
///     found => assert_eq!(found?, Some(path.clone())),
/// }
/// std::fs::remove_dir(&path)?;
/// if let Ok(gone) = file_systems.path(&id) {
///     assert_eq!(gone, None);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "open_by_handle_at")]
#[derive(Debug, Default)]
pub struct FileSystems {
    mounts: HashMap<FsId, OwnedFd>,
}

impl FileSystems {
    /// None yet.
    pub fn new() -> FileSystems {
        FileSystems::default()
    }

    /// Adds the file system that `path` is in, and returns its number. Paths that are found later are those of this
    /// mount of it. Where it is there already, the mount is replaced.
    ///
    /// Opens `path`, for reading: better a directory.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn add(&mut self, path: impl AsRef<Path>) -> io::Result<FsId> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mount = retry_on_intr(|| open(path.as_ref(), flags, Mode::empty()))?;
        let file_system = FsId::from_raw(fstatvfs(&mount)?.f_fsid);
        self.mounts.insert(file_system, mount);
        Ok(file_system)
    }

    /// Forgets a file system; false where it is not there.
    pub fn remove(&mut self, file_system: FsId) -> bool {
        self.mounts.remove(&file_system).is_some()
    }

    /// Opens the file for reading; `None` where it is gone (`ESTALE`), which is usual: events tell of the past.
    ///
    /// # Errors
    /// `ENODEV` where its file system was not added; `EPERM` without CAP_DAC_READ_SEARCH; `EINVAL` for a handle of
    /// more than 128 bytes; `ELOOP` for a symbolic link; others of open(2).
    pub fn open(&self, id: &FileId<'_>) -> io::Result<Option<File>> {
        let fd = self.open_with(id, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
        Ok(fd.map(File::from))
    }

    /// As [`open`](Self::open), with no right to read: to look at it by fstat(2), to mark it, or to start from it if
    /// it is a directory.
    ///
    /// # Errors
    /// As [`open`](Self::open), without `ELOOP`.
    #[doc(alias = "O_PATH")]
    pub fn locate(&self, id: &FileId<'_>) -> io::Result<Option<OwnedFd>> {
        self.open_with(id, libc::O_PATH)
    }

    fn open_with(&self, id: &FileId<'_>, flags: i32) -> io::Result<Option<OwnedFd>> {
        let mount = self.mounts.get(&id.file_system).ok_or(Errno::NODEV)?;
        let flags = flags | libc::O_CLOEXEC;
        match retry_on_intr(|| ffi::fanotify::open_by_handle(mount.as_fd(), &id.handle, flags)) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::STALE) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The path of the file now; `None` where it is gone, or no path is known: see [`path_of`]. A directory has one
    /// always; of other files the kernel may know no name, so ask for a [`Record::Entry`](super::Record::Entry).
    ///
    /// # Errors
    /// As [`locate`](Self::locate), and of lstat(2).
    pub fn path(&self, id: &FileId<'_>) -> io::Result<Option<PathBuf>> {
        match self.locate(id)? {
            Some(fd) => path_of(fd),
            None => Ok(None),
        }
    }

    /// The path of the directory now, and the name in it that the event told: whether there is still a file of that
    /// name, and the same, is not looked up. `None` where the directory is gone.
    ///
    /// # Errors
    /// As [`path`](Self::path). `EINVAL` for a name that is none, in an entry that no kernel wrote.
    pub fn entry_path(&self, entry: &Entry<'_>) -> io::Result<Option<PathBuf>> {
        let name = entry.name.as_bytes();
        if name.is_empty() || name == b".." || name.contains(&b'/') {
            return Err(Errno::INVAL.into());
        }
        let directory = self.path(&entry.directory)?;
        Ok(directory.map(|path| if name == b"." { path } else { path.join(&entry.name) }))
    }
}

impl FileId<'static> {
    /// That of the file at `path` now, a symbolic link not followed: name_to_handle_at(2).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system has no handles, such as /proc before Linux 6.5; those of open(2).
    #[doc(alias = "name_to_handle_at")]
    pub fn of(path: impl AsRef<Path>) -> io::Result<FileId<'static>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(path.as_ref(), flags, Mode::empty()))?;
        let file_system = FsId::from_raw(fstatvfs(&fd)?.f_fsid);
        Ok(FileId::new(file_system, ffi::fanotify::handle_of(fd.as_fd())?))
    }
}

/// The path of an open file now, as /proc/self/fd has it, and after a look that it is that file's.
///
/// `None` where the file has been removed, is outside of this process's root or mounts, or is hidden by another
/// mount; and for what is no file. Another may be put in its place at any moment: a path is for people and logs; to
/// use the file, use the descriptor.
///
/// # Errors
/// Those of readlink(2) and lstat(2), `ENOENT` and the like left out. `ENOENT` where there is no /proc.
///
/// ```
/// use becket_sys::fanotify::path_of;
/// use std::fs::File;
///
/// let path = std::env::temp_dir().canonicalize()?.join(format!("becket-path-{}", std::process::id()));
/// let file = File::create(&path)?;
/// assert_eq!(path_of(&file)?, Some(path.clone()));
/// std::fs::remove_file(&path)?;
/// assert_eq!(path_of(&file)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn path_of(file: impl AsFd) -> io::Result<Option<PathBuf>> {
    let file = file.as_fd();
    let link = readlink(format!("/proc/thread-self/fd/{}", file.as_raw_fd()), Vec::new())?;
    let path = PathBuf::from(OsString::from_vec(link.into_bytes()));
    if !path.is_absolute() {
        return Ok(None);
    }
    let here = fstat(file)?;
    match lstat(&path) {
        // Of a removed file the text says so, with a word that could be part of a name: so look.
        Ok(there) => Ok(((here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)).then_some(path)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
