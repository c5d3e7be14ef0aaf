//! Servers that say what a test has them say.

use super::next_packet;
use becket_mosquitto::Protocol;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A server whose connections each have a thread. Dropping it leaves those that there are to end by themselves.
pub struct Server {
    port: u16,
    over: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Hands each connection to `serve`, with its number from 0.
    pub fn start(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (over, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_over, count, serve) = (Arc::clone(&over), Arc::clone(&accepted), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(number, stream));
            }
        });
        Server { port, over, accepted }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// A CONNACK with this code, and without properties.
pub fn connack(protocol: Protocol, code: u8) -> Vec<u8> {
    if protocol == Protocol::V5 { vec![0x20, 3, 0, code, 0] } else { vec![0x20, 2, 0, code] }
}

/// Serves as a broker does that has no subscribers, until the client is gone. `present` is what it says of the session.
pub fn behave(protocol: Protocol, present: bool, mut stream: TcpStream) {
    while let Ok((first, body)) = next_packet(&mut stream) {
        let Some(mut answer) = answer(protocol, first, &body) else { return };
        if first >> 4 == 1 {
            answer[2] = present.into();
        }
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// What a broker answers to a packet; `None` where that is the end.
pub fn answer(protocol: Protocol, first: u8, body: &[u8]) -> Option<Vec<u8>> {
    let v5 = protocol == Protocol::V5;
    Some(match first >> 4 {
        1 => connack(protocol, 0),
        3 => {
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let kind = [0, 0x40, 0x50][usize::from(first >> 1 & 3)];
            if kind == 0 { Vec::new() } else { vec![kind, 2, body[2 + topic], body[3 + topic]] }
        }
        6 => vec![0x70, 2, body[0], body[1]],
        8 if v5 => vec![0x90, 4, body[0], body[1], 0, 1],
        8 => vec![0x90, 3, body[0], body[1], 1],
        10 if v5 => vec![0xb0, 4, body[0], body[1], 0, 0],
        10 => vec![0xb0, 2, body[0], body[1]],
        12 => vec![0xd0, 0],
        14 => return None,
        kind => panic!("a packet of type {kind}"),
    })
}
