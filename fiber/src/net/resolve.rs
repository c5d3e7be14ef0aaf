use crate::over::REST;
use crate::park::{Place, Reason, RemoteToken, in_callback, place};
use crate::sleep;
use becket_sys::SetupError;
use becket_sys::signal::{MaskGuard, SignalSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// How many lookups may be under way in the process: each has a thread.
const MOST: usize = 32;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The addresses of `name`, which is `HOST:PORT`: at least one, in the order of RFC 6724. The resolver of the C library,
/// which blocks, is asked on a thread of its own; an address in numbers needs none.
///
/// Of more than 32 lookups at a time in the process, the others wait for a place. With the feature `c-ares` there is
/// `Resolver` in this module, too, which needs no threads.
///
/// # Errors
/// Step `resolve` on the name: `InvalidInput` where it has no port, the resolver's error, `NotFound` where it has no
/// address, `EAGAIN` where no thread can be started; [`Cancelled`](crate::Cancelled) and `TimedOut`: the resolver is
/// then left alone, and its answer dropped. On a thread that runs no fiber it blocks, whatever the deadline.
///
/// ```
/// use becket_fiber::net::resolve;
///
/// assert_eq!(resolve("127.0.0.1:1883")?, [([127, 0, 0, 1], 1883).into()]);
/// let e = resolve("localhost").unwrap_err();
/// assert_eq!(e.to_string(), "resolve localhost: invalid socket address");
/// # Ok::<(), becket_sys::SetupError>(())
/// ```
#[doc(alias = "getaddrinfo")]
#[doc(alias = "lookup_host")]
pub fn resolve(name: &str) -> Result<Vec<SocketAddr>, SetupError> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let found = look_up(name).map_err(|e| SetupError::new("resolve", name, e))?;
    if found.is_empty() { Err(no_address(name)) } else { Ok(found) }
}

pub(super) fn no_address(name: &str) -> SetupError {
    SetupError::new("resolve", name, io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn addresses(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// What the thread of a lookup leaves, and whom it wakes.
#[derive(Default)]
struct Lookup {
    found: Option<io::Result<Vec<SocketAddr>>>,
    waiter: Option<RemoteToken>,
}

fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    let here = match place() {
        Place::Thread => return addresses(name),
        Place::Callback => return Err(in_callback()),
        Place::Fiber(here) => here,
    };
    here.check()?;
    while UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= MOST {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        sleep(REST)?;
    }
    let counted = Counted;
    let lookup = Arc::new(Mutex::new(Lookup::default()));
    let (name, of_thread) = (name.to_owned(), lookup.clone());
    // The program's signals are for other threads, from the first instruction on.
    let mask = MaskGuard::block(SignalSet::all());
    thread::Builder::new().name("becket-resolver".into()).spawn(move || {
        let found = addresses(&name);
        drop(counted);
        let mut lookup = lock(&of_thread);
        lookup.found = Some(found);
        if let Some(waiter) = lookup.waiter.take() {
            waiter.wake(0);
        }
    })?;
    drop(mask);
    loop {
        here.check()?;
        let wait = here.wait(Reason::new("resolver"));
        {
            let mut lookup = lock(&lookup);
            if let Some(found) = lookup.found.take() {
                return found;
            }
            lookup.waiter = Some(wait.remote_token());
        }
        let woken = wait.park(None);
        here.event(woken)?;
    }
}

/// Counts a lookup until it is dropped, also where its thread is never started.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock(lookup: &Mutex<Lookup>) -> MutexGuard<'_, Lookup> {
    lookup.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
