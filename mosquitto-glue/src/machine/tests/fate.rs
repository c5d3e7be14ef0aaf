//! Each row of the table in the machine's docs: what becomes of a message, by how far it is and what happens.

use super::*;
use crate::message::Publish;

const NOT_AUTHORIZED: u8 = 0x87;
const UNKNOWN_ID: u8 = 0x92;

/// How far a message of QoS 2 is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The broker has the PUBLISH, and did not answer.
    Publish,
    /// The broker has the PUBREL, and did not answer.
    Release,
}

/// A message under way, and the broker that has it.
struct Fate {
    bench: Bench,
    peer: Option<Peer>,
    v5: bool,
    delivery: Delivery,
    id: [u8; 2],
}

/// A packet that the client sent: its type, whether it says DUP, its identifier.
type Sent = (u8, bool, [u8; 2]);

impl Fate {
    fn new(v5: bool, publish: Publish, phase: Phase) -> Fate {
        Self::with(v5, publish, phase, |o| o)
    }

    fn with(v5: bool, publish: Publish, phase: Phase, f: impl FnOnce(Options) -> Options) -> Fate {
        let protocol = if v5 { Protocol::V5 } else { Protocol::V311 };
        let mut bench = Bench::new(|o| f(o.protocol(protocol)));
        let delivery = bench.machine.publish(publish).unwrap();
        let mut fate = Fate { bench, peer: None, v5, delivery, id: [0; 2] };
        fate.accept(false);
        let peer = fate.peer.as_mut().unwrap();
        fate.id = id_of(&fate.bench.packet(peer, 3));
        if phase == Phase::Release {
            let [a, b] = fate.id;
            peer.send(&[0x50, 2, a, b]);
            fate.bench.packet(peer, 6);
        }
        fate
    }

    /// Takes the next connection.
    fn accept(&mut self, session_present: bool) {
        let mut peer = self.bench.accept();
        self.bench.packet(&mut peer, 1);
        let connack: &[u8] = if self.v5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        let mut connack = connack.to_vec();
        connack[2] = u8::from(session_present);
        peer.send(&connack);
        self.peer = Some(peer);
    }

    /// Breaks the connection; the broker has the session still.
    fn cut(&mut self) {
        self.peer = None;
        self.accept(true);
    }

    /// Breaks the connection; the broker has lost the session. The client says DISCONNECT and nothing else, and comes
    /// again at once, into the session that its first attempt made.
    fn lose(&mut self) {
        self.peer = None;
        self.accept(false);
        let mut peer = self.peer.take().unwrap();
        let goodbye = self.bench.packet(&mut peer, 14);
        assert_eq!(goodbye, b"");
        self.accept(true);
        assert_eq!(peer.rest(), b"", "nothing after the DISCONNECT");
    }

    /// Sends a packet with the message's first identifier.
    fn send(&mut self, kind: u8, reason: Option<u8>) {
        let [a, b] = self.id;
        let packet = answer(kind, [a, b], reason);
        self.peer.as_mut().unwrap().send(&packet);
    }

    /// Answers everything, PUBLISH with this reason, until there is an outcome.
    fn finish(&mut self, publish: Option<u8>, release: Option<u8>) -> (Outcome, Vec<Sent>) {
        let mut sent = Vec::new();
        let peer = self.peer.as_mut().unwrap();
        let delivery = self.delivery.clone();
        let outcome = self.bench.until("an outcome", |_| {
            if let Some((first, body)) = peer.packet() {
                let id = if first >> 4 == 3 { id_of(&body) } else { [body[0], body[1]] };
                sent.push((first >> 4, first & 8 != 0 && first >> 4 == 3, id));
                match (first >> 4, first >> 1 & 3) {
                    (3, 1) => peer.send(&answer(0x40, id, publish)),
                    (3, 2) => peer.send(&answer(0x50, id, publish)),
                    (6, _) => peer.send(&answer(0x70, id, release)),
                    other => panic!("{other:?}"),
                }
            }
            delivery.outcome()
        });
        assert_eq!(self.told(), [outcome]);
        assert_eq!(self.bench.machine.backlog(), (0, 0, 0));
        (outcome, sent)
    }

    fn until_outcome(&mut self) -> Outcome {
        let delivery = self.delivery.clone();
        let outcome = self.bench.until("an outcome", |_| delivery.outcome());
        self.bench.turn();
        assert_eq!(self.told(), [outcome]);
        outcome
    }

    /// What the events say of the message.
    fn told(&self) -> Vec<Outcome> {
        let told = |e: &Event| match e {
            Event::Delivered { id, outcome, .. } if *id == self.delivery.id() => Some(*outcome),
            _ => None,
        };
        self.bench.seen.iter().filter_map(told).collect()
    }
}

