//! Unix sockets: addresses at their limits, files that stay behind, queues that are full.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::unix::{Address, Datagram, Listener, Stream};
use becket_sys::{Ready, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn now() -> Option<Instant> {
    Some(Instant::now())
}

fn ready(fd: impl AsFd, want: Ready) -> Ready {
    wait(fd, want, soon()).unwrap().expect("readiness within 20 s")
}

/// A directory of its own, removed with all that is in it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("becket-unix-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn addr(&self, name: &str) -> Address {
        Address::pathname(self.path(name)).unwrap()
    }

    /// An address whose path has `len` bytes.
    fn addr_of_len(&self, len: usize) -> Address {
        let have = self.0.as_os_str().len() + 1;
        self.addr(&"x".repeat(len - have))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unnamed() -> Address {
    Address::unnamed()
}

fn assert_flags(fd: impl AsFd) {
    let fd = fd.as_fd();
    assert!(fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn every_socket_is_nonblocking_and_close_on_exec() {
    let listener = Listener::bind(&unnamed()).unwrap();
    assert_flags(&listener);
    assert_flags(Stream::connect(&listener.local_addr().unwrap()).unwrap());
    assert_flags(listener.try_accept().unwrap().unwrap().0);
    assert!(listener.try_accept().unwrap().is_none());
    let ((a, b), (c, d)) = (Stream::pair().unwrap(), Datagram::pair().unwrap());
    [a.as_fd(), b.as_fd(), c.as_fd(), d.as_fd()].into_iter().for_each(assert_flags);
    assert_flags(Datagram::unbound().unwrap());
    assert_flags(Datagram::bind(&unnamed()).unwrap());
}

#[test]
fn paths_are_whole_up_to_the_last_byte_of_the_struct() {
    let dir = Dir::new();
    // 108 leave no room for a NUL, for which the kernel then reports a length beyond the struct.
    for len in [100, 106, 107, 108] {
        let addr = dir.addr_of_len(len);
        let listener = Listener::bind(&addr).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr, "{len}");
        let client = Stream::connect(&addr).unwrap();
        assert_eq!(client.peer_addr().unwrap(), addr, "{len}");
        let (server, _) = listener.try_accept().unwrap().unwrap();
        assert_eq!(server.local_addr().unwrap(), addr, "{len}");
    }
    let long = Address::pathname("x".repeat(109)).unwrap_err();
    assert_eq!(long.raw_os_error(), Some(libc::ENAMETOOLONG));
    for wrong in ["", "a\0b"] {
        assert_eq!(Address::pathname(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn the_longest_path_of_a_sender_does_no_harm() {
    let dir = Dir::new();
    let receiver = Datagram::bind(&dir.addr("receiver")).unwrap();
    for len in [107, 108] {
        let from = dir.addr_of_len(len);
        let sender = Datagram::bind(&from).unwrap();
        assert_eq!(sender.try_send_to(b"x", &dir.addr("receiver")).unwrap(), Some(1));
        assert_eq!(receiver.try_peek_from(&mut [0; 4]).unwrap().unwrap().1, from);
        assert_eq!(receiver.try_recv_from(&mut [0; 4]).unwrap().unwrap().1, from);
        assert_eq!(receiver.try_send_to(b"back", &from).unwrap(), Some(4));
        assert_eq!(sender.try_recv(&mut [0; 8]).unwrap().unwrap().len(), 4);
    }
}

#[test]
fn abstract_names_are_told_apart_by_length() {
    let base = format!("becket-{}", std::process::id());
    let names = [base.clone(), format!("{base}\0"), format!("{base}\0\0"), format!("{base:x<107}")];
    let addrs = names.map(|n| Address::abstract_name(n).unwrap());
    let listeners = addrs.each_ref().map(|a| Listener::bind(a).unwrap());
    for (addr, listener) in addrs.iter().zip(&listeners) {
        assert_eq!(listener.local_addr().unwrap(), *addr);
        let client = Stream::connect(addr).unwrap();
        assert_eq!(client.peer_addr().unwrap(), *addr);
        assert!(listener.try_accept().unwrap().is_some());
    }
    assert_eq!(Address::abstract_name([0; 108]).unwrap_err().raw_os_error(), Some(libc::ENAMETOOLONG));
    drop(listeners);
    let e = Stream::connect(&addrs[1]).unwrap_err();
    assert_eq!(e.to_string(), format!("connect @{base}\\x00: Connection refused (os error 111)"));
}

#[test]
fn addresses_of_the_standard_library_convert_both_ways() {
    for addr in [Address::pathname("/run/x").unwrap(), Address::abstract_name(b"\0x").unwrap()] {
        let theirs = net::SocketAddr::try_from(&addr).unwrap();
        assert_eq!(Address::from(&theirs), addr);
    }
    let theirs = net::UnixStream::pair().unwrap().0.local_addr().unwrap();
    assert!(Address::from(&theirs).is_unnamed());
    assert!(net::SocketAddr::try_from(&unnamed()).is_err());
}

#[test]
fn a_full_backlog_is_told_and_room_lets_the_next_in() {
    let dir = Dir::new();
    let addr = dir.addr("full");
    let listener = Listener::builder().backlog(0).bind(&addr).unwrap();
    let _first = Stream::connect(&addr).unwrap();
    let e = Stream::connect(&addr).unwrap_err();
    assert_eq!((e.step(), e.kind(), e.raw_os_error()), ("connect", ErrorKind::WouldBlock, Some(libc::EAGAIN)));
    assert!(e.to_string().contains("backlog is full"), "{e}");
    listener.try_accept().unwrap().unwrap();
    Stream::connect(&addr).unwrap();
}

#[test]
fn connecting_fails_at_once_and_says_why() {
    let dir = Dir::new();
    let code = |name| Stream::connect(&dir.addr(name)).unwrap_err().raw_os_error();
    assert_eq!(code("absent"), Some(libc::ENOENT));
    let datagram = Datagram::bind(&dir.addr("datagram")).unwrap();
    assert_eq!(code("datagram"), Some(libc::EPROTOTYPE));
    drop(datagram);
    assert_eq!(code("datagram"), Some(libc::ECONNREFUSED));
    std::fs::write(dir.path("file"), "").unwrap();
    assert_eq!(code("file"), Some(libc::ECONNREFUSED));
}

#[test]
fn only_a_stale_socket_is_replaced() {
    let dir = Dir::new();
    let (addr, path) = (dir.addr("s"), dir.path("s"));
    let replacing = Listener::builder().replace_stale(true);
    let in_use = |e: becket_sys::SetupError| {
        assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRINUSE)));
        assert_eq!(e.subject(), path.to_str().unwrap());
    };

    let first = replacing.bind(&addr).unwrap(); // nothing there
    in_use(replacing.bind(&addr).unwrap_err());
    let probe = first.try_accept().unwrap().unwrap().0; // is what the owner sees
    assert_eq!(probe.try_read(&mut [0]).unwrap(), Some(0));

    drop(first);
    in_use(Listener::bind(&addr).unwrap_err()); // not without being asked
    let second = replacing.bind(&addr).unwrap();
    Stream::connect(&addr).unwrap();
    drop(second);

    let datagram = Datagram::builder().replace_stale(true).bind(&addr).unwrap(); // of either kind
    in_use(replacing.bind(&addr).unwrap_err());
    drop(datagram);

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    in_use(replacing.bind(&addr).unwrap_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let link = dir.path("link");
    drop(Listener::bind(&dir.addr("t")).unwrap());
    std::os::unix::fs::symlink(dir.path("t"), &link).unwrap();
    let e = replacing.bind(&dir.addr("link")).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EADDRINUSE));
    assert!(link.is_symlink() && dir.path("t").exists());
}

#[test]
fn a_full_backlog_is_not_stale() {
    let dir = Dir::new();
    let addr = dir.addr("busy");
    let listener = Listener::builder().backlog(0).bind(&addr).unwrap();
    let _client = Stream::connect(&addr).unwrap();
    let e = Listener::builder().replace_stale(true).bind(&addr).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EADDRINUSE));
    assert!(listener.try_accept().unwrap().is_some());
}

