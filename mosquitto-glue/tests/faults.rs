//! Connections that break at every byte, and in every other way, between client and broker: the client comes back, and
//! what it says of its messages is what an independent subscriber saw.

mod support;

use becket_mosquitto::{Event, Protocol, Publish, QoS, Reason};
use std::env;
use std::time::{Duration, Instant};
use support::LONG;
use support::broker::Broker;
use support::case::{Case, FOLDER, TURNS, is_loss, once_each, side_by_side, soon_back};
use support::proxy::{Act, Instead, Pace, Passed, Place, Script, Way};
use support::subscriber::Subscriber;

/// The packets of an exchange at QoS 2 in both directions.
fn packets(broker: &Broker, protocol: Protocol) -> Vec<Passed> {
    let mut case = Case::new(broker, 0, protocol, []);
    case.subscribe();
    case.exchange("x");
    case.exchange("y");
    let mut all = case.proxy.passed();
    all.retain(|packet| packet.nth == 0);
    all.sort_by_key(|packet| (packet.way == Way::Down, packet.kind));
    let kinds = |way| all.iter().filter(|p| p.way == way).map(|p| p.kind).collect::<Vec<_>>();
    assert_eq!(kinds(Way::Up), [1, 3, 5, 6, 7, 8]);
    assert_eq!(kinds(Way::Down), [2, 3, 5, 6, 7, 9]);
    all
}

/// Does `act` at every byte of every packet of the first exchange.
fn at_every_byte(protocol: Protocol, act: &Act) {
    let Some(broker) = Broker::persistent() else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let mut places = Vec::new();
    for Passed { way, kind, nth, len } in packets(&broker, protocol) {
        places.extend((0..=len).map(|bytes| Place { way, kind, nth, bytes }));
    }
    assert!(places.len() > 100, "{}", places.len());
    side_by_side(4, &places, |n, place| {
        let mut case = Case::new(&broker, n, protocol, [Script::act(*place, act.clone())]);
        case.run();
        for reason in case.reasons() {
            assert!(is_loss(&reason), "{reason:?}");
        }
    });
    once_each(witness, places.len());
}

#[test]
fn a_cut_at_every_byte_over_3_1_1() {
    at_every_byte(Protocol::V311, &Act::Cut);
}

#[test]
fn a_cut_at_every_byte_over_5() {
    at_every_byte(Protocol::V5, &Act::Cut);
}

#[test]
fn a_reset_at_every_byte_over_3_1_1() {
    at_every_byte(Protocol::V311, &Act::Reset);
}

#[test]
fn a_reset_at_every_byte_over_5() {
    at_every_byte(Protocol::V5, &Act::Reset);
}

/// Does `act` in the middle of each packet of an exchange.
fn in_every_packet(act: &Act, threads: usize, limit: Duration) {
    let Some(broker) = Broker::persistent() else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let mut cases = Vec::new();
    for protocol in [Protocol::V311, Protocol::V5] {
        for Passed { way, kind, nth, len } in packets(&broker, protocol) {
            cases.push((protocol, Place { way, kind, nth, bytes: len / 2 }));
        }
    }
    side_by_side(threads, &cases, |n, (protocol, place)| {
        let begin = Instant::now();
        Case::with(&broker, n, [Script::act(*place, act.clone())], |url| {
            soon_back(url, *protocol).connect_timeout(Duration::from_secs(2)).keep_alive(Duration::from_secs(5))
        })
        .run();
        assert!(begin.elapsed() < limit, "{:?}", begin.elapsed());
    });
    once_each(witness, cases.len());
}

#[test]
fn half_a_connection_is_none() {
    in_every_packet(&Act::HalfClose, 4, LONG);
}

#[test]
fn a_black_hole_is_left_by_connect_timeout_or_keep_alive() {
    // Most of the time each waits for twice its keep-alive of 5 s.
    in_every_packet(&Act::BlackHole, 24, LONG);
}

#[test]
fn a_pause_in_a_packet_is_none_in_the_exchange() {
    in_every_packet(&Act::Hold(Duration::from_millis(300)), 8, LONG);
}

