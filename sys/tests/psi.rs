//! Pressure files: triggers as the kernel takes them, their events, and the parser on bytes that no kernel writes.
//!
//! All windows are 2 s long, which is what the kernel allows without CAP_SYS_RESOURCE.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::epoll::{Epoll, Events, Trigger as How};
use becket_sys::pri::Adapter;
use becket_sys::psi::{self, Event, Kind, Pressure, Resource, Trigger};
use becket_sys::{Readiness, Ready, wait};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_millis(100);

fn skip(test: &str, reason: impl std::fmt::Display) {
    println!("SKIP: {test}: {reason}");
}

fn open(test: &str, resource: Resource) -> Option<Trigger> {
    match Trigger::open(resource.path(), Kind::Some, STALL, WINDOW) {
        Ok(trigger) => Some(trigger),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
            skip(test, format!("this kernel accounts for no pressure: {e}"));
            None
        }
        Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            skip(test, format!("triggers are not allowed: {e}"));
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn arm(file: &str, stall: Duration, window: Duration) -> Result<Trigger, Option<i32>> {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    Trigger::arm(file.into(), Kind::Some, stall, window).map_err(|e| e.raw_os_error())
}

/// Lets two threads compete for one processor while `f` runs.
fn under_pressure<T>(f: impl FnOnce() -> T) -> T {
    let end = AtomicBool::new(false);
    let allowed = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                sched_setaffinity(None, &one).unwrap();
                while !end.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        end.store(true, Ordering::Relaxed);
        result.unwrap()
    })
}

#[test]
fn pressure_is_an_event_that_looking_takes() {
    let Some(trigger) = open("pressure_is_an_event_that_looking_takes", Resource::Cpu) else { return };
    assert_eq!(Trigger::READINESS, Readiness::Priority);
    under_pressure(|| {
        let before = trigger.pressure().unwrap().some.unwrap().total;
        let soon = Some(Instant::now() + Duration::from_secs(30));
        assert_eq!(trigger.wait_event(soon).unwrap(), Some(Event::Stalled));
        assert_eq!(trigger.try_read().unwrap(), None, "taken; the next one is a window away");
        assert!(trigger.pressure().unwrap().some.unwrap().total >= before);

        // The same by a level-triggered set: told once.
        let set = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        set.add(&trigger, 1, Ready::PRI, How::empty()).unwrap();
        set.wait(&mut events, soon).unwrap();
        let told: Vec<_> = events.iter().collect();
        assert_eq!(told, [(1, Ready::PRI)], "without ERR");
        assert_eq!(Event::of(told[0].1), Some(Event::Stalled));
        assert_eq!(set.wait(&mut events, Some(Instant::now())).unwrap(), 0);

        // Behind an adapter, the readiness is the event.
        set.delete(&trigger).unwrap();
        let adapter = Adapter::new(trigger).unwrap();
        set.add(&adapter, 2, Ready::READ, How::empty()).unwrap();
        set.wait(&mut events, soon).unwrap();
        assert_eq!(events.iter().collect::<Vec<_>>(), [(2, Ready::READ)]);
        assert_eq!(adapter.try_ready().unwrap(), None);
        assert_eq!(set.wait(&mut events, Some(Instant::now())).unwrap(), 0);
    });
}

#[test]
fn a_trigger_is_always_readable() {
    let Some(trigger) = open("a_trigger_is_always_readable", Resource::Memory) else { return };
    let ready = wait(&trigger, Ready::READ, Some(Instant::now())).unwrap();
    assert!(ready.unwrap().contains(Ready::READ));
}

#[test]
fn a_file_without_a_trigger_fails_forever() {
    let Some(_) = open("a_file_without_a_trigger_fails_forever", Resource::Io) else { return };
    let trigger = Trigger::from(OwnedFd::from(File::open(Resource::Io.path()).unwrap()));
    for _ in 0..2 {
        assert_eq!(trigger.wait_ready(Ready::PRI, None).unwrap(), Some(Ready::PRI | Ready::ERR));
        assert_eq!(trigger.wait_event(None).unwrap(), Some(Event::Gone));
    }
    assert!(trigger.pressure().unwrap().some.is_some());
}

#[test]
fn an_open_file_has_one_trigger() {
    let Some(trigger) = open("an_open_file_has_one_trigger", Resource::Io) else { return };
    let e = Trigger::arm(trigger.into(), Kind::Full, STALL, WINDOW).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EBUSY));
}

