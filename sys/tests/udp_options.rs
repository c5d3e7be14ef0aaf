//! The options of UDP sockets: groups by sender, sizes, and what changes which datagrams come.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::udp::{MtuDiscovery, Socket, Timestamping, interface_index};
use becket_sys::{Ready, wait};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::{Duration, Instant};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn bound() -> Socket {
    Socket::bind(LOCALHOST).unwrap()
}

fn receive(socket: &Socket) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    wait(socket, Ready::READ, Some(deadline)).unwrap().expect("readiness within 20 s");
    let mut buf = [0; 2048];
    socket.try_recv(&mut buf).unwrap().map(|received| buf[..received.len()].to_vec())
}

/// Over loopback, what is sent is there when the call returns.
fn nothing_came(socket: &Socket) -> bool {
    wait(socket, Ready::READ, Some(Instant::now())).unwrap().is_none()
}

fn group_sender(from: [u8; 4], loopback: u32) -> Socket {
    let sender = Socket::bind((from, 0)).unwrap();
    sender.set_multicast_interface(loopback).unwrap();
    sender
}

#[test]
fn a_group_is_joined_sender_by_sender() {
    let lo = interface_index("lo").unwrap();
    let group = Ipv4Addr::new(232, 1, 77, 2);
    let receiver = Socket::bind((group, 0)).unwrap();
    let to = (group, receiver.local_addr().unwrap().port());
    let (wanted, other) = (group_sender([127, 0, 0, 2], lo), group_sender([127, 0, 0, 3], lo));
    let source = IpAddr::from([127, 0, 0, 2]);

    receiver.join_multicast_source(group.into(), source, lo).unwrap();
    let again = receiver.join_multicast_source(group.into(), source, lo).unwrap_err();
    assert_eq!(again.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    other.try_send_to(b"other", to).unwrap();
    wanted.try_send_to(b"wanted", to).unwrap();
    assert_eq!(receive(&receiver).unwrap(), b"wanted");
    assert!(nothing_came(&receiver));

    receiver.leave_multicast_source(group.into(), source, lo).unwrap();
    wanted.try_send_to(b"wanted", to).unwrap();
    assert!(nothing_came(&receiver));

    let e = receiver.join_multicast_source(group.into(), Ipv6Addr::LOCALHOST.into(), lo).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EAFNOSUPPORT));
    let e = receiver.join_multicast_source(Ipv4Addr::LOCALHOST.into(), source, lo).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    let e = receiver.join_multicast_source(group.into(), source, 987_654).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENODEV));
}

#[test]
fn of_a_group_joined_for_all_one_sender_is_left_out() {
    let lo = interface_index("lo").unwrap();
    let group = Ipv4Addr::new(239, 255, 77, 3);
    let receiver = Socket::bind((group, 0)).unwrap();
    let to = (group, receiver.local_addr().unwrap().port());
    let sender = group_sender([127, 0, 0, 4], lo);
    let source = IpAddr::from([127, 0, 0, 4]);

    let e = receiver.block_multicast_source(group.into(), source, lo).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL), "not joined");
    receiver.join_multicast(group.into(), lo).unwrap();
    receiver.block_multicast_source(group.into(), source, lo).unwrap();
    sender.try_send_to(b"1", to).unwrap();
    assert!(nothing_came(&receiver));
    receiver.unblock_multicast_source(group.into(), source, lo).unwrap();
    let e = receiver.unblock_multicast_source(group.into(), source, lo).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    sender.try_send_to(b"2", to).unwrap();
    assert_eq!(receive(&receiver).unwrap(), b"2");
}

