//! Serial devices: their lines become readings, commands are written to them, and what hangs up is opened again.

use crate::line::{self, Lines};
use crate::log::{Level, Limited, log};
use crate::patience;
use crate::records::DeviceRecord;
use crate::report::{Pending, Report, count};
use crate::settings::PortSettings;
use becket_fiber::serial::Port;
use becket_fiber::sync::{Receiver, Sender, TrySendError};
use becket_fiber::{Builder, is_cancelled, scope, shield, sleep, timeout, yield_now};
use becket_sys::SetupError;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// How long a device may take to begin to accept a command.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what it has accepted may take to go out before the port is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A line of a device, on its way to the broker.
#[derive(Debug)]
pub struct Reading {
    /// With one field at least; taken apart no sooner than it is published, since it is smaller so.
    pub line: String,
    pub at: Instant,
    /// What becomes of it is counted by this.
    pub pending: Pending,
}

/// A device, and what it needs to be read and commanded.
pub struct Device {
    pub name: Rc<str>,
    port: RefCell<PortSettings>,
    /// What is open at present.
    open: RefCell<Weak<Port>>,
    readings: Sender<Reading>,
    commands: Receiver<String>,
    report: Rc<Report>,
    record: Rc<DeviceRecord>,
    chatter: Limited,
}

impl Device {
    pub fn new(
        name: &Rc<str>,
        port: PortSettings,
        readings: Sender<Reading>,
        commands: Receiver<String>,
        report: Rc<Report>,
    ) -> Device {
        let chatter = Limited::of_device(&**name);
        let record = report.records.device(name.clone(), &port.path);
        let (name, port, open) = (name.clone(), RefCell::new(port), RefCell::default());
        Device { name, port, open, readings, commands, report, record, chatter }
    }

    /// Has it be opened in another way from the next time on. What is open is set so and goes on: to open it anew would
    /// lose what is in between, and take the rest of a line for one.
    pub fn set_port(&self, port: PortSettings) -> io::Result<()> {
        let PortSettings { line, exclusive, .. } = port;
        self.port.replace(port);
        let open = self.open.borrow().upgrade();
        open.map_or(Ok(()), |open| open.set_settings(&line).and_then(|()| open.set_exclusive(exclusive)))
    }

    /// Has it be shown no more: it is removed.
    pub fn leave(&self) {
        self.record.is_removed.set(true);
    }

    /// Serves the device, which is opened here where it is not open yet, and opens it again whenever it hangs up, until
    /// this fiber is cancelled.
    pub fn run(&self, port: Option<Port>) -> io::Result<()> {
        let mut port = port.map_or_else(|| patience::open(&self.name, || self.open()), Ok)?;
        loop {
            self.record.link.opened();
            let open = Rc::new(port);
            self.open.replace(Rc::downgrade(&open));
            let served = self.serve(&open);
            close(&open);
            drop(open);
            let why = match served {
                Err(e) if is_cancelled(&e) => return Err(e),
                Ok(()) => "hung up".to_owned(),
                Err(e) => e.to_string(),
            };
            log!(Warning, device = self.name, error = why; "{}: {why}", self.name);
            self.record.link.lost(why);
            port = patience::open_again(&self.name, || self.open())?;
        }
    }

    fn open(&self) -> Result<Port, SetupError> {
        open(&self.port.borrow()).inspect_err(|e| self.record.link.lost(e))
    }

    /// Reads until the device hangs up; another fiber writes meanwhile.
    fn serve(&self, port: &Port) -> io::Result<()> {
        scope(|s| {
            let name = Builder::new().name(format!("{} commands", self.name));
            let writer = s.spawn_with(name, || self.write_commands(port))?;
            let read = self.read_lines(port);
            writer.cancel();
            read
        })
    }

    fn read_lines(&self, mut port: &Port) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut bytes = [0; 1024];
        loop {
            let n = port.read(&mut bytes)?;
            if n == 0 {
                return Ok(());
            }
            lines.feed(&bytes[..n], |line| self.take_in(line));
            if n == bytes.len() {
                // A device that says much gives the others their turn.
                yield_now();
            }
        }
    }

    fn take_in(&self, line: &str) {
        count(&self.report.lines);
        if line::fields(line).next().is_none() {
            return self.chatter.log_at(Level::Info, format_args!("{line}"));
        }
        self.record.remember(line);
        let reading =
            Reading { line: line.to_owned(), at: Instant::now(), pending: Pending::new(&self.report, &self.record) };
        if let Err(TrySendError::Full(_)) = self.readings.try_send(reading) {
            self.chatter.log(format_args!("a reading dropped, the queue is full"));
        }
    }

    fn write_commands(&self, mut port: &Port) -> io::Result<()> {
        while let Some(command) = self.commands.recv()? {
            let text = format!("{command}\n");
            // One that has begun goes on for as long as it takes: the next one would be taken for the rest of a piece.
            let begun = timeout(WRITE_TIMEOUT, || port.write(text.as_bytes()));
            match begun.and_then(|n| port.write_all(&text.as_bytes()[n..])) {
                Ok(()) => [&self.report.commands, &self.record.commands].into_iter().for_each(count),
                Err(e) => {
                    self.chatter.log(format_args!("the command {command:?} is lost: {e}"));
                    // The next ones wait until the device is open again.
                    if e.kind() != io::ErrorKind::TimedOut {
                        return Err(e);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Opens the port as it is to be.
pub fn open(settings: &PortSettings) -> Result<Port, SetupError> {
    let PortSettings { path, line, exclusive } = settings;
    let port = Port::builder(path, line.baud).settings(*line).exclusive(*exclusive).open()?;
    port.try_into().map_err(|e| SetupError::new("fcntl", path.display().to_string(), e))
}

/// Before a port is closed. Closing waits for what was not sent yet, up to half a minute, and all else with it: so wait
/// here, where others go on, and not as long.
fn close(port: &Port) {
    let sent = || -> io::Result<()> {
        while port.output_queued()? > 0 {
            sleep(Duration::from_millis(10))?;
        }
        Ok(())
    };
    // Both fail where the device is gone.
    let _ = shield(|| timeout(CLOSE_TIMEOUT, sent));
    let _ = port.discard_output();
}
