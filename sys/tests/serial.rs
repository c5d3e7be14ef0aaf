//! Serial ports, played by pseudoterminals: these have neither modem lines nor parity, nor a speed that matters.

use becket_sys::pty::Controller;
use becket_sys::serial::{DataBits, FlowControl, ModemLines, Parity, Port, Settings, StopBits};
use becket_sys::tty::Tty;
use becket_sys::{Ready, wait};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

fn device() -> (Controller, PathBuf) {
    let controller = Controller::open().unwrap();
    let path = controller.terminal_path().unwrap();
    (controller, path)
}

#[test]
fn every_byte_passes_unchanged_both_ways() {
    let (controller, path) = device();
    let port = Port::open(path, 115_200).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let mut got = vec![0; 256];
    (&controller).write_all(&all).unwrap();
    wait(&port, Ready::READ, soon()).unwrap().unwrap();
    (&port).read_exact(&mut got).unwrap();
    assert_eq!(got, all);
    (&port).write_all(&all).unwrap();
    wait(&controller, Ready::READ, soon()).unwrap().unwrap();
    (&controller).read_exact(&mut got).unwrap();
    assert_eq!(got, all);
    assert_eq!((&port).read(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_hang_up_is_a_value_and_stays_one() {
    let (controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    assert!(!port.is_hung_up().unwrap());
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), None);
    drop(controller);
    assert!(wait(&port, Ready::READ, soon()).unwrap().unwrap().contains(Ready::HUP));
    assert!(port.is_hung_up().unwrap());
    for _ in 0..2 {
        assert_eq!(port.try_read(&mut [0; 8]).unwrap(), Some(0));
    }
    assert_eq!(port.try_write(b"x").unwrap_err().raw_os_error(), Some(libc::EIO));
    assert_eq!(port.settings().unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn a_read_of_nothing_is_no_hang_up_whatever_the_line_was_set_to_before() {
    let (controller, path) = device();
    let before = Tty::open(&path).unwrap();
    let mut termios = tcgetattr(&before).unwrap();
    termios.special_codes[SpecialCodeIndex::VMIN] = 0; // a read of an idle line would give 0
    termios.special_codes[SpecialCodeIndex::VTIME] = 7;
    tcsetattr(&before, OptionalActions::Now, &termios).unwrap();
    drop(before);
    let port = Port::open(path, 9600).unwrap();
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), None);
    controller.try_write(b"1").unwrap();
    wait(&port, Ready::READ, soon()).unwrap().unwrap();
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), Some(1));
}

