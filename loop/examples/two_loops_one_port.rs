//! Two loops, each in a thread of its own, that accept from one listener: each connection wakes one of them, not both.
//!
//! `cargo run -p becket-loop --example two_loops_one_port`

use becket_loop::{Flags, Loop, Next};
use becket_sys::tcp::Listener;
use std::error::Error;
use std::net::TcpStream;
use std::thread;

const CLIENTS: u32 = 20;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let address = listener.local_addr()?;
    let mut remotes = Vec::new();
    let (sender, accepted) = std::sync::mpsc::channel();
    let threads: Vec<_> = [listener.try_clone()?, listener]
        .into_iter()
        .map(|listener| {
            let (sender, (remote, ready)) = (sender.clone(), std::sync::mpsc::channel());
            let thread = thread::spawn(move || -> Fallible<u32> {
                let mut event_loop: Loop<u32> = Loop::new()?;
                let id = event_loop.on(listener, move |count, _, (_stream, _peer)| {
                    *count += 1;
                    Ok(sender.send(())?).map(|()| Next::Keep)
                })?;
                event_loop.set_flags(id, Flags::EXCLUSIVE)?; // epoll's alone; others say that they have not
                remote.send(event_loop.remote())?;
                let mut count = 0;
                event_loop.run(&mut count).map_err(|e| e.to_string())?;
                Ok(count)
            });
            remotes.push(ready);
            thread
        })
        .collect();
    for _ in 0..CLIENTS {
        TcpStream::connect(address)?;
        accepted.recv()?;
    }
    for remote in remotes {
        remote.recv()?.exit(0);
    }
    let mut all = 0;
    for thread in threads {
        all += thread.join().map_err(|_| "a thread panicked")??;
    }
    println!("{all} connections, each accepted once");
    Ok(())
}
