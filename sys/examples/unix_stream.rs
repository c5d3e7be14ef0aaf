//! A unix socket with a path, who the peer is, and a path that a killed server left behind.
//!
//! Run it with `cargo run -p becket-sys --example unix_stream`. Server and client are one process.

use becket_sys::Ready;
use becket_sys::unix::{Address, Listener, Stream};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let path = std::env::temp_dir().join(format!("becket-unix-stream-{}", std::process::id()));
    let addr = Address::pathname(&path)?;

    drop(Listener::bind(&addr)?); // leaves its file, as one that was killed does
    println!("bound again: {:?}", Listener::bind(&addr).map(drop).map_err(|e| e.kind()));
    // A file that is no socket, or at which somebody listens, is not replaced.
    let listener = Listener::builder().replace_stale(true).unlink_on_drop(true).bind(&addr)?;

    let client = Stream::connect(&addr)?; // at once; a full queue is an error, and not to be waited for
    client.try_write(b"who am I?")?;
    listener.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
    let (server, _) = listener.try_accept()?.ok_or(ErrorKind::WouldBlock)?;

    // As it was when it connected, told by the kernel: nothing that the peer could make up.
    let who = server.peer_credentials()?;
    let mut buf = [0; 64];
    server.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
    let n = server.try_read(&mut buf)?.ok_or(ErrorKind::WouldBlock)?;
    println!("asked: {}", String::from_utf8_lossy(&buf[..n]));
    server.try_write(format!("process {:?}, user {}", who.pid, who.uid).as_bytes())?;
    drop(server);

    client.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
    let n = client.try_read(&mut buf)?.ok_or(ErrorKind::WouldBlock)?;
    println!("answered: {}", String::from_utf8_lossy(&buf[..n]));
    println!("then the end: {:?}", client.try_read(&mut buf)?);
    drop(listener);
    println!("the file is there: {}", path.exists());
    Ok(())
}
