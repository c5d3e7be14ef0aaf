//! A callback loop: one thread, one set of descriptors, callbacks that get your state.
//!
//! ```
//! use becket_loop::{Loop, Mode, Next, Ready};
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//!
//! struct State { echoed: usize }
//!
//! let (near, mut far) = UnixStream::pair()?;
//! near.set_nonblocking(true)?;
//!
//! let mut event_loop = Loop::new()?;
//! event_loop.add(near, Ready::READ, Mode::Level, |state: &mut State, _ctx, mut near, _ready| {
//!     let mut buf = [0; 512];
//!     let n = near.read(&mut buf)?;
//!     near.write_all(&buf[..n])?;
//!     state.echoed += n;
//!     Ok(if n == 0 { Next::Remove } else { Next::Keep })
//! })?;
//! event_loop.after(Duration::from_secs(5), |_, ctx| Ok(ctx.exit(1)));
//!
//! far.write_all(b"hello")?;
//! far.shutdown(std::net::Shutdown::Write)?;
//! let mut state = State { echoed: 0 };
//! while state.echoed < 5 {
//!     event_loop.turn(&mut state, None)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! - [`Loop`] owns everything and turns; it dereferences to [`Ctx`], which callbacks get, too, and which adds, changes
//!   and removes: descriptors ([`Ctx::add`]), typed sources ([`Ctx::on`]), timers ([`Ctx::after`], [`Ctx::at`],
//!   [`Ctx::every`], on other clocks [`Ctx::at_on`], [`Ctx::every_on`]), deferred work and hooks, and operations that end later ([`Ctx::submit`]).
//! - An [`Id`] names each of them. It is a number: dropping it does nothing, and a stale one is noticed. A [`Guard`]
//!   is an id that cancels when it is dropped.
//! - [`Next`] is what a callback says happens next, or it fails with any error, which disables its source alone.
//! - [`Remote`] reaches the loop from other threads; a [`channel`] brings their values as a source.
//! - [`External`] is how a C library with its own descriptors and timeout joins the loop, and how a source is made of
//!   several; [`c_library`] is the chapter on bringing one.
//! - [`notify`] tells a service manager that the service is up, and alive.
//! - [`backend`] is the seam to the system; [`Loop::embed`] puts a whole loop into another one.
//!
//! # Watching it
//!
//! - [`Ctx::sources`] and [`Ctx::stats`] are always there: what the loop holds, and counts.
//! - [`Ctx::observe`] begins to measure: how long callbacks take, how late timers are, how long turns. A [`Snapshot`] has
//!   it, as a value and as JSON, in callbacks and for other threads.
//! - [`Ctx::on_slow`] tells of callbacks that took too long, [`Ctx::on_stall`] of one that has not come back,
//!   [`Ctx::on_error`] of those that failed.
//! - With the feature `tracing` the loop has events for the crate of that name. Those of calls and turns are measured
//!   while a subscriber wants them. `id` is as [`AnyId`] prints it, `kind` as in a [`Snapshot`], or `loose` for work that
//!   was posted or deferred; both and `name` are left out where there is none.
//!
//! | target | level | name | fields |
//! |---|---|---|---|
//! | `becket_loop::turn` | trace | `turn` | `waits`, `events`, `callbacks` (since the loop was made), `worked_us` |
//! | `becket_loop::callback` | trace | `callback` | `id`, `name`, `kind`, `took_us` |
//! | `becket_loop::slow` | warn | `slow` | `id`, `name`, `kind`, `took_us`; where [`Ctx::on_slow`] has a limit |
//! | `becket_loop::fault` | warn | `fault` | `id`, `name`, `error` |
//! | `becket_loop::backend` | error | `wait` | `error` |
//! | `becket_loop::backend` | debug | `after_fork` | `process`, the new id |
//! | `becket_loop::backend` | warn | `renewed` | none; see [`Stats::renewals`] |
//!
//! Tests of what takes hours run at once on a clock of their own: [`TestTime`].
//!
//! Timers are never early: a deadline is reached when the clock says so, and the wait is exact to the nanosecond as far
//! as the kernel's timer slack (50 µs by default) goes.
//!
//! # The other crates
//!
//! Becket is four crates, each complete without those above it.
//!
//! | crate | what it is |
//! |---|---|
//! | [`becket_sys`] | typed descriptors, under any loop or none |
//! | `becket_loop` (this one) | a callback loop over them |
//! | [`becket_fiber`](https://docs.rs/becket-fiber) | the same work as straight-line code |
//! | [`becket_mosquitto`](https://docs.rs/becket-mosquitto) | MQTT over libmosquitto, for callbacks and for fibers |
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what it adds |
//! |---|---|
//! | `uring` | [`backend::Uring`](crate::backend): readiness by io_uring as well (Linux 5.13) |
//! | `polling` | [`backend::Polling`](crate::backend), over the crate of that name, as a step towards other systems |
//! | `tracing` | the events of the table above |
//!
//! # Special problems
//!
//! - *Regular files* are always ready, and epoll refuses them: use [`Ctx::submit`].
//! - *sysfs attributes* report a change by [`Ready::PRI`] together with [`Ready::ERR`]: watch for `PRI` alone, and read
//!   the attribute once before.
//! - *A hung-up descriptor* with [`Mode::Level`] is reported every turn, whatever it is watched for, until it is
//!   removed or disabled.
//! - *After fork(2)* the loop is the parent's. In the child it refuses to turn, and leaves the parent's set alone, until
//!   [`Loop::after_fork`] makes it the child's own. Starting programs is fine, for all descriptors are close-on-exec.
//! - *Signals and children* are descriptors: see [`becket_sys::signal`] and [`becket_sys::process`].

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod clocked;
mod ctx;
mod embed;
mod event_loop;
mod external;
mod guard;
mod histogram;
mod id;
mod observe;
#[allow(unsafe_code, reason = "closures of any type in one piece of memory")]
mod posts;
mod queue;
mod remote;
mod slab;
mod snapshot;
mod source;
mod stall;
mod trace;
mod types;
mod watched;
mod wheel;

#[allow(unsafe_code, reason = "a backend promises how operations end; this one hands them on")]
mod test_time;

#[allow(unsafe_code, reason = "who lends a descriptor vouches for it")]
mod borrowed;

pub mod backend;
#[allow(unsafe_code, reason = "who names a descriptor by its number vouches for it")]
pub mod c_library;
pub mod channel;
pub mod notify;
#[allow(unsafe_code, reason = "raw operations are carried out on memory that only their owner vouches for")]
pub mod op;
#[allow(unsafe_code, reason = "see `op`: the thread that carries one out")]
mod pool;
#[allow(unsafe_code, reason = "see `op`: the one place that ends them")]
mod submit;

pub use becket_sys::Ready;
pub use clocked::EveryOn;
pub use ctx::Ctx;
pub use embed::Embedded;
pub use event_loop::Loop;
pub use external::{Cause, External, Nudge, Wishes};
pub use guard::Guard;
pub use histogram::Histogram;
pub use id::{AnyId, Borrowed, Hook, Id, Timer};
pub use observe::Slow;
pub use remote::Remote;
pub use snapshot::{Failure, Queues, Snapshot, SourceSnapshot};
pub use source::{Accept, Accepted, Acceptor, Backoff, Schedule, Source};
pub use stall::{Stall, Watchdog};
pub use submit::PlainDone;
pub use test_time::{TestClock, TestTime};
pub use types::{AddError, CallbackError, Every, Fault, Flags, HookPoint, Missed, Mode, Next, Plain, Result, RunError};
pub use types::{SourceInfo, SourceKind, Stats, Tick};
