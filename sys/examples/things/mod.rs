//! What the examples `under_*` wait for, each under another loop: one thing of every sort, and each happens once.

#![allow(dead_code, reason = "each example uses some of it")]

use becket_sys::cmsg::{Incoming, Outgoing};
use becket_sys::event::Event;
use becket_sys::inotify::{Inotify, Mask, Options};
use becket_sys::process::Child;
use becket_sys::signal::{Signal, Signals};
use becket_sys::tcp::{Listener, Stream};
use becket_sys::timer::{Clock, Timer, When};
use becket_sys::unix::Seqpacket;
use becket_sys::{Readiness, Ready};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub(crate) struct Things {
    pub(crate) timer: Timer,
    pub(crate) signals: Signals,
    pub(crate) inotify: Inotify,
    pub(crate) event: Event,
    pub(crate) child: Child,
    /// A connection with urgent data: to be polled for [`Ready::PRI`].
    pub(crate) urgent: Stream,
    /// Records, each with a descriptor beside it.
    pub(crate) packets: Seqpacket,
    peer: Stream,
    other_end: Seqpacket,
    dir: PathBuf,
}

pub(crate) trait Descriptor: AsFd + AsRawFd {}

impl<T: AsFd + AsRawFd> Descriptor for T {}

impl Things {
    pub(crate) fn new() -> io::Result<Things> {
        let dir = std::env::temp_dir().join(format!("becket-things-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let inotify = Inotify::new()?;
        inotify.add(&dir, Mask::CREATE, Options::ONLYDIR)?;

        let listener = Listener::bind(([127, 0, 0, 1], 0))?;
        let peer = Stream::connect(listener.local_addr()?)?.finish(None)?;
        listener.wait_ready(Ready::READ, None)?;
        let (urgent, _) = listener.try_accept()?.expect("a connection");

        let (packets, other_end) = Seqpacket::pair()?;

        Ok(Things {
            timer: Timer::new(Clock::Monotonic)?,
            // Before any other thread is there, since threads inherit which signals are blocked.
            signals: Signals::new(Signal::TERM)?,
            inotify,
            event: Event::new()?,
            child: Child::spawn(Command::new("sleep").arg("0.05"))?,
            urgent,
            packets,
            peer,
            other_end,
            dir,
        })
    }

    /// Makes all of it happen, or begin to.
    pub(crate) fn stir(&self) -> io::Result<()> {
        self.timer.set(When::After(Duration::from_millis(10)), None)?;
        self.peer.try_send_urgent(b"!")?;
        std::fs::write(self.dir.join("new"), "")?;
        self.event.add(7)?;
        let (reader, writer) = std::io::pipe()?;
        (&writer).write_all(b"hello")?;
        self.other_end.try_send_with(b"a reader", Outgoing::new().push_fds(&[reader.as_fd()])?)?;
        becket_sys::process::PidFd::open(std::process::id())?.send_signal(Signal::TERM)
    }

    /// Each with what to poll it for.
    pub(crate) fn all(&self) -> [(&dyn Descriptor, Ready); 7] {
        let interest = |readiness: Readiness| readiness.interest().expect("a kind that can be polled");
        [
            (&self.timer, interest(Timer::READINESS)),
            (&self.signals, interest(Signals::READINESS)),
            (&self.inotify, interest(Inotify::READINESS)),
            (&self.event, interest(Event::READINESS)),
            (&self.child, interest(Child::READINESS)),
            (&self.urgent, Ready::PRI),
            (&self.packets, interest(Seqpacket::READINESS)),
        ]
    }

    /// A record, with what the descriptor that came with it has to say.
    pub(crate) fn try_packet(&self) -> io::Result<Option<(String, String)>> {
        let (mut buf, mut control) = ([0; 64], Incoming::for_fds(1));
        let Some(received) = self.packets.try_recv_with(&mut buf, &mut control)? else { return Ok(None) };
        let [reader] = control.take_exactly()?;
        let mut text = String::new();
        std::fs::File::from(reader).read_to_string(&mut text)?;
        Ok(Some((String::from_utf8_lossy(&buf[..received.len()]).into_owned(), text)))
    }

    /// Takes what made the one with this place in [`all`](Self::all) ready; false where there was nothing.
    pub(crate) fn take(&self, place: usize) -> io::Result<bool> {
        match place {
            0 => said("timer", self.timer.try_read()),
            1 => said("signal", self.signals.try_read()),
            2 => said("inotify", self.inotify.try_read()),
            3 => said("event", self.event.try_read()),
            4 => said("child", self.child.try_wait()),
            5 => said("urgent", self.urgent.try_recv_urgent()),
            6 => said("packet", self.try_packet()),
            _ => panic!("there is no {place}"),
        }
    }
}

impl Drop for Things {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Prints what was read, if anything was.
pub(crate) fn said(name: &str, read: io::Result<Option<impl Debug>>) -> io::Result<bool> {
    let read = read?;
    if let Some(it) = &read {
        println!("{name}: {it:?}");
    }
    Ok(read.is_some())
}
