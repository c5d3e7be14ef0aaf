use super::ancillary::{ancillary_io, pass_builder, pass_options, peer};
use super::bound::{Bound, Options};
use super::{Address, Received};
use crate::SetupError;
use crate::cmsg::{self, Outgoing};
use crate::fd::owned_fd;
use crate::socket::datagram::{self, datagram_io};
use crate::socket::{FLAGS, socket, stream};
use rustix::net::{AddressFamily, RecvFlags, SocketType, connect, connect_unspec, socket_with, socketpair};
use std::io::{self, IoSlice};
use std::net::Shutdown;

/// A socket of datagrams within this machine: unix(7).
///
/// Close-on-exec and non-blocking. Datagrams arrive, whole and in order, or the sender is told. Dropping it closes
/// the socket; the file stays, unless [`unlink_on_drop`](DatagramBuilder::unlink_on_drop) was asked for.
///
/// The room to send is in the *receiver's* queue, which holds few datagrams (`/proc/sys/net/unix/max_dgram_qlen`).
/// A connected socket is writable when its peer has room. An **unconnected one is writable even while
/// [`try_send_to`](Self::try_send_to) answers `None`**: to wait for its readiness then is to spin. Connect, or try
/// again after a while.
///
/// There is no end of stream: that a peer has closed is seen by sending to it, which is then `ECONNREFUSED`.
///
/// ```
/// use becket_sys::unix::{Address, Datagram};
///
/// let receiver = Datagram::bind(&Address::unnamed())?; // the system chooses a name
/// let sender = Datagram::unbound()?;
/// assert_eq!(sender.try_send_to(b"hello", &receiver.local_addr()?)?, Some(5));
///
/// let mut buf = [0; 16];
/// let (received, from) = receiver.try_recv_from(&mut buf)?.expect("a datagram");
/// assert_eq!(&buf[..received.len()], b"hello");
/// assert!(from.is_unnamed()); // nobody can answer
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SOCK_DGRAM")]
#[derive(Debug)]
pub struct Datagram {
    fd: Bound,
}

owned_fd!(Datagram, Readable);
socket!(Datagram, std::os::unix::net::UnixDatagram);
datagram_io!(Datagram);
ancillary_io!(Datagram, cmsg::RecvFlags::TRUNC);
pass_options!(Datagram);
peer!(Datagram);

impl Datagram {
    /// Creates a socket bound to `addr`, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`DatagramBuilder::bind`].
    pub fn bind(addr: &Address) -> Result<Datagram, SetupError> {
        Self::builder().bind(addr)
    }

    /// Sets up a bound socket in detail.
    pub fn builder() -> DatagramBuilder {
        DatagramBuilder { options: Options::default() }
    }

