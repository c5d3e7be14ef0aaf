//! What only the backend over epoll has.

#![allow(unsafe_code, reason = "one test lends a descriptor")]

use becket_loop::backend::Poll;
use becket_loop::{Ctx, Embedded, Flags, Loop, Mode, Next, Plain, Ready};
use becket_sys::event::Event;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

#[test]
fn trap_09_a_regular_file_is_refused_and_comes_back() {
    let mut event_loop: Loop<()> = Loop::new().unwrap();
    assert!(!event_loop.caps().regular_files);
    let file = File::open("/proc/self/exe").unwrap();
    let refused = event_loop.add(file, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap_err();
    assert_eq!(refused.error().raw_os_error(), Some(1)); // EPERM
    assert_eq!(event_loop.sources().count(), 0);
}

/// A turn with one event or one timer makes one wait; a periodic timer's too.
#[test]
fn a_turn_is_one_wait() {
    let mut event_loop: Loop<u64> = Loop::new().unwrap();
    event_loop.every(Duration::from_millis(1), |n, _, _| {
        *n += 1;
        Ok(if *n == 20 { Next::Remove } else { Next::Keep })
    });
    let mut n = 0;
    event_loop.run(&mut n).unwrap();
    let stats = event_loop.stats();
    assert!(stats.waits <= stats.timers && stats.timers == 20, "{stats:?}");
}

#[test]
fn a_borrowed_descriptor_is_watched_until_it_is_cancelled() {
    fn count(n: &mut u64, _: &mut Ctx<u64>, data: u64, _: Ready) -> Next {
        *n += data;
        Next::Keep
    }
    let event = Event::new().unwrap();
    event.add(1).unwrap();
    let mut event_loop: Loop<u64> = Loop::new().unwrap();
    let fd = std::os::fd::AsFd::as_fd(&event);
    let plain = Plain { call: count, data: 5 };
    // SAFETY: `event` outlives the loop's registration: it is cancelled below, before it is dropped.
    let id = unsafe { event_loop.add_borrowed(fd, Ready::READ, Mode::Level, plain) }.unwrap();
    let mut n = 0;
    event_loop.turn(&mut n, None).unwrap();
    assert!(event_loop.cancel(id));
    drop(event);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 5);
}

/// What the system no longer knows needs no removal: a change for it fails once, and the loop goes on.
#[test]
fn a_descriptor_that_was_taken_out_elsewhere_can_be_disabled() {
    fn never(n: &mut u64, _: &mut Ctx<u64>, _: u64, _: Ready) -> Next {
        *n += 1;
        Next::Keep
    }
    let event = Event::new().unwrap();
    let mut event_loop: Loop<u64> = Loop::new().unwrap();
    let fd = std::os::fd::AsFd::as_fd(&event);
    // SAFETY: `event` outlives the loop.
    let add = |ctx: &mut Loop<u64>| unsafe {
        ctx.add_borrowed(fd, Ready::READ, Mode::Level, Plain { call: never, data: 0 }).unwrap()
    };
    let mut n = 0;
    for change in [false, true] {
        let id = add(&mut event_loop);
        event_loop.detach().unwrap().delete(fd);
        if change {
            event_loop.set(id, Ready::WRITE, Mode::Level);
            let failed = event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap_err();
            assert!(failed.to_string().contains("os error 2"), "{failed}");
        } else {
            event_loop.enable(id, false);
        }
        event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert!(!event_loop.sources().next().unwrap().enabled);
        // Whoever enables it adds it anew.
        event_loop.enable(id, true);
        event.add(1).unwrap();
        event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        event.try_read().unwrap();
        assert!(event_loop.cancel(id));
    }
    assert_eq!((n, event_loop.stats().faults), (2, 1));
    drop(event_loop);
}

/// What stands in an epoll set, and what the kernel was told of it.
fn members(set: RawFd) -> Vec<(RawFd, u32)> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{set}")).unwrap();
    let lines = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].parse().unwrap(), u32::from_str_radix(words[2], 16).unwrap())
        })
        .collect()
}

