//! Submitting operations, and what their end calls.

use crate::backend::Key;
use crate::ctx::{Entry, Kind};
use crate::observe::Whose;
use crate::op::{Op, Operation, RawOp};
use crate::{AnyId, Ctx, Fault, Id, Result, SourceKind};
use rustix::io::Errno;
use std::any::Any;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the end of a raw operation calls: a function and a word.
///
/// ```
/// use becket_loop::{Ctx, Loop, PlainDone, op::RawOp};
///
/// fn done(seen: &mut Vec<u64>, _: &mut Ctx<Vec<u64>>, data: u64, result: std::io::Result<usize>) {
///     seen.push(data + result.unwrap() as u64);
/// }
///
/// let mut event_loop: Loop<Vec<u64>> = Loop::new()?;
/// // SAFETY: a call names no memory.
/// unsafe { event_loop.submit_raw(RawOp::Call(Box::new(|| Ok(2))), PlainDone { call: done, data: 40 }) };
/// let mut seen = Vec::new();
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, [42]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PlainDone<S> {
    /// What is called, with `data` and what the operation returned.
    pub call: fn(&mut S, &mut Ctx<S>, u64, io::Result<usize>),
    /// The word that `call` gets.
    pub data: u64,
}

impl<S> Clone for PlainDone<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for PlainDone<S> {}

impl<S> fmt::Debug for PlainDone<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainDone").field("data", &self.data).finish_non_exhaustive()
    }
}

/// An operation under way.
pub(crate) enum OpEntry<S> {
    /// Boxed, so that it does not move while the system works on it.
    Typed(Box<dyn Ending<S>>),
    Plain(PlainDone<S>),
    /// Its end is being told.
    Ended,
}

pub(crate) trait Ending<S> {
    /// Makes the output and hands it to the user, with the emptied box kept for the next operation; `None` drops it.
    ///
    /// # Safety
    /// As [`Operation::finish`].
    unsafe fn end(self: Box<Self>, to: Option<(&mut S, &mut Ctx<S>)>, result: io::Result<usize>) -> Result<()>;

    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

struct Typed<O, F> {
    /// Until its end.
    op: Option<(O, F)>,
}

impl<S, O, F> Ending<S> for Typed<O, F>
where
    O: Operation,
    F: FnOnce(&mut S, &mut Ctx<S>, O::Output) -> Result<()> + 'static,
{
    unsafe fn end(mut self: Box<Self>, to: Option<(&mut S, &mut Ctx<S>)>, result: io::Result<usize>) -> Result<()> {
        let Some((op, f)) = self.op.take() else { return Ok(()) };
        // SAFETY: handed on from the caller.
        let output = unsafe { op.finish(result) };
        let Some((s, ctx)) = to else { return Ok(()) };
        if ctx.spare_ops.len() < SPARE {
            ctx.spare_ops.push(self);
        }
        f(s, ctx, output)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// How many boxes of operations that ended are kept for the next ones.
const SPARE: usize = 64;

impl<S: 'static> Ctx<S> {
    /// Starts an operation; `f` is called with its output when it ended, in a later turn, exactly once. The operation
    /// owns its file and its buffer, and hands them back in the output. Several that are under way together have no
    /// order. See [`op`](crate::op) for those that there are.
    ///
    /// Nothing is refused here: what goes wrong is in the output. Dropping the loop cancels operations that have not
    /// begun (and in the kernel, by io_uring, those that can be), waits for the others, and drops their outputs.
    pub fn submit<O: Operation>(
        &mut self,
        op: O,
        f: impl FnOnce(&mut S, &mut Ctx<S>, O::Output) -> Result<()> + 'static,
    ) -> Id<Op> {
        // Programs have few kinds of operations and many of each: the last box that was emptied mostly fits.
        let spare = self.spare_ops.pop().and_then(|spare| spare.into_any().downcast().ok());
        let mut typed: Box<Typed<O, _>> = spare.unwrap_or_else(|| Box::new(Typed { op: None }));
        // It has its final place, and stays in it until `end`: `Operation` asks for no more.
        let raw = typed.op.insert((op, f)).0.raw();
        // SAFETY: by `Operation`'s promise, what `raw` names is valid until `end`, which comes with its end.
        unsafe { self.start(raw, OpEntry::Typed(typed)) }
    }

    /// As [`submit`](Self::submit), for a raw operation on borrowed memory.
    ///
    /// # Safety
    /// The descriptors that `raw` names must stay open, and the memory valid and nobody else's to write (or, for
    /// what is only read from, to change), until the handler was called, or the loop was dropped.
    pub unsafe fn submit_raw(&mut self, raw: RawOp, handler: PlainDone<S>) -> Id<Op> {
        // SAFETY: the caller's promise.
        unsafe { self.start(raw, OpEntry::Plain(handler)) }
    }

    /// # Safety
    /// As [`submit_raw`](Self::submit_raw): what `raw` names is valid until its end was told, or the loop dropped.
    unsafe fn start(&mut self, raw: RawOp, entry: OpEntry<S>) -> Id<Op> {
        let key = self.insert(Kind::Op(entry));
        self.ops += 1;
        if let Err(e) = self.bell.origin.check() {
            self.done.push_back((key, Err(e)));
            return Id::new(key);
        }
        // SAFETY: the caller's promise. The end is told after the backend pushed it; and the backend is closed before
        // the table goes, with what operations own.
        if let Err(raw) = unsafe { self.backend.submit(key, raw) } {
            self.pool.submit(key, raw);
        }
        self.settle_outer();
        Id::new(key)
    }

    /// Asks that an operation end early. Its handler is still called: with `ECANCELED` where it had not begun or moved
    /// nothing, else with what it did. Returns whether it was still under way.
    pub fn cancel_op(&mut self, id: Id<Op>) -> bool {
        if !matches!(self.slots.get(id.key), Some(Entry { kind: Kind::Op(_), .. })) {
            return false;
        }
        if self.bell.origin.is_here() {
            self.backend.cancel(id.key);
            self.pool.cancel(id.key);
            self.settle_outer();
        }
        true
    }

    /// How many helper threads there may be at most; see [`set_helper_threads`](Self::set_helper_threads).
    pub fn helper_threads(&self) -> usize {
        self.pool.most()
    }

    /// Says how many helper threads there may be, for what no backend serves (the table in [`op`](crate::op) says
    /// what). The default is 4; 0 counts as 1.
    ///
    /// They are started as they are needed, and stay until the loop is dropped; beyond their number operations wait,
    /// and begin in the order in which they were submitted. Where there are more than may be, as many end, each after
    /// what it is at. A thread takes a few dozen KiB of memory while it waits.
    ///
    /// ```
    /// use becket_loop::{Loop, op::Call};
    ///
    /// let mut event_loop: Loop<Vec<u32>> = Loop::new()?;
    /// assert_eq!(event_loop.helper_threads(), 4);
    /// event_loop.set_helper_threads(1);
    /// for n in 0..5 {
    ///     event_loop.submit(Call::new(move || n), |order, _, called| Ok(order.push(called?)));
    /// }
    /// let mut order = Vec::new();
    /// event_loop.run(&mut order)?;
    /// assert_eq!(order, [0, 1, 2, 3, 4]); // one after the other
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "thread pool")]
    pub fn set_helper_threads(&mut self, most: usize) {
        self.pool.set_most(most);
    }

