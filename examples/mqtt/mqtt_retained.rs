//! Retained messages: the broker keeps the last one of a topic for those who subscribe later, until it is taken back.
//!
//! `cargo run --example mqtt_retained [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Publish, QoS};
use std::error::Error;

const TOPIC: &str = "becket/boiler/temp";

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<()> = Loop::new()?;
    let client = Client::join(&mut event_loop, broker::options()?, |(), _, client, event| {
        // `retain` says that the broker had it from before the subscription; what comes later is news.
        if let Event::Message(message) = event {
            let text = String::from_utf8_lossy(&message.payload);
            println!("{text:?}, {}", if message.retain { "kept" } else { "new" });
            match (&*text, message.retain) {
                ("21.5", true) => client.publish(Publish::new(TOPIC, "21.6").retain(true)).map(drop)?,
                // A retained message without a payload takes it back.
                ("21.6", _) => client.publish(Publish::new(TOPIC, "").retain(true)).map(drop)?,
                _ => client.close(),
            }
        }
        Ok(())
    })?;
    client.publish_then(&event_loop, Publish::new(TOPIC, "21.5").retain(true), |(), _, client, outcome| {
        println!("{outcome}");
        Ok(client.subscribe(TOPIC, QoS::AtLeastOnce)?) // afterwards, so that it is an old one
    })?;
    event_loop.run(&mut ())?;
    Ok(())
}
