use std::any::Any;
use std::{error, fmt, io};

/// The error of a blocking call in a cancelled fiber.
///
/// It comes as an [`io::Error`] of kind [`Other`](io::ErrorKind::Other), never `Interrupted`, which std would retry;
/// [`is_cancelled`] recognises it.
///
/// ```
/// use becket_fiber::{Cancelled, is_cancelled};
/// use std::io;
///
/// let e = io::Error::from(Cancelled);
/// assert!(is_cancelled(&e));
/// assert_ne!(e.kind(), io::ErrorKind::Interrupted);
/// assert!(!is_cancelled(&io::ErrorKind::TimedOut.into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fiber was cancelled")
    }
}

impl error::Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(c: Cancelled) -> Self {
        io::Error::other(c)
    }
}

/// Whether an error says that the fiber was cancelled; see [`Cancelled`].
pub fn is_cancelled(e: &io::Error) -> bool {
    e.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// Why [`JoinHandle::join`](crate::JoinHandle::join) has no result.
///
/// It converts into an [`io::Error`], so that `?` works; the payload of a panic becomes its message.
///
/// ```
/// use becket_fiber::{JoinError, Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let failed = spawn(|| -> u32 { std::panic::resume_unwind(Box::new("lost")) })?.join();
///     assert!(matches!(&failed, Err(JoinError::Panicked(p)) if *p.downcast_ref::<&str>().unwrap() == "lost"));
///     assert_eq!(failed.unwrap_err().to_string(), "the fiber panicked: lost");
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum JoinError {
    /// The fiber panicked; with the payload.
    Panicked(Box<dyn Any + Send>),
    /// The fiber was aborted before it could end by itself.
    Cancelled,
    /// The wait ended, not the fiber: the caller is cancelled or its deadline is reached, or it cannot wait where it
    /// is. The fiber goes on, detached (or in its scope).
    Interrupted(io::Error),
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(p) => f.debug_tuple("Panicked").field(&message(p.as_ref())).finish(),
            JoinError::Cancelled => f.write_str("Cancelled"),
            JoinError::Interrupted(e) => f.debug_tuple("Interrupted").field(e).finish(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(p) => write!(f, "the fiber panicked: {}", message(p.as_ref())),
            JoinError::Cancelled => f.write_str("the fiber was aborted"),
            JoinError::Interrupted(e) => write!(f, "the wait for the fiber ended: {e}"),
        }
    }
}

impl error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(e: JoinError) -> Self {
        match e {
            JoinError::Interrupted(e) => e,
            JoinError::Cancelled => Cancelled.into(),
            JoinError::Panicked(_) => io::Error::other(e.to_string()),
        }
    }
}

/// The text of a panic, where it has one.
fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(s) = payload.downcast_ref::<&'static str>() {
        s
    } else if let Some(s) = payload.downcast_ref::<String>() {
        s
    } else {
        "(no message)"
    }
}

/// Why a fiber could not be spawned. The closure is dropped.
///
/// ```
/// use becket_fiber::{Runtime, spawn};
///
/// let e = spawn(|| 1).unwrap_err();
/// assert_eq!(e.to_string(), "cannot spawn a fiber: no runtime runs on this thread");
///
/// let mut runtime = Runtime::builder().max_fibers(1).build()?;
/// let e = runtime.run(|| spawn(|| 1).unwrap_err())?;
/// assert!(e.is_limit());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SpawnError {
    kind: SpawnErrorKind,
}

#[derive(Debug)]
pub(crate) enum SpawnErrorKind {
    NoRuntime,
    Limit(usize),
    Closed,
    Unwinding,
    Stack(io::Error),
}

impl SpawnError {
    /// Whether there are as many fibers as there may be; see
    /// [`RuntimeBuilder::max_fibers`](crate::RuntimeBuilder::max_fibers). It may work later.
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, SpawnErrorKind::Limit(_))
    }

    /// Whether memory, address space or mappings for its stack ran out, or the memory that may be locked after
    /// mlockall(2).
    ///
    /// Before Linux 6.13, and for locked memory, each stack takes two mappings. Then there are as many stacks, those
    /// kept idle among them, as seven sixteenths of `vm.max_map_count` (see proc_sys_vm(5)): 28,669 by default. The
    /// message says so at this limit.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(&self.kind, SpawnErrorKind::Stack(e)
            if e.kind() == io::ErrorKind::OutOfMemory || e.raw_os_error() == Some(libc::EAGAIN))
    }
}

impl From<SpawnErrorKind> for SpawnError {
    fn from(kind: SpawnErrorKind) -> Self {
        SpawnError { kind }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot spawn a fiber: ")?;
        match &self.kind {
            SpawnErrorKind::NoRuntime => f.write_str("no runtime runs on this thread"),
            SpawnErrorKind::Limit(n) => write!(f, "there are {n}, the limit of the runtime"),
            SpawnErrorKind::Closed => f.write_str("the runtime shuts down"),
            SpawnErrorKind::Unwinding => f.write_str("the caller unwinds"),
            SpawnErrorKind::Stack(e) => write!(f, "no stack: {e}"),
        }
    }
}

impl error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            SpawnErrorKind::Stack(e) => Some(e),
            _ => None,
        }
    }
}

impl From<SpawnError> for io::Error {
    fn from(e: SpawnError) -> Self {
        match e.kind {
            SpawnErrorKind::Stack(e) => e,
            _ => io::Error::other(e),
        }
    }
}
