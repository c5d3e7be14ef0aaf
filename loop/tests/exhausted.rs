//! Listeners when no descriptor is left: a file of its own, since the limit is the whole process's, and one test at a time.

mod common;

use becket_loop::backend::{Epoll, Poll};
use becket_loop::{Accepted, Acceptor, Backoff, Ctx, Loop, Mode, Next, Ready, Result, Source};
use becket_sys::event::Event;
use becket_sys::{Reserve, is_exhausted, tcp, unix};
use common::{Changing, each_backend, skips_valgrind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const CLIENTS: usize = 7;
const LONG: Duration = Duration::from_secs(20);
const VALGRIND: &str = "it plays the limit itself: a connection beyond it is accepted, closed, and told as EMFILE";

/// The limit, and the lowest free number, are the process's.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    let clients = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap().into()).collect();
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
    if skips_valgrind(test, VALGRIND) {
        return;
    }
    let _one_at_a_time = one_at_a_time();
    let before = open_descriptors();
    let path = std::env::temp_dir().join(format!("becket-exhausted-{}", std::process::id()));
    tcp(Loop::with_backend(Epoll::new().unwrap()));
    tcp(Loop::with_backend(Poll::new().unwrap()));
    unix(Loop::with_backend(Epoll::new().unwrap()), &path);
    unix(Loop::with_backend(Poll::new().unwrap()), &path);
    assert_eq!(open_descriptors(), before);
}

/// What an acceptor told.
#[derive(Default)]
struct Told {
    accepted: Vec<tcp::Stream>,
    turned_away: usize,
    exhausted: usize,
}

/// A loop with an acceptor and some clients; the id is that of the acceptor.
fn accepting(
    event_loop: &mut Loop<Told>,
    backoff: Backoff,
    answer: Next,
) -> (becket_loop::Id<Acceptor<tcp::Listener>>, Vec<TcpStream>) {
    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let on_event = move |told: &mut Told, _: &mut Ctx<Told>, event: Accepted<_>| {
        match event {
            Accepted::Connection((stream, _)) => told.accepted.push(stream),
            Accepted::TurnedAway(why) => {
                assert!(is_exhausted(&why));
                told.turned_away += 1;
            }
            Accepted::Exhausted(why) => {
                assert!(is_exhausted(&why));
                told.exhausted += 1;
                return Ok(answer);
            }
            other => panic!("{other:?}"),
        }
        Ok(Next::Keep)
    };
    let id = event_loop.on(Acceptor::new(listener, backoff), on_event).unwrap();
    (id, (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect())
}

/// Turns until `what` holds; panics where that takes too long.
fn turn_until(event_loop: &mut Loop<Told>, told: &mut Told, what: impl Fn(&Told) -> bool) {
    let end = Instant::now() + LONG;
    while !what(told) {
        assert!(Instant::now() < end, "it never came");
        event_loop.turn(told, Some(Duration::from_millis(20))).unwrap();
    }
}

#[test]
fn who_finds_no_room_is_turned_away_at_once_and_told() {
    if skips_valgrind("who_finds_no_room_is_turned_away_at_once_and_told", VALGRIND) {
        return;
    }
    let _one_at_a_time = one_at_a_time();
    each_backend(|mut event_loop| {
        let before = getrlimit(Resource::Nofile);
        let reserve = Reserve::new().unwrap();
        let (_, mut clients) = accepting(&mut event_loop, Backoff::TurnAway(reserve.into()), Next::Keep);
        let mut told = Told::default();
        limit(2);
        turn_until(&mut event_loop, &mut told, |told| told.accepted.len() + told.turned_away == CLIENTS);
        // Nobody waits, and nothing is left to spin on.
        let waits = event_loop.stats().waits;
        event_loop.turn(&mut told, Some(Duration::from_millis(50))).unwrap();
        setrlimit(Resource::Nofile, before).unwrap();
        assert_eq!((told.accepted.len(), told.turned_away, told.exhausted), (2, CLIENTS - 2, 0));
        assert_eq!(event_loop.stats().waits, waits + 1);
        for client in &mut clients[2..] {
            client.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "the peer sees the end");
        }
        assert_eq!(event_loop.stats().faults, 0);
    });
}

