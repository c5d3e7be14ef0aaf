//! The configuration file while the gateway runs: it is read again when it changes, and what differs is changed.

use crate::config::{self, Config};
use crate::devices::Devices;
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::notify::Notify;
use crate::settings::{Broker, BrokerSettings};
use crate::watch::{Watch, Why};
use becket_fiber::is_cancelled;
use becket_fiber::sync;
use becket_mosquitto::Address;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

/// The file, and what is run by it.
pub struct Reload {
    path: PathBuf,
    /// What is running; and what was read last, which may ask for what cannot be.
    running: Config,
    last: Config,
    /// What was wrong with the file when it was read last.
    refused: Option<String>,
    /// The address of the broker at present.
    address: Address,
    devices: Rc<Devices>,
    mqtt: Rc<Mqtt>,
}

impl Reload {
    /// For a gateway that runs by what was read from the file at `path`, with its broker at `address`.
    pub fn new(path: PathBuf, running: Config, address: Address, devices: &Rc<Devices>, mqtt: &Rc<Mqtt>) -> Reload {
        let last = running.clone();
        Reload { path, running, last, refused: None, address, devices: devices.clone(), mqtt: mqtt.clone() }
    }

    /// Follows the file until this fiber is cancelled, and reads it when it is asked to.
    pub fn run(mut self, asked: &sync::Notify, notify: &Notify) -> io::Result<()> {
        let mut files = vec![self.path.clone()];
        let mut why = Why::Changed;
        loop {
            // First the watch, then the file: what changes in between is seen twice, but not missed.
            let watch = Watch::new(&files);
            let read = config::read(&self.path);
            let is_complete = watch.as_ref().is_ok_and(|watch| watch.is_for(&read.files));
            files = read.files;
            if watch.is_ok() && !is_complete {
                continue;
            }
            if why == Why::Asked || read.config.as_ref() != Ok(&self.last) {
                notify.reloading(|| self.take(read.config, why));
            } else {
                self.take(read.config, why);
            }
            why = match watch {
                Ok(watch) => watch.wait(asked)?,
                Err(e) => {
                    log!(Error, error = e; "{}: not watched: {e}; it is read again on SIGHUP", self.path.display());
                    asked.wait()?;
                    Why::Asked
                }
            };
        }
    }

    /// Has it run by what was read, where that can be.
    fn take(&mut self, read: Result<Config, String>, why: Why) {
        let path = self.path.display();
        match read {
            Err(e) => {
                if why == Why::Asked || self.refused.as_ref() != Some(&e) {
                    log!(Error, error = e; "{e}; the settings stay as they are");
                }
                self.refused = Some(e);
            }
            Ok(config) => {
                let is_mended = self.refused.take().is_some();
                if config != self.last {
                    log!("{path}: taken over");
                    self.apply(config);
                } else if is_mended || why == Why::Asked {
                    log!("{path}: it asks for nothing new");
                }
            }
        }
    }

    fn apply(&mut self, config: Config) {
        let (running, path) = (&mut self.running, self.path.display());
        let stays =
            |what: &str| log!(Warning; "{path}: {what} cannot change while the gateway runs: it stays as it is");
        if config.store != running.store && config.store != self.last.store {
            stays("`store`");
        }
        if config.http != running.http && config.http != self.last.http {
            stays("`http`");
        }
        if config.queue != running.queue && config.queue != self.last.queue {
            stays("`queue`");
        }
        let (broker, address) = match (&config.broker.place, &running.broker.place) {
            (Broker::At(address), Broker::At(_)) => (config.broker.clone(), address.clone()),
            (wanted, present) if wanted == present => (config.broker.clone(), self.address.clone()),
            (wanted, _) => {
                if *wanted != self.last.broker.place {
                    stays("that the broker is, or is not, one of the gateway's own");
                }
                // What the other one wants to know of us, this one does not.
                let BrokerSettings { prefix, qos, .. } = config.broker.clone();
                (BrokerSettings { prefix, qos, ..running.broker.clone() }, self.address.clone())
            }
        };
        if broker != running.broker {
            if address != self.address {
                log!("broker at {address} from now on");
            }
            match self.mqtt.set_broker(broker.clone(), address.clone()) {
                Ok(()) => (running.broker, self.address) = (broker, address),
                Err(e) if is_cancelled(&e) => return,
                Err(e) => log!(Error, error = e; "{address}: {e}"),
            }
        }
        self.devices.set(&config.devices, &config.gpio);
        self.last = config;
    }
}
