use super::ancillary::{ancillary_io, pass_options, peer};
use super::bound::Bound;
use super::stream::connect;
use super::{Address, ListenerBuilder, Received};
use crate::SetupError;
use crate::cmsg::RecvFlags;
use crate::fd::owned_fd;
use crate::socket::{self, FLAGS, datagram, socket, stream};
use rustix::net::{AddressFamily, SocketType, socketpair};
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;

/// A connection of records within this machine: each send is received whole, in order, by one receive. unix(7),
/// `SOCK_SEQPACKET`.
///
/// Close-on-exec and non-blocking. Dropping it closes the connection: the peer receives `ECONNRESET`, at once and once,
/// where something was left unread here; then what was sent, then the end.
///
/// # The end, and empty records
///
/// Both are received as 0 bytes, and the kernel does not tell them apart, unless it is asked for
/// [credentials](Self::set_pass_credentials): a record brings some, the end does not, see
/// [`try_recv_record`](Self::try_recv_record). Whose protocol has no empty records need not care.
///
/// ```
/// use becket_sys::unix::Seqpacket;
///
/// let (a, b) = Seqpacket::pair()?;
/// for record in ["one", "", "three"] {
///     assert_eq!(a.try_send(record.as_bytes())?, Some(record.len()));
/// }
/// let mut buf = [0; 4];
/// assert_eq!(b.try_recv(&mut buf)?.unwrap().len(), 3);
/// assert!(b.try_recv(&mut buf)?.unwrap().is_empty());
/// let last = b.try_recv(&mut buf)?.unwrap();
/// assert_eq!((last.len(), last.datagram_len(), last.is_truncated()), (4, 5, true));
/// assert_eq!(b.try_recv(&mut buf)?, None); // would block
/// drop(a);
/// assert!(b.try_recv(&mut buf)?.unwrap().is_empty()); // the end, from now on
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SOCK_SEQPACKET")]
#[derive(Debug)]
pub struct Seqpacket {
    fd: OwnedFd,
}

owned_fd!(Seqpacket, Readable);
socket!(Seqpacket);
ancillary_io!(Seqpacket, RecvFlags::TRUNC);
pass_options!(Seqpacket);
peer!(Seqpacket);

/// What [`Seqpacket::try_recv_record`] received. The example is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A record, which may be empty.
    Record(Received),
    /// The peer has closed, or shut down sending, and all that it sent is received.
    End,
}

impl Seqpacket {
    /// Connects to `addr`. That succeeds or fails at once: there is nothing to wait for.
    ///
    /// # Errors
    /// As [`Stream::connect`](super::Stream::connect).
    pub fn connect(addr: &Address) -> Result<Seqpacket, SetupError> {
        Ok(Seqpacket { fd: connect(SocketType::SEQPACKET, None, addr)? })
    }

    /// As [`connect`](Self::connect), from a socket that is bound to `local` before; see
    /// [`Stream::connect_from`](super::Stream::connect_from).
    ///
    /// # Errors
    /// As [`Stream::connect_from`](super::Stream::connect_from).
    pub fn connect_from(local: &Address, addr: &Address) -> Result<Seqpacket, SetupError> {
        Ok(Seqpacket { fd: connect(SocketType::SEQPACKET, Some(local), addr)? })
    }

