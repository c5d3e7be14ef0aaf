//! What becomes of stacks that nobody needs, and how much of theirs the fibers use.

use crate::context::Context;
use crate::record::{Fiber, State};
use crate::sched::{Core, current_core};
use becket_loop::{Ctx, Id, Next, Plain, Ready, Timer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What no fiber needed for so long is given back.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many stacks are unmapped before others get their turn: about a millisecond of work.
const SLICE: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// There is no surplus.
    #[default]
    Rest,
    /// An interval has begun.
    Watch,
    /// Stacks are unmapped, turn by turn.
    Unmap,
}

/// The timer that gives stacks back.
#[derive(Default)]
pub(crate) struct Trimmer {
    phase: Cell<Phase>,
    timer: Cell<Option<Id<Timer>>>,
}

impl Core {
    /// To be called in every turn: has the surplus of stacks looked at, later, where there is one.
    #[inline]
    pub(crate) fn watch_stacks(&self, ctx: &mut Ctx<()>) {
        self.stacks.settle();
        if self.stacks.has_surplus() && self.trimmer.phase.get() == Phase::Rest {
            self.begin_interval(ctx);
        }
    }

    #[cold]
    fn begin_interval(&self, ctx: &mut Ctx<()>) {
        self.stacks.begin_interval();
        self.trimmer.phase.set(Phase::Watch);
        let timer = self.trimmer.timer.get().unwrap_or_else(|| ctx.timer_plain(Plain { call: trim, data: 0 }));
        self.trimmer.timer.set(Some(timer));
        if let Some(at) = ctx.now().checked_add(INTERVAL) {
            ctx.arm(timer, at);
        }
    }
}

/// The handler of the timer.
fn trim((): &mut (), ctx: &mut Ctx<()>, _: u64, _: Ready) -> Next {
    let Some(core) = current_core() else { return Next::Keep };
    // SAFETY: the loop dispatches, so its scheduler is entered.
    let core = unsafe { core.as_ref() };
    if core.trimmer.phase.replace(Phase::Unmap) == Phase::Watch {
        core.stacks.condemn();
    }
    if core.stacks.unmap(SLICE) {
        if let Some(timer) = core.trimmer.timer.get() {
            let now = ctx.now();
            ctx.arm(timer, now);
        }
    } else if core.stacks.has_surplus() {
        core.begin_interval(ctx);
    } else {
        core.trimmer.phase.set(Phase::Rest);
    }
    Next::Keep
}

/// How much of their stacks the fibers of one name have used; see [`stack_use`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// The name that they were spawned with.
    pub name: Option<String>,
    /// How many there were, those that have not ended included.
    pub fibers: u64,
    /// What the one that used most has used, in bytes: to the page, with what this crate needs itself, and no less than
    /// about 12 KiB.
    pub peak: usize,
    /// The size of its stack, in bytes.
    pub size: usize,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("(no name)");
        let (peak, size) = (self.peak.div_ceil(1024), self.size / 1024);
        write!(f, "{name}: {peak} of {size} KiB, fibers: {}", self.fibers)
    }
}

/// What was measured, by name.
#[derive(Default)]
pub(crate) struct Measured(RefCell<BTreeMap<Option<Box<str>>, Peak>>);

#[derive(Clone, Copy, Default)]
struct Peak {
    fibers: u64,
    used: usize,
    size: usize,
}

impl Peak {
    fn add(&mut self, context: &Context) {
        self.fibers += 1;
        if let Some(used) = context.used()
            && used >= self.used
        {
            (self.used, self.size) = (used, context.bounds().len());
        }
    }
}

impl Measured {
    /// Takes down what a fiber has used that has ended, and has the next one on its stack begin at nothing.
    #[cold]
    pub(crate) fn end(&self, fiber: &Fiber, context: &Context) {
        add(&mut self.0.borrow_mut(), fiber, context);
        context.give_memory_back();
    }
}

fn add(all: &mut BTreeMap<Option<Box<str>>, Peak>, fiber: &Fiber, context: &Context) {
    all.entry(fiber.name.get().map(Box::from)).or_default().add(context);
}

pub(crate) fn report(core: &Core) -> Vec<StackUse> {
    let Some(measured) = &core.measured else { return Vec::new() };
    let mut all = measured.0.borrow().clone();
    core.table.for_each(|fiber| {
        // SAFETY: only `spawn` and `finish` change it, neither of which happens meanwhile.
        let context = unsafe { &*fiber.context.get() };
        if fiber.state.get() != State::Finished
            && let Some(context) = context
        {
            add(&mut all, fiber, context);
        }
    });
    let mut all: Vec<StackUse> = all
        .into_iter()
        .map(|(name, Peak { fibers, used, size })| StackUse { name: name.map(String::from), fibers, peak: used, size })
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.peak));
    all
}

/// How much of their stacks the fibers of the runtime on this thread have used, by name, the most first: for choosing
/// [`stack_size`](crate::Builder::stack_size). Empty where no runtime runs, and where it does not
/// [measure](crate::RuntimeBuilder::measure_stacks).
///
/// There is one entry for each name that ever was: names that are different for each fiber use memory. Memory that was
/// swapped out is missed.
///
/// ```
/// use becket_fiber::{Runtime, spawn_named, stack_use};
///
/// let mut runtime = Runtime::builder().measure_stacks(true).build()?;
/// let all = runtime.run(|| {
///     let deep = spawn_named("deep", || std::hint::black_box([1u8; 50_000])[49_999])?;
///     let flat = spawn_named("flat", || 1)?;
///     deep.join()?;
///     flat.join()?;
///     Ok::<_, std::io::Error>(stack_use())
/// })??;
/// assert_eq!(all[0].name.as_deref(), Some("deep"));
/// assert!(all[0].peak > 50_000 && all[0].size == 128 * 1024);
/// assert!(all.iter().any(|one| one.name.as_deref() == Some("flat") && one.peak < 50_000));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "high-water mark")]
pub fn stack_use() -> Vec<StackUse> {
    match current_core() {
        // SAFETY: it is entered on this thread.
        Some(core) => report(unsafe { core.as_ref() }),
        None => Vec::new(),
    }
}
