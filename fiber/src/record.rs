//! One record per fiber, at an address that stays.

use crate::cancel::Region;
use crate::context::{Class, Context, Switch};
use crate::local::Locals;
use crate::outcome::Outcome;
use crate::park::{Reason, Woken};
use crate::sched::Priority;
use crate::scope::ScopeData;
use crate::sync::list::List;
use becket_loop::{Id, Timer};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::task::Waker;
use std::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The record is not in use.
    Free,
    /// In the run queue.
    Queued,
    /// On the processor.
    Running,
    /// Waits to be woken.
    Parked,
    /// Its closure has returned or unwound; the outcome may still wait for its taker.
    Finished,
}

/// The name of a fiber, which is set before it runs and taken after it has ended.
#[derive(Default)]
pub(crate) struct Name(UnsafeCell<Option<Box<str>>>);

impl Name {
    #[inline]
    pub(crate) fn get(&self) -> Option<&str> {
        // SAFETY: who sets it promises that nobody has this.
        unsafe { &*self.0.get() }.as_deref()
    }

    /// # Safety
    /// Nothing that [`get`](Self::get) returned may be used any more.
    #[inline]
    pub(crate) unsafe fn set(&self, name: Option<Box<str>>) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() = name };
    }
}

const _: () = assert!(std::mem::offset_of!(Fiber, reason) == 64 && size_of::<Fiber>() <= 320);

/// Everything the runtime knows of a fiber. All in cells: a fiber, its scheduler and its handles reach it by shared
/// reference, on one thread.
///
/// What every switch and every wait reads is in the first line of the cache.
#[repr(C, align(64))]
pub(crate) struct Fiber {
    /// The next in the run queue, or of the free records.
    pub(crate) next: Cell<*const Fiber>,
    /// Its stack; there until it finishes.
    pub(crate) context: UnsafeCell<Option<Context>>,
    /// The earliest of the deadlines it is inside of.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// Set by the first of {event, deadline, cancel}.
    pub(crate) woken: Cell<Option<Woken>>,
    /// The number of the current wait, part of its wake token: a stale token finds another number.
    pub(crate) wait: Cell<u32>,
    /// The depth of the innermost shield; 0 is none. What is cancelled farther out is kept off.
    pub(crate) shield: Cell<u32>,
    pub(crate) state: Cell<State>,
    /// Set by `cancel`, for good.
    pub(crate) cancelled: Cell<bool>,
    /// Set by `abort`, for good.
    pub(crate) aborted: Cell<bool>,
    /// Whether blocking calls have to end now: what the fields around and the lists below come to.
    stop: Cell<bool>,
    /// Whether a cancel may end the current wait; true outside of [`park_through`](crate::park::Wait::park_through).
    pub(crate) interruptible: Cell<bool>,
    /// Operations left until it must let others run.
    pub(crate) budget: Cell<u8>,
    /// Whether a handle refers to this record.
    pub(crate) held: Cell<bool>,
    pub(crate) priority: Cell<Priority>,

    /// What it waits for, or waited for last.
    pub(crate) reason: Cell<Reason>,
    /// Who waits for it to finish.
    pub(crate) joiners: List<()>,
    /// A future that does, too.
    pub(crate) polled: Cell<Option<Waker>>,
    /// The scope that it is a child of, and where in the list of children it stands.
    pub(crate) parent: Cell<*const ScopeData>,
    pub(crate) parent_index: Cell<u32>,
    pub(crate) slot: u32,
    /// The innermost scope that it has open; the scope is in its own frame.
    pub(crate) scopes: Cell<*const ScopeData>,
    /// The innermost cancel scope that it is inside of, likewise.
    pub(crate) regions: Cell<*const Region>,
    /// How many shields, scopes and cancel scopes it is inside of.
    pub(crate) depth: Cell<u32>,
    /// The size class of its stack.
    pub(crate) class: Cell<Class>,
    /// Made at the first wait with a deadline, kept for the next fiber in this record.
    pub(crate) timer: Cell<Option<Id<Timer>>>,
    /// What the timer is armed for.
    pub(crate) wake_at: Cell<Option<Instant>>,
    /// Counts the fibers of the runtime, from 1; the number that people see.
    pub(crate) id: Cell<u64>,
    pub(crate) name: Name,
    pub(crate) outcome: Outcome,
    pub(crate) locals: Locals,
}

impl Fiber {
    fn new(slot: u32) -> Fiber {
        Fiber {
            next: Cell::new(ptr::null()),
            context: UnsafeCell::new(None),
            deadline: Cell::new(None),
            woken: Cell::new(None),
            wait: Cell::new(0),
            shield: Cell::new(0),
            state: Cell::new(State::Free),
            cancelled: Cell::new(false),
            aborted: Cell::new(false),
            stop: Cell::new(false),
            interruptible: Cell::new(true),
            budget: Cell::new(0),
            held: Cell::new(false),
            priority: Cell::new(Priority::Normal),
            reason: Cell::new(Reason::NONE),
            joiners: List::default(),
            polled: Cell::new(None),
            parent: Cell::new(ptr::null()),
            parent_index: Cell::new(0),
            slot,
            scopes: Cell::new(ptr::null()),
            regions: Cell::new(ptr::null()),
            depth: Cell::new(0),
            class: Cell::default(),
            timer: Cell::new(None),
            wake_at: Cell::new(None),
            id: Cell::new(0),
            name: Name::default(),
            outcome: Outcome::new(),
            locals: Locals::default(),
        }
    }

