//! TLS through a proxy that cuts and spoils its records.

mod support;

use becket_mosquitto::{Event, Protocol, Publish, QoS};
use std::time::{Duration, Instant};
use support::LONG;
use support::case::{Case, FOLDER, TURNS, is_loss, once_each, side_by_side, soon_back};
use support::proxy::{Act, Framing, Passed, Place, Proxy, Script};
use support::secured::Secured;
use support::subscriber::Subscriber;

fn case(secured: &Secured, number: usize, scripts: impl IntoIterator<Item = Script>) -> Case {
    Case::through(Proxy::framed(secured.port, Framing::Tls), number, scripts, |port| {
        let options = soon_back(&format!("mqtts://127.0.0.1:{port}"), Protocol::V5);
        options.tls(secured.tls.clone()).connect_timeout(Duration::from_secs(2))
    })
}

/// Places in each record of the first exchange: in its header, behind it, and in its middle.
fn places(secured: &Secured) -> Vec<Place> {
    let mut case = case(secured, 0, []);
    case.subscribe();
    case.exchange("x");
    let records = case.proxy.passed();
    assert!(records.len() > 15, "{records:?}");
    let inside = |Passed { way, kind, nth, len }| [0, 1, 5, 6, len / 2].map(|bytes| Place { way, kind, nth, bytes });
    records.into_iter().flat_map(inside).collect()
}

fn in_every_record(act: &Act) {
    let Some(secured) = Secured::start() else { return };
    let Some(witness) = Subscriber::start(secured.broker.port(), FOLDER) else { return };
    let places = places(&secured);
    side_by_side(4, &places, |n, place| {
        let mut case = case(&secured, n, [Script::act(*place, act.clone())]);
        case.run();
        for reason in case.reasons() {
            assert!(is_loss(&reason), "{reason:?}");
        }
    });
    once_each(witness, places.len());
}

#[test]
fn a_cut_in_every_record() {
    in_every_record(&Act::Cut);
}

#[test]
fn a_reset_in_every_record() {
    in_every_record(&Act::Reset);
}

#[test]
fn bit_errors_in_every_record() {
    let Some(secured) = Secured::start() else { return };
    let places = places(&secured);
    side_by_side(8, &places, |n, place| {
        let mut case = case(&secured, n, [Script::act(*place, Act::Flip(0x10))]);
        case.client.subscribe(&case.topic, QoS::ExactlyOnce).unwrap();
        let spoilt = case.client.publish(Publish::new(&*case.topic, "x").qos(QoS::ExactlyOnce)).unwrap();
        let end = Instant::now() + LONG;
        while case.proxy.done() == 0 && !case.client.is_closed() {
            assert!(Instant::now() < end, "it did not come to pass");
            case.harness.run_for(Duration::from_millis(5));
        }
        case.harness.run_for(Duration::from_millis(30));
        // What waits for the rest of a record waits in vain.
        case.proxy.end_all(&Act::Cut);
        if !case.client.is_closed() {
            let is_over = |e: &Event| matches!(e, Event::Failed(_));
            case.harness.until("an answer", |world| spoilt.outcome().is_some() || world.has(is_over));
        }
        println!("{place:?}: {:?}", case.reasons());
        assert!(case.harness.turns < TURNS, "{} turns", case.harness.turns);
    });
}
