//! How connections fail, and come back.

mod support;

use becket_mosquitto::{Event, LogLevel, Outcome, Protocol, Publish, QoS, Reason, ReasonCode, Uncertain};
use std::collections::HashMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};
use support::broker::{Broker, free_port};
use support::{Harness, World, listen, options, read_packet};

fn reason(event: &Event) -> Option<&Reason> {
    if let Event::Disconnected { reason, .. } = event { Some(reason) } else { None }
}

fn reasons(world: &World) -> Vec<&Reason> {
    world.events.iter().filter_map(reason).collect()
}

/// Publishes at QoS 1 and 2 while the broker dies and comes back without its memory: each message is acknowledged, but
/// for those of QoS 2 that were under way then, which nobody can be certain of; and is told so once.
fn killed_and_restarted(protocol: Protocol) {
    let Some(mut broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = harness.join(options(&broker.url()).protocol(protocol).queue(1000, 1 << 20));
    client.subscribe("back/#", QoS::AtLeastOnce).unwrap();
    let mut deliveries = Vec::new();
    let mut publish = |n: usize| {
        for _ in 0..n {
            let qos = if deliveries.len() % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let text = deliveries.len().to_string();
            deliveries.push(client.publish(Publish::new("out", text).qos(qos)).unwrap());
        }
    };
    publish(100);
    harness.until("some answers", |world| world.outcomes().len() >= 10);
    publish(100);
    broker.kill();
    publish(100);
    harness.until("a loss", |world| !reasons(world).is_empty());
    harness.run_for(Duration::from_millis(300));
    publish(100);
    broker.restart();
    harness.until("all answers", |world| world.outcomes().len() == 400);
    // The embedded one may throw out a client whose last connection it has not cleared away yet.
    let surely_two = |n: usize| n == 2 || n > 2 && !broker.is_mosquitto();
    assert!(surely_two(harness.world.connections()));
    let mut told = HashMap::new();
    for (id, outcome) in harness.world.outcomes() {
        let exactly_once = deliveries.iter().position(|d| d.id() == id).unwrap() % 2 == 1;
        let uncertain = exactly_once && outcome == Outcome::Uncertain(Uncertain::SessionLost);
        assert!(outcome.is_acknowledged() || uncertain, "{outcome}");
        *told.entry(id).or_insert(0) += 1;
    }
    assert!(deliveries.iter().all(|d| told[&d.id()] == 1));
    let uncertain = deliveries.iter().filter(|d| !d.outcome().is_some_and(Outcome::is_acknowledged)).count();
    assert!(uncertain <= 20, "no more than were under way");

    // The subscription came back by itself.
    client.publish(Publish::new("back/1", "x")).unwrap();
    harness.until("a message", |world| !world.messages().is_empty() && world.outcomes().len() == 401);
    let answers = harness.world.count(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. }));
    assert!(surely_two(answers), "one for each session");
    assert_eq!(client.backlog().under_way, 0);
}

#[test]
fn a_killed_broker_loses_nothing_over_3_1_1() {
    killed_and_restarted(Protocol::V311);
}

#[test]
fn a_killed_broker_loses_nothing_over_5() {
    killed_and_restarted(Protocol::V5);
}

#[test]
fn a_frozen_broker_is_noticed_by_the_keep_alive() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = harness.join(options(&broker.url()).keep_alive(Duration::from_secs(5)));
    harness.until("connected", |world| world.connections() == 1);
    broker.freeze();
    let begin = Instant::now();
    let delivery = client.publish(Publish::new("t", "x")).unwrap();
    harness.until("a loss", |world| !reasons(world).is_empty());
    assert_eq!(reasons(&harness.world), [&Reason::KeepAlive]);
    assert!(begin.elapsed() < Duration::from_secs(20));
    broker.thaw();
    harness.until("an answer", |world| !world.outcomes().is_empty());
    assert!(delivery.outcome().unwrap().is_acknowledged());
    assert!(harness.world.connections() >= 2);
}

