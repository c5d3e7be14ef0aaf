//! The scheduler: who runs next, on which loop.

use crate::context::{Class, Pool, prefetch};
use crate::io::Registry;
use crate::outcome::quietly;
use crate::park::{Aborted, Token, Woken};
use crate::record::{Fiber, State, Table};
use crate::report::Tracing;
use crate::stacks::{Measured, Trimmer};
use becket_loop::{Ctx, Loop, Remote, RunError};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Resumes between two looks at the descriptors: after each would cost a system call for every few of them.
const RESUMES_PER_TURN: u32 = 256;

/// Operations that a fiber may do without waiting before it must let others run.
const BUDGET: u8 = 128;

thread_local! {
    /// The scheduler that runs on this thread, null outside of `Runtime::run`.
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };

    /// All of this thread, by their numbers, for who wakes a fiber while its scheduler does not run.
    static CORES: RefCell<Vec<(u32, Weak<Core>)>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Core {
    fn drop(&mut self) {
        // Where the thread's own are gone already, nothing is left to do.
        let _ = CORES.try_with(|all| all.borrow_mut().retain(|(id, _)| *id != self.id));
    }
}

/// The scheduler of this thread that has this number, whether it runs or not.
pub(crate) fn core_by_id(id: u32) -> Option<Rc<Core>> {
    let find = |all: &RefCell<Vec<(u32, Weak<Core>)>>| {
        all.borrow().iter().find(|(other, _)| *other == id).and_then(|(_, core)| core.upgrade())
    };
    CORES.try_with(find).ok().flatten()
}

/// A runtime's insides, shared by the runtime and its handles. Cells only: no borrow is held while user code runs.
pub(crate) struct Core {
    /// Tells this scheduler from every other of the process.
    pub(crate) id: u32,
    /// Taken out when the runtime shuts down.
    events: UnsafeCell<Option<Loop<()>>>,
    /// Whether somebody has a `&mut` to the loop: it dispatches, or a fiber is inside `with_ctx`.
    lent: Cell<bool>,
    /// The fiber that runs, null while the scheduler does.
    current: Cell<*const Fiber>,
    queue: Queues,
    pub(crate) table: Table,
    pub(crate) stacks: Pool,
    pub(crate) trimmer: Trimmer,
    /// How much the fibers use of their stacks, where that is asked for.
    pub(crate) measured: Option<Measured>,
    pub(crate) registry: Registry,
    /// Fibers that have not finished.
    pub(crate) live: Cell<usize>,
    /// How many there were ever.
    pub(crate) spawned: Cell<u64>,
    pub(crate) max_fibers: usize,
    pub(crate) stack_class: Class,
    /// No fiber may be spawned any more.
    pub(crate) closed: Cell<bool>,
    /// Whether another loop turns this one, and has to be told when a fiber can run.
    pub(crate) embedded: Cell<bool>,
    /// Whether to note when fibers suspend, and how deep in their stacks.
    pub(crate) observed: Cell<bool>,
    /// Whether a watchdog wants to know which fiber runs.
    pub(crate) watched: Cell<bool>,
    pub(crate) tracing: Tracing,
    /// Shared, for a loop is woken when a handle of its own goes.
    pub(crate) remote: Arc<Remote<()>>,
}

