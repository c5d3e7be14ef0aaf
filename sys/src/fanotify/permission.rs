use super::event::Group;
use super::{Mask, Range, RawEvent, Record, Records};
use crate::ffi::fanotify::{self as ffi, FAN_ERRNO_SHIFT};
use crate::process::PidFd;
use rustix::io::{Errno, retry_on_intr, write};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// An answer to a [`Permission`].
///
/// ```
/// use becket_sys::fanotify::{AuditRule, Response};
///
/// assert_ne!(Response::DENY, Response::ALLOW);
/// assert_ne!(Response::deny_with(5), Response::DENY); // EIO instead of EPERM
/// let rule = AuditRule { number: 7, subject_trusted: Some(true), object_trusted: None };
/// assert_ne!(Response::DENY.audited(), Response::DENY.audited_by(rule));
/// ```
#[doc(alias = "fanotify_response")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Response {
    verdict: u32,
    errno: i32,
    rule: Option<AuditRule>,
}

impl Response {
    /// Go ahead.
    #[doc(alias = "FAN_ALLOW")]
    pub const ALLOW: Response = Response { verdict: libc::FAN_ALLOW, errno: 0, rule: None };

    /// Refused: the call fails with `EPERM`.
    #[doc(alias = "FAN_DENY")]
    pub const DENY: Response = Response { verdict: libc::FAN_DENY, errno: 0, rule: None };

    /// Refused with the operating system's code `errno`, which can be `EPERM`, `EIO`, `EBUSY`, `ETXTBSY`, `EAGAIN`,
    /// `ENOSPC` or `EDQUOT`; in a group of [`Class::PreContent`](super::Class::PreContent), since Linux 6.14. With
    /// other codes, and elsewhere, it is [`DENY`](Self::DENY) and an error for who answers.
    #[doc(alias = "FAN_DENY_ERRNO")]
    pub const fn deny_with(errno: i32) -> Response {
        Response { errno, ..Response::DENY }
    }

    /// The same, written to the audit log: in a group with [`Builder::audit`](super::Builder::audit).
    #[doc(alias = "FAN_AUDIT")]
    pub const fn audited(mut self) -> Response {
        self.verdict |= libc::FAN_AUDIT;
        self
    }

    /// The same, written to the audit log with the rule that it follows from: in a group with
    /// [`Builder::audit`](super::Builder::audit), since Linux 6.3.
    #[doc(alias = "FAN_INFO")]
    #[doc(alias = "FAN_RESPONSE_INFO_AUDIT_RULE")]
    pub const fn audited_by(mut self, rule: AuditRule) -> Response {
        self.rule = Some(rule);
        self.audited()
    }

    /// Without what a group or a kernel may not have.
    fn plain(self) -> Response {
        Response { verdict: self.verdict & (libc::FAN_ALLOW | libc::FAN_DENY), errno: 0, rule: None }
    }

    /// Writes the answer for the event whose descriptor has, or had, the number `fd`.
    fn write(self, group: impl AsFd, fd: RawFd) -> Result<(), Errno> {
        let info = if self.rule.is_some() { libc::FAN_INFO } else { 0 };
        let errno: u32 = u8::try_from(self.errno).map_err(|_| Errno::INVAL)?.into();
        let trust = |trusted: Option<bool>| trusted.map_or(2, u32::from);
        let AuditRule { number, subject_trusted, object_trusted } = self.rule.unwrap_or_default();
        let info_len = (ffi::Response::WITH_RULE - ffi::Response::BARE) as u16;
        let mut bytes = [0; ffi::Response::WITH_RULE];
        bytes[0..4].copy_from_slice(&fd.to_ne_bytes());
        bytes[4..8].copy_from_slice(&(self.verdict | info | errno << FAN_ERRNO_SHIFT).to_ne_bytes());
        bytes[8] = libc::FAN_RESPONSE_INFO_AUDIT_RULE;
        bytes[10..12].copy_from_slice(&info_len.to_ne_bytes());
        bytes[12..16].copy_from_slice(&number.to_ne_bytes());
        bytes[16..20].copy_from_slice(&trust(subject_trusted).to_ne_bytes());
        bytes[20..24].copy_from_slice(&trust(object_trusted).to_ne_bytes());
        let len = if self.rule.is_some() { bytes.len() } else { ffi::Response::BARE };
        retry_on_intr(|| write(&group, &bytes[..len]))?;
        Ok(())
    }
}

/// What the audit log says of an answer: [`Response::audited_by`].
///
/// ```
/// use becket_sys::fanotify::AuditRule;
///
/// assert_eq!(AuditRule::default(), AuditRule { number: 0, subject_trusted: None, object_trusted: None });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AuditRule {
    /// The number of the rule.
    pub number: u32,
    /// Whether who asks is trusted; `None` for unknown.
    pub subject_trusted: Option<bool>,
    /// Whether the file is trusted; `None` for unknown.
    pub object_trusted: Option<bool>,
}

