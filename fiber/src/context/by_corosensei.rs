//! Stacks of our own, many in one mapping, switched by the crate `corosensei`.
//!
//! ```text
//! | guard page | ... frames ... the root's frame | corosensei's words | Top | colour | guard page of the next one
//! ```
//!
//! A stack that runs nothing has one page in memory, the topmost.
//!
//! The colour is a gap whose size differs from stack to stack. Without, what all of many stacks have in use would be at
//! the same place of a page each, for which a cache has little room, and the rest of it would stay empty.

use super::{Made, guard, overflow, prefetch, prefetch_frames};
use corosensei::Yielder;
use corosensei::stack::StackPointer;
use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::{self, NonNull};

/// How many words at the low end of a stack are in use from the beginning.
pub(super) const MARKS: Option<usize> = None;

/// The size of the stack by which [`init`] finds out what works here: whole pages, however large they are.
pub(super) const FIRST_SIZE: usize = 64 * 1024;

/// How many stacks are mapped at once, at most: the first mapping has one, and each next one twice as many.
const MOST: usize = 64;

/// How many colours there are, and how far apart: half of a page in all, as most of what waits has its frames in the
/// other half.
const COLOURS: usize = 32;
const COLOUR: usize = 64;

type Coroutine = corosensei::Coroutine<(), (), (), Memory>;

/// What lies above a stack's frames.
#[repr(C, align(64))]
struct Top {
    coroutine: Coroutine,
}

const _: () = assert!(size_of::<Top>() == 64);

/// What `corosensei` is told of the memory, which it does not own.
struct Memory {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: `Stack::make` gives it a guard page at the low end, and more than 4 KiB below `base`, which is a multiple of 64.
unsafe impl corosensei::stack::Stack for Memory {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

/// Stacks of one size that are mapped and not made yet.
#[derive(Default)]
pub(super) struct Fresh {
    /// Whole ones, each with its guard page. They are taken from the end, as the kernel maps downwards: neighbours in
    /// time are neighbours.
    left: Range<usize>,
    /// How many the last mapping had.
    count: usize,
}

impl Fresh {
    /// One of `length` bytes, the same at each call.
    fn take(&mut self, length: usize) -> io::Result<Range<usize>> {
        if self.left.is_empty() {
            let mut count = (2 * self.count).clamp(1, MOST);
            let start = loop {
                match guard::map(count * length) {
                    Err(_) if count > 1 => count /= 2,
                    mapped => break mapped?,
                }
            };
            (self.left, self.count) = (start..start + count * length, count);
        }
        self.left.end -= length;
        Ok(self.left.end..self.left.end + length)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            // SAFETY: nobody has taken them.
            unsafe { guard::unmap(self.left.clone()) };
        }
    }
}

/// A stack with its coroutine, which lies at its top.
pub(super) struct Stack {
    top: NonNull<Top>,
}

impl Stack {
    pub(super) fn make(size: usize, fresh: &mut Fresh) -> io::Result<Made> {
        let page = guard::page_size();
        let counted = guard::count_own_mapping()?;
        let length = size + page; // `check_size` left room for that
        let made = fresh.take(length).and_then(|whole| match guard::protect(whole.start, counted) {
            Ok(own_mapping) => Ok((whole, own_mapping)),
            Err(e) => {
                fresh.left.end += length;
                Err(e)
            }
        });
        let (whole, own_mapping) = made.inspect_err(|_| guard::release(counted))?;
        let (guard, bounds) = (whole.start..whole.start + page, whole.start + page..whole.end);
        let colour = whole.start / length % COLOURS * COLOUR;
        let top = ptr::with_exposed_provenance_mut::<Top>(bounds.end - colour - size_of::<Top>());
        Ok(Made {
            stack: Stack { top: NonNull::new(top).ok_or(rustix::io::Errno::NOMEM)? },
            bounds,
            guard,
            own_mapping,
        })
    }

