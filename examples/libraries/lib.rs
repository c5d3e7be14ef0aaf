//! Libraries that were written for blocking sockets, as they are, in fibers: many connections on one thread, each ended by
//! a deadline or a cancel wherever the library happens to wait.
//!
//! | library | what had to be written | where |
//! |---|---|---|
//! | `rustls` | nothing | [`tls`] |
//! | `tungstenite` | nothing | [`websocket`] |
//! | `httparse` | a server around it: it only parses | [`http_server`] |
//! | `ureq` | its connector and its resolver, which would block the thread | [`http_client`] |
//! | `rusqlite` | nothing: its calls go to helper threads | [`database`] |
//!
//! What a library needs: it takes a stream that is `Read + Write`, and it does not take `WouldBlock` for a way to wait.
//! An error of kind `TimedOut` is a deadline, one that [`is_cancelled`](becket_fiber::is_cancelled) knows a cancel; where
//! it wraps errors of its own around them, see its module. A library that opens sockets, waits for a channel of std's or
//! looks names up by itself blocks the thread: give it something else to do so with, as [`http_client`] does, or call it
//! by [`unblock`](becket_fiber::unblock).

pub mod database;
pub mod http_client;
pub mod http_server;
pub mod listen;
pub mod tls;
pub mod websocket;
