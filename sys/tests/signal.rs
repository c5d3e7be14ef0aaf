//! signalfd(2) as it behaves at its edges. Each test runs in the main thread: a signal sent to the process would
//! otherwise act in a thread of the test harness.

#[path = "common/descriptors.rs"]
mod descriptors;

#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::process::{Change, Child, WaitFor};
use becket_sys::signal::{CommandSignalExt, MaskGuard, SigInfo, Signal, SignalSet, Signals};
use becket_sys::signal::{act_by_default, parse, queue, raise, send, send_to_group};
use becket_sys::{EventBuf, Ready, wait};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio, id};
use std::time::Instant;

const TESTS: &[(&str, fn())] = &[
    ("standard_signals_coalesce", standard_signals_coalesce),
    ("real_time_signals_queue_with_their_values", real_time_signals_queue_with_their_values),
    ("a_batch_holds_what_fits", a_batch_holds_what_fits),
    ("a_buffer_too_small_for_one_is_invalid", a_buffer_too_small_for_one_is_invalid),
    ("kill_and_stop_cannot_be_read", kill_and_stop_cannot_be_read),
    ("children_inherit_the_mask_unless_it_is_reset", children_inherit_the_mask_unless_it_is_reset),
    ("a_child_that_ends_is_told_with_its_status", a_child_that_ends_is_told_with_its_status),
    ("what_is_pending_is_discarded_before_it_is_unblocked", what_is_pending_is_discarded_before_it_is_unblocked),
    ("guards_end_in_any_order", guards_end_in_any_order),
    ("what_was_blocked_before_stays_blocked", what_was_blocked_before_stays_blocked),
    ("every_field_is_told_where_it_means_something", every_field_is_told_where_it_means_something),
    ("the_set_can_change_in_place", the_set_can_change_in_place),
    ("a_guard_discards_only_where_it_is_asked_to", a_guard_discards_only_where_it_is_asked_to),
    ("the_default_action_is_seen_by_the_parent", the_default_action_is_seen_by_the_parent),
    ("a_ready_descriptor_is_told_and_words_are_read", a_ready_descriptor_is_told_and_words_are_read),
    // Leaves SIGUSR2 blocked.
    ("the_bare_descriptor_keeps_the_mask", the_bare_descriptor_keeps_the_mask),
    ("signals_for_another_thread_are_invisible", signals_for_another_thread_are_invisible),
    ("unknown_bytes_parse_to_something", unknown_bytes_parse_to_something),
    ("names_and_numbers", names_and_numbers),
];

fn main() {
    if let Ok(word) = std::env::var("BECKET_ACT_BY_DEFAULT") {
        let signal: Signal = word.parse().unwrap();
        let signals = Signals::new(signal); // not of SIGSTOP
        act_by_default(signal).unwrap();
        assert_eq!(SignalSet::blocked().contains(signal), signals.is_ok());
        return;
    }
    main_thread::run(TESTS);
}

