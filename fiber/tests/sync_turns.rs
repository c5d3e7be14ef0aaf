//! Who gets what several fibers want: channels and mutexes serve in the order of waiting.

mod common;

use becket_fiber::sync::{Mutex, TrySendError, channel};
use becket_fiber::{is_cancelled, scope, spawn, yield_now};
use common::{each_backend, settle};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

#[test]
fn a_fiber_that_locks_again_and_again_lets_others_in() {
    each_backend(|runtime| {
        for (names, expected) in [("ab", "ababab"), ("abc", "abcabcabc")] {
            let (mutex, order) = (Mutex::new(()), RefCell::new(String::new()));
            let locked = runtime.run(|| {
                scope(|s| {
                    for name in names.chars() {
                        let (mutex, order) = (&mutex, &order);
                        s.spawn(move || {
                            for _ in 0..3 {
                                let _guard = mutex.lock()?;
                                order.borrow_mut().push(name);
                                yield_now();
                            }
                            Ok::<_, io::Error>(())
                        })?;
                    }
                    Ok::<_, io::Error>(())
                })
            });
            locked.unwrap().unwrap();
            assert_eq!(order.take(), expected);
        }
    });
}

#[test]
fn a_sender_that_never_rests_keeps_no_other_out() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                for name in ["a", "b", "c"] {
                    let sender = sender.clone();
                    spawn(move || (0..3).for_each(|_| sender.send(name).unwrap()))?.detach();
                }
                drop(sender);
                settle();
                let mut all = String::new();
                while let Some(name) = receiver.recv()? {
                    all.push_str(name);
                    yield_now();
                }
                assert_eq!(all, "aabcabcbc"); // the first one had found room without waiting
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn nobody_goes_past_the_others() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                sender.try_send(0).unwrap();
                for n in 1..=3 {
                    let sender = sender.clone();
                    spawn(move || sender.send(n).unwrap())?.detach();
                }
                settle();
                assert_eq!(receiver.try_recv(), Some(0)); // the first has sent with that,
                assert_eq!(sender.try_send(9), Err(TrySendError::Full(9))); // before it runs
                drop(sender);
                settle();
                assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2, 3]);

                let (mutex, order) = (Mutex::new(()), RefCell::new(Vec::new()));
                scope(|s| {
                    let guard = mutex.lock()?;
                    for n in 1..=3 {
                        let (mutex, order) = (&mutex, &order);
                        s.spawn(move || mutex.lock().map(|_guard| order.borrow_mut().push(n)))?;
                    }
                    settle();
                    drop(guard);
                    assert!(mutex.try_lock().is_none());
                    settle();
                    Ok::<_, io::Error>(())
                })?;
                assert_eq!(order.take(), [1, 2, 3]);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn receivers_that_wait_take_turns() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(1);
                let order = RefCell::new(Vec::new());
                scope(|s| {
                    for name in ["a", "b", "c"] {
                        let (receiver, order) = (&receiver, &order);
                        s.spawn(move || {
                            while let Some(n) = receiver.recv()? {
                                order.borrow_mut().push(format!("{name}{n}"));
                            }
                            Ok::<_, io::Error>(())
                        })?;
                    }
                    settle();
                    for n in 0..6 {
                        sender.send(n)?;
                        yield_now(); // so that they wait again
                    }
                    drop(sender);
                    Ok::<_, io::Error>(())
                })?;
                assert_eq!(order.take(), ["a0", "b1", "c2", "a3", "b4", "c5"]);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_mutex_goes_past_who_was_cancelled_before_and_to_who_was_cancelled_after() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                for cancelled_first in [true, false] {
                    let mutex = Rc::new(Mutex::new(0));
                    let guard = mutex.lock()?;
                    let [first, second] = [1, 2].map(|n| {
                        let mutex = Rc::clone(&mutex);
                        spawn(move || mutex.lock().map(|mut last| *last = n)).unwrap()
                    });
                    settle();
                    if cancelled_first {
                        first.cancel();
                    }
                    drop(guard);
                    first.cancel();
                    let late = spawn({
                        let mutex = Rc::clone(&mutex);
                        move || mutex.lock().map(|mut last| *last += 10)
                    })?;
                    let first = first.join()?;
                    assert_eq!(first.as_ref().is_err_and(is_cancelled), cancelled_first);
                    assert_eq!(first.is_ok(), !cancelled_first);
                    second.join()??;
                    late.join()??;
                    assert_eq!(*mutex.lock()?, 12);
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_refused_try_leaves_the_mutex_locked() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let mutex = Mutex::new(());
                let holders = Cell::new(0);
                scope(|s| {
                    let (mutex, holders) = (&mutex, &holders);
                    for _ in 0..4 {
                        s.spawn(move || {
                            assert!(mutex.try_lock().is_none());
                            let _guard = mutex.lock()?;
                            assert_eq!(holders.replace(holders.get() + 1), 0);
                            assert!(mutex.try_lock().is_none());
                            settle();
                            holders.set(holders.get() - 1);
                            Ok::<_, io::Error>(())
                        })?;
                    }
                    let guard = mutex.lock()?;
                    settle();
                    assert!(mutex.try_lock().is_none() && mutex.try_lock().is_none());
                    assert_eq!(format!("{mutex:?}"), "Mutex(<locked>)");
                    assert_eq!(holders.get(), 0);
                    drop(guard);
                    Ok::<_, io::Error>(())
                })
            })
            .unwrap()
            .unwrap();
    });
}
