//! Listeners when no descriptor is left: a file of its own, since the limit is the whole process's, and one test, since
//! tests run beside each other.

mod common;

use becket_loop::backend::{Epoll, Poll};
use becket_loop::{Ctx, Loop, Next, Result, Source};
use becket_sys::{tcp, unix};
use common::skips_valgrind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const CLIENTS: usize = 7;

#[derive(Default)]
struct State {
    accepted: Vec<OwnedFd>,
    most: usize,
    total: usize,
}

/// Sets the limit such that `left` more descriptors can be opened.
fn limit(left: u64) {
    let next = File::open("/dev/null").unwrap().as_raw_fd() as u64; // closed again: the lowest that is free
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(next + left), maximum: hard }).unwrap();
}

/// Has the clients of `listener` accepted while there is room for none, then for two, then for all.
fn rests_and_then_accepts<L: Source>(
    mut event_loop: Loop<State>,
    listener: L,
    clients: Vec<OwnedFd>,
    open: impl for<'a> Fn(L::Event<'a>) -> OwnedFd + 'static,
) {
    let before = getrlimit(Resource::Nofile);
    let on_connection = move |state: &mut State, _: &mut Ctx<State>, event: L::Event<'_>| -> Result {
        state.accepted.push(open(event));
        state.most = state.most.max(state.accepted.len());
        state.total += 1;
        Ok(Next::Keep)
    };
    let id = event_loop.on(listener, on_connection).map_err(std::io::Error::from).unwrap();
    let mut state = State::default();
    let turn_for = |event_loop: &mut Loop<State>, state: &mut State, time: Duration| {
        let waits = event_loop.stats().waits;
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            event_loop.turn(state, Some(left)).unwrap();
        }
        event_loop.stats().waits - waits
    };

    limit(0);
    let waits = turn_for(&mut event_loop, &mut state, Duration::from_secs(1));
    assert_eq!(state.total, 0);
    // Two for each rest of a tenth of a second: its end, and the listener that is ready again.
    assert!((3..=24).contains(&waits), "{waits} waits in a second");
    assert_eq!(event_loop.stats().faults, 0, "it rests, it does not fail");

    setrlimit(Resource::Nofile, before).unwrap();
    limit(2);
    // Whoever is served makes room for another.
    event_loop.every(Duration::from_millis(50), |state: &mut State, ctx, _| {
        state.accepted.clear();
        if state.total == CLIENTS {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    });
    event_loop.after(Duration::from_secs(20), |_, ctx| Ok(ctx.exit(1)));
    assert_eq!(event_loop.run(&mut state).unwrap(), 0);
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!((state.total, state.most, clients.len()), (CLIENTS, 2, CLIENTS));
    assert!(event_loop.remove(id).is_some());
}

fn tcp(event_loop: Loop<State>) {
    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let clients = (0..CLIENTS).map(|_| std::net::TcpStream::connect(address).unwrap().into()).collect();
    rests_and_then_accepts(event_loop, listener, clients, |(stream, _)| stream.into());
}

fn unix(event_loop: Loop<State>, path: &Path) {
    let listener = unix::Listener::bind(&unix::Address::pathname(path).unwrap()).unwrap();
    let clients = (0..CLIENTS).map(|_| UnixStream::connect(path).unwrap().into()).collect();
    rests_and_then_accepts(event_loop, listener, clients, |(stream, _)| stream.into());
    let _ = std::fs::remove_file(path);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn trap_10_listeners_rest_while_no_descriptor_is_left_and_lose_nobody() {
    let test = "trap_10_listeners_rest_while_no_descriptor_is_left_and_lose_nobody";
    if skips_valgrind(test, "it plays the limit itself: a connection beyond it is accepted, closed, and told as EMFILE")
    {
        return;
    }
    let before = open_descriptors();
    let path = std::env::temp_dir().join(format!("becket-exhausted-{}", std::process::id()));
    tcp(Loop::with_backend(Epoll::new().unwrap()));
    tcp(Loop::with_backend(Poll::new().unwrap()));
    unix(Loop::with_backend(Epoll::new().unwrap()), &path);
    unix(Loop::with_backend(Poll::new().unwrap()), &path);
    assert_eq!(open_descriptors(), before);
}
