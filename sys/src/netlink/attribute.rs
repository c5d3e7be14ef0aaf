use std::ffi::OsStr;
use std::iter::FusedIterator;
use std::os::unix::ffi::OsStrExt;

const NESTED: u16 = 1 << 15;
const NET_BYTE_ORDER: u16 = 1 << 14;

/// One attribute of a message: a number that says what it is, and bytes.
///
/// ```
/// use becket_sys::netlink::Attributes;
///
/// let mut bytes = vec![8, 0, 4, 0]; // on a little-endian machine: 8 bytes, of kind 4
/// # bytes = [8u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat();
/// bytes.extend(1500u32.to_ne_bytes());
/// let mtu = Attributes::parse(&bytes).next().unwrap();
/// assert_eq!((mtu.kind, mtu.to_u32()), (4, Some(1500)));
/// assert_eq!(mtu.to_u16(), None); // another length
/// ```
#[doc(alias = "nlattr")]
#[doc(alias = "rtattr")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attribute<'b> {
    /// What it is: a number whose meaning depends on the message, and on the attribute that it is nested in.
    #[doc(alias = "nla_type")]
    pub kind: u16,
    /// Whether the sender has marked it as one that holds attributes. Old families do not mark.
    pub is_nested: bool,
    /// Whether the sender has marked its number as big-endian.
    pub is_big_endian: bool,
    /// The content, without padding.
    pub payload: &'b [u8],
}

impl<'b> Attribute<'b> {
    /// The content as one byte.
    pub fn to_u8(&self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    /// The content as a number of two bytes in this machine's order; `None` where the length differs.
    pub fn to_u16(&self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    /// The content as a number of four bytes in this machine's order; `None` where the length differs.
    pub fn to_u32(&self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The content as a number of eight bytes in this machine's order; `None` where the length differs.
    pub fn to_u64(&self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The content as text, up to the NUL that ends it or to its end.
    pub fn to_os_str(&self) -> &'b OsStr {
        OsStr::from_bytes(self.payload.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The attributes in it.
    pub fn nested(&self) -> Attributes<'b> {
        Attributes::parse(self.payload)
    }

    fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.payload.try_into().ok()
    }
}

/// The attributes in a part of a message, lent from it.
///
/// The bytes need no alignment. It ends at bytes that are no whole attribute, and keeps them as the
/// [`remainder`](Self::remainder).
///
/// ```
/// use becket_sys::netlink::Attributes;
///
/// let mut attributes = Attributes::parse(&[0xff; 7]); // longer than what is there
/// assert_eq!(attributes.next(), None);
/// assert_eq!(attributes.remainder().len(), 7);
/// ```
#[derive(Debug, Clone)]
pub struct Attributes<'b> {
    bytes: &'b [u8],
}

impl<'b> Attributes<'b> {
    /// The attributes in `bytes`.
    pub fn parse(bytes: &'b [u8]) -> Attributes<'b> {
        Attributes { bytes }
    }

    /// What is not parsed yet; at the end, what could not be.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for Attributes<'b> {
    type Item = Attribute<'b>;

    fn next(&mut self) -> Option<Attribute<'b>> {
        let (head, _) = self.bytes.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]);
        let payload = self.bytes.get(4..len)?;
        // The padding of the last one may be left out.
        self.bytes = &self.bytes[len.next_multiple_of(4).min(self.bytes.len())..];
        Some(Attribute {
            kind: kind & !(NESTED | NET_BYTE_ORDER),
            is_nested: kind & NESTED != 0,
            is_big_endian: kind & NET_BYTE_ORDER != 0,
            payload,
        })
    }
}

impl FusedIterator for Attributes<'_> {}
