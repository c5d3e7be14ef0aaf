//! Datagrams asked and answered, one that was too long, and the news that nobody listens any more.
//!
//! Run it with `cargo run -p becket-sys --example udp_echo`. It serves itself, on the loopback interface.

use becket_sys::Ready;
use becket_sys::udp::Socket;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Answers one datagram.
fn serve(server: &Socket, deadline: Instant) -> io::Result<()> {
    let mut buf = [0; 16];
    loop {
        server.wait_ready(Ready::READ, Some(deadline))?.ok_or(ErrorKind::TimedOut)?;
        let Some((received, from)) = server.try_recv_from(&mut buf)? else { continue };
        // What did not fit is lost, visibly.
        let answer = match received.is_truncated() {
            true => format!("{} bytes are too many", received.datagram_len()).into_bytes(),
            false => buf[..received.len()].to_ascii_uppercase(),
        };
        server.try_send_to(&answer, from)?;
        return Ok(());
    }
}

fn main() -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let server = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Connected, it hears the server alone, and is told of errors.
    client.connect(server.local_addr()?)?;

    let mut buf = [0; 64];
    for question in ["hello", "what a long question this is"] {
        client.try_send(question.as_bytes())?;
        serve(&server, deadline)?;
        client.wait_ready(Ready::READ, Some(deadline))?.ok_or(ErrorKind::TimedOut)?;
        let received = client.try_recv(&mut buf)?.ok_or(ErrorKind::WouldBlock)?;
        println!("{question}: {}", String::from_utf8_lossy(&buf[..received.len()]));
    }

    drop(server);
    client.try_send(b"anybody?")?; // goes out: the refusal comes afterwards
    client.wait_ready(Ready::READ, Some(deadline))?;
    println!("anybody? {:?}", client.try_recv(&mut buf).map_err(|e| e.kind()));
    Ok(())
}
