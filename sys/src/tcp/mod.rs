//! TCP connections and listeners: tcp(7).
//!
//! ```
//! use becket_sys::tcp::{Listener, Stream};
//! use becket_sys::{Ready, wait};
//! use std::net::Ipv4Addr;
//! use std::time::{Duration, Instant};
//!
//! let soon = Some(Instant::now() + Duration::from_secs(10));
//! let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0))?;
//! let client = Stream::connect(listener.local_addr()?)?.finish(soon)?;
//!
//! wait(&listener, Ready::READ, soon)?;
//! let (server, from) = listener.try_accept()?.expect("a connection");
//! assert_eq!(from, client.local_addr()?);
//!
//! assert_eq!(client.try_write(b"hello")?, Some(5));
//! wait(&server, Ready::READ, soon)?;
//! let mut buf = [0; 16];
//! assert_eq!(server.try_read(&mut buf)?, Some(5));
//! assert_eq!(server.try_read(&mut buf)?, None); // would block
//!
//! drop(client);
//! wait(&server, Ready::READ, soon)?;
//! assert_eq!(server.try_read(&mut buf)?, Some(0)); // end of the stream
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - **Connected is not answered.** The kernel makes connections by itself, up to the listener's backlog: a peer may be
//!   connected, and have written, to a program that never accepts.
//! - **Written is not sent, and sent is not read.** What [`Stream::try_write`] took can still be lost with the
//!   connection, and only the peer's own word tells what it has got. [`Stream::unacknowledged`] and
//!   [`Info`] say what the other kernel has.
//! - **A vanished peer says nothing.** Without [keepalive](Stream::set_keepalive) or a
//!   [user timeout](Stream::set_user_timeout) an idle connection to it stays for ever.
//! - **Out of descriptors, a listener spins**: it stays readable, and no accept succeeds. See
//!   [`is_exhausted`](crate::is_exhausted) and [`Reserve`](crate::Reserve).
//! - **Urgent data** is one byte at most, and the next one replaces it: see [`Stream::try_recv_urgent`]. Poll for
//!   [`Ready::PRI`](crate::Ready::PRI) as well. A readiness for reading may then find nothing but that byte.

mod connecting;
mod info;
mod listener;
mod options;
mod stream;

pub use connecting::{Connecting, Progress, StreamBuilder};
pub use info::{Info, State};
pub use listener::{Listener, ListenerBuilder};
pub use options::Keepalive;
pub use stream::Stream;
