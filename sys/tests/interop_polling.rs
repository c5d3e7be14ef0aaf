//! The descriptors under polling.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::Ready;
use interop::{Case, Descriptor, Under};
use polling::{Event, Events, PollMode, Poller};
use std::time::Duration;

fn main() {
    let _blocked = interop::block_signals();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&new())),
        ("priority_kinds", || interop::priority_kinds(&new())),
    ]);
}

struct Polling(Poller);

fn new() -> Polling {
    Polling(Poller::new().unwrap())
}

impl Under for Polling {
    #[allow(unsafe_code, reason = "the poller does not own what it polls")]
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        let mut events = Events::new();
        let interest = if case.want == Ready::PRI { Event::none(7).with_priority() } else { Event::readable(7) };
        // SAFETY: the descriptor lives until it is deleted below.
        unsafe { self.0.add_with_mode(&*case.fd, interest, PollMode::Level).unwrap() };
        self.0.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "{}: quiet", case.name);
        (case.fire)();
        loop {
            events.clear();
            self.0.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
            let event = events.iter().next().unwrap_or_else(|| panic!("{}: ready within 20 s", case.name));
            assert_eq!(event.key, 7);
            assert!(if case.want == Ready::PRI { event.is_priority() } else { event.readable });
            if (case.take)(&case.fd) {
                break;
            }
        }
        self.0.delete(&*case.fd).unwrap();
    }
}
