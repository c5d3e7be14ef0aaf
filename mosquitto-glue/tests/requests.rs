//! Requests and their answers, through a real broker and a server of the test's own.

mod support;

use becket_loop::{Ctx, Next};
use becket_mosquitto::{
    Client, Event, Message, Options, Outcome, Protocol, Publish, QoS, RequestError, SubscribeError,
};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::{Harness, LONG, World, listen, options, read_packet};

const QOS: QoS = QoS::AtLeastOnce;
const SHORT: Duration = Duration::from_millis(200);

fn connected(harness: &mut Harness, options: Options) -> Client {
    let before = harness.world.connections();
    let client = harness.join(options.protocol(Protocol::V5));
    harness.until("connected", |world| world.connections() > before);
    client
}

type Answer = Result<Message, RequestError>;

/// Notes the answer, or why there is none.
fn note(world: &mut World, _: &mut Ctx<World>, _: &Client, answer: Answer) -> becket_loop::Result<()> {
    match answer {
        Ok(message) => world.log.push(("answer", String::from_utf8(message.payload)?)),
        Err(e) => world.log.push(("error", e.to_string())),
    }
    Ok(())
}

fn granted(world: &World) -> bool {
    world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. }))
}

#[test]
fn many_requests_are_open_at_once_and_answered_in_any_order() {
    const MANY: usize = 300;
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let server = connected(&mut harness, options(&broker.url()));
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = Rc::clone(&held);
    server
        .on("ask/+", QOS, move |_: &mut World, _, client, message| {
            hold.borrow_mut().push(message);
            // The last ones first.
            if hold.borrow().len() == MANY {
                while let Some(question) = hold.borrow_mut().pop() {
                    let text = [&question.payload[..], b"!"].concat();
                    client.publish(question.response(text).expect("it has a response topic"))?;
                }
            }
            Ok(Next::Keep)
        })
        .unwrap();
    harness.until("a subscription", granted);
    let asker = connected(&mut harness, options(&broker.url()));
    for n in 0..MANY {
        let expected = format!("{n}!");
        let check = move |world: &mut World, _: &mut Ctx<World>, _: &Client, answer: Answer| {
            assert_eq!(answer.unwrap().payload, expected.as_bytes());
            world.log.push(("answer", n.to_string()));
            Ok(())
        };
        asker.request(&mut harness.ctx, Publish::new(format!("ask/{n}"), n.to_string()), LONG, check).unwrap();
    }
    harness.until("all answers", |world| world.log.len() == MANY);
    assert_eq!(harness.world.log[0].1, (MANY - 1).to_string());
    assert_eq!(asker.late_answers(), 0);
    assert!(harness.world.messages().is_empty(), "answers are no events");
}

#[test]
fn a_responder_answers_by_what_it_returns() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    let handler = client
        .respond("double", QOS, |world: &mut World, _, _, request| {
            let number: u32 = std::str::from_utf8(&request.payload)?.parse()?;
            world.log.push(("asked", number.to_string()));
            Ok((number != 13).then(|| (2 * number).to_string().into_bytes()))
        })
        .unwrap();
    client.request(&mut harness.ctx, Publish::new("double", "21"), LONG, note).unwrap();
    harness.until("an answer", |world| world.noted("answer") == ["42"]);
    // Without a response topic nothing is sent.
    client.publish(Publish::new("double", "7")).unwrap();
    client.request(&mut harness.ctx, Publish::new("double", "13"), SHORT, note).unwrap();
    harness.until("no answer", |world| world.noted("error") == [RequestError::TimedOut.to_string()]);
    assert_eq!(harness.world.noted("asked"), ["21", "7", "13"]);
    assert!(client.off(handler));
}

