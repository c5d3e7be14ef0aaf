//! The engine: stacks that run one task after another.
//!
//! What switches is the crate `generator`, which [`by_generator`](stack) alone names, or, by a feature, `corosensei`.
//! Both have the same face:
//!
//! - The body of every stack is [`root`], which takes a task, runs it under `catch_unwind`, and leaves until there is
//!   another one. So a stack serves any number of tasks, and no panic ever reaches the crate.
//! - A stack is freed only after `root` returned. One that is suspended inside a task is leaked, borrowed data,
//!   kernel buffers and all: nothing can then find it gone.
//! - [`Switch::suspend`] looks where the stack pointer is before it chooses how to switch.
//! - An overflow ends the process ([`overflow`]).

mod guard;
mod overflow;
mod pool;
#[cfg_attr(feature = "corosensei", path = "by_corosensei.rs")]
#[cfg_attr(not(feature = "corosensei"), path = "by_generator.rs")]
mod stack;
#[cfg(test)]
mod tests;
mod valgrind;

pub(crate) use overflow::AltStack;
pub(crate) use pool::{Class, Pool};

use overflow::Label;
use stack::{FIRST_SIZE, Fresh, MARKS, Out, Stack};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::time::Instant;
use std::{io, thread};

/// Room for a task's closure in the frame of `root`; a larger one is boxed.
const TASK_BYTES: usize = 256;

#[repr(align(16))]
struct TaskBuf(UnsafeCell<MaybeUninit<[u8; TASK_BYTES]>>);

/// Calls the closure in the buffer, which is moved out.
type TaskFn = unsafe fn(*mut u8);

/// The part of a stack that both sides see. It lives in the frame of [`root`], which stays until the stack is freed.
///
/// What a switch reads is in the first line of the cache.
#[repr(C, align(64))]
struct Root {
    /// The way out, for code that runs directly on this stack.
    out: Out,
    bounds: Range<usize>,
    /// The task that was loaded and not yet taken; `None` at a resume tells `root` to return.
    task: Cell<Option<TaskFn>>,
    /// What the last task panicked with.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    /// Whether `root` waits for a task, that is, no frame of a task is on the stack.
    idle: Cell<bool>,
    /// Whether the guard page is a mapping of its own, of which the kernel allows few.
    own_mapping: bool,
    /// Who is on this stack, for the message of an overflow.
    label: Label,
    noted: Cell<Noted>,
    known_as: valgrind::StackId,
    buf: TaskBuf,
}

/// What is known of the last time that a task suspended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noted {
    /// The number of the fiber that the task belongs to: another's finds nothing.
    pub(crate) id: u64,
    pub(crate) since: Option<Instant>,
    /// How much of the stack was in use.
    pub(crate) used: Option<usize>,
}

/// A stack that was made, and where it lies.
struct Made {
    stack: Stack,
    bounds: Range<usize>,
    guard: Range<usize>,
    own_mapping: bool,
}

/// What [`root`] is started with.
struct Start {
    bounds: Range<usize>,
    guard: Range<usize>,
    own_mapping: bool,
    known_as: valgrind::StackId,
    /// Where to publish the address of the [`Root`]; valid during the first resume.
    publish: *const Cell<*const Root>,
}

/// A stack with its root function, which is suspended: in wait of a task, or inside one.
///
/// Never freed by dropping; see [`free`](Self::free).
pub(crate) struct Context {
    stack: Stack,
    /// Valid as long as the stack is, that is, until `free`.
    root: NonNull<Root>,
}

