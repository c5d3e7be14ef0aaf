//! Fibers that borrow from their parent, and never outlive it.

use crate::error::{JoinError, SpawnError, SpawnErrorKind};
use crate::outcome::quietly;
use crate::park::{Place, Reason, Token, Woken, die, place};
use crate::record::{Fiber, State};
use crate::sched::{Core, Priority, current_rc};
use crate::task::{Builder, can_abort};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::Instant;
use std::{fmt, io};

/// Calls `f` with a [`Scope`] in which it can spawn fibers that borrow from outside, and returns when all of them
/// have ended, however `f` ends.
///
/// - The children inherit the deadline that holds where the scope begins.
/// - Cancelling or aborting the fiber that has the scope does the same to its children; a scope inside a
///   [`shield`](crate::shield) is shielded with all of its children.
/// - Cancelled children stay so. A [cancel scope](crate::cancel_scope) around cancels them, one inside does not.
/// - The first child that panics cancels the others and `f`: its blocking calls return
///   [`Cancelled`](crate::Cancelled) until the scope ends. So does a panic of `f` itself, and [`Scope::cancel`].
/// - Waiting for the children at the end cannot be interrupted.
///
/// Where no fiber runs, `f` is called all the same, but cannot spawn.
///
/// # Panics
/// With the panic of `f`; else with the first panic of a child that nobody [`join`](ScopedJoinHandle::join)ed.
///
/// ```
/// use becket_fiber::{Runtime, scope, yield_now};
///
/// let mut runtime = Runtime::new()?;
/// let words = vec!["rope", "fiber"];
/// let lengths = runtime.run(|| {
///     scope(|s| {
///         let a = s.spawn(|| words[0].len())?;
///         let b = s.spawn(|| { yield_now(); words[1].len() })?;
///         Ok::<_, std::io::Error>((a.join()?, b.join()?))
///     })
/// })??;
/// assert_eq!(lengths, (4, 5));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn scope<'env, T>(f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    let scope = Scope { data: ScopeData::new(), _scope: PhantomData, _env: PhantomData };
    scope.data.open();
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let panic = scope.data.close(result.is_err());
    match (result, panic) {
        (Err(payload), _) | (Ok(_), Some(payload)) => resume_unwind(payload),
        (Ok(value), None) => {
            // The end of a scope is a wait, so an abort unwinds from here.
            if let Place::Fiber(here) = place()
                && here.fiber().aborted.get()
            {
                let _ = here.event(Woken::Cancelled);
            }
            value
        }
    }
}

/// Where [`scope`] spawns. Lent to the scope's closure and to its children.
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    // Invariant in both, as `std::thread::Scope` is, so that neither can shrink or grow.
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a child that runs `f`. Its panic cancels its siblings.
    ///
    /// # Errors
    /// As [`spawn`](crate::spawn); also where the scope was not opened by a fiber.
    pub fn spawn<T: 'scope>(
        &'scope self,
        f: impl FnOnce() -> T + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, T>, SpawnError> {
        self.spawn_with(Builder::new(), f)
    }

    /// As [`spawn`](Self::spawn), with a name for the fiber; see [`spawn_named`](crate::spawn_named).
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_named<T: 'scope>(
        &'scope self,
        name: impl Into<String>,
        f: impl FnOnce() -> T + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, T>, SpawnError> {
        self.spawn_with(Builder::new().name(name), f)
    }

    /// As [`spawn`](Self::spawn), with what a [`Builder`] says: a name, the size of the stack, the priority.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); a size that cannot be is among "no stack".
    ///
    /// ```
    /// use becket_fiber::{Builder, Priority, Runtime, current_name, scope};
    ///
    /// let mut runtime = Runtime::new()?;
    /// let words = ["deep", "recursion"];
    /// runtime.run(|| {
    ///     scope(|s| {
    ///         let parser = Builder::new().name("parser").stack_size(1 << 20).priority(Priority::High);
    ///         let parsed = s.spawn_with(parser, || (current_name(), words.concat().len()))?;
    ///         let logged = s.spawn_named("log", current_name)?;
    ///         assert_eq!(parsed.join()?, (Some("parser".into()), 13));
    ///         assert_eq!(logged.join()?.as_deref(), Some("log"));
    ///         Ok::<_, std::io::Error>(())
    ///     })
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_with<T: 'scope>(
        &'scope self,
        builder: Builder,
        f: impl FnOnce() -> T + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, T>, SpawnError> {
        let data = &self.data;
        let Some(Owner { core, .. }) = &data.owner else { return Err(SpawnErrorKind::NoRuntime.into()) };
        // SAFETY: what `f` borrows outlives 'scope, which `close` does not leave before the child has finished and
        // its outcome is taken or dropped. The handle has the type of the result.
        let at = unsafe { core.spawn(builder, f)? };
        // SAFETY: the record is in use.
        data.adopt(core, unsafe { at.as_ref() });
        Ok(ScopedJoinHandle { data, fiber: at, _result: PhantomData })
    }

    /// As [`spawn`](Self::spawn), for a child that can fail: when it returns an error, its siblings are cancelled as
    /// by a panic.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_or_cancel<T: 'scope, E: 'scope>(
        &'scope self,
        f: impl FnOnce() -> Result<T, E> + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, Result<T, E>>, SpawnError> {
        self.spawn(move || {
            let result = f();
            if result.is_err() {
                self.cancel();
            }
            result
        })
    }

    /// Cancels all children, present and future, and the scope's closure until it ends.
    pub fn cancel(&self) {
        if let Some(owner) = &self.data.owner {
            self.data.fail(&owner.core);
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, cancelled) = (self.data.running.get(), self.data.cancelled.get());
        f.debug_struct("Scope").field("running", &running).field("cancelled", &cancelled).finish()
    }
}

