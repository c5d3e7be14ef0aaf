//! Readings on their way out: from a device's queue to the client, and from there to their acknowledgement.

use crate::device::Reading;
use crate::line;
use crate::log::Limited;
use crate::mqtt::Mqtt;
use crate::report::Pending;
use becket_fiber::is_cancelled;
use becket_fiber::sync::{Receiver, Sender};
use becket_mosquitto::fiber::Delivery;
use std::cell::RefCell;
use std::io;

/// A reading whose fields were handed to the client.
pub struct UnderWay {
    pending: Pending,
    deliveries: Vec<Delivery>,
}

/// Publishes the fields of each reading below the topic of the device, in order, until the queue is closed and empty. Waits
/// while the client has no room, and lets the queue fill up meanwhile. Devices take turns for the room, message by
/// message: one that says much does not keep the others waiting.
pub fn publish(
    device: &str,
    topic: &RefCell<String>,
    readings: &Receiver<Reading>,
    mqtt: &Mqtt,
    under_way: &Sender<UnderWay>,
) -> io::Result<()> {
    let lost = Limited::new(device);
    while let Some(Reading { line, mut pending }) = readings.recv()? {
        pending.go();
        let publish = |(name, value)| {
            let topic = format!("{}/{name}", topic.borrow());
            mqtt.publish(topic, value)
        };
        match line::fields(&line).map(publish).collect() {
            Ok(deliveries) => under_way.send(UnderWay { pending, deliveries })?,
            Err(e) if is_cancelled(&e) => return Err(e),
            Err(e) => lost.log(format_args!("a reading dropped: {e}")),
        }
    }
    Ok(())
}

/// Waits for the acknowledgements of each reading in turn, until the channel is closed and empty.
pub fn confirm(under_way: &Receiver<UnderWay>, mqtt: &Mqtt) -> io::Result<()> {
    while let Some(UnderWay { pending, deliveries }) = under_way.recv()? {
        let mut all = true;
        for delivery in &deliveries {
            all &= mqtt.is_acknowledged(delivery)?;
        }
        if all {
            pending.acknowledge();
        }
    }
    Ok(())
}
