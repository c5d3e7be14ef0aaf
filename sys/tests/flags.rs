//! What this crate opens is close-on-exec and non-blocking, and gone when dropped. One test, so that nobody else opens
//! any meanwhile.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::event::Event;
use becket_sys::process::{Child, PidFd};
use becket_sys::{
    epoll, fanotify, file, inotify, memfd, mounts, netlink, pipe, pri, psi, pty, serial, signal, tcp, timer,
};
use becket_sys::{udp, unix};
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::time::Duration;

/// What /proc tells of the descriptor's flags.
fn flags(fd: &dyn AsFd) -> i32 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap()
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn check(what: &str, fd: &dyn AsFd, non_blocking: bool) {
    let flags = flags(fd);
    assert_ne!(flags & libc::O_CLOEXEC, 0, "{what} is close-on-exec: {flags:o}");
    assert_eq!(flags & libc::O_NONBLOCK != 0, non_blocking, "{what}: {flags:o}");
}

fn every_kind() {
    let local = (Ipv4Addr::LOCALHOST, 0);
    check("timer", &timer::Timer::new(timer::Clock::Monotonic).unwrap(), true);
    check("event", &Event::new().unwrap(), true);
    check("signals", &signal::Signals::new(signal::Signal::USR2).unwrap(), true);
    check("pidfd", &PidFd::open(std::process::id()).unwrap(), true);
    check("inotify", &inotify::Inotify::new().unwrap(), true);
    match fanotify::Fanotify::builder().open() {
        Ok(group) => check("fanotify", &group, true),
        Err(e) => println!("SKIP: fanotify: {e}"),
    }
    check("netlink", &netlink::Socket::new(netlink::Protocol::ROUTE).unwrap(), true);
    check("links", &netlink::route::Monitor::new(netlink::route::Watch::LINKS).unwrap(), true);
    check("mounts", &mounts::Watcher::new().unwrap(), true);
    match psi::Trigger::open(
        psi::Resource::Memory.path(),
        psi::Kind::Some,
        Duration::from_millis(200),
        Duration::from_secs(2),
    ) {
        Ok(trigger) => check("pressure", &trigger, true),
        Err(e) => println!("SKIP: pressure: {e}"),
    }

    let (reader, writer) = pipe::pair().unwrap();
    check("pipe, reading", &reader, true);
    check("pipe, writing", &writer, true);
    let (controller, terminal) = pty::pair().unwrap();
    check("pty, controller", &controller, true);
    check("pty, terminal", &terminal, true);
    let port = serial::Port::open(controller.terminal_path().unwrap(), 9600).unwrap();
    check("serial port", &port, true);
    check("its job", &port.start_drain().unwrap(), true);

    let listener = tcp::Listener::bind(local).unwrap();
    let connecting = tcp::Stream::connect(listener.local_addr().unwrap()).unwrap();
    check("tcp, listening", &listener, true);
    check("tcp, connecting", &connecting, true);
    becket_sys::wait(&listener, becket_sys::Ready::READ, None).unwrap();
    check("tcp, accepted", &listener.try_accept().unwrap().unwrap().0, true);
    check("udp", &udp::Socket::bind(local).unwrap(), true);

    let address = unix::Address::unnamed();
    let listener = unix::Listener::bind(&address).unwrap();
    let _client = unix::Stream::connect(&listener.local_addr().unwrap()).unwrap();
    check("unix, listening", &listener, true);
    check("unix, accepted", &listener.try_accept().unwrap().unwrap().0, true);
    check("unix, stream", &unix::Stream::pair().unwrap().0, true);
    check("unix, datagrams", &unix::Datagram::bind(&address).unwrap(), true);
    check("unix, records", &unix::Seqpacket::pair().unwrap().1, true);
    let records = unix::SeqpacketListener::bind(&address).unwrap();
    let client = unix::Seqpacket::connect(&records.local_addr().unwrap()).unwrap();
    let (server, _) = records.try_accept().unwrap().unwrap();
    check("unix, listening for records", &records, true);
    check("unix, records, connected", &client, true);
    check("unix, records, accepted", &server, true);
    match server.peer_pidfd() {
        Ok(process) => check("its peer", &process, false),
        Err(e) => println!("SKIP: the peer as a process: {e}"),
    }

    // What a child is given blocks, as programs expect.
    let child = Child::spawn(Command::new("cat").stdin(std::process::Stdio::piped())).unwrap();
    check("child", &child, true);
    child.send_signal(signal::Signal::KILL).unwrap();
    child.wait(None).unwrap();

    // There is nothing to wait for in these.
    check("memory file", &memfd::Memfd::new("flags").unwrap(), false);
    check("epoll set", &epoll::Epoll::new().unwrap(), false);
    check("adapter", &pri::Adapter::new(listener).unwrap(), false);
    let unnamed = file::unnamed(std::env::temp_dir()).unwrap();
    check("file", &unnamed, false);
    check("wait for a lock", &file::start_lock(&unnamed, file::LockKind::Write, ..).unwrap(), true);
}

#[test]
fn every_descriptor_is_close_on_exec_and_non_blocking_and_is_closed() {
    every_kind();
    let before = open_descriptors();
    every_kind();
    assert_eq!(open_descriptors(), before);
}
