//! Edge-triggered epoll: told once of a change, so read until there is nothing, or hear of the rest never.
//!
//! Run it with `cargo run -p becket-sys --example epoll_edges`.

use becket_sys::epoll::{Epoll, Events, Trigger};
use becket_sys::{Ready, pipe};
use std::io;
use std::time::{Duration, Instant};

const THE_PIPE: u64 = 7; // what comes back with its events

fn main() -> io::Result<()> {
    let (reader, writer) = pipe::pair()?;
    let set = Epoll::new()?;
    set.add(&reader, THE_PIPE, Ready::READ, Trigger::EDGE)?;
    let mut events = Events::with_capacity(8);
    let (mut buf, mut wait) = ([0; 4], |what: &str| -> io::Result<()> {
        let count = set.wait(&mut events, Some(Instant::now() + Duration::from_millis(20)))?;
        println!("{what}: {count} event, of the pipe: {}", events.iter().all(|(data, _)| data == THE_PIPE));
        Ok(())
    });

    writer.try_write(b"eight by")?;
    wait("written")?;
    println!("read {:?}", reader.try_read(&mut buf)?);
    wait("half of it read")?; // four bytes are there, and nobody tells
    writer.try_write(b"tes.")?;
    wait("more written")?; // a new edge, of all that is there
    while let Some(n) = reader.try_read(&mut buf)? {
        println!("read {n}");
    }
    writer.try_write(b"more")?;
    wait("written")?;
    set.modify(&reader, THE_PIPE, Ready::READ, Trigger::EDGE)?;
    wait("armed again")?; // looks anew, at what is there still
    set.delete(&reader)?; // before it is closed: a duplicate elsewhere would keep it in the set
    Ok(())
}
