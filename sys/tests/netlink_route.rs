//! rtnetlink(7): what is listed and told of real links, addresses, routes and neighbours, each test in a network of its
//! own.

#[path = "common/descriptors.rs"]
mod descriptors;

mod net_namespace;

use becket_sys::netlink::route::{self, Address, AddressFlags, Event, Events, Link, LinkFlags, Monitor, Neighbour};
use becket_sys::netlink::route::{NeighbourState, Route, State, Watch};
use becket_sys::netlink::{Flags, Messages, Protocol, Request, Socket};
use becket_sys::{EventBuf, Readiness, Ready, wait};
use net_namespace::{in_own, new_pair};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn socket() -> Socket {
    Socket::new(Protocol::ROUTE).unwrap()
}

fn ask(socket: &Socket, request: Request) {
    socket.request(&request, soon()).unwrap();
}

/// `struct ifinfomsg`
fn link_head(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [0, index, flags, change].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn set_up(index: u32, up: bool) -> Request {
    let mut request = Request::new(libc::RTM_NEWLINK, Flags::empty());
    request.put(link_head(index, up.into(), 1));
    request
}

fn delete(index: u32) -> Request {
    let mut request = Request::new(libc::RTM_DELLINK, Flags::empty());
    request.put(link_head(index, 0, 0));
    request
}

fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (libc::AF_INET as u8, ip.octets().into()),
        IpAddr::V6(ip) => (libc::AF_INET6 as u8, ip.octets().into()),
    }
}

fn address(kind: u16, link: u32, local: IpAddr, peer: Option<IpAddr>, prefix: u8) -> Request {
    let (family, bytes) = octets(local);
    let mut request = Request::new(kind, if kind == libc::RTM_NEWADDR { Flags::CREATE } else { Flags::empty() });
    let mut head = vec![family, prefix, 2, 0]; // IFA_F_NODAD
    head.extend(link.to_ne_bytes());
    request.put(head);
    request.attr(libc::IFA_ADDRESS, peer.map_or(bytes.clone(), |peer| octets(peer).1));
    request.attr(libc::IFA_LOCAL, bytes);
    request
}

fn new_route(destination: Ipv4Addr, prefix: u8, table: u8) -> Request {
    let mut request = Request::new(libc::RTM_NEWROUTE, Flags::CREATE | Flags::EXCL);
    request.put([libc::AF_INET as u8, prefix, 0, 0, table, 4, 0, 1, 0, 0, 0, 0]);
    if prefix > 0 {
        request.attr(libc::RTA_DST, destination.octets());
    }
    request
}

fn link(socket: &Socket, name: &str) -> Link {
    route::links(socket, soon()).unwrap().into_iter().find(|link| link.name == name).expect(name)
}