    /// Two sockets connected with each other, both unnamed: socketpair(2).
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(Seqpacket, Seqpacket)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        Ok((a.into(), b.into()))
    }

    /// The address of this end: unnamed, unless it was accepted or bound.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no unix socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::local(self)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `ENOTCONN` where it is not connected; otherwise as [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<Address> {
        Address::peer(self)
    }

    /// Sends a record; `None` where there is no room. It goes whole or not at all, so the number returned is the length
    /// of `buf`. An empty one is one too.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor, and never raises SIGPIPE.
    ///
    /// # Errors
    /// `EPIPE` where the peer has gone or this end is shut down for sending, `EMSGSIZE` where the record is longer than
    /// the send buffer, `ENOTCONN` where the socket is not connected.
    #[inline]
    pub fn try_send(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        datagram::try_send(self, buf)
    }

    /// Receives a record; `None` where there is none. What does not fit into `buf` is lost, visibly. The end looks as
    /// an empty record does.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor.
    ///
    /// # Errors
    /// `ECONNRESET`, once, where the peer closed with something unread; `ENOTCONN` where the socket is not connected.
    #[inline]
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<Option<Received>> {
        datagram::try_recv(self, buf, rustix::net::RecvFlags::empty())
    }

    /// As [`try_recv`](Self::try_recv), but leaves the record in place.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    #[doc(alias = "MSG_PEEK")]
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<Option<Received>> {
        datagram::try_recv(self, buf, rustix::net::RecvFlags::PEEK)
    }

    /// As [`try_recv_with`](Self::try_recv_with), and tells the end from an empty record.
    ///
    /// That takes credentials, which have to be [asked for](Self::set_pass_credentials), and room for them in
    /// `control`. Without, what is empty counts as the end.
    ///
    /// ```
    /// use becket_sys::cmsg::Incoming;
    /// use becket_sys::unix::{Record, Seqpacket};
    ///
    /// let (a, b) = Seqpacket::pair()?;
    /// b.set_pass_credentials(true)?;
    /// a.try_send(b"")?;
    /// drop(a);
    /// let mut control = Incoming::new();
    /// let first = b.try_recv_record(&mut [0; 4], &mut control)?.unwrap();
    /// assert!(matches!(first, Record::Record(received) if received.is_empty()));
    /// assert_eq!(b.try_recv_record(&mut [0; 4], &mut control)?, Some(Record::End));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_record(&self, buf: &mut [u8], control: &mut crate::cmsg::Incoming) -> io::Result<Option<Record>> {
        let Some(received) = self.try_recv_with(buf, control)? else { return Ok(None) };
        // Credentials that found no room are not the end either.
        let something =
            received.datagram_len() > 0 || received.is_control_truncated() || !control.as_bytes().is_empty();
        Ok(Some(if something { Record::Record(received) } else { Record::End }))
    }

    /// Ends one direction or both, for all handles to this socket; see shutdown(2). The peer receives the end after
    /// what was sent before.
    ///
    /// # Errors
    /// `ENOTCONN` where the socket is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        stream::shutdown(self, how)
    }
}

/// A socket that accepts connections of records: as [`Listener`](super::Listener), for [`Seqpacket`].
///
/// ```
/// use becket_sys::unix::{Address, Listener, Seqpacket, SeqpacketListener};
///
/// let listener = SeqpacketListener::bind(&Address::unnamed())?; // the system chooses a name
/// let client = Seqpacket::connect(&listener.local_addr()?)?;
/// let (server, from) = listener.try_accept()?.expect("a connection");
/// assert!(from.is_unnamed());
/// client.try_send(b"record")?;
/// assert_eq!(server.try_recv(&mut [0; 16])?.unwrap().len(), 6);
///
/// let short = Listener::builder().backlog(0).bind_seqpacket(&Address::unnamed())?;
/// # drop(short);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SeqpacketListener {
    pub(super) fd: Bound,
}

owned_fd!(SeqpacketListener, Readable);
socket!(SeqpacketListener);
pass_options!(SeqpacketListener);

impl SeqpacketListener {
    /// Listens at `addr` with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`].
    pub fn bind(addr: &Address) -> Result<SeqpacketListener, SetupError> {
        Self::builder().bind_seqpacket(addr)
    }

    /// Sets up a listener in detail; [`bind_seqpacket`](ListenerBuilder::bind_seqpacket) makes it.
    pub fn builder() -> ListenerBuilder {
        super::Listener::builder()
    }

    /// The address it is bound to, with the name that the system chose.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no unix socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::local(self)
    }

    /// Accepts a connection; as [`Listener::try_accept`](super::Listener::try_accept).
    ///
    /// # Errors
    /// As [`Listener::try_accept`](super::Listener::try_accept).
    #[doc(alias = "accept4")]
    pub fn try_accept(&self) -> io::Result<Option<(Seqpacket, Address)>> {
        let Some((fd, from)) = socket::try_accept(self)? else { return Ok(None) };
        Ok(Some((fd.into(), Address::decode(from)?)))
    }
}
