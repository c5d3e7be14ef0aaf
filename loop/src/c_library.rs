//! Bring your own C library.
//!
//! Many libraries in C do their own input and output and leave the waiting to the program: libcurl, c-ares, libmosquitto,
//! libpq, sd-bus, libssh2. This chapter shows how such a library joins the loop as an [`External`], at the example of one
//! that works as libcurl does. `examples/curl` is the same with libcurl itself, `examples/ares` with c-ares.
//!
//! # What the library must offer
//!
//! - Calls that never block: where something would, the call returns and says what it waits for.
//! - Its descriptors, and what each is to be watched for: by a callback when that changes (libcurl, c-ares), or by
//!   functions to ask after each call (libmosquitto, libpq, sd-bus, libssh2).
//! - Its timeout, if it has one, in the same two ways.
//! - A call that goes on with the work, once a descriptor is ready or the timeout is reached.
//! - Its results: by a function to ask, or by callbacks.
//!
//! What blocks all the same (getaddrinfo(3) inside of a connect, say) has to go to a thread of its own, which then calls
//! [`Nudge::now`](crate::Nudge::now).
//!
//! # The whole of it
//!
//! ```
//! # /// Stands for the library: it answers questions by echoing them over a socket pair, once they were written there.
//! # /// What starts with "?" is never answered, and given up after a time.
//! # mod lib {
//! #     use std::collections::BTreeMap;
//! #     use std::io::{Read, Write};
//! #     use std::os::fd::{AsRawFd, RawFd};
//! #     use std::os::unix::net::UnixStream;
//! #     use std::time::{Duration, Instant};
//! #     pub const IN: i32 = 1;
//! #     pub const OUT: i32 = 2;
//! #     pub const REMOVE: i32 = 4;
//! #     struct Call { id: usize, question: String, near: UnixStream, far: UnixStream, until: Instant }
//! #     type OnSocket = Box<dyn FnMut(RawFd, i32) + Send>;
//! #     type OnTimer = Box<dyn FnMut(Option<Duration>) + Send>;
//! #     pub struct Handle {
//! #         on_socket: OnSocket, on_timer: OnTimer, next: usize,
//! #         calls: BTreeMap<RawFd, Call>, finished: Vec<(usize, Result<String, i32>)>,
//! #     }
//! #     impl Handle {
//! #         pub fn new(
//! #             on_socket: impl FnMut(RawFd, i32) + Send + 'static,
//! #             on_timer: impl FnMut(Option<Duration>) + Send + 'static,
//! #         ) -> Handle {
//! #             let (on_socket, on_timer) = (Box::new(on_socket), Box::new(on_timer));
//! #             Handle { on_socket, on_timer, next: 0, calls: BTreeMap::new(), finished: Vec::new() }
//! #         }
//! #         pub fn ask(&mut self, question: &str) -> usize {
//! #             self.next += 1;
//! #             let (near, far) = UnixStream::pair().unwrap();
//! #             let (id, until) = (self.next, Instant::now() + Duration::from_millis(20));
//! #             let fd = near.as_raw_fd();
//! #             self.calls.insert(fd, Call { id, question: question.into(), near, far, until });
//! #             (self.on_socket)(fd, IN | OUT);
//! #             self.tell_timer();
//! #             id
//! #         }
//! #         pub fn ready(&mut self, fd: RawFd, bits: i32) {
//! #             let Some(call) = self.calls.get_mut(&fd) else { return };
//! #             if bits & OUT != 0 {
//! #                 let said = !call.question.starts_with('?');
//! #                 if said { call.far.write_all(call.question.as_bytes()).unwrap(); }
//! #                 (self.on_socket)(fd, IN);
//! #             } else if bits & IN != 0 {
//! #                 let mut buf = [0; 64];
//! #                 let n = call.near.read(&mut buf).unwrap();
//! #                 self.end(fd, Ok(String::from_utf8_lossy(&buf[..n]).into()));
//! #             }
//! #         }
//! #         pub fn timeout(&mut self) {
//! #             let late: Vec<RawFd> =
//! #                 self.calls.iter().filter(|call| call.1.until <= Instant::now()).map(|call| *call.0).collect();
//! #             late.into_iter().for_each(|fd| self.end(fd, Err(28)));
//! #             self.tell_timer();
//! #         }
//! #         pub fn finished(&mut self) -> Option<(usize, Result<String, i32>)> { self.finished.pop() }
//! #         pub fn running(&self) -> usize { self.calls.len() }
//! #         fn end(&mut self, fd: RawFd, result: Result<String, i32>) {
//! #             (self.on_socket)(fd, REMOVE);
//! #             let call = self.calls.remove(&fd).unwrap(); // closes
//! #             self.finished.push((call.id, result));
//! #         }
//! #         fn tell_timer(&mut self) {
//! #             let next = self.calls.values().map(|call| call.until).min();
//! #             (self.on_timer)(next.map(|next| next.saturating_duration_since(Instant::now())));
//! #         }
//! #     }
//! # }
//! use becket_loop::c_library::FdTable;
//! use becket_loop::{Cause, External, Loop, Next, Ready, Wishes};
//! use std::collections::VecDeque;
//! use std::sync::{Arc, Mutex};
//! use std::time::{Duration, Instant};
//!
//! /// What the library's callbacks have said, for the loop to be told later.
//! #[derive(Default)]
//! struct Said {
//!     fds: FdTable,
//!     timer: Option<Option<Duration>>,
//! }
//!
//! struct Asking {
//!     lib: lib::Handle,
//!     said: Arc<Mutex<Said>>,
//!     /// When the library wants to be called in any case.
//!     due: Option<Instant>,
//!     events: VecDeque<Answer>,
//! }
//!
//! #[derive(Debug, PartialEq)]
//! struct Answer { id: usize, text: Result<String, i32> }
//!
//! impl Asking {
//!     fn new() -> Asking {
//!         let said: Arc<Mutex<Said>> = Arc::default();
//!         let (socket, timer) = (Arc::clone(&said), Arc::clone(&said));
//!         let on_socket = move |fd, bits: i32| {
//!             let fds = &mut socket.lock().unwrap().fds;
//!             let mut want = Ready::empty();
//!             want.set(Ready::READ, bits & lib::IN != 0);
//!             want.set(Ready::WRITE, bits & lib::OUT != 0);
//!             if bits & lib::REMOVE != 0 {
//!                 fds.forget(fd);
//!             } else {
//!                 // SAFETY: the library names a socket that it has open, and says REMOVE before it closes it.
//!                 unsafe { fds.want(fd, want) };
//!             }
//!         };
//!         let on_timer = move |after| timer.lock().unwrap().timer = Some(after);
//!         let lib = lib::Handle::new(on_socket, on_timer);
//!         Asking { lib, said, due: None, events: VecDeque::new() }
//!     }
//!
//!     /// For the user, also in the middle of an answer.
//!     fn ask(&mut self, question: &str) -> usize {
//!         self.lib.ask(question)
//!     }
//! }
//!
//! /// After which time to try again what the system had no room for.
//! const RETRY: Duration = Duration::from_millis(10);
//!
//! impl External for Asking {
//!     type Event = Answer;
//!
//!     fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
//!         // 1. Dispatch: the library is told what has happened.
//!         match cause {
//!             Cause::Ready { token, ready } => {
//!                 let fd = self.said.lock().unwrap().fds.fd(token);
//!                 let mut bits = 0;
//!                 if ready.intersects(Ready::READ | Ready::HUP | Ready::ERR) {
//!                     bits |= lib::IN;
//!                 }
//!                 if ready.intersects(Ready::WRITE | Ready::ERR) {
//!                     bits |= lib::OUT;
//!                 }
//!                 if let Some(fd) = fd {
//!                     self.lib.ready(fd, bits);
//!                 }
//!             }
//!             Cause::Failed { token, .. } => self.said.lock().unwrap().fds.failed(token),
//!             _ => {} // it has joined; the user has called; it is time
//!         }
//!         if self.due.is_some_and(|due| due <= wishes.now()) {
//!             self.due = None;
//!             self.lib.timeout();
//!         }
//!         // 2. After the dispatch: results.
//!         while let Some((id, text)) = self.lib.finished() {
//!             self.events.push_back(Answer { id, text });
//!         }
//!         // 3. Wishes: what the callbacks have said meanwhile.
//!         let mut said = self.said.lock().unwrap();
//!         if let Some(after) = said.timer.take() {
//!             self.due = after.map(|after| wishes.now() + after);
//!         }
//!         let retry = said.fds.settle(wishes).is_err().then(|| wishes.now() + RETRY);
//!         wishes.timeout(self.due.into_iter().chain(retry).min());
//!         if self.lib.running() == 0 {
//!             wishes.leave();
//!         }
//!     }
//!
//!     fn next_event(&mut self) -> Option<Answer> {
//!         self.events.pop_front()
//!     }
//! }
//!
//! let mut asking = Asking::new();
//! asking.ask("how are you");
//! asking.ask("? never answered");
//! let mut event_loop: Loop<Vec<Answer>> = Loop::new()?;
//! event_loop.join(asking, |answers, _, answer| {
//!     answers.push(answer);
//!     Ok(Next::Keep)
//! });
//! let mut answers = Vec::new();
//! event_loop.run(&mut answers)?; // until the library has left
//! assert_eq!(answers[0], Answer { id: 1, text: Ok("how are you".into()) });
//! assert_eq!(answers[1], Answer { id: 2, text: Err(28) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Socket wishes
//!
//! A library that calls back does so in the middle of another call into it, where nothing of the loop is at hand, and
//! nothing should be: the callback writes down what it is told, and the end of the step hands it on. [`FdTable`] is what
//! to write it down in. Between two steps a number may be closed and given to another descriptor, even several times;
//! the table knows such a descriptor for a new one, where a list of "number and interest" would change the interest of
//! the old one and leave the new one unwatched.
//!
//! The loop watches a duplicate of each descriptor, so nothing goes wrong where the library closes first. In exchange a
//! connection ends for its peer only once the duplicate is closed, too: at the end of the step, where the library closes
//! in a step. Where it closes in a call of the user's, that is before the loop waits the next time, since
//! [`Ctx::joined`](crate::Ctx::joined) asks for a step.
//!
//! Level triggering suits libraries that were written for poll(2): they may read less than there is. With edges
//! ([`Mode::Edge`]) all must be read, or [`again`](Wishes::again) be called; libmosquitto is better off with them
//! because it asks for writing when it cannot write, which is ready all the time.
//!
//! A library without callbacks is asked after each call into it: what does it want now? Where it may have replaced its
//! descriptor by another of the same number, only its state tells: count its connections, and use the count as token.
//!
//! # The timer
//!
//! One timeout, set whenever the library says another, is enough, for the library keeps its own list. Three traps:
//!
//! - It speaks of a time from now, and now is when it spoke: take [`Wishes::now`] in the same step. If it speaks outside
//!   of a step, the time until the step is added, which is late, never early.
//! - Zero means "call me at once", but not from inside the callback: a time that has passed is reached in the next turn.
//! - A timeout that is reached is unset: the library has to set it again, unless it is asked in every step.
//!
//! # Dispatch
//!
//! [`Ready::HUP`] and [`Ready::ERR`] come unasked. A library that knows only reading and writing finds out what they mean
//! when it tries: a hang-up is readable, an error is both. Not to pass them on means to be called again at once and for
//! ever. A token whose descriptor was forgotten since has no number any more: [`FdTable::fd`] says `None`.
//!
//! A step does a bounded amount of work. Where the library does all there is in one call, that is its bound; where it
//! offers one packet at a time, do some and ask for another step by [`again`](Wishes::again).
//!
//! # After the dispatch
//!
//! Results become events of [`next_event`](External::next_event), which reach the user's closure after the step, when
//! nothing of the library is on the stack. So the closure may call it: start the next transfer, cancel another, or
//! [take it out of the loop](crate::Ctx::remove). Memory that the library owns (libcurl's messages, rows of libpq) is
//! copied or moved into the event; a reference to it would not outlive the next call.
//!
//! # Closing
//!
//! Dropping the [`External`] closes the library's handles and, with its place in the loop, the duplicates. It is dropped
//! when it [leaves](Wishes::leave), is cancelled, panics, or with the loop. Closing a handle may call callbacks once more,
//! so what they write to must still be there: it is shared, or declared after the handle. A farewell that needs the
//! network (MQTT's DISCONNECT, SSH's) is no matter of a destructor: have a method that begins it, and leave when it is
//! done, or when the timeout is reached.
//!
//! # Errors
//!
//! - Of one transfer: part of the event, with the library's own code.
//! - Of the library as a whole: an event too, and then leave, unless it is usable still.
//! - Of the loop, when it has no descriptor left for a duplicate: [`FdTable::settle`] says so, keeps what it could not
//!   do, and does it when it is called again. Have a short timeout for that, and let the library look for itself
//!   meanwhile, if it can: [`FdTable::unwatched`] says where.
//!
//! # Panics
//!
//! A panic must not unwind through frames of C: `extern "C"` functions of Rust abort the process instead. Bindings differ
//! in what they do: the crate `c-ares` aborts, the crate `curl` keeps the panic of a callback, and calls no callback of
//! that thread any more until it is thrown, which its multi interface never does. So a callback does nothing that can
//! panic: it writes down, and no code of the user's runs there.
//!
//! Panics in `step` and in the user's closure are ordinary ones: the former drops the library, and both come out of
//! [`turn`](crate::Loop::turn).
//!
//! # Re-entrancy
//!
//! Libraries forbid calls into them from their callbacks, in part: libcurl answers with an error, libmosquitto dead-locks
//! on its own mutex, c-ares allows it. None of this arises here, because no code of the user's runs in a callback.
//! [`step`](External::step) is never called while it runs, nor while the user's closure does.
//!
//! # Threads
//!
//! Stepping is the loop's thread's business. Others reach the library by a [`Nudge`](crate::Nudge) and a queue of the
//! glue's own, or by [`Remote::post`](crate::Remote::post) and [`Ctx::joined`](crate::Ctx::joined).
//!
//! # Who plays which part
//!
//! | | descriptors | timeout | dispatch | results |
//! |---|---|---|---|---|
//! | libcurl | `CURLMOPT_SOCKETFUNCTION` | `CURLMOPT_TIMERFUNCTION` | `curl_multi_socket_action` | `curl_multi_info_read` |
//! | c-ares | `ARES_OPT_SOCK_STATE_CB` | `ares_timeout` after each call | `ares_process_fd` | callback of each query |
//! | libmosquitto | `mosquitto_socket`, `mosquitto_want_write` | a second | `mosquitto_loop_read`, `_write`, `_misc` | callbacks |
//! | libpq | `PQsocket`: may change by each `PQconnectPoll` | none: the glue's own | `PQconnectPoll`, `PQconsumeInput`, `PQflush` | `PQgetResult` while not `PQisBusy` |
//! | sd-bus | `sd_bus_get_fd`, `sd_bus_get_events` | `sd_bus_get_timeout`: a point in time | `sd_bus_process` until 0 | callbacks |
//! | libssh2 | the glue's own socket, `libssh2_session_block_directions` | `libssh2_keepalive_send` says | the same call again, after `EAGAIN` | what it returns |
//!
//! A library whose calls are resumed by calling them again (libssh2, TLS libraries) is a state machine of the glue's: the
//! state says which call to repeat. Where that becomes unwieldy, a fiber writes it top to bottom.