#[test]
fn a_port_without_a_broker_is_tried_until_there_is_one() {
    let port = free_port();
    let mut harness = Harness::new();
    harness.join(options(&format!("mqtt://127.0.0.1:{port}")));
    harness.until("three losses", |world| reasons(world).len() == 3);
    assert!(reasons(&harness.world).iter().all(|r| r.raw_os_error() == Some(libc::ECONNREFUSED)));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    harness.until("a connection", |_| {
        stream = stream.take().or_else(|| listener.accept().ok());
        stream.is_some()
    });
    let mut stream = stream.unwrap().0;
    stream.set_nonblocking(false).unwrap();
    assert_eq!(read_packet(&mut stream).0, 0x10);
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    harness.until("connected", |world| world.connections() == 1);
}

#[test]
fn a_socket_file_that_is_not_there_is_named_by_its_error() {
    let mut harness = Harness::new();
    harness.join(options("unix:/nonexistent/socket"));
    harness.until("a loss", |world| !reasons(world).is_empty());
    assert_eq!(reasons(&harness.world)[0].raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_client_comes_back_to_a_unix_socket() {
    let Some(mut broker) = Broker::start() else { return };
    let Some(url) = broker.unix_url() else { return };
    let mut harness = Harness::new();
    let client = harness.join(options(&url));
    harness.until("connected", |world| world.connections() == 1);
    broker.kill();
    harness.until("two losses", |world| reasons(world).len() >= 2);
    assert!(matches!(reasons(&harness.world)[0], Reason::Lost | Reason::Os(libc::ECONNRESET)));
    assert_eq!(reasons(&harness.world)[1].raw_os_error(), Some(libc::ECONNREFUSED), "the file is there, and nobody");
    broker.restart();
    harness.until("connected again", |world| world.connections() == 2);
    let delivery = client.publish(Publish::new("t", "x")).unwrap();
    harness.until("an answer", |_| delivery.outcome().is_some());
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    // The name has an address of each family on most machines, and the broker serves one of them.
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    harness.join(options(&format!("mqtt://localhost:{}", broker.port())));
    harness.until("connected", |world| world.connections() == 1);
    assert!(reasons(&harness.world).is_empty(), "one attempt found it");
}

#[test]
fn each_attempt_and_each_wait_is_told() {
    let port = free_port();
    let mut harness = Harness::new();
    harness.join(options(&format!("mqtt://localhost:{port}")));
    let until = |e: &Event| if let Event::BackingOff { until } = e { Some(*until) } else { None };
    harness.until("two waits", |world| world.events.iter().filter_map(until).count() == 2);
    let mut over = Instant::now();
    let mut attempts = 0;
    for event in &harness.world.events {
        match event {
            // Each of the host's addresses, by its number.
            Event::Connecting { to } => {
                let to = to.to_string();
                let addresses = [format!("mqtt://127.0.0.1:{port}"), format!("mqtt://[::1]:{port}")];
                assert!(addresses.contains(&to), "{to}");
                attempts += 1;
            }
            Event::Disconnected { reason, .. } => assert!(reason.raw_os_error().is_some(), "{reason}"),
            Event::BackingOff { until } => over = *until,
            other => panic!("{other:?}"),
        }
    }
    assert!(attempts >= 2);
    // A wait is never short.
    harness.until("a third attempt", |world| world.count(|e| matches!(e, Event::Connecting { .. })) > attempts);
    assert!(Instant::now() >= over);
}

#[test]
fn a_name_that_nobody_knows_is_an_attempt_that_failed() {
    let mut harness = Harness::new();
    harness.join(options("mqtt://no-such-host.invalid").connect_timeout(Duration::from_secs(1)));
    harness.until("two losses", |world| reasons(world).len() == 2);
    assert!(reasons(&harness.world).iter().all(|r| matches!(r, Reason::Resolve(_))));
}

#[test]
fn a_client_that_may_not_connect_gives_up() {
    let Some(broker) = Broker::mosquitto("allow_anonymous false") else { return };
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut harness = Harness::new();
        let client = harness.join(options(&broker.url()).protocol(protocol).credentials("me", "wrong"));
        let waiting = client.publish(Publish::new("t", "x")).unwrap();
        harness.until("the end", |world| world.has(|e| matches!(e, Event::Failed(_))));
        assert_eq!(harness.world.events.last(), Some(&Event::Failed(Reason::Refused(ReasonCode(0x87)))));
        assert!(matches!(waiting.outcome(), Some(Outcome::Dropped(_))));
        assert!(client.is_closed());
        assert_eq!(harness.ctx.run(&mut harness.world).unwrap(), 0, "it has left the loop");
    }
}

#[test]
fn a_silent_server_is_left_after_the_connect_timeout_and_costs_nothing_meanwhile() {
    let (listener, url) = listen();
    let mut harness = Harness::new();
    harness.join(options(&url).connect_timeout(Duration::from_secs(2)));
    harness.until("a loss", |world| !reasons(world).is_empty());
    assert_eq!(reasons(&harness.world), [&Reason::ConnectTimeout]);
    assert!(harness.turns <= 6, "{} turns", harness.turns);
    // The first connection was closed: after the CONNECT there is the end of the stream.
    let mut stream = listener.accept().unwrap().0;
    assert_eq!(read_packet(&mut stream).0, 0x10);
    assert_eq!(std::io::Read::read(&mut stream, &mut [0; 8]).unwrap(), 0);
}

#[test]
fn an_idle_client_turns_the_loop_once_a_second() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    harness.join(options(&broker.url()));
    harness.until("connected", |world| world.connections() == 1);
    let before = harness.turns;
    harness.run_for(Duration::from_millis(3500));
    assert!(harness.turns - before <= 6, "{} turns", harness.turns - before);
}

