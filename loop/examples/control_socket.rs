//! A control socket: a Unix socket that takes commands from processes of the same user, and says who they are.
//!
//! `cargo run -p becket-loop --example control_socket`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::unix::{Address, Listener};
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("becket-control-{}", process::id()));
    // What a process that was killed has left is replaced; our own is removed when the listener is dropped.
    let listener = Listener::builder().replace_stale(true).unlink_on_drop(true).bind(&Address::pathname(&path)?)?;
    let mut client = UnixStream::connect(&path)?;
    client.write_all(b"quit")?;

    let mut event_loop: Loop<()> = Loop::new()?;
    event_loop.on(listener, |(), ctx, (stream, _)| {
        // By the kernel's word, not by the peer's.
        let peer = stream.peer_credentials()?;
        println!("of this process: {}", peer.pid == Some(process::id()));
        ctx.add(stream, Ready::READ, Mode::Level, |(), ctx, stream, _| {
            let mut buf = [0; 64];
            match stream.try_read(&mut buf)? {
                None => return Ok(Next::Keep),
                Some(0) => return Ok(Next::Remove),
                Some(n) if &buf[..n] == b"quit" => ctx.exit(0),
                Some(n) => println!("unknown: {:?}", String::from_utf8_lossy(&buf[..n])),
            }
            stream.try_write(b"done\n")?;
            Ok(Next::Remove)
        })?;
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut ())?;
    drop(event_loop); // and with it the listener
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    println!("{}; the path is gone: {}", answer.trim(), !path.exists());
    Ok(())
}
