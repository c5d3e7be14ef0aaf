use super::{Answer, Exchange, Flags, Message, Messages, Protocol, Request};
use crate::fd::{attempt, owned_fd};
use crate::ffi::netlink::{Received, recv};
use crate::ffi::sockopt;
use crate::{EventBuf, Ready, SetupError, wait};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt as options;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, getsockname, sendto, socket_with};
use std::ffi::c_int;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// What one receive brought.
///
/// ```
/// use becket_sys::netlink::{Flags, Incoming, Protocol, Request, Socket};
/// use becket_sys::{EventBuf, Ready};
///
/// let socket = Socket::new(Protocol::ROUTE)?;
/// socket.try_send(&Request::new(0x7fff, Flags::empty()))?.expect("room");
/// socket.wait_ready(Ready::READ, None)?;
/// let mut buf = EventBuf::with_capacity(8192);
/// let Some(Incoming::Datagram(datagram)) = socket.try_recv(&mut buf)? else { panic!() };
/// let refusal = datagram.messages().next().unwrap().outcome().unwrap().unwrap_err();
/// assert_eq!(refusal.code, 95); // EOPNOTSUPP: no such kind of request
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A datagram.
    Datagram(Datagram<'b>),
    /// Datagrams were lost, for want of room in the receive queue. Told once for any number of them, before those that
    /// were queued earlier; as long as these are not read, more are dropped. Read all, then look at everything again.
    #[doc(alias = "ENOBUFS")]
    Overflow,
}

/// A datagram, lent from the buffer that it was received into.
///
/// ```
/// use becket_sys::netlink::{Incoming, Protocol, Socket};
/// use becket_sys::{EventBuf, Ready};
///
/// let a = Socket::builder(Protocol::USERSOCK).accept_users(true).open()?;
/// let b = Socket::new(Protocol::USERSOCK)?;
/// b.try_send_to(b"no message at all", a.port()?, 0)?.expect("room");
/// let mut buf = EventBuf::with_capacity(10);
/// let Some(Incoming::Datagram(datagram)) = a.try_recv(&mut buf)? else { panic!() };
/// assert_eq!(datagram.sender(), b.port()?);
/// assert_eq!((datagram.as_bytes(), datagram.datagram_len()), (&b"no message"[..], 17));
/// assert!(datagram.is_truncated());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'b> {
    bytes: &'b [u8],
    head: Received,
}

impl<'b> Datagram<'b> {
    /// What is in the buffer.
    pub fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The messages in it. Not all protocols send such.
    pub fn messages(&self) -> Messages<'b> {
        Messages::parse(self.bytes)
    }

    /// How long it was.
    pub fn datagram_len(&self) -> usize {
        self.head.len
    }

    /// Whether it was longer than the buffer; the rest is lost.
    #[doc(alias = "MSG_TRUNC")]
    pub fn is_truncated(&self) -> bool {
        self.head.len > self.bytes.len()
    }

    /// The port of the sender; 0 is the kernel, and the only one unless [others](Builder::accept_users) are asked for.
    #[doc(alias = "nl_pid")]
    pub fn sender(&self) -> u32 {
        self.head.sender
    }

    /// The group that it was sent to, 0 for this socket alone; where [asked for](Socket::set_packet_info).
    #[doc(alias = "nl_pktinfo")]
    pub fn group(&self) -> Option<u32> {
        self.head.group
    }

    /// The number of the network namespace that it is from, as this one counts them; `None` for its own. Where [asked
    /// for](Socket::set_listen_all_namespaces).
    pub fn namespace(&self) -> Option<i32> {
        self.head.namespace
    }
}

