//! Messages to and from the kernel: netlink(7).
//!
//! A [`Socket`] carries [`Request`]s to the kernel and brings [`Messages`] back: answers, and what the groups that it
//! has joined are told. [`route`] knows the messages about links, addresses, routes and neighbours, [`uevent`] those
//! about devices; [`generic`] finds the families that have a name. What has no module here can be spoken by the same
//! means: a message is a number, a struct, and [`Attributes`].
//!
//! # Honest trouble
//!
//! - **Queues overflow.** The kernel does not wait for readers: [`Incoming::Overflow`] says that something is lost.
//!   Read the queue empty (until then more is dropped), and look at everything again. Until it is received, it shows as
//!   [`Ready::ERR`](crate::Ready::ERR) beside `READ`, and is no failure.
//! - **Lists are not atomic.** What changes while it is listed may be missing or come twice; the kernel then marks the
//!   answer as interrupted, and [`Socket::request`] asks again. Join groups first, list then: otherwise what happens in
//!   between is missed.
//! - **Anybody may send.** Other processes can send datagrams to this socket where the protocol lets them, and look
//!   like the kernel but for the sender's port. Those are dropped and [counted](Socket::dropped), unless asked for.
//! - **Buffers too small cut** what they receive, without an error: [`Datagram::is_truncated`] says so. 8 KiB are the
//!   least for lists, 32 KiB what the kernel makes use of; a link with many virtual functions may need more.
//! - **`EBUSY`** for a second list while the first is not read to its end. One socket for each conversation is
//!   simplest.
//! - **The network namespace** is that of the thread that made the socket, for good.
//! - **Confirmations do not say what was done:** older kernels ignore attributes that they do not know, unless
//!   [strict checking](Socket::set_strict_checking) is on, and there are families that never check.

mod attribute;
mod exchange;
pub mod generic;
mod message;
mod request;
pub mod route;
mod socket;
pub mod uevent;

pub use attribute::{Attribute, Attributes};
pub use exchange::{Answer, Exchange};
pub use message::{Flags, Message, Messages, Refusal};
pub use request::Request;
pub use socket::{Builder, Datagram, Incoming, Reply, Socket};

/// Whom in the kernel a socket speaks to.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket};
///
/// assert_eq!(Protocol::ROUTE, Protocol::from_raw(0));
/// let e = Socket::new(Protocol::from_raw(31)).unwrap_err();
/// assert_eq!((e.step(), e.raw_os_error()), ("socket", Some(93))); // EPROTONOSUPPORT
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(u32);

impl Protocol {
    /// Links, addresses, routes, neighbours, queues: rtnetlink(7).
    #[doc(alias = "NETLINK_ROUTE")]
    pub const ROUTE: Protocol = Protocol(libc::NETLINK_ROUTE as u32);
    /// Messages among processes.
    #[doc(alias = "NETLINK_USERSOCK")]
    pub const USERSOCK: Protocol = Protocol(libc::NETLINK_USERSOCK as u32);
    /// Figures of sockets: sock_diag(7).
    #[doc(alias = "NETLINK_SOCK_DIAG")]
    #[doc(alias = "NETLINK_INET_DIAG")]
    pub const SOCK_DIAG: Protocol = Protocol(libc::NETLINK_INET_DIAG as u32);
    /// IPsec.
    #[doc(alias = "NETLINK_XFRM")]
    pub const XFRM: Protocol = Protocol(libc::NETLINK_XFRM as u32);
    /// The audit system.
    #[doc(alias = "NETLINK_AUDIT")]
    pub const AUDIT: Protocol = Protocol(libc::NETLINK_AUDIT as u32);
    /// Among others, the events of processes.
    #[doc(alias = "NETLINK_CONNECTOR")]
    pub const CONNECTOR: Protocol = Protocol(libc::NETLINK_CONNECTOR as u32);
    /// The firewall.
    #[doc(alias = "NETLINK_NETFILTER")]
    pub const NETFILTER: Protocol = Protocol(libc::NETLINK_NETFILTER as u32);
    /// Devices that come, go and change: see [`uevent`].
    #[doc(alias = "NETLINK_KOBJECT_UEVENT")]
    pub const KOBJECT_UEVENT: Protocol = Protocol(libc::NETLINK_KOBJECT_UEVENT as u32);
    /// Families that have a name instead of a number: see [`generic`].
    #[doc(alias = "NETLINK_GENERIC")]
    pub const GENERIC: Protocol = Protocol(libc::NETLINK_GENERIC as u32);

    /// The protocol of this number.
    pub const fn from_raw(number: u32) -> Protocol {
        Protocol(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}
