//! A message is acknowledged when it has been dealt with, not when it comes: a worker that dies before gets it again.
//!
//! `cargo run --example mqtt_acknowledge [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::{Loop, Next};
use becket_mosquitto::{Acknowledge, Client, Hold, Options, Publish, QoS, Session};
use std::error::Error;
use std::time::Duration;

/// A worker of a name that the broker knows again, in the session that it left.
fn worker(event_loop: &mut Loop<Vec<Hold>>, options: Options) -> Result<Client, Box<dyn Error>> {
    let options = options.client_id("becket-worker").session(Session::Kept).acknowledge(Acknowledge::WhenHandled);
    let client = Client::join(event_loop, options, |_, _, _, _| Ok(()))?;
    // Right after `join`: what the session has comes with the connection.
    client.on("becket/jobs", QoS::AtLeastOnce, |held: &mut Vec<Hold>, _, client, job| {
        println!("begins to {}", String::from_utf8_lossy(&job.payload));
        held.extend(client.hold()); // until this is dropped, nothing is acknowledged
        Ok(Next::Keep)
    })?;
    Ok(client)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?;
    let mut held = Vec::new();
    let mut event_loop = Loop::new()?;
    let dies = worker(&mut event_loop, options.clone())?;
    dies.publish(Publish::new("becket/jobs", "dig a well"))?; // sent after the subscription
    while held.is_empty() {
        event_loop.turn(&mut held, None)?;
    }
    drop(event_loop); // with the job on its hands
    held.clear();

    let mut event_loop = Loop::new()?;
    let client = worker(&mut event_loop, options)?;
    event_loop.every(Duration::from_millis(10), move |held: &mut Vec<Hold>, _, _| {
        if held.is_empty() {
            return Ok(Next::Keep);
        }
        println!("done");
        held.clear(); // acknowledged
        client.close();
        Ok(Next::Remove)
    });
    event_loop.run(&mut held)?;
    Ok(())
}
