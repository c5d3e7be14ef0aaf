//! Fibers by handle.

use crate::context::Class;
use crate::error::{JoinError, SpawnError, SpawnErrorKind};
use crate::outcome::Ended;
use crate::park::{Aborted, Place, Reason, in_callback, place};
use crate::record::{Fiber, State};
use crate::sched::{Core, Priority, current_rc};
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;
use std::{fmt, io, thread};

/// Starts a fiber that runs `f` on this thread, from the next time the caller waits on.
///
/// What `f` returns comes out of [`JoinHandle::join`]; so does its panic, which stays in the fiber otherwise. The
/// fiber inherits nothing: no deadline, no cancel; for that use a [`scope`](crate::scope()).
///
/// May be called in fibers and in callbacks of their loop; outside of [`Runtime::run`](crate::Runtime::run) use
/// [`Runtime::spawn`](crate::Runtime::spawn), from other threads a [`Remote`](crate::Remote).
///
/// # Errors
/// [`SpawnError`]: no runtime on this thread, too many fibers, no memory for a stack, the runtime shuts down, or the
/// caller unwinds.
///
/// ```
/// use becket_fiber::{Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// let sum = runtime.run(|| {
///     let a = spawn(|| 40)?;
///     let b = spawn(|| 2)?;
///     Ok::<_, std::io::Error>(a.join()? + b.join()?)
/// })??;
/// assert_eq!(sum, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> Result<JoinHandle<T>, SpawnError> {
    Builder::new().spawn(f)
}

/// As [`spawn`], with a name for the fiber: it stands in [`fibers`](crate::fibers) and in the message of a stack
/// overflow.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_named<T: 'static>(
    name: impl Into<String>,
    f: impl FnOnce() -> T + 'static,
) -> Result<JoinHandle<T>, SpawnError> {
    Builder::new().name(name).spawn(f)
}

/// A fiber to be: its name, the size of its stack and its priority.
///
/// ```
/// use becket_fiber::{Builder, Runtime, current_name};
///
/// let mut runtime = Runtime::new()?;
/// let name = runtime.run(|| {
///     let fiber = Builder::new().name("parser").stack_size(1 << 20).spawn(|| current_name())?;
///     Ok::<_, std::io::Error>(fiber.join()?)
/// })??;
/// assert_eq!(name.as_deref(), Some("parser"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    priority: Priority,
}

impl Builder {
    /// No name, and the stack size of the runtime.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the fiber.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Asks for a stack of at least `bytes`; the default is that of the runtime. It is rounded up to a power of two,
    /// at least 16 KiB. It is address space: memory is used for the pages that were touched.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// How soon it runs among those that can; [`Priority::Normal`] is the default. The fibers that it spawns do not
    /// inherit it. It may be changed: [`JoinHandle::set_priority`].
    pub fn priority(mut self, priority: Priority) -> Builder {
        self.priority = priority;
        self
    }

    /// Starts the fiber; see [`spawn`].
    ///
    /// # Errors
    /// As [`spawn`]; a size that cannot be is among "no stack".
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> Result<JoinHandle<T>, SpawnError> {
        let core = current_rc().ok_or(SpawnErrorKind::NoRuntime)?;
        self.spawn_on(core, f)
    }

    pub(crate) fn spawn_on<T: 'static>(
        self,
        core: Rc<Core>,
        f: impl FnOnce() -> T + 'static,
    ) -> Result<JoinHandle<T>, SpawnError> {
        // SAFETY: `f` borrows nothing, and the type of the handle is that of the result.
        let fiber = unsafe { core.spawn(self, f)? };
        Ok(JoinHandle { core, fiber, _result: PhantomData })
    }
}