#[test]
fn a_reserve_that_somebody_else_took_has_the_listener_rest() {
    if skips_valgrind("a_reserve_that_somebody_else_took_has_the_listener_rest", VALGRIND) {
        return;
    }
    let _one_at_a_time = one_at_a_time();
    each_backend(|mut event_loop| {
        let before = getrlimit(Resource::Nofile);
        let reserve = Reserve::new().unwrap();
        let (_, clients) = accepting(&mut event_loop, Backoff::TurnAway(reserve.into()), Next::Keep);
        let mut told = Told::default();
        // Below what is open: not even the reserve's own place may be used again.
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: before.maximum }).unwrap();
        let end = Instant::now() + Duration::from_millis(450);
        while Instant::now() < end {
            event_loop.turn(&mut told, Some(Duration::from_millis(50))).unwrap();
        }
        setrlimit(Resource::Nofile, before).unwrap();
        assert!((1..=5).contains(&told.exhausted), "told {} times", told.exhausted);
        assert_eq!((told.accepted.len(), told.turned_away), (0, 0));
        turn_until(&mut event_loop, &mut told, |told| told.accepted.len() == clients.len());
    });
}

#[test]
fn a_rest_is_as_long_as_was_asked_for_and_each_is_told() {
    if skips_valgrind("a_rest_is_as_long_as_was_asked_for_and_each_is_told", VALGRIND) {
        return;
    }
    let _one_at_a_time = one_at_a_time();
    let times = [
        (Backoff::Rest(Duration::from_millis(30)), Next::Keep, 30),
        (Backoff::Rest(Duration::ZERO), Next::Keep, 1),
        (Backoff::Rest(LONG), Next::Pause(Duration::from_millis(40)), 40), // the callback knows better
    ];
    for (backoff, answer, millis) in times {
        let mut event_loop = Loop::new().unwrap();
        let before = getrlimit(Resource::Nofile);
        let (_, clients) = accepting(&mut event_loop, backoff, answer);
        let (mut told, start) = (Told::default(), Instant::now());
        limit(0);
        turn_until(&mut event_loop, &mut told, |told| told.exhausted == 4);
        setrlimit(Resource::Nofile, before).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(3 * millis));
        turn_until(&mut event_loop, &mut told, |told| told.accepted.len() == clients.len());
    }
}

#[test]
fn a_listener_that_is_disabled_waits_until_somebody_makes_room() {
    if skips_valgrind("a_listener_that_is_disabled_waits_until_somebody_makes_room", VALGRIND) {
        return;
    }
    let _one_at_a_time = one_at_a_time();
    each_backend(|mut event_loop| {
        let before = getrlimit(Resource::Nofile);
        let (id, clients) = accepting(&mut event_loop, Backoff::Disable, Next::Keep);
        let mut told = Told::default();
        limit(2);
        turn_until(&mut event_loop, &mut told, |told| told.exhausted == 1);
        assert_eq!(told.accepted.len(), 2);
        let waits = event_loop.stats().waits;
        // Nothing is left that could call anything.
        assert_eq!(event_loop.run(&mut told).unwrap(), 0);
        assert_eq!(event_loop.stats().waits, waits);
        told.accepted.clear();
        assert!(event_loop.enable(id, true));
        turn_until(&mut event_loop, &mut told, |told| told.exhausted == 2);
        assert_eq!(told.accepted.len(), 2);
        setrlimit(Resource::Nofile, before).unwrap();
        event_loop.enable(id, true);
        turn_until(&mut event_loop, &mut told, |told| told.accepted.len() == clients.len() - 2);
        assert!(event_loop.remove(id).unwrap().into_listener().try_accept().unwrap().is_none());
    });
}

/// The set cannot be made anew, for want of descriptors: that is told, and not all the time.
#[test]
fn trap_02_what_cannot_be_forgotten_is_told() {
    let _one = one_at_a_time();
    if skips_valgrind("trap_02_what_cannot_be_forgotten_is_told", VALGRIND) {
        return;
    }
    let mut event_loop: Loop<Vec<String>> = Loop::with_backend(Epoll::new().unwrap());
    event_loop.on_error(|told, _, fault| told.push(fault.to_string()));
    let ghost = Rc::new(Event::with_count(1).unwrap());
    let descriptors = [Rc::clone(&ghost), Rc::new(Event::new().unwrap())];
    let source = Changing { descriptors, now: Cell::new(0) };
    let id = event_loop.add(source, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
    event_loop.get(id).unwrap().now.set(1);
    event_loop.cancel(id);
    let before = getrlimit(Resource::Nofile);
    limit(0);
    let mut told = Vec::new();
    for _ in 0..1000 {
        event_loop.turn(&mut told, Some(Duration::ZERO)).unwrap();
    }
    setrlimit(Resource::Nofile, before).unwrap();
    assert!((1..10).contains(&told.len()), "{told:?}");
    assert!(told.iter().all(|told| told.contains("keeps the loop awake") && told.contains("os error 24")), "{told:?}");
    assert_eq!(event_loop.stats().renewals, 0);
    for _ in 0..10_000 {
        event_loop.turn(&mut told, Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(event_loop.stats().renewals, 1);
    let waits = event_loop.stats().events;
    event_loop.turn(&mut told, Some(Duration::ZERO)).unwrap();
    assert_eq!(event_loop.stats().events, waits);
}
