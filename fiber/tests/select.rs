//! Waiting for the first of several.

mod common;

use becket_fiber::select::{Arm, Select};
use becket_fiber::sync::{Event, Notify, Received, Semaphore, broadcast, channel, oneshot, unbounded, watch};
use becket_fiber::{Io, Ready, is_cancelled, scope, select, sleep, spawn, timeout, yield_now};
use common::{Drops, HOUR, each_backend, kind, settle};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[test]
fn each_kind_of_arm_is_chosen_when_its_time_comes() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(0);
                let (hand, taker) = channel(0);
                let (answer, answered) = oneshot();
                let (radio, mut heard) = broadcast(1);
                let (setting, mut seen) = watch(0);
                let (event, signal, permits) = (Rc::new(Event::new()), Rc::new(Notify::new()), Rc::new(Semaphore::new(0)));
                let (near, far) = UnixStream::pair()?;
                let (near, mut far) = (Io::new(near)?, Io::new(far)?);
                let ends = spawn({
                    let (event, signal, permits) = (Rc::clone(&event), Rc::clone(&signal), Rc::clone(&permits));
                    move || {
                        let mut order: Vec<Box<dyn FnOnce()>> = vec![
                            Box::new(move || sender.send(1).unwrap()),
                            Box::new(move || assert_eq!(taker.recv().unwrap(), Some(2))),
                            Box::new(move || answer.send(3).unwrap()),
                            Box::new(move || assert_eq!(radio.send(4), Ok(1))),
                            Box::new(move || drop(setting.send(5))),
                            Box::new(move || event.set()),
                            Box::new(move || signal.notify_one()),
                            Box::new(move || permits.add_permits(2)),
                            Box::new(move || far.write_all(b"x").unwrap()),
                        ];
                        for step in order.drain(..) {
                            settle();
                            step();
                        }
                    }
                })?;
                let mut order = String::new();
                let mut next = Some(2);
                let (mut open, mut answers, mut radios, mut settings) = (true, true, true, true);
                for _ in 0..10 {
                    select! {
                        value = receiver.on_recv(), if open => { open = false; assert_eq!(value, Some(1)); order.push('r') },
                        sent = hand.on_send(&mut next) => { sent?; order.push('s') },
                        value = answered.on_recv(), if answers => { answers = false; assert_eq!(value?, 3); order.push('o') },
                        value = heard.on_recv(), if radios => { radios = false; assert_eq!(value, Received::Value(4)); order.push('b') },
                        changed = seen.on_change(), if settings => { settings = false; assert!(changed); order.push('w') },
                        () = event.on_set() => { event.reset(); order.push('e') },
                        () = signal.on_signal() => order.push('n'),
                        permit = permits.on_permits(2) => { permit?.forget(); order.push('p') },
                        ready = near.on_ready(Ready::READ) => {
                            assert!(ready.contains(Ready::READ));
                            (&near).read_exact(&mut [0])?;
                            order.push('i');
                        },
                        () = ends.on_end(), if !order.contains('j') => order.push('j'),
                        () = select::after(HOUR) => unreachable!(),
                    }?;
                }
                assert!(order == "rsobwenpij" || order == "rsobwenpji", "{order}");
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn what_is_not_chosen_takes_and_gives_nothing() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = unbounded();
                let (other, others) = unbounded();
                for n in 0..100 {
                    sender.send(n)?;
                    other.send(n)?;
                }
                let (full, _keep) = channel::<u8>(0);
                let mut unsent = Some(1);
                let (mut a, mut b) = (Vec::new(), Vec::new());
                for _ in 0..120 {
                    select! {
                        n = receiver.on_recv() => a.extend(n),
                        n = others.on_recv() => b.extend(n),
                        _ = full.on_send(&mut unsent) => unreachable!("nobody takes it"),
                        _ = select::at(Instant::now() + HOUR) => unreachable!(),
                    }?;
                }
                // By chance, but for the order within each; and each was chosen.
                assert_eq!((a.len() + b.len(), unsent), (120, Some(1)));
                assert!(a.len() >= 20 && b.len() >= 20 && (a.len(), b.len()) != (100, 20), "{} {}", a.len(), b.len());
                a.extend(std::iter::from_fn(|| receiver.try_recv()));
                b.extend(std::iter::from_fn(|| others.try_recv()));
                assert!(a == Vec::from_iter(0..100) && a == b);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn biased_takes_the_first_and_default_does_not_wait() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = unbounded();
                let (other, others) = unbounded();
                (0..50).try_for_each(|n| sender.send(n).and_then(|()| other.send(n)))?;
                for n in 0..50 {
                    let got = select! {
                        biased;
                        value = receiver.on_recv() => value,
                        value = others.on_recv() => value.map(|n| n + 100),
                        default => None,
                    };
                    assert_eq!(got?, Some(n));
                }
                drop(other);
                assert_eq!(std::iter::from_fn(|| others.try_recv()).count(), 50);
                let closed =
                    select! { biased; _ = receiver.on_recv() => 1, value = others.on_recv() => 2 + value.unwrap_or(0), default => 3 };
                let nothing = select! { _ = receiver.on_recv() => 1, default => 3 };
                assert_eq!((closed?, nothing?), (2, 3));
                assert_eq!(kind(select! { _ = None::<select::At> => () }), Some(ErrorKind::InvalidInput));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_cancel_and_a_deadline_end_it_and_take_nothing() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (sender, receiver) = channel(0);
                let (near, _far) = UnixStream::pair()?;
                let near = Rc::new(Io::new(near)?);
                let waits = || {
                    let (receiver, near) = (receiver.clone(), Rc::clone(&near));
                    move || {
                        select! {
                            value = receiver.on_recv() => value,
                            _ = near.on_ready(Ready::READ) => None,
                            _ = select::after(HOUR) => None,
                        }
                    }
                };
                let (cancelled, had) = (spawn(waits())?, spawn(waits())?);
                settle();
                cancelled.cancel();
                sender.send("for the other")?;
                had.cancel(); // too late
                assert!(is_cancelled(&cancelled.join()?.unwrap_err()));
                assert_eq!(had.join()??, Some("for the other"));
                assert_eq!(kind(timeout(Duration::from_millis(2), waits())), Some(ErrorKind::TimedOut));
                assert!(sender.try_send("for nobody").is_err());
                let aborted = spawn(waits())?;
                settle();
                aborted.abort()?;
                assert!(aborted.join().is_err());
                assert!(sender.try_send("for nobody").is_err());
                let start = Instant::now();
                timeout(HOUR, || select! { () = select::after(Duration::from_millis(3)) => () })?;
                assert!(start.elapsed() >= Duration::from_millis(3));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
    // Where no fiber runs, what is ready is taken, and nothing is waited for.
    let (sender, receiver) = channel(1);
    sender.try_send(1).unwrap();
    assert_eq!(select! { value = receiver.on_recv() => value }.unwrap(), Some(1));
    assert_eq!(kind(select! { value = receiver.on_recv() => value }), Some(ErrorKind::Deadlock));
}

