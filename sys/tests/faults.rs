//! System calls that fail, by fault injection of strace: the error reaches the caller with its code, nothing panics, no
//! descriptor leaks, and the object goes on as if nothing had been.
//!
//! The tests run this very program under strace, as a probe: it makes an object, says "from here" by a call that
//! nothing else makes, does one thing twice and prints what came of it. strace makes the first of the two fail.

#[path = "common/descriptors.rs"]
mod descriptors;

#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::cmsg::{self, Batch, Incoming, Outgoing, Packet};
use becket_sys::epoll::{Epoll, Trigger};
use becket_sys::event::Event;
use becket_sys::file::{IoFlags, read_vectored_at, unnamed};
use becket_sys::inotify::{Inotify, Mask, Options};
use becket_sys::memfd::Memfd;
use becket_sys::process::Child;
use becket_sys::signal::{Signal, SignalSet, Signals, raise};
use becket_sys::timer::{Clock, Timer, When};
use becket_sys::{
    EventBuf, Ready, Reserve, fanotify, gpio, input, mounts, netlink, pipe, psi, pty, serial, tcp, udp, unix, wait,
};
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

const PROBE: &str = "BECKET_FAULT_PROBE";

fn main() {
    if let Ok(name) = std::env::var(PROBE) {
        let before = open_descriptors();
        let line = probe(&name);
        let leaked = open_descriptors() as isize - before as isize;
        println!("{line}{}", if leaked == 0 { String::new() } else { format!("; {leaked} descriptors leaked") });
        return;
    }
    main_thread::run(&[
        ("reads_and_writes", reads_and_writes),
        ("short_reads", short_reads),
        ("constructors_undo_their_steps", constructors_undo_their_steps),
        ("waits", waits),
    ]);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What strace may count from: nothing else asks for this.
fn from_here() {
    let _ = rustix::process::getpgid(None);
}

fn code<T, E: Into<io::Error>>(result: Result<T, E>, value: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(it) => value(it),
        Err(e) => {
            let e = e.into();
            e.raw_os_error().map_or_else(|| format!("{:?}", e.kind()), |code| format!("error {code}"))
        }
    }
}

/// Does one thing twice.
fn twice<T: Debug>(mut it: impl FnMut() -> io::Result<T>) -> String {
    from_here();
    let [first, second] = [it(), it()].map(|result| code(result, |value| format!("{value:?}")));
    format!("{first}, then {second}")
}

/// Makes something twice, and lets go of it each time.
fn make<T, E: Into<io::Error>>(mut it: impl FnMut() -> Result<T, E>) -> String {
    from_here();
    let [first, second] = [it(), it()].map(|result| code(result, |_| "made".into()));
    format!("{first}, then {second}")
}

fn tcp_pair() -> (tcp::Listener, tcp::Stream, tcp::Stream) {
    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let a = tcp::Stream::connect(listener.local_addr().unwrap()).unwrap().finish(None).unwrap();
    let b = listener.try_accept().unwrap().unwrap().0;
    (listener, a, b)
}

/// What stands in for a device: there is something to read.
fn stand_in(bytes: &[u8]) -> (OwnedFd, pipe::Writer) {
    let (reader, writer) = pipe::pair().unwrap();
    writer.try_write(bytes).unwrap();
    (reader.into(), writer)
}

/// The simulated chip of the virtual machine.
fn chip() -> Result<gpio::Chip, String> {
    let label =
        std::env::var_os("GPIO_SIM_LABEL").ok_or("not here: no simulated GPIO chip; scripts/test-vm has one")?;
    Ok(gpio::Chip::find(label).unwrap())
}

fn trigger() -> Result<psi::Trigger, becket_sys::SetupError> {
    let second = Duration::from_secs(1);
    psi::Trigger::open(psi::Resource::Memory.path(), psi::Kind::Some, second, 2 * second)
}

/// What it prints where the machine lacks something begins with "not here".
fn probe(name: &str) -> String {
    try_probe(name).unwrap_or_else(|why| why)
}