/// The place of a child in no list: its scope is ending.
const UNLISTED: u32 = u32::MAX;

/// A scope as the scheduler sees it. In the frame of [`scope`], which stays until the children have finished.
pub(crate) struct ScopeData {
    /// Who opened it; `None` where no fiber can wait for children.
    owner: Option<Owner>,
    /// The next scope outwards of the same fiber.
    outer: Cell<*const ScopeData>,
    /// How far in it is in the owner.
    depth: u32,
    /// The depth of the innermost shield that the owner was inside of: what is cancelled farther out than that does not
    /// reach the children.
    shield: u32,
    /// What the children inherit.
    deadline: Option<Instant>,
    /// The children that are not finished, or whose outcome waits for its handle. Never borrowed while user code runs.
    children: RefCell<Vec<NonNull<Fiber>>>,
    /// How many children have not finished.
    running: Cell<usize>,
    /// Children are born cancelled, or aborted.
    cancelled: Cell<bool>,
    aborted: Cell<bool>,
    /// Whether the owner's blocking calls end as long as it is inside.
    failed: Cell<bool>,
    /// The owner, when it waits for the last child.
    waiter: Cell<Option<Token>>,
    /// The first panic of a child that no handle took.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// The fiber that opened a scope.
///
/// The scope is in its frames, unless it is in those of a generator that the fiber has handed on: then the fiber may
/// have ended, its record may be another's, and its runtime may be gone.
pub(crate) struct Owner {
    pub(crate) core: Rc<Core>,
    fiber: NonNull<Fiber>,
    id: u64,
}

impl Owner {
    /// The fiber that runs.
    pub(crate) fn current() -> Option<Owner> {
        let Place::Fiber(here) = place() else { return None };
        let fiber = here.fiber();
        current_rc().map(|core| Owner { core, fiber: NonNull::from(fiber), id: fiber.id.get() })
    }

    /// The fiber's record, while the fiber lives.
    pub(crate) fn fiber(&self) -> Option<&Fiber> {
        // SAFETY: records live as long as the table, which is in `core`.
        let fiber = unsafe { self.fiber.as_ref() };
        let lives = !matches!(fiber.state.get(), State::Free | State::Finished);
        (lives && fiber.id.get() == self.id).then_some(fiber)
    }
}

impl ScopeData {
    fn new() -> ScopeData {
        let mut data = ScopeData {
            owner: None,
            outer: Cell::new(ptr::null()),
            depth: 0,
            shield: 0,
            deadline: None,
            children: RefCell::default(),
            running: Cell::new(0),
            cancelled: Cell::new(false),
            aborted: Cell::new(false),
            failed: Cell::new(false),
            waiter: Cell::new(None),
            panic: Cell::new(None),
        };
        // Under a coroutine that cannot be suspended, or while unwinding, there is no waiting for children. The
        // thread unwinds as long as this scope is open, if it does now.
        if let Place::Fiber(here) = place()
            && here.can_suspend()
            && !std::thread::panicking()
            && let Some(core) = current_rc()
        {
            let fiber = here.fiber();
            data.owner = Some(Owner { core, fiber: NonNull::from(fiber), id: fiber.id.get() });
            data.outer.set(fiber.scopes.get());
            data.shield = fiber.shield.get();
            data.depth = fiber.enter_depth();
            data.deadline = fiber.deadline.get();
            data.cancelled.set(fiber.must_stop());
            data.aborted.set(fiber.aborted.get());
        }
        data
    }

