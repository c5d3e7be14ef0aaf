//! The seam between the loop and the system that waits.
//!
//! A [`Backend`] does six things: it is opened by its own constructor, it adds, changes and removes a descriptor, it
//! waits, and it hands out a [`Waker`]. [`Epoll`] is the default, [`Poll`] runs on every unix, [`Scripted`] plays what
//! a test tells it, on a clock of its own. `Uring`, over io_uring alone, and `Polling`, over the crate `polling`, are
//! features of these names. What a backend cannot do it says in [`Caps`], and refuses with
//! [`Unsupported`](io::ErrorKind::Unsupported); the loop emulates nothing behind the user's back.
//!
//! | | `epoll` | `poll` | `uring` | `polling` | `scripted` |
//! |---|---|---|---|---|---|
//! | [`Mode::Edge`] ([`edge`](Caps::edge)) | yes | no | yes | yes | yes |
//! | [`Ready::PRI`] ([`pri`](Caps::pri)) | yes | yes | yes | no | yes |
//! | [`Ready::RDHUP`] ([`rdhup`](Caps::rdhup)) | yes | yes | yes | no | yes |
//! | [`Flags`](crate::Flags) ([`flags`](Caps::flags)) | yes | no | no | no | no |
//! | inside another loop ([`embed`](Caps::embed)) | yes | no | yes | yes | no |
//! | regular files ([`regular_files`](Caps::regular_files)) | no | yes | yes | no | yes |
//! | [`detach`](Backend::detach) from other threads | yes | no | no | no | no |
//! | operations ([`completions`](Caps::completions)) | io_uring | threads | io_uring | threads | threads |
//! | a changed registration is a system call | yes | no | no | yes | no |
//! | system calls of a turn with one event | 1 | 1 | 1 | 5 | 0 |
//!
//! `BECKET_BACKEND`, in the environment, says over which [`Loop::new`](crate::Loop::new) is.

mod epoll;
#[allow(unsafe_code, reason = "maps a page that a child gets empty; exchanges what a number stands for")]
pub(crate) mod fork;
mod poll;
#[cfg(feature = "polling")]
mod polling;
#[allow(unsafe_code, reason = "shares memory with the kernel, beyond a call")]
mod ring;
mod scripted;
#[allow(unsafe_code, reason = "carries out reads in memory that only their owner vouches for")]
mod spot;
#[cfg(feature = "uring")]
mod uring;

pub use epoll::Epoll;
pub use poll::Poll;
#[cfg(feature = "polling")]
pub use polling::Polling;
pub use scripted::{Script, Scripted};
#[cfg(feature = "uring")]
pub use uring::Uring;

use crate::{Mode, Ready, op::RawOp};
use becket_sys::timer::{Clock, Timer};
use std::fmt;
use std::io;
pub(crate) use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A descriptor, lent: what the loop registers. The one place that says what that is on this system.
pub use std::os::fd::BorrowedFd as Fd;

/// What can lend a descriptor.
pub use std::os::fd::AsFd;

/// A descriptor, owned: what an operation that opens a file ends with.
pub use std::os::fd::OwnedFd;

/// A descriptor's number: how an operation names it to the system.
pub use std::os::fd::RawFd as FdNumber;

/// The backend that `BECKET_BACKEND` names, else that over epoll.
pub(crate) fn by_environment() -> io::Result<Box<dyn Backend>> {
    match std::env::var_os("BECKET_BACKEND") {
        Some(name) if !name.is_empty() => by_name(&name.to_string_lossy()),
        _ => Ok(Box::new(Epoll::new()?)),
    }
}

