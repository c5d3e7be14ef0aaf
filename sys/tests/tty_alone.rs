//! Programs that have the terminal for themselves: these tests start themselves anew, on a pseudoterminal.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::pty;
use becket_sys::tty::Tty;
use becket_sys::{Ready, wait};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Reads what the terminal shows until nobody has it open any more.
fn shown(controller: &pty::Controller) -> String {
    let (mut text, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        let deadline = Some(Instant::now() + Duration::from_secs(20));
        wait(controller, Ready::READ, deadline).unwrap().expect("the child ends");
        match controller.try_read(&mut buf).unwrap() {
            Some(0) => return String::from_utf8(text).unwrap(),
            n => text.extend_from_slice(&buf[..n.unwrap_or(0)]),
        }
    }
}

/// Runs one test of this file as a program of its own, on a terminal, and gives what it shows.
fn alone_on_a_terminal(test: &str) -> (String, bool) {
    let controller = pty::Controller::open().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("BECKET_ON_A_TERMINAL", "1");
    command.env_remove("RUST_BACKTRACE");
    let child = controller.spawn(command).unwrap();
    let text = shown(&controller);
    (text, child.wait(None).unwrap().unwrap().success())
}

fn is_alone() -> bool {
    std::env::var_os("BECKET_ON_A_TERMINAL").is_some()
}

#[test]
fn a_panics_message_is_printed_on_a_restored_terminal() {
    if is_alone() {
        let input = std::io::stdin();
        let terminal = Tty::new(&input).unwrap();
        // Uncaught, the message ends the program; the guard is dropped only after it.
        let _raw = terminal.raw_mode().unwrap().restore_on_panic().unwrap();
        print!("raw\ntext\n");
        std::io::stdout().flush().unwrap();
        panic!("first line\nsecond line\n");
    }
    let (text, succeeded) = alone_on_a_terminal("a_panics_message_is_printed_on_a_restored_terminal");
    assert!(!succeeded);
    assert!(text.contains("raw\ntext\n"), "{text:?}");
    assert!(text.contains("first line\r\nsecond line\r\n"), "restored too late: {text:?}");
}

#[test]
fn sessions_and_foreground_groups_are_those_of_the_controlling_terminal() {
    if is_alone() {
        let input = std::io::stdin();
        let terminal = Tty::new(&input).unwrap();
        let me = std::process::id();
        assert_eq!((terminal.session().unwrap(), terminal.foreground_group().unwrap()), (me, me));
        assert_eq!(Tty::controlling().unwrap().foreground_group().unwrap(), me);
        let mut child = Command::new("sleep").arg("30").process_group(0).spawn().unwrap();
        terminal.set_foreground_group(child.id()).unwrap();
        assert_eq!(terminal.foreground_group().unwrap(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        let code = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
        assert_eq!(code(terminal.set_foreground_group(0)), Some(libc::EINVAL));
        // Of another terminal nothing is told, and it cannot be taken while we have this one.
        let (_controller, other) = pty::pair().unwrap();
        assert_eq!(other.session().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(code(other.make_controlling()), Some(libc::EPERM));
        return;
    }
    let (text, succeeded) = alone_on_a_terminal("sessions_and_foreground_groups_are_those_of_the_controlling_terminal");
    assert!(succeeded, "{text}");
}
