//! What the gateway is to do, whoever says so.

mod broker;

pub use broker::{Broker, BrokerSettings, Secret, TlsSettings};

use crate::line;
use becket_sys::gpio::{Bias, Edge};
use becket_sys::serial;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first level of every topic.
pub const PREFIX: &str = "becket";

/// A serial device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSettings {
    /// What it is called in the log, and in topics; no two are called alike.
    pub name: String,
    pub port: PortSettings,
    /// What its topics begin with.
    pub topic: String,
    /// What to publish, and how; `None`: everything as it comes.
    pub fields: Option<Vec<FieldSettings>>,
}

/// What becomes of a field of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSettings {
    /// As the device says it.
    pub name: String,
    /// The rest of its topic.
    pub topic: String,
    /// What numbers are multiplied by.
    pub scale: Option<f64>,
    /// What is written behind the value.
    pub unit: Option<String>,
    pub retain: bool,
    /// By how much a number has to differ from the last one that was published.
    pub deadband: Option<f64>,
    /// How long after the last one the next one is published at the earliest.
    pub every: Duration,
}

/// Where a serial device is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSettings {
    pub path: PathBuf,
    pub line: serial::Settings,
    /// Whether nobody else may use it.
    pub exclusive: bool,
}

impl PortSettings {
    pub fn new(path: impl Into<PathBuf>, baud: u32) -> PortSettings {
        PortSettings { path: path.into(), line: serial::Settings::new(baud), exclusive: true }
    }
}

/// A GPIO line that is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpioSettings {
    /// One level of a topic, which no other line has.
    pub name: String,
    pub line: GpioLine,
    pub edge: Edge,
    /// Those that follow are the character device's alone.
    pub bias: Option<Bias>,
    pub active_low: bool,
    pub debounce: Duration,
    /// Where its edges are published.
    pub topic: String,
}

/// Which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpioLine {
    /// By the files of /sys/class/gpio.
    Sysfs(u32),
    /// By the character device: a chip by its path, name, number or label, a line by its offset or its name.
    Chip { chip: String, line: String },
}

impl GpioSettings {
    /// The line with nothing but an edge.
    pub fn new(line: GpioLine, edge: Edge) -> GpioSettings {
        let name = line.level();
        let topic = format!("{PREFIX}/gpio/{name}");
        GpioSettings { name, line, edge, bias: None, active_low: false, debounce: Duration::ZERO, topic }
    }
}

impl GpioLine {
    /// A line of the character device; a number stands for the chip that has it.
    pub fn of_chip(chip: &str, line: &str) -> Result<GpioLine, String> {
        if chip.is_empty() || line.is_empty() {
            return Err("it is not CHIP:LINE".into());
        }
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(line)
            && let Err(e) = line.parse::<u32>()
        {
            return Err(format!("the line {line:?}: {e}"));
        }
        let chip = if is_number(chip) { format!("gpiochip{chip}") } else { chip.to_owned() };
        Ok(GpioLine::Chip { chip, line: line.to_owned() })
    }

    /// What it is called where nobody says otherwise: the number in sysfs, the name of the line, or chip and offset.
    pub fn level(&self) -> String {
        match self {
            GpioLine::Sysfs(number) => number.to_string(),
            GpioLine::Chip { chip, line } if line.parse::<u32>().is_ok() => {
                let chip = chip.rsplit('/').next().unwrap_or(chip);
                level(&format!("{chip}-{line}"))
            }
            GpioLine::Chip { line, .. } => level(line),
        }
    }
}

/// The name of a device at `path`: its last part.
pub fn name_of(path: &Path) -> String {
    level(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

/// `text` as one level of a topic.
pub fn level(text: &str) -> String {
    text.chars().map(|c| if line::is_forbidden(c) { '_' } else { c }).collect()
}

/// Whether `text` can be a topic, or the first levels of one, or the last ones.
pub fn is_topic(text: &str) -> bool {
    !text.starts_with('$') && text.len() <= 1000 && text.split('/').all(line::is_level)
}

/// Names that differ, each one level of a topic.
pub struct Names(Vec<String>);

impl Default for Names {
    /// `gateway` and `gpio` are taken: the heartbeat and the edges are published below them.
    fn default() -> Self {
        Names(vec!["gateway".into(), "gpio".into()])
    }
}

impl Names {
    /// `name`, with a number where it is taken.
    pub fn unique(&mut self, name: &str) -> String {
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let name = candidates.find(|candidate| !self.0.contains(candidate)).expect("numbers do not run out");
        self.0.push(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_levels_of_topics_and_differ() {
        let mut names = Names::default();
        let mut of = |path: &str| names.unique(&name_of(Path::new(path)));
        assert_eq!(of("/dev/ttyUSB0"), "ttyUSB0");
        assert_eq!(of("/dev/other/ttyUSB0"), "ttyUSB0-2");
        assert_eq!(of("/tmp/a+b#\u{fdd0}\n"), "a_b___");
        assert_eq!(of("/tmp/gateway"), "gateway-2");
        assert_eq!(of("/"), "_");
    }

    #[test]
    fn lines_of_chips_are_called_by_what_is_known_of_them() {
        let level = |chip: &str, line: &str| GpioLine::of_chip(chip, line).unwrap().level();
        assert_eq!(level("0", "17"), "gpiochip0-17");
        assert_eq!(level("/dev/gpiochip2", "3"), "gpiochip2-3");
        assert_eq!(level("INT34C6:00", "button/1"), "button_1");
        assert!(GpioLine::of_chip("", "1").is_err());
        assert!(GpioLine::of_chip("0", "99999999999").is_err());
    }
}
