//! A pipe whose reads take one write each, from many writers: packets, by O_DIRECT.
//!
//! Run it with `cargo run -p becket-sys --example pipe_packets`.

use becket_sys::Ready;
use becket_sys::pipe::packet_pair;
use std::{io, thread};

fn main() -> io::Result<()> {
    let (reader, writer) = packet_pair()?;
    let writers: Vec<_> = ["ok", "warning: hot", "error"]
        .into_iter()
        .map(|word| {
            let writer = writer.try_clone()?;
            Ok(thread::spawn(move || writer.try_write(word.as_bytes()))) // up to 4096 bytes are one packet
        })
        .collect::<io::Result<_>>()?;
    for writer in writers {
        writer.join().expect("a writer does not panic")?;
    }
    drop(writer); // as long as one end to write to is open there is no end to read

    let (mut buf, mut words) = ([0; 8], Vec::new());
    loop {
        reader.wait_ready(Ready::READ, None)?;
        match reader.try_read(&mut buf)? {
            Some(0) => break,
            Some(n) => words.push(String::from_utf8_lossy(&buf[..n]).into_owned()),
            None => {}
        }
    }
    words.sort();
    println!("{words:?}"); // what was longer than the buffer is cut, and its rest gone
    Ok(())
}
