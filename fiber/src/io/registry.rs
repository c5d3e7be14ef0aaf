//! Descriptors registered with a runtime's loop, and who waits for which.
//!
//! Where the backend has edges, an [`Io`](super::Io) is registered once, at its first wait, and stays; its *home* is the loop of the fiber that waited. Each edge clears what was known to be drained and wakes all that wait for
//! it. Everywhere else (a backend without edges, a fiber of another loop, a descriptor that is registered already) a
//! wait adds a one-shot registration and takes it away again.

use crate::park::{Here, Reason, Token, Woken, wake_by_bits};
use crate::sched::{Core, current_core};
use becket_loop::backend::Detach;
use becket_loop::{Borrowed, Ctx, Id, Loop, Mode, Next, Plain, Ready, Remote};
use rustix::io::fcntl_dupfd_cloexec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::time::Instant;

/// Where an `Io` is registered for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    core: u32,
    generation: u32,
    /// Valid as long as the scheduler `core` is.
    entry: NonNull<Entry>,
}

// SAFETY: the entry is reached on the thread of its scheduler only, while that is entered there: see `Home::entry`. The
// numbers are for everybody.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

/// What other threads need to take a descriptor out of a loop.
struct Shared {
    detach: Detach,
    remote: Remote<()>,
}

/// The running loops that have homes, by the number of their scheduler.
static LOOPS: Mutex<Option<HashMap<u32, Shared>>> = Mutex::new(None);

fn loops<R>(f: impl FnOnce(&mut HashMap<u32, Shared>) -> R) -> R {
    let mut guard = LOOPS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    f(guard.get_or_insert_default())
}

#[derive(Clone, Copy)]
struct Waiter {
    token: Token,
    want: Ready,
}

/// A registration, at an address that stays. What every event and every wait uses is in the first line of the cache.
#[repr(C, align(64))]
pub(super) struct Entry {
    /// Part of the handler's data: an event for an earlier owner of the slot finds another number.
    generation: Cell<u32>,
    slot: u32,
    /// Directions in which nothing is to be had before the next edge.
    drained: Cell<Ready>,
    /// Everything that was ever reported.
    seen: Cell<Ready>,
    /// What was ever waited for: the rest is not asked for, since its edges would only end the loop's wait.
    interest: Cell<Ready>,
    /// Whether there are others beside the first who wait.
    crowded: Cell<bool>,
    /// Who waits, in most cases.
    first: Cell<Option<Waiter>>,
    id: Cell<Option<Id<Borrowed>>>,
    /// Who else waits. Borrowed for moments only.
    others: RefCell<Vec<Waiter>>,
}

impl Entry {
    fn new(slot: u32) -> Entry {
        let none = Ready::empty();
        Entry {
            generation: Cell::new(0),
            slot,
            drained: Cell::new(none),
            seen: Cell::new(none),
            interest: Cell::new(none),
            crowded: Cell::new(false),
            first: Cell::new(None),
            id: Cell::new(None),
            others: RefCell::default(),
        }
    }

    /// Whether nothing is to be had in direction `want` before the next edge.
    #[inline(always)]
    pub(super) fn is_drained(&self, want: Ready) -> bool {
        self.drained.get().intersects(want)
    }

    #[inline(always)]
    pub(super) fn set_drained(&self, want: Ready) {
        self.drained.set(self.drained.get() | want);
    }

    /// Whether a hang-up, an error or something urgent was ever reported: then a short read proves nothing.
    #[inline(always)]
    pub(super) fn has_seen_trouble(&self) -> bool {
        self.seen.get().intersects(Ready::RDHUP | Ready::HUP | Ready::ERR | Ready::PRI)
    }

    /// Has `token` used by the next edge in direction `want`.
    #[inline(always)]
    pub(super) fn enter(&self, here: Here, want: Ready, token: Token) {
        let waiter = Waiter { token, want };
        if self.first.get().is_none() {
            self.first.set(Some(waiter));
        } else {
            self.crowded.set(true);
            self.others.borrow_mut().push(waiter);
        }
        let before = self.interest.get();
        let now = before | interest(want);
        if now != before {
            self.interest.set(now);
            self.ask(here, now);
        }
    }