/// A netlink socket: netlink(7).
///
/// Close-on-exec and non-blocking, bound to a port that no other socket of its protocol has. Answers quote no requests,
/// and explain refusals where the kernel can. Dropping it closes the descriptor.
///
/// ```
/// use becket_sys::netlink::{Flags, Protocol, Request, Socket};
/// use std::time::{Duration, Instant};
///
/// // The names of all links.
/// let socket = Socket::new(Protocol::ROUTE)?;
/// let mut request = Request::new(18, Flags::DUMP); // RTM_GETLINK
/// request.put([0; 16]); // struct ifinfomsg
/// let reply = socket.request(&request, Some(Instant::now() + Duration::from_secs(5)))?;
/// let names: Vec<_> = reply
///     .messages()
///     .filter_map(|link| link.attributes(16).find(|a| a.kind == 3)) // IFLA_IFNAME
///     .map(|name| name.to_os_str().to_owned())
///     .collect();
/// assert!(names.contains(&"lo".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    accept_users: bool,
    sequence: AtomicU32,
    dropped: AtomicU64,
}

owned_fd!(Socket, Readable);

/// How a [`Socket`] is opened.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket};
///
/// let socket = Socket::builder(Protocol::USERSOCK).port(0x4000_0001 + std::process::id()).open()?;
/// assert_eq!(socket.port()?, 0x4000_0001 + std::process::id());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct Builder {
    protocol: Protocol,
    port: u32,
    accept_users: bool,
}

impl Builder {
    /// The port; the default, 0, lets the kernel choose one.
    #[doc(alias = "nl_pid")]
    pub fn port(mut self, port: u32) -> Self {
        self.port = port;
        self
    }

    /// Whether to receive what other processes send. The default is no: those datagrams are dropped and counted.
    pub fn accept_users(mut self, accept: bool) -> Self {
        self.accept_users = accept;
        self
    }

    /// Opens the socket, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Step `socket`: `EPROTONOSUPPORT` where the kernel has no such protocol, `EMFILE` or `ENFILE` where no descriptor
    /// is left, `ENOBUFS`. Step `bind`: `EADDRINUSE` where another socket has the port.
    pub fn open(&self) -> Result<Socket, SetupError> {
        let fail = |step, e: Errno| SetupError::new(step, format!("netlink protocol {}", self.protocol.as_raw()), e);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = NonZeroU32::new(self.protocol.as_raw()).map(rustix::net::Protocol::from_raw);
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol);
        let fd = fd.map_err(|e| fail("socket", e))?;
        bind(&fd, &SocketAddrNetlink::new(self.port, 0)).map_err(|e| fail("bind", e))?;
        let socket = Socket::wrap(fd, self.accept_users);
        // Kernels before 4.3 and 4.12 do without.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_extended_ack(true);
        Ok(socket)
    }
}

