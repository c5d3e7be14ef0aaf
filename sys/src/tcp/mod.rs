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

mod connecting;
mod listener;
mod stream;

pub use connecting::{Connecting, Progress};
pub use listener::{Listener, ListenerBuilder};
pub use stream::{Keepalive, Stream};
