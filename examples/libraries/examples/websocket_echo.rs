//! WebSockets by `tungstenite`, which knows nothing of fibers: a server that echoes, a fiber a connection. Run it with
//! `cargo run -p becket-libraries --example websocket_echo -- 127.0.0.1:9001`; without an address it serves 20 clients of
//! its own, fibers of the same thread, and ends.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Runtime, all, spawn};
use becket_libraries::{listen::serve_each, websocket};
use std::io;
use std::net::SocketAddr;
use tungstenite::Message;

const CLIENTS: usize = 20;

fn main() -> io::Result<()> {
    let given = std::env::args().nth(1).map(|at| at.parse::<SocketAddr>()).transpose().map_err(io::Error::other)?;
    Runtime::new()?.run(|| {
        let listener = TcpListener::bind(given.unwrap_or(([127, 0, 0, 1], 0).into()))?;
        let address = listener.local_addr()?;
        println!("serves ws://{address}/");
        let server = spawn(move || serve_each(&listener, |stream| websocket::echo(stream).map(drop)))?;
        if given.is_some() {
            return server.join()?;
        }
        let answers = all((0..CLIENTS).map(|n| move || talk(address, n)))?;
        Ok(println!("{answers:?}"))
    })?
}

fn talk(address: SocketAddr, n: usize) -> io::Result<String> {
    let mut socket = websocket::connect(TcpStream::connect_addr(address)?)?;
    socket.send(Message::text(format!("client {n}"))).map_err(websocket::io_error)?;
    let answer = socket.read().map_err(websocket::io_error)?;
    websocket::close(socket)?; // the answer to which comes when the server has done with it
    Ok(answer.to_string())
}
