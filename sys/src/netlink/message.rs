use super::Attributes;
use bitflags::bitflags;
use std::iter::FusedIterator;
use std::{error, fmt, io};

bitflags! {
    /// The flags of a message. Some bits have several names: which one is meant depends on the kind of request. Unknown
    /// bits are kept.
    ///
    /// ```
    /// use becket_sys::netlink::Flags;
    ///
    /// assert_eq!(Flags::DUMP, Flags::ROOT | Flags::MATCH);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u16 {
        /// A request to the kernel. [`Request`](super::Request) sets it.
        #[doc(alias = "NLM_F_REQUEST")]
        const REQUEST = 0x01;
        /// One of several messages, which [`Message::DONE`] ends.
        #[doc(alias = "NLM_F_MULTI")]
        const MULTI = 0x02;
        /// Answer with a confirmation. [`Request`](super::Request) sets it.
        #[doc(alias = "NLM_F_ACK")]
        const ACK = 0x04;
        /// Send what the groups are told to the one who asked, too.
        #[doc(alias = "NLM_F_ECHO")]
        const ECHO = 0x08;
        /// In an answer: what was listed has changed meanwhile, so the list may have gaps and doubles.
        #[doc(alias = "NLM_F_DUMP_INTR")]
        const DUMP_INTR = 0x10;
        /// In an answer: the list is filtered as asked.
        #[doc(alias = "NLM_F_DUMP_FILTERED")]
        const DUMP_FILTERED = 0x20;

        /// In a request to list: from the start on.
        #[doc(alias = "NLM_F_ROOT")]
        const ROOT = 0x100;
        /// In a request to list: all that matches.
        #[doc(alias = "NLM_F_MATCH")]
        const MATCH = 0x200;
        /// List all.
        #[doc(alias = "NLM_F_DUMP")]
        const DUMP = 0x300;

        /// In a request to make something: replace what there is.
        #[doc(alias = "NLM_F_REPLACE")]
        const REPLACE = 0x100;
        /// In a request to make something: fail with `EEXIST` where it is there.
        #[doc(alias = "NLM_F_EXCL")]
        const EXCL = 0x200;
        /// In a request to make something: make it where it is not there.
        #[doc(alias = "NLM_F_CREATE")]
        const CREATE = 0x400;
        /// In a request to make something: put it last.
        #[doc(alias = "NLM_F_APPEND")]
        const APPEND = 0x800;

        /// In a confirmation: the request is not quoted.
        #[doc(alias = "NLM_F_CAPPED")]
        const CAPPED = 0x100;
        /// In a confirmation: it is explained.
        #[doc(alias = "NLM_F_ACK_TLVS")]
        const ACK_TLVS = 0x200;

        const _ = !0;
    }
}

/// One message.
///
/// ```
/// use becket_sys::netlink::{Flags, Message, Messages, Request};
///
/// let request = Request::new(0x12, Flags::DUMP); // RTM_GETLINK
/// let bytes = request.to_bytes(7)?;
/// let message = Messages::parse(&bytes).next().unwrap();
/// assert_eq!((message.kind, message.sequence), (0x12, 7));
/// assert_eq!(message.flags, Flags::REQUEST | Flags::ACK | Flags::DUMP);
/// assert!(message.outcome().is_none()); // neither an error nor an end
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "nlmsghdr")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Message<'b> {
    /// What it is: a number whose meaning depends on the protocol, below 16 one of the constants here.
    #[doc(alias = "nlmsg_type")]
    pub kind: u16,
    /// Flags; see there.
    #[doc(alias = "nlmsg_flags")]
    pub flags: Flags,
    /// The number of the request that it answers; 0 in what groups are told, unless a request was the cause.
    #[doc(alias = "nlmsg_seq")]
    pub sequence: u32,
    /// The port of the socket that it answers, in what the kernel sends. It proves nothing of the sender.
    #[doc(alias = "nlmsg_pid")]
    pub port: u32,
    /// The content, without padding: mostly a struct of a fixed size and attributes.
    pub payload: &'b [u8],
}

impl<'b> Message<'b> {
    /// Nothing.
    #[doc(alias = "NLMSG_NOOP")]
    pub const NOOP: u16 = 1;
    /// A confirmation or a refusal: see [`outcome`](Self::outcome).
    #[doc(alias = "NLMSG_ERROR")]
    pub const ERROR: u16 = 2;
    /// The end of a list: see [`outcome`](Self::outcome).
    #[doc(alias = "NLMSG_DONE")]
    pub const DONE: u16 = 3;
    /// Data was lost; not in use.
    #[doc(alias = "NLMSG_OVERRUN")]
    pub const OVERRUN: u16 = 4;

