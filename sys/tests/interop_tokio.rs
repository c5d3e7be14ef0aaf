//! The descriptors under tokio.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use becket_sys::Ready;
use interop::{Case, Descriptor, Under};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn main() {
    let _blocked = interop::block_signals();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&new())),
        ("priority_kinds", || interop::priority_kinds(&new())),
    ]);
}

struct Tokio(Runtime);

fn new() -> Tokio {
    Tokio(Builder::new_current_thread().enable_all().build().unwrap())
}

impl Under for Tokio {
    #[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        // Both, as `AsyncFd::new` asks for, would make an urgent descriptor ready at once.
        let interest = if case.want == Ready::PRI { Interest::PRIORITY } else { Interest::READABLE };
        self.0.block_on(async {
            // SAFETY: the descriptor belongs to the object, which the `AsyncFd` owns a share of.
            let fd = unsafe { AsyncFd::register_with_interest(case.fd.clone(), interest).unwrap() };
            assert!(timeout(Duration::from_millis(1), fd.ready(interest)).await.is_err(), "{}: quiet", case.name);
            (case.fire)();
            let ready = async {
                loop {
                    let mut guard = fd.ready(interest).await.unwrap();
                    if (case.take)(guard.get_inner()) {
                        break;
                    }
                    guard.clear_ready();
                }
            };
            timeout(Duration::from_secs(20), ready).await.unwrap_or_else(|_| panic!("{}: within 20 s", case.name));
        });
    }
}
