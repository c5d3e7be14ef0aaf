//! A sensor that is not there: the far end of a pseudoterminal, played by a fiber.

use crate::line::Lines;
use crate::report::{Report, count};
use becket_fiber::{Io, interval, scope};
use becket_sys::pty::Controller;
use becket_sys::tty::Tty;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How often it reports.
const PERIOD: Duration = Duration::from_millis(200);

/// A simulated device.
pub struct Simulator {
    controller: Io<Controller>,
    /// Kept open, so that the line lives also while nobody listens.
    _terminal: Tty,
    path: PathBuf,
    report: Rc<Report>,
}

impl Simulator {
    pub fn new(report: Rc<Report>) -> io::Result<Simulator> {
        let controller = Controller::open()?;
        let path = controller.terminal_path()?;
        let terminal = controller.open_terminal()?;
        Ok(Simulator { controller: Io::new(controller)?, _terminal: terminal, path, report })
    }

    /// The path of the serial device.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Reports and answers until it is cancelled.
    pub fn run(&self) -> io::Result<()> {
        scope(|s| {
            s.spawn_or_cancel(|| self.answer())?;
            self.report()
        })
    }

    /// A line five times a second, of values that wander a little.
    fn report(&self) -> io::Result<()> {
        let mut ticks = interval(PERIOD);
        for n in 0_u32.. {
            let wave = f64::from(n % 100) / 100.0 * std::f64::consts::TAU;
            let (temperature, humidity) = (21.53 + wave.sin(), 40.0 + (5.0 * wave.sin()).round());
            ticks.tick()?;
            (&self.controller).write_all(format!("temp={temperature:.2} hum={humidity}\n").as_bytes())?;
        }
        Ok(())
    }

    /// `ok` to each line.
    fn answer(&self) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut bytes = [0; 256];
        loop {
            let n = (&self.controller).read(&mut bytes)?;
            let mut answers = String::new();
            lines.feed(&bytes[..n], |_| {
                count(&self.report.lines);
                answers.push_str("ok\n");
            });
            (&self.controller).write_all(answers.as_bytes())?;
        }
    }
}
