//! Guard pages that cost no mapping, and the limits of the system.
//!
//! A page without access is a mapping of its own, so each stack takes two, and the kernel allows 65,530 by default.
//! `MADV_GUARD_INSTALL` (Linux 6.13) guards a page within a mapping: all stacks merge into a few dozen mappings.
//! Where that fails, the page is protected the old way and the number of such stacks is kept below the limit,
//! since at the limit even the allocator and the panic handler fail.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
#[cfg(not(feature = "corosensei"))]
use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Whether [`install`] may guard within the mapping. Decided once by [`self_check`].
static WITHIN_MAPPING: AtomicBool = AtomicBool::new(false);

/// How many stacks hold a mapping of their own for the guard.
static OWN_MAPPINGS: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
pub(super) fn within_mapping() -> bool {
    super::init().unwrap();
    WITHIN_MAPPING.load(Ordering::Relaxed)
}

pub(super) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    // SAFETY: only asks. (rustix reads it from the auxiliary vector, which valgrind hides.)
    *SIZE.get_or_init(|| unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize)
}

/// Refuses a stack size that `generator` would panic on, or that is no multiple of the page size.
pub(super) fn check_size(size: usize) -> io::Result<()> {
    let page = page_size();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Stack).maximum;
    let limit = hard.and_then(|m| usize::try_from(m).ok()).unwrap_or(usize::MAX >> 1);
    let fits = size.checked_add(2 * page).is_some_and(|s| s <= limit);
    if size < page || !size.is_multiple_of(page) || !fits {
        let message = format!("stack size {size}: must be whole pages, below the hard limit of RLIMIT_STACK");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Counts a guard that is going to be a mapping of its own, where they are such; returns whether it did.
///
/// # Errors
/// `OutOfMemory` where there are as many as the limit leaves room for.
pub(super) fn count_own_mapping() -> io::Result<bool> {
    let own_mapping = !WITHIN_MAPPING.load(Ordering::Relaxed);
    let has_room = |count| count < own_mappings_max();
    let counted = if own_mapping {
        OWN_MAPPINGS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| has_room(n).then_some(n + 1))
    } else {
        // Where guards within the mapping work, one stack's may still fail, and others' have.
        let count = OWN_MAPPINGS.load(Ordering::Relaxed);
        if count == 0 || has_room(count) { Ok(count) } else { Err(count) }
    };
    counted.map_err(|count| {
        let message = format!(
            "{count} stacks have guard pages that are mappings of their own, as many as vm.max_map_count leaves room \
             for: raise it, or use Linux 6.13 or newer and memory that is not locked"
        );
        io::Error::new(io::ErrorKind::OutOfMemory, message)
    })?;
    Ok(own_mapping)
}

/// Makes sure that the next stack of `size` bytes can be mapped and protected, because `generator` panics where it
/// cannot. Returns whether the guard will need a mapping of its own, which is then counted.
#[cfg(not(feature = "corosensei"))]
pub(super) fn reserve(size: usize) -> io::Result<bool> {
    thread_local! {
        /// How many stacks of which size the last probe was good for.
        static PROBED: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
    }
    const BATCH: u32 = 32;

    let own_mapping = count_own_mapping()?;
    let (probed_size, left) = PROBED.get();
    let probed = if probed_size == size && left > 0 {
        PROBED.set((size, left - 1));
        Ok(())
    } else if probe(size, BATCH as usize).is_ok() {
        PROBED.set((size, BATCH - 1));
        Ok(())
    } else {
        PROBED.set((0, 0));
        probe(size, 1)
    };
    if let Err(e) = probed {
        release(own_mapping);
        return Err(e);
    }
    Ok(own_mapping)
}

/// Gives back what was counted for one stack.
pub(super) fn release(own_mapping: bool) {
    if own_mapping {
        OWN_MAPPINGS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Half of what the kernel allows, less an eighth for everybody else in the process.
fn own_mappings_max() -> usize {
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        let max: usize = text.trim().parse().unwrap_or(65_530);
        (max - max / 8) / 2
    })
}

/// Maps what `count` stacks take, with some mappings to spare, and unmaps it.
pub(super) fn probe(size: usize, count: usize) -> io::Result<()> {
    let page = page_size();
    let length = (size + 2 * page).checked_mul(count).ok_or(rustix::io::Errno::NOMEM)?.max(8 * page);
    // SAFETY: a fresh mapping that nobody else knows; it is unmapped before this returns.
    unsafe {
        let start = mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        let result =
            [1, 3, 5].into_iter().try_for_each(|i| mprotect(start.byte_add(i * page), page, MprotectFlags::empty()));
        munmap(start, length)?;
        Ok(result?)
    }
}

/// Turns the protected page at `at` into a guard within the mapping around it, or leaves it as it is. Returns
/// whether it is a mapping of its own. `counted` says whether it is counted as such.
///
/// Each stack at once: done later, in bulk, the mappings would not merge.
#[cfg(not(feature = "corosensei"))]
pub(super) fn install(at: usize, counted: bool) -> bool {
    if counted {
        return true;
    }
    if guard_within_mapping(at) {
        return false;
    }
    // Locked memory, for one, refuses it.
    OWN_MAPPINGS.fetch_add(1, Ordering::Relaxed);
    true
}

