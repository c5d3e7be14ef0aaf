//! A TCP server that keeps the state of its connections in the loop's state, by a `Guard`: to take a session out of the
//! map is to end it.
//!
//! Two clients, in threads, say some words; their sessions count them. `cargo run -p becket-loop --example state_per_client`

use becket_loop::{Ctx, Guard, Loop, Mode, Next, Ready};
use becket_sys::tcp::{Listener, Stream};
use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

struct Session {
    words: usize,
    _connection: Guard,
}

type Sessions = HashMap<SocketAddr, Session>;

fn add(ctx: &mut Ctx<Sessions>, sessions: &mut Sessions, stream: Stream, peer: SocketAddr) -> io::Result<()> {
    let id = ctx.add(stream, Ready::READ, Mode::Level, move |sessions: &mut Sessions, _, stream, _| {
        let mut buf = [0; 256];
        // A peer that resets its connection ends it, and nothing else.
        let Some(n) = stream.try_read(&mut buf).unwrap_or(Some(0)) else { return Ok(Next::Keep) };
        if n == 0 {
            let words = sessions.remove(&peer).map_or(0, |session| session.words);
            println!("a session of {words} words");
        } else if let Some(session) = sessions.get_mut(&peer) {
            session.words += String::from_utf8_lossy(&buf[..n]).split_whitespace().count();
        }
        Ok(Next::Keep) // the guard that was dropped removes the connection, and closes it
    })?;
    sessions.insert(peer, Session { words: 0, _connection: ctx.guard(id) });
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    let mut event_loop: Loop<Sessions> = Loop::new()?;
    let mut left = 2;
    event_loop.on(listener, move |sessions, ctx, (stream, peer)| {
        left -= 1;
        add(ctx, sessions, stream, peer)?;
        Ok(if left > 0 { Next::Keep } else { Next::Remove })
    })?;
    let clients = ["one two", "one two three"].map(|words| {
        thread::spawn(move || TcpStream::connect(address).and_then(|mut stream| stream.write_all(words.as_bytes())))
    });
    event_loop.run(&mut HashMap::new())?; // until the last session has ended
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    Ok(())
}
