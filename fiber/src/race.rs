//! Several tasks at once, of which one or all count.

use crate::scope::{Scope, scope};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};

/// Runs each task in a fiber of its own, and returns what the first one to end returns. The others are cancelled, and
/// have ended when this returns: they may borrow.
///
/// They inherit the caller's deadline, and are cancelled with it: as the children of a [`scope`](scope()).
///
/// # Errors
/// That a fiber could not be spawned; `InvalidInput` where there is no task. The others are cancelled and joined then, too.
///
/// # Panics
/// With the panic of a task, once all have ended.
///
/// ```
/// use becket_fiber::{Runtime, race, sleep};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// let first = runtime.run(|| {
///     race([3600, 0, 7200].map(|seconds| move || sleep(Duration::from_secs(seconds)).map(|()| seconds)))?
/// })??;
/// assert_eq!(first, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn race<T, F: FnOnce() -> T>(tasks: impl IntoIterator<Item = F>) -> io::Result<T> {
    let first = Cell::new(None);
    scope(|s| {
        spawn_each(s, tasks, |_, task| {
            let value = task();
            match first.take() {
                None => {
                    first.set(Some(value));
                    true
                }
                earlier => {
                    first.set(earlier);
                    drop(value);
                    false
                }
            }
        })
    })?;
    first.into_inner().ok_or_else(nothing_to_do)
}

/// As [`race`], for tasks that can fail: returns the first success. Where all fail, the error of the last to fail.
///
/// # Errors
/// That; and as [`race`].
///
/// # Panics
/// As [`race`].
///
/// ```
/// use becket_fiber::{Runtime, first_ok, sleep};
/// use std::{io, time::Duration};
///
/// let connect = |address: &'static str, millis: u64| move || {
///     sleep(Duration::from_millis(millis))?;
///     if address == "down" { Err(io::Error::other("refused")) } else { Ok(address) }
/// };
/// let mut runtime = Runtime::new()?;
/// let up = runtime.run(|| first_ok([connect("down", 0), connect("slow", 3_600_000), connect("up", 1)]))??;
/// assert_eq!(up, "up");
/// let failed = runtime.run(|| first_ok([connect("down", 0)]))?;
/// assert_eq!(failed.unwrap_err().to_string(), "refused");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn first_ok<T, E, F>(tasks: impl IntoIterator<Item = F>) -> Result<T, E>
where
    F: FnOnce() -> Result<T, E>,
    E: From<io::Error>,
{
    let first = Cell::new(None);
    scope(|s| {
        spawn_each(s, tasks, |_, task| {
            let result = task();
            let earlier = first.take();
            let keeps = matches!(earlier, Some(Ok(_)));
            let succeeds = result.is_ok();
            let (kept, rest) = if keeps { (earlier, Some(result)) } else { (Some(result), earlier) };
            first.set(kept);
            drop(rest);
            succeeds
        })
    })?;
    first.into_inner().unwrap_or_else(|| Err(nothing_to_do().into()))
}

/// Runs each task in a fiber of its own, and returns all of their results, in the order of the tasks. The first failure
/// cancels the others, and is returned once they have ended.
///
/// # Errors
/// That; that a fiber could not be spawned. There may be no task.
///
/// # Panics
/// As [`race`].
///
/// ```
/// use becket_fiber::{Runtime, all, sleep};
/// use std::{io, time::Duration};
///
/// let mut runtime = Runtime::new()?;
/// let squares = runtime.run(|| {
///     all([3, 1, 2].map(|n| move || sleep(Duration::from_millis(n)).map(|()| n * n)))
/// })??;
/// assert_eq!(squares, [9, 1, 4]);
///
/// let failed = runtime.run(|| {
///     all([3600, 0].map(|n| move || {
///         sleep(Duration::from_secs(n))?; // the other one is cancelled
///         Err::<(), _>(io::Error::other("the second"))
///     }))
/// })?;
/// assert_eq!(failed.unwrap_err().to_string(), "the second");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn all<T, E, F>(tasks: impl IntoIterator<Item = F>) -> Result<Vec<T>, E>
where
    F: FnOnce() -> Result<T, E>,
    E: From<io::Error>,
{
    // Borrowed for moments only.
    let values = RefCell::new(Vec::new());
    let failure = Cell::new(None);
    scope(|s| {
        spawn_each(s, tasks, |i, task| match task() {
            Ok(value) => {
                let mut values = values.borrow_mut();
                let len = values.len().max(i + 1);
                values.resize_with(len, || None);
                values[i] = Some(value);
                false
            }
            Err(e) => {
                match failure.take() {
                    None => failure.set(Some(e)),
                    earlier => {
                        failure.set(earlier);
                        drop(e);
                    }
                }
                true
            }
        })
    })?;
    match failure.into_inner() {
        Some(e) => Err(e),
        None => Ok(values.into_inner().into_iter().flatten().collect()),
    }
}

/// Spawns `run` with each task and its number; where it returns true, or a fiber cannot be spawned, all are cancelled.
fn spawn_each<'scope, F: FnOnce() -> T + 'scope, T>(
    s: &'scope Scope<'scope, '_>,
    tasks: impl IntoIterator<Item = F>,
    run: impl Fn(usize, F) -> bool + Clone + 'scope,
) -> io::Result<()> {
    for (i, task) in tasks.into_iter().enumerate() {
        let run = run.clone();
        let spawned = s.spawn(move || {
            if run(i, task) {
                s.cancel();
            }
        });
        if let Err(e) = spawned {
            s.cancel();
            return Err(e.into());
        }
    }
    Ok(())
}

fn nothing_to_do() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "there is no task")
}

impl Scope<'_, '_> {
    /// As [`race`]: in a scope of its own, which is cancelled with this one.
    ///
    /// # Errors
    /// As [`race`].
    pub fn race<T, F: FnOnce() -> T>(&self, tasks: impl IntoIterator<Item = F>) -> io::Result<T> {
        race(tasks)
    }

    /// As [`first_ok`]: in a scope of its own, which is cancelled with this one.
    ///
    /// # Errors
    /// As [`first_ok`].
    pub fn first_ok<T, E: From<io::Error>, F: FnOnce() -> Result<T, E>>(
        &self,
        tasks: impl IntoIterator<Item = F>,
    ) -> Result<T, E> {
        first_ok(tasks)
    }

    /// As [`all`]: in a scope of its own, which is cancelled with this one.
    ///
    /// # Errors
    /// As [`all`].
    pub fn all<T, E: From<io::Error>, F: FnOnce() -> Result<T, E>>(
        &self,
        tasks: impl IntoIterator<Item = F>,
    ) -> Result<Vec<T>, E> {
        all(tasks)
    }
}
