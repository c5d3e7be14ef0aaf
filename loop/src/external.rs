//! Foreign libraries with descriptors and a timeout of their own.

use crate::backend::{Fd, Key};
use crate::ctx::{Kind, TimerCall};
use crate::remote::Nudges;
use crate::watched::{Io, Watch, Who};
use crate::{Ctx, Id, Mode, Next, Ready, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

/// A library (in C or not) that brings its own descriptors, which may come and go and whose interest may change, and
/// one timeout: libmosquitto, libcurl, c-ares, libpq, sd-bus. [`c_library`](crate::c_library) is the chapter on how to
/// bring one.
///
/// The loop calls [`step`](Self::step) whenever something happened, and [`next_event`](Self::next_event) until there is
/// none, handing each event to the user's closure: no code of the user's runs inside the library, and none is on the
/// stack when the closure adds to or takes from the library again. It is never stepped while it is being stepped.
///
/// # What the loop promises, and what the library does
///
/// - Whatever is watched is watched by a duplicate of the loop's own. The library may close its descriptor before the
///   loop hears of it, and the number may come back for another one: nothing is misdelivered. The peer of a socket sees
///   it closed when the duplicate is closed, too: by [`unwatch`](Wishes::unwatch), or by leaving.
/// - What was found ready before its token was unwatched, or watched anew, is not delivered any more.
/// - A token is the library's own name for a descriptor. Use each once, for a number of the kernel's is used again;
///   [`FdTable`](crate::c_library::FdTable) keeps such names for libraries that speak in numbers.
/// - The timeout is never early, is unset before it is told of, and is as exact as the loop's timers.
/// - Where the library panics in `step` or in `next_event`, it is dropped with all it watches, and the panic goes on out
///   of [`turn`](crate::Loop::turn). It must not unwind through frames of C to get there.
/// - Where the user's closure fails, the library stays, and its next event is handed out as if nothing had happened.
///
/// ```
/// use becket_loop::{Cause, External, Loop, Mode, Next, Ready, Wishes};
/// use std::io::{PipeReader, PipeWriter, Read, Write};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// /// A "library" that reads a pipe into which it wrote, and then gives up after a timeout.
/// struct Library { reader: PipeReader, writer: PipeWriter, events: Vec<String> }
///
/// impl External for Library {
///     type Event = String;
///     fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
///         match cause {
///             Cause::Joined => {
///                 wishes.watch(7, self.reader.as_fd(), Ready::READ, Mode::Level).unwrap();
///                 self.writer.write_all(b"hi").unwrap();
///             }
///             Cause::Ready { token: 7, .. } => {
///                 let mut buf = [0; 2];
///                 self.reader.read_exact(&mut buf).unwrap();
///                 self.events.push(String::from_utf8_lossy(&buf).into());
///                 wishes.timeout(Some(wishes.now() + Duration::from_millis(2)));
///             }
///             Cause::Timeout => {
///                 self.events.push("timeout".into());
///                 wishes.leave();
///             }
///             _ => {}
///         }
///     }
///     fn next_event(&mut self) -> Option<String> {
///         (!self.events.is_empty()).then(|| self.events.remove(0))
///     }
/// }
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut event_loop: Loop<Vec<String>> = Loop::new()?;
/// event_loop.join(Library { reader, writer, events: Vec::new() }, |log, _, event| {
///     log.push(event);
///     Ok(Next::Keep)
/// });
/// let mut log = Vec::new();
/// event_loop.run(&mut log)?;
/// assert_eq!(log, ["hi", "timeout"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # A source of several parts
///
/// It is also how a source is made of several: a protocol with a connection and a timer, say. It owns its parts,
/// watches them under names of its choice, and its events are those of the whole. The user calls it by
/// [`Ctx::joined`](crate::Ctx::joined), in its own closure, too.
///
/// ```
/// use becket_loop::{Cause, External, Id, Loop, Mode, Next, Ready, Wishes};
/// use becket_sys::unix::Stream;
/// use std::collections::VecDeque;
/// use std::io::{self, Read, Write};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// /// A connection that asks when nothing comes, and gives up when that does not help.
/// struct Link { stream: Stream, asked: bool, events: VecDeque<Said> }
///
/// #[derive(Debug, PartialEq)]
/// enum Said { Bytes(Vec<u8>), Silent }
///
/// const PATIENCE: Duration = Duration::from_millis(2);
///
/// impl Link {
///     fn new(stream: Stream) -> Link {
///         Link { stream, asked: false, events: VecDeque::new() }
///     }
///     fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
///         (&self.stream).write_all(bytes)
///     }
/// }
///
/// impl External for Link {
///     type Event = Said;
///     fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
///         match cause {
///             Cause::Joined => wishes.watch(0, self.stream.as_fd(), Ready::READ, Mode::Level).unwrap(),
///             Cause::Timeout if self.asked => {
///                 self.events.push_back(Said::Silent);
///                 return wishes.leave();
///             }
///             Cause::Timeout => self.asked = self.send(b"?").is_ok(),
///             Cause::Ready { .. } => {
///                 let mut buf = [0; 64];
///                 let n = (&self.stream).read(&mut buf).unwrap_or(0);
///                 self.events.push_back(Said::Bytes(buf[..n].to_vec()));
///                 self.asked = false;
///             }
///             _ => return, // nudged: the user has called
///         }
///         wishes.timeout(Some(wishes.now() + PATIENCE));
///     }
///     fn next_event(&mut self) -> Option<Said> {
///         self.events.pop_front()
///     }
/// }
///
/// #[derive(Default)]
/// struct State { link: Option<Id<Link>>, log: Vec<Said> }
///
/// let (near, far) = Stream::pair()?;
/// let mut event_loop: Loop<State> = Loop::new()?;
/// let id = event_loop.join(Link::new(near), |state, ctx, said| {
///     if let (Said::Bytes(_), Some(link)) = (&said, state.link.and_then(|id| ctx.joined(id))) {
///         link.send(b"thanks")?;
///     }
///     state.log.push(said);
///     Ok(Next::Keep)
/// });
/// (&far).write_all(b"hello")?;
/// let mut state = State { link: Some(id), ..State::default() };
/// event_loop.run(&mut state)?;
/// assert_eq!(state.log, [Said::Bytes(b"hello".into()), Said::Silent]);
/// let mut heard = [0; 16];
/// let n = (&far).read(&mut heard)?;
/// assert_eq!(&heard[..n], b"thanks?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait External: 'static {
    /// What the library has to tell the user.
    type Event;

    /// Does the library's work for `cause`: a bounded amount of it, and never blocking. What it wants from the loop
    /// from now on it says by `wishes`; what it does not mention stays as it was.
    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause);

    /// The next event for the user, until `None`.
    fn next_event(&mut self) -> Option<Self::Event>;
}

