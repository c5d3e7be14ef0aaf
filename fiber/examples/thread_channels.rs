//! Channels between fibers and threads: whoever has to wait waits in his own way. Run it with
//! `cargo run -p becket-fiber --example thread_channels`.

use becket_fiber::sync::thread_channel;
use becket_fiber::{Runtime, spawn};
use std::io;
use std::thread;

fn main() -> io::Result<()> {
    let (numbers, to_square) = thread_channel::<u64>(2);
    let (squares, done) = thread_channel::<u64>(2);
    let worker = thread::spawn(move || -> io::Result<()> {
        while let Some(n) = to_square.recv()? {
            squares.send(n * n)?; // on this thread both block the thread
        }
        Ok(())
    });
    Runtime::new()?.run(|| {
        let feeder = spawn(move || (1..=5).try_for_each(|n| numbers.send(n)))?; // in a fiber they let others run
        println!("{:?}", done.iter().collect::<Vec<_>>());
        Ok::<_, io::Error>(feeder.join()??)
    })??;
    worker.join().map_err(|_| io::Error::other("the worker panicked"))?
}
