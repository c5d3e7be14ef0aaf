//! What the fibers are doing.

use crate::park::{Object, Place, place};
use crate::record::State;
use crate::sched::{Core, Priority, current_core};
use std::fmt;
use std::os::fd::RawFd;
use std::time::Instant;

/// What a fiber is doing; see [`fibers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FiberState {
    /// It runs: it is the one that asks.
    Running,
    /// It can run, and waits for its turn.
    Runnable,
    /// It waits for something: what, and on which descriptor.
    Waiting(&'static str, Option<RawFd>),
}

/// A fiber, as [`fibers`] lists it. Prints as one line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FiberInfo {
    /// Counted from 1 in the runtime.
    pub id: u64,
    /// The name it was spawned with.
    pub name: Option<String>,
    /// What it does.
    pub state: FiberState,
    /// How soon it runs among those that can.
    pub priority: Priority,
    /// Whether it was cancelled or aborted.
    pub cancelled: bool,
    /// The deadline that holds for it now.
    pub deadline: Option<Instant>,
    /// When its wait ends at the latest: of a sleep, its end.
    pub until: Option<Instant>,
    /// The number of the fiber that it joins.
    pub joins: Option<u64>,
    /// The address of what it waits for: of the queue of waiters of a channel, a mutex or the like. Those who wait for
    /// the same have the same.
    pub object: Option<usize>,
    /// When it began to wait, while the runtime is [observed](crate::Runtime::observe).
    pub since: Option<Instant>,
    /// The size of its stack in bytes.
    pub stack_size: usize,
    /// How much of that it used when it last suspended, while the runtime is [observed](crate::Runtime::observe).
    pub stack_used: Option<usize>,
}

impl fmt::Display for FiberInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fiber {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match self.state {
            FiberState::Running => f.write_str(": running")?,
            FiberState::Runnable => f.write_str(": runnable")?,
            FiberState::Waiting(what, None) => write!(f, ": waits: {what}")?,
            FiberState::Waiting(what, Some(fd)) => write!(f, ": waits: {what}, descriptor {fd}")?,
        }
        if let Some(id) = self.joins {
            write!(f, " of fiber {id}")?;
        }
        if let Some(since) = self.since {
            write!(f, ", for {:?}", Instant::now().saturating_duration_since(since))?;
        }
        if self.cancelled {
            f.write_str(", cancelled")?;
        }
        if let Some(at) = self.deadline {
            write!(f, ", {:?} left", at.saturating_duration_since(Instant::now()))?;
        }
        if let Some(bytes) = self.stack_used {
            write!(f, ", {bytes} of {} bytes of stack", self.stack_size)?;
        }
        Ok(())
    }
}

/// The fibers of the runtime on this thread that have not ended, oldest record first: for a report on a signal.
/// Empty where no runtime runs.
///
/// ```
/// use becket_fiber::{FiberState, Runtime, fibers, sleep, spawn_named, yield_now};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let all = runtime.run(|| {
///     let sleeper = spawn_named("sleeper", || sleep(Duration::from_secs(3600)))?;
///     yield_now();
///     let all = fibers();
///     sleeper.cancel();
///     sleeper.join()?.unwrap_err();
///     Ok::<_, std::io::Error>(all)
/// })??;
/// assert_eq!(all[0].state, FiberState::Running);
/// assert_eq!(all[1].to_string(), "fiber 2 sleeper: waits: sleep");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn fibers() -> Vec<FiberInfo> {
    match current_core() {
        // SAFETY: it is entered on this thread.
        Some(core) => list(unsafe { core.as_ref() }),
        None => Vec::new(),
    }
}

pub(crate) fn list(core: &Core) -> Vec<FiberInfo> {
    let mut all = Vec::new();
    core.table.for_each(|fiber| {
        let mut object = Object::None;
        let state = match fiber.state.get() {
            State::Free | State::Finished => return,
            State::Queued => FiberState::Runnable,
            State::Running => FiberState::Running,
            State::Parked => {
                let reason = fiber.reason.get();
                object = reason.object;
                FiberState::Waiting(reason.what, if let Object::Descriptor(fd) = object { Some(fd) } else { None })
            }
        };
        let waits = matches!(state, FiberState::Waiting(..));
        // SAFETY: only `spawn` and `finish` change it, neither of which happens meanwhile.
        let context = unsafe { &*fiber.context.get() };
        let noted = context.as_ref().map(|c| c.noted(fiber.id.get())).unwrap_or_default();
        all.push(FiberInfo {
            id: fiber.id.get(),
            name: fiber.name.get().map(str::to_owned),
            state,
            priority: fiber.priority.get(),
            cancelled: fiber.cancelled.get(),
            deadline: fiber.deadline.get(),
            until: fiber.wake_at.get().filter(|_| waits),
            joins: if let Object::Fiber(id) = object { Some(id) } else { None },
            object: if let Object::Address(at) = object { Some(at) } else { None },
            since: noted.since.filter(|_| waits),
            stack_size: context.as_ref().map_or(0, |c| c.bounds().len()),
            stack_used: noted.used,
        });
    });
    all
}

/// The number of the fiber that runs, counted from 1 in its runtime; `None` where none does.
///
/// ```
/// use becket_fiber::{Runtime, current_id};
///
/// assert_eq!(current_id(), None);
/// assert_eq!(Runtime::new()?.run(current_id)?, Some(1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn current_id() -> Option<u64> {
    match place() {
        Place::Fiber(here) => Some(here.fiber().id.get()),
        _ => None,
    }
}

/// The name of the fiber that runs, if it has one. The fiber of [`Runtime::run`](crate::Runtime::run) is `main`.
///
/// ```
/// use becket_fiber::{Runtime, current_name};
///
/// assert_eq!(current_name(), None);
/// assert_eq!(Runtime::new()?.run(current_name)?.as_deref(), Some("main"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn current_name() -> Option<String> {
    match place() {
        Place::Fiber(here) => here.fiber().name.get().map(str::to_owned),
        _ => None,
    }
}

/// Changes how soon the fiber that runs does so among those that can, from the next time that it waits or lets others
/// run; returns what it was. `None` where no fiber runs: then nothing is changed. See
/// [`JoinHandle::set_priority`](crate::JoinHandle::set_priority).
///
/// ```
/// use becket_fiber::{Priority, Runtime, set_current_priority};
///
/// assert_eq!(set_current_priority(Priority::Low), None);
/// let mut runtime = Runtime::new()?;
/// let before = runtime.run(|| (set_current_priority(Priority::Low), set_current_priority(Priority::Normal)))?;
/// assert_eq!(before, (Some(Priority::Normal), Some(Priority::Low)));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_current_priority(priority: Priority) -> Option<Priority> {
    match place() {
        Place::Fiber(here) => Some(here.fiber().priority.replace(priority)),
        _ => None,
    }
}
