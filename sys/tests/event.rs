//! eventfd(2) as it behaves at its edges.

use becket_sys::event::Event;
use becket_sys::{Ready, wait};
use std::time::Instant;

#[test]
fn overflow_adds_nothing_and_is_not_writable() {
    let event = Event::new().unwrap();
    assert!(event.add(u64::MAX - 1).unwrap());
    assert!(!event.add(1).unwrap());
    assert_eq!(wait(&event, Ready::WRITE, Some(Instant::now())).unwrap(), None);
    assert_eq!(event.try_read().unwrap(), Some(u64::MAX - 1));
    assert_eq!(wait(&event, Ready::WRITE, Some(Instant::now())).unwrap(), Some(Ready::WRITE));
}

#[test]
fn the_reserved_value_is_invalid() {
    let e = Event::new().unwrap().add(u64::MAX).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn clones_share_the_counter() {
    let a = Event::new().unwrap();
    let b = a.try_clone().unwrap();
    a.add(7).unwrap();
    assert_eq!(b.try_read().unwrap(), Some(7));
    assert_eq!(a.try_read().unwrap(), None);
}
