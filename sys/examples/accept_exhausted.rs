//! A server that has run out of descriptors: it turns clients away by one that it kept for that, and does not spin.
//!
//! Run it with `cargo run -p becket-sys --example accept_exhausted`. It allows itself 64 and uses them up.

use becket_sys::tcp::{Listener, Stream};
use becket_sys::{Ready, Reserve, is_exhausted};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> Result<(), Error> {
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let reserve = Reserve::new()?; // at the start, while there are some
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let client = Stream::connect(listener.local_addr()?)?.finish(soon)?;
    listener.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;

    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) })?;
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }

    match listener.try_accept() {
        // The client stays in the queue, and the listener readable: whoever merely tries again spins.
        Err(e) if is_exhausted(&e) => {
            println!("accept: {e}");
            println!("turned away: {}", reserve.turn_away(&listener)?);
        }
        other => return Err(Error::other(format!("{other:?}"))),
    }
    client.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
    println!("the client reads {:?}: the end", client.try_read(&mut [0])?);
    let quiet = listener.wait_ready(Ready::READ, Some(Instant::now()))?.is_none();

    drop(hoard); // some have become free
    let next = Stream::connect(listener.local_addr()?)?.finish(soon)?;
    listener.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
    let (served, _) = listener.try_accept()?.ok_or(ErrorKind::WouldBlock)?;
    println!("quiet in between: {quiet}; the next is served: {}", served.peer_addr()? == next.local_addr()?);
    Ok(())
}
