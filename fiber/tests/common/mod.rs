//! What the tests share.
#![allow(dead_code, reason = "each test uses some of it")]

use becket_fiber::{Runtime, RuntimeBuilder, backend, yield_now};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Longer than any test may take.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Calls `test` with a runtime on epoll, then with one on poll(2).
pub(crate) fn each_backend(test: impl Fn(&mut Runtime)) {
    each_builder(|builder| test(&mut builder.build().unwrap()));
}

/// As [`each_backend`], for tests with settings of their own.
pub(crate) fn each_builder(test: impl Fn(RuntimeBuilder)) {
    println!("on epoll");
    test(Runtime::builder().backend(backend::Epoll::new().unwrap()));
    println!("on poll(2)");
    test(Runtime::builder().backend(backend::Poll::new().unwrap()));
}

/// Lets every other fiber that can run do so, a few times over.
pub(crate) fn settle() {
    (0..10).for_each(|_| yield_now());
}

/// Counts how often it was dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<u32>>);

impl Drops {
    pub(crate) fn witness(&self) -> Witness {
        Witness(self.0.clone())
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.get()
    }
}

pub(crate) struct Witness(Rc<Cell<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Whether this kernel guards pages within a mapping (Linux 6.13); before, each guard page is a mapping of its own.
#[allow(unsafe_code, reason = "asks the kernel")]
pub(crate) fn kernel_has_guards() -> bool {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    // SAFETY: the call concerns no memory.
    unsafe { libc::madvise(std::ptr::null_mut(), 0, MADV_GUARD_INSTALL) == 0 }
}

/// Whether this runs under valgrind, and `why` is a reason not to; says so.
pub(crate) fn skips_valgrind(why: &str) -> bool {
    let skips = std::env::var_os("BECKET_VALGRIND").is_some();
    if skips {
        println!("SKIP: under valgrind: {why}");
    }
    skips
}

/// A panic that the hook does not report.
pub(crate) fn quiet_panic() -> ! {
    std::panic::resume_unwind(Box::new("quiet"))
}

pub(crate) fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|e| e.kind())
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
