//! GPIO lines: each edge becomes a message.

use crate::args::GpioLine;
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::records::Records;
use becket_fiber::gpio::sysfs::{Class, Edge, Line};
use becket_fiber::is_cancelled;
use becket_sys::SetupError;
use std::io;
use std::time::{Duration, Instant};

/// How long udev may take to make a line's files accessible once it is exported.
const EXPORT: Duration = Duration::from_secs(5);

/// Exports a line as an input that waits for its edges.
pub fn open(wanted: GpioLine) -> Result<Line, SetupError> {
    let line = Class::new().export(wanted.number, Some(Instant::now() + EXPORT))?;
    let path = line.path().display().to_string();
    line.set_input().map_err(|e| SetupError::new("set direction of", &*path, e))?;
    line.watch(wanted.edge).map_err(|e| SetupError::new("set edge of", &*path, e))?;
    line.try_into().map_err(|e| SetupError::new("fcntl", path, e))
}

/// Publishes `rising` or `falling` to becket/gpio/N for each edge, until this fiber is cancelled or the line is gone.
/// Edges that follow each other faster than they are read become one: sysfs does not count them.
pub fn run(line: &Line, edge: Edge, mqtt: &Mqtt, records: &Records) -> io::Result<()> {
    let topic = format!("becket/gpio/{}", line.number());
    let record = records.line(line.number().to_string());
    loop {
        let active = line.next_edge()?;
        let word = match edge {
            Edge::Rising => "rising",
            Edge::Falling => "falling",
            _ if active => "rising",
            _ => "falling",
        };
        record.edge(word);
        match mqtt.publish(topic.clone(), word) {
            Err(e) if is_cancelled(&e) => return Err(e),
            Err(e) => log!("{topic}: {e}"),
            Ok(_) => {}
        }
    }
}
