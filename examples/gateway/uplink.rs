//! Readings on their way out: from a device's queue to the client, and from there to their acknowledgement.

use crate::device::Reading;
use crate::fields::Outlet;
use crate::log::Limited;
use crate::mqtt::{Mqtt, Sent};
use crate::report::Pending;
use becket_fiber::is_cancelled;
use becket_fiber::sync::{Receiver, Sender};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// A reading whose fields were handed to the client.
pub struct UnderWay {
    pending: Pending,
    messages: Vec<Rc<Sent>>,
}

/// Publishes the fields of each reading, as the device's outlet says, in order, until the queue is closed and empty.
/// Waits while the client has no room, and lets the queue fill up meanwhile. Devices take turns for the room, message by
/// message: one that says much does not keep the others waiting.
pub fn publish(
    device: &str,
    outlet: &RefCell<Outlet>,
    readings: &Receiver<Reading>,
    mqtt: &Mqtt,
    under_way: &Sender<UnderWay>,
) -> io::Result<()> {
    let lost = Limited::of_device(device);
    while let Some(Reading { line, at, mut pending }) = readings.recv()? {
        pending.go();
        let messages = outlet.borrow_mut().messages(&line, at);
        match messages.into_iter().map(|m| mqtt.publish(m.topic, &m.payload, m.retain)).collect() {
            Ok(messages) => under_way.send(UnderWay { pending, messages })?,
            Err(e) if is_cancelled(&e) => return Err(e),
            Err(e) => lost.log(format_args!("a reading dropped: {e}")),
        }
    }
    Ok(())
}

/// Waits for the acknowledgements of each reading in turn, until the channel is closed and empty. A reading of which
/// nothing is to be published has none to wait for.
pub fn confirm(under_way: &Receiver<UnderWay>, mqtt: &Mqtt) -> io::Result<()> {
    while let Some(UnderWay { pending, messages }) = under_way.recv()? {
        let mut all = true;
        for message in &messages {
            all &= mqtt.has_arrived(message)?;
        }
        if all {
            pending.acknowledge();
        }
    }
    Ok(())
}
