//! Servers that say what no broker should: each costs its connection at most, and is named for what it is.

mod support;

use becket_mosquitto::{Client, Delivery, Event, Options, Outcome, Protocol, Publish, QoS, Reason, ReasonCode};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::server::{Server, answer, behave, connack};
use support::{Harness, LONG, kept, next_packet, options, read_packet};

const BOTH: [Protocol; 2] = [Protocol::V311, Protocol::V5];

fn quick(url: &str, protocol: Protocol) -> Options {
    options(url).protocol(protocol).backoff(Duration::from_millis(1), Duration::from_millis(10)).log(None)
}

fn reasons(harness: &Harness) -> Vec<Reason> {
    let reason = |e: &Event| match e {
        Event::Disconnected { reason, .. } | Event::Failed(reason) => Some(reason.clone()),
        _ => None,
    };
    harness.world.events.iter().filter_map(reason).collect()
}

#[test]
fn each_refusal_is_final_or_not() {
    // Those of MQTT 3.1.1 first, then all of MQTT 5's for a CONNACK.
    let old = (1..=5).map(|code| (Protocol::V311, code, [0x84, 0x85, 0x88, 0x86, 0x87][usize::from(code) - 1]));
    let new = [
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
        0x9c, 0x9d, 0x9f,
    ];
    let passing = [0x80, 0x83, 0x88, 0x89, 0x97, 0x9c, 0x9f];
    for (protocol, code, expected) in old.chain(new.map(|code| (Protocol::V5, code, code))) {
        let server = Server::start(move |_, mut stream| {
            read_packet(&mut stream);
            stream.write_all(&connack(protocol, code)).unwrap();
            // The client is the one who leaves.
            let _ = stream.read(&mut [0]);
        });
        let mut harness = Harness::new();
        let client = harness.join(quick(&server.url(), protocol));
        let waits = client.publish(Publish::new("t", "x")).unwrap();
        let refused = Reason::Refused(ReasonCode(expected));
        if passing.contains(&expected) {
            harness.until("two attempts", |world| world.count(|e| matches!(e, Event::Disconnected { .. })) >= 2);
            assert_eq!(reasons(&harness)[..2], [refused.clone(), refused]);
            assert_eq!(waits.outcome(), None);
        } else {
            harness.until("the end", |world| world.has(|e| matches!(e, Event::Failed(_))));
            assert_eq!(reasons(&harness), [refused]);
            assert!(matches!(waits.outcome(), Some(Outcome::Dropped(_))));
            assert!(client.is_closed());
        }
    }
}

#[test]
fn a_broker_of_the_old_version_says_so_to_the_new_one() {
    let server = Server::start(|_, mut stream| {
        read_packet(&mut stream);
        stream.write_all(&[0x20, 2, 0, 1]).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let mut harness = Harness::new();
    harness.join(quick(&server.url(), Protocol::V5));
    harness.until("the end", |world| world.has(|e| matches!(e, Event::Failed(_))));
    assert_eq!(reasons(&harness), [Reason::Refused(ReasonCode(0x84))]);
}

/// A client with a subscription and a message of each level under way, at a server whose first connection accepts,
/// reads these, and says `bytes`; the connections behind it behave.
struct Spoilt {
    harness: Harness,
    client: Client,
    deliveries: Vec<Delivery>,
    server: Server,
}

impl Spoilt {
    fn new(protocol: Protocol, accept: bool, bytes: Vec<u8>) -> Spoilt {
        let server = Server::start(move |n, mut stream| {
            if n > 0 {
                return behave(protocol, accept, stream);
            }
            read_packet(&mut stream);
            if accept {
                stream.write_all(&connack(protocol, 0)).unwrap();
                (0..3).for_each(|_| drop(read_packet(&mut stream)));
            }
            stream.write_all(&bytes).unwrap();
            // What the client puts up with it would wait for longer.
            linger(&mut stream, Duration::from_millis(300));
        });
        let mut harness = Harness::new();
        let client = harness.join(quick(&server.url(), protocol));
        client.subscribe("s", QoS::AtLeastOnce).unwrap();
        let publish = |qos| client.publish(Publish::new("t", "x").qos(qos)).unwrap();
        let deliveries = vec![publish(QoS::AtLeastOnce), publish(QoS::ExactlyOnce)];
        Spoilt { harness, client, deliveries, server }
    }

    /// The client comes back, and all is answered as it should be. Why the connection was lost.
    fn recovers(&mut self) -> Reason {
        let deliveries = &self.deliveries;
        self.harness.until("answers", |world| {
            deliveries.iter().all(|d| d.outcome().is_some())
                && world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. }))
                && world.has(|e| matches!(e, Event::Disconnected { .. }))
        });
        assert!(deliveries.iter().all(|d| d.outcome().unwrap().is_acknowledged()));
        assert!(self.harness.turns < 200, "{} turns", self.harness.turns);
        let reasons = reasons(&self.harness);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        self.harness.close(&self.client);
        // A third one may have cleared the session.
        assert!((2..=3).contains(&self.server.accepted()));
        reasons[0].clone()
    }
}