impl Context {
    /// Makes a stack of `size` bytes, a multiple of the page size, beside its guard page, of what was mapped before or is
    /// mapped now.
    ///
    /// # Errors
    /// `OutOfMemory` where memory, address space or mappings run out; `InvalidInput` for a size that cannot be.
    fn make(size: usize, fresh: &mut Fresh) -> io::Result<Context> {
        init()?;
        guard::check_size(size)?;
        let Made { mut stack, bounds, guard, own_mapping } = Stack::make(size, fresh)?;
        let known_as = valgrind::register(&bounds);
        let published = Cell::new(ptr::null());
        let start = Start { bounds: bounds.clone(), guard, own_mapping, known_as, publish: &published };
        stack.start(&bounds, move |out| root(out, start));
        let root = NonNull::new(published.get().cast_mut()).expect("the root function publishes itself first");
        Ok(Context { stack, root })
    }

    #[inline(always)]
    fn root(&self) -> &Root {
        // SAFETY: see the field; a `Context` exists only while the generator does.
        unsafe { self.root.as_ref() }
    }

    /// Whether the stack can take a task: none was loaded, and no frame of one is on it.
    pub(crate) fn is_idle(&self) -> bool {
        let root = self.root();
        root.idle.get() && root.task.get().is_none()
    }

    /// Whether a frame of the task is on the stack: it has begun, and not ended.
    pub(crate) fn has_begun(&self) -> bool {
        !self.root().idle.get()
    }

    /// The addresses of the stack, without the guard page.
    pub(crate) fn bounds(&self) -> Range<usize> {
        self.root().bounds.clone()
    }

    /// Says who runs on this stack, for the message of an overflow. `name` is empty for none.
    ///
    /// # Safety
    /// `name` must stay valid until the next call of this function, or until the task is finished.
    pub(crate) unsafe fn set_label(&self, id: u64, name: *const str) {
        self.root().label.set(id, name);
    }

    pub(crate) fn note(&self, noted: Noted) {
        self.root().noted.set(noted);
    }

    /// What was noted of the fiber with this number.
    pub(crate) fn noted(&self, id: u64) -> Noted {
        Some(self.root().noted.get()).filter(|noted| noted.id == id).unwrap_or_default()
    }

    /// Puts a task in, to run at the next [`resume`](Self::resume).
    ///
    /// # Safety
    /// What `task` borrows must stay valid until the task was run; if that never happens, forever.
    pub(crate) unsafe fn load<F: FnOnce()>(&self, task: F) {
        debug_assert!(self.is_idle());
        let root = self.root();
        let buf = root.buf.0.get().cast::<u8>();
        if size_of::<F>() <= TASK_BYTES && align_of::<F>() <= align_of::<TaskBuf>() {
            // SAFETY: it fits, it is aligned, and the buffer is free: the stack is idle.
            unsafe { buf.cast::<F>().write(task) };
            root.task.set(Some(run_inline::<F>));
        } else {
            // SAFETY: as above; a pointer fits.
            unsafe { buf.cast::<*mut F>().write(Box::into_raw(Box::new(task))) };
            root.task.set(Some(run_boxed::<F>));
        }
    }

