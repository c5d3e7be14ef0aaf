//! Terminals: tty(4), termios(3).
//!
//! For serial lines, which are terminals too, see [`serial`](crate::serial); for pseudoterminals, [`pty`](crate::pty).
//!
//! # Whose blocking mode
//!
//! `O_NONBLOCK` belongs to the open file description, which a shell, its other jobs and our standard input, output
//! and error share: setting it on descriptor 0 makes the writes of unrelated programs fail. A [`Tty`] never does so.
//! To read the keyboard without blocking, open the terminal anew with [`Tty::controlling`] or [`Tty::reopen`].
//!
//! # When the window changes
//!
//! The kernel sends `SIGWINCH` to the foreground process group of the terminal, and nothing to read. Read it by a
//! [`Signals`](crate::signal::Signals), and ask for the size then:
//!
//! ```
//! use becket_sys::signal::{Signal, Signals, raise};
//! use becket_sys::{pty, tty::WindowSize};
//!
//! let (controller, terminal) = pty::pair()?;
//! let changes = Signals::new(Signal::WINCH)?;
//! controller.set_window_size(WindowSize { rows: 40, columns: 100, ..WindowSize::default() })?;
//! raise(Signal::WINCH)?; // the kernel does, where this is the terminal of our session
//! if changes.try_read()?.is_some() {
//!     assert_eq!(terminal.window_size()?.columns, 100);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - A background process that writes its settings, or reads, is stopped: `SIGTTOU`, `SIGTTIN`. An orphaned one gets
//!   `EIO` instead.
//! - A hang-up makes all calls but reading fail with `EIO`; reading gives 0 bytes, for good.
//! - Settings are the terminal's, shared by all who have it open, and outlive every one of them.
//! - With line editing on, poll(2) calls the terminal readable at the end of a line only, and at most 4095 bytes of a
//!   line count.

mod raw;

pub use raw::RawMode;

use crate::SetupError;
use crate::fd::{attempt, byte_stream};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::process::{Pid, ioctl_tiocsctty};
use rustix::termios::{LocalModes, QueueSelector, SpecialCodeIndex, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetsid};
use rustix::termios::{tcflush, tcgetwinsize, tcsetpgrp, tcsetwinsize};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A terminal: tty(4).
///
/// Owns its descriptor, or borrows somebody else's: `Tty<BorrowedFd>`, `Tty<std::io::Stdin>` and so on, see
/// [`new`](Self::new). Dropping it drops `Fd`: an owned descriptor is closed, a borrowed one stays. Its settings
/// stay as they are; only a [`RawMode`] guard takes its own change back.
///
/// ```
/// use becket_sys::{pty, tty::WindowSize};
///
/// let (controller, terminal) = pty::pair()?;
/// terminal.set_window_size(WindowSize { rows: 24, columns: 80, ..WindowSize::default() })?;
/// assert_eq!(controller.window_size()?.columns, 80);
///
/// let raw = terminal.raw_mode()?; // no echo, no line editing, until dropped
/// controller.try_write(b"q")?;
/// let mut key = [0; 1];
/// assert_eq!(terminal.try_read(&mut key)?, Some(1));
/// assert_eq!(&key, b"q");
/// drop(raw);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "termios")]
#[derive(Debug, Clone)]
pub struct Tty<Fd: AsFd = OwnedFd> {
    fd: Fd,
}

byte_stream!(Tty<Fd>, Fd: AsFd);

