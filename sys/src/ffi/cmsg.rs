//! Messages with ancillary data, and the one place where numbers in it become owned descriptors.

use crate::cmsg::{self, Incoming};
use rustix::io::{Errno, Result};
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;
use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{offset_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The kernel refuses more slices, and cuts more messages, in one call: UIO_MAXIOV.
pub(crate) const MAX_SLICES: usize = 1024;

// How `crate::cmsg` reads and writes the head of a control message.
const _: () = assert!(cmsg::HEAD == size_of::<libc::cmsghdr>());
const _: () = assert!(offset_of!(libc::cmsghdr, cmsg_len) == 0);
const _: () = assert!(offset_of!(libc::cmsghdr, cmsg_level) == size_of::<usize>());
const _: () = assert!(offset_of!(libc::cmsghdr, cmsg_type) == size_of::<usize>() + 4);

/// Room for the control messages of one message, and the descriptors that came in them.
///
/// Made of words, because that is what the kernel aligns the heads of control messages to.
pub(crate) struct Control {
    words: Box<[u64]>,
    /// How many bytes of them were written.
    len: usize,
    pub(crate) truncated: bool,
    /// Descriptors from SCM_RIGHTS.
    pub(crate) fds: Vec<OwnedFd>,
    /// The descriptor from SCM_PIDFD, or the number below zero that came instead.
    pub(crate) pidfd: Option<std::result::Result<OwnedFd, i32>>,
}

impl Control {
    /// Room for at least `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Control {
        let words = vec![0; bytes.div_ceil(size_of::<u64>())].into();
        Control { words, len: 0, truncated: false, fds: Vec::new(), pidfd: None }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        size_of_val(&*self.words)
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        start(&self.words, self.len)
    }

    /// Forgets what came, closing the descriptors that nobody took.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.truncated = false;
        if !self.fds.is_empty() || self.pidfd.is_some() {
            self.close();
        }
    }

    /// Out of line, as there is mostly nothing to close.
    #[cold]
    fn close(&mut self) {
        self.fds.clear();
        self.pidfd = None;
    }

    /// Takes over what one call brought, after a [`clear`](Self::clear).
    ///
    /// # Safety
    /// The first `len` bytes, or all there are, must be control messages that the kernel has written for this
    /// process, and nobody else may own the descriptors in them.
    #[inline]
    unsafe fn received(&mut self, len: usize, flags: c_int) {
        self.len = len.min(self.capacity());
        self.truncated = flags & libc::MSG_CTRUNC != 0;
        match cmsg::only_fd(start(&self.words, self.len)) {
            // What comes mostly, once the list has grown.
            Some(number @ 0..) if self.fds.len() < self.fds.capacity() => {
                // SAFETY: by the contract of this function, it is a descriptor that the kernel has just made for us; and
                // there is no other.
                self.fds.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
            _ if self.len == 0 => {}
            // SAFETY: as for this function.
            _ => unsafe { self.own() },
        }
    }

    /// Takes over the descriptors in all control messages.
    ///
    /// # Safety
    /// As [`received`](Self::received).
    unsafe fn own(&mut self) {
        let Control { words, len, fds, pidfd, .. } = self;
        // SAFETY: by the contract of this function, each number in these two kinds of messages is a descriptor that
        // the kernel has just made for us; each is passed by here once. A number below zero stands for an error.
        let own = |number| (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) });
        for record in cmsg::parse(start(words, *len)) {
            match (record.level, record.kind) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => record.numbers().filter_map(own).for_each(|fd| fds.push(fd)),
                // Should there ever be a second one, the first is closed.
                (libc::SOL_SOCKET, cmsg::SCM_PIDFD) => {
                    if let Some(number) = record.numbers().next() {
                        *pidfd = Some(own(number).ok_or(number));
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes over control messages that were received in another way.
    ///
    /// # Safety
    /// As [`received`](Self::received), of `bytes`.
    pub(crate) unsafe fn adopt(&mut self, bytes: &[u8], flags: c_int) {
        if bytes.len() > self.capacity() {
            self.words = vec![0; bytes.len().div_ceil(size_of::<u64>())].into();
        }
        for (word, bytes) in self.words.iter_mut().zip(bytes.chunks(size_of::<u64>())) {
            let mut whole = [0; size_of::<u64>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        // SAFETY: the start of the words is `bytes`, of which the caller has promised this.
        unsafe { self.received(bytes.len(), flags) }
    }
}

/// The first `len` bytes of `words`, or all.
#[inline]
fn start(words: &[u64], len: usize) -> &[u8] {
    // SAFETY: the words are live, initialised, and borrowed for as long as the bytes are; no more bytes than they have
    // are taken; a byte has no alignment, and any value.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), len.min(size_of_val(words))) }
}

impl Incoming {
    /// Takes over control messages that were received in another way, by io_uring for one, in place of what came
    /// before; `truncated` where the message had the flag `MSG_CTRUNC`. The sender is unknown then.
    ///
    /// To only look at bytes, there is the safe [`parse`](cmsg::parse).
    ///
    /// # Safety
    /// `bytes` must be the control messages of one message, all of them and nothing else, as the kernel wrote them for
    /// this process; and nothing else may take the descriptors in it, before or afterwards.
    pub unsafe fn adopt(&mut self, bytes: &[u8], truncated: bool) {
        self.clear();
        // SAFETY: this is what the caller has promised.
        unsafe { self.parts().0.adopt(bytes, if truncated { libc::MSG_CTRUNC } else { 0 }) }
    }
}

/// An address that the kernel wrote.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

const NAME_LEN: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

impl Name {
    pub(crate) const fn none() -> Name {
        // SAFETY: integers, for which zero is valid.
        Name { storage: unsafe { zeroed() }, len: 0 }
    }

    /// None where the kernel gave none.
    pub(crate) fn get(&self) -> Option<SocketAddrAny> {
        // What is shorter has not even a family.
        if (self.len as usize) < size_of::<libc::sa_family_t>() {
            return None;
        }
        // SAFETY: the storage is initialised, whatever its length; a length beyond it is cut, for which rustix would
        // panic. What family it is of, the decoders check.
        Some(unsafe { SocketAddrAny::read((&raw const self.storage).cast(), self.len.min(NAME_LEN)) })
    }
}

/// What a call writes into, as the kernel wants it. All that it points to must outlive the header.
#[inline]
fn incoming(iov: *mut libc::iovec, iovlen: usize, control: &mut Control, name: &mut Name) -> libc::msghdr {
    // SAFETY: integers and pointers, for which zero is valid; some C libraries have hidden padding.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = (&raw mut name.storage).cast();
    header.msg_namelen = NAME_LEN;
    header.msg_iov = iov;
    header.msg_iovlen = iovlen as _;
    header.msg_control = control.words.as_mut_ptr().cast();
    header.msg_controllen = control.capacity() as _;
    header
}

/// How many bytes of control messages the kernel wrote.
#[allow(clippy::unnecessary_cast, reason = "the types are the C library's")]
fn control_len(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}

/// The flags of the message, without the one that the kernel merely repeats.
fn message_flags(header: &libc::msghdr) -> c_int {
    header.msg_flags & !libc::MSG_CMSG_CLOEXEC
}

/// recvmsg(2), descriptors close-on-exec, again where a signal interrupts it. Returns how long the message was, as far
/// as `flags` ask for that, and the flags of the message.
#[inline(always)] // what it returns does not fit into registers
pub(crate) fn recvmsg(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut Control,
    name: &mut Name,
    flags: c_int,
) -> Result<(usize, c_int)> {
    control.clear();
    name.len = 0;
    // `IoSliceMut` is guaranteed to be an `iovec`.
    let mut header = incoming(bufs.as_mut_ptr().cast(), bufs.len().min(MAX_SLICES), control, name);
    let (fd, to) = (fd.as_raw_fd(), &raw mut header);
    // SAFETY: the header says where buffers, control messages and name are and how long; all are borrowed mutably
    // until after the call. A call that fails leaves the header as it was.
    let len = uninterrupted(move || unsafe { libc::recvmsg(fd, to, flags | libc::MSG_CMSG_CLOEXEC) })?;
    name.len = header.msg_namelen;
    // SAFETY: the kernel has just written them, and nobody else has seen them.
    unsafe { control.received(control_len(&header), header.msg_flags) };
    Ok((len, message_flags(&header)))
}

/// Where one message of several is received.
pub(crate) struct Place<'a> {
    pub(crate) data: &'a mut [u8],
    pub(crate) control: &'a mut Control,
    pub(crate) name: &'a mut Name,
    /// How long the message was, and its flags.
    pub(crate) result: &'a mut (usize, c_int),
}

/// The headers of several messages. They are kept for their memory alone: between calls there are none, so that
/// there are no pointers either.
#[derive(Default)]
pub(crate) struct Headers {
    messages: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
}

// SAFETY: between calls, which borrow it mutably, both lists are empty.
unsafe impl Send for Headers {}
// SAFETY: as above; and nothing can be done with a shared reference.
unsafe impl Sync for Headers {}

/// recvmmsg(2), descriptors close-on-exec, into at most 1024 of `slots` in turn; `place` says what is where in one.
/// Returns how many were used.
pub(crate) fn recvmmsg<T>(
    fd: BorrowedFd<'_>,
    headers: &mut Headers,
    slots: &mut [T],
    place: impl Fn(&mut T) -> Place<'_>,
    flags: c_int,
) -> Result<usize> {
    let Headers { messages, slices } = headers;
    messages.clear();
    slices.clear();
    for slot in slots.iter_mut().take(MAX_SLICES) {
        let Place { data, control, name, .. } = place(slot);
        control.clear();
        name.len = 0;
        slices.push(libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() });
        messages.push(libc::mmsghdr { msg_hdr: incoming(std::ptr::null_mut(), 1, control, name), msg_len: 0 });
    }
    for (message, slice) in messages.iter_mut().zip(slices.iter_mut()) {
        message.msg_hdr.msg_iov = slice;
    }
    let (count, no_limit) = (messages.len() as _, std::ptr::null_mut());
    // SAFETY: each header says where slice, control messages and name are and how long; the slices are not moved
    // after their addresses were taken; the rest is in `slots`, which are borrowed mutably and not touched meanwhile.
    // The null pointer says that there is no time limit.
    let result = unsafe {
        let flags = (flags | libc::MSG_CMSG_CLOEXEC) as _;
        libc::recvmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, flags, no_limit)
    };
    let result = usize::try_from(result).map_err(|_| last_error());
    for (slot, message) in slots.iter_mut().zip(&*messages).take(*result.as_ref().unwrap_or(&0)) {
        let (place, header) = (place(slot), &message.msg_hdr);
        place.name.len = header.msg_namelen;
        *place.result = (message.msg_len as usize, message_flags(header));
        // SAFETY: the kernel has just written them, and nobody else has seen them.
        unsafe { place.control.received(control_len(header), header.msg_flags) };
    }
    messages.clear();
    slices.clear();
    result
}

/// What a call reads from, as the kernel wants it. All that it points to must outlive the header.
#[inline]
fn outgoing(iov: *const libc::iovec, iovlen: usize, control: &[u8], name: Option<&SocketAddrAny>) -> libc::msghdr {
    // SAFETY: as in `incoming`.
    let mut header: libc::msghdr = unsafe { zeroed() };
    if let Some(name) = name {
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.addr_len();
    }
    header.msg_iov = iov.cast_mut();
    header.msg_iovlen = iovlen as _;
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len() as _;
    }
    header
}

