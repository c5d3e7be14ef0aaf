//! What UDP datagrams tell beside their data, errors with their cause, and several datagrams by one call.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::{Batch, Incoming, Message, Outgoing, Packet, PacketInfo};
use becket_sys::udp::{Received, Socket, Timestamping, interface_index, segments};
use becket_sys::{Ready, wait};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant, SystemTime};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn bound() -> Socket {
    Socket::bind(LOCALHOST).unwrap()
}

fn ready(socket: &Socket) -> Ready {
    wait(socket, Ready::READ, Some(Instant::now() + Duration::from_secs(20))).unwrap().expect("within 20 s")
}

fn receive(socket: &Socket, control: &mut Incoming) -> Received {
    ready(socket);
    socket.try_recv_with(&mut [0; 1 << 16], control).unwrap().unwrap()
}

fn packet_info(control: &Incoming) -> PacketInfo {
    let mut infos = control.messages().filter_map(|message| match message {
        Message::PacketInfo(info) => Some(info),
        _ => None,
    });
    infos.next().expect("packet info")
}

#[test]
fn where_it_was_sent_to_and_an_answer_from_there() {
    let server = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    server.set_packet_info(true).unwrap();
    let client = bound();
    let port = server.local_addr().unwrap().port();
    client.try_send_to(b"x", ([127, 0, 0, 7], port)).unwrap();
    let mut control = Incoming::new();
    receive(&server, &mut control);
    let info = packet_info(&control);
    assert_eq!(info.destination, Ipv4Addr::new(127, 0, 0, 7));
    assert_eq!((info.reply_from, info.interface), (Some(info.destination), interface_index("lo").unwrap()));
    assert_eq!(control.sender(), Some(client.local_addr().unwrap()));

    let mut out = Outgoing::new();
    out.push_source(info.destination, info.interface);
    server.try_send_to_with(b"answer", &out, client.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&client, &mut control).len(), 6);
    assert_eq!(control.sender(), Some(([127, 0, 0, 7], port).into()));

    out.clear();
    out.push_source(Ipv4Addr::new(192, 0, 2, 1).into(), 0);
    let e = server.try_send_to_with(b"x", &out, client.local_addr().unwrap()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENETUNREACH), "not of this machine");
}

#[test]
fn multicast_tells_its_group() {
    let lo = interface_index("lo").unwrap();
    let group = Ipv4Addr::new(239, 255, 77, 9);
    let receiver = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    receiver.set_packet_info(true).unwrap();
    receiver.join_multicast(group.into(), lo).unwrap();
    let sender = bound();
    sender.set_multicast_interface(lo).unwrap();
    sender.try_send_to(b"x", (group, receiver.local_addr().unwrap().port())).unwrap();
    let mut control = Incoming::new();
    receive(&receiver, &mut control);
    assert_eq!((packet_info(&control).destination, packet_info(&control).interface), (group.into(), lo));
}

#[test]
fn classes_and_hops_of_a_socket_and_of_one_datagram() {
    let (a, b) = (bound(), bound());
    b.set_recv_traffic_class(true).unwrap();
    b.set_recv_hop_limit(true).unwrap();
    a.connect(b.local_addr().unwrap()).unwrap();
    a.set_tos(0x48).unwrap();
    a.set_hops(33).unwrap();
    let mut control = Incoming::new();
    a.try_send(b"x").unwrap();
    receive(&b, &mut control);
    let mut messages: Vec<_> = control.messages().collect();
    messages.sort_by_key(|message| format!("{message:?}"));
    assert_eq!(messages, [Message::HopLimit(33), Message::TrafficClass(0x48)]);

    let mut out = Outgoing::new();
    out.push_traffic_class(0x20).push_hop_limit(5);
    a.try_send_with(b"x", &out).unwrap();
    receive(&b, &mut control);
    let mut messages: Vec<_> = control.messages().collect();
    messages.sort_by_key(|message| format!("{message:?}"));
    assert_eq!(messages, [Message::HopLimit(5), Message::TrafficClass(0x20)]);
}

