//! fanotify and file handles, and the one place where numbers that a read brought become owned descriptors.

use crate::EventBuf;
use crate::fanotify::{Events, Fanotify, FileHandle, RawEvent, RawEvents, Record, Report, parse};
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs, readlink};
use rustix::io::{Errno, Result};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

// Not in libc 0.2.191.
pub(crate) const FAN_REPORT_FD_ERROR: u32 = 0x2000;
pub(crate) const FAN_REPORT_MNT: u32 = 0x4000;
pub(crate) const FAN_PRE_ACCESS: u64 = 0x0010_0000;
pub(crate) const FAN_MNT_ATTACH: u64 = 0x0100_0000;
pub(crate) const FAN_MNT_DETACH: u64 = 0x0200_0000;
pub(crate) const FAN_MARK_MNTNS: u32 = 0x0110;
pub(crate) const FAN_EVENT_INFO_TYPE_RANGE: u8 = 6;
pub(crate) const FAN_EVENT_INFO_TYPE_MNT: u8 = 7;
pub(crate) const FAN_ERRNO_SHIFT: u32 = 24;
pub(crate) const METADATA_VERSION: u8 = 3;
const AT_HANDLE_FID: i32 = 0x200;
const MAX_HANDLE_SZ: usize = 128;

/// The head of each event: `struct fanotify_event_metadata`.
#[repr(C, align(8))]
pub(crate) struct Metadata {
    pub(crate) event_len: u32,
    pub(crate) vers: u8,
    reserved: u8,
    pub(crate) metadata_len: u16,
    pub(crate) mask: u64,
    pub(crate) fd: i32,
    pub(crate) pid: i32,
}

const _: () = assert!(size_of::<Metadata>() == 24);
const _: () = assert!(std::mem::offset_of!(Metadata, vers) == 4);
const _: () = assert!(std::mem::offset_of!(Metadata, metadata_len) == 6);
const _: () = assert!(std::mem::offset_of!(Metadata, mask) == 8);
const _: () = assert!(std::mem::offset_of!(Metadata, fd) == 16);
const _: () = assert!(std::mem::offset_of!(Metadata, pid) == 20);

/// The head of each information record: `struct fanotify_event_info_header`.
#[repr(C)]
pub(crate) struct InfoHeader {
    pub(crate) info_type: u8,
    pad: u8,
    pub(crate) len: u16,
}

const _: () = assert!(size_of::<InfoHeader>() == size_of::<libc::fanotify_event_info_header>());
const _: () = assert!(size_of::<InfoHeader>() == 4 && std::mem::offset_of!(InfoHeader, len) == 2);

/// `struct fanotify_event_info_fid` with the head of the `struct file_handle` in it; the handle's bytes follow.
#[repr(C)]
pub(crate) struct InfoFid {
    hdr: InfoHeader,
    pub(crate) fsid: [i32; 2],
    pub(crate) handle_bytes: u32,
    pub(crate) handle_type: i32,
}

const _: () = assert!(size_of::<InfoFid>() == 20 && std::mem::offset_of!(InfoFid, fsid) == 4);
const _: () = assert!(std::mem::offset_of!(InfoFid, fsid) == std::mem::offset_of!(libc::fanotify_event_info_fid, fsid));
const _: () = assert!(std::mem::offset_of!(InfoFid, handle_bytes) == size_of::<libc::fanotify_event_info_fid>());
const _: () = assert!(std::mem::offset_of!(InfoFid, handle_type) == 16);

/// `struct fanotify_event_info_pidfd`.
#[repr(C)]
pub(crate) struct InfoPidfd {
    hdr: InfoHeader,
    pub(crate) pidfd: i32,
}

const _: () = assert!(size_of::<InfoPidfd>() == 8 && std::mem::offset_of!(InfoPidfd, pidfd) == 4);

/// `struct fanotify_event_info_error`.
#[repr(C)]
pub(crate) struct InfoError {
    hdr: InfoHeader,
    pub(crate) error: i32,
    pub(crate) error_count: u32,
}

const _: () = assert!(size_of::<InfoError>() == 12 && std::mem::offset_of!(InfoError, error) == 4);
const _: () = assert!(std::mem::offset_of!(InfoError, error_count) == 8);

