//! Control messages of every kind, over real sockets.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::{self, Batch, Incoming, Message, Outgoing, Packet, Received, RecvFlags};
use becket_sys::unix::{Credentials, Datagram, Stream};
use becket_sys::{Ready, udp, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::sockopt;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

fn ready(fd: impl AsFd, want: Ready) {
    wait(fd, want, Some(Instant::now() + Duration::from_secs(20))).unwrap().expect("readiness within 20 s");
}

/// Sets an option that nothing else here sets.
#[allow(unsafe_code, reason = "options that are not this crate's")]
fn set(fd: impl AsFd, level: i32, name: i32, value: i32) -> std::io::Result<()> {
    let value = &raw const value;
    // SAFETY: the integer lives until the call returns.
    match unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, value.cast(), 4) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The flags of a descriptor of this process, as the kernel has them.
fn flags(fd: impl AsFd) -> i32 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap()
}

fn receive(fd: impl AsFd, control: &mut Incoming) -> Received {
    ready(&fd, Ready::READ);
    cmsg::try_recv(&fd, &mut [IoSliceMut::new(&mut [0; 2048])], control, RecvFlags::TRUNC).unwrap().unwrap()
}

fn v4() -> udp::Socket {
    udp::Socket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn v6() -> Option<udp::Socket> {
    let socket = udp::Socket::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(e) = &socket {
        println!("SKIP: cmsg over IPv6: {e}");
    }
    socket.ok()
}

#[test]
fn received_descriptors_are_close_on_exec_and_otherwise_as_they_were() {
    let (a, b) = Stream::pair().unwrap();
    let pidfds = b.set_pass_pidfd(true).is_ok(); // from Linux 6.5 on
    let (reader, writer) = std::io::pipe().unwrap();
    let nonblocking = becket_sys::event::Event::new().unwrap();
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[reader.as_fd(), writer.as_fd()]).unwrap().push_fds(&[nonblocking.as_fd()]).unwrap();
    assert_eq!(out.fd_count(), 3);
    a.try_send_with(b"x", &out).unwrap();
    let mut control = Incoming::new();
    b.try_recv_with(&mut [0; 4], &mut control).unwrap().unwrap();
    let pidfd = control.take_pidfd().unwrap();
    assert_eq!(pidfd.is_some(), pidfds);
    let fds = control.take_exactly::<3>().unwrap(); // of two messages
    for fd in fds.iter().map(AsFd::as_fd).chain(pidfd.as_ref().map(AsFd::as_fd)) {
        assert_ne!(flags(fd) & libc::O_CLOEXEC, 0);
    }
    assert_eq!(flags(&reader) & libc::O_CLOEXEC, 0);
    let modes = fds.each_ref().map(|fd| fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
    assert_eq!(modes, [false, false, true]);
    if let Some(process) = pidfd {
        assert_eq!(process.peek().unwrap_err().raw_os_error(), Some(libc::ECHILD)); // it is this process
    }
}

#[test]
fn descriptors_are_taken_in_the_order_of_the_sender() {
    let (a, b) = Stream::pair().unwrap();
    let files: Vec<_> = (0..3).map(|_| becket_sys::memfd::Memfd::new("x").unwrap()).collect();
    let number = |fd: &dyn AsRawFd| std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().ino();
    let mut out = Outgoing::new();
    out.push_fds(&[files[0].as_fd()]).unwrap().push_fds(&[files[1].as_fd(), files[2].as_fd()]).unwrap();
    let mut control = Incoming::new();
    for _ in 0..2 {
        assert_eq!(a.try_send_with(b"x", &out).unwrap(), Some(1));
        receive(&b, &mut control);
        let taken = control.take_exactly::<3>().unwrap();
        assert_eq!(
            taken.each_ref().map(|fd| number(fd)).as_slice(),
            files.iter().map(|f| number(f)).collect::<Vec<_>>()
        );
        assert!(control.fds().is_empty());
    }
}

#[test]
fn descriptors_are_not_lent_by_number() {
    let mut out = Outgoing::new();
    for level in [(libc::SOL_SOCKET, libc::SCM_RIGHTS), (276, 5)] {
        let e = out.push(level.0, level.1, &[0; 4]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    }
    assert!(out.is_empty());
    assert!(out.push_fds(&[]).unwrap().is_empty());
    let (reader, _writer) = std::io::pipe().unwrap();
    let e = out.push_fds(&[reader.as_fd(); 254]).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));

    // 253 go, and fit into the room that there is by default, with all else that a unix socket brings.
    out.push_fds(&[reader.as_fd(); 253]).unwrap();
    assert!(out.push_fds(&[reader.as_fd()]).is_err());
    let (a, b) = Datagram::pair().unwrap();
    let pidfds = b.set_pass_pidfd(true).is_ok(); // from Linux 6.5 on
    b.set_pass_credentials(true).unwrap();
    b.set_pass_security(true).unwrap();
    a.try_send_with(b"", &out).unwrap().unwrap();
    let mut control = Incoming::new();
    b.try_recv_with(&mut [], &mut control).unwrap().unwrap();
    assert_eq!(control.take_exactly::<253>().unwrap().len(), 253);
    assert!(control.credentials().is_some() && control.pidfd().is_some() == pidfds && !control.is_truncated());
}