impl Tty {
    /// Opens the terminal at `path`, for example `/dev/tty1`; close-on-exec and non-blocking.
    ///
    /// It does not become the controlling terminal, and the open does not wait for a modem's carrier.
    ///
    /// # Errors
    /// Step `open`: `ENOENT`, `EACCES`, `EIO` or `ENXIO` where the device is gone, `EBUSY` where it is in exclusive
    /// use. Step `isatty`: `ENOTTY` where the file is no terminal.
    pub fn open(path: impl AsRef<Path>) -> Result<Tty, SetupError> {
        let path = path.as_ref();
        let fail = |step, e: Errno| SetupError::new(step, path.display().to_string(), e);
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|e| fail("open", e))?;
        tcgetattr(&fd).map_err(|e| fail("isatty", e))?;
        Ok(Tty { fd })
    }

    /// Opens the controlling terminal of this process, `/dev/tty`, with a description of its own: non-blocking
    /// without making standard input so.
    ///
    /// # Errors
    /// As [`open`](Self::open); `ENXIO` where the process has no controlling terminal.
    pub fn controlling() -> Result<Tty, SetupError> {
        Tty::open("/dev/tty")
    }

    /// Opens the terminal of `fd` anew, with a description of its own: for example that of standard input, which need
    /// not be the controlling terminal. Close-on-exec and non-blocking.
    ///
    /// ```
    /// use becket_sys::{pty, tty::Tty};
    ///
    /// let controller = pty::Controller::open()?;
    /// let inherited = controller.open_terminal_for_child()?; // blocking
    /// let ours = Tty::reopen(&inherited)?;
    /// assert_eq!(ours.try_read(&mut [0; 8])?, None); // not blocking, and that one still is
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open). `EACCES` where the terminal belongs to another user, as after su(1). `ENOENT` where
    /// `/proc` is not mounted. `EIO` after a hang-up.
    pub fn reopen(fd: impl AsFd) -> Result<Tty, SetupError> {
        let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        // Any other kind of file would be opened as well, with what that entails.
        tcgetattr(fd).map_err(|e| SetupError::new("isatty", &*path, e))?;
        Tty::open(path)
    }

    pub(crate) fn from_terminal_fd(fd: OwnedFd) -> Tty {
        Tty { fd }
    }
}

impl<Fd: AsFd> Tty<Fd> {
    /// What to poll this type for.
    pub const READINESS: crate::Readiness = crate::Readiness::Readable;

