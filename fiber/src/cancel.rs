//! Keeping a cancel off.

use crate::park::{Place, place};

/// Calls `f`, in which a cancel does not reach this fiber: to say goodbye to a peer, to flush, to give something back.
///
/// Outside again, blocking calls return [`Cancelled`](crate::Cancelled) as before. Deadlines hold inside too, and an
/// [`abort`](crate::JoinHandle::abort) goes through. A fiber inside a shield can hold up the end of its runtime: set a
/// [`timeout`](crate::timeout).
///
/// ```
/// use becket_fiber::{Runtime, is_cancelled, shield, sleep, spawn};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let fiber = spawn(|| {
///         let e = sleep(Duration::from_secs(3600)).unwrap_err();
///         shield(|| sleep(Duration::from_millis(1))).unwrap();
///         is_cancelled(&e) && is_cancelled(&sleep(Duration::from_millis(1)).unwrap_err())
///     })?;
///     fiber.cancel();
///     assert!(fiber.join()?);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    struct Shielded;
    impl Drop for Shielded {
        fn drop(&mut self) {
            if let Place::Fiber(here) = place() {
                let shields = &here.fiber().shields;
                shields.set(shields.get().saturating_sub(1)); // of another fiber, where a generator took the guard along
            }
        }
    }
    let Place::Fiber(here) = place() else { return f() };
    here.fiber().shields.set(here.fiber().shields.get() + 1);
    let _shielded = Shielded;
    f()
}

/// Whether blocking calls of this fiber return [`Cancelled`](crate::Cancelled) here and now: for loops that compute
/// and seldom wait. `false` where no fiber runs.
pub fn is_current_cancelled() -> bool {
    matches!(place(), Place::Fiber(here) if here.fiber().must_stop())
}
