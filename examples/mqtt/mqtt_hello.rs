//! MQTT by callbacks: a client connects, subscribes, publishes and hears itself, and closes.
//!
//! All of the MQTT examples take the URL of a broker; without one they have their own inside.
//! `cargo run --example mqtt_hello [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Publish, QoS};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<()> = Loop::new()?;
    let client = Client::join(&mut event_loop, broker::options()?, |(), _ctx, client, event| {
        match event {
            Event::Connected { .. } => println!("connected"),
            // Only now does the broker know whom to send it to.
            Event::Subscribed { filter, granted: Ok(qos), .. } => {
                println!("subscribed to {filter} at QoS {}", qos as u8);
                client.publish(Publish::new("becket/hello", "a loop of rope"))?;
            }
            Event::Subscribed { filter, granted: Err(code), .. } => {
                println!("{filter}: {code}");
                client.close();
            }
            Event::Message(message) => {
                println!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload));
                client.close();
            }
            // No error: the next attempt follows by itself, and the subscription is made again.
            Event::Disconnected { reason, retry_in } => eprintln!("{reason}; again in {retry_in:.1?}"),
            Event::Failed(reason) => eprintln!("gave up: {reason}"),
            Event::Closed => println!("closed"),
            _ => {}
        }
        Ok(())
    })?;
    client.subscribe("becket/hello", QoS::AtLeastOnce)?; // may be said before there is a connection
    event_loop.run(&mut ())?; // until the client has left the loop
    Ok(())
}
