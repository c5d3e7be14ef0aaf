//! TCP over the loopback interface.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::tcp::{Connecting, Keepalive, Listener, Progress, Stream};
use becket_sys::{Readiness, Ready, is_exhausted, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const LOCALHOST: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn ready(fd: impl AsFd, want: Ready) -> Ready {
    wait(fd, want, soon()).unwrap().expect("readiness within 20 s")
}

fn accept(listener: &Listener) -> (Stream, SocketAddr) {
    ready(listener, Ready::READ);
    listener.try_accept().unwrap().unwrap()
}

fn connect(addr: SocketAddr) -> Stream {
    Stream::connect(addr).unwrap().finish(soon()).unwrap()
}

fn pair() -> (Stream, Stream) {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let client = connect(listener.local_addr().unwrap());
    let server = accept(&listener).0;
    (client, server)
}

fn flags(fd: impl AsFd) -> (bool, bool) {
    let fd = fd.as_fd();
    (fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK), fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC))
}

/// A listener that answers nobody: its queue, of one, is full. The connections that filled it come along.
fn deaf() -> (Listener, Vec<Stream>, Connecting) {
    let listener = Listener::builder().backlog(0).bind(LOCALHOST).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut filled = Vec::new();
    loop {
        let connecting = Stream::connect(addr).unwrap();
        // Over loopback what is answered is answered before connect(2) returns.
        match connecting.try_finish().unwrap() {
            Progress::Connected(stream) => filled.push(stream),
            Progress::Pending(connecting) => return (listener, filled, connecting),
        }
        assert!(filled.len() < 64, "the queue never fills");
    }
}

#[test]
fn every_socket_is_nonblocking_and_close_on_exec() {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let connecting = Stream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(flags(&listener), (true, true));
    assert_eq!(flags(&connecting), (true, true));
    assert_eq!(flags(accept(&listener).0), (true, true));
    assert_eq!(Connecting::READINESS, Readiness::Writable);
    assert_eq!(Connecting::READINESS.interest(), Some(Ready::WRITE));
}

#[test]
fn addresses_agree() {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let client = connect(listener.local_addr().unwrap());
    let (server, from) = accept(&listener);
    assert_eq!(from, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), from);
    assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
    assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
    assert!(listener.try_accept().unwrap().is_none());
}