fn try_probe(name: &str) -> Result<String, String> {
    let mut buf = [0; 16];
    Ok(match name {
        "input" => {
            let (reader, _writer) = stand_in(&[0; input::Layout::NATIVE.record()]);
            let (device, mut buf) = (input::Device::from(reader), EventBuf::new());
            twice(|| {
                Ok(device.read_events(&mut buf)?.map(|batch| match batch {
                    input::Batch::Events(events) => events.count().to_string(),
                    input::Batch::Gone => "gone".into(),
                }))
            })
        }
        "input write" => {
            let (_reader, writer) = pipe::pair().unwrap();
            let device = input::Device::from(OwnedFd::from(writer));
            twice(|| device.write_events(&[input::Event::new(input::Kind::LED, 0, 1); 2]))
        }
        // No stand-in answers what a device is asked: that the answer is an error, too, is enough here.
        "input state" => {
            let device = input::Device::from(stand_in(b"").0);
            twice(|| device.name())
        }
        "input device" => {
            if std::env::var_os("BECKET_UINPUT").is_none() {
                return Err("not here: no input device to play with; scripts/test-vm has some".into());
            }
            let devices = std::fs::read_dir("/dev/input").unwrap().map(|entry| entry.unwrap().path());
            let mut devices = devices.filter(|path| path.to_str().is_some_and(|path| path.contains("event")));
            let Some(path) = devices.next() else { return Err("not here: no input device".into()) };
            make(|| input::Device::open(&path))
        }
        "gpio edges" => {
            let (reader, _writer) = stand_in(&[0; 2 * 48]);
            let (request, mut buf) = (gpio::Request::from_fd(reader, [0]), EventBuf::new());
            twice(|| Ok(request.read_events(&mut buf)?.map(|events| events.count())))
        }
        "gpio edge" => {
            let (reader, _writer) = stand_in(&[0; 2 * 48]);
            let request = gpio::Request::from_fd(reader, [0]);
            twice(|| Ok(request.try_read()?.map(|event| event.offset)))
        }
        "gpio values" => {
            let request = chip()?.request().line(0, gpio::LineConfig::input()).open().unwrap();
            twice(|| Ok(request.values()?.len()))
        }
        "gpio changes" => {
            let chip = chip()?;
            chip.watch(0).unwrap();
            drop(chip.request().line(0, gpio::LineConfig::input()).open().unwrap());
            let mut buf = EventBuf::new();
            twice(|| Ok(chip.read_events(&mut buf)?.map(|changes| changes.count())))
        }
        "gpio chip" => {
            let name = chip()?.info().name.clone();
            make(|| gpio::Chip::open(std::path::Path::new("/dev").join(&name)))
        }
        "gpio request" => {
            let chip = chip()?;
            make(|| chip.request().line(0, gpio::LineConfig::input()).open())
        }
        "pressure" | "pressure of a trigger" | "trigger" => {
            if let Err(e) = trigger() {
                return Err(format!("not here: {e}"));
            }
            let waiting = |pressure: psi::Pressure| pressure.some.is_some();
            match name {
                "pressure" => twice(|| psi::read(psi::Resource::Memory.path()).map(waiting)),
                "trigger" => make(trigger),
                _ => {
                    let trigger = trigger().unwrap();
                    twice(|| trigger.pressure().map(waiting))
                }
            }
        }
        "timer" => {
            let timer = Timer::new(Clock::Monotonic).unwrap();
            timer.set(When::After(Duration::ZERO), None).unwrap();
            timer.wait_ready(Ready::READ, None).unwrap();
            twice(|| timer.try_read())
        }
        "event" => {
            let event = Event::new().unwrap();
            event.add(5).unwrap();
            twice(|| event.try_read())
        }
        "event add" => {
            let event = Event::new().unwrap();
            twice(|| event.add(5)) + &format!(", so {:?}", event.try_read().unwrap())
        }
        "signal" => {
            let signals = Signals::new(Signal::USR1).unwrap();
            raise(Signal::USR1).unwrap();
            twice(|| signals.try_read().map(|info| info.map(|info| info.signal())))
        }
        "inotify" => {
            let inotify = Inotify::new().unwrap();
            let file = std::env::temp_dir().join(format!("becket-faults-{}", std::process::id()));
            std::fs::write(&file, "").unwrap();
            inotify.add(&file, Mask::ATTRIB | Mask::DELETE_SELF, Options::empty()).unwrap();
            std::fs::remove_file(&file).unwrap();
            let mut buf = EventBuf::new();
            twice(|| Ok(inotify.read_events(&mut buf)?.map(|events| events.count() > 0)))
        }
        "pipe" => {
            let (reader, writer) = pipe::pair().unwrap();
            writer.try_write(b"abc").unwrap();
            twice(|| reader.try_read(&mut buf))
        }
        "pipe write" => {
            let (_reader, writer) = pipe::pair().unwrap();
            twice(|| writer.try_write(b"abc"))
        }
        "tcp" => {
            let (_listener, a, b) = tcp_pair();
            a.try_write(b"abc").unwrap();
            twice(|| b.try_read(&mut buf))
        }
        "tcp urgent" => {
            let (_listener, a, b) = tcp_pair();
            a.try_send_urgent(b"!").unwrap();
            twice(|| b.try_recv_urgent())
        }
        "tcp write" => {
            let (_listener, _a, b) = tcp_pair();
            twice(|| b.try_write(b"abc"))
        }
        "udp" => {
            let socket = udp::Socket::bind(([127, 0, 0, 1], 0)).unwrap();
            socket.try_send_to(b"abc", socket.local_addr().unwrap()).unwrap();
            twice(|| Ok(socket.try_recv_from(&mut buf)?.map(|(received, _)| received.len())))
        }
        "descriptor" => {
            let (a, b) = unix::Seqpacket::pair().unwrap();
            let mut out = Outgoing::new();
            out.push_fds(&[a.as_fd(), b.as_fd()]).unwrap();
            a.try_send_with(b"abc", &out).unwrap();
            let mut control = Incoming::new();
            twice(|| Ok(b.try_recv_with(&mut buf, &mut control)?.map(|_| control.fds().len())))
        }
        "descriptor sent" => {
            let (a, b) = unix::Seqpacket::pair().unwrap();
            let mut out = Outgoing::new();
            out.push_fds(&[a.as_fd(), b.as_fd()]).unwrap();
            twice(|| a.try_send_with(b"abc", &out))
        }
        "udp batch" => {
            let socket = udp::Socket::bind(([127, 0, 0, 1], 0)).unwrap();
            socket.try_send_to(b"abc", socket.local_addr().unwrap()).unwrap();
            let mut batch = Batch::new(4, 16, 64);
            twice(|| socket.try_recv_batch(&mut batch))
        }
        "udp batch sent" => {
            let socket = udp::Socket::bind(([127, 0, 0, 1], 0)).unwrap();
            let to = socket.local_addr().unwrap();
            twice(|| cmsg::try_send_batch(&socket, &[Packet::new(b"abc").to(to), Packet::new(b"de").to(to)]))
        }
        "tcp vectored" => {
            let (_listener, a, b) = tcp_pair();
            a.try_write(b"abc").unwrap();
            twice(|| b.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]))
        }
        "controller" => {
            let (controller, terminal) = pty::pair().unwrap();
            terminal.try_write(b"abc").unwrap();
            twice(|| controller.try_read(&mut buf))
        }
        "packet" => {
            let (controller, terminal) = pty::pair().unwrap();
            controller.set_packet_mode(true).unwrap();
            terminal.try_write(b"abc").unwrap();
            twice(|| controller.try_read_packet(&mut buf))
        }
        "terminal" => {
            let (controller, terminal) = pty::pair().unwrap();
            controller.try_write(b"abc\n").unwrap();
            terminal.wait_ready(Ready::READ, None).unwrap();
            twice(|| terminal.try_read(&mut buf))
        }
        "serial" => {
            let controller = pty::Controller::open().unwrap();
            let port = serial::Port::open(controller.terminal_path().unwrap(), 9600).unwrap();
            controller.try_write(b"abc").unwrap();
            port.wait_ready(Ready::READ, None).unwrap();
            twice(|| port.try_read(&mut buf))
        }
        "serial write" => {
            let controller = pty::Controller::open().unwrap();
            let port = serial::Port::open(controller.terminal_path().unwrap(), 9600).unwrap();
            twice(|| port.try_write(b"abc"))
        }
        "netlink read" => {
            let socket = netlink::Socket::new(netlink::Protocol::ROUTE).unwrap();
            let mut buf = EventBuf::with_capacity(32768);
            // An unknown request is answered by an error, at once.
            socket.try_send(&netlink::Request::new(0x3ff, netlink::Flags::ACK)).unwrap();
            twice(|| {
                Ok(match socket.try_recv(&mut buf)? {
                    Some(netlink::Incoming::Datagram(datagram)) => datagram.messages().count().to_string(),
                    Some(_) => "overflow".into(),
                    None => "none".into(),
                })
            })
        }
        "fanotify read" => {
            let group = fanotify::Fanotify::builder().report(fanotify::Report::FID).open().unwrap();
            let file = std::env::temp_dir().join(format!("becket-faults-{}.fanotify", std::process::id()));
            std::fs::write(&file, "").unwrap();
            group.add(fanotify::Scope::Inode, &file, fanotify::Mask::OPEN, fanotify::Options::empty()).unwrap();
            drop(std::fs::File::open(&file).unwrap());
            let mut buf = EventBuf::new();
            let line = twice(|| Ok(group.read_events(&mut buf)?.map(|events| events.count())));
            std::fs::remove_file(&file).unwrap();
            line
        }
        "file" => {
            let file = unnamed(std::env::temp_dir()).unwrap();
            (&file).write_all(b"abc").unwrap();
            twice(|| read_vectored_at(&file, &mut [IoSliceMut::new(&mut buf)], Some(0), IoFlags::empty()))
        }
        "mounts read" => {
            let watcher = mounts::Watcher::new().unwrap();
            twice(|| Ok(watcher.read()?.iter().count() > 0))
        }
        "sysfs" => {
            // A folder is enough to read from.
            let folder = std::env::temp_dir().join(format!("becket-faults-{}.gpio", std::process::id()));
            std::fs::create_dir_all(folder.join("gpio7")).unwrap();
            std::fs::write(folder.join("gpio7/value"), "1\n").unwrap();
            let line = gpio::sysfs::Class::at(&folder).open(7).unwrap();
            let said = twice(|| line.value());
            std::fs::remove_dir_all(&folder).unwrap();
            said
        }
        "accept" => {
            let (listener, ..) = tcp_pair();
            let _waiting = tcp::Stream::connect(listener.local_addr().unwrap()).unwrap().finish(None).unwrap();
            twice(|| Ok(listener.try_accept()?.is_some()))
        }
        "turn away" => {
            let (listener, ..) = tcp_pair();
            let reserve = Reserve::new().unwrap();
            let _waiting = tcp::Stream::connect(listener.local_addr().unwrap()).unwrap().finish(None).unwrap();
            twice(|| reserve.turn_away(&listener))
        }
        "connect" => {
            let (listener, ..) = tcp_pair();
            let addr = listener.local_addr().unwrap();
            make(|| tcp::Stream::connect(addr)?.finish(Some(Instant::now() + Duration::from_secs(5))))
        }
        "Timer" => make(|| Timer::new(Clock::Monotonic)),
        "Event" => make(Event::new),
        "Signals" => make(|| Signals::new(Signal::USR2)) + &format!(", blocked: {:?}", SignalSet::blocked()),
        "Inotify" => make(Inotify::new),
        "watch" => {
            let inotify = Inotify::new().unwrap();
            make(|| inotify.add(std::env::temp_dir(), Mask::CREATE, Options::empty()))
        }
        "Child" => {
            let mut command = Command::new("/bin/true");
            let line = make(|| {
                let child = Child::spawn(&mut command)?;
                child.wait(None).map_err(|e| becket_sys::SetupError::new("wait", "true", e))
            });
            // A child that nobody waits for would still be there.
            let left = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
            line + &format!(", {}", if left.is_err() { "no child left" } else { "a zombie" })
        }
        "pty" => make(pty::pair),
        "pipe pair" => make(pipe::pair),
        "tcp listener" => make(|| tcp::Listener::bind(([127, 0, 0, 1], 0))),
        "udp socket" => make(|| udp::Socket::builder().reuse_address(true).bind(([127, 0, 0, 1], 0))),
        "unix listener" => {
            let path = std::env::temp_dir().join(format!("becket-faults-{}.socket", std::process::id()));
            let addr = unix::Address::pathname(&path).unwrap();
            make(|| unix::Listener::builder().unlink_on_drop(true).bind(&addr))
        }
        "unix pair" => make(unix::Seqpacket::pair),
        "netlink" => make(|| netlink::Socket::new(netlink::Protocol::ROUTE)),
        "memfd" => make(|| Memfd::new("becket")),
        "mounts" => make(mounts::Watcher::new),
        "fanotify" => make(|| fanotify::Fanotify::builder().report(fanotify::Report::DFID_NAME).open()),
        "clone" => {
            let event = Event::new().unwrap();
            make(|| event.try_clone())
        }
        "Epoll" => make(Epoll::new),
        "Epoll add" => {
            let (set, event) = (Epoll::new().unwrap(), Event::new().unwrap());
            make(|| {
                set.add(&event, 1, Ready::READ, Trigger::empty())?;
                set.delete(&event)
            })
        }
        "wait" => {
            let event = Event::new().unwrap();
            event.add(1).unwrap();
            twice(|| wait(&event, Ready::READ, Some(Instant::now() + Duration::from_secs(5))))
        }
        "wait in vain" => {
            let event = Event::new().unwrap();
            let deadline = Instant::now() + Duration::from_millis(30);
            let line = twice(|| wait(&event, Ready::READ, Some(deadline)));
            line + if Instant::now() >= deadline { ", not early" } else { ", early" }
        }
        "child wait" => {
            let child = Child::spawn(&mut Command::new("/bin/true")).unwrap();
            child.wait_ready(Ready::READ, None).unwrap();
            twice(|| Ok(child.try_wait()?.map(|status| status.success())))
        }
        _ => panic!("no probe {name:?}"),
    })
}

