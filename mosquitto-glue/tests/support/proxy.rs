//! A proxy between a client and a broker that knows MQTT's packets, or TLS's records, and spoils them as told.

use rustix::net::sockopt::set_socket_linger;
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// What divides a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Packets of MQTT; their kind is the upper half of the first byte.
    #[default]
    Mqtt,
    /// Records of TLS; their kind is the first byte.
    Tls,
}

/// A place in a connection: behind so many bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub way: Way,
    pub kind: u8,
    /// Which of its kind, from 0.
    pub nth: usize,
    /// From 0, before its first byte, to its length, behind its last one.
    pub bytes: usize,
}

/// What happens at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Both connections end.
    Cut,
    /// Both connections are reset.
    Reset,
    /// Nothing more goes this way, and its receiver meets the end; the other way is open.
    HalfClose,
    /// From here on both ways swallow everything, and stay open.
    BlackHole,
    /// The next byte comes with these bits turned over.
    Flip(u8),
    /// The rest comes later.
    Hold(Duration),
    /// These bytes come in between.
    Insert(Vec<u8>),
}

/// How what is unspoilt is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// As it comes.
    #[default]
    Plain,
    /// Each byte by a write of its own, with a pause behind each.
    Bytes(Duration),
    /// What comes within this time, by one write.
    Batch(Duration),
    /// Each piece after this time.
    Late(Duration),
}

/// What becomes of one connection.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub acts: Vec<(Place, Act)>,
    pub pace: Pace,
    /// What is done without a broker.
    pub instead: Option<Instead>,
}

/// What a connection meets that gets to no broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// It is accepted, and reset at once.
    Refuse,
    /// It is accepted, and nothing is ever said.
    Silence,
}

impl Script {
    pub fn act(place: Place, act: Act) -> Script {
        Script { acts: vec![(place, act)], ..Script::default() }
    }

    pub fn pace(pace: Pace) -> Script {
        Script { pace, ..Script::default() }
    }

    pub fn instead(instead: Instead) -> Script {
        Script { instead: Some(instead), ..Script::default() }
    }
}

/// A packet that went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passed {
    pub way: Way,
    pub kind: u8,
    pub nth: usize,
    pub len: usize,
}

/// A proxy on a port of its own. Dropping it ends all its connections.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    broker: AtomicU16,
    framing: Framing,
    /// For the connections to come, in their order; those behind them are passed on unspoilt.
    scripts: Mutex<VecDeque<Script>>,
    links: Mutex<Vec<Weak<Link>>>,
    passed: Mutex<Vec<Passed>>,
    accepted: AtomicUsize,
    done: AtomicUsize,
    over: AtomicBool,
}

/// The two connections of one client.
struct Link {
    client: TcpStream,
    /// The client's own where there is no broker.
    broker: Option<TcpStream>,
    over: AtomicBool,
    hole: AtomicBool,
}

impl Proxy {
    /// A proxy before the broker that serves this port.
    pub fn new(broker: u16) -> Proxy {
        Self::framed(broker, Framing::Mqtt)
    }

    pub fn framed(broker: u16, framing: Framing) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            broker: AtomicU16::new(broker),
            framing,
            scripts: Mutex::default(),
            links: Mutex::default(),
            passed: Mutex::default(),
            accepted: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || own.accept(&listener));
        Proxy { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn is_tls(&self) -> bool {
        self.shared.framing == Framing::Tls
    }

    /// Where connections from now on lead to; 0, where nobody listens, has them reset.
    pub fn lead_to(&self, broker: u16) {
        self.shared.broker.store(broker, Ordering::SeqCst);
    }

    /// What the next connection, that behind it, and so on, meet.
    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        self.shared.scripts.lock().unwrap().extend(scripts);
    }

    /// The connections to come meet nothing any more.
    pub fn script_no_more(&self) {
        self.shared.scripts.lock().unwrap().clear();
    }

    /// Ends all connections that there are.
    pub fn end_all(&self, act: &Act) {
        for link in self.shared.links.lock().unwrap().drain(..) {
            if let Some(link) = link.upgrade() {
                link.end(act);
            }
        }
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many acts came to pass.
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// The packets that went by whole.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.passed.lock().unwrap().clone()
    }

    /// Forgets what went by: in a long run there is much of it.
    pub fn forget_passed(&self) {
        self.shared.passed.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // What waits for a connection gets one.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        self.end_all(&Act::Cut);
    }
}

