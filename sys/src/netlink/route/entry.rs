use super::{AF_INET, AF_INET6, Other, head, ip, keep, word};
use crate::netlink::{Attribute, Attributes, Message};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A router and its family. libc has it for glibc alone.
const RTA_VIA: u16 = 18;

/// Where a route leads to first.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// for route in route::routes(&Socket::new(Protocol::ROUTE)?, None)? {
///     for hop in &route.hops {
///         assert!(hop.link.is_some() || hop.gateway.is_some());
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "rtnexthop")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct NextHop {
    /// The number of the link.
    pub link: Option<u32>,
    /// The router; `None` where the destination is on the link. It may be of the other family.
    pub gateway: Option<IpAddr>,
    /// Its share among several.
    pub weight: u16,
}

/// An entry of a routing table.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// let routes = route::routes(&Socket::new(Protocol::ROUTE)?, None)?;
/// let default = routes.iter().find(|route| route.table == 254 && route.prefix == 0);
/// println!("by default: {:?}", default.map(|route| &route.hops));
/// assert!(routes.iter().all(|route| route.prefix <= 128));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "rtmsg")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The destination: an address and how many of its bits count, 0 for all the world.
    pub destination: IpAddr,
    /// How many bits of the destination count.
    pub prefix: u8,
    /// Where it leads to: none for what is refused, several where the load is shared.
    pub hops: Vec<NextHop>,
    /// The number of the table: 254 is the main one, 255 that of the machine's own addresses.
    #[doc(alias = "RT_TABLE_MAIN")]
    pub table: u32,
    /// What it does: 1 leads on, 2 is an address of this machine, 6 drops, 7 refuses.
    #[doc(alias = "RTN_UNICAST")]
    pub kind: u8,
    /// Who has made it: 2 the kernel, 3 the system's start, 4 an administrator, 16 DHCP.
    #[doc(alias = "RTPROT_KERNEL")]
    pub protocol: u8,
    /// How far the destination is: 0 anywhere, 253 on the link, 254 on this machine.
    #[doc(alias = "RT_SCOPE_LINK")]
    pub scope: u8,
    /// Among routes to the same destination, the lowest is taken.
    #[doc(alias = "metric")]
    pub priority: u32,
    /// The address of this machine that it is used with.
    pub preferred_source: Option<IpAddr>,
    /// The sources that it is for, and how many bits count.
    pub source: Option<(IpAddr, u8)>,
    /// Flags of the entry: `RTNH_F_DEAD`, `RTM_F_CLONED`.
    pub flags: u32,
    /// What has no field.
    pub other: Vec<Other>,
}

impl Route {
    /// The route in a message, a new, changed or removed one; `None` for other messages, other families, and what the
    /// kernel does not write.
    pub fn parse(message: &Message<'_>) -> Option<Route> {
        let head = head::<12>(message, [libc::RTM_NEWROUTE, libc::RTM_DELROUTE])?;
        let [family, prefix, source_prefix, _, table, protocol, scope, kind, ..] = head;
        let anywhere: IpAddr = match family {
            AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let mut route = Route {
            destination: anywhere,
            prefix,
            hops: Vec::new(),
            table: table.into(),
            kind,
            protocol,
            scope,
            priority: 0,
            preferred_source: None,
            source: None,
            flags: word(&head, 8),
            other: Vec::new(),
        };
        let mut only = NextHop { weight: 1, ..NextHop::default() };
        for attribute in message.attributes(12) {
            let taken = hop(&mut only, family, &attribute).or_else(|| route.take(family, source_prefix, &attribute));
            if taken.is_none() {
                route.other.push(keep(&attribute));
            }
        }
        if route.hops.is_empty() && (only.link.is_some() || only.gateway.is_some()) {
            route.hops.push(only);
        }
        Some(route)
    }

    fn take(&mut self, family: u8, source_prefix: u8, attribute: &Attribute<'_>) -> Option<()> {
        match attribute.kind {
            libc::RTA_DST => self.destination = ip(family, attribute.payload)?,
            libc::RTA_SRC => self.source = Some((ip(family, attribute.payload)?, source_prefix)),
            libc::RTA_PREFSRC => self.preferred_source = Some(ip(family, attribute.payload)?),
            libc::RTA_PRIORITY => self.priority = attribute.to_u32()?,
            libc::RTA_TABLE => self.table = attribute.to_u32()?,
            libc::RTA_MULTIPATH => self.hops.extend(hops(family, attribute.payload)),
            _ => return None,
        }
        Some(())
    }
}

/// Puts an attribute of a hop into its field.
fn hop(hop: &mut NextHop, family: u8, attribute: &Attribute<'_>) -> Option<()> {
    match attribute.kind {
        libc::RTA_OIF => hop.link = Some(attribute.to_u32()?),
        libc::RTA_GATEWAY => hop.gateway = Some(ip(family, attribute.payload)?),
        RTA_VIA => {
            let (family, address) = attribute.payload.split_first_chunk::<2>()?;
            hop.gateway = Some(ip(u8::try_from(u16::from_ne_bytes(*family)).ok()?, address)?);
        }
        _ => return None,
    }
    Some(())
}

/// Several hops: each has a length, flags, a weight less one, the number of the link, and attributes.
fn hops(family: u8, mut bytes: &[u8]) -> Vec<NextHop> {
    let mut hops = Vec::new();
    while let Some(head) = bytes.first_chunk::<8>() {
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let Some(attributes) = bytes.get(8..len) else { break };
        let mut next = NextHop { link: Some(word(head, 4)), gateway: None, weight: u16::from(head[3]) + 1 };
        Attributes::parse(attributes).for_each(|attribute| _ = hop(&mut next, family, &attribute));
        hops.push(next);
        bytes = &bytes[len.next_multiple_of(4).min(bytes.len())..];
    }
    hops
}
