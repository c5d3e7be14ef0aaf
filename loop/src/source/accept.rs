//! Listeners as sources, and what they do where no descriptor is left for a connection.

use super::Source;
use super::kinds::{BATCH, each};
use crate::backend::{AsFd, Fd};
use crate::{Next, Ready, Result};
use becket_sys::{Reserve, is_exhausted, tcp, unix};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How long a listener rests unless the user says otherwise.
const REST: Duration = Duration::from_millis(100);
/// The least that one rests: less would be a loop that spins.
const LEAST_REST: Duration = Duration::from_millis(1);

/// A listener: what an [`Acceptor`] takes connections from. The kinds of `becket-sys` are; a user's own becomes one by
/// its accept(2).
///
/// ```
/// use becket_loop::{Accept, Acceptor, Backoff};
/// use std::io;
/// use std::net::{TcpListener, TcpStream};
/// use std::os::fd::{AsFd, BorrowedFd};
///
/// /// A listener of the standard library, made non-blocking.
/// struct Plain(TcpListener);
///
/// impl AsFd for Plain {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.0.as_fd()
///     }
/// }
///
/// impl Accept for Plain {
///     type Connection = TcpStream;
///     fn try_accept(&self) -> io::Result<Option<TcpStream>> {
///         match self.0.accept() {
///             Ok((stream, _)) => Ok(Some(stream)),
///             Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
///             Err(e) => Err(e),
///         }
///     }
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// let acceptor = Acceptor::new(Plain(listener), Backoff::default());
/// assert!(acceptor.listener().try_accept()?.is_none());
/// # Ok::<(), io::Error>(())
/// ```
pub trait Accept: AsFd + 'static {
    /// What is accepted.
    type Connection;

    /// Takes a connection off the queue; `None` where none waits.
    ///
    /// # Errors
    /// Those of accept(2): [`is_exhausted`] says which of them are the [`Backoff`]'s to deal with.
    fn try_accept(&self) -> io::Result<Option<Self::Connection>>;
}

/// What a listener does where the process (`EMFILE`) or the system (`ENFILE`) has no descriptor left for a connection,
/// or no memory (`ENOBUFS`, `ENOMEM`). See [`is_exhausted`].
///
/// ```
/// use becket_loop::Backoff;
/// use std::time::Duration;
///
/// assert!(matches!(Backoff::default(), Backoff::Rest(time) if time == Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Backoff {
    /// It rests for so long, at least a millisecond, and tries again. Who comes meanwhile waits in the backlog, and is
    /// served late.
    Rest(Duration),
    /// It gives up a descriptor kept in reserve, takes the connection with it, and closes it: the peer is told at once,
    /// and may go elsewhere. Where even that fails, because another thread took the descriptor that was given up, it
    /// rests as by default. One reserve serves any number of listeners.
    TurnAway(Arc<Reserve>),
    /// It is disabled until [`Ctx::enable`](crate::Ctx::enable): to be called where something was closed.
    Disable,
}

impl Default for Backoff {
    /// A rest of 100 ms.
    fn default() -> Self {
        Backoff::Rest(REST)
    }
}

/// The event of an [`Acceptor`].
///
/// ```
/// use becket_loop::Accepted;
///
/// let event: Accepted<u8> = Accepted::Connection(7);
/// assert!(matches!(event, Accepted::Connection(7)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Accepted<C> {
    /// A connection.
    Connection(C),
    /// A connection was [turned away](Backoff::TurnAway), for this reason.
    TurnedAway(io::Error),
    /// For this reason connections are left waiting. The listener rests or is disabled, as its [`Backoff`] says, unless
    /// the callback answers something else than [`Next::Keep`]: a longer [`Next::Pause`], say.
    Exhausted(io::Error),
}

