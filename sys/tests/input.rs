//! What input devices send, on bytes of our own, and descriptors that are none. Devices of a real kernel are in
//! `input_devices`.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::input::{AbsInfo, CodeSet, Device, Event, Events, Fed, Kind, Layout, Repeat, State, Tracker, codes};
use becket_sys::input::{Batch, Input, devices};
use becket_sys::timer::Clock;
use becket_sys::{EventBuf, Readiness};
use std::io;
use std::time::Duration;

fn record(layout: Layout, time: (u64, u64), kind: u16, code: u16, value: i32) -> Vec<u8> {
    let mut bytes = match layout {
        Layout::Long32 => [time.0 as u32, time.1 as u32].map(u32::to_ne_bytes).as_flattened().to_vec(),
        Layout::Sparc64 => [&time.0.to_ne_bytes()[..], &(time.1 as u32).to_ne_bytes(), &[0xee; 4]].concat(),
        _ => [time.0, time.1].map(u64::to_ne_bytes).as_flattened().to_vec(),
    };
    bytes.extend([kind, code].map(u16::to_ne_bytes).as_flattened());
    bytes.extend(value.to_ne_bytes());
    bytes
}

fn event(kind: Kind, code: u16, value: i32) -> Event {
    Event::new(kind, code, value)
}

const REPORT: Event = Event { time: Duration::ZERO, kind: Kind::SYN, code: codes::SYN_REPORT, value: 0 };
const LOSS: Event = Event { code: codes::SYN_DROPPED, ..REPORT };

#[test]
fn every_layout_is_parsed_from_bytes_alone() {
    assert_eq!(Layout::NATIVE.record(), size_of::<libc::input_event>());
    for layout in [Layout::Long64, Layout::Long32, Layout::Sparc64] {
        let bytes = [
            record(layout, (1_700_000_000, 999_999), 1, codes::KEY_A, 1),
            record(layout, (u32::MAX.into(), 1), 0xabcd, 0xffff, i32::MIN),
        ]
        .concat();
        let events: Vec<_> = Events::parse_as(layout, &bytes).collect();
        let time = Duration::from_micros(1_700_000_000_999_999);
        assert_eq!(events[0], Event { time, ..event(Kind::KEY, codes::KEY_A, 1) });
        let time = Duration::from_secs(u32::MAX.into()) + Duration::from_micros(1);
        assert_eq!(events[1], Event { time, ..event(Kind(0xabcd), 0xffff, i32::MIN) });

        for len in 0..=bytes.len() {
            // Not aligned, either.
            let shifted = [&[0xaa], &bytes[..len]].concat();
            let mut events = Events::parse_as(layout, &shifted[1..]);
            let whole = len / layout.record();
            assert_eq!((events.len(), events.by_ref().count()), (whole, whole));
            assert_eq!(events.remainder().len(), len % layout.record());
            assert_eq!(events.next(), None);
        }
    }
    let endless = record(Layout::Long64, (u64::MAX, u64::MAX), 0, 0, 0);
    assert_eq!(Events::parse_as(Layout::Long64, &endless).next().unwrap().time, Duration::MAX);
}

#[test]
fn names_and_numbers_belong_together() {
    for (name, kind, code) in [
        ("KEY_ESC", Kind::KEY, 1),
        ("BTN_LEFT", Kind::KEY, 0x110),
        ("BTN_SOUTH", Kind::KEY, 0x130),
        ("REL_WHEEL_HI_RES", Kind::REL, 0x0b),
        ("ABS_MT_POSITION_Y", Kind::ABS, 0x36),
        ("SW_LID", Kind::SW, 0),
        ("SYN_DROPPED", Kind::SYN, 3),
        ("LED_CAPSL", Kind::LED, 1),
        ("MSC_SCAN", Kind::MSC, 4),
    ] {
        assert_eq!(codes::find(name), Some((kind, code)), "{name}");
        assert_eq!(codes::name(kind, code), Some(name));
    }
    assert_eq!(codes::find("KEY_NONE_SUCH"), None);
    assert_eq!(codes::name(Kind::KEY, 0x2ff), None);
    assert_eq!(codes::name(Kind(9), 0), None);
    assert_eq!(codes::BTN_GAMEPAD, codes::BTN_SOUTH);
    // A number has one name, and that name the number.
    for kind in [0, 1, 2, 3, 4, 5, 0x11, 0x12, 0x14, 0x15].map(Kind) {
        for code in 0..0x300 {
            if let Some(name) = codes::name(kind, code) {
                assert_eq!(codes::find(name), Some((kind, code)));
            }
        }
    }
}

#[test]
fn sets_are_read_from_bitmaps_of_any_length() {
    let mut bitmap = [0; 96];
    // The first two words of the kernel's array, as numbers of this machine.
    let long = size_of::<std::ffi::c_ulong>();
    let word = |bits: std::ffi::c_ulong| bits.to_ne_bytes();
    bitmap[..long].copy_from_slice(&word(1 << 1 | 1 << 30));
    bitmap[long..2 * long].copy_from_slice(&word(1));
    let set = CodeSet::from_bitmap(&bitmap);
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 30, 8 * long as u16]);
    assert_eq!(CodeSet::from_bitmap(&[0xff; 96]), CodeSet::all());
    assert_eq!(CodeSet::from_bitmap(&[0xff; 200]), CodeSet::all(), "more than there are");
    assert!(CodeSet::from_bitmap(&[]).is_empty());
    for len in 0..100 {
        assert_eq!(CodeSet::from_bitmap(&vec![0xff; len]).len(), 8 * len.min(96));
    }
    let mut set = CodeSet::all();
    assert_eq!(set.len(), 768);
    set.set(767, false);
    set.set(768, false);
    set.set(u16::MAX, true);
    assert_eq!((set.len(), set.contains(767), set.contains(768), set.contains(u16::MAX)), (767, false, false, false));
    assert_eq!(format!("{:?}", CodeSet::from_iter([3, 2])), "{2, 3}");
}