#[test]
fn the_file_goes_with_its_owner_and_with_nobody_else() {
    let dir = Dir::new();
    let (addr, path) = (dir.addr("s"), dir.path("s"));
    let owning = Listener::builder().unlink_on_drop(true).replace_stale(true);

    let listener = owning.bind(&addr).unwrap();
    drop(listener.try_clone().unwrap());
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());

    // As a plain descriptor it lives on, and so does its file.
    let fd = OwnedFd::from(owning.bind(&addr).unwrap());
    Stream::connect(&addr).unwrap();
    let theirs = net::UnixListener::from(Listener::from(fd));
    assert!(path.exists());
    drop(theirs);
    assert!(path.exists());

    // Not the file of a successor.
    let before = owning.bind(&addr).unwrap();
    std::fs::rename(&path, dir.path("moved")).unwrap();
    let _after = Listener::bind(&addr).unwrap();
    drop(before);
    assert!(path.exists());
}

#[test]
fn credentials_are_those_of_the_peer() {
    let listener = Listener::bind(&unnamed()).unwrap();
    let client = Stream::connect(&listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.try_accept().unwrap().unwrap();
    for end in [client, server] {
        let who = end.peer_credentials().unwrap();
        assert_eq!(who.pid, Some(std::process::id()));
        assert_eq!(who.uid, rustix::process::geteuid().as_raw());
        assert_eq!(who.gid, rustix::process::getegid().as_raw());
    }
    // Without a peer the kernel says "process 0, user -1".
    let lonely = Stream::from(OwnedFd::from(Datagram::unbound().unwrap()));
    assert_eq!(lonely.peer_credentials().unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    let (reader, _writer) = std::io::pipe().unwrap();
    let wrong = Stream::from(OwnedFd::from(reader));
    assert_eq!(wrong.peer_credentials().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
}

#[test]
fn a_stream_ends_after_what_was_written() {
    let (a, b) = Stream::pair().unwrap();
    assert_eq!(b.try_write(b"left unread").unwrap(), Some(11));
    assert_eq!(a.try_write(b"last words").unwrap(), Some(10));
    drop(a);
    let mut buf = [0; 32];
    assert!(ready(&b, Ready::READ).contains(Ready::HUP));
    assert_eq!(b.try_peek(&mut buf).unwrap(), Some(10));
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(10));
    assert_eq!(b.try_read(&mut buf).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(0));
    assert_eq!(b.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));

    let (a, b) = Stream::pair().unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(0));
    assert_eq!(b.try_write(b"x").unwrap(), Some(1));
    assert_eq!(a.try_read(&mut buf).unwrap(), Some(1));
}

