//! Thousands of messages, and ten faults on their way: every outcome is what an independent subscriber saw.

mod support;

use becket_loop::Loop;
use becket_mosquitto::{
    Client, Delivery, DeliveryId, Event, Options, Outcome, Protocol, Publish, PublishRefusal, QoS, Reason,
};
use std::collections::HashMap;
use std::env;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::options;
use support::proxy::{Act, Place, Proxy, Script, Way};
use support::subscriber::Subscriber;

const FOLDER: &str = "many";

/// How many messages wait or are under way at most.
const OPEN: usize = 200;

/// What the callback counts.
#[derive(Default)]
struct Tally {
    outcomes: HashMap<DeliveryId, Vec<Outcome>>,
    connections: usize,
    losses: Vec<Reason>,
}

impl Tally {
    fn note(&mut self, event: Event) {
        match event {
            Event::Delivered { id, outcome, .. } => self.outcomes.entry(id).or_default().push(outcome),
            Event::Connected { .. } => self.connections += 1,
            Event::Disconnected { reason, .. } => self.losses.push(reason),
            Event::Failed(reason) => panic!("gave up: {reason}"),
            _ => {}
        }
    }
}

struct Run {
    broker: Broker,
    proxy: Proxy,
    ctx: Loop<Tally>,
    tally: Tally,
    client: Client,
    deliveries: Vec<Delivery>,
    qos: QoS,
    turns: usize,
}

impl Run {
    fn new(broker: Broker, qos: QoS, options: impl FnOnce(&str) -> Options) -> Run {
        let proxy = Proxy::new(broker.port());
        let mut ctx = Loop::new().unwrap();
        let client = Client::join(&mut ctx, options(&proxy.url()), |tally: &mut Tally, _, _, event| {
            tally.note(event);
            Ok(())
        })
        .unwrap();
        let tally = Tally::default();
        Run { broker, proxy, ctx, tally, client, deliveries: Vec::new(), qos, turns: 0 }
    }

    fn turn(&mut self, max: Duration) {
        self.ctx.turn(&mut self.tally, Some(max)).unwrap();
        self.turns += 1;
    }

    fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.turn(left);
        }
    }

    fn is_open(&self) -> usize {
        self.deliveries.len() - self.tally.outcomes.len()
    }

    /// Publishes up to the message of this number, and has `ahead` messages open at the end.
    fn publish_to(&mut self, number: usize, ahead: usize) {
        let end = Instant::now() + Duration::from_secs(120);
        while self.deliveries.len() < number || self.is_open() > ahead {
            assert!(Instant::now() < end, "{} of {number} published, {} open", self.deliveries.len(), self.is_open());
            while self.deliveries.len() < number && self.is_open() < OPEN {
                let text = self.deliveries.len().to_string();
                match self.client.publish(Publish::new(format!("{FOLDER}/x"), text).qos(self.qos)) {
                    Ok(delivery) => self.deliveries.push(delivery),
                    Err(e) => {
                        assert_eq!((e.refusal(), self.qos), (PublishRefusal::NotConnected, QoS::AtMostOnce));
                        break;
                    }
                }
            }
            self.turn(Duration::from_millis(100));
        }
    }

    /// One of ten faults.
    fn fault(&mut self, number: usize) {
        let places = [(Way::Up, 3, 7, 4), (Way::Down, 5, 5, 2), (Way::Down, 4, 5, 3), (Way::Up, 6, 2, 1)];
        let cut_in = |(way, kind, nth, bytes): (Way, u8, usize, usize)| {
            (Place { way, kind, nth, bytes }, [Act::Cut, Act::Reset][nth % 2].clone())
        };
        match number {
            0 => self.proxy.end_all(&Act::Cut),
            1 => self.proxy.end_all(&Act::Reset),
            2 => {
                self.broker.freeze();
                self.run_for(Duration::from_millis(300));
                self.broker.thaw();
            }
            3 | 7 => {
                self.broker.terminate();
                self.run_for(Duration::from_millis(200));
                self.broker.restart();
            }
            // Again and again, in the middle of packets.
            4 => {
                self.proxy.script(places.map(|place| Script { acts: vec![cut_in(place)], ..Script::default() }));
                self.proxy.end_all(&Act::Cut);
            }
            5 => {
                // Cut while it is frozen.
                self.broker.freeze();
                self.run_for(Duration::from_millis(50));
                self.proxy.end_all(&Act::Reset);
                self.run_for(Duration::from_millis(200));
                self.broker.thaw();
            }
            6 => {
                let place =
                    Place { way: Way::Down, kind: if self.qos == QoS::AtLeastOnce { 4 } else { 5 }, nth: 9, bytes: 0 };
                self.proxy.script([Script::act(place, Act::BlackHole)]);
                self.proxy.end_all(&Act::Cut);
                self.run_for(Duration::from_millis(700));
                self.proxy.end_all(&Act::Cut);
            }
            8 => {
                // Ended while frozen: it writes down what it had when it goes on.
                self.broker.freeze();
                self.run_for(Duration::from_millis(100));
                self.broker.terminate();
                self.broker.restart();
            }
            _ => {
                let place =
                    Place { way: Way::Down, kind: if self.qos == QoS::AtLeastOnce { 4 } else { 7 }, nth: 3, bytes: 2 };
                self.proxy.script([Script::act(place, Act::HalfClose)]);
                self.proxy.end_all(&Act::Cut);
            }
        }
    }
}

