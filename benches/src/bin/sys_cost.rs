//! Calls of becket-sys beside the same calls written by hand on libc, to be counted by callgrind: see
//! `scripts/sys-cost`. `sys_cost CASE COUNT` runs one case COUNT times; `sys_cost` alone lists the cases.
//!
//! Each case is one function with an unmangled name, so that callgrind collects inside it and nowhere else. Both of a
//! pair do the same and check the same errors.

#![allow(unsafe_code, reason = "what is written by hand is, and callgrind needs names")]

use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::event::Event;
use becket_sys::inotify::{self, Events, Inotify, Mask, Options};
use becket_sys::signal::{Signal, Signals, raise};
use becket_sys::timer::{self, Clock, Timer, When};
use becket_sys::udp::Socket;
use becket_sys::unix;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

struct World {
    timer: Timer,
    event: Event,
    signals: Signals,
    socket: Socket,
    changes: Vec<u8>,
    pair: (unix::Stream, unix::Stream),
    out: Outgoing<'static>,
    control: Incoming,
    first_free: Option<RawFd>,
}

// SAFETY: nothing here closes the standard input.
const STDIN: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(0) };

impl World {
    fn new() -> World {
        let timer = Timer::new(Clock::Monotonic).unwrap();
        let tick = Duration::from_nanos(1);
        timer.set(When::After(tick), Some(tick)).unwrap();
        let socket = Socket::bind(([127, 0, 0, 1], 0)).unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        World {
            timer,
            event: Event::new().unwrap(),
            signals: Signals::new(Signal::USR1).unwrap(),
            socket,
            changes: changes(),
            pair: unix::Stream::pair().unwrap(),
            out: Outgoing::new(),
            control: Incoming::for_fds(1),
            first_free: None,
        }
    }
}

