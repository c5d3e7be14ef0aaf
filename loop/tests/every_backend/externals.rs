//! Foreign libraries with descriptors and a timeout of their own.

use super::*;
use becket_loop::c_library::FdTable;
use becket_loop::{Cause, External, Mode, Next, Nudge, Wishes};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Log = Vec<String>;
type Step = Box<dyn FnMut(&mut VecDeque<String>, &mut Wishes<'_>, Cause)>;

/// A library whose step is the test's.
struct Library {
    step: Step,
    events: VecDeque<String>,
}

impl External for Library {
    type Event = String;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        (self.step)(&mut self.events, wishes, cause);
    }

    fn next_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }
}

fn library(step: impl FnMut(&mut VecDeque<String>, &mut Wishes<'_>, Cause) + 'static) -> Library {
    Library { step: Box::new(step), events: VecDeque::new() }
}

on_every_backend! {
    fn it_has_one_timeout_that_is_replaced_and_unset(world: World<Log>) {
        let start = world.event_loop.now();
        let mut timeouts = 0;
        world.event_loop.join(library(move |events, wishes, cause| match cause {
            Cause::Joined => {
                wishes.timeout(Some(start + LONG * 100));
                wishes.timeout(Some(start + Duration::from_millis(2)));
            }
            Cause::Timeout => {
                assert!(wishes.now() >= start + Duration::from_millis(2));
                timeouts += 1;
                events.push_back(format!("timeout {timeouts}"));
                if timeouts == 1 {
                    wishes.timeout(Some(start));
                } else {
                    wishes.timeout(None);
                    wishes.leave();
                }
            }
            other => panic!("{other:?}"),
        }), |log: &mut Log, _, event| {
            log.push(event);
            Ok(Next::Keep)
        });
        let mut log = Log::new();
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 0);
        assert_eq!(log, ["timeout 1", "timeout 2"]);
        assert_eq!(world.event_loop.sources().count(), 0, "its timer went with it");
    }

    fn a_nudge_counts_from_any_thread_and_from_the_own_closure(world: World<Log>) {
        let nudge: Rc<RefCell<Option<Nudge>>> = Rc::default();
        let (inner, own) = (Rc::clone(&nudge), Rc::clone(&nudge));
        world.event_loop.join(library(move |events, wishes, cause| {
            events.push_back(format!("{cause:?}"));
            *inner.borrow_mut() = Some(wishes.nudge());
        }), move |log: &mut Log, ctx, event| {
            log.push(event);
            let nudge = own.borrow().clone().unwrap();
            match log.len() {
                1 => nudge.now(),
                2 => {
                    // While it waits, from another thread.
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(20));
                        nudge.now();
                    });
                }
                _ => ctx.exit(0),
            }
            Ok(Next::Keep)
        });
        let mut log = Log::new();
        world.event_loop.run(&mut log).unwrap();
        assert_eq!(log, ["Joined", "Nudged", "Nudged"]);
    }

    fn again_lets_others_come_between(world: World<Log>) {
        let mut left = 3;
        world.event_loop.join(library(move |events, wishes, _| {
            events.push_back("step".into());
            left -= 1;
            if left > 0 { wishes.again() } else { wishes.leave() }
        }), |log: &mut Log, ctx, event| {
            log.push(event);
            ctx.defer(|log, _| Ok(log.push("other".into())));
            Ok(Next::Keep)
        });
        let mut log = Log::new();
        world.event_loop.run(&mut log).unwrap();
        assert_eq!(log, ["step", "other", "step", "other", "step", "other"]);
    }

    fn a_panic_over_one_loses_no_step_of_another(world: World<Log>) {
        for name in ["bad", "good"] {
            world.event_loop.join(library(move |events, wishes, cause| {
                events.push_back(format!("{name} {cause:?}"));
                wishes.leave();
            }), |log: &mut Log, _, event| {
                assert!(!event.starts_with("bad"), "on purpose");
                log.push(event);
                Ok(Next::Keep)
            });
        }
        let mut log = Log::new();
        let run = catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut log)));
        assert!(run.is_err());
        world.event_loop.run(&mut log).unwrap();
        assert_eq!(log, ["good Joined"]);
    }

    fn a_panic_of_the_error_hook_costs_no_library(world: World<Log>) {
        let token = Rc::new(());
        let held = Rc::clone(&token);
        world.event_loop.join(library(move |events, wishes, cause| {
            let _ = &held;
            if cause == Cause::Joined {
                events.extend(["one".into(), "two".into()]);
                wishes.leave();
            }
        }), |log: &mut Log, _, event| {
            log.push(event);
            Err("broken".into())
        });
        let mut log = Log::new();
        for _ in 0..2 {
            world.event_loop.on_error(|_, _, _| panic!("on purpose"));
            assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut log))).is_err());
        }
        assert_eq!(world.event_loop.run(&mut log).unwrap(), 0);
        assert_eq!(log, ["one", "two"]);
        assert_eq!((Rc::strong_count(&token), world.event_loop.sources().count()), (1, 0));
    }

    fn it_is_cancelled_in_its_own_closure(world: World<Log>) {
        let token = Rc::new(());
        let held = Rc::clone(&token);
        let id = Rc::new(std::cell::Cell::new(None));
        let own = Rc::clone(&id);
        let joined = world.event_loop.join(library(move |events, wishes, _| {
            let _ = &held;
            wishes.timeout(Some(wishes.now() + LONG * 100));
            events.extend(["one".into(), "two".into()]);
        }), move |log: &mut Log, ctx, event| {
            log.push(event);
            assert!(ctx.cancel(own.get().unwrap()));
            Ok(Next::Keep)
        });
        id.set(Some(becket_loop::AnyId::from(joined)));
        let mut log = Log::new();
        world.event_loop.run(&mut log).unwrap();
        assert_eq!((log.as_slice(), Rc::strong_count(&token)), (["one".to_string()].as_slice(), 1));
        assert_eq!(world.event_loop.sources().count(), 0);
    }
}