/// Everything that is told until `end` is.
fn until(monitor: &Monitor, mut end: impl FnMut(&Event) -> bool) -> Vec<Event> {
    let mut buf = EventBuf::with_capacity(32768);
    let mut all = Vec::new();
    loop {
        wait(monitor, Ready::READ, soon()).unwrap().unwrap_or_else(|| panic!("only {} events", all.len()));
        let Some(events) = monitor.read_events(&mut buf).unwrap() else { continue };
        for event in events {
            let done = end(&event);
            all.push(event);
            if done {
                return all;
            }
        }
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

#[test]
fn a_link_is_told_from_its_making_to_its_end() {
    in_own("a_link_is_told_from_its_making_to_its_end", || {
        let socket = socket();
        let monitor = Monitor::new(Watch::LINKS).unwrap();
        assert_eq!(Monitor::READINESS, Readiness::Readable);
        assert_eq!(monitor.try_read().unwrap(), None);
        ask(&socket, new_pair("pair"));
        let is = |event: &Event, name: &str| matches!(event, Event::Link(link) if link.name == name);
        until(&monitor, |event| is(event, "pair"));

        let (one, other) = (link(&socket, "pair"), link(&socket, "pairx"));
        assert_eq!((one.kind.as_ref().unwrap().to_str(), one.hardware, one.mtu), (Some("veth"), 1, Some(1500)));
        assert_eq!((one.parent, other.parent), (Some(other.index), Some(one.index)));
        assert_eq!((one.address.len(), &one.broadcast[..]), (6, &[0xff; 6][..]));
        assert_eq!((one.state, one.carrier), (State::Down, Some(false)));
        assert!(one.flags.contains(LinkFlags::BROADCAST | LinkFlags::MULTICAST));
        assert!(!one.flags.intersects(LinkFlags::UP | LinkFlags::LOOPBACK));
        assert!(one.figures.is_some() && one.master.is_none() && one.alternative_names.is_empty());
        assert!(one.other.iter().any(|(kind, _)| *kind == libc::IFLA_LINKINFO), "there is more in it");

        // Up: told once it works, when the other end is up, too.
        ask(&socket, set_up(one.index, true));
        let waits = |l: &Link| l.flags.contains(LinkFlags::UP) && l.state == State::LowerLayerDown;
        let told = until(&monitor, |event| matches!(event, Event::Link(l) if waits(l)));
        let Some(Event::Link(up)) = told.last() else { panic!() };
        assert_eq!((up.index, up.flags.contains(LinkFlags::RUNNING)), (one.index, false));
        ask(&socket, set_up(other.index, true));
        until(&monitor, |event| matches!(event, Event::Link(l) if l.index == one.index && l.state == State::Up));
        let now = link(&socket, "pair");
        assert!(now.flags.contains(LinkFlags::RUNNING | LinkFlags::LOWER_UP) && now.carrier == Some(true));

        // Address, longest packet, further names and a description; then a new name, for which it has to be down.
        let mut request = Request::new(libc::RTM_NEWLINK, Flags::empty());
        request.put(link_head(one.index, 0, 1));
        request.attr(libc::IFLA_MTU, 1400u32.to_ne_bytes());
        request.attr(libc::IFLA_ADDRESS, [2, 0, 0, 0, 0, 7]);
        request.attr_str(libc::IFLA_IFNAME, "renamed");
        request.attr(libc::IFLA_IFALIAS, "to the \u{2764}".as_bytes());
        match socket.request(&request, soon()) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                return println!("SKIP: a_link_is_told_from_its_making_to_its_end (in part): needs Linux 6.2");
            }
            answer => drop(answer.unwrap()),
        }
        let mut request = Request::new(108, Flags::empty()); // RTM_NEWLINKPROP
        request.put(link_head(one.index, 0, 0));
        request.nest(libc::IFLA_PROP_LIST, |list| list.attr_str(libc::IFLA_ALT_IFNAME, "another-name-of-it"));
        ask(&socket, request);
        // The further name is not told, for the link is down.
        until(&monitor, |event| matches!(event, Event::Link(link) if link.alias.is_some()));
        let now = link(&socket, "renamed");
        assert_eq!((now.index, now.mtu, &now.address[..]), (one.index, Some(1400), &[2, 0, 0, 0, 0, 7][..]));
        assert_eq!(now.alternative_names, ["another-name-of-it"]);
        assert_eq!(now.alias.unwrap(), "to the \u{2764}");
        assert_eq!(now.state, State::Down);

        ask(&socket, delete(one.index));
        let mut gone = Vec::new();
        until(&monitor, |event| {
            if let Event::LinkGone(link) = event {
                gone.push(link.index);
            }
            gone.len() == 2
        });
        assert!(gone.contains(&one.index) && gone.contains(&other.index));
        assert_eq!(route::links(&socket, soon()).unwrap().len(), 1);
    });
}

