//! What several test programs use.

#![allow(dead_code, reason = "none uses all of it")]

use becket_loop::Loop;
use becket_loop::backend::{Epoll, Poll};

/// Runs a test over each backend that waits for real objects of the kernel.
pub(crate) fn each_backend<S: 'static>(test: impl Fn(Loop<S>)) {
    test(Loop::with_backend(Epoll::new().unwrap()));
    test(Loop::with_backend(Poll::new().unwrap()));
}

/// Whether `test` runs under valgrind, and `why` is a reason not to; says so.
pub(crate) fn skips_valgrind(test: &str, why: &str) -> bool {
    let skips = std::env::var_os("BECKET_VALGRIND").is_some();
    if skips {
        println!("SKIP: {test}: under valgrind: {why}");
    }
    skips
}