#[test]
fn two_selects_meet_in_a_rendezvous_and_each_value_arrives_once() {
    each_backend(|runtime| {
        let got = RefCell::new(Vec::new());
        let (drops, sent) = (Drops::default(), Cell::new(0));
        let done = runtime.run(|| {
            scope(|s| {
                let (a, from_a) = channel(0);
                let (b, from_b) = channel(0);
                for k in 0..4 {
                    let (hand, drops, sent) = (if k % 2 == 0 { a.clone() } else { b.clone() }, &drops, &sent);
                    s.spawn(move || {
                        for n in 0..50 {
                            let mut value = Some((k * 100 + n, drops.witness()));
                            while value.is_some() {
                                select! {
                                    gone = hand.on_send(&mut value) => gone?,
                                    _ = select::after(Duration::from_micros(50)) => (),
                                }?;
                            }
                            sent.set(sent.get() + 1);
                        }
                        Ok::<_, io::Error>(())
                    })?;
                }
                drop((a, b));
                for _ in 0..2 {
                    let (from_a, from_b, got) = (from_a.clone(), from_b.clone(), &got);
                    s.spawn(move || {
                        let (mut a_open, mut b_open) = (true, true);
                        while a_open || b_open {
                            let value = select! {
                                value = from_a.on_recv(), if a_open => { a_open = value.is_some(); value },
                                value = from_b.on_recv(), if b_open => { b_open = value.is_some(); value },
                            };
                            got.borrow_mut().extend(value?.map(|(n, _)| n));
                            yield_now();
                        }
                        Ok::<_, io::Error>(())
                    })?;
                }
                Ok::<_, io::Error>(())
            })
        });
        done.unwrap().unwrap();
        let mut got = got.take();
        got.sort_unstable();
        let all: Vec<i32> = (0..4).flat_map(|k| (0..50).map(move |n| k * 100 + n)).collect();
        assert_eq!((got, drops.count(), sent.get()), (all, 200, 200));
    });
}

