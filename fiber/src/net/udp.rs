use crate::over::{ancillary, clones, datagrams, over_io, timeouts, until};
use crate::{Io, Ready};
use becket_sys::SetupError;
use becket_sys::cmsg::{Batch, Outgoing, Packet};
use becket_sys::udp::{Received, Socket};
use std::io;
use std::net::SocketAddr;

/// A UDP socket: udp(7).
///
/// `connect`, multicast and the other options are [`Socket`]'s. Dropping it closes the socket.
///
/// ```
/// use becket_fiber::net::UdpSocket;
/// use becket_fiber::{Runtime, spawn, timeout};
/// use std::io::ErrorKind;
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (a, b) = (UdpSocket::bind(([127, 0, 0, 1], 0))?, UdpSocket::bind(([127, 0, 0, 1], 0))?);
///     let (to, from) = (b.local_addr()?, a.local_addr()?);
///     let sender = spawn(move || a.send_to(b"becket", to))?;
///     let mut buf = [0; 4];
///     let (received, sent_from) = b.recv_from(&mut buf)?;
///     assert_eq!((&buf, received.datagram_len(), sent_from), (b"beck", 6, from));
///     assert_eq!(sender.join()??, 6);
///     let late = timeout(Duration::from_millis(1), || b.recv(&mut buf));
///     assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    io: Io<Socket>,
}

over_io!(UdpSocket, Socket, convert);
clones!(UdpSocket);
timeouts!(UdpSocket);
datagrams!(UdpSocket);
ancillary!(UdpSocket);

impl UdpSocket {
    /// Creates a socket bound to `addr`; port 0 lets the system choose a free one.
    ///
    /// # Errors
    /// As [`Socket::bind`]: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EMFILE`.
    pub fn bind(addr: impl Into<SocketAddr>) -> Result<UdpSocket, SetupError> {
        let addr = addr.into();
        UdpSocket::try_from(Socket::bind(addr)?).map_err(|e| SetupError::new("fcntl", addr.to_string(), e))
    }

    /// Sends a datagram to `addr`. It goes whole or not at all; that it was sent does not say that it arrives.
    ///
    /// # Errors
    /// Those of [`Socket::try_send_to`]; [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn send_to(&self, buf: &[u8], addr: impl Into<SocketAddr>) -> io::Result<usize> {
        let addr = addr.into();
        until(&self.io, Ready::WRITE, |s| s.try_send_to(buf, addr))
    }

    /// Receives a datagram and its sender. What does not fit into `buf` is lost, visibly.
    ///
    /// # Errors
    /// Those of [`Socket::try_recv_from`]; [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, SocketAddr)> {
        until(&self.io, Ready::READ, |s| s.try_recv_from(buf))
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram in place.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    #[doc(alias = "MSG_PEEK")]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(Received, SocketAddr)> {
        until(&self.io, Ready::READ, |s| s.try_peek_from(buf))
    }

    /// Waits for a datagram, then takes as many as are there and `batch` has room for, by one call; says how many. See
    /// [`Batch`] for what it holds.
    ///
    /// ```
    /// use becket_fiber::{Runtime, net::UdpSocket};
    /// use becket_sys::cmsg::{Batch, Packet};
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let (a, b) = (UdpSocket::bind(([127, 0, 0, 1], 0))?, UdpSocket::bind(([127, 0, 0, 1], 0))?);
    ///     let packets = [b"one".as_slice(), b"two"].map(|data| Packet::new(data).to(b.local_addr().unwrap()));
    ///     assert_eq!(a.send_batch(&packets)?, 2);
    ///     let mut batch = Batch::new(8, 16, 0);
    ///     let mut seen = Vec::new();
    ///     while seen.len() < 2 {
    ///         b.recv_batch(&mut batch)?;
    ///         seen.extend(batch.messages().iter().map(|m| m.data().to_vec()));
    ///     }
    ///     assert_eq!(seen, [b"one", b"two"]);
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Socket::try_recv_batch`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and none was taken.
    #[doc(alias = "recvmmsg")]
    pub fn recv_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        until(&self.io, Ready::READ, |s| s.try_recv_batch(batch))
    }

    /// Sends several datagrams by one call, and says how many of them went: at least one. The rest is to be sent again.
    ///
    /// # Errors
    /// Those of [`Socket::try_send_batch`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and none was sent.
    #[doc(alias = "sendmmsg")]
    pub fn send_batch(&self, packets: &[Packet<'_>]) -> io::Result<usize> {
        until(&self.io, Ready::WRITE, |s| s.try_send_batch(packets))
    }

    /// As [`send_to`](Self::send_to), with `control` beside the data: see [`becket_sys::cmsg`].
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and those of [`Socket::try_send_to_with`].
    #[doc(alias = "sendmsg")]
    pub fn send_to_with(&self, buf: &[u8], control: &Outgoing<'_>, addr: impl Into<SocketAddr>) -> io::Result<usize> {
        let addr = addr.into();
        until(&self.io, Ready::WRITE, |s| s.try_send_to_with(buf, control, addr))
    }
}
