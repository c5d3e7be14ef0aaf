//! Signals that are read, not handled: signalfd(2).
//!
//! A [`Signals`] blocks the signals of a [`SignalSet`] in its thread and reads them as [`SigInfo`]s. What follows
//! from the kernel's rules:
//!
//! - **Threads.** A signal sent to the process acts in any thread that does not block it. Make the [`Signals`] in the
//!   main thread before others are started (they inherit the mask), or block there with a [`MaskGuard`] and make it
//!   in the thread that reads. A signal sent to one thread (raise(3), pthread_kill(3)) is seen by a read in that
//!   thread only, and a poll shows it to that thread only.
//! - **Coalescing.** A standard signal sent five times before a read is read once. Real-time signals queue. So a
//!   SIGCHLD says "at least one child changed": to learn of each, use a [`PidFd`](crate::process::PidFd).
//! - **Children** inherit the mask, through exec too: start them with
//!   [`reset_sigmask`](CommandSignalExt::reset_sigmask). After a fork without exec, parent and child read each their
//!   own signals from the one description they share.

mod command;
mod info;
mod mask;
mod number;
mod set;

pub use command::CommandSignalExt;
pub use info::{SigInfo, parse};
pub use mask::MaskGuard;
pub use number::Signal;
pub use set::SignalSet;

use crate::EventBuf;
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi;
use rustix::io::{Errno, read};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Signals as a descriptor to read from: signalfd(2) with its signals blocked.
///
/// Close-on-exec and non-blocking. It stays in the thread that made it, whose mask it holds; see the
/// [module](self) for the rules of threads. Dropping it closes the descriptor, discards those of its signals that
/// are pending, and then unblocks them, save those that were blocked before or that another `Signals` or
/// [`MaskGuard`] of this thread holds (these are not discarded either).
///
/// ```
/// use becket_sys::signal::{Signal, Signals, raise};
///
/// let signals = Signals::new([Signal::USR1, Signal::USR2])?;
/// assert_eq!(signals.try_read()?, None);
///
/// raise(Signal::USR2)?;
/// raise(Signal::USR2)?;
/// assert_eq!(signals.try_read()?.map(|info| info.signal()), Some(Signal::USR2));
/// assert_eq!(signals.try_read()?, None); // the two were one
///
/// raise(Signal::USR1)?;
/// drop(signals); // discarded: the process lives
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "signalfd")]
#[derive(Debug)]
pub struct Signals {
    fd: Masked,
    set: SignalSet,
}

owned_fd!(Signals, Readable);

impl Signals {
    /// Blocks `signals` in the calling thread and opens a descriptor that reads them.
    ///
    /// # Errors
    /// `EINVAL` with SIGKILL or SIGSTOP in the set, which no process can read; `EMFILE` or `ENFILE` where no
    /// descriptor is left; `ENOMEM`. After an error nothing is blocked.
    pub fn new(signals: impl Into<SignalSet>) -> io::Result<Signals> {
        let set = signals.into();
        if set.contains(Signal::KILL) || set.contains(Signal::STOP) {
            return Err(Errno::INVAL.into());
        }
        let fd = ffi::signal::signalfd(set.bits())?;
        let mask = MaskGuard::hold(set, true);
        Ok(Signals { fd: Masked { fd, mask }, set })
    }

    /// The signals that are read.
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// Takes one signal; `None` where none is pending. Lower numbers come first.
    ///
    /// # Errors
    /// None is known.
    #[inline]
    pub fn try_read(&self) -> io::Result<Option<SigInfo>> {
        let mut record = [0; 128];
        let n = unless_blocked(read(&self.fd, &mut record))?;
        Ok(n.map(|_| SigInfo::from(record)))
    }

    /// Takes as many signals as are pending and `buf` has room for, 128 bytes each; `None` where none is pending.
    ///
    /// # Errors
    /// `EINVAL` for a buffer of less than 128 bytes.
    ///
    /// ```
    /// use becket_sys::EventBuf;
    /// use becket_sys::signal::{Signal, Signals, raise};
    ///
    /// let signals = Signals::new([Signal::USR1, Signal::HUP])?;
    /// raise(Signal::USR1)?;
    /// raise(Signal::HUP)?;
    /// let mut buf = EventBuf::new();
    /// let batch: Vec<_> = signals.read_events(&mut buf)?.unwrap().map(|info| info.signal()).collect();
    /// assert_eq!(batch, [Signal::HUP, Signal::USR1]);
    /// assert!(signals.read_events(&mut buf)?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_events<'b>(
        &self,
        buf: &'b mut EventBuf,
    ) -> io::Result<Option<impl ExactSizeIterator<Item = SigInfo> + use<'b>>> {
        let n = unless_blocked(buf.read_from(&self.fd))?;
        Ok(n.map(|_| parse(buf.as_bytes())))
    }
}

/// A signalfd with its mask.
#[derive(Debug)]
struct Masked {
    fd: OwnedFd,
    mask: MaskGuard,
}

impl AsFd for Masked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whoever takes the bare descriptor over goes on reading it, so the signals stay blocked in this thread.
impl From<Masked> for OwnedFd {
    fn from(this: Masked) -> Self {
        mem::forget(this.mask);
        this.fd
    }
}

/// Sends `signal` to the calling thread: raise(3).
///
/// Where it is not blocked, it takes effect before this returns: it may end the process.
///
/// # Errors
/// None is known.
///
/// ```
/// use becket_sys::signal::{Signal, raise};
///
/// raise(Signal::CHLD)?; // ignored by default
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise(signal: Signal) -> io::Result<()> {
    ffi::signal::raise(signal.as_raw())
}

/// Sends `signal` with an integer to a process: sigqueue(3). [`SigInfo::value`] reads it.
///
/// # Errors
/// `ESRCH` where there is no such process; `EPERM` where the caller may not signal it; `EAGAIN` where as many signals
/// are queued as RLIMIT_SIGPENDING allows; `EINVAL` for a `pid` that cannot be one.
///
/// ```
/// use becket_sys::signal::{Signal, queue};
///
/// let e = queue(0, Signal::USR1, 7).unwrap_err();
/// assert_eq!(e.raw_os_error(), Some(22)); // EINVAL
/// ```
#[doc(alias = "sigqueue")]
pub fn queue(pid: u32, signal: Signal, value: i32) -> io::Result<()> {
    // Zero and negative numbers mean groups of processes to other calls.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(Errno::INVAL)?;
    ffi::signal::queue(pid, signal.as_raw(), value)
}
