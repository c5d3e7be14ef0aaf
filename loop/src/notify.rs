//! What a service tells its manager: sd_notify(3), without a library.

use crate::{Ctx, Every, Id, Next, Timer};
use becket_sys::unix::{Address, Datagram};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

/// Tells the service manager (systemd, or another that sets `NOTIFY_SOCKET`) how the service is. Follows sd_notify(3).
///
/// Each call sends one datagram and does not wait. Clones share one socket; dropping the last closes it, and the
/// manager is told nothing by that. The variable stays in the environment, and programs that are started inherit it,
/// unless their [`Command`](std::process::Command) removes it.
///
/// ```
/// use becket_loop::{Loop, notify::{Notifier, watchdog_period}};
///
/// let mut event_loop: Loop<()> = Loop::new()?;
/// if let Some(notifier) = Notifier::from_env()? {
///     if let Some(period) = watchdog_period()? {
///         event_loop.watchdog(notifier.clone(), period, |_| true);
///     }
///     notifier.ready()?;
///     notifier.status("listening on port 1883")?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Notifier {
    socket: Arc<Datagram>,
    manager: Address,
}

impl Notifier {
    /// By the socket that the environment names; `None` where it names none: nobody asked to be told.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is neither a path nor an abstract name (`@..`): of another kind of socket
    /// (`vsock:..`), or too long; `EMFILE` or `ENFILE` where no descriptor is left.
    #[doc(alias = "NOTIFY_SOCKET")]
    pub fn from_env() -> io::Result<Option<Notifier>> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Notifier::to(address(&name)?).map(Some),
            _ => Ok(None),
        }
    }

    /// By the socket at an address.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left.
    pub fn to(manager: Address) -> io::Result<Notifier> {
        Ok(Notifier { socket: Arc::new(Datagram::unbound()?), manager })
    }

    /// The service is up, or has its new configuration.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1")
    }

    /// The service is about to read its configuration anew. [`ready`](Self::ready) ends that.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn reloading(&self) -> io::Result<()> {
        // Asked for by managers of services of `Type=notify-reload`, in microseconds.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000))
    }

    /// The service is about to end. [`HookPoint::Exit`](crate::HookPoint::Exit) is a good place for it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    /// One line for people, which replaces the one before. Ends of lines in it become spaces.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn status(&self, line: &str) -> io::Result<()> {
        self.send(&format!("STATUS={}", line.replace(['\n', '\r'], " ")))
    }

    /// The service is alive. [`Ctx::watchdog`] does it at the right times.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn alive(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    /// Anything else that sd_notify(3) knows: assignments, one a line, such as `EXTEND_TIMEOUT_USEC=5000000`.
    ///
    /// # Errors
    /// `ECONNREFUSED` or `ENOENT` where nobody is at the address (a manager that is being replaced, for a moment);
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where it has no room; `EACCES`; `EMSGSIZE`.
    pub fn send(&self, assignments: &str) -> io::Result<()> {
        let sent = self.socket.try_send_to(assignments.as_bytes(), &self.manager)?;
        sent.map(drop).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

fn address(name: &OsStr) -> io::Result<Address> {
    let refused = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("NOTIFY_SOCKET={}", name.display()));
    match name.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => Address::abstract_name(name).map_err(refused),
        [b'/', ..] => Address::pathname(name).map_err(refused),
        _ => Err(refused(io::ErrorKind::InvalidInput.into())),
    }
}

/// Within which time the manager wants to hear again and again that this process is alive; `None` where it does not, or
/// means another process. Follows sd_watchdog_enabled(3).
///
/// # Errors
/// `InvalidInput` where `WATCHDOG_USEC` or `WATCHDOG_PID` is no number above 0.
///
/// ```
/// assert_eq!(becket_loop::notify::watchdog_period()?, None); // of a test
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "WATCHDOG_USEC")]
pub fn watchdog_period() -> io::Result<Option<Duration>> {
    let Some(micros) = number("WATCHDOG_USEC")? else { return Ok(None) };
    let is_ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == std::process::id().into());
    Ok(is_ours.then_some(Duration::from_micros(micros)))
}

/// What a variable of the environment says, if it is there.
fn number(variable: &str) -> io::Result<Option<u64>> {
    let Some(value) = env::var_os(variable) else { return Ok(None) };
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
    let refused = || io::Error::new(io::ErrorKind::InvalidInput, format!("{variable}={}", value.display()));
    number.ok_or_else(refused).map(Some)
}

impl<S: 'static> Ctx<S> {
    /// Tells the manager that the service is alive, at once and then twice within each `period`, if `is_well` says so.
    /// A loop that hangs in a callback does not come to it, and neither does one whose turns take longer than that.
    ///
    /// What cannot be sent is sent the next time. Cancel the timer to end it, and note that the manager then takes the
    /// service for dead. The timer keeps the loop alive.
    ///
    /// ```
    /// use becket_loop::{Loop, notify::Notifier};
    /// use becket_sys::unix::{Address, Datagram};
    /// use std::time::Duration;
    ///
    /// let manager = Datagram::bind(&Address::unnamed())?; // played
    /// let notifier = Notifier::to(manager.local_addr()?)?;
    /// let mut event_loop: Loop<bool> = Loop::new()?;
    /// event_loop.watchdog(notifier, Duration::from_secs(30), |is_well| *is_well);
    /// event_loop.turn(&mut true, None)?;
    /// let mut buf = [0; 64];
    /// let (received, _) = manager.try_recv_from(&mut buf)?.unwrap();
    /// assert_eq!(&buf[..received.len()], b"WATCHDOG=1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watchdog(
        &mut self,
        notifier: Notifier,
        period: Duration,
        mut is_well: impl FnMut(&mut S) -> bool + 'static,
    ) -> Id<Timer> {
        let every = Every::new(period / 2).first(self.now());
        self.every(every, move |s, _, _| {
            if is_well(s) {
                let _ = notifier.alive();
            }
            Ok(Next::Keep)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::address;
    use becket_sys::unix::Address;

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        let path = address("/run/systemd/notify".as_ref()).unwrap();
        assert_eq!(path, Address::pathname("/run/systemd/notify").unwrap());
        assert_eq!(address("@/org/a".as_ref()).unwrap(), Address::abstract_name("/org/a").unwrap());
        for refused in ["", "@", "vsock:2:1234", "relative", &"/x".repeat(60)] {
            let e = address(refused.as_ref()).unwrap_err();
            assert_eq!(e.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
            assert!(e.to_string().contains(refused));
        }
    }
}
