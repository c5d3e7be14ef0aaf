//! Names by c-ares, which asks the servers itself, on the runtime's own loop.

use super::resolve::no_address;
use crate::park::{Here, Place, Reason, Token, in_callback, place};
use becket_loop::c_library::FdTable;
use becket_loop::{Cause, External, Id, Next, Ready, Remote, Wishes};
use becket_sys::SetupError;
use c_ares::{AddrInfoHints, AddrInfoResults, Channel, Options};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Asks servers for the addresses of names, without a thread: c-ares, with the feature of that name.
///
/// It is an alternative to [`resolve`](super::resolve()), which asks the C library on a thread for each name: there may be
/// any number of lookups under way, and the servers may be chosen. It reads `/etc/resolv.conf` when it is made, and
/// `/etc/hosts` for each name, on the spot. What the C library knows by its plug-ins (nsswitch.conf(5): mDNS, LDAP), it
/// does not know.
///
/// It belongs to the runtime of the fiber that makes it; clones are the same resolver. When the last one is dropped it
/// leaves the loop.
///
/// ```no_run
/// use becket_fiber::{Runtime, net::Resolver, net::TcpStream};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let resolver = Resolver::builder().servers(["192.0.2.53"]).build()?;
///     let addresses = resolver.resolve("broker.example.org:1883")?;
///     TcpStream::connect_addr(addresses[0])
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Resolver {
    joined: Rc<Joined>,
}

/// The settings of a [`Resolver`].
///
/// ```no_run
/// use becket_fiber::{Runtime, net::Resolver};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let builder = Resolver::builder().servers(["192.0.2.53", "[2001:db8::53]:5353"]);
///     let resolver = builder.timeout(Duration::from_secs(1)).tries(2).build()?;
///     assert!(resolver.resolve("127.0.0.1:80").is_ok());
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
#[derive(Debug, Clone, Default)]
pub struct ResolverBuilder {
    servers: Option<Vec<String>>,
    timeout: Option<Duration>,
    tries: Option<u32>,
}

impl ResolverBuilder {
    /// Which servers are asked, each `ADDRESS` or `ADDRESS:PORT`, the address of IPv6 in brackets then; without this, those
    /// of the system.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> ResolverBuilder {
        self.servers = Some(servers.into_iter().map(Into::into).collect());
        self
    }

    /// How long the first try of a server waits for its answer, in milliseconds at the least; later ones wait longer. The
    /// default is that of c-ares: 2 seconds.
    pub fn timeout(mut self, timeout: Duration) -> ResolverBuilder {
        self.timeout = Some(timeout.max(Duration::from_millis(1)));
        self
    }

    /// How often each server is tried, 0 being 1; the default is that of c-ares: 3.
    pub fn tries(mut self, tries: u32) -> ResolverBuilder {
        self.tries = Some(tries.max(1));
        self
    }

    /// Makes the resolver, in the runtime of the fiber that calls.
    ///
    /// # Errors
    /// Step `c-ares`: `InvalidInput` for what is no address of a server; `OutOfMemory`; `Unsupported` where no fiber runs;
    /// `Deadlock` in a callback.
    pub fn build(self) -> Result<Resolver, SetupError> {
        let named = || self.servers.as_ref().map_or_else(|| "resolv.conf".into(), |servers| servers.join(", "));
        self.join().map_err(|e| SetupError::new("c-ares", named(), e))
    }

    fn join(&self) -> io::Result<Resolver> {
        let here = match place() {
            Place::Fiber(here) => here,
            Place::Callback => return Err(in_callback()),
            Place::Thread => return Err(io::Error::new(ErrorKind::Unsupported, "no fiber runs here")),
        };
        let said: Arc<Mutex<Said>> = Arc::default();
        let to = Arc::clone(&said);
        let mut options = Options::new();
        options.set_socket_state_callback(move |fd, read, write| note_socket(&mut lock(&to).fds, fd, read, write));
        self.timeout.map(|timeout| options.set_timeout(timeout));
        self.tries.map(|tries| options.set_tries(tries));
        let mut channel = Channel::with_options(options).map_err(error)?;
        if let Some(servers) = &self.servers {
            let wrong = |e| io::Error::new(ErrorKind::InvalidInput, e);
            channel.set_servers(servers).map_err(wrong)?;
        }
        let queries: Rc<Queries> = Rc::default();
        let waiting = Rc::clone(&queries);
        let library = Ares { channel, said };
        let id = here.core().with_ctx(|ctx| {
            ctx.join(library, move |(), _, answer: Answer| {
                waiting.answer(answer);
                Ok(Next::Keep)
            })
        });
        let (id, core) = (id.ok_or_else(in_callback)?, here.core());
        let joined = Joined { core: core.id, events: (*core.remote).clone(), id, queries, next: Cell::new(0) };
        Ok(Resolver { joined: Rc::new(joined) })
    }
}

