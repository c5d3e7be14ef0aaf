//! The devices and GPIO lines that are served at present: each can come and go while the gateway runs.

use crate::device::{self, Device};
use crate::fields::Outlet;
use crate::gpio;
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::patience;
use crate::records::LineRecord;
use crate::report::Report;
use crate::settings::{DeviceSettings, GpioSettings};
use crate::uplink::{self, UnderWay};
use becket_fiber::serial::Port;
use becket_fiber::sync::{Receiver, Sender, channel};
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
    leaving: RefCell<Vec<Leaving>>,
}

/// What is left of a device: the fiber that lets out what it has said.
struct Leaving {
    name: String,
    publisher: JoinHandle<()>,
    ended: Receiver<()>,
}

/// A device, and its two fibers.
struct Served {
    settings: DeviceSettings,
    device: Rc<Device>,
    outlet: Rc<RefCell<Outlet>>,
    reader: JoinHandle<()>,
    publisher: JoinHandle<()>,
    /// Whose other end the publisher has.
    ended: Receiver<()>,
}

struct ServedLine {
    settings: GpioSettings,
    watcher: JoinHandle<()>,
    /// Also where the line has failed.
    _record: Rc<LineRecord>,
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
        let outlet = Rc::new(RefCell::new(outlet(&settings)));
        let (m, n, o) = (self.mqtt.clone(), name.clone(), outlet.clone());
        let before = self.last_of(&name);
        let (end, ended) = channel(1);
        let publisher = spawn(format!("{name} readings"), move || {
            let _end = end;
            // What another one of this name has said, perhaps on the same topics, is older.
            before.map_or(Ok(None), |before| before.recv())?;
            uplink::publish(&n, &o, &readings, &m, &under_way)
        })?;
        let reader = read(&device, port)?;
        self.served.borrow_mut().push(Served { settings, device, outlet, reader, publisher, ended });
        Ok(())
    }

    /// What tells of the end of the last publisher of this name that is leaving.
    fn last_of(&self, name: &str) -> Option<Receiver<()>> {
        let leaving = self.leaving.borrow();
        leaving.iter().rev().find(|leaving| leaving.name == name).map(|leaving| leaving.ended.clone())
    }

    /// Serves the device of this name no more. What it has said goes out, as long as that takes.
    pub fn remove(&self, name: &str) {
        let at = self.served.borrow().iter().position(|served| served.settings.name == name);
        let Some(served) = at.map(|at| self.served.borrow_mut().remove(at)) else { return };
        self.mqtt.end_commands(name, &served.settings.topic);
        end(served.reader);
        served.device.leave();
        let mut leaving = self.leaving.borrow_mut();
        leaving.retain(|leaving| !leaving.publisher.is_finished());
        // With the device goes the other end of the publisher's queue.
        let Served { settings, publisher, ended, .. } = served;
        leaving.push(Leaving { name: settings.name, publisher, ended });
    }

    /// Begins to listen to a line, which is opened by its own fiber where it is not open yet.
    pub fn add_line(&self, settings: GpioSettings, line: Option<gpio::Line>) -> io::Result<()> {
        let name = format!("gpio {}", settings.name);
        let record = self.report.records.line(&*settings.name);
        let (n, m, wanted, r) = (name.clone(), self.mqtt.clone(), settings.clone(), record.clone());
        let watcher = spawn(name, move || {
            let open = || gpio::open(&wanted, Duration::ZERO).inspect_err(|e| r.link.lost(e));
            let line = line.map_or_else(|| patience::open(&n, open), Ok)?;
            r.link.opened();
            gpio::run(&line, &wanted, &m, &r).inspect_err(|e| r.link.lost(e))
        })?;
        self.lines.borrow_mut().push(ServedLine { settings, watcher, _record: record });
        Ok(())
    }

    /// Listens no more to the line of this name.
    pub fn remove_line(&self, name: &str) {
        let at = self.lines.borrow().iter().position(|line| line.settings.name == name);
        if let Some(line) = at.map(|at| self.lines.borrow_mut().remove(at)) {
            end(line.watcher);
        }
    }

    /// Serves these, and nothing else, from now on. What stays as it is goes on undisturbed. What fails is logged.
    pub fn set(&self, devices: &[DeviceSettings], lines: &[GpioSettings]) {
        let present: Vec<_> = self.served.borrow().iter().map(|served| served.settings.clone()).collect();
        // Another path is another device.
        let change = Change::new(&present, devices, |d| &d.name, |one, other| one.port.path == other.port.path);
        let present: Vec<_> = self.lines.borrow().iter().map(|line| line.settings.clone()).collect();
        let line_change = Change::new(&present, lines, |line| &line.name, |one, other| one == other);
        let told = |name: &str, what: &str, done: io::Result<()>| match done {
            Ok(()) => log!(Info, about = name; "{name}: {what}"),
            Err(e) => log!(Error, about = name, error = e; "{name}: {e}"),
        };
        for name in change.removed {
            self.remove(&name);
            told(&name, "removed", Ok(()));
        }
        for name in line_change.removed {
            self.remove_line(&name);
            told(&format!("gpio {name}"), "removed", Ok(()));
        }
        change.changed.into_iter().for_each(|device| told(&device.name, "changed", self.change(device)));
        change
            .added
            .into_iter()
            .for_each(|device| told(&device.name, "added", self.add(device.clone(), device::open(&device.port).ok())));
        for line in line_change.added {
            told(
                &format!("gpio {}", line.name),
                "added",
                self.add_line(line.clone(), gpio::open(line, Duration::ZERO).ok()),
            );
        }
    }

    /// Serves the device of this name in another way from now on: what it has said goes out all the same.
    fn change(&self, settings: &DeviceSettings) -> io::Result<()> {
        let at = self.served.borrow().iter().position(|served| served.settings.name == settings.name);
        let Some(mut served) = at.map(|at| self.served.borrow_mut().remove(at)) else { return Ok(()) };
        let before = std::mem::replace(&mut served.settings, settings.clone());
        if (&before.topic, &before.fields) != (&settings.topic, &settings.fields) {
            served.outlet.replace(outlet(settings));
        }
        let moved = match before.topic == settings.topic {
            true => Ok(()),
            false => self.mqtt.move_commands(&settings.name, &before.topic, &settings.topic),
        };
        let set = match before.port == settings.port {
            true => Ok(()),
            false => served.device.set_port(settings.port.clone()),
        };
        self.served.borrow_mut().push(served);
        moved.and(set)
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
        let mut publishers: Vec<_> = self.leaving.take().into_iter().map(|leaving| leaving.publisher).collect();
        for served in served {
            end(served.reader);
            publishers.push(served.publisher);
        }
        publishers
    }
}

