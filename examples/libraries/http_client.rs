//! `ureq` over fibers. It opens its sockets and looks names up by itself, both of which would block the thread, so it is
//! given a [`Connector`] and a [`Resolver`] of ours; the rest of it, its pool of connections included, is as it is.
//!
//! ```
//! use becket_fiber::net::TcpListener;
//! use becket_fiber::{Runtime, spawn};
//! use becket_libraries::http_client::agent;
//! use becket_libraries::http_server::{Limits, Response, serve};
//!
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let listener = TcpListener::bind(([127, 0, 0, 1], 0))?;
//!     let url = format!("http://localhost:{}/rope", listener.local_addr()?.port());
//!     spawn(move || serve(&listener.accept()?.0, &Limits::default(), |r| Response::ok(r.path.clone())))?.detach();
//!     let text = agent().get(url).call().and_then(|mut answer| answer.body_mut().read_to_string());
//!     assert_eq!(text.map_err(ureq::Error::into_io)?, "/rope");
//!     Ok::<_, std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```

use becket_fiber::net::{TcpStream, resolve};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Weak};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Agent, Error, Timeout};

/// An agent whose calls wait in the fiber. Fibers, and threads, may share it.
///
/// Deadlines and cancels of the fiber come out of its calls as [`Error::Io`]; its own timeouts as [`Error::Timeout`].
pub fn agent() -> Agent {
    agent_with(Config::default())
}

/// As [`agent`], with settings of ureq's. Connections to a proxy are not made here: set none.
pub fn agent_with(config: Config) -> Agent {
    Agent::with_parts(config, FiberConnector, FiberResolver)
}

/// Opens connections by [`TcpStream::connect_any`].
#[derive(Debug)]
pub struct FiberConnector;

impl Connector for FiberConnector {
    type Out = FiberTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<FiberTransport>, Error> {
        if details.needs_tls() {
            return Err(Error::TlsRequired);
        }
        let connected = within(details.timeout, || Ok(TcpStream::connect_any(&details.addrs)?))?;
        connected.set_nodelay(details.config.no_delay())?;
        let stream = Arc::new(Shared(connected));
        let handle: Arc<dyn ShutdownHandle> = stream.clone();
        (details.register_shutdown)(Arc::downgrade(&handle) as Weak<dyn ShutdownHandle>)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(FiberTransport { stream, buffers }))
    }
}

/// Calls `f` with a timeout of ureq's around it.
fn within<T>(timeout: NextTimeout, f: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    if timeout.after.is_not_happening() {
        return Ok(f()?);
    }
    let outer = becket_fiber::current_deadline();
    let ours = std::time::Instant::now().checked_add(*timeout.after);
    match becket_fiber::timeout(*timeout.after, f) {
        // Which one was it?
        Err(e) if e.kind() == io::ErrorKind::TimedOut && outer.is_none_or(|at| ours.is_some_and(|o| o < at)) => {
            Err(Error::Timeout(timeout.reason))
        }
        other => Ok(other?),
    }
}

/// A connection, and what shuts it down from elsewhere.
#[derive(Debug)]
struct Shared(TcpStream);

impl ShutdownHandle for Shared {
    fn shutdown(&self) {
        // Fails where it is not connected any more.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection as ureq wants it.
#[derive(Debug)]
pub struct FiberTransport {
    stream: Arc<Shared>,
    buffers: LazyBuffers,
}

impl Transport for FiberTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (mut stream, bytes) = (&self.stream.0, &self.buffers.output()[..amount]);
        within(timeout.for_write(), || stream.write_all(bytes))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let (mut stream, room) = (&self.stream.0, self.buffers.input_append_buf());
        let n = within(timeout.for_read(), || stream.read(room))?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Whether the server has neither closed it nor said anything that nobody asked for.
    fn is_open(&mut self) -> bool {
        matches!(self.stream.0.try_peek(&mut [0]), Ok(None))
    }
}

/// What ureq has room for.
const MOST_ADDRESSES: usize = 16;

/// Looks names up by [`resolve`].
#[derive(Debug)]
pub struct FiberResolver;

impl Resolver for FiberResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let bad = || Error::BadUri(uri.to_string());
        let (scheme, authority) = uri.scheme().zip(uri.authority()).ok_or_else(bad)?;
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or_else(bad)?;
        let timeout = NextTimeout { reason: Timeout::Resolve, ..timeout };
        let found = within(timeout, || Ok(resolve(&name)?))?;
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(MOST_ADDRESSES) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}
