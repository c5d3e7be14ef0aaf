//! A thread that notices that a fiber does not let go of its thread.

use crate::Runtime;
use crate::record::Fiber;
use crate::sched::Core;
use becket_loop::Watchdog;
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

/// A fiber, or a callback of the loop, has kept the thread for too long; or it is over. See [`Runtime::on_stall`].
///
/// ```
/// use becket_fiber::Stall;
///
/// fn report(stall: Stall) -> String {
///     stall.to_string() // "fiber 7 parser has kept the thread for 1.2s, and waits in futex(2): for a lock?"
/// }
/// # let _ = report;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// Who: `fiber 7 parser`, or the name of a callback; `None` where that has none.
    pub name: Option<String>,
    /// For how long, at least.
    pub lasted: Duration,
    /// Whether it has let go of the thread now.
    pub over: bool,
    /// The number of the system call in which the thread sleeps, see syscalls(2); `None` where it computes, where the
    /// kernel does not tell, and when it is over. `SYS_futex` is a lock of std's, most often.
    pub call: Option<i64>,
    /// The functions that the thread is in, the innermost first, with the feature `stall-backtrace`. `None` without it,
    /// when it is over, and where the thread does not stop for the signal, which may be blocked.
    pub frames: Option<Vec<String>>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, lasted) = (self.name.as_deref().unwrap_or("a callback"), self.lasted);
        if self.over {
            return write!(f, "{name} had kept the thread for {lasted:?}");
        }
        write!(f, "{name} has kept the thread for {lasted:?}")?;
        match self.call {
            Some(libc::SYS_futex) => f.write_str(", and waits in futex(2): for a lock?")?,
            Some(call) => write!(f, ", and waits in system call {call}")?,
            None => {}
        }
        self.frames.iter().flatten().try_for_each(|frame| write!(f, "\n    {frame}"))
    }
}

impl Runtime {
    /// Has a thread of its own call `f` when a fiber, or a callback, has kept this thread for `limit` without waiting
    /// or yielding: once for each such stall, while it lasts, and once more after it, with [`over`](Stall::over) set.
    ///
    /// That is how a fiber shows itself that computes for too long (give it some [`yield_now`](crate::yield_now), or
    /// use [`unblock`](crate::unblock)), one that calls something that blocks, and the worst of them: a std `Mutex`
    /// that one fiber holds while it waits, and that another one wants. The second then blocks the thread on which
    /// alone the first could give it back, for ever. Nothing can hook a std `Mutex`; use
    /// [`sync::Mutex`](crate::sync::Mutex) between fibers. Such a stall says that it waits in futex(2).
    ///
    /// It is never called early; late by as much as half of `limit`, or more on a machine that is busy. See
    /// [`becket_loop::Ctx::on_stall`], whose watchdog this is, for what `f` must not do, and what it costs; each switch
    /// to a fiber costs a lock that nobody else wants on top. To be called on the runtime's thread. Dropping the
    /// [`Watchdog`] ends the watch.
    ///
    /// With the feature `stall-backtrace`, on x86-64 and aarch64, it tells in which [functions](Stall::frames) the
    /// thread is. For that it is stopped for about a millisecond, by SIGURG, for which a handler is installed then; one
    /// that was there before gets the others of these signals.
    ///
    /// # Errors
    /// `EAGAIN` where no thread can be had.
    ///
    /// ```
    /// use becket_fiber::{Runtime, spawn_named};
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (sender, stalls) = mpsc::channel();
    /// let mut runtime = Runtime::new()?;
    /// let _watchdog = runtime.on_stall(Duration::from_millis(20), move |stall| drop(sender.send(stall)))?;
    /// runtime.run(|| {
    ///     let lazy = spawn_named("lazy", move || {
    ///         let stall = stalls.recv().unwrap(); // blocks the thread, until that is noticed
    ///         assert_eq!(stall.name.as_deref(), Some("fiber 2 lazy"));
    ///         assert!(!stall.over && stall.lasted >= Duration::from_millis(20));
    ///     })?;
    ///     Ok::<_, std::io::Error>(lazy.join()?)
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_stall(&mut self, limit: Duration, mut f: impl FnMut(Stall) + Send + 'static) -> io::Result<Watchdog> {
        let number = rustix::thread::gettid().as_raw_nonzero();
        #[cfg(all(feature = "stall-backtrace", any(target_arch = "x86_64", target_arch = "aarch64")))]
        crate::stopped::prepare();
        let watchdog = self.ctx().on_stall(limit, move |stall| {
            let again = || {
                thread::sleep(Duration::from_millis(1));
                call_of(number.get())
            };
            // It may be on its way into a call, or out of one that a signal has interrupted.
            let call = if stall.over { None } else { call_of(number.get()).or_else(again) };
            let frames = if stall.over { None } else { frames_of(number.get()) };
            f(Stall { name: stall.name.map(String::from), lasted: stall.lasted, over: stall.over, call, frames });
        })?;
        self.core.watched.set(true);
        Ok(watchdog)
    }
}

/// The system call in which a thread of this process sleeps: proc_pid_syscall(5).
fn call_of(thread: i32) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    // `running`, or -1 where it sleeps elsewhere.
    text.split(' ').next()?.trim().parse().ok().filter(|call| *call >= 0)
}

#[cfg(all(feature = "stall-backtrace", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn frames_of(thread: i32) -> Option<Vec<String>> {
    crate::stopped::frames(thread).map(crate::report::above_the_root)
}

#[cfg(not(all(feature = "stall-backtrace", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn frames_of(_: i32) -> Option<Vec<String>> {
    None
}

impl Core {
    /// Tells the watchdogs which fiber runs from now on, or that none does.
    #[cold]
    pub(crate) fn note_work(&self, fiber: Option<&Fiber>) {
        let name = fiber.map(|fiber| match fiber.name.get() {
            Some(name) => format!("fiber {} {name}", fiber.id.get()),
            None => format!("fiber {}", fiber.id.get()),
        });
        self.with_ctx(|ctx| ctx.note_work(name.as_deref()));
    }
}
