//! Typed sources: descriptors that the loop reads itself, so that callbacks get events instead of readiness.

mod accept;
mod kinds;
mod schedule;
mod watches;

pub use accept::{Accept, Accepted, Acceptor, Backoff};
pub use schedule::Schedule;

use crate::backend::AsFd;
use crate::{AddError, Ctx, Id, Mode, Next, Ready, Result};
use std::ops::ControlFlow;

/// A descriptor that makes events: what [`Ctx::on`] takes.
///
/// The kinds of `becket-sys` that have events are sources: what each event is, what is read again, and what removes the
/// source is said with its implementation below. Streams of bytes have none: a terminal, a serial port, a controller of
/// a pseudoterminal, a connection are added by [`Ctx::add`]. Values from other threads come by a
/// [`channel`](mod@crate::channel), work by [`Remote::post`](crate::Remote::post). A user's own type becomes one by reading itself:
///
/// ```
/// use becket_loop::{Loop, Next, Ready, Result, Source};
/// use std::io::{PipeReader, Read, Write, pipe};
/// use std::ops::ControlFlow;
/// use std::os::fd::{AsFd, BorrowedFd};
///
/// /// A pipe of one-byte events.
/// struct Bytes(PipeReader);
///
/// impl AsFd for Bytes {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.0.as_fd()
///     }
/// }
///
/// impl Source for Bytes {
///     type Event<'a> = u8;
///     fn ready(&self, _: Ready, emit: &mut dyn FnMut(u8) -> ControlFlow<()>) -> Result {
///         let mut byte = [0];
///         if (&self.0).read(&mut byte)? == 0 {
///             return Ok(Next::Remove); // the end of the stream
///         }
///         let _ = emit(byte[0]);
///         Ok(Next::Keep)
///     }
/// }
///
/// let (reader, mut writer) = pipe()?;
/// let mut event_loop: Loop<Vec<u8>> = Loop::new()?;
/// event_loop.on(Bytes(reader), |seen, _, byte| {
///     seen.push(byte);
///     Ok(Next::Keep)
/// })?;
/// writer.write_all(&[1, 2, 3])?;
/// drop(writer);
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Source: AsFd + 'static {
    /// What the callback gets.
    type Event<'a>;

    /// What to wait for. [`Ready::READ`] unless the kind says otherwise.
    fn interest(&self) -> Ready {
        Ready::READ
    }

    /// When to be told. [`Mode::Level`] unless the kind says otherwise.
    fn mode(&self) -> Mode {
        Mode::Level
    }

    /// Reads a bounded number of events without blocking, and hands each to `emit`. What was read must be emitted: on
    /// [`ControlFlow::Break`], which says that the source is removed, the rest is dropped. Returns what happens next as
    /// far as the source is concerned; the callback's answer, unless that is [`Next::Keep`], goes before it.
    ///
    /// # Errors
    /// Whatever breaks the source: it is disabled, and the error goes where those of callbacks go.
    fn ready(&self, ready: Ready, emit: &mut dyn FnMut(Self::Event<'_>) -> ControlFlow<()>) -> Result;
}

impl<S: 'static> Ctx<S> {
    /// Adds a typed source: `f` gets its events, one a call.
    ///
    /// Where `f` answers [`Next::Disable`] or fails, the events that were read together with this one are still handed
    /// to it, for they cannot be put back; after [`Next::Remove`] they are dropped.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    ///
    /// ```
    /// use becket_loop::{Loop, Next};
    /// use becket_sys::event::Event;
    ///
    /// let event = Event::new()?;
    /// event.add(5)?;
    /// let mut event_loop: Loop<u64> = Loop::new()?;
    /// event_loop.on(event, |sum, _, n| {
    ///     *sum += n;
    ///     Ok(Next::Remove)
    /// })?;
    /// let mut sum = 0;
    /// event_loop.run(&mut sum)?;
    /// assert_eq!(sum, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on<E: Source>(
        &mut self,
        source: E,
        mut f: impl FnMut(&mut S, &mut Ctx<S>, E::Event<'_>) -> Result + 'static,
    ) -> Result<Id<E>, AddError<E>> {
        let (want, mode) = (source.interest(), source.mode());
        self.add_watched(source, want, mode, move |s, ctx, key, source, ready| {
            let mut answer = Ok(Next::Keep);
            let own = source.ready(ready, &mut |event| {
                match f(s, ctx, event) {
                    Ok(Next::Keep) => {}
                    // The first failure is the one to report; after it, no other answer counts.
                    other if answer.is_ok() => answer = other,
                    _ => {}
                }
                ctx.reap();
                let gone = matches!(answer, Ok(Next::Remove)) || ctx.entry_mut(key).is_none();
                if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            match answer {
                Ok(Next::Keep) => Ok(own),
                other => other,
            }
        })
    }
}
