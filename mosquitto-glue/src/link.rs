//! The machine as a member of the loop.

use crate::event::Event;
use crate::machine::Machine;
use crate::reason::Reason;
use becket_loop::{Cause, External, Mode, Nudge, Ready, Wishes};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The machine, as its handles and its membership in the loop share it. It is borrowed for one call into it at a
/// time, and none of these runs code of the program's.
pub(crate) type Shared = Rc<RefCell<Machine>>;

/// The way to have the machine stepped; there from the first step on.
pub(crate) type Bell = Arc<OnceLock<Nudge>>;

pub(crate) struct Link {
    machine: Shared,
    bell: Bell,
    /// The connection that is watched, and how.
    watched: Option<(u64, Mode)>,
}

impl Link {
    pub(crate) fn new(machine: Shared, bell: Bell) -> Link {
        Link { machine, bell, watched: None }
    }

    /// Watches the socket that the machine has now.
    fn follow(&mut self, wishes: &mut Wishes<'_>) {
        let mut machine = self.machine.borrow_mut();
        loop {
            let now = machine.socket();
            match (self.watched, now) {
                (Some((old, mode)), Some((generation, _))) if old == generation => {
                    if mode == Mode::Level {
                        wishes.set(old, level_interest(&machine), Mode::Level);
                    }
                    return;
                }
                (Some((old, _)), _) => {
                    wishes.unwatch(old);
                    self.watched = None;
                }
                (None, None) => return,
                (None, Some((generation, fd))) => {
                    // Edges where the loop has them; the library asks for writing at times when it cannot.
                    let both = Ready::READ | Ready::WRITE;
                    let mut mode = Mode::Edge;
                    let mut done = wishes.watch(generation, fd, both, mode);
                    if done.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::Unsupported) {
                        mode = Mode::Level;
                        done = wishes.watch(generation, fd, level_interest(&machine), mode);
                    }
                    match done {
                        Ok(()) => {
                            self.watched = Some((generation, mode));
                            return;
                        }
                        Err(e) => machine.down(Reason::Os(e.raw_os_error().unwrap_or(libc::EIO))),
                    }
                }
            }
        }
    }
}

/// What to watch the socket for where there are no edges. The end of what the broker sends is read.
fn level_interest(machine: &Machine) -> Ready {
    if machine.wants_write() { Ready::READ | Ready::WRITE } else { Ready::READ }
}

impl External for Link {
    type Event = Event;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        self.bell.get_or_init(|| wishes.nudge());
        let ready = match (cause, self.watched) {
            (Cause::Ready { token, ready }, Some((generation, _))) if token == generation => Some(ready),
            _ => None,
        };
        self.machine.borrow_mut().step(ready);
        self.follow(wishes);
        let machine = self.machine.borrow();
        wishes.timeout(machine.deadline());
        if machine.is_due() {
            wishes.again();
        }
        if machine.is_closed() {
            wishes.leave();
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        self.machine.borrow_mut().next_event()
    }
}

impl Drop for Link {
    /// Without a loop nothing would ever be sent or answered again.
    fn drop(&mut self) {
        self.machine.borrow_mut().abandon();
    }
}
