//! What systemd wants to know of a service: sd_notify(3), over a socket of our own.
//!
//! Nothing here is needed to run: without `NOTIFY_SOCKET` every message goes nowhere, with a wrong one too, after a
//! line that says so. A manager that reads nothing does not hold us up.

use crate::log::log;
use becket_fiber::interval;
use becket_sys::timer::Clock;
use becket_sys::unix::{Address, Datagram};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The variables by which systemd asks for it. They are for this process, not for its children.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The way to the manager, where there is one.
pub struct Notify {
    socket: Option<(Datagram, Address)>,
    watchdog: Option<Duration>,
    /// Whether it was told that the last message did not arrive.
    fails: Cell<bool>,
}

impl Notify {
    /// As the environment says.
    pub fn from_env() -> Notify {
        let [socket, usec, pid] = VARIABLES.map(std::env::var_os);
        let socket = socket.filter(|name| !name.is_empty()).and_then(|name| {
            let opened = address(&name).and_then(|to| Ok((Datagram::unbound()?, to)));
            opened.inspect_err(|e| log!(Warning, error = e; "NOTIFY_SOCKET {}: {e}", name.display())).ok()
        });
        let watchdog = watchdog(usec, pid, std::process::id());
        let watchdog = watchdog.unwrap_or_else(|e| {
            log!(Warning, error = e; "no watchdog: {e}");
            None
        });
        Notify { socket, watchdog, fails: Cell::new(false) }
    }

    /// The start is over.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", status_line(status)));
    }

    /// One line for people.
    pub fn status(&self, status: &str) {
        self.send(&status_line(status));
    }

    /// Says that settings are read again while `f` does so.
    pub fn reloading<T>(&self, f: impl FnOnce() -> T) -> T {
        // By the clock that the manager compares with its own.
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", Clock::Monotonic.now().as_micros()));
        let done = f();
        self.send("READY=1");
        done
    }

    /// The end begins.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// Says that we are alive, in time, until this fiber is cancelled; returns at once where nobody asks for it. It is a
    /// fiber among the others: where these come to no turn, it comes to none either, and the manager ends the process.
    pub fn watch(&self) -> io::Result<()> {
        let Some(within) = self.watchdog else { return Ok(()) };
        let mut beats = interval((within / 2).max(Duration::from_millis(1)));
        loop {
            self.send("WATCHDOG=1");
            beats.tick()?;
        }
    }

    fn send(&self, message: &str) {
        let Some((socket, to)) = &self.socket else { return };
        let sent = match socket.try_send_to(message.as_bytes(), to) {
            Ok(Some(_)) => return self.fails.set(false),
            Ok(None) => io::ErrorKind::WouldBlock.into(),
            Err(e) => e,
        };
        if !self.fails.replace(true) {
            log!(Warning, error = sent; "systemd at {to}: {sent}");
        }
    }
}

/// `@` stands for the NUL byte that abstract names begin with.
fn address(name: &OsStr) -> io::Result<Address> {
    match name.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => Address::abstract_name(name),
        [b'/', ..] => Address::pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
}

/// How often the manager wants to hear from the process of this id.
fn watchdog(usec: Option<OsString>, pid: Option<OsString>, ours: u32) -> Result<Option<Duration>, String> {
    let number = |name: &str, value: OsString| {
        let number = value.to_str().and_then(|text| text.parse::<u64>().ok());
        number.filter(|&n| n > 0).ok_or_else(|| format!("{name} is {value:?}"))
    };
    let Some(usec) = usec else { return Ok(None) };
    let pid = pid.map(|pid| number("WATCHDOG_PID", pid)).transpose()?;
    let usec = number("WATCHDOG_USEC", usec)?;
    Ok(pid.is_none_or(|pid| pid == u64::from(ours)).then_some(Duration::from_micros(usec)))
}

/// A variable ends with its line.
fn status_line(status: &str) -> String {
    format!("STATUS={}", status.replace(char::is_control, " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_learns_when_settings_are_read_again() {
        let (here, manager) = (Datagram::unbound().unwrap(), Datagram::bind(&Address::unnamed()).unwrap());
        let to = manager.local_addr().unwrap();
        let notify = Notify { socket: Some((here, to)), watchdog: None, fails: Cell::new(false) };
        let heard = || {
            let mut bytes = [0; 256];
            let (received, _) = manager.try_recv_from(&mut bytes).unwrap().expect("a message");
            String::from_utf8(bytes[..received.len()].to_vec()).unwrap()
        };
        let before = Clock::Monotonic.now();
        let at = notify.reloading(|| heard().strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap());
        // A part of a microsecond is left off.
        assert!(before.as_micros() <= at && at <= Clock::Monotonic.now().as_micros(), "{before:?} {at}");
        assert_eq!(heard(), "READY=1");
        notify.status("a\nREADY=0");
        assert_eq!(heard(), "STATUS=a READY=0");
    }

    #[test]
    fn addresses() {
        let address = |name: &str| address(OsStr::new(name));
        assert_eq!(address("/run/x").unwrap().as_pathname(), Some("/run/x".as_ref()));
        assert_eq!(address("@x").unwrap().as_abstract_name(), Some(&b"x"[..]));
        for wrong in ["@", "x", "vsock:2:1", &"/".repeat(200)] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let watchdog = |usec: &str, pid: &str| watchdog(Some(usec.into()), Some(pid.into()), 7);
        assert_eq!(watchdog("3000000", "7"), Ok(Some(Duration::from_secs(3))));
        assert_eq!(watchdog("3000000", "8"), Ok(None));
        assert_eq!(super::watchdog(Some("5".into()), None, 7), Ok(Some(Duration::from_micros(5))));
        assert_eq!(super::watchdog(None, Some("7".into()), 7), Ok(None));
        assert_eq!(watchdog("0", "7"), Err("WATCHDOG_USEC is \"0\"".into()));
        assert_eq!(watchdog("3", "me"), Err("WATCHDOG_PID is \"me\"".into()));
    }
}