#[test]
fn what_the_kernel_refuses() {
    let Some(_) = open("what_the_kernel_refuses", Resource::Io) else { return };
    const FILE: &str = "/proc/pressure/io";
    let (us, s) = (Duration::from_micros, Duration::from_secs);
    assert!(arm(FILE, us(1), s(2)).is_ok());
    assert!(arm(FILE, s(2), s(2)).is_ok());
    assert!(arm(FILE, s(1), s(10)).is_ok());
    let refused = [
        (us(0), s(2)),
        (us(2_000_001), s(2)),
        (s(1), s(12)),
        (us(1), Duration::ZERO),
        // What the kernel would cut to 100 ms and 2 s.
        (us(100_000 + (1 << 32)), s(2)),
        (us(100_000), us(2_000_000 + (1 << 32))),
        (us(100_000), Duration::MAX),
    ];
    for (stall, window) in refused {
        assert_eq!(arm(FILE, stall, window).unwrap_err(), Some(libc::EINVAL), "{stall:?} in {window:?}");
    }
    // With CAP_SYS_RESOURCE these are fine, the second since Linux 6.3.
    for window in [s(3), us(499_999)] {
        let e = arm(FILE, us(1), window).map(drop);
        assert!(matches!(e, Ok(()) | Err(Some(libc::EINVAL))), "{window:?}: {e:?}");
    }

    let read_only = File::open(FILE).unwrap();
    let e = Trigger::arm(read_only.into(), Kind::Some, STALL, WINDOW).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EBADF));
    let e = Trigger::open("/no/such/file", Kind::Some, STALL, WINDOW).unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("open", Some(libc::ENOENT)));
    let e = Trigger::open(FILE, Kind::Some, Duration::ZERO, WINDOW).unwrap_err();
    assert_eq!(e.to_string(), "write /proc/pressure/io: Invalid argument (os error 22)");
}

/// The kernel overwrites the last byte of what is written: without one too many, it would see another window.
#[test]
fn the_window_arrives_whole() {
    let Some(_) = open("the_window_arrives_whole", Resource::Io) else { return };
    // Cut by a digit, this window would be 1 s, below the stall.
    assert!(arm("/proc/pressure/io", Duration::from_millis(1500), Duration::from_secs(10)).is_ok());
}

/// The place of control groups (version 2), if a test may make one there.
fn cgroup(test: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let Some(root) = lines.find(|words| words[2] == "cgroup2").map(|words| PathBuf::from(words[1])) else {
        skip(test, "no control groups of version 2");
        return None;
    };
    let dir = root.join(format!("becket-psi-{}", std::process::id()));
    match fs::create_dir(&dir) {
        Ok(()) => Some(dir),
        Err(e) => {
            skip(test, format!("no control group can be made: {e}"));
            None
        }
    }
}

#[test]
fn a_control_group_has_its_own_and_takes_it_along() {
    const TEST: &str = "a_control_group_has_its_own_and_takes_it_along";
    let Some(_) = open(TEST, Resource::Memory) else { return };
    let Some(dir) = cgroup(TEST) else { return };
    let file = Resource::Memory.in_cgroup(&dir);
    let trigger = Trigger::open(&file, Kind::Full, STALL, WINDOW);
    let figures = psi::read(&file);
    let quiet = trigger.as_ref().map(|trigger| trigger.try_read().unwrap());
    fs::remove_dir(dir).unwrap();
    assert_eq!(quiet.unwrap(), None);
    assert_eq!(figures.unwrap().full.unwrap().total, Duration::ZERO, "nobody was in it");
    let trigger = trigger.unwrap();
    assert_eq!(trigger.wait_event(None).unwrap(), Some(Event::Gone));
    assert_eq!(trigger.try_read().unwrap(), Some(Event::Gone), "and it stays so");
    assert_eq!(trigger.pressure().unwrap_err().raw_os_error(), Some(libc::ENODEV));
    let e = psi::read(&file).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn the_parser_forgives_what_is_new_and_refuses_what_is_broken() {
    let pressure =
        Pressure::parse(b"full avg10=1.00 avg5=9 total=18446744073709551615 new=x\nidle whatever\n").unwrap();
    assert_eq!(pressure.some, None);
    let full = pressure.full.unwrap();
    assert_eq!((full.avg10, full.avg60, full.total), (1.0, 0.0, Duration::from_micros(u64::MAX)));
    let broken: [&[u8]; 9] = [
        b"",
        b"\n\n",
        b"idle avg10=0.00",
        b"some avg10",
        b"some avg10=",
        b"some avg10=NaN",
        b"some avg10=-1",
        b"some total=18446744073709551616",
        b"some \xff=1",
    ];
    for text in broken {
        assert_eq!(Pressure::parse(text).unwrap_err().kind(), ErrorKind::InvalidData, "{text:?}");
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let whole =
        b"some avg10=89.09 avg60=65.41 avg300=47.89 total=695298764\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    for cut in 0..whole.len() {
        let _ = Pressure::parse(&whole[..cut]);
        for bit in 0..8 {
            let mut text = *whole;
            text[cut] ^= 1 << bit;
            let _ = Pressure::parse(&text);
        }
    }
}
