//! The machine against a server of the test's own, which speaks bytes.

mod fate;
mod model;
mod queueing;
mod v5;

use super::*;
use crate::delivery::Outcome;
use crate::error::PublishRefusal;
use crate::message::Publish;
use crate::properties::Properties;
use crate::reason::Reason;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

mod inbound;

const LONG: Duration = Duration::from_secs(30);

/// CONNACK of MQTT 3.1.1: no session, accepted.
const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];

struct Bench {
    listener: TcpListener,
    machine: Machine,
    seen: Vec<Event>,
    steps: usize,
}

impl Bench {
    fn new(f: impl FnOnce(Options) -> Options) -> Bench {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("mqtt://{}", listener.local_addr().unwrap());
        let options = Options::new(address.parse().unwrap());
        let options = f(options.backoff(Duration::from_millis(1), Duration::from_millis(1)).log(None));
        let machine = Machine::new(options, Arc::new(|| {})).unwrap();
        Bench { listener, machine, seen: Vec::new(), steps: 0 }
    }

    /// One turn of a loop: waits a little for the socket, steps, takes the events.
    fn turn(&mut self) {
        let ready = match self.machine.socket() {
            Some((_, fd)) if !self.machine.is_due() => {
                let want = match self.machine.handle.as_ref().unwrap().wants_write() {
                    true => Ready::READ | Ready::WRITE,
                    false => Ready::READ,
                };
                becket_sys::wait(fd, want, Some(Instant::now() + Duration::from_millis(2))).unwrap()
            }
            None if !self.machine.is_due() => {
                std::thread::sleep(Duration::from_millis(1));
                None
            }
            _ => None,
        };
        self.machine.step(ready);
        self.steps += 1;
        while let Some((event, _)) = self.machine.next_event() {
            self.seen.push(event);
        }
    }

    /// Turns until `f` has something.
    fn until<T>(&mut self, what: &str, mut f: impl FnMut(&mut Bench) -> Option<T>) -> T {
        let end = Instant::now() + LONG;
        loop {
            if let Some(found) = f(self) {
                return found;
            }
            assert!(Instant::now() < end, "{what}: {:?}", self.seen);
            self.turn();
        }
    }

    fn accept(&mut self) -> Peer {
        Peer::new(self.until("a connection", |b| b.listener.accept().ok()).0)
    }

    /// The body of the next packet, which is of this type.
    fn packet(&mut self, peer: &mut Peer, kind: u8) -> Vec<u8> {
        let (first, body) = self.until("a packet", |_| peer.packet());
        assert_eq!(first >> 4, kind, "{body:?}");
        body
    }

    /// Takes connections without a session until the client is content: one that misses its session says so, and comes
    /// again.
    fn connected(&mut self) -> Peer {
        let mut peer = self.accept();
        loop {
            self.packet(&mut peer, 1);
            peer.send(ACCEPTED);
            let next = self.until("connected", |b| match b.listener.accept() {
                Ok((stream, _)) => Some(Some(stream)),
                Err(_) => b.machine.is_up().then_some(None),
            });
            match next {
                None => return peer,
                Some(stream) => peer = Peer::new(stream),
            }
        }
    }

    /// The events that are not about attempts.
    fn told(&self) -> Vec<&Event> {
        let attempts = |e: &&Event| matches!(e, Event::Connecting { .. } | Event::BackingOff { .. });
        self.seen.iter().filter(|e| !attempts(e)).collect()
    }

    fn event<T>(&mut self, what: &str, f: impl Fn(&Event) -> Option<T>) -> T {
        self.until(what, |b| b.seen.iter().find_map(&f))
    }
}

struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// Whether the client has closed its side.
    ended: bool,
}

impl Peer {
    fn new(stream: TcpStream) -> Peer {
        stream.set_nonblocking(true).unwrap();
        Peer { stream, bytes: Vec::new(), ended: false }
    }

    /// What was sent beyond the packets that were taken.
    fn rest(&mut self) -> &[u8] {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = self.stream.read(&mut chunk) {
            self.bytes.extend_from_slice(&chunk[..n]);
        }
        &self.bytes
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The first byte and the body of a packet shorter than 16 KiB.
    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(n) => {
                self.bytes.extend_from_slice(&chunk[..n]);
                self.ended = n == 0;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(e) => panic!("{e}"),
        }
        let (&first, rest) = self.bytes.split_first()?;
        let (len, rest) = match rest {
            [a, rest @ ..] if *a < 128 => (usize::from(*a), rest),
            [a, b, rest @ ..] => (usize::from(a & 127) + 128 * usize::from(*b), rest),
            _ => return None,
        };
        let body = rest.get(..len)?.to_vec();
        let used = self.bytes.len() - rest.len() + len;
        self.bytes.drain(..used);
        Some((first, body))
    }
}