/// Why an [`External`] is stepped.
///
/// ```
/// use becket_loop::{Cause, Ready};
///
/// let cause = Cause::Ready { token: 5, ready: Ready::READ };
/// assert!(matches!(cause, Cause::Ready { token: 5, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It has just joined the loop.
    Joined,
    /// The descriptor that it watches under `token` is ready.
    Ready {
        /// The name it gave to the descriptor.
        token: u64,
        /// The raw mask.
        ready: Ready,
    },
    /// Its timeout is reached, never before; the timeout is then unset.
    Timeout,
    /// What it asked for by [`Wishes::set`] could not be done: nothing is heard of `token` until it is set again, or
    /// watched anew. The error also goes where errors of callbacks go.
    Failed {
        /// The name it gave to the descriptor.
        token: u64,
        /// [`Unsupported`](io::ErrorKind::Unsupported) where the backend has no such mode.
        why: io::ErrorKind,
    },
    /// Somebody called [`Nudge::now`], or it asked by [`Wishes::again`].
    Nudged,
}

/// What an [`External`] asks of the loop while it is stepped.
///
/// ```
/// use becket_loop::{Cause, External, Wishes};
///
/// struct Silent;
/// impl External for Silent {
///     type Event = ();
///     fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
///         assert_eq!(cause, Cause::Joined);
///         wishes.leave();
///     }
///     fn next_event(&mut self) -> Option<()> {
///         None
///     }
/// }
/// let mut event_loop: becket_loop::Loop<()> = becket_loop::Loop::new()?;
/// event_loop.join(Silent, |_, _, _| Ok(becket_loop::Next::Keep));
/// assert_eq!(event_loop.run(&mut ())?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Wishes<'a> {
    inner: &'a mut dyn Wish,
}

impl fmt::Debug for Wishes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wishes").finish_non_exhaustive()
    }
}

/// [`Wishes`] without the loop's state type.
trait Wish {
    fn watch(&mut self, token: u64, fd: Fd<'_>, want: Ready, mode: Mode) -> io::Result<()>;
    fn watched(&mut self, token: u64) -> Option<Key>;
    fn set(&mut self, key: Key, want: Ready, mode: Mode);
    fn unwatch(&mut self, token: u64) -> bool;
    fn timeout(&mut self, at: Option<Instant>);
    fn leave(&mut self);
    fn nudge(&self) -> Nudge;
    fn now(&self) -> Instant;
}

impl Wishes<'_> {
    /// Watches `fd` under the name `token`. The loop keeps a duplicate of its own (close-on-exec), so the library
    /// may close `fd` when it likes, and its number may come back for something else. What was watched under that
    /// name before is unwatched first.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left; those of [`Ctx::add`]: the token then names nothing.
    pub fn watch(&mut self, token: u64, fd: Fd<'_>, want: Ready, mode: Mode) -> io::Result<()> {
        self.inner.unwatch(token);
        self.inner.watch(token, fd, want, mode)
    }

