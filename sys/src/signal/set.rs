use super::Signal;
use crate::ffi;
use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// A set of signals: sigsetops(3).
///
/// ```
/// use becket_sys::signal::{Signal, SignalSet};
///
/// let mut set = SignalSet::from([Signal::INT, Signal::TERM]);
/// assert!(set.insert(Signal::HUP) && !set.insert(Signal::HUP));
/// assert!(set.remove(Signal::INT));
/// assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::HUP, Signal::TERM]);
/// assert_eq!(format!("{set:?}"), "{SIGHUP, SIGTERM}");
/// assert_eq!(SignalSet::all() - set & set, SignalSet::new());
/// ```
#[doc(alias = "sigset_t")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SignalSet {
    /// Bit n-1 is signal n.
    bits: u64,
}

impl SignalSet {
    /// The empty set.
    pub const fn new() -> SignalSet {
        SignalSet { bits: 0 }
    }

    /// Every signal. Blocking it leaves `SIGKILL` and `SIGSTOP` as they are, which nobody can block.
    ///
    /// ```
    /// use becket_sys::signal::{Signal, SignalSet};
    ///
    /// assert!(SignalSet::all().contains(Signal::TERM));
    /// ```
    #[doc(alias = "sigfillset")]
    pub const fn all() -> SignalSet {
        SignalSet { bits: !0 }
    }

    /// The signals that are blocked in the calling thread.
    ///
    /// ```
    /// use becket_sys::signal::{MaskGuard, Signal, SignalSet};
    ///
    /// let guard = MaskGuard::block(Signal::USR1);
    /// assert!(SignalSet::blocked().contains(Signal::USR1));
    /// drop(guard);
    /// assert!(!SignalSet::blocked().contains(Signal::USR1));
    /// ```
    #[doc(alias = "pthread_sigmask")]
    pub fn blocked() -> SignalSet {
        SignalSet { bits: ffi::signal::blocked() }
    }

    /// The signals that are blocked and were sent, to the calling thread or to its process; see sigpending(2).
    #[doc(alias = "sigpending")]
    pub fn pending() -> SignalSet {
        SignalSet { bits: ffi::signal::pending() }
    }

    /// Adds a signal; returns whether it was not there.
    pub fn insert(&mut self, signal: Signal) -> bool {
        let new = !self.contains(signal);
        self.bits |= signal.bit();
        new
    }

    /// Removes a signal; returns whether it was there.
    pub fn remove(&mut self, signal: Signal) -> bool {
        let old = self.contains(signal);
        self.bits &= !signal.bit();
        old
    }

    /// Whether the signal is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.bits & signal.bit() != 0
    }

    /// Whether no signal is in the set.
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The signals in the set, by rising number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal::from_kernel).filter(move |signal| self.contains(*signal))
    }

    pub(super) fn bits(self) -> u64 {
        self.bits
    }
}

impl From<Signal> for SignalSet {
    fn from(signal: Signal) -> Self {
        SignalSet { bits: signal.bit() }
    }
}

impl<const N: usize> From<[Signal; N]> for SignalSet {
    fn from(signals: [Signal; N]) -> Self {
        signals.into_iter().collect()
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = SignalSet::new();
        set.extend(signals);
        set
    }
}

impl Extend<Signal> for SignalSet {
    fn extend<I: IntoIterator<Item = Signal>>(&mut self, signals: I) {
        for signal in signals {
            self.insert(signal);
        }
    }
}

/// The signals of both.
impl BitOr for SignalSet {
    type Output = SignalSet;

    fn bitor(self, other: SignalSet) -> SignalSet {
        SignalSet { bits: self.bits | other.bits }
    }
}

/// The signals that both have.
impl BitAnd for SignalSet {
    type Output = SignalSet;

    fn bitand(self, other: SignalSet) -> SignalSet {
        SignalSet { bits: self.bits & other.bits }
    }
}

/// The signals of the first that the second has not.
impl Sub for SignalSet {
    type Output = SignalSet;

    fn sub(self, other: SignalSet) -> SignalSet {
        SignalSet { bits: self.bits & !other.bits }
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
