use super::{Address, Received};
use crate::over::{REST, accept, ancillary, clones, datagrams, over_io, reads, timeouts, until, writes};
use crate::{Io, Ready, sleep};
use becket_sys::SetupError;
use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::unix::{Datagram, Listener, Record, Seqpacket, SeqpacketListener, Stream};
use std::io;

fn no_fcntl(e: io::Error) -> SetupError {
    SetupError::new("fcntl", "a unix socket", e)
}

/// Connects; while the listener's queue is full it rests and tries again.
fn connect<T>(addr: &Address, f: impl Fn(&Address) -> Result<T, SetupError>) -> Result<T, SetupError> {
    loop {
        match f(addr) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                sleep(REST).map_err(|e| SetupError::new("connect", addr.to_string(), e))?;
            }
            other => return other,
        }
    }
}

/// A listening socket of this machine: unix(7).
///
/// A file that outlives the socket, and one that is in the way, are seen to by [`Listener::builder`]; convert what it
/// gives by `try_from`.
///
/// ```
/// use becket_fiber::net::{Address, UnixListener, UnixStream};
/// use becket_fiber::{Runtime, spawn};
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let listener = UnixListener::bind(&Address::unnamed())?; // the system chooses a name
///     let address = listener.local_addr()?;
///     let client = spawn(move || UnixStream::connect(&address)?.write_all(b"becket"))?;
///     let mut text = String::new();
///     listener.accept()?.0.read_to_string(&mut text)?;
///     assert_eq!(text, "becket");
///     client.join()?
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    io: Io<Listener>,
}

over_io!(UnixListener, Listener, convert);
clones!(UnixListener);

impl UnixListener {
    /// Listens at `addr`.
    ///
    /// # Errors
    /// As [`Listener::bind`]: `EADDRINUSE`, `EACCES`, `ENOENT`, `EMFILE`.
    pub fn bind(addr: &Address) -> Result<UnixListener, SetupError> {
        Listener::bind(addr)?.try_into().map_err(no_fcntl)
    }

    /// Waits for a connection; rests where something has run out, as
    /// [`TcpListener::accept`](super::TcpListener::accept) does.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; those of [`Listener::try_accept`] that are the listener's own.
    pub fn accept(&self) -> io::Result<(UnixStream, Address)> {
        let (stream, from) = accept(&self.io, Listener::try_accept)?;
        Ok((stream.try_into()?, from))
    }
}

/// A connection within this machine: unix(7). Descriptors and credentials go beside the data, by
/// [`send_with`](Self::send_with).
///
/// ```
/// use becket_fiber::{Runtime, net::UnixStream, spawn};
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (mut a, mut b) = UnixStream::pair()?;
///     let writer = spawn(move || b.write_all(&[7; 1_000_000]))?; // more than fits at once
///     let mut bytes = Vec::new();
///     a.read_to_end(&mut bytes)?;
///     assert_eq!(bytes.len(), 1_000_000);
///     writer.join()?
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixStream {
    io: Io<Stream>,
}

over_io!(UnixStream, Stream, convert);
clones!(UnixStream);
timeouts!(UnixStream);
reads!(UnixStream);
writes!(UnixStream);
ancillary!(UnixStream);

impl UnixStream {
    /// Connects to `addr`. While the listener's queue is full it rests and tries again: no readiness would tell.
    ///
    /// # Errors
    /// As [`Stream::connect`], `EAGAIN` left out; [`Cancelled`](crate::Cancelled) and `TimedOut`.
    pub fn connect(addr: &Address) -> Result<UnixStream, SetupError> {
        connect(addr, Stream::connect)?.try_into().map_err(no_fcntl)
    }

    /// Two streams connected with each other: socketpair(2).
    ///
    /// # Errors
    /// `EMFILE` where no descriptors are left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = Stream::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Waits for data and copies what is there into `buf`, without taking it; 0 is the end of the stream.
    ///
    /// # Errors
    /// As reading.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        until(&self.io, Ready::READ, |s| s.try_peek(buf))
    }
}

