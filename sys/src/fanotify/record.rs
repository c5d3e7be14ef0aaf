//! Events as bytes: nothing here reads, opens or owns anything.

use super::Mask;
use crate::buf::without_padding;
use crate::ffi::fanotify::{
    FAN_EVENT_INFO_TYPE_MNT, FAN_EVENT_INFO_TYPE_RANGE, InfoError, InfoFid, InfoHeader, InfoPidfd, InfoRange,
    METADATA_VERSION, Metadata,
};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::iter::FusedIterator;
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt;

/// The events in `bytes`, which need no alignment, as plain numbers: to look at a recording, or to fuzz.
///
/// This owns no descriptor. [`Fanotify::read_events`](super::Fanotify::read_events) does.
///
/// ```
/// use becket_sys::fanotify::{Mask, parse};
///
/// // The event of an overflow, and three bytes too much.
/// let mut bytes = 24u32.to_ne_bytes().to_vec();
/// bytes.extend([3, 0]);
/// bytes.extend(24u16.to_ne_bytes());
/// bytes.extend(0x4000u64.to_ne_bytes());
/// bytes.extend([-1i32, 0].map(i32::to_ne_bytes).as_flattened());
/// bytes.extend(b"abc");
///
/// let mut events = parse(&bytes);
/// let event = events.next().unwrap();
/// assert_eq!((event.mask, event.fd, event.pid), (Mask::OVERFLOW, -1, 0));
/// assert_eq!(event.records().count(), 0);
/// assert!(events.next().is_none());
/// assert_eq!(events.remainder(), b"abc");
/// ```
pub fn parse(bytes: &[u8]) -> RawEvents<'_> {
    RawEvents { bytes }
}

/// An iterator over events as plain numbers: see [`parse`].
///
/// It ends at bytes that are no whole event of the version that is known (3), which no kernel up to now writes, and
/// keeps them as the [`remainder`](Self::remainder).
#[derive(Debug, Clone)]
pub struct RawEvents<'b> {
    bytes: &'b [u8],
}

impl<'b> RawEvents<'b> {
    /// What is not parsed yet; at the end, what could not be.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for RawEvents<'b> {
    type Item = RawEvent<'b>;

    fn next(&mut self) -> Option<RawEvent<'b>> {
        let head = self.bytes.get(..size_of::<Metadata>())?;
        let vers: [u8; 1] = field(head, offset_of!(Metadata, vers))?;
        let metadata_len = u16::from_ne_bytes(field(head, offset_of!(Metadata, metadata_len))?).into();
        let event_len = u32::from_ne_bytes(field(head, offset_of!(Metadata, event_len))?);
        // A length below that of the head would not get on; here its records would not be found either.
        let (event, rest) = self.bytes.split_at_checked(usize::try_from(event_len).ok()?)?;
        if vers != [METADATA_VERSION] || metadata_len < head.len() {
            return None;
        }
        let raw = RawEvent {
            mask: Mask::from_bits_retain(u64::from_ne_bytes(field(head, offset_of!(Metadata, mask))?)),
            fd: i32::from_ne_bytes(field(head, offset_of!(Metadata, fd))?),
            pid: i32::from_ne_bytes(field(head, offset_of!(Metadata, pid))?),
            records: event.get(metadata_len..)?,
        };
        self.bytes = rest;
        Some(raw)
    }
}

impl FusedIterator for RawEvents<'_> {}

/// An event as plain numbers: see [`parse`].
#[doc(alias = "fanotify_event_metadata")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RawEvent<'b> {
    /// What happened, with bits that this crate does not know.
    pub mask: Mask,
    /// The number of a descriptor of the process that did the read, or negative.
    pub fd: i32,
    /// The number of the process, or of the thread.
    pub pid: i32,
    records: &'b [u8],
}

impl<'b> RawEvent<'b> {
    /// What else the event tells.
    pub fn records(&self) -> Records<'b> {
        Records::new(self.records)
    }

    pub(super) fn record_bytes(&self) -> &'b [u8] {
        self.records
    }
}

/// An iterator over the records of one event.
///
/// It ends at bytes that are no whole record, and keeps them as the [`remainder`](Self::remainder).
#[derive(Debug, Clone)]
pub struct Records<'b> {
    bytes: &'b [u8],
}

impl<'b> Records<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Records<'b> {
        Records { bytes }
    }

    /// What is not parsed yet; at the end, what could not be: nothing, if the kernel wrote it.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Record<'b>;

    fn next(&mut self) -> Option<Record<'b>> {
        let head = self.bytes.get(..size_of::<InfoHeader>())?;
        let [kind] = field(head, offset_of!(InfoHeader, info_type))?;
        let len: usize = u16::from_ne_bytes(field(head, offset_of!(InfoHeader, len))?).into();
        if len < head.len() {
            return None;
        }
        let (record, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(Record::parse(kind, record).unwrap_or(Record::Unknown { kind, bytes: &record[head.len()..] }))
    }
}

impl FusedIterator for Records<'_> {}

