use super::fork;
use super::{Backend, Batch, Caps, Completions, Event, Fd, Key, Waker};
use crate::{Mode, Ready};
use becket_sys::{event, poll};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

/// The word of the waker's place in the list, which no key has: no slot is ever `u32::MAX`.
const WAKER: u64 = u64::MAX;

/// The bit by which poll(2) says that a number is no open descriptor.
const NOT_OPEN: u32 = 0x20;

/// The backend over poll(2): level-triggered and one-shot, no edges; a wait costs time in proportion to the number of
/// descriptors.
///
/// ```
/// use becket_loop::{Loop, backend::Poll};
///
/// let event_loop: Loop<()> = Loop::with_backend(Poll::new()?);
/// assert_eq!(event_loop.caps().name, "poll");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Poll {
    set: poll::Poll,
    /// The one-shot registrations that are armed.
    one_shot: HashSet<Key>,
    /// The descriptors of those that fired: off the list until they are changed.
    fired: HashSet<RawFd>,
    waker: Arc<event::Event>,
}

impl Poll {
    /// An empty list.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` where no descriptor is left for the waker.
    pub fn new() -> io::Result<Poll> {
        let waker = Arc::new(event::Event::new()?);
        let mut set = poll::Poll::new();
        set.add(&*waker, WAKER, Ready::READ)?;
        Ok(Poll { set, one_shot: HashSet::new(), fired: HashSet::new(), waker })
    }

    fn note_mode(&mut self, key: Key, mode: Mode) {
        match mode {
            Mode::OneShot => self.one_shot.insert(key),
            Mode::Level | Mode::Edge => self.one_shot.remove(&key),
        };
    }
}

fn refuse_edges(mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Edge => Err(io::Error::new(io::ErrorKind::Unsupported, "poll(2) has no edge-triggered mode")),
        Mode::Level | Mode::OneShot => Ok(()),
    }
}

// SAFETY: it takes no operation, and pushes the end of none.
#[allow(unsafe_code, reason = "a promise about operations, of which it has none")]
unsafe impl Backend for Poll {
    fn caps(&self) -> Caps {
        Caps {
            name: "poll",
            edge: false,
            pri: true,
            rdhup: true,
            flags: false,
            embed: false,
            regular_files: true,
            completions: Completions::HelperThreads,
            reads_on_the_spot: false,
        }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        refuse_edges(mode)?;
        if self.fired.contains(&fd.as_raw_fd()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set.add(fd, key.to_u64(), want)?;
        self.note_mode(key, mode);
        Ok(())
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        refuse_edges(mode)?;
        if self.fired.remove(&fd.as_raw_fd()) {
            self.set.add(fd, key.to_u64(), want)?;
        } else {
            self.set.modify(fd, key.to_u64(), want)?;
        }
        self.note_mode(key, mode);
        Ok(())
    }

    fn remove(&mut self, fd: Fd<'_>, key: Key) -> io::Result<()> {
        self.one_shot.remove(&key);
        if self.fired.remove(&fd.as_raw_fd()) { Ok(()) } else { self.set.delete(fd) }
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        self.set.wait(deadline)?;
        let mut off_the_list = Vec::new();
        for (fd, word, what) in self.set.ready_numbers() {
            if word == WAKER {
                self.waker.try_read()?;
                continue;
            }
            let key = Key::from_u64(word);
            let one_shot = self.one_shot.remove(&key);
            if one_shot {
                self.fired.insert(fd);
            }
            // Not open: closed behind the loop's back. epoll forgets such a one; reported for ever, it would spin.
            if one_shot || what.bits() & NOT_OPEN != 0 {
                off_the_list.push(fd);
            }
            batch.push(Event::Ready { key, what });
        }
        for fd in off_the_list {
            self.set.delete_number(fd)?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        fork::exchange(&*self.waker, event::Event::new()?)?;
        self.renew()
    }

    fn renew(&mut self) -> io::Result<()> {
        let mut set = poll::Poll::new();
        set.add(&*self.waker, WAKER, Ready::READ)?;
        self.set = set;
        self.one_shot.clear();
        self.fired.clear();
        Ok(())
    }

    fn waker(&self) -> Waker {
        let event = Arc::clone(&self.waker);
        // `Ok(false)` says that the counter is full: the wait ends anyway. No error can happen.
        Waker::new(move || drop(event.add(1)))
    }
}