use crate::backend::{Fd, FdNumber};
use crate::{Mode, Ready, Wishes};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

#[cfg(doc)]
use crate::External;

/// What a C library said of its descriptors, by number, until the loop is told: for callbacks that come in the middle of
/// a call into the library.
///
/// It gives each descriptor a token of its own, so that a number which was closed and came back is another descriptor.
/// Watching is level-triggered. Keep one table for each [`External`]; what that watches besides may have tokens from
/// `u64::MAX` down.
///
/// ```
/// use becket_loop::c_library::FdTable;
/// use becket_loop::{Cause, External, Loop, Next, Ready, Wishes};
/// use std::io::{PipeReader, PipeWriter, Read, Write};
/// use std::os::fd::AsRawFd;
///
/// struct Library { pipe: (PipeReader, PipeWriter), fds: FdTable, read: Option<u8> }
///
/// impl External for Library {
///     type Event = u8;
///     fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
///         let number = self.pipe.0.as_raw_fd();
///         match cause {
///             // SAFETY: it is open, and this library closes it after it was forgotten.
///             Cause::Joined => unsafe { self.fds.want(number, Ready::READ) },
///             Cause::Ready { token, .. } if self.fds.fd(token) == Some(number) => {
///                 let mut buf = [0];
///                 self.pipe.0.read_exact(&mut buf).unwrap();
///                 self.read = Some(buf[0]);
///                 assert!(self.fds.forget(number) && !self.fds.forget(number));
///                 assert_eq!(self.fds.fd(token), None);
///                 wishes.leave();
///             }
///             _ => {}
///         }
///         self.fds.settle(wishes).expect("a descriptor is left for a duplicate");
///     }
///     fn next_event(&mut self) -> Option<u8> {
///         self.read.take()
///     }
/// }
///
/// let pipe = std::io::pipe()?;
/// (&pipe.1).write_all(b"x")?;
/// let mut event_loop: Loop<u8> = Loop::new()?;
/// event_loop.join(Library { pipe, fds: FdTable::new(), read: None }, |seen, _, byte| {
///     *seen = byte;
///     Ok(Next::Keep)
/// });
/// let mut seen = 0;
/// event_loop.run(&mut seen)?;
/// assert_eq!(seen, b'x');
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias("CURLMOPT_SOCKETFUNCTION", "ARES_OPT_SOCK_STATE_CB"))]
pub struct FdTable {
    /// Those that the library has now. Each is open: who called [`want`](Self::want) promised it.
    fds: BTreeMap<FdNumber, Wanted>,
    /// Tokens that the loop watches and that the library has forgotten.
    gone: Vec<u64>,
    /// Of `fds`, those that the loop has not been told of as they are now.
    unsettled: BTreeSet<FdNumber>,
    next: u32,
}

