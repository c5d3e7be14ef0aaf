//! WebSockets: a server and many clients, all of them fibers of one thread.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Runtime, scope};
use becket_libraries::websocket;
use std::io;
use tungstenite::Message;

const CLIENTS: usize = 20;

fn main() -> io::Result<()> {
    Runtime::new()?.run(run)?
}

fn run() -> io::Result<()> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    scope(|s| {
        let server = s.spawn(|| {
            scope(|connections| {
                for _ in 0..CLIENTS {
                    let (stream, _) = listener.accept()?;
                    connections.spawn(move || websocket::echo(stream))?;
                }
                Ok::<_, io::Error>(())
            })
        })?;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                s.spawn(move || {
                    let mut socket = websocket::connect(TcpStream::connect_addr(address)?)?;
                    socket.send(Message::text(format!("client {n}"))).map_err(websocket::io_error)?;
                    let answer = socket.read().map_err(websocket::io_error)?;
                    websocket::close(socket).map(|()| answer)
                })
            })
            .collect::<Result<_, _>>()?;
        for client in clients {
            println!("{}", client.join()??);
        }
        server.join()?
    })
}
