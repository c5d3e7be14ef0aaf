use super::Socket;
use crate::ffi::sockopt;
use crate::socket::options::{Twin, is_v6};
use bitflags::bitflags;
use rustix::io::Errno;
use std::io;

/// What to do with datagrams that are larger than the packets of the path: ip(7), IP_MTU_DISCOVER.
///
/// ```
/// use becket_sys::udp::{MtuDiscovery, Socket};
///
/// let socket = Socket::bind(([127, 0, 0, 1], 0))?;
/// socket.set_mtu_discovery(MtuDiscovery::Probe)?;
/// assert_eq!(socket.mtu_discovery()?, MtuDiscovery::Probe);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MtuDiscovery {
    /// Packets may be cut in pieces on the way, and are here where they do not fit.
    #[doc(alias = "IP_PMTUDISC_DONT")]
    Never,
    /// Packets that must not be cut on the way, but are here where they do not fit: the usual default.
    #[doc(alias = "IP_PMTUDISC_WANT")]
    Want,
    /// Packets are never cut, and what does not fit fails with `EMSGSIZE`.
    #[doc(alias = "IP_PMTUDISC_DO")]
    Always,
    /// As [`Always`](Self::Always), but by the size of the interface alone: for programs that find out the size of the
    /// path by themselves.
    #[doc(alias = "IP_PMTUDISC_PROBE")]
    Probe,
    /// As [`Never`](Self::Never), by the size of the interface alone: what was learnt of the path is not used.
    #[doc(alias = "IP_PMTUDISC_INTERFACE")]
    Interface,
    /// As [`Interface`](Self::Interface), and packets are cut here where they do not fit.
    #[doc(alias = "IP_PMTUDISC_OMIT")]
    Omit,
    /// A number that is not known here.
    Other(u32),
}

impl MtuDiscovery {
    const KNOWN: [MtuDiscovery; 6] = [
        MtuDiscovery::Never,
        MtuDiscovery::Want,
        MtuDiscovery::Always,
        MtuDiscovery::Probe,
        MtuDiscovery::Interface,
        MtuDiscovery::Omit,
    ];

    fn from_raw(number: u32) -> MtuDiscovery {
        let known = usize::try_from(number).ok().and_then(|n| Self::KNOWN.get(n));
        known.copied().unwrap_or(MtuDiscovery::Other(number))
    }

    fn as_raw(self) -> u32 {
        match self {
            MtuDiscovery::Other(number) => number,
            known => Self::KNOWN.iter().position(|k| *k == known).unwrap_or_default() as u32,
        }
    }
}

bitflags! {
    /// Which times the kernel is to tell of packets: `Documentation/networking/timestamping.rst` of the kernel.
    ///
    /// Say when ([`RX_SOFTWARE`](Self::RX_SOFTWARE), ..) and which clock to report ([`SOFTWARE`](Self::SOFTWARE), ..).
    ///
    /// ```
    /// use becket_sys::udp::Timestamping;
    ///
    /// let received = Timestamping::RX_SOFTWARE | Timestamping::SOFTWARE;
    /// assert_eq!(received.bits(), 0x18);
    /// ```
    #[doc(alias = "SOF_TIMESTAMPING")]
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Timestamping: u32 {
        /// The device takes a time of sending.
        #[doc(alias = "SOF_TIMESTAMPING_TX_HARDWARE")]
        const TX_HARDWARE = 1;
        /// The kernel takes a time of sending, as the packet goes to the device.
        #[doc(alias = "SOF_TIMESTAMPING_TX_SOFTWARE")]
        const TX_SOFTWARE = 1 << 1;
        /// The device takes a time of receipt.
        #[doc(alias = "SOF_TIMESTAMPING_RX_HARDWARE")]
        const RX_HARDWARE = 1 << 2;
        /// The kernel takes a time of receipt.
        #[doc(alias = "SOF_TIMESTAMPING_RX_SOFTWARE")]
        const RX_SOFTWARE = 1 << 3;
        /// Times of the kernel are reported.
        #[doc(alias = "SOF_TIMESTAMPING_SOFTWARE")]
        const SOFTWARE = 1 << 4;
        /// Times of the device are reported.
        #[doc(alias = "SOF_TIMESTAMPING_RAW_HARDWARE")]
        const RAW_HARDWARE = 1 << 6;
        /// Times of sending are numbered, from 0 at the time of this call.
        #[doc(alias = "SOF_TIMESTAMPING_OPT_ID")]
        const OPT_ID = 1 << 7;
        /// The kernel takes a time as the packet enters its queue.
        #[doc(alias = "SOF_TIMESTAMPING_TX_SCHED")]
        const TX_SCHED = 1 << 8;
        /// Times of sending come with all that can be told of the packet.
        #[doc(alias = "SOF_TIMESTAMPING_OPT_CMSG")]
        const OPT_CMSG = 1 << 10;
        /// Times of sending come without the packet itself.
        #[doc(alias = "SOF_TIMESTAMPING_OPT_TSONLY")]
        const OPT_TSONLY = 1 << 11;

        const _ = !0;
    }
}

