//! Stacks of the crate `generator`, which maps each by itself.
//!
//! Four parts of it are never used, because they go wrong: its cancel, dropping a suspended generator, its recovery
//! from a stack overflow, and `Scope` as the way to suspend while another stack runs on top.

use super::{Made, guard, overflow, prefetch, prefetch_frames, valgrind};
use generator::{Generator, Gn, Scope};
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Range;
use std::panic::catch_unwind;
use std::ptr;

/// How many words at the low end of a stack are in use from the beginning: they show whether it was filled.
pub(super) const MARKS: Option<usize> = Some(8);

/// The size of the stacks by which [`init`] finds out what works here: whole pages, however large they are.
pub(super) const FIRST_SIZE: usize = 64 * 1024;

/// The colours of stacks: gaps above the frames, of sizes that differ from stack to stack. Without, what all of many stacks
/// have in use would be at the same place of a page each, for which a cache has little room, and the rest of it would
/// stay empty.
const GAPS: [fn(&mut dyn FnMut()); 8] = [
    below_gap::<0>,
    below_gap::<192>,
    below_gap::<384>,
    below_gap::<576>,
    below_gap::<768>,
    below_gap::<960>,
    below_gap::<1152>,
    below_gap::<1344>,
];

/// Calls `f` below a gap in its own frame.
#[inline(never)]
fn below_gap<const BYTES: usize>(f: &mut dyn FnMut()) {
    let gap = MaybeUninit::<[u8; BYTES]>::uninit();
    black_box(&gap);
    f();
    black_box(&gap);
}

/// What is mapped before it is needed: nothing.
#[derive(Default)]
pub(super) struct Fresh;

/// A stack with its generator.
pub(super) struct Stack {
    generator: UnsafeCell<ManuallyDrop<Generator<'static, (), ()>>>,
}

/// What the body is started with: it is used on the thread that made it only, and `generator` asks for `Send`.
struct AssertSend<T>(T);

// SAFETY: a `Stack` is not `Send`, so that what it was started with stays on its thread.
unsafe impl<T> Send for AssertSend<T> {}

impl<T> AssertSend<T> {
    fn into_inner(self) -> T {
        self.0
    }
}

impl Stack {
    pub(super) fn make(size: usize, _: &mut Fresh) -> io::Result<Made> {
        let own_mapping = guard::reserve(size)?;
        // Another thread may have taken meanwhile what `reserve` has seen, and `generator` panics then.
        let Ok((mut generator, bounds)) = catch_unwind(|| unchecked(size)) else {
            guard::release(own_mapping);
            return Err(rustix::io::Errno::NOMEM.into());
        };
        let guard = bounds.start - guard::page_size()..bounds.start;
        let own_mapping = guard::install(guard.start, own_mapping);
        // Suspending by `co_yield_with` asks for local data; this says whose.
        generator.set_local_data(ptr::with_exposed_provenance_mut(bounds.start));
        let stack = Stack { generator: UnsafeCell::new(ManuallyDrop::new(generator)) };
        Ok(Made { stack, bounds, guard, own_mapping })
    }

    /// Runs `body` on it until it leaves for the first time. To be called once, before anything else.
    pub(super) fn start(&mut self, bounds: &Range<usize>, body: impl FnOnce(Out) + 'static) {
        let body = AssertSend(body);
        let below_gap = GAPS[bounds.start / (bounds.len() + guard::page_size()) % GAPS.len()];
        let generator = self.generator.get_mut();
        generator.scoped_init(move |mut scope| {
            let out = Out { scope: (&raw mut scope).cast() };
            let mut body = Some((body.into_inner(), out));
            below_gap(&mut || {
                if let Some((body, out)) = body.take() {
                    body(out);
                }
            });
        });
        generator.resume();
    }

    /// Runs what is on it until that leaves or ends.
    ///
    /// # Safety
    /// It was started and has not ended, and the caller does not run on it.
    #[inline(always)]
    pub(super) unsafe fn resume(&self) {
        // SAFETY: nothing else uses this generator meanwhile: its own code reaches it by `generator`'s pointers only.
        unsafe { (*self.generator.get()).resume() };
    }

