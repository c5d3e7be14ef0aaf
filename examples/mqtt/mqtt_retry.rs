//! Connections that fail: attempts with a random wait that grows, and when to give up.
//!
//! `cargo run --example mqtt_retry`, to a port at which nobody listens

use becket_loop::Loop;
use becket_mosquitto::{Address, Client, Event, Options, Outcome, Publish};
use std::error::Error;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(); // free, and given back
    let attempts = AtomicU32::new(0);
    let options = Options::new(Address::tcp("127.0.0.1", port)?)
        .backoff(Duration::from_millis(10), Duration::from_millis(40)) // by default from one second to a minute
        // By default, where another attempt would be refused for the same reason: a wrong password, say.
        .give_up_when(move |_reason| attempts.fetch_add(1, Ordering::Relaxed) == 2);
    let mut event_loop: Loop<Vec<Outcome>> = Loop::new()?;
    let client = Client::join(&mut event_loop, options, |_, _, _, event| {
        match event {
            Event::Connecting { .. } => println!("tries"),
            Event::Disconnected { reason, retry_in } => {
                println!("{reason}; waits for 40 ms at most: {}", retry_in <= Duration::from_millis(40));
            }
            Event::Failed(reason) => println!("gives up: {reason}"),
            _ => {}
        }
        Ok(())
    })?;
    // It waits in the queue meanwhile, and comes to its outcome in any case.
    client.publish_then(&event_loop, Publish::new("becket/lost", "1"), |outcomes, _, _, outcome| {
        outcomes.push(outcome);
        Ok(())
    })?;
    let mut outcomes = Vec::new();
    event_loop.run(&mut outcomes)?;
    outcomes.iter().for_each(|outcome| println!("{outcome}"));
    Ok(())
}
