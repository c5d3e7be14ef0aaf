//! Serial ports: ttyS(4), termios(3).

pub use becket_sys::serial::{Builder, DataBits, FlowControl, ModemLines, Parity, Settings, StopBits};

use crate::over::{over_io, reads, timeouts, writes};
use crate::{Io, unblock};
use becket_sys::{SetupError, serial};
use std::io;
use std::path::Path;

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

    /// Waits until everything written was sent, on a helper thread. Once it has begun, neither a cancel nor a deadline
    /// ends it.
    ///
    /// # Errors
    /// `EIO` after a hang-up; [`Cancelled`](crate::Cancelled) and `TimedOut` before it began.
    #[doc(alias = "tcdrain")]
    pub fn drain(&self) -> io::Result<()> {
        let port = self.io.get_ref();
        unblock(|| port.drain())?
    }

    /// Sends a break of a quarter to half a second, on a helper thread; see [`drain`](Self::drain).
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    #[doc(alias = "tcsendbreak")]
    pub fn send_break(&self) -> io::Result<()> {
        let port = self.io.get_ref();
        unblock(|| port.send_break())?
    }
}
