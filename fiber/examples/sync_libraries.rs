//! Libraries made for `std::io` run unchanged in fibers: here `serde_json`, over `BufReader`, over sockets. Run it with
//! `cargo run -p becket-fiber --example sync_libraries`.
//!
//! For TLS, WebSockets, HTTP and a database see the package becket-libraries, in examples/libraries.

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Runtime, scope};
use serde_json::{Deserializer, Value, json};
use std::io::{self, BufReader};
use std::net::Shutdown;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
        let address = listener.local_addr()?;
        scope(|s| {
            for name in ["boiler", "attic"] {
                s.spawn(move || {
                    let stream = TcpStream::connect_addr(address)?;
                    (1..=2).try_for_each(|n| serde_json::to_writer(&stream, &json!({"from": name, "n": n})))?;
                    stream.shutdown(Shutdown::Write)?;
                    let answer: Value = serde_json::from_reader(&stream)?;
                    println!("{name}: {answer}");
                    Ok::<_, io::Error>(())
                })?;
            }
            for _ in 0..2 {
                let (stream, _) = listener.accept()?;
                s.spawn(move || {
                    let values = Deserializer::from_reader(BufReader::new(&stream)).into_iter::<Value>();
                    let all = values.collect::<Result<Vec<_>, _>>()?; // to the end of what the client sends
                    Ok::<_, io::Error>(serde_json::to_writer(&stream, &json!({"got": all.len()}))?)
                })?;
            }
            Ok(())
        })
    })?
}
