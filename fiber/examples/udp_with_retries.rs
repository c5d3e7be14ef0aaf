//! Datagrams get lost: a question is asked again until its answer comes, by deadlines. Run it with
//! `cargo run -p becket-fiber --example udp_with_retries`.

use becket_fiber::net::UdpSocket;
use becket_fiber::{Runtime, spawn, timeout};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let server = UdpSocket::bind(([127, 0, 0, 1], 0))?;
        let address = server.local_addr()?;
        let lossy = spawn(move || -> io::Result<()> {
            let mut buf = [0; 1500];
            for n in 1.. {
                let (received, from) = server.recv_from(&mut buf)?;
                if n > 2 {
                    server.send_to(&buf[..received.len()], from)?; // the first two are lost
                }
            }
            Ok(())
        })?;
        println!("{}", ask(address, b"what time is it?")?);
        lossy.cancel();
        Ok(())
    })?
}

fn ask(server: SocketAddr, question: &[u8]) -> io::Result<String> {
    let socket = UdpSocket::bind(([127, 0, 0, 1], 0))?;
    socket.connect(server)?; // from here on nobody else's datagrams come in
    let mut buf = [0; 1500];
    for attempt in 1..=20 {
        socket.send(question)?;
        match timeout(Duration::from_millis(50), || socket.recv(&mut buf)) {
            Ok(received) => {
                println!("asked more than twice: {}", attempt > 2);
                return Ok(String::from_utf8_lossy(&buf[..received.len()]).into_owned());
            }
            Err(e) if e.kind() == ErrorKind::TimedOut => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::TimedOut.into())
}
