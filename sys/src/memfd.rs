//! Files that live in memory, have no path, and can be sealed: memfd_create(2).
//!
//! A [`Memfd`] is written to by its owner; a [`Sealed`] one can be read without trusting whoever wrote it.
//!
//! # Honest trouble
//!
//! - **A sealed size is what makes a map safe.** Whoever maps memory of a stranger that can shrink dies by SIGBUS.
//!   Verify first ([`Sealed::try_from`]), map then.
//! - **[`FUTURE_WRITE`](Seals::FUTURE_WRITE) is no [`WRITE`](Seals::WRITE):** whoever mapped the memory for writing
//!   before goes on writing. It is for owners who give to others what they go on changing.
//! - **`EBUSY`**: [`WRITE`](Seals::WRITE) cannot be set while the memory is mapped shared for writing anywhere, or
//!   while a direct or asynchronous read into it is under way. Unmap, and try again.
//! - **The position is shared** by all duplicates, on either end of a socket too, and so `read` and `write` are for the
//!   owner; [`Sealed`] reads at positions of its own.
//! - **Passing it on passes the right to write,** whatever the receiver is meant to do: seal it first. What the kernel
//!   counts as used is charged to whoever writes first, and a size alone takes no memory.
//! - **Execution.** By default the content can never be executed ([`Seals::EXEC`], Linux 6.3; older kernels do
//!   without). An administrator may insist on that (`vm.memfd_noexec`), which refuses [`Builder::executable`] with
//!   `EACCES`.
//! - **Not pollable:** reads and writes never wait for anybody, though they may for the disk where memory was swapped.

use crate::fd::owned_fd;
use bitflags::bitflags;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

bitflags! {
    /// What can never be done to a memory file again, by anybody. Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::memfd::Seals;
    ///
    /// assert_eq!(Seals::CONTENT, Seals::SHRINK | Seals::GROW | Seals::WRITE);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Seals: u32 {
        /// Add seals.
        #[doc(alias = "F_SEAL_SEAL")]
        const SEAL = SealFlags::SEAL.bits();
        /// Become smaller.
        #[doc(alias = "F_SEAL_SHRINK")]
        const SHRINK = SealFlags::SHRINK.bits();
        /// Become larger.
        #[doc(alias = "F_SEAL_GROW")]
        const GROW = SealFlags::GROW.bits();
        /// Be written to, by call or by map; holes can no longer be made either.
        #[doc(alias = "F_SEAL_WRITE")]
        const WRITE = SealFlags::WRITE.bits();
        /// Be written to, save by the maps that are there already. Linux 5.1.
        #[doc(alias = "F_SEAL_FUTURE_WRITE")]
        const FUTURE_WRITE = SealFlags::FUTURE_WRITE.bits();
        /// Become executable, or cease to be. Linux 6.3.
        #[doc(alias = "F_SEAL_EXEC")]
        const EXEC = SealFlags::EXEC.bits();

        /// Size and content.
        const CONTENT = Self::SHRINK.bits() | Self::GROW.bits() | Self::WRITE.bits();

        const _ = !0;
    }
}

/// A file in memory.
///
/// Reads and writes as any file, at its position or at any other. Close-on-exec. It is gone with its last descriptor
/// and its last map. Dropping it closes the descriptor.
///
/// ```
/// use becket_sys::memfd::{Memfd, Sealed, Seals};
/// use std::io::Write;
///
/// let mut file = Memfd::new("greeting")?;
/// file.write_all(b"hello")?;
/// assert_eq!(file.size()?, 5);
/// file.add_seals(Seals::CONTENT)?;
/// assert_eq!(file.write(b"!").unwrap_err().raw_os_error(), Some(1)); // EPERM
///
/// // Whoever gets it looks at the seals, not at the sender.
/// let sealed = Sealed::try_from(file).map_err(|(_, e)| e)?;
/// assert_eq!(sealed.to_vec()?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "memfd_create")]
#[derive(Debug)]
pub struct Memfd {
    fd: File,
}

owned_fd!(Memfd, NotPollable);

impl Memfd {
    /// An empty file that can be sealed, and not executed. The name is for `/proc/PID/fd` and `/proc/PID/maps` only; it
    /// need not be unique.
    ///
    /// # Errors
    /// `EINVAL` where the name is longer than 249 bytes or has a NUL; `EMFILE` or `ENFILE` where no descriptor is left;
    /// `ENOMEM`.
    pub fn new(name: &str) -> io::Result<Memfd> {
        Memfd::builder().create(name)
    }

    /// A file with other properties.
    pub fn builder() -> Builder {
        Builder { sealable: true, executable: false, huge: MemfdFlags::empty() }
    }