#[test]
fn a_server_of_another_protocol_is_not_one() {
    let (listener, url) = listen();
    // It answers while the loop waits.
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(10)).unwrap();
        stream
    });
    let mut harness = Harness::new();
    harness.join(options(&url));
    harness.until("a loss", |world| !reasons(world).is_empty());
    drop(server.join().unwrap());
    assert_eq!(reasons(&harness.world)[0], &Reason::Protocol);
}

#[test]
fn a_close_is_clean_whatever_the_client_is_doing() {
    let (_listener, silent) = listen();
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    for url in [silent.as_str(), nobody.as_str(), "mqtt://no-such-host.invalid", "unix:/nonexistent"] {
        for turns_before in 0..4 {
            let mut harness = Harness::new();
            let client = harness.join(options(url));
            let delivery = client.publish(Publish::new("t", "x")).unwrap();
            for _ in 0..turns_before {
                harness.ctx.turn(&mut harness.world, Some(Duration::from_millis(20))).unwrap();
            }
            harness.close(&client);
            client.close();
            assert!(delivery.outcome().is_some());
            assert_eq!(harness.ctx.run(&mut harness.world).unwrap(), 0);
            assert_eq!(harness.world.count(|e| *e == Event::Closed), 1);
        }
    }
}

#[test]
fn a_kept_session_keeps_subscriptions_and_messages() {
    let Some(broker) = Broker::start() else { return };
    let kept = || options(&broker.url()).client_id("kept").clean_start(false);
    let mut harness = Harness::new();
    let client = harness.join(kept());
    client.subscribe("s", QoS::AtLeastOnce).unwrap();
    harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { .. })));
    harness.close(&client);

    let mut other = Harness::new();
    let sender = other.join(options(&broker.url()));
    sender.publish(Publish::new("s", "while away")).unwrap();
    other.until("an answer", |world| !world.outcomes().is_empty());

    let mut harness = Harness::new();
    harness.join(kept());
    harness.until("the message", |world| !world.messages().is_empty());
    assert!(harness.world.has(|e| matches!(e, Event::Connected { session_present: true, .. })));
    assert_eq!(harness.world.messages()[0].payload, b"while away");
}

#[test]
fn the_librarys_log_lines_are_events() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    harness.join(options(&broker.url()).log(LogLevel::Debug));
    harness.until("a line about CONNACK", |world| {
        world.has(|e| matches!(e, Event::Log { level: LogLevel::Debug, line } if line.contains("CONNACK")))
    });
}
