//! Traps of event loops that no other test here stands for; the index in README.md has them all.

mod common;

use becket_loop::backend::{Epoll, Poll};
use becket_loop::{Ctx, Embedded, Flags, Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use becket_sys::inotify::{self, Inotify, Mask, Options};
use becket_sys::tcp;
use common::{Changing, each_backend};
use std::cell::{Cell, RefCell};
use std::io::{PipeReader, Read, Write, pipe};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn raised() -> Event {
    let event = Event::new().unwrap();
    event.add(1).unwrap();
    event
}

/// Both are ready in one batch. Whoever is called first removes the other and adds a third in its place, which has its
/// slot, and mostly its descriptor's number, and is not ready.
#[test]
fn trap_01_a_stale_event_is_not_told_to_the_next_owner_of_its_slot() {
    each_backend(|mut event_loop: Loop<Vec<&str>>| {
        let ids = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..2 {
            let others = Rc::clone(&ids);
            let event = raised();
            let own = event.as_raw_fd();
            let id = event_loop.add(event, Ready::READ, Mode::Level, move |log: &mut Vec<&str>, ctx, event, _| {
                log.push("first");
                event.try_read()?;
                for other in others.take() {
                    if ctx.get(other).is_some_and(|event: &Event| event.as_raw_fd() != own) {
                        drop(ctx.remove(other).unwrap());
                        let next = Event::new()?; // mostly with the number of the one just closed
                        ctx.add(next, Ready::READ, Mode::Level, |log, _, _, _| {
                            log.push("next owner");
                            Ok(Next::Keep)
                        })?;
                    }
                }
                Ok(Next::Keep)
            });
            ids.borrow_mut().push(id.unwrap());
        }
        let mut log = Vec::new();
        event_loop.turn(&mut log, None).unwrap();
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, ["first"]);
    });
}

/// epoll(7) goes on reporting a descriptor that was closed as long as a duplicate of it is open.
#[test]
fn trap_02_a_duplicate_that_stays_open_is_not_reported_after_the_source_is_gone() {
    each_backend(|mut event_loop: Loop<u32>| {
        let event = raised();
        let duplicate = event.try_clone().unwrap();
        let id = event_loop
            .add(event, Ready::READ, Mode::Level, |n, _, _, _| {
                *n += 1;
                Ok(Next::Keep)
            })
            .unwrap();
        let mut n = 0;
        event_loop.turn(&mut n, None).unwrap();
        drop(event_loop.remove(id).unwrap());
        event_loop.after(Duration::from_millis(20), |_, _| Ok(()));
        let waits = event_loop.stats().waits;
        event_loop.run(&mut n).unwrap();
        assert_eq!((n, duplicate.try_read().unwrap()), (1, Some(1)));
        assert!(event_loop.stats().waits - waits <= 3, "it did not spin: {:?}", event_loop.stats());
    });
}

/// Leaves in the loop's set a descriptor that is ready, and that the loop cannot take out.
fn haunt<S: 'static>(event_loop: &mut Loop<S>) -> Rc<Event> {
    let ghost = Rc::new(raised());
    let source = Changing { descriptors: [Rc::clone(&ghost), Rc::new(Event::new().unwrap())], now: Cell::new(0) };
    let id = event_loop.add(source, Ready::READ, Mode::Level, |_, _, _, _| panic!("it was removed")).unwrap();
    event_loop.get(id).unwrap().now.set(1);
    assert!(event_loop.cancel(id));
    ghost
}

/// The set is made anew, and everything else goes on in it.
#[test]
fn trap_02_what_cannot_be_taken_out_is_forgotten_and_nothing_else_is() {
    type Log = Vec<&'static str>;
    each_backend(|mut event_loop: Loop<Log>| {
        let name = event_loop.caps().name;
        let mode = if event_loop.caps().edge { Mode::Edge } else { Mode::Level };
        let modes = [("level", Mode::Level), ("edge", mode), ("once", Mode::OneShot), ("disabled", Mode::Level)];
        let (mut events, mut ids) = (Vec::new(), Vec::new());
        for (what, mode) in modes {
            let event = Rc::new(Event::new().unwrap());
            let call = move |log: &mut Log, _: &mut Ctx<Log>, event: &Rc<Event>, _| {
                event.try_read()?;
                log.push(what);
                Ok(Next::Keep)
            };
            ids.push(event_loop.add(Rc::clone(&event), Ready::READ, mode, call).unwrap());
            events.push(event);
        }
        assert!(event_loop.enable(ids[3], false));
        let (remote, detach) = (event_loop.remote(), event_loop.detach());
        let mut log = Vec::new();
        for round in 1..3 {
            let ghost = haunt(&mut event_loop);
            event_loop.after(Duration::from_millis(20), |log, ctx| {
                log.push("timer");
                ctx.exit(0);
                Ok(())
            });
            let waits = event_loop.stats().waits;
            event_loop.run(&mut log).unwrap();
            let stats = event_loop.stats();
            assert_eq!((stats.renewals, log.split_off(0)), (round, vec!["timer"]), "{name}");
            assert!(stats.waits - waits <= 12, "{name} spins: {stats:?}");
            assert_eq!(ghost.try_read().unwrap(), Some(1));

            assert!(events.iter().all(|event| event.add(1).unwrap()));
            event_loop.turn(&mut log, Some(LONG)).unwrap();
            log.sort();
            assert_eq!(log.split_off(0), ["edge", "level", "once"], "{name}");
            events[2].add(1).unwrap(); // it has fired, and is not armed
            event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
            assert_eq!(log, Log::new(), "{name}");
            for event in [&events[2], &events[3]] {
                event.try_read().unwrap();
            }
            event_loop.enable(ids[2], true);

            let remote = remote.clone();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                remote.post(|log, _| Ok(log.push("post")));
            });
            while log.is_empty() {
                event_loop.turn(&mut log, Some(LONG)).unwrap();
            }
            thread.join().unwrap();
            assert_eq!(log.split_off(0), ["post"], "{name}");

            event_loop.submit(becket_loop::op::Read::new(raised(), vec![0; 8], None), |log, ctx, end| {
                assert_eq!(end.filled()?.len(), 8);
                log.push("operation");
                Ok(ctx.exit(0))
            });
            event_loop.run(&mut log).unwrap();
            assert_eq!(log.split_off(0), ["operation"], "{name}");
        }
        if let Some(detach) = detach {
            detach.delete(events[0].as_fd()); // out of the set that is there now
            events[0].add(1).unwrap();
            event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
            assert_eq!(log, Log::new());
        }
    });
}

