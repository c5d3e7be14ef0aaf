use super::{Received, Socket};
use crate::cmsg::{self, Batch, Incoming, Message, Outgoing, Packet, RecvFlags};
use std::io::{self, IoSlice, IoSliceMut};

use std::net::SocketAddr;

/// Datagrams with what they tell beside their data, and several by one call. None of it blocks, whatever the blocking
/// mode of the descriptor.
impl Socket {
    /// As [`try_send`](Self::try_send), with `control` beside the data: the address to send from, sizes, and so on.
    ///
    /// # Errors
    /// Those of [`try_send`](Self::try_send), and those that the methods of [`Outgoing`] name.
    ///
    /// ```
    /// use becket_sys::cmsg::{Incoming, Message, Outgoing};
    /// use becket_sys::{Ready, udp::Socket};
    /// use std::net::Ipv4Addr;
    ///
    /// // A server on all addresses, here of the loopback interface, answers from the one that it was asked at.
    /// let server = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0))?;
    /// server.set_packet_info(true)?;
    /// let client = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    /// client.connect(([127, 0, 0, 9], server.local_addr()?.port()))?;
    /// client.try_send(b"who?")?;
    ///
    /// server.wait_ready(Ready::READ, None)?;
    /// let (mut buf, mut control) = ([0; 64], Incoming::new());
    /// server.try_recv_with(&mut buf, &mut control)?.expect("a datagram");
    /// let asked = control.messages().find_map(|message| match message {
    ///     Message::PacketInfo(info) => Some(info),
    ///     _ => None,
    /// });
    /// let asked = asked.expect("it was asked for");
    /// let mut out = Outgoing::new();
    /// out.push_source(asked.reply_from.expect("not multicast"), asked.interface);
    /// server.try_send_to_with(b"me", &out, control.sender().expect("an address"))?;
    ///
    /// client.wait_ready(Ready::READ, None)?;
    /// assert_eq!(client.try_recv(&mut buf)?.unwrap().len(), 2); // connected to 127.0.0.9, it hears no other
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendmsg")]
    #[inline]
    pub fn try_send_with(&self, buf: &[u8], control: &Outgoing<'_>) -> io::Result<Option<usize>> {
        cmsg::try_send(self, &[IoSlice::new(buf)], control)
    }

    /// As [`try_send_to`](Self::try_send_to), with `control` beside the data.
    ///
    /// # Errors
    /// Those of [`try_send_to`](Self::try_send_to), and those that the methods of [`Outgoing`] name.
    pub fn try_send_to_with(
        &self,
        buf: &[u8],
        control: &Outgoing<'_>,
        addr: impl Into<SocketAddr>,
    ) -> io::Result<Option<usize>> {
        cmsg::try_send_to(self, &[IoSlice::new(buf)], control, addr)
    }

    /// Receives a datagram, and what it tells beside its data into `control`, the [sender](Incoming::sender) included;
    /// `None` where there is none. What does not fit into `buf` is lost, visibly.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[doc(alias = "recvmsg")]
    #[inline]
    pub fn try_recv_with(&self, buf: &mut [u8], control: &mut Incoming) -> io::Result<Option<Received>> {
        cmsg::try_recv(self, &mut [IoSliceMut::new(buf)], control, RecvFlags::TRUNC)
    }

    /// As [`try_recv_with`](Self::try_recv_with), but leaves the datagram in place.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[doc(alias = "MSG_PEEK")]
    pub fn try_peek_with(&self, buf: &mut [u8], control: &mut Incoming) -> io::Result<Option<Received>> {
        cmsg::try_recv(self, &mut [IoSliceMut::new(buf)], control, RecvFlags::TRUNC | RecvFlags::PEEK)
    }

