//! Everything that can be wrong at the start: what the command line names is opened here, before the first fiber.

use crate::args::Options;
use crate::broker::{self, Running};
use crate::config::{self, Config};
use crate::device;
use crate::gpio;
use crate::report::Report;
use crate::settings::{BrokerSettings, DeviceSettings, GpioSettings, PREFIX, PortSettings};
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
    pub settings: BrokerSettings,
    pub broker: Running,
    /// Each with its port, where that could be opened.
    pub devices: Vec<(DeviceSettings, Option<Port>)>,
    pub lines: Vec<(GpioSettings, Option<gpio::Line>)>,
    pub queue: usize,
    pub simulator: Option<Simulator>,
    pub store: Option<Store>,
    pub page: Option<Server>,
    /// What the file says, where there is one.
    pub config: Option<Config>,
}

impl Setup {
    /// Opens everything. The error is one line that names the thing and the reason.
    pub fn new(options: &Options, report: &Rc<Report>) -> Result<Setup, String> {
        // First, so that threads and children see the signals blocked.
        let signals = Signals::new(HANDLED).map_err(|e| format!("signals: {e}"))?;

        let config = options.config.as_ref().map(|file| config::read(file).config).transpose()?;
        let simulator = match (&config, &options.devices[..]) {
            (None, []) => Some(Simulator::new(report.clone()).map_err(|e| format!("simulated device: {e}"))?),
            _ => None,
        };
        let simulated = simulator.as_ref().map(|simulator| DeviceSettings {
            name: "simulated".to_owned(),
            port: PortSettings::new(simulator.path(), 115_200),
            topic: format!("{PREFIX}/simulated"),
            fields: None,
        });

        let (mut devices, mut lines) = (Vec::new(), Vec::new());
        let (mut store, mut broker) = (&options.store, &options.broker);
        let (mut queue, mut http) = (options.queue, options.http);
        if let Some(config) = &config {
            // One that is not there yet does not keep the others from their work: its fiber tries again.
            devices.extend(config.devices.iter().map(|s| (s.clone(), device::open(&s.port).ok())));
            lines.extend(config.gpio.iter().map(|s| (s.clone(), gpio::open(s, EXPORT).ok())));
            (store, broker) = (&config.store, &config.broker);
            (queue, http) = (config.queue, Some(config.http));
        }
        for settings in options.devices.iter().chain(&simulated) {
            devices.push((settings.clone(), Some(device::open(&settings.port).map_err(|e| e.to_string())?)));
        }
        for settings in &options.gpio {
            lines.push((settings.clone(), Some(gpio::open(settings, EXPORT).map_err(|e| e.to_string())?)));
        }
        let store = store.as_ref().map(Store::open).transpose().map_err(|e| e.to_string())?;
        // Somebody who tries it finds the page without having asked for it.
        let port = http.unwrap_or(simulator.is_some().then_some(0));
        let page = port.map(|port| Server::bind(port, report)).transpose()?;
        let (settings, broker) = (broker.clone(), broker::start(&broker.place)?);
        Ok(Setup { signals, settings, broker, devices, lines, queue, simulator, store, page, config })
    }
}