/// What the kernel writes of some files that come and go.
fn changes() -> Vec<u8> {
    let dir = std::env::temp_dir().join(format!("becket-cost-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let inotify = Inotify::new().unwrap();
    inotify.add(&dir, Mask::CREATE | Mask::CLOSE_WRITE, Options::empty()).unwrap();
    for i in 0..10 {
        std::fs::write(dir.join(format!("file-number-{i}")), "").unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
    let mut buf = becket_sys::EventBuf::new();
    inotify.read_events(&mut buf).unwrap().unwrap();
    buf.as_bytes().to_vec()
}

/// What a call that failed answers: `None` for would block.
#[cold]
fn failed<T>() -> io::Result<Option<T>> {
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        e => Err(e),
    }
}

/// Whether to call again.
#[cold]
fn interrupted() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
}

fn read(fd: RawFd, buf: *mut libc::c_void, len: usize) -> io::Result<Option<usize>> {
    // SAFETY: the callers pass the address and the length of a live local.
    let n = unsafe { libc::read(fd, buf, len) };
    if n >= 0 { Ok(Some(n as usize)) } else { failed() }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_timer_read_ours(world: &mut World) {
    let Some(timer::Event::Expired(_)) = black_box(world.timer.try_read().unwrap()) else { panic!("not expired") };
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_timer_read_by_hand(world: &mut World) {
    let mut count = 0u64;
    let result = match read(world.timer.as_raw_fd(), (&raw mut count).cast(), 8) {
        Ok(n) => n.map(|_| count),
        Err(e) if e.raw_os_error() == Some(libc::ECANCELED) => Some(u64::MAX),
        Err(e) => panic!("{e}"),
    };
    assert!(black_box(result).is_some());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_event_add_ours(world: &mut World) {
    assert!(world.event.add(black_box(1)).unwrap());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_event_add_by_hand(world: &mut World) {
    let count: u64 = black_box(1);
    // SAFETY: eight bytes of a live local.
    let n = unsafe { libc::write(world.event.as_raw_fd(), (&raw const count).cast(), 8) };
    let fitted = if n >= 0 { Some(n) } else { failed().unwrap() };
    assert!(fitted.is_some());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_signal_read_ours(world: &mut World) {
    let info = black_box(world.signals.try_read().unwrap().unwrap());
    assert!(info.signal() == Signal::USR1);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_signal_read_by_hand(world: &mut World) {
    let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let n = read(world.signals.as_raw_fd(), info.as_mut_ptr().cast(), 128).unwrap();
    assert!(n == Some(128));
    // SAFETY: the kernel wrote all of it.
    let info = black_box(unsafe { info.assume_init() });
    assert!(info.ssi_signo == libc::SIGUSR1 as u32);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_inotify_parse_ours(world: &mut World) {
    let mut bytes = 0;
    for event in Events::parse(black_box(&world.changes)) {
        if let inotify::Event::Change(change) = event {
            bytes += change.name.map_or(0, |name| name.len()) + change.mask.bits() as usize;
        }
    }
    black_box(bytes);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_inotify_parse_by_hand(world: &mut World) {
    let batch = black_box(&world.changes);
    let (mut at, mut left, mut bytes) = (batch.as_ptr(), batch.len(), 0);
    // As inotify(7) shows it, but that the lengths are checked, as ours are.
    while left >= size_of::<libc::inotify_event>() {
        // SAFETY: there are as many bytes as are read, the head by the condition above, the name by that below.
        unsafe {
            let head = at.cast::<libc::inotify_event>().read_unaligned();
            let name = at.add(size_of::<libc::inotify_event>());
            left -= size_of::<libc::inotify_event>();
            if head.len as usize > left {
                break;
            }
            if head.mask & libc::IN_Q_OVERFLOW == 0 {
                bytes += libc::strnlen(name.cast(), head.len as usize) + head.mask as usize;
            }
            at = name.add(head.len as usize);
            left -= head.len as usize;
        }
    }
    black_box(bytes);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_udp_echo_ours(world: &mut World) {
    let mut buf = [0; 64];
    assert!(world.socket.try_send(b"hello").unwrap() == Some(5));
    let received = world.socket.try_recv(&mut buf).unwrap().unwrap();
    assert!(black_box(&buf[..received.len()]).len() == 5 && !received.is_truncated());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_udp_echo_by_hand(world: &mut World) {
    let fd = world.socket.as_raw_fd();
    let mut buf = [0u8; 64];
    let data = b"hello";
    // SAFETY: both buffers are live locals, passed with their lengths.
    unsafe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let n = loop {
            let n = libc::send(fd, data.as_ptr().cast(), data.len(), flags);
            if n >= 0 {
                break Some(n);
            } else if !interrupted() {
                break failed().unwrap();
            }
        };
        assert!(n == Some(5));
        let n = loop {
            let n = libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT | libc::MSG_TRUNC);
            if n >= 0 {
                break Some(n as usize);
            } else if !interrupted() {
                break failed().unwrap();
            }
        };
        let whole = n.filter(|n| *n <= buf.len()).expect("a whole datagram");
        assert!(black_box(&buf[..whole]).len() == 5);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_send_fd_ours(world: &mut World) {
    world.out.clear();
    world.out.push_fds(&[STDIN]).unwrap();
    assert!(world.pair.0.try_send_with(b"x", &world.out).unwrap() == Some(1));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_send_fd_by_hand(world: &mut World) {
    // Words, for the head of the control message.
    let mut control = [0u64; 3];
    let data = b"x";
    let mut slice = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: 1 };
    // SAFETY: all that the header points to is live; the control buffer has room for one descriptor, 24 bytes.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut slice;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as _;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(message).cast::<RawFd>().write_unaligned(STDIN.as_raw_fd());
        let n = loop {
            let n = libc::sendmsg(world.pair.0.as_raw_fd(), &header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
            if n >= 0 {
                break Some(n);
            } else if !interrupted() {
                break failed().unwrap();
            }
        };
        assert!(n == Some(1));
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_recv_fd_ours(world: &mut World) {
    let received = world.pair.1.try_recv_with(&mut [0; 8], &mut world.control).unwrap().unwrap();
    let [fd] = world.control.take_exactly().unwrap();
    assert!(received.len() == 1 && black_box(fd.as_raw_fd()) >= 0);
    std::mem::forget(fd); // closing it is another call, and the hook's
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_recv_fd_by_hand(world: &mut World) {
    let mut control = [0u64; 3];
    let mut data = [0u8; 8];
    let mut slice = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: all that the header points to is live; the kernel says how much of the control buffer it wrote, and one
    // descriptor fits in.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut slice;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let n = loop {
            let n = libc::recvmsg(world.pair.1.as_raw_fd(), &mut header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC);
            if n >= 0 {
                break Some(n);
            } else if !interrupted() {
                break failed().unwrap();
            }
        };
        // There may be other messages, and more than one descriptor.
        let mut first: Option<OwnedFd> = None;
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET && (*message).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                for i in 0..count {
                    let number = libc::CMSG_DATA(message).cast::<RawFd>().add(i).read_unaligned();
                    let fd = OwnedFd::from_raw_fd(number);
                    assert!(first.is_none(), "one too many");
                    first = Some(fd);
                }
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
        assert!(n == Some(1) && header.msg_flags & libc::MSG_CTRUNC == 0);
        let fd = first.expect("a descriptor");
        assert!(black_box(fd.as_raw_fd()) >= 0);
        std::mem::forget(fd); // as above
    }
}

/// A name, what goes before each call and is not counted, and the call.
type Case = (&'static str, fn(&mut World), extern "C-unwind" fn(&mut World));

const CASES: &[Case] = &[
    ("timer_read_ours", nothing, cost_timer_read_ours),
    ("timer_read_by_hand", nothing, cost_timer_read_by_hand),
    ("event_add_ours", nothing, cost_event_add_ours),
    ("event_add_by_hand", nothing, cost_event_add_by_hand),
    ("signal_read_ours", raise_it, cost_signal_read_ours),
    ("signal_read_by_hand", raise_it, cost_signal_read_by_hand),
    ("inotify_parse_ours", nothing, cost_inotify_parse_ours),
    ("inotify_parse_by_hand", nothing, cost_inotify_parse_by_hand),
    ("udp_echo_ours", nothing, cost_udp_echo_ours),
    ("udp_echo_by_hand", nothing, cost_udp_echo_by_hand),
    ("send_fd_ours", drain, cost_send_fd_ours),
    ("send_fd_by_hand", drain, cost_send_fd_by_hand),
    ("recv_fd_ours", send_one, cost_recv_fd_ours),
    ("recv_fd_by_hand", send_one, cost_recv_fd_by_hand),
];

fn nothing(_: &mut World) {}

fn raise_it(_: &mut World) {
    raise(Signal::USR1).unwrap();
}

/// Takes what a send left.
fn drain(world: &mut World) {
    let mut control = Incoming::for_fds(1);
    while world.pair.1.try_recv_with(&mut [0; 8], &mut control).unwrap().is_some() {}
}

/// Closes what the receive before left open (it is the lowest number above those of the world), and sends anew.
fn send_one(world: &mut World) {
    let next = *world.first_free.get_or_insert_with(|| io::stdin().as_fd().try_clone_to_owned().unwrap().as_raw_fd());
    // SAFETY: the number is the one that the receive before got and forgot, or nobody's.
    unsafe { libc::close(next) };
    let mut out = Outgoing::new();
    out.push_fds(&[STDIN]).unwrap();
    world.pair.0.try_send_with(b"x", &out).unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = args.as_slice() else {
        CASES.iter().for_each(|(name, ..)| println!("{name}"));
        return;
    };
    let (_, before, call) = CASES.iter().find(|(case, ..)| case == name).expect("a case of the list");
    let mut world = World::new();
    for _ in 0..count.parse::<u32>().expect("a number") {
        before(&mut world);
        call(&mut world);
    }
}
