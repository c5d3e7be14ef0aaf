//! What unix sockets of all kinds tell beside the data.

use super::Credentials;
use crate::ffi::{socket, sockopt};
use crate::process::PidFd;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// Not in libc.
const SO_PASSRIGHTS: i32 = 83;
/// Not in libc.
const SO_INQ: i32 = 84;

/// One of the options that switch what is received.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pass {
    Credentials = libc::SO_PASSCRED as isize,
    PidFd = libc::SO_PASSPIDFD as isize,
    Security = libc::SO_PASSSEC as isize,
    Rights = SO_PASSRIGHTS as isize,
    Unread = SO_INQ as isize,
}

impl Pass {
    pub(super) fn step(self) -> &'static str {
        match self {
            Pass::Credentials => "set SO_PASSCRED",
            Pass::PidFd => "set SO_PASSPIDFD",
            Pass::Security => "set SO_PASSSEC",
            Pass::Rights => "set SO_PASSRIGHTS",
            Pass::Unread => "set SO_INQ",
        }
    }
}

pub(super) fn pass(fd: impl AsFd, what: Pass) -> io::Result<bool> {
    Ok(sockopt::int(fd, libc::SOL_SOCKET, what as i32)? != 0)
}

pub(super) fn set_pass(fd: impl AsFd, what: Pass, on: bool) -> io::Result<()> {
    sockopt::set(fd, libc::SOL_SOCKET, what as i32, &i32::from(on))
}

pub(super) fn peer_credentials(fd: impl AsFd) -> io::Result<Credentials> {
    let ucred = socket::peer_credentials(fd)?;
    if ucred.pid == 0 && ucred.uid == u32::MAX {
        return Err(Errno::NOTCONN.into());
    }
    Ok(Credentials::new(ucred.pid.try_into().unwrap_or(0), ucred.uid, ucred.gid))
}

pub(super) fn peer_pidfd(fd: impl AsFd) -> io::Result<PidFd> {
    Ok(socket::peer_pidfd(fd)?.into())
}

pub(super) fn peer_groups(fd: impl AsFd) -> io::Result<Vec<u32>> {
    match socket::long_option(fd, libc::SO_PEERGROUPS) {
        Ok(bytes) => Ok(bytes.as_chunks().0.iter().map(|group| u32::from_ne_bytes(*group)).collect()),
        Err(e) if e.raw_os_error() == Some(libc::ENODATA) => Err(Errno::NOTCONN.into()),
        Err(e) => Err(e),
    }
}

