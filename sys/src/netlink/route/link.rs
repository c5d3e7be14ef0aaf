use super::{AF_BRIDGE, Other, head, keep, word};
use crate::netlink::{Attribute, Message};
use bitflags::bitflags;
use std::ffi::OsString;

bitflags! {
    /// What a link is and does: netdevice(7). Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::netlink::route::LinkFlags;
    ///
    /// let flags = LinkFlags::from_bits_retain(0x1_0049);
    /// assert_eq!(flags, LinkFlags::UP | LinkFlags::LOOPBACK | LinkFlags::RUNNING | LinkFlags::LOWER_UP);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LinkFlags: u32 {
        /// Set up by the administrator.
        #[doc(alias = "IFF_UP")]
        const UP = 1;
        /// Has a broadcast address.
        #[doc(alias = "IFF_BROADCAST")]
        const BROADCAST = 1 << 1;
        /// Leads to this machine.
        #[doc(alias = "IFF_LOOPBACK")]
        const LOOPBACK = 1 << 3;
        /// Leads to one other machine.
        #[doc(alias = "IFF_POINTOPOINT")]
        const POINT_TO_POINT = 1 << 4;
        /// Can be used now.
        #[doc(alias = "IFF_RUNNING")]
        const RUNNING = 1 << 6;
        /// Asks for no neighbours.
        #[doc(alias = "IFF_NOARP")]
        const NO_ARP = 1 << 7;
        /// Receives what is for others, too.
        #[doc(alias = "IFF_PROMISC")]
        const PROMISCUOUS = 1 << 8;
        /// Receives all multicast.
        #[doc(alias = "IFF_ALLMULTI")]
        const ALL_MULTICAST = 1 << 9;
        /// Carries multicast.
        #[doc(alias = "IFF_MULTICAST")]
        const MULTICAST = 1 << 12;
        /// The layer below is there: a cable is plugged in.
        #[doc(alias = "IFF_LOWER_UP")]
        const LOWER_UP = 1 << 16;
        /// Waits for something, such as a login.
        #[doc(alias = "IFF_DORMANT")]
        const DORMANT = 1 << 17;

        const _ = !0;
    }
}

/// How a link does, of RFC 2863.
///
/// ```
/// use becket_sys::netlink::route::State;
///
/// assert_eq!(State::from(6), State::Up);
/// assert_eq!(State::from(77), State::Other(77));
/// ```
#[doc(alias = "IF_OPER_UP")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum State {
    /// The link does not know: `lo`, tunnels. It works where it is running.
    #[doc(alias = "IF_OPER_UNKNOWN")]
    #[default]
    Unknown,
    /// A part is missing.
    #[doc(alias = "IF_OPER_NOTPRESENT")]
    NotPresent,
    /// No.
    #[doc(alias = "IF_OPER_DOWN")]
    Down,
    /// The one below is down: the other end of a pair, the link of a VLAN.
    #[doc(alias = "IF_OPER_LOWERLAYERDOWN")]
    LowerLayerDown,
    /// Under test.
    #[doc(alias = "IF_OPER_TESTING")]
    Testing,
    /// Waits for something, such as a login.
    #[doc(alias = "IF_OPER_DORMANT")]
    Dormant,
    /// Yes.
    #[doc(alias = "IF_OPER_UP")]
    Up,
    /// A state that this crate does not know.
    Other(u8),
}

impl From<u8> for State {
    fn from(number: u8) -> State {
        match number {
            0 => State::Unknown,
            1 => State::NotPresent,
            2 => State::Down,
            3 => State::LowerLayerDown,
            4 => State::Testing,
            5 => State::Dormant,
            6 => State::Up,
            other => State::Other(other),
        }
    }
}

/// What a link has carried since it is there.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// let links = route::links(&Socket::new(Protocol::ROUTE)?, None)?;
/// let figures = links[0].figures.unwrap();
/// assert!(figures.rx_bytes >= figures.rx_packets);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "rtnl_link_stats64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received that found no room.
    pub rx_dropped: u64,
    /// Packets to be sent that found no room.
    pub tx_dropped: u64,
}