/// Reads until the other side is gone, or for so long.
fn linger(stream: &mut TcpStream, time: Duration) {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        stream.set_read_timeout(Some(left)).unwrap();
        if !matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            return;
        }
    }
}

#[test]
fn what_is_not_mqtt_costs_the_connection() {
    let always: &[&[u8]] = &[
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello world, this is no record of TLS",
        &[0x00, 0],                                           // no packet
        &[0x10, 12, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 0], // CONNECT
        &[0x82, 6, 0, 1, 0, 1, b'a', 0],                      // SUBSCRIBE
        &[0xa2, 5, 0, 1, 0, 1, b'a'],                         // UNSUBSCRIBE
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],                // a length of five bytes
        &[0x36, 5, 0, 1, b'a', 0, 1],                         // PUBLISH at QoS 3
        &[0x30, 4, 0, 9, b'a', b'b'],                         // its topic longer than the packet
        &[0x30, 2, 0, 0],                                     // no topic
        &[0x30, 1, 0],                                        // half a length
        &[0x32, 4, 0, 1, b'a', 0],                            // half an identifier
        &[0x32, 5, 0, 1, b'a', 0, 0],                         // the identifier that is none
        &[0x40, 0],                                           // PUBACK of nothing
        &[0x40, 1, 0],
        &[0x40, 2, 0, 0],
        &[0x50, 1, 0],
        &[0x60, 2, 0, 1], // PUBREL with the flags of another
        &[0x62, 1, 0],
        &[0x70, 0],
        &[0x90, 1, 0],
        &[0x90, 2, 0, 0],
        &[0xb0, 1, 0],
        &[0x20, 0],
    ];
    let only_5: &[&[u8]] = &[
        &[0x30, 4, 0, 1, b'a', 9],                   // properties longer than the packet
        &[0x30, 8, 0, 1, b'a', 4, 1, 1, 1, 1],       // one twice
        &[0x30, 6, 0, 1, b'a', 2, 33, 0],            // one of another packet
        &[0x30, 9, 0, 1, b'a', 5, 8, 0, 9, b'x', 0], // a text longer than the property
    ];
    for protocol in BOTH {
        let more: &[&[u8]] = if protocol == Protocol::V5 { only_5 } else { &[] };
        let unknown: &[&[u8]] = &[&[0x30, 6, 0, 1, b'a', 2, 0x77, 0]]; // a property that there is not
        let is_survived = protocol == Protocol::V5 && support::survives_unknown_properties();
        let more = more.iter().chain(if is_survived { unknown } else { &[] });
        for (accept, bytes) in always.iter().chain(more).flat_map(|bytes| [(true, bytes), (false, bytes)]) {
            let reason = Spoilt::new(protocol, accept, bytes.to_vec()).recovers();
            println!("{protocol:?} {accept} {bytes:?}: {reason}");
            assert!(matches!(reason, Reason::Protocol | Reason::Lost), "{bytes:?}: {reason:?}");
        }
    }
}

