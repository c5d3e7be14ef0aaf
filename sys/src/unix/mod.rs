//! Unix domain sockets, streams, datagrams and records: unix(7).
//!
//! ```
//! use becket_sys::Ready;
//! use becket_sys::unix::{Address, Listener, Stream};
//!
//! let addr = Address::abstract_name(format!("becket-example-{}", std::process::id()))?;
//! let listener = Listener::bind(&addr)?;
//! let client = Stream::connect(&addr)?; // made at once, or not at all
//! let (server, from) = listener.try_accept()?.expect("a connection");
//! assert!(from.is_unnamed()); // clients seldom bind
//! assert_eq!(server.peer_credentials()?.pid, Some(std::process::id()));
//!
//! assert_eq!(client.try_write(b"hello")?, Some(5));
//! let mut buf = [0; 16];
//! assert_eq!(server.try_read(&mut buf)?, Some(5));
//! assert_eq!(server.try_read(&mut buf)?, None); // would block
//! drop(client);
//! assert_eq!(server.try_read(&mut buf)?, Some(0)); // end of the stream
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The file of a socket
//!
//! Binding to a path creates a file of its own type, and closing the socket does not remove it: the next to bind
//! there meets `EADDRINUSE`, though nobody listens. Two options of the builders deal with that, both off by default.
//! `replace_stale` removes the file before binding if it is a socket at which nobody is. `unlink_on_drop` removes it
//! when the object is dropped, which a killed process does not reach. Abstract names have no file and need neither.

mod address;
mod ancillary;
mod bound;
mod credentials;
mod datagram;
mod listener;
mod seqpacket;
mod stream;

pub use crate::socket::datagram::Received;
pub use address::Address;
pub use credentials::Credentials;
pub use datagram::{Datagram, DatagramBuilder};
pub use listener::{Listener, ListenerBuilder};
pub use seqpacket::{Record, Seqpacket, SeqpacketListener};
pub use stream::Stream;
