//! GPIO lines: each edge becomes a message.

use crate::log::{Limited, log};
use crate::mqtt::Mqtt;
use crate::records::LineRecord;
use crate::settings::{GpioLine, GpioSettings};
use becket_fiber::gpio::sysfs::{self, Class};
use becket_fiber::gpio::{Chip, EdgeKind, LineConfig, Lines, Sequence};
use becket_fiber::is_cancelled;
use becket_sys::SetupError;
use becket_sys::gpio::{self, Edge};
use std::io;
use std::time::{Duration, Instant};

/// How many edges the kernel keeps for us: as many as it can.
const EVENTS: u32 = 1024;

/// A line that is open, by one of the two ways.
pub enum Line {
    /// By sysfs, which does not count edges: those that follow each other faster than they are read become one.
    Sysfs(sysfs::Line),
    /// By the character device, which has a queue of them.
    Chip(Lines),
}

/// Opens a line as an input that waits for its edges. udev may take as long as `patience` to make files accessible that
/// sysfs has made: nothing else happens meanwhile.
pub fn open(wanted: &GpioSettings, patience: Duration) -> Result<Line, SetupError> {
    match &wanted.line {
        GpioLine::Sysfs(number) => export(*number, wanted.edge, patience).map(Line::Sysfs),
        GpioLine::Chip { chip, line } => request(chip, line, wanted).map(Line::Chip),
    }
}

fn export(number: u32, edge: Edge, patience: Duration) -> Result<sysfs::Line, SetupError> {
    let line = Class::new().export(number, Some(Instant::now() + patience))?;
    let path = line.path().display().to_string();
    line.set_input().map_err(|e| SetupError::new("set direction of", &*path, e))?;
    line.watch(edge).map_err(|e| SetupError::new("set edge of", &*path, e))?;
    line.try_into().map_err(|e| SetupError::new("fcntl", path, e))
}

/// The chip is what a path, the name of a device, or a label says; the line an offset, or what the board calls it.
fn request(chip: &str, line: &str, wanted: &GpioSettings) -> Result<Lines, SetupError> {
    let what = format!("GPIO line {chip}:{line}");
    let failed = |step| move |e: io::Error| SetupError::new(step, what.clone(), e);
    let is_device = chip.strip_prefix("gpiochip").is_some_and(|number| number.parse::<u32>().is_ok());
    let found = if chip.contains('/') {
        Chip::open(chip)?
    } else if is_device {
        Chip::open(format!("/dev/{chip}"))?
    } else {
        gpio::Chip::find(chip).and_then(Chip::try_from).map_err(failed.clone()("find"))?
    };
    let offset = match line.parse() {
        Ok(offset) if offset < found.info().lines => offset,
        Ok(_) => {
            let why = format!("the chip has lines 0 to {}", found.info().lines.saturating_sub(1));
            return Err(failed("find")(io::Error::new(io::ErrorKind::NotFound, why)));
        }
        Err(_) => {
            let none = || io::Error::new(io::ErrorKind::NotFound, "the chip has no line of that name");
            let named = found.line_named(line).and_then(|offset| offset.ok_or_else(none));
            named.map_err(failed.clone()("find"))?
        }
    };
    let mut config = LineConfig::input().edge(wanted.edge).active_low(wanted.active_low).debounce(wanted.debounce);
    if let Some(bias) = wanted.bias {
        config = config.bias(bias);
    }
    let lines = found.request().line(offset, config).consumer("becket gateway").event_buffer(EVENTS).open()?;
    Lines::try_from(lines).map_err(failed("fcntl"))
}

/// Publishes `rising` or `falling` to the topic for each edge, until this fiber is cancelled or the line is gone.
pub fn run(line: &Line, wanted: &GpioSettings, mqtt: &Mqtt, record: &LineRecord) -> io::Result<()> {
    let topic = &wanted.topic;
    let lost = Limited::new(topic.clone());
    let mut sequence = Sequence::new();
    loop {
        let word = match line {
            Line::Sysfs(line) => match (wanted.edge, line.next_edge()?) {
                (Edge::Rising, _) | (Edge::Both | Edge::None, true) => "rising",
                _ => "falling",
            },
            Line::Chip(lines) => {
                let edge = lines.next_edge()?;
                match sequence.lost_before(&edge) {
                    0 => {}
                    n => lost.log(format_args!("{n} edges came too fast and are lost")),
                }
                if edge.kind == EdgeKind::Rising { "rising" } else { "falling" }
            }
        };
        record.edge(word);
        match mqtt.publish(topic.clone(), word, false) {
            Err(e) if is_cancelled(&e) => return Err(e),
            Err(e) => log!(Warning, topic = topic, error = e; "{topic}: {e}"),
            Ok(_) => {}
        }
    }
}
