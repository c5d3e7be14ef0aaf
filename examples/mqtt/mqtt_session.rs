//! A session that outlives its client: what is published while nobody is there waits at the broker for who comes back.
//!
//! `cargo run --example mqtt_session [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::{Loop, Next};
use becket_mosquitto::{Client, Event, Options, Publish, QoS, Session};
use std::error::Error;

/// One visit of a client that has a name; `last` says which message is the last to wait for, if any.
fn visit(options: &Options, last: Option<&'static str>) -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<()> = Loop::new()?;
    let options = options.clone().client_id("becket-sleeper").session(Session::Kept);
    let client = Client::join(&mut event_loop, options, move |(), _, client, event| {
        match event {
            Event::Connected { session_present, .. } => println!("session: {session_present}"),
            Event::Subscribed { .. } if last.is_none() => client.close(), // the session stays
            _ => {}
        }
        Ok(())
    })?;
    // Before the connection: what waits comes with it, and finds its handler.
    client.on("becket/letters", QoS::AtLeastOnce, move |(), _, client, letter| {
        let text = String::from_utf8_lossy(&letter.payload);
        println!("{text}");
        if last.is_some_and(|last| last == text) {
            client.close();
        }
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut ())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?;
    visit(&options, None)?;
    let mut event_loop: Loop<u32> = Loop::new()?;
    let sender = Client::join(&mut event_loop, options.clone(), |_, _, _, _| Ok(()))?;
    for text in ["first letter", "second letter"] {
        sender.publish_then(&event_loop, Publish::new("becket/letters", text), |sent, _, sender, _| {
            *sent += 1;
            if *sent == 2 {
                sender.close();
            }
            Ok(())
        })?;
    }
    event_loop.run(&mut 0)?;
    visit(&options, Some("second letter"))
}
