use crate::ffi;
use std::process::Command;

/// What a [`Command`] needs in a program that blocks signals.
///
/// ```
/// use becket_sys::signal::{CommandSignalExt, Signal, Signals};
/// use std::process::Command;
///
/// let _signals = Signals::new([Signal::INT, Signal::TERM])?;
/// let out = Command::new("grep").args(["SigBlk", "/proc/self/status"]).reset_sigmask().output()?;
/// assert_eq!(out.stdout, b"SigBlk:\t0000000000000000\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait CommandSignalExt: sealed::Sealed {
    /// Starts the child with no signal blocked.
    ///
    /// A child inherits the mask of the thread that starts it, through exec too; one that inherits a blocked SIGTERM
    /// cannot be ended by it. Costs the fast way of starting a process: the standard library then takes fork and
    /// exec in place of posix_spawn(3).
    fn reset_sigmask(&mut self) -> &mut Self;
}

impl CommandSignalExt for Command {
    fn reset_sigmask(&mut self) -> &mut Self {
        ffi::signal::reset_sigmask(self);
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::process::Command {}
}
