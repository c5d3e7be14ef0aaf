//! Streams and requests of fibers: what waits, for how long, and what ends it.

mod support;

use becket_fiber::{Runtime, is_cancelled, sleep, spawn, timeout};
use becket_mosquitto::fiber::{Buffer, Client, Messages, Overflow};
use becket_mosquitto::{Acknowledge, Options, Protocol, Publish, QoS, RequestError, Session};
use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::{LONG, listen, options};

const QOS: QoS = QoS::AtLeastOnce;
const SHORT: Duration = Duration::from_millis(100);

/// Runs `main` in a fiber, and fails where it takes too long.
fn run<T>(main: impl FnOnce() -> io::Result<T>) -> T {
    Runtime::new().unwrap().run(|| timeout(LONG, main)).unwrap().unwrap()
}

fn v5(broker: &Broker) -> Options {
    options(&broker.url()).protocol(Protocol::V5)
}

fn number(message: &becket_mosquitto::Message) -> usize {
    std::str::from_utf8(&message.payload).unwrap().parse().unwrap()
}

/// A call that waits for ever where it is called ends with the deadline around it, never early, and with a
/// cancellation.
fn ends<T: 'static>(what: &str, call: impl Fn() -> io::Result<T> + Clone + 'static) -> io::Result<()> {
    let begin = Instant::now();
    let late = timeout(SHORT, &call).err().unwrap_or_else(|| panic!("{what} came to an end"));
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{what}: {late}");
    assert!(begin.elapsed() >= SHORT, "{what}");
    let fiber = spawn(call.clone())?;
    sleep(SHORT / 4)?;
    fiber.cancel();
    let cancelled = fiber.join()?.err().unwrap_or_else(|| panic!("{what} came to an end"));
    assert!(is_cancelled(&cancelled), "{what}: {cancelled}");
    // One that was cancelled before it began.
    let fiber = spawn(call)?;
    fiber.cancel();
    assert!(is_cancelled(&fiber.join()?.err().unwrap_or_else(|| panic!("{what} came to an end"))));
    Ok(())
}

#[test]
fn every_call_that_waits_keeps_the_deadline_and_can_be_cancelled() {
    let Some(broker) = Broker::start() else { return };
    let (_silent, silent) = listen();
    run(|| {
        ends("connect", move || Client::connect(options(&silent)))?;
        let (client, events) = Client::start(v5(&broker).queue(1, 1 << 20).window(1))?;
        while events.next()?.is_some_and(|event| !matches!(event, becket_mosquitto::Event::Connected { .. })) {}
        let messages = Rc::new(client.subscribe("t", QOS)?);
        while events.try_next().is_some() {}
        let stream = Rc::clone(&messages);
        ends("next", move || stream.next())?;
        let events = Rc::new(events);
        ends("events", move || events.next())?;
        broker.freeze();
        let other = client.clone();
        ends("subscribe", move || other.subscribe("other", QOS))?;
        let other = client.clone();
        let requests: Vec<_> = (0..2).map(|_| client.publish(Publish::new("t", "x"))).collect::<io::Result<_>>()?;
        ends("publish", move || other.publish(Publish::new("t", "no")))?;
        let other = client.clone();
        ends("request, which waits for room", move || other.request(Publish::new("t", "no")))?;
        let waiting = requests[0].clone();
        ends("wait", move || waiting.wait())?;
        broker.thaw();
        for delivery in requests {
            assert!(delivery.wait()?.is_acknowledged());
        }
        let other = client.clone();
        ends("request, which waits for an answer", move || other.request(Publish::new("t", "quiet")))?;
        // What was given up has left nothing, and what was accepted has arrived.
        let mut got = Vec::new();
        while let Ok(Some(message)) = timeout(SHORT, || messages.next()) {
            got.push(String::from_utf8(message.payload).unwrap());
        }
        assert_eq!(got.iter().filter(|text| *text == "x").count(), 2, "{got:?}");
        assert!(!got.contains(&"no".to_owned()), "{got:?}");
        broker.freeze();
        client.publish(Publish::new("t", vec![0; 16 << 20]).qos(QoS::AtMostOnce))?;
        let other = client.clone();
        ends("close", move || other.close())?;
        broker.thaw();
        Ok(())
    });
}

