//! Input devices of a real kernel, played by the test through uinput, in the virtual machine that scripts/test-vm
//! starts: elsewhere what is played would be typed into whatever program has the keyboard.
#![allow(unsafe_code, reason = "no crate of ours has the ioctls by which uinput makes a device")]

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::input::{AbsInfo, Batch, CodeSet, Device, Event, Input, Kind, Repeat, Tracker, codes, devices};
use becket_sys::timer::Clock;
use becket_sys::{EventBuf, Ready, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl, opcode};
use std::ffi::c_int;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(10);

const CREATE: Opcode = opcode::none(b'U', 1);
const DESTROY: Opcode = opcode::none(b'U', 2);
const SET_KIND: Opcode = opcode::write::<c_int>(b'U', 100);
const SET_KEY: Opcode = opcode::write::<c_int>(b'U', 101);
const SET_REL: Opcode = opcode::write::<c_int>(b'U', 102);
const SET_ABS: Opcode = opcode::write::<c_int>(b'U', 103);
const SET_LED: Opcode = opcode::write::<c_int>(b'U', 105);
const SET_PHYS: Opcode = opcode::write::<*const u8>(b'U', 108);
const SET_SW: Opcode = opcode::write::<c_int>(b'U', 109);
const SET_PROP: Opcode = opcode::write::<c_int>(b'U', 110);

fn set<const OPCODE: Opcode>(file: &File, numbers: &[u16]) {
    for number in numbers {
        // SAFETY: these calls take a number.
        unsafe { ioctl(file, IntegerSetter::<OPCODE>::new_usize((*number).into())).unwrap() };
    }
}

/// A device of the test's own, the far end: it says what happens.
struct Played {
    file: File,
    name: String,
}

