//! Values from other threads, as a typed source.
//!
//! The channel is that of [`std::sync::mpsc`], whose receiver has a descriptor: so it is a source like any other, which
//! can be disabled, limited, named and handed back, and whose values wait meanwhile. For work instead of values, see
//! [`Remote::post`](crate::Remote::post), which needs no descriptor.

use crate::backend::{AsFd, Fd};
use crate::{Next, Ready, Result, Source};
use becket_sys::event;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SendError, TryRecvError, TrySendError};

/// How many values one call hands out; then others have their turn.
const BATCH: usize = 256;

/// A channel without a bound: nobody who sends ever waits.
///
/// # Errors
/// `EMFILE` or `ENFILE` where no descriptor is left; `ENOMEM`.
///
/// ```
/// use becket_loop::{Loop, Next, channel};
///
/// let (sender, receiver) = channel::channel()?;
/// let mut event_loop: Loop<Vec<u32>> = Loop::new()?;
/// event_loop.on(receiver, |seen, _, event| {
///     if let channel::Event::Value(value) = event {
///         seen.push(value);
///     }
///     Ok(Next::Keep)
/// })?;
/// let thread = std::thread::spawn(move || (0..3).try_for_each(|n| sender.send(n)));
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?; // until the only sender is gone
/// assert_eq!(seen, [0, 1, 2]);
/// thread.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel<T>() -> io::Result<(Sender<T>, Receiver<T>)> {
    let bell = Arc::new(Bell::new()?);
    let (values, receiver) = mpsc::channel();
    Ok((Sender { values, bell: Ring(Arc::clone(&bell)) }, Receiver { values: receiver, bell }))
}

/// A channel that holds at most `bound` values; 0 counts as 1.
///
/// # Errors
/// As [`channel`].
///
/// ```
/// use becket_loop::channel;
/// use std::sync::mpsc::TrySendError;
///
/// let (sender, receiver) = channel::sync_channel(1)?;
/// sender.send("first")?;
/// assert_eq!(sender.try_send("second"), Err(TrySendError::Full("second")));
/// assert_eq!(receiver.try_recv()?, "first");
/// drop(receiver);
/// assert!(sender.send("third").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sync_channel<T>(bound: usize) -> io::Result<(SyncSender<T>, Receiver<T>)> {
    let bell = Arc::new(Bell::new()?);
    let (values, receiver) = mpsc::sync_channel(bound.max(1));
    Ok((SyncSender { values, bell: Ring(Arc::clone(&bell)) }, Receiver { values: receiver, bell }))
}

/// The descriptor, and whether it was written to since the receiver looked.
struct Bell {
    event: event::Event,
    rung: AtomicBool,
}

impl Bell {
    fn new() -> io::Result<Bell> {
        Ok(Bell { event: event::Event::new()?, rung: AtomicBool::new(false) })
    }

    /// After there is something to look at. Of many, only the first pays for a system call.
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It holds 1 at most, so there is room; no other error can happen.
            let _ = self.event.add(1);
        }
    }

    /// Before looking.
    fn silence(&self) {
        // In this order: a ring between the two is heard the next time, for it finds `rung` set and writes nothing, but
        // what it rang for is there when the receiver looks.
        let _ = self.event.try_read();
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// Rings when it is dropped, too: the receiver learns that a sender is gone.
struct Ring(Arc<Bell>);

impl Clone for Ring {
    fn clone(&self) -> Self {
        Ring(Arc::clone(&self.0))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// The end for those who send, in any thread. When the last is dropped, the receiver hears of it after all values.
///
/// ```
/// use becket_loop::channel::{self, Sender};
///
/// let (sender, receiver) = channel::channel()?;
/// let second: Sender<u8> = sender.clone();
/// std::thread::spawn(move || second.send(7)).join().unwrap()?;
/// assert_eq!(receiver.try_recv()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender<T> {
    /// Before the bell, and so dropped before it rings.
    values: mpsc::Sender<T>,
    bell: Ring,
}

impl<T> Sender<T> {
    /// Sends a value, without waiting.
    ///
    /// # Errors
    /// The value comes back where the receiver is gone: dropped, or with its loop.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.values.send(value)?;
        self.bell.0.ring();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { values: self.values.clone(), bell: self.bell.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// As [`Sender`], of a channel with a bound.
///
/// ```
/// use becket_loop::channel::{self, SyncSender};
///
/// let (sender, receiver) = channel::sync_channel(2)?;
/// let second: SyncSender<u8> = sender.clone();
/// second.send(7)?;
/// assert_eq!(receiver.try_recv()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SyncSender<T> {
    values: mpsc::SyncSender<T>,
    bell: Ring,
}

impl<T> SyncSender<T> {
    /// Sends a value, and waits while the channel is full. Not for the loop's own thread, which would wait for itself.
    ///
    /// # Errors
    /// As [`Sender::send`], also when the receiver goes while this waits.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.values.send(value)?;
        self.bell.0.ring();
        Ok(())
    }

    /// Sends a value where there is room.
    ///
    /// # Errors
    /// The value comes back where the channel is full, or the receiver gone.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.values.try_send(value)?;
        self.bell.0.ring();
        Ok(())
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        SyncSender { values: self.values.clone(), bell: self.bell.clone() }
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

/// What a receiver tells of.
///
/// ```
/// use becket_loop::channel::Event;
///
/// assert_ne!(Event::Value(1), Event::Closed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event<T> {
    /// A value, in the order of sending.
    Value(T),
    /// All values were told, and all senders are gone. The source is removed after this.
    Closed,
}

/// The end for the loop: a source ([`Ctx::on`](crate::Ctx::on)). While there is a sender it keeps the loop alive.
///
/// Removed by [`Ctx::remove`](crate::Ctx::remove), it is handed back with what was not told. Dropping it drops that, and
/// those who send get their values back from then on.
///
/// ```
/// use becket_loop::channel::{self, Receiver};
/// use std::sync::mpsc::TryRecvError;
///
/// let (sender, receiver) = channel::channel()?;
/// let receiver: Receiver<u8> = receiver;
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// drop(sender);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Receiver<T> {
    values: mpsc::Receiver<T>,
    bell: Arc<Bell>,
}

impl<T> Receiver<T> {
    /// Takes a value, outside of the loop's calls.
    ///
    /// # Errors
    /// Where there is none at present, or none will ever come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.values.try_recv()
    }
}

impl<T> AsFd for Receiver<T> {
    fn as_fd(&self) -> Fd<'_> {
        self.bell.event.as_fd()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The event is a value, or that no more will come: up to 256 of one look are handed out one by one.
impl<T: 'static> Source for Receiver<T> {
    type Event<'a> = Event<T>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Event<T>) -> ControlFlow<()>) -> Result {
        self.bell.silence();
        for _ in 0..BATCH {
            match self.values.try_recv() {
                Ok(value) => {
                    if emit(Event::Value(value)).is_break() {
                        return Ok(Next::Keep);
                    }
                }
                Err(TryRecvError::Empty) => return Ok(Next::Keep),
                Err(TryRecvError::Disconnected) => {
                    let _ = emit(Event::Closed);
                    return Ok(Next::Remove);
                }
            }
        }
        self.bell.ring(); // whatever the callback answered: there may be more
        Ok(Next::Keep)
    }
}
