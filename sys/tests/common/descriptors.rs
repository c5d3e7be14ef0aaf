//! No test leaves a descriptor open, nor anything that it calls: when a test program ends it has open what it had when it
//! began. None can close what another left, so what holds of all tests of a program together holds of each; who runs each
//! in a process of its own (nextest, or `--exact`) sees which one it was.
#![allow(unsafe_code, reason = "looks before main, and after all that main starts")]

use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, path::PathBuf, thread};

/// What was open at the start, by number, and the process that had it open.
static BEFORE: Mutex<(u32, Vec<u32>)> = Mutex::new((0, Vec::new()));

#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

/// Takes what is open now for what was open at the start. For a library that keeps descriptors as long as the process
/// lives: to be called with these open, before the tests.
#[allow(dead_code, reason = "few tests use such a library")]
pub(crate) fn count_from_here() {
    *BEFORE.lock().unwrap() = (std::process::id(), open().map(|(number, _)| number).collect());
}

/// The descriptors of this process, each with what it is.
fn open() -> impl Iterator<Item = (u32, PathBuf)> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().map(|number| (number, entry.path()));
    // One of them is that of the reading itself, and gone when asked what it is.
    let listed: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap).filter_map(number).collect();
    listed.into_iter().filter_map(|(number, path)| Some((number, fs::read_link(path).ok()?)))
}

extern "C" fn at_start() {
    count_from_here();
    // SAFETY: the function is one of this program, which is not unloaded before its end.
    assert_eq!(unsafe { libc::atexit(at_end) }, 0);
}

extern "C" fn at_end() {
    let (process, before) = &*BEFORE.lock().unwrap();
    // A child that was forked and runs no program of its own is not what this is about.
    if *process != std::process::id() {
        return;
    }
    // A thread that nobody waits for may still be at its end.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left: Vec<_> = open().filter(|(number, _)| !before.contains(number)).collect();
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            eprintln!("descriptors left open by the tests: {left:?}");
            // SAFETY: it takes a number and ends the process, as this was about to do.
            unsafe { libc::_exit(97) };
        }
        thread::sleep(Duration::from_millis(5));
    }
}
