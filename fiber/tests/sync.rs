//! Channels, mutexes and condition variables between fibers.

mod common;

use becket_fiber::sync::{Condvar, Mutex, TrySendError, channel, unbounded};
use becket_fiber::{is_cancelled, scope, shield, sleep, spawn, timeout, yield_now};
use common::{Drops, each_backend, each_builder, kind, settle};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

#[test]
fn a_channel_holds_no_more_than_its_capacity() {
    each_backend(|runtime| {
        let seen = runtime.run(|| {
            let (sender, receiver) = channel(3);
            let sent = Rc::new(Cell::new(0));
            let count = Rc::clone(&sent);
            spawn(move || {
                for n in 0..10 {
                    sender.send(n).unwrap();
                    count.set(n + 1);
                }
            })?;
            settle();
            assert_eq!((sent.get(), receiver.len()), (3, 3));
            assert_eq!(receiver.recv()?, Some(0));
            settle();
            assert_eq!(sent.get(), 4);
            Ok::<Vec<i32>, io::Error>(receiver.iter().collect())
        });
        assert_eq!(seen.unwrap().unwrap(), (1..10).collect::<Vec<_>>());
    });
}

#[test]
fn senders_have_their_turns_in_order() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                for n in 0..5 {
                    let sender = sender.clone();
                    spawn(move || sender.send(n).unwrap())?.detach();
                    settle();
                }
                drop(sender);
                assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_sender_cancelled_before_there_is_room_keeps_its_value_and_one_cancelled_after_it_has_sent() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                for cancelled_first in [true, false] {
                    let (sender, receiver) = channel(1);
                    sender.send(0)?;
                    let (one, two) = (sender.clone(), sender);
                    let first = spawn(move || one.send(1).map_err(|e| (is_cancelled(e.error()), e.into_value())))?;
                    let second = spawn(move || two.send(2).is_ok())?;
                    settle();
                    // In one turn, before the fiber runs.
                    if cancelled_first {
                        first.cancel();
                    }
                    assert_eq!(receiver.recv()?, Some(0));
                    first.cancel();
                    let expected = if cancelled_first { Err((true, 1)) } else { Ok(()) };
                    assert_eq!(first.join()?, expected);
                    if !cancelled_first {
                        assert_eq!(receiver.recv()?, Some(1));
                    }
                    assert_eq!(receiver.recv()?, Some(2));
                    assert!(second.join()?);
                    assert_eq!(receiver.recv()?, None);
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_value_sent_to_a_receiver_that_was_cancelled_in_the_same_turn_goes_to_the_next() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                for capacity in [0, 1, 8] {
                    let (sender, receiver) = channel(capacity);
                    let [first, second, third] = [(); 3].map(|()| {
                        let receiver = receiver.clone();
                        spawn(move || receiver.recv()).unwrap()
                    });
                    settle();
                    first.cancel();
                    sender.send("for the second")?;
                    second.cancel(); // too late
                    third.abort()?;
                    assert_eq!(sender.try_send("for nobody").is_ok(), capacity > 0);
                    assert!(is_cancelled(&first.join()?.unwrap_err()));
                    assert_eq!(second.join()??, Some("for the second"));
                    assert!(third.join().is_err());
                    assert_eq!(receiver.try_recv(), (capacity > 0).then_some("for nobody"));
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_rendezvous_sends_when_somebody_receives() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(0);
                assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
                let sent = Rc::new(Cell::new(0));
                let count = Rc::clone(&sent);
                let sending = spawn(move || {
                    for n in 1..=3 {
                        sender.send(n).unwrap();
                        count.set(n);
                    }
                })?;
                settle();
                assert_eq!((sent.get(), receiver.len()), (0, 0));
                assert_eq!(receiver.try_recv(), Some(1));
                settle();
                assert_eq!(sent.get(), 1);
                assert_eq!(receiver.iter().collect::<Vec<_>>(), [2, 3]);
                sending.join()?;

                let (sender, receiver) = channel(0);
                let waiting = spawn(move || receiver.recv())?;
                settle();
                sender.try_send("at once").unwrap();
                assert_eq!(waiting.join()??, Some("at once"));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_fiber_is_woken_from_between_two_runs() {
    each_backend(|runtime| {
        let (sender, receiver) = channel(1);
        let got = Rc::new(Cell::new(None));
        let seen = Rc::clone(&got);
        runtime
            .run(|| {
                spawn(move || seen.set(receiver.recv().unwrap())).unwrap().detach();
                settle();
            })
            .unwrap();
        sender.send("while nothing runs").unwrap();
        assert!(sender.is_empty());
        runtime.run(settle).unwrap();
        assert_eq!(got.get(), Some("while nothing runs"));
    });
}

#[test]
fn a_fiber_that_was_left_behind_takes_nothing() {
    each_builder(|builder| {
        let (sender, receiver) = channel(1);
        let mut runtime = builder.grace(Duration::from_millis(1)).build().unwrap();
        let left = receiver.clone();
        runtime
            .run(|| {
                // Nothing ends it: it waits in a destructor of a scope's child, again and again.
                let stubborn = spawn(move || {
                    shield(|| {
                        loop {
                            let _ = catch_unwind(AssertUnwindSafe(|| left.recv()));
                        }
                    })
                });
                stubborn.unwrap().detach();
                settle();
            })
            .unwrap();
        drop(runtime); // the fiber waits, and is leaked
        sender.send("for who lives").unwrap();
        assert_eq!(receiver.try_recv(), Some("for who lives"));
    });
}

#[test]
fn a_fiber_that_never_waits_starves_nobody() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = unbounded();
                let busy = spawn(move || {
                    for n in 0..100_000 {
                        sender.send(n).unwrap();
                    }
                })?;
                let mut turns = 0;
                while !busy.is_finished() {
                    yield_now();
                    turns += 1;
                }
                assert!(turns > 100_000 / 200, "{turns}");
                assert_eq!(receiver.iter().count(), 100_000);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn nothing_waits_or_succeeds_while_it_unwinds() {
    struct Tries(Rc<Cell<u32>>);
    impl Drop for Tries {
        fn drop(&mut self) {
            let (sender, receiver) = channel(1);
            let refused = [
                sender.send(1).is_err(),
                receiver.recv().is_err(),
                Mutex::new(()).lock().is_err(),
                Condvar::new().wait().is_err(),
            ];
            self.0.set(refused.into_iter().map(u32::from).sum());
        }
    }
    each_backend(|runtime| {
        let refused = Rc::new(Cell::new(0));
        let tries = Tries(Rc::clone(&refused));
        runtime
            .run(|| {
                spawn(move || {
                    let _tries = tries;
                    common::quiet_panic()
                })
                .unwrap()
                .join()
                .is_err()
            })
            .unwrap();
        assert_eq!(refused.get(), 4);
    });
}

#[test]
fn a_receiver_that_goes_fails_who_waits_and_drops_what_is_left() {
    each_backend(|runtime| {
        let drops = Drops::default();
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                sender.send(drops.witness()).map_err(io::Error::from)?;
                let late = drops.witness();
                let waiting = spawn(move || kind(sender.send(late).map_err(io::Error::from)))?;
                settle();
                drop(receiver);
                assert_eq!(waiting.join()?, Some(ErrorKind::BrokenPipe));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn waits_end_by_deadline_and_lose_nothing() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                let limit = Duration::from_millis(5);
                assert_eq!(kind(timeout(limit, || receiver.recv())), Some(ErrorKind::TimedOut));
                sender.send(1)?;
                let late = timeout(limit, || sender.send(2).map_err(io::Error::from));
                assert_eq!(kind(late), Some(ErrorKind::TimedOut));
                assert_eq!((receiver.recv()?, receiver.is_empty()), (Some(1), true));
                let mutex = Mutex::new(());
                let _held = mutex.lock()?;
                assert_eq!(kind(timeout(limit, || mutex.lock().map(drop))), Some(ErrorKind::TimedOut));
                let never = Condvar::new();
                assert_eq!(kind(timeout(limit, || never.wait())), Some(ErrorKind::TimedOut));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn outside_of_a_fiber_what_would_wait_is_an_error() {
    let (sender, receiver) = channel(1);
    assert_eq!(kind(receiver.recv()), Some(ErrorKind::Deadlock));
    sender.send(1).unwrap();
    assert!(matches!(sender.try_send(2), Err(TrySendError::Full(2))));
    assert_eq!(sender.send(2).unwrap_err().error().kind(), ErrorKind::Deadlock);
    assert_eq!(kind(Condvar::new().wait()), Some(ErrorKind::Deadlock));
}

#[test]
fn rule_12_a_mutex_is_held_across_waits_and_taken_in_order() {
    each_backend(|runtime| {
        let order = RefCell::new(Vec::new());
        let mutex = Mutex::new(0);
        runtime
            .run(|| {
                scope(|s| {
                    for n in 0..5 {
                        let (mutex, order) = (&mutex, &order);
                        s.spawn(move || {
                            let mut value = mutex.lock()?;
                            let before = *value;
                            sleep(Duration::from_micros(100))?;
                            *value = before + 1;
                            order.borrow_mut().push(n);
                            Ok::<_, io::Error>(())
                        })?;
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .unwrap()
            .unwrap();
        assert_eq!((order.into_inner(), mutex.into_inner()), (vec![0, 1, 2, 3, 4], 5));
    });
}

#[test]
fn a_mutex_survives_an_aborted_waiter_and_a_panicking_holder() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let mutex = Rc::new(Mutex::new(()));
                let held = mutex.lock()?;
                let fibers: Vec<_> = (0..3)
                    .map(|n| {
                        let mutex = Rc::clone(&mutex);
                        spawn(move || {
                            let _guard = mutex.lock().unwrap();
                            if n == 1 {
                                common::quiet_panic();
                            }
                        })
                    })
                    .collect::<Result<_, _>>()?;
                settle();
                drop(held); // the first is woken,
                fibers[0].abort().unwrap(); // and aborted before it runs
                for fiber in fibers {
                    let _ = fiber.join();
                }
                assert!(mutex.try_lock().is_some());
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_condition_is_told_by_callbacks_and_fibers() {
    each_backend(|runtime| {
        let state = Rc::new((Cell::new(0), Condvar::new()));
        let timer = Rc::clone(&state);
        runtime.ctx().after(Duration::from_millis(1), move |(), _| {
            timer.0.set(1);
            timer.1.notify_all();
            Ok(())
        });
        runtime
            .run(|| {
                let waiting: Vec<_> = (0..3)
                    .map(|_| {
                        let state = Rc::clone(&state);
                        spawn(move || state.1.wait_while(|| state.0.get() < 2).is_ok())
                    })
                    .collect::<Result<_, _>>()?;
                state.1.wait_while(|| state.0.get() < 1)?;
                yield_now();
                assert!(waiting.iter().all(|w| !w.is_finished()));
                state.0.set(2);
                state.1.notify_one();
                settle();
                assert_eq!(waiting.iter().filter(|w| w.is_finished()).count(), 1);
                state.1.notify_all();
                for fiber in waiting {
                    assert!(fiber.join()?);
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}
