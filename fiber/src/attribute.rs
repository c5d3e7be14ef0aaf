//! Attributes of sysfs, of control groups and of /proc/sys, which tell of changes.

use crate::over::over_io;
use crate::{Io, Ready};
use becket_sys::attribute;
use std::io;
use std::path::Path;

/// An attribute: a file of the kernel's with one value, whose changes are told.
///
/// Writing it and reading it at once are [`becket_sys::attribute::Attribute`]'s; that module says which attributes tell
/// of changes: not all do.
///
/// ```
/// use becket_fiber::attribute::Attribute;
/// use becket_fiber::{Runtime, spawn};
///
/// let path = "/proc/sys/kernel/hostname";
/// let name = Attribute::open(path)?;
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let same = name.read()?;
///     let (written, value) = (becket_sys::attribute::Attribute::open_writable(path), same.clone());
///     let Ok(writable) = written else { return Ok(()) }; // for root alone
///     if writable.write(&value).is_ok() {
///         assert_eq!(name.next()?, same); // written, if not changed
///     }
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "POLLPRI")]
#[doc(alias = "sysfs_notify")]
pub struct Attribute {
    io: Io<attribute::Attribute>,
}

over_io!(Attribute, attribute::Attribute, apart);

impl Attribute {
    /// Opens an attribute for reading. What it says now counts as read.
    ///
    /// # Errors
    /// As [`attribute::Attribute::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<Attribute> {
        Ok(attribute::Attribute::open(path)?.into())
    }

    /// Waits for a change since it was last read, and reads it.
    ///
    /// # Errors
    /// As [`attribute::Attribute::read`]; [`Cancelled`](crate::Cancelled) and `TimedOut`. A change of an attribute of
    /// /proc/sys that comes at that very moment may count as seen: read it then.
    pub fn next(&self) -> io::Result<Vec<u8>> {
        self.io.wait(Ready::PRI, None)?;
        self.io.get_ref().read()
    }
}
