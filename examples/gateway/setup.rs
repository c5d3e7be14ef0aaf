//! Everything that can be wrong at the start: what the command line names is opened here, before the first fiber.

use crate::args::Options;
use crate::broker::{self, Running};
use crate::device;
use crate::gpio;
use crate::report::Report;
use crate::settings::{DeviceSettings, GpioSettings, PREFIX, PortSettings};
use crate::signals::HANDLED;
use crate::simulator::Simulator;
use crate::web::Server;
use becket_fiber::serial::Port;
use becket_fiber::signal::Signals;
use becket_mosquitto::Store;
use std::rc::Rc;
use std::time::Duration;

/// How long udev may take to make the files of a GPIO line accessible.
const EXPORT: Duration = Duration::from_secs(5);

/// What is open when the gateway begins.
pub struct Setup {
    pub signals: Signals,
    pub broker: Running,
    pub devices: Vec<(DeviceSettings, Port)>,
    pub lines: Vec<(GpioSettings, gpio::Line)>,
    pub simulator: Option<Simulator>,
    pub store: Option<Store>,
    pub page: Option<Server>,
}

impl Setup {
    /// Opens everything. The error is one line that names the thing and the reason.
    pub fn new(options: &Options, report: &Rc<Report>) -> Result<Setup, String> {
        // First, so that threads and children see the signals blocked.
        let signals = Signals::new(HANDLED).map_err(|e| format!("signals: {e}"))?;

        let simulator = match options.devices[..] {
            [] => Some(Simulator::new(report.clone()).map_err(|e| format!("simulated device: {e}"))?),
            _ => None,
        };
        let simulated = simulator.as_ref().map(|simulator| DeviceSettings {
            name: "simulated".to_owned(),
            port: PortSettings::new(simulator.path(), 115_200),
            topic: format!("{PREFIX}/simulated"),
        });

        let mut devices = Vec::new();
        for settings in options.devices.iter().chain(&simulated) {
            devices.push((settings.clone(), device::open(&settings.port).map_err(|e| e.to_string())?));
        }
        let mut lines = Vec::new();
        for settings in &options.gpio {
            lines.push((settings.clone(), gpio::open(settings, EXPORT).map_err(|e| e.to_string())?));
        }
        let store = options.store.as_ref().map(Store::open).transpose().map_err(|e| e.to_string())?;
        // Somebody who tries it finds the page without having asked for it.
        let port = options.http.unwrap_or(simulator.is_some().then_some(0));
        let page = port.map(|port| Server::bind(port, report)).transpose()?;
        let broker = broker::start(&options.broker)?;
        Ok(Setup { signals, broker, devices, lines, simulator, store, page })
    }
}
