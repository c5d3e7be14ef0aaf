use super::pidfd::exit_status;
use crate::fd::owned_fd;
use crate::ffi::process::first_zombie;
use crate::signal::{Signal, Signals, raise};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::process::ExitStatus;

/// Tells of every child that has ended, also of those that this process did not start: what a supervisor needs, and
/// whoever is process 1 or a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) and inherits the orphans of others.
///
/// It takes no status: each child stays a zombie, to be taken by whoever waits for it, a [`Child`](super::Child) or a
/// [`PidFd`](super::PidFd), say. Of one that nobody waits for the program takes it by [`Ended::take`]. Which those are,
/// the program knows: of its own children it has the numbers, the others are orphans.
///
/// As a descriptor it is a signalfd(2) of SIGCHLD, which it blocks in the thread that makes it, with the rules of
/// threads of [`Signals`]: make it in the main thread before others are started. It stays in that thread. Of two in one
/// process, or beside another reader of SIGCHLD, each signal reaches one alone. Dropping it closes the descriptor, and
/// unblocks SIGCHLD unless something else holds it; children stay as they are.
///
/// # Honest trouble
///
/// - For each signal it asks for each child of the process: with ten thousand children that live, this is milliseconds.
/// - Which children there are it reads from `/proc`, for waitid(2) shows but the first of those that have ended, and
///   does not go on to the next before that one's status was taken. Where `/proc` does not list them (it is not
///   mounted, or the kernel was built without CONFIG_PROC_CHILDREN), that first one is all that it sees.
/// - While SIGCHLD is ignored, there is nothing to be told of.
///
/// ```
/// use becket_sys::process::{AnyChild, Child};
/// use becket_sys::Ready;
/// use std::process::Command;
///
/// let any = AnyChild::new()?;
/// let mine = Child::spawn(&mut Command::new("true"))?;
/// let other = Command::new("sh").args(["-c", "exit 3"]).spawn()?; // nobody waits for it
/// let mut seen = Vec::new();
/// while seen.len() < 2 {
///     any.wait_ready(Ready::READ, None)?;
///     for ended in any.try_read()?.unwrap_or_default() {
///         if ended.pid() != mine.id() {
///             assert_eq!((ended.pid(), ended.status().code()), (other.id(), Some(3)));
///             ended.take()?;
///         }
///         seen.push(ended.pid());
///     }
/// }
/// assert!(mine.try_wait()?.unwrap().success()); // its status was left to it
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "waitpid")]
#[doc(alias = "SIGCHLD")]
#[doc(alias = "subreaper")]
#[derive(Debug)]
pub struct AnyChild {
    fd: Signals,
    /// Those that were told of and are still zombies, each with the time of its start: the number may be given again.
    told: RefCell<BTreeMap<u32, u64>>,
}

owned_fd!(AnyChild, Readable);

impl AnyChild {
    /// Blocks SIGCHLD in this thread. Children that have ended before are told of, too, by the first read.
    ///
    /// # Errors
    /// As [`Signals::new`].
    pub fn new() -> io::Result<AnyChild> {
        let fd = Signals::new([Signal::CHLD])?;
        raise(Signal::CHLD)?; // to be looked at
        Ok(AnyChild { fd, told: RefCell::default() })
    }

    /// The children that have ended since the last read, by number; perhaps none, where they are gone again. `None`
    /// where no signal says that there might be any.
    ///
    /// # Errors
    /// Those of reading the descriptor and of waitid(2); none is known.
    pub fn try_read(&self) -> io::Result<Option<Vec<Ended>>> {
        // Read before looking: a child that ends after the look sends one more.
        let mut any = false;
        while self.fd.try_read()?.is_some() {
            any = true;
        }
        if any { self.look().map(Some) } else { Ok(None) }
    }

    fn look(&self) -> io::Result<Vec<Ended>> {
        let zombies = zombies()?;
        let mut told = self.told.borrow_mut();
        let before = std::mem::take(&mut *told);
        let mut new = Vec::new();
        for (pid, status) in zombies {
            let started = start_time(pid);
            if told.insert(pid, started).is_none() && before.get(&pid) != Some(&started) {
                new.push(Ended { pid, status });
            }
        }
        Ok(new)
    }
}

/// A child that has ended, and whose status was there to be taken; see [`AnyChild`].
///
/// ```
/// use becket_sys::process::{AnyChild, Ended};
///
/// let taken = |ended: &Ended| -> std::io::Result<bool> { Ok(ended.take()?.is_some()) };
/// let any = AnyChild::new()?;
/// for orphan in any.try_read()?.unwrap_or_default() {
///     taken(&orphan)?;
/// }
/// assert!(any.try_read()?.is_none()); // nothing has happened since
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pid: u32,
    status: ExitStatus,
}

impl Ended {
    /// Its number, which is nobody else's before the status is taken.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Takes the status, which ends the zombie; `None` where somebody has taken it before.
    ///
    /// Only for a child that nothing else in the process waits for: that would fail with `ECHILD` then. To be called
    /// before the program starts further children where somebody else may take it: a child could have the same number
    /// by then.
    ///
    /// # Errors
    /// None is known.
    pub fn take(&self) -> io::Result<Option<ExitStatus>> {
        waited(self.pid, WaitIdOptions::empty())
    }
}

/// The status of a child that has ended; `None` for one that lives, and for what is no child.
fn waited(pid: u32, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match retry_on_intr(|| waitid(WaitId::Pid(pid), options)) {
        Ok(status) => Ok(status.map(exit_status)),
        Err(Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The children that have ended, and are there to be waited for.
fn zombies() -> io::Result<BTreeMap<u32, ExitStatus>> {
    let children = match children() {
        Some(children) => children,
        None => first_zombie()?.into_iter().collect(),
    };
    let mut zombies = BTreeMap::new();
    for pid in children {
        zombies.extend(waited(pid, WaitIdOptions::NOWAIT)?.map(|status| (pid, status)));
    }
    Ok(zombies)
}

/// The numbers of all children; `None` where `/proc` does not tell.
fn children() -> Option<Vec<u32>> {
    // While children go the list may leave some out: it is read until it says the same twice.
    let mut last = read_children().ok()?;
    for _ in 0..8 {
        let next = read_children().ok()?;
        if next == last {
            break;
        }
        last = next;
    }
    Some(last)
}

fn read_children() -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    // Each is the child of the thread that started it, or that is its heir.
    for thread in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(thread?.path().join("children")) {
            Ok(text) => all.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // A thread that has ended meanwhile; else the kernel has no such lists.
            Err(e) if e.kind() == ErrorKind::NotFound && fs::exists("/proc/thread-self/children")? => {}
            Err(e) => return Err(e),
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// When a process was started, by a clock of the kernel's; 0 where that is not known.
fn start_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses, and may hold any.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}