impl Shared {
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let client = client.unwrap();
            client.set_nodelay(true).unwrap();
            self.accepted.fetch_add(1, Ordering::SeqCst);
            let script = self.scripts.lock().unwrap().pop_front().unwrap_or_default();
            let broker = match script.instead {
                None => TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker.load(Ordering::SeqCst))).ok(),
                Some(_) => None,
            };
            if let Some(broker) = &broker {
                broker.set_nodelay(true).unwrap();
            }
            // Where there is no broker, the client finds out by a reset.
            let silent = script.instead == Some(Instead::Silence);
            let link = Arc::new(Link { client, broker, over: AtomicBool::new(false), hole: AtomicBool::new(silent) });
            if link.broker.is_none() && !silent {
                link.end(&Act::Reset);
                continue;
            }
            self.links.lock().unwrap().push(Arc::downgrade(&link));
            for way in [Way::Up, Way::Down] {
                let (shared, link, script) = (Arc::clone(self), Arc::clone(&link), script.clone());
                thread::spawn(move || link.pass(way, &script, &shared));
            }
        }
    }
}

/// One way of a link, on its thread.
struct Pass<'a> {
    link: &'a Link,
    shared: &'a Shared,
    way: Way,
    pace: Pace,
    acts: Vec<(Place, Act)>,
    frames: Frames,
    /// What goes out next.
    out: Vec<u8>,
    /// The bits to turn over in the next byte.
    flip: u8,
    /// Whether the receiver has met the end.
    is_shut: bool,
}

