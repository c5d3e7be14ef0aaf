//! Processes as descriptors: pidfd_open(2).
//!
//! A [`PidFd`] refers to one process for good: its number may be given to another process later, the descriptor is not.
//! It is readable once the process has ended, and waiting by it takes the status of that process alone, so that other
//! parts of the program can wait for theirs. [`Child`] starts a process together with its descriptor. [`AnyChild`]
//! tells of all that have ended, orphans that came to this process among them, and takes nothing from the others.
//!
//! # Honest trouble
//!
//! - **A number is not a process.** Between reading one from a file and opening it, the process may have ended and the
//!   number be another's. Only of a child that nobody has waited for it is certain.
//! - **Ended is not gone.** A child stays a zombie until its status is taken; signals to it are dropped without an
//!   error.
//! - **Stops and continuations** do not make the descriptor readable.
//! - **A process is ended when its last thread is.** While the first thread has ended and others run, it is not
//!   readable.
//! - **Descriptors are inherited by nobody** unless they are put into the child on purpose; those of a third process
//!   are to be had by [`PidFd::get_fd`].
//! - While `SIGCHLD` is ignored, children leave no status: waiting fails with `ECHILD`.

mod any;
mod child;
mod command;
mod info;
mod pidfd;

pub use any::{AnyChild, Ended};
pub use child::Child;
pub use command::CommandProcessExt;
pub use info::{Ids, Info};
pub use pidfd::{Change, Namespace, PidFd, Scope, WaitFor};
