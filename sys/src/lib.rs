//! Typed, owned wrappers for the file descriptors of Linux.
//!
//! One module per kind of descriptor, the main type inside. Every type owns its descriptor, closes it when
//! dropped, and lends it by [`AsFd`](std::os::fd::AsFd), so that it works under any event loop, or under none:
//!
//! ```
//! use becket_sys::{Ready, event::Event};
//! use std::time::{Duration, Instant};
//!
//! let event = Event::new()?;
//! event.add(3)?;
//! let ready = becket_sys::wait(&event, Ready::READ, Some(Instant::now() + Duration::from_secs(1)))?;
//! assert!(ready.unwrap().contains(Ready::READ));
//! assert_eq!(event.try_read()?, Some(3));
//! assert_eq!(event.try_read()?, None); // would block
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Rules that hold for every type
//!
//! - Descriptors are created close-on-exec, and non-blocking where this crate opens them itself; the blocking mode
//!   of a descriptor that was received or inherited is never touched, since others share it.
//! - `try_read` and its kin return `Ok(None)` where the call would block. End of file, queue overflow and clock
//!   change are values, never errors.
//! - Errors are [`std::io::Error`] with the operating system's code kept; a constructor of several steps returns
//!   a [`SetupError`] that names the step and its object.
//! - [`Readiness`] says what to poll a type for: each has a constant `READINESS`.
//! - All unsafe code stands in the private module `ffi`.

mod buf;
mod error;
mod fd;
#[allow(unsafe_code, reason = "the one place where the kernel is called behind the type system's back")]
mod ffi;
mod helper;
mod ready;
mod socket;

pub mod cmsg;
pub mod epoll;
pub mod event;
pub mod fanotify;
pub mod file;
pub mod gpio;
pub mod inotify;
pub mod input;
pub mod memfd;
pub mod mounts;
pub mod netlink;
pub mod pipe;
pub mod poll;
pub mod pri;
pub mod process;
pub mod psi;
pub mod pty;
pub mod serial;
pub mod signal;
pub mod tcp;
pub mod timer;
pub mod tty;
pub mod udp;
pub mod unix;

pub use buf::EventBuf;
pub use error::SetupError;
pub use ready::{Readiness, Ready, wait};
pub use socket::is_exhausted;
pub use socket::reserve::Reserve;
