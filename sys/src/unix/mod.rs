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
//!
//! # Who is there, and what may come
//!
//! Each kind sends and receives descriptors, credentials and the like ([`cmsg`](crate::cmsg)) by `try_send_with` and
//! `try_recv_with`, and tells who made the other end (`peer_credentials`, `peer_pidfd`, `peer_groups`, `peer_security`).
//! The `set_pass_…` switches say what each message brings; listeners and bound sockets have them in their builders, so that
//! there is no moment without.
//!
//! # Honest trouble
//!
//! - **A full backlog** makes connecting fail with `EAGAIN`, and no readiness tells when there is room: try again after a
//!   while. An unconnected sender of datagrams is in the same case.
//! - **Credentials are those of a moment**, of who called connect(2), listen(2) or socketpair(2). A server that took its
//!   listener over from a service manager bears the *manager's*. Where it matters who sends, ask for credentials with
//!   each message; where it matters that the process is still that one, for its descriptor: a number may be given anew.
//! - **A process of another pid namespace** has no number here: `None`. Its user and group are mapped to this user
//!   namespace, or 65534 where they are unknown.
//! - **Descriptors may come unasked**, in any message, and take up the table of this process: refuse them
//!   (`set_pass_rights`) where none are expected. Receiving without room for them closes them at once.
//! - **Closing with something unread** is an error (`ECONNRESET`) at the other end: on a stream after what was written
//!   there, on a socket of records before.
//! - **An empty record and the end** of a connection of records look alike: see [`Seqpacket`].
//! - **Urgent bytes** of streams are young in the kernel: before some release between 6.1 and 6.12 the mark is forgotten
//!   when the byte is taken.
//! - **Abstract names** know no permissions: anybody in the same network namespace can connect, or bind first.
//! - **The longest path**, of 108 bytes, has no NUL at its end, and the kernel reports an address longer than the struct.
//!   It is decoded here as what it is; other programs may trip over it.

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
