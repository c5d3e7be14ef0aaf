//! A service that opens files for others, and sends the descriptors over a unix socket.
//!
//! Run it with `cargo run -p becket-sys --example pass_descriptor`. Both are threads of one process; mostly a privileged
//! process serves one that is shut in.

use becket_sys::Ready;
use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::unix::Seqpacket;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::thread;

/// What the service gives out.
const FILES: [&str; 2] = ["/proc/version", "/proc/uptime"];

fn serve(client: &Seqpacket) -> io::Result<()> {
    // We expect no descriptors, so nobody shall fill our table with some. Kernels before 6.16 cannot refuse them;
    // they are then closed as they come, because `try_recv` has no room for any.
    let _ = client.set_pass_rights(false);
    let mut buf = [0; 256];
    loop {
        client.wait_ready(Ready::READ, None)?;
        let Some(received) = client.try_recv(&mut buf)? else { continue };
        if received.is_empty() {
            return Ok(()); // the end: no name is empty
        }
        let name = FILES.iter().find(|name| name.as_bytes() == &buf[..received.len()]);
        match name.ok_or(io::Error::from(ErrorKind::PermissionDenied)).and_then(File::open) {
            // Ours is closed; the client's lives on.
            Ok(file) => client.try_send_with(b"here it is", Outgoing::new().push_fds(&[file.as_fd()])?)?,
            Err(e) => client.try_send(e.to_string().as_bytes())?,
        };
    }
}

fn main() -> io::Result<()> {
    let (service, far) = Seqpacket::pair()?;
    let server = thread::spawn(move || serve(&far));
    let (mut buf, mut control) = ([0; 256], Incoming::for_fds(1));
    for name in [FILES[0], "/etc/shadow", FILES[1]] {
        service.try_send(name.as_bytes())?;
        service.wait_ready(Ready::READ, None)?;
        let received = service.try_recv_with(&mut buf, &mut control)?.ok_or(ErrorKind::WouldBlock)?;
        println!("{name}: {}", String::from_utf8_lossy(&buf[..received.len()]));
        if !control.fds().is_empty() {
            let [file] = control.take_exactly()?; // or an error, with whatever came, if that is another number
            println!("  {}", io::read_to_string(File::from(file))?.trim_end());
        }
    }
    drop(service);
    server.join().expect("the service does not panic")
}