    #[cold]
    fn leave(&self, token: Token) {
        if self.first.get().is_some_and(|w| w.token == token) {
            self.first.set(None);
        } else {
            self.others.borrow_mut().retain(|w| w.token != token);
        }
    }

    /// Waits for the next edge in direction `want`.
    #[inline(always)]
    pub(super) fn wait(&self, here: Here, want: Ready, reason: Reason, until: Option<Instant>) -> Woken {
        let wait = here.wait(reason);
        let token = wait.token();
        self.enter(here, want, token);
        let woken = wait.park(until);
        if !matches!(woken, Woken::Event(_)) {
            self.leave(token);
        }
        woken
    }

    /// Has the backend report more. It reports what holds already, so that no edge is missed.
    #[cold]
    fn ask(&self, here: Here, interest: Ready) {
        if let Some(id) = self.id.get() {
            here.core().with_ctx(|ctx| ctx.set(id, interest, Mode::Edge));
        }
    }

    /// An edge has come.
    #[inline]
    fn edge(&self, core: &Core, ready: Ready) {
        self.seen.set(self.seen.get() | ready);
        let met = met(ready);
        self.drained.set(self.drained.get() - met);
        if let Some(first) = self.first.get()
            && first.want.intersects(met)
        {
            self.first.set(None);
            core.wake_soon(first.token, ready.bits());
        }
        if self.crowded.get() {
            self.wake_others(core, met, ready);
        }
    }

    #[cold]
    fn wake_others(&self, core: &Core, met: Ready, ready: Ready) {
        let mut others = self.others.borrow_mut();
        others.retain(|w| {
            let hit = w.want.intersects(met);
            if hit {
                core.wake_soon(w.token, ready.bits());
            }
            !hit
        });
        self.crowded.set(!others.is_empty());
    }
}

/// How many entries are made at once.
const CHUNK: usize = 16;

/// The entries of one loop.
pub(crate) struct Registry {
    core: u32,
    edge: bool,
    /// Of [`CHUNK`] entries each, from `Box::into_raw`, freed with the registry. Borrowed for moments only.
    chunks: RefCell<Vec<NonNull<Entry>>>,
    free: RefCell<Vec<NonNull<Entry>>>,
}

impl Registry {
    pub(crate) fn new(core: u32, events: &Loop<()>) -> Registry {
        let detach = events.detach();
        let edge = events.caps().edge && detach.is_some();
        if let (true, Some(detach)) = (edge, detach) {
            let shared = Shared { detach, remote: events.remote() };
            loops(|all| all.insert(core, shared));
        }
        Registry { core, edge, chunks: RefCell::default(), free: RefCell::default() }
    }

    /// The loop is about to go; registrations go with it.
    pub(crate) fn close(&self) {
        let gone = loops(|all| all.remove(&self.core));
        drop(gone);
    }

    fn get(&self, slot: u32) -> Option<&Entry> {
        let chunk = *self.chunks.borrow().get(slot as usize / CHUNK)?;
        // SAFETY: each chunk has that many entries, and stays as long as the registry.
        Some(unsafe { chunk.add(slot as usize % CHUNK).as_ref() })
    }

    /// A free entry, made where there is none.
    fn take(&self) -> NonNull<Entry> {
        if let Some(entry) = self.free.borrow_mut().pop() {
            return entry;
        }
        let mut chunks = self.chunks.borrow_mut();
        let first = (chunks.len() * CHUNK) as u32;
        let entries: Box<[Entry]> = (first..first + CHUNK as u32).map(Entry::new).collect();
        let chunk = NonNull::from(Box::leak(entries)).cast::<Entry>();
        chunks.push(chunk);
        // SAFETY: within the chunk.
        self.free.borrow_mut().extend((1..CHUNK).rev().map(|i| unsafe { chunk.add(i) }));
        chunk
    }

