//! Readings on their way out: from the queue to the client, and from there to their acknowledgement.

use crate::device::Reading;
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::report::Pending;
use becket_fiber::is_cancelled;
use becket_fiber::sync::{Receiver, Sender};
use becket_mosquitto::fiber::Delivery;
use std::io;

/// A reading whose fields were handed to the client.
pub struct UnderWay {
    pending: Pending,
    deliveries: Vec<Delivery>,
}

/// Publishes the fields of each reading to becket/DEVICE/FIELD, in order, until the queue is closed and empty. Waits
/// while the client has no room, and lets the queue fill up meanwhile.
pub fn publish(readings: &Receiver<Reading>, mqtt: &Mqtt, under_way: &Sender<UnderWay>) -> io::Result<()> {
    while let Some(Reading { device, fields, pending }) = readings.recv()? {
        let mut deliveries = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            match mqtt.publish(format!("becket/{device}/{name}"), &value) {
                Ok(delivery) => deliveries.push(delivery),
                Err(e) if is_cancelled(&e) => return Err(e),
                Err(e) => {
                    log!("{device}: a reading dropped: {e}");
                    break;
                }
            }
        }
        under_way.send(UnderWay { pending, deliveries })?;
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