#[test]
fn answers_to_what_was_never_asked_change_nothing() {
    for protocol in BOTH {
        for bytes in [
            [0x40, 2, 0x12, 0x34].as_slice(),
            &[0x50, 2, 0x12, 0x34],
            &[0x62, 2, 0x12, 0x34],
            &[0x70, 2, 0x12, 0x34],
            &[0x90, 4, 0x12, 0x34, 0, 1],
            &[0xb0, 4, 0x12, 0x34, 0, 0],
            &[0xd0, 0],
            &connack(protocol, 0),
        ] {
            let mut spoilt = Spoilt::new(protocol, true, bytes.to_vec());
            spoilt.harness.run_for(Duration::from_millis(100));
            assert!(spoilt.deliveries.iter().all(|d| d.outcome().is_none()), "{bytes:?}");
            println!("{protocol:?} {bytes:?}: {}", spoilt.recovers());
        }
    }
}

#[test]
fn a_suback_without_a_code_or_with_too_many_is_no_crash() {
    for protocol in BOTH {
        let none: &[u8] = if protocol == Protocol::V5 { &[0] } else { &[] };
        for codes in [none.to_vec(), [none, &[1, 0, 2]].concat(), [none, &[0x87]].concat(), [none, &[0x33]].concat()] {
            let plain = codes.len() - none.len();
            let server = Server::start(move |n, mut stream| {
                if n > 0 {
                    return behave(protocol, true, stream);
                }
                read_packet(&mut stream);
                stream.write_all(&connack(protocol, 0)).unwrap();
                let (_, subscribe) = read_packet(&mut stream);
                let header = [0x90, 2 + codes.len() as u8, subscribe[0], subscribe[1]];
                stream.write_all(&[&header, codes.as_slice()].concat()).unwrap();
                behave(protocol, true, stream);
            });
            let mut harness = Harness::new();
            let client = harness.join(quick(&server.url(), protocol));
            client.subscribe("s", QoS::AtLeastOnce).unwrap();
            // No code is no consent; newer libraries end the connection for it.
            harness.until("an answer", |world| world.has(|e| matches!(e, Event::Subscribed { .. })));
            let Some(granted) = harness.world.events.iter().find_map(|e| match e {
                Event::Subscribed { granted, .. } => Some(*granted),
                _ => None,
            }) else {
                unreachable!()
            };
            match plain {
                0 => assert!(granted.is_err() || !reasons(&harness).is_empty(), "{granted:?}"),
                1 => assert!(granted.is_err(), "{granted:?}"),
                _ => assert_eq!(granted, Ok(QoS::AtLeastOnce)),
            }
            // As good as new.
            let delivery = client.publish(Publish::new("t", "x")).unwrap();
            harness.until("an answer", |_| delivery.outcome().is_some());
            assert!(delivery.outcome().unwrap().is_acknowledged());
        }
    }
}

#[test]
fn a_packet_that_never_ends_is_left_by_the_keep_alive() {
    let packets: [&[u8]; 4] = [
        &[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'a'], // 256 MiB
        &[0x30, 40, 0, 1, b'a'],
        &[0x40, 0x80],
        &[0x90],
    ];
    std::thread::scope(|scope| {
        for bytes in packets {
            scope.spawn(move || {
                let server = Server::start(move |n, mut stream| {
                    if n > 0 {
                        return behave(Protocol::V311, true, stream);
                    }
                    read_packet(&mut stream);
                    stream.write_all(&connack(Protocol::V311, 0)).unwrap();
                    stream.write_all(bytes).unwrap();
                    // Whatever it says goes into that packet.
                    while let Ok((first, body)) = next_packet(&mut stream) {
                        if first == 0xc0 {
                            let _ = stream.write_all(&answer(Protocol::V311, first, &body).unwrap());
                        }
                    }
                });
                let mut harness = Harness::new();
                let client = harness.join(quick(&server.url(), Protocol::V311).keep_alive(Duration::from_secs(5)));
                let delivery = client.publish(Publish::new("t", "x")).unwrap();
                harness.until("a loss", |world| world.has(|e| matches!(e, Event::Disconnected { .. })));
                let reasons = reasons(&harness);
                assert!([Reason::KeepAlive, Reason::Protocol].contains(&reasons[0]), "{bytes:?}: {reasons:?}");
                harness.until("an answer", |_| delivery.outcome().is_some());
                assert!(harness.turns < 50, "{} turns", harness.turns);
            });
        }
    });
}