    /// The attributes that follow a struct of `skip` bytes (and its padding); none where the message ends before.
    pub fn attributes(&self, skip: usize) -> Attributes<'b> {
        let at = skip.checked_next_multiple_of(4).unwrap_or(usize::MAX);
        Attributes::parse(self.payload.get(at..).unwrap_or_default())
    }

    /// How the request ended, where this message tells: a confirmation, a refusal, or the end of a list. A message that
    /// is too short to say counts as a refusal with `EBADMSG`.
    pub fn outcome(&self) -> Option<Result<(), Refusal>> {
        let (code, rest) = match (self.kind, self.payload.split_first_chunk::<4>()) {
            (Message::ERROR | Message::DONE, Some((code, rest))) => (i32::from_ne_bytes(*code), rest),
            // Old lists end without a word.
            (Message::DONE, None) => return Some(Ok(())),
            (Message::ERROR, None) => (-libc::EBADMSG, &[][..]),
            _ => return None,
        };
        if code >= 0 {
            return Some(Ok(()));
        }
        let mut refusal = Refusal { code: code.checked_neg().unwrap_or(libc::EBADMSG), ..Refusal::default() };
        if self.flags.contains(Flags::ACK_TLVS) {
            let explanation = if self.kind == Message::DONE { Some(rest) } else { self.after_quote(rest) };
            refusal.explain(Attributes::parse(explanation.unwrap_or_default()));
        }
        Some(Err(refusal))
    }

    /// What follows the quoted request: its head, and its content unless that is left out.
    fn after_quote(&self, quote: &'b [u8]) -> Option<&'b [u8]> {
        let quoted = match self.flags.contains(Flags::CAPPED) {
            true => 16,
            false => u32::from_ne_bytes(*quote.first_chunk::<4>()?).checked_next_multiple_of(4)?.max(16),
        };
        quote.get(quoted as usize..)
    }
}

/// Why the kernel did not do what it was asked.
///
/// Converts into an [`io::Error`] with the same code.
///
/// ```
/// use becket_sys::netlink::{Flags, Messages};
///
/// let mut bytes = Vec::new();
/// bytes.extend(36u32.to_ne_bytes()); // length
/// bytes.extend(2u16.to_ne_bytes()); // NLMSG_ERROR
/// bytes.extend(Flags::CAPPED.bits().to_ne_bytes());
/// bytes.extend([0; 8]);
/// bytes.extend((-19i32).to_ne_bytes()); // ENODEV
/// bytes.extend([0; 16]);
/// let refusal = Messages::parse(&bytes).next().unwrap().outcome().unwrap().unwrap_err();
/// assert_eq!(refusal.to_string(), "No such device (os error 19)");
/// assert_eq!(std::io::Error::from(refusal).raw_os_error(), Some(19));
/// ```
#[doc(alias = "nlmsgerr")]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Refusal {
    /// The code of the error, positive: `ENODEV`.
    pub code: i32,
    /// What the kernel says in words.
    pub text: Option<String>,
    /// Where in the request the attribute lies that it is about, counted from its first byte.
    pub offset: Option<u32>,
    /// The kind of an attribute that is missing.
    pub missing: Option<u32>,
}

impl Refusal {
    fn explain(&mut self, attributes: Attributes<'_>) {
        for attribute in attributes {
            match attribute.kind {
                1 => self.text = Some(attribute.to_os_str().to_string_lossy().into_owned()),
                2 => self.offset = attribute.to_u32(),
                5 => self.missing = attribute.to_u32(),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            write!(f, "{text}: ")?;
        }
        write!(f, "{}", io::Error::from_raw_os_error(self.code))
    }
}

impl error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        io::Error::from_raw_os_error(refusal.code)
    }
}

/// The messages in a datagram, lent from it.
///
/// The bytes need no alignment. It ends at bytes that are no whole message, and keeps them as the
/// [`remainder`](Self::remainder).
///
/// ```
/// use becket_sys::netlink::Messages;
///
/// let mut messages = Messages::parse(b"too short");
/// assert_eq!(messages.next(), None);
/// assert_eq!(messages.remainder(), b"too short");
/// ```
#[derive(Debug, Clone)]
pub struct Messages<'b> {
    bytes: &'b [u8],
}

impl<'b> Messages<'b> {
    /// The messages in `bytes`.
    pub fn parse(bytes: &'b [u8]) -> Messages<'b> {
        Messages { bytes }
    }

    /// What is not parsed yet; at the end, what could not be.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for Messages<'b> {
    type Item = Message<'b>;

    fn next(&mut self) -> Option<Message<'b>> {
        let (head, _) = self.bytes.split_first_chunk::<16>()?;
        let word = |i: usize| u32::from_ne_bytes(head.as_chunks::<4>().0[i]);
        let len = usize::try_from(word(0)).ok()?;
        let payload = self.bytes.get(16..len)?;
        // The padding of the last one may be left out.
        let end = len.checked_next_multiple_of(4).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes = &self.bytes[end..];
        Some(Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: Flags::from_bits_retain(u16::from_ne_bytes([head[6], head[7]])),
            sequence: word(2),
            port: word(3),
            payload,
        })
    }
}

impl FusedIterator for Messages<'_> {}