impl Link {
    fn end(&self, act: &Act) {
        self.over.store(true, Ordering::SeqCst);
        for stream in [Some(&self.client), self.broker.as_ref()].into_iter().flatten() {
            // Fails where the other side was quicker.
            if *act == Act::Reset {
                let _ = set_socket_linger(stream, Some(Duration::ZERO));
                // Wakes the thread that reads; the reset is sent when both threads have let go.
                let _ = stream.shutdown(Shutdown::Read);
            } else {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn pass(&self, way: Way, script: &Script, shared: &Shared) {
        let acts = script.acts.iter().filter(|(place, _)| place.way == way).cloned().collect();
        let frames = Frames::new(shared.framing);
        let pace = script.pace;
        Pass { link: self, shared, way, pace, acts, frames, out: Vec::new(), flip: 0, is_shut: false }.run();
    }
}

impl Pass<'_> {
    fn run(&mut self) {
        let (from, to) = match (self.way, &self.link.broker) {
            (Way::Up, Some(broker)) => (&self.link.client, Some(broker)),
            (Way::Down, Some(broker)) => (broker, Some(&self.link.client)),
            (Way::Up, None) => (&self.link.client, None),
            (Way::Down, None) => return,
        };
        let mut buffer = [0; 65536];
        loop {
            let n = self.read(from, &mut buffer);
            if self.link.over.load(Ordering::SeqCst) {
                return;
            }
            if n == 0 {
                break;
            }
            let Some(to) = to else { continue };
            for &byte in &buffer[..n] {
                let at = self.frames.step(byte);
                self.act(at.kind, at.nth, at.before, to);
                self.out.push(byte ^ std::mem::take(&mut self.flip));
                if at.is_last {
                    let len = at.before + 1;
                    self.act(at.kind, at.nth, len, to);
                    let passed = Passed { way: self.way, kind: at.kind, nth: at.nth, len };
                    self.shared.passed.lock().unwrap().push(passed);
                }
                if self.link.over.load(Ordering::SeqCst) {
                    return;
                }
            }
            self.write(to);
        }
        if let Some(to) = to
            && !self.link.hole.load(Ordering::SeqCst)
        {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Does what is to be done at a place.
    fn act(&mut self, kind: u8, nth: usize, bytes: usize, to: &TcpStream) {
        let here = Place { way: self.way, kind, nth, bytes };
        while let Some(found) = self.acts.iter().position(|(place, _)| *place == here) {
            let (_, act) = self.acts.remove(found);
            // What came before goes out before.
            if !matches!(act, Act::Flip(_) | Act::Insert(_)) {
                self.write(to);
            }
            match &act {
                Act::Cut | Act::Reset => self.link.end(&act),
                Act::HalfClose => {
                    self.is_shut = true;
                    let _ = to.shutdown(Shutdown::Write);
                }
                Act::BlackHole => self.link.hole.store(true, Ordering::SeqCst),
                Act::Flip(bits) => self.flip = *bits,
                Act::Hold(time) => thread::sleep(*time),
                Act::Insert(bytes) => self.out.extend_from_slice(bytes),
            }
            self.shared.done.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Reads a piece; 0 at the end, and where there is an error.
    fn read(&self, mut from: &TcpStream, buffer: &mut [u8]) -> usize {
        let mut n = from.read(buffer).unwrap_or(0);
        match self.pace {
            Pace::Late(time) => thread::sleep(time),
            Pace::Batch(time) if n > 0 => {
                from.set_read_timeout(Some(time)).unwrap();
                // The end is met again by the next call.
                while let Ok(more @ 1..) = from.read(&mut buffer[n..]) {
                    n += more;
                }
                from.set_read_timeout(None).unwrap();
            }
            _ => {}
        }
        n
    }

    fn write(&mut self, mut to: &TcpStream) {
        let out = std::mem::take(&mut self.out);
        if self.is_shut || self.link.hole.load(Ordering::SeqCst) {
            return;
        }
        // Where the receiver is gone, the sender finds out when it is read from.
        if let Pace::Bytes(pause) = self.pace {
            for byte in out {
                let _ = to.write_all(&[byte]);
                thread::sleep(pause);
            }
        } else {
            let _ = to.write_all(&out);
        }
    }
}

/// Divides a stream.
struct Frames {
    framing: Framing,
    /// The bytes that say how long the frame is.
    header: Vec<u8>,
    kind: u8,
    counts: HashMap<u8, usize>,
    /// How many bytes of the frame went by.
    bytes: usize,
    len: Option<usize>,
}

/// Where a byte stands.
struct At {
    kind: u8,
    nth: usize,
    /// How many bytes of its frame come before it.
    before: usize,
    is_last: bool,
}

impl Frames {
    fn new(framing: Framing) -> Frames {
        Frames { framing, header: Vec::new(), kind: 0, counts: HashMap::new(), bytes: 0, len: None }
    }

    fn step(&mut self, byte: u8) -> At {
        if self.bytes == 0 {
            self.header.clear();
            self.len = None;
            self.kind = if self.framing == Framing::Mqtt { byte >> 4 } else { byte };
            *self.counts.entry(self.kind).or_insert(0) += 1;
        }
        let before = self.bytes;
        self.bytes += 1;
        if self.len.is_none() {
            self.header.push(byte);
            self.len = frame_len(self.framing, &self.header);
        }
        let is_last = self.len == Some(self.bytes);
        if is_last {
            self.bytes = 0;
        }
        At { kind: self.kind, nth: self.counts[&self.kind] - 1, before, is_last }
    }
}

/// The length of the frame that begins like this, once it is known.
fn frame_len(framing: Framing, header: &[u8]) -> Option<usize> {
    if framing == Framing::Tls {
        let header = header.first_chunk::<5>()?;
        return Some(5 + usize::from(u16::from_be_bytes([header[3], header[4]])));
    }
    let last = header.iter().skip(1).take(4).position(|byte| byte & 0x80 == 0)?;
    let body = header[1..=1 + last].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7f));
    Some(2 + last + body)
}
