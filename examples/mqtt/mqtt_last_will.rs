//! A last will: what the broker publishes when a client is gone without a word.
//!
//! `cargo run --example mqtt_last_will [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Publish, QoS};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?;
    // The device says that it is there, and what shall be said when it is not; both are kept by the broker, for those who
    // ask later.
    let topic = "becket/device-7/state";
    let will = options.clone().will(Publish::new(topic, "offline").retain(true));
    let mut device_loop: Loop<bool> = Loop::new()?;
    let device = Client::join(&mut device_loop, will, |is_known, _, _, event| {
        *is_known |= matches!(event, Event::Delivered { .. });
        Ok(())
    })?;
    device.publish(Publish::new(topic, "online").retain(true))?;
    let mut is_known = false;
    while !is_known {
        device_loop.turn(&mut is_known, None)?;
    }

    let mut event_loop: Loop<Option<Loop<bool>>> = Loop::new()?;
    let observer = Client::join(&mut event_loop, options, |device, _, client, event| {
        let Event::Message(message) = event else { return Ok(()) };
        let state = String::from_utf8_lossy(&message.payload);
        match &*state {
            "" => return Ok(client.close()),
            "online" => *device = None, // as if its process were killed: a client that is closed has no will
            _ => drop(client.publish(Publish::new(&message.topic, "").retain(true))?), // tidies up
        }
        println!("{}: {state}", message.topic);
        Ok(())
    })?;
    observer.subscribe("becket/+/state", QoS::AtLeastOnce)?;
    event_loop.run(&mut Some(device_loop))?;
    Ok(())
}
