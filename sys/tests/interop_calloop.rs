//! The descriptors under calloop, which cannot wait for priority alone.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::Ready;
use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use interop::{Case, Descriptor, Under, WithAdapters};
use std::time::{Duration, Instant};

fn main() {
    let _blocked = interop::block_signals();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&Calloop)),
        ("priority_kinds", || interop::priority_kinds(&WithAdapters(&Calloop))),
    ]);
}

struct Calloop;

impl Under for Calloop {
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        assert_eq!(case.want, Ready::READ);
        let mut event_loop: EventLoop<'_, u32> = EventLoop::try_new().unwrap();
        let take = case.take.clone();
        let source = Generic::new(case.fd.clone(), Interest::READ, Mode::Level);
        let handle = event_loop.handle();
        let token = handle
            .insert_source(source, move |readiness, fd, taken| {
                assert!(readiness.readable);
                if take(fd) {
                    *taken += 1;
                }
                Ok(PostAction::Continue)
            })
            .unwrap();
        let mut taken = 0;
        event_loop.dispatch(Duration::ZERO, &mut taken).unwrap();
        assert_eq!(taken, 0, "{}: quiet", case.name);
        (case.fire)();
        let deadline = Instant::now() + Duration::from_secs(20);
        while taken == 0 {
            assert!(Instant::now() < deadline, "{}: ready within 20 s", case.name);
            event_loop.dispatch(Duration::from_secs(1), &mut taken).unwrap();
        }
        handle.remove(token);
    }
}