/// A resolver's place in its loop, which it leaves when this is dropped.
struct Joined {
    /// Of which scheduler.
    core: u32,
    events: Remote<()>,
    id: Id<Ares>,
    queries: Rc<Queries>,
    /// The number of the next query.
    next: Cell<u64>,
}

impl Drop for Joined {
    fn drop(&mut self) {
        let id = self.id;
        // Later: the loop may be at work, or be turned by nobody at present.
        self.events.post(move |(), ctx| {
            ctx.cancel(id);
            Ok(())
        });
    }
}

impl Resolver {
    /// One that asks the servers of the system.
    ///
    /// # Errors
    /// As [`ResolverBuilder::build`].
    pub fn new() -> Result<Resolver, SetupError> {
        Self::builder().build()
    }

    /// The settings, at their defaults.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::default()
    }

    /// The addresses of `name`, which is `HOST:PORT`: at least one, in the order of RFC 6724. The fiber waits.
    ///
    /// # Errors
    /// As those of [`resolve`](super::resolve()), step `resolve` on the name: `InvalidInput` where it has no port, `NotFound`
    /// where it does not exist or has no address, the resolver's error (`ConnectionRefused` where no server is there, one
    /// that says so where none has answered in time); [`Cancelled`](crate::Cancelled) and `TimedOut`: the query is then
    /// left alone, and its answer dropped; `Unsupported` on another thread, and where no fiber runs; `Deadlock` in a
    /// callback.
    pub fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, SetupError> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let found = self.look_up(name).map_err(|e| SetupError::new("resolve", name, e))?;
        if found.is_empty() { Err(no_address(name)) } else { Ok(found) }
    }

    fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let invalid = |why| io::Error::new(ErrorKind::InvalidInput, why);
        let (host, port) = name.rsplit_once(':').ok_or_else(|| invalid("invalid socket address"))?;
        let port: u16 = port.parse().map_err(|_| invalid("invalid port value"))?;
        let joined = &*self.joined;
        let here = match place() {
            Place::Fiber(here) if here.core().id == joined.core => here,
            Place::Callback => return Err(in_callback()),
            _ => return Err(io::Error::new(ErrorKind::Unsupported, "the resolver is of another runtime")),
        };
        here.check()?;
        let number = joined.next.get();
        joined.next.set(number + 1);
        let asked = here.core().with_ctx(|ctx| ctx.joined(joined.id).map(|library| library.ask(number, host)));
        asked.flatten().ok_or_else(|| io::Error::other("the resolver has left its loop"))?;
        let found = joined.queries.wait(here, number)?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("waiting", &self.joined.queries.0.borrow().len()).finish_non_exhaustive()
    }
}

/// The queries that somebody waits for, by number. Borrowed for moments only.
#[derive(Default)]
struct Queries(RefCell<BTreeMap<u64, Query>>);

#[derive(Default)]
struct Query {
    waiter: Option<Token>,
    answer: Option<io::Result<Vec<IpAddr>>>,
}

impl Queries {
    /// Waits for an answer; whatever ends that, nobody waits for it any more.
    fn wait(&self, here: Here, number: u64) -> io::Result<Vec<IpAddr>> {
        struct Waits<'a>(&'a Queries, u64);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.0.borrow_mut().remove(&self.1);
            }
        }
        let _waits = Waits(self, number);
        loop {
            let wait = here.wait(Reason::new("resolver"));
            {
                let mut queries = self.0.borrow_mut();
                let query = queries.entry(number).or_default();
                if let Some(answer) = query.answer.take() {
                    return answer;
                }
                query.waiter = Some(wait.token());
            }
            let woken = wait.park(None);
            here.event(woken)?;
        }
    }

    fn answer(&self, answer: Answer) {
        let mut queries = self.0.borrow_mut();
        let Some(query) = queries.get_mut(&answer.number) else { return };
        query.answer = Some(answer.found);
        let waiter = query.waiter.take();
        drop(queries);
        waiter.map(|token| token.wake(0));
    }
}