/// Nor do they see that the set is another.
#[test]
fn trap_02_outer_loops_do_not_spin_for_it() {
    for outer in [Loop::with_backend(Epoll::new().unwrap()), Loop::with_backend(Poll::new().unwrap())] {
        let outer = RefCell::new(outer);
        each_backend(|mut inner: Loop<u32>| {
            let (name, mut outer) = (inner.caps().name, outer.borrow_mut());
            if !inner.caps().embed {
                return;
            }
            let event = Rc::new(Event::new().unwrap());
            let call = |n: &mut u32, _: &mut Ctx<u32>, event: &Rc<Event>, _| {
                event.try_read()?;
                *n += 1;
                Ok(Next::Keep)
            };
            inner.add(Rc::clone(&event), Ready::READ, Mode::Level, call).unwrap();
            let embedded = inner.embed().unwrap();
            let inner = Rc::new(RefCell::new(inner));
            let turned = Rc::clone(&inner);
            let turn = move |n: &mut u32, _: &mut Ctx<u32>, _: &Embedded, _| {
                turned.borrow_mut().turn(n, Some(Duration::ZERO))?;
                Ok(Next::Keep)
            };
            let id = outer.add(embedded, Ready::READ, Mode::Level, turn).unwrap();
            let mut n = 0;
            for round in 1..3 {
                let _ghost = haunt(&mut inner.borrow_mut());
                outer.after(Duration::from_millis(20), |_, ctx| Ok(ctx.exit(0)));
                let waits = outer.stats().waits;
                outer.run(&mut n).unwrap();
                assert!(outer.stats().waits - waits <= 20, "{name} spins: {:?}", outer.stats());
                assert_eq!((inner.borrow().stats().renewals, n), (round, 0), "{name}");
                event.add(1).unwrap();
                outer.turn(&mut n, Some(LONG)).unwrap();
                assert_eq!(std::mem::take(&mut n), 1, "{name}");
                inner.borrow_mut().after(Duration::from_millis(2), |n, _| Ok(*n += 1));
                let remote = inner.borrow().remote();
                let thread = std::thread::spawn(move || remote.post(|n, _| Ok(*n += 1)));
                while n < 2 {
                    outer.turn(&mut n, Some(LONG)).unwrap();
                }
                thread.join().unwrap();
                n = 0;
            }
            assert!(outer.cancel(id));
        });
    }
}

/// A kind of source of which only a part is read for one edge.
#[test]
fn trap_15_an_edge_that_was_not_used_up_is_asked_for_again_and_others_come_between() {
    let mut event_loop: Loop<Vec<char>> = Loop::new().unwrap();
    for name in ['a', 'b'] {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(&[0; 5]).unwrap();
        event_loop
            .add(reader, Ready::READ, Mode::Edge, move |log, _, mut reader: &PipeReader, _| {
                let _ = &writer;
                log.push(name);
                reader.read_exact(&mut [0])?;
                let more = log.iter().filter(|l| **l == name).count() < 5;
                Ok(if more { Next::Again } else { Next::Remove })
            })
            .unwrap();
    }
    let mut log = Vec::new();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log.len(), 10);
    assert!(log.chunks(2).all(|pair| pair.contains(&'a') && pair.contains(&'b')), "{log:?}");
}

