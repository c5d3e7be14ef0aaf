//! inotify(7) as it behaves at its edges, and its parser on bytes that no kernel writes.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::inotify::{Change, Event, Events, Inotify, Mask, Options, WatchId};
use becket_sys::{EventBuf, Ready, wait};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A directory of the test's own, removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Dir {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inotify-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All changes that are there, which is at once: the kernel queues before the call that changes something returns.
fn changes(inotify: &Inotify) -> Vec<Change> {
    let mut all = Vec::new();
    while let Some(events) = inotify.try_read().unwrap() {
        all.extend(events.into_iter().map(|event| match event {
            Event::Change(change) => change,
            Event::Overflow => panic!("overflow"),
        }));
    }
    all
}

fn masks(inotify: &Inotify) -> Vec<Mask> {
    changes(inotify).iter().map(|change| change.mask).collect()
}

#[test]
fn one_file_is_one_watch_and_adding_it_twice_is_an_error() {
    let dir = Dir::new("one_file");
    fs::write(dir.at("a"), "").unwrap();
    fs::hard_link(dir.at("a"), dir.at("b")).unwrap();
    let inotify = Inotify::new().unwrap();
    let id = inotify.add(dir.at("a"), Mask::MODIFY, Options::empty()).unwrap();
    let e = inotify.add(dir.at("b"), Mask::OPEN, Options::empty()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EEXIST));
    fs::write(dir.at("a"), "x").unwrap();
    assert_eq!(masks(&inotify), [Mask::MODIFY], "the first mask is as it was");

    assert_eq!(inotify.modify(dir.at("b"), Mask::OPEN, Options::empty()).unwrap(), id);
    fs::write(dir.at("a"), "y").unwrap();
    assert_eq!(masks(&inotify), [Mask::OPEN], "replaced");

    assert_eq!(inotify.extend(dir.at("a"), Mask::CLOSE_WRITE, Options::empty()).unwrap(), id);
    fs::write(dir.at("a"), "").unwrap();
    assert_eq!(masks(&inotify), [Mask::OPEN, Mask::CLOSE_WRITE], "added to");
}

#[test]
fn names_come_without_padding() {
    let dir = Dir::new("names");
    let inotify = Inotify::new().unwrap();
    let id = inotify.add(&dir.0, Mask::CREATE, Options::ONLYDIR).unwrap();
    let mut names: Vec<OsString> = [1, 15, 16, 17, 255].map(|n| "n".repeat(n).into()).into();
    names.push(OsStr::from_bytes(b"not \xff UTF-8").into());
    for name in &names {
        File::create(dir.0.join(name)).unwrap();
    }
    fs::create_dir(dir.at("dir")).unwrap();
    let changes = changes(&inotify);
    assert!(changes.iter().all(|change| change.watch == id && change.cookie.is_none() && !change.ends_watch()));
    assert_eq!(changes.last().unwrap().mask, Mask::CREATE | Mask::ISDIR);
    names.push("dir".into());
    let seen: Vec<OsString> = changes.into_iter().map(|change| change.name.unwrap()).collect();
    assert_eq!(seen, names);
}

