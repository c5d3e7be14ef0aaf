//! Calls of becket-sys beside the same calls written by hand on libc, to be counted by callgrind: see
//! `scripts/sys-cost`. `sys_cost CASE COUNT` runs one case COUNT times; `sys_cost` alone lists the cases.
//!
//! Each case is one function with an unmangled name, so that callgrind collects inside it and nowhere else. Both of a
//! pair do the same and check the same errors.

#![allow(unsafe_code, reason = "what is written by hand is, and callgrind needs names")]

use becket_sys::event::Event;
use becket_sys::inotify::{self, Events, Inotify, Mask, Options};
use becket_sys::signal::{Signal, Signals, raise};
use becket_sys::timer::{self, Clock, Timer, When};
use becket_sys::udp::Socket;
use std::hint::black_box;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

struct World {
    timer: Timer,
    event: Event,
    signals: Signals,
    socket: Socket,
    changes: Vec<u8>,
}

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

/// `None` for would block.
fn read(fd: RawFd, buf: *mut libc::c_void, len: usize) -> io::Result<Option<usize>> {
    // SAFETY: the callers pass the address and the length of a live local.
    let n = unsafe { libc::read(fd, buf, len) };
    if n >= 0 {
        return Ok(Some(n as usize));
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        e => Err(e),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_timer_read_ours(world: &World) {
    let Some(timer::Event::Expired(_)) = black_box(world.timer.try_read().unwrap()) else { panic!("not expired") };
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_timer_read_by_hand(world: &World) {
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
extern "C-unwind" fn cost_event_add_ours(world: &World) {
    assert!(world.event.add(black_box(1)).unwrap());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_event_add_by_hand(world: &World) {
    let count: u64 = black_box(1);
    // SAFETY: eight bytes of a live local.
    let n = unsafe { libc::write(world.event.as_raw_fd(), (&raw const count).cast(), 8) };
    if n < 0 {
        let e = io::Error::last_os_error();
        assert!(e.raw_os_error() == Some(libc::EAGAIN), "{e}");
    }
    assert!(n == 8);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_signal_read_ours(world: &World) {
    let info = black_box(world.signals.try_read().unwrap()).unwrap();
    assert!(info.signal() == Signal::USR1);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_signal_read_by_hand(world: &World) {
    let mut info = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let n = read(world.signals.as_raw_fd(), info.as_mut_ptr().cast(), 128).unwrap();
    assert!(n == Some(128));
    // SAFETY: the kernel wrote all of it.
    let info = black_box(unsafe { info.assume_init() });
    assert!(info.ssi_signo == libc::SIGUSR1 as u32);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_inotify_parse_ours(world: &World) {
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
extern "C-unwind" fn cost_inotify_parse_by_hand(world: &World) {
    let batch = black_box(&world.changes);
    let (mut at, mut bytes) = (batch.as_ptr(), 0);
    let end = batch.as_ptr_range().end;
    // As inotify(7) shows it, trusting the kernel's lengths.
    while at < end {
        // SAFETY: the kernel writes whole events, each with a name of the length it says, ended by a NUL.
        unsafe {
            let head = at.cast::<libc::inotify_event>().read_unaligned();
            let name = at.add(size_of::<libc::inotify_event>());
            if head.mask & libc::IN_Q_OVERFLOW == 0 {
                bytes += if head.len > 0 { libc::strlen(name.cast()) } else { 0 } + head.mask as usize;
            }
            at = name.add(head.len as usize);
        }
    }
    black_box(bytes);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_udp_echo_ours(world: &World) {
    let mut buf = [0; 64];
    assert!(world.socket.try_send(b"hello").unwrap() == Some(5));
    let received = world.socket.try_recv(&mut buf).unwrap().unwrap();
    assert!(black_box(&buf[..received.len()]).len() == 5 && !received.is_truncated());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C-unwind" fn cost_udp_echo_by_hand(world: &World) {
    let fd = world.socket.as_raw_fd();
    let mut buf = [0u8; 64];
    let data = b"hello";
    // SAFETY: both buffers are live locals, passed with their lengths.
    unsafe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let n = libc::send(fd, data.as_ptr().cast(), data.len(), flags);
        assert!(n == 5, "{}", io::Error::last_os_error());
        let n = libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT | libc::MSG_TRUNC);
        assert!(n == 5, "{}", io::Error::last_os_error());
        assert!(black_box(&buf[..n as usize]).len() == 5);
    }
}

/// A name, what goes before each call and is not counted, and the call.
type Case = (&'static str, fn(), extern "C-unwind" fn(&World));

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
];

fn nothing() {}

fn raise_it() {
    raise(Signal::USR1).unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = args.as_slice() else {
        CASES.iter().for_each(|(name, ..)| println!("{name}"));
        return;
    };
    let (_, before, call) = CASES.iter().find(|(case, ..)| case == name).expect("a case of the list");
    let world = World::new();
    for _ in 0..count.parse::<u32>().expect("a number") {
        before();
        call(&world);
    }
}
