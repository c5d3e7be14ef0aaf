use super::PidFd;
use crate::fd::owned_fd;
use crate::pipe::Reader;
use crate::poll::Poll;
use crate::signal::{CommandSignalExt, Signal, SignalSet};
use crate::{Ready, SetupError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A child process with its [`PidFd`].
///
/// As a descriptor it is readable once the child has ended. Any thread may wait for it or signal it, by shared
/// reference; a signal never hits a process that got the child's number later.
///
/// Dropping it closes its descriptors, its ends of the pipes among them. The child goes on; when it ends, it stays a
/// zombie until this process ends too: wait for what you start, or ask for [`kill_on_drop`](Self::kill_on_drop).
///
/// ```
/// use becket_sys::process::Child;
/// use std::io::{Read, Write};
/// use std::process::{Command, Stdio};
///
/// let mut child = Child::spawn(Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
/// assert_eq!(child.try_wait()?, None);
///
/// child.stdin.take().unwrap().write_all(b"becket")?; // and closed: the child sees the end
/// let mut out = String::new();
/// child.stdout.take().unwrap().read_to_string(&mut out)?;
/// assert_eq!(out, "BECKET");
/// assert!(child.wait(None)?.unwrap().success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    fd: Held,
    id: u32,
    /// Once the status was taken from the kernel, which gives it only once.
    status: Mutex<Option<ExitStatus>>,
    /// The end to write the child's standard input to, if that is piped. Blocking, as the standard library opens it.
    pub stdin: Option<ChildStdin>,
    /// The end to read the child's standard output from, if that is piped. Blocking.
    pub stdout: Option<ChildStdout>,
    /// The end to read the child's standard error from, if that is piped. Blocking.
    pub stderr: Option<ChildStderr>,
}

owned_fd!(Child, Readable);

