//! Other threads publish, and wait for what becomes of it, by a handle to the client.
//!
//! `cargo run --example mqtt_threads [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Publish};
use std::error::Error;
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?;
    let mut event_loop: Loop<()> = Loop::new()?;
    let client = Client::join(&mut event_loop, options, |(), _, _, _| Ok(()))?;
    let threads = ["pump", "valve"].map(|name| {
        let remote = client.remote();
        thread::spawn(move || {
            // An error has the message in it: all of a client's handles share one bound.
            let publish = |n: u32| remote.publish(Publish::new(format!("becket/{name}"), n.to_string()));
            let deliveries: Result<Vec<_>, _> = (0..100).map(publish).collect();
            deliveries.map(|all| all.iter().filter(|delivery| delivery.wait().is_acknowledged()).count())
        })
    });
    // The loop goes on until somebody says that it is enough: here, when all threads have ended.
    let remote = event_loop.remote();
    let waiting = thread::spawn(move || {
        let counts = threads.map(|thread| thread.join().map_err(|_| "a thread panicked"));
        remote.exit(0);
        counts
    });
    event_loop.run(&mut ())?;
    client.close();
    event_loop.run(&mut ())?;
    for count in waiting.join().map_err(|_| "a thread panicked")? {
        println!("{} acknowledged", count??);
    }
    Ok(())
}