#[test]
fn a_server_that_says_why_it_ends_is_quoted() {
    for code in [0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x93, 0x97, 0x98, 0x9c, 0x9d, 0xa0, 0xa2] {
        // With a text, without properties, and, where there is no code, with nothing.
        let text = [&[0xe0, 10, code, 8, 31, 0, 5][..], b"sorry"].concat();
        let mut packets = vec![text, vec![0xe0, 2, code, 0], vec![0xe0, 1, code]];
        packets.extend((code == 0).then(|| vec![0xe0, 0]));
        for packet in packets {
            let reason = Spoilt::new(Protocol::V5, true, packet.clone()).recovers();
            // The library misses the code where it need not be there.
            let is_missed = packet == [0xe0, 0] && reason == Reason::Protocol;
            assert!(is_missed || reason == Reason::Server(ReasonCode(code)), "{packet:?}: {reason}");
        }
    }
    // MQTT 3.1.1 has no such packet.
    let reason = Spoilt::new(Protocol::V311, true, vec![0xe0, 0]).recovers();
    println!("a DISCONNECT over 3.1.1: {reason}");
}

#[test]
fn a_refused_message_is_refused_with_the_code() {
    for code in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
        let server = Server::start(move |_, mut stream| {
            while let Ok((first, body)) = next_packet(&mut stream) {
                assert_ne!(first >> 4, 6, "what is refused is not released");
                let Some(mut answer) = answer(Protocol::V5, first, &body) else { return };
                if first >> 4 == 3 {
                    answer[1] = 3;
                    answer.push(code);
                }
                stream.write_all(&answer).unwrap();
            }
        });
        let mut harness = Harness::new();
        let client = harness.join(quick(&server.url(), Protocol::V5).window(1));
        let publish = |qos| client.publish(Publish::new("t", "x").qos(qos)).unwrap();
        // With a window of one, the second shows that the first has left it.
        let all = [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].map(publish);
        harness.until("answers", |world| world.outcomes().len() == 4);
        assert!(all.iter().all(|d| d.outcome() == Some(Outcome::Refused(ReasonCode(code)))));
        assert_eq!(client.backlog().under_way, 0);
        assert_eq!(reasons(&harness), []);
    }
}

#[test]
fn limits_of_nothing_are_no_limits_but_an_error() {
    // A receive maximum and a maximum packet size of 0, which would let nothing through for ever.
    for properties in [&[33, 0, 0][..], &[39, 0, 0, 0, 0]] {
        let server = Server::start(move |n, mut stream| {
            if n > 0 {
                return behave(Protocol::V5, false, stream);
            }
            read_packet(&mut stream);
            let len = properties.len() as u8;
            stream.write_all(&[&[0x20, 3 + len, 0, 0, len], properties].concat()).unwrap();
            behave(Protocol::V5, true, stream);
        });
        let mut harness = Harness::new();
        let client = harness.join(quick(&server.url(), Protocol::V5));
        let delivery = client.publish(Publish::new("t", "x")).unwrap();
        harness.until("an answer", |_| delivery.outcome().is_some());
        assert!(delivery.outcome().unwrap().is_acknowledged());
        assert_eq!(reasons(&harness), [Reason::Protocol]);
    }
}

