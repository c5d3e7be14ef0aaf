//! For each event format of the kernel: parse bytes and check what must hold of the result, whatever the bytes. Both
//! the fuzz targets and the ordinary tests (`tests/fuzz_replay.rs`) call these.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use becket_sys::netlink::{Answer, Attributes, Exchange, Messages, generic, route, uevent::Uevent};
use becket_sys::{cmsg, fanotify, gpio, inotify, input, mounts, signal};

/// Parses bytes, and panics where what must hold does not.
pub(crate) type Check = fn(&[u8]);

/// Every format, by the name of its target and of its folder in `corpus`.
pub(crate) const KINDS: &[(&str, Check)] = &[
    ("cmsg", cmsg),
    ("fanotify", fanotify),
    ("gpio", gpio),
    ("inotify", inotify),
    ("input", input),
    ("mounts", mounts),
    ("netlink", netlink),
    ("signalfd", signalfd),
];

pub(crate) fn inotify(bytes: &[u8]) {
    let mut events = inotify::Events::parse(bytes);
    let mut before = bytes.len();
    while let Some(event) = events.next() {
        let left = events.remainder().len();
        assert!(left + 16 <= before, "each event takes at least its head");
        if let inotify::Event::Change(change) = &event {
            let name = change.name.map_or(0, |name| name.len());
            assert!(name + 16 + left <= before, "a name lies in its event");
        }
        let _ = format!("{:?}", event.into_owned());
        before = left;
    }
    assert!(bytes.ends_with(events.remainder()));
    assert_eq!(events.next(), None, "the end stays the end");
}

pub(crate) fn signalfd(bytes: &[u8]) {
    let infos = signal::parse(bytes);
    assert_eq!(infos.len(), bytes.len() / 128);
    for (info, record) in infos.zip(bytes.chunks(128)) {
        assert_eq!(info.as_bytes(), record);
        let _ = (format!("{info:?} {}", info.signal()), info.uid(), info.pointer());
    }
}

pub(crate) fn fanotify(bytes: &[u8]) {
    let mut events = fanotify::parse(bytes);
    let mut before = bytes.len();
    while let Some(event) = events.next() {
        let left = events.remainder().len();
        assert!(left + 24 <= before, "each event takes at least its head");
        let mut records = event.records();
        let mut record_bytes = records.remainder().len();
        assert!(24 + record_bytes + left <= before, "records lie in their event");
        while let Some(record) = records.next() {
            assert!(records.remainder().len() + 4 <= record_bytes, "each record takes at least its head");
            record_bytes = records.remainder().len();
            let _ = format!("{record:?}");
        }
        assert_eq!(records.next(), None);
        before = left;
    }
    assert!(bytes.ends_with(events.remainder()));
    assert!(events.next().is_none(), "the end stays the end");
}

/// Both formats: which of them bytes are is known from where they come.
pub(crate) fn gpio(bytes: &[u8]) {
    let mut edges = gpio::EdgeEvents::parse(bytes);
    assert_eq!(edges.len(), bytes.len() / 48);
    let mut sequence = gpio::Sequence::new();
    for event in edges.by_ref() {
        sequence.lost_before(&event);
        assert_eq!(sequence.lost_before(&event), 0, "nothing is lost between an event and itself");
    }
    assert_eq!(edges.remainder(), &bytes[bytes.len() / 48 * 48..]);

    let mut changes = gpio::InfoChanges::parse(bytes);
    for change in changes.by_ref() {
        let line = &change.line;
        assert!(line.name.len() <= 32 && line.consumer.len() <= 32);
        let _ = format!("{change:?} {:?} {:?} {:?}", line.edge(), line.bias(), line.drive());
    }
    assert_eq!(changes.remainder(), &bytes[bytes.len() / 288 * 288..]);
}

