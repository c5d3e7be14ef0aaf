//! What systemd wants to know of a service, told by the loop's [`Notifier`]. Nothing here is needed to run: where nobody
//! asked, every message goes nowhere; where nobody listens, too, after a line that says so.

use crate::log::log;
use becket_fiber::interval;
use becket_loop::notify::{Notifier, watchdog_period};
use std::cell::Cell;
use std::io;
use std::time::Duration;

/// The variables by which systemd asks for it. They are for this process, not for its children.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The way to the manager, where there is one.
pub struct Notify {
    notifier: Option<Notifier>,
    watchdog: Option<Duration>,
    /// Whether it was told that the last message did not arrive.
    fails: Cell<bool>,
}

impl Notify {
    /// As the environment says.
    pub fn from_env() -> Notify {
        let wrong = |e: &io::Error| log!(Warning, error = e; "the service manager cannot be told: {e}");
        let notifier = Notifier::from_env().inspect_err(wrong).unwrap_or_default();
        let watchdog = watchdog_period().inspect_err(|e| log!(Warning, error = e; "no watchdog: {e}"));
        Notify { notifier, watchdog: watchdog.unwrap_or_default(), fails: Cell::new(false) }
    }

    /// The start is over.
    pub fn ready(&self, status: &str) {
        self.tell(|manager| manager.ready().and_then(|()| manager.status(status)));
    }

    /// One line for people.
    pub fn status(&self, status: &str) {
        self.tell(|manager| manager.status(status));
    }

    /// Says that settings are read again while `f` does so.
    pub fn reloading<T>(&self, f: impl FnOnce() -> T) -> T {
        self.tell(Notifier::reloading);
        let done = f();
        self.tell(Notifier::ready);
        done
    }

    /// The end begins.
    pub fn stopping(&self, status: &str) {
        self.tell(|manager| manager.stopping().and_then(|()| manager.status(status)));
    }

    /// Says that we are alive, in time, until this fiber is cancelled; returns at once where nobody asks for it. It is a
    /// fiber among the others: where these come to no turn, it comes to none either, and the manager ends the process.
    pub fn watch(&self) -> io::Result<()> {
        let Some(within) = self.watchdog else { return Ok(()) };
        let mut beats = interval((within / 2).max(Duration::from_millis(1)));
        loop {
            self.tell(Notifier::alive);
            beats.tick()?;
        }
    }

    fn tell(&self, what: impl FnOnce(&Notifier) -> io::Result<()>) {
        let Some(manager) = &self.notifier else { return };
        let told = what(manager);
        let failed = self.fails.replace(told.is_err());
        if let Err(e) = told
            && !failed
        {
            log!(Warning, error = e; "the service manager was not told: {e}");
        }
    }
}
