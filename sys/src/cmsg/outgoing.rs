use super::message::{HEAD, ONE_FD, head, space};
use crate::unix::Credentials;
use rustix::io::Errno;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{fmt, io};

/// What goes with a message beside its data. May be sent many times.
///
/// Descriptors in it are borrowed, so that they are open when it is sent. The receiver gets duplicates; they can be
/// closed here as soon as it is sent.
///
/// ```
/// use becket_sys::cmsg::{Message, Outgoing};
/// use std::os::fd::{AsFd, AsRawFd};
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut out = Outgoing::new();
/// assert!(out.is_empty());
/// out.push_fds(&[reader.as_fd(), writer.as_fd()])?.push_traffic_class(0xb8);
/// let first = out.records().next().unwrap().decode();
/// let Message::Rights(numbers) = first else { panic!("{first:?}") };
/// assert!(numbers.eq([reader.as_raw_fd(), writer.as_raw_fd()]));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// What is to be sent cannot be closed before:
///
/// ```compile_fail,E0505
/// use becket_sys::cmsg::Outgoing;
/// use std::os::fd::AsFd;
///
/// let (reader, _writer) = std::io::pipe().unwrap();
/// let mut out = Outgoing::new();
/// out.push_fds(&[reader.as_fd()]).unwrap();
/// drop(reader);
/// assert_eq!(out.fd_count(), 1);
/// ```
#[doc(alias = "msghdr")]
#[doc(alias = "ancillary")]
#[derive(Clone, Default)]
pub struct Outgoing<'fd> {
    bytes: Vec<u8>,
    fds: usize,
    borrowed: PhantomData<BorrowedFd<'fd>>,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.records().map(|record| record.decode())).finish()
    }
}

/// SCM_MAX_FD.
const MAX_FDS: usize = 253;
const SO_TXTIME: i32 = 61;
const SCM_TS_OPT_ID: i32 = 81;
const SOL_RDS: i32 = 276;

