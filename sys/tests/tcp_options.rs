//! The options of TCP sockets, and what a builder sets before a socket is bound or connected.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::tcp::{Listener, State, Stream};
use becket_sys::{Ready, wait};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn ready(fd: impl AsFd, want: Ready) -> Ready {
    wait(fd, want, soon()).unwrap().expect("readiness within 20 s")
}

fn accept(listener: &Listener) -> Stream {
    ready(listener, Ready::READ);
    listener.try_accept().unwrap().unwrap().0
}

fn pair() -> (Stream, Stream) {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    let server = accept(&listener);
    (client, server)
}

/// Whether the error is for want of privilege, after saying so.
fn skipped(test: &str, e: &std::io::Error) -> bool {
    let unprivileged = e.raw_os_error() == Some(libc::EPERM);
    if unprivileged {
        println!("SKIP: {test}: {e}");
    }
    unprivileged
}

#[test]
fn switches_of_the_connection_are_read_back() {
    let (a, _b) = pair();
    for on in [true, false] {
        a.set_quickack(on).unwrap();
        assert_eq!(a.quickack().unwrap(), on);
        a.set_cork(on).unwrap();
        assert_eq!(a.cork().unwrap(), on);
        a.set_thin_linear_timeouts(on).unwrap();
        assert_eq!(a.thin_linear_timeouts().unwrap(), on);
    }
    a.set_unsent_low_water(1234).unwrap();
    assert_eq!(a.unsent_low_water().unwrap(), 1234);
    let name = a.congestion().unwrap();
    assert!(!name.is_empty());
    a.set_congestion(&name).unwrap();
    assert_eq!(a.set_congestion("no-such-thing").unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert!(a.max_segment().unwrap() >= 88);
}

#[test]
fn a_cork_holds_back_what_does_not_fill_a_packet() {
    let (a, b) = pair();
    a.set_cork(true).unwrap();
    a.try_write(b"head").unwrap();
    assert_eq!((a.unacknowledged().unwrap(), a.info().unwrap().bytes_unsent), (4, 4));
    a.try_write(b"body").unwrap();
    a.set_cork(false).unwrap();
    ready(&b, Ready::READ);
    assert_eq!(b.try_read(&mut [0; 16]).unwrap(), Some(8), "one packet");
}

#[test]
fn the_low_water_mark_holds_back_readiness_and_no_read() {
    let (a, b) = pair();
    assert_eq!(b.read_low_water().unwrap(), 1);
    b.set_read_low_water(4).unwrap();
    assert_eq!(b.read_low_water().unwrap(), 4);
    a.try_write(b"abc").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while b.try_peek(&mut [0; 8]).unwrap() != Some(3) {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(wait(&b, Ready::READ, Some(Instant::now())).unwrap(), None);
    a.try_write(b"d").unwrap();
    ready(&b, Ready::READ);
    assert_eq!(b.try_read(&mut [0; 8]).unwrap(), Some(4));
    assert_eq!(b.set_read_low_water(u32::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn what_is_set_before_connecting_and_before_listening_holds_afterwards() {
    let listener = Listener::builder().recv_buffer_size(50_000).max_segment(700).bind(LOCALHOST).unwrap();
    assert_eq!(listener.recv_buffer_size().unwrap(), 100_000, "the kernel doubles it");
    let addr = listener.local_addr().unwrap();
    let builder = Stream::builder().send_buffer_size(40_000).recv_buffer_size(60_000).max_segment(800);
    let client = builder.connect(addr).unwrap().finish(soon()).unwrap();
    let server = accept(&listener);
    assert_eq!((client.send_buffer_size().unwrap(), client.recv_buffer_size().unwrap()), (80_000, 120_000));
    assert_eq!(server.recv_buffer_size().unwrap(), 100_000, "accepted ones inherit it");
    assert!(client.max_segment().unwrap() <= 700, "the smaller of both");
    assert!(server.max_segment().unwrap() <= 700);

    let e = Stream::builder().max_segment(1).connect(addr).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("set TCP_MAXSEG", Some(libc::EINVAL)));
    let e = Stream::builder().device("no-such-device").connect(addr).unwrap_err();
    assert_eq!((e.step(), e.subject()), ("set SO_BINDTODEVICE", "no-such-device"));
    assert_eq!(e.raw_os_error(), Some(libc::ENODEV));
}

#[test]
fn a_device_is_named_and_unnamed() {
    let listener = match Listener::builder().device("lo").bind(LOCALHOST) {
        Ok(listener) => listener,
        Err(e) => {
            let e = e.into();
            assert!(skipped("a_device_is_named_and_unnamed", &e), "{e}");
            return;
        }
    };
    assert_eq!(listener.device().unwrap().as_deref(), Some(OsStr::new("lo")));
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    assert_eq!(client.device().unwrap(), None);
    assert_eq!(accept(&listener).device().unwrap().as_deref(), Some(OsStr::new("lo")));
    client.set_device(Some("lo")).unwrap();
    match client.set_device(None::<&str>) {
        Err(e) if skipped("a_device_is_named_and_unnamed: unnamed", &e) => {}
        result => {
            result.unwrap();
            assert_eq!(client.device().unwrap(), None);
        }
    }
    for bad in ["a-name-of-sixteen", "a\0b", "a-name-of-16-let"] {
        assert_eq!(client.set_device(Some(bad)).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{bad}");
    }
}

#[test]
fn marks_priorities_and_services_are_read_back() {
    let (a, _b) = pair();
    a.set_priority(3).unwrap();
    assert_eq!(a.priority().unwrap(), 3);
    a.set_tos(0xb8).unwrap();
    assert_eq!(a.tos().unwrap(), 0xb8);
    a.set_hops(7).unwrap();
    assert_eq!(a.hops().unwrap(), 7);
    assert_eq!(a.set_hops(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(a.v6only().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    let cookie = a.cookie().unwrap();
    assert_eq!(a.cookie().unwrap(), cookie);
    assert_ne!(pair().0.cookie().unwrap(), cookie);
    assert_eq!(a.mark().unwrap(), 0);
    match a.set_mark(0xdead_beef) {
        Err(e) if skipped("marks_priorities_and_services_are_read_back: the mark", &e) => {}
        result => {
            result.unwrap();
            assert_eq!(a.mark().unwrap(), 0xdead_beef);
        }
    }
    match a.set_busy_poll(Duration::from_nanos(1500)) {
        Err(e) if skipped("marks_priorities_and_services_are_read_back: busy polling", &e) => {}
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            println!("SKIP: marks_priorities_and_services_are_read_back: no busy polling in this kernel");
        }
        result => {
            result.unwrap();
            assert_eq!(a.busy_poll().unwrap(), Duration::from_micros(2));
        }
    }
}

#[test]
fn an_ipv6_socket_sets_the_twin_options_of_ipv4() {
    let listener = match Listener::builder().device("lo").v6only(false).bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(listener) => listener,
        Err(e) => return println!("SKIP: an_ipv6_socket_sets_the_twin_options_of_ipv4: no IPv6 here: {e}"),
    };
    assert!(!listener.v6only().unwrap());
    listener.set_tos(0x20).unwrap();
    listener.set_hops(9).unwrap();
    assert_eq!((listener.tos().unwrap(), listener.hops().unwrap()), (0x20, 9));
    assert_eq!(rustix::net::sockopt::ip_tos(&listener).unwrap(), 0x20);
    assert_eq!(rustix::net::sockopt::ip_ttl(&listener).unwrap(), 9);
    let only = Listener::builder().device("lo").v6only(true).bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    assert!(only.v6only().unwrap());
    only.set_tos(0x20).unwrap();
    assert_eq!(rustix::net::sockopt::ip_tos(&only).unwrap(), 0);
}

#[test]
fn freebind_binds_to_an_address_that_is_not_there() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 77], 0));
    let e = Listener::bind(elsewhere).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRNOTAVAIL)));
    let listener = Listener::builder().freebind(true).bind(elsewhere).unwrap();
    assert_eq!(listener.local_addr().unwrap().ip(), elsewhere.ip());
    match Listener::builder().transparent(true).bind(elsewhere) {
        Err(e) => assert_eq!((e.step(), e.raw_os_error()), ("set IP_TRANSPARENT", Some(libc::EPERM))),
        Ok(listener) => assert_eq!(listener.local_addr().unwrap().ip(), elsewhere.ip()),
    }
}

