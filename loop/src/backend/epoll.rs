use super::fork::{self, Origin};
use super::ring::{self, Ring};
use super::spot::Spot;
use super::{Backend, Batch, Caps, Completions, Detach, Fd, Key, Waker};
use crate::op::RawOp;
use crate::{Mode, Ready};
use becket_sys::epoll::{self, Events, Trigger};
use becket_sys::event;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The word of the waker's registration, which no key has: no slot is ever `u32::MAX`.
const WAKER: u64 = u64::MAX;
/// The ring's. The two words between are taken by the loop, where it stands in another one.
const RING: u64 = u64::MAX - 3;
/// How many events one wait takes at most.
const EVENTS: usize = 1024;
/// When to try again what the kernel had no memory for.
const AGAIN: Duration = Duration::from_millis(10);

/// The backend over epoll(7): the default on Linux.
///
/// Operations go through an io_uring(7) whose descriptor stands in the set, made with the first of them. What was
/// submitted in a turn begins together, by one system call before the wait. Where io_uring is forbidden (by
/// `/proc/sys/kernel/io_uring_disabled`, a sandbox, a kernel before 5.6) or fails, helper threads serve:
/// [`Caps::completions`] says which. The environment variable `BECKET_OPS`, set to `threads` or `uring` before the
/// backend is made, forces either for all operations, for tests; so does [`with_completions`](Self::with_completions).
///
/// [`Read`](crate::op::Read)s at an offset, of at most 64 KiB, are made on the spot (preadv2(2) with `RWF_NOWAIT`) where
/// all that is asked for is in memory and few operations are submitted: the first four of a turn, where the last one
/// brought no more than that. Their ends are told as those of others, by the next turn. It is so unless somebody forces
/// another way: see [`Caps::reads_on_the_spot`].
///
/// # Honest trouble
///
/// - Not every operation is the ring's: see the table in [`op`](crate::op).
/// - Reads and writes *at a file's own position* are left to helper threads: io_uring moves it without the lock by
///   which read(2) and write(2) follow each other, so that two at once would get the same bytes or the same place. Only
///   reads from pipes and sockets, which have none, go through the ring. Give offsets where it matters.
/// - A read *at an offset of what has none* (a pipe) is `ESPIPE` from helper threads; the ring ignores the offset.
/// - A *cancel* reaches more: a read from an empty pipe, or the opening of a FIFO, waits in the ring and is ended; a
///   helper thread that has begun one waits to its end.
/// - A *descriptor that is closed, or exchanged for another, behind the loop's back* goes on being reported while a
///   duplicate of it is open, in whatever process: nobody can take it out then. The loop notices that some waits in a row
///   find only what has left it, and makes the set anew: what has edges is reported once more, if it is ready, and
///   [`Stats::renewals`](crate::Stats::renewals) counts it. So that outer loops see nothing of it, the descriptor that
///   they get is of a second set with this one in it. The kernel takes five sets in each other at most: three such loops.
/// - At most 960 operations are in the ring at a time; others wait for their turn.
/// - Where io_uring is *forbidden after the first operation*, those that the kernel has not taken by then end with the
///   error, and later ones go to helper threads.
///
/// ```
/// use becket_loop::{Loop, backend::Epoll};
///
/// let event_loop: Loop<()> = Loop::with_backend(Epoll::new()?);
/// assert_eq!(event_loop.caps().name, "epoll");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Epoll {
    /// Shared with those who take descriptors out from other threads, which the kernel allows.
    set: Arc<epoll::Epoll>,
    events: Events,
    /// For how many that are wanted `events` was made.
    wanted: usize,
    waker: Arc<event::Event>,
    operations: Operations,
    spot: Spot,
    /// How many descriptors of the loop's stand in the set, at most: those that another thread took out are counted.
    descriptors: usize,
    /// Whether the waker was called to tell of ends, and no wait has seen it since.
    told: bool,
    /// A time that has passed, such as the loop gives where it does not want to wait.
    made: Instant,
    origin: Arc<Origin>,
    shell: Option<Shell>,
}

/// What outer loops wait for: a set with the set in it, which can be exchanged for another.
#[derive(Debug)]
struct Shell {
    set: epoll::Epoll,
    /// The duplicate of the set that stands in it.
    inside: OwnedFd,
}

/// Who carries out operations.
#[derive(Debug)]
enum Operations {
    /// A ring, where that is offered when the first operation comes.
    Untried,
    Threads,
    Ring(Box<Ring>),
}

impl Epoll {
    /// An empty set that takes up to 1024 events in one wait.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no two descriptors are left, `ENOMEM`. With `BECKET_OPS=uring` in the environment,
    /// those of [`with_completions`](Self::with_completions).
    pub fn new() -> io::Result<Epoll> {
        match std::env::var_os("BECKET_OPS") {
            Some(forced) if forced == "threads" => Self::with_completions(Completions::HelperThreads),
            Some(forced) if forced == "uring" => Self::with_completions(Completions::Backend),
            _ => Self::with_operations(Operations::Untried, Spot::default()),
        }
    }

