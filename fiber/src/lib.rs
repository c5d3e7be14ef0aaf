//! Fibers over the becket loop: code that reads top to bottom, and waits without blocking its thread.
//!
//! ```
//! use becket_fiber::{Io, Runtime, scope, sleep, timeout};
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//!
//! let mut runtime = Runtime::new()?;
//! let answer = runtime.run(|| {
//!     let (near, far) = UnixStream::pair()?;
//!     let (near, far) = (Io::new(near)?, Io::new(far)?);
//!     scope(|s| {
//!         s.spawn(|| {
//!             let mut question = [0; 8];
//!             (&far).read_exact(&mut question)?;
//!             sleep(Duration::from_millis(1))?;
//!             (&far).write_all(b"42")
//!         })?;
//!         (&near).write_all(b"6 times 7"[..8].as_ref())?;
//!         let mut answer = [0; 2];
//!         timeout(Duration::from_secs(5), || (&near).read_exact(&mut answer))?;
//!         Ok::<_, std::io::Error>(answer)
//!     })
//! })??;
//! assert_eq!(&answer, b"42");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The parts
//!
//! - A [`Runtime`] is a loop with fibers on it, on one thread; [`Runtime::run`] drives it, [`Runtime::shutdown`]
//!   ends all.
//! - [`spawn`] starts a fiber and gives a [`JoinHandle`]; a [`Builder`] also gives it a name, a size of its stack and a
//!   [`Priority`]. In a [`scope()`] fibers borrow from their parent and never outlive it; a [`Remote`] spawns from
//!   other threads.
//! - [`RuntimeBuilder::threads`] makes a runtime on each of several [`Threads`], as a pool or with the same program on
//!   each, whose listeners [share a port](net::TcpListener::bind_shards).
//! - [`Io`] makes any descriptor one that a fiber can wait for, with `std::io::Read` and `Write`.
//! - [`File`] is a file that is read and written on helper threads, or by io_uring, while other fibers run; [`fs`] has
//!   what std's module of that name has.
//! - Named types over it stand in a module for each kind of descriptor, as in `becket_sys`: [`net`], [`pipe`],
//!   [`process`], [`serial`], [`tty`], [`pty`], [`timer`], [`signal`], [`inotify`], [`fanotify`], [`gpio`], [`input`],
//!   [`netlink`], [`psi`], [`mounts`] and [`attribute`]. They lend the methods of the types there, and say how they
//!   wait themselves.
//! - [`stdin`], [`stdout`] and [`stderr`] wait in the fiber, and stay as they are for whoever shares them.
//! - [`BufReader`] holds no buffer while nothing is there to read; [`copy`] moves bytes within the kernel where it can.
//! - [`sleep`] and [`interval`] wait for time; [`deadline`] and [`timeout`] bound every wait inside, in whatever
//!   library; [`yield_now`] lets others run.
//! - [`sync`] has channels, locks, events and what else fibers wait for among each other; a [`sync::thread_channel`]
//!   leads to other threads, too.
//! - [`race`], [`first_ok`] and [`all`] run several tasks at once.
//! - A [`cancel_scope`], or a [`CancelToken`] in several places, cancels a part of what fibers do; a [`shield`] keeps
//!   a cancel from what has to be finished.
//! - [`fiber_local!`] declares values that each fiber has its own of.
//! - [`select!`] waits for the first of several: channels, descriptors, ends of fibers, events, permits, cancels, time;
//!   [`select::Select`] for a number of them that is known at run time only.
//! - [`block_on`] runs a future in a fiber, and a handle of a fiber is a future for whatever executor; [`unblock`] runs
//!   what blocks on a helper thread.
//! - [`fibers`] lists what they do, and a [`report()`] has their backtraces, too: also [on a
//!   signal](Runtime::report_on_signal), and [at a socket](Runtime::serve_reports). [`Runtime::on_stall`] tells who
//!   keeps the thread; [`stack_use`] how deep the stacks were.
//! - [`with_ctx`] adds callbacks to the same loop; [`Runtime::embed`] puts the whole runtime into another one, and
//!   [`Runtime::turn`] lets it have one turn. On [`TestTime`] what takes days runs at once, for tests.
//!
//! # Rules
//!
//! - A fiber never leaves its thread, so nothing in it needs `Send`.
//! - The same blocking call blocks the thread where no fiber runs, and is an error of kind `Deadlock` in a callback.
//! - A cancel is an error: after [`JoinHandle::cancel`] every blocking call of the fiber returns [`Cancelled`], outside
//!   of a [`shield`]. [`JoinHandle::abort`] is for code that does not listen.
//! - Nothing waits while it unwinds: a blocking call in a destructor then returns an error at once.
//! - A panic stays in its fiber and comes out of `join`. A stack overflow names the fiber and aborts the process.
//! - A stack is never freed while its fiber is suspended; what has to be left behind is leaked.
//! - A std `Mutex` held across a wait blocks the thread for ever once another fiber of it wants it.
//!   [`Runtime::on_stall`] shows it; [`sync::Mutex`] does not do it.
//!
//! # The other crates
//!
//! Becket is four crates, each complete without those above it.
//!
//! | crate | what it is |
//! |---|---|
//! | [`becket_sys`] | typed descriptors, under any loop or none |
//! | [`becket_loop`] | a callback loop over them |
//! | `becket_fiber` (this one) | the same work as straight-line code |
//! | [`becket_mosquitto`](https://docs.rs/becket-mosquitto) | MQTT over libmosquitto, for callbacks and for fibers |
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what it adds |
//! |---|---|
//! | `corosensei` | another engine under the same face, for the whole program: half the memory, cold starts much quicker |
//! | `c-ares` | [`net::Resolver`](crate::net): names without threads; built from source, by cmake, where it is not installed |
//! | `stall-backtrace` | `Stall::frames`: in which functions a thread hangs that a fiber does not let go of |

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod copy;
mod embed;
mod error;
mod lent;
mod over;
mod race;
mod several;
mod stall;
mod stdio;
mod threads;
mod time;

