use super::Flags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// A message in the making.
///
/// ```
/// use becket_sys::netlink::{Flags, Messages, Request};
///
/// // "Make a link of the type veth", as of rtnetlink(7).
/// let mut request = Request::new(16, Flags::CREATE | Flags::EXCL);
/// request.put([0; 16]); // struct ifinfomsg
/// request.attr_str(3, "pair0"); // IFLA_IFNAME
/// request.nest(18, |info| info.attr_str(1, "veth")); // IFLA_LINKINFO, IFLA_INFO_KIND
///
/// let bytes = request.to_bytes(1)?;
/// let message = Messages::parse(&bytes).next().unwrap();
/// let attributes: Vec<_> = message.attributes(16).collect();
/// assert_eq!(attributes[0].to_os_str(), "pair0");
/// assert_eq!(attributes[1].nested().next().unwrap().to_os_str(), "veth");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    flags: Flags,
    payload: Vec<u8>,
    /// Something did not fit into its length.
    too_long: bool,
}

impl Request {
    /// A request without content. [`Flags::REQUEST`] and [`Flags::ACK`] are added: with a confirmation asked for, every
    /// request has an end.
    pub fn new(kind: u16, flags: Flags) -> Request {
        Request { kind, flags: flags | Flags::REQUEST | Flags::ACK, payload: Vec::new(), too_long: false }
    }

    /// The kind of message.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Its flags.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Appends the bytes of a struct, and padding.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.payload.extend(bytes.as_ref());
        self.pad();
    }

    /// Appends an attribute. Numbers are in this machine's order, as of `to_ne_bytes`, unless the family says
    /// otherwise.
    pub fn attr(&mut self, kind: u16, payload: impl AsRef<[u8]>) {
        self.length_of(kind, |request| request.payload.extend(payload.as_ref()));
    }

    /// Appends an attribute that is text, with a NUL at its end.
    pub fn attr_str(&mut self, kind: u16, text: impl AsRef<OsStr>) {
        self.length_of(kind, |request| {
            request.payload.extend(text.as_ref().as_bytes());
            request.payload.push(0);
        });
    }

    /// Appends an attribute that holds those that `fill` appends.
    #[doc(alias = "NLA_F_NESTED")]
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) {
        const NESTED: u16 = 1 << 15;
        self.length_of(kind | NESTED, fill);
    }

    fn length_of(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) {
        let start = self.payload.len();
        self.payload.extend([0; 4]);
        fill(self);
        match u16::try_from(self.payload.len() - start) {
            Ok(len) => self.payload[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.payload[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.payload.resize(self.payload.len().next_multiple_of(4), 0);
    }

    /// The whole message, with the number that its answers will bear.
    ///
    /// # Errors
    /// `EMSGSIZE` where an attribute is longer than 65,535 bytes, its head of four included.
    pub fn to_bytes(&self, sequence: u32) -> io::Result<Vec<u8>> {
        let len = u32::try_from(16 + self.payload.len()).ok().filter(|_| !self.too_long).ok_or(Errno::MSGSIZE)?;
        let mut bytes = Vec::with_capacity(len as usize);
        bytes.extend(len.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.bits().to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]); // the kernel knows the sender
        bytes.extend(&self.payload);
        Ok(bytes)
    }
}