    /// As [`new`](Self::new), with operations carried out by whom the caller says: helper threads, or, by
    /// [`Completions::Backend`], an io_uring that is made at once.
    ///
    /// # Errors
    /// As [`new`](Self::new); where io_uring is not offered `EPERM` (it is forbidden), `ENOSYS` (the kernel has none) or
    /// `EOPNOTSUPP` (it is too old), `ENOMEM` also at the limit of locked memory of kernels before 5.12.
    ///
    /// ```
    /// use becket_loop::{Loop, backend::{Completions, Epoll}};
    ///
    /// match Epoll::with_completions(Completions::Backend) {
    ///     Ok(epoll) => {
    ///         let event_loop: Loop<()> = Loop::with_backend(epoll);
    ///         assert_eq!(event_loop.caps().completions, Completions::Backend);
    ///     }
    ///     Err(e) => println!("no io_uring here: {e}"),
    /// }
    /// ```
    pub fn with_completions(completions: Completions) -> io::Result<Epoll> {
        match completions {
            Completions::HelperThreads => Self::with_operations(Operations::Threads, Spot::off()),
            Completions::Backend => {
                let mut epoll = Self::with_operations(Operations::Threads, Spot::off())?;
                epoll.make_ring()?;
                Ok(epoll)
            }
        }
    }

    fn with_operations(operations: Operations, spot: Spot) -> io::Result<Epoll> {
        let set = Arc::new(epoll::Epoll::new()?);
        let waker = Arc::new(event::Event::new()?);
        // Edge-triggered: each write is reported once, so nobody has to read the counter.
        set.add(&*waker, WAKER, Ready::READ, Trigger::EDGE)?;
        let origin = Arc::new(Origin::here());
        let (events, made) = (Events::with_capacity(EVENTS), Instant::now());
        Ok(Epoll {
            set,
            events,
            wanted: EVENTS,
            waker,
            operations,
            spot,
            descriptors: 0,
            told: false,
            made,
            origin,
            shell: None,
        })
    }

    fn make_ring(&mut self) -> io::Result<()> {
        let ring = Box::new(Ring::new()?);
        self.set.add(&*ring, RING, Ready::READ, Trigger::empty())?;
        self.operations = Operations::Ring(ring);
        Ok(())
    }

    fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.operations {
            Operations::Ring(ring) => Some(ring),
            Operations::Untried | Operations::Threads => None,
        }
    }

    /// Begins what was submitted, and takes what has ended.
    fn serve_operations(&mut self, batch: &mut Batch) {
        self.spot.tell(batch);
        if let Some(ring) = self.ring() {
            ring.start();
            ring.reap(batch);
        }
    }

    /// Has a wait look for ends that no descriptor tells of.
    fn tell_ended(&mut self) {
        if self.spot.has_ended() || self.ring().is_some_and(|ring| ring.has_ended()) {
            wake(&self.waker);
            self.told = true;
        }
    }
}

pub(super) fn wake(event: &event::Event) {
    // A full counter, after 2^64 wakes, is emptied and counted up again; no other error can happen.
    if let Ok(false) = event.add(1) {
        let _ = event.try_read();
        let _ = event.add(1);
    }
}

/// Has `shell` ready when `set` is. What stands in it is a duplicate, by which it can be taken out when `set` is another.
fn take_in(shell: &epoll::Epoll, set: &epoll::Epoll) -> io::Result<OwnedFd> {
    let inside = set.as_fd().try_clone_to_owned()?;
    shell.add(&inside, 0, Ready::READ, Trigger::empty())?;
    Ok(inside)
}

fn trigger(mode: Mode) -> Trigger {
    match mode {
        Mode::Level => Trigger::empty(),
        Mode::Edge => Trigger::EDGE,
        Mode::OneShot => Trigger::ONE_SHOT,
    }
}

#[allow(unsafe_code, reason = "a promise about operations, which the ring keeps")]
// SAFETY: operations are the ring's: it pushes the end of one when the kernel has completed it, or cannot come to begin
// it, and takes it out of its table with that; it hands back what it does not take untouched; and its destructor waits
// until the table is empty. Or they are reads that were over when they were taken, each of which is pushed once. The
// other events are `Ready`.
unsafe impl Backend for Epoll {
    fn caps(&self) -> Caps {
        let by_ring = match &self.operations {
            Operations::Untried => ring::is_offered(),
            Operations::Threads => false,
            Operations::Ring(ring) => ring.is_intact(),
        };
        let completions = if by_ring { Completions::Backend } else { Completions::HelperThreads };
        Caps {
            name: "epoll",
            edge: true,
            pri: true,
            rdhup: true,
            flags: true,
            embed: true,
            regular_files: false,
            completions,
            reads_on_the_spot: self.spot.is_on(),
        }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.set.add(fd, key.to_u64(), want, trigger(mode))?;
        self.descriptors += 1;
        Ok(())
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.set.modify(fd, key.to_u64(), want, trigger(mode))
    }

