//! Child processes: pidfd_open(2).

pub use becket_sys::process::PidFd;
pub use std::process::{Command, ExitStatus, Stdio};

use crate::over::{over_io, until};
use crate::{Io, Ready, pipe};
use becket_sys::signal::Signal;
use becket_sys::{SetupError, process};
use std::io;
use std::os::fd::OwnedFd;
use std::thread;

/// A child process.
///
/// Its ends of pipes are those of [`pipe`]. Dropping it closes them; the child goes on and stays a zombie at its end,
/// unless [`kill_on_drop`](Self::kill_on_drop) was asked for.
///
/// ```
/// use becket_fiber::process::{Child, Command, Stdio};
/// use becket_fiber::Runtime;
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let mut command = Command::new("tr");
///     let mut child = Child::spawn(command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
///     child.stdin.take().unwrap().write_all(b"becket")?; // and closed: the child sees the end
///     let mut text = String::new();
///     child.stdout.take().unwrap().read_to_string(&mut text)?;
///     assert_eq!(text, "BECKET");
///     assert!(child.wait()?.success());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    io: Io<process::Child>,
    kill_on_drop: bool,
    /// The end to write the child's standard input to, if that is piped. The child sees the end when it is dropped.
    pub stdin: Option<pipe::Writer>,
    /// The end to read the child's standard output from, if that is piped.
    pub stdout: Option<pipe::Reader>,
    /// The end to read the child's standard error from, if that is piped.
    pub stderr: Option<pipe::Reader>,
}

over_io!(Child, process::Child);

impl Child {
    /// Starts `command`.
    ///
    /// The child inherits the mask of blocked signals: see
    /// [`reset_sigmask`](crate::signal::CommandSignalExt::reset_sigmask).
    ///
    /// # Errors
    /// As [`process::Child::spawn`]: step `spawn` on the program (`ENOENT`, `EACCES`, `EAGAIN`), or `pidfd_open` on the
    /// number of the child.
    pub fn spawn(command: &mut Command) -> Result<Child, SetupError> {
        Child::over(process::Child::spawn(command)?)
    }

    pub(crate) fn over(mut child: process::Child) -> Result<Child, SetupError> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let id = child.id();
        let reader = |end: OwnedFd| becket_sys::pipe::Reader::from(end).try_into();
        let build = move || {
            Ok(Child {
                io: Io::new(child)?,
                kill_on_drop: false,
                stdin: stdin.map(|end| becket_sys::pipe::Writer::from(end).try_into()).transpose()?,
                stdout: stdout.map(|end| reader(end.into())).transpose()?,
                stderr: stderr.map(|end| reader(end.into())).transpose()?,
            })
        };
        build().map_err(|e: io::Error| SetupError::new("fcntl", id.to_string(), e))
    }

    /// Whether dropping this ends a child that still runs, with SIGKILL. A helper thread then waits for it, so that no
    /// zombie stays. By default it goes on.
    pub fn kill_on_drop(mut self, kill: bool) -> Child {
        self.kill_on_drop = kill;
        self
    }

    /// Waits until the child has ended, and gives its status, as often as asked.
    ///
    /// A child that reads its standard input to the end does not end before [`stdin`](Self::stdin) is dropped, nor one
    /// that has more to write than a pipe holds.
    ///
    /// # Errors
    /// `ECHILD` where something else has taken the status; [`Cancelled`](crate::Cancelled) and `TimedOut`: the child
    /// goes on.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        until(&self.io, Ready::READ, process::Child::try_wait)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.kill_on_drop || !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        let dying = self.send_signal(Signal::KILL).and_then(|()| self.pid_fd().try_clone());
        if let Ok(dying) = dying {
            // Where there is no thread to be had it stays a zombie.
            let _ = thread::Builder::new().name("becket-reaper".into()).spawn(move || {
                // Both fail only where the status was taken by something else.
                let _ = dying.wait_ready(Ready::READ, None);
                let _ = dying.try_wait();
            });
        }
    }
}
