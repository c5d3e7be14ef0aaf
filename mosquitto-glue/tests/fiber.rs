//! The fiber face, through a real broker.

mod support;

use becket_fiber::{Runtime, backend, is_cancelled, scope, select, sleep, spawn, timeout};
use becket_mosquitto::fiber::Client;
use becket_mosquitto::{Event, Outcome, Protocol, Publish, PublishError, QoS, Reason, Uncertain, WhenFull};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::{LONG, listen, options};

/// Runs `main` in a fiber, and fails where it takes too long.
fn run<T>(main: impl FnOnce() -> io::Result<T>) -> T {
    Runtime::new().unwrap().run(|| timeout(LONG, main)).unwrap().unwrap()
}

fn text(message: &becket_mosquitto::Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

#[test]
fn what_one_fiber_publishes_another_gets() {
    let Some(broker) = Broker::start() else { return };
    let epoll = Runtime::builder().backend(backend::Epoll::new().unwrap());
    let poll = Runtime::builder().backend(backend::Poll::new().unwrap());
    for (builder, protocol) in [(epoll, Protocol::V311), (poll, Protocol::V5)] {
        let main = || {
            let client = Client::connect(options(&broker.url()).protocol(protocol))?;
            let numbers = client.subscribe("n/+", QoS::ExactlyOnce)?;
            let publisher = client.clone();
            let sent = spawn(move || {
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
                let publish = |n: usize| Publish::new(format!("n/{}", n % 3), n.to_string()).qos(qos[n % 3]);
                let all: Vec<_> = (0..300).map(|n| publisher.publish(publish(n))).collect::<io::Result<_>>()?;
                all.iter().map(|delivery| delivery.wait()).collect::<io::Result<Vec<_>>>()
            })?;
            let mut got = [const { Vec::new() }; 3];
            for _ in 0..300 {
                let message = numbers.next()?.expect("the client lives");
                let n: usize = text(&message).parse().unwrap();
                got[n % 3].push(n);
            }
            // In order, within each level.
            for (level, numbers) in got.iter().enumerate() {
                assert_eq!(*numbers, (level..300).step_by(3).collect::<Vec<_>>());
            }
            for (n, outcome) in sent.join()??.into_iter().enumerate() {
                assert_eq!(outcome == Outcome::Sent, n % 3 == 0);
                assert_eq!(outcome.is_acknowledged(), n % 3 != 0);
            }
            client.close()?;
            assert_eq!(numbers.next()?, None);
            assert_eq!(client.publish(Publish::new("n", "")).unwrap_err().kind(), ErrorKind::BrokenPipe);
            Ok::<_, io::Error>(())
        };
        builder.build().unwrap().run(|| timeout(LONG, main)).unwrap().unwrap();
    }
}

#[test]
fn a_full_queue_makes_publishers_wait_in_their_order() {
    let Some(mut broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(options(&broker.url()).queue(2, 1 << 20).window(1))?;
        let log = client.subscribe("log", QoS::AtLeastOnce)?;
        broker.kill();
        // One is under way and two wait; the others stand in line, and one of them gives up.
        let first: Vec<_> =
            (0..3).map(|n| client.publish(Publish::new("log", n.to_string()))).collect::<io::Result<_>>()?;
        let order = RefCell::new(Vec::new());
        scope(|s| {
            let publish = |n: u32| {
                let (client, order) = (client.clone(), &order);
                move || {
                    let delivery = client.publish(Publish::new("log", n.to_string()))?;
                    order.borrow_mut().push(n);
                    delivery.wait()
                }
            };
            let fibers: Vec<_> = (3..8).map(|n| s.spawn(publish(n))).collect::<Result<_, _>>()?;
            sleep(Duration::from_millis(50))?;
            let late = timeout(Duration::from_millis(50), || client.publish(Publish::new("log", "late")));
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(order.borrow().len(), 0);
            fibers[1].cancel();
            sleep(Duration::from_millis(50))?;
            broker.restart();
            for (n, fiber) in fibers.into_iter().enumerate() {
                match fiber.join()? {
                    Ok(outcome) => assert!(outcome.is_acknowledged()),
                    Err(e) => assert!(n == 1 && is_cancelled(&e), "{n}: {e}"),
                }
            }
            Ok::<_, io::Error>(())
        })?;
        assert_eq!(*order.borrow(), [3, 5, 6, 7]);
        for delivery in first {
            assert!(delivery.wait()?.is_acknowledged());
        }
        // The first may have come before there was a subscription again.
        let mut seen = Vec::new();
        while seen.last().is_none_or(|n| *n < 7) {
            seen.push(text(&log.next()?.expect("the client lives")).parse::<u32>().unwrap());
        }
        assert!(seen.is_sorted() && [1, 2, 3, 5, 6, 7].iter().all(|n| seen.contains(n)), "{seen:?}");
        client.close()
    });
}

