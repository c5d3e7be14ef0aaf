//! The machine as a member of the loop.

use crate::event::Event;
use crate::machine::{Machine, Takers};
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
    /// What for.
    wanted: Ready,
    /// Whether the loop was found to have no edges.
    is_level: bool,
}

impl Link {
    pub(crate) fn new(machine: Shared, bell: Bell) -> Link {
        Link { machine, bell, watched: None, wanted: Ready::empty(), is_level: false }
    }

    /// Watches the socket that the machine has now.
    fn follow(&mut self, wishes: &mut Wishes<'_>) {
        let mut machine = self.machine.borrow_mut();
        loop {
            // Without edges, what is not read would be told of all the time.
            let is_idle = self.is_level && machine.is_paused() && !machine.wants_write();
            let now = machine.socket().filter(|_| !is_idle);
            match (self.watched, now) {
                (Some((old, mode)), Some((generation, _))) if old == generation => {
                    let want = interest(mode, &machine);
                    if want != self.wanted {
                        self.wanted = want;
                        wishes.set(old, want, mode);
                    }
                    return;
                }
                (Some((old, _)), _) => {
                    wishes.unwatch(old);
                    self.watched = None;
                }
                (None, None) => return,
                (None, Some((generation, fd))) => {
                    let mut mode = Mode::Edge;
                    self.wanted = interest(mode, &machine);
                    let mut done = wishes.watch(generation, fd, self.wanted, mode);
                    if done.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::Unsupported) {
                        mode = Mode::Level;
                        self.is_level = true;
                        self.wanted = interest(mode, &machine);
                        done = wishes.watch(generation, fd, self.wanted, mode);
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

/// What to watch the socket for. The end of what the broker sends is read.
fn interest(mode: Mode, machine: &Machine) -> Ready {
    let mut want = Ready::empty();
    want.set(Ready::READ, !machine.is_paused());
    // With edges always: the library asks for writing at times when it cannot.
    want.set(Ready::WRITE, mode == Mode::Edge || machine.wants_write());
    want
}

impl External for Link {
    type Event = (Event, Takers);

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

    fn next_event(&mut self) -> Option<(Event, Takers)> {
        self.machine.borrow_mut().next_event()
    }
}

impl Drop for Link {
    /// Without a loop nothing would ever be sent or answered again.
    fn drop(&mut self) {
        self.machine.borrow_mut().abandon();
    }
}
