//! What can be wrong with a store.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreProblem {
    /// Another client has it: of this process, or of another one.
    InUse,
    /// The file is none of ours: something else, or a database of another program.
    NotAStore,
    /// A later release made it, in this version of its format.
    OtherVersion(u32),
    /// The file is damaged; what SQLite says of it. It is left as it is.
    Damaged(String),
    /// The disk is full but for the 8 MiB that are left free, which it takes to remove what was delivered.
    DiskFull,
    /// The operating system's error with this code.
    Os(i32),
    /// Another error, as SQLite names it.
    Database(String),
}

/// A store cannot be used, or not now. Prints as one line with the path.
///
/// ```
/// use becket_mosquitto::{Store, StoreProblem};
///
/// let e = Store::open("/no/such/folder/owed").unwrap_err();
/// assert_eq!(*e.problem(), StoreProblem::Os(libc::ENOENT));
/// assert_eq!(e.to_string(), "store /no/such/folder/owed: No such file or directory (os error 2)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    path: PathBuf,
    problem: StoreProblem,
}

impl StoreError {
    pub(super) fn new(path: &Path, problem: StoreProblem) -> StoreError {
        StoreError { path: path.to_owned(), problem }
    }

    /// What is wrong.
    pub fn problem(&self) -> &StoreProblem {
        &self.problem
    }

    pub(super) fn kind(&self) -> io::ErrorKind {
        match &self.problem {
            StoreProblem::InUse => io::ErrorKind::ResourceBusy,
            StoreProblem::NotAStore | StoreProblem::OtherVersion(_) | StoreProblem::Damaged(_) => {
                io::ErrorKind::InvalidData
            }
            StoreProblem::DiskFull => io::ErrorKind::StorageFull,
            StoreProblem::Os(code) => io::Error::from_raw_os_error(*code).kind(),
            StoreProblem::Database(_) => io::ErrorKind::Other,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}: ", self.path.display())?;
        match &self.problem {
            StoreProblem::InUse => f.write_str("another client uses it"),
            StoreProblem::NotAStore => f.write_str("the file is no store"),
            StoreProblem::OtherVersion(version) => write!(f, "a later release made it, in format {version}"),
            StoreProblem::Damaged(text) => write!(f, "the file is damaged: {text}"),
            StoreProblem::DiskFull => f.write_str("the disk is full"),
            StoreProblem::Os(code) => io::Error::from_raw_os_error(*code).fmt(f),
            StoreProblem::Database(text) => f.write_str(text),
        }
    }
}

impl error::Error for StoreError {}

/// As `ResourceBusy`, `InvalidData` (not a store, of another version, damaged), `StorageFull` or what the operating
/// system's code stands for, with this inside.
impl From<StoreError> for io::Error {
    fn from(e: StoreError) -> io::Error {
        io::Error::new(e.kind(), e)
    }
}