    /// How large it is, in bytes.
    ///
    /// # Errors
    /// None is known.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.fd.metadata()?.len())
    }

    /// Makes it larger, by zeros, or smaller: ftruncate(2). Zeros take no memory until they are written to.
    ///
    /// # Errors
    /// `EPERM` against a seal; `EINVAL` where the memory is of huge pages and `bytes` no multiple of their size;
    /// `EFBIG`.
    #[doc(alias = "ftruncate")]
    pub fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.fd.set_len(bytes)
    }

    /// Reads from `offset` on; the position stays. Zero at the end and beyond.
    ///
    /// # Errors
    /// `EIO` where swapped memory cannot be read.
    #[doc(alias = "pread")]
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fd.read_at(buf, offset)
    }

    /// Writes from `offset` on; the position stays, the size grows where that is needed. Fewer bytes are written where
    /// memory ends.
    ///
    /// # Errors
    /// `EPERM` against a seal, and `ENOSPC` where memory is at an end; `EINVAL` where the memory is of huge pages,
    /// which can only be mapped.
    #[doc(alias = "pwrite")]
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.fd.write_at(buf, offset)
    }

    /// What is sealed.
    ///
    /// # Errors
    /// `EINVAL` where the descriptor is another file's.
    #[doc(alias = "F_GET_SEALS")]
    pub fn seals(&self) -> io::Result<Seals> {
        seals(&self.fd)
    }

    /// Seals it, for good. What is sealed already may be named again.
    ///
    /// # Errors
    /// `EPERM` where [`Seals::SEAL`] is set, or the descriptor is open for reading only; `EBUSY` for [`Seals::WRITE`]
    /// where the memory is mapped for writing; `EINVAL` for seals that the kernel does not know, or where the
    /// descriptor is another file's.
    #[doc(alias = "F_ADD_SEALS")]
    pub fn add_seals(&self, seals: Seals) -> io::Result<()> {
        Ok(fcntl_add_seals(&self.fd, SealFlags::from_bits_retain(seals.bits()))?)
    }

    /// A second handle to the same file, at the same position.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Memfd> {
        Ok(Memfd { fd: self.fd.try_clone()? })
    }
}

fn seals(fd: impl AsFd) -> io::Result<Seals> {
    Ok(Seals::from_bits_retain(fcntl_get_seals(fd)?.bits()))
}

/// Gives `$name` what a file does at its position.
macro_rules! file {
    ($name:ty) => {
        impl Read for $name {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.fd).read(buf)
            }
        }

        impl Write for $name {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&self.fd).write(buf)
            }

            /// Does nothing: there is no buffer in user space.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Seek for $name {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                (&self.fd).seek(to)
            }
        }
    };
}

file!(Memfd);
file!(&Memfd);

/// A wrong descriptor can merely make calls fail, or be another file.
impl From<OwnedFd> for Memfd {
    fn from(fd: OwnedFd) -> Self {
        Memfd { fd: fd.into() }
    }
}

/// How a [`Memfd`] is made.
///
/// ```
/// use becket_sys::memfd::{Memfd, Seals};
///
/// let file = Memfd::builder().sealable(false).create("scratch")?;
/// assert!(file.seals()?.contains(Seals::SEAL));
/// assert_eq!(file.add_seals(Seals::GROW).unwrap_err().raw_os_error(), Some(1)); // EPERM
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `create`"]
pub struct Builder {
    sealable: bool,
    executable: bool,
    huge: MemfdFlags,
}

impl Builder {
    /// Whether seals can be added; the default is yes.
    #[doc(alias = "MFD_ALLOW_SEALING")]
    pub fn sealable(mut self, sealable: bool) -> Self {
        self.sealable = sealable;
        self
    }

    /// Whether the content may be executed; the default is no, where the kernel can forbid it (Linux 6.3).
    #[doc(alias = "MFD_EXEC")]
    #[doc(alias = "MFD_NOEXEC_SEAL")]
    pub fn executable(mut self, executable: bool) -> Self {
        self.executable = executable;
        self
    }

    /// Takes huge pages of the system's default size. Such a file can be sized, mapped and read, but not written to by
    /// call; a map fails where too few such pages are free (`/proc/sys/vm/nr_hugepages`).
    #[doc(alias = "MFD_HUGETLB")]
    pub fn huge_pages(mut self) -> Self {
        self.huge = MemfdFlags::HUGETLB;
        self
    }

    /// Takes huge pages of so many bytes: a size that `/sys/kernel/mm/hugepages` names.
    #[doc(alias = "MFD_HUGE_2MB")]
    #[doc(alias = "MFD_HUGE_1GB")]
    pub fn huge_pages_of(mut self, bytes: u64) -> Self {
        // What is no power of two names a size that there is not.
        let log2 = if bytes.is_power_of_two() { bytes.trailing_zeros() } else { 63 };
        self.huge = MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(log2 << libc::MFD_HUGE_SHIFT);
        self
    }