#[test]
fn a_select_of_many_is_made_at_run_time() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (senders, receivers): (Vec<_>, Vec<_>) = (0..500).map(|_| channel(1)).unzip();
                let waiting = spawn(move || {
                    let mut arms: Vec<_> = receivers.iter().map(|receiver| receiver.on_recv()).collect();
                    let mut select = Select::new();
                    for (i, arm) in arms.iter_mut().enumerate() {
                        assert_eq!(select.add(arm), i);
                    }
                    let chosen = select.wait()?;
                    Ok::<_, io::Error>((chosen, arms.swap_remove(chosen).finish()))
                })?;
                settle();
                senders[321].send(7)?;
                assert_eq!(waiting.join()??, (321, Some(Some(7))));
                let mut arm = select::after(HOUR);
                let mut select = Select::new().biased();
                select.add(&mut arm);
                assert_eq!(select.try_wait()?, None);
                sleep(Duration::ZERO)
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_block_ends_an_arm_as_in_a_match() {
    each_backend(|runtime| {
        let chosen = runtime.run(|| {
            let (sender, receiver) = channel::<u32>(1);
            let (near, mut far) = becket_fiber::net::UnixStream::pair()?;
            let mut order = String::new();
            let mut next = Some(1);
            for _ in 0..3 {
                select! {
                    biased;
                    sent = sender.on_send(&mut next) => { sent?; order.push('s') }
                    _ = near.on_ready(Ready::READ), if order.len() == 2 => { order.push('i') }
                    _ = receiver.on_recv() => order.push('r'),
                    () = select::after(HOUR) => { unreachable!() }
                    default => {}
                }?;
                far.write_all(b"x")?;
            }
            Ok::<_, io::Error>(order)
        });
        assert_eq!(chosen.unwrap().unwrap(), "sri");
    });
}

#[test]
fn what_was_left_in_an_arm_is_dropped_before_it_waits_anew() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (drops, (sender, receiver)) = (Drops::default(), channel(1));
                let waiting = spawn({
                    let drops = drops.clone();
                    move || {
                        let mut arm = receiver.on_recv();
                        for _ in 0..2 {
                            let mut select = Select::new();
                            select.add(&mut arm);
                            select.wait()?;
                        }
                        assert_eq!(drops.count(), 1);
                        Ok::<_, io::Error>(arm.finish().flatten().is_some())
                    }
                })?;
                assert!(sender.send(drops.witness()).is_ok());
                settle();
                assert_eq!(drops.count(), 1);
                assert!(sender.send(drops.witness()).is_ok());
                assert!(waiting.join()??);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

/// A generator of chance: xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % n
    }
}

/// What is known of a value: which producer sent it into which channel, and its number there.
type Value = (usize, usize, u32);

