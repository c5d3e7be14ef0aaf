//! Waiting for the first of several descriptors, in a fiber or on a plain thread.

use crate::{Io, Ready};
use becket_sys::epoll::{Epoll, Events, Trigger};
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

/// An epoll set, which is itself a descriptor that is waited for. A descriptor that is closed leaves it.
pub(crate) struct Several {
    set: Io<Epoll>,
    events: Events,
}

impl Several {
    pub(crate) fn new(capacity: usize) -> io::Result<Several> {
        // It has no reads that could block.
        Ok(Several { set: Io::apart(Epoll::new()?), events: Events::with_capacity(capacity) })
    }

    pub(crate) fn add(&self, fd: impl AsFd, key: usize, want: Ready) -> io::Result<()> {
        self.set.get_ref().add(fd, key as u64, want, Trigger::empty())
    }

    /// Waits for any of them and says which are ready: none where `deadline` came first.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Vec<usize>> {
        loop {
            if self.set.wait(Ready::READ, deadline)?.is_none() {
                return Ok(Vec::new());
            }
            if self.set.get_ref().look(&mut self.events)? > 0 {
                return Ok(self.events.iter().map(|(key, _)| key as usize).collect());
            }
        }
    }
}
