//! Other threads have work done in the loop's thread: closures that get the state, in the order of posting.
//!
//! `cargo run -p becket-loop --example post_from_threads`

use becket_loop::{Loop, Remote};
use std::collections::BTreeMap;
use std::error::Error;
use std::thread;

type Words = BTreeMap<String, u32>;

fn count(remote: &Remote<Words>, text: &'static str) {
    for word in text.split(' ') {
        // False where the loop is gone: then there is nobody to do it.
        let posted = remote.post(move |words, _ctx| {
            *words.entry(word.to_owned()).or_default() += 1;
            Ok(())
        });
        if !posted {
            return;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<Words> = Loop::new()?;
    let texts = ["a becket is a loop of rope", "and rope is made of fibers"];
    let threads = texts.map(|text| {
        let remote = event_loop.remote();
        thread::spawn(move || count(&remote, text))
    });
    let mut words = Words::new();
    event_loop.run(&mut words)?; // until the last handle is dropped, with its thread
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    println!("{words:?}");

    // And the answer back to one who waits for it.
    let (sender, receiver) = std::sync::mpsc::channel();
    let remote = event_loop.remote();
    let asking = thread::spawn(move || {
        remote.post(move |words, _| Ok(sender.send(words.len())?));
        receiver.recv()
    });
    event_loop.run(&mut words)?;
    println!("{} words", asking.join().map_err(|_| "a thread panicked")??);
    Ok(())
}
