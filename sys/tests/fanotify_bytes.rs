//! The parser of fanotify(7) on bytes that no kernel writes, and on mutations of those that it does.

#[path = "common/descriptors.rs"]
mod descriptors;

mod fanotify_help;

use becket_sys::EventBuf;
use becket_sys::fanotify::{Class, Fanotify, Mask, OpenFlags, Options, Range, Record, Report, Scope, parse};
use fanotify_help::{Dir, Helper, keep, known, privileged, readable};
use std::fs::{self, File};
use std::io::Write;

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 4).unwrap();
    [&[kind, 0], &len.to_ne_bytes()[..], payload].concat()
}

fn head(event_len: u32, vers: u8, metadata_len: u16, mask: Mask, fd: i32, pid: i32) -> Vec<u8> {
    let [len, metadata_len] = [&event_len.to_ne_bytes()[..], &metadata_len.to_ne_bytes()];
    [len, &[vers, 0], metadata_len, &mask.bits().to_ne_bytes(), &fd.to_ne_bytes(), &pid.to_ne_bytes()].concat()
}

fn event(mask: Mask, records: &[Vec<u8>]) -> Vec<u8> {
    let records = records.concat();
    [head(24 + records.len() as u32, 3, 24, mask, -1, 7), records].concat()
}

fn fid(kind: u8, handle: &[u8], rest: &[u8]) -> Vec<u8> {
    let words = [1, 2, handle.len() as i32, 0x55].map(i32::to_ne_bytes);
    record(kind, &[words.as_flattened(), handle, rest].concat())
}

/// The only event of `bytes`, its records in words.
fn records(bytes: &[u8]) -> Vec<String> {
    let mut events = parse(bytes);
    let event = events.next().unwrap();
    assert!(events.next().is_none());
    event.records().map(|record| format!("{record:?}")).collect()
}

