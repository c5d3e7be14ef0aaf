//! Many clients on one loop, each with its own connection: 200, or as many as the second argument says.
//!
//! `cargo run --release --example mqtt_many_clients mqtt://HOST 1000`; the broker inside takes fewer than a thousand.

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Publish};
use std::error::Error;

#[derive(Default)]
struct State {
    connected: usize,
    acknowledged: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?.log(None); // nobody reads the library's lines
    let count: usize = std::env::args().nth(2).map_or(Ok(200), |count| count.parse())?;
    let mut event_loop: Loop<State> = Loop::new()?;
    for n in 0..count {
        let client = Client::join(&mut event_loop, options.clone(), |state: &mut State, _, _, event| {
            if let Event::Connected { .. } = event {
                state.connected += 1;
            }
            Ok(())
        })?;
        let reading = Publish::new(format!("becket/meter/{n}"), "4711");
        client.publish_then(&event_loop, reading, |state, _, client, outcome| {
            state.acknowledged += usize::from(outcome.is_acknowledged());
            client.close();
            Ok(())
        })?;
    }
    let mut state = State::default();
    event_loop.run(&mut state)?; // until the last has left
    println!(
        "{} clients, each connected and answered: {}",
        count,
        state.connected >= count && state.acknowledged == count
    );
    Ok(())
}
