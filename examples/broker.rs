//! An MQTT broker inside the program, so that the examples need nothing installed.
//!
//! `rumqttd` serves one protocol version per listener; here one listener serves both, by looking at the version
//! that a client names in its CONNECT packet.

use becket_mosquitto::{Address, Options};
use bytes::BytesMut;
use rumqttd::protocol::{Error, Packet, Protocol, v4::V4, v5::V5};
use rumqttd::{ConnectionSettings, LinkType, Router, RouterConfig, Server, ServerSettings};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::thread;

/// Starts the broker in threads of its own, which run until the process ends.
///
/// It listens on 127.0.0.1 only, on `port`, or on a free port where that is 0, for MQTT 3.1.1 and 5 alike; it
/// keeps nothing on disk and prints nothing. When this returns, connections are accepted at the address returned.
/// The threads inherit the signal mask of the caller: block what the program handles itself before.
///
/// # Errors
/// What bind(2) says, such as `EADDRINUSE`; what starting a thread says.
///
/// ```
/// let addr = becket_examples::broker::start(0)?;
/// assert!(addr.ip().is_loopback());
/// std::net::TcpStream::connect(addr)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn start(port: u16) -> io::Result<SocketAddr> {
    loop {
        // rumqttd binds by itself and does not tell the port, so a free one is found before. Another process may
        // take it in between: then there is the next. One that was asked for is not tried: whoever waits for it would
        // meet the attempt.
        let addr = match port {
            0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
            _ => (Ipv4Addr::LOCALHOST, port).into(),
        };
        match serve(addr) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && port == 0 => {}
            done => return done.map(|()| addr),
        }
    }
}

/// Options for a client of the broker that the program's first argument names by its URL, or else of one that is
/// [started](start) here.
///
/// # Errors
/// A URL that makes no sense; those of [`start`].
pub fn options() -> Result<Options, Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        Some(url) => Ok(Options::from_url(&url)?),
        None => Ok(Options::new(Address::tcp("127.0.0.1", start(0)?.port())?)),
    }
}

fn serve(addr: SocketAddr) -> io::Result<()> {
    let (started, result) = channel();
    thread::Builder::new().name("broker".into()).spawn(move || run(addr, &started))?;
    result.recv().unwrap_or_else(|_| Err(io::Error::other("the broker's thread ended")))
}

fn run(addr: SocketAddr, started: &Sender<io::Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return drop(started.send(Err(e))),
    };
    let router = Router::new(0, router_config()).spawn();
    let mut server = Server::new(settings(addr), router, EitherVersion::Unknown);
    runtime.block_on(async {
        let mut serving = pin!(server.start(LinkType::Remote));
        let mut told = false;
        poll_fn(|context| {
            let poll = serving.as_mut().poll(context);
            // The future binds and listens before it waits for the first time.
            let outcome = match &poll {
                Poll::Pending if told => return poll.map(drop),
                Poll::Pending => Ok(()),
                Poll::Ready(Err(rumqttd_error)) => Err(as_io_error(rumqttd_error)),
                Poll::Ready(Ok(())) => Err(io::Error::other("the broker ended")),
            };
            told = true;
            // Nobody listens any more once the outcome of the start is known.
            let _ = started.send(outcome);
            poll.map(drop)
        })
        .await;
    });
}

/// The error keeps the operating system's code, which stands behind `source()`.
fn as_io_error(e: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut cause = Some(e);
    while let Some(e) = cause {
        if let Some(code) = e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(code);
        }
        cause = e.source();
    }
    io::Error::other(e.to_string())
}

fn router_config() -> RouterConfig {
    RouterConfig {
        max_connections: 1000,
        max_outgoing_packet_count: 200,
        max_segment_size: 1 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    }
}

fn settings(listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: "embedded".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5000,
            max_payload_size: 256 << 10,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            // Without it, a client that publishes what nobody subscribed to is thrown out.
            dynamic_filters: true,
        },
    }
}

/// The protocol of one connection: that of its first packet.
#[derive(Debug, Clone)]
enum EitherVersion {
    Unknown,
    V4,
    V5,
}

impl Protocol for EitherVersion {
    fn read_mut(&mut self, stream: &mut BytesMut, max_size: usize) -> Result<Packet, Error> {
        if let EitherVersion::Unknown = self {
            match protocol_level(stream) {
                // V4 refuses any other version with an error of its own.
                Some(level) => *self = if level == 5 { EitherVersion::V5 } else { EitherVersion::V4 },
                None => return Err(Error::InsufficientBytes(1)),
            }
        }
        match self {
            EitherVersion::V5 => V5.read_mut(stream, max_size),
            _ => V4.read_mut(stream, max_size),
        }
    }

    fn write(&self, packet: Packet, write: &mut BytesMut) -> Result<usize, Error> {
        match self {
            EitherVersion::V5 => V5.write(packet, write),
            _ => V4.write(packet, write),
        }
    }
}

/// The protocol level in a CONNECT packet: the byte after the packet's type, its length (one to four bytes, of
/// which all but the last have the top bit) and the protocol's name (two bytes of length before it). `None` while
/// that byte has not arrived; 0 where this cannot be such a packet.
fn protocol_level(packet: &[u8]) -> Option<u8> {
    let length = packet.get(1..)?;
    let length_ends = match length.iter().take(4).position(|byte| byte & 0x80 == 0) {
        Some(last) => 1 + last,
        None => return (length.len() >= 4).then_some(0),
    };
    match packet.get(length_ends + 1..length_ends + 7)? {
        [0, 4, b'M', b'Q', b'T', b'T'] => packet.get(length_ends + 7).copied(),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::protocol_level;

    #[test]
    fn the_level_is_read_behind_lengths_of_any_size() {
        let name = [0, 4, b'M', b'Q', b'T', b'T'];
        for length in [&[0x0c][..], &[0x8c, 0x01], &[0x80, 0x80, 0x01]] {
            for level in [4, 5] {
                let packet = [&[0x10], length, &name, &[level, 2]].concat();
                assert_eq!(protocol_level(&packet), Some(level));
                for cut in 0..packet.len() - 2 {
                    assert_eq!(protocol_level(&packet[..cut]), None, "{cut} bytes of {packet:?}");
                }
            }
        }
    }

    #[test]
    fn another_protocol_has_no_level() {
        assert_eq!(protocol_level(b"\x10\x0c\0\x06MQIsdp\x03\x02"), Some(0));
        assert_eq!(protocol_level(b"GET / HTTP/1.1\r\n"), Some(0));
        assert_eq!(protocol_level(&[0xff; 5]), Some(0));
    }
}
