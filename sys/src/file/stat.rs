use bitflags::bitflags;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::retry_on_intr;
use std::io;
use std::os::fd::AsFd;

bitflags! {
    /// What a file has of the rarer properties: statx(2). Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::file::{Attributes, stat};
    ///
    /// let root = stat(std::fs::File::open("/proc")?)?;
    /// assert!(root.attributes.contains(Attributes::MOUNT_ROOT) || !root.known.contains(Attributes::MOUNT_ROOT));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Attributes: u64 {
        /// The file system has compressed it.
        #[doc(alias = "STATX_ATTR_COMPRESSED")]
        const COMPRESSED = 0x4;
        /// Nobody can change it, nor root.
        #[doc(alias = "STATX_ATTR_IMMUTABLE")]
        const IMMUTABLE = 0x10;
        /// It can only be appended to.
        #[doc(alias = "STATX_ATTR_APPEND")]
        const APPEND = 0x20;
        /// Backups leave it out.
        #[doc(alias = "STATX_ATTR_NODUMP")]
        const NODUMP = 0x40;
        /// It takes a key to read it.
        #[doc(alias = "STATX_ATTR_ENCRYPTED")]
        const ENCRYPTED = 0x800;
        /// Opening it mounts something.
        #[doc(alias = "STATX_ATTR_AUTOMOUNT")]
        const AUTOMOUNT = 0x1000;
        /// It is the root of a mount.
        #[doc(alias = "STATX_ATTR_MOUNT_ROOT")]
        const MOUNT_ROOT = 0x2000;
        /// fs-verity guards its content.
        #[doc(alias = "STATX_ATTR_VERITY")]
        const VERITY = 0x10_0000;
        /// It is mapped from memory that lasts, without a cache.
        #[doc(alias = "STATX_ATTR_DAX")]
        const DAX = 0x20_0000;
        /// It can be written to by [`IoFlags::ATOMIC`](super::IoFlags::ATOMIC).
        #[doc(alias = "STATX_ATTR_WRITE_ATOMIC")]
        const WRITE_ATOMIC = 0x40_0000;

        const _ = !0;
    }
}

/// What [`std::fs::Metadata`] leaves out: made by [`stat`].
///
/// ```
/// let dir = std::fs::File::open("/")?;
/// let stat = becket_sys::file::stat(&dir)?;
/// if let Some(mount) = stat.mount {
///     // The first number in a line of /proc/self/mountinfo.
///     let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
///     assert!(mounts.lines().any(|line| line.split(' ').next() == Some(&mount.to_string())));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "statx")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stat {
    /// The mount that it was opened by, as /proc/self/mountinfo numbers it; the number is given away again after an
    /// unmounting. `None` before Linux 5.8.
    #[doc(alias = "STATX_MNT_ID")]
    pub mount: Option<u64>,
    /// The mount by a number that no other mount gets until the next start. `None` before Linux 6.8.
    #[doc(alias = "STATX_MNT_ID_UNIQUE")]
    pub unique_mount: Option<u64>,
    /// What it has.
    pub attributes: Attributes,
    /// What the file system can tell of: what is not here may be there all the same.
    pub known: Attributes,
    /// Of what direct I/O must be a multiple: the buffer's address, and offset and length. Zeros where the file can do
    /// none; `None` where the file system (or Linux before 6.1) does not tell.
    #[doc(alias = "STATX_DIOALIGN")]
    #[doc(alias = "O_DIRECT")]
    pub direct_io: Option<(u32, u32)>,
}

/// Asks for what [`Stat`] has, of an open file of any kind.
///
/// # Errors
/// `ENOSYS` from kernels before 4.11; `EIO`.
pub fn stat(fd: impl AsFd) -> io::Result<Stat> {
    // Those that rustix has no name for.
    const DIO_ALIGN: StatxFlags = StatxFlags::from_bits_retain(0x2000);
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let fd = fd.as_fd();
    let ask = |what| retry_on_intr(|| statx(fd, "", AtFlags::EMPTY_PATH, what));
    // The two numbers of the mount share a field, so each takes a call.
    let (first, second) = (ask(StatxFlags::MNT_ID | DIO_ALIGN)?, ask(UNIQUE)?);
    let has = |mask: u32, what: StatxFlags| mask & what.bits() != 0;
    Ok(Stat {
        mount: has(first.stx_mask, StatxFlags::MNT_ID).then_some(first.stx_mnt_id),
        unique_mount: has(second.stx_mask, UNIQUE).then_some(second.stx_mnt_id),
        attributes: Attributes::from_bits_retain(first.stx_attributes.bits()),
        known: Attributes::from_bits_retain(first.stx_attributes_mask.bits()),
        direct_io: has(first.stx_mask, DIO_ALIGN).then_some((first.stx_dio_mem_align, first.stx_dio_offset_align)),
    })
}
