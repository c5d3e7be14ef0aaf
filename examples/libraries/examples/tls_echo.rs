//! TLS by `rustls`: a server and many clients, all of them fibers of one thread. Run it with
//! `cargo run -p becket-libraries --example tls_echo`.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Runtime, scope};
use becket_libraries::tls;
use std::io::{self, BufRead, BufReader, Write};

const CLIENTS: usize = 20;

fn main() -> io::Result<()> {
    Runtime::new()?.run(run)?
}

fn run() -> io::Result<()> {
    let configs = tls::self_signed()?;
    let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    scope(|s| {
        let server = s.spawn(|| {
            scope(|connections| {
                for _ in 0..CLIENTS {
                    let (stream, _) = listener.accept()?;
                    let config = configs.server.clone();
                    connections.spawn(move || tls::accept(stream, config).and_then(tls::echo))?;
                }
                Ok::<_, io::Error>(())
            })
        })?;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let config = configs.client.clone();
                s.spawn(move || {
                    let mut stream = tls::connect(TcpStream::connect_addr(address)?, config)?;
                    writeln!(stream, "client {n}")?;
                    let mut line = String::new();
                    BufReader::new(&mut stream).read_line(&mut line)?;
                    stream.conn.send_close_notify();
                    stream.flush().map(|()| line)
                })
            })
            .collect::<Result<_, _>>()?;
        for client in clients {
            print!("{}", client.join()??);
        }
        server.join()?
    })
}
