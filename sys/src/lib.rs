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
//! # The kinds
//!
//! | kind | type | poll it for | man page | since |
//! |---|---|---|---|---|
//! | timer | [`timer::Timer`] | reading | timerfd_create(2) | 2.6.25; alarm clocks 3.11 |
//! | counter to wake with | [`event::Event`] | reading | eventfd(2) | 2.6.27; semaphores 2.6.30 |
//! | signals | [`signal::Signals`] | reading | signalfd(2) | 2.6.27 |
//! | process, thread, own child | [`process::PidFd`], [`process::Child`] | reading | pidfd_open(2) | 5.3; fetching descriptors 5.6; threads 6.9 |
//! | changes of files | [`inotify::Inotify`] | reading | inotify(7) | 2.6.27; masks that only create 4.18 |
//! | use of files, verdicts | [`fanotify::Fanotify`] | reading | fanotify(7) | 2.6.37; file handles 5.1; pidfds 5.15; mounts 6.15 |
//! | pipe, FIFO | [`pipe::Reader`], [`pipe::Writer`] | reading, writing | pipe(7), fifo(7) | 2.6.27; packets 3.4 |
//! | terminal | [`tty::Tty`] | reading | tty(4), termios(3) | ever |
//! | serial port | [`serial::Port`] | reading | termios(3), ioctl_tty(2) | 2.6.20 for any speed |
//! | its modem lines, its jobs | [`serial::LineWatch`], [`serial::Job`] | reading | ioctl_tty(2) | ever |
//! | pseudoterminal | [`pty::Controller`] | reading; PRI as well in packet mode | pty(7) | 4.13 |
//! | TCP | [`tcp::Stream`], [`tcp::Listener`] | reading, writing; PRI for urgent data | tcp(7) | ever; several paths 5.6 |
//! | TCP connection being made | [`tcp::Connecting`] | writing | connect(2) | ever |
//! | UDP | [`udp::Socket`] | reading | udp(7) | ever; cutting into segments 4.18, joining them 5.0 |
//! | unix socket | [`unix::Stream`], [`unix::Listener`], [`unix::Datagram`] | reading, writing | unix(7) | ever |
//! | unix socket of records | [`unix::Seqpacket`], [`unix::SeqpacketListener`] | reading, writing | unix(7) | 2.6.4 |
//! | what comes beside data | [`cmsg::Incoming`], [`cmsg::Outgoing`] | | cmsg(3) | pidfds of senders 6.5 |
//! | netlink; links, addresses | [`netlink::Socket`], [`netlink::route::Monitor`] | reading | netlink(7), rtnetlink(7) | 2.6.12 |
//! | GPIO chip, its lines | [`gpio::Chip`], [`gpio::Request`] | reading | gpio/chardev of the kernel | 5.10 |
//! | GPIO line by number | [`gpio::sysfs::Line`] | PRI | gpio/sysfs of the kernel | 2.6.33 |
//! | input device | [`input::Device`] | reading | input/input of the kernel | ever |
//! | pressure | [`psi::Trigger`] | PRI | accounting/psi of the kernel | 5.2 |
//! | attribute of sysfs, of a control group, of /proc/sys | [`attribute::Attribute`] | PRI | sysfs(5), cgroups(7) | 2.6.17; /proc/sys 3.2 |
//! | mounts | [`mounts::Watcher`] | PRI | proc_pid_mountinfo(5) | 2.6.26 |
//! | file | [`std::fs::File`] with [`mod@file`] | nothing: always ready | open(2) | ever; reads that do not wait 4.14 |
//! | its locks | [`file::LockWait`] | reading | fcntl_locking(2) | 3.15 |
//! | memory file | [`memfd::Memfd`], [`memfd::Sealed`] | nothing: always ready | memfd_create(2) | 3.17; never executable 6.3 |
//! | epoll set | [`epoll::Epoll`] | reading | epoll(7) | 2.6.27 |
//! | what knows PRI only | [`pri::Adapter`] | reading | epoll(7) | 2.6.27 |
//!
//! The last column says since which version Linux has it. An older one makes the constructor or the method fail, with the
//! error that its documentation names; nothing is emulated in silence. [`wait`] and [`poll`] wait without any loop.
//!
//! # The other crates
//!
//! Becket is four crates, each complete without those above it.
//!
//! | crate | what it is |
//! |---|---|
//! | `becket_sys` (this one) | typed descriptors, under any loop or none |
//! | [`becket_loop`](https://docs.rs/becket-loop) | a callback loop over them |
//! | [`becket_fiber`](https://docs.rs/becket-fiber) | the same work as straight-line code |
//! | [`becket_mosquitto`](https://docs.rs/becket-mosquitto) | MQTT over libmosquitto, for callbacks and for fibers |
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod buf;
#[cfg(test)]
#[path = "../tests/common/descriptors.rs"]
mod descriptors;
mod error;
mod fd;
#[allow(unsafe_code, reason = "the one place where the kernel is called behind the type system's back")]
mod ffi;
mod helper;
mod ready;
mod socket;

pub mod attribute;
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
