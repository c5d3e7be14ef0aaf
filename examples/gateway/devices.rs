//! The devices and GPIO lines that are served at present: each can come and go while the gateway runs.

use crate::device::Device;
use crate::gpio;
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::patience;
use crate::report::Report;
use crate::settings::{DeviceSettings, GpioSettings};
use crate::uplink::{self, UnderWay};
use becket_fiber::serial::Port;
use becket_fiber::sync::{Sender, channel};
use becket_fiber::{JoinHandle, is_cancelled, spawn_named};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Everything that is read, with the fibers that do it.
pub struct Devices {
    mqtt: Rc<Mqtt>,
    report: Rc<Report>,
    /// How many readings of each device wait for the broker.
    queue: usize,
    /// Where readings wait for their acknowledgement; `None` once no more are to come.
    under_way: RefCell<Option<Sender<UnderWay>>>,
    served: RefCell<Vec<Served>>,
    lines: RefCell<Vec<ServedLine>>,
    /// Publishers of devices that are gone: each ends when it has emptied its queue.
    leaving: RefCell<Vec<JoinHandle<()>>>,
}

/// A device, and its two fibers.
struct Served {
    settings: DeviceSettings,
    device: Rc<Device>,
    topic: Rc<RefCell<String>>,
    reader: JoinHandle<()>,
    publisher: JoinHandle<()>,
}

struct ServedLine {
    settings: GpioSettings,
    watcher: JoinHandle<()>,
}

impl Devices {
    pub fn new(mqtt: &Rc<Mqtt>, report: &Rc<Report>, queue: usize, under_way: Sender<UnderWay>) -> Devices {
        Devices {
            mqtt: mqtt.clone(),
            report: report.clone(),
            queue,
            under_way: RefCell::new(Some(under_way)),
            served: RefCell::default(),
            lines: RefCell::default(),
            leaving: RefCell::default(),
        }
    }

    /// Begins to serve a device, which is opened by its own fiber where it is not open yet: that it cannot be is logged,
    /// and tried again.
    pub fn add(&self, settings: DeviceSettings, port: Option<Port>) -> io::Result<()> {
        let Some(under_way) = self.under_way.borrow().clone() else { return Ok(()) };
        let name = Rc::<str>::from(&*settings.name);
        let commands = self.mqtt.commands_for(&name, &settings.topic)?;
        let (to_publish, readings) = channel(self.queue);
        let device = Rc::new(Device::new(&name, settings.port.clone(), to_publish, commands, self.report.clone()));
        let topic = Rc::new(RefCell::new(settings.topic.clone()));
        let (m, n, t) = (self.mqtt.clone(), name.clone(), topic.clone());
        let publisher = spawn(format!("{name} readings"), move || uplink::publish(&n, &t, &readings, &m, &under_way))?;
        let reader = read(&device, port)?;
        self.served.borrow_mut().push(Served { settings, device, topic, reader, publisher });
        Ok(())
    }

    /// Serves the device of this name no more. What it has said goes out, as long as that takes.
    pub fn remove(&self, name: &str) {
        let at = self.served.borrow().iter().position(|served| served.settings.name == name);
        let Some(served) = at.map(|at| self.served.borrow_mut().remove(at)) else { return };
        self.mqtt.end_commands(&served.settings.topic);
        end(served.reader);
        let mut leaving = self.leaving.borrow_mut();
        leaving.retain(|publisher| !publisher.is_finished());
        // With the device goes the other end of the publisher's queue.
        leaving.push(served.publisher);
    }

    /// Begins to listen to a line, which is opened by its own fiber where it is not open yet.
    pub fn add_line(&self, settings: GpioSettings, line: Option<gpio::Line>) -> io::Result<()> {
        let name = format!("gpio {}", settings.name);
        let (n, m, wanted, report) = (name.clone(), self.mqtt.clone(), settings.clone(), self.report.clone());
        let watcher = spawn(name, move || {
            let open = || patience::open(&n, || gpio::open(&wanted, Duration::ZERO));
            gpio::run(&line.map_or_else(open, Ok)?, &wanted, &m, &report.records)
        })?;
        self.lines.borrow_mut().push(ServedLine { settings, watcher });
        Ok(())
    }

    /// Listens no more to the line of this name.
    pub fn remove_line(&self, name: &str) {
        let at = self.lines.borrow().iter().position(|line| line.settings.name == name);
        if let Some(line) = at.map(|at| self.lines.borrow_mut().remove(at)) {
            end(line.watcher);
        }
    }

    /// Reads nothing any more: to be called once, at the end. Returns the publishers, each of which ends when it has
    /// emptied its queue.
    pub fn end(&self) -> Vec<JoinHandle<()>> {
        self.under_way.take();
        let lines = self.lines.take();
        let served = self.served.take();
        lines.iter().for_each(|line| line.watcher.cancel());
        served.iter().for_each(|served| served.reader.cancel());
        lines.into_iter().for_each(|line| end(line.watcher));
        let mut publishers = self.leaving.take();
        for served in served {
            end(served.reader);
            publishers.push(served.publisher);
        }
        publishers
    }
}

/// Starts the fiber that reads a device.
fn read(device: &Rc<Device>, port: Option<Port>) -> io::Result<JoinHandle<()>> {
    let reader = device.clone();
    spawn(device.name.to_string(), move || reader.run(port))
}

/// Starts a fiber that runs until it is cancelled, and says so where it fails before.
pub fn spawn(name: String, f: impl FnOnce() -> io::Result<()> + 'static) -> io::Result<JoinHandle<()>> {
    let fiber = spawn_named(name.clone(), move || match f() {
        Err(e) if !is_cancelled(&e) => log!(Error, of = name, error = e; "{name}: {e}"),
        _ => {}
    })?;
    Ok(fiber)
}

/// Cancels a fiber and waits for its end.
pub fn end(fiber: JoinHandle<()>) {
    fiber.cancel();
    // Cancelled, or failed before and said so. A panic has been told by its hook.
    let _ = fiber.join();
}
