//! Everything that can be wrong at the start: what the command line names is opened here, before the first fiber.

use crate::args::{Options, SerialPort};
use crate::broker::{self, Running};
use crate::device::{Device, Reading};
use crate::gpio;
use crate::line;
use crate::report::Report;
use crate::signals::HANDLED;
use crate::simulator::Simulator;
use becket_fiber::gpio::sysfs::{Edge, Line};
use becket_fiber::serial::Port;
use becket_fiber::signal::Signals;
use becket_fiber::sync::{Receiver, Sender, channel};
use becket_mosquitto::Store;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

/// How many commands wait for a device.
const COMMANDS: usize = 16;

/// What is open when the gateway begins.
pub struct Setup {
    pub signals: Signals,
    pub broker: Running,
    /// Each with what it reads.
    pub devices: Vec<(Device, Port, Receiver<Reading>)>,
    /// The way to each device, by its name.
    pub commands: HashMap<Rc<str>, Sender<String>>,
    pub gpio: Vec<(Line, Edge)>,
    pub simulator: Option<Simulator>,
    pub store: Option<Store>,
}

impl Setup {
    /// Opens everything. The error is one line that names the thing and the reason.
    pub fn new(options: &Options, report: &Rc<Report>) -> Result<Setup, String> {
        // First, so that threads and children see the signals blocked.
        let signals = Signals::new(HANDLED).map_err(|e| format!("signals: {e}"))?;

        let simulator = match options.serial[..] {
            [] => Some(Simulator::new(report.clone()).map_err(|e| format!("simulated device: {e}"))?),
            _ => None,
        };
        let simulated = simulator.as_ref().map(|s| SerialPort { path: s.path(), baud: 115_200 });

        let mut names = Names::default();
        let mut devices = Vec::new();
        let mut commands = HashMap::new();
        for port in options.serial.iter().chain(&simulated) {
            let name = if simulator.is_some() { names.unique("simulated") } else { names.of_path(&port.path) };
            let (sender, receiver) = channel(COMMANDS);
            commands.insert(name.clone(), sender);
            let (to_publish, readings) = channel(options.queue);
            let device = Device::new(name, port, to_publish, receiver, report.clone());
            let open = device.open().map_err(|e| e.to_string())?;
            devices.push((device, open, readings));
        }

        let mut lines = Vec::new();
        for wanted in &options.gpio {
            lines.push((gpio::open(*wanted).map_err(|e| e.to_string())?, wanted.edge));
        }
        let store = options.store.as_ref().map(Store::open).transpose().map_err(|e| e.to_string())?;
        let broker = broker::start(&options.broker)?;
        Ok(Setup { signals, broker, devices, commands, gpio: lines, simulator, store })
    }
}

/// The names of devices, each one level of a topic, no two alike.
struct Names(Vec<Rc<str>>);

impl Default for Names {
    /// `gateway` and `gpio` are taken: the heartbeat and the edges are published below them.
    fn default() -> Self {
        Names(vec!["gateway".into(), "gpio".into()])
    }
}

impl Names {
    /// After the last part of the path.
    fn of_path(&mut self, path: &Path) -> Rc<str> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let level: String = name.chars().map(|c| if line::is_forbidden(c) { '_' } else { c }).collect();
        self.unique(&level)
    }

    fn unique(&mut self, name: &str) -> Rc<str> {
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        let free = |candidate: &String| !self.0.iter().any(|taken| **taken == **candidate);
        let name = std::iter::once(name.to_owned()).chain(numbered).find(free).expect("numbers do not run out");
        let name = Rc::<str>::from(name);
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
        let mut of = |path: &str| names.of_path(Path::new(path)).to_string();
        assert_eq!(of("/dev/ttyUSB0"), "ttyUSB0");
        assert_eq!(of("/dev/other/ttyUSB0"), "ttyUSB0-2");
        assert_eq!(of("/tmp/a+b#\u{fdd0}\n"), "a_b___");
        assert_eq!(of("/tmp/gateway"), "gateway-2");
        assert_eq!(of("/"), "_");
    }
}