/// c-ares in the loop.
///
/// It calls back in the middle of a call into it, and its crate ends the process where a callback panics. The callbacks
/// write down what they are told, and nothing else.
struct Ares {
    channel: Channel,
    said: Arc<Mutex<Said>>,
}

/// What callbacks have said, until the end of the step. Never locked while c-ares is called.
#[derive(Default)]
struct Said {
    fds: FdTable,
    answers: VecDeque<Answer>,
}

struct Answer {
    number: u64,
    found: io::Result<Vec<IpAddr>>,
}

/// After which time to try again where no descriptor was left for a duplicate.
const RETRY: Duration = Duration::from_millis(20);

impl Ares {
    fn ask(&mut self, number: u64, host: &str) {
        let to = Arc::clone(&self.said);
        // One answer for each address.
        let hints = AddrInfoHints { socktype: libc::SOCK_STREAM, ..AddrInfoHints::default() };
        self.channel.get_addrinfo(host, None, &hints, move |result: c_ares::Result<AddrInfoResults>| {
            let found = result.map_err(error).map(|all| {
                let mut found = Vec::new();
                for ip in all.nodes().filter_map(|node| node.socket_addr()).map(|address| address.ip()) {
                    if !found.contains(&ip) {
                        found.push(ip);
                    }
                }
                found
            });
            lock(&to).answers.push_back(Answer { number, found });
        });
    }
}

impl External for Ares {
    type Event = Answer;

    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        match cause {
            Cause::Ready { token, ready } => {
                let fd = lock(&self.said).fds.fd(token);
                let read = fd.filter(|_| ready.intersects(Ready::READ | Ready::HUP | Ready::ERR));
                let write = fd.filter(|_| ready.intersects(Ready::WRITE | Ready::ERR));
                self.channel.process_fd(read, write);
            }
            Cause::Failed { token, .. } => lock(&self.said).fds.failed(token),
            // Without a descriptor it sees to what is too late.
            _ => self.channel.process_fd(None, None),
        }
        // For what could not be watched it has to look itself.
        let unwatched: Vec<_> = lock(&self.said).fds.unwatched().collect();
        unwatched.into_iter().for_each(|fd| self.channel.process_fd(Some(fd), Some(fd)));
        let due = self.channel.timeout(None).map(|left| wishes.now() + left);
        let settled = lock(&self.said).fds.settle(wishes);
        let retry = settled.is_err().then(|| wishes.now() + RETRY);
        wishes.timeout(due.into_iter().chain(retry).min());
    }

    fn next_event(&mut self) -> Option<Answer> {
        lock(&self.said).answers.pop_front()
    }
}

/// Nothing panics while it is locked, and what it holds is whole at any time.
fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(unsafe_code, reason = "c-ares names its sockets by number")]
fn note_socket(fds: &mut FdTable, fd: i32, read: bool, write: bool) {
    let wanted = [(read, Ready::READ), (write, Ready::WRITE)];
    let want: Ready = wanted.into_iter().filter_map(|(wants, what)| wants.then_some(what)).collect();
    if want.is_empty() {
        fds.forget(fd); // it is about to be closed
    } else {
        // SAFETY: c-ares names a socket that it has open, and says that neither is wanted before it closes it.
        unsafe { fds.want(fd, want) };
    }
}

fn error(e: c_ares::Error) -> io::Error {
    let kind = match e {
        c_ares::Error::ENOTFOUND | c_ares::Error::ENODATA | c_ares::Error::ENONAME => ErrorKind::NotFound,
        c_ares::Error::ECONNREFUSED | c_ares::Error::ENOSERVER => ErrorKind::ConnectionRefused,
        c_ares::Error::EBADNAME => ErrorKind::InvalidInput,
        c_ares::Error::ENOMEM => ErrorKind::OutOfMemory,
        // Not `TimedOut` for its timeout, which says here that a deadline of the fiber's is reached.
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, e)
}