#[test]
fn std_sockets_convert_both_ways_and_keep_their_mode() {
    let (a, b) = net::UnixStream::pair().unwrap();
    let (ours, mut theirs) = (Stream::from(a), b);
    assert_eq!(ours.try_read(&mut [0; 4]).unwrap(), None); // never blocks
    theirs.write_all(b"ping").unwrap();
    let mut buf = [0; 4];
    (&ours).read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"ping");

    let (a, b) = Datagram::pair().unwrap();
    let a = net::UnixDatagram::from(a);
    assert_eq!(a.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    b.try_send(b"pong").unwrap();
    assert_eq!(a.recv(&mut buf).unwrap(), 4);
    a.set_nonblocking(false).unwrap();
    assert_eq!(Datagram::from(a).try_recv(&mut buf).unwrap(), None);
}

#[test]
fn datagrams_keep_their_bounds_and_show_what_was_cut() {
    let (a, b) = Datagram::pair().unwrap();
    let mut buf = [0; 4];
    assert_eq!(b.try_recv(&mut buf).unwrap(), None);
    for text in ["", "ab", "0123456789"] {
        assert_eq!(a.try_send(text.as_bytes()).unwrap(), Some(text.len()));
    }
    let all = [(); 3].map(|()| b.try_recv(&mut buf).unwrap().unwrap());
    assert_eq!(all.map(|r| (r.len(), r.datagram_len())), [(0, 0), (2, 2), (4, 10)]);
    assert_eq!(all.map(|r| r.is_truncated()), [false, false, true]);
    assert_eq!(b.try_recv(&mut buf).unwrap(), None);
}