impl Child {
    /// Starts `command` and opens a descriptor of the child before anybody can wait for it: no part of the program
    /// knows it yet. (One that waits for just any child, or that has SIGCHLD ignored, may still be quicker; this is
    /// then an error.)
    ///
    /// Where this thread blocks signals, as one with [`Signals`](crate::signal::Signals) does, the command is told to start
    /// the child with none blocked ([`reset_sigmask`](crate::signal::CommandSignalExt::reset_sigmask)): a child that
    /// inherits a blocked SIGTERM cannot be ended by it. Who wants it to inherit the mask starts it by
    /// [`Command::spawn`], for [`PidFd::of_child`].
    ///
    /// # Errors
    /// Step `spawn` on the program: `ENOENT`, `EACCES`, `EAGAIN` and the others of [`Command::spawn`]. Step
    /// `pidfd_open` on the number of the child: `EMFILE`, `ENFILE`, `ENOMEM`; the child has then been ended with
    /// SIGKILL. `ESRCH` or `ECHILD` where something else has taken its status.
    ///
    /// ```
    /// use becket_sys::process::Child;
    /// use std::process::Command;
    ///
    /// let e = Child::spawn(&mut Command::new("/no/such/program")).unwrap_err();
    /// assert_eq!(e.to_string(), "spawn /no/such/program: No such file or directory (os error 2)");
    /// ```
    pub fn spawn(command: &mut Command) -> Result<Child, SetupError> {
        // Not where there is nothing to do: it costs the fast way of starting a process.
        if !SignalSet::blocked().is_empty() {
            command.reset_sigmask();
        }
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) => return Err(SetupError::new("spawn", command.get_program().to_string_lossy(), e)),
        };
        let id = child.id();
        match PidFd::open_child(id) {
            Ok(fd) => Ok(Child {
                fd: Held { fd: Some(fd), kill: false },
                id,
                status: Mutex::new(None),
                stdin: child.stdin.take(),
                stdout: child.stdout.take(),
                stderr: child.stderr.take(),
            }),
            Err(e) => {
                let is_gone = matches!(e.raw_os_error(), Some(libc::ESRCH | libc::ECHILD));
                if !is_gone {
                    // Nobody else knows of it, so its number is still its own. Both fail only for a child that is gone.
                    let _ = child.kill();
                    let _ = child.wait();
                }
                Err(SetupError::new("pidfd_open", id.to_string(), e))
            }
        }
    }

    /// The number of the process: its own until its status has been taken, and perhaps another's after that.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The child's descriptor, for [`PidFd`]'s other methods. A status taken by [`PidFd::try_wait`] is lost to this
    /// object.
    pub fn pid_fd(&self) -> &PidFd {
        self.fd.get()
    }

    /// Whether dropping this object ends the child by `SIGKILL` and waits for that, so that no zombie stays; false
    /// where nobody asked. What the child has started goes on. A child that even `SIGKILL` does not end within a
    /// second, as one that waits for a broken disk, is left to itself. Turned into a bare descriptor, it kills nobody.
    ///
    /// ```
    /// use becket_sys::process::{Child, PidFd};
    /// use std::process::Command;
    ///
    /// let child = Child::spawn(Command::new("sleep").arg("1000"))?.kill_on_drop(true);
    /// let process = child.pid_fd().try_clone()?;
    /// drop(child);
    /// assert!(process.has_ended()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill_on_drop(mut self, kill: bool) -> Child {
        self.fd.kill = kill;
        self
    }

    /// The status of the child if it has ended, as often as asked; `None` while it runs. The first time, this ends
    /// the zombie.
    ///
    /// # Errors
    /// `ECHILD` where something else has taken the status: a wait for just any child, or SIGCHLD is ignored.
    #[doc(alias = "waitpid")]
    #[doc(alias = "WNOHANG")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        // A panic cannot leave the status half written.
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_none() {
            *status = self.fd.get().try_wait()?;
        }
        Ok(*status)
    }

    /// Waits until the child has ended, or until `deadline`, and gives its status; `None` when the deadline came
    /// first. Without a deadline it waits forever. Blocks the calling thread, without any loop.
    ///
    /// A child that reads its standard input to the end does not end before [`stdin`](Self::stdin) is closed, nor
    /// one that has more to write than a pipe holds.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait), and those of poll(2).
    #[doc(alias = "waitpid")]
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            if self.wait_ready(Ready::READ, deadline)?.is_none() {
                return Ok(None);
            }
        }
    }

    /// Closes the child's standard input, reads its standard output and error to their ends (those that are piped, and
    /// still here), and waits for the child; `None` when `deadline` came first, whereupon what was read is gone, and
    /// the child goes on unless [`kill_on_drop`](Self::kill_on_drop) was asked for. Both pipes are read as they fill,
    /// so that the child is never stuck. Blocks the calling thread, without any loop.
    ///
    /// The end of the output comes when the last process that holds the pipe has closed it: a grandchild that goes on
    /// delays it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// use becket_sys::process::Child;
    /// use std::process::{Command, Stdio};
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo out; echo err >&2; exit 3"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    /// let output = Child::spawn(&mut command)?.wait_with_output(None)?.unwrap();
    /// assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    /// assert_eq!(output.status.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(mut self, deadline: Option<Instant>) -> io::Result<Option<Output>> {
        drop(self.stdin.take());
        let ends = [self.stdout.take().map(Reader::from), self.stderr.take().map(Reader::from)];
        let mut texts = [Vec::new(), Vec::new()];
        let mut set = Poll::new();
        for (i, end) in ends.iter().enumerate() {
            if let Some(end) = end {
                // Our end only: the child's is a description of its own.
                end.set_nonblocking(true)?;
                set.add(end, i as u64, Ready::READ)?;
            }
        }
        let mut open = ends.iter().flatten().count();
        let mut buf = vec![0; 1 << 16];
        while open > 0 {
            if set.wait(deadline)? == 0 {
                return Ok(None);
            }
            let ready: Vec<usize> = set.ready().map(|(i, _)| i as usize).collect();
            for i in ready {
                let Some(end) = &ends[i] else { continue };
                match end.try_read(&mut buf)? {
                    Some(0) => {
                        set.delete(end)?;
                        open -= 1;
                    }
                    n => texts[i].extend_from_slice(&buf[..n.unwrap_or(0)]),
                }
            }
        }
        let [stdout, stderr] = texts;
        Ok(self.wait(deadline)?.map(|status| Output { status, stdout, stderr }))
    }

    /// Sends `signal` to the child.
    ///
    /// # Errors
    /// `ESRCH` where it has ended and its status was taken; `EPERM` where it has become another user's (a set-user-ID
    /// program).
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.fd.get().send_signal(signal)
    }
}

impl AsRef<PidFd> for Child {
    fn as_ref(&self) -> &PidFd {
        self.fd.get()
    }
}

/// The descriptor, and whether to kill by it.
#[derive(Debug)]
struct Held {
    /// `None` only once this was turned into an `OwnedFd`.
    fd: Option<PidFd>,
    kill: bool,
}

impl Held {
    fn get(&self) -> &PidFd {
        // Taken only by value, in the conversion below.
        self.fd.as_ref().expect("the descriptor is there until it is given away")
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }
}

impl From<Held> for OwnedFd {
    fn from(mut held: Held) -> OwnedFd {
        held.kill = false;
        held.fd.take().expect("the descriptor is there until it is given away").into()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(fd), true) = (&self.fd, self.kill) else { return };
        // One whose status was taken is spared by its descriptor (ESRCH).
        if fd.send_signal(Signal::KILL).is_ok() {
            let _ = fd.wait_ready(Ready::READ, Some(Instant::now() + Duration::from_secs(1)));
            let _ = fd.try_wait();
        }
    }
}