impl Core {
    pub(crate) fn new(
        events: Loop<()>,
        max_fibers: usize,
        stack_class: Class,
        idle_stacks: usize,
        measure: bool,
    ) -> Rc<Core> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let remote = Arc::new(events.remote());
        let registry = Registry::new(id, &events);
        let core = Rc::new(Core {
            id,
            events: UnsafeCell::new(Some(events)),
            lent: Cell::new(false),
            current: Cell::new(ptr::null()),
            queue: Queues::default(),
            table: Table::default(),
            stacks: Pool::new(idle_stacks),
            trimmer: Trimmer::default(),
            measured: measure.then(Measured::default),
            registry,
            live: Cell::new(0),
            spawned: Cell::new(0),
            max_fibers,
            stack_class,
            closed: Cell::new(false),
            embedded: Cell::new(false),
            observed: Cell::new(false),
            watched: Cell::new(false),
            tracing: Tracing::default(),
            remote,
        });
        CORES.with_borrow_mut(|all| all.push((id, Rc::downgrade(&core))));
        core
    }

    /// Tells the loop in which this one stands that a fiber can run; to be called after something outside of a turn may
    /// have made it so.
    pub(crate) fn nudge(&self) {
        if self.embedded.get() && self.has_queued() && !current_core().is_some_and(|c| ptr::eq(c.as_ptr(), self)) {
            self.remote.wake();
        }
    }

    /// Whether this is a child of the process whose runtime it is.
    pub(crate) fn has_forked(&self) -> bool {
        self.with_loop(|l| l.has_forked()).unwrap_or(false)
    }

    /// Lends the loop to `f`; `None` where it is lent already, or gone.
    #[inline(always)]
    pub(crate) fn with_loop<R>(&self, f: impl FnOnce(&mut Loop<()>) -> R) -> Option<R> {
        struct Lent<'a>(&'a Cell<bool>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        if self.lent.replace(true) {
            return None;
        }
        let _lent = Lent(&self.lent);
        // SAFETY: `lent` was false, so nobody has a reference; it is true until this one ends.
        unsafe { (*self.events.get()).as_mut() }.map(f)
    }

    /// As [`with_loop`](Self::with_loop), as callbacks see it.
    #[inline(always)]
    pub(crate) fn with_ctx<R>(&self, f: impl FnOnce(&mut Ctx<()>) -> R) -> Option<R> {
        self.with_loop(|l| f(l))
    }

    /// The loop, lent to the owner of the runtime outside of `run`.
    ///
    /// # Safety
    /// Nobody else may use the loop while the borrow lasts: the caller has the runtime exclusively, which runs only by
    /// an exclusive borrow, and the loop is there until the runtime is dropped.
    #[expect(clippy::mut_from_ref, reason = "the caller is the exclusive one")]
    pub(crate) unsafe fn exclusive_ctx(&self) -> &mut Ctx<()> {
        // SAFETY: the caller's promise.
        match unsafe { (*self.events.get()).as_mut() } {
            Some(events) => events,
            None => unreachable!("the loop goes with the runtime"),
        }
    }

    /// Whether the loop is lent, so that nothing may wait here.
    #[inline(always)]
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.get()
    }

    /// Drops the loop with its callbacks. Called outside of `run`.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        // In a child the books may be locked by a thread that is not there.
        if !self.has_forked() {
            self.registry.close();
        }
        if !self.lent.replace(true) {
            // SAFETY: as in `with_loop`; it stays lent for good.
            let events = unsafe { (*self.events.get()).take() };
            quietly(|| drop(events));
        }
    }

    #[inline(always)]
    pub(crate) fn current(&self) -> Option<NonNull<Fiber>> {
        NonNull::new(self.current.get().cast_mut())
    }

    /// Puts a fiber at the end of the run queue.
    #[inline(always)]
    pub(crate) fn enqueue(&self, fiber: &Fiber) {
        fiber.state.set(State::Queued);
        self.queue.push(fiber);
    }

    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Ends the wait that `slot` and `wait` name, if it still is the current one and nothing else has ended it.
    #[inline]
    pub(crate) fn wake(&self, slot: u32, wait: u32, woken: Woken) -> bool {
        // SAFETY: records live as long as the table.
        self.table.get(slot).is_some_and(|fiber| self.end_wait(unsafe { fiber.as_ref() }, wait, woken))
    }

    /// As [`wake`](Self::wake), of a fiber of this scheduler.
    #[inline(always)]
    pub(crate) fn end_wait(&self, fiber: &Fiber, wait: u32, woken: Woken) -> bool {
        if !fiber.waits(wait) {
            return false;
        }
        fiber.woken.set(Some(woken));
        if fiber.state.get() == State::Parked {
            self.enqueue(fiber);
        }
        true
    }

    /// As [`wake`](Self::wake), by a token of this scheduler, while the loop dispatches: what the fiber will need by
    /// then begins to come into the cache.
    #[inline(always)]
    pub(crate) fn wake_soon(&self, token: Token, word: u32) {
        if let Some((fiber, wait)) = token.of(self)
            && self.end_wait(fiber, wait, Woken::Event(word))
            // SAFETY: the context is as in `resume`.
            && let Some(context) = unsafe { &*fiber.context.get() }
        {
            context.prefetch_outer();
        }
    }

    /// Runs fibers from the queue, until it is empty, the descriptors are due, or `stop` says so after one.
    pub(crate) fn run_queued(&self, stop: impl FnMut() -> bool) {
        // Nobody changes it while fibers run.
        if self.watched.get() { self.run_each::<true>(stop) } else { self.run_each::<false>(stop) }
    }

    #[inline(always)]
    fn run_each<const WATCHED: bool>(&self, mut stop: impl FnMut() -> bool) {
        for _ in 0..RESUMES_PER_TURN {
            let Some(fiber) = self.queue.pop() else { return };
            // SAFETY: only live fibers are queued, and their records stay.
            let fiber = unsafe { fiber.as_ref() };
            // SAFETY: as above.
            if let Some(next) = unsafe { self.queue.likely_next().as_ref() } {
                // Of many fibers each is cold: the next one's stack comes while this one runs, and the record of the
                // one after it.
                prefetch(next.next.get().cast());
                // SAFETY: only `spawn` and `finish` change it, of fibers that are not queued.
                if let Some(context) = unsafe { &*next.context.get() } {
                    context.prefetch();
                }
            }
            if WATCHED {
                self.note_work(Some(fiber));
            }
            self.resume(fiber);
            if WATCHED {
                self.note_work(None);
            }
            if stop() {
                return;
            }
        }
    }

    #[inline(always)]
    fn resume(&self, fiber: &Fiber) {
        // SAFETY: the context is put in by `spawn` and taken out by `finish` only, neither of which happens to this
        // fiber while it runs.
        let Some(context) = (unsafe { &*fiber.context.get() }) else { return };
        fiber.state.set(State::Running);
        fiber.budget.set(BUDGET);
        self.current.set(fiber);
        // SAFETY: `spawn` loaded a task, which has not ended; the scheduler runs on the thread's own stack.
        let ended = unsafe { context.resume() };
        self.current.set(ptr::null());
        if ended {
            self.finish(fiber);
        } else {
            debug_assert!(matches!(fiber.state.get(), State::Parked | State::Queued));
        }
    }

    /// The task has returned or unwound: its stack goes to the next fiber, its outcome to whoever waits.
    fn finish(&self, fiber: &Fiber) {
        // SAFETY: see `resume`; the fiber does not run any more.
        if let Some(context) = unsafe { (*fiber.context.get()).take() } {
            if let Some(payload) = context.take_panic() {
                if payload.is::<Aborted>() {
                    fiber.outcome.set_aborted();
                } else {
                    fiber.outcome.set_panic(payload);
                }
            }
            if let Some(measured) = &self.measured {
                measured.end(fiber, &context);
            }
            self.stacks.put(fiber.class.get(), context);
        }
        fiber.state.set(State::Finished);
        fiber.wait.set(fiber.wait.get().wrapping_add(1));
        self.live.set(self.live.get() - 1);
        fiber.joiners.wake_all();
        if let Some(waker) = fiber.polled.take() {
            quietly(|| waker.wake());
        }
        // SAFETY: a scope's frame stays until all of its children have finished.
        if let Some(scope) = unsafe { fiber.parent.get().as_ref() } {
            scope.child_finished(self, fiber);
        } else {
            self.release(fiber);
        }
    }

    /// Takes back the record of a finished fiber once neither a handle nor a scope refers to it.
    pub(crate) fn release(&self, fiber: &Fiber) {
        if fiber.state.get() == State::Finished && !fiber.held.get() && fiber.parent.get().is_null() {
            self.table.put(fiber);
        }
    }

    /// One turn of the loop: waits for an event, up to `max`, where no fiber is queued.
    pub(crate) fn turn(&self, max: Option<Duration>) -> io::Result<usize> {
        let turned = self.with_loop(|l| {
            self.watch_stacks(l);
            let next = l.prepare(&mut ())?;
            // After that: a hook or a library that was nudged may have woken fibers before the wait.
            let max = if self.has_queued() { Some(Duration::ZERO) } else { max };
            let limit = max.and_then(|max| l.now().checked_add(max));
            l.wait(next.into_iter().chain(limit).min())?;
            l.dispatch(&mut ())
        });
        match turned {
            Some(Ok(n)) => Ok(n),
            Some(Err(RunError::Wait(e))) => Err(e),
            Some(Err(RunError::Forked)) => Err(rustix::io::Errno::CHILD.into()),
            Some(Err(e)) => Err(io::Error::other(e.to_string())),
            None => Err(io::Error::other("the runtime is shut down")),
        }
    }

    /// Asks a fiber to stop: its blocking calls return errors from now on, those of its scopes' children too.
    pub(crate) fn cancel(&self, fiber: &Fiber) {
        if matches!(fiber.state.get(), State::Free | State::Finished) {
            return;
        }
        fiber.cancelled.set(true);
        self.cancel_inside(fiber, 0);
    }

    /// Something that `fiber` is inside of, at `depth`, is cancelled: so is what is farther in, but for what is shielded.
    pub(crate) fn cancel_inside(&self, fiber: &Fiber, depth: u32) {
        let mut scope = fiber.scopes.get();
        // SAFETY: the scopes are in the frames of this fiber, which has not finished.
        while let Some(s) = unsafe { scope.as_ref() } {
            if s.depth() > depth && s.shield() <= depth {
                s.cancel_children(self);
            }
            scope = s.outer();
        }
        fiber.update_stop();
        self.interrupt(fiber);
    }

    /// Asks a fiber to unwind, from its current wait on; its scopes' children too.
    pub(crate) fn abort(&self, fiber: &Fiber) {
        if matches!(fiber.state.get(), State::Free | State::Finished) {
            return;
        }
        fiber.cancelled.set(true);
        fiber.aborted.set(true);
        let mut scope = fiber.scopes.get();
        // SAFETY: as in `cancel`.
        while let Some(s) = unsafe { scope.as_ref() } {
            s.abort_children(self);
            scope = s.outer();
        }
        fiber.update_stop();
        self.interrupt(fiber);
    }

    /// Ends the current wait of a fiber that has to stop, unless that wait must not be ended.
    pub(crate) fn interrupt(&self, fiber: &Fiber) {
        if fiber.state.get() == State::Parked && fiber.interruptible.get() && fiber.must_stop() {
            self.wake(fiber.slot, fiber.wait.get(), Woken::Cancelled);
        }
    }
}

