//! c-ares as a member of the loop: what a program would take along as it is.
//!
//! c-ares calls back in the middle of a call into it, and its crate aborts the process where a callback panics. The
//! callbacks write down what they are told, and nothing else.

use becket_loop::c_library::FdTable;
use becket_loop::{Cause, External, Ready, Wishes};
use c_ares::{AAAAResults, AResults, Channel, Error, Options};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Queries under way. Its events are their answers.
pub(crate) struct Resolver {
    channel: Channel,
    said: Arc<Mutex<Said>>,
    /// Queries that were not yet answered.
    under_way: usize,
    finishing: bool,
}

/// What c-ares' callbacks have said, until the end of the step. Never locked while c-ares is called.
#[derive(Default)]
struct Said {
    fds: FdTable,
    answers: VecDeque<Answer>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) result: Result<Vec<IpAddr>, Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
}

/// After which time to try again where no descriptor was left for a duplicate.
const RETRY: Duration = Duration::from_millis(20);

impl Resolver {
    /// Asks `servers` (`ADDRESS` or `ADDRESS:PORT`) with `options`, whose socket callback is this resolver's.
    pub(crate) fn new(mut options: Options, servers: &[String]) -> Result<Resolver, Error> {
        let said: Arc<Mutex<Said>> = Arc::default();
        let to = Arc::clone(&said);
        options.set_socket_state_callback(move |fd, read, write| note_socket(&mut lock(&to).fds, fd, read, write));
        let mut channel = Channel::with_options(options)?;
        channel.set_servers(servers)?;
        Ok(Resolver { channel, said, under_way: 0, finishing: false })
    }

    /// Asks for addresses. From outside of the library's step, so also in its own closure, by `Ctx::joined`.
    pub(crate) fn ask(&mut self, name: &str, kind: Kind) {
        self.under_way += 1;
        let (to, asked) = (Arc::clone(&self.said), name.to_owned());
        let tell = move |result| lock(&to).answers.push_back(Answer { name: asked, kind, result });
        match kind {
            Kind::A => self.channel.query_a(name, move |result: Result<AResults, Error>| {
                tell(result.map(|found| found.iter().map(|address| address.ipv4().into()).collect()));
            }),
            Kind::Aaaa => self.channel.query_aaaa(name, move |result: Result<AAAAResults, Error>| {
                tell(result.map(|found| found.iter().map(|address| address.ipv6().into()).collect()));
            }),
        }
    }

    /// Leaves the loop when the queries under way have been answered.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }
}

impl External for Resolver {
    type Event = Answer;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        match cause {
            Cause::Ready { token, ready } => {
                let fd = lock(&self.said).fds.fd(token);
                let readable = ready.intersects(Ready::READ | Ready::HUP | Ready::ERR);
                let writable = ready.intersects(Ready::WRITE | Ready::ERR);
                self.channel.process_fd(fd.filter(|_| readable), fd.filter(|_| writable));
            }
            Cause::Failed { token, .. } => lock(&self.said).fds.failed(token),
            // Without a descriptor it sees to what has timed out.
            _ => self.channel.process_fd(None, None),
        }
        // What is not watched is looked at by c-ares itself.
        let unwatched: Vec<_> = lock(&self.said).fds.unwatched().collect();
        for fd in unwatched {
            self.channel.process_fd(Some(fd), Some(fd));
        }
        // It is not told when the time changes, but asked after each call. It counts from now.
        let due = self.channel.timeout(None).map(|after| wishes.now() + after);
        let mut said = lock(&self.said);
        let retry = said.fds.settle(wishes).is_err().then(|| wishes.now() + RETRY);
        wishes.timeout(due.into_iter().chain(retry).min());
        if self.finishing && said.answers.len() == self.under_way {
            wishes.leave(); // once these are handed out
        }
    }

    fn next_event(&mut self) -> Option<Answer> {
        let answer = lock(&self.said).answers.pop_front();
        self.under_way -= usize::from(answer.is_some());
        answer
    }
}

/// Nothing panics while it is locked, and what it holds is whole at any time.
fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(unsafe_code, reason = "c-ares names its sockets by number")]
fn note_socket(fds: &mut FdTable, fd: i32, read: bool, write: bool) {
    let mut want = Ready::empty();
    want.set(Ready::READ, read);
    want.set(Ready::WRITE, write);
    if want.is_empty() {
        fds.forget(fd); // it will be closed
    } else {
        // SAFETY: c-ares names a socket that it has open, and says that neither is wanted before it closes it.
        unsafe { fds.want(fd, want) };
    }
}
