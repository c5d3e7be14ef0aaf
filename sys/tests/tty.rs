//! Terminals as programs meet them.

use becket_sys::pty;
use becket_sys::tty::{Tty, WindowSize, is_terminal};
use rustix::fs::OFlags;
use rustix::termios::{LocalModes, tcgetattr};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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