    /// Links this into the owner's list. From here on until `close` it must not move.
    fn open(&self) {
        if let Some(fiber) = self.owner.as_ref().and_then(Owner::fiber) {
            fiber.scopes.set(self);
        }
    }

    /// Takes this out of the owner's list, where it need not be the first.
    fn unlink(&self, owner: &Fiber) {
        let mut place = &owner.scopes;
        while !ptr::eq(place.get(), self) {
            // SAFETY: whoever is in the list has its frame: it is taken out before that goes.
            let Some(inner) = (unsafe { place.get().as_ref() }) else { return };
            place = &inner.outer;
        }
        place.set(self.outer.get());
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn shield(&self) -> u32 {
        self.shield
    }

    pub(crate) fn ends_its_owner(&self) -> bool {
        self.failed.get()
    }

    pub(crate) fn outer(&self) -> *const ScopeData {
        self.outer.get()
    }

    fn adopt(&self, core: &Core, child: &Fiber) {
        let mut children = self.children.borrow_mut();
        child.parent.set(self);
        child.parent_index.set(children.len() as u32); // each is a record, of which there are fewer
        child.deadline.set(self.deadline);
        child.cancelled.set(self.cancelled.get());
        child.update_stop();
        children.push(NonNull::from(child));
        self.running.set(self.running.get() + 1);
        drop(children);
        if self.aborted.get() {
            core.abort(child);
        }
    }

    fn for_each_child(&self, f: impl Fn(&Fiber)) {
        for child in self.children.borrow().iter() {
            // SAFETY: a listed child's record is in use.
            f(unsafe { child.as_ref() });
        }
    }

    pub(crate) fn cancel_children(&self, core: &Core) {
        self.cancelled.set(true);
        self.for_each_child(|child| core.cancel(child));
    }

    pub(crate) fn abort_children(&self, core: &Core) {
        self.cancelled.set(true);
        self.aborted.set(true);
        self.for_each_child(|child| core.abort(child));
    }

    /// Cancels the children, and the owner for as long as it is inside.
    fn fail(&self, core: &Core) {
        self.cancel_children(core);
        if let Some(owner) = self.owner.as_ref().and_then(Owner::fiber)
            && !self.failed.replace(true)
        {
            core.cancel_inside(owner, self.depth);
        }
    }

    fn unlist(&self, child: &Fiber) {
        let mut children = self.children.borrow_mut();
        let index = child.parent_index.get();
        children.swap_remove(index as usize);
        if let Some(moved) = children.get(index as usize) {
            // SAFETY: as in `for_each_child`.
            unsafe { moved.as_ref() }.parent_index.set(index);
        }
        child.parent.set(ptr::null());
    }

    fn keep_panic(&self, payload: Box<dyn Any + Send>) {
        let first = self.panic.take();
        let (first, second) = if first.is_some() { (first, Some(payload)) } else { (Some(payload), None) };
        self.panic.set(first);
        quietly(|| drop(second));
    }

    /// Called by the scheduler when a child's stack is done with.
    pub(crate) fn child_finished(&self, core: &Core, child: &Fiber) {
        if child.outcome.is_panic() {
            self.fail(core);
        }
        if !child.held.get() {
            self.forget(core, child);
        }
        // Counted out last, so that nothing of the child is left when the scope ends.
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0
            && let Some(token) = self.waiter.take()
        {
            token.wake(0);
        }
    }

    /// A child has finished, and has no handle any more: its panic is the scope's, its record free.
    fn forget(&self, core: &Core, child: &Fiber) {
        if let Some(payload) = child.outcome.take_panic() {
            self.keep_panic(payload);
        }
        child.outcome.clear();
        if child.parent_index.get() != UNLISTED {
            self.unlist(child);
            core.release(child);
        }
    }

    /// Waits for all children, drops what nobody took, and unlinks the scope. Returns a child's panic.
    fn close(&self, failed: bool) -> Option<Box<dyn Any + Send>> {
        let owner = self.owner.as_ref()?;
        let core = &owner.core;
        if failed {
            self.cancel_children(core);
        }
        while self.running.get() > 0 {
            // The scope has children, so it was opened outside of any unwinding, by a fiber that could be suspended;
            // and what unwound the closure was caught. So this can wait.
            let here = match place() {
                Place::Fiber(here) if here.core().id == core.id => here,
                _ => die("a scope with children ends outside of its runtime"),
            };
            let wait = here.wait(Reason::new("children of a scope"));
            self.waiter.set(Some(wait.token()));
            wait.park_through();
            self.waiter.set(None);
        }
        // First all outcomes: their destructors are user code and may drop handles to each other's fibers.
        let mut ended = Vec::new();
        loop {
            let Some(child) = self.children.borrow_mut().pop() else { break };
            // SAFETY: as in `for_each_child`; the record stays in use until it is released below.
            let record = unsafe { child.as_ref() };
            record.parent_index.set(UNLISTED);
            ended.push(child);
            if let Some(payload) = record.outcome.take_panic() {
                self.keep_panic(payload);
            }
            record.outcome.clear();
        }
        for child in ended {
            // SAFETY: as above.
            let record = unsafe { child.as_ref() };
            record.parent.set(ptr::null());
            record.held.set(false); // its handle was forgotten
            core.release(record);
        }
        if let Some(fiber) = owner.fiber() {
            self.unlink(fiber);
            fiber.depth.set(self.depth - 1);
            fiber.update_stop();
        }
        self.panic.take()
    }
}

/// The handle of a child of a [`scope`]. Dropping it lets the child go on: the scope waits for it.
///
/// ```
/// use becket_fiber::{JoinError, Runtime, scope, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     scope(|s| {
///         let child = s.spawn(|| sleep(Duration::from_secs(3600)))?;
///         child.abort()?;
///         assert!(matches!(child.join(), Err(JoinError::Cancelled)));
///         Ok::<_, std::io::Error>(())
///     })
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    data: &'scope ScopeData,
    /// Held by this handle.
    fiber: NonNull<Fiber>,
    _result: PhantomData<(T, *mut ())>,
}

impl<T> ScopedJoinHandle<'_, T> {
    pub(crate) fn fiber(&self) -> &Fiber {
        // SAFETY: see the field.
        unsafe { self.fiber.as_ref() }
    }