/// What a library watches is a duplicate: it may close its descriptor first, and the number may come back.
fn closes_behind_the_loops_back(backend: impl Backend + 'static) {
    let mut world: World<Log> = World::real(backend);
    let mut socket = None;
    let mut peers = Vec::new();
    world.event_loop.join(
        library(move |events, wishes, cause| {
            events.push_back(format!("{cause:?}"));
            // The old socket is closed before the loop hears of it.
            drop(socket.take());
            if peers.len() == 3 {
                assert!(wishes.unwatch(7) && !wishes.unwatch(7) && !wishes.set(7, Ready::READ, Mode::Level));
                return wishes.leave();
            }
            let (near, far) = UnixStream::pair().unwrap();
            wishes.watch(7, near.as_fd(), Ready::READ, Mode::Level).unwrap();
            assert!(wishes.set(7, Ready::READ | Ready::WRITE, Mode::Level));
            socket = Some(near);
            peers.push(far);
        }),
        |log: &mut Log, _, event| {
            log.push(event);
            Ok(Next::Keep)
        },
    );
    let mut log = Log::new();
    world.event_loop.run(&mut log).unwrap();
    assert_eq!(log[0], "Joined");
    assert!(log[1..].iter().all(|event| event.starts_with("Ready { token: 7, ready: Ready(WRITE")), "{log:?}");
    assert_eq!(log.len(), 4);
}

#[test]
fn a_library_closes_behind_the_loops_back() {
    closes_behind_the_loops_back(Epoll::new().unwrap());
    closes_behind_the_loops_back(Poll::new().unwrap());
}

