//! A program as a child of the test, with its output at hand.

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running program. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// What a program that ended has left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

impl Program {
    /// Starts `program`, with nothing to read and with both outputs collected.
    pub fn start<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Program {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(command)
    }

    /// Starts `command`, with nothing to read and with both outputs collected.
    pub fn spawn(mut command: Command) -> Program {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {name}: {e}"));
        let stdout = Output::collect(child.stdout.take().expect("a pipe"));
        let stderr = Output::collect(child.stderr.take().expect("a pipe"));
        Program { name, child, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.rustix_pid(), signal).unwrap_or_else(|e| panic!("signal {}: {e}", self.name));
    }

    /// Stops it, and returns when all of its threads stand still.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = waitid(WaitId::Pid(self.rustix_pid()), WaitIdOptions::STOPPED);
        assert!(stopped.is_ok_and(|status| status.is_some()), "stop {}", self.name);
    }

    /// Waits until it has written a line to standard output that contains `part`, and returns that line.
    pub fn expect_stdout(&self, part: &str, within: Duration) -> String {
        self.expect(&self.stdout, part, within)
    }

    /// Waits until it has written a line to standard error that contains `part`, and returns that line.
    pub fn expect_stderr(&self, part: &str, within: Duration) -> String {
        self.expect(&self.stderr, part, within)
    }

    /// What it has written to standard output so far, in whole lines.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    fn expect(&self, output: &Output, part: &str, within: Duration) -> String {
        output.wait_for(part, within).unwrap_or_else(|| {
            let (out, err) = (self.stdout.text(), self.stderr.text());
            panic!("{}: no line with {part:?} within {within:?}\nstdout:\n{out}\nstderr:\n{err}", self.name)
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waitpid").is_none()
    }

    /// Waits until it has ended by itself, and returns what it left.
    pub fn finish(mut self, within: Duration) -> Finished {
        // One that was seen to have ended is nobody any more.
        if self.is_running() {
            let pidfd = pidfd_open(self.rustix_pid(), PidfdFlags::empty()).expect("pidfd_open");
            let ended = becket_sys::wait(&pidfd, becket_sys::Ready::READ, Some(Instant::now() + within)).expect("poll");
            if ended.is_none() {
                let (out, err) = (self.stdout.text(), self.stderr.text());
                panic!("{}: still runs after {within:?}\nstdout:\n{out}\nstderr:\n{err}", self.name);
            }
        }
        let status = self.child.wait().expect("waitpid");
        Finished { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    /// Kills it with SIGKILL and reaps it.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Fails only where the child has been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn rustix_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

impl Finished {
    /// The last line of standard output.
    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or("")
    }
}

#[derive(Debug)]
struct Output {
    shared: Arc<(Mutex<Collected>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Collected {
    text: String,
    ended: bool,
}

impl Output {
    fn collect(pipe: impl Read + Send + 'static) -> Output {
        let shared = Arc::<(Mutex<Collected>, Condvar)>::default();
        let writer = shared.clone();
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                writer.0.lock().unwrap().text.push_str(&String::from_utf8_lossy(&line));
                writer.1.notify_all();
                line.clear();
            }
            writer.0.lock().unwrap().ended = true;
            writer.1.notify_all();
        });
        Output { shared, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.shared.0.lock().unwrap().text.clone()
    }

    /// The whole text, once the writing end is closed.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader of the output");
        }
        self.text()
    }

    fn wait_for(&self, part: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut collected = self.shared.0.lock().unwrap();
        loop {
            if let Some(line) = collected.text.lines().find(|line| line.contains(part)) {
                return Some(line.to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                return None;
            }
            collected = self.shared.1.wait_timeout(collected, left).unwrap().0;
        }
    }
}
