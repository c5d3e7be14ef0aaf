//! A small HTTP server: `httparse` parses, fibers wait, and state that they share needs no lock. Run it with
//! `cargo run -p becket-libraries --example http_server -- 127.0.0.1:8080`; without an address it asks itself, and ends.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::signal::{Signal, Signals};
use becket_fiber::{Runtime, scope};
use becket_libraries::http_server::{Limits, Request, Response, serve};
use becket_libraries::listen::serve_each;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

fn main() -> io::Result<()> {
    let given = std::env::args().nth(1).map(|at| at.parse::<SocketAddr>()).transpose().map_err(io::Error::other)?;
    let signals = Signals::new([Signal::INT, Signal::TERM])?; // before any other thread is there
    let visits = Cell::new(0);
    let answer = |request: &Request| match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => {
            visits.set(visits.get() + 1);
            Response::ok(format!("visit {}\n", visits.get())).header("Content-Type", "text/plain")
        }
        ("POST", "/echo") => Response::ok(request.body.clone()),
        (_, "/" | "/echo") => Response::new(405, "Method Not Allowed", ""),
        _ => Response::new(404, "Not Found", "nothing here\n"),
    };
    Runtime::new()?.run(|| {
        let listener = TcpListener::bind(given.unwrap_or(([127, 0, 0, 1], 0).into()))?;
        let address = listener.local_addr()?;
        println!("serves http://{address}/");
        scope(|s| {
            let server =
                s.spawn(|| serve_each(&listener, |stream| serve(&stream, &Limits::default(), answer).map(drop)))?;
            match given {
                Some(_) => signals.next().map(drop)?,
                None => ask(address)?,
            }
            server.cancel(); // connections that are open end with it
            server.join()?
        })
    })?
}

fn ask(address: SocketAddr) -> io::Result<()> {
    for (request, body) in [("GET /", ""), ("GET /", ""), ("POST /echo", "rope"), ("GET /none", "")] {
        let mut stream = TcpStream::connect_addr(address)?;
        let length = body.len();
        let head =
            format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n");
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        println!("{request}: {}: {:?}", head.lines().next().unwrap_or_default(), body);
    }
    Ok(())
}
