//! A UDP service: each datagram is answered to where it came from. A datagram that is too long is noticed.
//!
//! `cargo run -p becket-loop --example answer_datagrams`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::udp::Socket;
use std::error::Error;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    client.connect(socket.local_addr()?)?;

    let mut event_loop: Loop<u32> = Loop::new()?;
    event_loop.add(socket, Ready::READ, Mode::Level, |answered, ctx, socket, _| {
        let mut buf = [0; 16];
        // None: what was ready had a wrong checksum, or somebody else has read it.
        let Some((received, from)) = socket.try_recv_from(&mut buf)? else { return Ok(Next::Keep) };
        let answer = match received.is_truncated() {
            true => format!("{} bytes are too many", received.datagram_len()),
            false => String::from_utf8_lossy(&buf[..received.len()]).to_uppercase(),
        };
        // Where there is no room to send, the answer is dropped: it is UDP.
        socket.try_send_to(answer.as_bytes(), from)?;
        *answered += 1;
        if *answered == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    })?;
    client.send(b"rope")?;
    client.send(b"a rope that is rather long")?;
    event_loop.run(&mut 0)?;
    let mut buf = [0; 64];
    for _ in 0..2 {
        let n = client.recv(&mut buf)?;
        println!("{}", String::from_utf8_lossy(&buf[..n]));
    }
    Ok(())
}
