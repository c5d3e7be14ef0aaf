use super::{Other, head, ip, keep, word};
use crate::netlink::Message;
use bitflags::bitflags;
use std::net::IpAddr;

bitflags! {
    /// What is known of a neighbour. Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::netlink::route::NeighbourState;
    ///
    /// assert_eq!(NeighbourState::from_bits_retain(2), NeighbourState::REACHABLE);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct NeighbourState: u16 {
        /// Asked for, and no answer yet.
        #[doc(alias = "NUD_INCOMPLETE")]
        const INCOMPLETE = libc::NUD_INCOMPLETE;
        /// Has answered lately.
        #[doc(alias = "NUD_REACHABLE")]
        const REACHABLE = libc::NUD_REACHABLE;
        /// Has answered some time ago.
        #[doc(alias = "NUD_STALE")]
        const STALE = libc::NUD_STALE;
        /// In use, to be asked again soon.
        #[doc(alias = "NUD_DELAY")]
        const DELAY = libc::NUD_DELAY;
        /// Asked again.
        #[doc(alias = "NUD_PROBE")]
        const PROBE = libc::NUD_PROBE;
        /// Does not answer.
        #[doc(alias = "NUD_FAILED")]
        const FAILED = libc::NUD_FAILED;
        /// Needs no asking.
        #[doc(alias = "NUD_NOARP")]
        const NO_ARP = libc::NUD_NOARP;
        /// Set by the administrator.
        #[doc(alias = "NUD_PERMANENT")]
        const PERMANENT = libc::NUD_PERMANENT;

        const _ = !0;
    }
}

/// A machine on a link: which address of IP has which address there.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// let neighbours = route::neighbours(&Socket::new(Protocol::ROUTE)?, None)?;
/// assert!(neighbours.iter().all(|neighbour| neighbour.link > 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ndmsg")]
#[doc(alias = "ARP")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Neighbour {
    /// The number of the link.
    pub link: u32,
    /// The address of IP; `None` in the tables of bridges.
    pub address: Option<IpAddr>,
    /// The address on the link; empty where it is not known.
    pub link_address: Vec<u8>,
    /// What is known.
    pub state: NeighbourState,
    /// Flags: `NTF_ROUTER` is 128.
    pub flags: u8,
    /// The family: 2 and 10 for IP, 7 for a bridge.
    pub family: u8,
    /// What has no field.
    pub other: Vec<Other>,
}

impl Neighbour {
    /// The neighbour in a message, a new, changed or removed one; `None` for other messages, and what the kernel does
    /// not write.
    pub fn parse(message: &Message<'_>) -> Option<Neighbour> {
        let head = head::<12>(message, [libc::RTM_NEWNEIGH, libc::RTM_DELNEIGH])?;
        let mut neighbour = Neighbour {
            link: word(&head, 4),
            address: None,
            link_address: Vec::new(),
            state: NeighbourState::from_bits_retain(u16::from_ne_bytes([head[8], head[9]])),
            flags: head[10],
            family: head[0],
            other: Vec::new(),
        };
        for attribute in message.attributes(12) {
            match (attribute.kind, ip(head[0], attribute.payload)) {
                (libc::NDA_DST, Some(address)) => neighbour.address = Some(address),
                (libc::NDA_LLADDR, _) => neighbour.link_address = attribute.payload.into(),
                _ => neighbour.other.push(keep(&attribute)),
            }
        }
        Some(neighbour)
    }
}
