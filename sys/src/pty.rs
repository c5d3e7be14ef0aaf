//! Pseudoterminals: pty(7).
//!
//! A pair of character devices: what one end writes, the other reads, with a terminal's line discipline between
//! them. The program that plays the terminal (an emulator, sshd, a simulated serial device) holds the
//! [`Controller`]; the other end is a terminal like any other, a [`Tty`] or a [`serial::Port`](crate::serial::Port).
//! pty(7) calls them master and slave, POSIX.1-2024 manager and subsidiary.
//!
//! # A fresh pair is cooked
//!
//! Until the terminal's settings are changed, the kernel echoes to the controller what the controller writes, holds
//! it back until the line ends, and turns `\n` into `\r\n`. Use [`Tty::raw_mode`], or open the terminal as a serial
//! port, to get the bytes as they are. The settings belong to the pair: they outlast the closing of the terminal.
//!
//! # Hang-up is not the end
//!
//! When the last descriptor of the terminal is closed, the controller reads what was written before, then the end:
//! `Some(0)` (the kernel says `EIO`). Opening the terminal again revives the pair, and reading goes on. In between
//! poll(2) and epoll(7) report [`Ready::HUP`](crate::Ready::HUP) whatever is asked for, so that a level-triggered
//! loop would spin: hold a terminal open yourself, stop watching, or watch by edges. Before the first opening there
//! is no hang-up, and a read would block. Writing works at any time; what nobody reads waits.
//!
//! # What else surprises
//!
//! - The path of the terminal is one in the devpts that the controller came from; elsewhere, as outside of the
//!   container, it is missing or another's. [`Controller::open_terminal`] needs none.
//! - A controller that was made elsewhere may be locked still: its terminal then cannot be opened (`EIO`).
//! - A `Command` keeps its copies of the terminal until it is dropped, and as long there is no end to read.
//!   [`Controller::spawn`] drops it.
//! - A status of packet mode overtakes the data that was written before it. The kernel announces some of them, a stop
//!   and a start, only to who waits for reading: wait for `READ | PRI`, for with [`PRI`](crate::Ready::PRI) alone such a
//!   one is found at the next look (as of Linux 6.18).

use crate::SetupError;
use crate::fd::{attempt, byte_stream, owned_fd};
use crate::ffi::pty as ffi;
use crate::process::Child;
use crate::signal::Signal;
use crate::tty::{self, Tty, WindowSize};
use bitflags::bitflags;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, readv, write};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Command;

/// Opens a pair: the controller, and its terminal, both close-on-exec and non-blocking.
///
/// # Errors
/// As [`Controller::open`] and [`Controller::open_terminal`].
///
/// ```
/// let (controller, terminal) = becket_sys::pty::pair()?;
/// let _raw = terminal.raw_mode()?;
/// controller.try_write(b"ping")?;
/// let mut buf = [0; 16];
/// assert_eq!(terminal.try_read(&mut buf)?, Some(4));
/// assert_eq!(terminal.try_read(&mut buf)?, None); // would block
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "openpty")]
pub fn pair() -> Result<(Controller, Tty), SetupError> {
    let controller = Controller::open()?;
    let terminal = controller.open_terminal().map_err(|e| SetupError::new("TIOCGPTPEER", "/dev/ptmx", e))?;
    Ok((controller, terminal))
}

/// The controlling end of a pseudoterminal: ptmx(4).
///
/// Close-on-exec and non-blocking. Dropping it closes the descriptor; with the last duplicate of it the terminal
/// hangs up: it reads 0, writes fail with `EIO`, and its foreground processes get `SIGHUP`.
///
/// ```
/// use becket_sys::pty::Controller;
///
/// let controller = Controller::open()?;
/// let mut buf = [0; 16];
/// assert_eq!(controller.try_read(&mut buf)?, None); // not opened yet: no hang-up
///
/// let terminal = controller.open_terminal()?;
/// terminal.try_write(b"bye\n")?;
/// drop(terminal);
/// assert_eq!(controller.try_read(&mut buf)?, Some(5)); // "bye\r\n"
/// assert_eq!(controller.try_read(&mut buf)?, Some(0)); // the end
///
/// let _terminal = controller.open_terminal()?;
/// assert_eq!(controller.try_read(&mut buf)?, None); // revived
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "master")]
#[doc(alias = "manager")]
#[doc(alias = "ptmx")]
#[derive(Debug)]
pub struct Controller {
    fd: OwnedFd,
}

