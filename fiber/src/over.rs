//! What the named types over [`Io`] have in common.

use crate::{Io, Ready, sleep};
use becket_sys::is_exhausted;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long to rest where something has run out, or where no readiness tells when to try again.
pub(crate) const REST: Duration = Duration::from_millis(50);

/// Calls `f` until it gives something, and waits for `want` in between.
pub(crate) fn until<T: AsFd, R>(
    io: &Io<T>,
    want: Ready,
    mut f: impl FnMut(&T) -> io::Result<Option<R>>,
) -> io::Result<R> {
    io.attempt(want, |t| f(t)?.ok_or_else(|| io::ErrorKind::WouldBlock.into()))
}

/// Accepts a connection. Where descriptors or memory have run out it rests: the listener stays readable, so trying
/// again at once would spin.
pub(crate) fn accept<T: AsFd, R>(io: &Io<T>, f: impl Fn(&T) -> io::Result<Option<R>>) -> io::Result<R> {
    loop {
        match until(io, Ready::READ, &f) {
            Err(e) if is_exhausted(&e) => sleep(REST)?,
            other => return other,
        }
    }
}

/// Gives `$name`, a struct whose first field `io` is an `Io<$inner>`, its face: the methods of `$inner` by reference,
/// and the conversions.
macro_rules! over_io {
    ($name:ident, $inner:ty) => {
        impl $name {
            /// The object underneath: for [`attempt`](crate::Io::attempt), and for the timeouts of single calls.
            pub fn io(&self) -> &crate::Io<$inner> {
                &self.io
            }

            /// Waits until the descriptor is ready for any of `want`, or until `deadline`; see
            /// [`Io::wait`](crate::Io::wait).
            ///
            /// # Errors
            /// As [`Io::wait`](crate::Io::wait).
            pub fn wait_ready(
                &self,
                want: crate::Ready,
                deadline: Option<std::time::Instant>,
            ) -> std::io::Result<Option<crate::Ready>> {
                self.io.wait(want, deadline)
            }

            /// An arm of [`select!`](crate::select!): chosen when the descriptor is ready for any of `want`; see
            /// [`Io::on_ready`](crate::Io::on_ready).
            pub fn on_ready(&self, want: crate::Ready) -> impl crate::select::Arm<Output = crate::Ready> + '_ {
                self.io.on_ready(want)
            }
        }

        /// The methods that never wait: addresses, options, `try_` calls.
        impl std::ops::Deref for $name {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                self.io.get_ref()
            }
        }

        impl std::os::fd::AsFd for $name {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.io.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $name {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.io.as_raw_fd()
            }
        }
    };
    (@into $name:ident, $inner:ty) => {
        crate::over::over_io!($name, $inner);

        impl $name {
            /// Ends the registration with the loop, and returns the descriptor's own type, non-blocking.
            pub fn into_inner(self) -> $inner {
                self.io.into_inner()
            }
        }
    };
    // For kinds whose event is taken by looking at it.
    ($name:ident, $inner:ty, apart) => {
        crate::over::over_io!(@into $name, $inner);

        impl From<$inner> for $name {
            fn from(inner: $inner) -> $name {
                $name { io: crate::Io::apart(inner) }
            }
        }
    };
    ($name:ident, $inner:ty, convert) => {
        crate::over::over_io!(@into $name, $inner);

        /// Makes it non-blocking; see [`Io::new`](crate::Io::new).
        impl TryFrom<$inner> for $name {
            type Error = std::io::Error;

            fn try_from(inner: $inner) -> std::io::Result<$name> {
                Ok($name { io: crate::Io::new(inner)? })
            }
        }
    };
}
pub(crate) use over_io;

/// Gives `$name` what goes beside the data of a socket.
macro_rules! ancillary {
    ($name:ident) => {
        impl $name {
            /// Sends `buf`, and `control` beside it: descriptors, credentials; see [`becket_sys::cmsg`]. Says how many
            /// bytes it took: where that is less than all, which happens to streams alone, `control` has gone; send the
            /// rest without it.
            ///
            /// # Errors
            /// Those of the `try_send_with` underneath; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing was
            /// sent.
            #[doc(alias = "sendmsg")]
            pub fn send_with(&self, buf: &[u8], control: &becket_sys::cmsg::Outgoing<'_>) -> std::io::Result<usize> {
                crate::over::until(&self.io, crate::Ready::WRITE, |s| s.try_send_with(buf, control))
            }

            /// Receives into `buf`, and what came beside the data into `control`. Descriptors that nobody took out of
            /// `control` before are closed.
            ///
            /// # Errors
            /// Those of the `try_recv_with` underneath; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing was
            /// taken.
            #[doc(alias = "recvmsg")]
            pub fn recv_with(
                &self,
                buf: &mut [u8],
                control: &mut becket_sys::cmsg::Incoming,
            ) -> std::io::Result<becket_sys::cmsg::Received> {
                crate::over::until(&self.io, crate::Ready::READ, |s| s.try_recv_with(buf, control))
            }

            /// As [`recv_with`](Self::recv_with), but leaves the data in place. Descriptors are duplicated each time.
            ///
            /// # Errors
            /// As [`recv_with`](Self::recv_with).
            #[doc(alias = "MSG_PEEK")]
            pub fn peek_with(
                &self,
                buf: &mut [u8],
                control: &mut becket_sys::cmsg::Incoming,
            ) -> std::io::Result<becket_sys::cmsg::Received> {
                crate::over::until(&self.io, crate::Ready::READ, |s| s.try_peek_with(buf, control))
            }
        }
    };
}
pub(crate) use ancillary;

