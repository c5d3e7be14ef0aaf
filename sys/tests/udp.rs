//! UDP over the loopback interface.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::udp::Socket;
use becket_sys::{Ready, wait};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn readable(fd: impl AsFd) -> Ready {
    wait(fd, Ready::READ, Some(Instant::now() + Duration::from_secs(20))).unwrap().expect("readiness within 20 s")
}

fn bound() -> Socket {
    Socket::bind(LOCALHOST).unwrap()
}

#[test]
fn truncation_is_a_value_and_peeking_leaves_the_datagram() {
    let (a, b) = (bound(), bound());
    assert_eq!(a.try_send_to(b"0123456789", b.local_addr().unwrap()).unwrap(), Some(10));
    readable(&b);
    let mut buf = [0; 4];
    let (peeked, from) = b.try_peek_from(&mut buf).unwrap().unwrap();
    assert_eq!((peeked.len(), peeked.datagram_len(), from), (4, 10, a.local_addr().unwrap()));
    assert_eq!(b.try_peek(&mut buf).unwrap(), Some(peeked));
    let received = b.try_recv(&mut buf).unwrap().unwrap();
    assert!(received.is_truncated());
    assert_eq!(&buf, b"0123");
    assert_eq!(b.try_recv(&mut buf).unwrap(), None); // the rest is gone
}