/// `struct fanotify_event_info_range`.
#[repr(C)]
pub(crate) struct InfoRange {
    hdr: InfoHeader,
    pad: u32,
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

const _: () = assert!(size_of::<InfoRange>() == 24 && std::mem::offset_of!(InfoRange, offset) == 8);
const _: () = assert!(std::mem::offset_of!(InfoRange, count) == 16);

/// `struct fanotify_response`, with the audit rule that may follow it.
#[repr(C)]
pub(crate) struct Response {
    fd: i32,
    response: u32,
    info_type: u8,
    info_pad: u8,
    info_len: u16,
    rule_number: u32,
    subj_trust: u32,
    obj_trust: u32,
}

impl Response {
    /// The length without and with the rule.
    pub(crate) const BARE: usize = 8;
    pub(crate) const WITH_RULE: usize = 24;
}

const _: () = assert!(std::mem::offset_of!(Response, info_type) == Response::BARE);
const _: () = assert!(size_of::<libc::fanotify_response>() == Response::BARE);
const _: () = assert!(size_of::<Response>() == Response::WITH_RULE);
const _: () = assert!(std::mem::offset_of!(Response, response) == 4);
const _: () = assert!(std::mem::offset_of!(Response, info_len) == 10);
const _: () = assert!(std::mem::offset_of!(Response, rule_number) == 12);
const _: () = assert!(std::mem::offset_of!(Response, obj_trust) == 20);

/// The descriptor of an fanotify group.
///
/// Invariant: it is one, and of a format that this crate knows, so that in the events that a read of it brings the
/// field `fd`, and the number in a record of a pidfd, if not negative, each are a descriptor that the kernel has
/// just opened in this process for whoever does the read.
#[derive(Debug)]
pub(crate) struct GroupFd(OwnedFd);

impl GroupFd {
    /// fanotify_init(2), close-on-exec and non-blocking.
    pub(crate) fn new(class: u32, report: Report, other: u32, event_flags: u32) -> Result<GroupFd> {
        if !Report::KNOWN.contains(report) {
            return Err(Errno::INVAL);
        }
        let flags = class | report.bits() | other | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
        // SAFETY: no memory is passed, and every combination of bits may be asked for.
        let fd = unsafe { libc::fanotify_init(flags, event_flags | (libc::O_CLOEXEC | libc::O_LARGEFILE) as u32) };
        // SAFETY: where it is not -1, the kernel has just made this descriptor for us. The invariant of the type: it
        // is a group, and no flag that could change the format was passed but those of `Report::KNOWN`.
        if fd == -1 { Err(last_error()) } else { Ok(GroupFd(unsafe { OwnedFd::from_raw_fd(fd) })) }
    }

    /// Takes `fd` for a group where /proc says that it is one, in a format that is known.
    pub(crate) fn check(fd: OwnedFd) -> std::result::Result<GroupFd, (OwnedFd, io::Error)> {
        match is_known_group(&fd) {
            // The invariant of the type: just looked up, and a descriptor that is owned stays what it is.
            Ok(()) => Ok(GroupFd(fd)),
            Err(e) => Err((fd, e)),
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<GroupFd> {
        // The invariant of the type: a duplicate is of the same group.
        Ok(GroupFd(self.0.try_clone()?))
    }

    /// fanotify_mark(2). Without a directory, paths start at the current one.
    pub(crate) fn mark(&self, flags: u32, mask: u64, dir: Option<BorrowedFd<'_>>, path: Option<&Path>) -> Result<()> {
        let path = path.map(|path| CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)).transpose()?;
        let dir = dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd());
        // SAFETY: the path is NUL-terminated and lives until the call returns, or is null, which the call allows.
        let result = unsafe {
            let path = path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
            libc::fanotify_mark(self.0.as_raw_fd(), flags, mask, dir, path)
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// One read of the group.
    pub(crate) fn read<'b>(&self, buf: &'b mut EventBuf) -> Result<Unread<'b>> {
        buf.read_from(&self.0)?;
        // The invariant of `Unread`: that of this type; and nobody else gets to see these bytes first.
        Ok(Unread { events: parse(buf.as_bytes()) })
    }
}

impl AsFd for GroupFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<GroupFd> for OwnedFd {
    fn from(this: GroupFd) -> OwnedFd {
        this.0
    }
}

fn is_known_group(fd: &OwnedFd) -> io::Result<()> {
    // Of the thread: it may have a table of descriptors of its own.
    let number = fd.as_raw_fd();
    let link = readlink(format!("/proc/thread-self/fd/{number}"), Vec::new())?;
    if link.as_bytes() != b"anon_inode:[fanotify]" {
        return Err(Errno::INVAL.into());
    }
    let mut info = File::open(format!("/proc/thread-self/fdinfo/{number}"))?;
    let mut text = String::new();
    if fstatfs(&info)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::NOSYS.into());
    }
    info.read_to_string(&mut text)?;
    let flags = text.lines().find_map(|line| line.strip_prefix("fanotify flags:")?.split(' ').next());
    let flags = flags.and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or(Errno::OPNOTSUPP)?;
    // All that are no `Report` and say nothing of the format: the class, limits, close-on-exec and the like.
    let others = 0x7f;
    if flags & !(Report::KNOWN.bits() | others) != 0 {
        return Err(Errno::OPNOTSUPP.into());
    }
    Ok(())
}