    /// Takes an entry out; its registration is returned for the caller to end.
    fn remove(&self, home: Home) -> Option<Id<Borrowed>> {
        if home.core != self.core {
            return None;
        }
        // SAFETY: it is an entry of this registry, which keeps them all.
        let entry = unsafe { home.entry.as_ref() };
        if entry.generation.get() != home.generation {
            return None;
        }
        entry.generation.set(home.generation.wrapping_add(1));
        entry.first.set(None);
        entry.crowded.set(false);
        entry.others.borrow_mut().clear();
        self.free.borrow_mut().push(home.entry);
        entry.id.take()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for chunk in self.chunks.take() {
            let entries = ptr::slice_from_raw_parts_mut(chunk.as_ptr(), CHUNK);
            // SAFETY: from `Box::leak` in `take`, freed once. Who has a `Home` uses its entry only while the scheduler
            // is entered, which this registry is a part of.
            drop(unsafe { Box::from_raw(entries) });
        }
    }
}

impl Home {
    /// The entry, where this is the home of the given scheduler's loop. Good as long as the `Io` is, which ends it when
    /// it is dropped.
    #[inline(always)]
    pub(super) fn entry(self, core: &Core) -> Option<&Entry> {
        if self.core != core.id {
            return None;
        }
        // SAFETY: the scheduler has that number, so it is the one that made the entry, and it keeps it.
        Some(unsafe { self.entry.as_ref() })
    }

    /// Registers `fd` with the loop of the running fiber, for the edges that `want` needs; others follow when they are
    /// waited for.
    ///
    /// `None` where the backend has no edges, or refuses because the descriptor is registered already.
    ///
    /// # Errors
    /// `EPERM` where its kind cannot be polled; `ENOMEM`, `ENOSPC`.
    ///
    /// # Safety
    /// `fd` must stay open until [`end`](Self::end), whatever happens.
    pub(super) unsafe fn register(here: Here, fd: BorrowedFd<'_>, want: Ready) -> io::Result<Option<Home>> {
        let core = here.core();
        let registry = &core.registry;
        if !registry.edge {
            return Ok(None);
        }
        let at = registry.take();
        // SAFETY: the registry keeps its entries, and a scheduler its registry.
        let entry = unsafe { at.as_ref() };
        let interest = interest(want);
        entry.interest.set(interest);
        entry.drained.set(Ready::empty());
        entry.seen.set(Ready::empty());
        let home = Home { core: core.id, generation: entry.generation.get(), entry: at };
        let handler = Plain { call: edge, data: u64::from(entry.slot) << 32 | u64::from(home.generation) };
        // SAFETY: the caller's promise; `end` cancels, and so does the end of the loop.
        let added = core.with_ctx(|ctx| unsafe { ctx.add_borrowed(fd, interest, Mode::Edge, handler) });
        match added.unwrap_or_else(|| Err(gone())) {
            Ok(id) => {
                entry.id.set(Some(id));
                Ok(Some(home))
            }
            Err(e) => {
                registry.free.borrow_mut().push(at);
                if e.kind() == io::ErrorKind::AlreadyExists { Ok(None) } else { Err(e) }
            }
        }
    }

    /// Ends the registration of `fd`, which is still open: at once on its own thread, else by the kernel at once and
    /// in the loop's books soon.
    pub(super) fn end(self, fd: BorrowedFd<'_>) {
        if let Some(core) = current_core() {
            // SAFETY: it is entered on this thread.
            let core = unsafe { core.as_ref() };
            if core.id == self.core
                && core.with_ctx(|ctx| core.registry.remove(self).map(|id| ctx.cancel(id))).is_some()
            {
                return;
            }
        }
        loops(|all| {
            let Some(shared) = all.get(&self.core) else { return };
            // Once the descriptor is closed its number may be another file's: now or never.
            shared.detach.delete(fd);
            shared.remote.post(move |(), ctx| {
                if let Some(core) = current_core()
                    // SAFETY: its loop dispatches, so it is entered.
                    && let Some(id) = unsafe { core.as_ref() }.registry.remove(self)
                {
                    ctx.forget(id);
                }
                Ok(())
            });
        });
    }
}