/// A socket of datagrams within this machine: unix(7).
///
/// ```
/// use becket_fiber::net::{Address, UnixDatagram};
/// use becket_fiber::{Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let receiver = UnixDatagram::bind(&Address::unnamed())?;
///     let address = receiver.local_addr()?;
///     let sender = spawn(move || {
///         let socket = UnixDatagram::unbound()?;
///         (0..1000_u16).try_for_each(|n| socket.send_to(&n.to_ne_bytes(), &address).map(drop)) // waits for room
///     })?;
///     for n in 0..1000_u16 {
///         let mut buf = [0; 2];
///         assert_eq!(receiver.recv(&mut buf)?.len(), 2);
///         assert_eq!(u16::from_ne_bytes(buf), n);
///     }
///     sender.join()?
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    io: Io<Datagram>,
}

over_io!(UnixDatagram, Datagram, convert);
clones!(UnixDatagram);
timeouts!(UnixDatagram);
datagrams!(UnixDatagram);
ancillary!(UnixDatagram);

impl UnixDatagram {
    /// Creates a socket bound to `addr`.
    ///
    /// # Errors
    /// As [`Datagram::bind`]: `EADDRINUSE`, `EACCES`, `ENOENT`, `EMFILE`.
    pub fn bind(addr: &Address) -> Result<UnixDatagram, SetupError> {
        Datagram::bind(addr)?.try_into().map_err(no_fcntl)
    }

    /// A socket without an address: it can send, and receive only from the peer it is connected to.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Datagram::unbound()?.try_into()
    }

    /// Two sockets connected with each other: socketpair(2).
    ///
    /// # Errors
    /// `EMFILE` where no descriptors are left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = Datagram::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Sends a datagram to `addr`. While the receiver's queue is full it rests, at most 50 ms at a time, and tries
    /// again: the readiness of an unconnected socket does not tell. Only deadlines bound that, not the write timeout.
    ///
    /// # Errors
    /// Those of [`Datagram::try_send_to`]; [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn send_to(&self, buf: &[u8], addr: &Address) -> io::Result<usize> {
        self.until_room(|s| s.try_send_to(buf, addr))
    }

    /// As [`send_to`](Self::send_to), with `control` beside the data.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and those of [`Datagram::try_send_to_with`].
    pub fn send_to_with(&self, buf: &[u8], control: &Outgoing<'_>, addr: &Address) -> io::Result<usize> {
        self.until_room(|s| s.try_send_to_with(buf, control, addr))
    }

    fn until_room(&self, f: impl Fn(&Datagram) -> io::Result<Option<usize>>) -> io::Result<usize> {
        let mut rest = REST / 64;
        loop {
            if let Some(n) = self.io.attempt(Ready::WRITE, &f)? {
                return Ok(n);
            }
            sleep(rest)?;
            rest = (2 * rest).min(REST);
        }
    }

    /// Receives a datagram and its sender. What does not fit into `buf` is lost, visibly.
    ///
    /// # Errors
    /// Those of [`Datagram::try_recv_from`]; [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(Received, Address)> {
        until(&self.io, Ready::READ, |s| s.try_recv_from(buf))
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram in place.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    #[doc(alias = "MSG_PEEK")]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(Received, Address)> {
        until(&self.io, Ready::READ, |s| s.try_peek_from(buf))
    }
}

/// A listening socket for connections of records: unix(7).
///
/// A file that outlives the socket is seen to by [`SeqpacketListener::builder`]; convert what it gives by `try_from`.
///
/// ```
/// use becket_fiber::net::{Address, UnixSeqpacket, UnixSeqpacketListener};
/// use becket_fiber::{Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let listener = UnixSeqpacketListener::bind(&Address::unnamed())?; // the system chooses a name
///     let address = listener.local_addr()?;
///     let client = spawn(move || UnixSeqpacket::connect(&address)?.send(b"becket"))?;
///     let (peer, _) = listener.accept()?;
///     let mut buf = [0; 8];
///     assert_eq!(peer.recv(&mut buf)?.len(), 6);
///     assert_eq!(client.join()??, 6);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct UnixSeqpacketListener {
    io: Io<SeqpacketListener>,
}

