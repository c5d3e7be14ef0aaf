//! System calls that fail, by fault injection of strace: the loop reports it, recovers, or ends operations with the
//! error; nothing is lost, nothing spins, no descriptor leaks.
//!
//! The tests run this very program under strace, as a probe: it makes what it needs, says "from here" by a call that
//! nothing else makes, does one thing twice and prints what came of it. strace makes the first call of a kind fail from
//! there on, or all of them.

mod common;

use becket_loop::backend::{Completions, Epoll};
use becket_loop::op::{Read, ReadVectored};
use becket_loop::{AddError, Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use std::error::Error;
use std::fs::File;
use std::io;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

const PROBE: &str = "BECKET_FAULT_PROBE";
const LONG: Duration = Duration::from_secs(20);

const TESTS: &[(&str, fn())] = &[
    ("entering_the_ring_fails", entering_the_ring_fails),
    ("making_the_ring_fails", making_the_ring_fails),
    ("a_ring_that_takes_nothing_spins_not", a_ring_that_takes_nothing_spins_not),
    ("waits_fail", waits_fail),
    ("the_set_is_full", the_set_is_full),
    ("constructors_undo_their_steps", constructors_undo_their_steps),
];

fn main() {
    if let Ok(name) = std::env::var(PROBE) {
        let before = open_descriptors();
        let line = probe(&name);
        let leaked = open_descriptors() as isize - before as isize;
        println!("{line}{}", if leaked == 0 { String::new() } else { format!("; {leaked} descriptors leaked") });
        return;
    }
    common::run(TESTS);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What strace may count from: nothing else asks for this.
fn from_here() {
    let _ = rustix::process::getpgid(None);
}

/// A system's error somewhere behind another one, by its code.
fn code(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(code) = e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return format!("error {code}");
        }
        cause = e.source();
    }
    format!("{error:?}")
}

fn told<T>(result: Result<T, impl Error + 'static>, value: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|e| code(&e), value)
}

/// Does one thing twice.
fn twice(mut it: impl FnMut() -> String) -> String {
    from_here();
    let first = it();
    format!("{first}, then {}", it())
}

/// Makes something twice, and lets go of it each time.
fn make<T>(mut it: impl FnMut() -> io::Result<T>) -> String {
    twice(|| told(it(), |_| "made".into()))
}

/// Reads three bytes of a file, at an offset.
fn submit(event_loop: &mut Loop<String>) {
    let file = File::open("/proc/self/exe").unwrap();
    event_loop.submit(Read::new(file, vec![0; 3], Some(1)), |log, _, end| {
        assert_eq!(end.buf.len(), 3);
        Ok(*log = told(end.result, |n| n.to_string()))
    });
}

fn read(event_loop: &mut Loop<String>) -> String {
    let mut log = String::new();
    submit(event_loop);
    told(event_loop.run(&mut log), |_| log)
}

/// An event that is raised, and its source.
fn raised<S: 'static>(event_loop: &mut Loop<S>) -> Rc<Event> {
    let event = Rc::new(Event::new().unwrap());
    event.add(1).unwrap();
    event_loop.add(Rc::clone(&event), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
    event
}