#[test]
fn what_takes_too_long_is_told_in_time_and_a_late_answer_is_counted() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    let held = Rc::new(RefCell::new(None));
    let hold = Rc::clone(&held);
    let keep = move |_: &mut World, _: &mut Ctx<World>, _: &Client, message: Message| {
        *hold.borrow_mut() = Some(message);
        Ok(Next::Keep)
    };
    client.on("slow", QOS, keep).unwrap();
    let begin = Instant::now();
    client.request(&mut harness.ctx, Publish::new("slow", ""), SHORT, note).unwrap();
    harness.until("the timeout", |world| world.noted("error") == [RequestError::TimedOut.to_string()]);
    assert!(begin.elapsed() >= SHORT);
    harness.until("the request", |_| held.borrow().is_some());
    let question = held.take().unwrap();
    assert_eq!(question.properties.as_ref().unwrap().message_expiry, Some(1), "the timeout, rounded up");
    // Twice, and one that is nobody's.
    for _ in 0..2 {
        client.publish(question.response("late").unwrap()).unwrap();
    }
    let topic = question.properties.unwrap().response_topic.unwrap();
    client.publish(Publish::new(topic, "stray")).unwrap();
    harness.until("three late ones", |_| client.late_answers() == 3);

    // One that is given up is not called.
    let id = client.request(&mut harness.ctx, Publish::new("slow", ""), SHORT, note).unwrap();
    assert!(client.cancel_request(id) && !client.cancel_request(id));
    harness.run_for(2 * SHORT);
    assert_eq!(harness.world.log.len(), 1);
}

#[test]
fn nobody_there_is_known_at_once() {
    let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    client.request(&mut harness.ctx, Publish::new("nobody", ""), 10 * LONG, note).unwrap();
    harness.until("an error", |world| world.noted("error") == [RequestError::NoResponder.to_string()]);
}

#[test]
fn version_3_1_1_has_no_requests() {
    let mut harness = Harness::new();
    let client = harness.join(options("unix:/nobody"));
    let refused = client.request(&mut harness.ctx, Publish::new("t", ""), LONG, note).unwrap_err();
    assert_eq!(refused, RequestError::NeedsV5);
    assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::Unsupported);
}

#[test]
fn what_is_wrong_is_said_at_the_call_and_the_end_to_what_is_open() {
    let mut harness = Harness::new();
    let client = harness.join(options("unix:/nobody").protocol(Protocol::V5).queue(1, 1000));
    let wrong = client.request(&mut harness.ctx, Publish::new("a/#", ""), LONG, note).unwrap_err();
    assert!(matches!(wrong, RequestError::Publish(_)), "{wrong}");
    let mut other = becket_loop::Loop::<String>::new().unwrap();
    let state = client.request(&mut other, Publish::new("a", ""), LONG, |_, _, _, _| Ok(())).unwrap_err();
    assert_eq!(state, RequestError::Subscribe(SubscribeError::OtherLoop));
    client.request(&mut harness.ctx, Publish::new("a", ""), LONG, note).unwrap();
    let full = client.request(&mut harness.ctx, Publish::new("a", ""), LONG, note).unwrap_err();
    assert_eq!(std::io::Error::from(full).kind(), std::io::ErrorKind::WouldBlock);
    assert!(harness.world.log.is_empty());
    harness.close(&client);
    assert_eq!(harness.world.log.len(), 1);
    assert!(harness.world.log[0].1.contains("closed"), "{:?}", harness.world.log);
    assert!(client.request(&mut harness.ctx, Publish::new("a", ""), LONG, note).is_err());
}

