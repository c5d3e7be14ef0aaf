//! Terminals as programs meet them.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::pty;
use becket_sys::tty::{Tty, WindowSize, is_terminal};
use becket_sys::{Ready, wait};
use rustix::fs::OFlags;
use rustix::termios::{LocalModes, tcgetattr};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

fn cooked(fd: impl AsFd) -> bool {
    tcgetattr(fd).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

#[test]
fn raw_mode_lasts_as_long_as_its_guard() {
    let (controller, terminal) = pty::pair().unwrap();
    assert!(cooked(&terminal));
    let raw = terminal.raw_mode().unwrap();
    assert!(!cooked(&terminal));
    (&controller).write_all(b"\x03q").unwrap(); // Ctrl-C is a byte like others, and no line end is waited for
    let mut buf = [0; 8];
    assert_eq!((&terminal).read(&mut buf).unwrap(), 2);
    assert_eq!(&buf[..2], b"\x03q");
    assert_eq!(controller.try_read(&mut buf).unwrap(), None); // no echo
    drop(raw);
    assert!(cooked(&terminal));
    terminal.raw_mode().unwrap().restore().unwrap();
    assert!(cooked(&terminal));
}

#[test]
fn raw_mode_ends_when_a_panic_unwinds() {
    let (_controller, terminal) = pty::pair().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _raw = terminal.raw_mode().unwrap();
        std::panic::resume_unwind(Box::new("no message on standard error"));
    }));
    assert!(result.is_err());
    assert!(cooked(&terminal));
}

#[test]
fn guards_nest() {
    let (_controller, terminal) = pty::pair().unwrap();
    let outer = terminal.raw_mode().unwrap();
    drop(terminal.raw_mode().unwrap());
    assert!(!cooked(&terminal));
    drop(outer);
    assert!(cooked(&terminal));
}

#[test]
fn restoring_after_a_hang_up_fails_without_harm() {
    let (controller, terminal) = pty::pair().unwrap();
    let (first, second) = (terminal.raw_mode().unwrap(), terminal.raw_mode().unwrap());
    drop(controller);
    assert_eq!(first.restore().unwrap_err().raw_os_error(), Some(libc::EIO));
    drop(second);
}

#[test]
fn a_borrowed_terminal_stays_open_and_keeps_its_blocking_mode() {
    let controller = pty::Controller::open().unwrap();
    let inherited = controller.open_terminal_for_child().unwrap();
    {
        let terminal = Tty::new(inherited.as_fd()).unwrap();
        assert_eq!(terminal.path().unwrap(), controller.terminal_path().unwrap());
        terminal.try_write(b"hi").unwrap();
    }
    assert!(is_terminal(&inherited));
    assert!(!rustix::fs::fcntl_getfl(&inherited).unwrap().contains(OFlags::NONBLOCK));
    let owned = Tty::new(inherited).unwrap();
    let back = owned.into_inner();
    assert!(is_terminal(back));
}

#[test]
fn opening_by_path_does_not_block_and_takes_no_controlling_terminal() {
    let controller = pty::Controller::open().unwrap();
    let terminal = Tty::open(controller.terminal_path().unwrap()).unwrap();
    assert!(rustix::fs::fcntl_getfl(&terminal).unwrap().contains(OFlags::NONBLOCK));
    assert_eq!(terminal.try_read(&mut [0; 8]).unwrap(), None);
    assert!(rustix::termios::tcgetsid(&terminal).is_err()); // nobody's
}

#[test]
fn what_is_no_terminal_is_refused_by_name() {
    let dir = std::env::temp_dir();
    let e = Tty::open("/dev/null").unwrap_err();
    assert_eq!((e.step(), e.subject(), e.raw_os_error()), ("isatty", "/dev/null", Some(libc::ENOTTY)));
    let e = Tty::open(dir.join("becket-no-such-terminal")).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::ENOENT)));
    let e = Tty::open(Path::new("/dev/pts")).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::EISDIR)));
}

