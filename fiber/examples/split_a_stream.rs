//! A connection read by one fiber and written by another; the end of the writing half is the end for the peer. Run it
//! with `cargo run -p becket-fiber --example split_a_stream`.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{BufReader, Runtime, scope, spawn};
use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let address = listener.local_addr()?;
        let server = spawn(move || {
            let (stream, _) = listener.accept()?;
            scope(|s| {
                let (read, mut write) = stream.split(); // lent to the fibers of a scope
                s.spawn(move || (1..=3).try_for_each(|n| writeln!(write, "server: {n}")))?;
                BufReader::new(read).lines().try_for_each(|line| line.map(|line| println!("{line}")))
            })
        })?;
        let (read, mut write) = TcpStream::connect_addr(address)?.into_split(); // owned, for a `spawn` or a thread
        let writer = spawn(move || (1..=3).try_for_each(|n| writeln!(write, "client: {n}")))?; // the half is dropped
        writer.join()??;
        server.join()??; // it has seen the end of that direction, and the other one is still open
        BufReader::new(read).lines().try_for_each(|line| line.map(|line| println!("{line}")))
    })?
}
