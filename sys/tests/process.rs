//! pidfd_open(2) and waitid(2) as they behave at their edges.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::process::{Change, Child, CommandProcessExt, Namespace, PidFd, Scope, WaitFor};
use becket_sys::signal::{MaskGuard, Signal, SignalSet};
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
fn a_child_is_started_with_nothing_blocked() {
    let blocked = || {
        let mut child = Child::spawn(shell("grep SigBlk /proc/self/status").stdout(Stdio::piped())).unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert!(child.wait(soon()).unwrap().unwrap().success());
        out
    };
    let nothing = "SigBlk:\t0000000000000000\n";
    assert_eq!(blocked(), nothing);
    let guard = MaskGuard::block(SignalSet::all());
    assert_eq!(blocked(), nothing);
    // The parent's own stays as it was.
    assert!(SignalSet::blocked().contains(Signal::TERM));
    drop(guard);
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

    // The same kernels have descriptors of threads, 6.9 and later.
    let tells = PidFd::open_thread(std::process::id()).is_ok();
    let ready = if tells { Ready::READ | Ready::HUP } else { Ready::READ };
    assert_eq!(wait(&child, Ready::READ, soon()).unwrap(), Some(ready));
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

/// Stops and continuations do not make the descriptor ready, so this looks now and then.
fn next_change(process: &PidFd, what: WaitFor) -> Change {
    let deadline = soon().unwrap();
    loop {
        if let Some(change) = process.try_wait_for(what).unwrap() {
            return change;
        }
        assert!(Instant::now() < deadline, "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn stops_continuations_and_the_end_are_told_apart() {
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap().kill_on_drop(true);
    let process = child.pid_fd();
    assert_eq!(process.try_wait_for(WaitFor::all()).unwrap(), None);
    process.send_signal(Signal::STOP).unwrap();
    let stopped = Change::Stopped(Signal::STOP);
    assert_eq!(next_change(process, WaitFor::STOPPED), stopped);
    assert_eq!(process.try_wait_for(WaitFor::STOPPED).unwrap(), None, "taken");
    assert_eq!(wait(process, Ready::READ, Some(Instant::now())).unwrap(), None, "a stop is no readiness");
    process.send_signal(Signal::CONT).unwrap();
    assert_eq!(next_change(process, WaitFor::CONTINUED), Change::Continued);
    process.send_signal(Signal::TERM).unwrap();
    wait(process, Ready::READ, soon()).unwrap().unwrap();
    let Some(Change::Ended(status)) = process.peek_for(WaitFor::all()).unwrap() else { panic!() };
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert_eq!(process.try_wait_for(WaitFor::STOPPED).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(next_change(process, WaitFor::ENDED), Change::Ended(status));
    assert_eq!(process.try_wait_for(WaitFor::all()).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(process.try_wait_for(WaitFor::empty()).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn the_kernel_knows_number_parent_users_and_status() {
    let mut child = Child::spawn(shell("read line; exit 6").stdin(Stdio::piped())).unwrap();
    let process = child.pid_fd().try_clone().unwrap();
    assert_eq!(process.pid().unwrap(), Some(child.id()));
    assert!(!process.has_ended().unwrap());
    let info = match process.info() {
        Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => {
            println!("SKIP: the_kernel_knows_number_parent_users_and_status: PIDFD_GET_INFO needs Linux 6.13");
            return;
        }
        info => info.unwrap(),
    };
    assert_eq!((info.pid(), info.thread()), (Some(child.id()), Some(child.id())));
    assert_eq!(info.parent(), Some(std::process::id()));
    let me = rustix::process::getuid().as_raw();
    let user = info.user().unwrap();
    assert_eq!([user.real, user.effective, user.saved, user.file_system], [me; 4]);
    assert_eq!(info.group().unwrap().real, rustix::process::getgid().as_raw());
    assert!(info.cgroup().is_none_or(|id| id > 0));
    assert_eq!(info.exit_status(), None);
    assert!(info.dumped_core().is_none_or(|dumped| !dumped));

    drop(child.stdin.take());
    let status = child.wait(soon()).unwrap().unwrap();
    assert_eq!(process.pid().unwrap(), None);
    assert!(process.has_ended().unwrap());
    match process.info() {
        Ok(info) => {
            assert_eq!(info.exit_status(), Some(status));
            assert_eq!((info.pid(), info.parent()), (None, None));
            assert!(info.dumped_core().is_none_or(|dumped| !dumped));
        }
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ESRCH), "before Linux 6.15"),
    }
    let pipe = PidFd::from(OwnedFd::from(std::io::pipe().unwrap().0));
    assert_eq!(pipe.info().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    assert_eq!(pipe.pid().unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn threads_have_descriptors_too() {
    let (number, told) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        number.send(rustix::thread::gettid().as_raw_nonzero().get() as u32).unwrap();
        let _ = ends.recv();
    });
    let tid = told.recv().unwrap();
    let fd = match PidFd::open_thread(tid) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            println!("SKIP: threads_have_descriptors_too: PIDFD_THREAD needs Linux 6.9");
            return;
        }
        fd => fd.unwrap(),
    };
    assert!(!fd.has_ended().unwrap());
    if let Ok(info) = fd.info() {
        assert_eq!((info.thread(), info.pid()), (Some(tid), Some(std::process::id())));
    }
    assert!(fd.try_wait().is_err());
    drop(end);
    thread.join().unwrap();
    wait(&fd, Ready::READ, soon()).unwrap().unwrap();
    for wrong in [0, u32::MAX] {
        assert_eq!(PidFd::open_thread(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn namespaces_are_those_that_proc_shows() {
    use std::os::unix::fs::MetadataExt;
    let me = PidFd::open(std::process::id()).unwrap();
    let kinds = [
        (Namespace::Cgroup, "cgroup"),
        (Namespace::Ipc, "ipc"),
        (Namespace::Mount, "mnt"),
        (Namespace::Net, "net"),
        (Namespace::Pid, "pid"),
        (Namespace::PidForChildren, "pid_for_children"),
        (Namespace::Time, "time"),
        (Namespace::TimeForChildren, "time_for_children"),
        (Namespace::User, "user"),
        (Namespace::Uts, "uts"),
    ];
    let mut seen = 0;
    for (kind, name) in kinds {
        match (me.namespace(kind), std::fs::metadata(format!("/proc/self/ns/{name}"))) {
            (Ok(fd), Ok(same)) => {
                assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
                assert_eq!(std::fs::File::from(fd).metadata().unwrap().ino(), same.ino(), "{name}");
                seen += 1;
            }
            (Err(e), _) if e.raw_os_error() == Some(libc::ENOTTY) => {
                println!("SKIP: namespaces_are_those_that_proc_shows: it needs Linux 6.11");
                return;
            }
            (fd, proc) => assert!(fd.is_err() && proc.is_err(), "{name}: {fd:?} {proc:?}"),
        }
    }
    assert!(seen > 4, "{seen}");
    let pipe = PidFd::from(OwnedFd::from(std::io::pipe().unwrap().0));
    assert_eq!(pipe.namespace(Namespace::Net).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
}

#[test]
fn signals_go_to_whom_they_are_for() {
    use std::os::unix::process::CommandExt;
    // A shell that leads a group, with a child in it.
    let mut command = shell("sleep 30 & echo $!; wait");
    let mut child = Child::spawn(command.stdout(Stdio::piped()).process_group(0)).unwrap().kill_on_drop(true);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let grandchild = PidFd::open(line.trim().parse().unwrap()).unwrap();
    match child.pid_fd().send_signal_to(Scope::Group, Signal::TERM) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            println!("SKIP: signals_go_to_whom_they_are_for: scopes need Linux 6.9");
            grandchild.send_signal(Signal::TERM).unwrap();
            return;
        }
        sent => sent.unwrap(),
    }
    wait(&grandchild, Ready::READ, soon()).unwrap().unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().signal(), Some(libc::SIGTERM));

    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap();
    let e = child.pid_fd().send_signal_to(Scope::Group, Signal::KILL).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ESRCH), "it leads no group");
    child.pid_fd().send_signal_to(Scope::Process, Signal::KILL).unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_child_can_be_made_to_end_with_its_object_or_its_parent() {
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap().kill_on_drop(true);
    let process = child.pid_fd().try_clone().unwrap();
    drop(child);
    assert!(process.has_ended().unwrap());
    assert_eq!(process.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD), "no zombie");

    // Given away, the descriptor kills nobody.
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap().kill_on_drop(true);
    let process = PidFd::from(OwnedFd::from(child));
    assert!(!process.has_ended().unwrap());
    process.send_signal(Signal::KILL).unwrap();
    process.wait_ready(Ready::READ, soon()).unwrap();
    process.try_wait().unwrap().unwrap();

    // The parent is a thread: this one ends at once.
    let child = std::thread::spawn(|| {
        let mut command = Command::new("sleep");
        Child::spawn(command.arg("30").signal_on_parents_end(Signal::KILL)).unwrap()
    });
    let child = child.join().unwrap();
    assert_eq!(child.wait(soon()).unwrap().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_session_of_its_own_has_no_terminal() {
    let mut command = shell("test $(cut -d' ' -f6 /proc/$$/stat) = $$ && ! sh -c ': < /dev/tty' 2>/dev/null");
    assert!(Child::spawn(command.new_session()).unwrap().wait(soon()).unwrap().unwrap().success());
}

#[test]
fn a_value_comes_along_with_a_signal() {
    let signal = Signal::real_time(6).unwrap();
    // Blocked in this thread, and to it the signal goes: the harness's other threads do not see it.
    let _blocked = MaskGuard::block(signal);
    let me = match PidFd::open_thread(rustix::thread::gettid().as_raw_nonzero().get() as u32) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            println!("SKIP: a_value_comes_along_with_a_signal: PIDFD_THREAD needs Linux 6.9");
            return;
        }
        me => me.unwrap(),
    };
    let signals = becket_sys::signal::Signals::new(signal).unwrap();
    for value in [7, -1, i32::MIN] {
        me.queue_signal(signal, value).unwrap();
    }
    for value in [7, -1, i32::MIN] {
        let info = signals.try_read().unwrap().unwrap();
        assert_eq!((info.signal(), info.value(), info.code()), (signal, Some(value), libc::SI_QUEUE));
        assert_eq!(info.pid(), Some(std::process::id()));
    }
    assert!(!SignalSet::pending().contains(signal));
}

/// The kernel's own rule; this crate always asks not to wait.
#[test]
fn waiting_by_a_non_blocking_descriptor_would_block() {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    let child = Child::spawn(Command::new("sleep").arg("30")).unwrap().kill_on_drop(true);
    let waited = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED);
    assert_eq!(waited.map(|_| ()), Err(rustix::io::Errno::AGAIN));
}

#[test]
fn all_output_is_read_while_the_child_runs() {
    // More than two pipes hold, now on the one, now on the other.
    let script = "cat >&2; for i in 1 2 3; do head -c 100000 /dev/zero; head -c 90000 /dev/zero >&2; done; exit 4";
    let mut command = shell(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Child::spawn(&mut command).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"first").unwrap();
    let output = child.wait_with_output(soon()).unwrap().unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(4), 300_000, 270_005));
    assert!(output.stderr.starts_with(b"first\0"));

    let child = Child::spawn(shell("echo x; sleep 30").stdout(Stdio::piped())).unwrap().kill_on_drop(true);
    let process = child.pid_fd().try_clone().unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    assert!(child.wait_with_output(Some(deadline)).unwrap().is_none());
    assert!(Instant::now() >= deadline && process.has_ended().unwrap());

    let bare = Child::spawn(&mut shell("exit 1")).unwrap().wait_with_output(soon()).unwrap().unwrap();
    assert!(bare.stdout.is_empty() && bare.status.code() == Some(1));
}
