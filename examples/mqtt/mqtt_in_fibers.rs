//! MQTT in fibers: connect, subscribe, publish and be sure of it, ask and get the answer, each a line that waits. Run it
//! with `cargo run --example mqtt_in_fibers -- mqtt://localhost`; without an address it has a broker of its own.

use becket_fiber::{Runtime, spawn, timeout};
use becket_mosquitto::{Options, Protocol, Publish, QoS, fiber::Client};
use std::error::Error;
use std::io;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let options = becket_examples::broker::options()?.protocol(Protocol::V5);
    Runtime::new()?.run(|| {
        // Tried again until it is there; a deadline of the fiber ends that, as it ends all that follows.
        Ok(timeout(Duration::from_secs(30), || talk(options))?)
    })?
}

fn talk(options: Options) -> io::Result<()> {
    let client = Client::connect(options)?;
    let readings = client.subscribe("becket/+/temp", QoS::AtLeastOnce)?; // the broker has granted it
    for (room, text) in [("boiler", "61.5"), ("attic", "12.0")] {
        let publish = Publish::new(format!("becket/{room}/temp"), text).qos(QoS::AtLeastOnce);
        client.publish(publish)?.wait()?; // until the broker has it; without the wait, later and in order
    }
    for _ in 0..2 {
        let message = readings.next()?.ok_or(io::ErrorKind::BrokenPipe)?; // `None` where the client is closed
        println!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload));
    }
    drop(readings); // unsubscribes

    let questions = client.subscribe("becket/sum", QoS::AtLeastOnce)?;
    let answering = client.clone();
    let answerer = spawn(move || {
        while let Some(question) = questions.next()? {
            let numbers = String::from_utf8_lossy(&question.payload);
            let sum: u32 = numbers.split('+').filter_map(|n| n.trim().parse::<u32>().ok()).sum();
            if let Some(answer) = question.response(sum.to_string()) {
                answering.publish(answer)?;
            }
        }
        Ok::<_, io::Error>(())
    })?;
    let answer = client.request(Publish::new("becket/sum", "40 + 2"))?;
    println!("40 + 2 = {}", String::from_utf8_lossy(&answer.payload));
    answerer.cancel();
    client.close() // with all that was published
}
