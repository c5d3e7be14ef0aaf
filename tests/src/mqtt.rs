//! A tiny MQTT 3.1.1 client over a blocking socket, which owes nothing to libmosquitto: a second opinion.

use rustix::net::sockopt;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBACK: u8 = 0x90;

/// How long the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A connected client with a clean session.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    packet_id: u16,
    arrived: VecDeque<Message>,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic it was published to.
    pub topic: String,
    /// Its payload, as text.
    pub payload: String,
}

impl Client {
    /// Connects to the broker on 127.0.0.1 and waits for its consent. It never pings: live shorter than ten minutes.
    pub fn connect(port: u16, id: &str) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect to the broker");
        let mut client = Client { stream, packet_id: 0, arrived: VecDeque::new() };
        let keepalive = 600_u16.to_be_bytes();
        client.send(0x10, &[&string("MQTT")[..], &[4, 2], &keepalive, &string(id)].concat());
        assert_eq!(client.answer(CONNACK), [0, 0], "CONNACK: no session, accepted");
        client
    }

    /// Subscribes to `filter` at QoS 1 and waits for the broker's consent.
    pub fn subscribe(&mut self, filter: &str) {
        self.subscribe_at(filter, 1);
    }

    /// Subscribes to `filter` at the given QoS and waits for the broker's consent. At QoS 0 the broker sends what it
    /// has at once, and nothing goes back to it.
    pub fn subscribe_at(&mut self, filter: &str, qos: u8) {
        let id = self.next_id();
        self.send(0x82, &[&id[..], &string(filter), &[qos]].concat());
        assert_eq!(self.answer(SUBACK), [&id[..], &[qos]].concat(), "SUBACK");
    }

    /// Has the kernel keep more of what comes than it would, as far as this user may ask for that: a broker that finds no
    /// room keeps it in memory of its own, drops what is of QoS 0 when that is much, and loses it when it is killed.
    pub fn receive_much(&self) {
        let much = 16 << 20;
        let _ = sockopt::set_socket_recv_buffer_size_force(&self.stream, much);
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub fn publish(&mut self, topic: &str, payload: &str) {
        let id = self.next_id();
        self.send(PUBLISH | 2, &[&string(topic), &id[..], payload.as_bytes()].concat());
        assert_eq!(self.answer(PUBACK), id, "PUBACK");
    }

    /// The next message; panics where none comes in time.
    pub fn next(&mut self, within: Duration) -> Message {
        self.next_that(within, |_| true)
    }

    /// The next message that `is_it` takes, passing over others; panics where none comes in time.
    pub fn next_that(&mut self, within: Duration, is_it: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + within;
        loop {
            let message = match self.arrived.pop_front() {
                Some(message) => message,
                None => match self.packet(deadline) {
                    (kind, body) if kind & 0xf0 == PUBLISH => self.message(kind, &body),
                    (kind, body) => panic!("an unexpected packet {kind:#x} {body:?}"),
                },
            };
            if is_it(&message) {
                return message;
            }
        }
    }

    /// Hands every message to `each` until the broker ends the connection, and returns how that was seen.
    pub fn listen(mut self, mut each: impl FnMut(Message)) -> io::Error {
        self.stream.set_read_timeout(None).expect("no timeout");
        self.arrived.drain(..).for_each(&mut each);
        loop {
            match self.read_packet() {
                Ok((kind, body)) if kind & 0xf0 == PUBLISH => each(self.message(kind, &body)),
                Ok(_) => {}
                Err(e) => return e,
            }
        }
    }

    /// Waits for a packet of a kind; messages that come before it are kept.
    fn answer(&mut self, wanted: u8) -> Vec<u8> {
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.packet(deadline) {
                (kind, body) if kind == wanted => return body,
                (kind, body) if kind & 0xf0 == PUBLISH => {
                    let message = self.message(kind, &body);
                    self.arrived.push_back(message);
                }
                (kind, body) => panic!("wanted {wanted:#x}, got {kind:#x} {body:?}"),
            }
        }
    }

    /// Takes a PUBLISH apart, and acknowledges it.
    fn message(&mut self, kind: u8, body: &[u8]) -> Message {
        let topic_length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, rest) = body[2..].split_at(topic_length);
        let payload = if kind & 0x06 == 0 {
            rest
        } else {
            self.send(PUBACK, &rest[..2]);
            &rest[2..]
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Message { topic: text(topic), payload: text(payload) }
    }

    fn next_id(&mut self) -> [u8; 2] {
        self.packet_id += 1;
        self.packet_id.to_be_bytes()
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        assert!(body.len() < 1 << 14, "two bytes of length are enough for tests");
        let (low, high) = (body.len() as u8 & 0x7f, (body.len() >> 7) as u8);
        let length: &[u8] = if high == 0 { &[low] } else { &[low | 0x80, high] };
        let packet = [&[kind], length, body].concat();
        self.stream.write_all(&packet).expect("write to the broker");
    }

    fn packet(&mut self, deadline: Instant) -> (u8, Vec<u8>) {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("a timeout");
        self.read_packet().unwrap_or_else(|e| panic!("nothing more from the broker: {e}"))
    }

    fn read_packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let [kind] = self.read()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.read()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((kind, body))
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
