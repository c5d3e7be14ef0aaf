//! A chat over TCP: each line goes to all; who reads too slowly is told what he missed, who reads nothing is dropped. Run
//! it with `cargo run --example chat -- 127.0.0.1:7777`, and `nc 127.0.0.1 7777`; without an address it talks to itself.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::sync::{BroadcastSender, Received, broadcast};
use becket_fiber::{BufReader, Runtime, race, spawn};
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::{mem, rc::Rc, time::Duration};

fn main() -> io::Result<()> {
    let given = std::env::args().nth(1).map(|at| at.parse::<SocketAddr>()).transpose().map_err(io::Error::other)?;
    Runtime::new()?.run(|| {
        let listener = TcpListener::bind(given.unwrap_or(([127, 0, 0, 1], 0).into()))?;
        let address = listener.local_addr()?;
        println!("listens on {address}");
        let (news, _) = broadcast(100); // keeps the last hundred lines for who has not got them yet
        let server = spawn(move || {
            loop {
                let ((stream, from), news) = (listener.accept()?, news.clone());
                spawn(move || talk(&stream, &news).unwrap_or_else(|e| eprintln!("{from} is dropped: {e}")))?;
            }
        })?;
        if given.is_some() { server.join()? } else { be_clients(address) }
    })?
}

fn talk(stream: &TcpStream, news: &BroadcastSender<Rc<[u8]>>) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(10)))?; // who reads nothing for so long is dropped
    let (mut heard, mut lines, mut out) = (news.subscribe(), BufReader::new(stream), stream);
    let mut tell = || {
        writeln!(out, "welcome")?;
        loop {
            match heard.recv()? {
                Received::Value(line) => out.write_all(&line)?,
                Received::Lagged(lost) => writeln!(out, "[{lost} lines missed]")?,
                Received::Closed => return Ok(()),
            }
        }
    };
    let mut hear = || {
        let mut line = Vec::new();
        while (&mut lines).take(4096).read_until(b'\n', &mut line)? > 0 {
            let _ = news.send(mem::take(&mut line).into()); // never waits; comes back where nobody listens
        }
        Ok(())
    };
    race([&mut tell as &mut dyn FnMut() -> io::Result<()>, &mut hear])? // what the first to end says
}

fn be_clients(at: SocketAddr) -> io::Result<()> {
    let clients = [TcpStream::connect_addr(at)?, TcpStream::connect_addr(at)?];
    let mut lines = clients.each_ref().map(|client| BufReader::new(client).lines().map_while(Result::ok));
    let mut all_read = || lines.each_mut().map(Iterator::next);
    let _welcome = all_read(); // from here on they hear all
    (&clients[0]).write_all(b"hello\n")?;
    println!("{:?}", all_read());
    clients.iter().try_for_each(|client| client.shutdown(Shutdown::Write))?;
    Ok(println!("{:?}", all_read())) // the end
}
