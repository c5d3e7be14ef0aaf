use super::{Address, Link, Neighbour, Route};
use crate::fd::owned_fd;
use crate::netlink::{Incoming, Message, Messages, Protocol, Socket};
use crate::{EventBuf, SetupError};
use bitflags::bitflags;
use std::io;
use std::iter::FusedIterator;

bitflags! {
    /// What a [`Monitor`] tells of.
    ///
    /// ```
    /// use becket_sys::netlink::route::Watch;
    ///
    /// assert!(Watch::all().contains(Watch::LINKS | Watch::NEIGHBOURS));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Watch: u32 {
        /// Links.
        #[doc(alias = "RTNLGRP_LINK")]
        const LINKS = 1;
        /// Addresses of IP.
        #[doc(alias = "RTNLGRP_IPV4_IFADDR")]
        #[doc(alias = "RTNLGRP_IPV6_IFADDR")]
        const ADDRESSES = 2;
        /// Routes of IP.
        #[doc(alias = "RTNLGRP_IPV4_ROUTE")]
        #[doc(alias = "RTNLGRP_IPV6_ROUTE")]
        const ROUTES = 4;
        /// Neighbours: ARP, NDP, and the tables of bridges.
        #[doc(alias = "RTNLGRP_NEIGH")]
        const NEIGHBOURS = 8;
    }
}

/// What a [`Monitor`] tells.
///
/// ```
/// use becket_sys::netlink::route::Event;
/// use becket_sys::netlink::{Flags, Messages, Request};
///
/// let mut request = Request::new(17, Flags::empty()); // RTM_DELLINK
/// request.put([0, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
/// let bytes = request.to_bytes(0)?;
/// let message = Messages::parse(&bytes).next().unwrap();
/// let Some(Event::LinkGone(link)) = Event::parse(&message) else { panic!() };
/// # #[cfg(target_endian = "little")]
/// assert_eq!(link.index, 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "links are what most events are about")]
pub enum Event {
    /// A link is there: new, or changed, or as it was.
    Link(Link),
    /// A link is gone.
    LinkGone(Link),
    /// An address is there: new, or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route is there: new, or changed.
    Route(Route),
    /// A route is gone.
    RouteGone(Route),
    /// A neighbour is there: new, or changed.
    Neighbour(Neighbour),
    /// A neighbour is gone.
    NeighbourGone(Neighbour),
    /// Something was lost: read on until nothing is there, then list everything again.
    Overflow,
}

impl Event {
    /// What a message tells; `None` where that is nothing of these.
    pub fn parse(message: &Message<'_>) -> Option<Event> {
        match message.kind {
            libc::RTM_NEWLINK => Link::parse(message).map(Event::Link),
            libc::RTM_DELLINK => Link::parse(message).map(Event::LinkGone),
            libc::RTM_NEWADDR => Address::parse(message).map(Event::Address),
            libc::RTM_DELADDR => Address::parse(message).map(Event::AddressGone),
            libc::RTM_NEWROUTE => Route::parse(message).map(Event::Route),
            libc::RTM_DELROUTE => Route::parse(message).map(Event::RouteGone),
            libc::RTM_NEWNEIGH => Neighbour::parse(message).map(Event::Neighbour),
            libc::RTM_DELNEIGH => Neighbour::parse(message).map(Event::NeighbourGone),
            _ => None,
        }
    }
}

/// The events in a datagram. An iterator, which leaves out messages that are no such events.
///
/// ```
/// use becket_sys::netlink::route::Events;
///
/// assert_eq!(Events::parse(b"no message").count(), 0);
/// ```
#[derive(Debug, Clone)]
pub struct Events<'b> {
    lost: bool,
    messages: Messages<'b>,
}

impl<'b> Events<'b> {
    /// The events in `bytes`.
    pub fn parse(bytes: &'b [u8]) -> Events<'b> {
        Events { lost: false, messages: Messages::parse(bytes) }
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.lost) {
            return Some(Event::Overflow);
        }
        self.messages.find_map(|message| Event::parse(&message))
    }
}

impl FusedIterator for Events<'_> {}

/// Tells of changes in the network namespace of the thread that made it.
///
/// Close-on-exec and non-blocking. Dropping it closes the socket. What was there before is not told: list it, after
/// this was made.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::netlink::{Protocol, Socket, route::{self, Event, Monitor, Watch}};
/// use std::collections::HashMap;
///
/// let monitor = Monitor::new(Watch::LINKS)?;
/// let list = || route::links(&Socket::new(Protocol::ROUTE)?, None);
/// let mut links: HashMap<_, _> = list()?.into_iter().map(|link| (link.index, link)).collect();
///
/// let mut buf = EventBuf::with_capacity(32 * 1024);
/// while let Some(events) = monitor.read_events(&mut buf)? {
///     for event in events {
///         match event {
///             Event::Link(link) => _ = links.insert(link.index, link),
///             Event::LinkGone(link) => _ = links.remove(&link.index),
///             Event::Overflow => links = list()?.into_iter().map(|link| (link.index, link)).collect(),
///             _ => {}
///         }
///     }
/// }
/// assert!(links.values().any(|link| link.name == "lo"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    fd: Socket,
}

owned_fd!(Monitor, Readable);

impl Monitor {
    /// Tells of `watch` from now on.
    ///
    /// # Errors
    /// As [`Builder::open`](crate::netlink::Builder::open); in the step `join` none is known.
    pub fn new(watch: Watch) -> Result<Monitor, SetupError> {
        let socket = Socket::new(Protocol::ROUTE)?;
        let groups: [(Watch, &[u32]); 4] = [
            (Watch::LINKS, &[libc::RTNLGRP_LINK]),
            (Watch::ADDRESSES, &[libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR]),
            (Watch::ROUTES, &[libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE]),
            (Watch::NEIGHBOURS, &[libc::RTNLGRP_NEIGH]),
        ];
        for group in groups.into_iter().filter(|(kind, _)| watch.contains(*kind)).flat_map(|(_, groups)| groups) {
            socket.join(*group).map_err(|e| SetupError::new("join", format!("group {group}"), e))?;
        }
        Ok(Monitor { fd: socket })
    }

    /// The socket: for its options, such as the size of its queue.
    pub fn socket(&self) -> &Socket {
        &self.fd
    }

    /// Takes one datagram of events; `None` where there is none. 32 KiB are a good size; what a smaller buffer cuts is
    /// told as an [`Event::Overflow`].
    ///
    /// # Errors
    /// As [`Socket::try_recv`].
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<Events<'b>>> {
        Ok(self.fd.try_recv(buf)?.map(|incoming| match incoming {
            Incoming::Datagram(datagram) => Events { lost: datagram.is_truncated(), messages: datagram.messages() },
            Incoming::Overflow => Events { lost: true, messages: Messages::parse(&[]) },
        }))
    }

    /// Takes some of the events, maybe none, in memory of their own; `None` where nothing is there. Of use where events
    /// are few.
    ///
    /// # Errors
    /// As [`Socket::try_recv`].
    pub fn try_read(&self) -> io::Result<Option<Vec<Event>>> {
        let mut buf = EventBuf::with_capacity(32 * 1024);
        Ok(self.read_events(&mut buf)?.map(Iterator::collect))
    }
}