#[test]
fn what_follows_a_loss_is_dropped_up_to_the_report_and_made_good_for() {
    let mut tracker = Tracker::default();
    let key = |code, value| event(Kind::KEY, code, value);
    for event in [key(codes::KEY_A, 1), key(codes::KEY_B, 1), REPORT] {
        assert_eq!(tracker.feed(event), Fed::Pass(event));
    }
    assert_eq!(tracker.feed(LOSS), Fed::Pass(LOSS));
    for event in [key(codes::KEY_B, 0), event(Kind::REL, codes::REL_X, 9), LOSS] {
        let expected = if event == LOSS { Fed::Pass(LOSS) } else { Fed::Discard };
        assert_eq!(tracker.feed(event), expected);
    }
    let time = Duration::from_secs(9);
    assert_eq!(tracker.feed(Event { time, ..REPORT }), Fed::Resync(time));

    let mut now = State::default();
    now.apply(&key(codes::KEY_B, 1));
    now.apply(&event(Kind::ABS, codes::ABS_X, 5));
    let made = tracker.resync(now.clone(), time);
    let expected = [key(codes::KEY_A, 0), event(Kind::ABS, codes::ABS_X, 5), REPORT];
    assert_eq!(made, expected.map(|event| Event { time, ..event }));
    assert_eq!(tracker.state(), &now);
    // It goes on.
    let press = key(codes::KEY_C, 1);
    assert_eq!(tracker.feed(press), Fed::Pass(press));
    assert!(tracker.state().keys().contains(codes::KEY_C));
    // A repetition is no release.
    tracker.feed(key(codes::KEY_C, 2));
    assert!(tracker.state().keys().contains(codes::KEY_C));
}

#[test]
fn what_is_no_device_is_refused_or_merely_fails() {
    for (path, step, code) in
        [("/dev/null", "identify", libc::ENOTTY), ("/no/such/file", "open", libc::ENOENT), ("/", "open", libc::EISDIR)]
    {
        let e = Device::open(path).unwrap_err();
        assert_eq!((e.step(), e.subject(), e.raw_os_error()), (step, path, Some(code)));
    }
    devices().unwrap().for_each(drop);

    let (reader, mut writer) = io::pipe().unwrap();
    let device = Device::from(std::os::fd::OwnedFd::from(reader));
    assert_eq!(Device::READINESS, Readiness::Readable);
    let axis = AbsInfo::default();
    let repeat = Repeat { delay: Duration::ZERO, period: Duration::ZERO };
    let results = [
        device.id().map(drop),
        device.name().map(drop),
        device.physical_path().map(drop),
        device.unique_id().map(drop),
        device.properties().map(drop),
        device.kinds().map(drop),
        device.codes(Kind::KEY).map(drop),
        device.keys().map(drop),
        device.leds().map(drop),
        device.sounds().map(drop),
        device.switches().map(drop),
        device.axis(0).map(drop),
        device.set_axis(0, &axis),
        device.slots(codes::ABS_MT_POSITION_X).map(drop),
        device.repeat().map(drop),
        device.set_repeat(&repeat),
        device.mapping(0).map(drop),
        device.mapping_of(&[1]).map(drop),
        device.set_mapping(&[1], 1),
        device.grab(),
        device.ungrab(),
        device.revoke(),
        device.mask(Kind::KEY).map(drop),
        device.set_mask(Kind::KEY, &CodeSet::all()),
        device.set_clock(Clock::Monotonic),
        Tracker::new(&device).map(drop),
    ];
    for (i, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOTTY), "call {i}");
    }
    for result in [
        device.axis(64).map(drop),
        device.set_axis(u16::MAX, &axis),
        device.mapping_of(&[0; 33]).map(drop),
        device.set_clock(Clock::RealtimeAlarm),
        device.set_repeat(&Repeat { delay: Duration::MAX, ..repeat }),
    ] {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
    assert_eq!(device.codes(Kind(0xff)).unwrap(), CodeSet::new());

    // Bytes come out as whatever they are, through a blocking descriptor too.
    io::Write::write_all(&mut writer, &record(Layout::NATIVE, (1, 0), 1, 30, 1)).unwrap();
    let mut buf = EventBuf::new();
    let Some(Batch::Events(mut events)) = device.read_events(&mut buf).unwrap() else { panic!() };
    assert_eq!(events.next().unwrap().to_string(), "KEY_A 1");
    io::Write::write_all(&mut writer, &record(Layout::NATIVE, (1, 0), 0, 3, 0)).unwrap();
    let read = Tracker::default().read(&device, &mut buf).unwrap();
    assert!(matches!(read, Some(Input::Events(events)) if events.len() == 1 && events[0].is_loss()));
    drop(writer);
    let Some(Batch::Events(events)) = device.read_events(&mut buf).unwrap() else { panic!() };
    assert_eq!(events.len(), 0);
}
