//! Callbacks that take too long: one hook is told after each of them, another, in a thread of its own, while one hangs.
//!
//! `cargo run -p becket-loop --example find_the_slow`

use becket_loop::{Loop, Stall};
use std::error::Error;
use std::sync::mpsc::{self, Receiver};
use std::thread::sleep;
use std::time::Duration;

const LIMIT: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<Receiver<Stall>> = Loop::new()?;
    // By then it is over: for what is slow now and then.
    event_loop.on_slow(LIMIT, |_, _, slow| {
        println!("{} was slow: {}", slow.name.as_deref().unwrap_or("something"), slow.took >= LIMIT);
    });
    // While it lasts, and once more when it is over. Dropping it ends the watch.
    let (sender, mut stalls) = mpsc::channel();
    let watchdog = event_loop.on_stall(LIMIT, move |stall| drop(sender.send(stall)))?;

    let quick = event_loop.after(Duration::ZERO, |_, _| Ok(()));
    event_loop.set_name(quick, "quick");
    let lazy = event_loop.after(Duration::from_millis(1), |stalls, _| {
        let stall = stalls.recv()?; // hangs until that is noticed
        println!("{:?} hangs: {}", stall.name, !stall.over);
        Ok(sleep(LIMIT))
    });
    event_loop.set_name(lazy, "lazy");
    event_loop.run(&mut stalls)?;
    println!("it is over: {}", stalls.recv()?.over);
    drop(watchdog);
    Ok(())
}