impl Socket {
    /// A socket of `protocol`, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn new(protocol: Protocol) -> Result<Socket, SetupError> {
        Socket::builder(protocol).open()
    }

    /// A socket with a port of one's choice, or one that others may send to.
    pub fn builder(protocol: Protocol) -> Builder {
        Builder { protocol, port: 0, accept_users: false }
    }

    fn wrap(fd: OwnedFd, accept_users: bool) -> Socket {
        Socket { fd, accept_users, sequence: AtomicU32::new(1), dropped: AtomicU64::new(0) }
    }

    /// The port that others reach it by.
    ///
    /// # Errors
    /// None is known.
    pub fn port(&self) -> io::Result<u32> {
        let address = SocketAddrNetlink::try_from(getsockname(&self.fd)?)?;
        Ok(address.pid())
    }

    /// Sends a request to the kernel, with a number that no other request of this socket has had for long, and returns
    /// the number; `None` where there is no room. The kernel has mostly done what it was asked when this returns, and
    /// the answer is there.
    ///
    /// # Errors
    /// `EMSGSIZE` where the request is too long; `ENOBUFS` where the kernel has no memory, or the answer has no room;
    /// `ECONNREFUSED` where nobody in the kernel listens; `EPERM` where the caller may not speak this protocol.
    pub fn try_send(&self, request: &Request) -> io::Result<Option<u32>> {
        // Zero is the number of what nobody asked for.
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed).max(1);
        Ok(self.try_send_to(&request.to_bytes(sequence)?, 0, 0)?.map(|()| sequence))
    }

    /// Sends a datagram to a port (0 is the kernel), and to those of the first 32 groups whose bit is set; `None` where
    /// there is no room.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send); `ECONNREFUSED` where nobody has the port; `EPERM` for groups, without
    /// CAP_NET_ADMIN in most protocols.
    pub fn try_send_to(&self, datagram: &[u8], port: u32, groups: u32) -> io::Result<Option<()>> {
        let to = SocketAddrNetlink::new(port, groups);
        let sent = attempt(|| sendto(&self.fd, datagram, SendFlags::empty(), &to))?;
        Ok(sent.map(drop))
    }

    /// Receives a datagram into `buf`; `None` where there is none. 32 KiB are a good size, see the [module](super).
    ///
    /// # Errors
    /// None is known for the protocols here: what the kernel reports by an error is [`Incoming::Overflow`].
    pub fn try_recv<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<Incoming<'b>>> {
        loop {
            let mut head = Received::default();
            let filled = buf.fill_with(|space| {
                head = retry_on_intr(|| recv(self.fd.as_fd(), space, false))?;
                Ok(head.len)
            });
            match filled.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)) {
                Ok(_) if head.sender == 0 || self.accept_users => {
                    return Ok(Some(Incoming::Datagram(Datagram { bytes: buf.as_bytes(), head })));
                }
                Ok(_) => _ = self.dropped.fetch_add(1, Ordering::Relaxed),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::NOBUFS) => return Ok(Some(Incoming::Overflow)),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// How many datagrams of other processes were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for all of the answer, without any loop.
    ///
    /// A list that the kernel calls interrupted, or of which something was lost, is asked for again, eight times; then
    /// it comes as it is ([`Reply::is_interrupted`]). What groups are told and others send meanwhile is dropped: use a
    /// socket that has joined none. After an error of the waiting, use another socket: answers may still be on their
    /// way.
    ///
    /// # Errors
    /// What the kernel answers, with its explanation as part of the [`subject`](SetupError::subject); `ETIMEDOUT` where
    /// `deadline` comes first; `ENOBUFS` where the confirmation was lost, so that nobody knows whether it was done;
    /// else as [`try_send`](Self::try_send).
    pub fn request(&self, request: &Request, deadline: Option<Instant>) -> Result<Reply, SetupError> {
        const ATTEMPTS: usize = 8;
        let is_list = request.flags().contains(Flags::DUMP);
        let fail = |e: io::Error| SetupError::new("netlink request", request.kind().to_string(), e);
        let mut buf = EventBuf::with_capacity(32 * 1024);
        let mut attempt = 1;
        loop {
            let mut exchange = Exchange::new(self.send_by(request, deadline).map_err(fail)?);
            let mut reply = Reply { bytes: Vec::new(), sequence: exchange.sequence(), interrupted: false };
            let mut done = false;
            while !done {
                let lost = self.prepare(&mut buf, deadline).map_err(fail)?;
                let received = if lost { Some(Incoming::Overflow) } else { self.try_recv(&mut buf).map_err(fail)? };
                let datagram = match received {
                    None => continue,
                    // Whoever may send to this socket could answer in the kernel's place.
                    Some(Incoming::Datagram(datagram)) if datagram.sender() != 0 => continue,
                    Some(Incoming::Datagram(datagram)) if !datagram.is_truncated() => datagram,
                    Some(_) if is_list => {
                        exchange.lost();
                        continue;
                    }
                    Some(Incoming::Datagram(_)) => return Err(fail(Errno::MSGSIZE.into())),
                    Some(Incoming::Overflow) => return Err(fail(Errno::NOBUFS.into())),
                };
                for message in datagram.messages() {
                    match exchange.take(message) {
                        Answer::Done { interrupted } => (done, reply.interrupted) = (true, interrupted),
                        Answer::Refused(refusal) => {
                            let kind = request.kind();
                            let subject = refusal.text.as_ref().map_or(kind.to_string(), |t| format!("{kind}: {t}"));
                            return Err(SetupError::new("netlink request", subject, refusal));
                        }
                        Answer::Part(_) | Answer::Other(_) => {}
                    }
                }
                reply.bytes.extend(datagram.as_bytes());
                reply.bytes.resize(reply.bytes.len().next_multiple_of(4), 0);
            }
            if !(is_list && reply.interrupted) || attempt == ATTEMPTS {
                return Ok(reply);
            }
            attempt += 1;
        }
    }

    fn send_by(&self, request: &Request, deadline: Option<Instant>) -> io::Result<u32> {
        loop {
            match self.try_send(request)? {
                Some(sequence) => return Ok(sequence),
                None => wait(self, Ready::WRITE, deadline)?.ok_or(Errno::TIMEDOUT)?,
            };
        }
    }

    /// Waits for a datagram and makes room for it; says whether something was lost instead.
    fn prepare(&self, buf: &mut EventBuf, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            match attempt(|| recv(self.fd.as_fd(), &mut [], true)) {
                Ok(None) => _ = wait(self, Ready::READ, deadline)?.ok_or(Errno::TIMEDOUT)?,
                Ok(Some(next)) => {
                    // Some messages are longer than any buffer that one would guess.
                    if next.len > buf.capacity() {
                        *buf = EventBuf::with_capacity(next.len);
                    }
                    return Ok(false);
                }
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(true),
                Err(e) => return Err(e),
            }
        }
    }
}