impl Core {
    /// Makes a fiber of `f` and queues it. It is held: the caller must make a handle that releases it.
    ///
    /// # Safety
    /// What `f` borrows must stay valid until the fiber has finished, or forever if it never does. The outcome must
    /// be taken as `T`, while what `T` borrows is valid.
    pub(crate) unsafe fn spawn<T, F: FnOnce() -> T>(&self, what: Builder, f: F) -> Result<NonNull<Fiber>, SpawnError> {
        if self.closed.get() {
            return Err(SpawnErrorKind::Closed.into());
        }
        if thread::panicking() {
            return Err(SpawnErrorKind::Unwinding.into());
        }
        if self.live.get() >= self.max_fibers {
            return Err(SpawnErrorKind::Limit(self.max_fibers).into());
        }
        let class = match what.stack_size {
            None => self.stack_class,
            Some(size) => Class::of(size).map_err(SpawnErrorKind::Stack)?,
        };
        let context = self.stacks.take(class).map_err(SpawnErrorKind::Stack)?;
        let Some(at) = self.table.take() else {
            self.stacks.put(class, context);
            return Err(SpawnErrorKind::Limit(u32::MAX as usize).into());
        };
        // SAFETY: records live as long as the table.
        let fiber = unsafe { at.as_ref() };
        let id = self.spawned.get() + 1;
        self.spawned.set(id);
        fiber.id.set(id);
        let mut label: *const str = "";
        if let Some(name) = what.name {
            // SAFETY: the record is new to everybody.
            unsafe { fiber.name.set(Some(name.into_boxed_str())) };
            label = fiber.name.get().unwrap_or("");
        }
        fiber.priority.set(what.priority);
        fiber.held.set(true);
        fiber.class.set(class);
        // SAFETY: the name stays until the record is reset, after the task. The task borrows what the caller vouches
        // for, and the record, which stays until the fiber has finished.
        unsafe {
            context.set_label(id, label);
            context.load(move || {
                let fiber = at.as_ref();
                if fiber.aborted.get() {
                    resume_unwind(Box::new(Aborted)); // before it began: `f` is dropped here, on its own stack
                }
                /// On the fiber's own stack, however it ends; after its result was stored or dropped.
                struct EndsLocals<'a>(&'a Fiber);
                impl Drop for EndsLocals<'_> {
                    fn drop(&mut self) {
                        self.0.locals.end();
                    }
                }
                let _locals = EndsLocals(fiber);
                let value = f();
                if fiber.held.get() {
                    fiber.outcome.set_value(value);
                } else {
                    drop(value);
                }
            });
            *fiber.context.get() = Some(context);
        }
        self.live.set(self.live.get() + 1);
        self.enqueue(fiber);
        Ok(at)
    }

    /// Waits until `fiber` has finished, and takes its outcome.
    ///
    /// # Safety
    /// `T` must be the type of its result, and the caller must hold the record.
    #[inline(always)]
    pub(crate) unsafe fn join<T>(&self, fiber: &Fiber) -> Result<T, JoinError> {
        while fiber.state.get() != State::Finished {
            self.wait_for_end(fiber).map_err(JoinError::Interrupted)?;
        }
        // SAFETY: the caller's promise.
        match unsafe { fiber.outcome.take() } {
            Some(Ended::Value(value)) => Ok(value),
            Some(Ended::Panicked(payload)) => Err(JoinError::Panicked(payload)),
            Some(Ended::Aborted) | None => Err(JoinError::Cancelled),
        }
    }

    #[inline(always)]
    fn wait_for_end(&self, fiber: &Fiber) -> io::Result<()> {
        match place() {
            Place::Fiber(here) if here.core().id == self.id => {
                here.check()?;
                if fiber.state.get() == State::Finished {
                    return Ok(());
                }
                let reason = Reason::fiber("join", fiber.id.get());
                let (woken, ()) = fiber.joiners.wait_for(here, reason, ());
                here.event(woken).map(drop)
            }
            Place::Fiber(_) | Place::Thread => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "nobody runs the fiber: its runtime is not running"))
            }
            Place::Callback => Err(in_callback()),
        }
    }
}