fn guard_within_mapping(at: usize) -> bool {
    let page = page_size();
    let at = ptr::with_exposed_provenance_mut::<c_void>(at);
    // SAFETY: the page at `at` is the guard page of a stack that was just made and has not run: the self-check
    // confirmed where it lies. Nobody reads or writes it.
    unsafe {
        if mprotect(at, page, MprotectFlags::READ | MprotectFlags::WRITE).is_err() {
            return false;
        }
        if libc::madvise(at, page, MADV_GUARD_INSTALL) == 0 {
            return true;
        }
        // A kernel before 6.13 says EINVAL. Protecting a page again that was protected a moment ago needs no more
        // mappings than before; if it failed, there would be no guard, which must not be.
        if mprotect(at, page, MprotectFlags::empty()).is_err() {
            std::process::abort();
        }
        false
    }
}

/// Makes the readable page at `at` a guard; returns whether it is a mapping of its own. `counted` says whether it is
/// counted as such.
#[cfg(feature = "corosensei")]
pub(super) fn protect(at: usize, counted: bool) -> io::Result<bool> {
    let page = page_size();
    let at = ptr::with_exposed_provenance_mut::<c_void>(at);
    // SAFETY: a page of a stack that was not made yet: nobody reads or writes it.
    unsafe {
        if !counted && libc::madvise(at, page, MADV_GUARD_INSTALL) == 0 {
            return Ok(false);
        }
        mprotect(at, page, MprotectFlags::empty())?;
    }
    if !counted {
        // Locked memory, for one, refuses the other way.
        OWN_MAPPINGS.fetch_add(1, Ordering::Relaxed);
    }
    Ok(true)
}

/// Maps memory for stacks, without huge pages: each would take 2 MiB for the first frame.
#[cfg(feature = "corosensei")]
pub(super) fn map(length: usize) -> io::Result<usize> {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::STACK);
    // SAFETY: a fresh mapping. Before Linux 6.7 the flag alone does not keep huge pages off; where the kernel has none,
    // the advice fails.
    unsafe {
        let start = mmap_anonymous(ptr::null_mut(), length, access, flags)?;
        libc::madvise(start, length, libc::MADV_NOHUGEPAGE);
        Ok(start.expose_provenance())
    }
}

/// Unmaps what [`map`] has mapped, or a part of it. At the limit of mappings a gap cannot be made: then its memory alone
/// is given back.
///
/// # Safety
/// Nobody uses it any more.
#[cfg(feature = "corosensei")]
pub(super) unsafe fn unmap(pages: Range<usize>) {
    let at = ptr::with_exposed_provenance_mut::<c_void>(pages.start);
    // SAFETY: the caller's promise.
    if unsafe { munmap(at, pages.len()) }.is_err() {
        discard(pages);
    }
}

/// Finds out whether guards within the mapping work, and whether a stack is laid out as assumed: `make` gives the
/// bounds of a stack of `size` bytes, and what frees it.
pub(super) fn self_check<F: FnOnce()>(size: usize, make: impl FnOnce(usize) -> (Range<usize>, F)) {
    let page = page_size();
    let (bounds, free) = make(size);
    let guard = bounds.start.wrapping_sub(page);
    let as_expected = || {
        matches!(readable(guard), Some(false))
            && matches!(readable(guard + page - 1), Some(false))
            && matches!(readable(bounds.start), Some(true))
            && matches!(readable(bounds.end - 1), Some(true))
    };
    if bounds.len() == size && as_expected() && guard_within_mapping(guard) && as_expected() {
        WITHIN_MAPPING.store(true, Ordering::Relaxed);
    }
    free();
}

/// Gives the memory of whole pages back to the system: they read as zero from then on.
pub(super) fn discard(pages: Range<usize>) {
    if !pages.is_empty() {
        let at = ptr::with_exposed_provenance_mut::<c_void>(pages.start);
        // SAFETY: pages of an idle stack that hold no frame. Where it fails (locked memory) they stay as they are.
        unsafe { libc::madvise(at, pages.len(), libc::MADV_DONTNEED) };
    }
}

/// Which of the pages are in memory; `None` where the kernel does not tell.
pub(super) fn resident(pages: Range<usize>) -> Option<Vec<bool>> {
    let mut found = vec![0u8; pages.len() / page_size()];
    let at = ptr::with_exposed_provenance_mut::<c_void>(pages.start);
    // SAFETY: the kernel writes a byte for each page.
    let result = unsafe { libc::mincore(at, pages.len(), found.as_mut_ptr()) };
    (result == 0).then(|| found.iter().map(|byte| byte & 1 != 0).collect())
}

/// Whether the byte at `at` can be read, asked of the kernel; `None` where it does not answer.
fn readable(at: usize) -> Option<bool> {
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(at), iov_len: 1 };
    // SAFETY: the kernel copies one byte into `byte`, or fails with EFAULT where `at` cannot be read.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    match n {
        1 => Some(true),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) => Some(false),
        _ => None,
    }
}