#[test]
fn connecting_is_pending_until_the_peer_answers() {
    let (listener, filled, connecting) = deaf();
    assert_eq!(connecting.target(), listener.local_addr().unwrap());
    assert!(!connecting.is_connected().unwrap());
    assert_eq!(wait(&connecting, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    for _ in &filled {
        accept(&listener);
    }
    // The kernel asks again after a second.
    let stream = connecting.finish(soon()).unwrap();
    assert_eq!(accept(&listener).1, stream.local_addr().unwrap());
}

#[test]
fn finish_gives_up_at_the_deadline_and_not_before() {
    let (listener, _filled, connecting) = deaf();
    let deadline = Instant::now() + Duration::from_millis(50);
    let e = connecting.finish(Some(deadline)).unwrap_err();
    assert!(Instant::now() >= deadline);
    assert_eq!((e.step(), e.kind()), ("connect", ErrorKind::TimedOut));
    assert_eq!(e.subject(), listener.local_addr().unwrap().to_string());
}

#[test]
fn a_refused_connection_says_so_once_and_is_never_pending_again() {
    let addr = Listener::bind(LOCALHOST).unwrap().local_addr().unwrap();
    let connecting = match Stream::connect(addr) {
        Ok(connecting) => connecting,
        Err(e) => panic!("{e}"),
    };
    ready(&connecting, Ready::WRITE);
    assert_eq!(connecting.is_connected().unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
    assert_eq!(connecting.is_connected().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(connecting.finish(soon()).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
fn a_socket_connected_with_itself_is_refused() {
    let addr = Listener::bind(LOCALHOST).unwrap().local_addr().unwrap();
    let e = Stream::connect_from(addr, addr).and_then(|c| c.finish(soon())).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn connect_from_names_the_local_address_in_its_error() {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let addr = listener.local_addr().unwrap();
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    let stream = Stream::connect_from(from, addr).unwrap().finish(soon()).unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), from.ip());
    let e = Stream::connect_from(([192, 0, 2, 1], 0), addr).unwrap_err();
    assert_eq!((e.step(), e.subject()), ("bind", "192.0.2.1:0"));
    assert_eq!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL));
}

#[test]
fn reads_tell_nothing_yet_from_the_end() {
    let (a, b) = pair();
    let mut buf = [0; 8];
    assert_eq!(b.try_read(&mut buf).unwrap(), None);
    assert_eq!((&b).read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(a.try_write(b"abc").unwrap(), Some(3));
    a.shutdown(Shutdown::Write).unwrap();
    ready(&b, Ready::READ);
    assert_eq!(b.try_peek(&mut buf).unwrap(), Some(3));
    assert_eq!(b.try_read(&mut buf[..2]).unwrap(), Some(2));
    assert_eq!(b.try_read(&mut buf[2..]).unwrap(), Some(1));
    assert_eq!(&buf[..3], b"abc");
    ready(&b, Ready::RDHUP);
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(0));
    // The other direction is still open.
    assert_eq!(b.try_write(b"z").unwrap(), Some(1));
    ready(&a, Ready::READ);
    assert_eq!(a.try_read(&mut buf).unwrap(), Some(1));
}

#[test]
fn slices_are_gathered_and_scattered_and_more_than_the_kernel_takes_are_cut() {
    let (mut a, mut b) = pair();
    let parts = [b"x"; 1500];
    let slices = parts.map(|p| IoSlice::new(p));
    assert_eq!(a.try_write_vectored(&slices).unwrap(), Some(1024));
    assert_eq!(a.write_vectored(&slices[..6]).unwrap(), 6);
    ready(&b, Ready::READ);
    let mut got = 0;
    while got < 1030 {
        ready(&b, Ready::READ);
        let (mut head, mut tail) = ([0; 10], [0; 2000]);
        let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        got += if got == 0 {
            b.try_read_vectored(&mut bufs).unwrap().unwrap()
        } else {
            b.read_vectored(&mut bufs).unwrap()
        };
    }
    assert_eq!(got, 1030);
    assert_eq!(b.try_read_vectored(&mut [IoSliceMut::new(&mut [0; 4])]).unwrap(), None);
}

#[test]
fn a_full_stream_has_no_room_until_the_peer_reads() {
    let (a, b) = pair();
    let chunk = [7; 1 << 16];
    let mut sent = 0;
    while let Some(n) = a.try_write(&chunk).unwrap() {
        sent += n;
    }
    assert_eq!((&a).write(&chunk).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut buf = vec![0; 1 << 16];
    while sent > 0 {
        ready(&b, Ready::READ);
        sent -= b.try_read(&mut buf).unwrap().unwrap();
    }
    assert!(ready(&a, Ready::WRITE).contains(Ready::WRITE));
}

#[test]
#[allow(unsafe_code, reason = "to have the signal that must not come")]
fn writing_to_a_peer_that_has_gone_is_an_error_and_no_signal() {
    // The runtime ignores SIGPIPE; put the default back, which ends the process.
    // SAFETY: no handler is installed, and no other test of this file depends on the signal's disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (a, b) = pair();
    b.set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    assert!(ready(&a, Ready::READ).contains(Ready::HUP));
    assert_eq!(a.try_read(&mut [0; 8]).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
    assert_eq!(a.try_read(&mut [0; 8]).unwrap(), Some(0));
    assert_eq!(a.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    let slices = [IoSlice::new(b"x")];
    assert_eq!(a.try_write_vectored(&slices).unwrap_err().raw_os_error(), Some(libc::EPIPE));
    assert_eq!((&a).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!((&a).write_vectored(&slices).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn take_error_takes_it() {
    let (a, b) = pair();
    b.set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    ready(&a, Ready::READ);
    assert_eq!(a.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ECONNRESET));
    assert!(a.take_error().unwrap().is_none());
    assert_eq!(a.shutdown(Shutdown::Both).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(a.peer_addr().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
fn options_are_read_back() {
    let (a, _b) = pair();
    assert!(!a.nodelay().unwrap());
    a.set_nodelay(true).unwrap();
    assert!(a.nodelay().unwrap());

    assert_eq!(a.linger().unwrap(), None);
    a.set_linger(Some(Duration::from_millis(1500))).unwrap();
    assert_eq!(a.linger().unwrap(), Some(Duration::from_secs(2)));
    a.set_linger(None).unwrap();

    assert_eq!(a.user_timeout().unwrap(), None);
    a.set_user_timeout(Some(Duration::from_micros(2500))).unwrap();
    assert_eq!(a.user_timeout().unwrap(), Some(Duration::from_millis(3)));
    a.set_user_timeout(Some(Duration::ZERO)).unwrap();
    assert_eq!(a.user_timeout().unwrap(), Some(Duration::from_millis(1)));
    for long in [Duration::from_millis(1 << 31), Duration::from_secs(1 << 40), Duration::MAX] {
        assert_eq!(a.set_user_timeout(Some(long)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(a.set_linger(Some(long.saturating_mul(1000))).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    a.set_user_timeout(None).unwrap();
    assert_eq!(a.user_timeout().unwrap(), None);
}

#[test]
fn keepalive_is_off_after_a_refused_setting() {
    let (a, _b) = pair();
    let good = Keepalive { idle: Duration::from_millis(9100), interval: Duration::from_secs(2), probes: 127 };
    for bad in [
        Keepalive { idle: Duration::ZERO, ..good },
        Keepalive { interval: Duration::from_secs(32768), ..good },
        Keepalive { probes: 128, ..good },
        Keepalive { probes: 0, ..good },
    ] {
        assert_eq!(a.set_keepalive(Some(bad)).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{bad:?}");
        assert_eq!(a.keepalive().unwrap(), None);
    }
    a.set_keepalive(Some(good)).unwrap();
    assert_eq!(a.keepalive().unwrap(), Some(Keepalive { idle: Duration::from_secs(10), ..good }));
    a.set_keepalive(None).unwrap();
    assert_eq!(a.keepalive().unwrap(), None);
}

#[test]
fn a_connection_reset_in_the_queue_does_not_fail_the_listener() {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let addr = listener.local_addr().unwrap();
    let gone = connect(addr);
    gone.set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    let stays = connect(addr);
    let from = loop {
        // Linux hands out the dead one too, which then fails by itself.
        let (stream, from) = accept(&listener);
        if stream.peer_addr().is_ok() {
            break from;
        }
    };
    assert_eq!(from, stays.local_addr().unwrap());
}

#[test]
fn a_port_can_be_taken_again_while_its_connections_linger() {
    let listener = Listener::bind(LOCALHOST).unwrap();
    let addr = listener.local_addr().unwrap();
    let client = connect(addr);
    let (server, _) = accept(&listener);
    drop(server); // closes first, so TIME_WAIT is at this end
    ready(&client, Ready::READ);
    drop((client, listener));
    let e = Listener::builder().reuse_address(false).bind(addr).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRINUSE)));
    assert_eq!(e.to_string(), format!("bind {addr}: Address already in use (os error 98)"));
    Listener::bind(addr).unwrap();
}

#[test]
fn v6only_decides_whether_ipv4_is_served() {
    let any = (Ipv6Addr::UNSPECIFIED, 0);
    let both = match Listener::builder().device("lo").v6only(false).bind(any) {
        Ok(listener) => listener,
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            return println!("SKIP: no IPv6 here: {e}");
        }
        Err(e) => panic!("{e}"),
    };
    let client = connect((Ipv4Addr::LOCALHOST, both.local_addr().unwrap().port()).into());
    let (_, from) = accept(&both);
    assert_eq!(from.ip(), Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    assert_eq!(from.port(), client.local_addr().unwrap().port());

    let only = Listener::builder().device("lo").v6only(true).bind(any).unwrap();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, only.local_addr().unwrap().port()));
    let e = Stream::connect(addr).and_then(|c| c.finish(soon())).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_wrong_descriptor_merely_errs() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let stream = Stream::from(OwnedFd::from(reader));
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    assert_eq!(stream.local_addr().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let listener = Listener::from(OwnedFd::from(unix));
    assert_eq!(listener.local_addr().unwrap_err().raw_os_error(), Some(libc::EAFNOSUPPORT));
    let e = listener.try_accept().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    assert!(!is_exhausted(&e));
}

#[test]
fn std_streams_convert_both_ways_and_keep_their_mode() {
    let listener = Listener::from(TcpListener::bind(LOCALHOST).unwrap());
    assert!(!flags(&listener).0, "std's listener is blocking");
    let client = Stream::from(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (server, _) = accept(&listener);
    assert!(!flags(&client).0);
    // It does not block all the same.
    assert_eq!(client.try_read(&mut [0; 4]).unwrap(), None);
    let mut server = TcpStream::from(server);
    assert_eq!(server.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.write_all(b"ping").unwrap();
    let mut buf = [0; 4];
    (&client).read_exact(&mut buf).unwrap(); // this waits
    assert_eq!(&buf, b"ping");
    let listener = TcpListener::from(listener);
    assert!(listener.local_addr().unwrap().ip().is_loopback());
}

#[test]
fn a_clone_is_the_same_connection() {
    let (a, b) = pair();
    let twin = a.try_clone().unwrap();
    drop(a);
    assert_eq!(twin.try_write(b"1").unwrap(), Some(1));
    ready(&b, Ready::READ);
    assert_eq!(b.try_read(&mut [0; 2]).unwrap(), Some(1));
}