/// What the kernel answered to [`Socket::request`].
///
/// ```
/// use becket_sys::netlink::{Flags, Protocol, Request, Socket};
///
/// let socket = Socket::new(Protocol::ROUTE)?;
/// let mut request = Request::new(18, Flags::empty()); // RTM_GETLINK
/// request.put([0; 16]);
/// request.attr_str(3, "lo"); // IFLA_IFNAME
/// let reply = socket.request(&request, None)?;
/// assert_eq!(reply.messages().count(), 1);
/// assert!(!reply.is_interrupted());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    sequence: u32,
    interrupted: bool,
}

impl Reply {
    /// The messages of the answer, without its end.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        Messages::parse(&self.bytes).filter(|message| match Exchange::new(self.sequence).take(*message) {
            Answer::Part(_) => true,
            Answer::Other(_) | Answer::Done { .. } | Answer::Refused(_) => false,
        })
    }

    /// Whether the list may have gaps and doubles, because it changed each time that it was asked for.
    #[doc(alias = "NLM_F_DUMP_INTR")]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }
}

/// Options of netlink(7) and socket(7). Each setter fails with `ENOPROTOOPT` where the kernel is older than the option.
impl Socket {
    /// Joins a group: what it is told is received from now on.
    ///
    /// # Errors
    /// `EINVAL` where the protocol has no such group; `EPERM` where the protocol wants a right for it.
    #[doc(alias = "NETLINK_ADD_MEMBERSHIP")]
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.set(libc::NETLINK_ADD_MEMBERSHIP, group.cast_signed())
    }

    /// Leaves a group. What is queued stays to be read. Nothing happens where it is no member.
    ///
    /// # Errors
    /// `EINVAL` where the protocol has no such group.
    #[doc(alias = "NETLINK_DROP_MEMBERSHIP")]
    pub fn leave(&self, group: u32) -> io::Result<()> {
        self.set(libc::NETLINK_DROP_MEMBERSHIP, group.cast_signed())
    }

    /// The groups that it has joined, of the first 2048.
    ///
    /// # Errors
    /// `ENOPROTOOPT` before Linux 4.2.
    #[doc(alias = "NETLINK_LIST_MEMBERSHIPS")]
    pub fn groups(&self) -> io::Result<Vec<u32>> {
        let mut words: [c_int; 64] = [0; 64];
        sockopt::read(&self.fd, libc::SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS, &mut words)?;
        // Group 1 is the lowest bit.
        let is_member = |group: &u32| words[(group - 1) as usize / 32] & (1 << ((group - 1) % 32)) != 0;
        Ok((1..=2048).filter(is_member).collect())
    }

    /// Whether refusals are explained; the default is yes, from Linux 4.12 on.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_EXT_ACK")]
    pub fn set_extended_ack(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_EXT_ACK, on.into())
    }

    /// Whether confirmations leave out the content of the request; the default is yes, from Linux 4.3 on.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_CAP_ACK")]
    pub fn set_cap_ack(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_CAP_ACK, on.into())
    }

    /// Whether requests to get something are checked for what the kernel does not know, and lists are filtered as
    /// asked; the default is no. Linux 4.20.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_GET_STRICT_CHK")]
    pub fn set_strict_checking(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_GET_STRICT_CHK, on.into())
    }

    /// Whether to say nothing of lost datagrams; the default is no.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_NO_ENOBUFS")]
    pub fn set_no_overflow(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_NO_ENOBUFS, on.into())
    }

    /// Whether datagrams come with their [`group`](Datagram::group); the default is no.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_PKTINFO")]
    pub fn set_packet_info(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_PKTINFO, on.into())
    }

    /// Whether sending to a group fails where one of its members has no room; the default is no.
    ///
    /// # Errors
    /// None but `ENOPROTOOPT`.
    #[doc(alias = "NETLINK_BROADCAST_ERROR")]
    pub fn set_broadcast_error(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_BROADCAST_ERROR, on.into())
    }

    /// Whether groups are heard of all network namespaces that this one has a number for; the default is no. Linux 4.2.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_BROADCAST.
    #[doc(alias = "NETLINK_LISTEN_ALL_NSID")]
    pub fn set_listen_all_namespaces(&self, on: bool) -> io::Result<()> {
        self.set(libc::NETLINK_LISTEN_ALL_NSID, on.into())
    }

    fn set(&self, option: c_int, value: c_int) -> io::Result<()> {
        sockopt::set(&self.fd, libc::SOL_NETLINK, option, &value)
    }

    /// The size of the receive queue as the kernel counts it.
    ///
    /// # Errors
    /// None is known.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        Ok(options::socket_recv_buffer_size(&self.fd)?)
    }

    /// Sets the size of the receive queue, in bytes; the kernel keeps the double, for its own bookkeeping, and caps it
    /// at `/proc/sys/net/core/rmem_max` without an error.
    ///
    /// # Errors
    /// None is known.
    #[doc(alias = "SO_RCVBUF")]
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(options::set_socket_recv_buffer_size(&self.fd, bytes.min(i32::MAX as usize))?)
    }

    /// As [`set_recv_buffer_size`](Self::set_recv_buffer_size), beyond the cap.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN.
    #[doc(alias = "SO_RCVBUFFORCE")]
    pub fn force_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(options::set_socket_recv_buffer_size_force(&self.fd, bytes.min(i32::MAX as usize))?)
    }

    /// The size of the send queue as the kernel counts it.
    ///
    /// # Errors
    /// None is known.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(options::socket_send_buffer_size(&self.fd)?)
    }

    /// Sets the size of the send queue, in bytes: no datagram can be longer. The kernel keeps the double, and caps it
    /// at `/proc/sys/net/core/wmem_max` without an error.
    ///
    /// # Errors
    /// None is known.
    #[doc(alias = "SO_SNDBUF")]
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        Ok(options::set_socket_send_buffer_size(&self.fd, bytes.min(i32::MAX as usize))?)
    }
}

/// Takes over a netlink socket that somebody else has opened; the blocking mode and the options stay as they are. Other
/// sockets come back, with `EAFNOSUPPORT`: descriptors could come along with what they receive, and be lost.
impl TryFrom<OwnedFd> for Socket {
    type Error = (OwnedFd, io::Error);

    fn try_from(fd: OwnedFd) -> Result<Socket, (OwnedFd, io::Error)> {
        match options::socket_domain(&fd) {
            Ok(AddressFamily::NETLINK) => Ok(Socket::wrap(fd, false)),
            Ok(_) => Err((fd, Errno::AFNOSUPPORT.into())),
            Err(e) => Err((fd, e.into())),
        }
    }
}