impl<'fd> Outgoing<'fd> {
    /// Nothing.
    pub fn new() -> Outgoing<'fd> {
        Self::default()
    }

    /// Adds duplicates of descriptors, for a unix socket; in all at most 253. An empty list adds nothing.
    ///
    /// # Errors
    /// `EINVAL` above 253. Sending fails with `ETOOMANYREFS` where more descriptors than this process may open are on
    /// their way, sent by this user and not yet received; `EPERM` where the receiver
    /// [takes none](crate::unix::Stream::set_pass_rights).
    #[doc(alias = "SCM_RIGHTS")]
    #[inline]
    pub fn push_fds(&mut self, fds: &[BorrowedFd<'fd>]) -> io::Result<&mut Self> {
        if self.fds + fds.len() > MAX_FDS {
            return Err(Errno::INVAL.into());
        }
        match fds {
            [] => {}
            // What is sent mostly, in one piece.
            [fd] => {
                const SPACE: usize = space(size_of::<i32>());
                let mut record = [0; SPACE];
                record[..HEAD].copy_from_slice(&ONE_FD);
                record[HEAD..HEAD + size_of::<i32>()].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
                self.bytes.extend_from_slice(&record);
            }
            _ => {
                self.bytes.extend_from_slice(&head(libc::SOL_SOCKET, libc::SCM_RIGHTS, size_of_val(fds)));
                fds.iter().for_each(|fd| self.bytes.extend_from_slice(&fd.as_raw_fd().to_ne_bytes()));
                self.pad();
            }
        }
        self.fds += fds.len();
        Ok(self)
    }

    /// Says who sends it, for a unix socket. The kernel checks it: sending fails with `EPERM` where it is not this
    /// process (without CAP_SYS_ADMIN), or not one of its real, effective and saved users and groups (without
    /// CAP_SETUID and CAP_SETGID); with `ESRCH` where there is no such process.
    ///
    /// Receivers that ask for credentials get them without this too: then the effective ones. A process of `None` is
    /// this one.
    #[doc(alias = "SCM_CREDENTIALS")]
    pub fn push_credentials(&mut self, credentials: Credentials) -> &mut Self {
        let pid = credentials.pid.unwrap_or_else(std::process::id);
        let words = [pid, credentials.uid, credentials.gid].map(u32::to_ne_bytes);
        self.append(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, words.as_flattened())
    }

    /// Sends from the address `source` of this machine, and by the interface of this index. An unspecified address
    /// and 0 leave the choice to the routes. To answer from where one was asked, give what
    /// [`PacketInfo`](super::PacketInfo) says.
    ///
    /// The address must be of the family of the receiver's, or, on an IPv6 socket, `::ffff:192.0.2.1`. What is of the
    /// other one is ignored by the kernel. Sending fails with `ENETUNREACH` (IPv6: `EINVAL`) where this
    /// machine does not have the address.
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_PKTINFO")]
    pub fn push_source(&mut self, source: IpAddr, interface: u32) -> &mut Self {
        match source {
            IpAddr::V4(source) => {
                let words = [interface.to_ne_bytes(), source.octets(), [0; 4]];
                self.append(libc::IPPROTO_IP, libc::IP_PKTINFO, words.as_flattened())
            }
            IpAddr::V6(source) => {
                let mut bytes = [0; 20];
                bytes[..16].copy_from_slice(&source.octets());
                bytes[16..].copy_from_slice(&interface.to_ne_bytes());
                self.append(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &bytes)
            }
        }
    }

    /// Sends with this traffic class, the type of service of IPv4. It is said for both versions: the kernel ignores
    /// the one that does not apply.
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub fn push_traffic_class(&mut self, class: u8) -> &mut Self {
        self.append_int(libc::IPPROTO_IP, libc::IP_TOS, class.into());
        self.append_int(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class.into())
    }

    /// Lets it pass this many routers, counting from 1. It is said for both versions: the kernel ignores the one that
    /// does not apply. Sending over IPv4 fails with `EINVAL` for 0.
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_HOPLIMIT")]
    pub fn push_hop_limit(&mut self, hops: u8) -> &mut Self {
        self.append_int(libc::IPPROTO_IP, libc::IP_TTL, hops.into());
        self.append_int(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, hops.into())
    }

    /// Cuts the data into datagrams of this size, the last of which may be shorter; 0 does not. At most 128 of them,
    /// and 65507 bytes in all over IPv4. Sending fails with `EINVAL` or `EMSGSIZE` above these limits, and where one
    /// datagram does not fit into the packets of the device.
    #[doc(alias = "UDP_SEGMENT")]
    #[doc(alias = "GSO")]
    pub fn push_segment_size(&mut self, size: u16) -> &mut Self {
        self.append(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())
    }

    /// Sends it at this time, in nanoseconds of the clock that the socket was told by `SO_TXTIME`; without that,
    /// sending fails with `EINVAL`.
    #[doc(alias = "SCM_TXTIME")]
    pub fn push_time(&mut self, nanoseconds: u64) -> &mut Self {
        self.append(libc::SOL_SOCKET, SO_TXTIME, &nanoseconds.to_ne_bytes())
    }

    /// Asks for times of sending: the bits `SOF_TIMESTAMPING_TX_…`; sending fails with `EINVAL` for others.
    #[doc(alias = "SO_TIMESTAMPING")]
    pub fn push_timestamping(&mut self, flags: u32) -> &mut Self {
        self.append(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags.to_ne_bytes())
    }

    /// The number that the times of sending bear; needs Linux 6.13 and `SOF_TIMESTAMPING_OPT_ID` set on the socket.
    #[doc(alias = "SCM_TS_OPT_ID")]
    pub fn push_timestamp_id(&mut self, id: u32) -> &mut Self {
        self.append(libc::SOL_SOCKET, SCM_TS_OPT_ID, &id.to_ne_bytes())
    }

    /// Gives it a mark for routing and filters. Sending fails with `EPERM` without CAP_NET_RAW and CAP_NET_ADMIN.
    #[doc(alias = "SO_MARK")]
    pub fn push_mark(&mut self, mark: u32) -> &mut Self {
        self.append(libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes())
    }

    /// Adds a message that this crate does not know, by its level and type.
    ///
    /// # Errors
    /// `EINVAL` for those through which memory or descriptors would be lent by number: `SCM_RIGHTS`, for which there
    /// is [`push_fds`](Self::push_fds), and all of the level `SOL_RDS`.
    pub fn push(&mut self, level: i32, kind: i32, data: &[u8]) -> io::Result<&mut Self> {
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) || level == SOL_RDS {
            return Err(Errno::INVAL.into());
        }
        Ok(self.append(level, kind, data))
    }

    /// Forgets all, to begin anew.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fds = 0;
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The control messages as bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The control messages.
    pub fn records(&self) -> super::Records<'_> {
        super::parse(&self.bytes)
    }

    /// How many descriptors there are.
    pub fn fd_count(&self) -> usize {
        self.fds
    }

    fn append_int(&mut self, level: i32, kind: i32, value: i32) -> &mut Self {
        self.append(level, kind, &value.to_ne_bytes())
    }

    fn append(&mut self, level: i32, kind: i32, data: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&head(level, kind, data.len()));
        self.bytes.extend_from_slice(data);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(size_of::<usize>()), 0);
    }
}
