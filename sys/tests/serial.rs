//! Serial ports, played by pseudoterminals: these have neither modem lines nor parity, nor a speed that matters.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::pty::Controller;
use becket_sys::serial::{
    ClosingWait, DataBits, FlowControl, ModemLines, Parity, Port, Received, Refused, Rs485, Settings, StopBits, Unmark,
    ports, ports_under,
};
use becket_sys::tty::Tty;
use becket_sys::{Ready, wait};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
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
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
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
fn a_second_handle_is_the_same_port_and_keeps_the_lock_alone() {
    let (controller, path) = device();
    let port = Port::open(&path, 9600).unwrap();
    let second = port.try_clone().unwrap();
    assert!(second.is_exclusive().unwrap());
    drop(port);
    assert!(!second.is_exclusive().unwrap());
    assert_eq!(Port::open(&path, 9600).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    assert_eq!(second.try_write(b"x").unwrap(), Some(1));
    assert_eq!(controller.try_read(&mut [0; 4]).unwrap(), Some(1));
    drop(second);
    Port::open(&path, 9600).unwrap();
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

/// What no pseudoterminal has is told as such, each by itself, and at once.
#[test]
fn what_the_device_does_not_have_is_an_error_and_no_hang() {
    let (_controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    let answers = [
        ("watch_lines", port.watch_lines(ModemLines::CTS).map(drop)),
        ("wait_lines", port.wait_lines(ModemLines::CTS)),
        ("counters", port.counters().map(drop)),
        ("rs485", port.rs485().map(drop)),
        ("set_rs485", port.set_rs485(&Rs485::default()).map(drop)),
        ("low_latency", port.low_latency().map(drop)),
        ("set_low_latency", port.set_low_latency(true)),
        ("closing_wait", port.closing_wait().map(drop)),
        ("set_closing_wait", port.set_closing_wait(ClosingWait::Not)),
    ];
    for (what, answer) in answers {
        let code = answer.map_err(|e| e.raw_os_error()).unwrap_err();
        assert!([Some(libc::ENOTTY), Some(libc::EINVAL)].contains(&code), "{what}: {code:?}");
    }
    for lines in [ModemLines::empty(), ModemLines::DTR] {
        assert_eq!(port.watch_lines(lines).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn what_was_refused_can_be_asked_of_the_error() {
    let (_controller, path) = device();
    let port = Port::open(&path, 9600).unwrap();
    let e = port.set_settings(&Settings { parity: Parity::Mark, ..Settings::new(9600) }).unwrap_err();
    let refused = Refused::of(&e).unwrap();
    assert_eq!((refused.setting(), refused.wanted(), refused.got()), ("parity", "M", "N"));
    drop(port);
    let e = Port::builder(&path, 9600).data_bits(DataBits::Five).open().unwrap_err();
    assert_eq!(Refused::of(&e).unwrap().setting(), "data bits");
    let boxed: Box<dyn std::error::Error> = Box::new(e);
    assert_eq!(Refused::of(&*boxed).unwrap().got(), "8");
    assert_eq!(Refused::of(&Port::open("/dev/null", 9600).unwrap_err()), None);
}

#[test]
fn the_two_directions_can_differ_until_the_settings_are_set_again() {
    let (_controller, path) = device();
    let port = Port::open(path, 115_200).unwrap();
    assert_eq!(port.input_baud().unwrap(), 115_200);
    for baud in [1200, 31_250] {
        port.set_input_baud(baud).unwrap();
        assert_eq!((port.input_baud().unwrap(), port.settings().unwrap().baud), (baud, 115_200));
    }
    port.set_settings(&Settings::new(74_880)).unwrap();
    assert_eq!((port.input_baud().unwrap(), port.settings().unwrap().baud), (74_880, 74_880));
    assert_eq!(port.set_input_baud(0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_job_is_readable_once_it_is_done() {
    let (controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    port.try_write(b"12345").unwrap();
    let drain = port.start_drain().unwrap();
    assert!(drain.wait_ready(Ready::READ, soon()).unwrap().is_some());
    assert!(drain.is_done().unwrap() && drain.is_done().unwrap());
    drop(drain);

    // A break takes its time, and its job ends with it or before it.
    let start = Instant::now();
    let length = Duration::from_millis(150); // rounded up to 200
    let job = port.start_break(length).unwrap();
    assert!(job.wait_ready(Ready::READ, soon()).unwrap().is_some());
    assert!(job.is_done().unwrap());
    let paced = start.elapsed() >= length; // a pseudoterminal knows no break
    println!("a break of 150 ms lasted {:?}, paced: {paced}", start.elapsed());
    drop(port.start_break(Duration::from_secs(25)).unwrap());
    assert!(start.elapsed() < Duration::from_secs(20));
    for wrong in [Duration::ZERO, Duration::from_millis(25_501)] {
        assert_eq!(port.start_break(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(port.send_break_for(wrong).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    port.send_break_for(Duration::from_millis(1)).unwrap();

    drop(controller);
    let drain = port.start_drain().unwrap();
    assert!(drain.wait_ready(Ready::READ, soon()).unwrap().is_some());
    assert_eq!(drain.is_done().unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn a_frame_of_known_length_wakes_once() {
    let (controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    assert_eq!(port.read_minimum().unwrap(), (1, Duration::ZERO));
    port.set_read_minimum(4, Duration::ZERO).unwrap();
    controller.try_write(b"abc").unwrap();
    let at = Instant::now() + Duration::from_millis(50);
    assert_eq!(wait(&port, Ready::READ, Some(at)).unwrap(), None);
    controller.try_write(b"d").unwrap();
    assert!(wait(&port, Ready::READ, soon()).unwrap().is_some());
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), Some(4));
    // A read does not wait for the number.
    controller.try_write(b"e").unwrap();
    while port.input_queued().unwrap() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), Some(1));

    port.set_read_minimum(0, Duration::from_millis(110)).unwrap();
    assert_eq!(port.read_minimum().unwrap(), (0, Duration::from_millis(200)));
    port.set_read_minimum(0, Duration::ZERO).unwrap();
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), Some(0), "nothing there, and no hang-up");
    assert_eq!(port.set_read_minimum(1, Duration::from_secs(26)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    port.set_settings(&Settings::new(9600)).unwrap();
    assert_eq!(port.try_read(&mut [0; 8]).unwrap(), None);
}

#[test]
fn stopped_output_waits_and_goes_on() {
    let (controller, path) = device();
    let port = Port::open(path, 9600).unwrap();
    port.set_output_stopped(true).unwrap();
    assert_eq!(port.try_write(b"x").unwrap(), None);
    assert_eq!(wait(&port, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    port.set_output_stopped(false).unwrap();
    assert_eq!(port.try_write(b"x").unwrap(), Some(1));
    let mut buf = [0; 8];
    assert!(wait(&controller, Ready::READ, soon()).unwrap().is_some());
    assert_eq!(controller.try_read(&mut buf).unwrap(), Some(1));
    for (stop, character) in [(true, 0x13), (false, 0x11)] {
        port.ask_peer_to_stop(stop).unwrap();
        assert!(wait(&controller, Ready::READ, soon()).unwrap().is_some());
        assert_eq!(controller.try_read(&mut buf).unwrap(), Some(1));
        assert_eq!(buf[0], character);
    }
}

#[test]
fn exclusive_use_begins_and_ends_at_will() {
    let (_controller, path) = device();
    let port = Port::builder(&path, 9600).exclusive(false).open().unwrap();
    let second = Port::from(OwnedFd::from(Port::builder(&path, 9600).exclusive(false).open().unwrap()));
    assert!(!port.is_exclusive().unwrap());
    port.set_exclusive(true).unwrap();
    assert!(port.is_exclusive().unwrap());
    assert_eq!(second.set_exclusive(true).unwrap_err().raw_os_error(), Some(libc::EBUSY));
    port.set_exclusive(false).unwrap();
    assert!(!port.is_exclusive().unwrap());
    second.set_exclusive(true).unwrap();
    drop(second);
    assert!(!port.is_exclusive().unwrap());
}

#[test]
fn hanging_up_on_close_is_a_setting_that_stays() {
    let (_controller, path) = device();
    let port = Port::open(&path, 9600).unwrap();
    for on in [false, true, false] {
        port.set_hang_up_on_close(on).unwrap();
        assert_eq!(port.hangs_up_on_close().unwrap(), on);
    }
    drop(port);
    assert!(!Port::open(&path, 9600).unwrap().hangs_up_on_close().unwrap());
}

/// A copy of what matters of sysfs: an FTDI adapter, a modem, a PC's port that is there and one that is not, a console.
#[test]
fn ports_are_listed_with_what_they_are_attached_to() {
    let root = std::env::temp_dir().join(format!("becket-serial-list-{}", std::process::id()));
    let dir = |path: &str| {
        let dir = root.join(path);
        fs::create_dir_all(&dir).unwrap();
        dir
    };
    let class = dir("class/tty");
    // A device at `path` with these files, on a bus, with a driver, and the name of its port if it is one.
    let device = |path: &str, bus: &str, driver: &str, files: &[(&str, &str)]| {
        let dir = dir(&format!("devices/{path}"));
        symlink(root.join("bus").join(bus), dir.join("subsystem")).unwrap();
        if !driver.is_empty() {
            symlink(root.join("drivers").join(driver), dir.join("driver")).unwrap();
        }
        for (name, text) in files {
            fs::write(dir.join(name), format!("{text}\n")).unwrap();
        }
    };
    let port = |name: &str, path: &str, kind: &str| {
        let tty = dir(&format!("devices/{path}/tty/{name}"));
        symlink(root.join("devices").join(path), tty.join("device")).unwrap();
        if !kind.is_empty() {
            fs::write(tty.join("type"), kind).unwrap();
        }
        symlink(&tty, class.join(name)).unwrap();
    };

    let ftdi =
        [("idVendor", "0403"), ("idProduct", "6011"), ("bcdDevice", "0800"), ("serial", "FT1"), ("product", "Q")];
    device("pci0/usb1", "usb", "usb", &[("idVendor", "1d6b"), ("idProduct", "0002")]);
    device("pci0/usb1/1-4", "usb", "usb", &ftdi);
    device("pci0/usb1/1-4/1-4:1.2", "usb", "ftdi_sio", &[("bInterfaceNumber", "02"), ("interface", "C")]);
    device("pci0/usb1/1-4/1-4:1.2/ttyUSB10", "usb-serial", "ftdi_sio_port", &[]);
    port("ttyUSB10", "pci0/usb1/1-4/1-4:1.2/ttyUSB10", "");
    device("pci0/usb1/1-5", "usb", "usb", &[("idVendor", "2341"), ("idProduct", "0043"), ("manufacturer", "A\u{e9}")]);
    device("pci0/usb1/1-5/1-5:1.0", "usb", "cdc_acm", &[("bInterfaceNumber", "00")]);
    port("ttyACM9", "pci0/usb1/1-5/1-5:1.0", "");
    device("pnp0/00:00", "pnp", "serial", &[]);
    device("pnp0/00:00/00:00:0", "serial-base", "ctrl", &[]);
    device("pnp0/00:00/00:00:0/00:00:0.0", "serial-base", "port", &[]);
    port("ttyS0", "pnp0/00:00/00:00:0/00:00:0.0", "4");
    device("platform/serial8250", "platform", "serial8250", &[]);
    port("ttyS1", "platform/serial8250", "0");
    port("ttyUSB9", "gone", "");
    fs::create_dir_all(class.join("console")).unwrap();
    symlink(root.join("nowhere"), class.join("ttyUSB3")).unwrap();

    let found = ports_under(&root).unwrap();
    let names: Vec<&str> = found.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["ttyACM9", "ttyS0", "ttyUSB9", "ttyUSB10"]);
    let [acm, pc, bare, quad] = &found[..] else { panic!() };
    assert_eq!((pc.driver.as_deref(), pc.bus.as_deref(), &pc.usb), (Some("serial"), Some("pnp"), &None));
    assert_eq!((&bare.driver, &bare.bus, &bare.usb), (&None, &None, &None));
    assert_eq!((quad.driver.as_deref(), quad.bus.as_deref()), (Some("ftdi_sio_port"), Some("usb")));
    assert_eq!(quad.path, Path::new("/dev/ttyUSB10"));
    let usb = quad.usb.as_ref().unwrap();
    assert_eq!((usb.vendor, usb.product, usb.release, usb.interface), (0x0403, 0x6011, 0x0800, Some(2)));
    assert_eq!((usb.serial_number.as_deref(), usb.interface_name.as_deref()), (Some("FT1"), Some("C")));
    assert_eq!((usb.location.as_str(), usb.product_name.as_deref()), ("1-4", Some("Q")));
    let usb = acm.usb.as_ref().unwrap();
    assert_eq!((usb.vendor, usb.interface, usb.manufacturer.as_deref()), (0x2341, Some(0), Some("A\u{e9}")));
    assert_eq!((acm.driver.as_deref(), &usb.serial_number), (Some("cdc_acm"), &None));
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(ports_under(&root).unwrap_err().raw_os_error(), Some(libc::ENOENT));

    // This machine's own: consoles and pseudoterminals are not among them.
    let names: Vec<String> = ports().unwrap().into_iter().map(|p| p.name).collect();
    assert!(names.iter().all(|name| Path::new("/sys/class/tty").join(name).join("device").exists()), "{names:?}");
}

#[test]
fn marks_pass_every_byte_and_end_with_new_settings() {
    let (controller, path) = device();
    let port = Port::open(path, 250_000).unwrap();
    port.set_error_marks(true).unwrap();
    let all: Vec<u8> = (0..=255).chain([0xff, 0xff, 0, 0xff, 0]).collect();
    (&controller).write_all(&all).unwrap();
    let (mut got, mut unmark, mut buf) = (Vec::new(), Unmark::new(), [0; 3]); // marks are torn apart
    while got.len() < all.len() {
        wait(&port, Ready::READ, soon()).unwrap().unwrap();
        let n = port.try_read(&mut buf).unwrap().unwrap_or(0);
        got.extend(unmark.decode(&buf[..n]));
    }
    let want: Vec<Received> = all.iter().map(|byte| Received::Byte(*byte)).collect();
    assert_eq!(got, want);
    port.set_settings(&Settings::new(9600)).unwrap();
    controller.try_write(&[0xff]).unwrap();
    wait(&port, Ready::READ, soon()).unwrap().unwrap();
    assert_eq!(port.try_read(&mut buf).unwrap(), Some(1));

    // However the bytes are cut, and whatever they are, the same comes out; nothing is invented.
    let odd = [1, 0xff, 0, 0, 0xff, 0, 7, 0xff, 9, 0xff, 0xff, 0, 0xff, 0, 0xff, 0xff];
    let whole: Vec<Received> = Unmark::new().decode(&odd).collect();
    use Received::{Break, Byte, Wrong};
    assert_eq!(whole, [Byte(1), Break, Wrong(7), Byte(0xff), Byte(9), Byte(0xff), Byte(0), Wrong(0xff)]);
    for cut in 0..=odd.len() {
        let mut unmark = Unmark::new();
        let mut parts: Vec<Received> = unmark.decode(&odd[..cut]).collect();
        parts.extend(unmark.decode(&odd[cut..]));
        assert_eq!(parts, whole, "{cut}");
    }
}
