//! The runtime turned by somebody else: inside another loop, and in a child of fork(2).

use crate::Runtime;
use crate::context::AltStack;
use crate::runtime::Failure;
use crate::sched::Entered;
use becket_loop::Embedded;
use std::io;
use std::panic::resume_unwind;
use std::time::Duration;

impl Runtime {
    /// Runs the fibers that can run and the callbacks that are due, once, and returns how many fibers have not ended.
    ///
    /// Where none can run it waits for what comes first, up to `max`: zero does not wait, `None` waits for as long as
    /// it takes. `while runtime.turn(None)? > 0 {}` runs all fibers to their ends. A busy runtime comes back after a
    /// few hundred switches of fibers, with some of them still to run.
    ///
    /// # Errors
    /// The loop has failed, or a callback without an error handler; `Deadlock` where a runtime runs on this thread;
    /// `ECHILD` in a [child](Self::after_fork) of the process that made the runtime.
    ///
    /// # Panics
    /// With the panic of a callback.
    ///
    /// ```
    /// use becket_fiber::{Runtime, sleep};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// let fiber = runtime.spawn(|| sleep(Duration::from_millis(2)))?;
    /// assert_eq!(runtime.turn(Some(Duration::ZERO))?, 1);
    /// assert!(!fiber.is_finished());
    /// while runtime.turn(None)? > 0 {}
    /// assert!(fiber.is_finished());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn(&mut self, max: Option<Duration>) -> io::Result<usize> {
        self.may_run()?;
        let core = &self.core;
        let _entered = Entered::new(core)?;
        let _altstack = AltStack::ensure();
        core.run_queued(|| false);
        let turned = self.turn_loop(max);
        core.run_queued(|| false);
        match turned {
            Ok(()) => Ok(core.live.get()),
            Err(Failure::Error(e)) => Err(e),
            Err(Failure::Panic(payload)) => resume_unwind(payload),
        }
    }

    /// The runtime as a source of another loop: a descriptor that is readable whenever a fiber can run or a callback is
    /// due. The other loop then calls [`turn`](Self::turn) with a time of zero. Everything else, and what to do under
    /// loops that ask by edge (tokio, mio), stands at [`Embedded`]; the examples `fibers_inside_tokio` and
    /// `fibers_inside_calloop` of this crate are whole programs.
    ///
    /// Handles of fibers are [futures](crate::JoinFuture) there, so that tasks of an executor on this thread can wait
    /// for fibers; fibers wait for tasks by [`block_on`](crate::block_on). What wakes a fiber between two turns (a
    /// value sent into a channel of [`sync`](crate::sync), a cancel) makes the descriptor ready.
    ///
    /// # Errors
    /// `Unsupported` where the backend has no descriptor (poll(2)); `EMFILE` where no three are left; `ECHILD` as for
    /// [`turn`](Self::turn).
    ///
    /// ```
    /// use becket_fiber::{Runtime, sleep};
    /// use becket_loop::{Loop, Mode, Next, Ready};
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.spawn(|| sleep(Duration::from_millis(2)))?;
    ///
    /// let mut outer: Loop<()> = Loop::new()?;
    /// outer.add(runtime.embed()?, Ready::READ, Mode::Level, move |(), ctx, _, _| {
    ///     if runtime.turn(Some(Duration::ZERO))? == 0 {
    ///         ctx.exit(7);
    ///     }
    ///     Ok(Next::Keep)
    /// })?;
    /// assert_eq!(outer.run(&mut ())?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn embed(&mut self) -> io::Result<Embedded> {
        let core = &self.core;
        let embedded = core.with_loop(|l| l.embed()).unwrap_or_else(|| Err(gone()))?;
        core.embedded.set(true);
        core.nudge();
        Ok(embedded)
    }

    /// Makes the runtime the child's own, in a child process that fork(2) made; does nothing elsewhere.
    ///
    /// Without it the runtime is the parent's: [`run`](Self::run) and [`turn`](Self::turn) fail with `ECHILD`, before
    /// any fiber runs, and dropping it leaves all fibers as they are, without unwinding them: nothing of theirs is done
    /// twice. When a fiber forks, and the child goes on in it, `run` cancels its main fiber at the next wait and fails
    /// likewise; such a child had better call execve(2) or _exit(2). Starting programs needs nothing of this: all
    /// descriptors are close-on-exec.
    ///
    /// With it there are two of each fiber, which go on from where they wait, with descriptors that both processes
    /// share. What the kernel or a helper thread was doing for a fiber is the parent's: in the child it fails with
    /// `ECANCELED`. A runtime that is embedded is not any more.
    ///
    /// # Errors
    /// Those of opening what the loop needs, and `WouldBlock`, as [`Loop::after_fork`](becket_loop::Loop::after_fork)
    /// says: the runtime stays the parent's.
    ///
    /// ```
    /// use becket_fiber::Runtime;
    ///
    /// let mut runtime = Runtime::new()?;
    /// // fork(2), and in the child:
    /// runtime.after_fork()?;
    /// assert_eq!(runtime.run(|| 42)?, 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "fork")]
    pub fn after_fork(&mut self) -> io::Result<()> {
        let core = &self.core;
        if core.has_forked() {
            core.with_loop(|l| l.after_fork()).unwrap_or_else(|| Err(gone()))?;
            core.embedded.set(false);
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("the runtime is shut down")
}