fn answer(kind: u8, [a, b]: [u8; 2], reason: Option<u8>) -> Vec<u8> {
    match reason {
        None => vec![kind, 2, a, b],
        Some(reason) => vec![kind, 3, a, b, reason],
    }
}

fn message(qos: QoS) -> Publish {
    Publish::new("t", "x").qos(qos)
}

const ONE: QoS = QoS::AtLeastOnce;
const TWO: QoS = QoS::ExactlyOnce;
const DONE: Outcome = Outcome::Acknowledged(ReasonCode::SUCCESS);
const BOTH: [bool; 2] = [false, true];

#[test]
fn in_the_queue_it_waits_for_any_connection() {
    for v5 in BOTH {
        for lost in BOTH {
            let mut fate = Fate::with(v5, message(ONE), Phase::Publish, |o| o.window(1));
            let waiting = fate.bench.machine.publish(message(TWO)).unwrap();
            if lost {
                fate.lose();
            } else {
                fate.cut();
            }
            let (outcome, _) = fate.finish_both(&waiting);
            assert_eq!((outcome, waiting.outcome()), (DONE, Some(DONE)));
        }
    }
}

impl Fate {
    /// As `finish`, for a second message too.
    fn finish_both(&mut self, second: &Delivery) -> (Outcome, Vec<Sent>) {
        let peer = self.peer.as_mut().unwrap();
        let first = self.delivery.clone();
        let second = second.clone();
        let mut sent = Vec::new();
        let outcome = self.bench.until("two outcomes", |_| {
            if let Some((byte, body)) = peer.packet() {
                let id = if byte >> 4 == 3 { id_of(&body) } else { [body[0], body[1]] };
                sent.push((byte >> 4, byte & 8 != 0, id));
                let kind = match (byte >> 4, byte >> 1 & 3) {
                    (3, 1) => 0x40,
                    (3, _) => 0x50,
                    _ => 0x70,
                };
                peer.send(&answer(kind, id, None));
            }
            second.outcome().and(first.outcome())
        });
        (outcome, sent)
    }
}

#[test]
fn in_the_queue_its_deadline_ends_it_and_not_before() {
    let after = Duration::from_millis(300);
    let begin = Instant::now();
    let mut bench = Bench::new(|o| o);
    let expires = bench.machine.publish(message(ONE).expire_after(after)).unwrap();
    let stays = bench.machine.publish(message(ONE)).unwrap();
    assert!(bench.machine.deadline().is_some());
    bench.until("the end", |_| expires.outcome());
    assert!(begin.elapsed() >= after);
    assert_eq!(expires.outcome(), Some(Outcome::Expired));
    let late = bench.machine.publish(message(ONE).deadline(begin)).unwrap();
    assert_eq!(late.outcome(), Some(Outcome::Expired));
    let mut peer = bench.connected();
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x40, 2, a, b]);
    bench.until("an answer", |_| stays.outcome());
    // What is under way has no deadline.
    let soon = message(ONE).expire_after(Duration::from_millis(1));
    let under_way = bench.machine.publish(soon);
    for _ in 0..20 {
        bench.turn();
    }
    assert!(matches!(under_way.unwrap().outcome(), None | Some(Outcome::Expired)));
}

#[test]
fn at_qos_0_it_goes_with_the_connection() {
    let mut bench = Bench::new(|o| o);
    let peer = bench.connected();
    let large = Publish::new("t", vec![0; 32 << 20]).qos(QoS::AtMostOnce);
    let blocked = bench.machine.publish(large).unwrap();
    let waiting = bench.machine.publish(Publish::new("t", "x").qos(QoS::AtMostOnce)).unwrap();
    assert_eq!(bench.machine.backlog().0, 1);
    drop(peer);
    bench.until("both outcomes", |_| blocked.outcome().and(waiting.outcome()));
    for delivery in [blocked, waiting] {
        assert_eq!(delivery.outcome(), Some(Outcome::Dropped(Dropped::ConnectionLost)));
    }
}

#[test]
fn at_qos_1_it_goes_on_in_a_kept_session() {
    for v5 in BOTH {
        let mut fate = Fate::new(v5, message(ONE), Phase::Publish);
        fate.cut();
        let id = fate.id;
        assert_eq!(fate.finish(None, None), (DONE, vec![(3, true, id)]));
    }
}

#[test]
fn at_qos_1_it_goes_anew_in_a_new_session() {
    for v5 in BOTH {
        let mut fate = Fate::new(v5, message(ONE), Phase::Publish);
        fate.lose();
        let (outcome, sent) = fate.finish(None, None);
        assert_eq!(outcome, DONE);
        assert!(matches!(sent[..], [(3, false, _)]), "{sent:?}");
    }
}