/// The handler of every home registration.
fn edge((): &mut (), _: &mut Ctx<()>, data: u64, ready: Ready) -> Next {
    let Some(core) = current_core() else { return Next::Keep };
    // SAFETY: the loop dispatches, so its scheduler is entered.
    let core = unsafe { core.as_ref() };
    if let Some(entry) = core.registry.get((data >> 32) as u32)
        && entry.generation.get() == data as u32
    {
        entry.edge(core, ready);
    }
    Next::Keep
}

/// The edges that a wait for `want` needs. Urgent data cuts reads short, so who reads must know of it.
fn interest(want: Ready) -> Ready {
    if want.contains(Ready::READ) { want | Ready::RDHUP | Ready::PRI } else { want }
}

/// The directions for which a wait ends with `ready`.
#[inline(always)]
fn met(ready: Ready) -> Ready {
    let when = |is: bool, direction: Ready| if is { direction } else { Ready::empty() };
    when(ready.is_readable(), Ready::READ)
        | when(ready.is_writable(), Ready::WRITE)
        | when(ready.intersects(Ready::PRI | Ready::ERR | Ready::HUP), Ready::PRI)
}

/// Waits once for any descriptor: registers it for this wait alone. Also for descriptors that are in no `Io`.
///
/// To be called after [`Here::check`].
///
/// # Errors
/// `EPERM` where its kind cannot be polled; `ENOMEM`, `ENOSPC`, `EMFILE`.
pub(crate) fn wait_once(
    here: Here,
    fd: BorrowedFd<'_>,
    want: Ready,
    what: &'static str,
    until: Option<Instant>,
) -> io::Result<Woken> {
    let wait = here.wait(Reason::on(what, fd));
    // SAFETY: borrowed until this function returns, before which it leaves; nothing in between unwinds.
    let entered = unsafe { enter_once(here, fd, want, wait.token()) }?;
    let woken = wait.park(until);
    entered.leave(here);
    Ok(woken)
}

/// What a wait has asked of the loop, to be taken back by [`leave`](Self::leave).
pub(super) enum Entered<'a> {
    Home(&'a Entry, Token),
    /// With a duplicate, where the descriptor itself is watched by somebody else.
    Once(Id<Borrowed>, Option<OwnedFd>),
}

impl<'a> Entered<'a> {
    pub(super) fn home(entry: &'a Entry, here: Here, want: Ready, token: Token) -> Entered<'a> {
        entry.enter(here, want, token);
        Entered::Home(entry, token)
    }

    pub(super) fn leave(self, here: Here) {
        match self {
            Entered::Home(entry, token) => entry.leave(token),
            Entered::Once(id, double) => {
                here.core().with_ctx(|ctx| ctx.cancel(id));
                drop(double);
            }
        }
    }
}

/// Registers `fd` for one wait, which `token` names.
///
/// # Errors
/// As [`wait_once`].
///
/// # Safety
/// `fd` must stay open until [`Entered::leave`].
pub(super) unsafe fn enter_once(
    here: Here,
    fd: BorrowedFd<'_>,
    want: Ready,
    token: Token,
) -> io::Result<Entered<'static>> {
    let core = here.core();
    let handler = Plain { call: once, data: token.bits(core) };
    let add = |fd: BorrowedFd<'_>| {
        // SAFETY: the caller's promise; the duplicate below is kept as long.
        core.with_ctx(|ctx| unsafe { ctx.add_borrowed(fd, want, Mode::OneShot, handler) })
            .unwrap_or_else(|| Err(gone()))
    };
    let mut double = None;
    let id = match add(fd) {
        // Somebody else watches this descriptor in the same loop: a duplicate has a registration of its own.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let fd = double.insert(fcntl_dupfd_cloexec(fd, 0)?);
            add(fd.as_fd())
        }
        other => other,
    }?;
    Ok(Entered::Once(id, double))
}

fn once((): &mut (), _: &mut Ctx<()>, bits: u64, ready: Ready) -> Next {
    wake_by_bits(bits, ready.bits());
    Next::Keep
}

fn gone() -> io::Error {
    io::Error::other("the loop of this fiber is not at hand")
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("core", &self.core).finish_non_exhaustive()
    }
}
