use super::fork;
use super::{Backend, Batch, Caps, Completions, Event, Fd, FdNumber, Key, Waker, number};
use crate::{Mode, Ready};
use becket_sys::epoll;
use polling::{Events, PollMode, Poller};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Instant;

/// What this crate can be asked for; failure and hang-up are told unasked.
const WANT: Ready = Ready::READ.union(Ready::WRITE).union(Ready::ERR).union(Ready::HUP);

/// The key of what the set tells of though it is not registered.
const GONE: Key = Key::from_u64(u64::MAX);

/// The backend over the crate `polling` 3, which has epoll here, and kqueue, event ports and IOCP on other systems.
///
/// # What it is for
///
/// Porting: the loop, its timers, posts, deferred work and externals depend on nothing but a backend, and this one's
/// system is the crate's. It shows, on Linux and by the same suite as the others, what is left where there is no epoll.
/// The typed descriptors of `becket-sys` (timerfd, signalfd, pidfd, inotify and so on), [`embed`](crate::Loop::embed)
/// and the other backends remain Linux's. Who is on Linux takes [`Epoll`](super::Epoll): it does more, by one system
/// call a turn instead of five.
///
/// # Honest trouble
///
/// - *It tells less.* [`Ready::PRI`] and [`Ready::RDHUP`] are refused with [`Unsupported`](io::ErrorKind::Unsupported):
///   the crate cannot watch for priority without telling it as readable, and knows no half-closed connections. For the
///   same reason urgent data is told as [`Ready::READ`], and so, to who asked for `READ` or `WRITE`, are failure and
///   hang-up, beside [`Ready::ERR`] and [`Ready::HUP`] where the system shows these.
/// - *Modes* are those that the crate has on the system: all three with epoll and kqueue, elsewhere one-shot alone. The
///   others are refused.
/// - *Regular files* are the system's matter: with epoll they are refused with `EPERM`.
/// - *One-shots* that are armed again, and all other changes of a registration, cost a system call each.
/// - [`detach`](Backend::detach) is `None`, for the crate tells nobody of a set that another thread may change.
///
/// ```
/// use becket_loop::{Loop, Mode, Next, Ready, backend::Polling};
/// use std::io::{ErrorKind, pipe};
///
/// let mut event_loop: Loop<()> = Loop::with_backend(Polling::new()?);
/// let refused = event_loop.add(pipe()?.0, Ready::PRI, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap_err();
/// assert_eq!(refused.error().kind(), ErrorKind::Unsupported);
/// assert_eq!(refused.error().to_string(), "the backend polling cannot watch for Ready(PRI)");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Polling {
    poller: Arc<Poller>,
    /// The poller that wakers wake.
    woken_one: Arc<Mutex<Arc<Poller>>>,
    events: Events,
    /// The numbers by which the poller knows what is registered: each registration has its own.
    names: HashMap<FdNumber, usize>,
    registered: HashMap<usize, (Key, Ready)>,
    next: usize,
    woken: Arc<AtomicBool>,
    /// What outer loops wait for: a poller with the poller in it, which can be exchanged for another.
    shell: Option<Poller>,
    /// Whether the poller is the parent's, in a child that fork(2) made.
    is_parents: bool,
}

impl fmt::Debug for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").field("registered", &self.registered.len()).finish_non_exhaustive()
    }
}

impl Polling {
    /// An empty set.
    ///
    /// # Errors
    /// The crate's, which are the system's: `EMFILE` or `ENFILE` where no three descriptors are left.
    pub fn new() -> io::Result<Polling> {
        let poller = Arc::new(Poller::new()?);
        Ok(Polling {
            woken_one: Arc::new(Mutex::new(Arc::clone(&poller))),
            poller,
            events: Events::new(),
            names: HashMap::new(),
            registered: HashMap::new(),
            next: 0,
            woken: Arc::default(),
            shell: None,
            is_parents: false,
        })
    }

    /// What the crate is asked for.
    fn asked(&self, want: Ready, mode: Mode) -> io::Result<PollMode> {
        let cannot =
            |what: String| Err(io::Error::new(io::ErrorKind::Unsupported, format!("the backend polling {what}")));
        if !WANT.contains(want) {
            return cannot(format!("cannot watch for {:?}", want - WANT));
        }
        match mode {
            Mode::Level if self.poller.supports_level() => Ok(PollMode::Level),
            Mode::Edge if self.poller.supports_edge() => Ok(PollMode::Edge),
            Mode::OneShot => Ok(PollMode::Oneshot),
            Mode::Level | Mode::Edge => cannot(format!("has no mode {mode:?} on this system")),
        }
    }
}

/// Has `shell` ready when `poller` is.
#[allow(unsafe_code, reason = "the crate's way to register")]
fn take_in(shell: &Poller, poller: &Poller) -> io::Result<()> {
    // SAFETY: it is taken out again before it is closed, or `shell` is closed with it.
    unsafe { shell.add_with_mode(poller, polling::Event::readable(0), PollMode::Level) }
}

fn interest(name: usize, want: Ready) -> polling::Event {
    polling::Event::new(name, want.contains(Ready::READ), want.contains(Ready::WRITE))
}

