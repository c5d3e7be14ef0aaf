//! Random programs against a model of a broker that cuts connections, loses sessions, refuses and dawdles: what the
//! client says of each message is compared with what the broker did with it, and with the order that was asked for.
//!
//! The seeds are fixed; `BECKET_MQTT_SEEDS` says how many.

use super::*;
use crate::message::Publish;
use crate::queue::WhenFull;
use std::collections::{BTreeMap, BTreeSet};
use std::env;

/// Steps of a program before the troubles end.
const STEPS: usize = 150;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What the broker passed on: topic, level, number.
type Passed = (u8, u8, usize);

struct Broker {
    v5: bool,
    /// Whether it passes a message of QoS 2 on when the PUBLISH comes, or when the PUBREL does.
    early: bool,
    peer: Option<Peer>,
    /// Whether there is a session.
    session: bool,
    /// Messages of QoS 2 without a PUBREL.
    stored: BTreeMap<u16, Passed>,
    /// Answers that were not sent yet.
    answers: VecDeque<Vec<u8>>,
    /// Identifiers under way in this connection, and how many there may be.
    open: BTreeSet<u16>,
    most: usize,
    window: usize,
    passed: Vec<Passed>,
    /// Those of which a copy was refused: another one may be taken later, behind newer messages.
    refused: BTreeSet<usize>,
}

impl Broker {
    /// Takes in a connection. `calm` where nothing goes wrong any more.
    fn accept(&mut self, stream: TcpStream, bench: &mut Bench, random: &mut Random, calm: bool) {
        // What came on the old one was said before.
        while self.take(random, true) {}
        self.answers.clear();
        self.open.clear();
        let mut peer = Peer::new(stream);
        let Some(connect) = bench.packet_or_end(&mut peer) else { return };
        let lost = connect[7] & 2 != 0 || !calm && random.one_in(3);
        if lost {
            self.session = false;
            self.stored.clear();
        }
        let present = u8::from(self.session);
        let receive = if calm { 20 } else { random.below(20) as u8 + 1 };
        let packet = match self.v5 {
            true => vec![0x20, 6, present, 0, 3, 33, 0, receive],
            false => vec![0x20, 2, present, 0],
        };
        self.most = if self.v5 { self.window.min(receive.into()) } else { self.window };
        self.session = true;
        self.peer = Some(peer);
        self.write(&packet);
    }

    fn write(&mut self, packet: &[u8]) {
        if let Some(peer) = &mut self.peer {
            // The client may be gone.
            let _ = peer.stream.write_all(packet);
        }
    }

    /// Takes in one packet; `false` where there is none.
    fn take(&mut self, random: &mut Random, calm: bool) -> bool {
        let Some((first, body)) = self.peer.as_mut().and_then(Peer::packet) else { return false };
        match first >> 4 {
            3 => self.publish(first, &body, random, calm),
            6 => {
                let id = u16::from_be_bytes([body[0], body[1]]);
                self.begin(id);
                if let Some(passed) = self.stored.remove(&id)
                    && !self.early
                {
                    self.passed.push(passed);
                }
                self.answers.push_back(vec![0x70, 2, body[0], body[1]]);
            }
            12 => self.write(&[0xd0, 0]),
            14 => self.peer = None,
            kind => panic!("packet type {kind}"),
        }
        true
    }

    fn begin(&mut self, id: u16) {
        self.open.insert(id);
        assert!(self.open.len() <= self.most, "{:?} under way, {} allowed", self.open, self.most);
    }

