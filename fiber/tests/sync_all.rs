//! What holds for every kind of wait of `sync`, and what each kind promises beside.

mod common;

use becket_fiber::sync::{
    Barrier, Condvar, Event, Mutex, Notify, Once, OnceCell, Received, RwLock, Semaphore, WaitGroup, broadcast, channel,
    oneshot, watch,
};
use becket_fiber::{JoinError, is_cancelled, scope, shield, sleep, spawn, timeout, yield_now};
use common::{Drops, HOUR, each_backend, kind, quiet_panic, settle};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

type Wait = Box<dyn Fn() -> io::Result<()>>;

/// One of each kind, none of which ends by itself.
fn waits() -> Vec<(&'static str, Wait)> {
    let (sender, receiver) = channel::<u8>(1);
    let (full, full_receiver) = channel(1);
    full.try_send(1).unwrap();
    let (hand, hand_receiver) = channel(0);
    let (answer, answered) = oneshot::<u8>();
    let (radio, heard) = broadcast::<u8>(1);
    let (setting, seen) = watch(1);
    // Leaked, so that the guards may be kept for ever.
    let mutex: &'static Mutex<()> = Box::leak(Box::default());
    std::mem::forget(mutex.try_lock());
    let lock: &'static RwLock<()> = Box::leak(Box::default());
    std::mem::forget(lock.try_read());
    let written: &'static RwLock<()> = Box::leak(Box::default());
    std::mem::forget(written.try_write());
    let semaphore = Rc::new(Semaphore::new(1));
    let group = WaitGroup::new();
    std::mem::forget(group.member());
    let (condvar, event, notify) = (Condvar::new(), Event::new(), Notify::new());
    let (barrier, made) = (Barrier::new(5), Rc::new(OnceCell::<()>::new()));
    let owned = Rc::clone(&semaphore);
    vec![
        ("receive", Box::new(move || (receiver.recv(), &sender).0.map(drop))),
        ("send", Box::new(move || (full.send(2).map_err(io::Error::from), &full_receiver).0)),
        ("send by hand", Box::new(move || (hand.send(2).map_err(io::Error::from), &hand_receiver).0)),
        ("oneshot", Box::new(move || (answered.recv(), &answer).0.map(drop))),
        ("broadcast", Box::new(move || (heard.clone().recv(), &radio).0.map(drop))),
        ("watch", Box::new(move || (seen.clone().changed(), &setting).0.map(drop))),
        ("mutex", Box::new(|| mutex.lock().map(drop))),
        ("write", Box::new(|| lock.write().map(drop))),
        ("read", Box::new(|| written.read().map(drop))),
        ("semaphore", Box::new(move || semaphore.acquire_many(2).map(drop))),
        ("owned permits", Box::new(move || owned.acquire_owned(2).map(drop))),
        ("group", Box::new(move || group.wait())),
        ("condition", Box::new(move || condvar.wait())),
        ("event", Box::new(move || event.wait())),
        ("signal", Box::new(move || notify.wait())),
        ("barrier", Box::new(move || barrier.wait().map(drop))),
        ("making", Box::new(move || made.get_or_try_init(|| sleep(HOUR)).copied())),
    ]
}