owned_fd!(Controller, Readable);
byte_stream!(Controller);

impl Controller {
    /// Opens the controlling end of a new pair, unlocked, with no terminal opened yet.
    ///
    /// # Errors
    /// Step `open`: `EMFILE` or `ENFILE` where no descriptor is left, `ENOSPC` where the system has no pseudoterminal
    /// left (see `/proc/sys/kernel/pty/max`), `ENOENT` where `/dev` has no `ptmx`. Step `unlockpt`: none is known.
    #[doc(alias = "posix_openpt")]
    #[doc(alias = "grantpt")]
    #[doc(alias = "unlockpt")]
    pub fn open() -> Result<Controller, SetupError> {
        let fail = |step, e: Errno| SetupError::new(step, "/dev/ptmx", e);
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Not rustix's `openpt`, which reports a shortage of pseudoterminals as "would block".
        let fd = rustix::fs::open("/dev/ptmx", flags, Mode::empty()).map_err(|e| fail("open", e))?;
        unlockpt(&fd).map_err(|e| fail("unlockpt", e))?;
        Ok(Controller { fd })
    }

    /// Opens the terminal, close-on-exec and non-blocking. It does not become the controlling terminal of this
    /// process. Works without a path, hence in any mount namespace.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left; `EIO` where the pair is still locked, which a controller
    /// that was opened elsewhere may be.
    #[doc(alias = "slave")]
    #[doc(alias = "subsidiary")]
    #[doc(alias = "TIOCGPTPEER")]
    pub fn open_terminal(&self) -> io::Result<Tty> {
        self.peer(OFlags::NONBLOCK).map(Tty::from_terminal_fd)
    }

    /// Opens the terminal in blocking mode, as a child process expects its standard input, output and error to be;
    /// pass it to [`Stdio::from`](std::process::Stdio). Close-on-exec, which becoming a child's standard stream undoes.
    ///
    /// # Errors
    /// As [`open_terminal`](Self::open_terminal).
    pub fn open_terminal_for_child(&self) -> io::Result<OwnedFd> {
        self.peer(OFlags::empty())
    }

    fn peer(&self, mode: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | mode;
        Ok(ioctl_tiocgptpeer(&self.fd, OpenptFlags::from_bits_retain(flags.bits()))?)
    }

