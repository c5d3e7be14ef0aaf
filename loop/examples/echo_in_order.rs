//! Interest that follows the data: a connection is watched for reading or for writing, never for both, so that a peer who
//! does not read is not read from either.
//!
//! The peer is a thread that sends a megabyte before it reads. `cargo run -p becket-loop --example echo_in_order`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::unix::Stream;
use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let mut event_loop: Loop<usize> = Loop::new()?;
    let mut waiting = Vec::new();
    event_loop.add(Stream::from(near), Ready::READ, Mode::Level, move |sent, ctx, stream, _| {
        if waiting.is_empty() {
            let mut buf = [0; 4096];
            match stream.try_read(&mut buf)? {
                None => return Ok(Next::Keep), // it was told too early: that happens
                Some(0) => return Ok(Next::Remove),
                Some(n) => waiting.extend_from_slice(&buf[..n]),
            }
        }
        let n = stream.try_write(&waiting)?.unwrap_or(0);
        waiting.drain(..n);
        *sent += n;
        let want = if waiting.is_empty() { Ready::READ } else { Ready::WRITE };
        if let Some(own) = ctx.current() {
            ctx.set(own, want, Mode::Level); // costs nothing where it is what it was
        }
        Ok(Next::Keep)
    })?;

    let peer = thread::spawn(move || -> std::io::Result<usize> {
        let mut writer = far.try_clone()?;
        let sender =
            thread::spawn(move || writer.write_all(&vec![7; 1 << 20]).and_then(|()| writer.shutdown(Shutdown::Write)));
        let mut back = Vec::new();
        (&far).read_to_end(&mut back)?;
        sender.join().map_err(|_| std::io::Error::other("the sender panicked"))??;
        Ok(back.len())
    });
    let mut sent = 0;
    event_loop.run(&mut sent)?;
    println!("sent back {sent}, received {}", peer.join().map_err(|_| "the peer panicked")??);
    Ok(())
}