    /// Runs the task on its own stack until it suspends or ends. Returns whether it ended.
    ///
    /// # Safety
    /// A task must be loaded or suspended here, and the caller must not itself run on this stack.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> bool {
        let root = self.root();
        let outer = overflow::enter(&root.label);
        // SAFETY: `make` has started it, and it ends in `free` only; the rest is the caller's promise.
        unsafe { self.stack.resume() };
        overflow::leave(outer);
        root.idle.get()
    }

    /// What the task that just ended panicked with.
    pub(crate) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.root().panic.take()
    }

    /// The handle by which the task on this stack suspends.
    #[inline(always)]
    pub(crate) fn switch(&self) -> Switch {
        Switch { root: self.root }
    }

    /// Brings the lines that the next `resume` needs into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        self.prefetch_outer();
        self.stack.prefetch_inner(&self.root().out);
    }

    /// As [`prefetch`](Self::prefetch), without what it would have to wait for: where the stack pointer was saved.
    #[inline(always)]
    pub(crate) fn prefetch_outer(&self) {
        self.stack.prefetch_outer();
        prefetch(self.root.as_ptr().cast_const().cast());
    }

    /// Whether its guard page is a mapping of its own, of which the kernel allows few.
    fn has_own_mapping(&self) -> bool {
        self.root().own_mapping
    }

    /// Whether it lies right below `upper`, with nothing but the guard page in between.
    fn is_right_below(&self, upper: &Context) -> bool {
        self.bounds().end + guard::page_size() == upper.bounds().start
    }

    /// The part of an idle stack that nothing uses: all but the lowest page, where that holds [marks](MARKS), and what
    /// lies above the frames of the root function, a page more than these can take.
    fn unused(&self) -> Range<usize> {
        let page = guard::page_size();
        let root = self.root.as_ptr().expose_provenance();
        let start = self.bounds().start + MARKS.map_or(0, |_| page);
        start..(root / page * page - page).max(start)
    }

    /// Gives the memory of an idle stack back to the system, except for its two ends.
    pub(crate) fn give_memory_back(&self) {
        if self.is_idle() {
            guard::discard(self.unused());
        }
    }

    /// How many bytes were used since the memory was last [given back](Self::give_memory_back), or since the stack was
    /// made: in pages, and no less than what is not given back. Pages that were swapped out may be missed.
    ///
    /// `None` where the system does not tell.
    pub(crate) fn used(&self) -> Option<usize> {
        let Range { start, end } = self.bounds();
        let page = guard::page_size();
        let resident = guard::resident(start..end)?;
        // The lowest page is always there where it is marked.
        let marked = usize::from(MARKS.is_some());
        let lowest = marked + resident.iter().skip(marked).position(|there| *there)?;
        if lowest == 1 && self.lowest_page_was_used() {
            return Some(end - start);
        }
        Some(end - start - lowest * page)
    }

    /// Whether anything but [marks](MARKS) is in the lowest page.
    fn lowest_page_was_used(&self) -> bool {
        let words = guard::page_size() / size_of::<usize>();
        let at = ptr::with_exposed_provenance::<usize>(self.bounds().start);
        // SAFETY: within the stack, which is mapped and readable; nothing runs on it, or what runs is the caller, far
        // above. Words that were never written read as zero.
        MARKS.is_some_and(|marks| (marks..words).any(|i| unsafe { at.add(i).read_volatile() } != 0))
    }

    /// Unmaps an idle stack. One that is not idle is leaked, and so is one that the crate refuses to free.
    pub(crate) fn free(self) {
        let Context { stack, root } = self;
        // SAFETY: still alive: it is freed below.
        let root = unsafe { root.as_ref() };
        let (own_mapping, known_as, bounds) = (root.own_mapping, root.known_as, root.bounds.clone());
        if !root.idle.get() || root.task.get().is_some() {
            return;
        }
        // SAFETY: there is no task, so that the root function returns.
        if unsafe { stack.free(bounds) } {
            valgrind::deregister(known_as);
            guard::release(own_mapping);
        }
    }
}

/// A hint that the line at `at` will be used: any address will do.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction has no effect but on the cache, and is part of every x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Brings the frames around a saved stack pointer into the cache: those that go on, and where those will be that they call.
#[inline(always)]
fn prefetch_frames(at: *const u8) {
    for line in 0..8 {
        prefetch(at.wrapping_add(64 * line).wrapping_sub(64));
    }
}

/// The way to suspend, for the code on one stack.
#[derive(Clone, Copy)]
pub(crate) struct Switch {
    root: NonNull<Root>,
}

impl Switch {
    #[inline(always)]
    fn root<'a>(self) -> &'a Root {
        // SAFETY: a `Switch` is used by the task that runs on the stack, so the root function has not returned.
        unsafe { self.root.as_ref() }
    }

    /// Whether the caller runs on this stack itself, where suspending is cheap.
    #[inline(always)]
    pub(crate) fn is_here(self) -> bool {
        let here = 0u8;
        self.root().bounds.contains(&(&raw const here as usize))
    }