pub mod attribute;
pub mod fanotify;
pub mod fs;
pub mod gpio;
pub mod inotify;
pub mod input;
pub mod mounts;
pub mod net;
pub mod netlink;
pub mod pipe;
pub mod process;
pub mod psi;
pub mod pty;
pub mod serial;
pub mod signal;
pub mod timer;
pub mod tty;

#[allow(unsafe_code, reason = "cancel scopes are linked through their frames")]
mod cancel;
#[allow(unsafe_code, reason = "switches stacks, and maps and guards them")]
mod context;
#[allow(unsafe_code, reason = "lends the caller's buffers to operations")]
mod file;
#[allow(unsafe_code, reason = "reaches the scheduler of this thread")]
mod future;
#[allow(unsafe_code, reason = "lends descriptors to the loop, and takes them back before they close")]
mod io;
#[allow(unsafe_code, reason = "reads the scheduler of this thread")]
mod list;
#[allow(unsafe_code, reason = "reads the scheduler of this thread")]
mod local;
#[allow(unsafe_code, reason = "lends memory of a fiber's stack to operations")]
mod op;
#[allow(unsafe_code, reason = "values whose type the record does not know")]
mod outcome;
#[allow(unsafe_code, reason = "the one place where a fiber suspends")]
mod park;
#[allow(unsafe_code, reason = "records have stable addresses")]
mod record;
#[allow(unsafe_code, reason = "reaches the scheduler from its loop's callbacks")]
mod remote;
#[allow(unsafe_code, reason = "switches to fibers for their backtraces")]
mod report;
#[allow(unsafe_code, reason = "see `sched`")]
mod runtime;
#[allow(unsafe_code, reason = "the scheduler, its loop and its records by pointer, from one thread")]
mod sched;
#[allow(unsafe_code, reason = "children borrow from the scope that waits for them")]
mod scope;
#[allow(unsafe_code, reason = "arms stay where they are while their select waits")]
pub mod select;
#[allow(unsafe_code, reason = "reads the scheduler of this thread")]
mod stacks;
#[allow(unsafe_code, reason = "results by handle, whose type the record does not know")]
mod task;

#[cfg(all(feature = "stall-backtrace", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[allow(unsafe_code, reason = "a signal handler, and the stack of a thread that it stops")]
mod stopped;

#[allow(unsafe_code, reason = "waits are linked through the frames of those who wait; guards of locks lend values")]
pub mod sync;

pub use becket_loop::{Ctx, Embedded, Missed, Next, Ready, TestClock, TestTime, Tick, backend};
pub use cancel::{CancelToken, cancel_scope, is_current_cancelled, shield};
pub use copy::copy;
pub use error::{Cancelled, JoinError, SpawnError, is_cancelled};
pub use file::File;
pub use future::{JoinFuture, RemoteJoinFuture, block_on};
pub use io::Io;
pub use lent::{BufReader, Readable, Writable};
pub use list::{FiberInfo, FiberState, current_id, current_name, fibers, set_current_priority};
pub use local::{AccessError, LocalKey};
pub use op::unblock;
pub use race::{all, first_ok, race};
pub use remote::{Remote, RemoteJoinHandle};
pub use report::{FiberReport, Report, report};
pub use runtime::{Runtime, RuntimeBuilder, with_ctx};
pub use sched::Priority;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stacks::{StackUse, stack_use};
pub use stall::Stall;
pub use stdio::{Input, Output, stderr, stdin, stdout};
pub use task::{Builder, JoinHandle, spawn, spawn_named};
pub use threads::{Shard, Threads, ThreadsBuilder};
pub use time::{Interval, current_deadline, deadline, interval, sleep, sleep_until, timeout, yield_now};
