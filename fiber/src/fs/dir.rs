use super::run;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// How many entries one trip to a helper thread reads.
const BATCH: usize = 128;

/// What is in a directory, without `.` and `..`, in no order; see [`read_dir`](super::read_dir).
///
/// Entries are read in batches, so memory does not grow with the directory. Dropping it closes the directory.
///
/// ```
/// use becket_fiber::{Runtime, fs};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let limits = fs::read_dir("/proc/self")?.find(|e| e.as_ref().is_ok_and(|e| e.file_name() == "limits")).unwrap()?;
///     assert!(limits.file_type()?.is_file());
///     assert_eq!(limits.path(), std::path::Path::new("/proc/self/limits"));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "getdents")]
pub struct ReadDir {
    /// `None` after the end.
    dir: Option<fs::ReadDir>,
    batch: VecDeque<io::Result<DirEntry>>,
}

impl ReadDir {
    pub(super) fn open(path: &Path) -> io::Result<ReadDir> {
        let mut batch = VecDeque::new();
        // With the first batch: most directories need no second trip.
        let dir = run(|| {
            let mut dir = fs::read_dir(path)?;
            let ended = ReadDir::fill(&mut dir, &mut batch);
            Ok((!ended).then_some(dir))
        })?;
        Ok(ReadDir { dir, batch })
    }

    /// Reads until the batch is full or the directory at its end; says whether it is at its end.
    fn fill(dir: &mut fs::ReadDir, batch: &mut VecDeque<io::Result<DirEntry>>) -> bool {
        while batch.len() < BATCH {
            match dir.next() {
                None => return true,
                Some(entry) => batch.push_back(entry.map(DirEntry::new)),
            }
        }
        false
    }
}

impl Iterator for ReadDir {
    /// An error is that of getdents(2) or, with the directory left where it was, of the fiber:
    /// [`Cancelled`](crate::Cancelled), `TimedOut`, `Deadlock` in a callback.
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() {
            let (dir, batch) = (self.dir.as_mut()?, &mut self.batch);
            match run(|| Ok(ReadDir::fill(dir, batch))) {
                Ok(false) => {}
                Ok(true) => self.dir = None,
                Err(e) => return Some(Err(e)),
            }
        }
        self.batch.pop_front()
    }
}

/// One entry of a directory; see [`read_dir`](super::read_dir).
///
/// ```
/// use becket_fiber::fs;
///
/// // On a plain thread all of this blocks that.
/// let entry = fs::read_dir("/proc/self/fdinfo")?.next().unwrap()?;
/// assert!(entry.metadata()?.is_file());
/// assert!(entry.path().ends_with(entry.file_name()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirEntry {
    entry: fs::DirEntry,
    /// Asked for beside the entry: some file systems do not tell, and would be asked each time.
    kind: io::Result<FileType>,
}

impl DirEntry {
    fn new(entry: fs::DirEntry) -> DirEntry {
        let kind = entry.file_type();
        DirEntry { entry, kind }
    }

    /// The path of the directory as it was given, and the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// Whether it is a file, a directory, a symbolic link or something else, as it was when the entry was read.
    ///
    /// # Errors
    /// Those of lstat(2), on file systems that do not tell it with the name.
    pub fn file_type(&self) -> io::Result<FileType> {
        match &self.kind {
            Ok(kind) => Ok(*kind),
            Err(e) => Err(e.raw_os_error().map_or_else(|| e.kind().into(), io::Error::from_raw_os_error)),
        }
    }

    /// What it is at present; a symbolic link is not followed: fstatat(2).
    ///
    /// # Errors
    /// As [`symlink_metadata`](super::symlink_metadata).
    pub fn metadata(&self) -> io::Result<Metadata> {
        run(|| self.entry.metadata())
    }

    /// Its inode number.
    pub fn ino(&self) -> u64 {
        self.entry.ino()
    }
}
