//! Channels between threads.

mod common;

use becket_fiber::select::Select;
use becket_fiber::sync::{Event, ThreadReceiver, ThreadSender, TrySendError, thread_channel, thread_unbounded};
use becket_fiber::{Runtime, is_cancelled, select, sleep, spawn, timeout};
use common::{HOUR, each_backend, kind, settle};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

fn is_send<T: Send + Sync>(_: &T) {}

/// Sends `count` values that say who sent them.
fn send_all(sender: &ThreadSender<(usize, u32)>, who: usize, count: u32) -> io::Result<()> {
    (0..count).try_for_each(|n| Ok(sender.send((who, n))?))
}

#[test]
fn every_value_crosses_once_between_runtimes_and_plain_threads() {
    const EACH: u32 = 2000;
    for capacity in [1, 3, 64, usize::MAX] {
        let (sender, receiver) = thread_channel(capacity);
        is_send(&(&sender, &receiver));
        let got = Arc::new(Mutex::new(Vec::new()));
        thread::scope(|threads| {
            for who in 0..2 {
                let sender = sender.clone();
                threads.spawn(move || send_all(&sender, who, EACH).unwrap());
            }
            let for_fibers = sender.clone();
            threads.spawn(move || {
                let send = |who| {
                    let sender = for_fibers.clone();
                    spawn(move || send_all(&sender, who, EACH))
                };
                Runtime::new().unwrap().run(|| {
                    let (a, b) = (send(2)?, send(3)?);
                    a.join()??;
                    b.join()?
                })
            });
            drop(sender);
            let take = |receiver: ThreadReceiver<_>, got: Arc<Mutex<Vec<_>>>| {
                while let Some(value) = receiver.recv().unwrap() {
                    got.lock().unwrap().push(value);
                }
            };
            let (by_thread, by_fibers) = (receiver.clone(), receiver);
            let (all, others) = (Arc::clone(&got), Arc::clone(&got));
            threads.spawn(move || take(by_thread, all));
            threads.spawn(move || {
                Runtime::new().unwrap().run(|| {
                    let (receiver, all) = (by_fibers.clone(), Arc::clone(&others));
                    let one = spawn(move || take(receiver, all)).unwrap();
                    take(by_fibers, others);
                    one.join().unwrap();
                })
            });
        });
        let got = Arc::into_inner(got).unwrap().into_inner().unwrap();
        assert_eq!(got.len(), 4 * EACH as usize);
        assert_eq!(got.into_iter().collect::<HashSet<_>>().len(), 4 * EACH as usize);
    }
}

#[test]
fn one_receiver_gets_them_in_order_while_other_fibers_run() {
    each_backend(|runtime| {
        let (sender, receiver) = thread_unbounded();
        let other = thread::spawn(move || send_all(&sender, 0, 5000));
        let (got, turns) = runtime
            .run(|| {
                let ticks = spawn(|| {
                    let mut turns = 0;
                    while sleep(Duration::from_micros(100)).is_ok() {
                        turns += 1;
                    }
                    turns
                })
                .unwrap();
                let got: Vec<u32> = receiver.iter().map(|(_, n)| n).collect();
                sleep(Duration::from_millis(1)).unwrap();
                ticks.cancel();
                (got, ticks.join().unwrap())
            })
            .unwrap();
        other.join().unwrap().unwrap();
        assert_eq!(got, Vec::from_iter(0..5000));
        assert!(turns > 0);
    });
}

#[test]
fn waits_end_by_a_cancel_and_a_deadline_and_pass_on_what_they_were_woken_for() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = thread_channel(1);
                let [first, second] = [(); 2].map(|()| {
                    let receiver = receiver.clone();
                    spawn(move || receiver.recv()).unwrap()
                });
                settle();
                // Both in one turn: whether the first was woken or cancelled, the second gets the value.
                sender.send(1)?;
                first.cancel();
                let first = first.join()?;
                if let Err(e) = &first {
                    assert!(is_cancelled(e));
                    assert_eq!(second.join()??, Some(1));
                } else {
                    assert_eq!(first?, Some(1));
                    second.cancel();
                    assert!(is_cancelled(&second.join()?.unwrap_err()));
                }
                let limit = Duration::from_millis(3);
                assert_eq!(kind(timeout(limit, || receiver.recv())), Some(ErrorKind::TimedOut));
                sender.send(2)?;
                let late = timeout(limit, || sender.send(3));
                assert_eq!(late.unwrap_err().into_value(), 3);
                assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
                assert_eq!((receiver.recv()?, receiver.try_recv()), (Some(2), None));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
    // On a plain thread, too.
    let (sender, receiver) = thread_channel(1);
    let limit = Duration::from_millis(3);
    assert_eq!(kind(timeout(limit, || receiver.recv())), Some(ErrorKind::TimedOut));
    sender.send(1).unwrap();
    assert_eq!(kind(timeout(limit, || sender.send(2).map_err(io::Error::from))), Some(ErrorKind::TimedOut));
}

