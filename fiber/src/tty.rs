//! Terminals: tty(4), termios(3).

pub use becket_sys::tty::{RawMode, WindowSize, is_terminal};

use crate::Io;
use crate::over::{over_io, reads, timeouts, writes};
use becket_sys::{SetupError, tty};
use std::os::fd::AsFd;
use std::path::Path;

/// A terminal with an open description of its own: whoever shares standard input is not made non-blocking by it.
///
/// Modes, window size and process groups are [`becket_sys::tty::Tty`]'s. A read of 0 bytes is a hang-up or, where lines
/// are edited, the end-of-file character.
///
/// ```
/// use becket_fiber::{Runtime, pty, spawn};
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (mut controller, mut terminal) = pty::pair()?;
///     let typing = spawn(move || controller.write_all(b"a line\n").map(|()| controller))?;
///     let mut line = [0; 16];
///     let n = terminal.read(&mut line)?;
///     assert_eq!(&line[..n], b"a line\n");
///     drop(typing.join()??);
///     assert_eq!(terminal.read(&mut line)?, 0); // hung up
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Tty {
    io: Io<tty::Tty>,
}

over_io!(Tty, tty::Tty, convert);
timeouts!(Tty);
reads!(Tty);
writes!(Tty);

impl Tty {
    /// Opens the terminal at `path`, for example `/dev/tty1`; it does not become the controlling one.
    ///
    /// # Errors
    /// As [`tty::Tty::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Tty, SetupError> {
        made(tty::Tty::open(path)?)
    }

    /// Opens the controlling terminal of this process, `/dev/tty`.
    ///
    /// # Errors
    /// As [`tty::Tty::controlling`]: `ENXIO` where there is none.
    pub fn controlling() -> Result<Tty, SetupError> {
        made(tty::Tty::controlling()?)
    }

    /// Opens the terminal of `fd` anew, for example that of standard input.
    ///
    /// # Errors
    /// As [`tty::Tty::reopen`]: `ENOTTY` where it is none, `EACCES` where it is another user's.
    pub fn reopen(fd: impl AsFd) -> Result<Tty, SetupError> {
        made(tty::Tty::reopen(fd)?)
    }
}

fn made(tty: tty::Tty) -> Result<Tty, SetupError> {
    tty.try_into().map_err(|e| SetupError::new("fcntl", "a terminal", e))
}
