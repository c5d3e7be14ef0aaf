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
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::time::Instant;

/// Where an `Io` is registered for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    core: u32,
    slot: u32,
    generation: u32,
}

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

struct Waiter {
    token: Token,
    want: Ready,
}

struct Entry {
    /// Part of the handler's data: an event for an earlier owner of the slot finds another number.
    generation: u32,
    id: Option<Id<Borrowed>>,
    /// What was ever waited for: the rest is not asked for, since its edges would only end the loop's wait.
    interest: Ready,
    /// Directions in which nothing is to be had before the next edge.
    drained: Ready,
    /// Everything that was ever reported.
    seen: Ready,
    /// Who waits. The allocation stays with the entry.
    waiters: Vec<Waiter>,
}

/// The entries of one loop. Borrowed for moments only, never while a fiber is switched to or user code runs.
pub(crate) struct Registry {
    core: u32,
    edge: bool,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
}

impl Registry {
    pub(crate) fn new(core: u32, events: &Loop<()>) -> Registry {
        let detach = events.detach();
        let edge = events.caps().edge && detach.is_some();
        if let (true, Some(detach)) = (edge, detach) {
            let shared = Shared { detach, remote: events.remote() };
            loops(|all| all.insert(core, shared));
        }
        Registry { core, edge, entries: RefCell::default(), free: RefCell::default() }
    }

    /// The loop is about to go; registrations go with it.
    pub(crate) fn close(&self) {
        let gone = loops(|all| all.remove(&self.core));
        drop(gone);
    }

    fn with_entry<R>(&self, home: Home, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get_mut(home.slot as usize)?;
        (home.core == self.core && entry.generation == home.generation).then(|| f(entry))
    }

    /// Takes an entry out; its registration is returned for the caller to end.
    fn remove(&self, home: Home) -> Option<Id<Borrowed>> {
        let id = self.with_entry(home, |entry| {
            entry.generation = entry.generation.wrapping_add(1);
            entry.waiters.clear();
            entry.id.take()
        })?;
        self.free.borrow_mut().push(home.slot);
        id
    }
}

impl Home {
    /// Whether this is the home of the given scheduler's loop.
    #[inline]
    pub(super) fn is_at(self, core: &Core) -> bool {
        self.core == core.id
    }

    /// Whether nothing is to be had in direction `want` before the next edge.
    #[inline]
    pub(super) fn is_drained(self, core: &Core, want: Ready) -> bool {
        core.registry.with_entry(self, |e| e.drained.intersects(want)).unwrap_or(false)
    }

    #[inline]
    pub(super) fn set_drained(self, core: &Core, want: Ready) {
        core.registry.with_entry(self, |e| e.drained |= want);
    }

    /// Whether a hang-up, an error or something urgent was ever reported: then a short read proves nothing.
    pub(super) fn has_seen_trouble(self, core: &Core) -> bool {
        let trouble = Ready::RDHUP | Ready::HUP | Ready::ERR | Ready::PRI;
        core.registry.with_entry(self, |e| e.seen.intersects(trouble)).unwrap_or(true)
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
        let slot = registry.free.borrow_mut().pop();
        let mut entries = registry.entries.borrow_mut();
        let slot = slot.unwrap_or_else(|| {
            let none = Ready::empty();
            entries.push(Entry {
                generation: 0,
                id: None,
                interest: none,
                drained: none,
                seen: none,
                waiters: Vec::new(),
            });
            (entries.len() - 1) as u32
        });
        let entry = &mut entries[slot as usize];
        entry.interest = interest(want);
        entry.drained = Ready::empty();
        entry.seen = Ready::empty();
        let home = Home { core: core.id, slot, generation: entry.generation };
        let handler = Plain { call: edge, data: u64::from(slot) << 32 | u64::from(home.generation) };
        let interest = entry.interest;
        // SAFETY: the caller's promise; `end` cancels, and so does the end of the loop.
        let added = core.with_ctx(|ctx| unsafe { ctx.add_borrowed(fd, interest, Mode::Edge, handler) });
        match added.unwrap_or_else(|| Err(gone())) {
            Ok(id) => {
                entry.id = Some(id);
                Ok(Some(home))
            }
            Err(e) => {
                drop(entries);
                registry.free.borrow_mut().push(slot);
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

    /// Waits for the next edge in direction `want`.
    pub(super) fn wait(self, here: Here, want: Ready, reason: Reason, until: Option<Instant>) -> Woken {
        let wait = here.wait(reason);
        let token = wait.token();
        self.enter(here, want, token);
        let woken = wait.park(until);
        if !matches!(woken, Woken::Event(_)) {
            self.leave(here, token);
        }
        woken
    }

    /// Has `token` used by the next edge in direction `want`.
    fn enter(self, here: Here, want: Ready, token: Token) {
        let registry = &here.core().registry;
        let more = registry.with_entry(self, |e| {
            e.waiters.push(Waiter { token, want });
            let before = e.interest;
            e.interest |= interest(want);
            e.id.filter(|_| e.interest != before).map(|id| (id, e.interest))
        });
        if let Some((id, interest)) = more.flatten() {
            // Reports what holds already, so that no edge is missed.
            here.core().with_ctx(|ctx| ctx.set(id, interest, Mode::Edge));
        }
    }

    fn leave(self, here: Here, token: Token) {
        here.core().registry.with_entry(self, |e| e.waiters.retain(|w| w.token != token));
    }
}

/// The handler of every home registration.
fn edge((): &mut (), _: &mut Ctx<()>, data: u64, ready: Ready) -> Next {
    let Some(core) = current_core() else { return Next::Keep };
    // SAFETY: the loop dispatches, so its scheduler is entered.
    let core = unsafe { core.as_ref() };
    let home = Home { core: core.id, slot: (data >> 32) as u32, generation: data as u32 };
    core.registry.with_entry(home, |entry| {
        entry.seen |= ready;
        for want in [Ready::READ, Ready::WRITE, Ready::PRI] {
            if satisfies(ready, want) {
                entry.drained.remove(want);
            }
        }
        entry.waiters.retain(|w| {
            let hit = satisfies(ready, w.want);
            if hit {
                w.token.wake(ready.bits());
            }
            !hit
        });
    });
    Next::Keep
}

/// The edges that a wait for `want` needs. Urgent data cuts reads short, so who reads must know of it.
fn interest(want: Ready) -> Ready {
    if want.contains(Ready::READ) { want | Ready::RDHUP | Ready::PRI } else { want }
}

/// Whether `ready` ends a wait for `want`.
pub(super) fn satisfies(ready: Ready, want: Ready) -> bool {
    want.contains(Ready::READ) && ready.is_readable()
        || want.contains(Ready::WRITE) && ready.is_writable()
        || want.contains(Ready::PRI) && ready.intersects(Ready::PRI | Ready::ERR | Ready::HUP)
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
#[derive(Debug)]
pub(super) enum Entered {
    Home(Home, Token),
    /// With a duplicate, where the descriptor itself is watched by somebody else.
    Once(Id<Borrowed>, Option<OwnedFd>),
}

impl Entered {
    pub(super) fn home(home: Home, here: Here, want: Ready, token: Token) -> Entered {
        home.enter(here, want, token);
        Entered::Home(home, token)
    }

    pub(super) fn leave(self, here: Here) {
        match self {
            Entered::Home(home, token) => home.leave(here, token),
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
pub(super) unsafe fn enter_once(here: Here, fd: BorrowedFd<'_>, want: Ready, token: Token) -> io::Result<Entered> {
    let core = here.core();
    let handler = Plain { call: once, data: token.bits() };
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
