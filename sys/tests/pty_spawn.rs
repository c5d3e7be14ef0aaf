//! Programs on pseudoterminals. Apart from the other tests, whose descriptors a program that is being started would
//! hold open for a moment.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::process::Child;
use becket_sys::pty::Controller;
use becket_sys::signal::{MaskGuard, Signal, SignalSet};
use becket_sys::tty::WindowSize;
use becket_sys::{Ready, wait};
use rustix::fs::OFlags;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

/// Reads until the terminal shows `text`.
fn until(controller: &Controller, text: &str) -> String {
    let (mut got, mut buf) = (String::new(), [0; 256]);
    while !got.contains(text) {
        wait(controller, Ready::READ, soon()).unwrap().unwrap_or_else(|| panic!("{text:?} does not come: {got:?}"));
        match controller.try_read(&mut buf).unwrap() {
            Some(0) => panic!("the end before {text:?}: {got:?}"),
            n => got.push_str(&String::from_utf8_lossy(&buf[..n.unwrap_or(0)])),
        }
    }
    got
}

fn shell(controller: &Controller, script: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    controller.spawn(command).unwrap()
}

#[test]
fn a_spawned_command_leads_a_session_on_the_terminal() {
    let controller = Controller::open().unwrap();
    let child = shell(&controller, "test -t 0 && test -t 1 && test -t 2 && : < /dev/tty && echo on $(tty) && read x");
    let shown = until(&controller, "\n");
    assert_eq!(shown, format!("on {}\r\n", controller.terminal_path().unwrap().display()));
    assert_eq!(controller.foreground_group().unwrap(), child.id());
    assert_eq!(
        rustix::process::getsid(rustix::process::Pid::from_raw(child.id() as i32)).unwrap().as_raw_pid() as u32,
        { child.id() }
    );
    assert_eq!(child.try_wait().unwrap(), None);
    (&controller).write_all(b"\n").unwrap();
    assert!(child.wait(soon()).unwrap().unwrap().success());
    // Nobody has it open, this process neither.
    until(&controller, "\r\n");
    // A program that another test starts may hold it for a moment.
    assert!(wait(&controller, Ready::READ, soon()).unwrap().unwrap().contains(Ready::HUP));
    assert_eq!(controller.try_read(&mut [0; 8]).unwrap(), Some(0));
    assert_eq!(controller.foreground_group().unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
}

#[test]
#[allow(unsafe_code, reason = "signals are ignored")]
fn control_characters_signals_and_window_sizes_reach_the_foreground() {
    // As by nohup, or behind a shell's `&`. A shell that inherits it neither traps nor ends by them.
    for signal in [libc::SIGHUP, libc::SIGINT] {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let _blocked = MaskGuard::block(SignalSet::all()); // nothing to the child
    let controller = Controller::open().unwrap();
    let script = "trap 'echo size $(stty size)' WINCH; trap 'echo interrupted' INT; echo ready; \
                  while :; do sleep 0.05; done";
    let child = shell(&controller, script);
    until(&controller, "ready");
    let size = WindowSize { rows: 33, columns: 77, ..WindowSize::default() };
    controller.set_window_size(size).unwrap();
    until(&controller, "size 33 77");
    (&controller).write_all(b"\x03").unwrap();
    until(&controller, "interrupted");
    controller.signal_foreground(Signal::INT).unwrap();
    until(&controller, "interrupted");
    let e = controller.signal_foreground(Signal::USR1).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    drop(controller); // hangs up
    assert_eq!(child.wait(soon()).unwrap().unwrap().signal(), Some(libc::SIGHUP));
}

#[test]
fn a_child_gets_a_blocking_terminal_and_its_end_is_seen() {
    let controller = Controller::open().unwrap();
    let terminal = controller.open_terminal_for_child().unwrap();
    assert!(!rustix::fs::fcntl_getfl(&terminal).unwrap().contains(OFlags::NONBLOCK));
    let output = terminal.try_clone().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "test -t 0 && test -t 1 && read line && echo got $line"]);
    let mut child = command.stdin(Stdio::from(terminal)).stdout(Stdio::from(output)).spawn().unwrap();
    drop(command); // it holds copies of the terminal, too

    (&controller).write_all(b"word\n").unwrap();
    let (mut text, mut buf) = (Vec::new(), [0; 64]);
    loop {
        wait(&controller, Ready::READ, soon()).unwrap().expect("the child answers");
        match controller.try_read(&mut buf).unwrap() {
            Some(0) => break,
            n => text.extend_from_slice(&buf[..n.unwrap_or(0)]),
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(String::from_utf8(text).unwrap(), "word\r\ngot word\r\n"); // the echo, then the answer
}
