use super::{Message, Records, parse, space};
use crate::ffi::cmsg::{Control, Name};
use crate::process::PidFd;
use crate::socket::inet;
use crate::unix::{Address, Credentials};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{error, fmt, io};

/// Room for what one message brings beside its data, and what it brought: control messages, descriptors, the sender.
///
/// The descriptors are owned from the moment of receipt. Those that nobody takes are closed when this is dropped,
/// [cleared](Self::clear), or received into again. They are close-on-exec; everything else about them is as the
/// sender has it, who shares them: whether they block, too.
///
/// ```
/// use becket_sys::cmsg::{Incoming, Outgoing};
/// use becket_sys::unix::Stream;
/// use std::io::{Read, Write};
/// use std::os::fd::AsFd;
///
/// let (a, b) = Stream::pair()?;
/// let (mut reader, writer) = std::io::pipe()?;
/// let mut out = Outgoing::new();
/// out.push_fds(&[writer.as_fd()])?;
/// assert_eq!(a.try_send_with(b"a writer", &out)?, Some(8));
///
/// let mut control = Incoming::new();
/// let mut buf = [0; 16];
/// let received = b.try_recv_with(&mut buf, &mut control)?.expect("some bytes");
/// assert_eq!(&buf[..received.len()], b"a writer");
/// let [theirs] = control.take_exactly()?; // neither more nor less than one
/// drop(writer);
///
/// std::fs::File::from(theirs).write_all(b"hello")?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "msghdr")]
#[doc(alias = "ancillary")]
pub struct Incoming {
    control: Control,
    name: Name,
}

impl Incoming {
    /// Room for all that the kernel sends at once: 253 descriptors, credentials, a pidfd, a label and times.
    pub fn new() -> Incoming {
        Self::with_capacity(2048)
    }

    /// Room for at least `bytes` bytes: the sum of the [`space`] of each message; 0 for none.
    ///
    /// Room for `n` descriptors may admit one more, because it is rounded up; and what does not fit is lost, see
    /// [`is_truncated`](Self::is_truncated).
    pub fn with_capacity(bytes: usize) -> Incoming {
        Incoming { control: Control::new(bytes), name: Name::none() }
    }

    /// Room for `count` descriptors and nothing else.
    pub fn for_fds(count: usize) -> Incoming {
        Self::with_capacity(space(count * size_of::<i32>()))
    }

    /// How many bytes of control messages fit in.
    pub fn capacity(&self) -> usize {
        self.control.capacity()
    }

