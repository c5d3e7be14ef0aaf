//! Control messages as bytes: nothing here calls the kernel, or owns anything.

use crate::unix::Credentials;
use std::iter::FusedIterator;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime};

/// The head of a control message, as the kernel has it: its length as a word, then level and type.
pub(crate) const HEAD: usize = size_of::<usize>() + 8;

pub(crate) const SCM_PIDFD: i32 = 4;
pub(crate) const SCM_SECURITY: i32 = 3;
/// SCM_INQ, which is SO_INQ, of unix streams.
const SCM_INQ: i32 = 84;
const IP_FRAGSIZE: i32 = 25;
const IPV6_FRAGSIZE: i32 = 77;
const IPV6_ORIGDSTADDR: i32 = 74;
// Times of the size of a C `long`, and of 64 bits.
const TIMESTAMP: [i32; 2] = [29, 63];
const TIMESTAMPNS: [i32; 2] = [35, 64];
const TIMESTAMPING: [i32; 2] = [37, 65];

/// Lengths are rounded up to a multiple of a word.
const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// The head of a control message with `len` bytes of data.
#[inline]
pub(super) const fn head(level: i32, kind: i32, len: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (word, ints) = head.split_at_mut(size_of::<usize>());
    let (first, second) = ints.split_at_mut(4);
    word.copy_from_slice(&(HEAD + len).to_ne_bytes());
    first.copy_from_slice(&level.to_ne_bytes());
    second.copy_from_slice(&kind.to_ne_bytes());
    head
}

/// The head of a message with one descriptor.
pub(super) const ONE_FD: [u8; HEAD] = head(libc::SOL_SOCKET, libc::SCM_RIGHTS, size_of::<RawFd>());

/// The number of the descriptor in `bytes`, where these are one control message with one descriptor: what comes mostly.
#[inline]
pub(crate) fn only_fd(bytes: &[u8]) -> Option<RawFd> {
    let (head, data) = bytes.split_first_chunk::<HEAD>()?;
    let ours = *head == ONE_FD && data.len() == const { space(size_of::<RawFd>()) - HEAD };
    ours.then(|| field(data, 0).map(RawFd::from_ne_bytes))?
}

/// How many bytes of room a control message with `len` bytes of data takes. A descriptor is 4 bytes.
///
/// ```
/// use becket_sys::cmsg::space;
///
/// # #[cfg(target_pointer_width = "64")]
/// assert_eq!([space(0), space(4), space(8), space(12)], [16, 24, 24, 32]);
/// ```
#[doc(alias = "CMSG_SPACE")]
pub const fn space(len: usize) -> usize {
    HEAD + align(len)
}

/// The control messages in `bytes`, as plain records that own nothing: to look at a recording, or to fuzz.
///
/// `bytes` need no alignment. What was received, [`Incoming`](super::Incoming) parses by this.
///
/// ```
/// use becket_sys::cmsg::{self, Message, Outgoing};
///
/// let mut out = Outgoing::new();
/// out.push_hop_limit(3);
/// let mut bytes = out.as_bytes().to_vec();
/// bytes.extend([1, 2, 3]);
///
/// let mut records = cmsg::parse(&bytes);
/// assert_eq!(records.next().unwrap().decode(), Message::HopLimit(3)); // for IPv4
/// assert_eq!(records.next().unwrap().decode(), Message::HopLimit(3)); // for IPv6
/// assert!(records.next().is_none());
/// assert_eq!(records.remainder(), [1, 2, 3]);
/// ```
pub fn parse(bytes: &[u8]) -> Records<'_> {
    Records { bytes }
}

/// An iterator over control messages: see [`parse`].
///
/// It ends at bytes that are no whole message (a length below that of the head, or beyond the end), which the kernel
/// never writes, and keeps them as the [`remainder`](Self::remainder).
#[derive(Debug, Clone)]
pub struct Records<'b> {
    bytes: &'b [u8],
}

impl<'b> Records<'b> {
    /// What is not parsed yet; at the end, what could not be.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Record<'b>;

    #[inline]
    fn next(&mut self) -> Option<Record<'b>> {
        let head = self.bytes.first_chunk::<HEAD>()?;
        let len = usize::from_ne_bytes(field(head, 0)?);
        let level = i32::from_ne_bytes(field(head, size_of::<usize>())?);
        let kind = i32::from_ne_bytes(field(head, size_of::<usize>() + 4)?);
        let data = self.bytes.get(HEAD..len)?;
        // The last one need not be padded.
        self.bytes = self.bytes.get(align(len)..).unwrap_or_default();
        Some(Record { level, kind, data })
    }
}

