use super::{Other, head, ip, keep, word};
use crate::netlink::Message;
use bitflags::bitflags;
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

bitflags! {
    /// How an address is. Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::netlink::route::AddressFlags;
    ///
    /// assert_eq!(AddressFlags::from_bits_retain(0xc0), AddressFlags::TENTATIVE | AddressFlags::PERMANENT);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct AddressFlags: u32 {
        /// IPv4: not the first of its network. IPv6: temporary.
        #[doc(alias = "IFA_F_SECONDARY")]
        #[doc(alias = "IFA_F_TEMPORARY")]
        const SECONDARY = 1;
        /// Taken without asking whether somebody has it.
        #[doc(alias = "IFA_F_NODAD")]
        const NO_DAD = 1 << 1;
        /// Used while it is asked whether somebody has it.
        #[doc(alias = "IFA_F_OPTIMISTIC")]
        const OPTIMISTIC = 1 << 2;
        /// Somebody else has it.
        #[doc(alias = "IFA_F_DADFAILED")]
        const DAD_FAILED = 1 << 3;
        /// No longer for new connections.
        #[doc(alias = "IFA_F_DEPRECATED")]
        const DEPRECATED = 1 << 5;
        /// Not usable yet: it is asked whether somebody has it.
        #[doc(alias = "IFA_F_TENTATIVE")]
        const TENTATIVE = 1 << 6;
        /// Does not expire.
        #[doc(alias = "IFA_F_PERMANENT")]
        const PERMANENT = 1 << 7;
        /// The kernel makes temporary ones of it.
        #[doc(alias = "IFA_F_MANAGETEMPADDR")]
        const MANAGE_TEMPORARY = 1 << 8;
        /// Has brought no route to its network.
        #[doc(alias = "IFA_F_NOPREFIXROUTE")]
        const NO_PREFIX_ROUTE = 1 << 9;
        /// Joined as multicast.
        #[doc(alias = "IFA_F_MCAUTOJOIN")]
        const MULTICAST_AUTO_JOIN = 1 << 10;
        /// Made so that it tells nothing of the hardware.
        #[doc(alias = "IFA_F_STABLE_PRIVACY")]
        const STABLE_PRIVACY = 1 << 11;

        const _ = !0;
    }
}

/// An address of IP on a link.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// for address in route::addresses(&Socket::new(Protocol::ROUTE)?, None)? {
///     println!("link {}: {}/{}", address.link, address.address, address.prefix);
///     assert!(address.prefix <= if address.address.is_ipv4() { 32 } else { 128 });
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ifaddrmsg")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Address {
    /// The number of the link.
    pub link: u32,
    /// The address of this machine.
    pub address: IpAddr,
    /// How many of its bits name the network.
    pub prefix: u8,
    /// The address of the other end, where that is known.
    pub peer: Option<IpAddr>,
    /// The address of all.
    pub broadcast: Option<IpAddr>,
    /// How it is.
    pub flags: AddressFlags,
    /// How far it is good: 0 everywhere, 253 on the link, 254 on this machine.
    #[doc(alias = "RT_SCOPE_UNIVERSE")]
    pub scope: u8,
    /// The name of the link as of old, `eth0:1`. IPv4 alone.
    pub label: Option<OsString>,
    /// How long it is good for new connections, from when it was told; `None` for ever.
    pub preferred: Option<Duration>,
    /// How long it is good, from when it was told; `None` for ever.
    pub valid: Option<Duration>,
    /// What has no field.
    pub other: Vec<Other>,
}

impl Address {
    /// The address in a message, a new, changed or removed one; `None` for other messages, other families, and what the
    /// kernel does not write.
    pub fn parse(message: &Message<'_>) -> Option<Address> {
        let head = head::<8>(message, [libc::RTM_NEWADDR, libc::RTM_DELADDR])?;
        let [family, prefix, flags, scope, ..] = head;
        let (mut local, mut given, mut broadcast, mut label) = (None, None, None, None);
        let (mut preferred, mut valid, mut other) = (None, None, Vec::new());
        let mut flags = AddressFlags::from_bits_retain(flags.into());
        for attribute in message.attributes(8) {
            let ip = || ip(family, attribute.payload);
            match attribute.kind {
                libc::IFA_LOCAL => local = ip(),
                libc::IFA_ADDRESS => given = ip(),
                libc::IFA_BROADCAST => broadcast = ip(),
                libc::IFA_LABEL => label = Some(attribute.to_os_str().into()),
                // The same as in the head, with more bits.
                libc::IFA_FLAGS if attribute.to_u32().is_some() => {
                    flags = attribute.to_u32().map_or(flags, AddressFlags::from_bits_retain);
                }
                libc::IFA_CACHEINFO if attribute.payload.len() >= 8 => {
                    let seconds = |n: u32| (n != u32::MAX).then(|| Duration::from_secs(n.into()));
                    preferred = seconds(word(attribute.payload, 0));
                    valid = seconds(word(attribute.payload, 4));
                }
                _ => other.push(keep(&attribute)),
            }
        }
        // Where both are there, one is of the other end.
        let address = local.or(given)?;
        let peer = given.filter(|given| *given != address);
        let link = word(&head, 4);
        Some(Address { link, address, prefix, peer, broadcast, flags, scope, label, preferred, valid, other })
    }
}