/// Publishes thousands of messages through ten faults, and compares what the client says with what the witness saw.
fn ten_faults(qos: QoS, protocol: Protocol) {
    let Some(broker) = Broker::persistent() else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let total = if env::var_os("BECKET_LONG").is_some() { 20_000 } else { 1_500 };
    let mut run = Run::new(broker, qos, |url| {
        options(url).protocol(protocol).log(None).backoff(Duration::from_millis(5), Duration::from_millis(50))
    });
    for fault in 0..10 {
        run.publish_to((fault + 1) * total / 11, OPEN / 2);
        run.fault(fault);
    }
    run.publish_to(total, 0);
    let seen = witness.seen();
    let seen = |n: usize| seen.get(&("x".to_owned(), n.to_string())).copied().unwrap_or(0);
    let mut arrived = 0;
    for (n, delivery) in run.deliveries.iter().enumerate() {
        let told = &run.tally.outcomes[&delivery.id()];
        assert_eq!((told.len(), Some(told[0])), (1, delivery.outcome()), "{n}: {told:?}");
        let times = seen(n);
        arrived += usize::from(times > 0);
        let is_true = match (qos, told[0]) {
            (QoS::AtMostOnce, Outcome::Sent) => times <= 1,
            (QoS::AtMostOnce, Outcome::Dropped(_)) => times == 0,
            (QoS::AtLeastOnce, Outcome::Acknowledged(_)) => times >= 1,
            (QoS::ExactlyOnce, Outcome::Acknowledged(_)) => times == 1,
            _ => false,
        };
        assert!(is_true, "{n} came {times} times: {}", told[0]);
    }
    let Tally { connections, losses, .. } = &run.tally;
    println!("{qos:?}, {protocol:?}: {arrived} of {total}, {connections} connections, {} turns, {losses:?}", run.turns);
    assert!(*connections >= 8 && losses.len() >= 8);
    assert!(qos != QoS::AtMostOnce || arrived > total / 10, "{arrived}");
    assert_eq!(run.client.backlog(), Default::default());
}

#[test]
fn at_most_once_over_3_1_1() {
    ten_faults(QoS::AtMostOnce, Protocol::V311);
}

#[test]
fn at_most_once_over_5() {
    ten_faults(QoS::AtMostOnce, Protocol::V5);
}

#[test]
fn at_least_once_over_3_1_1() {
    ten_faults(QoS::AtLeastOnce, Protocol::V311);
}

#[test]
fn at_least_once_over_5() {
    ten_faults(QoS::AtLeastOnce, Protocol::V5);
}

#[test]
fn exactly_once_over_3_1_1() {
    ten_faults(QoS::ExactlyOnce, Protocol::V311);
}

#[test]
fn exactly_once_over_5() {
    ten_faults(QoS::ExactlyOnce, Protocol::V5);
}
