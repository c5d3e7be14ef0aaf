//! A server with a loop on each of several threads, between which the kernel spreads the connections (SO_REUSEPORT). Run
//! it with `cargo run -p becket-fiber --example echo_on_threads -- 127.0.0.1:7777`, to be interrupted; without an address
//! it serves a few clients of its own, and ends.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::signal::{MaskGuard, Signal, Signals};
use becket_fiber::{Runtime, Shard, is_cancelled, scope};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

fn main() -> io::Result<()> {
    let given = std::env::args().nth(1).map(|arg| arg.parse::<SocketAddr>()).transpose().map_err(io::Error::other)?;
    // In all threads: a signal that is blocked in one only is delivered to another.
    let ends = [Signal::INT, Signal::TERM];
    let _blocked = MaskGuard::block(ends);
    let listeners = TcpListener::bind_shards(given.unwrap_or(([127, 0, 0, 1], 0).into()), 2)?;
    let address = listeners[0].local_addr()?;
    println!("serves {address}");
    let echoed = Runtime::builder().threads(listeners.len()).name("echo").run(|thread| {
        scope(|s| {
            if thread.index() == 0 {
                s.spawn(|| {
                    let ended = if given.is_some() { Signals::new(ends)?.next().map(drop) } else { talk(address) };
                    thread.stop(); // cancels what runs on all of them
                    ended
                })?;
            }
            serve(&listeners[thread.index()], thread)
        })
    })?;
    println!("bytes by each thread: {echoed:?}, together {}", echoed.iter().sum::<u64>());
    Ok(())
}

/// Echoes to each connection in a fiber of its own.
fn serve(listener: &TcpListener, thread: &Shard) -> io::Result<u64> {
    let echoed = Cell::new(0);
    let ended = scope(|s| -> io::Result<()> {
        loop {
            let (stream, from) = listener.accept()?;
            let echoed = &echoed;
            s.spawn(move || match io::copy(&mut &stream, &mut &stream) {
                Ok(n) => echoed.set(echoed.get() + n),
                Err(e) => println!("thread {}, {from}: {e}", thread.index()),
            })?;
        }
    });
    ended.or_else(|e| if is_cancelled(&e) { Ok(()) } else { Err(e) }).map(|()| echoed.get())
}

fn talk(address: SocketAddr) -> io::Result<()> {
    (0..8).try_for_each(|_| {
        let mut stream = TcpStream::connect_addr(address)?;
        stream.write_all(b"becket")?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    })
}