impl Played {
    /// One with keys, a pointer, two axes, a touch pad of four slots, a switch and a lamp.
    fn new() -> Option<Played> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let test = thread::current().name().unwrap_or_default().to_owned();
        // The console and the desktop would take the events, too.
        if std::env::var_os("BECKET_UINPUT").is_none() {
            println!("SKIP: {test}: this machine's users would get the events; scripts/test-vm has nobody");
            return None;
        }
        let file = match File::options().read(true).write(true).open("/dev/uinput") {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                println!("SKIP: {test}: no uinput here ({e}); scripts/test-vm has it");
                return None;
            }
            Err(e) => panic!("/dev/uinput: {e}"),
        };
        set::<SET_KIND>(&file, &[1, 2, 3, 5, 0x11, 0x14]);
        set::<SET_KEY>(&file, &[codes::KEY_A, codes::KEY_B, codes::KEY_C, codes::BTN_TOUCH]);
        set::<SET_REL>(&file, &[codes::REL_X]);
        let touch = [codes::ABS_MT_SLOT, codes::ABS_MT_POSITION_X, codes::ABS_MT_TRACKING_ID];
        set::<SET_ABS>(&file, &[codes::ABS_X, codes::ABS_Y]);
        set::<SET_ABS>(&file, &touch);
        set::<SET_LED>(&file, &[codes::LED_CAPSL]);
        set::<SET_SW>(&file, &[codes::SW_LID]);
        set::<SET_PROP>(&file, &[codes::INPUT_PROP_DIRECT]);
        // SAFETY: the call reads a string up to its NUL.
        unsafe { ioctl(&file, IntegerSetter::<SET_PHYS>::new_pointer(c"test/input0".as_ptr() as *mut _)).unwrap() };

        // A struct uinput_user_dev: a name, what it is, and four arrays of what each of 64 axes is.
        let name = format!("becket {} {}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut words = vec![0_i32; 4 * 64];
        let mut axis = |code: u16, [max, min, fuzz, flat]: [i32; 4]| {
            for (array, value) in [max, min, fuzz, flat].into_iter().enumerate() {
                words[64 * array + usize::from(code)] = value;
            }
        };
        axis(codes::ABS_X, [100, -100, 0, 7]);
        axis(codes::ABS_Y, [50, 0, 0, 0]);
        axis(codes::ABS_MT_SLOT, [3, 0, 0, 0]);
        axis(codes::ABS_MT_POSITION_X, [1000, 0, 0, 0]);
        axis(codes::ABS_MT_TRACKING_ID, [65535, 0, 0, 0]);
        let mut setup = name.clone().into_bytes();
        setup.resize(80, 0);
        setup.extend([6_u16, 0x1234, 0x5678, 9].map(u16::to_ne_bytes).as_flattened());
        setup.extend(0_u32.to_ne_bytes());
        setup.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        (&file).write_all(&setup).unwrap();
        // SAFETY: this call takes nothing.
        unsafe { ioctl(&file, NoArg::<CREATE>::new()).unwrap() };
        let played = Played { file, name };
        // Else a key that is held repeats, sooner or later.
        played.play(&[(Kind::REP, codes::REP_DELAY, 3_600_000), (Kind::REP, codes::REP_PERIOD, 3_600_000)]);
        Some(played)
    }

    /// The near end.
    fn device(&self) -> Device {
        let deadline = Instant::now() + LONG;
        loop {
            // The node comes a moment later.
            let found = devices().unwrap().flatten().find(|device| device.name().is_ok_and(|name| *name == *self.name));
            match found {
                Some(device) => return device,
                None => assert!(Instant::now() < deadline, "no device of that name"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Says that events happen, and that they are a frame.
    fn play(&self, events: &[(Kind, u16, i32)]) {
        let mut bytes = Vec::new();
        for (kind, code, value) in events.iter().chain(&[(Kind::SYN, codes::SYN_REPORT, 0)]) {
            bytes.extend([0; size_of::<libc::timeval>()]);
            bytes.extend([kind.0, *code].map(u16::to_ne_bytes).as_flattened());
            bytes.extend(value.to_ne_bytes());
        }
        (&self.file).write_all(&bytes).unwrap();
    }

    fn unplug(self) {
        // SAFETY: this call takes nothing.
        unsafe { ioctl(&self.file, NoArg::<DESTROY>::new()).unwrap() };
    }
}

/// The events that are there, without their times.
fn read(device: &Device) -> Vec<String> {
    let mut buf = EventBuf::new();
    match device.read_events(&mut buf).unwrap() {
        Some(Batch::Events(events)) => events.map(|event| event.to_string()).collect(),
        Some(Batch::Gone) => panic!("gone"),
        None => vec![],
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

fn readable(device: &Device) {
    assert!(wait(device, Ready::READ, Some(Instant::now() + LONG)).unwrap().is_some());
}

#[test]
fn a_device_says_what_it_is_and_can() {
    let Some(played) = Played::new() else { return };
    let device = played.device();
    assert!(fcntl_getfl(&device).unwrap().contains(OFlags::NONBLOCK | OFlags::RDWR));
    assert!(fcntl_getfd(&device).unwrap().contains(FdFlags::CLOEXEC));
    let id = device.id().unwrap();
    assert_eq!((id.bus, id.vendor, id.product, id.version), (6, 0x1234, 0x5678, 9));
    assert_eq!(device.physical_path().unwrap().unwrap(), "test/input0");
    assert_eq!(device.unique_id().unwrap(), None);
    assert_eq!(device.properties().unwrap(), CodeSet::from_iter([codes::INPUT_PROP_DIRECT]));
    let kinds = [Kind::SYN, Kind::KEY, Kind::REL, Kind::ABS, Kind::SW, Kind::LED, Kind::REP];
    assert_eq!(device.kinds().unwrap(), kinds);
    let keys = [codes::KEY_A, codes::KEY_B, codes::KEY_C, codes::BTN_TOUCH];
    assert_eq!(device.codes(Kind::KEY).unwrap(), CodeSet::from_iter(keys));
    assert_eq!(device.codes(Kind::REL).unwrap(), CodeSet::from_iter([codes::REL_X]));
    assert!([Kind::SYN, Kind::REP, Kind::FF, Kind(31)].iter().all(|kind| device.codes(*kind).unwrap().is_empty()));

    let x = device.axis(codes::ABS_X).unwrap();
    assert_eq!(x, AbsInfo { minimum: -100, maximum: 100, flat: 7, ..AbsInfo::default() });
    device.set_axis(codes::ABS_X, &AbsInfo { maximum: 200, resolution: 3, ..x }).unwrap();
    let again = played.device().axis(codes::ABS_X).unwrap();
    assert_eq!((again.maximum, again.resolution), (200, 3), "for everybody");
    assert_eq!(errno(device.set_axis(codes::ABS_MT_SLOT, &x)), Some(libc::EINVAL));
    assert_eq!(device.slots(codes::ABS_MT_TRACKING_ID).unwrap(), [-1; 4]);
    assert_eq!(errno(device.slots(codes::ABS_X)), Some(libc::EINVAL));

    let repeat = Repeat { delay: Duration::from_millis(300), period: Duration::from_micros(49_001) };
    device.set_repeat(&repeat).unwrap();
    let rounded = Repeat { period: Duration::from_millis(50), ..repeat };
    assert_eq!(device.repeat().unwrap(), Some(rounded));
    assert_eq!(device.mapping(0).unwrap(), None, "uinput's devices have no keymap");
    assert_eq!(device.mapping_of(&7_u32.to_ne_bytes()).unwrap(), None);
}

#[test]
fn events_come_in_frames_and_states_can_be_asked_for() {
    let Some(played) = Played::new() else { return };
    let device = played.device();
    device.set_clock(Clock::Monotonic).unwrap();
    assert_eq!(wait(&device, Ready::READ, Some(Instant::now())).unwrap(), None);
    assert!(read(&device).is_empty());

    let before = Clock::Monotonic.now();
    played.play(&[(Kind::KEY, codes::KEY_A, 1), (Kind::REL, codes::REL_X, -3), (Kind::SW, codes::SW_LID, 1)]);
    readable(&device);
    let mut buf = EventBuf::new();
    let Some(Batch::Events(events)) = device.read_events(&mut buf).unwrap() else { panic!() };
    let events: Vec<Event> = events.collect();
    let words: Vec<_> = events.iter().map(|event| event.to_string()).collect();
    assert_eq!(words, ["KEY_A 1", "REL_X -3", "SW_LID 1", "SYN_REPORT 0"]);
    let micros = |d: Duration| Duration::from_micros(d.as_micros() as u64);
    assert!(events.iter().all(|e| micros(before) <= e.time && e.time <= Clock::Monotonic.now()));
    assert_eq!(device.keys().unwrap(), CodeSet::from_iter([codes::KEY_A]));
    assert_eq!(device.switches().unwrap(), CodeSet::from_iter([codes::SW_LID]));

    // To the device, and back to all who read it.
    assert_eq!(device.write_events(&[Event::new(Kind::LED, codes::LED_CAPSL, 1)]).unwrap(), 1);
    assert_eq!(device.write_events(&[]).unwrap(), 0);
    assert_eq!(device.leds().unwrap(), CodeSet::from_iter([codes::LED_CAPSL]));
    assert!(device.sounds().unwrap().is_empty());

    // Asking for the keys takes those that are queued.
    played.play(&[(Kind::KEY, codes::KEY_B, 1), (Kind::REL, codes::REL_X, 1)]);
    readable(&device);
    assert_eq!(device.keys().unwrap().len(), 2);
    assert!(!read(&device).contains(&"KEY_B 1".to_owned()));

    // A clock that is set anew throws away what is queued, and tells it with the next frame.
    played.play(&[(Kind::REL, codes::REL_X, 1)]);
    readable(&device);
    device.set_clock(Clock::Boottime).unwrap();
    played.play(&[(Kind::REL, codes::REL_X, 2)]);
    readable(&device);
    assert_eq!(read(&device), ["SYN_DROPPED 0", "REL_X 2", "SYN_REPORT 0"]);

    let mut small = EventBuf::with_capacity(23);
    assert_eq!(errno(device.read_events(&mut small)), Some(libc::EINVAL));
}

#[test]
fn a_key_that_is_held_repeats() {
    let Some(played) = Played::new() else { return };
    let device = played.device();
    let period = Duration::from_millis(20);
    device.set_repeat(&Repeat { delay: period, period }).unwrap();
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    let mut seen = Vec::new();
    while seen.len() < 8 {
        readable(&device);
        seen.extend(read(&device));
    }
    assert_eq!(seen[..4], ["REP_DELAY 20", "REP_PERIOD 20", "KEY_A 1", "SYN_REPORT 0"]);
    assert_eq!(seen[4..8], ["KEY_A 2", "SYN_REPORT 1", "KEY_A 2", "SYN_REPORT 1"]);
    played.play(&[(Kind::KEY, codes::KEY_A, 0)]);
}

#[test]
fn the_example_prints_until_the_device_is_unplugged() {
    let Some(played) = Played::new() else { return };
    drop(played.device());
    let entries = std::fs::read_dir("/dev/input").unwrap().map(|entry| entry.unwrap().path());
    let is_it =
        |path: &std::path::PathBuf| Device::open(path).is_ok_and(|d| d.name().is_ok_and(|n| *n == *played.name));
    let path = entries.filter(|path| path.to_string_lossy().contains("event")).find(is_it).unwrap();
    let Some(program) = std::env::var_os("BECKET_EXAMPLES").map(|folder| Path::new(&folder).join("read_input")) else {
        return println!(
            "SKIP: the_example_prints_until_the_device_is_unplugged: BECKET_EXAMPLES does not say where it is"
        );
    };
    let mut example = Command::new(program).arg(path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(example.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().unwrap(), format!("{}; held down: {{}}", played.name));
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    assert!(lines.next().unwrap().ends_with(" KEY_A 1"));
    assert!(lines.next().unwrap().ends_with(" SYN_REPORT 0"));
    played.unplug();
    assert!(lines.next().unwrap().ends_with(" KEY_A 0"), "the kernel lets go of what is held down");
    assert_eq!(lines.last().unwrap(), "unplugged");
    assert!(example.wait().unwrap().success());
}

#[test]
fn a_mask_hides_codes_from_one_reader() {
    let Some(played) = Played::new() else { return };
    let (masked, other) = (played.device(), played.device());
    assert!(masked.mask(Kind::KEY).unwrap().contains(codes::KEY_B));
    masked.set_mask(Kind::KEY, &CodeSet::from_iter([codes::KEY_A])).unwrap();
    assert_eq!(masked.mask(Kind::KEY).unwrap(), CodeSet::from_iter([codes::KEY_A]));
    assert!(other.mask(Kind::KEY).unwrap().contains(codes::KEY_B));
    played.play(&[(Kind::KEY, codes::KEY_B, 1)]);
    readable(&other);
    assert_eq!(wait(&masked, Ready::READ, Some(Instant::now())).unwrap(), None);
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    readable(&masked);
    assert_eq!(read(&masked), ["KEY_A 1", "SYN_REPORT 0"]);
}

#[test]
fn a_grab_keeps_others_out_and_ends_with_the_descriptor() {
    let Some(played) = Played::new() else { return };
    let (first, second) = (played.device(), played.device());
    first.grab().unwrap();
    assert_eq!(errno(second.grab()), Some(libc::EBUSY));
    assert_eq!(errno(second.ungrab()), Some(libc::EINVAL));
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    readable(&first);
    assert!(read(&second).is_empty());
    first.ungrab().unwrap();
    second.grab().unwrap();
    let twin = second.try_clone().unwrap();
    drop(second);
    assert_eq!(errno(first.grab()), Some(libc::EBUSY), "a duplicate holds it");
    drop(twin);
    first.grab().unwrap();
}

#[test]
fn a_revoked_descriptor_and_an_unplugged_device_are_gone() {
    let Some(played) = Played::new() else { return };
    let (revoked, other) = (played.device(), played.device());
    let mut buf = EventBuf::new();
    revoked.try_clone().unwrap().revoke().unwrap();
    readable(&revoked);
    assert!(matches!(revoked.read_events(&mut buf).unwrap(), Some(Batch::Gone)));
    assert_eq!(errno(revoked.revoke()), Some(libc::ENODEV));
    assert_eq!(errno(revoked.name()), Some(libc::ENODEV));

    let mut tracker = Tracker::new(&other).unwrap();
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    readable(&other);
    played.unplug();
    let ready = wait(&other, Ready::READ, Some(Instant::now() + LONG)).unwrap().unwrap();
    assert!(ready.contains(Ready::HUP | Ready::ERR), "{ready:?}");
    for _ in 0..2 {
        assert_eq!(tracker.read(&other, &mut buf).unwrap(), Some(Input::Gone));
    }
    assert_eq!(errno(other.keys()), Some(libc::ENODEV));
    assert_eq!(errno(other.write_events(&[Event::new(Kind::LED, 0, 0)])), Some(libc::ENODEV));
}

/// As much as no queue holds, then what the tracker makes of it.
#[test]
fn lost_events_are_made_good_for() {
    let Some(played) = Played::new() else { return };
    let device = played.device();
    let (mut tracker, mut buf) = (Tracker::new(&device).unwrap(), EventBuf::new());
    let mut next = || -> Vec<String> {
        readable(&device);
        match tracker.read(&device, &mut buf).unwrap() {
            Some(Input::Events(events)) => events.iter().map(|event| event.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    };
    let slot = |slot, id| [(Kind::ABS, codes::ABS_MT_SLOT, slot), (Kind::ABS, codes::ABS_MT_TRACKING_ID, id)];
    played.play(&[(Kind::KEY, codes::KEY_A, 1)]);
    played.play(&slot(1, 40));
    assert_eq!(next()[..2], ["KEY_A 1", "SYN_REPORT 0"]);

    played.play(&[(Kind::KEY, codes::KEY_A, 0), (Kind::KEY, codes::KEY_B, 1)]);
    played.play(&slot(1, -1));
    played.play(&slot(1, 41));
    played.play(&slot(2, 42));
    for n in 0..2000 {
        played.play(&[(Kind::REL, codes::REL_X, 1), (Kind::ABS, codes::ABS_X, n % 90)]);
    }
    let made = next();
    let (first, rest) = made.split_first().unwrap();
    assert_eq!(first, "SYN_DROPPED 0");
    let expected = [
        "ABS_MT_SLOT 1",
        "ABS_MT_TRACKING_ID -1",
        "SYN_REPORT 0",
        "KEY_A 0",
        "KEY_B 1",
        "ABS_X 19",
        "ABS_MT_TRACKING_ID 41",
        "ABS_MT_SLOT 2",
        "ABS_MT_TRACKING_ID 42",
        "SYN_REPORT 0",
    ];
    assert_eq!(rest, expected);
    // Nothing of what was queued comes after it.
    played.play(&[(Kind::KEY, codes::KEY_C, 1)]);
    assert_eq!(next(), ["KEY_C 1", "SYN_REPORT 0"]);
    let state = tracker.state();
    assert_eq!(*state.keys(), CodeSet::from_iter([codes::KEY_B, codes::KEY_C]));
    assert_eq!(state.slots(codes::ABS_MT_TRACKING_ID), [-1, 41, 42, -1]);
    assert_eq!(state.axis(codes::ABS_X), Some(19));
}
