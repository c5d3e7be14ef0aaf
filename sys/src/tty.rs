//! Terminals: tty(4), termios(3).
//!
//! For serial lines, which are terminals too, see [`serial`](crate::serial); for pseudoterminals, [`pty`](crate::pty).
//!
//! # Whose blocking mode
//!
//! `O_NONBLOCK` belongs to the open file description, which a shell, its other jobs and our standard input, output
//! and error share: setting it on descriptor 0 makes the writes of unrelated programs fail. A [`Tty`] never does so.
//! To read the keyboard without blocking, open the terminal anew with [`Tty::controlling`].

use crate::SetupError;
use crate::fd::{byte_stream, unless_blocked};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::ffi::OsString;
use std::io;
use std::mem::ManuallyDrop;
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
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(retry_on_intr(|| read(&self.fd, &mut *buf)))
    }

    /// Writes what there is room for: `Some(n)` bytes, which may be fewer than given, or `None` where it would block.
    ///
    /// # Errors
    /// `EIO` where the terminal hung up.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(retry_on_intr(|| write(&self.fd, buf)))
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
        let fd = self.fd.as_fd();
        let saved = tcgetattr(fd)?;
        let mut raw = saved.clone();
        raw.make_raw();
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        retry_on_intr(|| tcsetattr(fd, OptionalActions::Now, &raw))?;
        Ok(RawMode { fd, saved })
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

/// Keeps a terminal in raw mode; dropping it restores the settings that were there before, also while a panic
/// unwinds. A terminal that hung up meanwhile has nothing to restore.
///
/// A program that is built with `panic = "abort"`, or ends by `process::exit` or a signal, drops nothing: the
/// terminal then stays raw until somebody runs `stty sane`.
///
/// ```
/// use becket_sys::{Ready, pty};
///
/// let (controller, terminal) = pty::pair()?;
/// terminal.raw_mode()?.restore()?;
/// controller.try_write(b"line\n")?; // cooked again: the terminal echoes
/// controller.wait_ready(Ready::READ, None)?; // in its own time
/// let mut echo = [0; 16];
/// assert_eq!(controller.try_read(&mut echo)?, Some(6));
/// assert_eq!(&echo[..6], b"line\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "raw mode ends when the guard is dropped"]
pub struct RawMode<'tty> {
    fd: BorrowedFd<'tty>,
    saved: Termios,
}

impl RawMode<'_> {
    /// Restores the settings now, and says whether that worked.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    pub fn restore(self) -> io::Result<()> {
        ManuallyDrop::new(self).put_back()
    }

    fn put_back(&self) -> io::Result<()> {
        // Not `Drain`, which would wait for output that a stopped terminal never takes.
        Ok(retry_on_intr(|| tcsetattr(self.fd, OptionalActions::Now, &self.saved))?)
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        let _ = self.put_back();
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
