//! The calls and structs that rustix does not have, one file per kind of descriptor.

pub(crate) mod cmsg;
pub(crate) mod epoll;
pub(crate) mod fanotify;
pub(crate) mod file;
pub(crate) mod gpio;
pub(crate) mod helper;
pub(crate) mod input;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod serial;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod sockopt;
pub(crate) mod tcp;
pub(crate) mod timer;
pub(crate) mod udp;