/// What the kernel was told of a descriptor in the set of an embedded loop.
fn registered(embedded: &Embedded, fd: impl AsFd) -> Option<u32> {
    // Outer loops wait for another set, in which that one stands.
    let [(set, _)] = members(embedded.as_fd().as_raw_fd())[..] else { panic!("one set") };
    members(set).into_iter().find_map(|(number, bits)| (number == fd.as_fd().as_raw_fd()).then_some(bits))
}

#[test]
fn flags_stay_through_changes_of_everything_else() {
    const EXCLUSIVE: u32 = 1 << 28;
    let mut event_loop: Loop<u32> = Loop::new().unwrap();
    let set = event_loop.embed().unwrap();
    let event = Event::new().unwrap();
    let call = |n: &mut u32, _: &mut Ctx<u32>, event: &Event, _: Ready| {
        *n += 1;
        event.try_read()?;
        Ok(Next::Keep)
    };
    let id = event_loop.add(event, Ready::READ, Mode::Level, call).unwrap();
    let now = |event_loop: &Loop<u32>| registered(&set, event_loop.get(id).unwrap());
    let exclusive = |event_loop: &Loop<u32>| now(event_loop).map(|bits| bits & EXCLUSIVE != 0);
    let mut n = 0;
    assert_eq!(exclusive(&event_loop), Some(false));
    assert!(event_loop.set_flags(id, Flags::EXCLUSIVE).unwrap());
    assert_eq!(exclusive(&event_loop), Some(true));
    // A change that the kernel does not make of such a registration.
    event_loop.set(id, Ready::READ | Ready::WRITE, Mode::Edge);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!((exclusive(&event_loop), n), (Some(true), 1), "there is room to write");
    event_loop.set(id, Ready::READ, Mode::Level);
    event_loop.enable(id, false);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(exclusive(&event_loop), None);
    event_loop.enable(id, true);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(exclusive(&event_loop), Some(true));
    event_loop.get(id).unwrap().add(1).unwrap();
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 2);
    // Without, all is as at first.
    event_loop.set_flags(id, Flags::WAKE_UP).unwrap(); // ignored without the privilege
    assert_eq!(exclusive(&event_loop), Some(false));
    event_loop.set_flags(id, Flags::empty()).unwrap();
    let event = event_loop.remove(id).unwrap();
    assert_eq!((registered(&set, &event), event_loop.set_flags(id, Flags::EXCLUSIVE).unwrap()), (None, false));
}

#[test]
fn flags_that_do_not_fit_are_refused_and_change_nothing() {
    let mut event_loop: Loop<u32> = Loop::new().unwrap();
    let event = Event::new().unwrap();
    event.add(1).unwrap();
    let id = event_loop
        .add(event, Ready::READ, Mode::OneShot, |n: &mut u32, _, _, _| {
            *n += 1;
            Ok(Next::Keep)
        })
        .unwrap();
    let mut n = 0;
    assert_eq!(event_loop.set_flags(id, Flags::EXCLUSIVE).unwrap_err().raw_os_error(), Some(22)); // EINVAL
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 1);
    // One that fired stays silent until it is enabled.
    event_loop.set_flags(id, Flags::WAKE_UP).unwrap();
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 1);
    event_loop.enable(id, true);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 2);
    // What comes to not fit is an error of the source.
    event_loop.set(id, Ready::READ, Mode::Level);
    event_loop.enable(id, true);
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    event_loop.set_flags(id, Flags::EXCLUSIVE).unwrap();
    event_loop.set(id, Ready::PRI, Mode::Level);
    assert!(event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap_err().to_string().contains("os error 22"));

    let mut over_poll: Loop<()> = Loop::with_backend(Poll::new().unwrap());
    let id = over_poll.add(Event::new().unwrap(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
    assert_eq!(over_poll.set_flags(id, Flags::WAKE_UP).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert!(over_poll.set_flags(id, Flags::empty()).unwrap());
}