/// Where the packet identifier stands in a PUBLISH to a topic of one letter.
fn id_of(publish: &[u8]) -> [u8; 2] {
    [publish[3], publish[4]]
}

#[test]
fn the_session_expiry_is_in_the_connect_packet() {
    let mut bench = Bench::new(|o| o.protocol(Protocol::V5).session_expiry(Duration::from_secs(0x01020304)));
    for _ in 0..2 {
        let mut peer = bench.accept();
        let connect = bench.packet(&mut peer, 1);
        assert_eq!(connect[..7], *b"\0\x04MQTT\x05");
        // Flags and keep-alive, then the properties: a length, and among them the one that was stored.
        let len = usize::from(connect[10]);
        let properties = &connect[11..11 + len];
        assert!(properties.windows(5).any(|w| w == [17, 1, 2, 3, 4]), "{properties:?}");
        // The next attempt stores them anew.
        drop(peer);
    }
}

#[test]
fn a_window_is_kept_and_every_delivery_is_answered_once() {
    let mut bench = Bench::new(|o| o.window(2).queue(2, 1000));
    let early = bench.machine.publish(Publish::new("t", "0")).unwrap();
    let refused = bench.machine.publish(Publish::new("t", "x").qos(QoS::AtMostOnce)).unwrap_err();
    assert_eq!(refused.refusal(), PublishRefusal::NotConnected);
    let mut peer = bench.connected();
    let more: Vec<_> = (1..4).map(|n| bench.machine.publish(Publish::new("t", n.to_string())).unwrap()).collect();
    let full = bench.machine.publish(Publish::new("t", "4")).unwrap_err();
    assert_eq!(full.refusal(), PublishRefusal::QueueFull);
    assert_eq!(full.into_publish().payload(), b"4");
    assert_eq!(bench.machine.backlog(), (2, 4, 2));

    let first = bench.packet(&mut peer, 3);
    let second = bench.packet(&mut peer, 3);
    assert_eq!((first.last(), second.last()), (Some(&b'0'), Some(&b'1')));
    let [a, b] = id_of(&second);
    peer.send(&[0x40, 2, a, b, 0x40, 2, a, b]);
    let third = bench.packet(&mut peer, 3);
    assert_eq!(third.last(), Some(&b'2'));
    bench.until("an answer", |_| more[0].outcome());

    // The connection breaks; what is under way goes again, then the rest.
    drop(peer);
    bench.event("a loss", |e| matches!(e, Event::Disconnected { .. }).then_some(()));
    let mut peer = bench.connected();
    for expected in [b'0', b'2', b'3'] {
        let publish = bench.packet(&mut peer, 3);
        assert_eq!(publish.last(), Some(&expected));
        let [a, b] = id_of(&publish);
        peer.send(&[0x40, 2, a, b]);
    }
    bench.until("all answers", |_| more.iter().all(|d| d.outcome().is_some()).then_some(()));
    assert_eq!(early.outcome(), Some(Outcome::Acknowledged(ReasonCode::SUCCESS)));
    let mut ids: Vec<_> = bench
        .seen
        .iter()
        .filter_map(|e| match e {
            Event::Delivered { id, outcome, .. } if outcome.is_acknowledged() => Some(id.0),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4]);
}

#[test]
fn subscriptions_come_before_the_queue_after_a_lost_session() {
    let mut bench = Bench::new(|o| o);
    bench.machine.subscribe("a/+", QoS::AtLeastOnce.into()).unwrap();
    for _ in 0..2 {
        let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
        let mut peer = bench.connected();
        let subscribe = bench.packet(&mut peer, 8);
        assert_eq!(subscribe[2..], *b"\0\x03a/+\x01");
        let [a, b] = id_of(&bench.packet(&mut peer, 3));
        peer.send(&[0x90, 3, subscribe[0], subscribe[1], 1, 0x40, 2, a, b]);
        bench.event("a grant", |e| matches!(e, Event::Subscribed { granted: Ok(_), .. }).then_some(()));
        bench.until("an answer", |_| delivery.outcome());
        drop(peer);
        bench.event("a loss", |e| matches!(e, Event::Disconnected { .. }).then_some(()));
        bench.seen.clear();
    }
}

