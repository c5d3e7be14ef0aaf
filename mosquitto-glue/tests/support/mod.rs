//! What the tests share: a broker of their own, a server that says what it is told to, and a loop to watch.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part of this")]

pub mod broker;
pub mod case;
#[cfg(feature = "tls")]
pub mod certs;
pub mod proxy;
#[cfg(feature = "tls")]
pub mod secured;
pub mod server;
pub mod subscriber;

use becket_loop::{Loop, backend};
use becket_mosquitto::{Client, DeliveryId, Event, Message, Options, Outcome, Protocol};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take that should happen soon.
pub const LONG: Duration = Duration::from_secs(30);

/// What the callbacks collect.
#[derive(Default)]
pub struct World {
    pub events: Vec<Event>,
    /// What was called back with.
    pub outcomes: Vec<Outcome>,
    /// What handlers note: a name and a text.
    pub log: Vec<(&'static str, String)>,
}

impl World {
    pub fn messages(&self) -> Vec<&Message> {
        self.events.iter().filter_map(|e| if let Event::Message(m) = e { Some(m) } else { None }).collect()
    }

    pub fn outcomes(&self) -> Vec<(DeliveryId, Outcome)> {
        let delivered =
            |e: &Event| if let Event::Delivered { id, outcome, .. } = e { Some((*id, *outcome)) } else { None };
        self.events.iter().filter_map(delivered).collect()
    }

    /// What was noted under a name.
    pub fn noted(&self, name: &str) -> Vec<&str> {
        self.log.iter().filter(|(n, _)| *n == name).map(|(_, text)| text.as_str()).collect()
    }

    pub fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|e| f(e)).count()
    }

    pub fn connections(&self) -> usize {
        self.count(|e| matches!(e, Event::Connected { .. }))
    }

    pub fn has(&self, f: impl Fn(&Event) -> bool) -> bool {
        self.count(f) > 0
    }
}

/// A loop with a world.
pub struct Harness {
    pub ctx: Loop<World>,
    pub world: World,
    /// How often the loop turned.
    pub turns: usize,
}

impl Harness {
    pub fn new() -> Harness {
        Harness { ctx: Loop::new().unwrap(), world: World::default(), turns: 0 }
    }

    /// The same over poll(2), which has no edges.
    pub fn over_poll() -> Harness {
        Harness { ctx: Loop::with_backend(backend::Poll::new().unwrap()), world: World::default(), turns: 0 }
    }

    /// A client whose events are collected.
    pub fn join(&mut self, options: Options) -> Client {
        Client::join(&mut self.ctx, options, |world: &mut World, _, _, event| {
            world.events.push(event);
            Ok(())
        })
        .unwrap()
    }

    /// Turns the loop until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&World) -> bool) {
        let end = Instant::now() + LONG;
        while !done(&self.world) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not happen: {:?}", self.world.events);
            self.turn(left);
        }
    }

    /// Turns the loop for this long.
    pub fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end.saturating_duration_since(Instant::now()));
        }
    }

    fn turn(&mut self, max: Duration) {
        self.ctx.turn(&mut self.world, Some(max)).unwrap();
        self.turns += 1;
    }

    /// Closes a client and sees it leave the loop.
    pub fn close(&mut self, client: &Client) {
        client.close();
        self.until("the end", |world| world.has(|e| *e == Event::Closed));
    }
}

/// Options with a short back-off.
pub fn options(url: &str) -> Options {
    Options::new(url.parse().unwrap()).backoff(Duration::from_millis(50), Duration::from_millis(200))
}

/// The same for a client whose session the broker keeps.
pub fn kept(url: &str, protocol: Protocol, id: &str) -> Options {
    let options = options(url).protocol(protocol).client_id(id).clean_start(false).log(None);
    if protocol == Protocol::V5 { options.session_expiry(Duration::from_secs(3600)) } else { options }
}

/// A port that the kernel accepts connections on, for the test to answer.
pub fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Whether the library outlives a property of an identifier that it does not know; says SKIP where it does not. The
/// system's ends the process by an assertion, as all do that are known.
pub fn survives_unknown_properties() -> bool {
    let ours = cfg!(feature = "vendored");
    if !ours {
        println!("SKIP: the system's libmosquitto ends the process at an unknown property");
    }
    ours
}

/// Reads one packet shorter than 128 bytes: its first byte and its body.
pub fn read_packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    next_packet(stream).unwrap()
}

/// The same where the other side may be gone.
pub fn next_packet(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    stream.set_read_timeout(Some(LONG))?;
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; header[1].into()];
    stream.read_exact(&mut body)?;
    Ok((header[0], body))
}
