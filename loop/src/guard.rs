//! Ids that cancel what they name when they are dropped.

use crate::backend::Key;
use crate::remote::Nudges;
use crate::{AnyId, Ctx};
use std::fmt;
use std::sync::Arc;

/// Owns an entry of a loop: dropping it [cancels](Ctx::cancel) what it names. For a session that has several sources
/// and timers, and is itself in a map of the user's state: to take it out of the map is to end it.
///
/// It may be dropped anywhere, also in another thread. In the loop's own, outside of turns and inside callbacks,
/// nothing of the entry is called from then on, and it is gone from the table by the end of the callback or the begin
/// of the next turn. In another thread, a call that is under way or about to be made is not waited for. Once the loop
/// is gone it does nothing.
///
/// ```
/// use becket_loop::{Guard, Loop, Next};
/// use std::collections::HashMap;
/// use std::time::Duration;
///
/// struct Session { _ticks: Guard, count: u32 }
///
/// let mut event_loop: Loop<HashMap<u32, Session>> = Loop::new()?;
/// let ticks = event_loop.every(Duration::from_millis(1), |sessions: &mut HashMap<u32, Session>, _, _| {
///     let session = sessions.get_mut(&7).unwrap();
///     session.count += 1;
///     if session.count == 3 {
///         sessions.remove(&7);
///     }
///     Ok(Next::Keep)
/// });
/// let session = Session { _ticks: event_loop.guard(ticks), count: 0 };
/// let mut sessions = HashMap::from([(7, session)]);
/// event_loop.run(&mut sessions)?; // returns once nothing is left
/// assert!(sessions.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it cancels what it names"]
pub struct Guard {
    key: Key,
    /// `None` once it was released.
    dropped: Option<Arc<Nudges>>,
}

impl Guard {
    /// What it names.
    pub fn id(&self) -> AnyId {
        AnyId { key: self.key }
    }

    /// Gives the entry back to the loop, which keeps it.
    pub fn release(mut self) -> AnyId {
        self.dropped = None;
        self.id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            dropped.append(self.key);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.id()).finish()
    }
}

impl<S: 'static> Ctx<S> {
    /// Ties what `id` names to a value: it is [cancelled](Self::cancel) when that is dropped. Where the id is stale,
    /// that does nothing.
    pub fn guard(&self, id: impl Into<AnyId>) -> Guard {
        Guard { key: id.into().key, dropped: Some(Arc::clone(&self.dropped)) }
    }

    /// Cancels what guards let go of.
    #[inline]
    pub(crate) fn reap(&mut self) {
        if !self.dropped.is_empty() {
            self.reap_some();
        }
    }

    #[cold]
    fn reap_some(&mut self) {
        while !self.dropped.is_empty() {
            let Some(key) = self.dropped.pop() else { return };
            self.cancel(AnyId { key });
        }
    }
}