/// Publishes at QoS 2 and breaks the connection where the broker has the message but has not released it. Returns what
/// the client sends on the next connection: the types of the packets.
fn broken_half_way(f: impl FnOnce(Options) -> Options, connack: &[u8]) -> Vec<u8> {
    let mut bench = Bench::new(f);
    let mut peer = bench.connected();
    bench.machine.subscribe("a", QoS::AtLeastOnce.into()).unwrap();
    let delivery = bench.machine.publish(Publish::new("t", "x").qos(QoS::ExactlyOnce)).unwrap();
    let subscribe = bench.packet(&mut peer, 8);
    peer.send(&[0x90, 3, subscribe[0], subscribe[1], 1]);
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x50, 2, a, b]);
    bench.packet(&mut peer, 6);
    drop(peer);
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(connack);
    if connack == ACCEPTED {
        bench.packet(&mut peer, 14);
        peer = bench.connected();
    }
    let mut kinds = Vec::new();
    while delivery.outcome().is_none() {
        bench.turn();
        let Some((first, body)) = peer.packet() else { continue };
        kinds.push(first >> 4);
        match first >> 4 {
            8 => peer.send(&[0x90, 3, body[0], body[1], 1]),
            3 => peer.send(&[0x50, 2, body[3], body[4]]),
            6 => peer.send(&[0x70, 2, body[0], body[1]]),
            kind => panic!("packet type {kind}"),
        }
    }
    assert_eq!(delivery.outcome().unwrap().is_acknowledged(), connack != ACCEPTED);
    assert_eq!(bench.seen.iter().filter(|e| matches!(e, Event::Delivered { .. })).count(), 1);
    kinds
}

#[test]
fn a_message_half_way_is_published_anew_in_a_new_session() {
    assert_eq!(broken_half_way(|o| o, ACCEPTED), [8, 3, 6]);
}

#[test]
fn a_message_half_way_goes_on_in_a_kept_session() {
    assert_eq!(broken_half_way(|o| o.client_id("kept").clean_start(false), &[0x20, 2, 1, 0]), [6]);
}

#[test]
fn a_suback_without_codes_is_a_refusal() {
    let mut bench = Bench::new(|o| o);
    bench.machine.subscribe("a", QoS::AtLeastOnce.into()).unwrap();
    let mut peer = bench.connected();
    let subscribe = bench.packet(&mut peer, 8);
    peer.send(&[0x90, 2, subscribe[0], subscribe[1]]);
    // The system's library may take it for garbage, and then the connection is lost.
    bench.event("an end", |e| match e {
        Event::Subscribed { granted: Err(_), .. } | Event::Disconnected { .. } => Some(()),
        _ => None,
    });
}