#[test]
fn fibers_ask_and_are_answered() {
    const MANY: usize = 200;
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(v5(&broker))?;
        let server = Client::connect(v5(&broker))?;
        let questions = server.subscribe("ask/#", QOS)?;
        let serving = spawn(move || {
            while let Some(question) = questions.next()? {
                let answer = question.response((2 * number(&question)).to_string());
                server.publish(answer.expect("it has a response topic"))?;
            }
            Ok::<_, io::Error>(())
        })?;
        let asked: Vec<_> = (0..MANY)
            .map(|n| {
                let client = client.clone();
                spawn(move || client.request(Publish::new("ask/double", n.to_string())))
            })
            .collect::<Result<_, _>>()?;
        for (n, fiber) in asked.into_iter().enumerate() {
            assert_eq!(number(&fiber.join()??), 2 * n);
        }
        serving.cancel();
        assert!(is_cancelled(&serving.join()?.unwrap_err()));
        assert_eq!(client.handle().late_answers(), 0);

        let old = Client::connect(options(&broker.url()))?;
        let refused = old.request(Publish::new("ask/double", "1")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let wrong = client.request(Publish::new("ask/#", "1")).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        if broker.is_mosquitto() {
            let nobody = client.request(Publish::new("nobody", "")).unwrap_err();
            assert_eq!(nobody.kind(), ErrorKind::NotFound);
            assert!(nobody.get_ref().unwrap().is::<RequestError>());
        }
        client.close()
    });
}

#[test]
fn a_client_that_ends_wakes_every_fiber_that_waits_in_it() {
    let Some(broker) = Broker::start() else { return };
    for closes in [true, false] {
        run(|| {
            let client = Client::connect(v5(&broker).queue(1, 1 << 20).window(1))?;
            let messages = Rc::new(client.subscribe("t", QOS)?);
            broker.freeze();
            let delivery = client.publish(Publish::new("x", "1"))?;
            client.publish(Publish::new("x", "2"))?;
            let woken = Rc::new(Cell::new(0));
            // Each waits in another call, with a handle of its own where the call needs one.
            let wait = |call: Wait| {
                let (handle, woken) = (client.clone(), Rc::clone(&woken));
                spawn(move || {
                    let result = call(&handle);
                    woken.set(woken.get() + 1);
                    result
                })
            };
            let other = Rc::clone(&messages);
            let fibers = [
                wait(Box::new(move |_| other.next().map(|next| assert_eq!(next, None))))?,
                wait(Box::new(move |_| delivery.wait().map(drop)))?,
                wait(Box::new(|client| client.subscribe("u", QOS).map(drop)))?,
                wait(Box::new(|client| client.publish(Publish::new("x", "3")).map(drop)))?,
                wait(Box::new(|client| client.request(Publish::new("x", "3")).map(drop)))?,
            ];
            sleep(SHORT)?;
            assert_eq!(woken.get(), 0);
            if closes {
                client.handle().close();
            }
            // In a callback of the loop, with the fibers waiting.
            let handle = client.handle().clone();
            drop(client);
            becket_fiber::with_ctx(|ctx| {
                ctx.defer(move |(), _| {
                    handle.close();
                    Ok(())
                })
            })?;
            let kinds: Vec<_> =
                fibers.into_iter().map(|fiber| Ok(fiber.join()?.err().map(|e| e.kind()))).collect::<io::Result<_>>()?;
            let closed = Some(ErrorKind::BrokenPipe);
            assert_eq!(kinds, [None, None, closed, closed, closed]);
            broker.thaw();
            Ok(())
        });
    }
}

#[test]
fn a_client_is_dropped_inside_its_own_handler() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(v5(&broker))?;
        let messages = client.subscribe("t", QOS)?;
        let publisher = client.handle().clone();
        let held = Rc::new(Cell::new(Some((client, messages))));
        let alive = Rc::downgrade(&held);
        let handler = move |(): &mut (), _: &mut _, _: &_, _| {
            // The last handle, the stream, and with the client's end this closure.
            drop(held.take());
            Ok(becket_loop::Next::Keep)
        };
        publisher.on("t", QOS, handler)?;
        publisher.publish(Publish::new("t", "x"))?;
        while !publisher.is_closed() || alive.upgrade().is_some() {
            sleep(SHORT / 10)?;
        }
        Ok(())
    });
}

type Wait = Box<dyn FnOnce(&Client) -> io::Result<()>>;

/// Publishes numbers to a stream that nobody reads, until a message behind them has arrived.
fn fill(client: &Client, buffer: Buffer, many: usize) -> io::Result<Messages> {
    let messages = client.subscribe_with("t", QOS, buffer)?;
    let end = client.subscribe("end", QOS)?;
    let all: Vec<_> = (0..many).map(|n| client.publish(Publish::new("t", n.to_string()))).collect::<io::Result<_>>()?;
    for delivery in all {
        delivery.wait()?;
    }
    client.publish(Publish::new("end", ""))?;
    end.next()?;
    Ok(messages)
}