#[test]
fn a_woken_receiver_that_was_cancelled_leaves_the_value_to_a_thread() {
    let (sender, receiver) = thread_channel(8);
    let (cancelled, other) = (receiver.clone(), receiver);
    thread::scope(|threads| {
        for n in 0..50 {
            let cancelled = cancelled.clone();
            let (sender, other) = (&sender, &other);
            let fibers = threads.spawn(move || {
                let mut runtime = Runtime::new().unwrap();
                runtime.run(|| {
                    let fiber = spawn(move || cancelled.recv()).unwrap();
                    sleep(Duration::from_micros(200)).unwrap();
                    fiber.cancel();
                    fiber.join().unwrap().ok().flatten()
                })
            });
            let plain = threads.spawn(move || timeout(Duration::from_secs(20), || other.recv()));
            thread::sleep(Duration::from_micros(100 + n * 5));
            sender.send(n).unwrap();
            if let Some(got) = fibers.join().unwrap().unwrap() {
                assert_eq!(got, n);
                sender.send(n).unwrap();
            }
            assert_eq!(plain.join().unwrap().unwrap(), Some(n));
        }
    });
}

#[test]
fn a_runtime_that_ends_ends_the_waits_of_the_other_side() {
    let (questions, asked) = thread_channel::<u32>(1);
    let (answers, answered) = thread_channel::<u32>(1);
    let (started, start) = thread_channel(1);
    let server = thread::spawn(move || {
        let mut runtime = Runtime::new().unwrap();
        runtime
            .run(|| {
                spawn(move || {
                    let _answers = answers;
                    while asked.recv()?.is_some() {}
                    Ok::<_, io::Error>(())
                })
                .unwrap()
                .detach();
                settle();
            })
            .unwrap();
        started.send(()).unwrap();
        thread::sleep(Duration::from_millis(20));
        runtime.shutdown().unwrap();
    });
    start.recv().unwrap();
    assert_eq!(answered.recv().unwrap(), None); // waited until the runtime was gone
    server.join().unwrap();
    assert_eq!(questions.send(1).unwrap_err().error().kind(), ErrorKind::BrokenPipe);
    // A fiber that waits, of a runtime that goes, wakes nobody and takes nothing.
    let (sender, receiver) = thread_channel(1);
    let mut runtime = Runtime::new().unwrap();
    let waiting = receiver.clone();
    runtime.run(|| spawn(move || waiting.recv()).map(|_| settle())).unwrap().unwrap();
    drop(runtime);
    sender.send(7).unwrap();
    assert_eq!(receiver.recv().unwrap(), Some(7));
}

#[test]
fn both_ends_are_arms_and_lose_nothing() {
    each_backend(|runtime| {
        let (questions, asked) = thread_channel::<u32>(1);
        let (answers, answered) = thread_channel(1);
        let server = thread::spawn(move || asked.iter().for_each(|n| answers.send(n * 2).unwrap()));
        let sum: u32 = runtime
            .run(|| {
                let (mut next, mut n, mut sum) = (Some(1), 1, 0);
                loop {
                    let more = select! {
                        sent = questions.on_send(&mut next) => { sent?; true },
                        answer = answered.on_recv() => { sum += answer.unwrap_or(0); n < 500 },
                        () = select::after(HOUR) => unreachable!(),
                    }?;
                    if !more {
                        return Ok::<_, io::Error>(sum);
                    }
                    if next.is_none() && sum == n * (n + 1) {
                        n += 1;
                        next = Some(n);
                    }
                }
            })
            .unwrap()
            .unwrap();
        assert!((499 * 500..=500 * 501).contains(&sum));
        drop(questions);
        drop(answered);
        let _ = server.join();
    });
}

#[test]
fn an_arm_that_was_woken_and_not_chosen_leaves_the_value_to_others_at_once() {
    each_backend(|runtime| {
        let got = runtime.run(|| {
            let (sender, receiver) = thread_channel(1);
            let event = Rc::new(Event::new());
            let first = spawn({
                let (receiver, event) = (receiver.clone(), Rc::clone(&event));
                move || {
                    let (mut stop, mut value) = (event.on_set(), receiver.on_recv());
                    let mut select = Select::new().biased();
                    select.add(&mut stop);
                    select.add(&mut value);
                    assert_eq!(select.wait()?, 0);
                    sleep(HOUR) // the arms are still there
                }
            })?;
            settle();
            let second = spawn(move || receiver.recv())?;
            settle();
            sender.try_send(7).unwrap();
            event.set();
            let got = timeout(Duration::from_secs(20), || second.join())?;
            first.cancel();
            assert!(is_cancelled(&first.join()?.unwrap_err()));
            got
        });
        assert_eq!(got.unwrap().unwrap(), Some(7));
    });
}

#[test]
fn in_a_callback_what_would_wait_is_an_error() {
    each_backend(|runtime| {
        let (sender, receiver) = thread_channel(1);
        let (told, tells) = thread_unbounded();
        runtime.ctx().defer(move |(), _| {
            told.send(kind(receiver.recv())).unwrap();
            sender.send(1).unwrap();
            told.send(kind(sender.send(2).map_err(io::Error::from))).unwrap();
            Ok(())
        });
        let kinds = runtime.run(|| tells.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(kinds, [Some(ErrorKind::Deadlock); 2]);
    });
}
