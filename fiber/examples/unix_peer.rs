//! Sockets of this machine: an echo, and the proof of who is at the other end. Run it with
//! `cargo run -p becket-fiber --example unix_peer`.

use becket_fiber::net::{Address, UnixListener, UnixStream};
use becket_fiber::{Runtime, scope};
use std::io::{self, Read, Write};
use std::net::Shutdown;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let path = std::env::temp_dir().join(format!("becket-unix-{}", std::process::id()));
        let address = Address::pathname(&path)?;
        let listener = UnixListener::bind(&address)?;
        let talked = scope(|s| {
            s.spawn(|| {
                let (stream, _) = listener.accept()?;
                let peer = stream.peer_credentials()?; // by the kernel, as of when it connected
                println!("the peer is this process: {}", peer.pid == Some(std::process::id()));
                io::copy(&mut &stream, &mut &stream)
            })?;
            let mut stream = UnixStream::connect(&address)?;
            stream.write_all(b"both ends of a rope")?;
            stream.shutdown(Shutdown::Write)?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok::<_, io::Error>(println!("{text}"))
        });
        std::fs::remove_file(&path).and(talked) // the file outlives the socket
    })?
}