/// Runs a probe under strace with its arguments; what the probe printed, and what strace wrote.
fn strace(probe: &str, calls: &str, inject: Option<&str>) -> io::Result<(String, String)> {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("becket-faults-{}-{run}", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "signal=none", "-e", &format!("trace={calls}"), "-o"]).arg(&log);
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    let output = command.arg(std::env::current_exe()?).env(PROBE, probe).env("RUST_BACKTRACE", "0").output()?;
    let trace = std::fs::read_to_string(&log);
    let _ = std::fs::remove_file(&log);
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(io::Error::other(format!("{said} {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok((said, trace?))
}

/// Each case: a probe, a system call, how its first use from the mark on goes wrong, and what the probe then prints.
fn check(test: &str, cases: &[(&str, &str, &str, &str)]) {
    if cfg!(target_arch = "x86") {
        return println!("SKIP: {test}: on 32-bit x86 all that sockets do is one system call");
    }
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|output| output.status.success()) {
        return println!("SKIP: {test}: strace is not here, or may not trace");
    }
    let mut wrong = Vec::new();
    let mut known = HashMap::new();
    for (probe, call, fault, expected) in cases {
        let probed = known.entry((probe, call)).or_insert_with(|| {
            let (said, trace) = strace(probe, &format!("?{},getpgid", call.replace('|', ",?")), None).unwrap();
            if said.starts_with("not here") {
                println!("SKIP: {test}: {probe}: {said}");
                return None;
            }
            let lines: Vec<_> = trace.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
            let mark = lines.iter().position(|name| *name == "getpgid").unwrap_or_else(|| panic!("{probe}: no mark"));
            // Processors differ in which of two calls they have.
            let call = *lines.get(mark + 1).unwrap_or_else(|| panic!("{probe}: makes no {call}"));
            // The same calls come before the mark each time: the loader's and the library's.
            Some((call.to_owned(), lines[..mark].iter().filter(|name| **name == call).count()))
        });
        let Some((call, before)) = &*probed else { continue };
        let (said, trace) = strace(probe, call, Some(&format!("{call}:{fault}:when={}", before + 1)))
            .unwrap_or_else(|e| panic!("{probe}, {call} {fault}: {e}"));
        assert_eq!(trace.matches("(INJECTED)").count(), 1, "{probe}, {call} {fault}: {trace}");
        if said != *expected {
            wrong.push(format!("{probe}, {call} {fault}: {said:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn reads_and_writes() {
    check(
        "reads_and_writes",
        &[
            ("timer", "read", "error=EINTR", "error 4, then Some(Expired(1))"),
            ("timer", "read", "error=EAGAIN", "None, then Some(Expired(1))"),
            ("timer", "read", "error=ECANCELED", "Some(ClockChanged), then Some(Expired(1))"),
            ("timer", "read", "error=ENOMEM", "error 12, then Some(Expired(1))"),
            ("event", "read", "error=EAGAIN", "None, then Some(5)"),
            ("event", "read", "error=EIO", "error 5, then Some(5)"),
            ("event add", "write", "error=EAGAIN", "false, then true, so Some(5)"),
            ("event add", "write", "error=EINTR", "error 4, then true, so Some(5)"),
            ("signal", "read", "error=EAGAIN", "None, then Some(SIGUSR1)"),
            ("signal", "read", "error=EINTR", "error 4, then Some(SIGUSR1)"),
            ("inotify", "read", "error=EAGAIN", "None, then Some(true)"),
            ("inotify", "read", "error=ENOMEM", "error 12, then Some(true)"),
            ("pipe", "read", "error=EINTR", "error 4, then Some(3)"),
            ("pipe", "read", "error=EAGAIN", "None, then Some(3)"),
            ("pipe", "read", "error=EIO", "error 5, then Some(3)"),
            ("pipe write", "write", "error=EAGAIN", "None, then Some(3)"),
            ("pipe write", "write", "error=EPIPE", "error 32, then Some(3)"),
            ("tcp", "recvfrom", "error=EINTR", "Some(3), then None"),
            ("tcp", "recvfrom", "error=EAGAIN", "None, then Some(3)"),
            ("tcp", "recvfrom", "error=ENOMEM", "error 12, then Some(3)"),
            ("tcp urgent", "recvfrom", "error=EINVAL", "None, then Some(33)"),
            ("tcp urgent", "recvfrom", "error=ENOMEM", "error 12, then Some(33)"),
            ("tcp write", "sendto", "error=EINTR", "Some(3), then Some(3)"),
            ("tcp write", "sendto", "error=ENOBUFS", "error 105, then Some(3)"),
            ("udp", "recvfrom", "error=EINTR", "Some(3), then None"),
            ("udp", "recvfrom", "error=ECONNREFUSED", "error 111, then Some(3)"),
            ("udp batch", "recvmmsg", "error=EINTR", "Some(1), then None"),
            ("udp batch", "recvmmsg", "error=ENOMEM", "error 12, then Some(1)"),
            ("udp batch sent", "sendmmsg", "error=EINTR", "Some(2), then Some(2)"),
            ("udp batch sent", "sendmmsg", "error=ENOBUFS", "error 105, then Some(2)"),
            ("tcp vectored", "recvmsg", "error=EINTR", "Some(3), then None"),
            ("tcp vectored", "recvmsg", "error=ENOMEM", "error 12, then Some(3)"),
            ("controller", "read", "error=EINTR", "Some(3), then None"),
            ("controller", "read", "error=EAGAIN", "None, then Some(3)"),
            ("controller", "read", "error=ENOMEM", "error 12, then Some(3)"),
            ("packet", "readv", "error=EINTR", "Some(Data(3)), then None"),
            ("packet", "readv", "error=ENOMEM", "error 12, then Some(Data(3))"),
            ("terminal", "read", "error=EINTR", "Some(4), then None"),
            ("terminal", "read", "error=EIO", "error 5, then Some(4)"),
            ("serial", "read", "error=EINTR", "Some(3), then None"),
            ("serial", "read", "error=EAGAIN", "None, then Some(3)"),
            ("serial", "read", "error=EIO", "error 5, then Some(3)"),
            ("serial write", "write", "error=EINTR", "Some(3), then Some(3)"),
            ("serial write", "write", "error=EIO", "error 5, then Some(3)"),
            ("netlink read", "recvmsg", "error=EINTR", "\"1\", then \"none\""),
            ("netlink read", "recvmsg", "error=ENOBUFS", "\"overflow\", then \"1\""),
            ("netlink read", "recvmsg", "error=ENOMEM", "error 12, then \"1\""),
            ("fanotify read", "read", "error=EAGAIN", "None, then Some(1)"),
            ("fanotify read", "read", "error=EMFILE", "error 24, then Some(1)"),
            ("file", "preadv2", "error=EINTR", "error 4, then Some(3)"),
            ("file", "preadv2", "error=EIO", "error 5, then Some(3)"),
            ("mounts read", "pread64", "error=EINTR", "true, then true"),
            ("mounts read", "pread64", "error=ENOMEM", "error 12, then true"),
            ("sysfs", "pread64", "error=EINTR", "true, then true"),
            ("sysfs", "pread64", "error=ENODEV", "error 19, then true"),
            ("descriptor", "recvmsg", "error=EINTR", "Some(2), then None"),
            ("descriptor", "recvmsg", "error=EAGAIN", "None, then Some(2)"),
            ("descriptor", "recvmsg", "error=ENOMEM", "error 12, then Some(2)"),
            ("descriptor sent", "sendmsg", "error=EINTR", "Some(3), then Some(3)"),
            ("descriptor sent", "sendmsg", "error=EAGAIN", "None, then Some(3)"),
            ("descriptor sent", "sendmsg", "error=ETOOMANYREFS", "error 109, then Some(3)"),
            ("accept", "accept4", "error=EINTR", "true, then false"),
            ("accept", "accept4", "error=ECONNABORTED", "true, then false"),
            ("accept", "accept4", "error=EMFILE", "error 24, then true"),
            ("accept", "accept4", "error=ENOMEM", "error 12, then true"),
            ("turn away", "accept4", "error=EMFILE", "error 24, then true"),
            ("turn away", "open|openat", "error=EMFILE", "true, then false"),
            ("child wait", "waitid", "error=EINTR", "Some(true), then Some(true)"),
            ("input", "read", "error=EINTR", "error 4, then Some(\"1\")"),
            ("input", "read", "error=EAGAIN", "None, then Some(\"1\")"),
            ("input", "read", "error=ENOMEM", "error 12, then Some(\"1\")"),
            ("input", "read", "error=ENODEV", "Some(\"gone\"), then Some(\"1\")"),
            ("input write", "write", "error=EINTR", "2, then 2"),
            ("input write", "write", "error=ENODEV", "error 19, then 2"),
            ("input state", "ioctl", "error=ENODEV", "error 19, then error 25"),
            ("gpio edges", "read", "error=EINTR", "error 4, then Some(2)"),
            ("gpio edges", "read", "error=EAGAIN", "None, then Some(2)"),
            ("gpio edges", "read", "error=ENOMEM", "error 12, then Some(2)"),
            ("gpio edges", "read", "error=ENODEV", "error 19, then Some(2)"),
            ("gpio edge", "read", "error=EINTR", "error 4, then Some(0)"),
            ("gpio edge", "read", "error=EAGAIN", "None, then Some(0)"),
            ("gpio changes", "read", "error=EINTR", "error 4, then Some(2)"),
            ("gpio changes", "read", "error=EAGAIN", "None, then Some(2)"),
            ("gpio changes", "read", "error=ENODEV", "error 19, then Some(2)"),
            ("gpio values", "ioctl", "error=EIO", "error 5, then 1"),
            ("gpio values", "ioctl", "error=ENODEV", "error 19, then 1"),
            ("pressure", "pread64", "error=EINTR", "true, then true"),
            ("pressure", "open|openat", "error=EMFILE", "error 24, then true"),
            ("pressure of a trigger", "pread64", "error=EINTR", "true, then true"),
            ("pressure of a trigger", "pread64", "error=ENODEV", "error 19, then true"),
            ("pressure of a trigger", "pread64", "error=ENOMEM", "error 12, then true"),
        ],
    );
}

/// What no kernel does: a call that says it moved less, or more, than there is.
fn short_reads() {
    check(
        "short_reads",
        &[
            ("timer", "read", "retval=4", "Some(Expired(0)), then Some(Expired(1))"),
            ("event", "read", "retval=4", "Some(0), then Some(5)"),
            ("signal", "read", "retval=64", "error 5, then Some(SIGUSR1)"),
            ("udp", "recvfrom", "retval=0", "error 97, then Some(3)"),
            ("inotify", "read", "retval=8", "Some(false), then Some(true)"),
            ("inotify", "read", "retval=0", "Some(false), then Some(true)"),
            ("mounts read", "pread64", "retval=0", "false, then true"),
            ("netlink read", "recvmsg", "retval=4", "\"0\", then \"1\""),
            ("fanotify read", "read", "retval=8", "InvalidData, then Some(1)"),
            ("packet", "readv", "retval=0", "Some(End), then Some(Data(3))"),
            ("controller", "read", "retval=1", "Some(1), then Some(3)"),
            ("tcp", "recvfrom", "retval=1", "Some(1), then Some(3)"),
            ("tcp write", "sendto", "retval=1", "Some(1), then Some(3)"),
            ("pipe write", "write", "retval=2", "Some(2), then Some(3)"),
            ("input", "read", "retval=5", "Some(\"0\"), then Some(\"1\")"),
            ("input", "read", "retval=0", "Some(\"0\"), then Some(\"1\")"),
            ("gpio edges", "read", "retval=47", "Some(0), then Some(2)"),
            ("gpio edge", "read", "retval=47", "None, then Some(0)"),
            ("gpio changes", "read", "retval=47", "Some(0), then Some(2)"),
            ("pressure of a trigger", "pread64", "retval=0", "InvalidData, then true"),
        ],
    );
}

fn constructors_undo_their_steps() {
    check(
        "constructors_undo_their_steps",
        &[
            ("Timer", "timerfd_create", "error=EMFILE", "error 24, then made"),
            ("Event", "eventfd2", "error=ENFILE", "error 23, then made"),
            ("Signals", "signalfd4", "error=EMFILE", "error 24, then made, blocked: {}"),
            ("Inotify", "inotify_init1", "error=EMFILE", "error 24, then made"),
            ("watch", "inotify_add_watch", "error=ENOSPC", "error 28, then made"),
            ("Child", "pidfd_open", "error=EMFILE", "error 24, then made, no child left"),
            ("Child", "pidfd_open", "error=ENOMEM", "error 12, then made, no child left"),
            ("pty", "open|openat", "error=EMFILE", "error 24, then made"),
            ("pty", "ioctl", "error=EIO", "error 5, then made"),
            ("pipe pair", "pipe2", "error=EMFILE", "error 24, then made"),
            ("tcp listener", "socket", "error=EMFILE", "error 24, then made"),
            ("tcp listener", "setsockopt", "error=ENOMEM", "error 12, then made"),
            ("tcp listener", "bind", "error=EADDRINUSE", "error 98, then made"),
            ("tcp listener", "listen", "error=EADDRINUSE", "error 98, then made"),
            ("udp socket", "setsockopt", "error=ENOMEM", "error 12, then made"),
            ("connect", "connect", "error=EADDRNOTAVAIL", "error 99, then made"),
            ("connect", "connect", "error=EINTR", "error 107, then made"),
            ("unix listener", "bind", "error=EADDRINUSE", "error 98, then made"),
            ("unix listener", "listen", "error=ENOMEM", "error 12, then made"),
            ("unix pair", "socketpair", "error=ENFILE", "error 23, then made"),
            ("netlink", "bind", "error=EADDRINUSE", "error 98, then made"),
            ("memfd", "memfd_create", "error=ENOMEM", "error 12, then made"),
            ("mounts", "open|openat", "error=EMFILE", "error 24, then made"),
            ("fanotify", "fanotify_init", "error=EMFILE", "error 24, then made"),
            ("clone", "fcntl", "error=EMFILE", "error 24, then made"),
            ("input device", "open|openat", "error=EMFILE", "error 24, then made"),
            ("input device", "ioctl", "error=ENODEV", "error 19, then made"),
            ("gpio chip", "open|openat", "error=EMFILE", "error 24, then made"),
            ("gpio chip", "ioctl", "error=ENODEV", "error 19, then made"),
            ("gpio request", "ioctl", "error=EMFILE", "error 24, then made"),
            ("gpio request", "ioctl", "error=ENOMEM", "error 12, then made"),
            ("gpio request", "fcntl", "error=EIO", "error 5, then made"),
            ("trigger", "open|openat", "error=EMFILE", "error 24, then made"),
            ("trigger", "write", "error=EINTR", "made, then made"),
            ("trigger", "write", "error=EBUSY", "error 16, then made"),
            ("trigger", "write", "error=ENOMEM", "error 12, then made"),
            ("Epoll", "epoll_create1", "error=EMFILE", "error 24, then made"),
            ("Epoll add", "epoll_ctl", "error=ENOSPC", "error 28, then made"),
            ("Epoll add", "epoll_ctl", "error=ENOMEM", "error 12, then made"),
        ],
    );
}

fn waits() {
    check(
        "waits",
        &[
            ("wait", "ppoll", "error=EINTR", "Some(Ready(READ)), then Some(Ready(READ))"),
            ("wait", "ppoll", "error=ENOMEM", "error 12, then Some(Ready(READ))"),
            ("wait in vain", "ppoll", "error=EINTR", "None, then None, not early"),
            ("wait in vain", "ppoll", "retval=0", "None, then None, not early"),
        ],
    );
}