#[test]
fn random_selects_lose_and_double_nothing_whoever_is_cancelled() {
    const CHANNELS: usize = 3;
    let capacities = [0, 1, 4];
    for seed in 1..=60 {
        let mut runtime = becket_fiber::Runtime::new().unwrap();
        let (sent, received) = (RefCell::new(Vec::<Value>::new()), RefCell::new(Vec::<(usize, Value)>::new()));
        let mut left = Vec::new();
        let done = runtime.run(|| {
            let (senders, receivers): (Vec<_>, Vec<_>) = capacities.iter().map(|n| channel::<Value>(*n)).unzip();
            scope(|s| {
                let mut fibers = Vec::new();
                for k in 0..4 {
                    let (senders, sent) = (senders.clone(), &sent);
                    let mut chance = Chance(seed * 1000 + k as u64);
                    fibers.push(s.spawn(move || {
                        for n in 0..40 {
                            // One value for each channel; some of them are sent, the others are for the next time.
                            let mut values: Vec<Option<Value>> = (0..CHANNELS).map(|to| Some((k, to, n))).collect();
                            for _ in 0..=chance.below(3) {
                                let before: Vec<bool> = values.iter().map(Option::is_some).collect();
                                let [a, b, c] = &mut values[..] else { unreachable!() };
                                let at = Duration::from_micros(chance.below(80));
                                let chosen = select! {
                                    gone = senders[0].on_send(a) => gone.map(|()| 0),
                                    gone = senders[1].on_send(b) => gone.map(|()| 1),
                                    gone = senders[2].on_send(c), if chance.below(2) == 0 => gone.map(|()| 2),
                                    () = select::after(at) => Ok(usize::MAX),
                                };
                                let gone = |to: usize| before[to] && values[to].is_none();
                                let all: Vec<usize> = (0..CHANNELS).filter(|to| gone(*to)).collect();
                                let chosen = chosen.and_then(|sent| sent);
                                assert_eq!(all, Vec::from_iter(chosen.iter().copied().filter(|to| *to < CHANNELS)));
                                sent.borrow_mut().extend(all.iter().map(|to| (k, *to, n)));
                                chosen?;
                            }
                            if chance.below(4) == 0 {
                                yield_now();
                            }
                        }
                        Ok::<_, io::Error>(())
                    })?);
                }
                for k in 0..3 {
                    let (receivers, received) = (receivers.clone(), &received);
                    let mut chance = Chance(seed * 2000 + k as u64);
                    fibers.push(s.spawn(move || {
                        loop {
                            // The first two channels have one receiver each, the third has all.
                            let first = receivers[0].on_recv();
                            let value = select! {
                                value = Some(first), if k == 0 => value,
                                value = receivers[1].on_recv(), if k == 1 => value,
                                value = receivers[2].on_recv() => value,
                                () = select::after(Duration::from_micros(chance.below(50))) => Some((usize::MAX, 0, 0)),
                            };
                            let Some(value) = value? else { return Ok(()) };
                            received.borrow_mut().extend((value.0 != usize::MAX).then_some((k, value)));
                            if chance.below(3) == 0 {
                                yield_now();
                            }
                        }
                    })?);
                }
                let mut chance = Chance(seed);
                for _ in 0..chance.below(5) {
                    sleep(Duration::from_micros(chance.below(300)))?;
                    fibers[chance.below(7) as usize].cancel();
                }
                // The producers end by themselves, the receivers when somebody ends them.
                for (i, fiber) in fibers.into_iter().enumerate() {
                    if i >= 4 {
                        fiber.cancel();
                    }
                    let ended: io::Result<()> = fiber.join()?;
                    assert!(ended.is_ok() || is_cancelled(&ended.unwrap_err()));
                }
                Ok::<_, io::Error>(())
            })?;
            left = receivers.iter().flat_map(|receiver| std::iter::from_fn(|| receiver.try_recv())).collect::<Vec<_>>();
            Ok::<_, io::Error>(())
        });
        done.unwrap().unwrap();
        let (mut sent, received) = (sent.take(), received.take());
        // In order, where one receives all that one has sent into a channel.
        for (k, from) in (0..2).flat_map(|k| (0..4).map(move |from| (k, from))) {
            let numbers =
                received.iter().filter(|(_, value)| (value.0, value.1) == (from, k)).map(|(_, value)| value.2);
            assert!(numbers.is_sorted(), "seed {seed}");
        }
        let mut got: Vec<Value> = received.into_iter().map(|(_, value)| value).chain(left.drain(..)).collect();
        got.sort_unstable();
        sent.sort_unstable();
        assert_eq!(got, sent, "seed {seed}");
    }
}
