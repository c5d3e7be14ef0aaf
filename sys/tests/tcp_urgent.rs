//! Urgent data over TCP.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::tcp::{Listener, Stream};
use becket_sys::{Ready, wait};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn ready(fd: impl AsFd, want: Ready) -> Ready {
    wait(fd, want, soon()).unwrap().expect("readiness within 20 s")
}

fn is_urgent(fd: impl AsFd) -> bool {
    wait(fd, Ready::PRI, Some(Instant::now())).unwrap().is_some_and(Ready::is_priority)
}

fn pair() -> (Stream, Stream) {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    ready(&listener, Ready::READ);
    (client, listener.try_accept().unwrap().unwrap().0)
}

#[test]
fn none_is_a_value() {
    let (_a, b) = pair();
    assert_eq!(b.try_recv_urgent().unwrap(), None);
    assert_eq!(b.try_peek_urgent().unwrap(), None);
    assert!(!b.is_at_mark().unwrap());
    assert!(!is_urgent(&b));
}

#[test]
fn priority_stays_until_the_byte_is_taken() {
    let (a, b) = pair();
    assert_eq!(a.try_send_urgent(b"!").unwrap(), Some(1));
    assert!(ready(&b, Ready::PRI).is_priority());
    assert!(is_urgent(&b));
    assert_eq!(b.try_peek_urgent().unwrap(), Some(b'!'));
    assert!(is_urgent(&b), "peeking leaves it");
    assert_eq!(b.try_recv_urgent().unwrap(), Some(b'!'));
    assert!(!is_urgent(&b));
    assert_eq!(b.try_recv_urgent().unwrap(), None, "it was taken");
    assert_eq!(b.try_read(&mut [0; 4]).unwrap(), None, "it is no byte of the stream");
}

#[test]
fn it_overtakes_the_stream_and_leaves_a_mark_that_reads_stop_at() {
    let (a, b) = pair();
    assert_eq!(a.try_write(b"before").unwrap(), Some(6));
    assert_eq!(a.try_send_urgent(b"ab!").unwrap(), Some(3)); // the last is urgent
    assert_eq!(a.try_write(b"after").unwrap(), Some(5));
    ready(&b, Ready::PRI);
    assert_eq!(b.try_recv_urgent().unwrap(), Some(b'!'));
    assert!(!b.is_at_mark().unwrap());
    let mut buf = [0; 32];
    let mut text: Vec<u8> = Vec::new();
    while !b.is_at_mark().unwrap() {
        let n = b.try_read(&mut buf).unwrap().unwrap();
        text.extend(&buf[..n]);
    }
    assert_eq!(text, b"beforeab");
    while text.len() < 13 {
        ready(&b, Ready::READ);
        let n = b.try_read(&mut buf).unwrap().unwrap();
        text.extend(&buf[..n]);
    }
    assert_eq!(text, b"beforeabafter");
    assert!(!b.is_at_mark().unwrap());
}

#[test]
fn the_next_one_replaces_it() {
    let (a, b) = pair();
    a.try_send_urgent(b"1").unwrap();
    ready(&b, Ready::PRI);
    a.try_send_urgent(b"2").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while b.try_peek_urgent().unwrap() != Some(b'2') {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(b.try_recv_urgent().unwrap(), Some(b'2'));
    assert_eq!(b.try_recv_urgent().unwrap(), None);
}

#[test]
fn in_line_it_stands_in_the_stream_after_the_mark() {
    let (mut a, mut b) = pair();
    assert!(!b.urgent_inline().unwrap());
    b.set_urgent_inline(true).unwrap();
    assert!(b.urgent_inline().unwrap());
    a.write_all(b"x").unwrap();
    a.try_send_urgent(b"!").unwrap();
    a.write_all(b"y").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    ready(&b, Ready::PRI);
    assert_eq!(b.try_recv_urgent().unwrap(), None, "in line");
    ready(&b, Ready::RDHUP);
    let mut buf = [0; 8];
    assert_eq!(b.try_read(&mut buf).unwrap(), Some(1));
    assert_eq!(buf[0], b'x');
    assert!(b.is_at_mark().unwrap());
    let mut rest = Vec::new();
    b.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"!y");
}

#[test]
fn none_after_the_end_either() {
    let (a, b) = pair();
    a.shutdown(Shutdown::Write).unwrap();
    ready(&b, Ready::RDHUP);
    assert_eq!(b.try_recv_urgent().unwrap(), None);
    assert_eq!(a.try_send_urgent(b"!").unwrap_err().raw_os_error(), Some(libc::EPIPE));
}

#[test]
fn a_wrong_descriptor_merely_errs() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let stream = Stream::from(std::os::fd::OwnedFd::from(reader));
    assert_eq!(stream.try_recv_urgent().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    assert!(stream.is_at_mark().is_err());
    assert_eq!(stream.unacknowledged().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    assert_eq!(stream.info().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
}
