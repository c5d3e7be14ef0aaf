use super::list::List;
use super::{check, fiber};
use crate::select::{Arm, Handed, Lists, listed};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// Lets fibers go on when so many of them have come; then again, for the next so many.
///
/// Who is cancelled or too late while it waits has not come: the others wait for another one.
///
/// ```
/// use becket_fiber::{Runtime, scope, sync::Barrier};
/// use std::cell::Cell;
///
/// let mut runtime = Runtime::new()?;
/// let (barrier, leaders) = (Barrier::new(3), Cell::new(0));
/// runtime.run(|| {
///     scope(|s| {
///         for _ in 0..6 {
///             s.spawn(|| barrier.wait().map(|leads| leaders.set(leaders.get() + u32::from(leads))))?;
///         }
///         Ok::<_, std::io::Error>(())
///     })
/// })??;
/// assert_eq!(leaders.get(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Barrier {
    n: usize,
    /// How many may be in the list, those counted that something else has woken.
    came: Cell<usize>,
    waiting: List<()>,
}

impl Barrier {
    /// One for `n` fibers; 0 counts as 1.
    pub fn new(n: usize) -> Barrier {
        Barrier { n: n.max(1), came: Cell::new(0), waiting: List::default() }
    }

    /// Waits until `n` have come, and returns whether this was the last of them, for whom the others have waited.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn wait(&self) -> io::Result<bool> {
        check()?;
        if self.is_complete() {
            return Ok(true);
        }
        let here = fiber()?;
        self.came.set(self.came.get() + 1);
        let (woken, ()) = self.waiting.wait(here, "a barrier", ());
        here.event(woken).map(|_| false)
    }

    /// An arm of [`select!`](crate::select!) that comes; out comes what [`wait`](Self::wait) returns. Where another arm
    /// is chosen, it has not come.
    pub fn on_all(&self) -> impl Arm<Output = bool> + '_ {
        let look = || {
            let complete = self.is_complete();
            // It is about to wait; one that does not is taken for one that was cancelled.
            self.came.set(if complete { 0 } else { self.came.get() + 1 });
            complete.then_some(true)
        };
        Handed::new(&self.waiting, (), look, |()| false, || ())
    }

    /// Whether whoever asks is the last to come; then the others go on.
    fn is_complete(&self) -> bool {
        if self.came.get() + 1 >= self.n {
            // Some may be cancelled, and not have run since.
            self.came.set(self.waiting.count_waiting());
        }
        let complete = self.came.get() + 1 >= self.n;
        if complete {
            self.came.set(0);
            self.waiting.wake_all();
        }
        complete
    }
}

/// Waits until work that is handed out is done, by any number of fibers.
///
/// Each [`Member`] stands for a piece of work, as long as it lives.
///
/// ```
/// use becket_fiber::{Runtime, spawn, sync::WaitGroup};
/// use std::{cell::Cell, rc::Rc};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (group, done) = (WaitGroup::new(), Rc::new(Cell::new(0)));
///     for _ in 0..3 {
///         let (member, done) = (group.member(), Rc::clone(&done));
///         spawn(move || {
///             done.set(done.get() + 1);
///             drop(member);
///         })?;
///     }
///     group.wait()?;
///     assert_eq!((done.get(), group.count()), (3, 0));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WaitGroup {
    shared: Rc<Group>,
}

#[derive(Debug, Default)]
struct Group {
    members: Cell<usize>,
    waiting: List<()>,
}

impl Lists for Group {
    fn list(&self) -> &List<()> {
        &self.waiting
    }

    fn holds(&self) -> bool {
        self.members.get() == 0
    }
}

impl WaitGroup {
    /// One without members.
    pub fn new() -> WaitGroup {
        WaitGroup::default()
    }

    /// Another member.
    pub fn member(&self) -> Member {
        self.shared.members.set(self.shared.members.get() + 1);
        Member { shared: Rc::clone(&self.shared) }
    }

    /// How many members live.
    pub fn count(&self) -> usize {
        self.shared.members.get()
    }

    /// An arm of [`select!`](crate::select!) that is chosen when no member lives.
    pub fn on_done(&self) -> impl Arm<Output = ()> + '_ {
        listed(&*self.shared)
    }

    /// Waits until no member lives; returns at once where none does. Whoever waits goes on when there was none, also
    /// where there is one again before it runs.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait outside of a fiber.
    pub fn wait(&self) -> io::Result<()> {
        check()?;
        if self.count() == 0 {
            return Ok(());
        }
        let here = fiber()?;
        let (woken, ()) = self.shared.waiting.wait(here, "a group", ());
        here.event(woken).map(drop)
    }
}

/// A piece of work that a [`WaitGroup`] waits for, until it is dropped; by a panic, too.
#[derive(Debug)]
#[must_use = "the group waits for it until it is dropped"]
pub struct Member {
    shared: Rc<Group>,
}

impl Clone for Member {
    fn clone(&self) -> Self {
        WaitGroup { shared: Rc::clone(&self.shared) }.member()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let left = self.shared.members.get() - 1;
        self.shared.members.set(left);
        if left == 0 {
            self.shared.waiting.wake_all();
        }
    }
}