#[test]
fn addresses_come_and_go_with_the_loopback_link() {
    in_own("addresses_come_and_go_with_the_loopback_link", || {
        let socket = socket();
        let monitor = Monitor::new(Watch::ADDRESSES | Watch::LINKS).unwrap();
        let lo = link(&socket, "lo");
        assert_eq!((lo.hardware, lo.kind.as_ref()), (772, None));
        assert!(route::addresses(&socket, soon()).unwrap().is_empty());
        ask(&socket, set_up(lo.index, true));
        until(&monitor, |event| matches!(event, Event::Address(a) if a.address == Ipv4Addr::LOCALHOST));
        let all = route::addresses(&socket, soon()).unwrap();
        let v4 = all.iter().find(|a| a.address == Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((v4.link, v4.prefix, v4.scope, v4.peer), (lo.index, 8, 254, None));
        assert_eq!((v4.label.as_ref().unwrap().to_str(), v4.preferred, v4.valid), (Some("lo"), None, None));
        assert!(v4.flags.contains(AddressFlags::PERMANENT));
        if let Some(v6) = all.iter().find(|a| a.address == Ipv6Addr::LOCALHOST) {
            assert_eq!((v6.prefix, v6.label.as_ref()), (128, None));
        }
        assert_eq!(link(&socket, "lo").state, State::Unknown, "it runs, and does not know");

        ask(&socket, set_up(lo.index, false));
        until(&monitor, |event| matches!(event, Event::Link(link) if !link.flags.contains(LinkFlags::UP)));
        assert!(!route::addresses(&socket, soon()).unwrap().iter().any(|a| a.address.is_ipv6()), "these go");
    });
}

#[test]
fn addresses_tell_which_end_is_which_and_how_long() {
    in_own("addresses_tell_which_end_is_which_and_how_long", || {
        let socket = socket();
        ask(&socket, new_pair("pair"));
        let pair = link(&socket, "pair");
        ask(&socket, set_up(pair.index, true));
        let monitor = Monitor::new(Watch::ADDRESSES).unwrap();
        ask(&socket, address(libc::RTM_NEWADDR, pair.index, HERE, Some(THERE), 32));
        let told = until(&monitor, |event| matches!(event, Event::Address(_)));
        let Some(Event::Address(v4)) = told.last() else { panic!() };
        assert_eq!((v4.address, v4.peer, v4.prefix, v4.link), (HERE, Some(THERE), 32, pair.index));

        let mut request = address(libc::RTM_NEWADDR, pair.index, SIX, None, 64);
        let info: Vec<u8> = [100u32, u32::MAX - 1, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        request.attr(libc::IFA_CACHEINFO, info);
        match socket.request(&request, soon()) {
            Ok(_) => {
                let told = until(&monitor, |event| matches!(event, Event::Address(a) if a.address == SIX));
                let Some(Event::Address(v6)) = told.last() else { panic!() };
                assert_eq!((v6.peer, v6.prefix, v6.label.as_ref()), (None, 64, None));
                assert!(v6.preferred.is_some_and(|d| d <= Duration::from_secs(100)) && v6.valid > v6.preferred);
                assert!(v6.flags.contains(AddressFlags::NO_DAD) && !v6.flags.contains(AddressFlags::PERMANENT));
            }
            Err(e) => println!("SKIP: addresses_tell_which_end_is_which_and_how_long: no IPv6: {e}"),
        }
        ask(&socket, address(libc::RTM_DELADDR, pair.index, HERE, Some(THERE), 32));
        until(&monitor, |event| matches!(event, Event::AddressGone(a) if a.address == HERE));
    });
}

#[test]
fn routes_and_neighbours_are_listed_and_told() {
    in_own("routes_and_neighbours_are_listed_and_told", || {
        let socket = socket();
        ask(&socket, new_pair("pair"));
        let (pair, other) = (link(&socket, "pair"), link(&socket, "pairx"));
        ask(&socket, set_up(pair.index, true));
        ask(&socket, set_up(other.index, true));
        ask(&socket, address(libc::RTM_NEWADDR, pair.index, HERE, None, 24));
        let monitor = Monitor::new(Watch::ROUTES | Watch::NEIGHBOURS).unwrap();

        let mut request = new_route(Ipv4Addr::UNSPECIFIED, 0, 254);
        request.attr(libc::RTA_GATEWAY, octets(THERE).1);
        request.attr(libc::RTA_PRIORITY, 7u32.to_ne_bytes());
        request.attr(libc::RTA_PREFSRC, octets(HERE).1);
        ask(&socket, request);
        let told = until(&monitor, |event| matches!(event, Event::Route(route) if route.prefix == 0));
        let Some(Event::Route(default)) = told.last() else { panic!() };
        assert_eq!((default.destination, default.table, default.kind), (Ipv4Addr::UNSPECIFIED.into(), 254, 1));
        assert_eq!((default.priority, default.preferred_source, default.protocol), (7, Some(HERE), 4));
        assert_eq!(default.hops.len(), 1);
        assert_eq!((default.hops[0].gateway, default.hops[0].link), (Some(THERE), Some(pair.index)));

        let mut request = new_route(Ipv4Addr::new(198, 51, 100, 0), 24, 0);
        request.attr(libc::RTA_TABLE, 1000u32.to_ne_bytes());
        let hop = |weight: u8, last: u8| {
            let mut hop = vec![16, 0, 0, weight - 1];
            hop[..2].copy_from_slice(&16u16.to_ne_bytes());
            hop.extend(pair.index.to_ne_bytes());
            hop.extend([8u16.to_ne_bytes(), libc::RTA_GATEWAY.to_ne_bytes()].concat());
            hop.extend([192, 0, 2, last]);
            hop
        };
        request.attr(libc::RTA_MULTIPATH, [hop(1, 2), hop(5, 3)].concat());
        ask(&socket, request);
        let all = route::routes(&socket, soon()).unwrap();
        let shared = all.iter().find(|route| route.table == 1000).unwrap();
        let hops: Vec<_> = shared.hops.iter().map(|hop| (hop.link, hop.gateway, hop.weight)).collect();
        let third = IpAddr::from([192, 0, 2, 3]);
        assert_eq!(hops, [(Some(pair.index), Some(THERE), 1), (Some(pair.index), Some(third), 5)]);
        assert!(all.iter().any(|route| route.destination == HERE && route.table == 255 && route.kind == 2));

        let mut request = Request::new(libc::RTM_NEWNEIGH, Flags::CREATE);
        let mut head = vec![libc::AF_INET as u8, 0, 0, 0];
        head.extend(pair.index.to_ne_bytes());
        head.extend(NeighbourState::PERMANENT.bits().to_ne_bytes());
        head.extend([0, 0]);
        request.put(head);
        request.attr(libc::NDA_DST, octets(THERE).1);
        request.attr(libc::NDA_LLADDR, [2, 0, 0, 0, 0, 9]);
        ask(&socket, request);
        let is_it = |n: &Neighbour| n.address == Some(THERE) && n.link_address == [2, 0, 0, 0, 0, 9];
        until(&monitor, |event| matches!(event, Event::Neighbour(neighbour) if is_it(neighbour)));
        let all = route::neighbours(&socket, soon()).unwrap();
        let neighbour = all.iter().find(|neighbour| is_it(neighbour)).unwrap();
        assert_eq!((neighbour.state, neighbour.family), (NeighbourState::PERMANENT, 2));

        // Down: the routes are gone, and those of IPv4 without a word.
        while monitor.try_read().unwrap().is_some() {}
        let links = Monitor::new(Watch::LINKS).unwrap();
        ask(&socket, set_up(pair.index, false));
        until(&links, |event| matches!(event, Event::Link(l) if l.index == pair.index && l.state == State::Down));
        assert!(!route::routes(&socket, soon()).unwrap().iter().any(|route| route.table == 1000 || route.prefix == 0));
        let mut told = Vec::new();
        while let Some(some) = monitor.try_read().unwrap() {
            told.extend(some);
        }
        assert!(!told.iter().any(|event| matches!(event, Event::RouteGone(route) if route.destination.is_ipv4())));
    });
}

#[test]
fn ports_of_a_bridge_are_told_as_links_with_a_master_only() {
    in_own("ports_of_a_bridge_are_told_as_links_with_a_master_only", || {
        let socket = socket();
        let mut request = Request::new(libc::RTM_NEWLINK, Flags::CREATE | Flags::EXCL);
        request.put([0; 16]);
        request.attr_str(libc::IFLA_IFNAME, "bridge");
        request.nest(libc::IFLA_LINKINFO, |info| info.attr_str(libc::IFLA_INFO_KIND, "bridge"));
        if let Err(e) = socket.request(&request, soon()) {
            return println!("SKIP: ports_of_a_bridge_are_told_as_links_with_a_master_only: no bridges: {e}");
        }
        ask(&socket, new_pair("pair"));
        let (bridge, pair) = (link(&socket, "bridge"), link(&socket, "pair"));
        let monitor = Monitor::new(Watch::LINKS).unwrap();
        let set_master = |master: u32| {
            let mut request = Request::new(libc::RTM_NEWLINK, Flags::empty());
            request.put(link_head(pair.index, 0, 0));
            request.attr(libc::IFLA_MASTER, master.to_ne_bytes());
            ask(&socket, request);
        };
        set_master(bridge.index);
        until(&monitor, |event| matches!(event, Event::Link(link) if link.master == Some(bridge.index)));
        set_master(0);
        let told =
            until(&monitor, |event| matches!(event, Event::Link(l) if l.index == pair.index && l.master.is_none()));
        assert!(!told.iter().any(|event| matches!(event, Event::LinkGone(_))), "it left the bridge, and is there");
        assert_eq!(link(&socket, "pair").index, pair.index);
    });
}

#[test]
fn loss_is_an_event() {
    in_own("loss_is_an_event", || {
        let socket = socket();
        let monitor = Monitor::new(Watch::all()).unwrap();
        monitor.socket().set_recv_buffer_size(1).unwrap();
        for _ in 0..10 {
            ask(&socket, new_pair("pair"));
            ask(&socket, delete(link(&socket, "pair").index));
        }
        assert_eq!(monitor.try_read().unwrap(), Some(vec![Event::Overflow]));
        while monitor.try_read().unwrap().is_some() {}

        // What a buffer cuts is lost as well.
        monitor.socket().set_recv_buffer_size(1 << 20).unwrap();
        ask(&socket, new_pair("pair"));
        let mut small = EventBuf::with_capacity(64);
        let mut events = monitor.read_events(&mut small).unwrap().unwrap();
        assert_eq!((events.next(), events.next()), (Some(Event::Overflow), None));
    });
}

/// A message of these bytes.
fn message(kind: u16, head: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut request = Request::new(kind, Flags::empty());
    request.put(head);
    for (kind, payload) in attributes {
        request.attr(*kind, payload);
    }
    request.to_bytes(0).unwrap()
}

#[test]
fn fields_of_the_wrong_length_are_kept_as_what_they_are() {
    let bytes = message(libc::RTM_NEWLINK, &link_head(3, 1, 0), &[(libc::IFLA_MTU, &[1, 2]), (999, b"new")]);
    let link = Link::parse(&Messages::parse(&bytes).next().unwrap()).unwrap();
    assert_eq!((link.index, link.mtu, link.name.len()), (3, None, 0));
    assert_eq!(link.other, [(libc::IFLA_MTU, vec![1, 2]), (999, b"new".to_vec())]);

    // No address, or one of another length: nothing that could be told.
    for attributes in [&[][..], &[(libc::IFA_LOCAL, &[1, 2, 3][..])]] {
        let bytes = message(libc::RTM_NEWADDR, &[2, 24, 0, 0, 1, 0, 0, 0], attributes);
        assert_eq!(Address::parse(&Messages::parse(&bytes).next().unwrap()), None);
    }
    // MPLS has labels of four bytes, which are no addresses.
    let bytes =
        message(libc::RTM_NEWROUTE, &[28, 20, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0], &[(libc::RTA_DST, &[0, 1, 2, 3])]);
    assert_eq!(Route::parse(&Messages::parse(&bytes).next().unwrap()), None);

    for kind in [libc::RTM_NEWLINK, libc::RTM_DELADDR, libc::RTM_NEWROUTE, libc::RTM_NEWNEIGH] {
        assert_eq!(Events::parse(&message(kind, &[0; 4], &[])).count(), 0, "too short");
    }
    // A number of a link is not taken for that of an address.
    let bytes = message(libc::RTM_NEWLINK, &link_head(3, 1, 0), &[]);
    assert_eq!(Neighbour::parse(&Messages::parse(&bytes).next().unwrap()), None);
}

#[test]
fn hops_of_odd_lengths_end_the_list() {
    let head = [2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    let hops = |bytes: &[u8]| {
        let bytes = message(libc::RTM_NEWROUTE, &head, &[(libc::RTA_MULTIPATH, bytes)]);
        Route::parse(&Messages::parse(&bytes).next().unwrap()).unwrap().hops.len()
    };
    let hop = |len: u16| [&len.to_ne_bytes()[..], &[0, 255, 9, 0, 0, 0]].concat();
    assert_eq!(hops(&[hop(8), hop(8)].concat()), 2);
    assert_eq!(hops(&[hop(8), hop(7)].concat()), 1);
    assert_eq!(hops(&[hop(0), hop(8)].concat()), 0);
    assert_eq!(hops(&[hop(9), hop(8)].concat()), 1, "padded into the next");
    assert_eq!(hops(&hop(u16::MAX)), 0);
    assert_eq!(hops(&hop(8)[..7]), 0);

    // A router of the other family, and what only looks like one.
    let via = |payload: &[u8]| {
        let bytes = message(libc::RTM_NEWROUTE, &head, &[(18, payload), (libc::RTA_OIF, &3u32.to_ne_bytes())]);
        Route::parse(&Messages::parse(&bytes).next().unwrap()).unwrap().hops[0].gateway
    };
    let six = [&10u16.to_ne_bytes()[..], &octets(SIX).1].concat();
    assert_eq!(via(&six), Some(SIX));
    assert_eq!(via(&six[..17]), None);
    assert_eq!(via(&[&266u16.to_ne_bytes()[..], &octets(SIX).1].concat()), None, "no family of 8 bits");
    assert_eq!(via(&[10]), None);
}