fn only(record_bytes: Vec<u8>, check: impl FnOnce(Record<'_>)) {
    let bytes = event(Mask::OPEN, &[record_bytes]);
    let mut records = parse(&bytes).next().unwrap().records();
    check(records.next().unwrap());
    assert!(records.next().is_none() && records.remainder().is_empty());
}

#[test]
fn each_kind_of_record_has_its_fields() {
    for kind in [1, 3] {
        only(fid(kind, b"handle", b""), |record| {
            let (Record::Object(id) | Record::Directory(id)) = record else { panic!() };
            assert_eq!((id.file_system.as_raw(), id.handle.kind()), (1 | 2 << 32, 0x55));
            assert_eq!((id.handle.as_bytes(), id.is_invalid()), (&b"handle"[..], false));
        });
    }
    for kind in [2, 10, 12] {
        only(fid(kind, b"handle", b"name\0\0\0"), |record| {
            let (Record::Entry(entry) | Record::OldEntry(entry) | Record::NewEntry(entry)) = record else { panic!() };
            assert_eq!((entry.directory.handle.as_bytes(), &*entry.name), (&b"handle"[..], "name".as_ref()));
        });
    }
    only(fid(2, b"handle", b"no NUL"), |record| {
        let Record::Entry(entry) = record else { panic!() };
        assert_eq!(&*entry.name, "no NUL");
    });
    only(record(4, &(-2i32).to_ne_bytes()), |record| assert_eq!(record, Record::Pidfd(-2)));
    let error = [5, 9].map(i32::to_ne_bytes);
    only(record(5, error.as_flattened()), |record| assert_eq!(record, Record::Error { errno: 5, count: 9 }));
    let range = [0, 1, u64::MAX].map(u64::to_ne_bytes).concat()[4..].to_vec();
    only(record(6, &range), |record| assert_eq!(record, Record::Range(Range { offset: 1, count: u64::MAX })));
    // With and without the gap, which depends on the processor.
    only(record(7, &[&[0; 4], &3u64.to_ne_bytes()[..]].concat()), |record| assert_eq!(record, Record::Mount(3)));
    only(record(7, &3u64.to_ne_bytes()), |record| assert_eq!(record, Record::Mount(3)));
    only(record(99, b"later"), |record| assert_eq!(record, Record::Unknown { kind: 99, bytes: b"later" }));
    only(record(0, b""), |record| assert_eq!(record, Record::Unknown { kind: 0, bytes: b"" }));
}

#[test]
fn records_too_short_for_their_kind_are_unknown() {
    for (kind, whole) in [(1, 16), (2, 16), (3, 16), (10, 16), (12, 16), (4, 4), (5, 8), (6, 20), (7, 8)] {
        for len in 0..whole {
            let payload = vec![0; len];
            let unknown = Record::Unknown { kind, bytes: &payload };
            only(record(kind, &payload), |record| assert_eq!(record, unknown));
        }
        only(record(kind, &vec![0; whole]), |record| assert!(!matches!(record, Record::Unknown { .. })));
    }
    for lie in [5, 7, 1 << 31, u32::MAX] {
        let mut bytes = fid(2, b"four", b"");
        bytes[12..16].copy_from_slice(&lie.to_ne_bytes());
        only(bytes, |record| assert!(matches!(record, Record::Unknown { kind: 2, .. })));
    }
}

#[test]
fn records_that_lie_about_their_length_end_them_and_not_the_events() {
    for lie in [0, 1, 3, 9, 0x7fff, u16::MAX] {
        let mut second = record(4, &[0; 4]);
        second[2..4].copy_from_slice(&lie.to_ne_bytes());
        let bytes = [event(Mask::OPEN, &[record(4, &[1; 4]), second.clone()]), event(Mask::CLOSE_WRITE, &[])].concat();
        let mut events = parse(&bytes);
        let mut records = events.next().unwrap().records();
        assert!(records.next().is_some() && records.next().is_none() && records.next().is_none());
        assert_eq!(records.remainder(), second);
        assert_eq!(events.next().unwrap().mask, Mask::CLOSE_WRITE);
        assert!(events.next().is_none() && events.remainder().is_empty());
    }
    assert_eq!(records(&event(Mask::OPEN, &[vec![1, 2, 3]])), [""; 0]);
}

#[test]
fn bytes_that_are_no_events_end_the_parse() {
    let whole = [event(Mask::OPEN, &[record(99, b"1234")]), event(Mask::OVERFLOW, &[])].concat();
    for len in 0..=whole.len() {
        // Not aligned, either.
        let mut shifted = vec![0xaa];
        shifted.extend(&whole[..len]);
        let mut events = parse(&shifted[1..]);
        let expected = match len {
            0..32 => (0, len),
            32..56 => (1, len - 32),
            _ => (2, 0),
        };
        assert_eq!((events.by_ref().count(), events.remainder().len()), expected);
        assert!(events.next().is_none());
    }
    let follows = event(Mask::OPEN, &[]);
    for (event_len, vers, metadata_len) in [
        (0, 3, 24),
        (8, 3, 24),
        (23, 3, 24),
        (1 << 31, 3, 24),
        (u32::MAX, 3, 24),
        (49, 3, 24),
        (24, 2, 24),
        (24, 4, 24),
        (24, 0, 24),
        (24, 3, 0),
        (24, 3, 23),
        (24, 3, 25),
        (24, 3, u16::MAX),
    ] {
        let bytes = [head(event_len, vers, metadata_len, Mask::OPEN, 3, 7), follows.clone()].concat();
        let mut events = parse(&bytes);
        assert!(events.next().is_none() && events.next().is_none());
        assert_eq!(events.remainder(), bytes);
    }
    // A longer head, as a later kernel may have it.
    let bytes = [head(40, 3, 32, Mask::OPEN, 3, 7), vec![0xff; 8], record(4, &[1; 4]), follows].concat();
    let mut events = parse(&bytes);
    assert_eq!(events.next().unwrap().records().next(), Some(Record::Pidfd(0x0101_0101)));
    assert!(events.next().is_some() && events.remainder().is_empty());
}

#[test]
fn unknown_bits_are_kept() {
    let mask = Mask::from_bits_retain(1 << 63 | 1 << 41) | Mask::OPEN;
    let bytes = head(24, 3, 24, mask, i32::MIN, -5);
    let event = parse(&bytes).next().unwrap();
    assert_eq!((event.mask, event.fd, event.pid), (mask, i32::MIN, -5));
    assert!(!mask.is_permission());
    assert!(Mask::from_bits_retain(1 << 21).is_permission(), "of the range for such events");
}

/// What must hold of all bytes.
fn check(bytes: &[u8]) {
    let mut events = parse(bytes);
    let mut left = bytes.len();
    while let Some(event) = events.next() {
        assert!(events.remainder().len() + 24 <= left);
        left = events.remainder().len();
        let mut records = event.records();
        for record in records.by_ref() {
            let _ = format!("{record:?}");
        }
        assert!(records.next().is_none());
    }
    assert!(events.next().is_none() && bytes.ends_with(events.remainder()));
}

/// A generator of our own: the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

/// The bytes of the next read. Nobody takes the descriptors in them: they stay open until the test's process ends.
/// What the kernel wrote; the descriptors that came with it are closed.
#[allow(unsafe_code, reason = "what is read by hand is handed over")]
fn bytes_of(group: &Fanotify) -> Vec<u8> {
    let mut buf = EventBuf::with_capacity(1024);
    readable(group);
    buf.fill_with(|space| Ok(rustix::io::read(group, space)?)).unwrap();
    let bytes = buf.as_bytes().to_vec();
    // SAFETY: these are whole events, just read from this group, once; nobody else has their descriptors.
    drop(unsafe { group.take_events(&bytes) });
    bytes
}

/// What comes and goes in a mount namespace.
fn mounts(dir: &Dir) -> Vec<u8> {
    let group = Fanotify::builder().report(Report::MNT).open().unwrap();
    let script = "read x; mount -t tmpfs becket $1; umount $1; echo done; read x";
    let mut helper = Helper::unshared(&format!("echo ready; {script}"), &[&dir.0]);
    helper.line();
    let namespace = format!("/proc/{}/ns/mnt", helper.0.id());
    let mask = Mask::MNT_ATTACH | Mask::MNT_DETACH;
    group.add(Scope::MountNamespace, namespace, mask, Options::empty()).unwrap();
    writeln!(helper.0.stdin.as_ref().unwrap()).unwrap();
    helper.line();
    bytes_of(&group)
}

/// Events as this kernel writes them, each with a name.
fn captured() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let dir = Dir::new("captured");
    let everything = Mask::OPEN | Mask::CREATE | Mask::MODIFY | Mask::MOVED_FROM | Mask::RENAME | Mask::DELETE;
    let use_files = || {
        dir.file("a", "text");
        fs::rename(dir.at("a"), dir.at("with a longer name")).unwrap();
        fs::create_dir(dir.at("dir")).unwrap();
        File::open(&dir.0).unwrap();
        fs::remove_dir(dir.at("dir")).unwrap();
        fs::remove_file(dir.at("with a longer name")).unwrap();
    };
    for (name, report) in [
        ("objects", Report::FID),
        ("directories-and-objects", Report::FID | Report::DIR_FID),
        ("entries-and-targets", Report::DFID_NAME_TARGET),
    ] {
        let group = Fanotify::builder().report(report).open().unwrap();
        let rename = if report.contains(Report::NAME) { Mask::empty() } else { Mask::RENAME };
        let mask = (everything - rename) | Mask::EVENT_ON_CHILD | Mask::ONDIR;
        group.add(Scope::Inode, &dir.0, mask, Options::empty()).unwrap();
        use_files();
        all.push((name, bytes_of(&group)));
    }
    let test = "captured_events_are_whole_and_their_mutations_harmless (in part)";
    if privileged(test, &Fanotify::builder()).is_none() {
        return all;
    }
    if known(test, Report::MNT) {
        all.push(("mounts", mounts(&dir)));
    }

    let path = dir.file("a", &"-".repeat(5000));
    let builder = Fanotify::builder().class(Class::PreContent).report(Report::PIDFD);
    let group = builder.open().unwrap();
    if group.add(Scope::Inode, &path, Mask::PRE_ACCESS, Options::empty()).is_ok() {
        let _reader = Helper::cat(&path);
        all.push(("range-and-pidfd", bytes_of(&group)));
        drop(group);
    }
    if !known(test, Report::FD_ERROR) {
        return all;
    }
    let group = Fanotify::builder().report(Report::PIDFD | Report::FD_ERROR).event_files(OpenFlags::READ_WRITE);
    let group = group.open().unwrap();
    let program = dir.program("sleep");
    group.add(Scope::Inode, &program, Mask::OPEN_EXEC | Mask::OPEN, Options::empty()).unwrap();
    let running = Helper::spawn(std::process::Command::new(&program).arg("100"));
    while fs::read_link(format!("/proc/{}/exe", running.0.id())).ok().as_ref() != Some(&program) {
        std::thread::yield_now();
    }
    assert!(Helper::cat(&program).end().success());
    all.push(("no-file-and-no-process", bytes_of(&group)));
    all
}

