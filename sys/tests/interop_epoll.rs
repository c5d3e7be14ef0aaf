//! The descriptors under a bare epoll(7) set of the user's own.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use interop::{Case, Descriptor, Under};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::os::fd::OwnedFd;

fn main() {
    let _blocked = interop::block_signals();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&new())),
        ("priority_kinds", || interop::priority_kinds(&new())),
    ]);
}

struct Bare(OwnedFd);

fn new() -> Bare {
    Bare(epoll::create(CreateFlags::CLOEXEC).unwrap())
}

impl Under for Bare {
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        let mut events = Vec::with_capacity(4);
        epoll::add(&self.0, &case.fd, EventData::new_u64(7), EventFlags::from_bits_retain(case.want.bits())).unwrap();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), Some(&at_once)).unwrap();
        assert!(events.is_empty(), "{}: quiet", case.name);
        (case.fire)();
        loop {
            events.clear();
            epoll::wait(
                &self.0,
                rustix::buffer::spare_capacity(&mut events),
                Some(&Timespec { tv_sec: 20, tv_nsec: 0 }),
            )
            .unwrap();
            assert_eq!(events.len(), 1, "{}: ready within 20 s", case.name);
            let flags = events[0].flags;
            assert_ne!(flags.bits() & case.want.bits(), 0);
            if (case.take)(&case.fd) {
                break;
            }
        }
        epoll::delete(&self.0, &case.fd).unwrap();
    }
}