#[test]
fn a_late_port_is_shared_by_connections_to_different_peers() {
    let (one, two) = (Listener::bind(LOCALHOST).unwrap(), Listener::bind(([127, 0, 0, 2], 0)).unwrap());
    let builder = Stream::builder().from(([127, 0, 0, 3], 0)).late_port(true);
    let first = builder.connect(one.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    let port = first.local_addr().unwrap().port();
    assert_ne!(port, 0);
    // The same port by name needs both sides' consent; other peers are no conflict then.
    let reuse = Stream::builder().from(([127, 0, 0, 4], 0)).reuse_address(true);
    let a = reuse.connect(one.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    let same = Stream::builder().from(a.local_addr().unwrap()).reuse_address(true);
    let b = same.connect(two.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    assert_eq!(a.local_addr().unwrap(), b.local_addr().unwrap());
}

#[test]
fn a_deferred_connection_is_handed_out_with_its_first_data() {
    let listener = Listener::builder().defer_accept(Duration::from_secs(30)).bind(LOCALHOST).unwrap();
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    assert_eq!(wait(&listener, Ready::READ, Some(Instant::now() + Duration::from_millis(30))).unwrap(), None);
    assert!(listener.try_accept().unwrap().is_none());
    client.try_write(b"GET").unwrap();
    let server = accept(&listener);
    assert_eq!(server.try_read(&mut [0; 8]).unwrap(), Some(3));
}

#[test]
fn a_connection_of_several_paths_is_one_of_tcp() {
    let listener = match Listener::builder().multipath(true).bind(LOCALHOST) {
        Ok(listener) => listener,
        Err(e) => {
            assert_eq!(e.step(), "socket");
            return println!("SKIP: a_connection_of_several_paths_is_one_of_tcp: {e}");
        }
    };
    let addr = listener.local_addr().unwrap();
    for multipath in [true, false] {
        let client = Stream::builder().multipath(multipath).connect(addr).unwrap().finish(soon()).unwrap();
        let server = accept(&listener);
        client.try_write(b"hello").unwrap();
        ready(&server, Ready::READ);
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), Some(5));
        let protocol = rustix::net::sockopt::socket_protocol(&client).unwrap();
        assert_eq!(protocol == Some(rustix::net::ipproto::MPTCP), multipath);
    }
}

#[test]
fn a_connection_that_was_not_redirected_has_no_other_destination() {
    let (a, _b) = pair();
    let code = a.original_destination().unwrap_err().raw_os_error();
    assert!([Some(libc::ENOENT), Some(libc::ENOPROTOOPT)].contains(&code), "{code:?}");
    a.set_incoming_cpu(0).unwrap();
    assert_eq!(a.incoming_cpu().unwrap(), Some(0));
}

#[test]
fn figures_of_a_connection() {
    let (a, b) = pair();
    for _ in 0..10 {
        a.try_write(&[1; 1000]).unwrap();
    }
    let mut got = 0;
    while got < 10_000 {
        ready(&b, Ready::READ);
        got += b.try_read(&mut [0; 4096]).unwrap().unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while a.unacknowledged().unwrap() > 0 {
        assert!(Instant::now() < deadline);
    }
    let (sent, received) = (a.info().unwrap(), b.info().unwrap());
    assert_eq!((sent.state, received.state), (State::Established, State::Established));
    assert_eq!((sent.bytes_sent, received.bytes_received), (10_000, 10_000));
    assert_eq!((sent.bytes_acknowledged, sent.unacknowledged, sent.bytes_unsent), (10_001, 0, 0), "the SYN counts");
    assert!(sent.path_mtu > 0 && sent.send_segment > 0 && sent.congestion_window > 0);
    assert!(sent.min_round_trip <= sent.round_trip * 2 && sent.retransmit_timeout >= Duration::from_millis(1));
    drop(b);
    ready(&a, Ready::RDHUP);
    assert_eq!(a.info().unwrap().state, State::CloseWait);
    let listener = Listener::bind(LOCALHOST).unwrap();
    assert_eq!(Stream::from(std::os::fd::OwnedFd::from(listener)).info().unwrap().state, State::Listen);
}

#[test]
fn a_file_is_sent_without_being_read() {
    let (a, mut b) = pair();
    let path = std::env::temp_dir().join(format!("becket-sendfile-{}", std::process::id()));
    let content: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all: Vec<u8> = Vec::new();
        let mut buf = [0; 1 << 16];
        loop {
            ready(&b, Ready::READ);
            match b.read(&mut buf) {
                Ok(0) => return all,
                Ok(n) => all.extend(&buf[..n]),
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    });
    let mut offset = 1000;
    loop {
        match a.try_send_file(&file, &mut offset, usize::MAX).unwrap() {
            Some(0) => break,
            Some(_) => {}
            None => _ = ready(&a, Ready::WRITE),
        }
    }
    assert_eq!(offset, 300_000);
    drop(a);
    assert!(reader.join().unwrap() == content[1000..]);
}

/// In a network of its own, where fast open is allowed for both ends.
#[test]
fn fast_open_brings_the_first_bytes_along() {
    const NAME: &str = "fast_open_brings_the_first_bytes_along";
    std::thread::spawn(|| {
        #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
        // SAFETY: no memory is passed, and this thread, which shares nothing that a network namespace owns, ends soon.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIP: {NAME}: no network namespace: {}", std::io::Error::last_os_error());
        }
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        if !up.is_ok_and(|status| status.success()) {
            return println!("SKIP: {NAME}: `ip` does not work");
        }
        if let Err(e) = std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3") {
            return println!("SKIP: {NAME}: tcp_fastopen: {e}");
        }
        let listener = Listener::builder().fast_open(8).bind(LOCALHOST).unwrap();
        let addr = listener.local_addr().unwrap();
        let builder = Stream::builder().fast_open(true);

        // The first time it only gets a cookie.
        let mut first = builder.connect(addr).unwrap().finish(soon()).unwrap();
        assert!(first.peer_addr().is_ok());
        first.write_all(b"x").unwrap();
        drop((first, accept(&listener)));

        let second = builder.connect(addr).unwrap().finish(soon()).unwrap();
        assert_eq!(second.peer_addr().unwrap_err().raw_os_error(), Some(libc::ENOTCONN), "nobody was asked yet");
        assert!(listener.try_accept().unwrap().is_none());
        assert_eq!(second.try_write(b"early").unwrap(), Some(5));
        let server = accept(&listener);
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), Some(5), "it came with the request");
        assert_eq!(second.peer_addr().unwrap(), addr);
    })
    .join()
    .unwrap();
}
