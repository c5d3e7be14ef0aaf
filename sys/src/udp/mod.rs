//! UDP sockets: udp(7).
//!
//! ```
//! use becket_sys::{Ready, udp::Socket};
//! use std::net::Ipv4Addr;
//!
//! let a = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
//! let b = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
//! assert_eq!(a.try_send_to(b"hello", b.local_addr()?)?, Some(5));
//!
//! b.wait_ready(Ready::READ, None)?;
//! let mut buf = [0; 4]; // too short
//! let (received, from) = b.try_recv_from(&mut buf)?.expect("a datagram");
//! assert_eq!((&buf[..received.len()], from), (&b"hell"[..], a.local_addr()?));
//! assert_eq!((received.is_truncated(), received.datagram_len()), (true, 5));
//! assert_eq!(b.try_recv_from(&mut buf)?, None); // would block
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - **Refusals come late.** What a datagram met is the error of a later call, and only on a connected socket, or with
//!   [`Socket::set_recv_errors`]. It ends nothing.
//! - **A readable socket may have nothing**: a datagram with a wrong checksum wakes, and is thrown away by the read.
//! - **One that is bound to the unspecified address** answers from the address that the routes choose, which need not
//!   be the one that was asked. Ask for [packet info](Socket::set_packet_info) and answer from where it says.
//! - **Groups are joined by the machine**: a socket on the unspecified address gets the datagrams of every group that
//!   *any* socket here joined, on its port. See [`Socket::set_multicast_all`].
//! - **Too many**: what finds the receive buffer full is dropped without a word. See [`Socket::set_recv_drops`].

mod ancillary;
mod builder;
mod multicast;
mod options;
mod socket;

pub use crate::socket::datagram::Received;
pub use ancillary::segments;
pub use builder::SocketBuilder;
pub use multicast::interface_index;
pub use options::{MtuDiscovery, Timestamping};
pub use socket::Socket;