    fn core(&self) -> &Core {
        match &self.data.owner {
            Some(owner) => &owner.core,
            None => unreachable!("a scope without an owner has no children"),
        }
    }

    /// Waits until the child has ended, and returns its result; see [`JoinHandle::join`](crate::JoinHandle::join).
    /// A panic that is returned here is not raised again at the end of the scope.
    ///
    /// # Errors
    /// As [`JoinHandle::join`](crate::JoinHandle::join).
    pub fn join(self) -> Result<T, JoinError> {
        // SAFETY: the handle has the type that the child was spawned with, and holds the record.
        unsafe { self.core().join(self.fiber()) }
    }

    /// As [`JoinHandle::cancel`](crate::JoinHandle::cancel).
    pub fn cancel(&self) {
        self.core().cancel(self.fiber());
    }

    /// As [`JoinHandle::abort`](crate::JoinHandle::abort). The siblings go on.
    ///
    /// # Errors
    /// `Unsupported` where panics do not unwind.
    pub fn abort(&self) -> io::Result<()> {
        can_abort()?;
        self.core().abort(self.fiber());
        Ok(())
    }

    /// Whether the child has ended.
    pub fn is_finished(&self) -> bool {
        self.fiber().state.get() == State::Finished
    }

    /// The number of the fiber, counted from 1 in its runtime.
    pub fn id(&self) -> u64 {
        self.fiber().id.get()
    }

    /// The name it was spawned with.
    pub fn name(&self) -> Option<String> {
        self.fiber().name.get().map(str::to_owned)
    }

    /// As [`JoinHandle::set_priority`](crate::JoinHandle::set_priority).
    pub fn set_priority(&self, priority: Priority) {
        self.fiber().priority.set(priority);
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        let fiber = self.fiber();
        fiber.held.set(false);
        if fiber.state.get() == State::Finished {
            self.data.forget(self.core(), fiber);
        }
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("id", &self.id()).field("finished", &self.is_finished()).finish()
    }
}