    /// Whether the caller runs on this stack itself, or in generators above it that [`suspend`](Self::suspend)
    /// can take along. Another library's coroutine in between cannot be taken along.
    #[inline(always)]
    pub(crate) fn can_suspend(self) -> bool {
        self.is_here() || stack::can_leave_from_above(&self.root().bounds)
    }

    /// How much of the stack is left to the caller; nothing where it runs on another.
    pub(crate) fn room(self) -> usize {
        let here = 0u8;
        let here = &raw const here as usize;
        let bounds = &self.root().bounds;
        if bounds.contains(&here) { here - bounds.start } else { 0 }
    }

    /// How much of the stack is in use; `None` where the caller runs on another.
    pub(crate) fn used(self) -> Option<usize> {
        let room = self.room();
        (room > 0).then(|| self.root().bounds.len() - room)
    }

    /// Leaves the stack; returns when it is resumed.
    ///
    /// # Safety
    /// The caller must run in the task on this stack, with [`can_suspend`](Self::can_suspend) true.
    #[inline(always)]
    pub(crate) unsafe fn suspend(self) {
        if self.is_here() {
            // SAFETY: just asked; the rest is the caller's promise.
            unsafe { self.suspend_here() };
        } else {
            // A generator of the user's runs on top: leave both.
            // SAFETY: it can be suspended, and not from here.
            unsafe { stack::leave_from_above() };
        }
    }

    /// As [`suspend`](Self::suspend), for who has asked already where the stack pointer is.
    ///
    /// # Safety
    /// The caller must run in the task on this stack, with [`is_here`](Self::is_here) true.
    #[inline(always)]
    pub(crate) unsafe fn suspend_here(self) {
        // SAFETY: the caller runs on this stack.
        unsafe { self.root().out.leave() };
    }
}

/// The body of every stack.
fn root(out: Out, start: Start) {
    let root = Root {
        out,
        task: Cell::new(None),
        idle: Cell::new(true),
        panic: Cell::new(None),
        bounds: start.bounds,
        own_mapping: start.own_mapping,
        label: Label::new(start.guard),
        noted: Cell::default(),
        known_as: start.known_as,
        buf: TaskBuf(UnsafeCell::new(MaybeUninit::uninit())),
    };
    // SAFETY: `Context::make` waits in its first resume, with the cell in its frame.
    unsafe { (*start.publish).set(&root) };
    loop {
        // SAFETY: it runs on this stack.
        unsafe { root.out.leave() };
        let Some(task) = root.task.take() else { return };
        root.idle.set(false);
        let buf = root.buf.0.get().cast::<u8>();
        // SAFETY: `load` wrote the closure that belongs to this function, and it was taken once.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { task(buf) }));
        root.panic.set(result.err());
        root.idle.set(true);
    }
}

/// # Safety
/// `buf` holds an `F`, which is moved out.
unsafe fn run_inline<F: FnOnce()>(buf: *mut u8) {
    // SAFETY: the caller's promise.
    let task = unsafe { buf.cast::<F>().read() };
    task();
}

/// # Safety
/// `buf` holds a pointer from `Box::<F>::into_raw`, which is taken back.
unsafe fn run_boxed<F: FnOnce()>(buf: *mut u8) {
    // SAFETY: the caller's promise.
    let task = unsafe { Box::from_raw(buf.cast::<*mut F>().read()) };
    task();
}

/// Once for the process: puts our signal handler in place, and finds out which guard pages work here.
fn init() -> io::Result<()> {
    static INIT: Once = Once::new();
    if !INIT.is_completed() {
        if thread::panicking() {
            return Err(io::Error::other("the first fiber of a process cannot be made while unwinding"));
        }
        // Once, so what it needs must be there.
        guard::check_size(FIRST_SIZE)?;
        guard::probe(FIRST_SIZE, 1)?;
        INIT.call_once(stack::init);
    }
    Ok(())
}