#[test]
fn an_answer_of_another_level_is_none() {
    for protocol in BOTH {
        for (qos, answer) in [(QoS::AtLeastOnce, 0x70), (QoS::ExactlyOnce, 0x40), (QoS::AtLeastOnce, 0x50)] {
            let server = Server::start(move |n, mut stream| {
                if n > 0 {
                    return behave(protocol, true, stream);
                }
                read_packet(&mut stream);
                stream.write_all(&connack(protocol, 0)).unwrap();
                let (_, publish) = read_packet(&mut stream);
                stream.write_all(&[answer, 2, publish[3], publish[4]]).unwrap();
                linger(&mut stream, Duration::from_millis(300));
            });
            let mut harness = Harness::new();
            let client = harness.join(quick(&server.url(), protocol));
            let delivery = client.publish(Publish::new("t", "x").qos(qos)).unwrap();
            harness.until("a loss", |world| world.has(|e| matches!(e, Event::Disconnected { .. })));
            assert_eq!(delivery.outcome(), None);
            harness.until("an answer", |_| delivery.outcome().is_some());
            assert!(delivery.outcome().unwrap().is_acknowledged());
        }
    }
}

/// Plays what the server does in the two connections of a kept session, and returns what the client got: the first ends
/// with the message "old" acknowledged by PUBREC and not released. `present` says whether the session is there again;
/// `again` what goes out then, before "new" comes by the same packet identifier.
fn inbound(protocol: Protocol, present: u8, again: &'static [u8]) -> Vec<String> {
    let publish = move |dup: u8, text: &str| {
        let empty: &[u8] = if protocol == Protocol::V5 { &[0] } else { &[] };
        let len = 5 + empty.len() + text.len();
        [&[0x34 | dup, len as u8, 0, 1, b's', 0, 1][..], empty, text.as_bytes()].concat()
    };
    let server = Server::start(move |n, mut stream| {
        read_packet(&mut stream);
        let mut accept = connack(protocol, 0);
        accept[2] = if n == 0 { 0 } else { present };
        stream.write_all(&accept).unwrap();
        let expect = |stream: &mut TcpStream, kind: u8| {
            while let Ok((first, _)) = next_packet(stream)
                && first >> 4 != kind
            {}
        };
        if n == 0 {
            stream.write_all(&publish(0, "old")).unwrap();
            return expect(&mut stream, 5);
        }
        for step in again {
            match step {
                b'P' => stream.write_all(&publish(8, "old")).unwrap(),
                _ => stream.write_all(&[0x62, 2, 0, 1]).unwrap(),
            }
            expect(&mut stream, if *step == b'P' { 5 } else { 7 });
        }
        stream.write_all(&publish(0, "new")).unwrap();
        expect(&mut stream, 5);
        stream.write_all(&[0x62, 2, 0, 1]).unwrap();
        expect(&mut stream, 7);
        behave(protocol, true, stream);
    });
    let mut harness = Harness::new();
    harness.join(kept(&server.url(), protocol, "kept").backoff(Duration::from_millis(1), Duration::from_millis(10)));
    let count = 1 + again.iter().filter(|step| **step == b'R').count();
    harness.until("the messages", |world| world.messages().len() >= count);
    harness.run_for(Duration::from_millis(50));
    let text = |m: &&becket_mosquitto::Message| String::from_utf8_lossy(&m.payload).into_owned();
    harness.world.messages().iter().map(text).collect()
}

#[test]
fn a_message_that_the_broker_did_not_release_is_not_taken_for_another() {
    for protocol in BOTH {
        // Released after the reconnection; forgotten with the session.
        assert_eq!(inbound(protocol, 1, b"R"), ["old", "new"]);
        assert_eq!(inbound(protocol, 0, b""), ["new"]);
    }
}

/// What libmosquitto cannot do, as the documentation says.
#[test]
fn a_copy_of_what_was_sent_twice_comes_in_place_of_another() {
    for protocol in BOTH {
        assert_eq!(inbound(protocol, 1, b"PR"), ["old", "old"]);
    }
}