    /// Brings the lines that the next `resume` needs into the cache, for which `out` need not be there.
    #[inline(always)]
    pub(super) fn prefetch_outer(&self) {
        for line in [0, 64, 256] {
            prefetch(self.implementation().wrapping_add(line));
        }
    }

    /// Where what `generator` keeps begins, if it is as assumed: for hints alone.
    #[inline(always)]
    fn implementation(&self) -> *const u8 {
        const { assert!(size_of::<Generator<'static, (), ()>>() == size_of::<*const u8>()) };
        // SAFETY: it is as large as a pointer.
        unsafe { self.generator.get().cast::<*const u8>().read() }
    }

    /// As [`prefetch_outer`](Self::prefetch_outer), where the stack was left.
    #[inline(always)]
    pub(super) fn prefetch_inner(&self, _: &Out) {
        // Where the stack pointer was saved: the second of the registers, with which the implementation begins.
        // SAFETY: as in `prefetch_outer`; a word of it is not written while the scheduler runs.
        let left_at = unsafe { self.implementation().cast::<*const u8>().add(1).read() };
        prefetch_frames(left_at);
    }

    /// Has the body end, and unmaps the stack. Returns `false` where it was filled to the last words, which `generator`
    /// refuses to drop: then it is leaked.
    ///
    /// # Safety
    /// The body must end when it is resumed.
    pub(super) unsafe fn free(self, _: Range<usize>) -> bool {
        let mut generator = ManuallyDrop::into_inner(self.generator.into_inner());
        let (words, used) = generator.stack_usage();
        if used >= words {
            std::mem::forget(generator);
            return false;
        }
        generator.resume();
        debug_assert!(generator.is_done());
        drop(generator);
        true
    }
}

/// The way out, for code that runs directly on a stack.
pub(super) struct Out {
    /// In the frame of the body's caller.
    scope: *mut Scope<'static, 'static, (), ()>,
}

impl Out {
    /// Leaves the stack; returns when it is resumed.
    ///
    /// # Safety
    /// The caller must run on the stack whose way out this is, and on no other above it.
    #[inline(always)]
    pub(super) unsafe fn leave(&self) {
        // SAFETY: the scope stays until the body ends, and is used by the code on this stack only, one call at a time:
        // the `&mut` ends before anybody else runs who could make another.
        unsafe { (*self.scope).yield_with(()) };
    }
}

/// Whether what runs on this thread is in generators, the innermost of ours on the stack with these bounds: then
/// [`leave_from_above`] takes them along.
#[cold]
#[inline(never)]
pub(super) fn can_leave_from_above(bounds: &Range<usize>) -> bool {
    bounds.contains(&(generator::get_local_data() as usize))
}

/// As [`Out::leave`], by way of the innermost stack that has local data: it and those above are left.
///
/// # Safety
/// [`can_leave_from_above`] is true of the stack that is to be left.
pub(super) unsafe fn leave_from_above() {
    generator::co_yield_with(());
}

/// Lets `generator` install its panic hook and its signal handler, then puts our handler in place of the latter, and
/// finds out which guard pages work here.
pub(super) fn init() {
    let previous = overflow::Previous::query();
    let (generator, bounds) = unchecked(FIRST_SIZE);
    run_and_drop(generator, &bounds);
    overflow::install(previous);
    guard::self_check(FIRST_SIZE, |size| {
        let (generator, bounds) = unchecked(size);
        (bounds.clone(), move || run_and_drop(generator, &bounds))
    });
}

/// A generator that does nothing, with a stack of `size` bytes, and where that is assumed to lie.
fn unchecked(size: usize) -> (Generator<'static, (), ()>, Range<usize>) {
    let made = Gn::<()>::new_opt(size / size_of::<usize>(), || ());
    let words = made.stack_usage().0;
    let raw = made.into_raw();
    // The implementation's struct lies in the topmost page of the stack.
    let top = (raw as usize).next_multiple_of(guard::page_size());
    // SAFETY: `raw` comes from `into_raw`, of the same type, and is turned back once.
    (unsafe { Generator::from_raw(raw) }, top - words * size_of::<usize>()..top)
}

fn run_and_drop(mut generator: Generator<'static, (), ()>, bounds: &Range<usize>) {
    let known_as = valgrind::register(bounds);
    generator.resume();
    drop(generator);
    valgrind::deregister(known_as);
}
