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
//! A break on the line reads as one zero byte, and so does a byte whose parity was wrong;
//! [`set_error_marks`](Port::set_error_marks) tells them apart.
//!
//! # What modem lines do
//!
//! Pseudoterminals have none, nor has many an adapter: such calls then fail with `ENOTTY` or `EINVAL`. A driver looks
//! after CTS, DSR, DCD and RI only while it has a reason to: hardware flow control, or somebody who waits for them.
//! Between two waits of [`LineWatch`] there are some microseconds in which a change is not noticed at once; it is told
//! together with the next one, and counted where the driver counts.
//!
//! The waiting thread of [`LineWatch`] and of [`Job`] cannot be woken but by a signal. It is `SIGURG`, sent to that
//! thread alone; each such object gives it a handler that does nothing, when it is made and when it is dropped, unless
//! the program has one.
//!
//! # What closing does
//!
//! The settings stay. The driver lowers DTR and RTS, and waits for output that is still queued: up to 30 seconds on a
//! real line whose peer has stopped the flow. To leave at once, [`discard_output`](Port::discard_output) first.

mod builder;
mod counters;
mod driver;
mod job;
mod lines;
mod list;
mod marks;
mod refused;
mod rs485;
mod settings;
mod watch;

pub use builder::Builder;
pub use counters::Counters;
pub use driver::ClosingWait;
pub use job::Job;
pub use lines::ModemLines;
pub use list::{PortInfo, UsbInfo, ports, ports_under};
pub use marks::{Received, Unmark};
pub use refused::Refused;
pub use rs485::{Rs485, Rs485Flags};
pub use settings::{DataBits, FlowControl, Parity, Settings, StopBits};
pub use watch::{LineChange, LineWatch};