#[test]
fn a_message_released_on_a_connection_that_is_gone_is_handed_out() {
    for protocol in BOTH {
        // The client says go, and then does not turn before the reset is there.
        let (taken, is_taken) = channel();
        let (go, may_go) = channel::<()>();
        let (reset, is_reset) = channel();
        let may_go = Mutex::new(may_go);
        let server = Server::start(move |n, mut stream| {
            if n > 0 {
                read_packet(&mut stream);
                let mut accept = connack(protocol, 0);
                accept[2] = 1;
                // It has not heard that the message arrived.
                stream.write_all(&[&*accept, &[0x62, 2, 0, 1]].concat()).unwrap();
                return behave(protocol, true, stream);
            }
            read_packet(&mut stream);
            stream.write_all(&connack(protocol, 0)).unwrap();
            let empty: &[u8] = if protocol == Protocol::V5 { &[0] } else { &[] };
            stream.write_all(&[&[0x34, 6 + empty.len() as u8, 0, 1, b's', 0, 1], empty, b"x"].concat()).unwrap();
            while read_packet(&mut stream).0 >> 4 != 5 {}
            taken.send(()).unwrap();
            may_go.lock().unwrap().recv().unwrap();
            // Whoever answers this writes to a connection that was reset.
            stream.write_all(&[0x62, 2, 0, 1]).unwrap();
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            drop(stream);
            reset.send(()).unwrap();
        });
        let mut harness = Harness::new();
        let client = harness.join(quick(&server.url(), protocol));
        while is_taken.try_recv().is_err() {
            harness.run_for(Duration::from_millis(1));
        }
        go.send(()).unwrap();
        is_reset.recv_timeout(LONG).unwrap();
        harness.until("the next connection", |world| world.connections() == 2);
        let delivery = client.publish(Publish::new("t", "x")).unwrap();
        harness.until("an answer", |_| delivery.outcome().is_some());
        assert_eq!(harness.world.messages().len(), 1, "{protocol:?}");
    }
}

#[test]
fn silence_after_the_connack_is_noticed_by_the_keep_alive() {
    let server = Server::start(|n, mut stream| {
        if n > 0 {
            return behave(Protocol::V311, true, stream);
        }
        read_packet(&mut stream);
        stream.write_all(&connack(Protocol::V311, 0)).unwrap();
        linger(&mut stream, LONG);
    });
    let mut harness = Harness::new();
    let client = harness.join(quick(&server.url(), Protocol::V311).keep_alive(Duration::from_secs(5)));
    client.subscribe("s", QoS::AtLeastOnce).unwrap();
    let delivery = client.publish(Publish::new("t", "x")).unwrap();
    harness.until("an answer", |_| delivery.outcome().is_some());
    assert_eq!(reasons(&harness), [Reason::KeepAlive]);
    assert!(harness.turns < 40, "{} turns", harness.turns);
}

/// Bytes by chance, over and over, always the same: any of them may be understood, none does harm.
#[test]
fn noise_is_survived() {
    if !support::survives_unknown_properties() {
        return;
    }
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for n in 0..60 {
        let len = 1 + next() as usize % 200;
        let mut bytes: Vec<u8> = (0..len).map(|_| next() as u8).collect();
        if n % 2 == 0 {
            // Whole packets of noise, by their outside.
            bytes.truncate(120);
            let kind = [0x20, 0x30, 0x34, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0, 0xe0][next() as usize % 11];
            bytes.splice(0..0, [kind, bytes.len() as u8]);
        }
        let mut spoilt = Spoilt::new(BOTH[n / 2 % 2], n / 4 % 2 == 0, bytes);
        while spoilt.server.accepted() < 2 && !spoilt.client.is_closed() {
            spoilt.harness.run_for(Duration::from_millis(5));
        }
        if !spoilt.client.is_closed() {
            let after = spoilt.client.publish(Publish::new("t", "y")).unwrap();
            spoilt.harness.until("an answer", |_| after.outcome().is_some());
        }
        assert!(spoilt.harness.turns < 400, "{} turns", spoilt.harness.turns);
    }
}
