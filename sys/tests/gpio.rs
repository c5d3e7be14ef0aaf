//! What the GPIO character device sends, on bytes of our own, and descriptors that are no GPIO. Lines of a real kernel
//! are in `gpio_sim`.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::gpio::{
    ChangeKind, Chip, EdgeEvents, EdgeKind, InfoChanges, LineConfig, LineFlags, Request, Sequence, chips, find_line,
};
use becket_sys::{EventBuf, Readiness};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

fn edge(time: u64, words: [u32; 4]) -> Vec<u8> {
    let words = words.into_iter().flat_map(u32::to_ne_bytes);
    time.to_ne_bytes().into_iter().chain(words).chain([0xee; 24]).collect()
}

/// A record of a change of line 3: `attributes` are pairs of id and value.
fn change(kind: u32, flags: u64, used: u32, attributes: &[(u32, u64)]) -> Vec<u8> {
    let mut record = vec![0; 288];
    record[..4].copy_from_slice(b"LAMP");
    record[32..64].copy_from_slice(&[b'x'; 32]); // no NUL, which the kernel does not write
    record[64..68].copy_from_slice(&3_u32.to_ne_bytes());
    record[68..72].copy_from_slice(&used.to_ne_bytes());
    record[72..80].copy_from_slice(&flags.to_ne_bytes());
    for (i, (id, value)) in attributes.iter().enumerate() {
        record[80 + 16 * i..][..4].copy_from_slice(&id.to_ne_bytes());
        record[88 + 16 * i..][..8].copy_from_slice(&value.to_ne_bytes());
    }
    record[256..264].copy_from_slice(&u64::MAX.to_ne_bytes());
    record[264..268].copy_from_slice(&kind.to_ne_bytes());
    record
}

#[test]
fn edges_are_parsed_from_bytes_alone() {
    let bytes = [edge(1, [1, 17, 1, 1]), edge(u64::MAX, [2, 4, 2, 1]), edge(0, [9, 0, 0, 0])].concat();
    let events: Vec<_> = EdgeEvents::parse(&bytes).collect();
    let seen: Vec<_> = events.iter().map(|e| (e.kind, e.offset, e.seqno, e.line_seqno)).collect();
    let expected = [(EdgeKind::Rising, 17, 1, 1), (EdgeKind::Falling, 4, 2, 1), (EdgeKind::Unknown(9), 0, 0, 0)];
    assert_eq!(seen, expected);
    assert_eq!(events[1].time, Duration::from_nanos(u64::MAX));
}

#[test]
fn changes_are_parsed_from_bytes_alone() {
    // A debounce period lies in the first half of its value.
    let [a, b, c, d] = 2500_u32.to_ne_bytes();
    let debounce = u64::from_ne_bytes([a, b, c, d, 0xff, 0xff, 0xff, 0xff]);
    let unknown = LineFlags::from_bits_retain(1 << 63 | 1 << 2);
    let bytes = change(3, unknown.bits(), 2, &[(77, 1), (3, debounce)]);
    let told = InfoChanges::parse(&bytes).next().unwrap();
    assert_eq!((told.kind, told.time), (ChangeKind::Reconfigured, Duration::from_nanos(u64::MAX)));
    assert_eq!((told.line.offset, told.line.flags), (3, unknown));
    assert_eq!((told.line.name.to_str(), told.line.consumer.len()), (Some("LAMP"), 32));
    assert_eq!(told.line.debounce, Some(Duration::from_micros(2500)));

    let parse = |bytes: Vec<u8>| InfoChanges::parse(&bytes).next().unwrap();
    assert_eq!(parse(change(3, 0, 1, &[(77, 1), (3, debounce)])).line.debounce, None, "an attribute that is not used");
    assert_eq!(parse(change(3, 0, u32::MAX, &[(3, 0)])).line.debounce, None, "more attributes than there are");
    assert_eq!(parse(change(0, 0, 0, &[])).kind, ChangeKind::Unknown(0));
}