#[test]
fn an_ipv6_socket_tells_it_of_both_versions() {
    let server = match Socket::builder().device("lo").v6only(false).bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(server) => server,
        Err(e) => return println!("SKIP: an_ipv6_socket_tells_it_of_both_versions: no IPv6 here: {e}"),
    };
    server.set_packet_info(true).unwrap();
    server.set_recv_traffic_class(true).unwrap();
    server.set_recv_hop_limit(true).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut control = Incoming::new();

    let (six, four) = (Socket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap(), bound());
    six.set_tos(0x48).unwrap();
    six.try_send_to(b"6", (Ipv6Addr::LOCALHOST, port)).unwrap();
    receive(&server, &mut control);
    assert_eq!(packet_info(&control).destination, Ipv6Addr::LOCALHOST);
    assert!(control.messages().any(|message| message == Message::TrafficClass(0x48)));
    assert!(control.messages().any(|message| matches!(message, Message::HopLimit(_))));

    four.set_tos(0x28).unwrap();
    four.try_send_to(b"4", ([127, 0, 0, 8], port)).unwrap();
    receive(&server, &mut control);
    assert_eq!(packet_info(&control).destination, Ipv4Addr::new(127, 0, 0, 8).to_ipv6_mapped());
    assert!(control.messages().any(|message| message == Message::TrafficClass(0x28)));
    let mut out = Outgoing::new();
    out.push_source(packet_info(&control).destination, 0);
    server.try_send_to_with(b"answer", &out, control.sender().unwrap()).unwrap();
    receive(&four, &mut control);
    assert_eq!(control.sender(), Some(([127, 0, 0, 8], port).into()));
}

#[test]
fn times_of_receipt_lie_between_sending_and_reading() {
    let (a, b) = (bound(), bound());
    b.set_recv_timestamp(true).unwrap();
    let mut control = Incoming::new();
    let before = SystemTime::now();
    a.try_send_to(b"x", b.local_addr().unwrap()).unwrap();
    receive(&b, &mut control);
    let Some(Message::Timestamp(time)) = control.messages().next() else { panic!("{control:?}") };
    // The kernel's clock may have been read with less precision than ours.
    assert!(time + Duration::from_millis(20) >= before && time <= SystemTime::now());
}

#[test]
fn times_of_sending_come_in_the_queue_of_errors() {
    let (a, b) = (bound(), bound());
    let times = Timestamping::TX_SOFTWARE | Timestamping::SOFTWARE | Timestamping::OPT_ID | Timestamping::OPT_TSONLY;
    a.set_timestamping(times).unwrap();
    let mut control = Incoming::new();
    assert!(a.try_recv_error(&mut [0; 8], &mut control).unwrap().is_none());
    for id in 0..2 {
        a.try_send_to(b"x", b.local_addr().unwrap()).unwrap();
        assert!(ready(&a).contains(Ready::ERR));
        a.try_recv_error(&mut [0; 8], &mut control).unwrap().unwrap();
        let sent = control.messages().any(|message| matches!(message, Message::Timestamps { software: Some(_), .. }));
        let number = control.messages().find_map(|message| match message {
            Message::Error(e) => Some((e.errno, e.data)),
            _ => None,
        });
        assert_eq!((sent, number), (true, Some((libc::ENOMSG, id))));
    }
    assert_eq!(a.try_recv(&mut [0; 8]).unwrap(), None, "a time is no error of the socket");
}

#[test]
fn an_error_has_its_cause_its_target_and_the_data() {
    let (a, nobody) = (bound(), bound());
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    a.set_recv_errors(true).unwrap();
    a.try_send_to(b"lost", addr).unwrap();
    assert!(ready(&a).contains(Ready::ERR));
    let (mut buf, mut control) = ([0; 16], Incoming::new());
    let received = a.try_recv_error(&mut buf, &mut control).unwrap().unwrap();
    assert_eq!(&buf[..received.len()], b"lost");
    assert_eq!(control.sender(), Some(addr));
    let Some(Message::Error(e)) = control.messages().next() else { panic!("{control:?}") };
    assert_eq!((e.errno, e.kind, e.code), (libc::ECONNREFUSED, 3, 3));
    assert!(e.is_icmp() && !e.is_local());
    assert_eq!(e.offender.unwrap().ip(), Ipv4Addr::LOCALHOST);
    assert!(a.try_recv_error(&mut buf, &mut control).unwrap().is_none());
    assert_eq!(control.messages().count(), 0, "nothing of the one before is left");
}

