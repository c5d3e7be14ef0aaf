//! Reading and writing streams.

use rustix::io::Result;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, recv, recvmsg, send, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net;
use std::os::fd::AsFd;

/// The kernel refuses more slices in one call: UIO_MAXIOV.
const MAX_SLICES: usize = 1024;

pub(crate) fn read(fd: impl AsFd, buf: &mut [u8], flags: RecvFlags) -> Result<usize> {
    recv(fd, buf, flags).map(|(n, _)| n)
}

pub(crate) fn read_vectored(fd: impl AsFd, bufs: &mut [IoSliceMut<'_>], flags: RecvFlags) -> Result<usize> {
    let n = bufs.len().min(MAX_SLICES);
    recvmsg(fd, &mut bufs[..n], &mut RecvAncillaryBuffer::default(), flags).map(|m| m.bytes)
}

// All sending is without SIGPIPE, which would end the process for what is an everyday error.

pub(crate) fn write(fd: impl AsFd, buf: &[u8], flags: SendFlags) -> Result<usize> {
    send(fd, buf, flags | SendFlags::NOSIGNAL)
}

pub(crate) fn write_vectored(fd: impl AsFd, bufs: &[IoSlice<'_>], flags: SendFlags) -> Result<usize> {
    let n = bufs.len().min(MAX_SLICES);
    sendmsg(fd, &bufs[..n], &mut SendAncillaryBuffer::default(), flags | SendFlags::NOSIGNAL)
}

pub(crate) fn shutdown(fd: impl AsFd, how: net::Shutdown) -> io::Result<()> {
    let how = match how {
        net::Shutdown::Read => rustix::net::Shutdown::Read,
        net::Shutdown::Write => rustix::net::Shutdown::Write,
        net::Shutdown::Both => rustix::net::Shutdown::Both,
    };
    Ok(rustix::net::shutdown(fd, how)?)
}

/// Gives `$name` what every stream has.
macro_rules! stream_io {
    ($name:ident) => {
        impl $name {
            /// Reads what has arrived, at most `buf.len()` bytes: `Some(0)` is the end of the stream (or an empty
            /// `buf`), `None` says that nothing is there yet.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor.
            ///
            /// # Errors
            /// `ECONNRESET` where the peer reset the connection, `ETIMEDOUT` where it no longer answers, `ENOTCONN`
            /// where the socket is not connected. A pending error is returned once, and then the end of the stream.
            #[inline]
            pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<Option<usize>> {
                use rustix::net::RecvFlags;
                crate::fd::attempt(|| crate::socket::stream::read(self, buf, RecvFlags::DONTWAIT))
            }

            /// As [`try_read`](Self::try_read), into several buffers in turn (at most 1024).
            ///
            /// # Errors
            /// As [`try_read`](Self::try_read).
            pub fn try_read_vectored(&self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<Option<usize>> {
                use rustix::net::RecvFlags;
                crate::fd::attempt(|| crate::socket::stream::read_vectored(self, bufs, RecvFlags::DONTWAIT))
            }

            /// As [`try_read`](Self::try_read), but leaves what it read in place.
            ///
            /// # Errors
            /// As [`try_read`](Self::try_read).
            #[doc(alias = "MSG_PEEK")]
            pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<Option<usize>> {
                use rustix::net::RecvFlags;
                let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
                crate::fd::attempt(|| crate::socket::stream::read(self, buf, flags))
            }

            /// Writes what there is room for, and says how many bytes that was; `None` where there is no room.
            ///
            /// Never blocks, whatever the blocking mode of the descriptor, and never raises SIGPIPE.
            ///
            /// # Errors
            /// `EPIPE` where the peer has gone or this end is shut down for writing, `ECONNRESET` where the peer
            /// reset the connection, `ETIMEDOUT` where it no longer answers, `ENOTCONN` where the socket is not
            /// connected.
            #[doc(alias = "MSG_NOSIGNAL")]
            #[inline]
            pub fn try_write(&self, buf: &[u8]) -> std::io::Result<Option<usize>> {
                use rustix::net::SendFlags;
                crate::fd::attempt(|| crate::socket::stream::write(self, buf, SendFlags::DONTWAIT))
            }

            /// As [`try_write`](Self::try_write), from several buffers in turn (at most 1024).
            ///
            /// # Errors
            /// As [`try_write`](Self::try_write).
            pub fn try_write_vectored(&self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<Option<usize>> {
                use rustix::net::SendFlags;
                crate::fd::attempt(|| crate::socket::stream::write_vectored(self, bufs, SendFlags::DONTWAIT))
            }

            /// Ends one direction or both, for all handles to this socket; see shutdown(2). The peer reads the end of
            /// the stream after what was written before.
            ///
            /// # Errors
            /// `ENOTCONN` where a TCP socket is not, or no longer, connected.
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                crate::socket::stream::shutdown(self, how)
            }
        }

        /// Follows the blocking mode of the descriptor: [`WouldBlock`](std::io::ErrorKind::WouldBlock) where it is
        /// non-blocking and nothing has arrived.
        impl std::io::Read for $name {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl std::io::Read for &$name {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                Ok(crate::socket::stream::read(self, buf, rustix::net::RecvFlags::empty())?)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                Ok(crate::socket::stream::read_vectored(self, bufs, rustix::net::RecvFlags::empty())?)
            }
        }

        /// Follows the blocking mode of the descriptor: [`WouldBlock`](std::io::ErrorKind::WouldBlock) where it is
        /// non-blocking and there is no room. Never raises SIGPIPE. Flushing does nothing: nothing is buffered.
        impl std::io::Write for $name {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Write for &$name {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                Ok(crate::socket::stream::write(self, buf, rustix::net::SendFlags::empty())?)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                Ok(crate::socket::stream::write_vectored(self, bufs, rustix::net::SendFlags::empty())?)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use stream_io;
