//! The raw mask of objects of the kernel that report by PRI, and a timer whose clock is set, on epoll and on poll(2).

mod common;

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::attribute::Attribute;
use becket_sys::tcp;
use becket_sys::timer::{Clock, Event, Timer};
use common::{each_backend, each_backend_with_pri, skips_valgrind};
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// Turns until `n` masks were seen, and a while longer, in which no more are to come.
fn turn_until(event_loop: &mut Loop<Vec<Ready>>, seen: &mut Vec<Ready>, n: usize) {
    let end = Instant::now() + LONG;
    while seen.len() < n && Instant::now() < end {
        event_loop.turn(seen, Some(LONG)).unwrap();
    }
    let end = Instant::now() + Duration::from_millis(30);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        event_loop.turn(seen, Some(left)).unwrap();
    }
}

#[test]
fn trap_07_urgent_data_is_told_every_turn_until_it_is_taken() {
    each_backend_with_pri(|mut event_loop: Loop<Vec<Ready>>| {
        let listener = tcp::Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        becket_sys::wait(&listener, Ready::READ, Some(Instant::now() + LONG)).unwrap().expect("a connection");
        let (near, _) = listener.try_accept().unwrap().unwrap();
        let id = event_loop
            .add(near, Ready::PRI, Mode::Level, |seen: &mut Vec<Ready>, _, near: &tcp::Stream, ready| {
                seen.push(ready);
                if seen.len() == 3 {
                    assert_eq!(near.try_recv_urgent()?, Some(b'!'));
                }
                Ok(Next::Keep)
            })
            .unwrap();
        let mut seen = Vec::new();
        far.write_all(b"ordinary").unwrap();
        turn_until(&mut event_loop, &mut seen, 0);
        assert_eq!(seen, [], "nobody asked for that");
        rustix::net::send(&far, b"!", rustix::net::SendFlags::OOB).unwrap();
        turn_until(&mut event_loop, &mut seen, 3);
        assert_eq!(seen, [Ready::PRI; 3]);
        // Beside ordinary data it comes with it.
        event_loop.set(id, Ready::PRI | Ready::READ, Mode::Level);
        rustix::net::send(&far, b"?", rustix::net::SendFlags::OOB).unwrap();
        let end = Instant::now() + LONG;
        while !seen.last().is_some_and(|ready| ready.contains(Ready::PRI | Ready::READ)) && Instant::now() < end {
            event_loop.turn(&mut seen, Some(LONG)).unwrap();
        }
        assert_eq!(seen.last(), Some(&(Ready::PRI | Ready::READ)));
    });
}

/// A control group of this test's, removed in the end.
struct Group {
    folder: PathBuf,
}

