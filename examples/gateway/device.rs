//! Serial devices: their lines become readings, commands are written to them, and what hangs up is opened again.

use crate::args::SerialPort;
use crate::line::{self, Lines};
use crate::log::log;
use crate::report::{Pending, Report, count};
use becket_fiber::serial::Port;
use becket_fiber::sync::{Receiver, Sender, TrySendError};
use becket_fiber::{is_cancelled, scope, sleep, timeout};
use becket_sys::SetupError;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How long to wait before a device is opened again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a device may take to accept a command.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A line of a device, on its way to the broker.
#[derive(Debug)]
pub struct Reading {
    pub device: Rc<str>,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// What becomes of it is counted by this.
    pub pending: Pending,
}

/// A device, and what it needs to be read and commanded.
pub struct Device {
    pub name: Rc<str>,
    path: PathBuf,
    baud: u32,
    readings: Sender<Reading>,
    commands: Receiver<String>,
    report: Rc<Report>,
}

impl Device {
    pub fn new(
        name: Rc<str>,
        port: &SerialPort,
        readings: Sender<Reading>,
        commands: Receiver<String>,
        report: Rc<Report>,
    ) -> Device {
        Device { name, path: port.path.clone(), baud: port.baud, readings, commands, report }
    }

    pub fn open(&self) -> Result<Port, SetupError> {
        Port::open(&self.path, self.baud)
    }

    /// Serves the open device, and opens it again whenever it hangs up, until this fiber is cancelled.
    pub fn run(&self, mut port: Port) -> io::Result<()> {
        loop {
            match self.serve(&port) {
                Err(e) if is_cancelled(&e) => return Err(e),
                Ok(()) => log!("{}: hung up", self.name),
                Err(e) => log!("{}: {e}", self.name),
            }
            port = self.reopen()?;
            log!("{}: open again", self.name);
        }
    }

    /// Reads until the device hangs up; another fiber writes meanwhile.
    fn serve(&self, port: &Port) -> io::Result<()> {
        scope(|s| {
            let writer = s.spawn(|| self.write_commands(port))?;
            let read = self.read_lines(port);
            writer.cancel();
            read
        })
    }

    fn read_lines(&self, mut port: &Port) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut bytes = [0; 1024];
        loop {
            match port.read(&mut bytes)? {
                0 => return Ok(()),
                n => lines.feed(&bytes[..n], |line| self.take_in(line)),
            }
        }
    }

    fn take_in(&self, line: &str) {
        count(&self.report.lines);
        let fields: Vec<_> = line::fields(line).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if fields.is_empty() {
            return log!("{}: {}", self.name, line.escape_debug());
        }
        let reading = Reading { device: self.name.clone(), fields, pending: Pending::new(&self.report) };
        if let Err(TrySendError::Full(_)) = self.readings.try_send(reading) {
            log!("{}: a reading dropped, the queue is full", self.name);
        }
    }

    fn write_commands(&self, mut port: &Port) -> io::Result<()> {
        while let Some(command) = self.commands.recv()? {
            match timeout(WRITE_TIMEOUT, || port.write_all(format!("{command}\n").as_bytes())) {
                Ok(()) => count(&self.report.commands),
                Err(e) => {
                    log!("{}: the command {command:?} is lost: {e}", self.name);
                    // The next ones wait until the device is open again.
                    if e.kind() != io::ErrorKind::TimedOut {
                        return Err(e);
                    }
                }
            }
        }
        Ok(())
    }

    fn reopen(&self) -> io::Result<Port> {
        let (mut wait, most) = BACKOFF;
        loop {
            sleep(wait)?;
            match self.open() {
                Ok(port) => return Ok(port),
                // Said once, and not for each of the attempts that follow.
                Err(e) if wait == BACKOFF.0 => log!("{}: {e}; trying again", self.name),
                Err(_) => {}
            }
            wait = (2 * wait).min(most);
        }
    }
}