fn by_name(name: &str) -> io::Result<Box<dyn Backend>> {
    match name {
        "epoll" => Ok(Box::new(Epoll::new()?)),
        "poll" => Ok(Box::new(Poll::new()?)),
        #[cfg(feature = "uring")]
        "uring" => Ok(Box::new(Uring::new()?)),
        #[cfg(feature = "polling")]
        "polling" => Ok(Box::new(Polling::new()?)),
        #[cfg(not(feature = "uring"))]
        "uring" => Err(unbuilt(name)),
        #[cfg(not(feature = "polling"))]
        "polling" => Err(unbuilt(name)),
        _ => {
            let why =
                format!("BECKET_BACKEND={name}: there is no such backend; there are epoll, poll, uring and polling");
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
    }
}

#[cfg(not(all(feature = "uring", feature = "polling")))]
fn unbuilt(name: &str) -> io::Error {
    let why = format!("BECKET_BACKEND={name}: becket-loop was built without its feature {name}");
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// The number of a descriptor that is lent.
pub(crate) fn number(fd: &impl AsFd) -> FdNumber {
    fd.as_fd().as_raw_fd()
}

/// For loops that ask for the number of a descriptor.
impl AsRawFd for crate::Embedded {
    fn as_raw_fd(&self) -> FdNumber {
        number(self)
    }
}

/// Names a registration to a backend: a slot of the loop's table and the generation of its content, so that an event
/// which comes late is told from one of the slot's next owner.
///
/// ```
/// use becket_loop::backend::Key;
///
/// let key = Key::new(7, 1);
/// assert_eq!((key.slot(), key.generation()), (7, 1));
/// assert_eq!(Key::from_u64(key.to_u64()), key);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The key of `generation` of `slot`.
    pub fn new(slot: u32, generation: u32) -> Key {
        Key(u64::from(generation) << 32 | u64::from(slot))
    }

    /// The slot's number.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// How often the slot had been vacated before.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The key as the word that systems carry with a registration.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The key that [`to_u64`](Self::to_u64) made this word of.
    pub const fn from_u64(word: u64) -> Key {
        Key(word)
    }
}

/// One thing that a wait found.
///
/// ```
/// use becket_loop::{Ready, backend::{Event, Key}};
///
/// let event = Event::Ready { key: Key::new(0, 0), what: Ready::READ };
/// assert!(matches!(event, Event::Ready { what, .. } if what.is_readable()));
/// ```
#[derive(Debug)]
pub enum Event {
    /// A registered descriptor is ready.
    Ready {
        /// Which registration.
        key: Key,
        /// The raw mask.
        what: Ready,
    },
    /// A submitted operation ended.
    Done {
        /// Which operation.
        key: Key,
        /// What it returned.
        result: io::Result<usize>,
    },
}

/// What one wait found: what is ready, in order, and what ended, in order.
///
/// ```
/// use becket_loop::{Ready, backend::{Batch, Event, Key}};
///
/// let mut batch = Batch::default();
/// batch.push(Event::Ready { key: Key::new(3, 0), what: Ready::PRI });
/// assert_eq!(batch.len(), 1);
/// ```
#[derive(Debug)]
pub struct Batch {
    ready: Vec<(Key, Ready)>,
    /// How many of them are wanted.
    wanted: usize,
    /// How many of `ready` were taken out, from the front.
    taken: usize,
    done: Vec<(Key, io::Result<usize>)>,
}

impl Default for Batch {
    /// One that wants whatever there is.
    fn default() -> Self {
        Batch { ready: Vec::new(), wanted: usize::MAX, taken: 0, done: Vec::new() }
    }
}

impl Batch {
    /// How many descriptors that are ready a wait had best find: as many as the loop tells in one turn. Where the system
    /// keeps the others, in order, a backend leaves them there: more are taken too, and each then costs its way through
    /// a queue.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    pub(crate) fn want(&mut self, ready: usize) {
        self.wanted = ready;
    }

    /// Appends an event.
    #[inline]
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Ready { key, what } => self.ready.push((key, what)),
            Event::Done { key, result } => self.done.push((key, result)),
        }
    }

    /// Appends what is ready.
    #[inline]
    pub(crate) fn extend_ready(&mut self, found: impl Iterator<Item = (Key, Ready)>) {
        self.ready.extend(found);
    }

    pub(crate) fn retain_ready(&mut self, mut is_good: impl FnMut(Key) -> bool) {
        self.ready.drain(..std::mem::take(&mut self.taken));
        self.ready.retain(|(key, _)| is_good(*key));
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.ready.len() - self.taken + self.done.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the events out: those that something is ready first.
    pub fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        let taken = std::mem::take(&mut self.taken);
        let ready = self.ready.drain(..).skip(taken).map(|(key, what)| Event::Ready { key, what });
        ready.chain(self.done.drain(..).map(|(key, result)| Event::Done { key, result }))
    }

    /// The descriptors that are ready.
    pub(crate) fn ready(&self) -> impl Iterator<Item = Key> {
        self.ready[self.taken..].iter().map(|(key, _)| *key)
    }

    /// Takes out the next descriptor that is ready.
    #[inline]
    pub(crate) fn next_ready(&mut self) -> Option<(Key, Ready)> {
        let found = *self.ready.get(self.taken)?;
        self.taken += 1;
        Some(found)
    }

    /// Forgets those that were taken out. To be called in each turn, where none is left: else a loop whose turns are all
    /// full would keep every one that it ever found.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        debug_assert!(!self.has_ready());
        self.ready.clear();
        self.taken = 0;
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.taken < self.ready.len()
    }

    #[inline]
    pub(crate) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    pub(crate) fn drain_done(&mut self) -> impl Iterator<Item = (Key, io::Result<usize>)> + '_ {
        self.done.drain(..)
    }
}

