//! What becomes of a message: each one that is accepted comes to one outcome, which is told by a callback of its own.
//!
//! `cargo run --example mqtt_outcomes [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::{Ctx, Loop};
use becket_mosquitto::{Client, Event, Publish, QoS};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

type Outcomes = BTreeMap<&'static str, String>;

fn publish(ctx: &mut Ctx<Outcomes>, client: &Client, name: &'static str, message: Publish) -> becket_loop::Result<()> {
    client.publish_then(ctx, message, move |outcomes, _, client, outcome| {
        outcomes.insert(name, outcome.to_string());
        if outcomes.len() == 5 {
            client.close();
        }
        Ok(())
    })?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<Outcomes> = Loop::new()?;
    let client = Client::join(&mut event_loop, broker::options()?, |_, ctx, client, event| {
        if let Event::Connected { .. } = event {
            let message = Publish::new("becket/outcomes", "21.5");
            publish(ctx, client, "QoS 0", message.clone().qos(QoS::AtMostOnce))?; // nobody acknowledges it
            publish(ctx, client, "QoS 1", message.clone())?;
            publish(ctx, client, "QoS 2", message.clone().qos(QoS::ExactlyOnce))?;
            publish(ctx, client, "late", message.expire_after(Duration::ZERO))?; // its time was over before it left
        }
        Ok(())
    })?;
    // Without a connection a message of QoS 1 or 2 waits, one of QoS 0 is refused, and comes back in the error.
    let message = Publish::new("becket/outcomes", "early");
    if let Err(e) = client.publish(message.clone().qos(QoS::AtMostOnce)) {
        println!("{e}");
    }
    publish(&mut event_loop, &client, "early", message)?;
    let mut outcomes = Outcomes::new();
    event_loop.run(&mut outcomes)?;
    outcomes.iter().for_each(|(name, outcome)| println!("{name}: {outcome}"));
    Ok(())
}
