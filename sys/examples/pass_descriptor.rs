//! A service that opens files for others, as a privileged process does for one that is shut in: a client asks for a
//! name by a record, and gets a descriptor, or a reason. Here both are threads of one process; nothing would change
//! were they two.

use becket_sys::Ready;
use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::unix::{Address, Seqpacket, SeqpacketListener};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// What the service gives out.
const FILES: [&str; 2] = ["/proc/version", "/proc/uptime"];

pub(crate) fn main() -> io::Result<()> {
    let listener = SeqpacketListener::bind(&Address::unnamed())?; // the system chooses a name
    let addr = listener.local_addr()?;
    let client = thread::spawn(move || ask(&addr));

    wait(&listener, Ready::READ)?;
    let (client_end, _) = listener.try_accept()?.ok_or(io::ErrorKind::NotFound)?;
    serve(&client_end)?;
    client.join().expect("the client does not panic")?;
    Ok(())
}

fn serve(client: &Seqpacket) -> io::Result<()> {
    let who = client.peer_credentials()?;
    println!("process {:?} of user {} is served", who.pid, who.uid);
    // We expect no descriptors, so nobody shall fill our table with some. Kernels before 6.16 cannot refuse them;
    // they are then closed as they come, because `try_recv` has no room for any.
    let _ = client.set_pass_rights(false);
    let mut buf = [0; 256];
    loop {
        wait(client, Ready::READ)?;
        let Some(received) = client.try_recv(&mut buf)? else { continue };
        if received.is_empty() {
            return Ok(()); // the end: no name is empty
        }
        let name = FILES.iter().find(|name| name.as_bytes() == &buf[..received.len()]);
        match name.ok_or(io::Error::from(io::ErrorKind::PermissionDenied)).and_then(File::open) {
            Ok(file) => {
                let mut control = Outgoing::new();
                control.push_fds(&[file.as_fd()])?;
                client.try_send_with(b"here it is", &control)?;
                // Ours is closed; the client's lives on.
            }
            Err(e) => {
                client.try_send(e.to_string().as_bytes())?;
            }
        }
    }
}

fn ask(addr: &Address) -> io::Result<()> {
    let service = Seqpacket::connect(addr)?;
    let mut control = Incoming::for_fds(1);
    let mut buf = [0; 256];
    for name in [FILES[0], "/etc/shadow", FILES[1]] {
        service.try_send(name.as_bytes())?;
        wait(&service, Ready::READ)?;
        let received = service.try_recv_with(&mut buf, &mut control)?.ok_or(io::ErrorKind::WouldBlock)?;
        let answer = String::from_utf8_lossy(&buf[..received.len()]);
        if control.fds().is_empty() {
            println!("{name}: {answer}");
            assert_eq!(name, "/etc/shadow");
            continue;
        }
        let [file] = control.take_exactly()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text)?;
        println!("{name}: {answer}: {}", text.trim_end());
        assert!(!text.is_empty());
    }
    Ok(())
}

fn wait(socket: impl AsFd, want: Ready) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    becket_sys::wait(socket, want, Some(deadline))?.ok_or(io::ErrorKind::TimedOut)?;
    Ok(())
}