/// Who carries out operations that were submitted.
///
/// ```
/// use becket_loop::{Loop, backend::{Completions, Epoll, Poll}};
///
/// let event_loop: Loop<()> = Loop::with_backend(Poll::new()?);
/// assert_eq!(event_loop.caps().completions, Completions::HelperThreads);
/// let event_loop: Loop<()> = Loop::with_backend(Epoll::with_completions(Completions::HelperThreads)?);
/// assert_eq!(event_loop.caps().completions, Completions::HelperThreads);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completions {
    /// The backend, in the kernel; helper threads make [calls](crate::op::Call), and what the kernel does worse than
    /// they: see [`Epoll`].
    Backend,
    /// Threads beside the loop, started with the first operation.
    HelperThreads,
}

/// What a backend can do.
///
/// ```
/// use becket_loop::{Loop, backend::{Epoll, Poll}};
///
/// let by_epoll: Loop<()> = Loop::with_backend(Epoll::new()?);
/// let by_poll: Loop<()> = Loop::with_backend(Poll::new()?);
/// assert!(by_epoll.caps().edge && !by_poll.caps().edge);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caps {
    /// The backend's name.
    pub name: &'static str,
    /// Whether [`Mode::Edge`] is supported.
    pub edge: bool,
    /// Whether [`Ready::PRI`] can be watched for, and is told apart from [`Ready::READ`].
    pub pri: bool,
    /// Whether [`Ready::RDHUP`] is.
    pub rdhup: bool,
    /// Whether [`Flags`](crate::Flags) are supported.
    pub flags: bool,
    /// Whether the whole set has a descriptor, so that the loop can stand in another one.
    pub embed: bool,
    /// Whether regular files are accepted (and always ready); epoll refuses them with `EPERM`.
    pub regular_files: bool,
    /// Who carries out submitted operations.
    pub completions: Completions,
    /// Whether small reads of what is in memory are made on the spot, where few are submitted in a turn: see
    /// [`Epoll`].
    pub reads_on_the_spot: bool,
}