pub(super) fn peer_security(fd: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    match socket::long_option(fd, libc::SO_PEERSEC) {
        Ok(mut label) => {
            if label.last() == Some(&0) {
                label.pop();
            }
            Ok(Some(label))
        }
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Gives `$name` sending and receiving of ancillary data; `$flags` is how its messages are received.
macro_rules! ancillary_io {
    ($name:ident, $flags:expr) => {
        /// What goes beside the data: descriptors, credentials; see [`cmsg`](crate::cmsg).
        impl $name {
            /// Sends `buf` to the peer, and `control` beside it; says how many bytes it took, or `None` where there is
            /// no room. Where that is less than all, which happens to streams alone, `control` has gone: send the rest
            /// without it.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor, and never raises SIGPIPE.
            ///
            /// # Errors
            /// Those of `try_send` or `try_write`, and these. `EINVAL`: an empty `buf` on a stream, with which the
            /// kernel would lose `control` without a word. `ETOOMANYREFS`: too many descriptors are on their way.
            /// `EPERM`: the peer [takes none](Self::set_pass_rights), or the credentials are not the sender's.
            #[doc(alias = "sendmsg")]
            #[inline]
            pub fn try_send_with(
                &self,
                buf: &[u8],
                control: &crate::cmsg::Outgoing<'_>,
            ) -> std::io::Result<Option<usize>> {
                crate::cmsg::try_send(self, &[std::io::IoSlice::new(buf)], control)
            }

            /// Receives into `buf`, and what came beside the data into `control`; `None` where nothing is there.
            /// Descriptors that nobody took out of `control` before are closed, also where this fails.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor. Several buffers at once:
            /// [`cmsg::try_recv`](crate::cmsg::try_recv); several messages:
            /// [`cmsg::try_recv_batch`](crate::cmsg::try_recv_batch).
            ///
            /// # Errors
            /// Those of `try_recv` or `try_read`.
            #[doc(alias = "recvmsg")]
            #[inline]
            pub fn try_recv_with(
                &self,
                buf: &mut [u8],
                control: &mut crate::cmsg::Incoming,
            ) -> std::io::Result<Option<crate::unix::Received>> {
                crate::cmsg::try_recv(self, &mut [std::io::IoSliceMut::new(buf)], control, $flags)
            }

            /// As [`try_recv_with`](Self::try_recv_with), but leaves the message in place. Descriptors are duplicated
            /// each time, and owned each time.
            ///
            /// # Errors
            /// As [`try_recv_with`](Self::try_recv_with).
            #[doc(alias = "MSG_PEEK")]
            pub fn try_peek_with(
                &self,
                buf: &mut [u8],
                control: &mut crate::cmsg::Incoming,
            ) -> std::io::Result<Option<crate::unix::Received>> {
                let flags = $flags | crate::cmsg::RecvFlags::PEEK;
                crate::cmsg::try_recv(self, &mut [std::io::IoSliceMut::new(buf)], control, flags)
            }
        }
    };
}
pub(super) use ancillary_io;

/// Gives `$name` one switch.
macro_rules! pass_option {
    ($name:ident, $pass:ident, $get:ident, $set:ident, $alias:literal, $doc:literal, $errors:literal) => {
        impl $name {
            #[doc = concat!("See [`", stringify!($set), "`](Self::", stringify!($set), ").")]
            ///
            /// # Errors
            /// As there.
            pub fn $get(&self) -> std::io::Result<bool> {
                crate::unix::ancillary::pass(self, crate::unix::ancillary::Pass::$pass)
            }

            #[doc = $doc]
            ///
            /// What a listener accepts has it as the listener had it when the client *connected* (before Linux 6.16:
            /// when it was accepted): for all connections, ask its builder.
            ///
            /// # Errors
            #[doc = concat!("`ENOTSOCK` or `EOPNOTSUPP` where the descriptor is no unix socket", $errors, ".")]
            #[doc(alias = $alias)]
            pub fn $set(&self, on: bool) -> std::io::Result<()> {
                crate::unix::ancillary::set_pass(self, crate::unix::ancillary::Pass::$pass, on)
            }
        }
    };
}
pub(super) use pass_option;

/// Gives `$name` the switches of what is received.
macro_rules! pass_options {
    ($name:ident) => {
        crate::unix::ancillary::pass_option!(
            $name,
            Credentials,
            pass_credentials,
            set_pass_credentials,
            "SO_PASSCRED",
            "Whether each message brings the [credentials](crate::cmsg::Incoming::credentials) of its sender; the \
             default is no. What was sent before it was switched on brings none: a process of `None`, and user 65534. \
             A socket that asks for them is given an abstract name when it connects or sends without one.",
            ""
        );
        crate::unix::ancillary::pass_option!(
            $name,
            PidFd,
            pass_pidfd,
            set_pass_pidfd,
            "SO_PASSPIDFD",
            "Whether each message brings a [descriptor of its sender](crate::cmsg::Incoming::take_pidfd); the default \
             is no. It opens one with each receive that has room for it.",
            "; `ENOPROTOOPT` before Linux 6.5"
        );
        crate::unix::ancillary::pass_option!(
            $name,
            Security,
            pass_security,
            set_pass_security,
            "SO_PASSSEC",
            "Whether each message brings the [label](crate::cmsg::Incoming::security) of its sender in a security \
             module; the default is no. Nothing comes where there is no such module, and on a stream nothing unless \
             credentials or descriptors of senders are asked for too.",
            ""
        );
        crate::unix::ancillary::pass_option!(
            $name,
            Rights,
            pass_rights,
            set_pass_rights,
            "SO_PASSRIGHTS",
            "Whether this socket takes descriptors; the default is yes. Where it does not, whoever sends some gets \
             `EPERM`. Switch it off wherever none are expected: what nobody asked for takes room in the table of this \
             process, and closing it may take long. Those sent before still arrive.",
            "; `ENOPROTOOPT` before Linux 6.16"
        );
    };
}
pub(super) use pass_options;

/// Gives `$name`, a builder with a field `options`, the switches of what is received.
macro_rules! pass_builder {
    ($name:ident) => {
        /// What messages bring, from the first one on: switched on later, it is missing from what was sent meanwhile.
        impl $name {
            /// As [`set_pass_credentials`](crate::unix::Stream::set_pass_credentials).
            #[doc(alias = "SO_PASSCRED")]
            pub fn pass_credentials(self, on: bool) -> Self {
                self.pass(crate::unix::ancillary::Pass::Credentials, on)
            }

            /// As [`set_pass_pidfd`](crate::unix::Stream::set_pass_pidfd).
            #[doc(alias = "SO_PASSPIDFD")]
            pub fn pass_pidfd(self, on: bool) -> Self {
                self.pass(crate::unix::ancillary::Pass::PidFd, on)
            }

            /// As [`set_pass_security`](crate::unix::Stream::set_pass_security).
            #[doc(alias = "SO_PASSSEC")]
            pub fn pass_security(self, on: bool) -> Self {
                self.pass(crate::unix::ancillary::Pass::Security, on)
            }

            /// As [`set_pass_rights`](crate::unix::Stream::set_pass_rights).
            #[doc(alias = "SO_PASSRIGHTS")]
            pub fn pass_rights(self, on: bool) -> Self {
                self.pass(crate::unix::ancillary::Pass::Rights, on)
            }

            fn pass(mut self, what: crate::unix::ancillary::Pass, on: bool) -> Self {
                self.options.pass.push((what, on));
                self
            }
        }
    };
}
pub(super) use pass_builder;

/// Gives `$name` what is known of the process at the other end.
macro_rules! peer {
    ($name:ident) => {
        /// Who is at the other end, as the kernel recorded it when that was made: by the client's connect(2), the
        /// server's listen(2), or socketpair(2). It cannot be forged, but the socket may have been handed on since, and
        /// the process may have ended.
        impl $name {
            /// The process, user and group.
            ///
            /// # Errors
            /// `ENOTCONN` where there is no peer; `ENOTSOCK` where the descriptor is no socket.
            #[doc(alias = "SO_PEERCRED")]
            pub fn peer_credentials(&self) -> std::io::Result<crate::unix::Credentials> {
                crate::unix::ancillary::peer_credentials(self)
            }

            /// The process, as a descriptor, so that its number cannot be another's meanwhile. It may have ended: then
            /// it is readable.
            ///
            /// # Errors
            /// `ENODATA` where there is no peer; `ESRCH` or `EINVAL` where the process has gone and the kernel is too
            /// old to know it still (before 6.16); `ENOPROTOOPT` before Linux 6.5; `EMFILE`.
            #[doc(alias = "SO_PEERPIDFD")]
            pub fn peer_pidfd(&self) -> std::io::Result<crate::process::PidFd> {
                crate::unix::ancillary::peer_pidfd(self)
            }

            /// The supplementary groups.
            ///
            /// # Errors
            /// `ENOTCONN` where there is no peer.
            #[doc(alias = "SO_PEERGROUPS")]
            pub fn peer_groups(&self) -> std::io::Result<Vec<u32>> {
                crate::unix::ancillary::peer_groups(self)
            }

            /// The label in a security module, without a NUL at the end; `None` where there is no such module.
            ///
            /// # Errors
            /// `ENOTSOCK` where the descriptor is no socket.
            #[doc(alias = "SO_PEERSEC")]
            pub fn peer_security(&self) -> std::io::Result<Option<Vec<u8>>> {
                crate::unix::ancillary::peer_security(self)
            }
        }
    };
}
pub(super) use peer;
