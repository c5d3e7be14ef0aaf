//! Datagrams from anybody, each with who sent it: a unix socket that asks the kernel for credentials.
//!
//! Run it with `cargo run -p becket-sys --example unix_datagram`. It sends to itself, as a service like syslog gets it.

use becket_sys::Ready;
use becket_sys::cmsg::Incoming;
use becket_sys::unix::{Address, Datagram};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    // Before it is bound, so that not even the first comes without. The system chooses a name that is no path.
    let log = Datagram::builder().pass_credentials(true).bind(&Address::unnamed())?;
    let addr = log.local_addr()?;

    let sender = Datagram::unbound()?;
    sender.connect(&addr)?; // one that is not connected cannot wait until there is room
    let mut sent = 0;
    while sender.try_send(format!("line {sent}").as_bytes())?.is_some() {
        sent += 1;
    }
    println!("the queue is full, more goes: {}", sender.wait_ready(Ready::WRITE, Some(Instant::now()))?.is_some());

    let soon = Instant::now() + Duration::from_secs(20);
    let (mut buf, mut control) = ([0; 64], Incoming::new());
    for n in 0..sent {
        log.wait_ready(Ready::READ, Some(soon))?.ok_or(ErrorKind::TimedOut)?;
        let received = log.try_recv_with(&mut buf, &mut control)?.ok_or(ErrorKind::WouldBlock)?;
        let who = control.credentials().ok_or(ErrorKind::InvalidData)?;
        if n == 0 {
            let mine = who.pid == Some(std::process::id());
            println!("{}: from this process: {mine}", String::from_utf8_lossy(&buf[..received.len()]));
        }
    }
    println!("as many came as were sent: {}", log.try_recv(&mut buf)?.is_none());
    Ok(())
}
