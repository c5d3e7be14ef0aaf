//! Netlink: netlink(7), and links, addresses, routes and neighbours: rtnetlink(7).

pub use becket_sys::netlink::{
    Attribute, Attributes, Builder, Datagram, Flags, Incoming, Message, Messages, Protocol, Refusal, Reply, Request,
    uevent,
};

use crate::over::{over_io, until};
use crate::{Io, Ready, unblock};
use becket_sys::{EventBuf, SetupError, netlink};
use std::io;

/// A netlink socket.
///
/// Groups and options are [`becket_sys::netlink::Socket`]'s.
///
/// ```
/// use becket_fiber::Runtime;
/// use becket_fiber::netlink::{Flags, Protocol, Request, Socket};
///
/// let mut runtime = Runtime::new()?;
/// let links = runtime.run(|| {
///     let socket = Socket::new(Protocol::ROUTE)?;
///     let mut request = Request::new(18, Flags::empty()); // RTM_GETLINK
///     request.put([0; 16]);
///     request.attr_str(3, "lo"); // IFLA_IFNAME
///     Ok::<_, std::io::Error>(socket.request(&request)?.messages().count())
/// })??;
/// assert_eq!(links, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    io: Io<netlink::Socket>,
}

over_io!(Socket, netlink::Socket, convert);

impl Socket {
    /// A socket that has joined no group.
    ///
    /// # Errors
    /// As [`netlink::Socket::new`].
    pub fn new(protocol: Protocol) -> Result<Socket, SetupError> {
        let socket = netlink::Socket::new(protocol)?;
        socket.try_into().map_err(|e| SetupError::new("fcntl", "a netlink socket", e))
    }

    /// Sends a request and waits for all of the answer, as [`netlink::Socket::request`] does, on a helper thread: the
    /// kernel answers at once. One at a time: another request through the same socket would take its answers.
    ///
    /// # Errors
    /// As [`netlink::Socket::request`]; step `netlink request` with [`Cancelled`](crate::Cancelled) or `TimedOut`,
    /// where it had not begun.
    pub fn request(&self, request: &Request) -> Result<Reply, SetupError> {
        let socket = self.io.get_ref();
        unblock(|| socket.request(request, None))
            .map_err(|e| SetupError::new("netlink request", request.kind().to_string(), e))?
    }

    /// Sends a request, and returns its number, by which answers are known.
    ///
    /// # Errors
    /// As [`netlink::Socket::try_send`]; [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn send(&self, request: &Request) -> io::Result<u32> {
        until(&self.io, Ready::WRITE, |s| s.try_send(request))
    }

    /// Waits for a datagram, receives it into `buf`, and calls `f` with it. 32 KiB are a good size.
    ///
    /// # Errors
    /// As [`netlink::Socket::try_recv`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing was taken.
    pub fn recv<R>(&self, buf: &mut EventBuf, mut f: impl FnMut(Incoming<'_>) -> R) -> io::Result<R> {
        until(&self.io, Ready::READ, |s| Ok(s.try_recv(buf)?.map(&mut f)))
    }
}

/// Links, addresses, routes and neighbours: rtnetlink(7).
pub mod route {
    pub use becket_sys::netlink::route::{
        Address, AddressFlags, Event, Figures, Link, LinkFlags, Neighbour, NeighbourState, NextHop, Route, State, Watch,
    };

    use super::Socket;
    use crate::over::{over_io, until};
    use crate::{Io, Ready, unblock};
    use becket_sys::SetupError;
    use becket_sys::netlink::route;
    use std::io;

    /// Tells of changes of links, addresses, routes and neighbours.
    ///
    /// ```
    /// use becket_fiber::netlink::{Protocol, Socket, route::{self, Monitor, Watch}};
    /// use becket_fiber::{Runtime, timeout};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let monitor = Monitor::new(Watch::LINKS)?; // first, so that no change is missed
    ///     let links = route::links(&Socket::new(Protocol::ROUTE)?)?;
    ///     assert!(links.iter().any(|link| link.name == "lo"));
    ///     match timeout(Duration::from_millis(5), || monitor.read()) {
    ///         Ok(events) => println!("{events:?}"),
    ///         Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::TimedOut),
    ///     }
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Debug)]
    pub struct Monitor {
        io: Io<route::Monitor>,
    }

    over_io!(Monitor, route::Monitor, convert);

    impl Monitor {
        /// Tells of `watch` from now on.
        ///
        /// # Errors
        /// As [`route::Monitor::new`].
        pub fn new(watch: Watch) -> Result<Monitor, SetupError> {
            let monitor = route::Monitor::new(watch)?;
            monitor.try_into().map_err(|e| SetupError::new("fcntl", "a netlink socket", e))
        }

        /// Waits for events and takes some of them, at least one. [`Event::Overflow`] is one: list anew then.
        ///
        /// # Errors
        /// As [`route::Monitor::read_events`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and none was taken.
        pub fn read(&self) -> io::Result<Vec<Event>> {
            loop {
                let events = until(&self.io, Ready::READ, route::Monitor::try_read)?;
                if !events.is_empty() {
                    return Ok(events);
                }
            }
        }
    }

    macro_rules! list {
        ($(#[$doc:meta])* $name:ident, $item:ident) => {
            $(#[$doc])*
            ///
            /// Asked for on a helper thread; `socket` is of [`Protocol::ROUTE`](super::Protocol::ROUTE), and has joined
            /// no group. One list at a time through one socket.
            ///
            /// # Errors
            /// As [`Socket::request`].
            pub fn $name(socket: &Socket) -> Result<Vec<$item>, SetupError> {
                let socket = socket.io.get_ref();
                unblock(|| route::$name(socket, None))
                    .map_err(|e| SetupError::new("netlink request", stringify!($name), e))?
            }
        };
    }

    list!(
        /// All links; see [`Monitor`] for an example.
        links, Link
    );
    list!(
        /// All addresses of IP, of all links.
        addresses, Address
    );
    list!(
        /// All routes of IP, of all tables.
        routes, Route
    );
    list!(
        /// All neighbours: which address of IP has which address of the link.
        neighbours, Neighbour
    );
}