over_io!(UnixSeqpacketListener, SeqpacketListener, convert);
clones!(UnixSeqpacketListener);

impl UnixSeqpacketListener {
    /// Listens at `addr`.
    ///
    /// # Errors
    /// As [`SeqpacketListener::bind`]: `EADDRINUSE`, `EACCES`, `ENOENT`, `EMFILE`.
    pub fn bind(addr: &Address) -> Result<UnixSeqpacketListener, SetupError> {
        SeqpacketListener::bind(addr)?.try_into().map_err(no_fcntl)
    }

    /// Waits for a connection; rests where something has run out, as
    /// [`TcpListener::accept`](super::TcpListener::accept) does.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; those of [`SeqpacketListener::try_accept`] that are the listener's
    /// own.
    pub fn accept(&self) -> io::Result<(UnixSeqpacket, Address)> {
        let (socket, from) = accept(&self.io, SeqpacketListener::try_accept)?;
        Ok((socket.try_into()?, from))
    }
}

/// A connection of records within this machine, which keep their bounds and their order: unix(7), `SOCK_SEQPACKET`.
///
/// A record goes whole or not at all. Descriptors go beside it:
///
/// ```
/// use becket_fiber::{Runtime, net::UnixSeqpacket, spawn};
/// use becket_sys::cmsg::{Incoming, Outgoing};
/// use std::io::{Read, Write};
/// use std::os::fd::AsFd;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (a, b) = UnixSeqpacket::pair()?;
///     let sender = spawn(move || {
///         let (reader, mut writer) = std::io::pipe()?;
///         let mut control = Outgoing::new();
///         control.push_fds(&[reader.as_fd()])?;
///         a.send_with(b"take this", &control)?;
///         writer.write_all(b"through it")
///     })?;
///     let mut control = Incoming::for_fds(1);
///     let received = b.recv_with(&mut [0; 16], &mut control)?;
///     let [reader] = control.take_exactly()?;
///     sender.join()??;
///     let mut text = String::new();
///     std::io::PipeReader::from(reader).read_to_string(&mut text)?;
///     assert_eq!((received.len(), text.as_str()), (9, "through it"));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "SOCK_SEQPACKET")]
pub struct UnixSeqpacket {
    io: Io<Seqpacket>,
}

over_io!(UnixSeqpacket, Seqpacket, convert);
clones!(UnixSeqpacket);
timeouts!(UnixSeqpacket);
datagrams!(UnixSeqpacket);
ancillary!(UnixSeqpacket);

impl UnixSeqpacket {
    /// Connects to `addr`. While the listener's queue is full it rests and tries again: no readiness would tell.
    ///
    /// # Errors
    /// As [`Seqpacket::connect`], `EAGAIN` left out; [`Cancelled`](crate::Cancelled) and `TimedOut`.
    pub fn connect(addr: &Address) -> Result<UnixSeqpacket, SetupError> {
        connect(addr, Seqpacket::connect)?.try_into().map_err(no_fcntl)
    }

    /// Two sockets connected with each other: socketpair(2).
    ///
    /// # Errors
    /// `EMFILE` where no descriptors are left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixSeqpacket, UnixSeqpacket)> {
        let (a, b) = Seqpacket::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// As [`recv_with`](Self::recv_with), and tells the end from an empty record, where credentials were asked for: see
    /// [`Seqpacket::try_recv_record`].
    ///
    /// # Errors
    /// As [`recv_with`](Self::recv_with).
    pub fn recv_record(&self, buf: &mut [u8], control: &mut Incoming) -> io::Result<Record> {
        until(&self.io, Ready::READ, |s| s.try_recv_record(buf, control))
    }
}
