//! The kinds of `becket-sys` that are sources: counters, clocks, processes.

use super::Source;
use crate::{Next, Ready, Result};
use becket_sys::process::{AnyChild, Child, Ended, PidFd};
use becket_sys::signal::{SigInfo, Signals};
use becket_sys::{event, timer};
use std::ops::ControlFlow;
use std::process::ExitStatus;

/// How many events one call reads of a kind that has a call for each: the rest is reported again.
pub(super) const BATCH: usize = 16;

/// Reads up to [`BATCH`] events one by one.
pub(super) fn each<T>(
    mut read: impl FnMut() -> std::io::Result<Option<T>>,
    emit: &mut dyn FnMut(T) -> ControlFlow<()>,
) -> Result {
    for _ in 0..BATCH {
        let Some(event) = read()? else { break };
        if emit(event).is_break() {
            break;
        }
    }
    Ok(Next::Keep)
}

/// The event is the sum of what was added.
impl Source for event::Event {
    type Event<'a> = u64;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result {
        let sum = self.try_read()?;
        let _ = sum.map(emit);
        Ok(Next::Keep)
    }
}

/// The event says how often the timer expired, or that its clock was set: then compute the time anew, and set it by
/// [`Ctx::get`](crate::Ctx::get), or have a [`Schedule`](crate::Schedule) do that. For the clocks and modes that the
/// loop's own timers, those of [`Ctx::every_on`](crate::Ctx::every_on) among them, do not have. It stays a source after it has expired.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use becket_sys::timer::{Clock, Event, Timer, When};
/// use std::time::Duration;
///
/// // In five milliseconds, though the system may sleep meanwhile.
/// let timer = Timer::new(Clock::Boottime)?;
/// let at = Clock::Boottime.now() + Duration::from_millis(5);
/// timer.set(When::At(at), None)?;
/// let mut event_loop: Loop<Option<Event>> = Loop::new()?;
/// event_loop.on(timer, |seen, _, event| {
///     *seen = Some(event);
///     Ok(Next::Remove)
/// })?;
/// let mut seen = None;
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, Some(Event::Expired(1)));
/// assert!(Clock::Boottime.now() >= at);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for timer::Timer {
    type Event<'a> = timer::Event;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(timer::Event) -> ControlFlow<()>) -> Result {
        let event = self.try_read()?;
        let _ = event.map(emit);
        Ok(Next::Keep)
    }
}

/// The event is a signal that was taken. Block the signals before any thread is started: creating
/// [`Signals`] does so for the calling thread.
impl Source for Signals {
    type Event<'a> = SigInfo;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(SigInfo) -> ControlFlow<()>) -> Result {
        each(|| self.try_read(), emit)
    }
}

/// The event is a child that has ended, whoever started it: its status is left to whoever waits for it, and taken by
/// [`Ended::take`] where that is nobody.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use becket_sys::process::AnyChild;
/// use std::process::Command;
///
/// let mut event_loop: Loop<Vec<Option<i32>>> = Loop::new()?;
/// event_loop.on(AnyChild::new()?, |codes, _, ended| {
///     codes.push(ended.take()?.and_then(|status| status.code()));
///     Ok(Next::Remove)
/// })?;
/// Command::new("sh").args(["-c", "exit 4"]).spawn()?; // and nobody waits for it
/// let mut codes = Vec::new();
/// event_loop.run(&mut codes)?;
/// assert_eq!(codes, [Some(4)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for AnyChild {
    type Event<'a> = Ended;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Ended) -> ControlFlow<()>) -> Result {
        let ended = self.try_read()?.unwrap_or_default();
        let _ = ended.into_iter().try_for_each(emit);
        Ok(Next::Keep)
    }
}

/// The event is how the child ended; then the source is removed.
impl Source for Child {
    type Event<'a> = ExitStatus;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(ExitStatus) -> ControlFlow<()>) -> Result {
        once(self.try_wait()?, emit)
    }
}

/// The event is how the process, a child of this one, ended; then the source is removed. For a process that is not a
/// child, watch the descriptor by [`Ctx::add`](crate::Ctx::add): it is readable once the process has ended, but only
/// its parent learns how.
impl Source for PidFd {
    type Event<'a> = ExitStatus;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(ExitStatus) -> ControlFlow<()>) -> Result {
        once(self.try_wait()?, emit)
    }
}

fn once(status: Option<ExitStatus>, emit: &mut dyn FnMut(ExitStatus) -> ControlFlow<()>) -> Result {
    let Some(status) = status else { return Ok(Next::Keep) };
    let _ = emit(status);
    Ok(Next::Remove)
}
