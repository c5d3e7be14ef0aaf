//! A bounded queue: a message that finds it full comes back, and the client tells when there is room again.
//!
//! Other policies drop the oldest: `Options::when_full`. `cargo run --example mqtt_full_queue [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Publish, PublishRefusal};
use std::error::Error;

struct State {
    left: Vec<Publish>,
    acknowledged: u32,
    came_back: u32,
}

/// Publishes what is left, as far as there is room.
fn fill(state: &mut State, client: &Client) -> becket_loop::Result<()> {
    while let Some(message) = state.left.pop() {
        match client.publish(message) {
            Ok(_) => {}
            Err(e) if e.refusal() == PublishRefusal::QueueFull => {
                state.left.push(e.into_publish()); // not lost: it comes back
                state.came_back += 1;
                break;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?.queue(10, 1 << 20).window(5); // ten that wait, five under way
    let mut event_loop: Loop<State> = Loop::new()?;
    let client = Client::join(&mut event_loop, options, |state: &mut State, _, client, event| {
        match event {
            Event::Room => fill(state, client)?,
            Event::Delivered { outcome, .. } => {
                state.acknowledged += u32::from(outcome.is_acknowledged());
                if state.acknowledged == 100 {
                    client.close();
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    let left = (0..100).map(|n| Publish::new("becket/queue", n.to_string())).collect();
    let mut state = State { left, acknowledged: 0, came_back: 0 };
    fill(&mut state, &client)?; // ten, since there is no connection yet
    println!("{} are left", state.left.len());
    event_loop.run(&mut state)?;
    println!("{} acknowledged; some came back: {}", state.acknowledged, state.came_back > 1);
    Ok(())
}
