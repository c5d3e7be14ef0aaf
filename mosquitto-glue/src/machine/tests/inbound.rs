//! Subscriptions and messages on their way in.

use super::*;
use crate::acknowledge::Acknowledge;

/// CONNACK of MQTT 5: no session, accepted, nothing said.
const ACCEPTED_5: &[u8] = &[0x20, 3, 0, 0, 0];

fn connected_5(bench: &mut Bench) -> Peer {
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(ACCEPTED_5);
    bench.until("connected", |b| b.machine.is_up().then_some(()));
    peer
}

/// What `Event::Subscribed` said, in order.
fn answers(bench: &Bench) -> Vec<(&str, Result<QoS, ReasonCode>)> {
    let answer = |e| {
        if let &Event::Subscribed { ref filter, granted, .. } = e { Some((filter.as_str(), granted)) } else { None }
    };
    bench.seen.iter().filter_map(answer).collect()
}

#[test]
fn filters_that_wait_go_out_together_and_each_has_its_code() {
    let mut bench = Bench::new(|o| o);
    for filter in ["a", "b", "c", "d"] {
        bench.machine.subscribe(filter, QoS::AtLeastOnce.into()).unwrap();
    }
    let mut peer = bench.connected();
    let subscribe = bench.packet(&mut peer, 8);
    assert_eq!(subscribe[2..], *b"\0\x01a\x01\0\x01b\x01\0\x01c\x01\0\x01d\x01");
    // One code is missing, and counts as a refusal.
    peer.send(&[0x90, 5, subscribe[0], subscribe[1], 1, 0x80, 0]);
    bench.event("the last answer", |e| matches!(e, Event::Subscribed { filter, .. } if filter == "d").then_some(()));
    let expected = [
        ("a", Ok(QoS::AtLeastOnce)),
        ("b", Err(ReasonCode(0x80))),
        ("c", Ok(QoS::AtMostOnce)),
        ("d", Err(ReasonCode::PROTOCOL_ERROR)),
    ];
    assert_eq!(answers(&bench), expected);
    // The refused ones are not asked for again.
    drop(peer);
    bench.event("a loss", |e| matches!(e, Event::Disconnected { .. }).then_some(()));
    let mut peer = bench.connected();
    assert_eq!(bench.packet(&mut peer, 8)[2..], *b"\0\x01a\x01\0\x01c\x01");
}

#[test]
fn a_suback_without_codes_refuses_all_its_filters_in_version_5_too() {
    let mut bench = Bench::new(|o| o.protocol(Protocol::V5));
    let holder = bench.machine.subscribe_for("a", QoS::AtLeastOnce.into()).unwrap();
    let mut peer = connected_5(&mut bench);
    let subscribe = bench.packet(&mut peer, 8);
    peer.send(&[0x90, 3, subscribe[0], subscribe[1], 0]);
    // Later versions of the library take it for garbage, and then the connection is lost.
    let is_refused = bench.event("an end", |e| match e {
        Event::Subscribed { granted, .. } => Some(*granted == Err(ReasonCode::PROTOCOL_ERROR)),
        Event::Disconnected { .. } => Some(true),
        _ => None,
    });
    assert!(is_refused);
    bench.machine.unsubscribe_for("a", holder);
}

#[test]
fn a_filter_longer_than_the_broker_takes_is_refused_alone() {
    let mut bench = Bench::new(|o| o.protocol(Protocol::V5));
    let long = "x".repeat(100);
    for filter in ["a", &long, "b"] {
        bench.machine.subscribe(filter, QoS::AtLeastOnce.into()).unwrap();
    }
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    // A maximum packet size of 60, and no subscription identifiers.
    peer.send(&[0x20, 10, 0, 0, 7, 39, 0, 0, 0, 60, 41, 0]);
    let refused = bench.event("a refusal", |e| match e {
        Event::Subscribed { filter, granted: Err(code), .. } => Some((filter.clone(), *code)),
        _ => None,
    });
    assert_eq!(refused, (long, ReasonCode::PACKET_TOO_LARGE));
    for expected in [b"\0\0\x01a\x01", b"\0\0\x01b\x01"] {
        assert_eq!(bench.packet(&mut peer, 8)[2..], *expected);
    }
    assert!(bench.machine.is_up());
}

#[test]
fn more_requests_than_packet_identifiers_are_sent_by_and_by() {
    let mut bench = Bench::new(|o| o);
    for n in 0..8100 {
        bench.machine.subscribe(&format!("f/{n}"), QoS::AtMostOnce.into()).unwrap();
    }
    let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
    let mut peer = bench.connected();
    let mut filters = 0;
    let mut unanswered = Vec::new();
    loop {
        let Some((first, body)) = peer.packet() else {
            // All of a round has come.
            if unanswered.len() == 1000 {
                for id in unanswered.drain(..) {
                    let id: [u8; 2] = id;
                    peer.send(&[&[0x90, 10, id[0], id[1]][..], &[0; 8]].concat());
                }
            }
            bench.turn();
            continue;
        };
        if first >> 4 == 3 {
            break peer.send(&[0x40, 2, body[3], body[4]]);
        }
        filters += body[2..].iter().filter(|b| **b == b'/').count();
        unanswered.push([body[0], body[1]]);
        assert!(unanswered.len() <= 1000);
    }
    assert_eq!(filters, 8100, "all before the message");
    bench.until("an answer", |_| delivery.outcome());
}

