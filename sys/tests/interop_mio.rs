//! The descriptors under mio.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::Ready;
use interop::{Case, Descriptor, Under};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::cell::RefCell;
use std::time::Duration;

fn main() {
    let _blocked = interop::block_signals();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&new())),
        ("priority_kinds", || interop::priority_kinds(&new())),
    ]);
}

struct Mio(RefCell<Poll>);

fn new() -> Mio {
    Mio(RefCell::new(Poll::new().unwrap()))
}

impl Under for Mio {
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        let mut poll = self.0.borrow_mut();
        let mut events = Events::with_capacity(4);
        let interest = if case.want == Ready::PRI { Interest::PRIORITY } else { Interest::READABLE };
        poll.registry().register(&mut SourceFd(&case.fd.as_raw_fd()), Token(7), interest).unwrap();
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "{}: quiet", case.name);
        (case.fire)();
        loop {
            poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
            let event = events.iter().next().unwrap_or_else(|| panic!("{}: ready within 20 s", case.name));
            assert_eq!(event.token(), Token(7));
            assert!(if case.want == Ready::PRI { event.is_priority() } else { event.is_readable() });
            if (case.take)(&case.fd) {
                break;
            }
        }
        poll.registry().deregister(&mut SourceFd(&case.fd.as_raw_fd())).unwrap();
    }
}
