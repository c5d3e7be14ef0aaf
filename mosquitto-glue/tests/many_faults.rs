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
    fn new(broker: Broker, proxy: Proxy, qos: QoS, options: Options) -> Run {
        let mut ctx = Loop::new().unwrap();
        let options = options.log(None).backoff(Duration::from_millis(5), Duration::from_millis(50));
        let client = Client::join(&mut ctx, options, |tally: &mut Tally, _, _, event| {
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
        // Over TLS all of these are records of one kind.
        let is_tls = self.proxy.is_tls();
        let of = |kind: u8| if is_tls { 23 } else { kind };
        let cut_in = |(way, kind, nth, bytes): (Way, u8, usize, usize)| {
            (Place { way, kind: of(kind), nth, bytes }, [Act::Cut, Act::Reset][nth % 2].clone())
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
                let place = Place {
                    way: Way::Down,
                    kind: of(if self.qos == QoS::AtLeastOnce { 4 } else { 5 }),
                    nth: 9,
                    bytes: 0,
                };
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
                let place = Place {
                    way: Way::Down,
                    kind: of(if self.qos == QoS::AtLeastOnce { 4 } else { 7 }),
                    nth: 3,
                    bytes: 2,
                };
                self.proxy.script([Script::act(place, Act::HalfClose)]);
                self.proxy.end_all(&Act::Cut);
            }
        }
    }
}

/// Publishes thousands of messages over plain TCP.
fn ten_faults(qos: QoS, protocol: Protocol) {
    let Some(broker) = Broker::persistent() else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let proxy = Proxy::new(broker.port());
    let options = options(&proxy.url()).protocol(protocol);
    survives(Run::new(broker, proxy, qos, options), witness);
}

/// Publishes thousands of messages through ten faults, and compares what the client says with what the witness saw.
fn survives(mut run: Run, witness: Subscriber) {
    let qos = run.qos;
    let total = if env::var_os("BECKET_LONG").is_some() { 20_000 } else { 1_500 };
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
    println!("{qos:?}: {arrived} of {total}, {connections} connections, {} turns, {losses:?}", run.turns);
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

#[cfg(feature = "tls")]
fn ten_faults_of_tls(qos: QoS, protocol: Protocol) {
    use support::proxy::Framing;
    use support::secured::Secured;
    let Some(Secured { broker, port, tls, certs }) = Secured::start() else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let proxy = Proxy::framed(port, Framing::Tls);
    let options = options(&format!("mqtts://127.0.0.1:{}", proxy.port())).protocol(protocol).tls(tls);
    survives(Run::new(broker, proxy, qos, options), witness);
    drop(certs);
}

#[cfg(feature = "tls")]
#[test]
fn at_least_once_over_tls() {
    ten_faults_of_tls(QoS::AtLeastOnce, Protocol::V311);
}

#[cfg(feature = "tls")]
#[test]
fn exactly_once_over_tls() {
    ten_faults_of_tls(QoS::ExactlyOnce, Protocol::V5);
}

/// A broker that is killed forgets what it had taken. What it has acknowledged is not sent again, everything else is, and
/// what was under way at QoS 2 is told to be uncertain.
fn killed(qos: QoS, protocol: Protocol) {
    const KILLS: usize = 3;
    const WINDOW: usize = 20;
    let Some(broker) = Broker::mosquitto("allow_anonymous true\nmax_queued_messages 0") else { return };
    let Some(witness) = Subscriber::start(broker.port(), FOLDER) else { return };
    let proxy = Proxy::new(broker.port());
    let options = options(&proxy.url()).protocol(protocol).window(WINDOW as u16);
    let mut run = Run::new(broker, proxy, qos, options);
    let total = 1_500;
    for kill in 0..KILLS {
        run.publish_to((kill + 1) * total / (KILLS + 1), OPEN / 2);
        run.broker.kill();
        run.run_for(Duration::from_millis(100));
        run.broker.restart();
    }
    run.publish_to(total, 0);
    let seen = witness.seen();
    let mut uncertain = 0;
    for (n, delivery) in run.deliveries.iter().enumerate() {
        let told = &run.tally.outcomes[&delivery.id()];
        assert_eq!((told.len(), Some(told[0])), (1, delivery.outcome()), "{n}: {told:?}");
        let times = seen.get(&("x".to_owned(), n.to_string())).copied().unwrap_or(0);
        match told[0] {
            Outcome::Acknowledged(_) => assert!(times <= 1 || qos == QoS::AtLeastOnce, "{n} came {times} times"),
            Outcome::Uncertain(_) if qos == QoS::ExactlyOnce => uncertain += 1,
            outcome => panic!("{n}: {outcome}"),
        }
    }
    println!("{qos:?}, {protocol:?}: {uncertain} uncertain of {total}");
    assert!(uncertain <= KILLS * WINDOW, "{uncertain}");
}

#[test]
fn what_a_killed_broker_had_under_way_is_uncertain() {
    killed(QoS::ExactlyOnce, Protocol::V311);
    killed(QoS::ExactlyOnce, Protocol::V5);
}

#[test]
fn a_killed_broker_gets_the_rest_again() {
    killed(QoS::AtLeastOnce, Protocol::V311);
    killed(QoS::AtLeastOnce, Protocol::V5);
}