#[test]
fn an_empty_datagram_is_one() {
    let (a, b) = (bound(), bound());
    assert_eq!(a.try_send_to(b"", b.local_addr().unwrap()).unwrap(), Some(0));
    readable(&b);
    let (received, _) = b.try_recv_from(&mut [0; 4]).unwrap().unwrap();
    assert!(received.is_empty() && !received.is_truncated());
    assert_eq!(b.try_recv_from(&mut [0; 4]).unwrap(), None);
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let (a, b, stranger) = (bound(), bound(), bound());
    let addr = a.local_addr().unwrap();
    assert_eq!(a.peer_addr().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(a.try_send(b"to whom?").unwrap_err().raw_os_error(), Some(libc::EDESTADDRREQ));
    a.connect(b.local_addr().unwrap()).unwrap();
    assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
    stranger.try_send_to(b"stranger", addr).unwrap();
    b.try_send_to(b"peer", addr).unwrap();
    readable(&a);
    let mut buf = [0; 16];
    let n = a.try_recv(&mut buf).unwrap().unwrap().len();
    assert_eq!(&buf[..n], b"peer");
    assert_eq!(a.try_recv(&mut buf).unwrap(), None);
}

#[test]
fn a_disconnected_socket_keeps_the_port_it_named_and_loses_the_one_it_was_given() {
    let given = bound();
    let addr = given.local_addr().unwrap();
    given.connect(addr).unwrap();
    given.disconnect().unwrap();
    assert_eq!(given.peer_addr().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(given.local_addr().unwrap().port(), 0);

    let named = Socket::bind(addr).unwrap();
    named.connect(addr).unwrap();
    named.disconnect().unwrap();
    assert_eq!(named.local_addr().unwrap(), addr);
    assert_eq!(given.try_send_to(b"hello", addr).unwrap(), Some(5));
    readable(&named);
    let from = named.try_recv_from(&mut [0; 8]).unwrap().unwrap().1;
    assert_eq!(from, given.local_addr().unwrap());
    assert_ne!(from, addr);
}

#[test]
fn a_connected_socket_is_refused_once_and_goes_on() {
    let (a, b) = (bound(), bound());
    let addr = b.local_addr().unwrap();
    drop(b);
    a.connect(addr).unwrap();
    assert_eq!(a.try_send(b"x").unwrap(), Some(1));
    assert!(readable(&a).contains(Ready::ERR));
    assert_eq!(a.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
    assert!(a.take_error().unwrap().is_none());
    // Where nobody takes it, the next call returns it, a send as well.
    assert_eq!(a.try_send(b"x").unwrap(), Some(1));
    readable(&a);
    assert_eq!(a.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
    let b = Socket::bind(addr).unwrap();
    assert_eq!(a.try_send(b"y").unwrap(), Some(1));
    readable(&b);
    assert_eq!(b.try_recv(&mut [0; 4]).unwrap().unwrap().len(), 1);
}

#[test]
fn an_unconnected_socket_never_hears_of_it() {
    let (a, b) = (bound(), bound());
    let addr = b.local_addr().unwrap();
    drop(b);
    for _ in 0..3 {
        assert_eq!(a.try_send_to(b"x", addr).unwrap(), Some(1));
    }
    assert_eq!(a.try_recv(&mut [0; 4]).unwrap(), None);
}

#[test]
fn too_long_a_datagram_is_refused_whole() {
    let (a, b) = (bound(), bound());
    let e = a.try_send_to(&[0; 65508], b.local_addr().unwrap()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(a.try_send_to(&[0; 65507], b.local_addr().unwrap()).unwrap(), Some(65507));
    readable(&b);
    assert_eq!(b.try_recv(&mut [0; 100]).unwrap().unwrap().datagram_len(), 65507);
}

#[test]
fn broadcast_must_be_allowed() {
    let a = bound();
    let to = ([127, 255, 255, 255], a.local_addr().unwrap().port());
    assert_eq!(a.try_send_to(b"all", to).unwrap_err().raw_os_error(), Some(libc::EACCES));
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
    assert_eq!(a.try_send_to(b"all", to).unwrap(), Some(3));
}

#[test]
fn ports_are_shared_only_by_those_that_agree() {
    let alone = bound();
    let addr = alone.local_addr().unwrap();
    let e = Socket::builder().reuse_address(true).bind(addr).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRINUSE)));
    assert_eq!(e.subject(), addr.to_string());

    for builder in [Socket::builder().reuse_address(true), Socket::builder().reuse_port(true)] {
        let first = builder.bind(LOCALHOST).unwrap();
        builder.bind(first.local_addr().unwrap()).unwrap();
    }
}

#[test]
fn multicast_reaches_every_member_until_it_leaves() {
    const LOOPBACK: u32 = 1;
    let group = Ipv4Addr::new(239, 255, 77, 1);
    let builder = Socket::builder().device("lo").reuse_address(true);
    let first = builder.bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let second = builder.bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    first.join_multicast(group.into(), LOOPBACK).unwrap();
    second.join_multicast(group.into(), LOOPBACK).unwrap();
    let again = first.join_multicast(group.into(), LOOPBACK).unwrap_err();
    assert_eq!(again.raw_os_error(), Some(libc::EADDRINUSE));
    let none = first.join_multicast(Ipv4Addr::LOCALHOST.into(), LOOPBACK).unwrap_err();
    assert_eq!(none.raw_os_error(), Some(libc::EINVAL));

    let sender = bound();
    sender.set_multicast_interface(LOOPBACK).unwrap();
    sender.set_multicast_hops(0).unwrap();
    sender.set_multicast_loop(true).unwrap();
    sender.try_send_to(b"1", (group, port)).unwrap();
    readable(&first);
    readable(&second);
    let mut buf = [0; 4];
    assert_eq!(first.try_recv(&mut buf).unwrap().unwrap().len(), 1);
    assert_eq!(second.try_recv(&mut buf).unwrap().unwrap().len(), 1);

    second.leave_multicast(group.into(), LOOPBACK).unwrap();
    let gone = second.leave_multicast(group.into(), LOOPBACK).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    sender.try_send_to(b"2", (group, port)).unwrap();
    readable(&first);
}

#[test]
fn multicast_over_ipv6() {
    const LOOPBACK: u32 = 1;
    let group: Ipv6Addr = "ff01::77".parse().unwrap();
    let receiver = match Socket::builder().device("lo").v6only(true).bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(socket) => socket,
        Err(e) => return println!("SKIP: no IPv6 here: {e}"),
    };
    if let Err(e) = receiver.join_multicast(IpAddr::V6(group), LOOPBACK) {
        return println!("SKIP: no IPv6 on the loopback interface: {e}");
    }
    receiver.set_multicast_interface(LOOPBACK).unwrap();
    receiver.set_multicast_hops(0).unwrap();
    receiver.set_multicast_loop(true).unwrap();
    let e = receiver.set_multicast_interface(987_654).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENODEV));
    receiver.leave_multicast(group.into(), LOOPBACK).unwrap();
    let e = bound().join_multicast(group.into(), LOOPBACK).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOPROTOOPT));
}

#[test]
fn std_sockets_convert_both_ways() {
    let ours = Socket::from(UdpSocket::bind(LOCALHOST).unwrap());
    // std's is blocking, and yet:
    assert_eq!(ours.try_recv(&mut [0; 4]).unwrap(), None);
    assert_eq!(ours.try_recv_from(&mut [0; 4]).unwrap(), None);
    let twin = ours.try_clone().unwrap();
    let theirs = UdpSocket::from(ours);
    theirs.send_to(b"self", theirs.local_addr().unwrap()).unwrap();
    readable(&twin);
    assert_eq!(twin.try_recv_from(&mut [0; 4]).unwrap().unwrap().1, theirs.local_addr().unwrap());
}