    /// Changes what `token` is watched for, from the next wait on; empty interest still reports failure and hang-up.
    /// Arms a one-shot one again. Returns whether it is watched. What cannot be done then is told by
    /// [`Cause::Failed`].
    pub fn set(&mut self, token: u64, want: Ready, mode: Mode) -> bool {
        let key = self.inner.watched(token);
        if let Some(key) = key {
            self.inner.set(key, want, mode);
        }
        key.is_some()
    }

    /// No longer watches `token`: the duplicate is deleted from the set and closed at once. Returns whether it was
    /// watched.
    pub fn unwatch(&mut self, token: u64) -> bool {
        self.inner.unwatch(token)
    }

    /// Sets the one timeout, instead of the one before; `None`: there is none. A time in the past is reached at once.
    pub fn timeout(&mut self, at: Option<Instant>) {
        self.inner.timeout(at);
    }

    /// Asks for another step in the next turn, which does not wait: there is more to do, but others come first.
    pub fn again(&mut self) {
        self.nudge().now();
    }

    /// The loop's time.
    pub fn now(&self) -> Instant {
        self.inner.now()
    }

    /// A handle by which this library is stepped from anywhere.
    pub fn nudge(&self) -> Nudge {
        self.inner.nudge()
    }

    /// Leaves the loop, and is dropped, after the events that it still has were handed out.
    pub fn leave(&mut self) {
        self.inner.leave();
    }
}

/// Has an [`External`] stepped ([`Cause::Nudged`]) before the loop waits the next time: for calls of the user into the
/// library, and for other threads, whose call ends a wait that is under way. Several calls may count as one; once the
/// library has left the loop they do nothing.
///
/// ```
/// use becket_loop::Nudge;
///
/// fn send_and_sync<T: Send + Sync + Clone>() {}
/// send_and_sync::<Nudge>();
/// ```
#[derive(Debug, Clone)]
pub struct Nudge {
    key: Key,
    nudges: Arc<Nudges>,
}

impl Nudge {
    /// Asks for a step.
    pub fn now(&self) {
        self.nudges.push(self.key);
    }
}

/// A library that has joined, with the user's closure.
pub(crate) struct ExternalEntry<S> {
    /// Taken out while it is stepped, but not while the user is told.
    pub(crate) lib: Option<Box<dyn Any>>,
    /// Taken out during both.
    pub(crate) joined: Option<Box<dyn Joined<S>>>,
    /// What it watches: its names and our registrations.
    pub(crate) watches: BTreeMap<u64, Key>,
    pub(crate) timer: Key,
    /// Whether it was not stepped yet.
    pub(crate) is_new: bool,
    leaving: bool,
}

/// What knows the type of the library.
pub(crate) trait Joined<S> {
    fn step(&mut self, lib: &mut dyn Any, wishes: &mut Wishes<'_>, cause: Cause);
    /// Hands one event to the user; `None` where there is none.
    fn tell(&mut self, s: &mut S, ctx: &mut Ctx<S>, key: Key) -> Option<Result>;
}

struct Told<L, F> {
    f: F,
    lib: PhantomData<fn(L)>,
}

impl<S: 'static, L: External, F: FnMut(&mut S, &mut Ctx<S>, L::Event) -> Result> Joined<S> for Told<L, F> {
    fn step(&mut self, lib: &mut dyn Any, wishes: &mut Wishes<'_>, cause: Cause) {
        let lib = lib.downcast_mut::<L>();
        lib.into_iter().for_each(|lib| lib.step(wishes, cause));
    }

    fn tell(&mut self, s: &mut S, ctx: &mut Ctx<S>, key: Key) -> Option<Result> {
        let lib = ctx.external(key)?.lib.as_mut()?;
        let event = lib.downcast_mut::<L>()?.next_event()?;
        Some((self.f)(s, ctx, event))
    }
}

/// One external's view of the loop while it is stepped.
struct Stepping<'a, S> {
    ctx: &'a mut Ctx<S>,
    key: Key,
}

impl<S: 'static> Stepping<'_, S> {
    fn entry(&mut self) -> Option<&mut ExternalEntry<S>> {
        self.ctx.external(self.key)
    }
}

impl<S: 'static> Wish for Stepping<'_, S> {
    fn watch(&mut self, token: u64, fd: Fd<'_>, want: Ready, mode: Mode) -> io::Result<()> {
        let who = Who::External(Box::new(Watch { fd: fd.try_clone_to_owned()?, of: self.key, token }));
        let watch = self.ctx.register(Io::new(who, want, mode)).map_err(|(_, e)| e)?;
        let entry = self.entry().expect("what is stepped is in the table");
        entry.watches.insert(token, watch);
        Ok(())
    }