#[test]
fn what_goes_and_what_came_can_be_printed() {
    let (a, b) = Datagram::pair().unwrap();
    let mut out = Outgoing::new();
    out.push_fds(&[b.as_fd()]).unwrap();
    let text = format!("{out:?}");
    assert!(text.starts_with("[Rights(") && text.len() < 100, "{text}");
    a.try_send_with(b"x", &out).unwrap();
    let mut control = Incoming::new();
    b.try_recv_with(&mut [0; 4], &mut control).unwrap();
    let text = format!("{control:?}");
    assert!(text.contains("Rights(") && text.contains("truncated: false") && text.len() < 300, "{text}");
}

#[test]
fn an_unknown_message_is_kept_or_refused_by_the_kernel() {
    let (a, _b) = Datagram::pair().unwrap();
    let mut out = Outgoing::new();
    out.push(libc::SOL_SOCKET, 0x7777, b"abc").unwrap();
    assert_eq!(a.try_send_with(b"x", &out).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let Message::Unknown(record) = out.records().next().unwrap().decode() else { panic!() };
    assert_eq!((record.level, record.kind, record.data), (libc::SOL_SOCKET, 0x7777, &b"abc"[..]));
    out.clear();
    assert_eq!(out.records().count(), 0);
    out.push(0x7777, 1, b"abc").unwrap(); // of another protocol: ignored
    assert_eq!(a.try_send_with(b"x", &out).unwrap(), Some(1));
}

#[test]
fn credentials_can_be_chosen_within_the_law() {
    let (a, b) = Datagram::pair().unwrap();
    b.set_pass_credentials(true).unwrap();
    let (pid, root) = (std::process::id(), rustix::process::geteuid().is_root());
    let send = |credentials| {
        let mut out = Outgoing::new();
        out.push_credentials(credentials);
        a.try_send_with(b"x", &out)?;
        let mut control = Incoming::new();
        b.try_recv_with(&mut [0; 4], &mut control)?.unwrap();
        Ok::<_, std::io::Error>(control.credentials().unwrap())
    };
    let me = a.peer_credentials().unwrap();
    assert_eq!(send(me).unwrap(), me);
    assert_eq!(send(Credentials::new(0, me.uid, me.gid)).unwrap(), me);
    if root {
        let other = Credentials::new(pid, 1234, 5678);
        assert_eq!(send(other).unwrap(), other);
        assert_eq!(send(Credentials::new(0x3fff_fff0, 0, 0)).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    } else {
        assert_eq!(send(Credentials::new(1, me.uid, me.gid)).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}

#[test]
fn where_a_datagram_was_sent_to_is_where_the_answer_comes_from() {
    let server = udp::Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    set(&server, libc::IPPROTO_IP, libc::IP_PKTINFO, 1).unwrap();
    let port = server.local_addr().unwrap().port();
    answer(&server, v4(), (Ipv4Addr::new(127, 3, 2, 1), port).into());
    let Some(client) = v6() else { return };
    let server = udp::Socket::builder().device("lo").v6only(false).bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    set(&server, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1).unwrap();
    let port = server.local_addr().unwrap().port();
    answer(&server, client, (Ipv6Addr::LOCALHOST, port).into());
    // IPv4 over a socket of IPv6.
    let mapped: IpAddr = Ipv4Addr::new(127, 3, 2, 1).to_ipv6_mapped().into();
    let client = udp::Socket::builder().device("lo").v6only(false).bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    answer(&server, client, (mapped, port).into());
}

fn answer(server: &udp::Socket, client: udp::Socket, to: SocketAddr) {
    client.try_send_to(b"?", to).unwrap();
    let mut control = Incoming::new();
    receive(server, &mut control);
    let Some(Message::PacketInfo(info)) = control.messages().next() else { panic!("{control:?}") };
    assert_eq!((info.destination, info.reply_from), (to.ip(), Some(to.ip())));
    assert_ne!(info.interface, 0);
    let mut out = Outgoing::new();
    out.push_source(info.reply_from.unwrap(), info.interface);
    cmsg::try_send_to(server, &[IoSlice::new(b"!")], &out, control.sender().unwrap()).unwrap();
    receive(&client, &mut control);
    assert_eq!(control.sender(), Some(to));
}

#[test]
fn class_and_hops_go_with_a_single_packet_of_either_version() {
    for socket in [Some(v4()), v6()].into_iter().flatten() {
        let addr = socket.local_addr().unwrap();
        if addr.is_ipv4() {
            sockopt::set_ip_recvtos(&socket, true).unwrap();
            set(&socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1).unwrap();
        } else {
            sockopt::set_ipv6_recvtclass(&socket, true).unwrap();
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1).unwrap();
        }
        let (mut out, mut control) = (Outgoing::new(), Incoming::new());
        for (class, hops) in [(0xb8, 3), (0x01, 255), (0, 1)] {
            out.clear();
            out.push_traffic_class(class).push_hop_limit(hops);
            cmsg::try_send_to(&socket, &[IoSlice::new(b"x")], &out, addr).unwrap();
            receive(&socket, &mut control);
            let messages: Vec<_> = control.messages().collect();
            assert_eq!(messages.len(), 2, "{messages:?}");
            assert!(messages.contains(&Message::TrafficClass(class)), "{messages:?}");
            assert!(messages.contains(&Message::HopLimit(hops)), "{messages:?}");
        }
    }
}

#[test]
fn one_send_makes_many_datagrams_and_one_receive_takes_them() {
    for socket in [Some(v4()), v6()].into_iter().flatten() {
        let addr = socket.local_addr().unwrap();
        let (mut out, mut control) = (Outgoing::new(), Incoming::new());
        out.push_segment_size(100);
        let sent = cmsg::try_send_to(&socket, &[IoSlice::new(&[7; 950])], &out, addr).unwrap();
        assert_eq!(sent, Some(950));
        let sizes: Vec<_> = (0..10).map(|_| receive(&socket, &mut control).len()).collect();
        assert_eq!(sizes, [100, 100, 100, 100, 100, 100, 100, 100, 100, 50]);

        set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1).unwrap();
        cmsg::try_send_to(&socket, &[IoSlice::new(&[7; 950])], &out, addr).unwrap();
        assert_eq!(receive(&socket, &mut control).len(), 950);
        assert!(control.messages().eq([Message::SegmentSize(100)]));
        cmsg::try_send_to(&socket, &[IoSlice::new(&[7; 100])], &Outgoing::new(), addr).unwrap();
        assert_eq!(receive(&socket, &mut control).len(), 100);
        assert_eq!(control.messages().count(), 0); // one alone says nothing
    }
}

#[test]
fn times_of_receipt_lie_between_before_and_after() {
    let far = Duration::from_secs(60); // the clock may be set meanwhile
    for (option, value) in
        [(libc::SO_TIMESTAMP, 1), (libc::SO_TIMESTAMPNS, 1), (63, 1), (64, 1), (37, 0x18), (65, 0x18)]
    {
        let socket = v4();
        set(&socket, libc::SOL_SOCKET, option, value).unwrap();
        let before = SystemTime::now() - far;
        let mut control = Incoming::new();
        // The kernel begins a while after it was told to.
        let deadline = Instant::now() + Duration::from_secs(20);
        while control.as_bytes().is_empty() && Instant::now() < deadline {
            socket.try_send_to(b"x", socket.local_addr().unwrap()).unwrap();
            receive(&socket, &mut control);
        }
        let time = match control.messages().next() {
            Some(Message::Timestamp(time)) => time,
            Some(Message::Timestamps { software: Some(time), hardware: None }) => time,
            other => panic!("{option}: {other:?}"),
        };
        assert!(time > before && time < SystemTime::now() + far, "{option}: {time:?}");
        assert_eq!(control.messages().count(), 1);
    }
}

#[test]
fn the_time_of_sending_comes_from_the_error_queue() {
    let socket = v4();
    // TX_SOFTWARE is asked for by the packet; SOFTWARE, OPT_CMSG, OPT_ID, OPT_TSONLY by the socket.
    set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, 0x10 | 0x80 | 0x400 | 0x800).unwrap();
    let mut out = Outgoing::new();
    out.push_timestamping(2);
    cmsg::try_send_to(&socket, &[IoSlice::new(b"x")], &out, socket.local_addr().unwrap()).unwrap();
    ready(&socket, Ready::ERR);
    let mut control = Incoming::new();
    let received = cmsg::try_recv(&socket, &mut [], &mut control, RecvFlags::ERRQUEUE).unwrap().unwrap();
    assert_ne!(received.flags() & libc::MSG_ERRQUEUE, 0);
    let messages: Vec<_> = control.messages().collect();
    assert!(messages.iter().any(|m| matches!(m, Message::Timestamps { software: Some(_), .. })), "{messages:?}");
    let error = messages.iter().find_map(|m| if let Message::Error(e) = m { Some(e) } else { None }).unwrap();
    assert_eq!((error.errno, error.origin, error.info, error.data), (libc::ENOMSG, 4, 0, 0));
    assert_eq!(error.offender, None);
    assert!(cmsg::try_recv(&socket, &mut [], &mut control, RecvFlags::ERRQUEUE).unwrap().is_none());
}

#[test]
fn an_unconnected_socket_learns_which_packet_met_nobody() {
    for socket in [Some(v4()), v6()].into_iter().flatten() {
        let other = if socket.local_addr().unwrap().is_ipv4() { v4() } else { v6().unwrap() };
        let nobody = other.local_addr().unwrap();
        drop(other);
        if nobody.is_ipv4() {
            set(&socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1).unwrap();
        } else {
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1).unwrap();
        }
        socket.try_send_to(b"is there anybody?", nobody).unwrap();
        ready(&socket, Ready::ERR);
        let (mut buf, mut control) = ([0; 64], Incoming::new());
        let flags = RecvFlags::ERRQUEUE;
        let received = cmsg::try_recv(&socket, &mut [IoSliceMut::new(&mut buf)], &mut control, flags).unwrap().unwrap();
        assert_eq!(&buf[..received.len()], b"is there anybody?");
        assert_eq!(control.sender(), Some(nobody));
        let Some(Message::Error(e)) = control.messages().next() else { panic!("{control:?}") };
        assert_eq!(e.to_io_error().kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(e.is_icmp() && !e.is_local());
        assert_eq!(e.offender.map(|addr| addr.ip()), Some(nobody.ip()));
        assert_eq!(cmsg::try_recv(&socket, &mut [], &mut control, flags).unwrap(), None);
    }
}

#[test]
fn what_a_full_queue_dropped_is_counted() {
    let socket = v4();
    sockopt::set_socket_recv_buffer_size(&socket, 0).unwrap(); // the least there is
    set(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).unwrap();
    let addr = socket.local_addr().unwrap();
    for _ in 0..50 {
        socket.try_send_to(&[0; 500], addr).unwrap();
    }
    let mut control = Incoming::new();
    let mut arrived = 0;
    while cmsg::try_recv(&socket, &mut [], &mut control, RecvFlags::empty()).unwrap().is_some() {
        arrived += 1;
    }
    socket.try_send_to(b"x", addr).unwrap();
    receive(&socket, &mut control);
    assert!(control.messages().eq([Message::Dropped(50 - arrived)]), "{arrived} {control:?}");
}

#[test]
fn a_mark_goes_with_a_packet() {
    let socket = v4();
    if let Err(e) = set(&socket, libc::SOL_SOCKET, 75, 1) {
        return println!("SKIP: a_mark_goes_with_a_packet: SO_RCVMARK: {e}");
    }
    let mut out = Outgoing::new();
    out.push_mark(0x1234);
    match cmsg::try_send_to(&socket, &[IoSlice::new(b"x")], &out, socket.local_addr().unwrap()) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return println!("SKIP: a_mark_goes_with_a_packet: {e}");
        }
        sent => assert_eq!(sent.unwrap(), Some(1)),
    }
    let mut control = Incoming::new();
    receive(&socket, &mut control);
    assert!(control.messages().eq([Message::Mark(0x1234)]), "{control:?}");
}