    /// Runs `body` on it until it leaves for the first time. To be called once, before anything else.
    pub(super) fn start(&mut self, bounds: &Range<usize>, body: impl FnOnce(Out) + 'static) {
        let address = |at: usize| NonZeroUsize::new(at).unwrap_or(NonZeroUsize::MIN);
        let limit = address(bounds.start - guard::page_size());
        let memory = Memory { base: address(self.top.addr().get()), limit };
        let coroutine = Coroutine::with_stack(memory, move |yielder, ()| {
            body(Out { yielder, left_at: Cell::new(ptr::null()) });
        });
        // SAFETY: the memory above `base` is ours, aligned, and nothing is in it.
        unsafe { self.top.write(Top { coroutine }) };
        // SAFETY: just started; the caller cannot run on a new stack.
        unsafe { self.resume() };
    }

    /// Runs what is on it until that leaves or ends.
    ///
    /// # Safety
    /// It was started and has not ended, and the caller does not run on it.
    #[inline(always)]
    pub(super) unsafe fn resume(&self) {
        // SAFETY: `start` wrote it. Nothing else uses it meanwhile: the code on the stack has a `Yielder` only.
        unsafe { (*self.top.as_ptr()).coroutine.resume(()) };
    }

    /// Brings the lines that the next `resume` needs into the cache, for which `out` need not be there.
    #[inline(always)]
    pub(super) fn prefetch_outer(&self) {
        prefetch(self.top.as_ptr().cast_const().cast());
    }

    /// As [`prefetch_outer`](Self::prefetch_outer), where the stack was left.
    #[inline(always)]
    pub(super) fn prefetch_inner(&self, out: &Out) {
        prefetch_frames(out.left_at.get());
    }

    /// Has the body end, and unmaps the stack. Returns whether it did.
    ///
    /// # Safety
    /// The body must end when it is resumed. `bounds` are those of the stack.
    pub(super) unsafe fn free(self, bounds: Range<usize>) -> bool {
        // SAFETY: the caller's promise. The coroutine has nothing to drop then.
        unsafe {
            self.resume();
            debug_assert!((*self.top.as_ptr()).coroutine.done());
            guard::unmap(bounds.start - guard::page_size()..bounds.end);
        }
        true
    }
}

/// The way out, for code that runs directly on a stack.
pub(super) struct Out {
    /// On the stack itself, until the body ends.
    yielder: *const Yielder<(), ()>,
    /// About where the stack pointer was when the stack was left.
    left_at: Cell<*const u8>,
}

impl Out {
    /// Leaves the stack; returns when it is resumed.
    ///
    /// # Safety
    /// The caller must run on the stack whose way out this is, and on no other above it.
    #[inline(always)]
    pub(super) unsafe fn leave(&self) {
        let here = 0u8;
        self.left_at.set(&raw const here);
        // SAFETY: see the field.
        unsafe { (*self.yielder).suspend(()) };
    }
}

/// Whether [`leave_from_above`] takes along what runs above the stack with these bounds: another library's coroutine
/// may have books that would be wrong after that.
pub(super) fn can_leave_from_above(_: &Range<usize>) -> bool {
    false
}

/// # Safety
/// Not to be called: [`can_leave_from_above`] is never true.
pub(super) unsafe fn leave_from_above() {
    unreachable!("no stack is left from above");
}

/// Installs our signal handler, and finds out which guard pages work here.
pub(super) fn init() {
    overflow::install(overflow::Previous::query());
    guard::self_check(FIRST_SIZE, |size| {
        let page = guard::page_size();
        let mapped = guard::map(size + page).ok().filter(|start| guard::protect(*start, true).is_ok());
        let start = mapped.unwrap_or_default();
        let free = move || {
            if mapped.is_some() {
                // SAFETY: nobody else knows the mapping.
                unsafe { guard::unmap(start..start + page + size) };
            }
        };
        (start + page..start + page + size, free)
    });
}
