//! Operations that end later, on memory of the fiber that waits for them.

use crate::park::{Here, Place, Reason, Woken, in_callback, place, wake_by_bits};
use becket_loop::op::RawOp;
use becket_loop::{Ctx, PlainDone};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Where the end of an operation puts its result: in the frame of the fiber that waits.
struct End {
    /// The wait to end.
    token: Cell<u64>,
    result: Cell<Option<io::Result<usize>>>,
    ended: Cell<bool>,
}

/// Carries out one operation: the fiber waits until it has ended.
///
/// A cancel or a deadline asks the operation to end early; the fiber still waits until it has, whatever happens, and
/// success counts: an error of the fiber's is returned only where the operation was cancelled before it began. To be
/// called after [`Here::check`].
///
/// # Errors
/// Those of the operation; [`Cancelled`](crate::Cancelled); `TimedOut`.
///
/// # Panics
/// Unwinds with a private payload where the fiber is aborted, once the operation has ended.
///
/// # Safety
/// The descriptors that `raw` names must stay open, and the memory valid and nobody else's to write (or, for what is
/// only read from, to change), until this returns or unwinds. Memory on the stack of the fiber does: the stack is not
/// unwound before, and never freed while the fiber is suspended.
pub(crate) unsafe fn op(here: Here, what: &'static str, raw: RawOp) -> io::Result<usize> {
    // SAFETY: the caller's promise.
    let (woken, result) = unsafe { to_its_end(here, what, raw) };
    settle(here, woken, result)
}

/// As [`op`], for one that opens something, which is closed where the fiber is aborted.
///
/// # Errors
/// As [`op`].
///
/// # Safety
/// As [`op`]; the result of `raw` must be a new descriptor.
pub(crate) unsafe fn open_op(here: Here, what: &'static str, raw: RawOp) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let (woken, result) = unsafe { to_its_end(here, what, raw) };
    // SAFETY: the caller promises that it is a descriptor that nobody else knows.
    settle(here, woken, result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}

/// What the end of an operation means to the call; `result` is dropped where that unwinds.
fn settle<T>(here: Here, woken: Woken, result: io::Result<T>) -> io::Result<T> {
    let was_cancelled = matches!(&result, Err(e) if e.raw_os_error() == Some(libc::ECANCELED));
    if was_cancelled || woken == Woken::Cancelled && here.fiber().aborted.get() {
        here.event(woken)?;
    }
    result
}

/// Waits until an operation has ended; says what ended the wait, and with what the operation did. Never unwinds.
///
/// # Safety
/// As [`op`].
unsafe fn to_its_end(here: Here, what: &'static str, raw: RawOp) -> (Woken, io::Result<usize>) {
    let core = here.core();
    let wait = here.wait(Reason::new(what));
    let end = End { token: Cell::new(wait.bits()), result: Cell::new(None), ended: Cell::new(false) };
    let done = PlainDone { call: ended, data: (&raw const end).expose_provenance() as u64 };
    // SAFETY: the caller's promise for `raw`. `end` stays until the handler was called: nothing below returns or
    // unwinds before, and if the runtime ends first, this frame is leaked, and the loop waits for the operation.
    let id = core.with_ctx(|ctx| unsafe { ctx.submit_raw(raw, done) });
    let Some(id) = id else {
        return (Woken::Event(0), Err(io::Error::other("the loop of this fiber is not at hand")));
    };
    let woken = wait.park(None);
    if !end.ended.get() {
        core.with_ctx(|ctx| ctx.cancel_op(id));
    }
    while !end.ended.get() {
        let wait = here.wait(Reason::new(what));
        end.token.set(wait.bits());
        wait.park_through();
    }
    (woken, end.result.take().unwrap_or_else(|| Err(io::ErrorKind::Other.into())))
}

fn ended((): &mut (), _: &mut Ctx<()>, data: u64, result: io::Result<usize>) {
    // SAFETY: `op` stays in its frame until this was called, and it was not called before for this operation.
    let end = unsafe { &*std::ptr::with_exposed_provenance::<End>(data as usize) };
    end.result.set(Some(result));
    end.ended.set(true);
    wake_by_bits(end.token.get(), 0);
}

/// Moves bytes from or to a pipe, at the positions, as one operation.
///
/// # Errors
/// Those of splice(2); [`Cancelled`](crate::Cancelled) and `TimedOut` where it had not begun; `Deadlock` in a callback.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
    let raw = RawOp::Splice { from: (from.as_raw_fd(), None), to: (to.as_raw_fd(), None), len };
    match place() {
        Place::Callback => Err(in_callback()),
        // SAFETY: both descriptors are open while they are borrowed.
        Place::Thread => unsafe { raw.perform() },
        Place::Fiber(here) => {
            here.check()?;
            // SAFETY: as above.
            unsafe { op(here, "splice", raw) }
        }
    }
}

/// Runs `f`, which may block, on a helper thread, while other fibers run; on a thread that runs no fiber, right here.
///
/// `f` may borrow: a cancel or a deadline keeps it from beginning, but once it has begun it is waited for. There are so
/// many helper threads as [`RuntimeBuilder::blocking_threads`](crate::RuntimeBuilder::blocking_threads) says, four
/// where it does not; beyond that calls begin in the order in which they were made, each as soon as one has ended.
///
/// # Errors
/// [`Cancelled`](crate::Cancelled) and `TimedOut`, where `f` had not begun; `Deadlock` in a callback.
///
/// # Panics
/// With the panic of `f`.
///
/// ```
/// use becket_fiber::{Runtime, unblock};
///
/// let mut runtime = Runtime::new()?;
/// let text = String::from("seven");
/// let length = runtime.run(|| unblock(|| text.len()))??;
/// assert_eq!(length, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unblock<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    /// The frame of the fiber that waits: what to call, and where its result goes.
    struct Job<T, F> {
        call: Option<F>,
        result: Option<thread::Result<T>>,
    }
    struct Lent<T, F>(*mut Job<T, F>);
    // SAFETY: one thread at a time uses what it points to, and both the closure and its result may change threads.
    unsafe impl<T: Send, F: Send> Send for Lent<T, F> {}

    let here = match place() {
        Place::Thread => return Ok(f()),
        Place::Callback => return Err(in_callback()),
        Place::Fiber(here) => here,
    };
    here.check()?;
    let mut job = Job { call: Some(f), result: None };
    let lent = Lent(&raw mut job);
    let call: Box<dyn FnOnce() -> io::Result<usize> + Send + '_> = Box::new(move || {
        let lent = lent;
        // SAFETY: the fiber waits in the frame of `job` until this operation has ended, and uses it only then.
        let job = unsafe { &mut *lent.0 };
        if let Some(f) = job.call.take() {
            job.result = Some(catch_unwind(AssertUnwindSafe(f)));
        }
        Ok(0)
    });
    // SAFETY: the lifetime alone changes: `op` does not return before the closure was called or dropped.
    let call: Box<dyn FnOnce() -> io::Result<usize> + Send> = unsafe { std::mem::transmute(call) };
    // SAFETY: a call names no descriptor and no memory but `job`, for which see above.
    unsafe { op(here, "helper thread", RawOp::Call(call)) }?;
    match job.result {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => resume_unwind(payload),
        None => Err(io::Error::other("the helper thread did not call")),
    }
}
