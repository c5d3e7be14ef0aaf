//! Connecting, with a deadline of one's own: the kernel would try for two minutes.
//!
//! Run it with `cargo run -p becket-sys --example tcp_connect_deadline`. The server that does not answer is one of its
//! own, whose queue is full; another address has nobody who listens.

use becket_sys::tcp::{Listener, Stream};
use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn try_it(addr: SocketAddr) -> Result<Stream, becket_sys::SetupError> {
    // In a loop: wait for `Ready::WRITE`, then `try_finish`. That asks for the connection's error, and whether it has
    // a peer; to be writable alone says neither.
    Stream::connect(addr)?.finish(Some(Instant::now() + Duration::from_millis(200)))
}

fn main() -> Result<(), Box<dyn Error>> {
    // The kernel accepts by itself, as many as the queue holds: to be connected is not to be served.
    let busy = Listener::builder().backlog(0).bind(([127, 0, 0, 1], 0))?;
    let mut connected = Vec::new();
    let refusal = loop {
        match try_it(busy.local_addr()?) {
            Ok(stream) => connected.push(stream),
            Err(e) => break e,
        }
    };
    println!("connected {}, and nobody has accepted", connected.len());
    println!("{}: in time {}", refusal.step(), refusal.kind() != ErrorKind::TimedOut);

    let nobody = Listener::bind(([127, 0, 0, 1], 0))?.local_addr()?; // and closed again
    match try_it(nobody) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => println!("{}: refused", e.step()),
        other => return Err(format!("{nobody}: {other:?}").into()),
    }
    Ok(())
}