/// What an event tells beside what happened and who did it. Which of them come follows from the
/// [`Report`](super::Report) that was asked for, in no order that could be relied on.
///
/// ```
/// use becket_sys::fanotify::{Event, Fanotify, FileId, Mask, Options, Record, Report, Scope};
///
/// let dir = std::env::temp_dir().join(format!("becket-record-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
/// let group = Fanotify::builder().report(Report::DFID_NAME_TARGET).open()?;
/// group.add(Scope::Inode, &dir, Mask::CREATE, Options::ONLYDIR)?;
/// std::fs::write(dir.join("new"), "")?;
///
/// let events = group.try_read()?.unwrap();
/// let Event::Notice(notice) = &events[0] else { panic!("no permission was asked for") };
/// for record in notice.records() {
///     match record {
///         Record::Entry(entry) => {
///             assert_eq!(&*entry.name, "new");
///             assert_eq!(entry.directory, FileId::of(&dir)?);
///         }
///         Record::Object(file) => assert_eq!(file, FileId::of(dir.join("new"))?),
///         other => panic!("{other:?} was not asked for"),
///     }
/// }
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "fanotify_event_info_header")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Record<'b> {
    /// The file or directory itself; with [`Report::TARGET_FID`](super::Report::TARGET_FID), in events of directory
    /// entries, what bears the name. See [`FileId::is_invalid`] for [`Mask::FS_ERROR`].
    #[doc(alias = "FAN_EVENT_INFO_TYPE_FID")]
    Object(FileId<'b>),
    /// The directory that it is in, or that it is.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_DFID")]
    Directory(FileId<'b>),
    /// The directory, and the name in it.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_DFID_NAME")]
    Entry(Entry<'b>),
    /// Of [`Mask::RENAME`]: from where. Only where the group watches that directory.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_OLD_DFID_NAME")]
    OldEntry(Entry<'b>),
    /// Of [`Mask::RENAME`]: to where. Only where the group watches that directory.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_NEW_DFID_NAME")]
    NewEntry(Entry<'b>),
    /// The number of a descriptor of the process, or negative. An event that was read from a group owns it as
    /// [`Notice::process`](super::Notice::process): it is not this number's to close.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_PIDFD")]
    Pidfd(i32),
    /// What is wrong with the file system, of [`Mask::FS_ERROR`].
    #[doc(alias = "FAN_EVENT_INFO_TYPE_ERROR")]
    Error {
        /// The operating system's code of the first error since the last event.
        errno: i32,
        /// How many errors there were since the last event; only the first is told.
        count: u32,
    },
    /// The bytes of the file that are asked for, of [`Mask::PRE_ACCESS`].
    #[doc(alias = "FAN_EVENT_INFO_TYPE_RANGE")]
    Range(Range),
    /// The mount, of [`Mask::MNT_ATTACH`] and [`Mask::MNT_DETACH`], by its number of 64 bits that is never given
    /// again: the one of `STATX_MNT_ID_UNIQUE` and statmount(2), not the short one in mountinfo.
    #[doc(alias = "FAN_EVENT_INFO_TYPE_MNT")]
    Mount(u64),
    /// A record that this crate does not know, or one that is too short for its kind.
    Unknown {
        /// Its kind: `FAN_EVENT_INFO_TYPE_…`.
        kind: u8,
        /// What follows its head.
        bytes: &'b [u8],
    },
}

impl<'b> Record<'b> {
    fn parse(kind: u8, bytes: &'b [u8]) -> Option<Record<'b>> {
        Some(match kind {
            libc::FAN_EVENT_INFO_TYPE_FID => Record::Object(FileId::parse(bytes)?.0),
            libc::FAN_EVENT_INFO_TYPE_DFID => Record::Directory(FileId::parse(bytes)?.0),
            libc::FAN_EVENT_INFO_TYPE_DFID_NAME => Record::Entry(Entry::parse(bytes)?),
            libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => Record::OldEntry(Entry::parse(bytes)?),
            libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => Record::NewEntry(Entry::parse(bytes)?),
            libc::FAN_EVENT_INFO_TYPE_PIDFD => {
                Record::Pidfd(i32::from_ne_bytes(field(bytes, offset_of!(InfoPidfd, pidfd))?))
            }
            libc::FAN_EVENT_INFO_TYPE_ERROR => Record::Error {
                errno: i32::from_ne_bytes(field(bytes, offset_of!(InfoError, error))?),
                count: u32::from_ne_bytes(field(bytes, offset_of!(InfoError, error_count))?),
            },
            FAN_EVENT_INFO_TYPE_RANGE => Record::Range(Range {
                offset: u64::from_ne_bytes(field(bytes, offset_of!(InfoRange, offset))?),
                count: u64::from_ne_bytes(field(bytes, offset_of!(InfoRange, count))?),
            }),
            // At the end: some processors pad before it, others do not.
            FAN_EVENT_INFO_TYPE_MNT if bytes.len() >= 12 => Record::Mount(u64::from_ne_bytes(*bytes.last_chunk()?)),
            _ => return None,
        })
    }
}

/// A range of bytes in a file.
///
/// ```
/// use becket_sys::fanotify::Range;
///
/// let page = Range { offset: 4096, count: 4096 };
/// assert_eq!(page.offset + page.count, 8192);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// Where it begins.
    pub offset: u64,
    /// How long it is; it may reach beyond the end of the file.
    pub count: u64,
}

/// A name in a directory. The example of [`Record`] shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry<'b> {
    /// The directory.
    pub directory: FileId<'b>,
    /// The name at that time, or `.` for the directory itself.
    pub name: Cow<'b, OsStr>,
}

impl<'b> Entry<'b> {
    fn parse(bytes: &'b [u8]) -> Option<Entry<'b>> {
        let (directory, rest) = FileId::parse(bytes)?;
        // The kernel pads the name with NULs.
        Some(Entry { directory, name: Cow::Borrowed(OsStr::from_bytes(without_padding(rest))) })
    }

    /// The entry in memory of its own.
    pub fn into_owned(self) -> Entry<'static> {
        Entry { directory: self.directory.into_owned(), name: Cow::Owned(self.name.into_owned()) }
    }
}

/// The number of a file system, as statfs(2) has it.
///
/// It stays as long as the file system is mounted; some keep it beyond. Parts of one btrfs have numbers of their own.
///
/// ```
/// use becket_sys::fanotify::FileId;
///
/// assert_eq!(FileId::of("/")?.file_system, FileId::of("/.")?.file_system);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "fsid")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FsId(u64);

impl FsId {
    /// The file system of this number: the first word of the kernel's in the lower half.
    pub const fn from_raw(number: u64) -> FsId {
        FsId(number)
    }

    /// The number.
    pub const fn as_raw(self) -> u64 {
        self.0
    }
}

/// What names a file as long as it lives, whatever it is called: a file system and a handle in it.
///
/// Made to be a key: what is equal is one file. To make something of it, see
/// [`FileSystems`](super::FileSystems).
///
/// ```
/// use becket_sys::fanotify::FileId;
///
/// let root = FileId::of("/")?;
/// assert_eq!(root, FileId::of("/.")?);
/// assert_ne!(root, FileId::of(std::env::current_exe()?)?);
/// assert!(!root.is_invalid());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileId<'b> {
    /// The file system.
    pub file_system: FsId,
    /// The file in it.
    pub handle: FileHandle<'b>,
}

impl<'b> FileId<'b> {
    pub(super) fn new(file_system: FsId, handle: FileHandle<'b>) -> FileId<'b> {
        FileId { file_system, handle }
    }

    /// Also what follows the handle.
    fn parse(bytes: &'b [u8]) -> Option<(FileId<'b>, &'b [u8])> {
        let fsid = offset_of!(InfoFid, fsid);
        let word = |offset| Some(u64::from(u32::from_ne_bytes(field(bytes, offset)?)));
        let len = u32::from_ne_bytes(field(bytes, offset_of!(InfoFid, handle_bytes))?);
        let kind = i32::from_ne_bytes(field(bytes, offset_of!(InfoFid, handle_type))?);
        let (handle, rest) = bytes.get(size_of::<InfoFid>()..)?.split_at_checked(usize::try_from(len).ok()?)?;
        let file_system = FsId(word(fsid)? | word(fsid + 4)? << 32);
        Some((FileId::new(file_system, FileHandle::new(kind, handle)), rest))
    }

    /// Whether there is no file, but only a file system: of [`Mask::FS_ERROR`], where the damage is in no file.
    #[doc(alias = "FILEID_INVALID")]
    pub fn is_invalid(&self) -> bool {
        self.handle.kind == 0xff
    }

    /// The name in memory of its own.
    pub fn into_owned(self) -> FileId<'static> {
        FileId { file_system: self.file_system, handle: self.handle.into_owned() }
    }
}

/// A file in its file system, as open_by_handle_at(2) takes it: opaque bytes.
///
/// ```
/// use becket_sys::fanotify::FileHandle;
///
/// let handle = FileHandle::new(1, &[1, 2, 3]); // restored from where it was kept
/// assert_eq!((handle.kind(), handle.as_bytes()), (1, &[1, 2, 3][..]));
/// ```
#[doc(alias = "file_handle")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHandle<'b> {
    kind: i32,
    bytes: Cow<'b, [u8]>,
}

impl<'b> FileHandle<'b> {
    /// The handle of this kind and with these bytes.
    pub const fn new(kind: i32, bytes: &'b [u8]) -> FileHandle<'b> {
        FileHandle { kind, bytes: Cow::Borrowed(bytes) }
    }

    /// What the bytes mean to the file system: `handle_type`.
    pub fn kind(&self) -> i32 {
        self.kind
    }

    /// The bytes; 128 at most, if the kernel wrote them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The handle in memory of its own.
    pub fn into_owned(self) -> FileHandle<'static> {
        FileHandle { kind: self.kind, bytes: Cow::Owned(self.bytes.into_owned()) }
    }
}

/// The `N` bytes at `offset`, if they are there.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