#[test]
fn messages_and_events_are_waited_for_among_other_things() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let (client, events) = Client::start(options(&broker.url()))?;
        let (a, b) = (client.subscribe("a", QoS::AtLeastOnce)?, client.subscribe("b", QoS::AtLeastOnce)?);
        let nothing = select! {
            () = a.on_next() => false,
            () = b.on_next() => false,
            default => true,
        };
        assert!(nothing?);
        for (topic, n) in [("a", 2), ("b", 1)] {
            (0..n).try_for_each(|_| client.publish(Publish::new(topic, "")).map(drop))?;
        }
        let mut got = [0, 0];
        while got != [2, 1] {
            // One that is not chosen, or chosen and not taken, is chosen again.
            select! {
                () = a.on_next() => {},
                () = b.on_next() => {},
            }?;
            got[0] += usize::from(a.try_next().is_some());
            got[1] += usize::from(b.try_next().is_some());
        }
        client.close()?;
        select! { () = a.on_next() => assert_eq!(a.next()?, None) }?;
        let mut last = None;
        while let Some(event) = select! { () = events.on_next() => events.next()? }? {
            last = Some(event);
        }
        assert!(matches!(last, Some(Event::Closed)), "{last:?}");
        Ok(())
    });
}

#[test]
fn a_wait_for_an_answer_can_be_cancelled_and_timed_out() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(options(&broker.url()))?;
        broker.freeze();
        let delivery = client.publish(Publish::new("t", "x"))?;
        let late = timeout(Duration::from_millis(50), || delivery.wait());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let waiter = delivery.clone();
        let fiber = spawn(move || waiter.wait())?;
        sleep(Duration::from_millis(20))?;
        fiber.cancel();
        assert!(is_cancelled(&fiber.join()?.unwrap_err()));
        let refused = timeout(Duration::from_millis(50), || client.subscribe("t", QoS::AtLeastOnce));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(delivery.outcome(), None);
        broker.thaw();
        assert!(delivery.wait()?.is_acknowledged());
        client.close()
    });
}

#[test]
fn several_subscriptions_each_get_their_own() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let (client, events) = Client::start(options(&broker.url()))?;
        client.handle().subscribe("raw", QoS::AtLeastOnce)?;
        let a = client.subscribe("a/#", QoS::AtLeastOnce)?;
        let b = client.subscribe("b", QoS::AtLeastOnce)?;
        for topic in ["a/1", "b", "raw"] {
            client.publish(Publish::new(topic, topic))?.wait()?;
        }
        assert_eq!(text(&a.next()?.unwrap()), "a/1");
        assert_eq!(text(&b.next()?.unwrap()), "b");
        // What nobody subscribed to by a stream is an event.
        let raw = loop {
            if let Event::Message(message) = events.next()?.expect("the client lives") {
                break message;
            }
        };
        assert_eq!(raw.topic, "raw");
        assert!(a.try_next().is_none() && b.try_next().is_none());

        drop(b);
        loop {
            if let Event::Unsubscribed { filter, .. } = events.next()?.expect("the client lives") {
                assert_eq!(filter, "b");
                break;
            }
        }
        client.close()?;
        let mut last = None;
        while let Some(event) = events.next()? {
            last = Some(event);
        }
        assert_eq!((last, events.lost()), (Some(Event::Closed), 0));
        assert_eq!(a.next()?, None);
        Ok(())
    });
}

#[test]
fn what_nobody_takes_is_dropped_and_counted() {
    let Some(broker) = Broker::start() else { return };
    const MORE: usize = 50;
    run(|| {
        let client = Client::connect(options(&broker.url()))?;
        let messages = client.subscribe("t", QoS::AtMostOnce)?;
        let end = client.subscribe("end", QoS::AtLeastOnce)?;
        let total = becket_mosquitto::fiber::Messages::CAPACITY + MORE;
        let all: Vec<_> =
            (0..total).map(|n| client.publish(Publish::new("t", n.to_string()))).collect::<io::Result<_>>()?;
        for delivery in all {
            delivery.wait()?;
        }
        client.publish(Publish::new("end", ""))?;
        end.next()?;
        assert_eq!(messages.lost(), MORE as u64);
        assert_eq!(text(&messages.next()?.unwrap()), MORE.to_string(), "the oldest went");
        client.close()
    });
}