    /// The control messages as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.control.as_bytes()
    }

    /// The control messages as records, in the order in which they came.
    pub fn records(&self) -> Records<'_> {
        parse(self.as_bytes())
    }

    /// The control messages, in the order in which they came.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.records().map(|record| record.decode())
    }

    /// Whether something was lost for want of room, or the kernel would not open it here: it does not tell what.
    ///
    /// Descriptors can be missing from a large enough buffer too: where this process may open no more
    /// (`RLIMIT_NOFILE`), or a security module forbids it. The data arrived all the same, and so did the descriptors
    /// that are here. What is missing is gone: receiving again does not bring it.
    #[doc(alias = "MSG_CTRUNC")]
    pub fn is_truncated(&self) -> bool {
        self.control.truncated
    }

    /// The descriptors that came and are still here.
    pub fn fds(&self) -> &[OwnedFd] {
        &self.control.fds
    }

    /// Takes the descriptors, in the order of the sender; none is no error.
    ///
    /// # Errors
    /// Where the control messages were [truncated](Self::is_truncated). The error has those that came.
    pub fn take_fds(&mut self) -> Result<Vec<OwnedFd>, UnexpectedFds> {
        let fds = std::mem::take(&mut self.control.fds);
        if self.is_truncated() { Err(UnexpectedFds { fds, truncated: true }) } else { Ok(fds) }
    }

    /// Takes the descriptors, of which there must be `N`.
    ///
    /// # Errors
    /// Where there are more or less, or the control messages were [truncated](Self::is_truncated). The error has those
    /// that came; dropping it closes them.
    #[inline]
    pub fn take_exactly<const N: usize>(&mut self) -> Result<[OwnedFd; N], UnexpectedFds> {
        let fds = &mut self.control.fds;
        if fds.len() != N || self.control.truncated {
            return Err(UnexpectedFds { fds: std::mem::take(fds), truncated: self.control.truncated });
        }
        // The list keeps its memory for the next call.
        let mut taken = std::array::from_fn(|_| fds.pop().expect("there are N"));
        taken.reverse();
        Ok(taken)
    }

    /// Who sent it, where [`set_pass_credentials`](crate::unix::Stream::set_pass_credentials) asked for that.
    #[doc(alias = "SCM_CREDENTIALS")]
    pub fn credentials(&self) -> Option<Credentials> {
        self.messages().find_map(|message| match message {
            Message::Credentials(credentials) => Some(credentials),
            _ => None,
        })
    }

    /// Takes the process that sent it, where [`set_pass_pidfd`](crate::unix::Stream::set_pass_pidfd) asked for that;
    /// `None` where it did not come, or was taken.
    ///
    /// # Errors
    /// What the kernel had to say instead: `ESRCH` where the process has gone, `EMFILE` where this one may open no
    /// more.
    #[doc(alias = "SCM_PIDFD")]
    pub fn take_pidfd(&mut self) -> io::Result<Option<PidFd>> {
        match self.control.pidfd.take() {
            None => Ok(None),
            Some(Ok(fd)) => Ok(Some(fd.into())),
            Some(Err(number)) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        }
    }

    /// The process that sent it; see [`take_pidfd`](Self::take_pidfd).
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.control.pidfd.as_ref()?.as_ref().ok()?.as_fd())
    }

    /// The label of the sender, where [`set_pass_security`](crate::unix::Stream::set_pass_security) asked for that.
    #[doc(alias = "SCM_SECURITY")]
    pub fn security(&self) -> Option<&[u8]> {
        self.messages().find_map(|message| match message {
            Message::Security(label) => Some(label),
            _ => None,
        })
    }

    /// The internet address of the sender; from the error queue, of the receiver of what was sent. `None` where there
    /// is none, or it is of another family.
    pub fn sender(&self) -> Option<SocketAddr> {
        inet::address(self.name.get()).ok()
    }

    /// The unix address of the sender: unnamed where it is not bound. `None` where it is of another family.
    pub fn unix_sender(&self) -> Option<Address> {
        Address::decode(self.name.get()).ok()
    }

    /// Forgets what came. Descriptors that nobody took are closed.
    pub fn clear(&mut self) {
        self.control.clear();
        self.name = Name::none();
    }

    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut Control, &mut Name) {
        (&mut self.control, &mut self.name)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("messages", &self.messages().collect::<Vec<_>>())
            .field("truncated", &self.is_truncated())
            .field("fds", &self.fds())
            .field("pidfd", &self.pidfd())
            .finish_non_exhaustive()
    }
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new()
    }
}

/// The descriptors that came are not what was to come: see [`Incoming::take_exactly`]. Dropping it closes them.
///
/// Converted into an [`io::Error`], it is one of [`InvalidData`](io::ErrorKind::InvalidData), and the descriptors are
/// inside.
///
/// ```
/// use becket_sys::cmsg::{Incoming, Outgoing};
/// use becket_sys::unix::Datagram;
/// use std::os::fd::AsFd;
///
/// let (a, b) = Datagram::pair()?;
/// let mut out = Outgoing::new();
/// out.push_fds(&[a.as_fd(), b.as_fd()])?;
/// a.try_send_with(b"two", &out)?;
///
/// let mut control = Incoming::new();
/// b.try_recv_with(&mut [0; 8], &mut control)?.expect("a datagram");
/// let e = control.take_exactly::<1>().unwrap_err();
/// assert_eq!(e.to_string(), "unexpected descriptors: 2 came");
/// assert_eq!((e.is_truncated(), e.fds().len()), (false, 2));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnexpectedFds {
    fds: Vec<OwnedFd>,
    truncated: bool,
}

impl UnexpectedFds {
    /// Whether something was lost; see [`Incoming::is_truncated`].
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Those that came.
    pub fn fds(&self) -> &[OwnedFd] {
        &self.fds
    }

    /// Those that came.
    pub fn into_fds(self) -> Vec<OwnedFd> {
        self.fds
    }
}

impl fmt::Display for UnexpectedFds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = if self.truncated { ", and something was lost" } else { "" };
        write!(f, "unexpected descriptors: {} came{lost}", self.fds.len())
    }
}

impl error::Error for UnexpectedFds {}

impl From<UnexpectedFds> for io::Error {
    fn from(e: UnexpectedFds) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, e)
    }
}
