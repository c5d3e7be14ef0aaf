//! Records: their bounds, their end, and who connects.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::cmsg::Incoming;
use becket_sys::unix::{Address, Listener, Record, Seqpacket, SeqpacketListener, Stream};
use becket_sys::{Ready, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

#[test]
fn records_keep_their_bounds_and_show_what_was_cut() {
    let (a, b) = Seqpacket::pair().unwrap();
    let mut buf = [0; 4];
    assert_eq!(b.try_recv(&mut buf).unwrap(), None);
    for text in ["", "ab", "0123456789"] {
        assert_eq!(a.try_send(text.as_bytes()).unwrap(), Some(text.len()));
    }
    assert_eq!(b.try_peek(&mut buf).unwrap().unwrap().datagram_len(), 0);
    let all = [(); 3].map(|()| b.try_recv(&mut buf).unwrap().unwrap());
    assert_eq!(all.map(|r| (r.len(), r.datagram_len())), [(0, 0), (2, 2), (4, 10)]);
    assert_eq!(all.map(|r| r.is_truncated()), [false, false, true]);
    assert_eq!(b.try_recv(&mut buf).unwrap(), None);
    assert_eq!(a.try_send(&vec![0; 64 << 20]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
}

#[test]
fn listeners_and_clients_meet_as_those_of_streams_do() {
    let dir = std::env::temp_dir().join(format!("becket-seqpacket-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("x".repeat(108 - dir.as_os_str().len() - 1));
    let addr = Address::pathname(&path).unwrap();
    let listener = SeqpacketListener::builder().unlink_on_drop(true).backlog(0).bind_seqpacket(&addr).unwrap();
    assert_eq!(listener.local_addr().unwrap(), addr);
    assert!(listener.try_accept().unwrap().is_none());
    let client = Seqpacket::connect(&addr).unwrap();
    assert_eq!(client.peer_addr().unwrap(), addr);
    let e = Seqpacket::connect(&addr).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("connect", Some(libc::EAGAIN)));
    assert!(e.to_string().contains("backlog is full"), "{e}");
    assert_eq!(Stream::connect(&addr).unwrap_err().raw_os_error(), Some(libc::EPROTOTYPE));
    assert!(wait(&listener, Ready::READ, soon()).unwrap().is_some());
    let (server, from) = listener.try_accept().unwrap().unwrap();
    assert!(from.is_unnamed() && client.local_addr().unwrap().is_unnamed());
    for fd in [listener.as_fd(), client.as_fd(), server.as_fd()] {
        assert!(fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
        assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
    }
    assert_eq!(server.peer_credentials().unwrap().pid, Some(std::process::id()));

    // Stale, and replaced.
    let stale = OwnedFd::from(listener);
    drop(stale);
    assert!(path.exists());
    assert_eq!(SeqpacketListener::bind(&addr).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
    let again = Listener::builder().replace_stale(true).unlink_on_drop(true).bind_seqpacket(&addr).unwrap();
    drop(again);
    assert!(!path.exists());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn clients_can_have_a_name() {
    let streams = Listener::bind(&Address::unnamed()).unwrap();
    let records = SeqpacketListener::bind(&Address::unnamed()).unwrap();
    let client = Stream::connect_from(&Address::unnamed(), &streams.local_addr().unwrap()).unwrap();
    let (server, from) = streams.try_accept().unwrap().unwrap();
    assert!(from.as_abstract_name().is_some());
    assert_eq!((from, server.peer_addr().unwrap()), (client.local_addr().unwrap(), client.local_addr().unwrap()));
    let client = Seqpacket::connect_from(&Address::unnamed(), &records.local_addr().unwrap()).unwrap();
    assert_eq!(records.try_accept().unwrap().unwrap().1, client.local_addr().unwrap());
    let taken = streams.local_addr().unwrap();
    let e = Stream::connect_from(&taken, &taken).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("bind", Some(libc::EADDRINUSE)));
    assert_eq!(e.subject(), taken.to_string());
}

#[test]
fn the_end_is_told_from_an_empty_record_by_credentials() {
    let (a, b) = Seqpacket::pair().unwrap();
    let mut control = Incoming::new();
    let mut next = |b: &Seqpacket| b.try_recv_record(&mut [0; 4], &mut control).unwrap();
    // Nobody asked: the two look alike.
    a.try_send(b"").unwrap();
    assert_eq!(next(&b), Some(Record::End));
    assert_eq!(next(&b), None);

    b.set_pass_credentials(true).unwrap();
    a.try_send(b"").unwrap();
    a.try_send(b"123456").unwrap();
    a.try_send(b"").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert!(wait(&b, Ready::READ | Ready::RDHUP, soon()).unwrap().unwrap().contains(Ready::RDHUP));
    let lengths = [(); 3].map(|()| match next(&b) {
        Some(Record::Record(received)) => received.datagram_len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lengths, [0, 6, 0]);
    assert_eq!((next(&b), next(&b)), (Some(Record::End), Some(Record::End)));
    assert_eq!(a.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    assert_eq!(b.try_send(b"x").unwrap(), Some(1)); // the other direction goes on

    // Even where there is no room for credentials.
    let (a, b) = Seqpacket::pair().unwrap();
    b.set_pass_credentials(true).unwrap();
    a.try_send(b"").unwrap();
    drop(a);
    let mut none = Incoming::with_capacity(0);
    let record = b.try_recv_record(&mut [], &mut none).unwrap();
    assert!(matches!(record, Some(Record::Record(received)) if received.is_control_truncated()));
    assert_eq!(b.try_recv_record(&mut [], &mut none).unwrap(), Some(Record::End));
}

#[test]
fn what_was_left_unread_is_told_once() {
    let (a, b) = Seqpacket::pair().unwrap();
    b.try_send(b"left unread").unwrap();
    a.try_send(b"last words").unwrap();
    drop(a);
    let mut buf = [0; 16];
    assert_eq!(b.try_recv(&mut buf).unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
    assert_eq!(b.try_recv(&mut buf).unwrap().unwrap().len(), 10);
    assert!(b.try_recv(&mut buf).unwrap().unwrap().is_empty());
    assert_eq!(b.try_send(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
}

#[test]
fn a_full_queue_would_block_and_room_is_told() {
    let (a, b) = Seqpacket::pair().unwrap();
    let mut sent = 0;
    while a.try_send(&[0; 1000]).unwrap().is_some() {
        sent += 1;
        assert!(sent < 100_000);
    }
    assert_eq!(wait(&a, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    while b.try_recv(&mut [0; 1000]).unwrap().is_some() {}
    assert!(wait(&a, Ready::WRITE, soon()).unwrap().is_some());
    assert_eq!(a.try_send(&[0; 1000]).unwrap(), Some(1000));
}