impl FusedIterator for Records<'_> {}

/// One control message: a level (a protocol), a type of that level, and bytes.
///
/// ```
/// use becket_sys::cmsg::{Message, Record};
///
/// let record = Record { level: 0, kind: 2, data: &[64, 0, 0, 0] };
/// # #[cfg(target_endian = "little")]
/// assert_eq!(record.decode(), Message::HopLimit(64)); // IPPROTO_IP, IP_TTL
/// let short = Record { data: &[64], ..record };
/// assert_eq!(short.decode(), Message::Unknown(short));
/// ```
#[doc(alias = "cmsghdr")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record<'b> {
    /// `SOL_SOCKET`, `IPPROTO_IP` and so on.
    #[doc(alias = "cmsg_level")]
    pub level: i32,
    /// What it is, of that level.
    #[doc(alias = "cmsg_type")]
    pub kind: i32,
    /// The rest.
    pub data: &'b [u8],
}

impl<'b> Record<'b> {
    /// What the message means; [`Message::Unknown`] where this crate does not know, or the data are too short or
    /// make no sense.
    pub fn decode(self) -> Message<'b> {
        self.known().unwrap_or(Message::Unknown(self))
    }

    /// The data as numbers of descriptors, which only those of SCM_RIGHTS and SCM_PIDFD are.
    #[inline]
    pub(crate) fn numbers(self) -> Numbers<'b> {
        Numbers { bytes: self.data }
    }

    fn known(&self) -> Option<Message<'b>> {
        let data = self.data;
        let int = || Some(i32::from_ne_bytes(field(data, 0)?));
        let unsigned = || Some(u32::from_ne_bytes(field(data, 0)?));
        // Some kernels write a byte, others an `int`.
        let byte = || match data {
            [byte] => Some(*byte),
            _ => u8::try_from(int()?).ok(),
        };
        Some(match (self.level, self.kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => Message::Rights(self.numbers()),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                let [pid, uid, gid] = [field(data, 0)?, field(data, 4)?, field(data, 8)?].map(u32::from_ne_bytes);
                Message::Credentials(Credentials::new(pid, uid, gid))
            }
            (libc::SOL_SOCKET, SCM_SECURITY) => Message::Security(data.strip_suffix(&[0]).unwrap_or(data)),
            (libc::SOL_SOCKET, SCM_PIDFD) => Message::PidFd(int()?),
            (libc::SOL_SOCKET, kind) if TIMESTAMP.contains(&kind) => {
                let (seconds, micros) = time(data, 0, kind == TIMESTAMP[1])?;
                Message::Timestamp(point(seconds, micros.checked_mul(1000)?)?)
            }
            (libc::SOL_SOCKET, kind) if TIMESTAMPNS.contains(&kind) => {
                let (seconds, nanos) = time(data, 0, kind == TIMESTAMPNS[1])?;
                Message::Timestamp(point(seconds, nanos)?)
            }
            (libc::SOL_SOCKET, kind) if TIMESTAMPING.contains(&kind) => {
                // Three times, of which the second is out of use.
                let wide = kind == TIMESTAMPING[1];
                let (software, hardware) = (time(data, 0, wide)?, time(data, 2, wide)?);
                let set = |(seconds, nanos)| seconds != 0 || nanos != 0;
                let software = if set(software) { Some(point(software.0, software.1)?) } else { None };
                let hardware = if set(hardware) { Some(since(hardware.0, hardware.1)?) } else { None };
                Message::Timestamps { software, hardware }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => Message::Dropped(unsigned()?),
            (libc::SOL_SOCKET, libc::SO_MARK) => Message::Mark(unsigned()?),
            (libc::SOL_SOCKET, libc::SO_PRIORITY) => Message::Priority(unsigned()?),
            (libc::SOL_SOCKET, SCM_INQ) | (libc::IPPROTO_TCP, libc::TCP_CM_INQ) => Message::Unread(unsigned()?),
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let reply_from = Ipv4Addr::from(field::<4>(data, 4)?);
                Message::PacketInfo(PacketInfo {
                    destination: Ipv4Addr::from(field::<4>(data, 8)?).into(),
                    reply_from: Some(reply_from.into()).filter(|_| !reply_from.is_unspecified()),
                    interface: unsigned()?,
                })
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let destination = Ipv6Addr::from(field::<16>(data, 0)?);
                let multicast = destination.is_multicast()
                    || destination.to_ipv4_mapped().is_some_and(|v4| v4.is_multicast() || v4.is_broadcast());
                Message::PacketInfo(PacketInfo {
                    destination: destination.into(),
                    reply_from: Some(destination.into()).filter(|_| !multicast),
                    interface: u32::from_ne_bytes(field(data, 16)?),
                })
            }
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                Message::TrafficClass(byte()?)
            }
            (libc::IPPROTO_IP, libc::IP_TTL) if data.len() >= 4 => Message::HopLimit(byte()?),
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) if data.len() >= 4 => Message::HopLimit(byte()?),
            (libc::IPPROTO_IP, libc::IP_ORIGDSTADDR) | (libc::IPPROTO_IPV6, IPV6_ORIGDSTADDR) => {
                Message::OriginalDestination(address(data)?)
            }
            (libc::IPPROTO_IP, IP_FRAGSIZE) | (libc::IPPROTO_IPV6, IPV6_FRAGSIZE) => Message::FragmentSize(unsigned()?),
            (libc::SOL_UDP, libc::UDP_GRO) => Message::SegmentSize(match data {
                [a, b] => u16::from_ne_bytes([*a, *b]),
                _ => u16::try_from(int()?).ok()?,
            }),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                let [errno, info, more] = [field(data, 0)?, field(data, 8)?, field(data, 12)?].map(u32::from_ne_bytes);
                let [origin, kind, code] = field(data, 4)?;
                let offender = address(data.get(16..)?);
                Message::Error(ExtendedError {
                    errno: errno.cast_signed(),
                    origin,
                    kind,
                    code,
                    info,
                    data: more,
                    offender,
                })
            }
            _ => return None,
        })
    }
}