#[test]
fn a_batch_tells_senders_and_lengths_anew_each_time() {
    let (a, b) = (v4(), v4());
    let to = b.local_addr().unwrap();
    let data = [&b"123456"[..], b"", b"12"];
    let packets = data.map(|data| Packet::new(data).to(to));
    let mut batch = Batch::new(2, 4, 64);
    assert_eq!(batch.capacity(), 2);
    sockopt::set_ip_recvtos(&b, true).unwrap();
    for _ in 0..3 {
        assert_eq!(cmsg::try_send_batch(&a, &packets).unwrap(), Some(3));
        ready(&b, Ready::READ);
        assert_eq!(cmsg::try_recv_batch(&b, &mut batch, RecvFlags::empty()).unwrap(), Some(2));
        let [first, second] = batch.messages() else { panic!() };
        assert_eq!((first.data(), second.data()), (&b"1234"[..], &b""[..]));
        assert!(first.received().is_truncated() && !second.received().is_truncated());
        assert_eq!([first, second].map(|slot| slot.control().sender()), [a.local_addr().ok(); 2]);
        assert!(first.control().messages().eq([Message::TrafficClass(0)]));
        assert_eq!(cmsg::try_recv_batch(&b, &mut batch, RecvFlags::empty()).unwrap(), Some(1));
        assert_eq!(batch.messages()[0].data(), b"12");
    }
    assert_eq!(cmsg::try_recv_batch(&b, &mut batch, RecvFlags::empty()).unwrap(), None);
    assert_eq!(cmsg::try_recv_batch(&b, &mut Batch::new(0, 0, 0), RecvFlags::empty()).unwrap(), Some(0));
    // The error of a message that is not the first comes next time.
    let far = Packet::new(b"x").to(([0, 0, 0, 0, 0, 0, 0, 1], 1)); // not of this family
    assert_eq!(cmsg::try_send_batch(&a, &[packets[0], far]).unwrap(), Some(1));
    assert_eq!(cmsg::try_send_batch(&a, &[far]).unwrap_err().raw_os_error(), Some(libc::EAFNOSUPPORT));
    assert_eq!(cmsg::try_send_batch(&a, &[]).unwrap(), Some(0));
}