/// The events of each layout, through the tracker of losses.
pub(crate) fn input(bytes: &[u8]) {
    for layout in [input::Layout::Long64, input::Layout::Long32, input::Layout::Sparc64] {
        let record = layout.record();
        let mut events = input::Events::parse_as(layout, bytes);
        assert_eq!(events.len(), bytes.len() / record);
        let mut tracker = input::Tracker::default();
        for event in events.by_ref() {
            let _ = format!("{event} {event:?}");
            if let input::Fed::Resync(time) = tracker.feed(event) {
                let mut now = input::State::default();
                now.apply(&event);
                let before = tracker.state().clone();
                let made = tracker.resync(now.clone(), time);
                assert!(made.last().is_some_and(input::Event::is_report));
                let mut led = before;
                made.iter().for_each(|event| led.apply(event));
                assert_eq!((led.keys(), led.leds(), led.switches()), (now.keys(), now.leds(), now.switches()));
            }
        }
        assert_eq!(events.remainder(), &bytes[bytes.len() / record * record..]);
    }
}

pub(crate) fn mounts(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let parsed: Vec<_> = lines.map(|line| mounts::Mount::parse(line).ok()).collect();
    for mount in parsed.iter().flatten() {
        let options = [&mount.options, &mount.super_options];
        let _ = (format!("{mount:?}"), options.map(|options| options.iter().count()));
    }
    // A table is an error where one of its lines is.
    let table = mounts::Table::parse(bytes).ok();
    let all: Option<Vec<_>> = parsed.into_iter().collect();
    assert_eq!(table.as_ref().map(|table| table.iter().cloned().collect()), all);
    if let Some(table) = table {
        assert_eq!(mounts::Table::default().changes(&table).len(), table.iter().count());
        assert_eq!(table.changes(&mounts::Table::default()).len(), table.iter().count());
    }
}

pub(crate) fn cmsg(bytes: &[u8]) {
    let mut records = cmsg::parse(bytes);
    let mut before = bytes.len();
    while let Some(record) = records.next() {
        let left = records.remainder().len();
        assert!(left + cmsg::space(0) + record.data.len() <= before, "each record takes its head and its data");
        let message = record.decode();
        let _ = format!("{message:?}");
        match message {
            cmsg::Message::Rights(numbers) => assert_eq!(numbers.count(), record.data.len() / 4),
            cmsg::Message::Unknown(unknown) => assert_eq!(unknown, record),
            cmsg::Message::Error(e) => _ = e.to_io_error(),
            _ => {}
        }
        before = left;
    }
    assert!(bytes.ends_with(records.remainder()));
    assert!(records.next().is_none(), "the end stays the end");
}

/// Messages and their attributes, the answers of an exchange, and what is told of devices.
pub(crate) fn netlink(bytes: &[u8]) {
    let mut messages = Messages::parse(bytes);
    let mut before = bytes.len();
    let mut exchange = Exchange::new(7);
    while let Some(message) = messages.next() {
        let left = messages.remainder().len();
        assert!(left + 16 + message.payload.len() <= before, "each message takes its head and its content");
        before = left;
        for skip in [0, 4, 8, 12, 16, usize::MAX] {
            attributes(message.attributes(skip), message.payload.len(), 0);
        }
        let _ = format!("{:?}", generic::Family::parse(&message));
        match exchange.take(message) {
            Answer::Refused(refusal) => assert!(refusal.code > 0 && !refusal.to_string().is_empty()),
            answer => _ = format!("{answer:?}"),
        }
    }
    assert!(bytes.ends_with(messages.remainder()));
    assert!(messages.next().is_none(), "the end stays the end");

    for event in route::Events::parse(bytes) {
        let _ = format!("{event:?}");
    }
    if let Some(event) = Uevent::parse(bytes) {
        assert!(event.path().is_absolute() && !event.action().is_empty());
        let text: usize = event.properties().map(|(name, value)| name.len() + value.len() + 1).sum();
        assert!(text <= bytes.len());
        let _ = (event.sequence(), event.get("SUBSYSTEM"), format!("{event:?}"));
    }
}

fn attributes(mut all: Attributes<'_>, mut before: usize, depth: u32) {
    while let Some(attribute) = all.next() {
        let left = all.remainder().len();
        assert!(left + 4 + attribute.payload.len() <= before, "each attribute takes its head and its content");
        before = left;
        let _ = (attribute.to_u8(), attribute.to_u16(), attribute.to_u32(), attribute.to_u64());
        assert!(attribute.to_os_str().len() <= attribute.payload.len());
        if depth < 4 {
            attributes(attribute.nested(), attribute.payload.len(), depth + 1);
        }
    }
    assert!(all.next().is_none());
}
