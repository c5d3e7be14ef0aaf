//! Tells a process from the child that fork(2) made of it, and exchanges what the two would share.

use super::{AsFd, OwnedFd, number};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The process in which something was made, or to which it was moved by `settle`.
#[derive(Debug)]
pub(crate) struct Origin {
    of: AtomicU32,
}

/// An [`Origin`] as it is asked in each turn, and after each call of the user's code: by a load and a comparison.
#[derive(Clone, Copy)]
pub(crate) struct Here {
    word: &'static AtomicU32,
    of: u32,
}

impl Origin {
    pub(crate) fn here() -> Origin {
        Origin { of: AtomicU32::new(current()) }
    }

    /// Whether this is still that process, and not a child of it.
    pub(crate) fn is_here(&self) -> bool {
        self.of.load(Ordering::Relaxed) == current()
    }

    pub(crate) fn settle(&self) {
        self.of.store(current(), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn pretend_to_be_elsewhere(&self) {
        self.of.store(u32::MAX, Ordering::Relaxed);
    }

    /// `ECHILD` in a child.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_here() { Ok(()) } else { Err(rustix::io::Errno::CHILD.into()) }
    }

    /// This, to be asked often, and anew after [`settle`](Self::settle).
    pub(crate) fn to_ask(&self) -> Here {
        static UNKNOWN: AtomicU32 = AtomicU32::new(0);
        match word() {
            Some(word) => Here { word, of: self.of.load(Ordering::Relaxed) },
            None => Here { word: &UNKNOWN, of: 0 },
        }
    }
}

impl Here {
    /// Whether this is a child by now. Where [`is_blind`](Self::is_blind), it never says so.
    #[inline(always)]
    pub(crate) fn has_forked(self) -> bool {
        self.word.load(Ordering::Relaxed) != self.of
    }

    /// Whether it cannot tell, and the origin must be asked, at the price of a system call. Numbers begin with one.
    #[inline(always)]
    pub(crate) fn is_blind(self) -> bool {
        self.of == 0
    }
}

/// A number that no ancestor of this process has, nor a process between it and them.
fn current() -> u32 {
    let Some(word) = word() else { return std::process::id() };
    match word.load(Ordering::Relaxed) {
        0 => {
            // Not wiped in a child, so the numbers of its ancestors are behind it.
            static GIVEN: AtomicU32 = AtomicU32::new(0);
            let new = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
            word.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed).err().unwrap_or(new)
        }
        number => number,
    }
}

/// The word that holds this process's number: zero, for none yet, in a child, however it was forked. `None` where the
/// system cannot do that (before Linux 4.14), and the process's id, at the price of a system call, must do.
fn word() -> Option<&'static AtomicU32> {
    static WORD: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    *WORD.get_or_init(map)
}

#[cfg(target_os = "linux")]
fn map() -> Option<&'static AtomicU32> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    let (size, access) = (size_of::<AtomicU32>(), ProtFlags::READ | ProtFlags::WRITE); // the kernel makes it a page
    // SAFETY: at a place of the kernel's choice.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), size, access, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the page is ours, and says nothing yet.
    if unsafe { madvise(page, size, Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: as above, and nobody knows it.
        let _ = unsafe { rustix::mm::munmap(page, size) };
        return None;
    }
    // SAFETY: a page is aligned and large enough, is zero at first, is never unmapped from here on, and known to nobody
    // else; whom it is lent to can only use it as an atomic word.
    Some(unsafe { &*page.cast::<AtomicU32>() })
}

#[cfg(not(target_os = "linux"))]
fn map() -> Option<&'static AtomicU32> {
    None
}

/// Makes the descriptor that `old` owns one of what `new` is of: under the same number, in all that know it, and at
/// once. What it was of before stays open in other processes.
pub(crate) fn exchange(old: &impl AsFd, new: impl Into<OwnedFd>) -> io::Result<()> {
    let new: OwnedFd = new.into();
    // SAFETY: `old` keeps the number open until after this call, and this value, which is not dropped, does not close
    // it. dup3(2) leaves it open, as what `new` is: of the same kind, which is all that `old`'s methods rely on.
    let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number(old)) });
    let flags = rustix::io::DupFlags::CLOEXEC;
    Ok(rustix::io::retry_on_intr(|| rustix::io::dup3(&new, &mut place, flags))?)
}

#[cfg(test)]
mod tests {
    use super::{Origin, exchange};
    use becket_sys::event::Event;

    #[test]
    fn what_is_exchanged_keeps_its_number_and_nothing_else() {
        let (old, new) = (Event::with_count(3).unwrap(), Event::with_count(4).unwrap());
        let other = old.try_clone().unwrap();
        exchange(&old, new).unwrap();
        assert_eq!((old.try_read().unwrap(), other.try_read().unwrap()), (Some(4), Some(3)));
    }

    #[test]
    fn nothing_has_forked() {
        let origin = Origin::here();
        assert!(origin.is_here() && !origin.to_ask().has_forked() && origin.check().is_ok());
    }
}