/// What a control message says. The name of the option that asks for it stands with each.
///
/// ```
/// use becket_sys::cmsg::{Incoming, Message, Outgoing};
/// use becket_sys::unix::Datagram;
/// use std::os::fd::AsFd;
///
/// let (a, b) = Datagram::pair()?;
/// let (reader, _writer) = std::io::pipe()?;
/// let mut out = Outgoing::new();
/// out.push_fds(&[reader.as_fd()])?;
/// a.try_send_with(b"x", &out)?;
///
/// let mut control = Incoming::new();
/// b.try_recv_with(&mut [0; 8], &mut control)?.expect("a datagram");
/// let Some(Message::Rights(numbers)) = control.messages().next() else { panic!("a descriptor") };
/// assert_eq!(numbers.len(), 1);
/// assert_eq!(control.take_fds()?.len(), 1); // the descriptor itself
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Message<'b> {
    /// Descriptors, as numbers. They are not these numbers' to close: [`Incoming::take_fds`](super::Incoming::take_fds)
    /// hands out the descriptors.
    #[doc(alias = "SCM_RIGHTS")]
    Rights(Numbers<'b>),
    /// Who sent it, as the kernel vouches for: `SO_PASSCRED`.
    #[doc(alias = "SCM_CREDENTIALS")]
    Credentials(Credentials),
    /// The number of a descriptor of the process that sent it, or an error below zero: `SO_PASSPIDFD`. It is not this
    /// number's to close: [`Incoming::take_pidfd`](super::Incoming::take_pidfd) hands out the descriptor.
    #[doc(alias = "SCM_PIDFD")]
    PidFd(RawFd),
    /// The label of the sender in a security module, without the NUL at its end: `SO_PASSSEC`.
    #[doc(alias = "SCM_SECURITY")]
    Security(&'b [u8]),
    /// When the kernel received it, by the realtime clock: `SO_TIMESTAMP` or `SO_TIMESTAMPNS`.
    #[doc(alias = "SCM_TIMESTAMP")]
    #[doc(alias = "SCM_TIMESTAMPNS")]
    Timestamp(SystemTime),
    /// When it was received, or, with an [`Error`](Self::Error) from the error queue, sent: `SO_TIMESTAMPING`. What is
    /// received right after the option was set may come without.
    #[doc(alias = "SCM_TIMESTAMPING")]
    Timestamps {
        /// By the kernel, with the realtime clock.
        software: Option<SystemTime>,
        /// By the network device, with a clock of its own: since the beginning of that.
        hardware: Option<Duration>,
    },
    /// Where it was sent to: `IP_PKTINFO`, `IPV6_RECVPKTINFO`.
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_PKTINFO")]
    PacketInfo(PacketInfo),
    /// The traffic class, the type of service of IPv4: six bits of DSCP and then two of ECN: `IP_RECVTOS`,
    /// `IPV6_RECVTCLASS`.
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    TrafficClass(u8),
    /// How many routers it might still have passed: `IP_RECVTTL`, `IPV6_RECVHOPLIMIT`.
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_HOPLIMIT")]
    HopLimit(u8),
    /// Where it was going before a transparent proxy took it: `IP_RECVORIGDSTADDR`, `IPV6_RECVORIGDSTADDR`.
    #[doc(alias = "IP_ORIGDSTADDR")]
    #[doc(alias = "IPV6_ORIGDSTADDR")]
    OriginalDestination(SocketAddr),
    /// The size of the largest fragment that it came in: `IP_RECVFRAGSIZE`, `IPV6_RECVFRAGSIZE`.
    #[doc(alias = "IP_RECVFRAGSIZE")]
    FragmentSize(u32),
    /// What was received are several datagrams in a row, each of this size, but for the last, which may be shorter:
    /// `UDP_GRO`. It comes only where there is more than one.
    #[doc(alias = "UDP_GRO")]
    SegmentSize(u16),
    /// An error of an earlier packet, or news of it, from the error queue: `IP_RECVERR`, `IPV6_RECVERR`.
    #[doc(alias = "IP_RECVERR")]
    #[doc(alias = "IPV6_RECVERR")]
    Error(ExtendedError),
    /// How many packets the socket has dropped since it was made, for want of room, wrapping around: `SO_RXQ_OVFL`.
    /// None comes before the first was dropped.
    #[doc(alias = "SO_RXQ_OVFL")]
    Dropped(u32),
    /// The mark of the packet: `SO_RCVMARK`.
    #[doc(alias = "SO_MARK")]
    Mark(u32),
    /// The priority of the packet: `SO_RCVPRIORITY`.
    #[doc(alias = "SO_PRIORITY")]
    Priority(u32),
    /// How many bytes of the stream are yet to be read: `TCP_INQ`, `SO_INQ`.
    #[doc(alias = "TCP_CM_INQ")]
    #[doc(alias = "SCM_INQ")]
    Unread(u32),
    /// What this crate does not know, or cannot make sense of.
    Unknown(Record<'b>),
}

/// The numbers of descriptors, as a message has them: see [`Message::Rights`].
///
/// ```
/// use becket_sys::cmsg::{Message, Record};
///
/// let bytes = [[5i32, 7].map(i32::to_ne_bytes).as_flattened(), &[1, 2]].concat();
/// let Message::Rights(mut numbers) = Record { level: 1, kind: 1, data: &bytes }.decode() else { panic!() };
/// assert_eq!(numbers.len(), 2); // half a number is none
/// assert_eq!((numbers.next(), numbers.last()), (Some(5), Some(7)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Numbers<'b> {
    bytes: &'b [u8],
}

impl Iterator for Numbers<'_> {
    type Item = RawFd;

    #[inline]
    fn next(&mut self) -> Option<RawFd> {
        let (number, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(RawFd::from_ne_bytes(*number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bytes.len() / size_of::<RawFd>();
        (len, Some(len))
    }
}

impl ExactSizeIterator for Numbers<'_> {}
impl FusedIterator for Numbers<'_> {}

/// Where a packet was sent to: ip(7), ipv6(7).
///
/// ```
/// use becket_sys::cmsg::{Incoming, Message};
/// use becket_sys::{Ready, udp::Socket};
/// use std::net::Ipv4Addr;
///
/// let socket = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0))?;
/// socket.set_packet_info(true)?;
/// socket.try_send_to(b"x", ([127, 0, 0, 3], socket.local_addr()?.port()))?;
///
/// socket.wait_ready(Ready::READ, None)?;
/// let mut control = Incoming::new();
/// socket.try_recv_with(&mut [0; 8], &mut control)?.expect("a datagram");
/// let Some(Message::PacketInfo(info)) = control.messages().next() else { panic!("it was asked for") };
/// assert_eq!(info.destination.to_string(), "127.0.0.3");
/// assert_eq!(info.reply_from, Some(info.destination)); // it is this machine's own
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "in_pktinfo")]
#[doc(alias = "in6_pktinfo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PacketInfo {
    /// The address in the head of the packet: one of this machine, or a multicast or broadcast address. An IPv6 socket
    /// tells IPv4 addresses as `::ffff:192.0.2.1`.
    #[doc(alias = "ipi_addr")]
    pub destination: IpAddr,
    /// The address of this machine to answer from, for [`Outgoing::push_source`](super::Outgoing::push_source). `None`
    /// where the kernel does not tell: for IPv6 multicast.
    #[doc(alias = "ipi_spec_dst")]
    pub reply_from: Option<IpAddr>,
    /// The index of the interface, as if_indextoname(3) takes it.
    #[doc(alias = "ipi_ifindex")]
    pub interface: u32,
}

