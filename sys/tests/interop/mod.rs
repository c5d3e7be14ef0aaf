//! One descriptor of each kind, quiet at first, with what makes it ready and what takes that readiness away.

use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::event::Event;
use becket_sys::fanotify::{Fanotify, Report, Scope};
use becket_sys::inotify::{Inotify, Mask, Options};
use becket_sys::pri::Adapter;
use becket_sys::process::Child;
use becket_sys::signal::{MaskGuard, Signal, Signals};
use becket_sys::timer::{Clock, Timer, When};
use becket_sys::{EventBuf, Ready, fanotify, netlink, pipe, pty, tcp, udp, unix, wait};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a loop may ask of a descriptor, so that all kinds together show that the real types have it.
pub(crate) trait Descriptor: AsFd + AsRawFd + 'static {}

impl<T: AsFd + AsRawFd + 'static> Descriptor for T {}

pub(crate) struct Case<T> {
    pub(crate) name: &'static str,
    pub(crate) fd: Rc<T>,
    /// What to poll it for.
    pub(crate) want: Ready,
    /// Makes it ready, soon.
    pub(crate) fire: Box<dyn FnMut()>,
    /// Takes what made it ready; false where there was nothing.
    pub(crate) take: Rc<dyn Fn(&T) -> bool>,
}

/// A loop.
pub(crate) trait Under {
    /// Registers the descriptor, sees that it is quiet, fires it, waits until it is ready, takes that, and gives the
    /// registration up.
    fn drive<T: Descriptor>(&self, case: Case<T>);
}

/// The signal that the process sends itself.
pub(crate) const SIGNAL: Signal = Signal::USR1;