/// A change on its way from what is served to what is wanted: each thing by its name.
struct Change<'a, T> {
    removed: Vec<String>,
    changed: Vec<&'a T>,
    added: Vec<&'a T>,
}

impl<'a, T: PartialEq> Change<'a, T> {
    /// Things of one name that are not `alike` enough are removed and added.
    fn new(present: &[T], wanted: &'a [T], name: fn(&T) -> &String, alike: fn(&T, &T) -> bool) -> Change<'a, T> {
        let find = |list: &'a [T], of: &T| list.iter().find(|thing| name(thing) == name(of));
        let goes = |thing: &&T| find(wanted, thing).is_none_or(|other| !alike(thing, other));
        let removed: Vec<_> = present.iter().filter(goes).map(|thing| name(thing).clone()).collect();
        let (mut changed, mut added) = (Vec::new(), Vec::new());
        for thing in wanted {
            match present.iter().find(|other| name(other) == name(thing)) {
                Some(other) if !removed.contains(name(thing)) => changed.extend((other != thing).then_some(thing)),
                _ => added.push(thing),
            }
        }
        Change { removed, changed, added }
    }
}

fn outlet(settings: &DeviceSettings) -> Outlet {
    Outlet::new(settings.topic.clone(), settings.fields.as_deref())
}

/// Starts the fiber that reads a device.
fn read(device: &Rc<Device>, port: Option<Port>) -> io::Result<JoinHandle<()>> {
    let reader = device.clone();
    spawn(device.name.to_string(), move || reader.run(port))
}

/// Starts a fiber that runs until it is cancelled, and says so where it fails before.
pub fn spawn(name: String, f: impl FnOnce() -> io::Result<()> + 'static) -> io::Result<JoinHandle<()>> {
    let fiber = spawn_named(name.clone(), move || match f() {
        Err(e) if !is_cancelled(&e) => log!(Error, about = name, error = e; "{name}: {e}"),
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