/// What befell an earlier packet: "extended reliable error message" in ip(7), and
/// `Documentation/networking/timestamping.rst`, `msg_zerocopy.rst` of the kernel.
///
/// ```
/// use becket_sys::cmsg::{Message, Record};
///
/// let mut bytes = 111u32.to_ne_bytes().to_vec(); // ECONNREFUSED
/// bytes.extend([2, 3, 3, 0]); // by ICMP: destination unreachable, port unreachable
/// bytes.extend([0; 8]);
/// bytes.extend(2u16.to_ne_bytes()); // AF_INET
/// bytes.extend([0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
/// let Message::Error(e) = Record { level: 0, kind: 11, data: &bytes }.decode() else { panic!() };
/// assert!(e.is_icmp());
/// assert_eq!(e.to_io_error().kind(), std::io::ErrorKind::ConnectionRefused);
/// assert_eq!(e.offender.unwrap().ip().to_string(), "192.0.2.1");
/// ```
#[doc(alias = "sock_extended_err")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ExtendedError {
    /// The operating system's code: `ENOMSG` for a time of sending, 0 for the completion of a send without copying.
    #[doc(alias = "ee_errno")]
    pub errno: i32,
    /// Where it comes from: `SO_EE_ORIGIN_…`.
    #[doc(alias = "ee_origin")]
    pub origin: u8,
    /// The type of the ICMP message, if it is one.
    #[doc(alias = "ee_type")]
    pub kind: u8,
    /// The code of the ICMP message, if it is one.
    #[doc(alias = "ee_code")]
    pub code: u8,
    /// For `EMSGSIZE` the size that would fit; for times which one it is (`SCM_TSTAMP_…`); for sends without copying the
    /// number of the first that is done.
    #[doc(alias = "ee_info")]
    pub info: u32,
    /// For times, the number of the packet; for sends without copying, that of the last that is done.
    #[doc(alias = "ee_data")]
    pub data: u32,
    /// Who reported it, with port 0; `None` where that is not known, or it was this machine.
    #[doc(alias = "SO_EE_OFFENDER")]
    pub offender: Option<SocketAddr>,
}