/// Calls `f` with the scheduler that runs on this thread.
#[inline(always)]
pub(crate) fn current_core() -> Option<NonNull<Core>> {
    NonNull::new(CURRENT.get().cast_mut())
}

/// Another handle to the scheduler that runs on this thread.
pub(crate) fn current_rc() -> Option<Rc<Core>> {
    let core = current_core()?.as_ptr();
    // SAFETY: `Entered` set it from an `Rc` that outlives it; the count is raised for the new handle.
    unsafe {
        Rc::increment_strong_count(core);
        Some(Rc::from_raw(core))
    }
}

/// Makes a scheduler this thread's, while it lives.
pub(crate) struct Entered<'a>(&'a Rc<Core>);

impl<'a> Entered<'a> {
    /// # Errors
    /// `Deadlock` where one is entered already.
    pub(crate) fn new(core: &'a Rc<Core>) -> io::Result<Entered<'a>> {
        if !CURRENT.get().is_null() {
            return Err(io::Error::new(io::ErrorKind::Deadlock, "a runtime already runs on this thread"));
        }
        CURRENT.set(Rc::as_ptr(core));
        Ok(Entered(core))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
        self.0.nudge();
    }
}

/// How soon a fiber runs among those that can.
///
/// Those of a higher priority run first, but keep nobody out for good: one turn in nine is the next priority's, where
/// somebody of it can run, and one in 33 that of the lowest.
///
/// ```
/// use becket_fiber::{Builder, Priority, Runtime, spawn};
/// use std::{cell::RefCell, rc::Rc};
///
/// let mut runtime = Runtime::new()?;
/// let order = Rc::new(RefCell::new(Vec::new()));
/// let note = |name| { let order = order.clone(); move || order.borrow_mut().push(name) };
/// runtime.run(|| {
///     let low = Builder::new().priority(Priority::Low).spawn(note("low"))?;
///     let normal = spawn(note("normal"))?;
///     let high = Builder::new().priority(Priority::High).spawn(note("high"))?;
///     low.join()?;
///     Ok::<_, std::io::Error>((normal.join()?, high.join()?))
/// })??;
/// assert_eq!(*order.borrow(), ["high", "normal", "low"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// For what may be late: statistics, tidying up.
    Low,
    /// The default.
    #[default]
    Normal,
    /// For what is short and must not be late.
    High,
}