#[test]
fn what_is_no_socket_is_refused() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let e = cmsg::try_recv(&reader, &mut [], &mut Incoming::new(), RecvFlags::empty()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOTSOCK));
    let e = cmsg::try_send(&reader, &[], &Outgoing::new()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOTSOCK));
}

#[test]
fn a_stream_of_another_crate_tells_too() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    set(&server, libc::IPPROTO_TCP, 36, 1).unwrap(); // TCP_INQ
    std::io::Write::write_all(&mut client, b"12345").unwrap();
    ready(&server, Ready::READ);
    let (mut one, mut two, mut control) = ([0; 1], [0; 2], Incoming::new());
    let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    let received = cmsg::try_recv(&server, bufs, &mut control, RecvFlags::empty()).unwrap().unwrap();
    assert_eq!((received.len(), received.is_truncated()), (3, false));
    assert!(control.messages().eq([Message::Unread(2)]), "{control:?}");
    assert_eq!((one, two), (*b"1", *b"23"));
    // Lengths stay within the buffer, whatever the kernel says: here it throws the bytes away.
    let flags = RecvFlags::TRUNC;
    let received = cmsg::try_recv(&server, &mut [IoSliceMut::new(&mut one)], &mut control, flags).unwrap().unwrap();
    assert!(received.len() <= 1);
    assert!(cmsg::try_recv(&server, &mut [], &mut control, RecvFlags::PEEK).unwrap().is_some_and(|r| r.is_empty()));
}

#[test]
fn a_socket_never_blocks_whatever_its_mode() {
    let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(!fcntl_getfl(&a).unwrap().contains(OFlags::NONBLOCK));
    let mut control = Incoming::new();
    let mut buf = [0; 4];
    let bufs = &mut [IoSliceMut::new(&mut buf)];
    assert_eq!(cmsg::try_recv(&a, bufs, &mut control, RecvFlags::empty()).unwrap(), None);
    let big = vec![0; 8 << 20];
    let mut sent = 0;
    while let Some(n) = cmsg::try_send(&b, &[IoSlice::new(&big), IoSlice::new(b"x")], &Outgoing::new()).unwrap() {
        sent += n;
    }
    assert!(sent > 0);
}