impl ExtendedError {
    /// Whether it is an ICMP message of either version.
    pub fn is_icmp(&self) -> bool {
        matches!(self.origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6)
    }

    /// Whether this machine found out by itself, such as that a packet is too large.
    pub fn is_local(&self) -> bool {
        self.origin == libc::SO_EE_ORIGIN_LOCAL
    }

    /// As an error.
    pub fn to_io_error(&self) -> std::io::Error {
        std::io::Error::from_raw_os_error(self.errno)
    }
}

/// Of the time at `index`, the seconds and the parts of a second: `long`s, or 64 bits each if `wide`.
fn time(data: &[u8], index: usize, wide: bool) -> Option<(i64, i64)> {
    if wide || size_of::<libc::c_long>() == 8 {
        let data = data.get(16 * index..)?;
        Some((i64::from_ne_bytes(field(data, 0)?), i64::from_ne_bytes(field(data, 8)?)))
    } else {
        let data = data.get(8 * index..)?;
        Some((i32::from_ne_bytes(field(data, 0)?).into(), i32::from_ne_bytes(field(data, 4)?).into()))
    }
}

fn since(seconds: i64, nanos: i64) -> Option<Duration> {
    let nanos = u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds.try_into().ok()?, nanos))
}

fn point(seconds: i64, nanos: i64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(since(seconds, nanos)?)
}

/// A `sockaddr_in` or `sockaddr_in6`.
fn address(data: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(field(data, 2)?);
    match i32::from(u16::from_ne_bytes(field(data, 0)?)) {
        libc::AF_INET => Some((Ipv4Addr::from(field::<4>(data, 4)?), port).into()),
        libc::AF_INET6 => {
            let flow = u32::from_be_bytes(field(data, 4)?);
            let scope = u32::from_ne_bytes(field(data, 24)?);
            Some(SocketAddrV6::new(Ipv6Addr::from(field::<16>(data, 8)?), port, flow, scope).into())
        }
        _ => None,
    }
}

/// The `N` bytes at `offset`, if they are there.
#[inline]
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
