//! pidfd_open(2) and waitid(2) as they behave at their edges.

use becket_sys::process::{Child, PidFd};
use becket_sys::signal::Signal;
use becket_sys::{Ready, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

#[test]
fn the_status_is_the_code_or_the_signal() {
    for code in [0, 1, 255] {
        let child = Child::spawn(&mut shell(&format!("exit {code}"))).unwrap();
        assert_eq!(child.wait(soon()).unwrap().unwrap().code(), Some(code));
    }
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap();
    child.send_signal(Signal::TERM).unwrap();
    let status = child.wait(soon()).unwrap().unwrap();
    assert_eq!((status.code(), status.signal(), status.core_dumped()), (None, Some(libc::SIGTERM), false));

    // The standard library sees the same in what wait(2) tells it.
    let mut same = Command::new("sleep").arg("30").spawn().unwrap();
    PidFd::of_child(&same).unwrap().send_signal(Signal::TERM).unwrap();
    assert_eq!(same.wait().unwrap(), status);
}

#[test]
fn real_time_signals_can_be_sent() {
    let signal = Signal::real_time(5).unwrap();
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap();
    child.send_signal(signal).unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().signal(), Some(signal.as_raw()));
}

#[test]
fn a_running_child_is_not_ready_and_has_no_status() {
    let mut child = Child::spawn(shell("read line; exit 4").stdin(Stdio::piped())).unwrap();
    assert!(fcntl_getfl(&child).unwrap().contains(OFlags::NONBLOCK));
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.pid_fd().peek().unwrap(), None);
    let deadline = Instant::now() + Duration::from_millis(20);
    assert_eq!(child.wait(Some(deadline)).unwrap(), None);
    assert!(Instant::now() >= deadline);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().code(), Some(4));
}

#[test]
fn peeking_leaves_the_status_and_taking_it_does_not() {
    let child = Child::spawn(&mut shell("exit 9")).unwrap();
    assert_eq!(wait(&child, Ready::READ, soon()).unwrap(), Some(Ready::READ));
    for _ in 0..3 {
        assert_eq!(child.pid_fd().peek().unwrap().unwrap().code(), Some(9));
    }
    // A zombie takes signals without a word.
    child.send_signal(Signal::TERM).unwrap();
    assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(9));

    assert_eq!(wait(&child, Ready::READ, soon()).unwrap(), Some(Ready::READ | Ready::HUP));
    assert_eq!(child.pid_fd().try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(child.pid_fd().peek().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(child.send_signal(Signal::TERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    // The object remembers.
    assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(9));
    assert_eq!(child.wait(None).unwrap().unwrap().code(), Some(9));
}

#[test]
fn waiting_for_one_leaves_the_others() {
    let mut other = shell("exit 5").spawn().unwrap();
    let other_fd = PidFd::of_child(&other).unwrap();
    wait(&other_fd, Ready::READ, soon()).unwrap();
    let child = Child::spawn(&mut shell("exit 6")).unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().code(), Some(6));
    assert_eq!(other.wait().unwrap().code(), Some(5));
    assert_eq!(other_fd.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn a_child_waited_for_is_refused() {
    let mut child = shell("exit 0").spawn().unwrap();
    child.wait().unwrap();
    let e = PidFd::of_child(&child).unwrap_err();
    assert!(matches!(e.raw_os_error(), Some(libc::ESRCH | libc::ECHILD)), "{e}");
}

#[test]
fn what_is_no_process_is_refused() {
    assert_eq!(PidFd::open(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(PidFd::open(u32::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(PidFd::open(i32::MAX as u32).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    let thread = std::thread::spawn(|| {
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        let id = thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
        PidFd::open(id).unwrap_err().raw_os_error()
    });
    assert!(matches!(thread.join().unwrap(), Some(libc::EINVAL | libc::ENOENT)));
}

#[test]
fn a_strangers_end_can_be_waited_for_but_not_taken() {
    // The child's child is a stranger to us.
    let mut child = Child::spawn(shell("sleep 30 & echo $!; wait").stdout(Stdio::piped())).unwrap();
    let mut line = Vec::new();
    let out = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let stranger = PidFd::open(String::from_utf8(line).unwrap().parse().unwrap()).unwrap();
    assert_eq!(stranger.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(wait(&stranger, Ready::READ, Some(Instant::now())).unwrap(), None);
    stranger.send_signal(Signal::TERM).unwrap();
    assert!(wait(&stranger, Ready::READ, soon()).unwrap().is_some_and(|ready| ready.contains(Ready::READ)));
    child.wait(soon()).unwrap().unwrap();
}

#[test]
fn a_failed_start_names_the_program() {
    let e = Child::spawn(&mut Command::new("/no/such/program")).unwrap_err();
    assert_eq!((e.step(), e.subject(), e.raw_os_error()), ("spawn", "/no/such/program", Some(libc::ENOENT)));
}

#[test]
fn pipes_come_with_the_child() {
    let script = "read line; echo \"out $line\"; echo err >&2";
    let mut command = shell(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Child::spawn(&mut command).unwrap();
    child.stdin.take().unwrap().write_all(b"in\n").unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out in\n", "err\n"));
    assert!(child.wait(soon()).unwrap().unwrap().success());

    let child = Child::spawn(&mut shell("true")).unwrap();
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    child.wait(soon()).unwrap().unwrap();
}

#[test]
fn a_descriptor_can_be_fetched_from_a_process() {
    let (read, mut write) = std::io::pipe().unwrap();
    let me = PidFd::open(std::process::id()).unwrap();
    let twin = match me.get_fd(read.as_raw_fd()) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            println!("SKIP: a_descriptor_can_be_fetched_from_a_process: this process may not look into itself ({e})");
            return;
        }
        twin => twin.unwrap(),
    };
    write.write_all(b"x").unwrap();
    drop(write);
    let mut all = Vec::new();
    std::fs::File::from(twin).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"x");
    assert_eq!(me.get_fd(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn the_descriptor_outlives_the_object() {
    let child = Child::spawn(&mut shell("exit 2")).unwrap();
    let twin = child.pid_fd().try_clone().unwrap();
    let bare = PidFd::from(OwnedFd::from(child));
    wait(&bare, Ready::READ, soon()).unwrap();
    assert_eq!(bare.try_wait().unwrap().unwrap().code(), Some(2));
    assert_eq!(twin.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));

    let file = PidFd::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    assert_eq!(file.try_wait().unwrap_err().raw_os_error(), Some(libc::EBADF));
}