#[test]
fn groups_that_others_joined_come_unless_refused() {
    let lo = interface_index("lo").unwrap();
    let group = Ipv4Addr::new(239, 255, 77, 4);
    let joins = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    joins.join_multicast(group.into(), lo).unwrap();
    let bystander = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let to = (group, bystander.local_addr().unwrap().port());
    let sender = group_sender([127, 0, 0, 1], lo);
    assert!(bystander.multicast_all().unwrap());
    sender.try_send_to(b"1", to).unwrap();
    assert_eq!(receive(&bystander).unwrap(), b"1", "it joined nothing");
    bystander.set_multicast_all(false).unwrap();
    assert!(!bystander.multicast_all().unwrap());
    sender.try_send_to(b"2", to).unwrap();
    assert!(nothing_came(&bystander));
}

#[test]
fn options_of_multicast_are_read_back_for_both_versions() {
    let v6 = Socket::builder().v6only(true).bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(e) = &v6 {
        println!("SKIP: options_of_multicast_are_read_back_for_both_versions: no IPv6 here: {e}");
    }
    for socket in std::iter::once(bound()).chain(v6) {
        assert!(socket.multicast_loop().unwrap());
        socket.set_multicast_loop(false).unwrap();
        assert!(!socket.multicast_loop().unwrap());
        assert_eq!(socket.multicast_hops().unwrap(), 1);
        socket.set_multicast_hops(255).unwrap();
        assert_eq!(socket.multicast_hops().unwrap(), 255);
        socket.set_multicast_all(false).unwrap();
        assert!(!socket.multicast_all().unwrap());
    }
}

/// In a network of its own, with an interface that has IPv6 for sure.
#[test]
fn groups_of_ipv6_by_sender() {
    const NAME: &str = "groups_of_ipv6_by_sender";
    std::thread::spawn(|| {
        #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
        // SAFETY: no memory is passed, and this thread, which shares nothing that a network namespace owns, ends soon.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIP: {NAME}: no network namespace: {}", std::io::Error::last_os_error());
        }
        let setup = "ip link add becket0 type veth peer name becket1 && \
                     ip link set becket0 up && ip link set becket1 up && \
                     ip -6 addr add fd00::1/64 dev becket0 nodad && ip -6 addr add fd00::2/64 dev becket0 nodad";
        if !Command::new("sh").args(["-c", setup]).status().is_ok_and(|status| status.success()) {
            return println!("SKIP: {NAME}: no interface with IPv6 can be made");
        }
        let index = interface_index("becket0").unwrap();
        let group: Ipv6Addr = "ff35::7701".parse().unwrap();
        let [wanted, other] = ["fd00::1", "fd00::2"].map(|address| address.parse::<IpAddr>().unwrap());
        let receiver = Socket::builder().v6only(true).bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let to = (group, receiver.local_addr().unwrap().port());
        let [from_wanted, from_other] = [wanted, other].map(|address| {
            let sender = Socket::bind((address, 0)).unwrap();
            sender.set_multicast_interface(index).unwrap();
            sender
        });

        receiver.join_multicast_source(group.into(), wanted, index).unwrap();
        let e = receiver.join_multicast_source(group.into(), wanted, index).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL));
        from_other.try_send_to(b"other", to).unwrap();
        from_wanted.try_send_to(b"wanted", to).unwrap();
        assert_eq!(receive(&receiver).unwrap(), b"wanted");
        assert!(nothing_came(&receiver));
        receiver.leave_multicast_source(group.into(), wanted, index).unwrap();

        receiver.join_multicast(group.into(), index).unwrap();
        receiver.block_multicast_source(group.into(), wanted, index).unwrap();
        from_wanted.try_send_to(b"wanted", to).unwrap();
        from_other.try_send_to(b"other", to).unwrap();
        assert_eq!(receive(&receiver).unwrap(), b"other");
        assert!(nothing_came(&receiver));
        receiver.leave_multicast(group.into(), index).unwrap();
        receiver.set_multicast_all(false).unwrap();
        from_other.try_send_to(b"other", to).unwrap();
        assert!(nothing_came(&receiver));
    })
    .join()
    .unwrap();
}

