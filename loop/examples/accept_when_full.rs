//! A listener where no descriptor is left for a connection: it turns the peer away, instead of spinning or leaving him to
//! wait.
//!
//! `cargo run -p becket-loop --example accept_when_full`

use becket_loop::{Accepted, Acceptor, Backoff, Loop, Next};
use becket_sys::{Reserve, tcp::Listener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    let reserve = Reserve::new()?; // a descriptor to give up, made while there are some
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let mut event_loop: Loop<()> = Loop::new()?;
    // The other policies: `Backoff::Rest`, for a time, and `Disable`, until something was closed.
    event_loop.on(Acceptor::new(listener, Backoff::TurnAway(reserve.into())), |(), ctx, event| {
        match event {
            Accepted::Connection(_) => println!("accepted"),
            Accepted::TurnedAway(why) => println!("turned away: {why}"),
            Accepted::Exhausted(why) => println!("left waiting: {why}"),
            _ => {}
        }
        ctx.exit(0);
        Ok(Next::Keep)
    })?;

    // The process takes all the descriptors that it may have.
    let most = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, most)?;
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    event_loop.run(&mut ())?;
    println!("the peer hears of it at once: {:?}", client.read(&mut [0]).map_err(|e| e.kind()));

    drop(taken);
    let _client = TcpStream::connect(client.peer_addr()?)?;
    event_loop.run(&mut ())?;
    Ok(())
}
