//! What waits on a helper thread, and what starts programs, leaves no descriptor and no thread behind. One test, so
//! that nobody else opens any meanwhile.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::Ready;
use becket_sys::file::{LockKind, conflict, lock, lock_whole, start_lock, try_lock, unnamed};
use becket_sys::process::{Child, Namespace, PidFd};
use becket_sys::pty::{self, Controller};
use becket_sys::serial::{ModemLines, Port};
use becket_sys::signal::{Signal, Signals};
use becket_sys::tty::Tty;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

fn locks() {
    let file = unnamed(std::env::temp_dir()).unwrap();
    let other = File::options().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    assert!(try_lock(&file, LockKind::Write, ..).unwrap());
    drop(start_lock(&other, LockKind::Write, ..).unwrap());
    assert!(!lock(&other, LockKind::Write, .., Some(Instant::now() + Duration::from_millis(5))).unwrap());
    assert!(lock_whole(&file, LockKind::Write, None).unwrap());
    let deadline = Some(Instant::now() + Duration::from_millis(5));
    assert!(!lock_whole(&other, LockKind::Write, deadline).unwrap());
    assert!(conflict(&other, LockKind::Read, ..).unwrap().is_some());
}

fn serial() {
    let controller = Controller::open().unwrap();
    let port = Port::open(controller.terminal_path().unwrap(), 9600).unwrap();
    let drain = port.start_drain().unwrap();
    drain.wait_ready(Ready::READ, soon()).unwrap().unwrap();
    drop(port.start_break(Duration::from_secs(20)).unwrap());
    assert!(port.watch_lines(ModemLines::CTS).is_err());
}

fn terminals() {
    let (controller, terminal) = pty::pair().unwrap();
    let raw = terminal.raw_mode().unwrap().restore_on_panic().unwrap();
    drop(Tty::reopen(&terminal).unwrap());
    drop(raw);
    drop(terminal);
    let child = controller.spawn(Command::new("true")).unwrap();
    child.wait(soon()).unwrap().unwrap();
}

fn processes() {
    let child = Child::spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
    child.wait_with_output(soon()).unwrap().unwrap();
    drop(Child::spawn(Command::new("sleep").arg("30")).unwrap().kill_on_drop(true));
    let me = PidFd::open(std::process::id()).unwrap();
    let _ = (me.namespace(Namespace::Mount), me.info(), me.pid());
    let signals = Signals::new(Signal::USR1).unwrap();
    signals.change(Signal::USR2).unwrap();
}

#[test]
fn nothing_stays_open() {
    let all: [(&str, fn()); 4] =
        [("locks", locks), ("serial", serial), ("terminals", terminals), ("processes", processes)];
    for (name, run) in all {
        run(); // what is opened once and for all
        let before = (count("fd"), count("task"));
        for _ in 0..10 {
            run();
        }
        assert_eq!(count("fd"), before.0, "descriptors of {name}");
        // A thread that was joined may be listed for a moment yet.
        let deadline = soon().unwrap();
        while count("task") > before.1 {
            assert!(Instant::now() < deadline, "threads of {name}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