impl Fanotify {
    /// Takes over a descriptor that the caller knows to be an fanotify group, where /proc cannot tell; otherwise use
    /// `try_from`, which looks.
    ///
    /// The blocking mode stays as it is. Dropped permission events are allowed; see
    /// [`with_on_drop`](Self::with_on_drop).
    ///
    /// # Safety
    /// `fd` must be an fanotify group, made with no flags for the format but those of [`Report`]. Reading it makes
    /// descriptors out of numbers: of another descriptor, whoever wrote what is read would choose them.
    pub unsafe fn from_owned_fd_unchecked(fd: OwnedFd) -> Fanotify {
        Fanotify::from(GroupFd(fd))
    }

    /// Takes the events out of bytes that were read from this group in another way, by io_uring for one; see
    /// [`read_events`](Self::read_events).
    ///
    /// To only look at bytes, there is the safe [`parse`].
    ///
    /// # Safety
    /// `bytes` must be what one read of this group brought, all of it and nothing else; the read must have been done
    /// for this process; and nothing else may take the descriptors in it, before or afterwards.
    pub unsafe fn take_events<'g, 'b>(&'g self, bytes: &'b [u8]) -> Events<'g, 'b> {
        Events::new(self.into(), Unread { events: parse(bytes) })
    }
}

/// The events of one read, with the descriptors in them. Dropping it leaks them: drain it.
///
/// Invariant: what is not parsed yet came from a group, in its format, and nobody else owns the descriptors in it.
#[derive(Debug)]
pub(crate) struct Unread<'b> {
    events: RawEvents<'b>,
}

impl<'b> Unread<'b> {
    pub(crate) fn events(&self) -> &RawEvents<'b> {
        &self.events
    }
}

/// An event, with its descriptors owned. What a negative number stands for instead is still to be found out.
pub(crate) struct Taken<'b> {
    pub(crate) event: RawEvent<'b>,
    pub(crate) fd: std::result::Result<OwnedFd, i32>,
    pub(crate) pidfd: Option<std::result::Result<OwnedFd, i32>>,
}

impl<'b> Iterator for Unread<'b> {
    type Item = Taken<'b>;

    fn next(&mut self) -> Option<Taken<'b>> {
        let event = self.events.next()?;
        let own = |number: RawFd| match number {
            // SAFETY: by the invariant the kernel opened the descriptor for us; and each number of each event comes
            // by here once, for the iterator does not go back.
            0.. => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
            _ => Err(number),
        };
        let mut pidfds = event.records().filter_map(|record| match record {
            Record::Pidfd(number) => Some(own(number)),
            _ => None,
        });
        let pidfd = pidfds.next();
        // Should there ever be more than one, they are closed.
        pidfds.for_each(drop);
        Some(Taken { fd: own(event.fd), pidfd, event })
    }
}

/// `struct file_handle` with room for the largest.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; MAX_HANDLE_SZ],
}

const _: () = assert!(std::mem::offset_of!(Handle, data) == size_of::<libc::file_handle>());
const _: () =
    assert!(std::mem::offset_of!(Handle, kind) == 4 && align_of::<Handle>() == align_of::<libc::file_handle>());

/// open_by_handle_at(2).
pub(crate) fn open_by_handle(mount: BorrowedFd<'_>, handle: &FileHandle<'_>, flags: i32) -> Result<OwnedFd> {
    let bytes = handle.as_bytes();
    let mut raw = Handle { bytes: bytes.len() as u32, kind: handle.kind(), data: [0; MAX_HANDLE_SZ] };
    raw.data.get_mut(..bytes.len()).ok_or(Errno::INVAL)?.copy_from_slice(bytes);
    // SAFETY: the handle has the layout of `struct file_handle` (asserted above), says its length, which is within
    // `data`, and lives until the call returns.
    let fd = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut raw).cast(), flags) };
    // SAFETY: where it is not -1, the kernel has just made this descriptor for us.
    if fd == -1 { Err(last_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// name_to_handle_at(2) of an open file.
pub(crate) fn handle_of(file: BorrowedFd<'_>) -> Result<FileHandle<'static>> {
    let mut raw = Handle { bytes: 0, kind: 0, data: [0; MAX_HANDLE_SZ] };
    let mut call = |flags| {
        raw.bytes = MAX_HANDLE_SZ as u32;
        let mut mount_id = 0;
        // SAFETY: the path is NUL-terminated; the handle has the layout of `struct file_handle` (asserted above),
        // says how much room `data` is, and lives until the call returns, as the number does.
        let result = unsafe {
            let handle = (&raw mut raw).cast();
            let flags = flags | libc::AT_EMPTY_PATH;
            libc::name_to_handle_at(file.as_raw_fd(), c"".as_ptr(), handle, &raw mut mount_id, flags)
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    };
    match call(0) {
        // Some file systems have handles to compare, but not to open.
        Err(Errno::OPNOTSUPP) => call(AT_HANDLE_FID)?,
        other => other?,
    }
    let bytes = raw.data.get(..raw.bytes as usize).ok_or(Errno::INVAL)?;
    Ok(FileHandle::new(raw.kind, bytes).into_owned())
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
