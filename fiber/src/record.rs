//! One record per fiber, at an address that stays.

use crate::cancel::Region;
use crate::context::{Context, Switch};
use crate::outcome::Outcome;
use crate::park::{Reason, Woken};
use crate::scope::ScopeData;
use crate::sync::list::List;
use becket_loop::{Id, Timer};
use std::cell::{Cell, RefCell, UnsafeCell};
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

/// Everything the runtime knows of a fiber. All in cells: a fiber, its scheduler and its handles reach it by shared
/// reference, on one thread.
pub(crate) struct Fiber {
    pub(crate) slot: u32,
    /// Counts the fibers of the runtime, from 1; the number that people see.
    pub(crate) id: Cell<u64>,
    pub(crate) name: RefCell<Option<Box<str>>>,
    pub(crate) state: Cell<State>,
    /// The number of the current wait, part of its wake token: a stale token finds another number.
    pub(crate) wait: Cell<u32>,
    /// Set by the first of {event, deadline, cancel}.
    pub(crate) woken: Cell<Option<Woken>>,
    /// Whether a cancel may end the current wait.
    pub(crate) interruptible: Cell<bool>,
    pub(crate) reason: Cell<Reason>,
    /// When it suspended, and how many bytes of its stack it used then, while the runtime is observed.
    pub(crate) since: Cell<Option<Instant>>,
    pub(crate) stack_used: Cell<Option<usize>>,
    /// Made at the first wait with a deadline, kept for the next fiber in this record.
    pub(crate) timer: Cell<Option<Id<Timer>>>,
    /// What the timer is armed for.
    pub(crate) wake_at: Cell<Option<Instant>>,
    /// The next in the run queue.
    pub(crate) next: Cell<*const Fiber>,

    /// Set by `cancel`, for good.
    pub(crate) cancelled: Cell<bool>,
    /// Set by `abort`, for good.
    pub(crate) aborted: Cell<bool>,
    /// Whether blocking calls have to end now: what the fields around and the lists below come to.
    stop: Cell<bool>,
    /// How many shields, scopes and cancel scopes it is inside of.
    pub(crate) depth: Cell<u32>,
    /// The depth of the innermost shield; 0 is none. What is cancelled farther out is kept off.
    pub(crate) shield: Cell<u32>,
    /// The earliest of the deadlines it is inside of.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// Operations left until it must let others run.
    pub(crate) budget: Cell<u32>,

    /// The innermost scope that it has open; the scope is in its own frame.
    pub(crate) scopes: Cell<*const ScopeData>,
    /// The innermost cancel scope that it is inside of, likewise.
    pub(crate) regions: Cell<*const Region>,
    /// The scope that it is a child of, and where in the list of children it stands.
    pub(crate) parent: Cell<*const ScopeData>,
    pub(crate) parent_index: Cell<usize>,

    /// Whether a handle refers to this record.
    pub(crate) held: Cell<bool>,
    /// Who waits for it to finish.
    pub(crate) joiners: List<()>,
    /// A future that does, too.
    pub(crate) polled: Cell<Option<Waker>>,
    pub(crate) outcome: Outcome,

    /// Its stack and the size class of that; there until it finishes.
    pub(crate) context: UnsafeCell<Option<Context>>,
    pub(crate) class: Cell<usize>,
    pub(crate) switch: Cell<Option<Switch>>,
}

impl Fiber {
    fn new(slot: u32) -> Fiber {
        Fiber {
            slot,
            id: Cell::new(0),
            name: RefCell::new(None),
            state: Cell::new(State::Free),
            wait: Cell::new(0),
            woken: Cell::new(None),
            interruptible: Cell::new(true),
            reason: Cell::new(Reason::NONE),
            since: Cell::new(None),
            stack_used: Cell::new(None),
            timer: Cell::new(None),
            wake_at: Cell::new(None),
            next: Cell::new(ptr::null()),
            cancelled: Cell::new(false),
            aborted: Cell::new(false),
            stop: Cell::new(false),
            depth: Cell::new(0),
            shield: Cell::new(0),
            deadline: Cell::new(None),
            budget: Cell::new(0),
            scopes: Cell::new(ptr::null()),
            regions: Cell::new(ptr::null()),
            parent: Cell::new(ptr::null()),
            parent_index: Cell::new(0),
            held: Cell::new(false),
            joiners: List::default(),
            polled: Cell::new(None),
            outcome: Outcome::new(),
            context: UnsafeCell::new(None),
            class: Cell::new(0),
            switch: Cell::new(None),
        }
    }

    /// Makes a used record as good as new, except for the numbers and the timer, which go on.
    fn reset(&self) {
        self.name.take();
        self.woken.set(None);
        self.reason.set(Reason::NONE);
        self.since.set(None);
        self.stack_used.set(None);
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
}

/// The records, by slot.
#[derive(Default)]
pub(crate) struct Table {
    /// Each from `Box::into_raw`, freed with the table.
    all: RefCell<Vec<NonNull<Fiber>>>,
    free: RefCell<Vec<NonNull<Fiber>>>,
}

impl Table {
    /// A free record, made where there is none; `None` where 2^32 are in use.
    pub(crate) fn take(&self) -> Option<NonNull<Fiber>> {
        if let Some(fiber) = self.free.borrow_mut().pop() {
            return Some(fiber);
        }
        let mut all = self.all.borrow_mut();
        let slot = u32::try_from(all.len()).ok()?;
        let fiber = NonNull::from(Box::leak(Box::new(Fiber::new(slot))));
        all.push(fiber);
        Some(fiber)
    }

    /// Takes a record back that nobody refers to any more.
    pub(crate) fn put(&self, fiber: &Fiber) {
        debug_assert!(fiber.state.get() == State::Finished && !fiber.held.get() && fiber.parent.get().is_null());
        fiber.outcome.clear();
        fiber.reset();
        fiber.state.set(State::Free);
        self.free.borrow_mut().push(NonNull::from(fiber));
    }

    pub(crate) fn get(&self, slot: u32) -> Option<NonNull<Fiber>> {
        self.all.borrow().get(slot as usize).copied()
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
        for fiber in self.all.take() {
            // SAFETY: from `Box::leak` in `take`, freed once. Whoever refers to a record holds the table, too. The
            // stack of a fiber that never finished is leaked: dropping a `Context` frees nothing.
            drop(unsafe { Box::from_raw(fiber.as_ptr()) });
        }
    }
}
