//! eventfd(2) as it behaves at its edges.

#[path = "common/descriptors.rs"]
mod descriptors;

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

#[test]
fn shorter_transfers_are_invalid_and_change_nothing() {
    let event = Event::with_count(7).unwrap();
    assert_eq!(rustix::io::read(&event, &mut [0; 7]), Err(rustix::io::Errno::INVAL));
    assert_eq!(rustix::io::write(&event, &[0; 7]), Err(rustix::io::Errno::INVAL));
    assert_eq!(event.try_read().unwrap(), Some(7));
    assert_eq!(event.try_read().unwrap(), None);
}

#[test]
fn a_semaphore_gives_one_a_read_whatever_was_added() {
    let semaphore = Event::semaphore(1).unwrap();
    semaphore.add(2).unwrap();
    for _ in 0..3 {
        assert_eq!(wait(&semaphore, Ready::READ, Some(Instant::now())).unwrap(), Some(Ready::READ));
        assert_eq!(semaphore.try_read().unwrap(), Some(1));
    }
    assert_eq!(semaphore.try_read().unwrap(), None);
    assert!(semaphore.add(u64::MAX - 1).unwrap() && !semaphore.add(1).unwrap());
}

#[test]
fn each_addition_is_an_edge() {
    use rustix::event::{Timespec, epoll};
    let event = Event::new().unwrap();
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&set, &event, epoll::EventData::new_u64(1), flags).unwrap();
    let mut list = Vec::with_capacity(4);
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    for _ in 0..3 {
        event.add(1).unwrap();
        list.clear();
        assert_eq!(epoll::wait(&set, rustix::buffer::spare_capacity(&mut list), Some(&at_once)), Ok(1));
        list.clear();
        assert_eq!(epoll::wait(&set, rustix::buffer::spare_capacity(&mut list), Some(&at_once)), Ok(0));
    }
    assert_eq!(event.try_read().unwrap(), Some(3));
}

#[test]
fn threads_take_what_threads_add() {
    let event = std::sync::Arc::new(Event::semaphore(0).unwrap());
    let taken = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut n = 0;
                    while n < 100 {
                        wait(&*event, Ready::READ, None).unwrap();
                        n += event.try_read().unwrap().unwrap_or(0); // another may have been quicker
                    }
                    n
                })
            })
            .collect();
        for _ in 0..300 {
            event.add(1).unwrap();
        }
        takers.into_iter().map(|t| t.join().unwrap()).sum::<u64>()
    });
    assert_eq!((taken, event.try_read().unwrap()), (300, None));
}
