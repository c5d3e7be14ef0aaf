//! Handlers: each topic filter has a function of its own, which gets the loop's state; what is for none of them goes to the
//! client's own callback.
//!
//! `cargo run --example mqtt_routes [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::{Loop, Next};
use becket_mosquitto::{Client, Event, Message, Publish, QoS};
use std::error::Error;

#[derive(Default)]
struct State {
    subscribed: u32,
    heard: Vec<String>,
}

impl State {
    fn hear(&mut self, who: &str, message: &Message, client: &Client) {
        self.heard.push(format!("{who}: {} {}", message.topic, String::from_utf8_lossy(&message.payload)));
        if self.heard.len() == 4 {
            client.close();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<State> = Loop::new()?;
    let client = Client::join(&mut event_loop, broker::options()?, |state: &mut State, _, client, event| {
        match event {
            Event::Message(message) => state.hear("nobody else", &message, client),
            Event::Subscribed { .. } => state.subscribed += 1,
            _ => return Ok(()),
        }
        if state.subscribed == 3 {
            state.subscribed = 0;
            for (topic, text) in [("boiler/temp", "71.5"), ("boiler/alarm", "hot"), ("other", "?"), ("roof/temp", "8")]
            {
                client.publish(Publish::new(format!("becket/{topic}"), text))?;
            }
        }
        Ok(())
    })?;
    // A handle to the client does not know the type of the state: the closure names it.
    client.on("becket/+/temp", QoS::AtLeastOnce, |state: &mut State, _, client, message| {
        state.hear("thermometer", &message, client);
        Ok(Next::Keep)
    })?;
    client.on("becket/+/alarm", QoS::AtLeastOnce, |state: &mut State, _, client, message| {
        state.hear("siren", &message, client);
        Ok(Next::Remove) // once is enough: with its last handler a subscription ends
    })?;
    client.subscribe("becket/other", QoS::AtLeastOnce)?;
    let mut state = State::default();
    event_loop.run(&mut state)?;
    state.heard.sort(); // brokers keep the order within a topic alone
    state.heard.iter().for_each(|line| println!("{line}"));
    Ok(())
}
