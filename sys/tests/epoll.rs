//! epoll(7) as it behaves at its edges.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::epoll::{Epoll, Events, Trigger};
use becket_sys::{Ready, event::Event};
use std::fs::File;
use std::time::{Duration, Instant};

fn wait(set: &Epoll, timeout: Duration) -> Vec<(u64, Ready)> {
    let mut events = Events::with_capacity(8);
    set.wait(&mut events, Some(Instant::now() + timeout)).unwrap();
    events.iter().collect()
}

#[test]
fn a_wait_never_ends_early() {
    let set = Epoll::new().unwrap();
    let mut events = Events::with_capacity(1);
    for micros in [1, 10, 100, 1_000, 20_500] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        assert_eq!(set.wait(&mut events, Some(deadline)).unwrap(), 0);
        assert!(Instant::now() >= deadline);
    }
    assert_eq!(set.wait(&mut events, Some(Instant::now() - Duration::from_secs(1))).unwrap(), 0);
}

#[test]
fn edge_fires_once_a_change_and_one_shot_once_a_modify() {
    let set = Epoll::new().unwrap();
    let edge = Event::new().unwrap();
    let shot = Event::new().unwrap();
    set.add(&edge, 1, Ready::READ, Trigger::EDGE).unwrap();
    set.add(&shot, 2, Ready::READ, Trigger::ONE_SHOT).unwrap();
    edge.add(1).unwrap();
    shot.add(1).unwrap();
    let mut first = wait(&set, Duration::from_secs(5));
    first.sort_by_key(|e| e.0);
    assert_eq!(first, [(1, Ready::READ), (2, Ready::READ)]);
    shot.add(1).unwrap();
    assert_eq!(wait(&set, Duration::ZERO), []);
    edge.add(1).unwrap();
    set.modify(&shot, 3, Ready::READ, Trigger::ONE_SHOT).unwrap();
    let mut second = wait(&set, Duration::from_secs(5));
    second.sort_by_key(|e| e.0);
    assert_eq!(second, [(1, Ready::READ), (3, Ready::READ)]);
}

#[test]
fn regular_files_are_refused() {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let e = Epoll::new().unwrap().add(&file, 0, Ready::READ, Trigger::empty()).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EPERM));
}

#[test]
fn a_set_inside_a_set_is_readable() {
    let (outer, inner) = (Epoll::new().unwrap(), Epoll::new().unwrap());
    let event = Event::new().unwrap();
    inner.add(&event, 1, Ready::READ, Trigger::empty()).unwrap();
    outer.add(&inner, 2, Ready::READ, Trigger::empty()).unwrap();
    assert_eq!(wait(&outer, Duration::ZERO), []);
    event.add(1).unwrap();
    assert_eq!(wait(&outer, Duration::from_secs(5)), [(2, Ready::READ)]);
}
