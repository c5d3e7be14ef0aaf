//! Serial ports: ttyS(4), termios(3), ioctl_tty(2).
//!
//! ```
//! use becket_sys::{pty, serial::{Parity, Port}};
//!
//! let controller = pty::Controller::open()?; // stands in for a device
//! let path = controller.terminal_path()?;
//!
//! let port = Port::builder(path, 115_200).parity(Parity::None).open()?;
//! port.try_write(b"AT\r")?;
//! let mut buf = [0; 16];
//! assert_eq!(controller.try_read(&mut buf)?, Some(3)); // bytes as they are: no translation, no echo
//! assert_eq!(port.try_read(&mut buf)?, None); // would block
//!
//! drop(controller);
//! assert_eq!(port.try_read(&mut buf)?, Some(0)); // hung up: a value, not an error
//! assert!(port.is_hung_up()?);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What opening does
//!
//! The open never waits for a carrier (`O_NONBLOCK`, then `CLOCAL`) and does not make the line the controlling
//! terminal. The driver asserts DTR and RTS as it opens; some boards take that for a reset. The line is then put into
//! raw mode with the settings asked for, which are read back and compared, since tcsetattr(3) succeeds where
//! *any* of the changes could be made. A read of 0 bytes always means a hang-up (`VMIN` 1, `VTIME` 0).
//!
//! A break on the line reads as one zero byte, and so does a byte whose parity or framing was wrong.
//!
//! # What closing does
//!
//! The settings stay. The driver lowers DTR and RTS, and waits for output that is still queued: up to 30 seconds on a
//! real line whose peer has stopped the flow. To leave at once, [`discard_output`](Port::discard_output) first.

mod builder;
mod lines;
mod settings;

pub use builder::Builder;
pub use lines::ModemLines;
pub use settings::{DataBits, FlowControl, Parity, Settings, StopBits};

use crate::SetupError;
use crate::fd::{byte_stream, owned_fd, unless_blocked};
use crate::ffi::serial as ffi;
use crate::{Ready, wait};
use rustix::io::{Errno, ioctl_fionread, read, retry_on_intr, write};
use rustix::termios::{QueueSelector, ioctl_tiocexcl, ioctl_tiocnxcl, tcdrain, tcflush, tcsendbreak};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

/// A serial port, or any terminal that plays one: ttyS(4).
///
/// Close-on-exec and non-blocking. Dropping it ends its exclusive use and closes the descriptor; see the
/// [module](self) for what closing a line does, and for an example.
#[doc(alias = "tty")]
#[doc(alias = "uart")]
#[derive(Debug)]
pub struct Port {
    fd: Held,
}

owned_fd!(Port, Readable);
byte_stream!(Port);

impl Port {
    /// Opens the port at `path` with `baud` bits a second, 8 data bits, no parity, 1 stop bit, no flow control, for
    /// exclusive use.
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// use becket_sys::serial::Port;
    ///
    /// let e = Port::open("/dev/nothing", 9600).unwrap_err();
    /// assert_eq!(e.to_string(), "open /dev/nothing: No such file or directory (os error 2)");
    /// ```
    pub fn open(path: impl AsRef<Path>, baud: u32) -> Result<Port, SetupError> {
        Port::builder(path, baud).open()
    }

    /// Says how to open the port at `path`.
    pub fn builder(path: impl AsRef<Path>, baud: u32) -> Builder {
        Builder::new(path.as_ref(), baud)
    }

