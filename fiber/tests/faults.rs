//! System calls that fail, by fault injection of strace: the error comes out of the call of the fiber that it belongs
//! to, or what may pass is tried again; nothing is lost, nothing spins, no descriptor leaks.
//!
//! The tests run this very program under strace, as a probe: it makes what it needs, says "from here" by a call that
//! nothing else makes, does one thing twice and prints what came of it. strace makes the first call of a kind fail from
//! there on.

mod common;

use becket_fiber::net::{TcpListener, TcpStream, UnixStream};
use becket_fiber::{Builder, File, Io, Runtime, is_cancelled, scope, sleep, spawn, timeout};
use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROBE: &str = "BECKET_FAULT_PROBE";
const LONG: Duration = Duration::from_secs(20);

const TESTS: &[(&str, fn())] = &[
    ("streams", streams),
    ("listeners_and_connections", listeners_and_connections),
    ("registrations", registrations),
    ("the_wait_of_the_loop", the_wait_of_the_loop),
    ("files", files),
    ("files_on_the_spot", files_on_the_spot),
    ("stacks_and_runtimes", stacks_and_runtimes),
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

fn probe(name: &str) -> String {
    if name == "runtime" {
        return twice(|| told(Runtime::new(), |_| "made".into()));
    }
    let mut rt = Runtime::new().unwrap();
    if name == "sleep" {
        // A failure of the loop ends `run`, after its fiber was told.
        // Long, for a slow machine to be waiting by then.
        let long = Duration::from_millis(100);
        let mut ended = Vec::new();
        let line = twice(|| {
            let start = Instant::now();
            let slept = rt.run(|| {
                let slept = sleep(long);
                ended.push(
                    slept.as_ref().map_or_else(|e| if is_cancelled(e) { "cancelled" } else { "failed" }, |()| "slept"),
                );
                slept
            });
            assert!(slept.is_err() || start.elapsed() >= long, "early");
            told(slept.and_then(|slept| slept), |()| "slept".into())
        });
        return format!("{line}, {}", ended.join(" "));
    }
    rt.run(|| timeout(LONG, || in_fiber(name))).unwrap()
}

fn in_fiber(name: &str) -> String {
    match name {
        "read" => {
            let (near, mut far) = UnixStream::pair().unwrap();
            far.write_all(b"sixsix").unwrap();
            twice(|| told((&near).read(&mut [0; 3]), |n| n.to_string()))
        }
        // It is written while the fiber waits.
        "read after a wait" => {
            let (near, far) = UnixStream::pair().unwrap();
            twice(|| {
                scope(|s| {
                    let writing = s.spawn(|| (&far).write_all(b"six"));
                    let read = told((&near).read(&mut [0; 3]), |n| n.to_string());
                    writing.unwrap().join().unwrap().unwrap();
                    if read != "3" {
                        assert_eq!((&near).read(&mut [0; 3]).unwrap(), 3, "what is there stays");
                    }
                    read
                })
            })
        }
        "write" => {
            let (near, _far) = UnixStream::pair().unwrap();
            twice(|| told((&near).write(b"six"), |n| n.to_string()))
        }
        "accept" => {
            let listener = TcpListener::bind(([127, 0, 0, 1], 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            let _clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
            twice(|| told(listener.accept(), |_| "accepted".into()))
        }
        "connect" => {
            let listener = TcpListener::bind(([127, 0, 0, 1], 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            twice(|| told(TcpStream::connect_addr(addr), |_| "connected".into()))
        }
        "wait once" => {
            // A second object over the same description is waited for by a registration of its own each time.
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let (near, far) = (Io::new(near).unwrap(), Io::new(far).unwrap());
            let other = Io::new(near.get_ref()).unwrap();
            scope(|s| {
                let blocked = s.spawn(|| (&near).read(&mut [0; 1])).unwrap();
                becket_fiber::yield_now();
                let line = twice(|| {
                    let waited = timeout(Duration::from_millis(2), || {
                        other.attempt(becket_fiber::Ready::READ, |s| { *s }.read(&mut [0; 1]))
                    });
                    match waited {
                        Err(e) if e.kind() == io::ErrorKind::TimedOut => "waited".into(),
                        other => told(other, |n| n.to_string()),
                    }
                });
                (&far).write_all(b"1").unwrap();
                assert_eq!(blocked.join().unwrap().unwrap(), 1);
                line
            })
        }
        "read direct file" => {
            #[repr(align(4096))]
            struct Block([u8; 4096]);
            let path = std::env::temp_dir().join(format!("becket-fiber-direct-{}", std::process::id()));
            std::fs::write(&path, [7; 4096]).unwrap();
            let direct = becket_fiber::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
            std::fs::remove_file(&path).unwrap();
            let file = match direct {
                Ok(file) => file,
                Err(e) => {
                    from_here();
                    return format!("no O_DIRECT in {}: {e}", std::env::temp_dir().display());
                }
            };
            let mut block = Box::new(Block([0; 4096]));
            twice(|| told(file.read_at(&mut block.0, 0), |n| n.to_string()))
        }
        "read file" => {
            let file = File::open("/proc/self/exe").unwrap();
            twice(|| told(file.read_at(&mut [0; 3], 1), |n| n.to_string()))
        }
        "sync file" | "write file" => {
            let path = std::env::temp_dir().join(format!("becket-fiber-fault-{}", std::process::id()));
            let file = File::create(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            from_here();
            if name == "sync file" {
                told(file.sync_data(), |()| "synced".into())
            } else {
                told(file.write_at(b"six", 0), |n| n.to_string())
            }
        }
        "spawn" => {
            let mut size = 1 << 20;
            twice(|| {
                size *= 2; // so that no stack is there
                match Builder::new().stack_size(size).spawn(|| 7) {
                    Ok(fiber) => fiber.join().unwrap().to_string(),
                    Err(e) if e.is_out_of_memory() => "no memory".into(),
                    Err(e) => e.to_string(),
                }
            })
        }
        "many" => {
            // Nobody else suffers from one that fails.
            let (near, _far) = UnixStream::pair().unwrap();
            let others: Vec<_> = (0..10).map(|n| spawn(move || sleep(Duration::from_millis(n))).unwrap()).collect();
            let line = twice(|| told((&near).write(b"six"), |n| n.to_string()));
            others.into_iter().for_each(|f| f.join().unwrap().unwrap());
            line
        }
        _ => panic!("no probe {name:?}"),
    }
}

/// Runs a probe under strace with its arguments; what the probe printed, and what strace wrote.
fn strace(probe: &str, calls: &str, inject: Option<&str>) -> io::Result<(String, String)> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let log = std::env::temp_dir().join(format!("becket-fiber-faults-{}-{run}", std::process::id()));
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60", "strace", "-f", "-qq", "-e", "signal=none", "-e", &format!("trace={calls}"), "-o"]);
    command.arg(&log);
    if let Some(inject) = inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command.arg(std::env::current_exe()?).env(PROBE, probe).env("RUST_BACKTRACE", "0").env("BECKET_OPS", "threads");
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

/// The call that a probe makes after the mark, of those that are named, and its how manieth use in its thread that is.
fn first_after_mark(probe: &str, calls: &str) -> (String, usize) {
    let (_, trace) = strace(probe, &format!("?{},getpgid", calls.replace('|', ",?")), None).unwrap();
    // Each line begins with the number of its thread.
    let call_of = |line: &str| {
        let (thread, call) = line.split_once(' ')?;
        Some((thread.to_owned(), call.trim_start().split_once('(')?.0.to_owned()))
    };
    let lines: Vec<_> = trace.lines().filter_map(call_of).collect();
    let mark = lines.iter().position(|(_, name)| name == "getpgid").unwrap_or_else(|| panic!("{probe}: no mark"));
    // Processors differ in which of two calls they have.
    let (thread, call) = lines.get(mark + 1).unwrap_or_else(|| panic!("{probe}: makes no {calls}"));
    // The same calls come before the mark each time.
    let before = lines[..mark].iter().filter(|(other, name)| other == thread && name == call).count();
    (call.clone(), before + 1)
}

/// Each case: a probe, a system call, how its first use from the mark on goes wrong (or one so many after that), and
/// what the probe then prints.
fn check(test: &str, cases: &[(&str, &str, &str, &str)]) {
    if !can_trace(test) || common::skips_valgrind("strace runs the probes") {
        return;
    }
    let mut wrong = Vec::new();
    for (probe, calls, fault, expected) in cases {
        let (call, number) = first_after_mark(probe, calls);
        let (fault, later) = fault.split_once('@').unwrap_or((fault, "0"));
        let number = number + later.parse::<usize>().unwrap();
        match strace(probe, &call, Some(&format!("{call}:{fault}:when={number}"))) {
            Ok((said, trace)) => {
                assert!(trace.contains("(INJECTED)"), "{probe}, {call} {fault}: {trace}");
                if said != *expected {
                    wrong.push(format!("{probe}, {call} {fault}: {said:?}, not {expected:?}"));
                }
            }
            Err(e) => wrong.push(format!("{probe}, {call} {fault}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn streams() {
    let (read, write) = ("recvfrom|read|recvmsg", "sendto|write|sendmsg");
    check(
        "streams",
        &[
            ("read", read, "error=EINTR", "3, then 3"),
            ("read", read, "error=EAGAIN", "3, then 3"),
            ("read", read, "error=ECONNRESET", "error 104, then 3"),
            ("read", read, "error=EIO", "error 5, then 3"),
            ("read", read, "error=ENOMEM", "error 12, then 3"),
            ("write", write, "error=EINTR", "3, then 3"),
            ("write", write, "error=EAGAIN", "3, then 3"),
            ("write", write, "error=EPIPE", "error 32, then 3"),
            ("write", write, "error=ENOBUFS", "error 105, then 3"),
            ("many", write, "error=EIO", "error 5, then 3"),
        ],
    );
}

fn listeners_and_connections() {
    check(
        "listeners_and_connections",
        &[
            // A connection that failed in the queue is passed over; what has run out is waited for.
            ("accept", "accept4", "error=ECONNABORTED", "accepted, then accepted"),
            ("accept", "accept4", "error=EINTR", "accepted, then accepted"),
            ("accept", "accept4", "error=EMFILE", "accepted, then accepted"),
            ("accept", "accept4", "error=ENFILE", "accepted, then accepted"),
            ("accept", "accept4", "error=ENOMEM", "accepted, then accepted"),
            ("accept", "accept4", "error=EINVAL", "error 22, then accepted"),
            ("connect", "socket", "error=EMFILE", "error 24, then connected"),
            ("connect", "connect", "error=ECONNREFUSED", "error 111, then connected"),
            ("connect", "connect", "error=ENETUNREACH", "error 101, then connected"),
            ("connect", "connect", "error=EADDRNOTAVAIL", "error 99, then connected"),
        ],
    );
}

fn registrations() {
    check(
        "registrations",
        &[
            ("read after a wait", "epoll_ctl", "error=ENOSPC", "error 28, then 3"),
            ("read after a wait", "epoll_ctl", "error=ENOMEM", "error 12, then 3"),
            ("wait once", "epoll_ctl", "error=ENOSPC", "error 28, then waited"),
            ("wait once", "epoll_ctl", "error=ENOMEM", "error 12, then waited"),
        ],
    );
}

fn the_wait_of_the_loop() {
    let wait = "epoll_pwait2|epoll_pwait|epoll_wait";
    check(
        "the_wait_of_the_loop",
        &[
            ("sleep", wait, "error=EINTR", "slept, then slept, slept slept"),
            ("sleep", wait, "retval=0", "slept, then slept, slept slept"),
            ("sleep", wait, "error=ENOMEM", "error 12, then slept, cancelled slept"),
            ("sleep", wait, "error=EBADF", "error 9, then slept, cancelled slept"),
        ],
    );
}

fn files() {
    check(
        "files",
        &[
            // It was but a look at what is in memory; the read itself tells.
            ("read file", "preadv2|pread64", "error=EIO", "3, then 3"),
            ("read file", "preadv2|pread64", "error=EINTR", "3, then 3"),
            ("read file", "preadv2|pread64", "error=EAGAIN", "3, then 3"),
            ("read file", "preadv2|pread64", "error=EOPNOTSUPP", "3, then 3"),
            ("write file", "pwrite64", "error=ENOSPC", "error 28"),
            ("write file", "pwrite64", "error=EDQUOT", "error 122"),
            ("write file", "pwrite64", "error=EINTR", "3"),
            ("sync file", "fdatasync", "error=EIO", "error 5"),
        ],
    );
}

/// What is in memory is looked for first; what comes from the device itself is not, for the kernel would wait for that.
fn files_on_the_spot() {
    if !can_trace("files_on_the_spot") || common::skips_valgrind("strace runs the probes") {
        return;
    }
    let looks = |probe| {
        let (said, trace) = strace(probe, "preadv2,getpgid", None).unwrap();
        (said, trace.split_once("getpgid").unwrap().1.matches("preadv2(").count())
    };
    assert_eq!(looks("read file"), ("3, then 3".to_owned(), 2));
    match looks("read direct file") {
        (said, _) if said.starts_with("no O_DIRECT") => println!("SKIP: files_on_the_spot: of a device: {said}"),
        seen => assert_eq!(seen, ("4096, then 4096".to_owned(), 0)),
    }
}

fn stacks_and_runtimes() {
    let of_stacks: &[_] = if cfg!(feature = "corosensei") {
        // The first of a size is mapped alone.
        &[("spawn", "mmap", "error=ENOMEM", "no memory, then 7")]
    } else {
        // The first asks whether there is room for some stacks more, and asks for less then; the next is the stack,
        // and the fourth mprotect its guard page.
        &[
            ("spawn", "mmap", "error=ENOMEM", "7, then 7"),
            ("spawn", "mmap", "error=ENOMEM@1", "no memory, then 7"),
            ("spawn", "mprotect", "error=ENOMEM", "7, then 7"),
            ("spawn", "mprotect", "error=ENOMEM@3", "no memory, then 7"),
            ("spawn", "mprotect", "error=ENOMEM@4", "7, then 7"),
        ]
    };
    check("stacks_and_runtimes", of_stacks);
    check(
        "stacks_and_runtimes",
        &[
            ("runtime", "epoll_create1", "error=EMFILE", "error 24, then made"),
            ("runtime", "eventfd2", "error=ENFILE", "error 23, then made"),
            ("runtime", "epoll_ctl", "error=ENOMEM", "error 12, then made"),
        ],
    );
    if !common::kernel_has_guards() {
        println!("SKIP: stacks_and_runtimes: guards: no MADV_GUARD_INSTALL on this kernel");
        return;
    }
    check(
        "stacks_and_runtimes",
        &[
            ("spawn", "madvise", "error=EINVAL", "7, then 7"),
            ("spawn", "madvise", "error=ENOMEM", "7, then 7"),
            ("spawn", "madvise", "error=EINVAL@1", "7, then 7"),
        ][..if cfg!(feature = "corosensei") { 3 } else { 2 }], // there the first is about huge pages
    );
}