const PACKET_INFO: Twin = Twin { v4: libc::IP_PKTINFO, v6: libc::IPV6_RECVPKTINFO };
const TRAFFIC_CLASS: Twin = Twin { v4: libc::IP_RECVTOS, v6: libc::IPV6_RECVTCLASS };
const HOP_LIMIT: Twin = Twin { v4: libc::IP_RECVTTL, v6: libc::IPV6_RECVHOPLIMIT };
const ERRORS: Twin = Twin { v4: libc::IP_RECVERR, v6: libc::IPV6_RECVERR };
const ORIGINAL_DESTINATION: Twin = Twin { v4: libc::IP_RECVORIGDSTADDR, v6: 74 };
const MTU_DISCOVER: Twin = Twin { v4: libc::IP_MTU_DISCOVER, v6: libc::IPV6_MTU_DISCOVER };
const MTU: Twin = Twin { v4: libc::IP_MTU, v6: libc::IPV6_MTU };

/// What a datagram brings beside its data. Each is off by default, and comes as a control message. An IPv6 socket that
/// also serves IPv4 gets it of both.
///
/// Each setter fails with `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
impl Socket {
    /// Whether a datagram tells where it was sent to; see [`set_packet_info`](Self::set_packet_info).
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
    pub fn packet_info(&self) -> io::Result<bool> {
        Ok(PACKET_INFO.get(self)? != 0)
    }

    /// Lets each datagram tell which address of this machine it was sent to, and by which interface it came: what a
    /// server on the unspecified address needs to answer from the right one.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_RECVPKTINFO")]
    pub fn set_packet_info(&self, on: bool) -> io::Result<()> {
        PACKET_INFO.set(self, on.into())
    }

    /// Lets each datagram tell its traffic class: the type of service of IPv4.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "IP_RECVTOS")]
    #[doc(alias = "IPV6_RECVTCLASS")]
    pub fn set_recv_traffic_class(&self, on: bool) -> io::Result<()> {
        TRAFFIC_CLASS.set(self, on.into())
    }

    /// Lets each datagram tell how many routers it might still have passed.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "IP_RECVTTL")]
    #[doc(alias = "IPV6_RECVHOPLIMIT")]
    pub fn set_recv_hop_limit(&self, on: bool) -> io::Result<()> {
        HOP_LIMIT.set(self, on.into())
    }

    /// Lets each datagram tell where it was going before a transparent proxy took it.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "IP_RECVORIGDSTADDR")]
    #[doc(alias = "IPV6_RECVORIGDSTADDR")]
    pub fn set_recv_original_destination(&self, on: bool) -> io::Result<()> {
        ORIGINAL_DESTINATION.set(self, on.into())
    }

    /// Keeps what befell earlier datagrams in a queue of its own, with the cause and who reported it. The socket then
    /// has [`Ready::ERR`](crate::Ready::ERR), and one that is not connected hears of refusals too: the next call
    /// returns the code, as ever.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "IP_RECVERR")]
    #[doc(alias = "IPV6_RECVERR")]
    pub fn set_recv_errors(&self, on: bool) -> io::Result<()> {
        ERRORS.set(self, on.into())
    }