/// A fiber's handle: waits for its result, stops it, or lets it go.
///
/// Dropping it detaches the fiber: it goes on, and its result is dropped when it ends. It belongs to its thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// fn f(handle: becket_fiber::JoinHandle<()>) { send(handle) }
/// ```
///
/// # Example
///
/// ```
/// use becket_fiber::{Runtime, is_cancelled, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let sleeper = spawn(|| sleep(Duration::from_secs(3600)))?;
///     sleeper.cancel();
///     assert!(is_cancelled(&sleeper.join()?.unwrap_err()));
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JoinHandle<T> {
    core: Rc<Core>,
    /// Held by this handle: the record stays until it is released, and as long as `core`.
    fiber: NonNull<Fiber>,
    _result: PhantomData<(T, *mut ())>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn fiber(&self) -> &Fiber {
        // SAFETY: see the field.
        unsafe { self.fiber.as_ref() }
    }

    /// Waits until the fiber has ended, and returns its result.
    ///
    /// The wait itself ends when the caller is cancelled or its deadline is reached; the fiber goes on, detached.
    ///
    /// # Errors
    /// [`JoinError::Panicked`], [`JoinError::Cancelled`] when it was aborted, [`JoinError::Interrupted`] when the wait
    /// ended before the fiber did. A fiber that was cancelled and returned has a result like any other.
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        // SAFETY: the handle has the type that the fiber was spawned with, and holds the record.
        unsafe { self.core.join(self.fiber()) }
    }

    /// Makes every blocking call of the fiber, the current and all later ones, return [`Cancelled`](crate::Cancelled),
    /// except inside a [`shield`](crate::shield); likewise for the children of its scopes. One that has not
    /// started yet will start. Does nothing to a fiber that has ended.
    pub fn cancel(&self) {
        self.core.cancel(self.fiber());
        self.core.nudge();
    }

    /// Cancels the fiber, and makes it unwind from where it waits and from every later wait, shields or not: for
    /// code that swallows its errors. Destructors run; no panic is reported; [`join`](Self::join) says
    /// [`JoinError::Cancelled`]. One that has not started will not.
    ///
    /// # Errors
    /// `Unsupported` where panics do not unwind (`panic = "abort"`): the fiber is then as it was.
    pub fn abort(&self) -> io::Result<()> {
        can_abort()?;
        self.core.abort(self.fiber());
        self.core.nudge();
        Ok(())
    }

    /// Lets the fiber go on by itself, as dropping the handle does.
    pub fn detach(self) {}

    /// Whether the fiber has ended, so that [`join`](Self::join) returns at once.
    pub fn is_finished(&self) -> bool {
        self.fiber().state.get() == State::Finished
    }

    /// The number of the fiber, counted from 1 in its runtime.
    pub fn id(&self) -> u64 {
        self.fiber().id.get()
    }

    /// The slot and the number of the fiber: what is left of it after the handle.
    pub(crate) fn place(&self) -> (u32, u64) {
        (self.fiber().slot, self.id())
    }

    /// Has `waker` called when the fiber ends, which it has not yet; in place of who waited before.
    pub(crate) fn wake_at_end(&self, waker: &Waker) {
        self.fiber().polled.set(Some(waker.clone()));
    }

    /// Undoes [`wake_at_end`](Self::wake_at_end).
    pub(crate) fn wake_nobody(&self) {
        self.fiber().polled.set(None);
    }

    /// Changes how soon it runs among those that can, from the next time that it can: where it waits for its turn
    /// already, that comes as it would have. Does nothing to a fiber that has ended. See [`Builder::priority`] and
    /// [`set_current_priority`](crate::set_current_priority).
    ///
    /// ```
    /// use becket_fiber::{Priority, Runtime, spawn, sync::Event};
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// let mut runtime = Runtime::new()?;
    /// let (order, go) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Event::new()));
    /// let note = |name| {
    ///     let (order, go) = (order.clone(), go.clone());
    ///     move || go.wait().map(|()| order.borrow_mut().push(name))
    /// };
    /// runtime.run(|| {
    ///     let (first, second) = (spawn(note("first"))?, spawn(note("second"))?);
    ///     becket_fiber::yield_now(); // now they wait
    ///     second.set_priority(Priority::High);
    ///     go.set();
    ///     first.join()??;
    ///     second.join()?
    /// })??;
    /// assert_eq!(*order.borrow(), ["second", "first"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_priority(&self, priority: Priority) {
        self.fiber().priority.set(priority);
    }

    /// The name it was spawned with.
    pub fn name(&self) -> Option<String> {
        self.fiber().name.get().map(str::to_owned)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let fiber = self.fiber();
        fiber.held.set(false);
        self.core.release(fiber);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, name, finished) = (self.id(), self.name(), self.is_finished());
        f.debug_struct("JoinHandle").field("id", &id).field("name", &name).field("finished", &finished).finish()
    }
}

/// Whether [`JoinHandle::abort`] works in this program.
///
/// # Errors
/// `Unsupported` where panics do not unwind.
pub(crate) fn can_abort() -> io::Result<()> {
    if cfg!(panic = "unwind") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "abort needs panic = \"unwind\""))
}