#[test]
fn settings_are_what_was_asked_for() {
    let (_controller, path) = device();
    let port = Port::builder(&path, 250_000)
        .stop_bits(StopBits::Two)
        .flow_control(FlowControl::Software)
        .exclusive(false)
        .open()
        .unwrap();
    let mut want = Settings {
        stop_bits: StopBits::Two,
        flow_control: FlowControl::Software,
        ..Settings::new(250_000) // none of the customary speeds
    };
    assert_eq!(port.settings().unwrap(), want);
    assert!(tcgetattr(&port).unwrap().control_modes.contains(ControlModes::CLOCAL | ControlModes::CREAD));
    want = Settings { flow_control: FlowControl::Hardware, ..Settings::new(9600) };
    port.set_settings(&want).unwrap();
    assert_eq!(port.settings().unwrap(), want);
    // Non-blocking and close-on-exec from the first moment to the last.
    assert!(rustix::fs::fcntl_getfl(&port).unwrap().contains(OFlags::NONBLOCK));
    assert!(rustix::io::fcntl_getfd(&port).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_setting_that_the_device_ignores_is_an_error_that_names_it() {
    let (_controller, path) = device();
    let e = Port::builder(&path, 9600).parity(Parity::Even).open().unwrap_err();
    assert_eq!((e.step(), e.kind()), ("tcsetattr", ErrorKind::Unsupported));
    let told = format!("tcsetattr {}: the device does not take parity E, it stays at N", path.display());
    assert_eq!(e.to_string(), told);
    let e = Port::builder(&path, 9600).data_bits(DataBits::Seven).open().unwrap_err();
    assert!(e.to_string().ends_with("the device does not take data bits 7, it stays at 8"), "{e}");
    let e = Port::open(&path, 0).unwrap_err();
    assert_eq!((e.step(), e.kind()), ("tcsetattr", ErrorKind::InvalidInput));
    Port::open(&path, 9600).unwrap(); // the failures left no lock behind
}

#[test]
fn what_cannot_be_opened_is_told_with_step_and_path() {
    let told = |path: &Path| {
        let e = Port::open(path, 9600).unwrap_err();
        assert_eq!(e.subject(), path.display().to_string());
        (e.step(), e.raw_os_error())
    };
    let dir = std::env::temp_dir().join(format!("becket-serial-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (file, fifo) = (dir.join("file"), dir.join("fifo"));
    fs::write(&file, "").unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(told(&dir.join("none")), ("open", Some(libc::ENOENT)));
    assert_eq!(told(&file), ("isatty", Some(libc::ENOTTY)));
    assert_eq!(told(&fifo), ("isatty", Some(libc::ENOTTY)));
    assert_eq!(told(&dir), ("open", Some(libc::EISDIR)));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn exclusive_use_holds_against_root_too_and_ends_with_the_port() {
    let (_controller, path) = device();
    let port = Port::open(&path, 9600).unwrap();
    let e = Port::open(&path, 9600).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EBUSY));
    assert!(["lock", "open"].contains(&e.step())); // root comes as far as the lock
    drop(port);
    let port = Port::open(&path, 9600).unwrap();
    assert_eq!(port.try_read(&mut [0; 1]).unwrap(), None);
}

#[test]
fn another_program_that_locks_the_device_is_heeded() {
    let (_controller, path) = device();
    let other = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let e = Port::open(&path, 9600).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("lock", Some(libc::EBUSY)));
    Port::builder(&path, 9600).exclusive(false).open().unwrap();
}

#[test]
fn users_without_privilege_cannot_open_a_port_in_exclusive_use() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: only root can act for another user");
        return;
    }
    let (_controller, path) = device();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let nobody_opens = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<>\"$0\""]).arg(&path).uid(65534).gid(65534);
        shell.output().unwrap().status.success()
    };
    assert!(nobody_opens());
    let port = Port::open(&path, 9600).unwrap();
    assert!(!nobody_opens());
    drop(port);
    assert!(nobody_opens(), "the mark outlived the port");
    drop(OwnedFd::from(Port::open(&path, 9600).unwrap()));
    assert!(!nobody_opens(), "given away, the descriptor keeps its mark");
}

#[test]
fn queues_are_counted_and_discarded() {
    let (controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    controller.try_write(b"12345").unwrap();
    wait(&port, Ready::READ, soon()).unwrap().unwrap();
    assert_eq!(port.input_queued().unwrap(), 5);
    port.discard_input().unwrap();
    assert_eq!(port.input_queued().unwrap(), 0);
    assert_eq!(wait(&port, Ready::READ, Some(Instant::now())).unwrap(), None);

    port.try_write(b"123").unwrap();
    wait(&controller, Ready::READ, soon()).unwrap().unwrap();
    port.discard_output().unwrap();
    assert_eq!(port.output_queued().unwrap(), 0);
    port.drain().unwrap();
}

#[test]
fn a_device_without_modem_lines_says_so_and_breaks_do_nothing() {
    let (_controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    let none = [Some(libc::ENOTTY), Some(libc::EINVAL)];
    assert!(none.contains(&port.modem_lines().unwrap_err().raw_os_error()));
    assert!(none.contains(&port.set_modem_lines(ModemLines::DTR, true).unwrap_err().raw_os_error()));
    port.set_break(true).unwrap();
    port.set_break(false).unwrap();
    port.send_break().unwrap();
}
