//! Signals: signalfd(2).

pub use becket_sys::signal::{CommandSignalExt, MaskGuard, SigInfo, Signal, SignalSet, queue, raise};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::signal;
use std::io;

/// Signals that are waited for instead of handled: signalfd(2).
///
/// They are blocked in the thread that creates it: do so before other threads start. See
/// [`becket_sys::signal::Signals`] for what is discarded when it is dropped.
///
/// ```
/// use becket_fiber::signal::{Signal, Signals, raise};
/// use becket_fiber::{Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let signals = Signals::new([Signal::USR1, Signal::USR2])?;
///     spawn(|| raise(Signal::USR2))?.detach();
///     assert_eq!(signals.next()?.signal(), Signal::USR2);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "signalfd")]
#[derive(Debug)]
pub struct Signals {
    io: Io<signal::Signals>,
}

over_io!(Signals, signal::Signals, convert);

impl Signals {
    /// Blocks `signals` in the calling thread and opens a descriptor that reads them.
    ///
    /// # Errors
    /// `EINVAL` with SIGKILL or SIGSTOP in the set; `EMFILE`, `ENFILE`, `ENOMEM`. After an error nothing is blocked.
    pub fn new(signals: impl Into<SignalSet>) -> io::Result<Signals> {
        signal::Signals::new(signals)?.try_into()
    }

    /// Waits for a signal and takes it. Of several, the lower number comes first.
    ///
    /// # Errors
    /// [`Cancelled`](crate::Cancelled); `TimedOut`.
    pub fn next(&self) -> io::Result<SigInfo> {
        until(&self.io, Ready::READ, signal::Signals::try_read)
    }
}
