//! Messages that outlive the process: what has no outcome yet is in a file, and the next client sends it first.
//!
//! `cargo run --example mqtt_store [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, DeliveryId, Event, Options, Publish, QoS, Store};
use std::error::Error;
use std::path::Path;

/// A process without a broker, which ends without a word: the loop is dropped with all that it holds.
fn first(path: &Path) -> Result<(), Box<dyn Error>> {
    let options = Options::new("unix:/nobody/listens".parse()?).store(Store::open(path)?);
    let mut event_loop: Loop<Option<DeliveryId>> = Loop::new()?;
    let client = Client::join(&mut event_loop, options, |stored, _, _, event| {
        if let Event::Stored { through } = event {
            *stored = Some(through); // up to this one, all are in the file, whatever becomes of us
        }
        Ok(())
    })?;
    let (mut stored, mut last) = (None, None);
    for n in ["one", "two", "three"] {
        last = Some(client.publish(Publish::new("becket/owed", n))?.id());
    }
    while stored < last {
        event_loop.turn(&mut stored, None)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("becket-store-{}", std::process::id()));
    first(&path)?;
    let store = Store::open(&path)?;
    println!("owed: {}", store.messages());

    // The next process: what an earlier one owed is sent, at least once, after the subscriptions.
    let mut event_loop: Loop<(u32, Vec<String>)> = Loop::new()?;
    let options = broker::options()?.store(store);
    let client = Client::join(&mut event_loop, options, |(delivered, heard), _, client, event| {
        match event {
            Event::Delivered { .. } => *delivered += 1,
            Event::Message(message) => heard.push(String::from_utf8_lossy(&message.payload).into()),
            _ => {}
        }
        if *delivered == 3 && heard.len() == 3 {
            client.close();
        }
        Ok(())
    })?;
    client.subscribe("becket/owed", QoS::AtLeastOnce)?;
    let mut state = (0, Vec::new());
    event_loop.run(&mut state)?;
    println!("heard: {}; owed: {}", state.1.join(" "), Store::open(&path)?.messages());
    std::fs::remove_file(path)?;
    Ok(())
}