#[test]
fn a_refusal_counts_only_where_no_earlier_copy_can_have_arrived() {
    for lost in BOTH {
        for (qos, certain) in [(ONE, false), (TWO, !lost)] {
            let mut fate = Fate::new(true, message(qos), Phase::Publish);
            if lost {
                fate.lose();
            } else {
                fate.cut();
            }
            let (outcome, _) = fate.finish(Some(NOT_AUTHORIZED), None);
            let expected = match certain {
                true => Outcome::Refused(ReasonCode(NOT_AUTHORIZED)),
                false => Outcome::Uncertain(Uncertain::RefusedAgain),
            };
            assert_eq!(outcome, expected, "{qos:?}, lost: {lost}");
        }
    }
    let mut fate = Fate::new(true, message(ONE), Phase::Publish);
    fate.send(0x40, Some(NOT_AUTHORIZED));
    assert_eq!(fate.until_outcome(), Outcome::Refused(ReasonCode(NOT_AUTHORIZED)));
}

#[test]
fn at_qos_2_it_goes_on_where_it_was_in_a_kept_session() {
    for v5 in BOTH {
        let mut fate = Fate::new(v5, message(TWO), Phase::Publish);
        fate.cut();
        let id = fate.id;
        assert_eq!(fate.finish(None, None), (DONE, vec![(3, true, id), (6, false, id)]));
        let mut fate = Fate::new(v5, message(TWO), Phase::Release);
        fate.cut();
        let id = fate.id;
        assert_eq!(fate.finish(None, None), (DONE, vec![(6, false, id)]));
    }
}

#[test]
fn at_qos_2_it_goes_anew_and_is_uncertain_in_a_new_session() {
    for v5 in BOTH {
        for phase in [Phase::Publish, Phase::Release] {
            let mut fate = Fate::new(v5, message(TWO), phase);
            fate.lose();
            let (outcome, sent) = fate.finish(None, None);
            assert_eq!(outcome, Outcome::Uncertain(Uncertain::SessionLost));
            assert!(matches!(sent[..], [(3, false, _), (6, _, _)]), "{sent:?}");
        }
    }
}

#[test]
fn at_qos_2_a_window_that_shrinks_leaves_it_uncertain() {
    let mut fate = Fate::new(true, message(TWO), Phase::Release);
    let second = fate.bench.machine.publish(message(TWO)).unwrap();
    let peer = fate.peer.as_mut().unwrap();
    let [a, b] = id_of(&fate.bench.packet(peer, 3));
    peer.send(&[0x50, 2, a, b]);
    fate.bench.packet(peer, 6);
    fate.peer = None;
    let mut peer = fate.bench.accept();
    fate.bench.packet(&mut peer, 1);
    peer.send(&[0x20, 6, 1, 0, 3, 33, 0, 1]);
    fate.peer = Some(peer);
    let (_, sent) = fate.finish_both(&second);
    let uncertain = Some(Outcome::Uncertain(Uncertain::SessionLost));
    assert_eq!((fate.delivery.outcome(), second.outcome()), (uncertain, uncertain));
    // The first goes on, the second is published under its old identifier, as if it were new.
    let kinds: Vec<_> = sent.iter().map(|(kind, _, id)| (*kind, *id)).collect();
    assert_eq!(kinds, [(6, fate.id), (3, [a, b]), (6, [a, b])]);
}

#[test]
fn a_session_for_each_connection_leaves_qos_2_uncertain_and_nothing_else() {
    for (qos, expected) in [(ONE, DONE), (TWO, Outcome::Uncertain(Uncertain::SessionLost))] {
        let per_connection = |o: Options| o.session(Session::PerConnection);
        let mut fate = Fate::with(false, message(qos), Phase::Publish, per_connection);
        fate.peer = None;
        fate.accept(false);
        let (outcome, sent) = fate.finish(None, None);
        assert_eq!(outcome, expected);
        assert!(!sent[0].1);
    }
}

#[test]
fn a_broker_that_knows_nothing_of_what_it_took() {
    let mut fate = Fate::new(true, message(TWO), Phase::Release);
    fate.send(0x70, Some(UNKNOWN_ID));
    assert_eq!(fate.until_outcome(), Outcome::Uncertain(Uncertain::Forgotten));
    // The answer to a PUBREL that comes a second time.
    let mut fate = Fate::new(true, message(TWO), Phase::Release);
    fate.cut();
    assert_eq!(fate.finish(None, Some(UNKNOWN_ID)).0, Outcome::Acknowledged(ReasonCode(UNKNOWN_ID)));
}

#[test]
fn a_deadline_after_a_lost_session_is_not_certain() {
    for qos in [ONE, TWO] {
        let publish = message(qos).expire_after(Duration::from_millis(500));
        let mut fate = Fate::new(false, publish, Phase::Publish);
        fate.peer = None;
        fate.accept(false);
        // Nobody takes the next connection.
        assert_eq!(fate.until_outcome(), Outcome::Uncertain(Uncertain::Expired));
    }
}

