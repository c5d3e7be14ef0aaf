//! Child processes: pidfd_open(2).

pub use becket_sys::process::PidFd;
pub use std::process::{ExitStatus, Output, Stdio};

use crate::over::{over_io, until};
use crate::several::Several;
use crate::{Io, Ready, pipe};
use becket_sys::signal::{MaskGuard, Signal, SignalSet};
use becket_sys::{SetupError, event, poll, process};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process as std_process;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A program to be started, as by [`std::process::Command`]: the same names, the same meaning.
///
/// What is missing here is reached by [`as_std_mut`](Self::as_std_mut). A fork and an exec take the thread about a
/// millisecond, in which no other fiber runs.
///
/// ```
/// use becket_fiber::Runtime;
/// use becket_fiber::process::Command;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let output = Command::new("sh").args(["-c", "echo $WORD; exit 3"]).env("WORD", "becket").output()?;
///     assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"becket\n".as_slice()));
///     assert!(Command::new("true").status()?.success());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it is to be started"]
pub struct Command {
    command: std_process::Command,
    kill_on_drop: bool,
    /// Which of its standard streams were set.
    set: [bool; 3],
}

impl Command {
    /// Starts `program`, which is looked for in the PATH, with no arguments, the environment and directory of this
    /// process, and its standard streams.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std_process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> &mut Command {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.command.env(name, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, vars: impl IntoIterator<Item = (K, V)>) -> &mut Command {
        self.command.envs(vars);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.command.env_remove(name);
        self
    }

    /// Gives it nothing of this process's environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.command.env_clear();
        self
    }

    /// Starts it in another directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.command.current_dir(dir);
        self
    }

    /// Its standard input: inherited by [`spawn`](Self::spawn) and [`status`](Self::status), nothing for
    /// [`output`](Self::output), unless this is called.
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Command {
        self.command.stdin(from);
        self.set[0] = true;
        self
    }

    /// Its standard output: inherited by [`spawn`](Self::spawn) and [`status`](Self::status), unless this is called.
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.command.stdout(to);
        self.set[1] = true;
        self
    }

    /// Its standard error: inherited by [`spawn`](Self::spawn) and [`status`](Self::status), unless this is called.
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Command {
        self.command.stderr(to);
        self.set[2] = true;
        self
    }

    /// Whether a child that still runs when its [`Child`] is dropped is ended by SIGKILL. By default it goes on. Nor
    /// does a cancelled [`status`](Self::status) or [`output`](Self::output) end it by default.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// For all that it has of std's, and that other crates add to that:
    /// [`CommandSignalExt`](crate::signal::CommandSignalExt), process groups, user and group.
    pub fn as_std_mut(&mut self) -> &mut std_process::Command {
        &mut self.command
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn spawn(&mut self) -> Result<Child, SetupError> {
        Ok(Child::spawn(&mut self.command)?.kill_on_drop(self.kill_on_drop))
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`Child::spawn`] and [`Child::wait`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts it, reads what it writes to standard output and error, and waits for its end.
    ///
    /// # Errors
    /// As [`Child::spawn`] and [`Child::wait_with_output`].
    pub fn output(&mut self) -> io::Result<Output> {
        self.set_rest(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // As it was, for the next time.
        self.set_rest(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets the streams that the user has not set.
    fn set_rest(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        if !self.set[0] {
            self.command.stdin(input());
        }
        if !self.set[1] {
            self.command.stdout(output());
        }
        if !self.set[2] {
            self.command.stderr(output());
        }
    }
}

impl From<std_process::Command> for Command {
    fn from(command: std_process::Command) -> Command {
        Command { command, kill_on_drop: false, set: [false; 3] }
    }
}

impl From<Command> for std_process::Command {
    fn from(command: Command) -> std_process::Command {
        command.command
    }
}

/// A child process.
///
/// Its ends of pipes are those of [`pipe`]. Dropping it closes them; the child goes on, unless
/// [`kill_on_drop`](Self::kill_on_drop) was asked for. In either case its status is taken when it ends, by one thread for
/// all such children of the process, so that no zombie stays.
///
/// ```
/// use becket_fiber::process::{Command, Stdio};
/// use becket_fiber::Runtime;
/// use std::io::{Read, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
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
    /// Starts a command of std's; see also [`Command::spawn`].
    ///
    /// No signal is blocked in it, also where this thread blocks some.
    ///
    /// # Errors
    /// As [`process::Child::spawn`]: step `spawn` on the program (`ENOENT`, `EACCES`, `EAGAIN`), or `pidfd_open` on the
    /// number of the child.
    pub fn spawn(command: &mut std_process::Command) -> Result<Child, SetupError> {
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

    /// Whether dropping this ends a child that still runs, with SIGKILL. By default it goes on.
    pub fn kill_on_drop(mut self, kill: bool) -> Child {
        self.kill_on_drop = kill;
        self
    }

    /// Ends the child by SIGKILL; one that has ended is left as it is. [`wait`](Self::wait) for its end.
    ///
    /// # Errors
    /// `EPERM` where it has become another user's.
    pub fn kill(&self) -> io::Result<()> {
        match self.send_signal(Signal::KILL) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
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

    /// Closes the child's standard input, reads its standard output and error to their ends (those that are piped, and
    /// still here), and waits for the child. Both pipes are read as they fill, so that the child is never stuck.
    ///
    /// The end of the output comes when the last process that holds the pipe has closed it: a grandchild that goes on
    /// delays it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); what was read is then gone, and the child as if dropped.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let ends = [self.stdout.take(), self.stderr.take()];
        let mut texts = [Vec::new(), Vec::new()];
        let mut several = Several::new(ends.len())?;
        for (i, end) in ends.iter().enumerate() {
            if let Some(end) = end {
                several.add(end, i, Ready::READ)?;
            }
        }
        let mut ends = ends;
        let mut buf = vec![0; 1 << 16];
        while ends.iter().any(Option::is_some) {
            for i in several.wait(None)? {
                let Some(end) = &ends[i] else { continue };
                match end.try_read(&mut buf)? {
                    // Closed, it leaves the set.
                    Some(0) => ends[i] = None,
                    n => texts[i].extend_from_slice(&buf[..n.unwrap_or(0)]),
                }
            }
        }
        let [stdout, stderr] = texts;
        Ok(Output { status: self.wait()?, stdout, stderr })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        if self.kill_on_drop {
            // Fails only for one that has become another user's.
            let _ = self.kill();
        }
        if let Ok(orphan) = self.pid_fd().try_clone() {
            // Where there is no thread to be had it stays a zombie at its end.
            let _ = reap(orphan);
        }
    }
}

/// The thread that takes the status of children whose [`Child`] is gone. It ends with the last of them.
struct Reaper {
    /// Of which process: a child of fork(2) has the memory, not the thread.
    pid: u32,
    new: Vec<PidFd>,
    wake: Arc<event::Event>,
}

static REAPER: Mutex<Option<Reaper>> = Mutex::new(None);

fn reaper() -> MutexGuard<'static, Option<Reaper>> {
    REAPER.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn reap(orphan: PidFd) -> io::Result<()> {
    let mut reaper = reaper();
    let pid = std_process::id();
    if let Some(reaper) = reaper.as_mut().filter(|r| r.pid == pid) {
        reaper.new.push(orphan);
        return reaper.wake.add(1).map(drop);
    }
    let wake = Arc::new(event::Event::new()?);
    let of_thread = wake.clone();
    // The program's signals are for other threads, from the first instruction on.
    let _mask = MaskGuard::block(SignalSet::all());
    thread::Builder::new().name("becket-reaper".into()).spawn(move || reap_all(&of_thread))?;
    *reaper = Some(Reaper { pid, new: vec![orphan], wake });
    Ok(())
}

fn reap_all(wake: &event::Event) {
    let mut orphans: Vec<PidFd> = Vec::new();
    loop {
        let mut reaper_ = reaper();
        if let Some(reaper) = reaper_.as_mut() {
            orphans.append(&mut reaper.new);
        }
        // Its status taken, or taken by something else: gone in either case.
        orphans.retain(|orphan| matches!(orphan.try_wait(), Ok(None)));
        if orphans.is_empty() {
            *reaper_ = None;
            return;
        }
        drop(reaper_);
        let mut set = poll::Poll::new();
        let added =
            orphans.iter().map(AsFd::as_fd).chain([wake.as_fd()]).try_for_each(|fd| set.add(fd, 0, Ready::READ));
        if added.is_err() || set.wait(None).is_err() {
            thread::sleep(crate::over::REST); // no memory
        }
        let _ = wake.try_read();
    }
}