/// The loop is told at the end of a step: by then a number may stand for another descriptor than in the middle of it.
#[allow(unsafe_code, reason = "a library's descriptors are numbers")]
fn numbers_come_back(backend: impl Backend + 'static) {
    let mut world: World<Log> = World::real(backend);
    let mut fds = FdTable::new();
    let (mut pairs, mut number, mut first_token) = (Vec::new(), None, None);
    world.event_loop.join(
        library(move |events, wishes, cause| {
            match cause {
                Cause::Joined => pairs.push(UnixStream::pair().unwrap()),
                Cause::Ready { token, ready } => {
                    assert!(ready.contains(Ready::READ));
                    assert_eq!(fds.fd(token), number);
                    events.push_back(format!("pair {}", pairs.len()));
                    if *first_token.get_or_insert(token) != token {
                        assert!(fds.forget(number.unwrap()));
                        assert_eq!((fds.fd(token), fds.unwatched().count()), (None, 0));
                        fds.settle(wishes).unwrap();
                        return wishes.leave();
                    }
                    // What is ready is closed, and its number given to another, which is not.
                    assert!(fds.forget(number.unwrap()));
                    let old = pairs.pop().unwrap();
                    pairs.push(replaced(old));
                    assert_eq!(fds.fd(token), None);
                }
                Cause::Timeout => pairs.last_mut().unwrap().1.write_all(b"x").unwrap(),
                other => panic!("{other:?}"),
            }
            let fd = pairs.last().unwrap().0.as_raw_fd();
            assert!(number.is_none_or(|number| number == fd));
            number = Some(fd);
            for want in [Ready::WRITE, Ready::READ] {
                // SAFETY: it is open, and forgotten before it is closed.
                unsafe { fds.want(fd, want) };
            }
            fds.settle(wishes).unwrap();
            assert_eq!(fds.unwatched().count(), 0);
            wishes.timeout(Some(wishes.now() + Duration::from_millis(20)));
        }),
        |log: &mut Log, _, event| {
            log.push(event);
            Ok(Next::Keep)
        },
    );
    let mut log = Log::new();
    world.event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["pair 1", "pair 1"], "one for each descriptor that had the number");
    assert_eq!(world.event_loop.sources().count(), 0);
}

/// A pair whose near end has the number of the old one's, which is closed.
fn replaced(old: (UnixStream, UnixStream)) -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let mut same_number = OwnedFd::from(old.0);
    rustix::io::dup3(&near, &mut same_number, rustix::io::DupFlags::CLOEXEC).unwrap();
    (same_number.into(), far)
}

#[test]
fn a_number_that_comes_back_is_another_descriptor() {
    numbers_come_back(Epoll::new().unwrap());
    numbers_come_back(Poll::new().unwrap());
}

/// poll(2) has no edges, which shows when the change is made.
#[test]
fn a_library_is_told_what_could_not_be_changed() {
    let mut world: World<Log> = World::real(Poll::new().unwrap());
    let (near, far) = UnixStream::pair().unwrap();
    world.event_loop.on_error(|log: &mut Log, _, _| log.push("fault".into()));
    world.event_loop.join(
        library(move |events, wishes, cause| {
            events.push_back(format!("{cause:?}"));
            match cause {
                Cause::Joined => {
                    wishes.watch(3, near.as_fd(), Ready::READ, Mode::Level).unwrap();
                    assert!(wishes.set(3, Ready::WRITE, Mode::Edge));
                }
                Cause::Failed { token: 3, .. } => assert!(wishes.set(3, Ready::WRITE, Mode::Level)),
                _ => wishes.leave(),
            }
        }),
        |log: &mut Log, _, event| {
            log.push(event);
            Ok(Next::Keep)
        },
    );
    let mut log = Log::new();
    world.event_loop.run(&mut log).unwrap();
    assert_eq!(log[..3], ["Joined", "fault", "Failed { token: 3, why: Unsupported }"]);
    assert!(log[3].starts_with("Ready { token: 3, ready: Ready(WRITE"), "{log:?}");
    assert_eq!(log.len(), 4);
    drop(far);
}