    /// Hands an operation's result to whom it belongs.
    pub(crate) fn complete(&mut self, s: &mut S, key: Key, result: io::Result<usize>) {
        let Some((name, op)) = self.take_op(key) else { return };
        self.stats.completions += 1;
        // It has left the table already: where its handler panics, nothing is left to be removed.
        self.stats.callbacks += 1;
        self.note_leaving(name.as_deref(), SourceKind::Operation);
        let told = self.observed(s, Whose::Entry(key), |s, ctx| match op {
            OpEntry::Plain(plain) => {
                (plain.call)(s, ctx, plain.data, result);
                Ok(())
            }
            OpEntry::Ended => Ok(()), // it leaves the table as it becomes so
            // SAFETY: the result came from the backend or the pool, for this operation, which ended.
            OpEntry::Typed(typed) => unsafe { typed.end(Some((s, ctx)), result) },
        });
        self.reap();
        if let Err(error) = told {
            self.report(s, Fault { id: Some(AnyId { key }), name, error });
        }
    }

    fn take_op(&mut self, key: Key) -> Option<(Option<Box<str>>, OpEntry<S>)> {
        let entry = self.slots.get_mut(key)?;
        let Kind::Op(op) = &mut entry.kind else { return None };
        // Out of its place by itself: the place has room for more, which would all be moved.
        let op = std::mem::replace(op, OpEntry::Ended);
        let name = entry.take_name();
        self.slots.vacate(key);
        self.ops -= 1;
        Some((name, op))
    }
}

impl<S> Drop for Ctx<S> {
    /// No operation outlives the loop: what it works on may be gone after this.
    fn drop(&mut self) {
        if !self.bell.origin.is_here() {
            // The parent's threads may hold the locks for ever.
            let unheard = if self.mailbox.is_locked() { None } else { self.mailbox.close() };
            self.backend.abandon();
            let abandoned = self.abandon();
            self.end_unheard();
            drop((unheard, abandoned));
            return;
        }
        // First of all, and no destructor of the user's before: one that panics has the table dropped, and with it what
        // the system works on.
        let unheard = (self.mailbox.close(), self.pool.close());
        self.backend.close(&mut self.batch);
        self.pool.collect(&mut self.done);
        self.done.extend(self.batch.drain_done());
        self.end_unheard();
        drop(unheard);
    }
}

impl<S> Ctx<S> {
    /// Lets go of what is under way, in a child process, where nobody does it: it ends with `ECANCELED`. Returns what
    /// has not begun, to be dropped.
    pub(crate) fn abandon(&mut self) -> VecDeque<(Key, RawOp)> {
        let unheard = self.pool.abandon(&mut self.done);
        self.done.extend(self.batch.drain_done());
        let ended: HashSet<Key> = self.done.iter().map(|(key, _)| *key).collect();
        let ops = self.slots.iter().filter(|(.., entry)| matches!(entry.kind, Kind::Op(_))).map(|(key, ..)| key);
        let left = ops.filter(|key| !ended.contains(key));
        self.done.extend(left.map(|key| (key, Err(Errno::CANCELED.into()))));
        unheard
    }

    /// Ends operations of which the results are there, and drops their outputs.
    fn end_unheard(&mut self) {
        for (key, result) in std::mem::take(&mut self.done) {
            if let Some(Entry { kind: Kind::Op(OpEntry::Typed(typed)), .. }) = self.slots.remove(key) {
                // The panic of a helper thread, which nobody is left to be told of, ends here.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    // SAFETY: as in `complete`. The output, which may own a new descriptor, is dropped.
                    unsafe { typed.end(None, result) }
                }));
            }
        }
    }
}