    /// Reads what has arrived: `Some(n)` bytes, `None` where it would block, `Some(0)` for a buffer that is not empty
    /// where the device is gone for good or its other end hung up. What arrived before the hang-up may be lost.
    ///
    /// # Errors
    /// `EIO` where the driver has no working hardware.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(retry_on_intr(|| read(&self.fd, &mut *buf)))
    }

    /// Queues what there is room for: `Some(n)` bytes, which may be fewer than given, or `None` where it would block.
    /// They are on their way, not yet sent: see [`drain`](Self::drain) and [`output_queued`](Self::output_queued).
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(retry_on_intr(|| write(&self.fd, buf)))
    }

    /// Whether the port hung up. What was received before may still be there to read.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn is_hung_up(&self) -> io::Result<bool> {
        let ready = wait(&self.fd, Ready::empty(), Some(Instant::now()))?;
        Ok(ready.is_some_and(|r| r.contains(Ready::HUP)))
    }

    /// The settings as the driver reports them. The baud is what the hardware can do nearest to what was asked for.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcgetattr")]
    pub fn settings(&self) -> io::Result<Settings> {
        settings::get(self.fd.as_fd())
    }

    /// Changes the settings at once, and reads them back. What is queued for output goes out with the new ones.
    ///
    /// # Errors
    /// `InvalidInput` for a baud of 0, which would hang up. `Unsupported`, with a message naming the setting, where
    /// the device does not take one of them; the others are then in force. `EIO` after a hang-up.
    #[doc(alias = "tcsetattr")]
    pub fn set_settings(&self, settings: &Settings) -> io::Result<()> {
        settings::set(self.fd.as_fd(), settings)
    }

    /// Drops what has arrived and was not read.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflush")]
    #[doc(alias = "TCIFLUSH")]
    pub fn discard_input(&self) -> io::Result<()> {
        Ok(tcflush(&self.fd, QueueSelector::IFlush)?)
    }

    /// Drops what was written and is not yet sent.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflush")]
    #[doc(alias = "TCOFLUSH")]
    pub fn discard_output(&self) -> io::Result<()> {
        Ok(tcflush(&self.fd, QueueSelector::OFlush)?)
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "FIONREAD")]
    #[doc(alias = "TIOCINQ")]
    pub fn input_queued(&self) -> io::Result<usize> {
        Ok(ioctl_fionread(&self.fd)? as usize)
    }

    /// How many bytes wait in the driver to be sent. The hardware's own FIFO is not counted.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "TIOCOUTQ")]
    pub fn output_queued(&self) -> io::Result<usize> {
        Ok(ffi::output_queued(self.fd.as_fd())?)
    }

    /// Waits until everything that was written is sent. **Blocks the thread**, without end where the peer has stopped
    /// the flow: call it on a helper thread, or watch [`output_queued`](Self::output_queued).
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcdrain")]
    pub fn drain(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| tcdrain(&self.fd))?)
    }

    /// Sends a break, between a quarter and half of a second long. **Blocks the thread** meanwhile; to go on, use
    /// [`set_break`](Self::set_break) and a timer. Where the device knows no break, nothing happens.
    ///
    /// # Errors
    /// `EIO` after a hang-up; `EINTR` where a signal cut it short.
    #[doc(alias = "tcsendbreak")]
    pub fn send_break(&self) -> io::Result<()> {
        Ok(tcsendbreak(&self.fd)?)
    }

    /// Begins or ends a break on the line. Where the device knows no break, nothing happens.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "TIOCSBRK")]
    #[doc(alias = "TIOCCBRK")]
    pub fn set_break(&self, on: bool) -> io::Result<()> {
        Ok(ffi::set_break(self.fd.as_fd(), on)?)
    }

    /// The state of the modem lines, ours and the peer's.
    ///
    /// # Errors
    /// `ENOTTY` or `EINVAL` where the device has none, as pseudoterminals; `EIO` after a hang-up.
    #[doc(alias = "TIOCMGET")]
    pub fn modem_lines(&self) -> io::Result<ModemLines> {
        Ok(ModemLines::from_bits_retain(ffi::modem_lines(self.fd.as_fd())?))
    }

    /// Asserts or lowers the given lines and leaves the others alone. Lines that are the peer's are ignored.
    ///
    /// # Errors
    /// As [`modem_lines`](Self::modem_lines).
    #[doc(alias = "TIOCMBIS")]
    #[doc(alias = "TIOCMBIC")]
    pub fn set_modem_lines(&self, lines: ModemLines, asserted: bool) -> io::Result<()> {
        Ok(ffi::set_modem_lines(self.fd.as_fd(), lines.bits(), asserted)?)
    }
}

/// A wrong descriptor can merely make calls fail. Blocking mode, settings and exclusive use stay as they are: set
/// them by [`set_settings`](Port::set_settings), or a read of 0 bytes may mean something else than a hang-up.
impl From<OwnedFd> for Port {
    fn from(fd: OwnedFd) -> Self {
        Port { fd: Held { fd: Some(fd), exclusive: false } }
    }
}

/// The descriptor, and whether its device was put into exclusive use, which would outlive it: a pseudoterminal keeps
/// the mark as long as its controller is open, any terminal as long as somebody else has it open.
#[derive(Debug)]
struct Held {
    /// `None` only once this was turned into an `OwnedFd`.
    fd: Option<OwnedFd>,
    exclusive: bool,
}

impl Held {
    fn set_exclusive(&mut self) -> Result<(), Errno> {
        ioctl_tiocexcl(self.as_fd())?;
        self.exclusive = true;
        Ok(())
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // Taken only by value, in the conversion below.
        self.fd.as_ref().expect("the descriptor is there until it is given away").as_fd()
    }
}

/// The device stays in exclusive use.
impl From<Held> for OwnedFd {
    fn from(mut held: Held) -> OwnedFd {
        held.exclusive = false;
        held.fd.take().expect("the descriptor is there until it is given away")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(fd), true) = (&self.fd, self.exclusive) {
            let _ = ioctl_tiocnxcl(fd);
        }
    }
}
