//! Signals that are read, not handled: signalfd(2).
//!
//! A [`Signals`] blocks the signals of a [`SignalSet`] in its thread and reads them as [`SigInfo`]s.
//!
//! # Honest trouble
//!
//! - **Threads.** A signal sent to the process acts in any thread that does not block it. Make the [`Signals`] in the
//!   main thread before others are started (they inherit the mask), or block there with a [`MaskGuard`] and make it
//!   in the thread that reads. A signal sent to one thread (raise(3), pthread_kill(3)) is seen by a read in that
//!   thread only, and a poll shows it to that thread only.
//! - **Coalescing.** A standard signal sent five times before a read is read once. Real-time signals queue. So a
//!   SIGCHLD says "at least one child changed": to learn of each, use a [`PidFd`](crate::process::PidFd).
//! - **Children** inherit the mask, through exec too: start them by [`Child::spawn`](crate::process::Child::spawn), or
//!   with [`reset_sigmask`](CommandSignalExt::reset_sigmask). After a fork without exec, parent and child read each
//!   their own signals from the one description they share.

mod command;
mod info;
mod mask;
mod number;
mod set;

pub use command::CommandSignalExt;
pub use info::{SigInfo, parse};
pub use mask::MaskGuard;
pub use number::{Signal, UnknownSignal};
pub use set::SignalSet;

use crate::EventBuf;
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi;
use rustix::io::{Errno, read};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
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
    set: Cell<SignalSet>,
}

owned_fd!(Signals, Readable);

impl Signals {
    /// Blocks `signals` in the calling thread and opens a descriptor that reads them.
    ///
    /// # Errors
    /// `EINVAL` with SIGKILL or SIGSTOP in the set, which no process can read; `EMFILE` or `ENFILE` where no
    /// descriptor is left; `ENOMEM`. After an error nothing is blocked.
    pub fn new(signals: impl Into<SignalSet>) -> io::Result<Signals> {
        let set = readable(signals.into())?;
        let fd = ffi::signal::signalfd(set.bits())?;
        let mask = Cell::new(Some(MaskGuard::hold(set, true)));
        Ok(Signals { fd: Masked { fd, mask }, set: Cell::new(set) })
    }

    /// The signals that are read.
    pub fn set(&self) -> SignalSet {
        self.set.get()
    }

    /// Reads other signals from now on. Those that are no longer read are treated as when this is dropped: what is
    /// pending of them is discarded, then they are unblocked.
    ///
    /// A duplicate of the descriptor reads the new ones too; so does a process that was forked and has not executed
    /// another program since.
    ///
    /// # Errors
    /// `EINVAL` with SIGKILL or SIGSTOP in the set. After an error nothing has changed.
    ///
    /// ```
    /// use becket_sys::signal::{Signal, SignalSet, Signals, raise};
    ///
    /// let signals = Signals::new([Signal::USR1, Signal::TERM])?;
    /// raise(Signal::TERM)?;
    /// signals.change([Signal::USR1, Signal::USR2])?; // nobody is told of the SIGTERM
    /// assert_eq!(SignalSet::blocked(), signals.set());
    /// assert_eq!(signals.try_read()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn change(&self, signals: impl Into<SignalSet>) -> io::Result<()> {
        let set = readable(signals.into())?;
        let mask = MaskGuard::hold(set, true);
        ffi::signal::change_signalfd(self.fd.as_fd(), set.bits())?;
        self.set.set(set);
        // The new guard holds what is in both; dropping the old one lets go of the rest.
        self.fd.mask.set(Some(mask));
        Ok(())
    }

    /// Takes one signal; `None` where none is pending. Lower numbers come first.
    ///
    /// # Errors
    /// `EIO` where a record is cut short, which no kernel does.
    #[inline]
    pub fn try_read(&self) -> io::Result<Option<SigInfo>> {
        // The kernel writes the whole record, so there is nothing to prepare.
        let mut record = [const { MaybeUninit::uninit() }; 128];
        let read = read(&self.fd, &mut record).and_then(|(written, _)| SigInfo::first(written).ok_or(Errno::IO));
        unless_blocked(read)
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
    #[inline]
    pub fn read_events<'b>(
        &self,
        buf: &'b mut EventBuf,
    ) -> io::Result<Option<impl ExactSizeIterator<Item = SigInfo> + use<'b>>> {
        let n = unless_blocked(buf.read_from(&self.fd))?;
        Ok(n.map(|_| parse(buf.as_bytes())))
    }
}

/// A signalfd with its mask.
struct Masked {
    fd: OwnedFd,
    /// Always there; a cell so that it can be changed in place.
    mask: Cell<Option<MaskGuard>>,
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fd.fmt(f)
    }
}

/// What a signalfd can read.
fn readable(set: SignalSet) -> io::Result<SignalSet> {
    if set.contains(Signal::KILL) || set.contains(Signal::STOP) { Err(Errno::INVAL.into()) } else { Ok(set) }
}

impl AsFd for Masked {
    #[inline]
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

/// Does what `signal` does to a process by default: ends it, stops it until it is continued, or nothing. For a program
/// that has read the signal, tidied up (restored its terminal, say) and now wants its parent to see what happened.
///
/// The signal's handler, if it has one, and the mask are as before where this returns. Other threads see the handler
/// gone for a moment.
///
/// # Errors
/// None is known.
///
/// ```
/// use becket_sys::signal::{Signal, Signals, act_by_default, raise};
///
/// let signals = Signals::new(Signal::WINCH)?;
/// raise(Signal::WINCH)?;
/// let info = signals.try_read()?.unwrap();
/// act_by_default(info.signal())?; // of this one: nothing
/// assert_eq!(signals.try_read()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SIG_DFL")]
pub fn act_by_default(signal: Signal) -> io::Result<()> {
    ffi::signal::act_by_default(signal.as_raw(), signal.bit())
}

/// Sends `signal` to a process: kill(2). Where there is a [`PidFd`](crate::process::PidFd), use that one's method: a
/// number may be another process's by now.
///
/// # Errors
/// `ESRCH` where there is no such process; `EPERM` where the caller may not signal it; `EINVAL` for a `pid` that cannot
/// be one.
///
/// ```
/// use becket_sys::signal::{Signal, send};
///
/// send(std::process::id(), Signal::CHLD)?; // ignored by default
/// assert_eq!(send(0, Signal::TERM).unwrap_err().raw_os_error(), Some(22)); // EINVAL
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "kill")]
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    ffi::signal::kill(checked(pid)?, signal.as_raw())
}

/// Sends `signal` to every process of a group that the caller may signal: kill(2) with a negative number.
///
/// # Errors
/// As [`send`].
///
/// ```
/// use becket_sys::signal::{Signal, send_to_group};
///
/// assert_eq!(send_to_group(i32::MAX as u32, Signal::TERM).unwrap_err().raw_os_error(), Some(3)); // ESRCH
/// ```
#[doc(alias = "killpg")]
pub fn send_to_group(group: u32, signal: Signal) -> io::Result<()> {
    let group = checked(group)?;
    // The negative of 1 would mean: everybody.
    if group == 1 {
        return Err(Errno::INVAL.into());
    }
    ffi::signal::kill(-group, signal.as_raw())
}

/// Zero and negative numbers mean groups of processes to the calls.
fn checked(pid: u32) -> io::Result<i32> {
    Ok(i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(Errno::INVAL)?)
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
    ffi::signal::queue(checked(pid)?, signal.as_raw(), value)
}