#[test]
fn captured_events_are_whole_and_their_mutations_harmless() {
    let mut numbers = Numbers(1);
    for (name, bytes) in captured() {
        keep(name, &bytes);
        let mut events = parse(&bytes);
        for event in events.by_ref() {
            let mut records = event.records();
            assert!(records.all(|record| !matches!(record, Record::Unknown { .. })), "{name}");
            assert!(records.remainder().is_empty());
        }
        assert!(events.remainder().is_empty(), "{name}");
        for _ in 0..2000 {
            let mut mutant = bytes.clone();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(mutant.len());
                match numbers.below(3) {
                    0 => mutant[at] ^= 1 << numbers.below(8),
                    1 => mutant[at] = [0, 1, 3, 4, 23, 24, 0x7f, 0xff][numbers.below(8)],
                    _ => mutant.truncate(at + 1),
                }
            }
            check(&mutant);
        }
    }
}

#[test]
fn no_bytes_at_all_make_the_parser_panic() {
    let mut numbers = Numbers(2);
    for len in 0..2000 {
        // Small numbers often, so that lengths fit now and then, and a head that fits.
        let mut bytes: Vec<u8> =
            (0..len).map(|_| if numbers.below(2) == 0 { 0 } else { numbers.below(256) as u8 }).collect();
        check(&bytes);
        let start = head(len as u32, 3, 24, Mask::OPEN, -1, 0);
        let end = start.len().min(len);
        bytes[..end].copy_from_slice(&start[..end]);
        check(&bytes);
    }
}