    /// The path of the terminal, such as `/dev/pts/3`, in the instance of devpts that the controller came from.
    ///
    /// # Errors
    /// `ENOTTY` where the descriptor is no controller.
    #[doc(alias = "ptsname")]
    pub fn terminal_path(&self) -> io::Result<PathBuf> {
        let name = ptsname(&self.fd, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(name.into_bytes())))
    }

    /// Reads what the terminal wrote or echoed: `Some(n)` bytes, `None` where it would block, `Some(0)` for a buffer
    /// that is not empty where nobody has the terminal open any more; see the [module](self) for what then.
    ///
    /// In packet mode the first byte is the kernel's: use [`try_read_packet`](Self::try_read_packet).
    ///
    /// # Errors
    /// None is known for a descriptor that is a controller.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        end_for_eio(attempt(|| read(&self.fd, &mut *buf)), 0)
    }

    /// Writes what the terminal is to read: `Some(n)` bytes, which may be fewer than given, or `None` where it would
    /// block because nobody reads. Works while the terminal is closed, too: the next to open it reads it.
    ///
    /// # Errors
    /// None is known for a descriptor that is a controller.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        attempt(|| write(&self.fd, buf))
    }

    /// A second handle to the same controller, to be read by one and written by the other. The terminal hangs up when the
    /// last of them is dropped.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Controller> {
        Ok(Controller { fd: self.fd.try_clone()? })
    }

    /// Switches packet mode, in which the controller also learns what happens to the terminal: ioctl_tty(2). Off
    /// at first. While a status is pending the controller is ready for [`Ready::PRI`](crate::Ready::PRI), beside
    /// [`Ready::READ`](crate::Ready::READ), which is to be waited for, too: see [above](self#what-else-surprises).
    ///
    /// # Errors
    /// `ENOTTY` where the descriptor is no controller.
    #[doc(alias = "TIOCPKT")]
    pub fn set_packet_mode(&self, on: bool) -> io::Result<()> {
        Ok(ffi::set_packet_mode(self.fd.as_fd(), on)?)
    }

    /// Reads one packet in packet mode, its data into `buf`; `None` where it would block.
    ///
    /// # Errors
    /// None is known for a controller in packet mode. Outside packet mode the answer is meaningless.
    ///
    /// ```
    /// use becket_sys::pty::{self, Packet, Status};
    ///
    /// let (controller, terminal) = pty::pair()?;
    /// controller.set_packet_mode(true)?;
    /// terminal.try_write(b"hi")?;
    /// let mut buf = [0; 16];
    /// assert_eq!(controller.try_read_packet(&mut buf)?, Some(Packet::Data(2)));
    /// assert_eq!(&buf[..2], b"hi");
    /// assert_eq!(controller.try_read_packet(&mut buf)?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn try_read_packet(&self, buf: &mut [u8]) -> io::Result<Option<Packet>> {
        let mut first = [0];
        let got = attempt(|| readv(&self.fd, &mut [IoSliceMut::new(&mut first), IoSliceMut::new(buf)]));
        Ok(end_for_eio(got, 0)?.map(|n| Packet::from_parts(n, first[0])))
    }

    /// Starts `command` in a session of its own with the terminal for its standard input, output and error, and for its
    /// controlling terminal: Ctrl-C written to the controller interrupts it, and dropping the controller sends it
    /// `SIGHUP`. Standard streams that were set before are replaced. No signal is blocked in it, and none that terminals
    /// send is ignored, also where that is so here, as in a program that was started by nohup(1) or behind a shell's `&`.
    ///
    /// Once it and what it started are gone, the controller reads the end.
    ///
    /// # Errors
    /// Step `TIOCGPTPEER` as [`open_terminal`](Self::open_terminal); otherwise as [`Child::spawn`].
    ///
    /// ```
    /// use becket_sys::{Ready, pty::Controller};
    /// use std::io::Read;
    /// use std::process::Command;
    ///
    /// let controller = Controller::open()?;
    /// let child = controller.spawn(Command::new("tty"))?;
    /// assert!(child.wait(None)?.unwrap().success());
    /// let mut said = String::new();
    /// (&controller).read_to_string(&mut said)?;
    /// assert_eq!(said.trim_end(), controller.terminal_path()?.to_str().unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "forkpty")]
    #[doc(alias = "login_tty")]
    #[doc(alias = "TIOCSCTTY")]
    pub fn spawn(&self, mut command: Command) -> Result<Child, SetupError> {
        let open = || self.open_terminal_for_child().map_err(|e| SetupError::new("TIOCGPTPEER", "/dev/ptmx", e));
        let (input, output, error) = (open()?, open()?, open()?);
        command.stdin(input).stdout(output).stderr(error);
        ffi::lead_session_on_stdin(&mut command);
        Child::spawn(&mut command)
        // With the command, its copies of the terminal are closed.
    }

    /// The process group in the terminal's foreground; see [`Tty::foreground_group`]. The caller may be of any session.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where no group is in the foreground, or the terminal is nobody's.
    #[doc(alias = "tcgetpgrp")]
    pub fn foreground_group(&self) -> io::Result<u32> {
        tty::foreground_group(self.fd.as_fd())
    }

    /// Sends a signal to the process group in the terminal's foreground, whatever the terminal's settings: `INT`,
    /// `QUIT` or `TSTP`. What waits in the queues is dropped.
    ///
    /// # Errors
    /// `EINVAL` for other signals.
    #[doc(alias = "TIOCSIG")]
    pub fn signal_foreground(&self, signal: Signal) -> io::Result<()> {
        Ok(ffi::signal_foreground(self.fd.as_fd(), signal.as_raw())?)
    }

    /// The size of the terminal's window; see [`Tty::window_size`].
    ///
    /// # Errors
    /// None is known for a descriptor that is a controller.
    #[doc(alias = "TIOCGWINSZ")]
    pub fn window_size(&self) -> io::Result<WindowSize> {
        tty::window_size(self.fd.as_fd())
    }

    /// Sets the size of the terminal's window; its foreground process group gets `SIGWINCH` where it is a new one.
    ///
    /// # Errors
    /// None is known for a descriptor that is a controller.
    #[doc(alias = "TIOCSWINSZ")]
    pub fn set_window_size(&self, size: WindowSize) -> io::Result<()> {
        tty::set_window_size(self.fd.as_fd(), size)
    }
}