    /// Makes a used record as good as new, except for the numbers, the timer, and what it waited for last.
    #[inline]
    fn reset(&self) {
        if self.name.get().is_some() {
            // SAFETY: the fiber has ended and nobody refers to its record, so nobody uses its name.
            unsafe { self.name.set(None) };
        }
        self.woken.set(None);
        self.cancelled.set(false);
        self.aborted.set(false);
        self.stop.set(false);
        self.depth.set(0);
        self.shield.set(0);
        self.deadline.set(None);
        self.scopes.set(ptr::null());
        self.regions.set(ptr::null());
        self.parent.set(ptr::null());
        self.held.set(false);
        self.locals.reset();
    }

    /// Whether the wait with this number is the current one, and nothing has ended it yet.
    #[inline(always)]
    pub(crate) fn waits(&self, wait: u32) -> bool {
        self.wait.get() == wait && self.woken.get().is_none()
    }

    /// Whether blocking calls of this fiber have to end now. A shield keeps a cancel off, not an abort.
    #[inline(always)]
    pub(crate) fn must_stop(&self) -> bool {
        self.stop.get()
    }

    /// Brings [`must_stop`](Self::must_stop) up to date; to be called after every change of what it depends on.
    pub(crate) fn update_stop(&self) {
        let shield = self.shield.get();
        let cancelled = self.cancelled.get() && shield == 0;
        self.stop.set(self.aborted.get() || cancelled || self.is_inside_cancelled(shield));
    }

    /// Whether it is inside of a scope or a cancel scope that is cancelled, farther in than `shield`.
    fn is_inside_cancelled(&self, shield: u32) -> bool {
        let (mut scope, mut region) = (self.scopes.get(), self.regions.get());
        // SAFETY: whoever is in a list has its frame: it is taken out before that goes.
        while let Some(s) = unsafe { scope.as_ref() } {
            if s.ends_its_owner() && s.depth() > shield {
                return true;
            }
            scope = s.outer();
        }
        // SAFETY: as above.
        while let Some(r) = unsafe { region.as_ref() } {
            if r.is_cancelled() && r.depth() > shield {
                return true;
            }
            region = r.outer();
        }
        false
    }

    /// One more shield, scope or cancel scope; returns its depth.
    pub(crate) fn enter_depth(&self) -> u32 {
        let depth = self.depth.get() + 1;
        self.depth.set(depth);
        depth
    }

    /// The way out of its stack, for the code that runs there.
    #[inline(always)]
    pub(crate) fn switch(&self) -> Option<Switch> {
        // SAFETY: `spawn` puts the context in before the fiber first runs, and `finish` takes it out after it last ran.
        unsafe { &*self.context.get() }.as_ref().map(Context::switch)
    }
}

/// How many records are made at once.
const CHUNK: usize = 64;

/// The records, by slot.
#[derive(Default)]
pub(crate) struct Table {
    /// Of [`CHUNK`] records each, from `Box::into_raw`, freed with the table. Borrowed for moments only.
    chunks: UnsafeCell<Vec<NonNull<Fiber>>>,
    /// The first free record.
    free: Cell<*const Fiber>,
}

impl Table {
    /// A free record, made where there is none; `None` where 2^32 are in use.
    #[inline]
    pub(crate) fn take(&self) -> Option<NonNull<Fiber>> {
        if self.free.get().is_null() {
            self.grow()?;
        }
        let fiber = NonNull::new(self.free.get().cast_mut())?;
        // SAFETY: records are freed with the table only.
        self.free.set(unsafe { fiber.as_ref() }.next.get());
        Some(fiber)
    }

    #[cold]
    fn grow(&self) -> Option<()> {
        // SAFETY: nobody else has a reference to the vector: each ends where it is made, and none of those places
        // runs other code meanwhile.
        let chunks = unsafe { &mut *self.chunks.get() };
        let first = u32::try_from(chunks.len() * CHUNK).ok()?;
        first.checked_add(CHUNK as u32)?;
        let records: Box<[Fiber]> = (first..first + CHUNK as u32).map(Fiber::new).collect();
        let at = Box::into_raw(records).cast::<Fiber>();
        chunks.push(NonNull::new(at)?);
        for i in (0..CHUNK).rev() {
            // SAFETY: within the chunk, and nobody has a `&mut`.
            let fiber = unsafe { &*at.add(i) };
            fiber.next.set(self.free.get());
            self.free.set(fiber);
        }
        Some(())
    }

    /// Takes a record back that nobody refers to any more.
    #[inline]
    pub(crate) fn put(&self, fiber: &Fiber) {
        debug_assert!(fiber.state.get() == State::Finished && !fiber.held.get() && fiber.parent.get().is_null());
        fiber.outcome.clear();
        fiber.reset();
        fiber.state.set(State::Free);
        fiber.next.set(self.free.get());
        self.free.set(fiber);
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<NonNull<Fiber>> {
        // SAFETY: as in `grow`.
        let chunk = unsafe { &*self.chunks.get() }.get(slot as usize / CHUNK)?;
        // SAFETY: each chunk has that many records.
        Some(unsafe { chunk.add(slot as usize % CHUNK) })
    }

    /// Calls `f` for each record in use. `f` may use the table.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Fiber)) {
        let mut slot = 0;
        while let Some(fiber) = self.get(slot) {
            // SAFETY: records are freed with the table only.
            let fiber = unsafe { fiber.as_ref() };
            if fiber.state.get() != State::Free {
                f(fiber);
            }
            slot += 1;
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for chunk in std::mem::take(self.chunks.get_mut()) {
            let records = ptr::slice_from_raw_parts_mut(chunk.as_ptr(), CHUNK);
            // SAFETY: from `Box::into_raw` in `grow`, freed once. Whoever refers to a record holds the table, too. The
            // stack of a fiber that never finished is leaked: dropping a `Context` frees nothing.
            let records = unsafe { Box::from_raw(records) };
            records.iter().for_each(|fiber| fiber.locals.leak());
            drop(records);
        }
    }
}