/// Somebody waits for an answer: it can be given once.
///
/// Dropping it answers as [`Builder::on_drop`](super::Builder::on_drop) says, and closes its descriptors. Whoever
/// waits does so until then (do not [`forget`](std::mem::forget) it), unless it is killed (SIGKILL); when the last
/// descriptor of the group is closed, all who wait are allowed. It may go to another thread; see
/// [`read_events_shared`](super::Fanotify::read_events_shared) for those that outlive the group's borrow.
///
/// ```
/// use becket_sys::fanotify::{Class, Event, Fanotify, Mask, Options, Scope};
/// use std::process::{Command, Stdio};
///
/// let group = match Fanotify::builder().class(Class::Content).open() {
///     Ok(group) => group,
///     Err(e) if e.raw_os_error() == Some(1) => return Ok(()), // EPERM: it needs CAP_SYS_ADMIN
///     Err(e) => return Err(e),
/// };
/// let path = std::env::temp_dir().join(format!("becket-permission-{}", std::process::id()));
/// std::fs::write(&path, "secret")?;
/// group.add(Scope::Inode, &path, Mask::OPEN_PERM, Options::empty())?;
///
/// let mut reader = Command::new("cat").arg(&path).stderr(Stdio::null()).spawn()?;
/// group.wait_ready(becket_sys::Ready::READ, None)?;
/// for event in group.try_read()?.unwrap() {
///     let Event::Permission(permission) = event else { panic!("nothing else was asked for") };
///     assert_eq!(permission.pid, Some(reader.id()));
///     assert_eq!(std::io::read_to_string(permission.file())?, "secret");
///     permission.deny()?;
/// }
/// assert!(!reader.wait()?.success());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "somebody waits: dropping it answers with the group's default"]
#[non_exhaustive]
pub struct Permission<'g> {
    /// What is asked for.
    pub mask: Mask,
    /// Who asks; as [`Notice::pid`](super::Notice::pid).
    pub pid: Option<u32>,
    /// Who asks; as [`Notice::process`](super::Notice::process).
    pub process: Option<io::Result<PidFd>>,
    /// The bytes that are wanted, of [`Mask::PRE_ACCESS`] on a regular file.
    pub range: Option<Range>,
    /// `None` once it is answered.
    group: Option<Group<'g>>,
    /// Stays open until after the answer: the kernel knows the event by its number, which is nobody else's so long.
    file: File,
    /// Empty where there is nothing but what has a field.
    records: Vec<u8>,
}

impl<'g> Permission<'g> {
    pub(super) fn new(
        group: Group<'g>,
        event: &RawEvent<'_>,
        pid: Option<u32>,
        fd: OwnedFd,
        process: Option<io::Result<PidFd>>,
    ) -> Permission<'g> {
        let mut range = None;
        let mut records: &[u8] = &[];
        for record in event.records() {
            match record {
                Record::Range(told) => range = Some(told),
                Record::Pidfd(_) => {}
                _ => records = event.record_bytes(),
            }
        }
        let (group, file, records) = (Some(group), fd.into(), records.to_vec());
        Permission { mask: event.mask, pid, process, range, group, file, records }
    }

    /// The file that is asked for, opened as [`Builder::event_files`](super::Builder::event_files) says. Using it
    /// asks nobody for permission.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What else the event tells: nothing with today's kernels.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.records)
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn allow(self) -> io::Result<()> {
        self.answer(Response::ALLOW)
    }

    /// Refuses it with `EPERM`.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn deny(self) -> io::Result<()> {
        self.answer(Response::DENY)
    }

    /// Answers. In every case nobody waits any longer.
    ///
    /// # Errors
    /// `EINVAL` where the group or the kernel does not take what is beside the verdict (a code, an audit record); the
    /// bare verdict was given instead. `ENOENT` where the event was answered already, by another who has the group.
    pub fn answer(mut self, response: Response) -> io::Result<()> {
        let group = self.group.take();
        group.map_or(Ok(()), |group| self.write(&group, response))
    }

    fn write(&self, group: &Group<'_>, response: Response) -> io::Result<()> {
        let fd = self.file.as_raw_fd();
        let mut result = response.write(&**group, fd);
        if result == Err(Errno::INVAL) && response != response.plain() {
            // Who meant to refuse has refused.
            result = response.plain().write(&**group, fd).and(result);
        }
        Ok(result?)
    }
}

impl Drop for Permission<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            // Nobody is left to tell of an error; where it was answered already, there is none to speak of.
            let _ = self.write(&group, group.on_drop());
        }
    }
}