fn probe(name: &str) -> String {
    let by_ring = || Loop::<String>::with_backend(Epoll::with_completions(Completions::Backend).unwrap());
    match name {
        "read" => {
            let mut event_loop = by_ring();
            let line = twice(|| read(&mut event_loop));
            format!("{line}, by {:?}", event_loop.caps().completions)
        }
        "first read" => {
            let mut event_loop = Loop::new().unwrap();
            // Vectored, for a plain one would be made on the spot, and need no ring.
            let line = twice(|| {
                let file = File::open("/proc/self/exe").unwrap();
                let read = ReadVectored::new(file, vec![vec![0; 3]], Some(1));
                event_loop.submit(read, |log, _, end| Ok(*log = told(end.result, |n| n.to_string())));
                let mut log = String::new();
                told(event_loop.run(&mut log), |_| log)
            });
            format!("{line}, by {:?}", event_loop.caps().completions)
        }
        // It has ended when the wait beside it fails.
        "read beside another source" => {
            let mut event_loop = by_ring();
            let _event = raised(&mut event_loop);
            let mut log = String::new();
            submit(&mut event_loop);
            let line = twice(|| told(event_loop.turn(&mut log, Some(LONG)), |_| "turned".into()));
            format!("{line}, {log}")
        }
        "starved" => {
            let mut event_loop = by_ring();
            from_here();
            submit(&mut event_loop);
            let (mut log, start) = ("no end".to_owned(), Instant::now());
            event_loop.after(Duration::from_millis(200), |_, ctx| Ok(ctx.exit(7)));
            let exit = told(event_loop.run(&mut log), |code| code.to_string());
            let early = start.elapsed() < Duration::from_millis(200);
            drop(event_loop);
            format!("{log}, {exit}{}", if early { ", early" } else { "" })
        }
        "wait" => {
            let mut event_loop = Loop::new().unwrap();
            let _event = raised(&mut event_loop);
            twice(|| told(event_loop.turn(&mut (), Some(LONG)), |calls| calls.to_string()))
        }
        "wait for a timer" => {
            let mut event_loop = Loop::<bool>::new().unwrap();
            let start = Instant::now();
            event_loop.after(Duration::from_millis(30), |rang, _| Ok(*rang = true));
            let mut rang = false;
            let line = twice(|| told(event_loop.run(&mut rang), |code| format!("{code}")));
            let early = rang && start.elapsed() < Duration::from_millis(30);
            format!(
                "{line}, {}",
                if early {
                    "early"
                } else if rang {
                    "rang"
                } else {
                    "lost"
                }
            )
        }
        "add" => {
            let mut event_loop = Loop::<()>::new().unwrap();
            make(|| {
                let event = Event::new().unwrap();
                let added = event_loop.add(event, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep));
                added.map_err(|e: AddError<_>| io::Error::from_raw_os_error(e.error().raw_os_error().unwrap()))
            })
        }
        "enable" => {
            let mut event_loop = Loop::<u32>::new().unwrap();
            let event = Rc::new(Event::new().unwrap());
            event.add(1).unwrap();
            let source = Rc::clone(&event);
            let add = event_loop.add(source, Ready::READ, Mode::Level, |calls, _, _, _| {
                Ok({
                    *calls += 1;
                    Next::Keep
                })
            });
            let id = add.unwrap();
            let mut calls = 0;
            event_loop.enable(id, false);
            event_loop.turn(&mut calls, Some(Duration::ZERO)).unwrap();
            assert_eq!(calls, 0);
            twice(|| {
                event_loop.enable(id, true);
                let line = told(event_loop.turn(&mut calls, Some(Duration::ZERO)), |n| n.to_string());
                let enabled = event_loop.sources().find(|source| source.id == id.into()).unwrap().enabled;
                format!("{line} ({})", if enabled { "enabled" } else { "disabled" })
            })
        }
        "Loop" => make(Loop::<()>::new),
        "ring" => make(|| Epoll::with_completions(Completions::Backend)),
        "embed" => {
            let mut event_loop = Loop::<()>::new().unwrap();
            make(|| event_loop.embed())
        }
        _ => panic!("no probe {name:?}"),
    }
}