    /// A socket without an address: it can send, and receive only from the peer it is connected to.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left.
    pub fn unbound() -> io::Result<Datagram> {
        Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, FLAGS, None)?.into())
    }

    /// Two sockets connected with each other, both unnamed: socketpair(2).
    ///
    /// # Errors
    /// As [`unbound`](Self::unbound).
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(Datagram, Datagram)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, FLAGS, None)?;
        Ok((a.into(), b.into()))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no unix socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::local(self)
    }

    /// The address of the peer it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN` where it is not; otherwise as [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<Address> {
        Address::peer(self)
    }

    /// Makes the socket at `addr` the only peer; may be called again for another, and what is unread then is lost. It
    /// is that very socket: when it closes, sending is refused, though another be bound there.
    ///
    /// # Errors
    /// `ENOENT` where there is no such file, `ECONNREFUSED` where nobody is there, `EACCES` without permission to
    /// write to the file, `EPERM` where that one is connected to another, `EPROTOTYPE` where it is one of streams.
    pub fn connect(&self, addr: &Address) -> io::Result<()> {
        Ok(connect(self, &addr.encode()?)?)
    }

    /// Gives up the peer. What is unread then is lost.
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    #[doc(alias = "AF_UNSPEC")]
    pub fn disconnect(&self) -> io::Result<()> {
        Ok(connect_unspec(self)?)
    }

    /// Sends a datagram to the socket at `addr`; `None` where its queue is full (see [`Datagram`] for how to wait).
    /// A datagram goes whole or not at all, so the number returned is the length of `buf`.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); and `EMSGSIZE` where the datagram is longer than the send buffer.
    pub fn try_send_to(&self, buf: &[u8], addr: &Address) -> io::Result<Option<usize>> {
        datagram::try_send_to(self, buf, &addr.encode()?)
    }

    /// As [`try_send_to`](Self::try_send_to), with `control` beside the data.
    ///
    /// # Errors
    /// As [`try_send_to`](Self::try_send_to) and [`try_send_with`](Self::try_send_with).
    pub fn try_send_to_with(&self, buf: &[u8], control: &Outgoing<'_>, addr: &Address) -> io::Result<Option<usize>> {
        cmsg::send(self, &[IoSlice::new(buf)], control, Some(&addr.encode()?))
    }

    /// Receives a datagram and the address of its sender, unnamed where that was not bound; `None` where there is no
    /// datagram. What does not fit into `buf` is lost, visibly.
    ///
    /// Never blocks, whatever the blocking mode of the descriptor.
    ///
    /// # Errors
    /// `ECONNRESET` where the peer turned to another with datagrams unread.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<Option<(Received, Address)>> {
        self.receive_from(buf, RecvFlags::empty())
    }

    /// As [`try_recv_from`](Self::try_recv_from), but leaves the datagram in place.
    ///
    /// # Errors
    /// As [`try_recv_from`](Self::try_recv_from).
    #[doc(alias = "MSG_PEEK")]
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<Option<(Received, Address)>> {
        self.receive_from(buf, RecvFlags::PEEK)
    }

    fn receive_from(&self, buf: &mut [u8], flags: RecvFlags) -> io::Result<Option<(Received, Address)>> {
        let Some((received, from)) = datagram::try_recv_from(self, buf, flags)? else { return Ok(None) };
        Ok(Some((received, Address::decode(from)?)))
    }

    /// Ends one direction or both, for all handles to this socket; see shutdown(2). Sending is then `EPIPE`. Receiving
    /// gives what is queued and then `None`, though the socket counts as readable: do not wait for it any more. The
    /// peer is not told.
    ///
    /// # Errors
    /// `ENOTSOCK` where the descriptor is no socket.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        stream::shutdown(self, how)
    }
}

/// What to set up before a [`Datagram`] socket is bound; see [`Datagram::builder`].
///
/// ```
/// use becket_sys::unix::{Address, Datagram};
///
/// let path = std::env::temp_dir().join(format!("becket-datagram-{}", std::process::id()));
/// let addr = Address::pathname(&path)?;
/// let socket = Datagram::builder().unlink_on_drop(true).bind(&addr)?;
/// assert!(path.exists());
/// drop(socket);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DatagramBuilder {
    options: Options,
}

pass_builder!(DatagramBuilder);

impl DatagramBuilder {
    /// Whether to remove the file first if it is a socket at which nobody receives, such as a killed process leaves
    /// behind. The default is no. What is no socket, or has a receiver, is never removed.
    ///
    /// Between looking and removing another program can bind; where two may start at the same moment, let them hold
    /// a lock.
    #[doc(alias = "unlink")]
    pub fn replace_stale(mut self, replace: bool) -> Self {
        self.options.replace_stale = replace;
        self
    }

    /// Whether dropping the socket removes the file, if it is still the one that binding created. The default is no.
    /// It belongs to this object: clones do not remove it, and a socket turned into an `OwnedFd` or a socket of the
    /// standard library leaves it. A forked child that drops it removes it too.
    #[doc(alias = "unlink")]
    pub fn unlink_on_drop(mut self, unlink: bool) -> Self {
        self.options.unlink_on_drop = unlink;
        self
    }

    /// Creates the socket and binds it to `addr`. The file gets the permissions that the umask leaves.
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`](super::ListenerBuilder::bind), without the step `listen`.
    pub fn bind(&self, addr: &Address) -> Result<Datagram, SetupError> {
        Ok(Datagram { fd: self.options.bind(SocketType::DGRAM, addr)? })
    }
}
