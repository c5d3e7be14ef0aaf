//! A memory file that a stranger sends: sealed, so that it can neither change nor shrink while we read it.
//!
//! Run it with `cargo run -p becket-sys --example memfd_sealed`. Both ends are its own.

use becket_sys::Ready;
use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::memfd::{Memfd, Sealed, Seals};
use becket_sys::unix::Datagram;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

/// Takes the file that comes, once it is sure to stay as it is. What is mapped first and verified then can be cut off
/// in between, and reading it would be SIGBUS.
fn receive(socket: &Datagram) -> io::Result<Sealed> {
    let mut control = Incoming::for_fds(1);
    socket.wait_ready(Ready::READ, None)?;
    socket.try_recv_with(&mut [0; 8], &mut control)?.ok_or(ErrorKind::WouldBlock)?;
    let [fd] = control.take_exactly()?;
    Sealed::try_from(fd).map_err(|(_fd, e)| e)
}

fn main() -> io::Result<()> {
    let (near, far) = Datagram::pair()?;
    let send = |file: &Memfd| far.try_send_with(b"file", Outgoing::new().push_fds(&[file.as_fd()])?);

    let mut file = Memfd::new("picture")?; // a name for /proc/PID/fd alone; never executable where the kernel knows that
    file.write_all(b"many pixels")?;
    send(&file)?;
    println!("{:?}", receive(&near).map(|_| ()).map_err(|e| e.to_string()));

    file.add_seals(Seals::CONTENT)?;
    send(&file)?;
    let picture = receive(&near)?;
    println!("{} bytes: {}", picture.size(), String::from_utf8_lossy(&picture.to_vec()?));
    println!("the sender writes: {:?}", file.write_all(b"!").map_err(|e| e.kind()));
    Ok(())
}
