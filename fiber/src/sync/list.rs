//! Fibers that wait for the same thing, in order, linked through their own frames.
//!
//! What is waited for is handed over when the fiber is woken, not when it runs: of an event, a deadline and a cancel
//! the first ends the wait, so that a woken fiber always has what it was woken with, and one that was cancelled
//! before is passed by. So nothing is taken from under a woken fiber, none is woken in vain, and nothing is lost.

use crate::park::{Here, Reason, Token, Woken};
use std::cell::Cell;
use std::fmt;
use std::ptr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In no list.
    Apart,
    Linked,
    /// It was woken by its list, and is in none any more.
    Fired,
}

/// One wait, with what the two sides exchange: `D`, in cells where it changes.
pub(crate) struct Node<D> {
    token: Cell<Token>,
    state: Cell<State>,
    prev: Cell<*const Node<D>>,
    next: Cell<*const Node<D>>,
    pub(crate) data: D,
}

impl<D> Node<D> {
    pub(crate) fn new(data: D) -> Node<D> {
        Node {
            token: Cell::new(Token::NONE),
            state: Cell::new(State::Apart),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            data,
        }
    }

    /// Whether its list has woken it.
    pub(crate) fn fired(&self) -> bool {
        self.state.get() == State::Fired
    }
}

/// First in, first out. Whoever is in it can be woken, unless something else has ended its wait meanwhile.
pub(crate) struct List<D> {
    head: Cell<*const Node<D>>,
    tail: Cell<*const Node<D>>,
}

impl<D> Default for List<D> {
    fn default() -> Self {
        List { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }
}

impl<D> List<D> {
    /// Waits until somebody wakes this fiber out of the list, or until its deadline or a cancel. To be called after
    /// [`Here::check`]. What `data` is then tells what was exchanged; ask that first, and `woken` after it.
    #[inline(always)]
    pub(crate) fn wait(&self, here: Here, what: &'static str, data: D) -> (Woken, D) {
        self.wait_for(here, Reason::address(what, self), data)
    }

    /// As [`wait`](Self::wait), where people are to be told of something else than this list.
    #[inline(always)] // each return after a switch is one that the processor foretells wrongly
    pub(crate) fn wait_for(&self, here: Here, reason: Reason, data: D) -> (Woken, D) {
        let node = Node::new(data);
        let wait = here.wait(reason);
        // SAFETY: the node stays in this frame until it is removed below: parking does not unwind, and the stack of a
        // fiber that is never resumed is never freed. The caller lends the list for as long.
        unsafe { self.push(&node, wait.token()) };
        let woken = wait.park(None);
        self.remove(&node);
        (woken, node.data)
    }

    /// Puts a node at the end, to be woken by `token`.
    ///
    /// # Safety
    /// The node must stay where it is, and valid, until [`remove`](Self::remove) was called with it, or forever; and so
    /// must the list.
    #[inline]
    pub(crate) unsafe fn push(&self, node: &Node<D>, token: Token) {
        debug_assert!(node.state.get() != State::Linked);
        node.token.set(token);
        node.state.set(State::Linked);
        node.next.set(ptr::null());
        node.prev.set(self.tail.get());
        // SAFETY: what is linked is valid: see `push`.
        match unsafe { self.tail.get().as_ref() } {
            Some(last) => last.next.set(node),
            None => self.head.set(node),
        }
        self.tail.set(node);
    }

    /// Takes a node out, if it still is in. It must be of this list.
    #[inline(always)]
    pub(crate) fn remove(&self, node: &Node<D>) {
        if node.state.get() == State::Linked {
            self.unlink(node, State::Apart);
        }
    }

    fn unlink(&self, node: &Node<D>, state: State) {
        node.state.set(state);
        let (prev, next) = (node.prev.get(), node.next.get());
        // SAFETY: as in `push`.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => self.head.set(next),
        }
        // SAFETY: as in `push`.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(prev),
            None => self.tail.set(prev),
        }
    }

    /// As [`unlink`](Self::unlink), of the first.
    #[inline(always)]
    fn unlink_first(&self, node: &Node<D>, state: State) {
        node.state.set(state);
        let next = node.next.get();
        self.head.set(next);
        // SAFETY: as in `push`.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(ptr::null()),
            None => self.tail.set(ptr::null()),
        }
    }

    /// Whether nobody is in it. Somebody who is may have been woken by something else.
    #[inline(always)]
    pub(crate) fn has_nobody(&self) -> bool {
        self.head.get().is_null()
    }

    #[inline(always)]
    fn first(&self) -> Option<&Node<D>> {
        // SAFETY: as in `push`. The borrow is used before anything else runs.
        unsafe { self.head.get().as_ref() }
    }

    /// Wakes the first that can be woken, and calls `f` with its data and `value`. Gives `value` back where nobody can.
    #[inline]
    pub(crate) fn wake_with<V, R>(&self, value: V, f: impl FnOnce(&D, V) -> R) -> Result<R, V> {
        while let Some(node) = self.first() {
            let woken = node.token.get().wake(0);
            self.unlink_first(node, if woken { State::Fired } else { State::Apart });
            if woken {
                // The woken fiber is in the run queue at most, so that its frame is still there.
                return Ok(f(&node.data, value));
            }
        }
        Err(value)
    }

    /// Wakes the first that can be woken; returns whether there was one.
    pub(crate) fn wake_one(&self) -> bool {
        self.wake_with((), |_, ()| ()).is_ok()
    }

    /// Wakes all; returns how many there were.
    pub(crate) fn wake_all(&self) -> usize {
        std::iter::from_fn(|| self.wake_one().then_some(())).count()
    }

    /// Calls `f` with the data of the first that can be woken, if there is one; where `f` agrees, wakes it. Returns
    /// whether it was woken.
    pub(crate) fn wake_one_if(&self, f: impl FnOnce(&D) -> bool) -> bool {
        self.prune();
        self.first().is_some_and(|first| f(&first.data)) && self.wake_one()
    }

    /// Takes those out at the front that something else has woken.
    fn prune(&self) {
        while let Some(node) = self.first().filter(|node| !node.token.get().waits()) {
            self.unlink(node, State::Apart);
        }
    }

    /// Takes all of those out, and returns how many are left.
    pub(crate) fn count_waiting(&self) -> usize {
        let (mut at, mut count) = (self.head.get(), 0);
        // SAFETY: as in `push`.
        while let Some(node) = unsafe { at.as_ref() } {
            at = node.next.get();
            if node.token.get().waits() {
                count += 1;
            } else {
                self.unlink(node, State::Apart);
            }
        }
        count
    }

    /// Whether nobody waits who could be woken.
    pub(crate) fn is_empty(&self) -> bool {
        self.prune();
        self.head.get().is_null()
    }
}

impl<D> fmt::Debug for List<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("waiting", &self.count_waiting()).finish()
    }
}