/// Sends to `addr` until its queue is full.
fn fill(sender: &Datagram, addr: &Address) {
    for _ in 0..100_000 {
        if sender.try_send_to(b"x", addr).unwrap().is_none() {
            return;
        }
    }
    panic!("the queue never fills");
}

#[test]
fn a_full_receiver_is_seen_by_a_connected_sender_alone() {
    let receiver = Datagram::bind(&unnamed()).unwrap();
    let addr = receiver.local_addr().unwrap();
    let unconnected = Datagram::unbound().unwrap();
    fill(&unconnected, &addr);
    assert!(ready(&unconnected, Ready::WRITE).contains(Ready::WRITE)); // to wait for this is to spin

    let connected = Datagram::unbound().unwrap();
    connected.connect(&addr).unwrap();
    assert_eq!(connected.peer_addr().unwrap(), addr);
    assert_eq!(connected.try_send(b"y").unwrap(), None);
    assert_eq!(wait(&connected, Ready::WRITE, now()).unwrap(), None);
    while receiver.try_recv(&mut [0; 4]).unwrap().is_some() {}
    ready(&connected, Ready::WRITE);
    assert_eq!(connected.try_send(b"y").unwrap(), Some(1));

    connected.disconnect().unwrap();
    assert_eq!(connected.try_send(b"y").unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
}

#[test]
fn a_connected_datagram_socket_follows_the_socket_and_not_the_name() {
    let dir = Dir::new();
    let addr = dir.addr("d");
    let first = Datagram::builder().unlink_on_drop(true).bind(&addr).unwrap();
    let sender = Datagram::unbound().unwrap();
    sender.connect(&addr).unwrap();
    drop(first);
    let _second = Datagram::bind(&addr).unwrap();
    assert_eq!(sender.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
    sender.connect(&addr).unwrap();
    assert_eq!(sender.try_send(b"x").unwrap(), Some(1));
    let third = Datagram::unbound().unwrap();
    assert_eq!(third.try_send_to(b"x", &dir.addr("absent")).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_pair_of_datagram_sockets_has_no_end_of_stream() {
    let (a, b) = Datagram::pair().unwrap();
    a.try_send(b"unread").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(a.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    assert_eq!(b.try_recv(&mut [0; 8]).unwrap().unwrap().len(), 6);
    assert_eq!(b.try_recv(&mut [0; 8]).unwrap(), None);
    assert_eq!(wait(&b, Ready::READ, now()).unwrap(), None);
    b.shutdown(Shutdown::Read).unwrap();
    assert_eq!(b.try_recv(&mut [0; 8]).unwrap(), None);
    assert!(wait(&b, Ready::READ, now()).unwrap().is_some()); // to wait for this is to spin

    let (a, b) = Datagram::pair().unwrap();
    drop(b);
    assert_eq!(wait(&a, Ready::READ, now()).unwrap(), None);
    assert_eq!(a.try_recv(&mut [0; 8]).unwrap(), None);
    assert_eq!(a.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_peer_that_turns_to_another_is_told_if_it_had_not_read() {
    let (a, b) = Datagram::pair().unwrap();
    let other = Datagram::bind(&unnamed()).unwrap();
    a.try_send(b"lost").unwrap();
    b.connect(&other.local_addr().unwrap()).unwrap();
    assert_eq!(b.try_recv(&mut [0; 8]).unwrap(), None);
    assert_eq!(a.try_recv(&mut [0; 8]).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
    assert!(a.take_error().unwrap().is_none());
    assert_eq!(a.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
}
