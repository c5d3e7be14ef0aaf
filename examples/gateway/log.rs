//! Lines on standard error, which carries no more than these: what happened, to what.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// Prints a line on standard error.
macro_rules! log {
    ($($message:tt)*) => { $crate::log::print(format_args!($($message)*)) };
}

pub(crate) use log;

/// A line that cannot be printed is no reason to stop.
pub fn print(message: fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_all(format!("gateway: {message}\n").as_bytes());
}

/// How many lines a second [`Limited`] prints.
const MOST: u32 = 10;

/// A log of what others may cause as often as they like, such as a device that sends nonsense: it prints ten lines a
/// second at most, and says how many it has left out.
#[derive(Debug)]
pub struct Limited {
    /// Of what, as its lines begin.
    name: String,
    /// Where the present second began.
    since: Cell<Instant>,
    printed: Cell<u32>,
    left_out: Cell<u64>,
}

impl Limited {
    pub fn new(name: impl Into<String>) -> Limited {
        Limited { name: name.into(), since: Cell::new(Instant::now()), printed: Cell::new(0), left_out: Cell::new(0) }
    }

    pub fn log(&self, message: fmt::Arguments<'_>) {
        if self.since.get().elapsed() >= Duration::from_secs(1) {
            self.say_left_out();
            self.since.set(Instant::now());
            self.printed.set(0);
        }
        if self.printed.get() < MOST {
            self.printed.set(self.printed.get() + 1);
            log!("{}: {message}", self.name);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    fn say_left_out(&self) {
        match self.left_out.take() {
            0 => {}
            n => log!("{}: {n} lines left out here", self.name),
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.say_left_out();
    }
}