/// sendmsg(2), without SIGPIPE, again where a signal interrupts it. Whoever wrote `control` has made sure that the
/// descriptors in it are open.
#[inline]
pub(crate) fn sendmsg(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    control: &[u8],
    to: Option<&impl SocketAddrArg>,
    flags: c_int,
) -> Result<usize> {
    let name = to.map(SocketAddrArg::as_any);
    // `IoSlice` is guaranteed to be an `iovec`.
    let header = outgoing(bufs.as_ptr().cast(), bufs.len().min(MAX_SLICES), control, name.as_ref());
    let (fd, from) = (fd.as_raw_fd(), &raw const header);
    // SAFETY: the header says where buffers, control messages and name are and how long; all live until after the
    // call, which reads them only, though the fields are mutable pointers.
    uninterrupted(move || unsafe { libc::sendmsg(fd, from, flags | libc::MSG_NOSIGNAL) })
}

/// One message of several to send.
pub(crate) struct Departure<'a> {
    pub(crate) data: IoSlice<'a>,
    pub(crate) control: &'a [u8],
    pub(crate) to: Option<SocketAddrAny>,
}

/// sendmmsg(2), without SIGPIPE, of at most 1024 messages. Returns how many were sent. Of `control` as in [`sendmsg`].
pub(crate) fn sendmmsg<'a>(
    fd: BorrowedFd<'_>,
    departures: impl IntoIterator<Item = Departure<'a>>,
    flags: c_int,
) -> Result<usize> {
    let departures: Vec<Departure<'a>> = departures.into_iter().take(MAX_SLICES).collect();
    let headers = departures.iter().map(|d| libc::mmsghdr {
        // `IoSlice` is guaranteed to be an `iovec`.
        msg_hdr: outgoing((&raw const d.data).cast(), 1, d.control, d.to.as_ref()),
        msg_len: 0,
    });
    let mut headers: Vec<libc::mmsghdr> = headers.collect();
    // SAFETY: each header says where slice, control messages and name are and how long; all live until after the
    // call, which only writes to the headers themselves.
    let result = unsafe {
        let flags = (flags | libc::MSG_NOSIGNAL) as _;
        libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), headers.len() as _, flags)
    };
    usize::try_from(result).map_err(|_| last_error())
}

/// Calls, again for as long as a signal interrupts it.
#[inline]
fn uninterrupted(mut call: impl FnMut() -> libc::ssize_t) -> Result<usize> {
    usize::try_from(call()).or_else(|_| failed(call))
}

/// Out of line, so that a call that succeeds keeps nothing for another one.
#[cold]
#[inline(never)]
fn failed(mut call: impl FnMut() -> libc::ssize_t) -> Result<usize> {
    loop {
        match last_error() {
            Errno::INTR => {}
            e => return Err(e),
        }
        if let Ok(result) = usize::try_from(call()) {
            return Ok(result);
        }
    }
}

#[cold]
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