/// A wrong descriptor can merely make calls fail. The blocking mode stays as it is: on a blocking one
/// [`try_read`](Controller::try_read) waits.
impl From<OwnedFd> for Controller {
    fn from(fd: OwnedFd) -> Self {
        Controller { fd }
    }
}

/// The kernel reports the closing of the last terminal as an error; here it is the end of the stream.
fn end_for_eio<T>(result: io::Result<Option<T>>, end: T) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(Some(end)),
        other => other,
    }
}

/// What a controller in packet mode reads.
///
/// ```
/// use becket_sys::pty::{self, Packet};
///
/// let (controller, terminal) = pty::pair()?;
/// controller.set_packet_mode(true)?;
/// drop(terminal);
/// assert_eq!(controller.try_read_packet(&mut [0; 16])?, Some(Packet::End));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "TIOCPKT")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packet {
    /// That many bytes of data were read.
    #[doc(alias = "TIOCPKT_DATA")]
    Data(usize),
    /// Something happened to the terminal. No data came with it.
    Status(Status),
    /// Nobody has the terminal open any more.
    End,
}

impl Packet {
    /// What one read of a controller in packet mode brought, by whatever way, and the data in it. No bytes are the
    /// end.
    ///
    /// ```
    /// use becket_sys::pty::{Packet, Status};
    ///
    /// assert_eq!(Packet::parse(b"\0data"), (Packet::Data(4), &b"data"[..]));
    /// assert_eq!(Packet::parse(b"\x04"), (Packet::Status(Status::STOP), &b""[..]));
    /// assert_eq!(Packet::parse(b""), (Packet::End, &b""[..]));
    /// ```
    pub fn parse(bytes: &[u8]) -> (Packet, &[u8]) {
        let packet = Packet::from_parts(bytes.len(), bytes.first().copied().unwrap_or(0));
        (packet, if let Packet::Data(_) = packet { &bytes[1..] } else { &[] })
    }

    /// Of a read of `n` bytes, the first of which is the kernel's.
    fn from_parts(n: usize, first: u8) -> Packet {
        match (n, first) {
            (0, _) => Packet::End,
            (n, 0) => Packet::Data(n - 1),
            (_, bits) => Packet::Status(Status::from_bits_retain(bits)),
        }
    }
}

bitflags! {
    /// What happened to the terminal, in packet mode: ioctl_tty(2). Unknown bits are kept.
    ///
    /// ```
    /// use becket_sys::pty::Status;
    ///
    /// let both = Status::FLUSH_READ | Status::FLUSH_WRITE;
    /// assert_eq!(both.bits(), 3);
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Status: u8 {
        /// The terminal's input queue was discarded.
        #[doc(alias = "TIOCPKT_FLUSHREAD")]
        const FLUSH_READ = 1;
        /// The terminal's output queue was discarded.
        #[doc(alias = "TIOCPKT_FLUSHWRITE")]
        const FLUSH_WRITE = 2;
        /// Output to the terminal was stopped.
        #[doc(alias = "TIOCPKT_STOP")]
        const STOP = 4;
        /// Output to the terminal was started again.
        #[doc(alias = "TIOCPKT_START")]
        const START = 8;
        /// The stop and start characters are no longer Ctrl-S and Ctrl-Q, or no longer in use.
        #[doc(alias = "TIOCPKT_NOSTOP")]
        const NO_STOP = 16;
        /// The stop and start characters are Ctrl-S and Ctrl-Q again.
        #[doc(alias = "TIOCPKT_DOSTOP")]
        const DO_STOP = 32;
        /// The terminal's settings were changed; reported only where its local mode `EXTPROC` is set.
        #[doc(alias = "TIOCPKT_IOCTL")]
        const IOCTL = 64;

        const _ = !0;
    }
}