/// Runs a probe under strace with its arguments; what the probe printed, and what strace wrote.
fn strace(probe: &str, calls: &str, inject: Option<&str>) -> io::Result<(String, String)> {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("becket-loop-faults-{}-{run}", std::process::id()));
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60", "strace", "-qq", "-e", "signal=none", "-e", &format!("trace={calls}"), "-o"]);
    command.arg(&log);
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command.arg(std::env::current_exe()?).env(PROBE, probe).env("RUST_BACKTRACE", "0").env_remove("BECKET_OPS");
    let output = command.output()?;
    let trace = std::fs::read_to_string(&log);
    let _ = std::fs::remove_file(&log);
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(io::Error::other(format!("{said} {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok((said, trace?))
}

fn can_trace(test: &str) -> bool {
    let works = Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|output| output.status.success());
    if !works {
        println!("SKIP: {test}: strace is not here, or may not trace");
    }
    works
}

fn has_ring(test: &str) -> bool {
    let ring = Epoll::with_completions(Completions::Backend);
    if let Err(e) = &ring {
        println!("SKIP: {test}: no io_uring here: {e}");
    }
    ring.is_ok()
}

/// The call that a probe makes after the mark, of those that are named, and its how manieth use that is.
fn first_after_mark(probe: &str, calls: &str) -> (String, usize) {
    let (_, trace) = strace(probe, &format!("?{},getpgid", calls.replace('|', ",?")), None).unwrap();
    let lines: Vec<_> = trace.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
    let mark = lines.iter().position(|name| *name == "getpgid").unwrap_or_else(|| panic!("{probe}: no mark"));
    // Processors differ in which of two calls they have.
    let call = *lines.get(mark + 1).unwrap_or_else(|| panic!("{probe}: makes no {calls}"));
    // The same calls come before the mark each time.
    let before = lines[..mark].iter().filter(|name| **name == call).count();
    (call.to_owned(), before + 1)
}

/// Each case: a probe, a system call, how its first use from the mark on goes wrong, and what the probe then prints.
fn check(test: &str, cases: &[(&str, &str, &str, &str)]) {
    if !can_trace(test) {
        return;
    }
    let mut wrong = Vec::new();
    for (probe, calls, fault, expected) in cases {
        let (call, number) = first_after_mark(probe, calls);
        let (said, trace) = strace(probe, &call, Some(&format!("{call}:{fault}:when={number}")))
            .unwrap_or_else(|e| panic!("{probe}, {call} {fault}: {e}"));
        assert_eq!(trace.matches("(INJECTED)").count(), 1, "{probe}, {call} {fault}: {trace}");
        if said != *expected {
            wrong.push(format!("{probe}, {call} {fault}: {said:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn entering_the_ring_fails() {
    let test = "entering_the_ring_fails";
    if !has_ring(test) {
        return;
    }
    check(
        test,
        &[
            // What may pass is tried again.
            ("read", "io_uring_enter", "error=EAGAIN", "3, then 3, by Backend"),
            ("read", "io_uring_enter", "error=EBUSY", "3, then 3, by Backend"),
            ("read", "io_uring_enter", "error=EINTR", "3, then 3, by Backend"),
            ("read", "io_uring_enter", "error=ENOMEM", "3, then 3, by Backend"),
            ("read", "io_uring_enter", "retval=0", "3, then 3, by Backend"),
            // What will not pass ends the operation, and helper threads take over.
            ("read", "io_uring_enter", "error=EPERM", "error 1, then 3, by HelperThreads"),
            ("read", "io_uring_enter", "error=ENOSYS", "error 38, then 3, by HelperThreads"),
            ("read", "io_uring_enter", "error=EBADF", "error 9, then 3, by HelperThreads"),
            ("read", "io_uring_enter", "error=EFAULT", "error 14, then 3, by HelperThreads"),
        ],
    );
}

fn making_the_ring_fails() {
    let test = "making_the_ring_fails";
    if !has_ring(test) {
        return;
    }
    check(
        test,
        &[
            ("ring", "io_uring_setup", "error=EPERM", "error 1, then made"),
            ("ring", "io_uring_setup", "error=ENOSYS", "error 38, then made"),
            ("ring", "io_uring_setup", "error=ENOMEM", "error 12, then made"),
            ("ring", "io_uring_register", "error=EINVAL", "error 22, then made"),
            // Forbidden is forbidden; what the system is short of may come back.
            ("first read", "io_uring_setup", "error=EPERM", "3, then 3, by HelperThreads"),
            ("first read", "io_uring_setup", "error=ENOSYS", "3, then 3, by HelperThreads"),
            ("first read", "io_uring_setup", "error=EMFILE", "3, then 3, by Backend"),
            ("first read", "io_uring_setup", "error=ENOMEM", "3, then 3, by Backend"),
            ("first read", "epoll_ctl", "error=ENOSPC", "3, then 3, by HelperThreads"),
            ("first read", "epoll_ctl", "error=ENOMEM", "3, then 3, by Backend"),
        ],
    );
}

/// For ever: timers go on, the kernel is asked now and then, and dropping the loop comes to an end.
fn a_ring_that_takes_nothing_spins_not() {
    let test = "a_ring_that_takes_nothing_spins_not";
    if !has_ring(test) || !can_trace(test) {
        return;
    }
    for fault in ["error=EAGAIN", "error=EBUSY", "error=EINTR", "error=ENOMEM", "retval=0"] {
        let (call, number) = first_after_mark("starved", "io_uring_enter");
        let inject = format!("{call}:{fault}:when={number}+");
        let (said, trace) =
            strace("starved", &format!("{call},ppoll,poll,epoll_pwait2,epoll_wait,epoll_pwait"), Some(&inject))
                .unwrap_or_else(|e| panic!("{fault}: {e}"));
        assert_eq!(said, "no end, 7", "{fault}");
        let calls = trace.lines().count();
        assert!(calls < 1000, "{fault}: {calls} calls");
    }
}

fn waits_fail() {
    let wait = "epoll_pwait2|epoll_pwait|epoll_wait";
    let test = "waits_fail";
    check(
        test,
        &[
            ("wait", wait, "error=EINTR", "1, then 1"),
            ("wait", wait, "error=ENOMEM", "error 12, then 1"),
            ("wait", wait, "error=EBADF", "error 9, then 1"),
            ("wait", wait, "retval=0", "1, then 1"),
            ("wait for a timer", wait, "error=EINTR", "0, then 0, rang"),
            ("wait for a timer", wait, "error=ENOMEM", "error 12, then 0, rang"),
            ("wait for a timer", wait, "retval=0", "0, then 0, rang"),
        ],
    );
    // On kernels that have the newer call the older one is a fallback.
    if first_after_mark("wait", wait).0 == "epoll_pwait2" {
        check(
            test,
            &[
                ("wait", wait, "error=ENOSYS", "1, then 1"),
                ("wait for a timer", wait, "error=ENOSYS", "0, then 0, rang"),
                ("wait for a timer", wait, "error=EPERM", "0, then 0, rang"),
            ],
        );
    }
    if has_ring(test) {
        check(test, &[("read beside another source", wait, "error=ENOMEM", "error 12, then turned, 3")]);
    }
}

fn the_set_is_full() {
    check(
        "the_set_is_full",
        &[
            ("add", "epoll_ctl", "error=ENOSPC", "error 28, then made"),
            ("add", "epoll_ctl", "error=ENOMEM", "error 12, then made"),
            ("enable", "epoll_ctl", "error=ENOSPC", "error 28 (disabled), then 1 (enabled)"),
            ("enable", "epoll_ctl", "error=ENOMEM", "error 12 (disabled), then 1 (enabled)"),
        ],
    );
}

fn constructors_undo_their_steps() {
    check(
        "constructors_undo_their_steps",
        &[
            ("Loop", "epoll_create1", "error=EMFILE", "error 24, then made"),
            ("Loop", "eventfd2", "error=EMFILE", "error 24, then made"),
            ("Loop", "epoll_ctl", "error=ENOMEM", "error 12, then made"),
            ("embed", "timerfd_create", "error=EMFILE", "error 24, then made"),
            ("embed", "eventfd2", "error=EMFILE", "error 24, then made"),
            ("embed", "epoll_ctl", "error=ENOSPC", "error 28, then made"),
        ],
    );
}
