//! Serial ports: ttyS(4), termios(3).

pub use becket_sys::serial::{Builder, DataBits, FlowControl, LineChange, ModemLines, Parity, Settings, StopBits};

use crate::over::{clones, over_io, reads, timeouts, until, writes};
use crate::{Io, Ready};
use becket_sys::{SetupError, serial};
use std::io;
use std::path::Path;
use std::time::Duration;

/// A serial port, or any terminal that plays one: ttyS(4).
///
/// To open it in detail: `Port::try_from(Port::builder(path, baud)...open()?)`. A read of 0 bytes is a hang-up.
///
/// Dropping it closes it, which blocks the thread while output is still queued, up to 30 seconds where the peer has
/// stopped the flow: `discard_output` before.
///
/// ```
/// use becket_fiber::{Io, Runtime, serial::Port, spawn};
/// use becket_sys::pty::Controller;
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let device = Io::new(Controller::open()?)?; // stands in for a device
///     let mut port = Port::open(device.get_ref().terminal_path()?, 115_200)?;
///     let answer = spawn(move || {
///         let mut command = [0; 3];
///         (&device).read_exact(&mut command)?;
///         (&device).write_all(b"ok\n").map(|()| (command, device))
///     })?;
///     port.write_all(b"AT\r")?;
///     let mut text = [0; 3];
///     port.read_exact(&mut text)?;
///     let (command, device) = answer.join()??;
///     assert_eq!((&command, &text), (b"AT\r", b"ok\n"));
///     drop(device);
///     assert_eq!(port.read(&mut text)?, 0); // hung up
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "tty")]
#[doc(alias = "uart")]
#[derive(Debug)]
pub struct Port {
    io: Io<serial::Port>,
}

over_io!(Port, serial::Port, convert);
clones!(Port);
timeouts!(Port);
reads!(Port);
writes!(Port);

impl Port {
    /// Opens the port at `path` with `baud` bits a second, 8 data bits, no parity, 1 stop bit, no flow control, for
    /// exclusive use.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(path: impl AsRef<Path>, baud: u32) -> Result<Port, SetupError> {
        let path = path.as_ref();
        let port = serial::Port::open(path, baud)?;
        port.try_into().map_err(|e| SetupError::new("fcntl", path.display().to_string(), e))
    }

    /// Says how to open the port at `path`; convert what it opens by `try_from`.
    pub fn builder(path: impl AsRef<Path>, baud: u32) -> Builder {
        serial::Port::builder(path, baud)
    }

    /// Waits until everything written was sent, on a thread of its own.
    ///
    /// # Errors
    /// `EIO` after a hang-up; those of [`serial::Port::start_drain`]; [`Cancelled`](crate::Cancelled) and `TimedOut`:
    /// what was written is still being sent.
    #[doc(alias = "tcdrain")]
    pub fn drain(&self) -> io::Result<()> {
        done(self.io.get_ref().start_drain()?)
    }

    /// Sends a break of `length`, on a thread of its own.
    ///
    /// # Errors
    /// As [`serial::Port::start_break`]; [`Cancelled`](crate::Cancelled) and `TimedOut`: the break is then cut short,
    /// where the driver lets it be.
    #[doc(alias = "tcsendbreak")]
    pub fn send_break(&self, length: Duration) -> io::Result<()> {
        done(self.io.get_ref().start_break(length)?)
    }

    /// Watches modem lines for changes, from now on.
    ///
    /// # Errors
    /// As [`serial::Port::watch_lines`].
    #[doc(alias = "TIOCMIWAIT")]
    pub fn watch_lines(&self, lines: ModemLines) -> io::Result<LineWatch> {
        self.io.get_ref().watch_lines(lines)?.try_into()
    }
}

/// Waits until a call on a thread of its own is over; dropping it ends the call.
fn done(job: serial::Job) -> io::Result<()> {
    let job = Io::new(job)?;
    until(&job, Ready::READ, |job| Ok(job.is_done()?.then_some(())))
}

/// Changes of modem lines; see [`Port::watch_lines`]. Dropping it ends the watch.
///
/// ```
/// use becket_fiber::{Runtime, pty, serial::{ModemLines, Port}};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (controller, _terminal) = pty::pair()?;
///     let port = Port::open(controller.terminal_path()?, 9600)?; // which has no modem lines
///     let e = port.watch_lines(ModemLines::CTS).and_then(|watch| watch.next()).unwrap_err();
///     assert!(matches!(e.raw_os_error(), Some(22 | 25)), "{e}"); // EINVAL, ENOTTY
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LineWatch {
    io: Io<serial::LineWatch>,
}

over_io!(LineWatch, serial::LineWatch, convert);

impl LineWatch {
    /// Waits for a change, and takes all that happened since the last one.
    ///
    /// # Errors
    /// As [`serial::LineWatch::try_read`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing is lost.
    pub fn next(&self) -> io::Result<LineChange> {
        until(&self.io, Ready::READ, serial::LineWatch::try_read)
    }
}
