//! What several test programs use.

#![allow(dead_code, reason = "none uses all of it")]

use becket_loop::Loop;
use becket_loop::backend::{Epoll, Poll};
use becket_sys::event::Event;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// Runs a test over each backend that waits for real objects of the kernel.
pub(crate) fn each_backend<S: 'static>(test: impl Fn(Loop<S>)) {
    test(Loop::with_backend(Epoll::new().unwrap()));
    test(Loop::with_backend(Poll::new().unwrap()));
    #[cfg(feature = "uring")]
    match becket_loop::backend::Uring::new() {
        Ok(uring) => test(Loop::with_backend(uring)),
        Err(e) => println!("SKIP: over uring: no io_uring here: {e}"),
    }
    #[cfg(feature = "polling")]
    test(Loop::with_backend(becket_loop::backend::Polling::new().unwrap()));
}

/// Likewise, over each that knows PRI.
pub(crate) fn each_backend_with_pri<S: 'static>(test: impl Fn(Loop<S>)) {
    each_backend(|event_loop| {
        if event_loop.caps().pri {
            test(event_loop);
        }
    });
}

/// Whether `test` runs under valgrind, and `why` is a reason not to; says so.
pub(crate) fn skips_valgrind(test: &str, why: &str) -> bool {
    let skips = std::env::var_os("BECKET_VALGRIND").is_some();
    if skips {
        println!("SKIP: {test}: under valgrind: {why}");
    }
    skips
}

/// Runs the tests of a program that needs its main thread for them, in the manner of libtest.
pub(crate) fn run(tests: &[(&str, fn())]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    // Options of libtest that take a value, which is then no filter.
    let valued = ["--format", "--skip", "--test-threads", "--color", "--logfile", "-Z", "--report-time"];
    let is_filter = |i: &usize| !args[*i].starts_with('-') && (*i == 0 || !valued.contains(&args[*i - 1].as_str()));
    let filters: Vec<&str> = (0..args.len()).filter(is_filter).map(|i| args[i].as_str()).collect();
    let chosen = |name: &str| {
        filters.is_empty() || filters.iter().any(|f| if has("--exact") { name == *f } else { name.contains(f) })
    };
    // None of the tests is an ignored one.
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name) && !has("--ignored")) {
        if has("--list") {
            println!("{name}: test");
        } else {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// A source that stands for another descriptor than before, once it is told to: as what is closed, and opened again
/// under its number, behind the loop's back.
pub(crate) struct Changing {
    pub(crate) descriptors: [Rc<Event>; 2],
    pub(crate) now: Cell<usize>,
}

impl AsFd for Changing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptors[self.now.get()].as_fd()
    }
}
