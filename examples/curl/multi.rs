//! libcurl's multi interface as a member of the loop: what a program would take along as it is.
//!
//! libcurl calls back in the middle of a call into it. The callbacks write down what they are told, and nothing else, so
//! no code of the program's ever runs inside libcurl. That matters: the crate `curl` keeps a panic that it catches in a
//! callback, and calls no callback of the thread any more while it has one.

use becket_loop::c_library::FdTable;
use becket_loop::{Cause, External, Ready, Wishes};
use curl::easy::{Easy2, Handler, WriteError};
use curl::multi::{Easy2Handle, Events, Multi, Socket, SocketEvents};
use curl::{Error, MultiError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Transfers under way. Its events are their ends.
pub(crate) struct Transfers {
    /// Before `multi`: each handle takes itself out of libcurl's when it is dropped, which may call the callbacks, and
    /// these are kept by `multi`.
    running: BTreeMap<usize, Easy2Handle<Body>>,
    multi: Multi,
    said: Arc<Mutex<Said>>,
    /// When libcurl wants to be called in any case.
    due: Option<Instant>,
    last: usize,
    events: VecDeque<Event>,
    finishing: bool,
}

/// What libcurl's callbacks have said, until the end of the step. Never locked while libcurl is called.
#[derive(Default)]
struct Said {
    fds: FdTable,
    timer: Option<Option<Duration>>,
}

/// A transfer, as long as it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(usize);

pub(crate) enum Event {
    /// A transfer has ended. The handle may be used for another.
    Ended { ticket: Ticket, easy: Easy2<Body>, result: Result<(), Error> },
    /// libcurl cannot go on: nothing comes of what was under way.
    Broken(MultiError),
}

/// What a server has sent, up to a limit: beyond it the transfer fails with a write error.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    limit: usize,
}

impl Body {
    pub(crate) fn up_to(limit: usize) -> Body {
        Body { bytes: Vec::new(), limit }
    }
}

impl Handler for Body {
    fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        if data.len() > self.limit - self.bytes.len() {
            return Ok(0);
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }
}

/// After which time to try again where no descriptor was left for a duplicate.
const RETRY: Duration = Duration::from_millis(20);

impl Transfers {
    pub(crate) fn new() -> Result<Transfers, MultiError> {
        let said: Arc<Mutex<Said>> = Arc::default();
        let mut multi = Multi::new();
        let to = Arc::clone(&said);
        multi.socket_function(move |socket, events, _| note_socket(&mut lock(&to).fds, socket, &events))?;
        let to = Arc::clone(&said);
        multi.timer_function(move |after| {
            lock(&to).timer = Some(after);
            true
        })?;
        let (running, events) = (BTreeMap::new(), VecDeque::new());
        Ok(Transfers { running, multi, said, due: None, last: 0, events, finishing: false })
    }

    /// Begins a transfer. From outside of the library's step, so also in its own closure, by `Ctx::joined`.
    pub(crate) fn start(&mut self, easy: Easy2<Body>) -> Result<Ticket, MultiError> {
        let mut handle = self.multi.add2(easy)?;
        self.last += 1;
        handle.set_token(self.last).map_err(|e| MultiError::new(e.code().cast_signed()))?;
        self.running.insert(self.last, handle);
        Ok(Ticket(self.last))
    }

    /// Ends a transfer; `None` where it has ended.
    #[allow(dead_code, reason = "part of what a program needs, if not this one")]
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<Easy2<Body>> {
        self.multi.remove2(self.running.remove(&ticket.0)?).ok()
    }

    /// Leaves the loop when the transfers under way have ended.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Tells libcurl what has happened.
    fn act(&mut self, cause: Cause, now: Instant) -> Result<(), MultiError> {
        if let Cause::Ready { token, ready } = cause {
            let socket = lock(&self.said).fds.fd(token);
            if let Some(socket) = socket {
                self.multi.action(socket, &events(ready))?;
            }
        }
        // What is not watched is looked at by libcurl itself.
        let unwatched: Vec<Socket> = lock(&self.said).fds.unwatched().collect();
        for socket in unwatched {
            self.multi.action(socket, &Events::new())?;
        }
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.multi.timeout()?;
        }
        Ok(())
    }

    /// Takes the transfers that have ended out of libcurl.
    fn collect(&mut self) -> Result<(), MultiError> {
        let mut ended = Vec::new();
        self.multi.messages(|message| {
            let Ok(ticket) = message.token() else { return };
            let Some(handle) = self.running.get(&ticket) else { return };
            ended.extend(message.result_for2(handle).map(|result| (ticket, result)));
        });
        // Not while the messages are read: they belong to libcurl, and go with the handle.
        for (ticket, result) in ended {
            let Some(handle) = self.running.remove(&ticket) else { continue };
            let easy = self.multi.remove2(handle)?;
            self.events.push_back(Event::Ended { ticket: Ticket(ticket), easy, result });
        }
        Ok(())
    }
}

impl External for Transfers {
    type Event = Event;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        if let Cause::Failed { token, .. } = cause {
            lock(&self.said).fds.failed(token);
        }
        if let Err(e) = self.act(cause, wishes.now()).and_then(|()| self.collect()) {
            self.events.push_back(Event::Broken(e));
            return wishes.leave();
        }
        let mut said = lock(&self.said);
        if let Some(after) = said.timer.take() {
            // libcurl keeps quiet when it is called too early. It is not: it counted from before this time.
            self.due = after.map(|after| wishes.now() + after);
        }
        let retry = said.fds.settle(wishes).is_err().then(|| wishes.now() + RETRY);
        wishes.timeout(self.due.into_iter().chain(retry).min());
        if self.finishing && self.running.is_empty() {
            wishes.leave();
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// Nothing panics while it is locked, and what it holds is whole at any time.
fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(unsafe_code, reason = "libcurl names its sockets by number")]
fn note_socket(fds: &mut FdTable, socket: Socket, events: &SocketEvents) {
    let mut want = Ready::empty();
    want.set(Ready::READ, events.input());
    want.set(Ready::WRITE, events.output());
    if want.is_empty() {
        fds.forget(socket); // removed, or nothing to wait for at present
    } else {
        // SAFETY: libcurl names a socket that it has open; before it closes one that it named it says that it is removed,
        // or it is being destroyed, and with it goes the table.
        unsafe { fds.want(socket, want) };
    }
}

fn events(ready: Ready) -> Events {
    let mut events = Events::new();
    events.input(ready.intersects(Ready::READ | Ready::HUP));
    events.output(ready.contains(Ready::WRITE));
    events.error(ready.contains(Ready::ERR));
    events
}