/// Blocks the signals of these tests for the threads that the loops start. Call it first.
pub(crate) fn block_signals() -> MaskGuard {
    MaskGuard::block([SIGNAL, Signal::TERM])
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn check<T: Descriptor>(
    under: &impl Under,
    name: &'static str,
    fd: T,
    want: Option<Ready>,
    fire: impl FnMut() + 'static,
    take: impl Fn(&T) -> bool + 'static,
) {
    let fd = Rc::new(fd);
    under.drive(Case {
        name,
        fd: fd.clone(),
        want: want.expect("a kind that can be polled"),
        fire: Box::new(fire),
        take: Rc::new(take),
    });
    assert_eq!(Rc::strong_count(&fd), 1, "{name}: the loop keeps it");
}

/// Those that are polled for reading, under any loop.
pub(crate) fn readable_kinds(under: &impl Under) {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    let twin = timer.try_clone().unwrap();
    let fire = move || twin.set(When::After(Duration::from_millis(2)), None).unwrap();
    check(under, "timer", timer, Timer::READINESS.interest(), fire, |t| t.try_read().unwrap().is_some());

    let event = Event::new().unwrap();
    let twin = event.try_clone().unwrap();
    let fire = move || assert!(twin.add(3).unwrap());
    check(under, "event", event, Event::READINESS.interest(), fire, |e| e.try_read().unwrap() == Some(3));

    let signals = Signals::new(SIGNAL).unwrap();
    let fire = || rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1).unwrap();
    check(under, "signal", signals, Signals::READINESS.interest(), fire, |s| {
        s.try_read().unwrap().is_some_and(|info| info.signal() == SIGNAL)
    });

    let dir = std::env::temp_dir().join(format!("becket-interop-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let inotify = Inotify::new().unwrap();
    inotify.add(&dir, Mask::CREATE, Options::ONLYDIR).unwrap();
    let file = dir.join("new");
    check(
        under,
        "inotify",
        inotify,
        Inotify::READINESS.interest(),
        move || std::fs::write(&file, "").unwrap(),
        |i| i.try_read().unwrap().is_some(),
    );
    match Fanotify::builder().report(Report::DFID_NAME).open() {
        Ok(group) => {
            group.add(Scope::Inode, &dir, fanotify::Mask::CREATE, fanotify::Options::ONLYDIR).unwrap();
            let file = dir.join("newer");
            let fire = move || std::fs::write(&file, "").unwrap();
            check(under, "fanotify", group, Fanotify::READINESS.interest(), fire, |g| g.try_read().unwrap().is_some());
        }
        Err(e) => println!("SKIP: readable_kinds: fanotify: {e}"),
    }
    std::fs::remove_dir_all(&dir).unwrap();

    let netlink = |accept| netlink::Socket::builder(netlink::Protocol::USERSOCK).accept_users(accept).open().unwrap();
    let (sender, receiver) = (netlink(false), netlink(true));
    let port = receiver.port().unwrap();
    let datagram = netlink::Request::new(16, netlink::Flags::empty()).to_bytes(1).unwrap();
    let fire = move || assert!(sender.try_send_to(&datagram, port, 0).unwrap().is_some());
    check(under, "netlink", receiver, netlink::Socket::READINESS.interest(), fire, |s| {
        s.try_recv(&mut EventBuf::new()).unwrap().is_some()
    });

    let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
    let mut input = child.stdin.take();
    check(
        under,
        "child",
        child,
        Child::READINESS.interest(),
        move || drop(input.take()),
        |c| c.try_wait().unwrap().is_some_and(|status| status.success()),
    );

    let (reader, writer) = pipe::pair().unwrap();
    let fire = move || assert_eq!(writer.try_write(b"x").unwrap(), Some(1));
    check(under, "pipe", reader, pipe::Reader::READINESS.interest(), fire, |r| r.try_read(&mut [0]).unwrap().is_some());

    let (a, b) = unix::Stream::pair().unwrap();
    let fire = move || assert_eq!(a.try_write(b"x").unwrap(), Some(1));
    check(under, "unix stream", b, unix::Stream::READINESS.interest(), fire, |b| {
        b.try_read(&mut [0]).unwrap().is_some()
    });

    let (a, b) = unix::Seqpacket::pair().unwrap();
    let fire = move || {
        let (reader, writer) = std::io::pipe().unwrap();
        (&writer).write_all(b"in the pipe").unwrap();
        let mut out = Outgoing::new();
        out.push_fds(&[reader.as_fd()]).unwrap();
        assert_eq!(a.try_send_with(b"a reader", &out).unwrap(), Some(8));
    };
    check(under, "seqpacket", b, unix::Seqpacket::READINESS.interest(), fire, |b| {
        let mut control = Incoming::for_fds(1);
        if b.try_recv_with(&mut [0; 16], &mut control).unwrap().is_none() {
            return false;
        }
        let [reader] = control.take_exactly().unwrap();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        text == "in the pipe"
    });

    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    let fire = move || clients.push(tcp::Stream::connect(addr).unwrap().finish(soon()).unwrap());
    check(under, "tcp listener", listener, tcp::Listener::READINESS.interest(), fire, |l| {
        l.try_accept().unwrap().is_some()
    });

    let socket = udp::Socket::bind(([127, 0, 0, 1], 0)).unwrap();
    let twin = socket.try_clone().unwrap();
    let fire = move || assert!(twin.try_send_to(b"x", twin.local_addr().unwrap()).unwrap().is_some());
    check(under, "udp socket", socket, udp::Socket::READINESS.interest(), fire, |s| {
        s.try_recv_from(&mut [0]).unwrap().is_some()
    });
}

/// Those that are polled for priority alone: reading would report them for other reasons, or all the time.
pub(crate) fn priority_kinds(under: &impl Under) {
    let (a, b) = tcp_pair();
    a.try_write(b"so that a poll for reading would find something").unwrap();
    wait(&b, Ready::READ, soon()).unwrap().unwrap();
    let fire = move || assert_eq!(a.try_send_urgent(b"!").unwrap(), Some(1));
    check(under, "urgent data", b, Some(Ready::PRI), fire, |b| b.try_recv_urgent().unwrap() == Some(b'!'));

    let (a, b) = unix::Stream::pair().unwrap();
    let fire = move || assert_eq!(a.try_send_urgent(b"!").unwrap(), Some(1));
    check(under, "urgent data over unix", b, Some(Ready::PRI), fire, |b| b.try_recv_urgent().unwrap() == Some(b'!'));

    let (controller, terminal) = pty::pair().unwrap();
    controller.set_packet_mode(true).unwrap();
    let fire = move || rustix::termios::tcflush(&terminal, rustix::termios::QueueSelector::IFlush).unwrap();
    check(under, "pty packet", controller, Some(Ready::PRI), fire, |c| {
        matches!(c.try_read_packet(&mut [0; 8]).unwrap(), Some(pty::Packet::Status(_)))
    });
}

pub(crate) fn tcp_pair() -> (tcp::Stream, tcp::Stream) {
    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let a = tcp::Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon()).unwrap();
    wait(&listener, Ready::READ, soon()).unwrap().unwrap();
    (a, listener.try_accept().unwrap().unwrap().0)
}

/// A loop that cannot wait for priority alone, with adapters in between.
#[allow(dead_code, reason = "not for the loops that know priority")]
pub(crate) struct WithAdapters<'l, L>(pub(crate) &'l L);

impl<L: Under> Under for WithAdapters<'_, L> {
    fn drive<T: Descriptor>(&self, case: Case<T>) {
        let Case { name, fd, want, fire, take } = case;
        assert_eq!(want, Ready::PRI);
        let take = Rc::new(move |adapter: &Adapter<Rc<T>>| take(adapter.get_ref()));
        let adapter = Rc::new(Adapter::new(fd).unwrap());
        self.0.drive(Case { name, fd: adapter, want: Adapter::<Rc<T>>::READINESS.interest().unwrap(), fire, take });
    }
}
