//! Devices that come, go and change, as the kernel tells it: what udev listens to.
//!
//! ```
//! use becket_sys::netlink::{Incoming, Protocol, Socket, uevent};
//! use becket_sys::{EventBuf, Ready};
//! use std::time::{Duration, Instant};
//!
//! let socket = Socket::new(Protocol::KOBJECT_UEVENT)?;
//! socket.join(uevent::KERNEL_GROUP)?;
//! let mut buf = EventBuf::with_capacity(8192);
//! let soon = Instant::now() + Duration::from_millis(10);
//! while socket.wait_ready(Ready::READ, Some(soon))?.is_some() {
//!     if let Some(Incoming::Datagram(datagram)) = socket.try_recv(&mut buf)? {
//!         let event = uevent::Uevent::parse(datagram.as_bytes()).expect("the kernel sends nothing else");
//!         println!("{} {}", event.action().display(), event.path().display());
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - What the kernel tells comes before udev has set names, links and rights. What udev tells, to group 2 and in a
//!   format of its own, is no part of this.
//! - The devices that were there before are not told. Make the kernel tell of them again by writing `add` to their
//!   `uevent` files in sysfs, or list sysfs after joining.
//! - Events of network devices are told in their own network namespace, others in those of the first user namespace
//!   alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The group that the kernel tells.
pub const KERNEL_GROUP: u32 = 1;

/// What happened to one device; lent from the datagram.
///
/// ```
/// use becket_sys::netlink::uevent::Uevent;
///
/// let bytes = b"add@/devices/virtual/net/a\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=a\0SEQNUM=7\0";
/// let event = Uevent::parse(bytes).unwrap();
/// assert_eq!((event.action(), event.path()), ("add".as_ref(), "/devices/virtual/net/a".as_ref()));
/// assert_eq!(event.get("INTERFACE").unwrap(), "a");
/// assert_eq!(event.sequence(), Some(7));
/// assert!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe").is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uevent<'b> {
    action: &'b [u8],
    path: &'b [u8],
    properties: &'b [u8],
}

impl<'b> Uevent<'b> {
    /// The event in a datagram; `None` where it is none of the kernel's.
    pub fn parse(bytes: &'b [u8]) -> Option<Uevent<'b>> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let at = bytes[..end].iter().position(|byte| *byte == b'@')?;
        let (action, path) = (&bytes[..at], &bytes[at + 1..end]);
        let is_event = !action.is_empty() && path.starts_with(b"/");
        is_event.then_some(Uevent { action, path, properties: &bytes[end + 1..] })
    }

    /// What happened: `add`, `remove`, `change`, `move`, `online`, `offline`, `bind`, `unbind`.
    pub fn action(&self) -> &'b OsStr {
        OsStr::from_bytes(self.action)
    }

    /// The device: its path below `/sys`, with a slash at the start.
    pub fn path(&self) -> &'b Path {
        Path::new(OsStr::from_bytes(self.path))
    }

    /// The number of the event, one more for each of the system.
    pub fn sequence(&self) -> Option<u64> {
        self.get("SEQNUM")?.to_str()?.parse().ok()
    }

    /// The value of a property, such as `SUBSYSTEM` or `DEVNAME`.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&'b OsStr> {
        self.properties().find(|(property, _)| *property == name.as_ref()).map(|(_, value)| value)
    }

    /// All properties; what is none is left out.
    pub fn properties(&self) -> impl Iterator<Item = (&'b OsStr, &'b OsStr)> + use<'b> {
        self.properties.split(|byte| *byte == 0).filter_map(|property| {
            let at = property.iter().position(|byte| *byte == b'=')?;
            Some((OsStr::from_bytes(&property[..at]), OsStr::from_bytes(&property[at + 1..])))
        })
    }
}
