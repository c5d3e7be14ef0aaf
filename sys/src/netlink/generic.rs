//! Families that have a name instead of a protocol of their own: nl80211, ethtool, taskstats, and all that is new.
//!
//! ```
//! use becket_sys::netlink::{Flags, Protocol, Socket, generic};
//!
//! let socket = Socket::new(Protocol::GENERIC)?;
//! let family = generic::family(&socket, "nlctrl", None)?; // the family that tells of families
//! socket.join(family.group("notify").unwrap())?; // families that come and go
//!
//! let all = family.request(3, Flags::DUMP); // CTRL_CMD_GETFAMILY
//! let asker = Socket::new(Protocol::GENERIC)?;
//! assert!(asker.request(&all, None)?.messages().count() >= 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - The numbers of families and groups differ from start to start, and when a module is loaded again.
//! - A family of a module that is not loaded is not there, though asking for its name may load it.

use super::{Attribute, Flags, Message, Request, Socket};
use crate::SetupError;
use rustix::io::Errno;
use std::time::Instant;

/// The size of what precedes the attributes of every message of a family (`struct genlmsghdr`), the family's own head
/// not included: give it to [`Message::attributes`].
pub const HEAD: usize = 4;

const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;

/// A family that the kernel knows.
///
/// ```
/// use becket_sys::netlink::{Protocol, Socket, generic};
///
/// let socket = Socket::new(Protocol::GENERIC)?;
/// let e = generic::family(&socket, "no such family", None).unwrap_err();
/// assert_eq!(e.raw_os_error(), Some(2)); // ENOENT
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Family {
    /// Its number: the kind of its messages.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// The version of its language.
    pub version: u8,
    /// How many bytes of its own follow the [`HEAD`].
    pub own_head: usize,
    /// The names of its groups and their numbers, for [`Socket::join`].
    pub groups: Vec<(String, u32)>,
}

impl Family {
    /// The number of the group of this name.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|(group, _)| group == name).map(|(_, id)| *id)
    }

    /// A request to this family, with its head.
    #[doc(alias = "genlmsghdr")]
    pub fn request(&self, command: u8, flags: Flags) -> Request {
        let mut request = Request::new(self.id, flags);
        request.put([command, self.version, 0, 0]);
        request
    }

    /// The family in a message of the family `nlctrl`; `None` for other messages.
    pub fn parse(message: &Message<'_>) -> Option<Family> {
        if message.kind != CONTROL || message.payload.len() < HEAD {
            return None;
        }
        let mut family = Family::default();
        for attribute in message.attributes(HEAD) {
            match attribute.kind {
                1 => family.id = attribute.to_u16()?,
                2 => family.name = text(&attribute),
                3 => family.version = attribute.to_u32()?.try_into().ok()?,
                4 => family.own_head = attribute.to_u32()?.try_into().ok()?,
                7 => family.groups.extend(attribute.nested().filter_map(|entry| group(&entry))),
                _ => {}
            }
        }
        (family.id != 0).then_some(family)
    }
}

fn group(entry: &Attribute<'_>) -> Option<(String, u32)> {
    let name = entry.nested().find(|field| field.kind == 1)?;
    let id = entry.nested().find(|field| field.kind == 2)?;
    Some((text(&name), id.to_u32()?))
}

fn text(attribute: &Attribute<'_>) -> String {
    attribute.to_os_str().to_string_lossy().into_owned()
}

/// Asks for the family of this name; `socket` is one of [`Protocol::GENERIC`](super::Protocol::GENERIC).
///
/// # Errors
/// `ENOENT` where there is none; `EINVAL` for a name longer than 15 bytes; else as [`Socket::request`].
#[doc(alias = "CTRL_CMD_GETFAMILY")]
pub fn family(socket: &Socket, name: &str, deadline: Option<Instant>) -> Result<Family, SetupError> {
    let mut request = Request::new(CONTROL, Flags::empty());
    request.put([GET_FAMILY, 1, 0, 0]);
    request.attr_str(2, name);
    let reply = socket.request(&request, deadline)?;
    let family = reply.messages().find_map(|message| Family::parse(&message));
    family.ok_or_else(|| SetupError::new("netlink request", name, Errno::BADMSG))
}