/// Ends a backend's wait, from any thread: now or, when none is under way, the next one.
///
/// ```
/// use becket_loop::backend::{Backend, Batch, Poll};
///
/// let mut poll = Poll::new()?;
/// poll.waker().wake();
/// poll.wait(&mut Batch::default(), None)?; // returns at once
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Waker {
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Waker {
        Waker { wake: Arc::new(wake) }
    }

    /// Ends the wait. Several calls before it ends may count as one.
    pub fn wake(&self) {
        (self.wake)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

/// Takes descriptors out of a backend, from any thread; see [`Ctx::detach`](crate::Ctx::detach).
///
/// ```
/// # #![allow(unsafe_code)]
/// use becket_loop::{Ctx, Loop, Mode, Next, Plain, Ready};
/// use becket_sys::event::Event;
/// use std::os::fd::AsFd;
///
/// fn never(calls: &mut u32, _: &mut Ctx<u32>, _: u64, _: Ready) -> Next {
///     *calls += 1;
///     Next::Keep
/// }
///
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// let event = Event::new()?;
/// let handler = Plain { call: never, data: 0 };
/// // SAFETY: forgotten below, before it is closed.
/// let id = unsafe { event_loop.add_borrowed(event.as_fd(), Ready::READ, Mode::Level, handler)? };
/// let detach = event_loop.detach().unwrap(); // epoll has it
/// std::thread::scope(|s| s.spawn(|| detach.delete(event.as_fd())).join().unwrap());
/// event_loop.forget(id);
///
/// event.add(1)?;
/// let mut calls = 0;
/// event_loop.turn(&mut calls, Some(std::time::Duration::ZERO)).unwrap();
/// assert_eq!(calls, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Detach {
    delete: Arc<dyn Fn(Fd<'_>) + Send + Sync>,
}

impl Detach {
    /// A detach that calls `delete`.
    pub fn new(delete: impl Fn(Fd<'_>) + Send + Sync + 'static) -> Detach {
        Detach { delete: Arc::new(delete) }
    }

    /// Ends the registration of `fd`, which is still open: no wait that begins after this reports it. What the loop
    /// has found already may still be told. Does nothing where it is not registered.
    pub fn delete(&self, fd: Fd<'_>) {
        (self.delete)(fd);
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").finish_non_exhaustive()
    }
}

/// What the loop needs of a system that waits.
///
/// The loop calls it from one thread, removes a descriptor before it closes it, and adds none twice. Events of
/// removed registrations may still come: their keys are stale, and the loop drops them.
///
/// # Safety
/// At the end of an operation the loop frees what it works on, and takes its result for the system's answer: for a new
/// descriptor, say. So an implementation promises
///
/// - to push [`Event::Done`] only for an operation that [`submit`](Self::submit) took, once, when the system no longer
///   works on it, with what it returned;
/// - to hand back from `submit` the very operation that it was given, or none;
/// - to be dropped only when no operation is under way: its destructor waits for them, unless in a child process, where
///   it was [told](Self::abandon) that they are the parent's.
///
/// One that leaves `submit` as it is and pushes only [`Event::Ready`] keeps all of that, whatever else it does.
///
/// ```
/// use becket_loop::{Mode, Ready, backend::{Backend, Batch, Epoll, Event, Key}};
/// use becket_sys::event;
/// use std::os::fd::AsFd;
///
/// let mut backend = Epoll::new()?;
/// let source = event::Event::new()?;
/// backend.add(source.as_fd(), Key::new(1, 0), Ready::READ, Mode::Level)?;
/// source.add(1)?;
/// let mut batch = Batch::default();
/// backend.wait(&mut batch, None)?;
/// assert!(matches!(batch.drain().next(), Some(Event::Ready { key, .. }) if key.slot() == 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[allow(unsafe_code, reason = "to implement it is to promise how operations end")]
pub unsafe trait Backend {
    /// What this backend can do.
    fn caps(&self) -> Caps;

    /// Registers `fd`.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) for what [`caps`](Self::caps) denies; the system's own errors.
    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()>;

    /// Changes what a registered `fd` is watched for; arms a one-shot one again.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()>;

    /// Ends the registration of `fd`: nothing of it is reported any more, failure and hang-up included.
    ///
    /// # Errors
    /// Where `fd` is not registered.
    fn remove(&mut self, fd: Fd<'_>, key: Key) -> io::Result<()>;

    /// Waits until something is ready or done, the waker is called, or `deadline` is reached (never before it; `None`:
    /// forever; a past one looks once), and appends what was found to `batch`.
    ///
    /// # Errors
    /// The system's own; interruption by a signal is not among them.
    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()>;

    /// Ends waits from other threads.
    fn waker(&self) -> Waker;

    /// Takes descriptors out from other threads; `None`, the default, where only the loop's own thread can.
    fn detach(&self) -> Option<Detach> {
        None
    }

    /// The time by which deadlines are meant. Scripted backends move it by hand.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Comes before [`as_fd`](Self::as_fd) is asked for a descriptor to wait for. The default does nothing.
    ///
    /// # Errors
    /// The system's own.
    fn expose(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What a clock of the system reads, by which timers on other clocks are meant. Those that have a time of their own
    /// answer by that.
    fn clock_now(&self, clock: Clock) -> Duration {
        clock.now()
    }

    /// A descriptor that is readable, until it was read, once a clock of [`clock_now`](Self::clock_now) has moved against
    /// [`now`](Self::now): the time of day was set, or the system has slept.
    ///
    /// # Errors
    /// The system's own.
    fn clock_changes(&self) -> io::Result<OwnedFd> {
        let timer = Timer::new(Clock::Realtime)?;
        let _ = timer.set_cancel_on_set(Duration::MAX, None)?; // nobody has looked at the clock yet
        Ok(timer.into())
    }

    /// The descriptor of the whole set: readable when a wait would find something.
    fn as_fd(&self) -> Option<Fd<'_>> {
        None
    }

    /// Takes an operation, whose end comes as [`Event::Done`] with `key`; or hands it back where this backend carries
    /// out none (or not this one), which is the default. It begins with the next [`start`](Self::start) or
    /// [`wait`](Self::wait) at the latest.
    ///
    /// # Safety
    /// The descriptors that `op` names must stay open, and the memory valid and nobody else's to write (or, for what is
    /// only read from, to change), until its end was pushed, or the backend dropped.
    unsafe fn submit(&mut self, key: Key, op: RawOp) -> Result<(), RawOp> {
        let _ = key;
        Err(op)
    }

    /// Begins the operations that were taken and have not begun. A wait does so, too; this is for when a foreign loop
    /// waits.
    fn start(&mut self) {}

    /// Cancels the operations under way, waits for them, and pushes their ends. It comes last.
    fn close(&mut self, batch: &mut Batch) {
        let _ = batch;
    }

    /// Lets go of what is the parent's, in a child that fork(2) made: the parent goes on with it. From then on nothing
    /// that the two share may be touched, also not by the destructor, which waits for no operation: those under way
    /// are the parent's, and their ends are not pushed here. What they work on is the child's own copy, and may be
    /// freed. It may come several times, and what comes after it is [`reopen`](Self::reopen), or the end.
    ///
    /// The default does nothing: for a backend whose operations all run in helper threads of the loop's, and whose
    /// destructor only closes descriptors.
    fn abandon(&mut self) {}

    /// Begins anew in a child, after [`abandon`](Self::abandon): with nothing registered and no operation, and nothing
    /// shared with the parent. What [`waker`](Self::waker) and [`detach`](Self::detach) handed out works on what is
    /// new.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported), the default, where it cannot; the system's own, after which it may
    /// be tried again.
    fn reopen(&mut self) -> io::Result<()> {
        let why = format!("the backend {} cannot begin anew in a child process", self.caps().name);
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    /// Makes the set anew, with nothing registered in it: it goes on reporting what was taken out of it, as epoll does
    /// with a descriptor that was closed, or exchanged, behind the loop's back while a duplicate of it is open
    /// elsewhere. What [`waker`](Self::waker), [`detach`](Self::detach) and, after [`expose`](Self::expose),
    /// [`as_fd`](Self::as_fd) handed out works on with the new one; operations go on.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported), the default, where that cannot happen, or not be helped; the
    /// system's own. All is as before then.
    fn renew(&mut self) -> io::Result<()> {
        let why = format!("the backend {} cannot forget what was taken out of it", self.caps().name);
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    /// Asks that an operation end early. Its [`Event::Done`] still comes, with `ECANCELED` or with what it did.
    fn cancel(&mut self, key: Key) {
        let _ = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The column of a backend in the table above says what the backend says.
    fn compare(backend: Box<dyn Backend>) {
        let table = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
        let rows: Vec<Vec<&str>> = table.map(|row| row.split('|').map(str::trim).collect()).collect();
        let caps = backend.caps();
        let column = rows[0].iter().position(|name| *name == format!("`{}`", caps.name)).unwrap();
        let says = |what: &str| {
            let row = rows.iter().find(|row| row[0].contains(what)).unwrap_or_else(|| panic!("no row of {what}"));
            row[column]
        };
        let facts = [
            ("Caps::edge", caps.edge),
            ("Caps::pri", caps.pri),
            ("Caps::rdhup", caps.rdhup),
            ("Caps::flags", caps.flags),
            ("Caps::embed", caps.embed),
            ("Caps::regular_files", caps.regular_files),
            ("Backend::detach", backend.detach().is_some()),
        ];
        for (what, has) in facts {
            assert_eq!(says(what), if has { "yes" } else { "no" }, "{what} of {}", caps.name);
        }
        let completions = match caps.completions {
            Completions::Backend => "io_uring",
            Completions::HelperThreads => "threads",
        };
        // Where io_uring is forbidden threads serve.
        assert!(says("Caps::completions") == completions || !ring::is_offered(), "{}", caps.name);
    }

    #[test]
    fn a_loop_whose_turns_are_all_full_keeps_nothing_of_them() {
        let mut event_loop = crate::Loop::new().unwrap();
        for _ in 0..300 {
            let event = becket_sys::event::Event::new().unwrap();
            event.add(1).unwrap();
            let count = |n: &mut u32, _: &mut _, _: &_, _| {
                *n += 1;
                Ok(crate::Next::Keep)
            };
            event_loop.add(event, Ready::READ, Mode::Level, count).unwrap();
        }
        let mut n = 0;
        for _ in 0..100 {
            event_loop.turn(&mut n, None).unwrap();
        }
        assert_eq!(n, 100 * 256);
        assert!(event_loop.batch.ready.capacity() < 1024, "{}", event_loop.batch.ready.capacity());
    }

    #[test]
    fn the_table_of_what_backends_can_do_is_true() {
        compare(Box::new(Epoll::new().unwrap()));
        compare(Box::new(Poll::new().unwrap()));
        compare(Box::new(Scripted::new().0));
        #[cfg(feature = "polling")]
        compare(Box::new(Polling::new().unwrap()));
        #[cfg(feature = "uring")]
        match Uring::new() {
            Ok(uring) => compare(Box::new(uring)),
            Err(e) => println!("SKIP: the_table_of_what_backends_can_do_is_true: no io_uring here: {e}"),
        }
    }
}