    /// Lets each datagram tell how many were dropped for want of room since the socket was made.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "SO_RXQ_OVFL")]
    pub fn set_recv_drops(&self, on: bool) -> io::Result<()> {
        sockopt::set(self, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &i32::from(on))
    }

    /// Lets each datagram tell when the kernel received it, to the nanosecond.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "SO_TIMESTAMPNS")]
    pub fn set_recv_timestamp(&self, on: bool) -> io::Result<()> {
        sockopt::set(self, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &i32::from(on))
    }

    /// Lets datagrams tell times of receipt, and keeps times of sending in the queue of errors.
    ///
    /// # Errors
    /// `EINVAL` for bits that the kernel does not know, or that need others.
    #[doc(alias = "SO_TIMESTAMPING")]
    pub fn set_timestamping(&self, times: Timestamping) -> io::Result<()> {
        sockopt::set(self, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &times.bits().cast_signed())
    }

    /// Whether datagrams come several at a time; see [`set_gro`](Self::set_gro).
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
    pub fn gro(&self) -> io::Result<bool> {
        Ok(sockopt::int(self, libc::SOL_UDP, libc::UDP_GRO)? != 0)
    }

    /// Takes several datagrams of one sender and one size by one call, in a row: give it 64 KiB of room. A control
    /// message tells the size of each; without it, one cannot tell where they end. The default is one at a time.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "UDP_GRO")]
    pub fn set_gro(&self, on: bool) -> io::Result<()> {
        sockopt::set(self, libc::SOL_UDP, libc::UDP_GRO, &i32::from(on))
    }

    /// Into datagrams of which size a longer one is cut; see [`set_segment_size`](Self::set_segment_size).
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
    pub fn segment_size(&self) -> io::Result<Option<u16>> {
        let size = sockopt::int(self, libc::SOL_UDP, libc::UDP_SEGMENT)?;
        Ok(u16::try_from(size).ok().filter(|size| *size != 0))
    }

    /// Cuts what is sent by one call into datagrams of this size, the last of which may be shorter: at most 128 of
    /// them, and 65507 bytes in all over IPv4. `None`, the default, cuts nothing; 0 counts as it. Sending fails with
    /// `EINVAL` or `EMSGSIZE` above these limits, and where one datagram does not fit into the packets of the path;
    /// with `EIO` where the interface cannot compute checksums. A control message says it for one call.
    ///
    /// # Errors
    /// None but those that all have.
    #[doc(alias = "UDP_SEGMENT")]
    #[doc(alias = "GSO")]
    pub fn set_segment_size(&self, size: Option<u16>) -> io::Result<()> {
        sockopt::set(self, libc::SOL_UDP, libc::UDP_SEGMENT, &i32::from(size.unwrap_or(0)))
    }

    /// What becomes of datagrams that are too large; see [`MtuDiscovery`].
    ///
    /// # Errors
    /// `ENOTSOCK` or `ENOPROTOOPT` where the descriptor is no UDP socket.
    pub fn mtu_discovery(&self) -> io::Result<MtuDiscovery> {
        Ok(MtuDiscovery::from_raw(MTU_DISCOVER.get(self)?.cast_unsigned()))
    }

    /// Says what becomes of datagrams that are too large.
    ///
    /// # Errors
    /// `EINVAL` for a number that the kernel does not know.
    #[doc(alias = "IP_MTU_DISCOVER")]
    #[doc(alias = "IPV6_MTU_DISCOVER")]
    pub fn set_mtu_discovery(&self, discovery: MtuDiscovery) -> io::Result<()> {
        MTU_DISCOVER.set(self, discovery.as_raw().cast_signed())
    }

    /// The size of packets that the path to the peer takes, as far as it is known, of a connected socket.
    ///
    /// # Errors
    /// `ENOTCONN` where it is not connected.
    #[doc(alias = "IP_MTU")]
    #[doc(alias = "IPV6_MTU")]
    pub fn path_mtu(&self) -> io::Result<u32> {
        if is_v6(self)? {
            self.peer_addr()?; // the kernel would tell that of no path in particular
        }
        u32::try_from(MTU.get(self)?).map_err(|_| Errno::NOTCONN.into())
    }
}
