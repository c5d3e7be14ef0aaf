//! Pressure stall information: waiting for waiting.

pub use becket_sys::psi::{Event, Kind, Pressure, Resource, Stall};

use crate::over::over_io;
use crate::{Io, Ready};
use becket_sys::{SetupError, psi};
use std::io;
use std::path::Path;
use std::time::Duration;

/// An alarm for too much waiting for a resource, of the system or of a control group.
///
/// What happens while nobody waits for it is told to the next wait, once.
///
/// ```
/// use becket_fiber::psi::{Kind, Resource, Trigger};
/// use becket_fiber::{Runtime, timeout};
/// use std::time::Duration;
///
/// let (stall, window) = (Duration::from_millis(1900), Duration::from_secs(2));
/// let trigger = match Trigger::open(Resource::Memory.path(), Kind::Full, stall, window) {
///     Ok(trigger) => trigger,
///     // Linux before 6.5 wants CAP_SYS_RESOURCE; some systems account for no pressure.
///     Err(e) => return Ok(assert!(matches!(e.raw_os_error(), Some(1 | 2 | 13 | 22 | 95)))),
/// };
/// let mut runtime = Runtime::new()?;
/// let calm = runtime.run(|| timeout(Duration::from_millis(5), || trigger.next()))?;
/// assert_eq!(calm.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Trigger {
    io: Io<psi::Trigger>,
}

over_io!(Trigger, psi::Trigger, apart);

impl Trigger {
    /// Opens the pressure file at `path` and asks for an event whenever the waiting of this kind sums up to more than
    /// `stall` within `window`.
    ///
    /// # Errors
    /// As [`psi::Trigger::open`].
    pub fn open(path: impl AsRef<Path>, kind: Kind, stall: Duration, window: Duration) -> Result<Trigger, SetupError> {
        Ok(psi::Trigger::open(path, kind, stall, window)?.into())
    }

    /// Waits for an event. [`Event::Gone`] comes again and again.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled) and `TimedOut`. An event that comes at that very moment may be lost: there is
    /// one each window while the pressure lasts.
    pub fn next(&self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.io.wait(Ready::PRI, None)?.and_then(Event::of) {
                return Ok(event);
            }
        }
    }
}