impl Figures {
    fn parse(bytes: &[u8]) -> Option<Figures> {
        let (numbers, _) = bytes.first_chunk::<64>()?.as_chunks::<8>();
        let number = |i: usize| u64::from_ne_bytes(numbers[i]);
        Some(Figures {
            rx_packets: number(0),
            tx_packets: number(1),
            rx_bytes: number(2),
            tx_bytes: number(3),
            rx_errors: number(4),
            tx_errors: number(5),
            rx_dropped: number(6),
            tx_dropped: number(7),
        })
    }
}

/// A network interface.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// for link in route::links(&Socket::new(Protocol::ROUTE)?, None)? {
///     println!("{}: {} mtu {:?} {:?}", link.index, link.name.display(), link.mtu, link.state);
///     assert!(link.index > 0 && !link.name.is_empty());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ifinfomsg")]
#[doc(alias = "interface")]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name, which can be changed.
    pub name: OsString,
    /// Its further names.
    pub alternative_names: Vec<OsString>,
    /// Its description.
    pub alias: Option<OsString>,
    /// The kind of hardware: `ARPHRD_ETHER` is 1, `ARPHRD_LOOPBACK` 772.
    pub hardware: u16,
    /// The kind of what is no hardware: `veth`, `bridge`, `vlan`.
    pub kind: Option<OsString>,
    /// What it is and does.
    pub flags: LinkFlags,
    /// How it does.
    pub state: State,
    /// Whether there is a carrier.
    pub carrier: Option<bool>,
    /// The longest packet, in bytes.
    pub mtu: Option<u32>,
    /// Its address (MAC), six bytes mostly; empty where it has none.
    pub address: Vec<u8>,
    /// The address of all.
    pub broadcast: Vec<u8>,
    /// The bridge or bond that it is a part of.
    pub master: Option<u32>,
    /// The link that it is made upon, or the other end of a pair; it may be in another namespace.
    pub parent: Option<u32>,
    /// What it has carried. Not told with every change.
    pub figures: Option<Figures>,
    /// What has no field.
    pub other: Vec<Other>,
}

impl Link {
    /// The link in a message, a new, changed or removed one; `None` for other messages, for those about ports of
    /// bridges, and for what the kernel does not write.
    pub fn parse(message: &Message<'_>) -> Option<Link> {
        let head = head::<16>(message, [libc::RTM_NEWLINK, libc::RTM_DELLINK])?;
        if head[0] == AF_BRIDGE {
            return None;
        }
        let mut link = Link {
            index: word(&head, 4),
            hardware: u16::from_ne_bytes([head[2], head[3]]),
            flags: LinkFlags::from_bits_retain(word(&head, 8)),
            ..Link::default()
        };
        for attribute in message.attributes(16) {
            if link.take(&attribute).is_none() {
                link.other.push(keep(&attribute));
            }
        }
        Some(link)
    }

    /// Puts an attribute into its field; `None` where there is none, or the length is another one.
    fn take(&mut self, attribute: &Attribute<'_>) -> Option<()> {
        match attribute.kind {
            libc::IFLA_IFNAME => self.name = attribute.to_os_str().into(),
            libc::IFLA_IFALIAS => self.alias = Some(attribute.to_os_str().into()),
            libc::IFLA_ADDRESS => self.address = attribute.payload.into(),
            libc::IFLA_BROADCAST => self.broadcast = attribute.payload.into(),
            libc::IFLA_MTU => self.mtu = Some(attribute.to_u32()?),
            libc::IFLA_MASTER => self.master = Some(attribute.to_u32()?),
            libc::IFLA_LINK => self.parent = Some(attribute.to_u32()?),
            libc::IFLA_OPERSTATE => self.state = attribute.to_u8()?.into(),
            libc::IFLA_CARRIER => self.carrier = Some(attribute.to_u8()? != 0),
            libc::IFLA_STATS64 => self.figures = Some(Figures::parse(attribute.payload)?),
            libc::IFLA_PROP_LIST => {
                let names = attribute.nested().filter(|name| name.kind == libc::IFLA_ALT_IFNAME);
                self.alternative_names.extend(names.map(|name| name.to_os_str().to_owned()));
            }
            libc::IFLA_LINKINFO => {
                let kind = attribute.nested().find(|info| info.kind == libc::IFLA_INFO_KIND);
                self.kind = kind.map(|kind| kind.to_os_str().into());
                // There is more in it than the kind.
                return None;
            }
            _ => return None,
        }
        Some(())
    }
}
