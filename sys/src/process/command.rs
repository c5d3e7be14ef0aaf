use crate::ffi::process as ffi;
use crate::signal::Signal;
use std::process::Command;

/// What the standard library's [`Command`] does not say of a child. For its process group, use
/// [`process_group`](std::os::unix::process::CommandExt::process_group); for its signal mask,
/// [`reset_sigmask`](crate::signal::CommandSignalExt::reset_sigmask).
///
/// Each of these costs the fast way of starting a process: the standard library then takes fork and exec in place of
/// posix_spawn(3).
///
/// ```
/// use becket_sys::process::{Child, CommandProcessExt};
/// use becket_sys::signal::Signal;
/// use std::process::Command;
///
/// let mut command = Command::new("true");
/// command.new_session().signal_on_parents_end(Signal::KILL);
/// assert!(Child::spawn(&mut command)?.wait(None)?.unwrap().success());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait CommandProcessExt: sealed::Sealed {
    /// Sends the child `signal` when **the thread** that starts it ends, which is not always when the process does:
    /// start it from a thread that lasts. What the child starts in turn gets nothing, and a set-user-ID program clears
    /// it. Where the parent ends before the child has begun, the child does not begin.
    #[doc(alias = "PR_SET_PDEATHSIG")]
    #[doc(alias = "prctl")]
    fn signal_on_parents_end(&mut self, signal: Signal) -> &mut Self;

    /// Makes the child lead a session, and a process group, of its own, without a controlling terminal: Ctrl-C at ours
    /// does not reach it. For one with a terminal, [`Controller::spawn`](crate::pty::Controller::spawn).
    #[doc(alias = "setsid")]
    fn new_session(&mut self) -> &mut Self;
}

impl CommandProcessExt for Command {
    fn signal_on_parents_end(&mut self, signal: Signal) -> &mut Self {
        ffi::signal_on_parents_end(self, signal.as_raw());
        self
    }

    fn new_session(&mut self) -> &mut Self {
        ffi::new_session(self);
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::process::Command {}
}