// SAFETY: it takes no operation, and pushes the end of none.
#[allow(unsafe_code, reason = "a promise about operations, of which it has none; and the crate's way to register")]
unsafe impl Backend for Polling {
    fn caps(&self) -> Caps {
        let edge = self.poller.supports_edge();
        Caps {
            name: "polling",
            edge,
            pri: false,
            rdhup: false,
            flags: false,
            embed: edge,
            regular_files: false,
            completions: Completions::HelperThreads,
            reads_on_the_spot: false,
        }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        let mode = self.asked(want, mode)?;
        if self.names.contains_key(&number(&fd)) {
            return Err(Errno::EXIST.into());
        }
        // `usize::MAX` is the crate's own.
        self.next = self.next.wrapping_add(usize::from(self.next == usize::MAX));
        let name = self.next;
        self.next = name.wrapping_add(1);
        // SAFETY: the descriptor is open for the time of the call, and the loop removes it before it is closed. Who
        // calls a backend by hand, and does not, has the system say of a number what is no longer so of its file: as
        // with the other backends that is a wrong answer, and touches no memory.
        unsafe { self.poller.add_with_mode(&fd, interest(name, want), mode)? };
        self.names.insert(number(&fd), name);
        self.registered.insert(name, (key, want));
        Ok(())
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        let mode = self.asked(want, mode)?;
        let name = *self.names.get(&number(&fd)).ok_or(Errno::NOENT)?;
        self.poller.modify_with_mode(fd, interest(name, want), mode)?;
        self.registered.insert(name, (key, want));
        Ok(())
    }

    fn remove(&mut self, fd: Fd<'_>, _key: Key) -> io::Result<()> {
        let name = self.names.remove(&number(&fd)).ok_or(Errno::NOENT)?;
        self.registered.remove(&name);
        self.poller.delete(fd)
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        let before = batch.len();
        loop {
            self.events.clear();
            match deadline {
                Some(deadline) => self.poller.wait_deadline(&mut self.events, deadline)?,
                None => self.poller.wait(&mut self.events, None)?,
            };
            for event in self.events.iter() {
                let Some(&(key, want)) = self.registered.get(&event.key) else {
                    batch.push(Event::Ready { key: GONE, what: Ready::empty() });
                    continue;
                };
                let mut what = Ready::empty();
                what.set(Ready::READ, event.readable && want.contains(Ready::READ));
                what.set(Ready::WRITE, event.writable && want.contains(Ready::WRITE));
                what.set(Ready::HUP, event.is_interrupt());
                what.set(Ready::ERR, event.is_err() == Some(true));
                if !what.is_empty() {
                    batch.push(Event::Ready { key, what });
                }
            }
            let woken = self.woken.swap(false, Ordering::SeqCst);
            if woken || batch.len() > before || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
        }
    }

    fn waker(&self) -> Waker {
        let (poller, woken) = (Arc::clone(&self.woken_one), Arc::clone(&self.woken));
        Waker::new(move || {
            woken.store(true, Ordering::SeqCst);
            // Fails only where a descriptor of the crate's own does.
            let _ = poller.lock().expect("no code panics under this lock").notify();
        })
    }

    fn abandon(&mut self) {
        if std::mem::replace(&mut self.is_parents, true) {
            return;
        }
        // At its end it takes its own descriptors out of its set, which is the parent's, too: let that be another one.
        let own = [Some(&*self.poller), self.shell.as_ref()];
        let exchanged = own.into_iter().flatten().try_for_each(|poller| fork::exchange(poller, epoll::Epoll::new()?));
        if exchanged.is_err() {
            std::mem::forget((Arc::clone(&self.poller), self.shell.take())); // no descriptor is left: these stay open
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let poller = Arc::new(Poller::new()?);
        match self.woken_one.try_lock() {
            Ok(mut woken_one) => *woken_one = Arc::clone(&poller),
            Err(TryLockError::WouldBlock) => {
                let why = "another thread was waking the loop when the process forked";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
            Err(TryLockError::Poisoned(_)) => unreachable!("no code panics under this lock"),
        }
        (self.poller, self.is_parents, self.shell) = (poller, false, None);
        self.names.clear();
        self.registered.clear();
        Ok(())
    }

    fn renew(&mut self) -> io::Result<()> {
        let poller = Arc::new(Poller::new()?);
        poller.notify()?; // who woke the old one meant this
        if let Some(shell) = &self.shell {
            take_in(shell, &poller)?;
            if let Err(e) = shell.delete(&*self.poller) {
                shell.delete(&*poller)?;
                return Err(e);
            }
        }
        *self.woken_one.lock().expect("no code panics under this lock") = Arc::clone(&poller);
        self.poller = poller;
        self.names.clear();
        self.registered.clear();
        Ok(())
    }

    fn expose(&mut self) -> io::Result<()> {
        if self.shell.is_none() && self.poller.supports_edge() {
            let shell = Poller::new()?;
            take_in(&shell, &self.poller)?;
            self.shell = Some(shell);
        }
        Ok(())
    }

    fn as_fd(&self) -> Option<Fd<'_>> {
        self.poller.supports_edge().then(|| self.shell.as_ref().unwrap_or(&self.poller).as_fd())
    }
}
