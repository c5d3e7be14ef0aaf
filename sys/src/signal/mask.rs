use super::{Signal, SignalSet};
use crate::ffi;
use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    /// For each signal, how many guards of this thread hold it blocked. A signal that was blocked before the first
    /// guard came is not counted: it is not ours to unblock.
    static HELD: [Cell<u32>; 64] = const { [const { Cell::new(0) }; 64] };
}

/// Keeps signals blocked in the calling thread: pthread_sigmask(3).
///
/// A blocked signal that is sent stays pending. A signal that was not blocked before is unblocked again when the
/// last guard over it is dropped, in whatever order guards go; what is pending then takes effect. A guard stays in
/// its thread, for so does the mask; threads and processes started while it lives inherit the mask as it is.
///
/// SIGKILL and SIGSTOP cannot be blocked and are passed over.
///
/// ```
/// use becket_sys::signal::{MaskGuard, Signal, SignalSet, raise};
///
/// let guard = MaskGuard::block([Signal::WINCH, Signal::URG]);
/// raise(Signal::WINCH)?;
/// assert_eq!(SignalSet::pending(), SignalSet::from(Signal::WINCH));
/// drop(guard); // WINCH takes effect: by default it is ignored
/// assert!(SignalSet::pending().is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pthread_sigmask")]
#[doc(alias = "sigprocmask")]
#[derive(Debug)]
#[must_use = "the signals are unblocked when the guard is dropped"]
pub struct MaskGuard {
    /// Those that this guard is counted for in `HELD`.
    held: SignalSet,
    /// Whether what is pending is discarded, not let loose, before it is unblocked.
    discard: bool,
    /// The mask belongs to the thread, so the guard must not leave it.
    _thread: PhantomData<*const ()>,
}

impl MaskGuard {
    /// Blocks `signals` in the calling thread until the guard is dropped.
    ///
    /// Call it in the main thread before the first thread is started: a signal sent to the process goes to any
    /// thread that does not block it.
    pub fn block(signals: impl Into<SignalSet>) -> MaskGuard {
        Self::hold(signals.into(), false)
    }

    /// Says whether signals that are pending when the guard is dropped are discarded instead of taking effect. They are
    /// where this was the last guard over them.
    ///
    /// ```
    /// use becket_sys::signal::{MaskGuard, Signal, raise};
    ///
    /// let guard = MaskGuard::block(Signal::TERM).discard_pending(true);
    /// raise(Signal::TERM)?;
    /// drop(guard); // and the process lives
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn discard_pending(mut self, discard: bool) -> MaskGuard {
        self.discard = discard;
        self
    }

    pub(super) fn hold(set: SignalSet, discard: bool) -> MaskGuard {
        let before = ffi::signal::block(set.bits());
        let mut held = SignalSet::new();
        HELD.with(|counts| {
            for signal in set.iter().filter(|s| !matches!(*s, Signal::KILL | Signal::STOP)) {
                let count = &counts[index(signal)];
                if count.get() > 0 || before & signal.bit() == 0 {
                    count.set(count.get() + 1);
                    held.insert(signal);
                }
            }
        });
        MaskGuard { held, discard, _thread: PhantomData }
    }
}

impl Drop for MaskGuard {
    fn drop(&mut self) {
        let mut last = SignalSet::new();
        HELD.with(|counts| {
            for signal in self.held.iter() {
                let count = &counts[index(signal)];
                count.set(count.get() - 1);
                if count.get() == 0 {
                    last.insert(signal);
                }
            }
        });
        if last.is_empty() {
            return;
        }
        if self.discard {
            while ffi::signal::discard_pending(last.bits()) {}
        }
        ffi::signal::unblock(last.bits());
    }
}

/// The place of a member of a set, which is a signal from 1 to 64, in `HELD`.
fn index(member: Signal) -> usize {
    member.as_raw() as usize - 1
}