#[test]
fn segments_are_told_by_their_size() {
    let (a, b) = (bound(), bound());
    b.set_gro(true).unwrap();
    let mut out = Outgoing::new();
    out.push_segment_size(500);
    assert_eq!(a.try_send_to_with(&[7; 1300], &out, b.local_addr().unwrap()).unwrap(), Some(1300));
    let (mut buf, mut control) = (vec![0; 1 << 16], Incoming::new());
    ready(&b);
    let received = b.try_recv_with(&mut buf, &mut control).unwrap().unwrap();
    assert_eq!(received.len(), 1300);
    let lengths: Vec<_> = segments(&buf[..1300], &control).map(<[u8]>::len).collect();
    assert_eq!(lengths, [500, 500, 300]);

    // One alone tells no size.
    a.try_send_to(b"alone", b.local_addr().unwrap()).unwrap();
    let received = receive(&b, &mut control);
    assert_eq!(segments(&buf[..received.len()], &control).count(), 1);
    a.try_send_to(b"", b.local_addr().unwrap()).unwrap();
    let received = receive(&b, &mut control);
    assert_eq!(segments(&buf[..received.len()], &control).map(<[u8]>::len).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_batch_serves_many_calls_and_remembers_nothing() {
    let (a, b) = (bound(), bound());
    let to = b.local_addr().unwrap();
    b.set_packet_info(true).unwrap();
    let data: Vec<Vec<u8>> = (0..7u8).map(|i| vec![i; usize::from(i) * 10]).collect();
    let packets: Vec<_> = data.iter().map(|data| Packet::new(data).to(to)).collect();
    assert_eq!(a.try_send_batch(&packets).unwrap(), Some(7));

    let mut batch = Batch::new(3, 45, 64);
    let mut seen = Vec::new();
    for expected in [3, 3, 1] {
        ready(&b);
        assert_eq!(b.try_recv_batch(&mut batch).unwrap(), Some(expected));
        assert_eq!(batch.messages().len(), expected);
        for slot in batch.messages() {
            assert_eq!(slot.control().sender(), Some(a.local_addr().unwrap()));
            assert_eq!(packet_info(slot.control()).destination, to.ip());
            assert!(!slot.control().is_truncated());
            seen.push((slot.data().to_vec(), slot.received().datagram_len(), slot.received().is_truncated()));
        }
    }
    let expected: Vec<_> =
        data.iter().map(|data| (data[..data.len().min(45)].to_vec(), data.len(), data.len() > 45)).collect();
    assert_eq!(seen, expected);
    assert_eq!(b.try_recv_batch(&mut batch).unwrap(), None);
    assert!(batch.messages().is_empty());
}

#[test]
fn a_batch_goes_to_many_and_stops_at_what_cannot_go() {
    let (a, b, c) = (bound(), bound(), bound());
    let long = vec![0; 65508];
    let packets = [
        Packet::new(b"b").to(b.local_addr().unwrap()),
        Packet::new(b"c").to(c.local_addr().unwrap()),
        Packet::new(&long).to(b.local_addr().unwrap()),
        Packet::new(b"never").to(c.local_addr().unwrap()),
    ];
    assert_eq!(a.try_send_batch(&packets).unwrap(), Some(2));
    assert_eq!(a.try_send_batch(&packets[2..]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    for socket in [&b, &c] {
        assert_eq!(receive(socket, &mut Incoming::new()).len(), 1);
        assert_eq!(socket.try_recv(&mut [0; 8]).unwrap(), None);
    }
}

#[test]
fn what_was_dropped_is_counted() {
    let (a, b) = (bound(), bound());
    b.set_recv_drops(true).unwrap();
    b.set_recv_buffer_size(0).unwrap(); // the kernel makes its least of it
    let to = b.local_addr().unwrap();
    for _ in 0..200 {
        a.try_send_to(&[0; 500], to).unwrap();
    }
    let (mut control, mut came) = (Incoming::new(), 0);
    while b.try_recv_with(&mut [0; 512], &mut control).unwrap().is_some() {
        came += 1;
    }
    assert!(came < 200);
    a.try_send_to(b"after", to).unwrap();
    receive(&b, &mut control);
    assert_eq!(control.messages().collect::<Vec<_>>(), [Message::Dropped(200 - came)]);
}

#[test]
fn what_has_no_room_is_lost_visibly_and_the_data_are_not() {
    let (a, b) = (bound(), bound());
    b.set_packet_info(true).unwrap();
    a.try_send_to(b"data", b.local_addr().unwrap()).unwrap();
    let mut none = Incoming::with_capacity(0);
    ready(&b);
    let (mut buf, mut all) = ([0; 16], Incoming::new());
    assert_eq!(b.try_peek_with(&mut buf, &mut all).unwrap().unwrap().len(), 4);
    assert!(!all.is_truncated());
    let received = b.try_recv_with(&mut buf[..2], &mut none).unwrap().unwrap();
    assert!(none.is_truncated() && received.is_truncated());
    assert_eq!((received.len(), received.datagram_len()), (2, 4));
    assert_eq!(none.sender(), Some(a.local_addr().unwrap()));
}