#[test]
fn the_end_of_the_client_leaves_what_is_under_way_uncertain() {
    for qos in [ONE, TWO] {
        let mut fate = Fate::new(false, message(qos), Phase::Publish);
        fate.bench.machine.close();
        assert_eq!(fate.until_outcome(), Outcome::Uncertain(Uncertain::Closed));
        let mut fate = Fate::new(false, message(qos), Phase::Publish);
        fate.peer = None;
        let mut peer = fate.bench.accept();
        fate.bench.packet(&mut peer, 1);
        peer.send(&[0x20, 2, 0, 5]);
        assert_eq!(fate.until_outcome(), Outcome::Uncertain(Uncertain::Failed));
    }
}

#[test]
fn what_is_acknowledged_is_never_sent_again() {
    for qos in [ONE, TWO] {
        let phase = if qos == TWO { Phase::Release } else { Phase::Publish };
        let mut fate = Fate::new(false, message(qos), phase);
        fate.send(if qos == TWO { 0x70 } else { 0x40 }, None);
        assert_eq!(fate.until_outcome(), DONE);
        fate.peer = None;
        fate.accept(false);
        for _ in 0..20 {
            fate.bench.turn();
        }
        assert_eq!(fate.peer.as_mut().unwrap().rest(), b"");
        assert_eq!(fate.told(), [DONE]);
    }
}

/// The flags of a CONNECT: whether the session is a clean one, and whether there is a will.
fn flags(connect: &[u8]) -> (bool, bool) {
    (connect[7] & 2 != 0, connect[7] & 4 != 0)
}

#[test]
fn a_session_that_an_earlier_client_left_is_cleared_first() {
    let mut bench = Bench::new(|o| o.client_id("id").will(Publish::new("w", "gone")));
    let delivery = bench.machine.publish(message(TWO)).unwrap();
    let mut peer = bench.accept();
    assert_eq!(flags(&bench.packet(&mut peer, 1)), (false, true));
    // A message that waited for the earlier one comes with the session.
    peer.send(&[0x20, 2, 1, 0, 0x30, 4, 0, 1, b'a', b'x']);
    assert_eq!(bench.packet(&mut peer, 14), b"");
    let mut peer = bench.accept();
    assert_eq!(flags(&bench.packet(&mut peer, 1)), (true, false));
    peer.send(ACCEPTED);
    assert_eq!(bench.packet(&mut peer, 14), b"");
    let mut peer = bench.accept();
    assert_eq!(flags(&bench.packet(&mut peer, 1)), (false, true));
    peer.send(ACCEPTED);
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x50, 2, a, b, 0x70, 2, a, b]);
    bench.until("an outcome", |_| delivery.outcome());
    assert_eq!(delivery.outcome(), Some(DONE));
    bench.turn();
    let only: Vec<_> = bench.told().into_iter().filter(|e| !matches!(e, Event::Delivered { .. })).collect();
    assert!(matches!(only[..], [Event::Connected { session_present: false, .. }]), "{only:?}");
}

#[test]
fn a_closed_client_leaves_no_session_behind() {
    let mut bench = Bench::new(|o| o);
    let mut peer = bench.connected();
    bench.machine.close();
    assert_eq!(bench.packet(&mut peer, 14), b"");
    let mut peer = bench.accept();
    assert_eq!(flags(&bench.packet(&mut peer, 1)), (true, false));
    peer.send(ACCEPTED);
    assert_eq!(bench.packet(&mut peer, 14), b"");
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    let told = bench.told();
    assert!(matches!(told[..], [Event::Connected { session_present: false, .. }, Event::Closed]), "{told:?}");

    let mut bench = Bench::new(|o| o.protocol(Protocol::V5));
    let mut peer = bench.accept();
    let connect = bench.packet(&mut peer, 1);
    assert!(connect.windows(5).any(|w| w == [17, 0, 0, 14, 16]), "an hour: {connect:?}");
    peer.send(&[0x20, 3, 0, 0, 0]);
    bench.until("connected", |b| b.machine.is_up().then_some(()));
    bench.machine.close();
    assert_eq!(bench.packet(&mut peer, 14), [0, 5, 17, 0, 0, 0, 0]);
    bench.until("the end", |b| b.machine.is_closed().then_some(()));

    let mut bench = Bench::new(|o| o.client_id("id").session(Session::Kept));
    let mut peer = bench.connected();
    bench.machine.close();
    assert_eq!(bench.packet(&mut peer, 14), b"");
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert!(bench.listener.accept().is_err(), "it stays");
}