#[test]
fn a_client_that_is_refused_says_so_to_everybody() {
    let Some(broker) = Broker::mosquitto("allow_anonymous false") else { return };
    run(|| {
        let refused = Client::connect(options(&broker.url())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(refused.get_ref().unwrap().is::<Reason>(), "{refused}");

        let (client, _events) = Client::start(options(&broker.url()))?;
        let delivery = client.publish(Publish::new("t", "x"))?;
        assert_eq!(client.subscribe("t", QoS::AtLeastOnce).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(matches!(delivery.wait()?, Outcome::Dropped(_)));
        client.close()
    });
}

#[test]
fn the_last_handle_closes_the_client() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let (client, events) = Client::start(options(&broker.url()))?;
        let other = client.clone();
        drop(client);
        other.publish(Publish::new("t", "x"))?.wait()?;
        drop(other);
        let mut last = None;
        while let Some(event) = events.next()? {
            last = Some(event);
        }
        assert_eq!(last, Some(Event::Closed));
        Ok(())
    });
}

#[test]
fn an_attempt_that_is_timed_out_tells_why_it_fails_and_leaves_nothing() {
    let (_silent, url) = listen();
    let short = Duration::from_millis(100);
    run(|| {
        let silent = timeout(Duration::from_millis(400), || Client::connect(options(&url).connect_timeout(short)));
        let error = silent.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, Reason::ConnectTimeout.to_string()));
        Ok(())
    });
}

#[test]
fn a_runtime_that_ends_takes_its_client_with_it() {
    let Some(broker) = Broker::start() else { return };
    let left = run(|| {
        let client = Client::connect(options(&broker.url()))?;
        broker.freeze();
        let delivery = client.publish(Publish::new("t", "x"))?;
        Ok((client, delivery))
    });
    assert_eq!(left.1.outcome(), Some(Outcome::Uncertain(Uncertain::Closed)));
    drop(left);
    broker.thaw();
}

#[test]
fn outside_of_a_fiber_nothing_waits() {
    assert_eq!(Client::connect(options("mqtt://127.0.0.1")).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_full_queue_refuses_a_fiber_where_that_is_the_policy() {
    let (_silent, url) = listen();
    run(|| {
        let (client, _events) = Client::start(options(&url).queue(1, 1 << 20).when_full(WhenFull::Refuse))?;
        client.publish(Publish::new("t", "1"))?;
        let refused = client.publish(Publish::new("t", "2")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let inside = refused.into_inner().unwrap().downcast::<PublishError>().unwrap();
        assert_eq!(inside.into_publish().payload(), b"2");
        Ok(())
    });
}

#[test]
fn a_message_expires_while_its_fiber_waits_for_room() {
    let (_silent, url) = listen();
    run(|| {
        let (client, _events) = Client::start(options(&url).queue(1, 1 << 20))?;
        let first = client.publish(Publish::new("t", "1"))?;
        let begin = Instant::now();
        let after = Duration::from_millis(100);
        let second = client.publish(Publish::new("t", "2").expire_after(after))?;
        assert!(begin.elapsed() >= after);
        assert_eq!(second.wait()?, Outcome::Expired);
        // The other way round, a message that expires makes room.
        let third = spawn({
            let client = client.clone();
            move || client.publish(Publish::new("t", "3"))
        })?;
        client.close()?;
        assert_eq!(third.join()?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(matches!(first.wait()?, Outcome::Dropped(_)));

        let (client, _events) = Client::start(options(&url).queue(1, 1 << 20))?;
        let first = client.publish(Publish::new("t", "1").expire_after(after))?;
        client.publish(Publish::new("t", "2"))?;
        assert_eq!(first.outcome(), Some(Outcome::Expired));
        Ok(())
    });
}

#[test]
fn a_thread_publishes_through_the_client_of_a_fiber() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(options(&broker.url()))?;
        let got = client.subscribe("t", QoS::ExactlyOnce)?;
        let remote = client.remote();
        let thread = std::thread::spawn(move || {
            let publish = |n: u32| remote.publish(Publish::new("t", n.to_string()).qos(QoS::ExactlyOnce)).unwrap();
            let all: Vec<_> = (0..50).map(publish).collect();
            all.iter().map(|delivery| delivery.wait()).all(Outcome::is_acknowledged)
        });
        for n in 0..50 {
            assert_eq!(text(&got.next()?.expect("the client lives")), n.to_string());
        }
        while !thread.is_finished() {
            sleep(Duration::from_millis(5))?;
        }
        assert!(thread.join().unwrap());
        client.close()
    });
}
