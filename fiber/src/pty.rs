//! Pseudoterminals: pty(7).

pub use becket_sys::pty::{Packet, Status};

use crate::over::{clones, over_io, reads, timeouts, until, writes};
use crate::process::Child;
use crate::tty::Tty;
use crate::{Io, Ready};
use becket_sys::{SetupError, pty};
use std::io;
use std::process;

/// The end of a pseudoterminal that plays the keyboard and the screen; see [`Tty`] for the other.
///
/// A read of 0 bytes says that nobody has the terminal open any more. Sizes, packet mode and signals are
/// [`becket_sys::pty::Controller`]'s. Dropping it hangs the terminal up.
///
/// ```
/// use becket_fiber::{Runtime, process::Command, pty::Controller};
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let mut controller = Controller::open()?;
///     let mut shell = Command::new("sh");
///     shell.args(["-c", "read word; echo the word is $word"]);
///     let child = controller.spawn(shell)?;
///     controller.write_all(b"becket\n")?;
///     let mut screen = String::new();
///     controller.read_to_string(&mut screen)?; // until the terminal is closed
///     assert!(screen.ends_with("the word is becket\r\n"), "{screen:?}");
///     assert!(child.wait()?.success());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "ptmx")]
#[doc(alias = "openpty")]
pub struct Controller {
    io: Io<pty::Controller>,
}

over_io!(Controller, pty::Controller, convert);
clones!(Controller);
timeouts!(Controller);
reads!(Controller);
writes!(Controller);

impl Controller {
    /// Opens a new pseudoterminal.
    ///
    /// # Errors
    /// As [`pty::Controller::open`]: `ENOSPC` where there are as many as there may be, `EMFILE`.
    pub fn open() -> Result<Controller, SetupError> {
        pty::Controller::open()?.try_into().map_err(no_fcntl)
    }

    /// Its terminal, for this program.
    ///
    /// # Errors
    /// As [`pty::Controller::open_terminal`].
    pub fn open_terminal(&self) -> io::Result<Tty> {
        self.io.get_ref().open_terminal()?.try_into()
    }

    /// Reads in [packet mode](pty::Controller::set_packet_mode): data into `buf`, or what changed.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn read_packet(&self, buf: &mut [u8]) -> io::Result<Packet> {
        until(&self.io, Ready::READ, |c| c.try_read_packet(buf))
    }

    /// Starts `command` in a session of its own with the terminal for its standard input, output and error, and for its
    /// controlling terminal; see [`pty::Controller::spawn`].
    ///
    /// # Errors
    /// As [`pty::Controller::spawn`].
    pub fn spawn(&self, command: impl Into<process::Command>) -> Result<Child, SetupError> {
        Child::over(self.io.get_ref().spawn(command.into())?)
    }
}

/// Opens a pair: the controller, and its terminal.
///
/// # Errors
/// As [`Controller::open`] and [`Controller::open_terminal`].
pub fn pair() -> Result<(Controller, Tty), SetupError> {
    let (controller, terminal) = pty::pair()?;
    Ok((controller.try_into().map_err(no_fcntl)?, terminal.try_into().map_err(no_fcntl)?))
}

fn no_fcntl(e: io::Error) -> SetupError {
    SetupError::new("fcntl", "a pseudoterminal", e)
}