#[derive(Debug)]
struct Wanted {
    token: u64,
    want: Ready,
    watched: bool,
}

impl FdTable {
    /// An empty table.
    pub fn new() -> FdTable {
        FdTable::default()
    }

    /// Notes that the library wants `fd` watched for `want`, from now on and instead of what it wanted before.
    ///
    /// Where it wants nothing for the time being but keeps the descriptor, [`forget`](Self::forget) it: empty interest
    /// still reports a hang-up, again and again.
    ///
    /// # Safety
    /// `fd` is open, and stays so until it is forgotten, or the table is dropped.
    pub unsafe fn want(&mut self, fd: FdNumber, want: Ready) {
        if let Some(wanted) = self.fds.get_mut(&fd) {
            if wanted.want != want {
                wanted.want = want;
                self.unsettled.insert(fd);
            }
            return;
        }
        // The number says where to find it, the count which of those that had the number it is.
        let token = u64::from(self.next) << 32 | u64::from(fd as u32);
        self.next = self.next.wrapping_add(1);
        self.fds.insert(fd, Wanted { token, want, watched: false });
        self.unsettled.insert(fd);
    }

    /// Notes that the library no longer wants `fd` watched, and may close it. Returns whether it had been wanted.
    pub fn forget(&mut self, fd: FdNumber) -> bool {
        self.unsettled.remove(&fd);
        let wanted = self.fds.remove(&fd);
        if let Some(wanted) = &wanted
            && wanted.watched
        {
            self.gone.push(wanted.token);
        }
        wanted.is_some()
    }

