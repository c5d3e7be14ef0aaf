//! Processes as descriptors: pidfd_open(2).
//!
//! A [`PidFd`] refers to one process for good: its number may be given to another process later, the descriptor is
//! not. It is readable once the process has ended, and waiting by it takes the status of that process alone, so that
//! other parts of the program can wait for theirs. [`Child`] starts a process together with its descriptor.

mod child;
mod pidfd;

pub use child::Child;
pub use pidfd::PidFd;
