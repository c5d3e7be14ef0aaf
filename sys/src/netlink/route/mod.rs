//! Links, addresses, routes and neighbours: rtnetlink(7).
//!
//! [`links`], [`addresses`], [`routes`] and [`neighbours`] list what there is; a [`Monitor`] tells what changes. To
//! change something, send a [`Request`] of one's own.
//!
//! # Honest trouble
//!
//! - **Monitor first, list then.** The other way round, what happens in between is missed. What is then told may be
//!   older than the list: it is a state, not a step, and the last one told holds.
//! - **[`Event::Overflow`]: list again.** It comes in the middle of a burst, which is when it matters.
//! - **A link is told often,** and mostly for what is not shown here; compare with what was known. It is told as well
//!   for changes of its figures alone, and once for each of its steps from down to up.
//! - **Up is not up.** [`LinkFlags::UP`] is what the administrator wants; traffic flows where
//!   [`RUNNING`](LinkFlags::RUNNING) is set as well, or [`state`](Link::state) is [`State::Up`]. Links without such
//!   knowledge (`lo`, tunnels) say [`State::Unknown`] and run. What is told first when a link is set up may say that it
//!   runs before the driver was asked: the next message corrects it.
//! - **IPv6 addresses come twice:** while they are [`TENTATIVE`](AddressFlags::TENTATIVE) nobody can use them.
//! - **A link that is set down** loses its IPv6 addresses and all its routes; the IPv4 routes go untold.
//! - **Names change,** and numbers are given again after a link is gone. The number is the better name while it is
//!   there.
//! - **Further names** of a link that is down change without a word.
//! - **Bridges** tell of their ports by the same messages, even "removed" for a port that leaves: those are not taken
//!   for links here.

mod address;
mod entry;
mod link;
mod monitor;
mod neighbour;

pub use address::{Address, AddressFlags};
pub use entry::{NextHop, Route};
pub use link::{Figures, Link, LinkFlags, State};
pub use monitor::{Event, Events, Monitor, Watch};
pub use neighbour::{Neighbour, NeighbourState};

use super::{Attribute, Flags, Message, Request, Socket};
use crate::SetupError;
use std::net::IpAddr;
use std::time::Instant;

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
const AF_BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// An attribute that has no field of its own: its kind and its content.
pub type Other = (u16, Vec<u8>);

fn keep(attribute: &Attribute<'_>) -> Other {
    (attribute.kind, attribute.payload.to_vec())
}

/// An address of IP, by the family that the message names.
fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The first `N` bytes of a message whose kind is one of `kinds`.
fn head<const N: usize>(message: &Message<'_>, kinds: [u16; 2]) -> Option<[u8; N]> {
    message.payload.first_chunk::<N>().copied().filter(|_| kinds.contains(&message.kind))
}

fn word(head: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn list<T>(
    socket: &Socket,
    kind: u16,
    head: &[u8],
    deadline: Option<Instant>,
    parse: impl Fn(&Message<'_>) -> Option<T>,
) -> Result<Vec<T>, SetupError> {
    let mut request = Request::new(kind, Flags::DUMP);
    request.put(head);
    Ok(socket.request(&request, deadline)?.messages().filter_map(|message| parse(&message)).collect())
}

/// All links of the network namespace of `socket`, which is one of [`Protocol::ROUTE`](super::Protocol::ROUTE) that has
/// joined no group.
///
/// # Errors
/// As [`Socket::request`].
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, route};
///
/// let socket = Socket::new(Protocol::ROUTE)?;
/// let links = route::links(&socket, None)?;
/// let lo = links.iter().find(|link| link.name == "lo").unwrap();
/// assert!(lo.flags.contains(route::LinkFlags::LOOPBACK));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "RTM_GETLINK")]
pub fn links(socket: &Socket, deadline: Option<Instant>) -> Result<Vec<Link>, SetupError> {
    list(socket, libc::RTM_GETLINK, &[0; 16], deadline, Link::parse)
}

/// All addresses of IP, of all links; else as [`links`].
///
/// # Errors
/// As [`Socket::request`].
#[doc(alias = "RTM_GETADDR")]
pub fn addresses(socket: &Socket, deadline: Option<Instant>) -> Result<Vec<Address>, SetupError> {
    list(socket, libc::RTM_GETADDR, &[0; 8], deadline, Address::parse)
}

/// All routes of IP, of all tables; else as [`links`].
///
/// # Errors
/// As [`Socket::request`].
#[doc(alias = "RTM_GETROUTE")]
pub fn routes(socket: &Socket, deadline: Option<Instant>) -> Result<Vec<Route>, SetupError> {
    list(socket, libc::RTM_GETROUTE, &[0; 12], deadline, Route::parse)
}

/// All neighbours: which address of IP has which address of the link (ARP, NDP); else as [`links`].
///
/// # Errors
/// As [`Socket::request`].
#[doc(alias = "RTM_GETNEIGH")]
pub fn neighbours(socket: &Socket, deadline: Option<Instant>) -> Result<Vec<Neighbour>, SetupError> {
    list(socket, libc::RTM_GETNEIGH, &[0; 12], deadline, Neighbour::parse)
}
