//! Much data to an echo server and back, over a connection that does not block: each side does what it can and waits.
//!
//! Run it with `cargo run -p becket-sys --example tcp_echo`. It serves itself, on the loopback interface.

use becket_sys::Ready;
use becket_sys::tcp::{Listener, Stream};
use std::net::{Ipv4Addr, Shutdown};
use std::time::{Duration, Instant};
use std::{io, thread};

/// Sends back what comes, up to the end.
fn serve(listener: &Listener) -> io::Result<()> {
    listener.wait_ready(Ready::READ, None)?;
    let (client, _) = listener.try_accept()?.ok_or(io::ErrorKind::WouldBlock)?;
    let mut buf = [0; 16384];
    loop {
        client.wait_ready(Ready::READ, None)?;
        let Some(n) = client.try_read(&mut buf)? else { continue };
        if n == 0 {
            return client.shutdown(Shutdown::Write);
        }
        let mut rest = &buf[..n];
        while !rest.is_empty() {
            client.wait_ready(Ready::WRITE, None)?;
            rest = &rest[client.try_write(rest)?.unwrap_or(0)..]; // as much as there is room for
        }
    }
}

fn main() -> io::Result<()> {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let server = thread::spawn(move || serve(&listener));

    let deadline = Some(Instant::now() + Duration::from_secs(30));
    let stream = Stream::connect(addr)?.finish(deadline)?;
    let data: Vec<u8> = (0..8_000_000_u32).map(|n| n as u8).collect();
    let (mut sent, mut back, mut buf) = (0, Vec::<u8>::new(), [0; 16384]);
    // Whoever writes all before he reads stops for ever once the buffers of both sides are full.
    loop {
        let want = if sent < data.len() { Ready::READ | Ready::WRITE } else { Ready::READ };
        stream.wait_ready(want, deadline)?.ok_or(io::ErrorKind::TimedOut)?;
        if sent < data.len() {
            sent += stream.try_write(&data[sent..])?.unwrap_or(0);
            if sent == data.len() {
                stream.shutdown(Shutdown::Write)?; // the server sees the end, and we still read
            }
        }
        match stream.try_read(&mut buf)? {
            Some(0) => break,
            n => back.extend(&buf[..n.unwrap_or(0)]),
        }
    }
    server.join().expect("the server does not panic")?;
    println!("sent {sent} bytes, got {} back, the same: {}", back.len(), back == data);
    Ok(())
}
