//! Accepting when no descriptor is left: a file of its own, since the limit is the whole process's.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::tcp::{Listener, Stream};
use becket_sys::{Ready, Reserve, is_exhausted, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The limit and the lowest free number are the process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn no_descriptor_left_is_told_apart_and_the_connection_stays_in_the_queue() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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

#[test]
fn a_reserve_turns_connections_away_and_is_filled_again() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let listener = Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let reserve = Reserve::new().unwrap();
    assert!(!reserve.turn_away(&listener).unwrap(), "nobody waits");
    let clients: Vec<_> =
        (0..3).map(|_| Stream::connect(listener.local_addr().unwrap()).unwrap().finish(soon).unwrap()).collect();
    wait(&listener, Ready::READ, soon).unwrap().unwrap();

    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(next as u64), maximum: before.maximum }).unwrap();
    let accepted = listener.try_accept();
    let turned_away: Vec<_> = (0..4).map(|_| reserve.turn_away(&listener)).collect();
    let lost = Reserve::new();
    setrlimit(Resource::Nofile, before).unwrap();

    assert!(is_exhausted(&accepted.unwrap_err()));
    assert_eq!(turned_away.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [true, true, true, false]);
    assert!(is_exhausted(&lost.unwrap_err()), "the reserve is full again");
    assert_eq!(wait(&listener, Ready::READ, Some(Instant::now())).unwrap(), None, "nothing to spin on");
    for client in &clients {
        wait(client, Ready::READ, soon).unwrap().unwrap();
        assert_eq!(client.try_read(&mut [0; 4]).unwrap(), Some(0), "the peer is told");
    }

    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(reserve.turn_away(&reader).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    assert!(!reserve.turn_away(&listener).unwrap());
}