    /// Makes the file.
    ///
    /// # Errors
    /// As [`Memfd::new`]; `EACCES` where it is to be executable and the administrator forbids that; `ENODEV` or
    /// `ENOENT` where there are no huge pages of that size.
    pub fn create(&self, name: &str) -> io::Result<Memfd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | self.huge;
        let exec = if self.executable { MemfdFlags::EXEC } else { MemfdFlags::NOEXEC_SEAL };
        let fd = match memfd_create(name, flags | exec) {
            // A kernel that knows neither flag: everything is executable.
            Err(Errno::INVAL) => memfd_create(name, flags)?,
            other => other?,
        };
        let file = Memfd { fd: fd.into() };
        if !self.sealable {
            file.add_seals(Seals::SEAL)?;
        }
        Ok(file)
    }
}

/// A file in memory of which neither size nor content can ever change: verified, from whomever it came.
///
/// Made from a descriptor or a [`Memfd`] that has all of [`Seals::CONTENT`]; otherwise the descriptor comes back with
/// the error. To map it, read-only and for as long as is liked, is then safe from its former owners.
///
/// Close-on-exec is as it was. Dropping it closes the descriptor.
///
/// ```
/// use becket_sys::memfd::{Memfd, Sealed, Seals};
/// use std::io::Write;
///
/// let mut file = Memfd::new("half sealed")?;
/// file.write_all(b"text")?;
/// file.add_seals(Seals::WRITE)?;
/// let (fd, e) = Sealed::try_from(file).unwrap_err();
/// assert_eq!(e.to_string(), "not sealed: SHRINK | GROW");
///
/// Memfd::from(fd.try_clone()?).add_seals(Seals::CONTENT)?;
/// let sealed = Sealed::try_from(fd).map_err(|(_, e)| e)?;
/// assert_eq!(std::io::read_to_string(sealed.reader())?, "text");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Sealed {
    fd: File,
    /// Fixed: the seals were there before it was read.
    size: u64,
}

owned_fd!(Sealed, NotPollable);

impl Sealed {
    /// How large it is, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What is sealed: [`Seals::CONTENT`], and perhaps more.
    ///
    /// # Errors
    /// None is known.
    pub fn seals(&self) -> io::Result<Seals> {
        seals(&self.fd)
    }

    /// Reads from `offset` on. Zero at the end and beyond.
    ///
    /// # Errors
    /// `EBADF` where it was received open for writing only; `EIO` where swapped memory cannot be read.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fd.read_at(buf, offset)
    }

    /// The whole content. Look at the [`size`](Self::size) first where a stranger made it: it may be of zeros that take
    /// no memory until they are read.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and `OutOfMemory`.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let size = usize::try_from(self.size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        content.try_reserve_exact(size)?;
        self.reader().read_to_end(&mut content)?;
        Ok(content)
    }

    /// Reads from the start on, at a position of its own.
    pub fn reader(&self) -> Reader<'_> {
        Reader { file: &self.fd, at: 0 }
    }
}

impl TryFrom<OwnedFd> for Sealed {
    type Error = (OwnedFd, io::Error);

    fn try_from(fd: OwnedFd) -> Result<Sealed, (OwnedFd, io::Error)> {
        let file = File::from(fd);
        match verified(&file) {
            Ok(size) => Ok(Sealed { fd: file, size }),
            Err(e) => Err((file.into(), e)),
        }
    }
}

impl TryFrom<Memfd> for Sealed {
    type Error = (Memfd, io::Error);

    fn try_from(file: Memfd) -> Result<Sealed, (Memfd, io::Error)> {
        Sealed::try_from(OwnedFd::from(file)).map_err(|(fd, e)| (fd.into(), e))
    }
}

/// The size, once it is sure to stay.
fn verified(file: &File) -> io::Result<u64> {
    let missing = Seals::CONTENT - seals(file)?;
    if missing.is_empty() {
        return Ok(file.metadata()?.len());
    }
    let names: Vec<_> = missing.iter_names().map(|(name, _)| name).collect();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("not sealed: {}", names.join(" | "))))
}

/// Reads a [`Sealed`] file from its start; see [`Sealed::reader`].
///
/// ```
/// use becket_sys::memfd::{Memfd, Sealed, Seals};
/// use std::io::{Read, Write};
///
/// let file = Memfd::new("two readers")?;
/// (&file).write_all(b"ab")?;
/// file.add_seals(Seals::CONTENT)?;
/// let sealed = Sealed::try_from(file).map_err(|(_, e)| e)?;
/// let (mut one, mut other) = (sealed.reader(), sealed.reader());
/// let mut byte = [0];
/// one.read_exact(&mut byte)?;
/// other.read_exact(&mut byte)?;
/// assert_eq!(&byte, b"a");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
