use super::ancillary::{pass_builder, pass_options};
use super::bound::{Bound, Options};
use super::{Address, SeqpacketListener, Stream};
use crate::SetupError;
use crate::fd::owned_fd;
use crate::socket::{self, failed, socket};
use rustix::net::{SocketType, listen};
use std::io;

/// A socket that accepts connections of this machine: unix(7).
///
/// Close-on-exec and non-blocking. It is readable while connections wait. Dropping it closes the socket and ends the
/// connections that were not accepted; the file stays, unless
/// [`unlink_on_drop`](ListenerBuilder::unlink_on_drop) was asked for.
///
/// ```
/// use becket_sys::unix::{Address, Listener};
///
/// let dir = std::env::temp_dir().join(format!("becket-listener-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
/// let path = dir.join("socket");
/// let addr = Address::pathname(&path)?;
///
/// drop(Listener::bind(&addr)?);
/// assert!(path.exists());
/// let e = Listener::bind(&addr).unwrap_err(); // stale
/// assert_eq!((e.step(), e.kind()), ("bind", std::io::ErrorKind::AddrInUse));
///
/// let listener = Listener::builder().replace_stale(true).unlink_on_drop(true).bind(&addr)?;
/// assert_eq!(listener.local_addr()?, addr);
/// drop(listener);
/// assert!(!path.exists());
/// # std::fs::remove_dir(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    fd: Bound,
}

owned_fd!(Listener, Readable);
socket!(Listener, std::os::unix::net::UnixListener);
pass_options!(Listener);

impl Listener {
    /// Listens at `addr` with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`ListenerBuilder::bind`].
    pub fn bind(addr: &Address) -> Result<Listener, SetupError> {
        Self::builder().bind(addr)
    }

    /// Sets up a listener in detail.
    pub fn builder() -> ListenerBuilder {
        ListenerBuilder { options: Options::default(), backlog: 4096 }
    }

    /// The address it is bound to, with the name that the system chose.
    ///
    /// # Errors
    /// `ENOTSOCK` or `EAFNOSUPPORT` where the descriptor is no unix socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::local(self)
    }

    /// Accepts a connection, with the address that the client bound, if any; `None` where none waits. The stream is
    /// close-on-exec and non-blocking. A listener that was made blocking blocks.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` where something has run out: [`is_exhausted`](crate::is_exhausted)
    /// tells these apart and says what to do. `EINVAL` where the socket does not listen.
    #[doc(alias = "accept4")]
    pub fn try_accept(&self) -> io::Result<Option<(Stream, Address)>> {
        let Some((fd, from)) = socket::try_accept(self)? else { return Ok(None) };
        Ok(Some((fd.into(), Address::decode(from)?)))
    }
}

/// What to set up before a [`Listener`] listens; see [`Listener::builder`].
///
/// ```
/// use becket_sys::unix::{Address, Listener, Stream};
/// use std::io::ErrorKind;
///
/// let listener = Listener::builder().backlog(0).bind(&Address::unnamed())?; // the system chooses a name
/// let addr = listener.local_addr()?;
/// assert_eq!(addr.as_abstract_name().unwrap().len(), 5);
/// let _first = Stream::connect(&addr)?;
/// assert_eq!(Stream::connect(&addr).unwrap_err().kind(), ErrorKind::WouldBlock); // the backlog is full
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ListenerBuilder {
    options: Options,
    backlog: u32,
}

pass_builder!(ListenerBuilder);

impl ListenerBuilder {
    /// How many connections may wait to be accepted. The default is 4096; the kernel takes at most
    /// `/proc/sys/net/core/somaxconn`, and lets one more wait than it is told. To whoever comes when the queue is
    /// full connecting would block: see [`Stream::connect`].
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether to remove the file first if it is a socket at which nobody listens, such as a killed process leaves
    /// behind. The default is no. What is no socket, or has a listener, is never removed.
    ///
    /// To find out, it connects: a live listener sees one connection that ends at once. Between looking and removing
    /// another program can bind; where two may start at the same moment, let them hold a lock.
    #[doc(alias = "unlink")]
    pub fn replace_stale(mut self, replace: bool) -> Self {
        self.options.replace_stale = replace;
        self
    }

    /// Whether dropping the listener removes the file, if it is still the one that binding created. The default is
    /// no. It belongs to this object: clones do not remove it, and a listener turned into an `OwnedFd` or a listener
    /// of the standard library leaves it. A forked child that drops it removes it too.
    #[doc(alias = "unlink")]
    pub fn unlink_on_drop(mut self, unlink: bool) -> Self {
        self.options.unlink_on_drop = unlink;
        self
    }

    /// Creates the socket, binds it to `addr` and listens. The file gets the permissions that the umask leaves.
    ///
    /// # Errors
    /// Each names the step and the address. `bind`: `EADDRINUSE` where the file exists or the name is taken,
    /// `ENOENT`, `ENOTDIR`, `EACCES` or `EROFS` for the directory. `unlink`: where a stale file cannot be removed.
    /// `socket`: `EMFILE`. `set SO_PASS…`: `ENOPROTOOPT` where the kernel is too old for it.
    pub fn bind(&self, addr: &Address) -> Result<Listener, SetupError> {
        Ok(Listener { fd: self.listen(SocketType::STREAM, addr)? })
    }

    /// As [`bind`](Self::bind), for connections of records.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    #[doc(alias = "SOCK_SEQPACKET")]
    pub fn bind_seqpacket(&self, addr: &Address) -> Result<SeqpacketListener, SetupError> {
        Ok(SeqpacketListener { fd: self.listen(SocketType::SEQPACKET, addr)? })
    }

    fn listen(&self, kind: SocketType, addr: &Address) -> Result<Bound, SetupError> {
        let fd = self.options.bind(kind, addr)?;
        let backlog = self.backlog.try_into().unwrap_or(i32::MAX);
        listen(&fd, backlog).map_err(failed("listen", addr))?;
        Ok(fd)
    }
}