use crate::SetupError;
use crate::fd::{attempt, byte_stream, owned_fd};
use crate::ffi::serial as ffi;
use crate::{Ready, wait};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, ioctl_fionread, read, retry_on_intr, write};
use rustix::termios::{Action, QueueSelector, ioctl_tiocexcl, ioctl_tiocnxcl};
use rustix::termios::{tcdrain, tcflow, tcflush, tcsendbreak};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

    /// A second handle to the same port, to be read by one and written by the other. Both share everything; exclusive use
    /// is this one's: the mark on the device ends when this handle is dropped, the lock with the last of them.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Port> {
        Ok(self.as_fd().try_clone_to_owned()?.into())
    }

    /// Reads what has arrived: `Some(n)` bytes, `None` where it would block, `Some(0)` for a buffer that is not empty
    /// where the device is gone for good or its other end hung up. What arrived before the hang-up may be lost.
    ///
    /// # Errors
    /// `EIO` where the driver has no working hardware.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        attempt(|| read(&self.fd, &mut *buf))
    }

    /// Queues what there is room for: `Some(n)` bytes, which may be fewer than given, or `None` where it would block.
    /// They are on their way, not yet sent: see [`drain`](Self::drain) and [`output_queued`](Self::output_queued).
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        attempt(|| write(&self.fd, buf))
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
    /// `InvalidInput` for a baud of 0, which would hang up. `Unsupported`, with a [`Refused`] inside that names the
    /// setting, where the device does not take one of them; the others are then in force. `EIO` after a hang-up.
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

    /// As [`drain`](Self::drain), on a helper thread: the job is readable once everything is sent.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left (it takes four); `EAGAIN` where no thread can be started.
    pub fn start_drain(&self) -> io::Result<Job> {
        Job::start(self, "drain", |work| tcdrain(work))
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

    /// As [`send_break`](Self::send_break), of the given length: tenths of a second, rounded up, from 0.1 s to 25.5 s.
    ///
    /// # Errors
    /// `EINVAL` for a length of zero or beyond; otherwise as [`send_break`](Self::send_break).
    #[doc(alias = "TCSBRKP")]
    pub fn send_break_for(&self, length: Duration) -> io::Result<()> {
        Ok(ffi::send_break(self.fd.as_fd(), tenths(length).filter(|n| *n > 0).ok_or(Errno::INVAL)?.into())?)
    }

    /// As [`send_break_for`](Self::send_break_for), on a helper thread: the job is readable once the break is over.
    /// Dropping it before ends the break early.
    ///
    /// # Errors
    /// As [`send_break_for`](Self::send_break_for) and [`start_drain`](Self::start_drain).
    pub fn start_break(&self, length: Duration) -> io::Result<Job> {
        let tenths = tenths(length).filter(|n| *n > 0).ok_or(Errno::INVAL)?;
        Job::start(self, "break", move |work| ffi::send_break(work.as_fd(), tenths.into()))
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

    /// Watches the peer's lines by a descriptor: any of CTS, DSR, DCD and RI.
    ///
    /// # Errors
    /// `EINVAL` for no line and for others; as [`modem_lines`](Self::modem_lines) where the device has none; `EMFILE`
    /// where no descriptor is left (it takes four); `EAGAIN` where no thread can be started.
    #[doc(alias = "TIOCMIWAIT")]
    pub fn watch_lines(&self, lines: ModemLines) -> io::Result<LineWatch> {
        LineWatch::start(self, lines)
    }

    /// Waits until one of the peer's `lines` changes. **Blocks the thread**, without end where none does: to wait in a
    /// loop, [`watch_lines`](Self::watch_lines). What changed before the call does not count; with the counters before
    /// and after one sees what was missed.
    ///
    /// # Errors
    /// As [`modem_lines`](Self::modem_lines); `EINVAL` for no line; `EINTR` where a signal with a handler came.
    #[doc(alias = "TIOCMIWAIT")]
    pub fn wait_lines(&self, lines: ModemLines) -> io::Result<()> {
        if lines.is_empty() {
            return Err(Errno::INVAL.into()); // the kernel would wait for ever
        }
        Ok(ffi::wait_modem_lines(self.fd.as_fd(), lines.bits())?)
    }

    /// What the driver has counted: characters, errors, changes of lines.
    ///
    /// # Errors
    /// `ENOTTY` or `EINVAL` where the driver does not count, as for pseudoterminals; `EIO` after a hang-up.
    #[doc(alias = "TIOCGICOUNT")]
    pub fn counters(&self) -> io::Result<Counters> {
        Ok(Counters::from_raw(ffi::counts(self.fd.as_fd())?))
    }

    /// What the port does about RS-485.
    ///
    /// # Errors
    /// `ENOTTY` where the driver knows nothing of it, as for pseudoterminals; `EIO` after a hang-up.
    #[doc(alias = "TIOCGRS485")]
    pub fn rs485(&self) -> io::Result<Rs485> {
        Ok(Rs485::from_raw(ffi::rs485(self.fd.as_fd())?))
    }

    /// Says what to do about RS-485, compares what the driver makes of it, and returns that: it may have added flags.
    ///
    /// # Errors
    /// `Unsupported` with a [`Refused`] inside where the driver left something out; the rest is then in force. `EINVAL`
    /// for addresses without [`ADDRESS_BIT`](Rs485Flags::ADDRESS_BIT); otherwise as [`rs485`](Self::rs485).
    ///
    /// ```
    /// use becket_sys::{pty, serial::{Port, Rs485Flags}};
    ///
    /// let controller = pty::Controller::open()?;
    /// let port = Port::open(controller.terminal_path()?, 19_200)?;
    /// let on = || {
    ///     let mut rs485 = port.rs485()?;
    ///     rs485.set_flags(rs485.flags() | Rs485Flags::ENABLED | Rs485Flags::RTS_ON_SEND);
    ///     port.set_rs485(&rs485)
    /// };
    /// assert_eq!(on().unwrap_err().raw_os_error(), Some(25)); // ENOTTY: no UART
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "TIOCSRS485")]
    pub fn set_rs485(&self, rs485: &Rs485) -> io::Result<Rs485> {
        let mut raw = rs485.raw();
        ffi::set_rs485(self.fd.as_fd(), &mut raw)?;
        let got = Rs485::from_raw(raw);
        rs485.verify(&got).map(|()| got)
    }

    /// The baud of what is received, where it differs from that of what is sent.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "c_ispeed")]
    pub fn input_baud(&self) -> io::Result<u32> {
        settings::input_baud(self.fd.as_fd())
    }

    /// Receives with another baud than is sent with. Hardly any device can; [`set_settings`](Self::set_settings) makes
    /// the two equal again.
    ///
    /// # Errors
    /// `InvalidInput` for 0. `Unsupported` with a [`Refused`] inside where the device stays at another one. `EIO` after
    /// a hang-up.
    #[doc(alias = "c_ispeed")]
    #[doc(alias = "cfsetispeed")]
    pub fn set_input_baud(&self, baud: u32) -> io::Result<()> {
        settings::set_input_baud(self.fd.as_fd(), baud)
    }

    /// From how many bytes on the port is readable, and the time between bytes that ends a blocking read.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "VMIN")]
    #[doc(alias = "VTIME")]
    pub fn read_minimum(&self) -> io::Result<(u8, Duration)> {
        let (bytes, tenths) = settings::read_minimum(self.fd.as_fd())?;
        Ok((bytes, Duration::from_millis(u64::from(tenths) * 100)))
    }

    /// Says from how many bytes on poll(2) calls the port readable: with 8, a frame of 8 bytes wakes once. A read takes
    /// what is there, fewer too. 1 byte and no time where nobody set it, and after
    /// [`set_settings`](Self::set_settings).
    ///
    /// `gap` (tenths of a second, rounded up, at most 25.5 s) is for descriptors in blocking mode that were taken over:
    /// termios(3) tells how it ends their reads. With a gap the port is readable from the first byte on. **With 0
    /// bytes a read of nothing gives `Some(0)`,** which then no longer means a hang-up.
    ///
    /// # Errors
    /// `EINVAL` for a longer gap; `EIO` after a hang-up.
    #[doc(alias = "VMIN")]
    #[doc(alias = "VTIME")]
    pub fn set_read_minimum(&self, bytes: u8, gap: Duration) -> io::Result<()> {
        settings::set_read_minimum(self.fd.as_fd(), bytes, tenths(gap).ok_or(Errno::INVAL)?)
    }

    /// Marks breaks and wrong characters in what is read, which otherwise read as zero bytes or as if they were well:
    /// take the bytes apart by an [`Unmark`]. Breaks are what frames begin with on LIN and DMX512. Off where nobody set
    /// it, and after [`set_settings`](Self::set_settings).
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    ///
    /// ```
    /// use becket_sys::{pty, serial::{Port, Received, Unmark}};
    ///
    /// let controller = pty::Controller::open()?;
    /// let port = Port::open(controller.terminal_path()?, 250_000)?;
    /// port.set_error_marks(true)?;
    /// controller.try_write(&[0x00, 0xff])?;
    /// port.wait_ready(becket_sys::Ready::READ, None)?;
    /// let (mut buf, mut unmark) = ([0; 8], Unmark::new());
    /// let n = port.try_read(&mut buf)?.unwrap();
    /// assert_eq!(&buf[..n], [0x00, 0xff, 0xff]); // the mark's byte comes twice
    /// let got: Vec<_> = unmark.decode(&buf[..n]).collect();
    /// assert_eq!(got, [Received::Byte(0x00), Received::Byte(0xff)]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "PARMRK")]
    #[doc(alias = "INPCK")]
    pub fn set_error_marks(&self, on: bool) -> io::Result<()> {
        settings::set_error_marks(self.fd.as_fd(), on)
    }

    /// Stops our output, or lets it go on: as if the peer had asked for it.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflow")]
    #[doc(alias = "TCOOFF")]
    #[doc(alias = "TCOON")]
    pub fn set_output_stopped(&self, stopped: bool) -> io::Result<()> {
        Ok(tcflow(&self.fd, if stopped { Action::OOff } else { Action::OOn })?)
    }

    /// Sends the character that asks the peer to stop, Ctrl-S, or to go on, Ctrl-Q. Reading at leisure does so by
    /// itself with [`FlowControl::Software`].
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflow")]
    #[doc(alias = "TCIOFF")]
    #[doc(alias = "TCION")]
    pub fn ask_peer_to_stop(&self, stop: bool) -> io::Result<()> {
        Ok(tcflow(&self.fd, if stop { Action::IOff } else { Action::IOn })?)
    }

    /// Whether the driver lowers DTR and RTS when the port is closed: `true` where nobody set it.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "HUPCL")]
    pub fn hangs_up_on_close(&self) -> io::Result<bool> {
        settings::hangs_up_on_close(self.fd.as_fd())
    }

    /// Says whether to lower DTR and RTS when the port is closed. It stays with the device: boards that take a change
    /// of DTR for a reset are then left alone by the next opening, too.
    ///
    /// # Errors
    /// `Unsupported` with a [`Refused`] inside where the driver does not take it; `EIO` after a hang-up.
    #[doc(alias = "HUPCL")]
    pub fn set_hang_up_on_close(&self, on: bool) -> io::Result<()> {
        settings::set_hang_up_on_close(self.fd.as_fd(), on)
    }

    /// Whether received bytes are handed over at once, not in batches.
    ///
    /// # Errors
    /// `ENOTTY` where the driver has no such switch, as for pseudoterminals; `EIO` after a hang-up.
    #[doc(alias = "ASYNC_LOW_LATENCY")]
    pub fn low_latency(&self) -> io::Result<bool> {
        driver::low_latency(self.fd.as_fd())
    }

    /// Asks for received bytes at once. FTDI's adapters otherwise keep them for up to 16 ms.
    ///
    /// # Errors
    /// `Unsupported` with a [`Refused`] inside where the driver passes over it; otherwise as
    /// [`low_latency`](Self::low_latency).
    #[doc(alias = "ASYNC_LOW_LATENCY")]
    pub fn set_low_latency(&self, on: bool) -> io::Result<()> {
        driver::set_low_latency(self.fd.as_fd(), on)
    }

    /// How long a close waits for output that is still queued.
    ///
    /// # Errors
    /// As [`low_latency`](Self::low_latency).
    #[doc(alias = "TIOCGSERIAL")]
    pub fn closing_wait(&self) -> io::Result<ClosingWait> {
        driver::closing_wait(self.fd.as_fd())
    }

    /// Says how long a close waits. It stays with the device.
    ///
    /// # Errors
    /// `EINVAL` for a time of zero or beyond the range; `EPERM` without CAP_SYS_ADMIN; `Unsupported` with a [`Refused`]
    /// inside where the driver passes over it; otherwise as [`low_latency`](Self::low_latency).
    #[doc(alias = "closing_wait")]
    #[doc(alias = "TIOCSSERIAL")]
    pub fn set_closing_wait(&self, wait: ClosingWait) -> io::Result<()> {
        driver::set_closing_wait(self.fd.as_fd(), wait)
    }

    /// Whether the kernel keeps others but root from opening the device.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "TIOCGEXCL")]
    pub fn is_exclusive(&self) -> io::Result<bool> {
        Ok(ffi::is_exclusive(self.fd.as_fd())?)
    }

    /// Begins or ends exclusive use; see [`Builder::exclusive`]. Dropping the port ends what this began.
    ///
    /// # Errors
    /// `EBUSY` where another program has locked the device; `EIO` after a hang-up.
    #[doc(alias = "TIOCEXCL")]
    #[doc(alias = "TIOCNXCL")]
    #[doc(alias = "flock")]
    pub fn set_exclusive(&self, exclusive: bool) -> io::Result<()> {
        Ok(if exclusive { self.fd.lock() } else { self.fd.unlock() }?)
    }
}