/// Sends messages of each level both ways at a pace that no broker has: nothing is lost, doubled or out of order, and
/// the connection stands.
fn at_pace(pace: Pace, messages: usize) {
    let Some(broker) = Broker::start() else { return };
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut case = Case::new(&broker, 1, protocol, [Script::pace(pace)]);
        case.subscribe();
        let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
        for n in 0..messages {
            let publish = Publish::new(&*case.topic, n.to_string()).qos(levels[n % 3]);
            case.deliveries.push(case.client.publish(publish).unwrap());
        }
        case.harness.until("all", |world| world.outcomes().len() == messages && world.messages().len() == messages);
        for level in 0..3 {
            let numbers = case.harness.world.messages().into_iter().filter_map(|message| {
                let n: usize = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                (n % 3 == level).then_some(n)
            });
            assert!(numbers.eq((level..messages).step_by(3)), "{protocol:?}: level {level}");
        }
        assert_eq!(case.reasons(), []);
        assert_eq!(case.proxy.accepted(), 1);
    }
}

#[test]
fn one_byte_at_a_time_is_a_message_all_the_same() {
    at_pace(Pace::Bytes(Duration::ZERO), 60);
    at_pace(Pace::Bytes(Duration::from_micros(300)), 6);
}

#[test]
fn many_packets_in_one_segment_are_all_read() {
    at_pace(Pace::Batch(Duration::from_millis(20)), 300);
}

#[test]
fn late_answers_are_answers() {
    at_pace(Pace::Late(Duration::from_millis(10)), 100);
}

#[test]
fn who_refuses_or_is_silent_is_tried_again() {
    let Some(broker) = Broker::start() else { return };
    for protocol in [Protocol::V311, Protocol::V5] {
        let scripts = [Instead::Refuse, Instead::Silence, Instead::Refuse].map(Script::instead);
        let mut case =
            Case::with(&broker, 1, scripts, |url| soon_back(url, protocol).connect_timeout(Duration::from_millis(300)));
        case.subscribe();
        case.exchange("x");
        let reasons = case.reasons();
        assert!(is_loss(&reasons[0]) && is_loss(&reasons[2]), "{reasons:?}");
        assert_eq!((&reasons[1], reasons.len()), (&Reason::ConnectTimeout, 3));
        assert_eq!(case.proxy.accepted(), 4);
    }
}

/// Turns over bits of every byte of an exchange, one case each. Whatever comes of it, it is no panic and no spin, and
/// when the connection is broken and comes back, the client is as good as new, unless it gave up for a reason.
fn bit_errors(protocol: Protocol) {
    let Some(broker) = Broker::persistent() else { return };
    let mut cases = Vec::new();
    for Passed { way, kind, nth, len } in packets(&broker, protocol) {
        for bytes in 0..len {
            let place = Place { way, kind, nth, bytes };
            if env::var_os("BECKET_LONG").is_some() {
                cases.extend((0..8).map(|bit| (place, 1 << bit)));
                cases.push((place, 0xff));
            } else {
                cases.push((place, [1 << (bytes % 8), 0xff][cases.len() % 2]));
            }
        }
    }
    side_by_side(8, &cases, |n, (place, bits)| {
        let mut case = Case::new(&broker, n, protocol, [Script::act(*place, Act::Flip(*bits))]);
        case.client.subscribe(&case.topic, QoS::ExactlyOnce).unwrap();
        let publish = Publish::new(&*case.topic, "x").qos(QoS::ExactlyOnce);
        let spoilt = case.client.publish(publish).unwrap();
        let end = Instant::now() + LONG;
        while case.proxy.done() == 0 && !case.client.is_closed() {
            assert!(Instant::now() < end, "it did not come to pass");
            case.harness.run_for(Duration::from_millis(5));
        }
        case.harness.run_for(Duration::from_millis(30));
        // What waits for the rest of a packet, or for an answer that was lost, waits in vain.
        case.proxy.end_all(&Act::Cut);
        if case.client.is_closed() {
            let last = case.harness.world.events.last();
            assert!(matches!(last, Some(Event::Failed(Reason::Refused(_)))), "{last:?}");
            assert!(spoilt.outcome().is_some());
            return;
        }
        let after = case.client.publish(Publish::new(&*case.topic, "y").qos(QoS::AtLeastOnce)).unwrap();
        case.harness.until("answers", |_| spoilt.outcome().is_some() && after.outcome().is_some());
        assert!(after.outcome().unwrap().is_acknowledged());
        assert!(case.harness.turns < TURNS, "{} turns", case.harness.turns);
        case.harness.close(&case.client);
    });
}

#[test]
fn bit_errors_over_3_1_1() {
    bit_errors(Protocol::V311);
}

#[test]
fn bit_errors_over_5() {
    if !support::survives_unknown_properties() {
        return;
    }
    bit_errors(Protocol::V5);
}
