//! What a message of MQTT 5 carries beside its payload, and what the broker says of itself.
//!
//! `cargo run --example mqtt_properties [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Properties, Protocol, Publish, QoS, SubscribeOptions};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?.protocol(Protocol::V5).user_property("model", "becket");
    let mut event_loop: Loop<()> = Loop::new()?;
    let client = Client::join(&mut event_loop, options, |(), _, client, event| {
        match event {
            // The client keeps to these limits by itself.
            Event::Connected { announced, .. } => println!("retains messages: {}", announced.retain_available),
            Event::Subscribed { granted: Ok(_), .. } => {
                let properties = Properties {
                    content_type: Some("application/json".into()),
                    is_text: true,
                    message_expiry: Some(60), // seconds; the broker counts them down
                    user: vec![("unit".into(), "celsius".into()), ("unit".into(), "kelvin".into())],
                    ..Properties::default()
                };
                client.publish(Publish::new("becket/reading", r#"{"t":21.5}"#).properties(properties))?;
            }
            Event::Message(message) => {
                let properties = message.properties.unwrap_or_default();
                println!("{:?}, text: {}", properties.content_type, properties.is_text);
                properties.user.iter().for_each(|(name, value)| println!("{name}: {value}"));
                client.close();
            }
            _ => {}
        }
        Ok(())
    })?;
    client.subscribe("becket/reading", SubscribeOptions::new(QoS::AtLeastOnce).retain_as_published(true))?;
    event_loop.run(&mut ())?;
    Ok(())
}