#[test]
fn bytes_that_are_no_whole_records_end_the_parse() {
    let (edges, changes) = (edge(1, [1, 2, 3, 4]).repeat(2), change(1, 0, 0, &[]).repeat(2));
    for len in 0..=edges.len() {
        // Not aligned, either.
        let shifted = [&[0xaa], &edges[..len]].concat();
        let mut events = EdgeEvents::parse(&shifted[1..]);
        assert_eq!((events.len(), events.by_ref().count(), events.remainder().len()), (len / 48, len / 48, len % 48));
        assert_eq!(events.next(), None);
    }
    for len in 0..=changes.len() {
        let shifted = [&[0xaa], &changes[..len]].concat();
        let mut events = InfoChanges::parse(&shifted[1..]);
        assert_eq!((events.by_ref().count(), events.remainder().len()), (len / 288, len % 288));
        assert_eq!(events.next(), None);
    }
}

#[test]
fn no_bytes_at_all_make_the_parsers_panic() {
    // A generator of our own: the same bytes each time.
    let mut state = 1u64;
    for len in (0..3000).step_by(7) {
        let mut byte = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if state >> 63 == 0 { 0 } else { (state >> 40) as u8 }
        };
        let bytes: Vec<u8> = (0..len).map(|_| byte()).collect();
        let mut sequence = Sequence::new();
        for event in EdgeEvents::parse(&bytes) {
            sequence.lost_before(&event);
        }
        for change in InfoChanges::parse(&bytes) {
            let line = change.line;
            let _ = (line.edge(), line.bias(), line.drive(), line.event_clock(), line.direction(), line.debounce);
        }
    }
}

#[test]
fn sequences_count_what_is_lost_across_the_end_of_the_numbers() {
    let event = |line, seqno| EdgeEvents::parse(&edge(0, [1, line, 0, seqno])).next().unwrap();
    let mut sequence = Sequence::default();
    assert_eq!(sequence.lost_before(&event(1, 4)), 3, "before the first read");
    assert_eq!(sequence.lost_before(&event(2, 1)), 0, "another line");
    assert_eq!([3, 5, 6, 6, 8].map(|seqno| sequence.lost_before(&event(1, seqno))), [0, 0, 0, 0, 1]);
    let mut sequence = Sequence::midway();
    let numbers = [u32::MAX - 1, u32::MAX, 0, 2];
    assert_eq!(numbers.map(|seqno| sequence.lost_before(&event(1, seqno))), [0, 0, 0, 1]);
}

#[test]
fn what_is_no_chip_is_refused_and_closed() {
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    for (path, step, code) in [
        ("/dev/null", "identify", libc::ENOTTY),
        ("/proc/self/exe", "open", libc::ETXTBSY),
        ("/no/such/file", "open", libc::ENOENT),
        ("/", "open", libc::EISDIR),
    ] {
        let e = Chip::open(path).unwrap_err();
        assert_eq!((e.step(), e.subject(), e.raw_os_error()), (step, path, Some(code)));
    }
    let regular = OwnedFd::from(File::open("/proc/self/exe").unwrap());
    assert_eq!(Chip::try_from(regular).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    assert_eq!(Chip::find("no chip is labelled like that").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(find_line("no line is called like that").unwrap_err().kind(), ErrorKind::NotFound);
    chips().unwrap().for_each(drop);
    // Tests of the same program run beside this one, and none of them leaves any.
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() <= before + 2);
}

#[test]
fn what_is_no_request_merely_fails() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let request = Request::from_fd(reader.into(), [4, 9]);
    assert_eq!((Request::READINESS, Chip::READINESS), (Readiness::Readable, Readiness::Readable));
    let code = |e: std::io::Error| e.raw_os_error();
    assert_eq!(request.values().map_err(code), Err(Some(libc::ENOTTY)));
    assert_eq!(request.set_value(9, true).map_err(code), Err(Some(libc::ENOTTY)));
    let both = [(4, LineConfig::input()), (9, LineConfig::input())];
    assert_eq!(request.reconfigure(both).map_err(code), Err(Some(libc::ENOTTY)));
    assert_eq!(request.set_value(5, true).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Request::from_fd(request.into(), []).values().map_err(code), Err(Some(libc::EINVAL)));

    let event = becket_sys::event::Event::new().unwrap();
    event.add(1).unwrap();
    let request = Request::from_fd(event.into(), [4]);
    let mut buf = EventBuf::new();
    let mut events = request.read_events(&mut buf).unwrap().unwrap();
    assert_eq!((events.next(), events.remainder().len()), (None, 8));
    assert_eq!(request.try_read().unwrap(), None);
}