#[test]
fn every_wait_ends_by_a_cancel_a_deadline_and_an_abort_and_can_be_shielded() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                for (what, wait) in waits() {
                    let wait = Rc::new(wait);
                    let again = || Rc::clone(&wait);
                    let (a, b, c) = (again(), again(), again());
                    let (cancelled, aborted) = (spawn(move || a())?, spawn(move || b())?);
                    let shielded = spawn(move || shield(|| timeout(Duration::from_millis(5), || c())))?;
                    settle();
                    cancelled.cancel();
                    aborted.abort()?;
                    shielded.cancel();
                    assert!(is_cancelled(&cancelled.join()?.unwrap_err()), "{what}");
                    assert!(matches!(aborted.join(), Err(JoinError::Cancelled)), "{what}");
                    assert_eq!(kind(shielded.join()?), Some(ErrorKind::TimedOut), "{what}");
                    let start = Instant::now();
                    let late = timeout(Duration::from_millis(2), || wait());
                    assert_eq!(kind(late), Some(ErrorKind::TimedOut), "{what}");
                    assert!(start.elapsed() >= Duration::from_millis(1), "{what}");
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn every_wait_ends_with_its_runtime() {
    for (what, wait) in waits() {
        let mut runtime = becket_fiber::Runtime::new().unwrap();
        let drops = Drops::default();
        let (witness, ended) = (drops.witness(), Rc::new(Cell::new(false)));
        let end = Rc::clone(&ended);
        runtime
            .run(move || {
                spawn(move || {
                    let _witness = witness;
                    end.set(is_cancelled(&wait().unwrap_err()));
                })
                .unwrap()
                .detach();
                settle();
            })
            .unwrap();
        runtime.shutdown().unwrap();
        assert!(ended.get() && drops.count() == 1, "{what}");
    }
}

#[test]
fn no_wait_begins_while_the_fiber_unwinds_nor_outside_of_one() {
    struct Tries(Vec<(&'static str, Wait)>);
    impl Drop for Tries {
        fn drop(&mut self) {
            for (what, wait) in &self.0 {
                assert!(wait().is_err(), "{what}");
            }
        }
    }
    each_backend(|runtime| {
        let ended = runtime.run(|| {
            let tries = Tries(waits());
            let unwinds = spawn(move || {
                let _tries = tries;
                quiet_panic()
            });
            unwinds.unwrap().join()
        });
        let payload = ended.unwrap().unwrap_err();
        assert!(matches!(&payload, JoinError::Panicked(p) if p.is::<&str>()), "{payload}");
    });
    for (what, wait) in waits().into_iter().filter(|(what, _)| *what != "making") {
        assert_eq!(kind(wait()), Some(ErrorKind::Deadlock), "{what}");
    }
}

#[test]
fn a_writer_is_not_starved_by_readers_that_overlap() {
    each_backend(|runtime| {
        let (lock, order) = (RwLock::new(()), RefCell::new(String::new()));
        let done = runtime.run(|| {
            scope(|s| {
                let reads = |name| {
                    let (lock, order) = (&lock, &order);
                    move || {
                        let _guard = lock.read()?;
                        order.borrow_mut().push(name);
                        (0..3).for_each(|_| yield_now());
                        Ok::<_, io::Error>(())
                    }
                };
                s.spawn(reads('a'))?;
                s.spawn(reads('b'))?;
                yield_now();
                s.spawn(|| lock.write().map(|_guard| order.borrow_mut().push('W')))?;
                yield_now();
                s.spawn(reads('c'))?;
                s.spawn(reads('d'))?;
                s.spawn(|| lock.write().map(|_guard| order.borrow_mut().push('V')))?;
                Ok::<_, io::Error>(())
            })
        });
        done.unwrap().unwrap();
        assert_eq!(order.take(), "abWcdV");
    });
}

#[test]
fn readers_behind_a_writer_that_leaves_go_on() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let lock = Rc::new(RwLock::new(7));
                let reading = lock.read()?;
                let [for_writer, for_reader] = [(); 2].map(|()| Rc::clone(&lock));
                let writer = spawn(move || for_writer.write().map(drop))?;
                settle();
                let reader = spawn(move || for_reader.read().map(|value| *value))?;
                settle();
                assert!(lock.try_read().is_none() && !reader.is_finished());
                writer.cancel();
                assert_eq!(reader.join()??, 7);
                assert!(is_cancelled(&writer.join()?.unwrap_err()));
                drop(reading);
                *lock.try_write().unwrap() += 1;
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = lock.try_write();
                    quiet_panic()
                }));
                assert!(unwound.is_err());
                assert_eq!(*lock.read()?, 8); // not poisoned
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn who_asks_for_many_permits_is_not_overtaken_and_makes_way_when_it_leaves() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let semaphore = Rc::new(Semaphore::new(3));
                let two = semaphore.acquire_many(2)?;
                let [a, b] = [(); 2].map(|()| Rc::clone(&semaphore));
                let many = spawn(move || a.acquire_owned(3))?;
                settle();
                let few = spawn(move || b.acquire_owned(1))?;
                settle();
                assert!(semaphore.try_acquire(1).is_none() && !few.is_finished());
                drop(two);
                let three = many.join()??;
                assert_eq!((three.count(), semaphore.available()), (3, 0));
                drop(three);
                drop(few.join()??);

                let held = semaphore.acquire_many(2)?;
                let [a, b] = [(); 2].map(|()| Rc::clone(&semaphore));
                let many = spawn(move || a.acquire_owned(2).map(drop))?;
                settle();
                let few = spawn(move || b.acquire_owned(1).map(drop))?;
                settle();
                many.cancel();
                few.join()??;
                assert!(is_cancelled(&many.join()?.unwrap_err()));
                drop(held);
                assert_eq!(semaphore.available(), 3);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_permit_given_in_the_turn_of_a_cancel_is_had_or_goes_to_the_next() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let semaphore = Rc::new(Semaphore::new(0));
                let [first, second, third] = [(); 3].map(|()| {
                    let semaphore = Rc::clone(&semaphore);
                    spawn(move || semaphore.acquire_owned(1)).unwrap()
                });
                settle();
                first.cancel();
                semaphore.add_permits(1);
                second.cancel(); // too late
                assert!(is_cancelled(&first.join()?.unwrap_err()));
                let permit = second.join()??;
                assert!(!third.is_finished());
                drop(permit);
                third.join()??.forget();
                assert_eq!(semaphore.available(), 0);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn closing_a_semaphore_ends_the_waits_and_leaves_what_was_given() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let semaphore = Rc::new(Semaphore::new(0));
                let [given, waits] = [(); 2].map(|()| {
                    let semaphore = Rc::clone(&semaphore);
                    spawn(move || semaphore.acquire_owned(1)).unwrap()
                });
                settle();
                semaphore.add_permits(1);
                semaphore.close();
                drop(given.join()??);
                assert_eq!(kind(waits.join()?), Some(ErrorKind::BrokenPipe));
                assert_eq!(kind(semaphore.acquire().map(drop)), Some(ErrorKind::BrokenPipe));
                assert!(semaphore.try_acquire(1).is_none() && semaphore.available() == 1);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn an_event_that_is_reset_at_once_has_woken_all_and_a_signal_wakes_one() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let both = Rc::new((Event::new(), Notify::new()));
                let on_event = [(); 3].map(|()| {
                    let both = Rc::clone(&both);
                    spawn(move || both.0.wait()).unwrap()
                });
                let on_signal = [(); 3].map(|()| {
                    let both = Rc::clone(&both);
                    spawn(move || both.1.wait()).unwrap()
                });
                settle();
                both.0.set();
                both.0.reset();
                on_signal[0].cancel();
                both.1.notify_one();
                settle();
                assert!(on_event.iter().all(|fiber| fiber.is_finished()));
                assert_eq!(on_signal.each_ref().map(|fiber| fiber.is_finished()), [true, true, false]);
                both.1.notify_waiters();
                let [first, second, third] = on_signal;
                assert!(is_cancelled(&first.join()?.unwrap_err()));
                second.join()??;
                third.join()??;
                assert!(!both.1.try_wait());
                both.1.notify_one();
                both.1.wait()
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_barrier_does_not_count_who_was_cancelled() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let barrier = Rc::new(Barrier::new(3));
                let come = || {
                    let barrier = Rc::clone(&barrier);
                    spawn(move || barrier.wait())
                };
                let (first, second) = (come()?, come()?);
                settle();
                first.cancel();
                let third = come()?; // runs in the turn in which the first is cancelled
                settle();
                assert!(is_cancelled(&first.join()?.unwrap_err()));
                assert!(!second.is_finished() && !third.is_finished());
                assert!(barrier.wait()?);
                assert!(!second.join()?? && !third.join()??);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_group_is_done_when_its_last_member_ends_by_a_panic_too() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let group = WaitGroup::new();
                group.wait()?;
                let (one, two) = (group.member(), group.member());
                let twin = one.clone();
                assert_eq!(group.count(), 3);
                spawn(move || drop((one, twin)))?.detach();
                let panics = spawn(move || {
                    let _two = two;
                    quiet_panic()
                })?;
                group.wait()?;
                assert!(panics.join().is_err());
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn making_that_fails_panics_or_is_cancelled_lets_the_next_one_try() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let cell = Rc::new(OnceCell::new());
                let tried = Rc::new(RefCell::new(String::new()));
                let make = |name: char| {
                    let (cell, tried) = (Rc::clone(&cell), Rc::clone(&tried));
                    spawn(move || {
                        let made = cell.get_or_try_init(|| {
                            tried.borrow_mut().push(name);
                            sleep(if name == 'c' { HOUR } else { Duration::from_millis(1) })?;
                            match name {
                                'f' => Err(io::Error::other("fails")),
                                'p' => quiet_panic(),
                                _ => Ok(name),
                            }
                        });
                        made.copied()
                    })
                };
                let (fails, panics, cancelled) = (make('f')?, make('p')?, make('c')?);
                let (makes, has) = (make('m')?, make('h')?);
                assert_eq!(fails.join()?.unwrap_err().to_string(), "fails");
                assert!(panics.join().is_err());
                while *tried.borrow() != "fpc" {
                    sleep(Duration::from_millis(1))?;
                }
                cancelled.cancel();
                assert!(is_cancelled(&cancelled.join()?.unwrap_err()));
                assert_eq!((makes.join()??, has.join()??), ('m', 'm'));
                assert_eq!(*tried.borrow(), "fpcm");
                assert_eq!(cell.set('x'), Err('x'));

                let itself = OnceCell::new();
                let recursion = itself.get_or_try_init(|| itself.get_or_init(|| 1).copied());
                assert_eq!(kind(recursion), Some(ErrorKind::Deadlock));
                let once = Once::new();
                assert!(catch_unwind(AssertUnwindSafe(|| once.call_once(|| quiet_panic()))).is_err());
                assert!(!once.is_completed());
                once.call_once(|| ())?;
                once.call_once(|| unreachable!("it was done"))
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn an_answer_that_comes_in_the_turn_of_a_cancel_is_had() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let drops = Drops::default();
                let (sender, receiver) = oneshot();
                let asks = spawn(move || receiver.recv())?;
                settle();
                sender.send(drops.witness()).map_err(io::Error::from)?;
                asks.cancel();
                let answer = asks.join()??;
                assert_eq!(drops.count(), 0);
                drop(answer);

                let (sender, receiver) = oneshot();
                drop(receiver);
                assert!(sender.is_closed());
                drop(sender.send(drops.witness()).unwrap_err().into_value());
                let (sender, receiver) = oneshot();
                sender.send(drops.witness()).map_err(io::Error::from)?;
                drop(receiver);
                assert_eq!(drops.count(), 3);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_watcher_sees_the_newest_and_is_told_of_the_end() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (setting, mut seen) = watch(String::from("a"));
                let other = setting.clone();
                let fiber = spawn(move || {
                    let mut values = Vec::new();
                    while seen.changed()? {
                        let value = seen.get();
                        yield_now(); // it may change meanwhile, this one stays
                        values.push(String::clone(&value));
                    }
                    Ok::<_, io::Error>(values)
                })?;
                settle();
                assert_eq!(*setting.send("b".into()), "a");
                other.send("c".into());
                settle();
                drop(setting);
                settle();
                other.send("d".into());
                drop(other);
                assert_eq!(fiber.join()??, ["c", "d"]);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_broadcast_reaches_each_and_drops_each_value_once() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let drops = Drops::default();
                let (sender, mut slow) = broadcast(3);
                let mut quick = sender.subscribe();
                let fiber = spawn(move || {
                    let mut sum = 0;
                    while let Received::Value((n, _)) = quick.recv()? {
                        sum += n;
                    }
                    Ok::<u32, io::Error>(sum)
                })?;
                for n in 1..=10 {
                    let value = (n, Rc::new(drops.witness()));
                    assert_eq!(sender.send(value).ok(), Some(2));
                    settle();
                }
                assert_eq!(drops.count(), 7); // three are kept for the slow one
                let twin = slow.clone();
                assert!(matches!(slow.recv()?, Received::Lagged(7)));
                assert!(matches!(slow.recv()?, Received::Value((8, _))));
                assert_eq!((slow.len(), twin.len()), (2, 10));
                drop(twin);
                assert_eq!(drops.count(), 8);
                drop(slow);
                assert_eq!(drops.count(), 10);
                drop(sender);
                assert_eq!(fiber.join()??, 55);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}