    /// Takes `fd` for a terminal, owned or borrowed, after asking whether it is one. Its blocking mode stays as it is:
    /// on a blocking one [`try_read`](Self::try_read) waits.
    ///
    /// ```
    /// use becket_sys::tty::{Tty, is_terminal};
    ///
    /// let input = std::io::stdin();
    /// assert_eq!(Tty::new(&input).is_ok(), is_terminal(&input));
    /// let file = std::fs::File::open("/proc/self/status")?;
    /// assert_eq!(Tty::new(&file).unwrap_err().raw_os_error(), Some(25)); // ENOTTY
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ENOTTY` where it is no terminal; `EIO` where the terminal hung up.
    pub fn new(fd: Fd) -> io::Result<Tty<Fd>> {
        tcgetattr(&fd)?;
        Ok(Tty { fd })
    }

    /// Gives back what this was made of.
    pub fn into_inner(self) -> Fd {
        self.fd
    }

    /// Reads what is there: `Some(n)` bytes, `None` where it would block.
    ///
    /// `Some(0)` for a buffer that is not empty says that the terminal hung up (its controller was closed, the line
    /// was dropped), or, where line editing is on, that the user typed the end-of-file character. With line editing
    /// on, at most one line comes at a time. An interruption by a signal is read through.
    ///
    /// # Errors
    /// `EIO` where this process is in the background and cannot be stopped by `SIGTTIN`.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        attempt(|| read(&self.fd, &mut *buf))
    }

    /// Writes what there is room for: `Some(n)` bytes, which may be fewer than given, or `None` where it would block.
    ///
    /// # Errors
    /// `EIO` where the terminal hung up.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        attempt(|| write(&self.fd, buf))
    }

    /// Waits for this descriptor alone, without any loop; see [`wait`](crate::wait).
    ///
    /// # Errors
    /// Those of poll(2); an interruption by a signal is not among them.
    pub fn wait_ready(&self, want: crate::Ready, deadline: Option<Instant>) -> io::Result<Option<crate::Ready>> {
        crate::wait(&self.fd, want, deadline)
    }

    /// The path of the terminal's device, such as `/dev/pts/3`.
    ///
    /// # Errors
    /// `ENODEV` where the device is not in this mount namespace's `/dev`, `EIO` after a hang-up.
    #[doc(alias = "ttyname")]
    pub fn path(&self) -> io::Result<PathBuf> {
        let name = rustix::termios::ttyname(&self.fd, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(name.into_bytes())))
    }

    /// Switches to raw mode, cfmakeraw(3), until the guard is dropped: each byte comes as it was typed, without
    /// echo, line editing, signals from control characters or translation of line ends. What was typed ahead stays.
    ///
    /// The settings belong to the terminal, not to the descriptor: they hold for everybody who uses it.
    ///
    /// # Errors
    /// `EIO` after a hang-up. `EINTR` does not come: a background process is stopped by `SIGTTOU` instead.
    #[doc(alias = "cfmakeraw")]
    #[doc(alias = "tcsetattr")]
    pub fn raw_mode(&self) -> io::Result<RawMode<'_>> {
        RawMode::enter(self.fd.as_fd(), |modes| {
            modes.make_raw();
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    /// As [`raw_mode`](Self::raw_mode), and leaves more to the kernel: Ctrl-C and its kin make signals, and the ends of
    /// written lines are translated. For programs that react to single keys.
    ///
    /// # Errors
    /// As [`raw_mode`](Self::raw_mode).
    #[doc(alias = "cbreak")]
    pub fn key_mode(&self) -> io::Result<RawMode<'_>> {
        RawMode::enter(self.fd.as_fd(), |modes| {
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    /// Switches the echo off until the guard is dropped, save that of the line's end. For passwords: the line can still
    /// be edited. What was typed ahead stays, and was seen.
    ///
    /// # Errors
    /// As [`raw_mode`](Self::raw_mode).
    #[doc(alias = "ECHO")]
    #[doc(alias = "getpass")]
    pub fn no_echo(&self) -> io::Result<RawMode<'_>> {
        RawMode::enter(self.fd.as_fd(), |modes| {
            modes.local_modes.remove(LocalModes::ECHO);
            modes.local_modes.insert(LocalModes::ECHONL);
        })
    }

    /// The process group in the foreground: the one that may read the terminal and gets its signals.
    ///
    /// # Errors
    /// `ENOTTY` where this is not the controlling terminal of the calling process; `EOPNOTSUPP` where no group is in
    /// the foreground.
    #[doc(alias = "tcgetpgrp")]
    pub fn foreground_group(&self) -> io::Result<u32> {
        foreground_group(self.fd.as_fd())
    }

    /// Puts a process group of our session into the foreground. A caller that is not there itself, such as a shell
    /// whose job has ended, gets `SIGTTOU`, and is stopped by it unless it ignores or blocks that.
    ///
    /// # Errors
    /// `ENOTTY` where this is not the controlling terminal of the calling process; `EPERM` for a group of another
    /// session; `ESRCH` for none; `EINVAL` for what cannot be one; `EIO` for a caller in the background that `SIGTTOU`
    /// cannot stop because it is an orphan.
    #[doc(alias = "tcsetpgrp")]
    pub fn set_foreground_group(&self, group: u32) -> io::Result<()> {
        let group = i32::try_from(group).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
        Ok(retry_on_intr(|| tcsetpgrp(&self.fd, group))?)
    }

    /// The session that has this for its controlling terminal, by the number of its leader.
    ///
    /// # Errors
    /// `ENOTTY` where this is not the controlling terminal of the calling process.
    #[doc(alias = "tcgetsid")]
    pub fn session(&self) -> io::Result<u32> {
        Ok(tcgetsid(&self.fd)?.as_raw_nonzero().get().cast_unsigned())
    }

    /// Makes this the controlling terminal of the calling process, which leads a session without one: setsid(2).
    ///
    /// # Errors
    /// `EPERM` where the caller leads no session, has another controlling terminal, or where the terminal is another
    /// session's.
    #[doc(alias = "TIOCSCTTY")]
    pub fn make_controlling(&self) -> io::Result<()> {
        Ok(ioctl_tiocsctty(&self.fd)?)
    }

    /// Drops what was typed and not yet read.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflush")]
    #[doc(alias = "TCIFLUSH")]
    pub fn discard_input(&self) -> io::Result<()> {
        Ok(tcflush(&self.fd, QueueSelector::IFlush)?)
    }

    /// Drops what was written and is not yet sent. Of a pseudoterminal nothing is: its controller can read it already.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "tcflush")]
    #[doc(alias = "TCOFLUSH")]
    pub fn discard_output(&self) -> io::Result<()> {
        Ok(tcflush(&self.fd, QueueSelector::OFlush)?)
    }

    /// The size of the terminal's window, all zero where nobody has told it; see ioctl_tty(2). `SIGWINCH` says that
    /// it changed.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    #[doc(alias = "TIOCGWINSZ")]
    #[doc(alias = "tcgetwinsize")]
    pub fn window_size(&self) -> io::Result<WindowSize> {
        window_size(self.fd.as_fd())
    }

    /// Tells the kernel the size of the window; the foreground process group gets `SIGWINCH` where it is a new one.
    ///
    /// # Errors
    /// As [`window_size`](Self::window_size).
    #[doc(alias = "TIOCSWINSZ")]
    #[doc(alias = "tcsetwinsize")]
    pub fn set_window_size(&self, size: WindowSize) -> io::Result<()> {
        set_window_size(self.fd.as_fd(), size)
    }
}

impl<Fd: AsFd> AsFd for Tty<Fd> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<Fd: AsFd> AsRawFd for Tty<Fd> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_fd().as_raw_fd()
    }
}

impl<Fd: AsFd + Into<OwnedFd>> IntoRawFd for Tty<Fd> {
    fn into_raw_fd(self) -> RawFd {
        self.fd.into().into_raw_fd()
    }
}

impl From<Tty> for OwnedFd {
    fn from(tty: Tty) -> OwnedFd {
        tty.fd
    }
}

/// The size of a terminal's window. Zero means "not known".
///
/// ```
/// use becket_sys::{pty, tty::WindowSize};
///
/// let (controller, terminal) = pty::pair()?;
/// assert_eq!(terminal.window_size()?, WindowSize::default());
/// controller.set_window_size(WindowSize { rows: 50, columns: 132, ..WindowSize::default() })?;
/// assert_eq!(terminal.window_size()?.rows, 50);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "winsize")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WindowSize {
    /// Height in characters.
    #[doc(alias = "ws_row")]
    pub rows: u16,
    /// Width in characters.
    #[doc(alias = "ws_col")]
    pub columns: u16,
    /// Width in pixels; mostly zero.
    #[doc(alias = "ws_xpixel")]
    pub x_pixels: u16,
    /// Height in pixels; mostly zero.
    #[doc(alias = "ws_ypixel")]
    pub y_pixels: u16,
}

pub(crate) fn foreground_group(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(tcgetpgrp(fd)?.as_raw_nonzero().get().cast_unsigned())
}

pub(crate) fn window_size(fd: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel } = tcgetwinsize(fd)?;
    Ok(WindowSize { rows: ws_row, columns: ws_col, x_pixels: ws_xpixel, y_pixels: ws_ypixel })
}

pub(crate) fn set_window_size(fd: BorrowedFd<'_>, size: WindowSize) -> io::Result<()> {
    let WindowSize { rows, columns, x_pixels, y_pixels } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: x_pixels, ws_ypixel: y_pixels };
    Ok(tcsetwinsize(fd, size)?)
}

/// Whether `fd` is a terminal: isatty(3). One that hung up no longer is.
///
/// ```
/// use becket_sys::{pty, tty::is_terminal};
///
/// let (_controller, terminal) = pty::pair()?;
/// assert!(is_terminal(&terminal));
/// assert!(!is_terminal(std::fs::File::open("/proc/self/status")?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "isatty")]
pub fn is_terminal(fd: impl AsFd) -> bool {
    isatty(fd)
}