    fn watched(&mut self, token: u64) -> Option<Key> {
        self.entry()?.watches.get(&token).copied()
    }

    fn set(&mut self, key: Key, want: Ready, mode: Mode) {
        self.ctx.set_interest(key, want, mode);
        self.ctx.enable_key(key, true);
    }

    fn unwatch(&mut self, token: u64) -> bool {
        let Some(watch) = self.entry().and_then(|entry| entry.watches.remove(&token)) else { return false };
        drop(self.ctx.take_out(watch));
        true
    }

    fn timeout(&mut self, at: Option<Instant>) {
        let Some(timer) = self.entry().map(|entry| entry.timer) else { return };
        match at {
            Some(at) => self.ctx.arm_key(timer, at),
            None => self.ctx.disarm_key(timer),
        };
    }

    fn leave(&mut self) {
        if let Some(entry) = self.entry() {
            entry.leaving = true;
        }
    }

    fn nudge(&self) -> Nudge {
        Nudge { key: self.key, nudges: self.ctx.nudges() }
    }

    fn now(&self) -> Instant {
        self.ctx.now()
    }
}

impl<S: 'static> Ctx<S> {
    /// Takes in a foreign library, or a source of several parts; `f` gets its events. It keeps the loop alive until it
    /// leaves, or is [cancelled](Self::cancel), which drops it, or [removed](Self::remove), which hands it back.
    ///
    /// It is stepped for the first time ([`Cause::Joined`]) before the loop waits the next time. An error of `f` goes
    /// where errors of callbacks go, and the library stays; so do all answers of `f` but [`Next::Remove`].
    pub fn join<L: External>(
        &mut self,
        lib: L,
        f: impl FnMut(&mut S, &mut Ctx<S>, L::Event) -> Result + 'static,
    ) -> Id<L> {
        let timer = self.insert_timer(TimerCall::External(None));
        let joined: Box<dyn Joined<S>> = Box::new(Told { f, lib: PhantomData::<fn(L)> });
        let (lib, joined, watches) = (Some(Box::new(lib) as _), Some(joined), BTreeMap::new());
        let entry = ExternalEntry { lib, joined, watches, timer, is_new: true, leaving: false };
        let key = self.insert(Kind::External(Box::new(entry)));
        if let Some(TimerCall::External(of)) = self.timer_mut(timer) {
            *of = Some(key);
        }
        self.note_joined(key);
        Id::new(key)
    }

    /// Lends what has joined, to be called, also inside its own closure. It is stepped ([`Cause::Nudged`]) before the
    /// loop waits the next time. `None` where the id is stale. To look at it only, use [`get`](Self::get).
    ///
    /// See [`External`] for an example.
    pub fn joined<L: External>(&mut self, id: Id<L>) -> Option<&mut L> {
        let nudges = self.nudges();
        let lib = self.external(id.key)?.lib.as_mut()?.downcast_mut()?;
        nudges.push(id.key);
        Some(lib)
    }

    /// Steps an external and hands out its events.
    pub(crate) fn step_external(&mut self, s: &mut S, key: Key, cause: Cause) {
        let Some(entry) = self.external(key) else { return };
        let Some(mut joined) = entry.joined.take() else { return };
        let Some(mut lib) = entry.lib.take() else { return };
        self.protected(s, key, |_, ctx| {
            let mut stepping = Stepping { ctx, key };
            joined.step(&mut *lib, &mut Wishes { inner: &mut stepping }, cause);
        });
        let Some(entry) = self.external(key) else { return };
        entry.lib = Some(lib);
        while let Some(told) = self.protected(s, key, |s, ctx| joined.tell(s, ctx, key)) {
            match told {
                Ok(Next::Remove) => drop(self.take_out(key)),
                Ok(_) => {}
                Err(e) => {
                    // The closure is out of its place: a panic of the error hook must not lose it.
                    let told = catch_unwind(AssertUnwindSafe(|| self.fault(s, Some(key), e)));
                    if let Err(panic) = told {
                        if let Some(entry) = self.external(key) {
                            entry.joined = Some(joined);
                            self.nudges.push(key); // for the events that it still has
                        }
                        resume_unwind(panic);
                    }
                }
            }
        }
        let Some(entry) = self.external(key) else { return };
        if entry.leaving {
            drop(self.take_out(key));
        } else {
            entry.joined = Some(joined);
        }
    }

    pub(crate) fn external(&mut self, key: Key) -> Option<&mut ExternalEntry<S>> {
        match self.entry_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::External(external)) => Some(external),
            _ => None,
        }
    }
}
