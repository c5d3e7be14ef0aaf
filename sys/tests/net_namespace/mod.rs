//! A network that a test has for itself.

/// Runs `f` on a thread of its own in a network namespace with nothing but `lo`, which is down. Says SKIP where that is not
/// allowed. Sockets that are made there stay there.
pub(crate) fn in_own(test: &'static str, f: impl FnOnce() + Send + 'static) {
    let done = std::thread::spawn(move || {
        #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
        // SAFETY: no memory is passed, and this thread, which shares nothing that a network namespace owns, ends soon.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIP: {test}: no network namespace: {}", std::io::Error::last_os_error());
        }
        f();
    })
    .join();
    done.unwrap();
}
