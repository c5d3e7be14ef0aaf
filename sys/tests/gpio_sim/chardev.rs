//! By the character device.

use crate::{LONG, MOMENT, Sim};
use becket_sys::gpio::{
    Bias, ChangeKind, Chip, Direction, Drive, Edge, EdgeEvent, EdgeKind, EventClock, InfoChange, LineConfig, LineFlags,
    Request, Sequence, chips, find_line,
};
use becket_sys::timer::Clock;
use becket_sys::{EventBuf, Ready, wait};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use std::{fs, thread};

fn chip() -> Option<(Sim, Chip)> {
    let sim = Sim::new()?;
    (0..8).for_each(|offset| sim.pull(offset, false));
    let chip = Chip::find(&sim.label).unwrap();
    Some((sim, chip))
}

fn errno<T: std::fmt::Debug>(result: Result<T, impl Into<std::io::Error>>) -> Option<i32> {
    result.map_err(Into::into).unwrap_err().raw_os_error()
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// All edges that come before it has been still for a moment.
fn edges(request: &Request) -> Vec<EdgeEvent> {
    let (mut buf, mut all) = (EventBuf::new(), Vec::new());
    while wait(request, Ready::READ, Some(Instant::now() + MOMENT)).unwrap().is_some() {
        all.extend(request.read_events(&mut buf).unwrap().unwrap());
    }
    assert!(request.try_read().unwrap().is_none());
    all
}

/// The next edge, which comes.
fn edge(request: &Request) -> EdgeEvent {
    assert_eq!(wait(request, Ready::READ, Some(Instant::now() + LONG)).unwrap(), Some(Ready::READ));
    request.try_read().unwrap().unwrap()
}

#[test]
fn chips_and_lines_are_found_by_label_and_name() {
    let Some((sim, chip)) = chip() else { return };
    assert_eq!((chip.info().label.to_str(), chip.info().lines), (Some(&*sim.label), 8));
    assert!(sim.device.ends_with(&chip.info().name));
    assert!(chips().unwrap().any(|other| other.unwrap().info() == chip.info()));
    let names: Vec<_> = chip.lines().map(|line| line.unwrap().name.into_string().unwrap()).collect();
    assert_eq!(names, ["sim-line0", "sim-line1", "", "", "", "", "", "sim-line7"]);
    assert_eq!(chip.line_named("sim-line7").unwrap(), Some(7));
    assert_eq!(chip.line_named("sim-line2").unwrap(), None);
    let (other, offset) = find_line("sim-line1").unwrap();
    assert_eq!((other.info(), offset), (chip.info(), 1));
    let e = Chip::find("none").unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
    assert!(e.to_string().contains(&format!("{:?}", sim.label)), "{e}");
    assert_eq!(errno(chip.line(8)), Some(libc::EINVAL));

    let fd = OwnedFd::from(chip);
    assert!(fcntl_getfl(&fd).unwrap().contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!(Chip::try_from(fd).unwrap().info().label.to_str(), Some(&*sim.label));
}

/// Waits for each edge before the next is made: every one must be seen, and no other.
#[test]
fn two_hundred_edges_are_two_hundred() {
    let Some((sim, chip)) = chip() else { return };
    let request = chip.request().line(0, LineConfig::input()).open().unwrap();
    let mut sequence = Sequence::new();
    for (edges_of, expected) in [(Edge::Rising, 200), (Edge::Falling, 200), (Edge::Both, 400), (Edge::None, 0)] {
        request.reconfigure([(0, LineConfig::input().edge(edges_of))]).unwrap();
        let mut seen = 0;
        for n in 0..400 {
            let kind = if n % 2 == 0 { EdgeKind::Rising } else { EdgeKind::Falling };
            let before = Clock::Monotonic.now();
            sim.pull(0, kind == EdgeKind::Rising);
            let comes = match edges_of {
                Edge::Both => true,
                Edge::Rising => kind == EdgeKind::Rising,
                Edge::Falling => kind == EdgeKind::Falling,
                Edge::None => false,
            };
            if comes {
                let event = edge(&request);
                assert_eq!((event.kind, event.offset), (kind, 0));
                assert!(before <= event.time && event.time <= Clock::Monotonic.now());
                assert_eq!(event.seqno, event.line_seqno);
                assert_eq!(sequence.lost_before(&event), 0);
                seen += 1;
            }
        }
        seen += edges(&request).len();
        println!("{edges_of:?}: {seen} of {expected}");
        assert_eq!(seen, expected);
    }
}

#[test]
fn edges_are_queued_and_a_full_queue_drops_the_oldest_and_says_so() {
    let Some((sim, chip)) = chip() else { return };
    let config = LineConfig::input().edge(Edge::Both);
    let request = chip.request().lines([1, 2], config).event_buffer(16).open().unwrap();
    let toggle = |offset| {
        sim.pull(offset, true);
        sim.pull(offset, false);
        thread::sleep(Duration::from_millis(5)); // the interrupt is simulated, too, and comes a moment later
    };
    (0..5).for_each(|_| toggle(1));
    let events = edges(&request);
    let mut sequence = Sequence::new();
    assert!(events.len() >= 2, "{events:?}");
    assert!(events.iter().all(|event| event.offset == 1 && sequence.lost_before(event) == 0), "{events:?}");

    // Many more than it holds, each by itself.
    for n in 0..60 {
        sim.pull(2, n % 2 == 0);
        thread::sleep(Duration::from_millis(5));
    }
    let events = edges(&request);
    assert_eq!(events.len(), 16, "{events:?}");
    let lost = sequence.lost_before(&events[0]);
    assert!((1..=44).contains(&lost), "{lost}"); // 60 less the 16, and less those that came too close to each other
    assert!(events[1..].iter().all(|event| sequence.lost_before(event) == 0), "{events:?}");
    assert!(events.iter().all(|event| event.offset == 2 && event.line_seqno < event.seqno), "{events:?}");
}

#[test]
fn values_by_offset_and_by_place() {
    let Some((sim, chip)) = chip() else { return };
    let request = chip.request().line(6, LineConfig::output(true)).lines([1, 4], LineConfig::input()).open().unwrap();
    assert_eq!(request.offsets(), [6, 1, 4]);
    assert!(sim.high(6));
    sim.pull(4, true);
    assert_eq!(request.values().unwrap(), [true, false, true]);
    assert_eq!((request.bits(0b111).unwrap(), request.bits(0b110).unwrap()), (0b101, 0b100));
    assert!(request.value(4).unwrap() && !request.value(1).unwrap());
    request.set_value(6, false).unwrap();
    assert!(!sim.high(6));
    assert_eq!(errno(request.set_value(1, true)), Some(libc::EPERM));
    assert_eq!(errno(request.set_values([(6, true), (1, true)])), Some(libc::EPERM));
    assert!(!sim.high(6), "none is set");
    assert_eq!(errno(request.set_values([])), Some(libc::EINVAL));
    assert_eq!(errno(request.bits(0)), Some(libc::EINVAL));
    assert_eq!(errno(request.bits(0b1000)), Some(libc::EINVAL));
    assert_eq!(request.value(5).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);

    request
        .reconfigure([(4, LineConfig::output(true)), (1, LineConfig::output(true)), (6, LineConfig::input())])
        .unwrap();
    assert_eq!([1, 4].map(|offset| sim.high(offset)), [true, true]);
    request.set_bits(request.mask([1, 4]).unwrap(), 0b100).unwrap();
    assert_eq!([1, 4].map(|offset| sim.high(offset)), [false, true]);
    assert_eq!(chip.line(6).unwrap().direction(), Direction::In);
    let e = request.reconfigure([(4, LineConfig::input())]).unwrap_err();
    assert_eq!(e.to_string(), "line 6 is to be configured as well: the kernel wants all");
}

#[test]
fn active_low_turns_values_and_edges_round() {
    let Some((sim, chip)) = chip() else { return };
    let low = LineConfig::input().active_low(true).edge(Edge::Rising);
    let request = chip.request().line(3, low).line(2, LineConfig::output(true).active_low(true)).open().unwrap();
    assert!(!sim.high(2));
    assert_eq!(request.values().unwrap(), [true, true]);
    sim.pull(3, true);
    assert!(edges(&request).is_empty());
    assert!(!request.value(3).unwrap());
    sim.pull(3, false);
    assert_eq!(edge(&request).kind, EdgeKind::Rising);
}

#[test]
fn the_line_says_how_it_was_configured() {
    let Some((sim, chip)) = chip() else { return };
    let free = chip.line(0).unwrap();
    assert!(!free.is_used());
    assert_eq!((free.consumer.to_str(), free.direction(), free.edge()), (Some(""), Direction::In, Edge::None));

    let debounce = Duration::from_millis(3);
    let button = LineConfig::input().active_low(true).bias(Bias::PullUp).edge(Edge::Falling).debounce(debounce);
    let request = chip
        .request()
        .consumer("a name of more than thirty-one b\u{e4}tes")
        .line(0, button)
        .line(1, LineConfig::output(false).drive(Drive::OpenDrain))
        .line(2, LineConfig::input().edge(Edge::Both).clock(EventClock::Realtime).bias(Bias::Disabled))
        .line(3, LineConfig::output(true).drive(Drive::OpenSource).bias(Bias::PullDown))
        .open()
        .unwrap();
    let [a, b, c, d] = [0, 1, 2, 3].map(|offset| chip.line(offset).unwrap());
    assert_eq!(a.consumer.to_str(), Some("a name of more than thirty-one "));
    assert!([&a, &b, &c, &d].iter().all(|line| line.is_used() && line.consumer == a.consumer));
    assert_eq!((a.direction(), a.edge(), a.bias()), (Direction::In, Edge::Falling, Some(Bias::PullUp)));
    assert_eq!((a.is_active_low(), a.debounce, a.event_clock()), (true, Some(debounce), EventClock::Monotonic));
    assert_eq!((b.direction(), b.drive(), b.bias()), (Direction::Out, Drive::OpenDrain, None));
    assert_eq!((c.edge(), c.event_clock(), c.bias()), (Edge::Both, EventClock::Realtime, Some(Bias::Disabled)));
    assert_eq!((d.drive(), d.bias(), d.debounce), (Drive::OpenSource, Some(Bias::PullDown), None));

    let before = Clock::Realtime.now();
    sim.pull(2, true);
    let event = edge(&request);
    assert!(before <= event.time && event.time <= Clock::Realtime.now());
    drop(request);
    assert_eq!(chip.line(0).unwrap().flags & LineFlags::USED, LineFlags::empty());
}

#[test]
fn a_debounced_line_tells_what_is_still() {
    let Some((sim, chip)) = chip() else { return };
    let period = Duration::from_millis(400);
    let config = LineConfig::input().edge(Edge::Both).debounce(period);
    let request = chip.request().line(5, config).open().unwrap();
    for _ in 0..5 {
        sim.pull(5, true);
        sim.pull(5, false);
    }
    let start = Clock::Monotonic.now();
    sim.pull(5, true);
    assert_eq!(edge(&request).kind, EdgeKind::Rising);
    assert!(Clock::Monotonic.now() >= start + period);
    assert!(edges(&request).is_empty());
    assert!(request.value(5).unwrap());
}

#[test]
fn what_others_do_with_a_line_is_told_to_who_watches_it() {
    let Some((_sim, chip)) = chip() else { return };
    let (mut buf, watcher) = (EventBuf::new(), Chip::find(&chip.info().label).unwrap());
    let mut changes = || -> Vec<InfoChange> {
        let ready = wait(&watcher, Ready::READ, Some(Instant::now() + MOMENT)).unwrap();
        let changes = watcher.read_events(&mut buf).unwrap();
        assert_eq!(ready.is_some(), changes.is_some());
        changes.map_or(vec![], |changes| changes.collect())
    };
    assert!(!watcher.watch(4).unwrap().is_used());
    assert_eq!(errno(watcher.watch(4)), Some(libc::EBUSY));
    assert!(changes().is_empty());

    let before = Clock::Monotonic.now();
    let request = chip.request().consumer("test").lines([4, 5], LineConfig::input()).open().unwrap();
    let told = changes();
    assert_eq!((told.len(), told[0].kind), (1, ChangeKind::Requested));
    assert_eq!((told[0].line.offset, told[0].line.consumer.to_str()), (4, Some("test")));
    assert!(told[0].line.is_used());
    assert!(before <= told[0].time && told[0].time <= Clock::Monotonic.now());

    request.reconfigure([(4, LineConfig::output(false)), (5, LineConfig::input())]).unwrap();
    let told = changes();
    assert_eq!((told.len(), told[0].kind), (1, ChangeKind::Reconfigured));
    assert_eq!(told[0].line.direction(), Direction::Out);
    drop(request);
    let told = changes();
    assert_eq!((told.len(), told[0].kind), (1, ChangeKind::Released));
    assert!(!told[0].line.is_used());

    watcher.unwatch(4).unwrap();
    assert_eq!(errno(watcher.unwatch(4)), Some(libc::EBUSY));
    drop(chip.request().line(4, LineConfig::input()).open().unwrap());
    assert!(changes().is_empty());
    assert_eq!(errno(watcher.watch(8)), Some(libc::EINVAL));
    let mut small = EventBuf::with_capacity(287);
    watcher.watch(4).unwrap();
    drop(chip.request().line(4, LineConfig::input()).open().unwrap());
    assert_eq!(errno(watcher.read_events(&mut small)), Some(libc::EINVAL));
    assert_eq!(changes().len(), 2);
}

#[test]
fn refusals_name_the_lines_and_keep_their_code() {
    let Some((_sim, chip)) = chip() else { return };
    let before = open_descriptors();
    let request = chip.request().lines([1, 3], LineConfig::input()).open().unwrap();
    let e = chip.request().lines([3, 4], LineConfig::input()).open().unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("request", Some(libc::EBUSY)));
    assert_eq!(e.subject(), format!("lines [3, 4] of {}", chip.info().name.display()));
    assert!(!chip.line(4).unwrap().is_used(), "all or none");
    let refused = |config| errno(chip.request().line(5, config).open());
    for config in [
        LineConfig::output(true).edge(Edge::Both),
        LineConfig::input().drive(Drive::OpenDrain),
        LineConfig::output(true).debounce(Duration::from_millis(1)),
        LineConfig::as_is().bias(Bias::PullUp),
    ] {
        assert_eq!(refused(config), Some(libc::EINVAL), "{config:?}");
    }
    let e =
        chip.request().line(5, LineConfig::input().edge(Edge::Both).clock(EventClock::Hardware)).open().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EOPNOTSUPP), "Debian's kernels have no timestamp engine: {e}");
    assert_eq!(errno(chip.request().line(8, LineConfig::input()).open()), Some(libc::EINVAL));
    let e = chip.request().open().unwrap_err();
    assert_eq!((e.step(), e.raw_os_error()), ("configure", Some(libc::EINVAL)));
    assert_eq!(open_descriptors(), before + 1);

    // A line named twice is requested once, as it was named last.
    let twice = chip.request().line(6, LineConfig::input()).line(6, LineConfig::output(true)).open().unwrap();
    assert_eq!((twice.offsets(), chip.line(6).unwrap().direction()), (&[6][..], Direction::Out));
    // As it is: an output can be set.
    drop(twice);
    let as_is = chip.request().line(6, LineConfig::as_is()).open().unwrap();
    as_is.value(6).unwrap();
    let mut small = EventBuf::with_capacity(47);
    assert_eq!(errno(as_is.read_events(&mut small)), Some(libc::EINVAL), "no events either");
    drop((request, as_is));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_request_is_non_blocking_lives_on_without_its_chip_and_can_be_handed_on() {
    let Some((sim, chip)) = chip() else { return };
    let request = chip.request().line(7, LineConfig::input().edge(Edge::Both)).open().unwrap();
    assert!(fcntl_getfl(&request).unwrap().contains(OFlags::NONBLOCK));
    assert!(fcntl_getfd(&request).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!(wait(&request, Ready::READ, Some(Instant::now())).unwrap(), None);
    drop(chip);
    let twin = request.try_clone().unwrap();
    let handed_on = Request::from_fd(request.into(), [7]);
    sim.pull(7, true);
    assert_eq!(edge(&handed_on).kind, EdgeKind::Rising);
    assert!(twin.try_read().unwrap().is_none(), "read once");
    drop(handed_on);
    sim.pull(7, false);
    assert_eq!(edge(&twin).kind, EdgeKind::Falling);
    // By sysfs it is busy while it is requested, and the other way round.
    let class = becket_sys::gpio::sysfs::Class::new();
    let number = class.find(&sim.label, 7).unwrap();
    assert_eq!(errno(class.export(number, None)), Some(libc::EBUSY));
    drop(twin);
    let line = class.export(number, None).unwrap();
    let chip = Chip::find(&sim.label).unwrap();
    assert_eq!(chip.line(7).unwrap().consumer.to_str(), Some("sysfs"));
    assert_eq!(errno(chip.request().line(7, LineConfig::input()).open()), Some(libc::EBUSY));
    drop(line);
}
