//! netlink(7) as it behaves at its edges, and its parsers on bytes that no kernel writes.

#[path = "common/descriptors.rs"]
mod descriptors;

mod net_namespace;

use becket_sys::netlink::{
    Answer, Attributes, Exchange, Flags, Incoming, Message, Messages, Protocol, Request, Socket,
};
use becket_sys::netlink::{Datagram, generic, uevent};
use becket_sys::{EventBuf, Readiness, Ready, wait};
use net_namespace::{in_own, new_pair};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const IFNAME: u16 = 3;
const LINK_GROUP: u32 = 1;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn route() -> Socket {
    Socket::new(Protocol::ROUTE).unwrap()
}

fn get_links() -> Request {
    let mut request = Request::new(GETLINK, Flags::DUMP);
    request.put([0; 16]);
    request
}

fn del_link(name: &str) -> Request {
    let mut request = Request::new(DELLINK, Flags::empty());
    request.put([0; 16]);
    request.attr_str(IFNAME, name);
    request
}

fn name_of(message: &Message<'_>) -> String {
    let name = message.attributes(16).find(|attribute| attribute.kind == IFNAME).unwrap();
    name.to_os_str().to_str().unwrap().to_owned()
}

fn names(socket: &Socket) -> Vec<String> {
    socket.request(&get_links(), soon()).unwrap().messages().map(|message| name_of(&message)).collect()
}

/// The next datagram.
fn next<'b>(socket: &Socket, buf: &'b mut EventBuf) -> Datagram<'b> {
    socket.wait_ready(Ready::READ, soon()).unwrap().expect("something");
    match socket.try_recv(buf).unwrap() {
        Some(Incoming::Datagram(datagram)) => datagram,
        other => panic!("{other:?}"),
    }
}

#[test]
fn links_are_made_listed_and_removed() {
    in_own("links_are_made_listed_and_removed", || {
        let socket = route();
        assert_eq!(names(&socket), ["lo"]);
        let reply = socket.request(&new_pair("pair"), soon()).unwrap();
        assert_eq!((reply.messages().count(), reply.is_interrupted()), (0, false));
        let mut all = names(&socket);
        all.sort();
        assert_eq!(all, ["lo", "pair", "pairx"]);
        socket.request(&del_link("pair"), soon()).unwrap();
        assert_eq!(names(&socket), ["lo"]);
        assert_eq!(socket.dropped(), 0);
    });
}

#[test]
fn refusals_are_explained() {
    in_own("refusals_are_explained", || {
        let socket = route();
        socket.request(&new_pair("pair"), soon()).unwrap();
        let e = socket.request(&new_pair("pair"), soon()).unwrap_err();
        assert_eq!(
            (e.step(), e.raw_os_error(), e.kind()),
            ("netlink request", Some(libc::EEXIST), ErrorKind::AlreadyExists)
        );

        let e = socket.request(&del_link("none"), soon()).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::ENODEV));

        // An attribute that is too short: the kernel says which, and where it begins.
        let mut request = Request::new(NEWLINK, Flags::empty());
        request.put([0; 16]);
        request.attr_str(IFNAME, "pair");
        request.attr(4, [1]); // IFLA_MTU
        let mut buf = EventBuf::with_capacity(8192);
        for (cap, len) in [(true, 36), (false, 36 + 32)] {
            socket.set_cap_ack(cap).unwrap();
            socket.try_send(&request).unwrap().unwrap();
            let datagram = next(&socket, &mut buf);
            let message = datagram.messages().next().unwrap();
            assert_eq!(message.flags.contains(Flags::CAPPED), cap);
            assert!(datagram.datagram_len() > len);
            let refusal = message.outcome().unwrap().unwrap_err();
            assert_eq!(refusal.offset, Some(16 + 16 + 12), "{refusal:?}");
            assert!(refusal.text.is_some_and(|text| !text.is_empty()), "in words");
        }
        let e = socket.request(&request, soon()).unwrap_err();
        assert!(e.subject().starts_with("16: "), "{e}");

        socket.set_extended_ack(false).unwrap();
        socket.try_send(&request).unwrap().unwrap();
        let refusal = next(&socket, &mut buf).messages().next().unwrap().outcome().unwrap().unwrap_err();
        assert_eq!((refusal.text, refusal.offset), (None, None));
    });
}

