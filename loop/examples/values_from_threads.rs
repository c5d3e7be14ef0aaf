//! A channel as a source: values of other threads, bounded, so that those who are too quick wait; and its end is told.
//!
//! `cargo run -p becket-loop --example values_from_threads`

use becket_loop::{Loop, Next, channel};
use std::error::Error;
use std::thread;

#[derive(Default)]
struct Sum {
    values: u32,
    sum: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = channel::sync_channel::<u64>(16)?; // `channel::channel` has no bound
    let mut event_loop: Loop<Sum> = Loop::new()?;
    event_loop.on(receiver, |state: &mut Sum, _, event| {
        match event {
            channel::Event::Value(n) => (state.values, state.sum) = (state.values + 1, state.sum + n),
            // After all values, when the last sender is gone: the source is removed, and nothing keeps the loop awake.
            channel::Event::Closed => println!("closed"),
        }
        Ok(Next::Keep)
    })?;
    let threads = [1, 2].map(|n| {
        let sender = sender.clone();
        // An error would have the value in it: the receiver is gone.
        thread::spawn(move || (0..1000).try_for_each(|_| sender.send(n)))
    });
    drop(sender); // else it would never be closed
    let mut state = Sum::default();
    event_loop.run(&mut state)?;
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    println!("{} values, {} in all", state.values, state.sum);
    Ok(())
}