fn kill_self(signal: Signal) {
    let signal = rustix::process::Signal::from_named_raw(signal.as_raw()).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

fn is_readable(signals: &Signals) -> bool {
    wait(signals, Ready::READ, Some(Instant::now())).unwrap().is_some()
}

fn standard_signals_coalesce() {
    let signals = Signals::new(Signal::USR1).unwrap();
    assert!(!is_readable(&signals));
    for _ in 0..5 {
        kill_self(Signal::USR1);
    }
    assert!(is_readable(&signals));
    let info = signals.try_read().unwrap().unwrap();
    assert_eq!((info.signal(), info.code()), (Signal::USR1, libc::SI_USER));
    assert_eq!((info.pid(), info.uid()), (Some(id()), Some(rustix::process::getuid().as_raw())));
    assert_eq!((info.value(), info.status()), (None, None));
    assert_eq!(signals.try_read().unwrap(), None);
    assert!(!is_readable(&signals));
}

fn real_time_signals_queue_with_their_values() {
    let (low, high) = (Signal::real_time(1).unwrap(), Signal::real_time(2).unwrap());
    let signals = Signals::new([low, high]).unwrap();
    for value in [3, -1, i32::MAX, i32::MIN, 0] {
        queue(id(), high, value).unwrap();
    }
    queue(id(), low, 42).unwrap();
    let mut buf = EventBuf::new();
    let batch: Vec<SigInfo> = signals.read_events(&mut buf).unwrap().unwrap().collect();
    let values: Vec<_> = batch.iter().map(|info| (info.signal(), info.value().unwrap())).collect();
    assert_eq!(values, [(low, 42), (high, 3), (high, -1), (high, i32::MAX), (high, i32::MIN), (high, 0)]);
    assert!(batch.iter().all(|info| info.pid() == Some(id()) && info.code() == libc::SI_QUEUE));
    assert_eq!(batch[0].pointer().map(|p| p.to_ne_bytes()[..4].to_vec()), Some(42i32.to_ne_bytes().to_vec()));
}

fn a_batch_holds_what_fits() {
    let signal = Signal::real_time(0).unwrap();
    let signals = Signals::new(signal).unwrap();
    for value in 0..5 {
        queue(id(), signal, value).unwrap();
    }
    // Room for two, and a bit.
    let mut buf = EventBuf::with_capacity(300);
    let mut sizes = Vec::new();
    while let Some(batch) = signals.read_events(&mut buf).unwrap() {
        sizes.push(batch.len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

fn a_buffer_too_small_for_one_is_invalid() {
    let signals = Signals::new(Signal::USR1).unwrap();
    kill_self(Signal::USR1);
    let mut buf = EventBuf::with_capacity(127);
    let e = signals.read_events(&mut buf).map(|_| ()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    assert!(signals.try_read().unwrap().is_some());
}

fn kill_and_stop_cannot_be_read() {
    let before = SignalSet::blocked();
    for signal in [Signal::KILL, Signal::STOP] {
        let e = Signals::new([Signal::USR1, signal]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(SignalSet::blocked(), before);
        drop(MaskGuard::block(signal));
    }
}

fn mask_of(command: &mut Command) -> String {
    let out = command.args(["SigBlk", "/proc/self/status"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split_whitespace().nth(1).unwrap().into()
}

fn children_inherit_the_mask_unless_it_is_reset() {
    let rt = Signal::real_time(0).unwrap();
    let signals = Signals::new([Signal::TERM, rt]).unwrap();
    let blocked = format!("{:016x}", 1u64 << (15 - 1) | 1 << (rt.as_raw() - 1));
    assert_eq!(mask_of(&mut Command::new("grep")), blocked, "by posix_spawn");
    // The standard library searches another PATH itself, after a fork.
    assert_eq!(mask_of(Command::new("grep").env("PATH", "/bin:/usr/bin")), blocked, "by fork and exec");
    assert_eq!(mask_of(Command::new("grep").reset_sigmask()), "0000000000000000");
    // The parent's own stays as it was.
    assert_eq!(SignalSet::blocked(), signals.set());
}

fn a_child_that_ends_is_told_with_its_status() {
    let signals = Signals::new(Signal::CHLD).unwrap();
    let mut child = Command::new("sh").args(["-c", "exit 7"]).reset_sigmask().spawn().unwrap();
    wait(&signals, Ready::READ, None).unwrap();
    let info = signals.try_read().unwrap().unwrap();
    assert_eq!((info.signal(), info.code()), (Signal::CHLD, libc::CLD_EXITED));
    assert_eq!((info.pid(), info.status()), (Some(child.id()), Some(7)));
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

/// Fails by ending the process.
fn what_is_pending_is_discarded_before_it_is_unblocked() {
    let rt = Signal::real_time(0).unwrap();
    let signals = Signals::new([Signal::TERM, Signal::USR1, rt]).unwrap();
    kill_self(Signal::TERM);
    raise(Signal::USR1).unwrap();
    queue(id(), rt, 1).unwrap();
    queue(id(), rt, 2).unwrap();
    drop(signals);
    assert!(SignalSet::blocked().is_empty());
    assert!(SignalSet::pending().is_empty());
}

fn guards_end_in_any_order() {
    let first = Signals::new([Signal::USR1, Signal::USR2]).unwrap();
    let second = MaskGuard::block([Signal::USR1, Signal::HUP]);
    kill_self(Signal::USR1);
    drop(first);
    assert_eq!(SignalSet::blocked(), SignalSet::from([Signal::USR1, Signal::HUP]));
    let third = Signals::new(Signal::USR1).unwrap();
    drop(second);
    assert_eq!(SignalSet::blocked(), SignalSet::from(Signal::USR1));
    // Nobody discarded what the others still waited for.
    assert_eq!(third.try_read().unwrap().unwrap().signal(), Signal::USR1);
    drop(third);
    assert!(SignalSet::blocked().is_empty());
}

fn what_was_blocked_before_stays_blocked() {
    let outer = MaskGuard::block(Signal::USR1);
    let inherited = std::thread::spawn(|| {
        let signals = Signals::new(Signal::USR1).unwrap();
        raise(Signal::USR1).unwrap();
        drop(signals);
        // Blocked by the parent, not here: neither unblocked nor discarded.
        (SignalSet::blocked(), SignalSet::pending())
    });
    let usr1 = SignalSet::from(Signal::USR1);
    assert_eq!(inherited.join().unwrap(), (usr1, usr1));
    drop(outer);
    assert!(SignalSet::blocked().is_empty());
}

fn the_bare_descriptor_keeps_the_mask() {
    let signals = Signals::new(Signal::USR2).unwrap();
    kill_self(Signal::USR2);
    let fd = OwnedFd::from(signals);
    assert!(SignalSet::blocked().contains(Signal::USR2));
    let mut buf = EventBuf::new();
    buf.fill_with(|space| rustix::io::read(&fd, space).map_err(io::Error::from)).unwrap();
    assert_eq!(parse(buf.as_bytes()).next().unwrap().signal(), Signal::USR2);
    assert!(fd.as_raw_fd() > 2);
}

fn signals_for_another_thread_are_invisible() {
    let signals = Signals::new(Signal::HUP).unwrap();
    let (sent, is_sent) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        raise(Signal::HUP).unwrap();
        sent.send(()).unwrap();
        let _ = ended.recv();
        SignalSet::pending()
    });
    is_sent.recv().unwrap();
    assert!(!is_readable(&signals));
    assert_eq!(signals.try_read().unwrap(), None);
    drop(end);
    assert!(other.join().unwrap().contains(Signal::HUP));
}

fn unknown_bytes_parse_to_something() {
    let infos: Vec<SigInfo> = parse(&[0xff; 300]).collect();
    assert_eq!(infos.len(), 2);
    assert_eq!(infos[0].signal().to_string(), "signal -1");
    assert_eq!(format!("{:?}", infos[0]), "SigInfo { signal: signal -1, code: -1, pid: 4294967295, value: -1, .. }");
    assert!(!SignalSet::from(infos[0].signal()).contains(Signal::HUP));
    assert_eq!(SignalSet::from(infos[0].signal()), SignalSet::new());
}

fn names_and_numbers() {
    assert_eq!(Signal::from_raw(32), None, "the C library's own");
    assert_eq!(Signal::from_raw(-1), None);
    assert_eq!(Signal::real_time(u32::MAX), None);
    let all: SignalSet = (0..=100).filter_map(Signal::from_raw).collect();
    assert!(all.iter().all(|signal| Signal::from_raw(signal.as_raw()) == Some(signal)));
    assert_eq!(all.iter().last().unwrap().as_raw(), libc::SIGRTMAX());
    assert_eq!(queue(u32::MAX, Signal::USR1, 0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(queue(i32::MAX as u32, Signal::USR1, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

/// A record with these numbers, each a field of `struct signalfd_siginfo` at its place.
fn record(fields: &[(usize, &[u8])]) -> SigInfo {
    let mut bytes = [0; 128];
    for (at, value) in fields {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    SigInfo::from(bytes)
}

fn every_field_is_told_where_it_means_something() {
    let head = |signal: i32, code: i32| [(0, signal.to_ne_bytes()), (8, code.to_ne_bytes())];
    let with = |signal: i32, code: i32, rest: &[(usize, &[u8])]| {
        let head = head(signal, code);
        let mut all: Vec<(usize, &[u8])> = head.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
        all.extend_from_slice(rest);
        record(&all)
    };
    let io = with(libc::SIGIO, 1, &[(20, &7i32.to_ne_bytes()), (28, &0x41u32.to_ne_bytes())]);
    assert_eq!(io.ready(), Some((7, Ready::from_bits_retain(0x41))));
    assert_eq!((io.pid(), io.timer(), io.address(), io.system_call(), io.times()), (None, None, None, None, None));
    assert_eq!(with(libc::SIGUSR1, 1, &[]).ready(), None);
    assert!(with(libc::SIGRTMIN() + 1, 3, &[]).ready().is_some(), "chosen by F_SETSIG");

    let timer = with(libc::SIGALRM, libc::SI_TIMER, &[(24, &3u32.to_ne_bytes()), (32, &9u32.to_ne_bytes())]);
    assert_eq!((timer.timer(), timer.pid(), timer.value()), (Some((3, 9)), None, Some(0)));
    let fault = with(libc::SIGSEGV, 1, &[(72, &0xdead_beefu64.to_ne_bytes())]);
    assert_eq!((fault.address(), fault.value()), (Some(0xdead_beef), None));
    assert_eq!(with(libc::SIGSEGV, libc::SI_USER, &[]).address(), None, "sent by kill");
    let child = with(libc::SIGCHLD, libc::CLD_KILLED, &[(56, &250u64.to_ne_bytes()), (64, &1u64.to_ne_bytes())]);
    let ms = std::time::Duration::from_millis;
    assert_eq!((child.times(), child.status()), (Some((ms(2500), ms(10))), Some(0)));
    let refused =
        with(libc::SIGSYS, 1, &[(84, &59i32.to_ne_bytes()), (88, &0x1234u64.to_ne_bytes()), (96, &[1, 2, 3, 4])]);
    assert_eq!(refused.system_call(), Some((59, u32::from_ne_bytes([1, 2, 3, 4]), 0x1234)));
    assert_eq!(with(libc::SIGUSR1, libc::SI_QUEUE, &[(4, &5i32.to_ne_bytes())]).errno(), 5);
}

fn the_set_can_change_in_place() {
    let signals = Signals::new([Signal::USR1, Signal::TERM]).unwrap();
    let other = MaskGuard::block(Signal::TERM);
    kill_self(Signal::USR1);
    kill_self(Signal::TERM);
    signals.change([Signal::USR1, Signal::HUP]).unwrap();
    assert_eq!(SignalSet::blocked(), SignalSet::from([Signal::USR1, Signal::HUP, Signal::TERM]));
    assert!(SignalSet::pending().contains(Signal::TERM), "somebody else still holds it");
    kill_self(Signal::HUP);
    let mut buf = EventBuf::new();
    let read: Vec<Signal> = signals.read_events(&mut buf).unwrap().unwrap().map(|info| info.signal()).collect();
    assert_eq!(read, [Signal::HUP, Signal::USR1], "what was pending of both sets");
    drop(other.discard_pending(true)); // and the process lives
    assert_eq!(signals.change(Signal::KILL).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(SignalSet::blocked(), signals.set());
    drop(signals);
    assert!(SignalSet::blocked().is_empty());
}

fn a_guard_discards_only_where_it_is_asked_to() {
    let outer = MaskGuard::block(Signal::WINCH);
    let inner = MaskGuard::block([Signal::WINCH, Signal::USR1]).discard_pending(true);
    kill_self(Signal::WINCH);
    kill_self(Signal::USR1);
    drop(inner); // and the process lives
    assert_eq!(SignalSet::pending(), SignalSet::from(Signal::WINCH), "not the last guard");
    drop(outer); // takes effect, which is none
    assert!((SignalSet::pending() | SignalSet::blocked()).is_empty());
}

fn the_default_action_is_seen_by_the_parent() {
    let start = |signal: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Child::spawn(command.env("BECKET_ACT_BY_DEFAULT", signal).stdin(Stdio::null())).unwrap()
    };
    let status = start("TERM").wait(None).unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    assert!(start("WINCH").wait(None).unwrap().unwrap().success(), "ignored by default");

    let child = start("STOP").kill_on_drop(true);
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    let stopped = loop {
        if let Some(change) = child.pid_fd().try_wait_for(WaitFor::STOPPED).unwrap() {
            break change;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert_eq!(stopped, Change::Stopped(Signal::STOP));
}

fn a_ready_descriptor_is_told_and_words_are_read() {
    // O_ASYNC with a real-time signal: the kernel fills in which descriptor, and for what.
    let signal = Signal::real_time(4).unwrap();
    let signals = Signals::new(signal).unwrap();
    let (reader, writer) = becket_sys::pipe::pair().unwrap();
    let fd = reader.as_raw_fd();
    const F_SETSIG: i32 = 10; // not in libc
    // SAFETY: no memory is passed; the descriptor is open.
    #[allow(unsafe_code)]
    let result = unsafe {
        [
            libc::fcntl(fd, libc::F_SETOWN, id() as i32),
            libc::fcntl(fd, F_SETSIG, signal.as_raw()),
            libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK),
        ]
    };
    assert_eq!(result, [0; 3]);
    writer.try_write(b"x").unwrap();
    let info = signals.try_read().unwrap().unwrap();
    let (number, ready) = info.ready().unwrap();
    assert_eq!((number, ready.is_readable()), (fd, true));

    send(id(), signal).unwrap();
    assert_eq!(signals.try_read().unwrap().unwrap().ready(), None);
    for wrong in [0, 1, u32::MAX] {
        assert_eq!(send_to_group(wrong, signal).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    assert_eq!(send(u32::MAX, signal).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    for (word, raw) in [("rtmin", libc::SIGRTMIN()), ("SIGRTMAX-2", libc::SIGRTMAX() - 2), ("64", 64), ("sigint", 2)] {
        assert_eq!(word.parse::<Signal>().unwrap().as_raw(), raw, "{word}");
    }
    for wrong in
        ["", "SIG", "RTMIN-1", "RTMIN+-1", "RTMIN+", "RTMAX+1", "RTMAX-99", "RTMIN+99999999999", "0", "-1", "32"]
    {
        assert!(wrong.parse::<Signal>().is_err(), "{wrong}");
    }
}