/// A queue for each priority. That nothing but `normal` is used is the usual case, and costs two looks.
#[derive(Default)]
struct Queues {
    high: Queue,
    normal: Queue,
    low: Queue,
    /// How often in a row somebody was passed by for a higher priority.
    normal_passed: Cell<u32>,
    low_passed: Cell<u32>,
}

/// How often one of a lower priority may be passed by.
const NORMAL_PATIENCE: u32 = 8;
const LOW_PATIENCE: u32 = 32;

impl Queues {
    #[inline]
    fn push(&self, fiber: &Fiber) {
        match fiber.priority.get() {
            Priority::Normal => self.normal.push(fiber),
            Priority::High => self.high.push(fiber),
            Priority::Low => self.low.push(fiber),
        }
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Fiber>> {
        if self.high.is_empty() && self.low.is_empty() { self.normal.pop() } else { self.pop_by_priority() }
    }

    #[cold]
    fn pop_by_priority(&self) -> Option<NonNull<Fiber>> {
        let passed = |queue: &Queue, count: &Cell<u32>| {
            let n = if queue.is_empty() { 0 } else { count.get() + 1 };
            count.set(n);
            n
        };
        if passed(&self.low, &self.low_passed) > LOW_PATIENCE {
            self.low_passed.set(0);
            return self.low.pop();
        }
        if !self.high.is_empty() && passed(&self.normal, &self.normal_passed) <= NORMAL_PATIENCE {
            return self.high.pop();
        }
        self.normal_passed.set(0);
        self.normal.pop().or_else(|| self.high.pop()).or_else(|| {
            self.low_passed.set(0);
            self.low.pop()
        })
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.normal.is_empty() && self.high.is_empty() && self.low.is_empty()
    }

    /// Who comes next, null where nobody does or priorities decide.
    #[inline]
    fn likely_next(&self) -> *const Fiber {
        self.normal.head.get()
    }
}

/// First in, first out, linked through the records.
struct Queue {
    head: Cell<*const Fiber>,
    tail: Cell<*const Fiber>,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }
}

impl Queue {
    #[inline]
    fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    #[inline]
    fn push(&self, fiber: &Fiber) {
        fiber.next.set(ptr::null());
        // SAFETY: a queued fiber has not finished, so its record is in use.
        match unsafe { self.tail.get().as_ref() } {
            Some(last) => last.next.set(fiber),
            None => self.head.set(fiber),
        }
        self.tail.set(fiber);
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Fiber>> {
        let first = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: as in `push`.
        self.head.set(unsafe { first.as_ref() }.next.get());
        if self.head.get().is_null() {
            self.tail.set(ptr::null());
        }
        Some(first)
    }
}
