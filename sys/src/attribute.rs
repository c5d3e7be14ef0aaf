//! Attributes: the small files of sysfs, of control groups and of /proc/sys, whose content the kernel makes when it is
//! read, and a few of which say when it has changed.
//!
//! See sysfs(5), cgroups(7), proc_sys(5). GPIO lines have [a type of their own](crate::gpio::sysfs), pressure files
//! [another](crate::psi).
//!
//! # Honest trouble
//!
//! - **Which attributes tell of changes is their driver's affair,** and nobody lists them: `cgroup.events`,
//!   `memory.events` and `pids.events` of control groups do, the state of a RAID array or of a power supply, alarms of
//!   sensors, and of /proc/sys some, such as `kernel/hostname`. The others are never urgent. One that cannot be polled
//!   at all is always readable, and never urgent either.
//! - **Poll for [`Ready::PRI`] alone:** they are always readable. [`Ready::ERR`] comes beside it, and is no failure.
//! - **sysfs and control groups go on reporting until the attribute is read again** by the descriptor that is polled,
//!   from its begin; one that was never read counts as changed. [`Attribute::open`] reads it once, so only later changes
//!   are told. Those of /proc/sys are told once, to whoever looks.
//! - **Several changes before a read count as one.** What is read is what holds then.
//! - **Where the device or the group is gone,** reading fails with `ENODEV`, and whoever waits is *not* told: the kernel
//!   wakes nobody for that. Watch the folder above for [`DELETE`](crate::inotify::Mask::DELETE), or uevents
//!   ([`netlink`](crate::netlink)), where it matters.

use crate::Ready;
use crate::fd::{owned_fd, read_whole};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pwrite, retry_on_intr, write};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The most that is read: far more than attributes have, which is a page or a few lines.
const MAX: usize = 1 << 20;

/// An open attribute, urgent ([`Ready::PRI`]) once it has changed.
///
/// Close-on-exec. Dropping it closes the descriptor.
///
/// ```
/// use becket_sys::attribute::Attribute;
///
/// let hostname = Attribute::open("/proc/sys/kernel/hostname")?;
/// assert!(hostname.read()?.ends_with(b"\n"));
/// assert_eq!(hostname.try_read()?, None); // it has not changed since
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "sysfs")]
#[doc(alias = "kernfs")]
#[doc(alias = "POLLPRI")]
#[derive(Debug)]
pub struct Attribute {
    fd: OwnedFd,
}

owned_fd!(Attribute, Priority);

impl Attribute {
    /// Opens an attribute to read and watch it, and reads it once, so that what is there now is no change.
    ///
    /// # Errors
    /// Those of open(2), such as `ENOENT` and `EACCES`; those of [`read`](Self::read).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Attribute> {
        Attribute::open_for(path.as_ref(), OFlags::RDONLY)
    }

    /// As [`open`](Self::open), to write it, too.
    ///
    /// # Errors
    /// As [`open`](Self::open); `EACCES` where it cannot be written.
    pub fn open_writable(path: impl AsRef<Path>) -> io::Result<Attribute> {
        Attribute::open_for(path.as_ref(), OFlags::RDWR)
    }

    fn open_for(path: &Path, access: OFlags) -> io::Result<Attribute> {
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let attribute = Attribute { fd: retry_on_intr(|| open(path, flags, Mode::empty()))? };
        // The look takes what an attribute of /proc/sys has to tell of the time before, the reading what others have.
        let _ = crate::wait(&attribute, Ready::PRI, Some(std::time::Instant::now()))?;
        attribute.read()?;
        Ok(attribute)
    }

    /// The content at present, from its begin; it then counts as read.
    ///
    /// # Errors
    /// `ENODEV` where what it belongs to is gone; `EIO` where a device does not answer; `ESPIPE` where it is no file;
    /// `InvalidData` where it has more than 1 MiB, which no attribute has.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        read_whole(&self.fd, MAX)
    }

    /// The content, where it has changed since it was read, or since somebody looked. What a loop was told is taken
    /// already from /proc/sys: use [`read`](Self::read) then.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn try_read(&self) -> io::Result<Option<Vec<u8>>> {
        match crate::wait(self, Ready::PRI, Some(std::time::Instant::now()))? {
            Some(ready) if ready.is_priority() => self.read().map(Some),
            _ => Ok(None),
        }
    }

    /// Writes a value, all of it by one call, as attributes ask.
    ///
    /// # Errors
    /// `EBADF` where it was not opened to be written; whatever its driver answers, mostly `EINVAL` for a value that it
    /// does not know; `WriteZero` where it took a part only.
    pub fn write(&self, value: impl AsRef<[u8]>) -> io::Result<()> {
        let value = value.as_ref();
        let written = match retry_on_intr(|| pwrite(&self.fd, value, 0)) {
            Err(Errno::SPIPE) => retry_on_intr(|| write(&self.fd, value)), // some of proc have no position
            written => written,
        };
        match written {
            Ok(n) if n == value.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(e) => Err(e.into()),
        }
    }
}

/// A wrong descriptor can merely make calls fail, or be ready at other times.
impl From<OwnedFd> for Attribute {
    fn from(fd: OwnedFd) -> Self {
        Attribute { fd }
    }
}
