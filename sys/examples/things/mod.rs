//! What the examples `under_*` wait for, each under another loop: some things of several sorts, each of which happens once.

#![allow(dead_code, reason = "each example uses some of it")]

use becket_sys::Ready;
use becket_sys::process::Child;
use becket_sys::signal::{Signal, Signals, send};
use becket_sys::tcp::{Listener, Stream};
use becket_sys::timer::{Clock, Timer, When};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{io, process};

pub(crate) struct Things {
    pub(crate) timer: Timer,
    pub(crate) signals: Signals,
    pub(crate) child: Child,
    pub(crate) urgent: Stream,
    peer: Stream,
}

impl Things {
    /// Call it before the loop starts threads: they inherit which signals are blocked.
    pub(crate) fn new() -> io::Result<Things> {
        let (timer, signals) = (Timer::new(Clock::Monotonic)?, Signals::new(Signal::TERM)?);
        let listener = Listener::bind(([127, 0, 0, 1], 0))?;
        let peer = Stream::connect(listener.local_addr()?)?.finish(None)?;
        listener.wait_ready(Ready::READ, None)?;
        let (urgent, _) = listener.try_accept()?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Things { timer, signals, child: Child::spawn(process::Command::new("sleep").arg("0.05"))?, urgent, peer })
    }

    /// Makes all of it happen, or begin to.
    pub(crate) fn stir(&self) -> io::Result<()> {
        self.timer.set(When::After(Duration::from_millis(10)), None)?;
        self.peer.try_send_urgent(b"!")?;
        send(process::id(), Signal::TERM)
    }

    /// Each with what to poll it for: the `READINESS` of its type, and PRI for urgent data.
    pub(crate) fn all(&self) -> [(BorrowedFd<'_>, Ready); 4] {
        [
            (self.timer.as_fd(), Ready::READ),
            (self.signals.as_fd(), Ready::READ),
            (self.child.as_fd(), Ready::READ),
            (self.urgent.as_fd(), Ready::PRI),
        ]
    }

    /// Takes, and prints, what made the one with this place in [`all`](Self::all) ready; false where there was nothing.
    pub(crate) fn take(&self, place: usize) -> io::Result<bool> {
        let taken = match place {
            0 => self.timer.try_read()?.map(|event| format!("timer: {event:?}")),
            1 => self.signals.try_read()?.map(|info| format!("signal: {}", info.signal())),
            2 => self.child.try_wait()?.map(|status| format!("child: {status}")),
            _ => self.urgent.try_recv_urgent()?.map(|byte| format!("urgent: {:?}", char::from(byte))),
        };
        Ok(taken.map(|text| println!("{text}")).is_some())
    }
}