#[test]
fn a_lost_session_ends_what_the_broker_had_and_what_it_had_not_is_sent_again() {
    let Some(mut broker) = Broker::mosquitto("allow_anonymous true") else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    client
        .on("ask", QOS, |world: &mut World, _, client, message| {
            let text = String::from_utf8(message.payload.clone())?;
            if text == "second" {
                client.publish(message.response("yes").expect("it has a response topic"))?;
            }
            world.log.push(("asked", text));
            Ok(Next::Keep)
        })
        .unwrap();
    client.request(&mut harness.ctx, Publish::new("ask", "first"), LONG, note).unwrap();
    harness.until("the request", |world| {
        world.noted("asked") == ["first"] && world.outcomes().iter().any(|(_, outcome)| outcome.is_acknowledged())
    });
    broker.kill();
    harness.until("a loss", |world| world.has(|e| matches!(e, Event::Disconnected { .. })));
    client.request(&mut harness.ctx, Publish::new("ask", "second"), LONG, note).unwrap();
    let plain = Publish::new("ask", "plain").qos(QoS::AtMostOnce);
    assert!(matches!(client.request(&mut harness.ctx, plain, LONG, note), Err(RequestError::Publish(_))));
    broker.restart();
    harness.until("the end of the first", |world| world.noted("error") == [RequestError::ConnectionLost.to_string()]);
    harness.until("the answer to the second", |world| world.noted("answer") == ["yes"]);
}

/// Answers the first packets of a client: its CONNECT, with these bytes, and its SUBSCRIBE, with a reason code.
fn serve(listener: std::net::TcpListener, connack: &'static [u8], code: u8) -> std::thread::JoinHandle<Vec<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert_eq!(read_packet(&mut stream).0, 0x10);
        stream.write_all(connack).unwrap();
        let subscribe = read_packet(&mut stream);
        assert_eq!(subscribe.0, 0x82);
        stream.write_all(&[0x90, 4, subscribe.1[0], subscribe.1[1], 0, code]).unwrap();
        let publish = read_packet(&mut stream);
        assert_eq!(publish.0 & 0xf0, 0x30);
        // Until the client goes.
        let _ = std::io::Read::read(&mut stream, &mut [0; 64]);
        vec![subscribe.1, publish.1]
    })
}

#[test]
fn the_brokers_response_information_is_the_response_topic() {
    let (listener, url) = listen();
    // Session none, success; response information "mine".
    let server = serve(listener, &[0x20, 10, 0, 0, 7, 26, 0, 4, b'm', b'i', b'n', b'e'], 1);
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&url));
    client.request(&mut harness.ctx, Publish::new("t", ""), LONG, note).unwrap();
    harness.until("the subscription", granted);
    harness.run_for(SHORT);
    drop(harness);
    let [subscribe, publish] = server.join().unwrap().try_into().unwrap();
    assert!(subscribe.windows(6).any(|w| w == b"\0\x04mine"), "{subscribe:?}");
    assert!(publish.windows(7).any(|w| w == b"\x08\0\x04mine"), "{publish:?}");
}

#[test]
fn a_refused_response_topic_ends_the_requests() {
    let (listener, url) = listen();
    let server = serve(listener, &[0x20, 3, 0, 0, 0], 0x87);
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&url).client_id("a/b"));
    client.request(&mut harness.ctx, Publish::new("t", ""), LONG, note).unwrap();
    harness.until("an error", |world| world.noted("error").len() == 1);
    assert!(harness.world.log[0].1.contains("Not authorized"), "{:?}", harness.world.log);
    drop(harness);
    let [subscribe, _] = server.join().unwrap().try_into().unwrap();
    assert!(subscribe.windows(13).any(|w| w == b"responses/a_b"), "{subscribe:?}");
}

#[test]
fn a_request_that_the_broker_would_refuse_is_not_delivered() {
    let (listener, url) = listen();
    // A maximum packet size of 60.
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert_eq!(read_packet(&mut stream).0, 0x10);
        stream.write_all(&[0x20, 8, 0, 0, 5, 39, 0, 0, 0, 60]).unwrap();
        while std::io::Read::read(&mut stream, &mut [0; 64]).is_ok_and(|n| n > 0) {}
    });
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&url));
    client.request(&mut harness.ctx, Publish::new("t", vec![0; 100]), LONG, note).unwrap();
    harness.until("an error", |world| world.noted("error").len() == 1);
    assert!(matches!(harness.world.outcomes()[0].1, Outcome::Refused(_)));
    drop(harness);
    server.join().unwrap();
}