/// The kernel drops events where nobody reads them; the source tells of it and goes on. What a removed watch had is told
/// until its end.
#[test]
fn trap_22_an_overflow_of_inotify_is_told_and_a_removed_watch_is_told_of_to_its_end() {
    each_backend(|mut event_loop: Loop<Vec<inotify::Event>>| {
        let folder = std::env::temp_dir().join(format!("becket-traps-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify.add(&folder, Mask::CREATE | Mask::DELETE, Options::empty()).unwrap();
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        // Two for each turn of this, and equal ones in a row would be merged.
        for _ in 0..=limit / 2 {
            std::fs::write(folder.join("x"), "").unwrap();
            std::fs::remove_file(folder.join("x")).unwrap();
        }
        inotify.remove(watch).unwrap();
        event_loop
            .on(inotify, move |seen: &mut Vec<_>, ctx, event| {
                seen.push(event.into_owned());
                if matches!(seen.last(), Some(inotify::Event::Overflow)) {
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        event_loop.after(LONG, |_, ctx| Ok(ctx.exit(1)));
        let mut seen = Vec::new();
        let code = event_loop.run(&mut seen).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert_eq!((code, seen.len()), (0, limit + 1), "{:?}", seen.last());
    });
}

/// The wake-up of a post comes between the loop's look at its mailbox and its wait, over and over.
#[test]
fn trap_26_no_post_is_left_lying_while_the_loop_waits() {
    const POSTS: u32 = 20_000;
    each_backend(|mut event_loop: Loop<u32>| {
        let remote = event_loop.remote();
        let arrived = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let seen = std::sync::Arc::clone(&arrived);
        let poster = std::thread::spawn(move || {
            for n in 1..=POSTS {
                if n % 4 == 0 {
                    // Now before, now while, now after the loop looks at those that woke it.
                    (0..n / 4 * 7 % 2048).for_each(|_| std::hint::spin_loop());
                }
                let seen = std::sync::Arc::clone(&seen);
                remote.post(move |total, _| {
                    *total += 1;
                    seen.store(*total, std::sync::atomic::Ordering::Release);
                    Ok(())
                });
                // Alone: nobody else's wake-up helps it.
                let start = Instant::now();
                while n % 4 == 0 && seen_of(&arrived) < n {
                    assert!(start.elapsed() < LONG, "post {n} is left lying");
                    std::hint::spin_loop();
                }
            }
        });
        let mut total = 0;
        event_loop.run(&mut total).unwrap(); // ends with the remote
        poster.join().unwrap();
        assert_eq!(total, POSTS);
    });
}

fn seen_of(arrived: &std::sync::atomic::AtomicU32) -> u32 {
    arrived.load(std::sync::atomic::Ordering::Acquire)
}

/// As the first one, where the loop is stepped: the wait and the calls are apart.
#[test]
fn what_was_found_before_a_removal_is_told_to_nobody() {
    each_backend(|mut event_loop: Loop<u32>| {
        let count = |n: &mut u32, _: &mut Ctx<u32>, _: &Event, _| {
            *n += 1;
            Ok(Next::Keep)
        };
        let id = event_loop.add(raised(), Ready::READ, Mode::Level, count).unwrap();
        let mut n = 0;
        event_loop.prepare(&mut n).unwrap();
        assert_eq!(event_loop.wait(None).unwrap(), 1);
        drop(event_loop.remove(id));
        event_loop.add(Event::new().unwrap(), Ready::READ, Mode::Level, count).unwrap();
        event_loop.dispatch(&mut n).unwrap();
        assert_eq!(n, 0);
    });
}

/// Four threads wait for connections of one listener, which nobody takes.
#[test]
fn trap_24_an_exclusive_listener_wakes_not_everybody() {
    const THREADS: usize = 4;
    let listener = tcp::Listener::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (ready, threads) = mpsc::channel();
    let handles: Vec<_> = (0..THREADS)
        .map(|_| {
            let listener = tcp::Listener::from(listener.as_fd().try_clone_to_owned().unwrap());
            let ready = ready.clone();
            std::thread::spawn(move || {
                let mut event_loop: Loop<u32> = Loop::new().unwrap();
                // By edges: one that is woken late is told all the same, though others were told before.
                let id = event_loop.add(listener, Ready::READ, Mode::Edge, |told, _, _, _| {
                    *told += 1;
                    Ok(Next::Keep)
                });
                assert!(event_loop.set_flags(id.unwrap(), Flags::EXCLUSIVE).unwrap());
                ready.send(event_loop.remote()).unwrap();
                let mut told = 0;
                event_loop.run(&mut told).unwrap();
                told
            })
        })
        .collect();
    let remotes: Vec<_> = threads.iter().take(THREADS).collect();
    std::thread::sleep(Duration::from_millis(100)); // they wait by then, or look at once
    let clients: Vec<_> = (0..10)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            TcpStream::connect(address).unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    remotes.iter().for_each(|remote| assert!(remote.exit(0)));
    let told: u32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
    let all = (clients.len() * THREADS) as u32;
    assert!(told > 0 && told <= all * 3 / 4, "{told} were told, of {all} if all of them were woken for each");
    let accepted = std::iter::from_fn(|| listener.try_accept().unwrap()).count();
    assert_eq!(accepted, clients.len());
}