    /// The number of what is watched under `token`; `None` where it was forgotten since, or is none of the table's.
    pub fn fd(&self, token: u64) -> Option<FdNumber> {
        let fd = token as u32 as FdNumber;
        self.fds.get(&fd).filter(|wanted| wanted.token == token).map(|_| fd)
    }

    /// Notes what [`Cause::Failed`](crate::Cause::Failed) said of `token`: it has to be watched anew.
    pub fn failed(&mut self, token: u64) {
        let Some(fd) = self.fd(token) else { return };
        if let Some(wanted) = self.fds.get_mut(&fd) {
            wanted.watched = false;
        }
        self.unsettled.insert(fd);
    }

    /// Tells the loop all that it has not been told yet. At the end of each step.
    ///
    /// # Errors
    /// Those of [`Wishes::watch`], the first of several; everything else was done. What could not be done is tried again
    /// by the next call.
    pub fn settle(&mut self, wishes: &mut Wishes<'_>) -> io::Result<()> {
        for token in self.gone.drain(..) {
            wishes.unwatch(token);
        }
        let mut result = Ok(());
        self.unsettled.retain(|fd| {
            let Some(wanted) = self.fds.get_mut(fd) else { return false };
            if wanted.watched {
                wishes.set(wanted.token, wanted.want, Mode::Level);
                return false;
            }
            // SAFETY: it is in the table, so it is open; see the field.
            let borrowed = unsafe { Fd::borrow_raw(*fd) };
            let watched = wishes.watch(wanted.token, borrowed, wanted.want, Mode::Level);
            wanted.watched = watched.is_ok();
            if result.is_ok() {
                result = watched;
            }
            !wanted.watched
        });
        result
    }

    /// What the library wants watched and the loop does not watch, because the last [`settle`](Self::settle) failed or
    /// there was none since.
    pub fn unwatched(&self) -> impl Iterator<Item = FdNumber> + '_ {
        self.fds.iter().filter(|(_, wanted)| !wanted.watched).map(|(fd, _)| *fd)
    }
}