    fn publish(&mut self, first: u8, body: &[u8], random: &mut Random, calm: bool) {
        let qos = first >> 1 & 3;
        let mut rest = &body[3..];
        let mut id = [0, 0];
        if qos > 0 {
            id = [rest[0], rest[1]];
            rest = &rest[2..];
        }
        if self.v5 {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        let passed = (body[2], qos, std::str::from_utf8(rest).unwrap().parse().unwrap());
        let number = u16::from_be_bytes(id);
        if qos == 0 {
            return self.passed.push(passed);
        }
        self.begin(number);
        let known = self.stored.contains_key(&number);
        if self.v5 && !calm && !known && random.one_in(12) {
            let kind = if qos == 1 { 0x40 } else { 0x50 };
            self.refused.insert(passed.2);
            return self.answers.push_back(vec![kind, 3, id[0], id[1], 0x87]);
        }
        match qos {
            1 => {
                self.passed.push(passed);
                self.answers.push_back(vec![0x40, 2, id[0], id[1]]);
            }
            _ => {
                if !known {
                    self.stored.insert(number, passed);
                    if self.early {
                        self.passed.push(passed);
                    }
                }
                self.answers.push_back(vec![0x50, 2, id[0], id[1]]);
            }
        }
    }

    /// Sends some of the answers.
    fn answer(&mut self, count: usize) {
        for _ in 0..count {
            let Some(packet) = self.answers.pop_front() else { return };
            if packet[0] != 0x50 || packet.len() > 3 {
                self.open.remove(&u16::from_be_bytes([packet[2], packet[3]]));
            }
            self.write(&packet);
        }
    }
}

impl Bench {
    /// The body of the first packet, unless the client has thought better of it.
    fn packet_or_end(&mut self, peer: &mut Peer) -> Option<Vec<u8>> {
        self.until("a CONNECT", |_| match peer.packet() {
            Some((_, body)) => Some(Some(body)),
            None => peer.ended.then_some(None),
        })
    }
}

/// One that was published.
struct Told {
    delivery: Delivery,
    passed: Passed,
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let v5 = random.one_in(2);
    let window = random.of(&[1, 2, 5, 20]);
    let count = random.of(&[3, 20, 100]);
    let session = random.of(&[Session::PerClient, Session::PerClient, Session::Kept, Session::PerConnection]);
    let policy = random.of(&[WhenFull::Refuse, WhenFull::DropOldest, WhenFull::DropOldestQoS0]);
    let plain_waits = random.one_in(2);
    let mut bench = Bench::new(|o| {
        let protocol = if v5 { Protocol::V5 } else { Protocol::V311 };
        let o = o.protocol(protocol).window(window).queue(count, 1 << 20).when_full(policy).queue_qos0(plain_waits);
        if session == Session::Kept { o.client_id("kept").session(session) } else { o.session(session) }
    });
    let mut broker = Broker {
        v5,
        early: random.one_in(2),
        peer: None,
        session: false,
        stored: BTreeMap::new(),
        answers: VecDeque::new(),
        open: BTreeSet::new(),
        most: 0,
        window: window.into(),
        passed: Vec::new(),
        refused: BTreeSet::new(),
    };
    let mut told: Vec<Told> = Vec::new();
    let end = Instant::now() + LONG;
    for step in 0.. {
        let calm = step >= STEPS;
        if calm && told.iter().all(|t| t.delivery.outcome().is_some()) {
            break;
        }
        assert!(Instant::now() < end, "seed {seed}: {:?}", bench.machine.backlog());
        match random.below(20) {
            _ if calm => {
                while broker.take(&mut random, true) {}
                broker.answer(usize::MAX);
            }
            0..8 => {
                for _ in 0..=random.below(4) {
                    let passed = (random.of(b"abc"), random.below(3) as u8, told.len());
                    let qos = QoS::try_from(passed.1).unwrap();
                    let mut publish = Publish::new(char::from(passed.0), passed.2.to_string()).qos(qos);
                    if random.one_in(6) {
                        publish = publish.expire_after(Duration::from_millis(random.below(20)));
                    }
                    match bench.machine.publish(publish) {
                        Ok(delivery) => told.push(Told { delivery, passed }),
                        Err(e) => {
                            assert!(matches!(e.refusal(), PublishRefusal::QueueFull | PublishRefusal::NotConnected))
                        }
                    }
                }
            }
            8..15 => {
                for _ in 0..random.below(6) {
                    broker.take(&mut random, false);
                }
                let most = random.below(6) as usize;
                broker.answer(most);
            }
            15 | 16 => {
                // What is on its way is taken in, and not answered; or it is lost.
                while random.below(4) > 0 && broker.take(&mut random, false) {}
                broker.peer = None;
            }
            _ => {}
        }
        bench.turn();
        if let Ok((stream, _)) = bench.listener.accept() {
            broker.accept(stream, &mut bench, &mut random, calm);
        }
    }
    check(seed, &told, &broker, &bench.seen);
}

fn check(seed: u64, told: &[Told], broker: &Broker, seen: &[Event]) {
    let passed = &broker.passed;
    for t in told {
        let times = passed.iter().filter(|p| **p == t.passed).count();
        let outcome = t.delivery.outcome().unwrap();
        let fine = match (outcome, t.passed.1) {
            (Outcome::Sent, 0) => times <= 1,
            (Outcome::Acknowledged(_), 1) => times >= 1,
            (Outcome::Acknowledged(_), 2) => times == 1,
            (Outcome::Uncertain(Uncertain::SessionLost), 2) => times >= 1,
            (Outcome::Uncertain(_), 1 | 2) => true,
            (Outcome::Refused(_) | Outcome::Expired | Outcome::Dropped(_), _) => times == 0,
            _ => false,
        };
        assert!(fine, "seed {seed}: {:?} is {outcome}, and was passed on {times} times", t.passed);
        let id = t.delivery.id();
        let events = seen.iter().filter(|e| matches!(e, Event::Delivered { id: i, .. } if *i == id)).count();
        assert_eq!(events, 1, "seed {seed}");
    }
    let mut first: BTreeMap<(u8, u8), Vec<usize>> = BTreeMap::new();
    for (topic, qos, number) in passed.iter().filter(|(.., number)| !broker.refused.contains(number)) {
        let line = first.entry((*topic, *qos)).or_default();
        if !line.contains(number) {
            line.push(*number);
        }
    }
    assert!(first.values().all(|line| line.is_sorted()), "seed {seed}: {first:?}");
}

#[test]
fn random_programs_are_told_the_truth() {
    let seeds = env::var("BECKET_MQTT_SEEDS").ok().map_or(16, |n| n.parse().expect("a number"));
    for seed in 0..seeds {
        run(seed);
    }
}