#[test]
fn strict_checking_refuses_what_would_be_ignored() {
    in_own("strict_checking_refuses_what_would_be_ignored", || {
        let socket = route();
        let mut request = Request::new(GETLINK, Flags::DUMP);
        request.put([0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // an index, which this request does not heed
        assert_eq!(socket.request(&request, soon()).unwrap().messages().count(), 1);
        socket.set_strict_checking(true).unwrap();
        assert_eq!(socket.request(&request, soon()).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    });
}

#[test]
fn groups_are_told_from_the_joining_to_the_leaving() {
    in_own("groups_are_told_from_the_joining_to_the_leaving", || {
        let (asker, listener) = (route(), route());
        asker.request(&new_pair("before"), soon()).unwrap();
        assert!(listener.groups().unwrap().is_empty());
        listener.join(LINK_GROUP).unwrap();
        listener.join(35).unwrap();
        assert_eq!(listener.groups().unwrap(), [1, 35]);
        listener.leave(35).unwrap();
        listener.set_packet_info(true).unwrap();
        assert_eq!(wait(&listener, Ready::READ, Some(Instant::now())).unwrap(), None);

        asker.request(&new_pair("told"), soon()).unwrap();
        let mut buf = EventBuf::with_capacity(32768);
        let mut seen = HashSet::new();
        while seen.len() < 2 {
            let datagram = next(&listener, &mut buf);
            assert_eq!((datagram.sender(), datagram.group(), datagram.namespace()), (0, Some(LINK_GROUP), None));
            assert!(!datagram.is_truncated());
            seen.extend(datagram.messages().filter(|m| m.kind == NEWLINK).map(|m| name_of(&m)));
        }
        assert_eq!(seen, HashSet::from(["told".into(), "toldx".into()]));

        listener.leave(LINK_GROUP).unwrap();
        assert!(listener.groups().unwrap().is_empty());
        while listener.try_recv(&mut buf).unwrap().is_some() {}
        asker.request(&del_link("told"), soon()).unwrap();
        assert!(listener.try_recv(&mut buf).unwrap().is_none());
        let code = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
        assert_eq!(code(listener.join(100_000)), Some(libc::EINVAL));
        assert_eq!(code(listener.join(0)), Some(libc::EINVAL));
        assert_eq!(code(listener.join(u32::MAX)), Some(libc::EINVAL));
    });
}

#[test]
fn an_overflow_is_a_value_and_the_queue_goes_on() {
    in_own("an_overflow_is_a_value_and_the_queue_goes_on", || {
        let (asker, listener) = (route(), route());
        listener.join(LINK_GROUP).unwrap();
        listener.set_recv_buffer_size(1).unwrap(); // the least that the kernel allows
        assert!(listener.recv_buffer_size().unwrap() < 16 * 1024);
        for _ in 0..10 {
            asker.request(&new_pair("pair"), soon()).unwrap();
            asker.request(&del_link("pair"), soon()).unwrap();
        }
        let mut buf = EventBuf::with_capacity(32768);
        assert!(wait(&listener, Ready::READ, soon()).unwrap().unwrap().contains(Ready::READ | Ready::ERR));
        assert_eq!(listener.try_recv(&mut buf).unwrap(), Some(Incoming::Overflow), "before what is queued");
        let mut queued = 0;
        while let Some(incoming) = listener.try_recv(&mut buf).unwrap() {
            assert_ne!(incoming, Incoming::Overflow, "told once");
            queued += 1;
        }
        assert!(queued >= 1);
        listener.set_recv_buffer_size(1 << 20).unwrap();
        asker.request(&new_pair("after"), soon()).unwrap();
        assert!(next(&listener, &mut buf).messages().any(|m| name_of(&m).starts_with("after")));

        // The same unsaid.
        while listener.try_recv(&mut buf).unwrap().is_some() {}
        listener.set_no_overflow(true).unwrap();
        listener.set_recv_buffer_size(1).unwrap();
        for _ in 0..10 {
            asker.request(&new_pair("pair"), soon()).unwrap();
            asker.request(&del_link("pair"), soon()).unwrap();
        }
        while let Some(incoming) = listener.try_recv(&mut buf).unwrap() {
            assert_ne!(incoming, Incoming::Overflow);
        }
    });
}

#[test]
fn what_others_send_is_dropped_and_counted_unless_asked_for() {
    let deaf = Socket::new(Protocol::USERSOCK).unwrap();
    let open = Socket::builder(Protocol::USERSOCK).accept_users(true).open().unwrap();
    let sender = Socket::new(Protocol::USERSOCK).unwrap();
    let forged = Request::new(NEWLINK, Flags::empty()).to_bytes(1).unwrap();
    let mut buf = EventBuf::new();
    for _ in 0..3 {
        sender.try_send_to(&forged, deaf.port().unwrap(), 0).unwrap().unwrap();
        sender.try_send_to(&forged, open.port().unwrap(), 0).unwrap().unwrap();
    }
    assert_eq!(deaf.try_recv(&mut buf).unwrap(), None);
    assert_eq!(deaf.dropped(), 3);
    for _ in 0..3 {
        let datagram = next(&open, &mut buf);
        assert_eq!((datagram.sender(), datagram.as_bytes()), (sender.port().unwrap(), &forged[..]));
    }
    assert_eq!(open.dropped(), 0);
    let e = sender.try_send_to(b"x", 0x7fff_fff0, 0).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn nobody_answers_in_the_place_of_the_kernel() {
    in_own("nobody_answers_in_the_place_of_the_kernel", || {
        let open = Socket::builder(Protocol::ROUTE).accept_users(true).open().unwrap();
        let forger = route();
        // The confirmation of the first request, before it is asked.
        let mut forged = Request::new(Message::ERROR, Flags::CAPPED);
        forged.put([0; 20]);
        match forger.try_send_to(&forged.to_bytes(1).unwrap(), open.port().unwrap(), 0) {
            Ok(sent) => sent.unwrap(),
            Err(e) => return println!("SKIP: nobody_answers_in_the_place_of_the_kernel: CAP_NET_ADMIN: {e}"),
        }
        assert_eq!(open.request(&del_link("none"), soon()).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    });
}

#[test]
fn other_namespaces_are_heard_where_asked_for() {
    in_own("other_namespaces_are_heard_where_asked_for", || {
        // A namespace that its socket keeps, and that has the number 5 here.
        let (there, namespace) = std::thread::spawn(|| {
            #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
            // SAFETY: no memory is passed, and this thread, which shares nothing that a network namespace owns, ends
            // soon.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0);
            (route(), std::fs::File::open("/proc/thread-self/ns/net").unwrap())
        })
        .join()
        .unwrap();
        let mut number = Request::new(libc::RTM_NEWNSID, Flags::empty());
        number.put([0; 4]);
        number.attr(1, 5i32.to_ne_bytes()); // NETNSA_NSID
        number.attr(3, namespace.as_raw_fd().to_ne_bytes()); // NETNSA_FD
        let listener = route();
        listener.request(&number, soon()).unwrap();
        listener.join(LINK_GROUP).unwrap();
        there.request(&new_pair("unheard"), soon()).unwrap();
        let mut buf = EventBuf::with_capacity(32768);
        assert_eq!(listener.try_recv(&mut buf).unwrap(), None);
        if let Err(e) = listener.set_listen_all_namespaces(true) {
            return println!("SKIP: other_namespaces_are_heard_where_asked_for: CAP_NET_BROADCAST: {e}");
        }
        listener.set_packet_info(true).unwrap();
        there.request(&new_pair("heard"), soon()).unwrap();
        let datagram = next(&listener, &mut buf);
        assert_eq!((datagram.sender(), datagram.group(), datagram.namespace()), (0, Some(LINK_GROUP), Some(5)));
        assert!(name_of(&datagram.messages().next().unwrap()).starts_with("heard"));
    });
}

#[test]
fn queues_have_sizes() {
    let socket = route();
    let cap: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
    socket.set_recv_buffer_size(usize::MAX).unwrap();
    assert_eq!(socket.recv_buffer_size().unwrap(), 2 * cap);
    match socket.force_recv_buffer_size(2 * cap) {
        Ok(()) => assert_eq!(socket.recv_buffer_size().unwrap(), 4 * cap),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::EPERM)),
    }
    socket.set_send_buffer_size(1).unwrap();
    let room = socket.send_buffer_size().unwrap();
    assert!(room < 16 * 1024);
    let mut long = get_links();
    long.attr(1, vec![0; room]);
    assert_eq!(socket.try_send(&long).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    socket.set_broadcast_error(true).unwrap();
    socket.set_strict_checking(false).unwrap();
}

#[test]
fn a_buffer_too_small_cuts_and_says_so() {
    in_own("a_buffer_too_small_cuts_and_says_so", || {
        let socket = route();
        let mut request = Request::new(GETLINK, Flags::empty());
        request.put([0; 16]);
        request.attr_str(IFNAME, "lo");
        socket.try_send(&request).unwrap().unwrap();
        let mut buf = EventBuf::with_capacity(100);
        let datagram = next(&socket, &mut buf);
        assert!(datagram.is_truncated() && datagram.datagram_len() > 100);
        assert_eq!(datagram.as_bytes().len(), 100);
        let mut messages = datagram.messages();
        assert_eq!((messages.next(), messages.remainder().len()), (None, 100));
        // The rest is lost; the confirmation is whole.
        let datagram = next(&socket, &mut buf);
        assert!(!datagram.is_truncated());
        assert_eq!(datagram.messages().next().unwrap().outcome(), Some(Ok(())));
    });
}

#[test]
fn a_list_that_changes_is_asked_for_again() {
    in_own("a_list_that_changes_is_asked_for_again", || {
        let (asker, changer) = (route(), route());
        for i in 0..60 {
            changer.request(&new_pair(&format!("p{i}")), soon()).unwrap();
        }
        // By hand: the list is longer than one datagram, and changes after the first.
        let mut exchange = Exchange::new(asker.try_send(&get_links()).unwrap().unwrap());
        let mut buf = EventBuf::with_capacity(8192);
        let mut parts = 0;
        let mut changed = false;
        let interrupted = 'list: loop {
            for message in next(&asker, &mut buf).messages() {
                match exchange.take(message) {
                    Answer::Part(_) => parts += 1,
                    Answer::Done { interrupted } => break 'list interrupted,
                    other => panic!("{other:?}"),
                }
            }
            if !changed {
                changed = true;
                changer.request(&del_link("p59"), soon()).unwrap();
                changer.request(&new_pair("new"), soon()).unwrap();
            }
        };
        assert!(parts > 100);
        assert!(interrupted, "the kernel saw the change");

        // A second list at the same time is refused.
        asker.try_send(&get_links()).unwrap().unwrap();
        asker.try_send(&get_links()).unwrap().unwrap();
        let mut busy = false;
        let mut ends = 0;
        while ends < 1 || !busy {
            for message in next(&asker, &mut buf).messages() {
                match message.outcome() {
                    Some(Err(refusal)) => busy = refusal.code == libc::EBUSY,
                    Some(Ok(())) => ends += 1,
                    None => {}
                }
            }
        }

        // While links come and go all the time, the list comes whole.
        let end = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    changer.request(&new_pair("t"), soon()).unwrap();
                    changer.request(&del_link("t"), soon()).unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            for _ in 0..10 {
                let asker = asker.request(&get_links(), soon()).unwrap();
                let names: HashSet<_> = asker.messages().map(|message| name_of(&message)).collect();
                assert!(asker.is_interrupted() || (0..59).all(|i| names.contains(&format!("p{i}"))));
            }
            end.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

#[test]
fn sockets_have_ports_and_only_sockets_of_this_kind_are_taken_over() {
    let socket = route();
    assert_eq!(Socket::READINESS, Readiness::Readable);
    let port = socket.port().unwrap();
    assert_ne!(port, 0);
    let e = Socket::builder(Protocol::ROUTE).port(port).open().unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRINUSE)));
    let socket = Socket::try_from(OwnedFd::from(socket)).unwrap();
    assert_eq!(socket.port().unwrap(), port);
    assert!(names(&socket).contains(&"lo".to_owned()));

    let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = unix.as_raw_fd();
    let (fd, e) = Socket::try_from(OwnedFd::from(unix)).unwrap_err();
    assert_eq!((fd.as_raw_fd(), e.raw_os_error()), (number, Some(libc::EAFNOSUPPORT)));
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(Socket::try_from(OwnedFd::from(null)).unwrap_err().1.raw_os_error(), Some(libc::ENOTSOCK));
    assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn nothing_to_receive_is_a_value_and_a_deadline_an_error() {
    let socket = Socket::new(Protocol::USERSOCK).unwrap();
    assert_eq!(socket.try_recv(&mut EventBuf::new()).unwrap(), None);
    let start = Instant::now();
    let deaf = Socket::builder(Protocol::USERSOCK).open().unwrap();
    let e = deaf.request(&Request::new(16, Flags::empty()), Some(start + Duration::from_millis(30)));
    match e.unwrap_err() {
        // The kernel does not listen to this protocol.
        e if e.raw_os_error() == Some(libc::ECONNREFUSED) => {}
        e => {
            assert_eq!((e.raw_os_error(), start.elapsed() >= Duration::from_millis(30)), (Some(libc::ETIMEDOUT), true))
        }
    }
}

#[test]
fn devices_are_told_of() {
    const TEST: &str = "devices_are_told_of";
    let socket = Socket::new(Protocol::KOBJECT_UEVENT).unwrap();
    socket.join(uevent::KERNEL_GROUP).unwrap();
    if let Err(e) = std::fs::write("/sys/class/mem/null/uevent", "change") {
        return println!("SKIP: {TEST}: the kernel cannot be made to tell: {e}");
    }
    let mut buf = EventBuf::with_capacity(8192);
    loop {
        if socket.wait_ready(Ready::READ, Some(Instant::now() + Duration::from_secs(5))).unwrap().is_none() {
            return println!("SKIP: {TEST}: the kernel tells nothing here: not the first user namespace?");
        }
        let Some(Incoming::Datagram(datagram)) = socket.try_recv(&mut buf).unwrap() else { continue };
        let event = uevent::Uevent::parse(datagram.as_bytes()).unwrap();
        if event.get("DEVNAME").is_some_and(|name| name == "null") {
            assert_eq!((event.action(), event.get("SUBSYSTEM").unwrap()), ("change".as_ref(), "mem".as_ref()));
            assert_eq!(event.path(), "/devices/virtual/mem/null");
            assert!(event.sequence().is_some_and(|n| n > 0));
            assert!(event.get("ACTION").is_some() && event.get("action").is_none());
            return;
        }
    }
}

#[test]
fn families_are_found_by_their_names() {
    let socket = Socket::new(Protocol::GENERIC).unwrap();
    let control = generic::family(&socket, "nlctrl", soon()).unwrap();
    assert_eq!((control.id, control.own_head, control.name.as_str()), (0x10, 0, "nlctrl"));
    assert!(control.group("notify").is_some() && control.group("none").is_none());
    let reply = socket.request(&control.request(3, Flags::DUMP), soon()).unwrap();
    let all: Vec<_> = reply.messages().filter_map(|message| generic::Family::parse(&message)).collect();
    assert_eq!(all.len(), reply.messages().count());
    assert!(all.contains(&control));
    let e = generic::family(&socket, "none", soon()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOENT));
    let e = generic::family(&socket, "longer than 15 bytes", soon()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));

    let parse = |request: &Request| {
        generic::Family::parse(&Messages::parse(&request.to_bytes(1).unwrap()).next().unwrap()).is_some()
    };
    let mut request = Request::new(0x10, Flags::empty());
    assert!(!parse(&request), "no head");
    request.put([1, 2, 0, 0]);
    assert!(!parse(&request), "no number");
    let mut wrong = request.clone();
    wrong.attr(1, [7]);
    assert!(!parse(&wrong), "a number of one byte");
    request.attr(1, 7u16.to_ne_bytes());
    request.nest(7, |groups| groups.nest(1, |group| group.attr(1, [0xff])));
    assert!(parse(&request), "a group without a number is none");
}

#[test]
fn requests_are_padded_and_bounded() {
    let mut request = Request::new(5, Flags::EXCL);
    request.put([1, 2, 3]);
    request.attr(7, [9; 5]);
    request.nest(8, |nest| nest.attr(1, []));
    let bytes = request.to_bytes(3).unwrap();
    assert_eq!(bytes.len(), 16 + 4 + 12 + 8);
    assert_eq!(bytes[..4], 40u32.to_ne_bytes());
    let message = Messages::parse(&bytes).next().unwrap();
    assert_eq!((message.kind, message.sequence, message.port), (5, 3, 0));
    let attributes: Vec<_> = message.attributes(3).collect();
    assert_eq!((attributes[0].kind, attributes[0].payload, attributes[0].is_nested), (7, &[9u8; 5][..], false));
    assert!(attributes[1].is_nested && attributes[1].nested().next().unwrap().payload.is_empty());
    assert_eq!(attributes.len(), 2);

    request.attr(1, vec![0; 65_531]);
    assert!(request.to_bytes(1).is_ok());
    request.nest(2, |nest| {
        nest.attr(1, vec![0; 40_000]);
        nest.attr(1, vec![0; 40_000]);
    });
    assert_eq!(request.to_bytes(1).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn cut_messages_and_attributes_end_the_parse() {
    let mut request = Request::new(5, Flags::empty());
    request.attr(1, [1, 2, 3]);
    request.attr(2, [4]);
    let one = request.to_bytes(1).unwrap();
    assert_eq!(one.len(), 32);
    let whole = [one.clone(), one].concat();
    for len in 0..=whole.len() {
        let mut shifted = vec![0xaa];
        shifted.extend(&whole[..len]); // not aligned, either
        let mut messages = Messages::parse(&shifted[1..]);
        assert_eq!((messages.by_ref().count(), messages.remainder().len()), (len / 32, len % 32));
    }
    // The padding of the last attribute, and of the last message, may be missing.
    let payload = &whole[16..32];
    for (len, count) in [(16, 2), (13, 2), (12, 1), (8, 1), (7, 1), (6, 0), (3, 0), (0, 0)] {
        assert_eq!(Attributes::parse(&payload[..len]).count(), count, "{len}");
    }
    for bad in [0u32, 15, 33, u32::MAX - 2, u32::MAX] {
        let mut bytes = whole[..32].to_vec();
        bytes[..4].copy_from_slice(&bad.to_ne_bytes());
        let mut messages = Messages::parse(&bytes);
        assert_eq!((messages.next(), messages.remainder().len()), (None, 32), "{bad}");
    }
    for bad in [0u16, 3, 17, u16::MAX] {
        let mut bytes = payload.to_vec();
        bytes[..2].copy_from_slice(&bad.to_ne_bytes());
        assert_eq!(Attributes::parse(&bytes).count(), 0, "{bad}");
    }
    let message = Messages::parse(&whole).next().unwrap();
    for skip in [16, 17, 1000, usize::MAX] {
        assert_eq!(message.attributes(skip).count(), 0);
    }
}

#[test]
fn outcomes_of_odd_bytes() {
    let outcome = |kind, flags, payload: &[u8]| {
        let mut request = Request::new(kind, flags);
        request.put(payload);
        Messages::parse(&request.to_bytes(1).unwrap()).next().unwrap().outcome()
    };
    let tlvs = Flags::ACK_TLVS;
    assert_eq!(outcome(Message::DONE, tlvs, &[]), Some(Ok(())));
    assert_eq!(outcome(Message::DONE, tlvs, &5i32.to_ne_bytes()), Some(Ok(())), "lists end with what they like");
    assert_eq!(outcome(Message::NOOP, tlvs, &[]), None);
    let code = |kind, flags, payload: &[u8]| outcome(kind, flags, payload).unwrap().unwrap_err().code;
    assert_eq!(code(Message::ERROR, tlvs, &[]), libc::EBADMSG);
    assert_eq!(code(Message::ERROR, tlvs, &i32::MIN.to_ne_bytes()), libc::EBADMSG);
    assert_eq!(code(Message::ERROR, tlvs, &(-1i32).to_ne_bytes()), 1);
    // A quote that claims to be longer than what is there.
    let mut bytes = (-22i32).to_ne_bytes().to_vec();
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend([0; 12]);
    assert_eq!(code(Message::ERROR, tlvs, &bytes), libc::EINVAL);
    // A refusal at the end of a list is explained without a quote.
    let mut bytes = (-19i32).to_ne_bytes().to_vec();
    bytes.extend([8u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
    bytes.extend(b"no\0\0");
    let refusal = outcome(Message::DONE, tlvs, &bytes).unwrap().unwrap_err();
    assert_eq!((refusal.code, refusal.text.as_deref()), (19, Some("no")));
    assert_eq!(refusal.to_string(), "no: No such device (os error 19)");
}