    /// Takes what befell an earlier datagram, from the queue of [errors](Self::set_recv_errors) and of
    /// [times of sending](Self::set_timestamping); `None` where there is nothing. [`Ready::ERR`](crate::Ready::ERR)
    /// announces it.
    ///
    /// `control` then has a [`Message::Error`], and its [`sender`](Incoming::sender) is whom the datagram was for;
    /// `buf` has the data of that datagram, as far as they came back.
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket. The errors in the queue are values.
    ///
    /// ```
    /// use becket_sys::cmsg::{Incoming, Message};
    /// use becket_sys::{Ready, udp::Socket};
    ///
    /// let nobody = Socket::bind(([127, 0, 0, 1], 0))?.local_addr()?; // closed again
    /// let socket = Socket::bind(([127, 0, 0, 1], 0))?; // not connected
    /// socket.set_recv_errors(true)?;
    /// socket.try_send_to(b"anybody?", nobody)?;
    ///
    /// socket.wait_ready(Ready::empty(), None)?; // ERR comes unasked
    /// let (mut buf, mut control) = ([0; 64], Incoming::new());
    /// let received = socket.try_recv_error(&mut buf, &mut control)?.expect("an error");
    /// let Some(Message::Error(e)) = control.messages().next() else { panic!() };
    /// assert_eq!(e.to_io_error().kind(), std::io::ErrorKind::ConnectionRefused);
    /// assert_eq!((control.sender(), &buf[..received.len()]), (Some(nobody), &b"anybody?"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_ERRQUEUE")]
    pub fn try_recv_error(&self, buf: &mut [u8], control: &mut Incoming) -> io::Result<Option<Received>> {
        cmsg::try_recv(self, &mut [IoSliceMut::new(buf)], control, RecvFlags::TRUNC | RecvFlags::ERRQUEUE)
    }

    /// Receives as many datagrams as are there and `batch` has room for, and says how many; `None` where there is
    /// none. See [`Batch`] for an example.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv). An error after the first datagram is returned by the next call.
    #[doc(alias = "recvmmsg")]
    pub fn try_recv_batch(&self, batch: &mut Batch) -> io::Result<Option<usize>> {
        cmsg::try_recv_batch(self, batch, RecvFlags::TRUNC)
    }

    /// Sends several datagrams by one call, at most 1024, and says how many of them; `None` where there is no room for
    /// the first. The rest is to be sent again.
    ///
    /// # Errors
    /// Those of the first datagram, as [`try_send_to`](Self::try_send_to). An error of a later one ends the call, and
    /// comes with the next one.
    #[doc(alias = "sendmmsg")]
    pub fn try_send_batch(&self, packets: &[Packet<'_>]) -> io::Result<Option<usize>> {
        cmsg::try_send_batch(self, packets)
    }
}

/// The datagrams in `data`, which came as one where [`set_gro`](Socket::set_gro) allowed that; just `data` where they
/// did not. Nothing may have been cut off: see [`Received::is_truncated`].
///
/// ```
/// use becket_sys::cmsg::Incoming;
/// use becket_sys::udp::{Socket, segments};
///
/// let socket = Socket::bind(([127, 0, 0, 1], 0))?;
/// socket.set_gro(true)?;
/// socket.set_segment_size(Some(4))?;
/// socket.try_send_to(b"one.two.3", socket.local_addr()?)?;
///
/// let (mut buf, mut control) = ([0; 1 << 16], Incoming::new());
/// let mut texts = Vec::new();
/// while texts.len() < 3 {
///     socket.wait_ready(becket_sys::Ready::READ, None)?;
///     let received = socket.try_recv_with(&mut buf, &mut control)?.expect("a datagram");
///     texts.extend(segments(&buf[..received.len()], &control).map(<[u8]>::to_vec));
/// }
/// assert_eq!(texts, [b"one.".to_vec(), b"two.".to_vec(), b"3".to_vec()]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn segments<'b>(data: &'b [u8], control: &Incoming) -> impl Iterator<Item = &'b [u8]> {
    let size = control.messages().find_map(|message| match message {
        Message::SegmentSize(size) => Some(usize::from(size)),
        _ => None,
    });
    let size = size.filter(|size| *size > 0).unwrap_or(data.len());
    // An empty datagram is one too, of which there are no chunks.
    let empty = if data.is_empty() { Some(data) } else { None };
    empty.into_iter().chain(data.chunks(size.max(1)))
}