#[test]
fn a_full_buffer_drops_the_oldest_or_the_newest_and_counts() {
    let Some(broker) = Broker::start() else { return };
    for (overflow, expected) in [(Overflow::DropOldest, 20..30), (Overflow::DropNewest, 0..10)] {
        run(|| {
            let client = Client::connect(options(&broker.url()))?;
            let messages = fill(&client, Buffer::new(10).overflow(overflow), 30)?;
            assert_eq!((messages.waiting(), messages.lost()), (10, 20));
            let got: Vec<_> = std::iter::from_fn(|| messages.try_next()).map(|m| number(&m)).collect();
            assert!(got.into_iter().eq(expected), "{overflow:?}");
            client.publish(Publish::new("t", "7"))?;
            assert_eq!(number(&messages.next()?.unwrap()), 7);
            client.close()
        });
    }
}

#[test]
fn a_full_buffer_that_pauses_loses_nothing_and_stays_small() {
    const MANY: usize = 20_000;
    let config = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0";
    let Some(broker) = Broker::mosquitto(config) else { return };
    run(|| {
        let client = Client::connect(options(&broker.url()))?;
        let messages = client.subscribe_with("t", QOS, Buffer::new(100).overflow(Overflow::Pause))?;
        let sender = Client::connect(options(&broker.url()).window(100))?;
        let sending = spawn(move || {
            let mut last = None;
            for n in 0..MANY {
                last = Some(sender.publish(Publish::new("t", n.to_string()))?);
            }
            last.expect("many").wait()
        })?;
        let mut highest = 0;
        for n in 0..MANY {
            if n % 1000 == 0 {
                // Slower than the sender.
                sleep(Duration::from_millis(10))?;
            }
            assert_eq!(number(&messages.next()?.expect("the client lives")), n);
            highest = highest.max(messages.waiting());
        }
        assert!(sending.join()??.is_acknowledged());
        assert_eq!(messages.lost(), 0);
        assert!((50..1000).contains(&highest), "{highest}");
        assert!(!client.handle().is_paused());

        // One that goes while it is full leaves no pause behind.
        let full = client.subscribe_with("u", QOS, Buffer::new(1).overflow(Overflow::Pause))?;
        client.publish(Publish::new("u", "1"))?;
        while !client.handle().is_paused() {
            sleep(SHORT / 10)?;
        }
        drop(full);
        assert!(!client.handle().is_paused());
        client.publish(Publish::new("t", "1"))?.wait()?;
        client.close()
    });
}

#[test]
fn a_fiber_acknowledges_what_it_has_handled_when_it_asks_for_more() {
    let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
    run(|| {
        let kept = || options(&broker.url()).client_id("kept").session(Session::Kept).linger(SHORT);
        let client = Client::connect(kept().acknowledge(Acknowledge::WhenHandled))?;
        let messages = client.subscribe("t", QOS)?;
        let sender = Client::connect(options(&broker.url()))?;
        let send = |n: usize| sender.publish(Publish::new("t", n.to_string()))?.wait();
        for n in 0..3 {
            send(n)?;
            assert_eq!(number(&messages.next()?.unwrap()), n);
        }
        // The third one is being handled: the fiber did not ask for another.
        let held = client.publish(Publish::new("other", "x"))?;
        sleep(SHORT)?;
        assert_eq!(held.outcome(), None, "what is sent waits behind the acknowledgement");
        assert_eq!(messages.try_next(), None);
        assert!(held.wait()?.is_acknowledged());
        send(3)?;
        assert_eq!(number(&messages.next()?.unwrap()), 3);
        // The client ends without a word, as the process would.
        client.close()?;
        drop(messages);
        // Who waits for the connection first misses what comes with it.
        let (next, _events) = Client::start(kept())?;
        let again = next.subscribe("t", QOS)?;
        assert_eq!(number(&again.next()?.unwrap()), 3);
        next.close()
    });
}

#[test]
fn handlers_and_streams_live_side_by_side() {
    let Some(broker) = Broker::start() else { return };
    run(|| {
        let client = Client::connect(v5(&broker))?;
        let messages = client.subscribe("a/+", QOS)?;
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        let handler = client.handle().on("a/+", QOS, move |(): &mut (), _, _, _| {
            counter.set(counter.get() + 1);
            Ok(becket_loop::Next::Keep)
        })?;
        client.publish(Publish::new("a/b", "1"))?;
        assert_eq!(number(&messages.next()?.unwrap()), 1);
        assert_eq!(count.get(), 1);
        // The stream goes, and the handler keeps the subscription.
        drop(messages);
        client.publish(Publish::new("a/b", "2"))?.wait()?;
        while count.get() < 2 {
            sleep(SHORT / 10)?;
        }
        assert!(client.handle().off(handler));
        client.close()
    });
}
