//! pty(7) as it behaves at its edges.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::pty::{self, Controller, Packet, Status};
use becket_sys::{Ready, wait};
use rustix::fs::OFlags;
use rustix::io::FdFlags;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

#[test]
fn before_the_first_opening_a_read_would_block_and_nothing_is_hung_up() {
    let controller = Controller::open().unwrap();
    assert_eq!(controller.try_read(&mut [0; 8]).unwrap(), None);
    let now = Some(Instant::now());
    assert_eq!(wait(&controller, Ready::READ, now).unwrap(), None);
}

#[test]
fn after_the_terminal_closed_the_rest_is_read_and_then_the_end() {
    let (controller, terminal) = pty::pair().unwrap();
    terminal.try_write(b"rest").unwrap();
    drop(terminal);
    let mut buf = [0; 8];
    assert!(wait(&controller, Ready::READ, soon()).unwrap().unwrap().contains(Ready::HUP));
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(4));
    for _ in 0..2 {
        assert_eq!(controller.try_read(&mut buf).unwrap(), Some(0));
        assert_eq!((&controller).read(&mut buf).unwrap(), 0);
    }
}

#[test]
fn reopening_revives_the_pair_with_its_settings_and_what_was_written_meanwhile() {
    let controller = Controller::open().unwrap();
    let terminal = controller.open_terminal().unwrap();
    std::mem::forget(terminal.raw_mode().unwrap());
    drop(terminal);
    let mut buf = [0; 8];
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(0));
    assert_eq!(controller.try_write(b"later").unwrap(), Some(5));

    let terminal = controller.open_terminal().unwrap();
    assert_eq!(controller.try_read(&mut buf).unwrap(), None); // revived, and still raw: no echo
    assert!(wait(&terminal, Ready::READ, soon()).unwrap().is_some());
    assert_eq!(terminal.try_read(&mut buf).unwrap(), Some(5));
    assert_eq!(&buf[..5], b"later");
}

#[test]
fn when_the_controller_closes_the_terminal_reads_nothing_and_cannot_write() {
    let (controller, terminal) = pty::pair().unwrap();
    let second = controller.try_clone().unwrap();
    drop(controller);
    assert_eq!(wait(&terminal, Ready::READ, Some(Instant::now())).unwrap(), None);
    drop(second);
    assert!(wait(&terminal, Ready::READ, soon()).unwrap().unwrap().contains(Ready::HUP));
    assert_eq!(terminal.try_read(&mut [0; 8]).unwrap(), Some(0));
    assert_eq!(terminal.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn a_locked_pair_has_no_terminal() {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let locked = rustix::fs::open("/dev/ptmx", flags, rustix::fs::Mode::empty()).unwrap();
    let e = Controller::from(locked).open_terminal().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EIO));
}

#[test]
fn packet_mode_reports_urgently_what_happens_to_the_terminal() {
    let (controller, terminal) = pty::pair().unwrap();
    controller.set_packet_mode(true).unwrap();
    assert_eq!(wait(&controller, Ready::PRI, Some(Instant::now())).unwrap(), None);

    rustix::termios::tcflush(&terminal, rustix::termios::QueueSelector::IOFlush).unwrap();
    assert!(wait(&controller, Ready::PRI, soon()).unwrap().unwrap().is_priority());
    let mut buf = [0; 8];
    let both = Status::FLUSH_READ | Status::FLUSH_WRITE;
    assert_eq!(controller.try_read_packet(&mut buf).unwrap(), Some(Packet::Status(both)));
    assert_eq!(wait(&controller, Ready::PRI, Some(Instant::now())).unwrap(), None);

    terminal.try_write(b"data").unwrap();
    assert_eq!(controller.try_read_packet(&mut buf).unwrap(), Some(Packet::Data(4)));
    assert_eq!(&buf[..4], b"data");
    assert_eq!(controller.try_read_packet(&mut buf).unwrap(), None);
    drop(terminal);
    assert_eq!(controller.try_read_packet(&mut buf).unwrap(), Some(Packet::End));

    controller.set_packet_mode(false).unwrap();
    let terminal = controller.open_terminal().unwrap();
    terminal.try_write(b"bare").unwrap();
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(4));
}

/// Not who waits for PRI alone: he finds it when he looks again.
#[test]
fn a_stop_wakes_who_waits_for_reading() {
    let (controller, terminal) = pty::pair().unwrap();
    controller.set_packet_mode(true).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let begin = Instant::now();
            let ready = wait(&controller, Ready::READ | Ready::PRI, Some(begin + Duration::from_secs(60))).unwrap();
            (ready.unwrap().is_priority(), begin.elapsed())
        });
        std::thread::sleep(Duration::from_millis(50));
        rustix::termios::tcflow(&terminal, rustix::termios::Action::OOff).unwrap();
        let (urgent, after) = waiting.join().unwrap();
        assert!(urgent && after < Duration::from_secs(40), "{urgent} {after:?}");
    });
    assert_eq!(controller.try_read_packet(&mut [0; 8]).unwrap(), Some(Packet::Status(Status::STOP)));
}

#[test]
fn a_full_pair_would_block_and_is_writable_again_when_read() {
    let (controller, terminal) = pty::pair().unwrap();
    let _raw = terminal.raw_mode().unwrap();
    let chunk = [b'x'; 4096];
    let mut written = 0;
    while let Some(n) = controller.try_write(&chunk).unwrap() {
        written += n;
    }
    // The kernel may still be moving bytes to the other end's buffer, which makes room.
    let full = loop {
        match (&controller).write(&chunk) {
            Ok(n) => written += n,
            Err(e) => break e,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let (mut read, mut buf) = (0, [0; 4096]);
    while read < written {
        assert!(wait(&terminal, Ready::READ, soon()).unwrap().is_some());
        read += terminal.try_read(&mut buf).unwrap().unwrap_or(0);
    }
    assert_eq!(read, written);
    assert!(wait(&controller, Ready::WRITE, soon()).unwrap().unwrap().contains(Ready::WRITE));
}

#[test]
fn both_ends_are_close_on_exec_and_non_blocking() {
    let (controller, terminal) = pty::pair().unwrap();
    for fd in [rustix::fd::AsFd::as_fd(&controller), rustix::fd::AsFd::as_fd(&terminal)] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        assert!(rustix::fs::fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
    }
}

#[test]
fn packets_parse_apart_from_the_read() {
    let (controller, terminal) = pty::pair().unwrap();
    controller.set_packet_mode(true).unwrap();
    terminal.try_write(b"data").unwrap();
    let mut buf = [0; 16];
    let n = controller.try_read(&mut buf).unwrap().unwrap(); // any read, by io_uring too
    assert_eq!(Packet::parse(&buf[..n]), (Packet::Data(4), &b"data"[..]));
    // Written before, and overtaken by the status.
    terminal.try_write(b"later").unwrap();
    rustix::termios::tcflow(&terminal, rustix::termios::Action::OOff).unwrap();
    let n = controller.try_read(&mut buf).unwrap().unwrap();
    assert_eq!(Packet::parse(&buf[..n]), (Packet::Status(Status::STOP), &b""[..]));
    assert_eq!(controller.try_read_packet(&mut buf).unwrap(), Some(Packet::Data(5)));
    assert_eq!(Packet::parse(&[0xff, 1]), (Packet::Status(Status::from_bits_retain(0xff)), &b""[..]));
    for first in 0..=255 {
        assert!(Packet::parse(&[first]).1.is_empty());
    }
}
