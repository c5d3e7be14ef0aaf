use super::{Backend, Batch, Caps, Completions, Detach, Event, Fd, Key, Waker};
use crate::{Mode, Ready};
use becket_sys::epoll::{self, Events, Trigger};
use becket_sys::event;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

/// The word of the waker's registration, which no key has: no slot is ever `u32::MAX`.
const WAKER: u64 = u64::MAX;

/// The backend over epoll(7): the default on Linux.
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
    waker: Arc<event::Event>,
}

impl Epoll {
    /// An empty set that takes up to 1024 events in one wait.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no two descriptors are left, `ENOMEM`.
    pub fn new() -> io::Result<Epoll> {
        let set = Arc::new(epoll::Epoll::new()?);
        let waker = Arc::new(event::Event::new()?);
        // Edge-triggered: each write is reported once, so nobody has to read the counter.
        set.add(&*waker, WAKER, Ready::READ, Trigger::EDGE)?;
        Ok(Epoll { set, events: Events::with_capacity(1024), waker })
    }
}

fn trigger(mode: Mode) -> Trigger {
    match mode {
        Mode::Level => Trigger::empty(),
        Mode::Edge => Trigger::EDGE,
        Mode::OneShot => Trigger::ONE_SHOT,
    }
}

// SAFETY: it takes no operation, and pushes the end of none.
#[allow(unsafe_code, reason = "a promise about operations, of which it has none")]
unsafe impl Backend for Epoll {
    fn caps(&self) -> Caps {
        Caps { name: "epoll", edge: true, embed: true, regular_files: false, completions: Completions::HelperThreads }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.set.add(fd, key.to_u64(), want, trigger(mode))
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.set.modify(fd, key.to_u64(), want, trigger(mode))
    }

    fn remove(&mut self, fd: Fd<'_>, _key: Key) -> io::Result<()> {
        self.set.delete(fd)
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        self.set.wait(&mut self.events, deadline)?;
        for (word, what) in self.events.iter().filter(|(word, _)| *word != WAKER) {
            batch.push(Event::Ready { key: Key::from_u64(word), what });
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let event = Arc::clone(&self.waker);
        Waker::new(move || {
            // A full counter, after 2^64 wakes, is emptied and counted up again; no other error can happen.
            if let Ok(false) = event.add(1) {
                let _ = event.try_read();
                let _ = event.add(1);
            }
        })
    }

    fn detach(&self) -> Option<Detach> {
        let set = Arc::clone(&self.set);
        // Fails only where it is not registered.
        Some(Detach::new(move |fd| drop(set.delete(fd))))
    }

    fn as_fd(&self) -> Option<Fd<'_>> {
        Some(self.set.as_fd())
    }
}