#[test]
fn long_data_are_cut_into_segments() {
    let (a, b) = (bound(), bound());
    assert_eq!(a.segment_size().unwrap(), None);
    a.set_segment_size(Some(1000)).unwrap();
    assert_eq!(a.segment_size().unwrap(), Some(1000));
    assert_eq!(a.try_send_to(&[7; 2500], b.local_addr().unwrap()).unwrap(), Some(2500));
    let lengths = [receive(&b), receive(&b), receive(&b)].map(|datagram| datagram.unwrap().len());
    assert_eq!(lengths, [1000, 1000, 500]);
    assert!(nothing_came(&b));
    let e = a.try_send_to(&[7; 65507], b.local_addr().unwrap()).map(|_| ());
    assert!(e.is_ok(), "66 of them are not too many: {e:?}");
    a.set_segment_size(Some(100)).unwrap();
    assert_eq!(a.try_send_to(&[7; 65507], b.local_addr().unwrap()).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    a.set_segment_size(None).unwrap();
    assert_eq!(a.segment_size().unwrap(), None);
}

#[test]
fn several_datagrams_come_as_one_where_that_is_asked_for() {
    let (a, b) = (bound(), bound());
    assert!(!b.gro().unwrap());
    b.set_gro(true).unwrap();
    assert!(b.gro().unwrap());
    a.set_segment_size(Some(500)).unwrap();
    assert_eq!(a.try_send_to(&[7; 1300], b.local_addr().unwrap()).unwrap(), Some(1300));
    assert_eq!(receive(&b).unwrap().len(), 1300, "what is cut here is put together here");
}

#[test]
fn sizes_of_paths() {
    let (a, b) = (bound(), bound());
    assert_eq!(a.path_mtu().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    a.connect(b.local_addr().unwrap()).unwrap();
    let mtu = a.path_mtu().unwrap();
    assert!(mtu >= 1280, "{mtu}");
    for discovery in [MtuDiscovery::Never, MtuDiscovery::Want, MtuDiscovery::Always, MtuDiscovery::Omit] {
        a.set_mtu_discovery(discovery).unwrap();
        assert_eq!(a.mtu_discovery().unwrap(), discovery);
    }
    assert_eq!(a.set_mtu_discovery(MtuDiscovery::Other(99)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    a.set_mtu_discovery(MtuDiscovery::Always).unwrap();
    if mtu < 65507 {
        assert_eq!(a.try_send(&[0; 65507]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    }
    let Ok(v6) = Socket::bind((Ipv6Addr::LOCALHOST, 0)) else { return println!("SKIP: sizes_of_paths: no IPv6 here") };
    assert_eq!(v6.path_mtu().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    v6.connect(v6.local_addr().unwrap()).unwrap();
    assert!(v6.path_mtu().unwrap() >= 1280);
}

#[test]
fn an_unconnected_socket_hears_of_refusals_where_it_asks_for_errors() {
    let (a, nobody) = (bound(), bound());
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    a.set_recv_errors(true).unwrap();
    a.try_send_to(b"x", addr).unwrap();
    let ready = wait(&a, Ready::READ, Some(Instant::now() + Duration::from_secs(20))).unwrap().unwrap();
    assert!(ready.contains(Ready::ERR));
    assert_eq!(a.try_recv(&mut [0; 4]).unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn what_a_socket_cannot_set_is_told() {
    let a = bound();
    a.set_packet_info(true).unwrap();
    assert!(a.packet_info().unwrap());
    a.set_timestamping(Timestamping::RX_SOFTWARE | Timestamping::SOFTWARE).unwrap();
    let e = a.set_timestamping(Timestamping::from_bits_retain(1 << 30)).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    let (reader, _writer) = std::io::pipe().unwrap();
    let wrong = Socket::from(std::os::fd::OwnedFd::from(reader));
    assert_eq!(wrong.set_gro(true).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(interface_index("a-name-that-is-too-long").unwrap_err().raw_os_error(), Some(libc::ENODEV));
}
