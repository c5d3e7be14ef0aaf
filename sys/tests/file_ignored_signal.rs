//! A program may change what a signal does at any time, for all its threads: hence a test alone in its process.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::file::{LockKind, conflict, start_lock, try_lock, unlock};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

#[test]
fn a_wait_for_a_lock_ends_though_the_program_has_the_signal_ignored_meanwhile() {
    let path = std::env::temp_dir().join(format!("becket-file-ignored-{}", std::process::id()));
    let a = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let b = File::options().read(true).write(true).open(format!("/proc/self/fd/{}", a.as_raw_fd())).unwrap();
    std::fs::remove_file(&path).unwrap();

    assert!(try_lock(&a, LockKind::Write, ..).unwrap());
    let wait = start_lock(&b, LockKind::Write, ..).unwrap();
    std::thread::sleep(Duration::from_millis(50)); // to be in the call
    // SAFETY: no handler is installed: the signal is ignored.
    #[allow(unsafe_code, reason = "the standard library has no signals")]
    let before = unsafe { libc::signal(libc::SIGURG, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
    drop(wait);
    unlock(&a, ..).unwrap();
    std::thread::sleep(Duration::from_millis(50)); // for a thread that were left to get the lock
    assert_eq!(conflict(&a, LockKind::Write, ..).unwrap(), None);
}