    fn remove(&mut self, fd: Fd<'_>, _key: Key) -> io::Result<()> {
        // Also where it fails: then it had been taken out before.
        self.descriptors = self.descriptors.saturating_sub(1);
        self.set.delete(fd)
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        if batch.wanted() != self.wanted {
            // What there is no room for, the kernel keeps, in front of what else it finds the next time.
            self.wanted = batch.wanted();
            self.events = Events::with_capacity(self.wanted.min(EVENTS));
        }
        let before = batch.len();
        self.serve_operations(batch);
        let nothing_else = !std::mem::take(&mut self.told) && self.descriptors == 0;
        let deadline = match self.ring() {
            // Some have ended already: what else there is has its turn beside them.
            _ if batch.len() > before && nothing_else => return Ok(()),
            _ if batch.len() > before => Some(self.made),
            Some(ring) if ring.has_more() => Instant::now().checked_add(AGAIN).into_iter().chain(deadline).min(),
            _ => deadline,
        };
        match deadline {
            Some(deadline) if deadline <= self.made => self.set.look(&mut self.events)?,
            deadline => self.set.wait(&mut self.events, deadline)?,
        };
        let mut most = 0;
        batch.extend_ready(self.events.iter().map(|(word, what)| {
            most = most.max(word);
            (Key::from_u64(word), what)
        }));
        let mut rung = false;
        if most >= RING {
            // The waker, and the loop's own, are nobody's events.
            batch.retain_ready(|key| key.to_u64() < RING);
            rung = self.events.iter().any(|(word, _)| word == RING);
        }
        if rung && let Some(ring) = self.ring() {
            ring.reap(batch);
            ring.start(); // what there is room for now
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let event = Arc::clone(&self.waker);
        Waker::new(move || wake(&event))
    }

    unsafe fn submit(&mut self, key: Key, op: RawOp) -> Result<(), RawOp> {
        // SAFETY: handed on from the caller.
        if unsafe { self.spot.takes(key, &op) } {
            return Ok(());
        }
        if matches!(op, RawOp::Call(_)) {
            return Err(op);
        }
        if matches!(self.operations, Operations::Untried)
            && let Err(e) = self.make_ring()
            && !ring::is_short_of(&e)
        {
            self.operations = Operations::Threads;
        }
        match self.ring() {
            // SAFETY: handed on from the caller.
            Some(ring) => unsafe { ring.submit(key, op) },
            None => Err(op),
        }
    }

    fn start(&mut self) {
        self.ring().into_iter().for_each(Ring::start);
        self.tell_ended();
    }

    fn cancel(&mut self, key: Key) {
        self.ring().into_iter().for_each(|ring| ring.cancel(key));
        self.tell_ended();
    }

    fn close(&mut self, batch: &mut Batch) {
        self.spot.tell(batch);
        self.ring().into_iter().for_each(|ring| ring.close(batch));
    }

    fn detach(&self) -> Option<Detach> {
        let (set, origin) = (Arc::clone(&self.set), Arc::clone(&self.origin));
        Some(Detach::new(move |fd| {
            if origin.is_here() {
                let _ = set.delete(fd); // fails only where it is not registered
            }
        }))
    }

    fn abandon(&mut self) {
        self.spot.tell(&mut Batch::default()); // which is as good as cancelled
        if self.ring().is_some()
            && let Operations::Ring(mut ring) = std::mem::replace(&mut self.operations, Operations::Untried)
        {
            ring.abandon();
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Everybody who shares them keeps what he has, and has the new ones.
        fork::exchange(&*self.set, epoll::Epoll::new()?)?;
        fork::exchange(&*self.waker, event::Event::new()?)?;
        self.set.add(&*self.waker, WAKER, Ready::READ, Trigger::EDGE)?;
        self.origin.settle();
        (self.descriptors, self.told) = (0, false);
        self.shell = None; // the parent's
        Ok(())
    }

    fn renew(&mut self) -> io::Result<()> {
        let new = epoll::Epoll::new()?;
        new.add(&*self.waker, WAKER, Ready::READ, Trigger::EDGE)?;
        if let Some(ring) = self.ring() {
            new.add(ring, RING, Ready::READ, Trigger::empty())?;
        }
        // What may fail comes first.
        let inside = self.shell.as_ref().map(|shell| take_in(&shell.set, &new)).transpose()?;
        if let Err(e) = fork::exchange(&*self.set, new) {
            if let (Some(shell), Some(inside)) = (&self.shell, inside) {
                let _ = shell.set.delete(inside); // it has it
            }
            return Err(e);
        }
        if let (Some(shell), Some(inside)) = (&mut self.shell, inside) {
            let old = std::mem::replace(&mut shell.inside, inside);
            let _ = shell.set.delete(old); // likewise
        }
        self.descriptors = 0;
        Ok(())
    }

    fn expose(&mut self) -> io::Result<()> {
        if self.shell.is_none() {
            let shell = epoll::Epoll::new()?;
            let inside = take_in(&shell, &self.set)?;
            self.shell = Some(Shell { set: shell, inside });
        }
        Ok(())
    }

    fn as_fd(&self) -> Option<Fd<'_>> {
        Some(self.shell.as_ref().map_or(self.set.as_fd(), |shell| shell.set.as_fd()))
    }
}
