//! MQTT over TLS: by an authority that is believed, or by a key that both sides share; and what is said where the broker is
//! somebody else.
//!
//! `cargo run --features tls --example mqtt_secured mqtts://HOST CA.pem | mqtts://HOST IDENTITY HEXKEY`

use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Options, Publish, QoS, Tls};
use std::error::Error;

const USAGE: &str = "usage: mqtt_secured mqtts://HOST CA.pem | mqtts://HOST IDENTITY HEXKEY";

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pair = |at| Ok(u8::from_str_radix(hex.get(at..at + 2).ok_or("HEXKEY: two digits for each byte")?, 16)?);
    (0..hex.len()).step_by(2).map(pair).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The file is read here, and never again. Without either, the system's authorities are believed.
    let (url, tls) = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [url, authority] => (*url, Tls::new().ca_file(authority)?),
        [url, identity, key] => (*url, Tls::new().psk(identity, bytes(key)?)?),
        _ => return Err(USAGE.into()),
    };
    let mut event_loop: Loop<()> = Loop::new()?;
    let client = Client::join(&mut event_loop, Options::from_url(url)?.tls(tls), |(), _, client, event| {
        match event {
            Event::Subscribed { .. } => client.publish(Publish::new("becket/secret", "for your eyes")).map(drop)?,
            Event::Message(message) => {
                println!("{}", String::from_utf8_lossy(&message.payload));
                client.close();
            }
            // A certificate that is not to be believed is final: the next attempt would see the same.
            Event::Failed(reason) => println!("gave up: {reason}"),
            _ => {}
        }
        Ok(())
    })?;
    client.subscribe("becket/secret", QoS::AtLeastOnce)?;
    event_loop.run(&mut ())?;
    Ok(())
}