/// A PUBLISH of one letter to `t`.
fn message(qos: u8, id: u8, letter: u8) -> Vec<u8> {
    match qos {
        0 => vec![0x30, 4, 0, 1, b't', letter],
        _ => vec![0x30 | qos << 1, 6, 0, 1, b't', 0, id, letter],
    }
}

fn deferred() -> (Bench, Peer) {
    let mut bench = Bench::new(|o| o.acknowledge(Acknowledge::WhenHandled).linger(Duration::from_millis(200)));
    let peer = bench.connected();
    (bench, peer)
}

/// Steps, without a look at the events, until `count` messages wait there.
fn receive(bench: &mut Bench, count: usize) {
    let end = Instant::now() + LONG;
    while bench.machine.takers.len() < count {
        assert!(Instant::now() < end, "{count} messages");
        let (_, fd) = bench.machine.socket().unwrap();
        let ready = becket_sys::wait(fd, Ready::READ, Some(Instant::now() + Duration::from_millis(5))).unwrap();
        bench.machine.step(ready);
    }
}

/// Nothing comes for a while.
fn is_silent(bench: &mut Bench, peer: &mut Peer) -> bool {
    (0..20).all(|_| {
        bench.machine.step(None);
        std::thread::sleep(Duration::from_millis(1));
        peer.packet().is_none()
    })
}

#[test]
fn an_acknowledgement_waits_for_the_handlers_and_so_does_what_is_sent_meanwhile() {
    let (mut bench, mut peer) = deferred();
    peer.send(&[message(1, 1, b'a'), message(1, 2, b'b'), message(0, 0, b'c')].concat());
    receive(&mut bench, 3);
    bench.machine.publish(Publish::new("u", "x")).unwrap();
    assert!(is_silent(&mut bench, &mut peer), "the events were not taken");
    assert!(bench.machine.is_due());
    for _ in 0..3 {
        assert!(matches!(bench.machine.next_event(), Some((Event::Message(_), _))));
    }
    assert_eq!(bench.packet(&mut peer, 4), [0, 1]);
    assert_eq!(bench.packet(&mut peer, 4), [0, 2]);
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x40, 2, a, b]);
    bench.event("an answer", |e| matches!(e, Event::Delivered { .. }).then_some(()));
    assert!(!bench.machine.is_due() && bench.machine.backlog().2 == 0);
}

#[test]
fn a_hold_keeps_acknowledgements_back_and_a_close_leaves_them_unsent() {
    let (mut bench, mut peer) = deferred();
    peer.send(&message(1, 1, b'a'));
    receive(&mut bench, 1);
    assert!(bench.machine.hold());
    bench.machine.next_event();
    peer.send(&message(1, 2, b'b'));
    assert!(is_silent(&mut bench, &mut peer));
    assert!(!bench.machine.is_due() && bench.machine.takers.is_empty(), "nothing is read");
    bench.machine.release();
    bench.machine.step(None);
    assert_eq!(bench.packet(&mut peer, 4), [0, 1]);
    assert_eq!(bench.packet(&mut peer, 4), [0, 2]);

    peer.send(&message(1, 3, b'c'));
    receive(&mut bench, 1);
    bench.machine.hold();
    bench.machine.next_event();
    bench.machine.close();
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(bench.seen.last(), Some(&Event::Closed));
    assert_eq!(peer.stream.read(&mut [0; 8]).unwrap(), 0, "neither PUBACK nor DISCONNECT");
    bench.machine.release();
}

#[test]
fn a_close_from_a_handler_acknowledges_and_says_goodbye() {
    let (mut bench, mut peer) = deferred();
    peer.send(&message(1, 1, b'a'));
    receive(&mut bench, 1);
    bench.machine.next_event();
    bench.machine.close();
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(bench.packet(&mut peer, 4), [0, 1]);
    assert_eq!(bench.packet(&mut peer, 14), b"");
}

#[test]
fn of_a_message_of_qos_2_only_the_last_packet_waits() {
    let (mut bench, mut peer) = deferred();
    peer.send(&message(2, 1, b'a'));
    assert_eq!(bench.packet(&mut peer, 5), [0, 1]);
    peer.send(&[0x62, 2, 0, 1]);
    receive(&mut bench, 1);
    assert!(is_silent(&mut bench, &mut peer));
    bench.machine.next_event();
    assert_eq!(bench.packet(&mut peer, 7), [0, 1]);
}

#[test]
fn a_hold_outlives_its_connection_and_keeps_the_next_one_from_nothing_but_what_follows_the_connack() {
    let (mut bench, mut peer) = deferred();
    peer.send(&message(1, 1, b'a'));
    receive(&mut bench, 1);
    bench.machine.hold();
    bench.machine.next_event();
    bench.machine.down(Reason::Lost);
    let mut peer = bench.connected();
    peer.send(&message(1, 1, b'a'));
    assert!(is_silent(&mut bench, &mut peer));
    bench.machine.release();
    assert_eq!(bench.packet(&mut peer, 4), [0, 1]);
}

#[test]
fn many_messages_of_qos_0_go_out_without_a_new_edge() {
    let (mut bench, mut peer) = deferred();
    let all: Vec<_> =
        (0..50).map(|_| bench.machine.publish(Publish::new("t", "x").qos(QoS::AtMostOnce)).unwrap()).collect();
    bench.machine.step(None);
    assert!(all.iter().all(|delivery| delivery.outcome() == Some(Outcome::Sent)));
    for _ in 0..50 {
        bench.packet(&mut peer, 3);
    }
}
