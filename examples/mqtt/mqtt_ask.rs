//! Questions and answers over MQTT 5: each question has one callback, for the answer or for the reason why there is none.
//!
//! `cargo run --example mqtt_ask [mqtt://HOST]`

use becket_examples::broker;
use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Protocol, Publish, QoS};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let options = broker::options()?.protocol(Protocol::V5);
    let mut event_loop: Loop<u32> = Loop::new()?;

    let asking = Client::join(&mut event_loop, options.clone(), |_, _, _, _| Ok(()))?;
    // Asks once somebody is there to answer: the broker has the subscription.
    let service = Client::join(&mut event_loop, options, move |_, ctx, service, event| {
        let Event::Subscribed { .. } = event else { return Ok(()) };
        for (topic, number) in [("becket/square/of", "7"), ("becket/square/of", "many"), ("becket/nobody", "?")] {
            let (question, service) = (Publish::new(topic, number), service.clone());
            asking.request(ctx, question, Duration::from_millis(500), move |asked, _, asking, answer| {
                match answer {
                    Ok(message) => println!("{number}: {}", String::from_utf8_lossy(&message.payload)),
                    // Some brokers say that nobody subscribes to the topic; with the others the time runs out.
                    Err(e) => println!("{number}: {e}"),
                }
                *asked += 1;
                if *asked == 3 {
                    asking.close();
                    service.close();
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    service.respond("becket/square/+", QoS::AtLeastOnce, |_: &mut u32, _, _, question| {
        let number = String::from_utf8_lossy(&question.payload).parse::<i64>();
        Ok(Some(number.map_or_else(|e| e.to_string(), |n| (n * n).to_string()).into_bytes()))
    })?;
    event_loop.run(&mut 0)?;
    Ok(())
}