/// Rounded up; `None` beyond 25.5 s, the longest that the kernel takes.
fn tenths(d: Duration) -> Option<u8> {
    d.as_nanos().div_ceil(100_000_000).try_into().ok()
}

/// A wrong descriptor can merely make calls fail. Blocking mode, settings and exclusive use stay as they are: set
/// them by [`set_settings`](Port::set_settings), or a read of 0 bytes may mean something else than a hang-up.
impl From<OwnedFd> for Port {
    fn from(fd: OwnedFd) -> Self {
        Port { fd: Held::new(fd) }
    }
}

/// The descriptor, and whether its device was put into exclusive use, which would outlive it: a pseudoterminal keeps
/// the mark as long as its controller is open, any terminal as long as somebody else has it open.
#[derive(Debug)]
struct Held {
    /// `None` only once this was turned into an `OwnedFd`.
    fd: Option<OwnedFd>,
    exclusive: AtomicBool,
}

impl Held {
    fn new(fd: OwnedFd) -> Held {
        Held { fd: Some(fd), exclusive: AtomicBool::new(false) }
    }

    fn lock(&self) -> Result<(), Errno> {
        match retry_on_intr(|| flock(self.as_fd(), FlockOperation::NonBlockingLockExclusive)) {
            Err(Errno::AGAIN) => return Err(Errno::BUSY),
            other => other?,
        }
        ioctl_tiocexcl(self.as_fd())?;
        self.exclusive.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn unlock(&self) -> Result<(), Errno> {
        self.exclusive.store(false, Ordering::Relaxed);
        ioctl_tiocnxcl(self.as_fd())?;
        flock(self.as_fd(), FlockOperation::NonBlockingUnlock)
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
        *held.exclusive.get_mut() = false;
        held.fd.take().expect("the descriptor is there until it is given away")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(fd), true) = (&self.fd, *self.exclusive.get_mut()) {
            let _ = ioctl_tiocnxcl(fd);
        }
    }
}