/// A listener with a policy for when no descriptor is left, of which its callback is told. What
/// [`Ctx::on`](crate::Ctx::on) takes.
///
/// A bare listener is a source as well, with connections alone for events: it rests for 100 ms in silence.
///
/// Other errors of accept(2) disable the source, as those of any source do. Dropped, it closes the listener.
///
/// ```
/// use becket_loop::{Accepted, Acceptor, Backoff, Loop, Next};
/// use becket_sys::{Reserve, tcp};
///
/// #[derive(Default)]
/// struct State { served: u32, turned_away: u32 }
///
/// let listener = tcp::Listener::bind(([127, 0, 0, 1], 0))?;
/// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// let reserve = Reserve::new()?; // while there are some
/// let mut event_loop: Loop<State> = Loop::new()?;
/// event_loop.on(Acceptor::new(listener, Backoff::TurnAway(reserve.into())), |state, ctx, event| {
///     match event {
///         Accepted::Connection((_stream, _from)) => state.served += 1,
///         Accepted::TurnedAway(_why) => state.turned_away += 1,
///         _ => {}
///     }
///     ctx.exit(0);
///     Ok(Next::Keep)
/// })?;
/// let mut state = State::default();
/// event_loop.run(&mut state)?;
/// assert_eq!((state.served, state.turned_away), (1, 0));
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "EMFILE")]
#[doc(alias = "ENFILE")]
#[doc(alias = "accept")]
pub struct Acceptor<L> {
    listener: L,
    backoff: Backoff,
}

impl<L: Accept> Acceptor<L> {
    /// A source of the connections that come to `listener`, which must be non-blocking.
    pub fn new(listener: L, backoff: Backoff) -> Self {
        Acceptor { listener, backoff }
    }

    /// The listener.
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// The listener, handed back.
    pub fn into_listener(self) -> L {
        self.listener
    }
}

impl<L> fmt::Debug for Acceptor<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("backoff", &self.backoff).finish_non_exhaustive()
    }
}

impl<L: AsFd> AsFd for Acceptor<L> {
    fn as_fd(&self) -> Fd<'_> {
        self.listener.as_fd()
    }
}

impl<L: Accept> Source for Acceptor<L> {
    type Event<'a> = Accepted<L::Connection>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Self::Event<'_>) -> ControlFlow<()>) -> Result {
        for _ in 0..BATCH {
            let event = match self.listener.try_accept() {
                Ok(None) => break,
                Ok(Some(connection)) => Accepted::Connection(connection),
                Err(e) if is_exhausted(&e) => match &self.backoff {
                    Backoff::Rest(time) => return rest(*time, e, emit),
                    Backoff::Disable => {
                        let _ = emit(Accepted::Exhausted(e));
                        return Ok(Next::Disable);
                    }
                    Backoff::TurnAway(reserve) => match reserve.turn_away(&self.listener) {
                        Ok(true) => Accepted::TurnedAway(e),
                        Ok(false) => break,
                        Err(e) if is_exhausted(&e) => return rest(REST, e, emit),
                        Err(e) => return Err(e.into()),
                    },
                },
                Err(e) => return Err(e.into()),
            };
            if emit(event).is_break() {
                break;
            }
        }
        Ok(Next::Keep)
    }
}

fn rest<C>(time: Duration, why: io::Error, emit: &mut dyn FnMut(Accepted<C>) -> ControlFlow<()>) -> Result {
    let _ = emit(Accepted::Exhausted(why));
    Ok(Next::Pause(time.max(LEAST_REST)))
}

/// Makes a listener what an acceptor takes, and a source by itself.
macro_rules! listener {
    ($listener:ty, $connection:ty, $doc:literal) => {
        impl Accept for $listener {
            type Connection = $connection;

            fn try_accept(&self) -> io::Result<Option<Self::Connection>> {
                self.try_accept()
            }
        }

        #[doc = $doc]
        impl Source for $listener {
            type Event<'a> = $connection;

            fn ready(&self, _: Ready, emit: &mut dyn FnMut(Self::Event<'_>) -> ControlFlow<()>) -> Result {
                match each(|| self.try_accept(), emit) {
                    Err(e) if e.downcast_ref().is_some_and(is_exhausted) => Ok(Next::Pause(REST)),
                    other => other,
                }
            }
        }
    };
}

listener!(
    tcp::Listener,
    (tcp::Stream, SocketAddr),
    "The event is an accepted connection. Where no descriptor is left for it, it waits in the backlog, and the listener
rests for 100 ms; for something else, or to be told, take an [`Acceptor`]."
);
listener!(unix::Listener, (unix::Stream, unix::Address), "As for TCP.");
listener!(unix::SeqpacketListener, (unix::Seqpacket, unix::Address), "As for TCP.");