#[test]
fn a_removed_watch_tells_what_came_before_and_then_its_end() {
    let dir = Dir::new("removed");
    let inotify = Inotify::new().unwrap();
    let id = inotify.add(&dir.0, Mask::CREATE, Options::empty()).unwrap();
    File::create(dir.at("before")).unwrap();
    inotify.remove(id).unwrap();
    File::create(dir.at("after")).unwrap();
    assert_eq!(inotify.remove(id).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let changes = changes(&inotify);
    assert_eq!(changes.iter().map(|c| c.mask).collect::<Vec<_>>(), [Mask::CREATE, Mask::IGNORED]);
    assert!(changes.iter().all(|change| change.watch == id));
    assert!(changes[1].ends_watch() && changes[1].name.is_none());

    // A later watch of the same directory has another number.
    assert_ne!(inotify.add(&dir.0, Mask::CREATE, Options::empty()).unwrap(), id);
    assert_eq!(inotify.remove(WatchId::from_raw(-1)).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn a_file_that_goes_ends_its_watch() {
    let dir = Dir::new("goes");
    fs::write(dir.at("a"), "").unwrap();
    let inotify = Inotify::new().unwrap();
    inotify.add(dir.at("a"), Mask::DELETE_SELF | Mask::MOVE_SELF, Options::empty()).unwrap();
    fs::rename(dir.at("a"), dir.at("b")).unwrap();
    fs::remove_file(dir.at("b")).unwrap();
    assert_eq!(masks(&inotify), [Mask::MOVE_SELF, Mask::DELETE_SELF, Mask::IGNORED]);
}

#[test]
fn one_shot_tells_one_event() {
    let dir = Dir::new("one_shot");
    let inotify = Inotify::new().unwrap();
    inotify.add(&dir.0, Mask::CREATE, Options::ONESHOT).unwrap();
    File::create(dir.at("a")).unwrap();
    File::create(dir.at("b")).unwrap();
    assert_eq!(masks(&inotify), [Mask::CREATE, Mask::IGNORED]);
}

#[test]
fn halves_of_a_rename_share_a_cookie() {
    let (from, to) = (Dir::new("rename_from"), Dir::new("rename_to"));
    let inotify = Inotify::new().unwrap();
    let from_id = inotify.add(&from.0, Mask::MOVE, Options::empty()).unwrap();
    let to_id = inotify.add(&to.0, Mask::MOVE, Options::empty()).unwrap();
    File::create(from.at("a")).unwrap();
    fs::rename(from.at("a"), to.at("b")).unwrap();
    let [left, came] = changes(&inotify).try_into().unwrap();
    assert_eq!((left.watch, left.mask, left.name.unwrap()), (from_id, Mask::MOVED_FROM, "a".into()));
    assert_eq!((came.watch, came.mask, came.name.unwrap()), (to_id, Mask::MOVED_TO, "b".into()));
    assert!(left.cookie.is_some());
    assert_eq!(left.cookie, came.cookie);
}

#[test]
fn options_reach_the_kernel() {
    let dir = Dir::new("options");
    fs::write(dir.at("file"), "").unwrap();
    std::os::unix::fs::symlink("file", dir.at("link")).unwrap();
    let inotify = Inotify::new().unwrap();
    let e = inotify.add(dir.at("file"), Mask::OPEN, Options::ONLYDIR).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOTDIR));
    let file = inotify.add(dir.at("file"), Mask::ATTRIB, Options::empty()).unwrap();
    let link = inotify.add(dir.at("link"), Mask::ATTRIB, Options::DONT_FOLLOW).unwrap();
    assert_ne!(file, link);

    let unlinked = inotify.add(&dir.0, Mask::MODIFY, Options::EXCL_UNLINK).unwrap();
    let mut open = File::create(dir.at("temporary")).unwrap();
    open.write_all(b"told").unwrap();
    fs::remove_file(dir.at("temporary")).unwrap();
    open.write_all(b"not told").unwrap();
    let told: Vec<_> = changes(&inotify).into_iter().filter(|change| change.watch == unlinked).collect();
    assert_eq!(told.len(), 1);
}

#[test]
fn refusals_keep_their_code() {
    let inotify = Inotify::new().unwrap();
    let code = |path: &Path, mask| inotify.add(path, mask, Options::empty()).unwrap_err().raw_os_error();
    assert_eq!(code(Path::new("/no/such/file"), Mask::OPEN), Some(libc::ENOENT));
    assert_eq!(code(Path::new("/"), Mask::empty()), Some(libc::EINVAL));
    assert_eq!(code(Path::new("/"), Mask::IGNORED), Some(libc::EINVAL));
    assert_eq!(code(Path::new("nul\0inside"), Mask::OPEN), Some(libc::EINVAL));
}

#[test]
fn a_buffer_too_small_is_invalid_and_loses_nothing() {
    let dir = Dir::new("small");
    let inotify = Inotify::new().unwrap();
    inotify.add(&dir.0, Mask::CREATE, Options::empty()).unwrap();
    let mut small = EventBuf::with_capacity(16 + 255);
    assert!(inotify.read_events(&mut small).unwrap().is_none());
    File::create(dir.at(&"n".repeat(255))).unwrap();
    assert_eq!(inotify.read_events(&mut small).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(small.as_bytes(), b"");
    let mut enough = EventBuf::with_capacity(16 + 256);
    assert_eq!(inotify.read_events(&mut enough).unwrap().unwrap().count(), 1);
}

#[test]
fn readiness_follows_the_queue() {
    let dir = Dir::new("readiness");
    let inotify = Inotify::new().unwrap();
    inotify.add(&dir.0, Mask::CREATE, Options::empty()).unwrap();
    assert_eq!(wait(&inotify, Ready::READ, Some(Instant::now())).unwrap(), None);
    File::create(dir.at("a")).unwrap();
    assert_eq!(wait(&inotify, Ready::READ, Some(Instant::now())).unwrap(), Some(Ready::READ));
    changes(&inotify);
    assert_eq!(wait(&inotify, Ready::READ, Some(Instant::now())).unwrap(), None);
}

#[test]
fn an_overflow_is_an_event_and_the_last() {
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    if limit > 200_000 {
        println!("SKIP: the queue takes {limit} events, too many to fill");
        return;
    }
    let dir = Dir::new("overflow");
    let inotify = Inotify::new().unwrap();
    let (a, b) = (File::create(dir.at("a")).unwrap(), File::create(dir.at("b")).unwrap());
    inotify.add(&dir.0, Mask::MODIFY, Options::empty()).unwrap();
    // In turns, for equal events in a row are one.
    for _ in 0..limit / 2 + 10 {
        (&a).write_all(b".").unwrap();
        (&b).write_all(b".").unwrap();
    }
    let mut events = Vec::new();
    while let Some(some) = inotify.try_read().unwrap() {
        events.extend(some);
    }
    assert_eq!(events.pop(), Some(Event::Overflow));
    assert_eq!(events.len(), limit);
    assert!(!events.contains(&Event::Overflow));

    // It goes on afterwards.
    (&a).write_all(b".").unwrap();
    assert_eq!(masks(&inotify), [Mask::MODIFY]);
}

fn record(watch: i32, mask: u32, cookie: u32, name: &[u8]) -> Vec<u8> {
    let words = [watch as u32, mask, cookie, name.len() as u32];
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(name.iter().copied()).collect()
}

#[test]
fn unknown_bits_are_kept() {
    let unknown = Mask::from_bits_retain(0x0080_0000 | 0x0010_0000);
    let bytes = record(5, (unknown | Mask::OPEN).bits(), 0, b"");
    let Some(Event::Change(change)) = Events::parse(&bytes).next() else { panic!() };
    assert_eq!(change.mask, unknown | Mask::OPEN);
    assert_eq!((change.watch.as_raw(), change.cookie, change.name), (5, None, None));
}

#[test]
fn bytes_that_are_no_events_end_the_parse() {
    let whole = [record(1, Mask::OPEN.bits(), 0, b"name\0\0\0\0"), record(2, Mask::MODIFY.bits(), 9, b"")].concat();
    for len in 0..=whole.len() {
        // Not aligned, either.
        let mut shifted = vec![0xaa];
        shifted.extend(&whole[..len]);
        let mut events = Events::parse(&shifted[1..]);
        let expected = match len {
            0..24 => (0, len),
            24..40 => (1, len - 24),
            _ => (2, 0),
        };
        assert_eq!((events.by_ref().count(), events.remainder().len()), expected);
        assert_eq!(events.next(), None);
    }
    let long = record(1, Mask::OPEN.bits(), 0, &[0; 16]);
    let mut lying = long.clone();
    lying[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(Events::parse(&lying).count(), 0);
    let Some(Event::Change(change)) = Events::parse(&long).next() else { panic!() };
    assert_eq!(change.name, None, "nothing but padding");
    let unpadded = record(1, Mask::OPEN.bits(), 0, b"abc");
    let Some(Event::Change(change)) = Events::parse(&unpadded).next() else { panic!() };
    assert_eq!(change.name, Some(OsStr::new("abc")));
}

#[test]
fn no_bytes_at_all_make_the_parser_panic() {
    // A generator of our own: the same bytes each time.
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Small numbers often, so that lengths fit now and then.
        if state >> 63 == 0 { 0 } else { (state >> 40) as u8 }
    };
    for len in 0..2000 {
        let bytes: Vec<u8> = (0..len).map(|_| byte()).collect();
        let mut events = Events::parse(&bytes);
        for event in events.by_ref() {
            let _ = event.into_owned();
        }
        assert!(bytes.ends_with(events.remainder()));
    }
}