impl Group {
    /// `None` where no group can be made, which it says.
    fn new(test: &str, name: &str) -> Option<Group> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut places = mounts.lines().map(|line| line.split(' ')).filter_map(|mut fields| {
            let place = fields.nth(1)?;
            (fields.next() == Some("cgroup2")).then(|| PathBuf::from(place))
        });
        let made = places.find_map(|place| {
            let folder = place.join(format!("becket-{name}-{}", std::process::id()));
            std::fs::create_dir(&folder).ok()?;
            Some(Group { folder })
        });
        let made = made.filter(|group| group.file("cgroup.events").exists());
        if made.is_none() {
            println!("SKIP: {test}: no control group (version 2) can be made here");
        }
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join(name)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may be busy for a moment after its last process ended.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn read_again(file: &File) -> std::io::Result<String> {
    let mut buf = [0; 256];
    let n = file.read_at(&mut buf, 0)?;
    Ok(String::from_utf8_lossy(&buf[..n]).into_owned())
}

/// kernfs reports a change by PRI and ERR, and again until the attribute is read; a file that was never read is
/// changed.
#[test]
fn trap_04_cgroup_events_come_with_an_error_that_is_none() {
    let Some(group) = Group::new("trap_04_cgroup_events_come_with_an_error_that_is_none", "priority") else { return };
    each_backend_with_pri(|mut event_loop: Loop<Vec<Ready>>| {
        let file = File::open(group.file("cgroup.events")).unwrap();
        let changed = Ready::PRI | Ready::ERR;
        let id = event_loop
            .add(file, Ready::PRI, Mode::Level, |seen: &mut Vec<Ready>, _, file: &File, ready| {
                seen.push(ready);
                if seen.len().is_multiple_of(2) {
                    read_again(file)?;
                }
                Ok(Next::Keep)
            })
            .unwrap();
        let mut seen = Vec::new();
        turn_until(&mut event_loop, &mut seen, 2);
        assert_eq!(seen, [changed; 2], "of a file that was not read");

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(group.file("cgroup.procs"), child.id().to_string()).unwrap();
        turn_until(&mut event_loop, &mut seen, 4);
        assert_eq!(seen, [changed; 4], "populated, told until it was read");
        let populated = read_again(event_loop.get(id).unwrap()).unwrap();
        assert!(populated.contains("populated 1"), "{populated:?}");

        drop(child.stdin.take());
        child.wait().unwrap();
        turn_until(&mut event_loop, &mut seen, 6);
        assert_eq!(seen, [changed; 6], "empty again");
        let populated = read_again(event_loop.get(id).unwrap()).unwrap();
        assert!(populated.contains("populated 0"), "{populated:?}");
    });
}

/// The same as a typed source, which reads again by itself.
#[test]
fn an_attribute_tells_its_content_after_each_change() {
    let Some(group) = Group::new("an_attribute_tells_its_content_after_each_change", "attribute") else { return };
    each_backend_with_pri(|mut event_loop: Loop<Vec<String>>| {
        let events = Attribute::open(group.file("cgroup.events")).unwrap();
        let id = event_loop
            .on(events, |seen: &mut Vec<String>, _, content| {
                seen.push(String::from_utf8_lossy(content).lines().next().unwrap_or_default().to_owned());
                Ok(Next::Keep)
            })
            .unwrap();
        let turn_until = |event_loop: &mut Loop<Vec<String>>, seen: &mut Vec<String>, n: usize| {
            let end = Instant::now() + LONG;
            while seen.len() < n && Instant::now() < end {
                event_loop.turn(seen, Some(LONG)).unwrap();
            }
            event_loop.turn(seen, Some(Duration::from_millis(30))).unwrap();
        };
        let mut seen = Vec::new();
        turn_until(&mut event_loop, &mut seen, 0);
        assert_eq!(seen.len(), 0, "nothing has changed since it was opened: {seen:?}");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        std::fs::write(group.file("cgroup.procs"), child.id().to_string()).unwrap();
        turn_until(&mut event_loop, &mut seen, 1);
        drop(child.stdin.take());
        child.wait().unwrap();
        turn_until(&mut event_loop, &mut seen, 2);
        assert_eq!(seen, ["populated 1", "populated 0"]);
        assert_eq!(event_loop.get(id).unwrap().try_read().unwrap(), None);
    });
    let events = Attribute::open(group.file("cgroup.events")).unwrap();
    let mut event_loop: Loop<()> = Loop::new().unwrap();
    let id = event_loop.on(events, |_, _, _| Ok(Next::Keep)).unwrap();
    drop(group);
    assert_eq!(event_loop.turn(&mut (), Some(Duration::from_millis(30))).unwrap(), 0, "nobody is told");
    let error = event_loop.get(id).unwrap().read().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}

/// Sets the machine's clock to what it is, which counts as a change; false where the process may not.
fn touch_the_clock() -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let set = rustix::time::clock_settime(rustix::time::ClockId::Realtime, now);
    set.map_err(|e| println!("SKIP: trap_21_a_clock_that_is_set_is_an_event: the clock cannot be set ({e})")).is_ok()
}

#[test]
fn trap_21_a_clock_that_is_set_is_an_event() {
    if skips_valgrind("trap_21_a_clock_that_is_set_is_an_event", "it hides the vdso, where rustix reads the clock") {
        return;
    }
    each_backend(|mut event_loop: Loop<Vec<Event>>| {
        let timer = Timer::new(Clock::Realtime).unwrap();
        let _ = timer.set_cancel_on_set(Clock::Realtime.now() + LONG * 3, None).unwrap();
        if !touch_the_clock() {
            return;
        }
        let id = event_loop
            .on(timer, |seen: &mut Vec<Event>, _, event| {
                seen.push(event);
                Ok(if matches!(event, Event::Expired(_)) { Next::Remove } else { Next::Keep })
            })
            .unwrap();
        let mut seen = Vec::new();
        event_loop.turn(&mut seen, Some(LONG)).unwrap();
        assert_eq!(seen, [Event::ClockChanged]);
        // It stays a source. Somebody else may set the clock, too: then, as its user would, compute anew.
        let mut at = Duration::ZERO;
        while seen.last() == Some(&Event::ClockChanged) {
            at = Clock::Realtime.now() + Duration::from_millis(5);
            let _ = event_loop.get(id).unwrap().set_cancel_on_set(at, None).unwrap();
            let before = seen.len();
            while seen.len() == before {
                event_loop.turn(&mut seen, Some(LONG)).unwrap();
            }
        }
        assert_eq!(seen.last(), Some(&Event::Expired(1)));
        assert!(Clock::Realtime.now() >= at);
    });
}