#[test]
fn both_ends_see_one_window_size() {
    let (controller, terminal) = pty::pair().unwrap();
    let size = WindowSize { rows: 25, columns: 81, x_pixels: 640, y_pixels: 400 };
    terminal.set_window_size(size).unwrap();
    assert_eq!(controller.window_size().unwrap(), size);
    assert_eq!(terminal.window_size().unwrap(), size);
}

#[test]
fn the_panic_hook_knows_the_guards_that_live_and_no_others() {
    let (_controller, terminal) = pty::pair().unwrap();
    let (_other_controller, other) = pty::pair().unwrap();
    let hooked = terminal.raw_mode().unwrap().restore_on_panic().unwrap();
    let plain = other.raw_mode().unwrap();
    let inner = terminal.raw_mode().unwrap().restore_on_panic().unwrap();
    assert!(catch_unwind(|| panic!("expected: part of a test")).is_err());
    assert!(cooked(&terminal) && !cooked(&other));
    hooked.reenter().unwrap();
    assert!(!cooked(&terminal));
    drop((inner, hooked, plain));
    assert!(cooked(&terminal));

    let raw = terminal.raw_mode().unwrap(); // not for the hook
    assert!(catch_unwind(|| panic!("expected: part of a test")).is_err());
    assert!(!cooked(&terminal));
    raw.restore().unwrap();
    terminal.raw_mode().unwrap().restore_on_panic().unwrap().restore().unwrap();
    assert!(cooked(&terminal));
}

#[test]
fn keys_come_singly_with_signals_left_on_and_passwords_unseen() {
    let (controller, terminal) = pty::pair().unwrap();
    let modes = || tcgetattr(&terminal).unwrap().local_modes;
    let keys = terminal.key_mode().unwrap();
    assert!(modes().contains(LocalModes::ISIG) && !modes().intersects(LocalModes::ICANON | LocalModes::ECHO));
    controller.try_write(b"k").unwrap();
    let deadline = Some(Instant::now() + Duration::from_secs(10));
    assert!(wait(&terminal, Ready::READ, deadline).unwrap().is_some());
    assert_eq!(terminal.try_read(&mut [0; 8]).unwrap(), Some(1));
    terminal.try_write(b"\n").unwrap();
    let mut buf = [0; 16];
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(2), "no echo, and a line end that is translated");
    drop(keys);

    let hidden = terminal.no_echo().unwrap();
    controller.try_write(b"secret\n").unwrap();
    assert!(wait(&terminal, Ready::READ, deadline).unwrap().is_some());
    assert_eq!(terminal.try_read(&mut buf).unwrap(), Some(7));
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(2));
    assert_eq!(&buf[..2], b"\r\n");
    hidden.restore().unwrap();
    assert!(modes().contains(LocalModes::ECHO) && cooked(&terminal));
}

#[test]
fn a_terminal_opened_anew_has_a_blocking_mode_of_its_own() {
    let controller = pty::Controller::open().unwrap();
    let inherited = controller.open_terminal_for_child().unwrap();
    let ours = Tty::reopen(&inherited).unwrap();
    assert_eq!(ours.path().unwrap(), controller.terminal_path().unwrap());
    assert!(rustix::fs::fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
    assert!(!rustix::fs::fcntl_getfl(&inherited).unwrap().contains(OFlags::NONBLOCK));
    let e = Tty::reopen(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("isatty", Some(libc::ENOTTY)));
    drop(controller);
    assert_eq!(Tty::reopen(&inherited).unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn what_waits_can_be_discarded() {
    let (controller, terminal) = pty::pair().unwrap();
    let _raw = terminal.raw_mode().unwrap();
    controller.try_write(b"typed").unwrap();
    let deadline = Some(Instant::now() + Duration::from_secs(10));
    assert!(wait(&terminal, Ready::READ, deadline).unwrap().is_some());
    terminal.discard_input().unwrap();
    assert_eq!(terminal.try_read(&mut [0; 8]).unwrap(), None);
    terminal.try_write(b"shown").unwrap();
    assert!(wait(&controller, Ready::READ, deadline).unwrap().is_some());
    terminal.discard_output().unwrap();
    assert_eq!(controller.try_read(&mut [0; 8]).unwrap(), Some(5), "it had arrived");
}
