//! An echo server with a loop on each of several threads, between which the kernel spreads the connections.
//!
//! `cargo run -p becket-fiber --example echo_on_threads -- 127.0.0.1:7777` serves until it is interrupted; without an
//! address it serves a few clients of its own, and ends.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::signal::{MaskGuard, Signal, Signals};
use becket_fiber::{Builder, Runtime, Shard, is_cancelled, scope};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;

const CLIENTS: usize = 8;

pub(crate) fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).and_then(|arg| arg.parse::<SocketAddr>().ok());
    let count = thread::available_parallelism()?.get().max(2);
    // In all threads: a signal that is blocked in one only is delivered to another.
    let ends = [Signal::INT, Signal::TERM];
    let _blocked = MaskGuard::block(ends);
    let listeners = TcpListener::bind_shards(addr.unwrap_or(([127, 0, 0, 1], 0).into()), count)?;
    let at = listeners[0].local_addr()?;
    println!("serves {at} on {count} threads");

    let echoed = Runtime::builder().threads(count).name("echo").run(|thread| {
        scope(|s| {
            if thread.index() == 0 {
                s.spawn_with(Builder::new().name("end"), || {
                    let ended = match addr {
                        Some(_) => Signals::new(ends)?.next().map(drop),
                        None => be_clients(at),
                    };
                    thread.stop();
                    ended
                })?;
            }
            serve(&listeners[thread.index()], thread)
        })
    })?;
    println!("bytes echoed by each thread: {echoed:?}");
    assert!(addr.is_some() || echoed.iter().sum::<u64>() == 6 * CLIENTS as u64);
    Ok(())
}

/// Echoes to each connection in a fiber of its own, until the threads stop; they are then all cancelled.
fn serve(listener: &TcpListener, thread: &Shard) -> io::Result<u64> {
    let echoed = Cell::new(0);
    scope(|s| {
        loop {
            let (stream, from) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if is_cancelled(&e) => return Ok(()),
                Err(e) => return Err(e),
            };
            let echoed = &echoed;
            s.spawn(move || match io::copy(&mut &stream, &mut &stream) {
                Ok(n) => echoed.set(echoed.get() + n),
                Err(e) => println!("thread {}, {from}: {e}", thread.index()),
            })?;
        }
    })?;
    Ok(echoed.get())
}

fn be_clients(at: SocketAddr) -> io::Result<()> {
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect_addr(at)?;
        stream.write_all(b"becket")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        assert_eq!(text, "becket");
    }
    Ok(())
}