/// Gives `$name` the timeouts of single calls, as std's sockets have them.
macro_rules! timeouts {
    ($name:ident) => {
        impl $name {
            /// Bounds every later call that receives; see [`Io::set_read_timeout`](crate::Io::set_read_timeout).
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero.
            pub fn set_read_timeout(&self, limit: Option<std::time::Duration>) -> std::io::Result<()> {
                self.io.set_read_timeout(limit)
            }

            /// Bounds every later call that sends; see [`Io::set_write_timeout`](crate::Io::set_write_timeout).
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero.
            pub fn set_write_timeout(&self, limit: Option<std::time::Duration>) -> std::io::Result<()> {
                self.io.set_write_timeout(limit)
            }
        }
    };
}
pub(crate) use timeouts;

/// Gives `$name` a second handle that waits in fibers, too: without it, a call would find that of `sys`.
macro_rules! clones {
    ($name:ident) => {
        impl $name {
            /// A second handle to the same object, for another owner; both may be waited on at once. Timeouts of single calls
            /// are not taken along.
            ///
            /// # Errors
            /// `EMFILE` or `ENFILE` where no descriptor is left.
            #[doc(alias = "dup")]
            pub fn try_clone(&self) -> std::io::Result<$name> {
                self.io.get_ref().try_clone()?.try_into()
            }
        }
    };
}
pub(crate) use clones;

/// Implements `Read` for `$name` and for a shared reference to it.
macro_rules! reads {
    ($name:ident) => {
        crate::over::reads!(@impl $name);
        crate::over::reads!(@impl &$name);

        impl crate::lent::sealed::Readable for $name {
            fn lend(&self, f: &mut crate::lent::Reading<'_>) -> std::io::Result<usize> {
                crate::lent::sealed::Readable::lend(&self.io, f)
            }

            fn wait_for(&self, want: crate::Ready) -> std::io::Result<()> {
                self.io.wait(want, None).map(drop)
            }
        }
    };
    (@impl $name:ty) => {
        impl std::io::Read for $name {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&self.io).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&self.io).read_vectored(bufs)
            }
        }
    };
}
pub(crate) use reads;

/// Implements `Write` for `$name` and for a shared reference to it.
macro_rules! writes {
    ($name:ident) => {
        crate::over::writes!(@impl $name);
        crate::over::writes!(@impl &$name);

        impl crate::lent::sealed::Writable for $name {
            fn write_some(&self, buf: &[u8]) -> std::io::Result<usize> {
                std::io::Write::write(&mut &self.io, buf)
            }

            fn wait_for(&self, want: crate::Ready) -> std::io::Result<()> {
                self.io.wait(want, None).map(drop)
            }
        }
    };
    (@impl $name:ty) => {
        impl std::io::Write for $name {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&self.io).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&self.io).write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                (&self.io).flush()
            }
        }
    };
}
pub(crate) use writes;

/// Gives `$name` what every socket of datagrams has.
macro_rules! datagrams {
    ($name:ident) => {
        impl $name {
            /// Sends a datagram to the peer that the socket is connected to. It goes whole or not at all.
            ///
            /// # Errors
            /// Those of the `try_send` underneath; [`Cancelled`](crate::Cancelled); `TimedOut`.
            pub fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
                crate::over::until(&self.io, crate::Ready::WRITE, |s| s.try_send(buf))
            }

            /// Receives a datagram. What does not fit into `buf` is lost, visibly.
            ///
            /// # Errors
            /// Those of the `try_recv` underneath; [`Cancelled`](crate::Cancelled); `TimedOut`.
            pub fn recv(&self, buf: &mut [u8]) -> std::io::Result<Received> {
                crate::over::until(&self.io, crate::Ready::READ, |s| s.try_recv(buf))
            }

            /// As [`recv`](Self::recv), but leaves the datagram in place.
            ///
            /// # Errors
            /// As [`recv`](Self::recv).
            #[doc(alias = "MSG_PEEK")]
            pub fn peek(&self, buf: &mut [u8]) -> std::io::Result<Received> {
                crate::over::until(&self.io, crate::Ready::READ, |s| s.try_peek(buf))
            }
        }
    };
}
pub(crate) use datagrams;
