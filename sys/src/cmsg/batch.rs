use super::{Incoming, Outgoing, Received};
use crate::ffi::cmsg::{Departure, Headers, Place};
use crate::unix::Address;
use rustix::net::addr::SocketAddrArg;
use std::fmt;
use std::io::IoSlice;
use std::net::SocketAddr;

/// Room for several messages, received by one call: recvmmsg(2).
///
/// Made once, it serves any number of calls. What of one call nobody looked at, descriptors too, is gone (and closed)
/// with the next call, or when this is dropped.
///
/// ```
/// use becket_sys::cmsg::{self, Batch, Packet};
/// use becket_sys::{Ready, udp::Socket};
///
/// let socket = Socket::bind(([127, 0, 0, 1], 0))?;
/// let to = socket.local_addr()?;
/// let packets = [&b"one"[..], b"two", b"three"].map(|data| Packet::new(data).to(to));
/// assert_eq!(cmsg::try_send_batch(&socket, &packets)?, Some(3));
///
/// let mut batch = Batch::new(2, 4, 0); // two messages of four bytes, without control messages
/// let mut texts = Vec::new();
/// while texts.len() < 3 {
///     socket.wait_ready(Ready::READ, None)?;
///     cmsg::try_recv_batch(&socket, &mut batch, cmsg::RecvFlags::TRUNC)?;
///     texts.extend(batch.messages().iter().map(|m| (m.data().to_vec(), m.received().datagram_len())));
///     assert!(batch.messages().iter().all(|m| m.control().sender() == Some(to)));
/// }
/// assert_eq!(texts, [(b"one".to_vec(), 3), (b"two".to_vec(), 3), (b"thre".to_vec(), 5)]);
/// assert_eq!(cmsg::try_recv_batch(&socket, &mut batch, cmsg::RecvFlags::empty())?, None); // would block
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "recvmmsg")]
#[derive(Debug)]
pub struct Batch {
    slots: Vec<Slot>,
    filled: usize,
    headers: Headers,
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers")
    }
}

impl Batch {
    /// Room for so many messages (of which one call fills at most 1024), each with this much data and this many bytes
    /// of [control messages](Incoming::with_capacity).
    pub fn new(messages: usize, data: usize, control: usize) -> Batch {
        let slot = || Slot {
            data: vec![0; data].into(),
            control: Incoming::with_capacity(control),
            received: Received::new(0, 0, 0),
            raw: (0, 0),
        };
        Batch { slots: std::iter::repeat_with(slot).take(messages).collect(), filled: 0, headers: Headers::default() }
    }

    /// For how many messages there is room.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The messages of the last call.
    pub fn messages(&self) -> &[Slot] {
        &self.slots[..self.filled]
    }

    /// The messages of the last call, to take descriptors out.
    pub fn messages_mut(&mut self) -> &mut [Slot] {
        &mut self.slots[..self.filled]
    }

    /// Forgets what came. Descriptors that nobody took are closed.
    pub fn clear(&mut self) {
        self.messages_mut().iter_mut().for_each(|slot| slot.control.clear());
        self.filled = 0;
    }

    pub(super) fn receive(
        &mut self,
        call: impl Fn(&mut Headers, &mut [Slot]) -> rustix::io::Result<usize>,
    ) -> rustix::io::Result<usize> {
        self.clear();
        self.filled = call(&mut self.headers, &mut self.slots)?.min(self.slots.len());
        for slot in self.messages_mut() {
            slot.received = Received::of_call(slot.raw, slot.data.len());
        }
        Ok(self.filled)
    }
}

/// One message of a [`Batch`], whose example shows it.
#[derive(Debug)]
pub struct Slot {
    data: Box<[u8]>,
    control: Incoming,
    received: Received,
    raw: (usize, i32),
}

impl Slot {
    /// The data, as far as there was room.
    pub fn data(&self) -> &[u8] {
        &self.data[..self.received.len().min(self.data.len())]
    }

    /// How long the data are, and whether something was cut.
    pub fn received(&self) -> Received {
        self.received
    }

    /// The sender, and what came beside the data.
    pub fn control(&self) -> &Incoming {
        &self.control
    }

    /// To take descriptors out.
    pub fn control_mut(&mut self) -> &mut Incoming {
        &mut self.control
    }

    pub(super) fn place(&mut self) -> Place<'_> {
        let (control, name) = self.control.parts();
        Place { data: &mut self.data, control, name, result: &mut self.raw }
    }
}

/// One of several messages to send by one call; see [`try_send_batch`](super::try_send_batch).
///
/// ```
/// use becket_sys::cmsg::{self, Outgoing, Packet};
/// use becket_sys::unix::{Address, Datagram};
///
/// let receiver = Datagram::bind(&Address::unnamed())?;
/// let (addr, mut out) = (receiver.local_addr()?, Outgoing::new());
/// out.push_credentials(Datagram::pair()?.0.peer_credentials()?);
/// let packets = [Packet::new(b"one").to_unix(&addr), Packet::new(b"").to_unix(&addr).control(&out)];
/// assert_eq!(cmsg::try_send_batch(&Datagram::unbound()?, &packets)?, Some(2));
/// assert_eq!(receiver.try_recv(&mut [0; 8])?.unwrap().len(), 3);
/// assert!(receiver.try_recv(&mut [0; 8])?.unwrap().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    pub(super) data: &'a [u8],
    to: Target<'a>,
    pub(super) control: Option<&'a Outgoing<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    Peer,
    Inet(SocketAddr),
    Unix(&'a Address),
}

impl<'a> Packet<'a> {
    /// A message to the peer that the socket is connected to.
    pub fn new(data: &'a [u8]) -> Packet<'a> {
        Packet { data, to: Target::Peer, control: None }
    }

    /// Sends it to this address.
    pub fn to(self, addr: impl Into<SocketAddr>) -> Packet<'a> {
        Packet { to: Target::Inet(addr.into()), ..self }
    }

    /// Sends it to this unix address.
    pub fn to_unix(self, addr: &'a Address) -> Packet<'a> {
        Packet { to: Target::Unix(addr), ..self }
    }

    /// Sends this beside the data.
    pub fn control(self, control: &'a Outgoing<'a>) -> Packet<'a> {
        Packet { control: Some(control), ..self }
    }

    pub(super) fn departure(&self) -> rustix::io::Result<Departure<'a>> {
        let to = match self.to {
            Target::Peer => None,
            Target::Inet(addr) => Some(addr.as_any()),
            Target::Unix(addr) => Some(addr.encode()?.as_any()),
        };
        Ok(Departure { data: IoSlice::new(self.data), control: self.control.map_or(&[], Outgoing::as_bytes), to })
    }
}
