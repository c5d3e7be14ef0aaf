//! Accepting when no descriptor is left: a file of its own, since the limit is the whole process's.

use becket_sys::tcp::{Listener, Stream};
use becket_sys::{Ready, is_exhausted, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

#[test]
fn no_descriptor_left_is_told_apart_and_the_connection_stays_in_the_queue() {
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let listener = Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let client = Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon).unwrap();
    wait(&listener, Ready::READ, soon).unwrap().unwrap();

    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd(); // closed again: the lowest that is free
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(next as u64), maximum: before.maximum }).unwrap();
    let e = listener.try_accept().unwrap_err();
    let refused = Stream::connect(listener.local_addr().unwrap()).unwrap_err();
    setrlimit(Resource::Nofile, before).unwrap();

    assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
    assert!(is_exhausted(&e));
    assert_eq!((refused.step(), refused.raw_os_error()), ("socket", Some(libc::EMFILE)));
    assert!(is_exhausted(&refused.into()));
    // It is still there, and the listener still readable: that is what makes a loop spin.
    assert!(wait(&listener, Ready::READ, Some(Instant::now())).unwrap().is_some());
    assert_eq!(listener.try_accept().unwrap().unwrap().1, client.local_addr().unwrap());
}
