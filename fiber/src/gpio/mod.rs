//! GPIO lines, both ways that Linux has: by the character device, here, and by [`sysfs`].

pub mod sysfs;

pub use becket_sys::gpio::{
    Bias, ChangeKind, ChipInfo, Direction, Drive, Edge, EdgeEvent, EdgeEvents, EdgeKind, EventClock, InfoChange,
    InfoChanges, LineConfig, LineFlags, LineInfo, RequestBuilder, Sequence, chips, find_line,
};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::{EventBuf, SetupError, gpio};
use std::io;
use std::path::Path;

/// A chip with GPIO lines: tells who takes and releases them, and lends them by a [`Lines`].
///
/// Looking lines up, asking for them and watching them are [`becket_sys::gpio::Chip`]'s: none of it waits.
///
/// ```
/// use becket_fiber::gpio::{Chip, EdgeKind, Lines};
/// use becket_fiber::{Runtime, timeout};
/// use std::time::Duration;
///
/// let chip = match Chip::open("/dev/gpiochip0") {
///     Ok(chip) => chip,
///     Err(e) => return Ok(assert_eq!(e.step(), "open")), // this machine has none, or not for this user
/// };
/// let request = chip.request().lines([0], becket_fiber::gpio::LineConfig::input()).consumer("example");
/// let mut runtime = Runtime::new()?;
/// if let Ok(lines) = request.open() {
///     let lines = Lines::try_from(lines)?;
///     let edge = runtime.run(|| timeout(Duration::from_millis(5), || lines.next_edge()))?;
///     assert!(edge.is_err() || edge.is_ok_and(|e| matches!(e.kind, EdgeKind::Rising | EdgeKind::Falling)));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "gpiochip")]
pub struct Chip {
    io: Io<gpio::Chip>,
}

over_io!(Chip, gpio::Chip, convert);

impl Chip {
    /// Opens the chip at `path`, such as `/dev/gpiochip0`.
    ///
    /// # Errors
    /// As [`gpio::Chip::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Chip, SetupError> {
        let path = path.as_ref();
        let chip = gpio::Chip::open(path)?;
        chip.try_into().map_err(|e| SetupError::new("fcntl", path.display().to_string(), e))
    }

    /// Waits until a [watched](gpio::Chip::watch) line was taken, released or set up anew by anybody, and takes as many
    /// changes as `buf` has room for.
    ///
    /// # Errors
    /// Those of [`gpio::Chip::read_events`]: `ENODEV` where the chip is gone; [`Cancelled`](crate::Cancelled);
    /// `TimedOut`.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<InfoChanges<'b>> {
        until(&self.io, Ready::READ, |c| Ok(c.read_events(buf)?.map(drop)))?;
        Ok(InfoChanges::parse(buf.as_bytes()))
    }
}

/// Lines of a chip that this program has taken; see [`Chip`] for an example.
///
/// Values and setting up anew are [`gpio::Request`]'s: none of it waits. Dropping it releases the lines.
#[derive(Debug)]
#[doc(alias = "gpioline")]
pub struct Lines {
    io: Io<gpio::Request>,
}

over_io!(Lines, gpio::Request, convert);

impl Lines {
    /// Waits for an edge of any of the lines, and takes it.
    ///
    /// # Errors
    /// Those of [`gpio::Request::try_read`]: `ENODEV` where the chip is gone; [`Cancelled`](crate::Cancelled) and
    /// `TimedOut`, and none was taken.
    pub fn next_edge(&self) -> io::Result<EdgeEvent> {
        until(&self.io, Ready::READ, gpio::Request::try_read)
    }

    /// Waits for edges of any of the lines, and takes as many as `buf` has room for. Allocates nothing.
    ///
    /// # Errors
    /// As [`next_edge`](Self::next_edge); `EINVAL` for a buffer too small for one.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<EdgeEvents<'b>> {
        until(&self.io, Ready::READ, |r| Ok(r.read_events(buf)?.map(drop)))?;
        Ok(EdgeEvents::parse(buf.as_bytes()))
    }
}
