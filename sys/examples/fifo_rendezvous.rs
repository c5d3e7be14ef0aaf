//! A pipe with a name: opened before the other side is there, and alive while writers come and go.
//!
//! Run it with `cargo run -p becket-sys --example fifo_rendezvous`. Shells write to it, one after the other.

use becket_sys::Ready;
use becket_sys::pipe::{Reader, Writer, make_fifo};
use std::io;
use std::process::Command;

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-fifo-{}", std::process::id()));
    make_fifo(&path, 0o600)?;
    println!("a writer before any reader: {:?}", Writer::open(&path).map(drop).map_err(|e| e.raw_os_error())); // ENXIO

    let reader = Reader::open(&path)?; // does not wait for a writer
    let _keep = Writer::open(&path)?; // or else the end comes, and stays readable, each time the last writer goes
    let mut buf = [0; 64];
    for word in ["one", "two"] {
        let status = Command::new("sh").args(["-c", "echo $1 >$0"]).arg(&path).arg(word).status()?;
        reader.wait_ready(Ready::READ, None)?;
        let n = reader.try_read(&mut buf)?.unwrap_or(0);
        println!("{:?}, and the writer has gone: {status}", String::from_utf8_lossy(&buf[..n]));
    }
    println!("nothing more, and no end: {:?}", reader.try_read(&mut buf)?);
    std::fs::remove_file(path)
}