#[test]
fn a_final_refusal_ends_it_and_another_does_not() {
    let mut bench = Bench::new(|o| o);
    let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(&[0x20, 2, 0, 3]);
    let reason = bench.event("a refusal", |e| match e {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason, Reason::Refused(ReasonCode(0x88)));
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    peer.send(&[0x20, 2, 0, 5]);
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(delivery.outcome(), Some(Outcome::Dropped(Dropped::Failed)));
    assert_eq!(bench.seen.last(), Some(&Event::Failed(Reason::Refused(ReasonCode(0x87)))));
    assert_eq!(bench.machine.publish(Publish::new("t", "x")).unwrap_err().refusal(), PublishRefusal::Closed);
}

#[test]
fn garbage_and_silence_end_an_attempt() {
    let mut bench = Bench::new(|o| o.connect_timeout(Duration::from_millis(300)));
    let mut peer = bench.accept();
    peer.send(&b"HTTP/1.1 400 Bad Request\r\n".repeat(9));
    let reason = |e: &Event| match e {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(bench.event("garbage is noticed", reason), Reason::Protocol);
    bench.seen.clear();
    let mut peer = bench.accept();
    let begin = Instant::now();
    assert_eq!(bench.event("silence is noticed", reason), Reason::ConnectTimeout);
    assert!(begin.elapsed() > Duration::from_millis(200));
    // The socket is closed, not merely forgotten.
    bench.until("an end of the stream", |_| {
        let mut byte = [0; 64];
        matches!(peer.stream.read(&mut byte), Ok(0)).then_some(())
    });
}

#[test]
fn a_close_says_goodbye_and_answers_what_is_open() {
    let mut bench = Bench::new(|o| o.window(1).session(Session::PerConnection));
    let mut peer = bench.connected();
    let under_way = bench.machine.publish(Publish::new("t", "1")).unwrap();
    let waiting = bench.machine.publish(Publish::new("t", "2")).unwrap();
    bench.packet(&mut peer, 3);
    bench.machine.close();
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(bench.packet(&mut peer, 14), b"");
    assert_eq!(bench.seen.last(), Some(&Event::Closed));
    assert_eq!(under_way.outcome(), Some(Outcome::Uncertain(Uncertain::Closed)));
    assert_eq!(waiting.outcome(), Some(Outcome::Dropped(Dropped::Closed)));
}

#[test]
fn a_server_that_ends_the_connection_says_why() {
    let mut bench = Bench::new(|o| o.protocol(Protocol::V5));
    let mut peer = bench.accept();
    bench.packet(&mut peer, 1);
    // A receive maximum of 1 and a maximum packet size of 30.
    peer.send(&[0x20, 11, 0, 0, 8, 33, 0, 1, 39, 0, 0, 0, 30]);
    bench.until("connected", |b| b.machine.is_up().then_some(()));
    assert_eq!(bench.machine.window, 1);
    let fits = Publish::new("t", vec![0; 30 - 2 - 3 - 2 - 1]);
    let too_large = Publish::new("t", vec![0; 30 - 2 - 3 - 2 - 1 + 1]);
    let refused = bench.machine.publish(too_large).unwrap();
    assert_eq!(refused.outcome(), Some(Outcome::Refused(ReasonCode::PACKET_TOO_LARGE)));
    let accepted = bench.machine.publish(fits.properties(Properties::default())).unwrap();
    bench.packet(&mut peer, 3);
    assert_eq!(accepted.outcome(), None);
    peer.send(&[0xe0, 2, 0x8b, 0]);
    let reason = bench.event("a loss", |e| match e {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason, Reason::Server(ReasonCode(0x8b)));
}

#[test]
fn a_packet_identifier_in_use_is_skipped() {
    let mut bench = Bench::new(|o| o);
    let mut peer = bench.connected();
    let held = bench.machine.publish(Publish::new("t", "held")).unwrap();
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    // Round all identifiers, up to the one before the one in use.
    while bench.machine.last_mid != u16::from_be_bytes([a, b]) - 1 {
        assert!(bench.machine.handle.as_mut().unwrap().skip_packet_id());
        bench.machine.last_mid = bench.machine.last_mid.checked_add(1).unwrap_or(1);
        if bench.machine.last_mid == 65535 && u16::from_be_bytes([a, b]) == 1 {
            break;
        }
    }
    bench.machine.publish(Publish::new("t", "next")).unwrap();
    let next = bench.packet(&mut peer, 3);
    assert_eq!(next[5..], *b"next");
    assert_eq!(id_of(&next), [0, 2]);
    peer.send(&[0x40, 2, a, b]);
    bench.until("an answer", |_| held.outcome());
}

#[test]
fn an_inbound_burst_is_read_to_its_end_without_a_new_edge() {
    let mut bench = Bench::new(|o| o);
    let mut peer = bench.connected();
    // With the way out blocked, each answer to a message of QoS 2 leaves the EAGAIN of its own behind.
    bench.machine.publish(Publish::new("t", vec![0; 32 << 20]).qos(QoS::AtMostOnce)).unwrap();
    // The kernel's buffers grow while there is time.
    for _ in 0..20 {
        bench.turn();
    }
    assert!(bench.machine.handle.as_ref().unwrap().wants_write());
    peer.stream.set_nonblocking(false).unwrap();
    let mut burst = Vec::new();
    for id in 1..=1000_u16 {
        let [a, b] = id.to_be_bytes();
        burst.extend_from_slice(&[0x34, 5, 0, 1, b't', a, b]);
    }
    peer.send(&burst);
    // One edge, and from then on only what the machine asks for by itself.
    let (_, fd) = bench.machine.socket().unwrap();
    becket_sys::wait(fd, Ready::READ, Some(Instant::now() + LONG)).unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    bench.machine.step(Some(Ready::READ));
    while bench.machine.is_due() {
        bench.machine.step(None);
    }
    let (_, fd) = bench.machine.socket().unwrap();
    assert_eq!(becket_sys::wait(fd, Ready::READ, Some(Instant::now())).unwrap(), None, "all was read");
}

#[test]
fn a_refused_port_is_an_error_of_the_system() {
    let mut bench = Bench::new(|o| o);
    let address = bench.listener.local_addr().unwrap();
    bench.listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let reason = bench.event("a refusal", |e| match e {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.raw_os_error(), Some(libc::ECONNREFUSED), "{address}: {reason}");
}
