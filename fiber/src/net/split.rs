use super::{TcpStream, UnixStream};
use crate::Ready;
use crate::lent::{Reading, sealed as lent};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A stream that can be closed in one direction: [`TcpStream`], [`UnixStream`]. Nobody else's.
pub trait HalfClose: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        /// Ends the direction that is written.
        fn close_write(&self);
    }
}

macro_rules! half_close {
    ($name:ident) => {
        impl HalfClose for $name {}

        impl sealed::Sealed for $name {
            fn close_write(&self) {
                // Fails only where it is not connected any more.
                let _ = self.shutdown(Shutdown::Write);
            }
        }

        impl $name {
            /// Two halves, for two fibers or threads: one reads, one writes. Dropping the half that writes ends that
            /// direction, so that the peer reads the end; the descriptor is closed with the second half.
            ///
            /// ```
            /// use becket_fiber::{Runtime, net::UnixStream, spawn};
            /// use std::io::{Read, Write};
            ///
            /// let mut runtime = Runtime::new()?;
            /// runtime.run(|| {
            ///     let (a, b) = UnixStream::pair()?;
            ///     let echo = spawn(move || std::io::copy(&mut &b, &mut &b))?;
            ///     let (mut read, mut write) = a.into_split();
            ///     let writer = spawn(move || write.write_all(b"both ways"))?; // and dropped
            ///     writer.join()??;
            ///     let mut text = [0; 9];
            ///     read.read_exact(&mut text)?;
            ///     assert_eq!(&text, b"both ways");
            ///     assert_eq!(echo.join()??, 9); // it has seen the end
            ///     Ok::<_, std::io::Error>(())
            /// })??;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn into_split(self) -> (ReadHalf<$name>, WriteHalf<$name>) {
                let stream = Arc::new(self);
                (ReadHalf { stream: stream.clone() }, WriteHalf { stream: Some(stream) })
            }

            /// Two references, one to read and one to write by: to lend to the fibers of a [`scope`](crate::scope()).
            /// Neither ends anything when it is dropped.
            pub fn split(&self) -> (&$name, &$name) {
                (self, self)
            }
        }
    };
}

half_close!(TcpStream);
half_close!(UnixStream);

/// The half of a stream that is read; see [`TcpStream::into_split`]. It lends the stream's own methods.
///
/// ```
/// use becket_fiber::net::UnixStream;
///
/// let (read, write) = UnixStream::pair()?.0.into_split();
/// let whole = write.unsplit(read).unwrap();
/// assert!(whole.peer_addr()?.is_unnamed());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadHalf<S> {
    stream: Arc<S>,
}

/// The half of a stream that is written; see [`TcpStream::into_split`] and [`ReadHalf`]. It lends the stream's own
/// methods. Dropping it ends this direction: what was written before still arrives.
#[derive(Debug)]
pub struct WriteHalf<S: HalfClose> {
    /// `None` only in `unsplit`.
    stream: Option<Arc<S>>,
}

impl<S: HalfClose> WriteHalf<S> {
    /// Makes one stream again of both halves.
    ///
    /// # Errors
    /// Where they are of different streams: both are handed back.
    pub fn unsplit(mut self, read: ReadHalf<S>) -> Result<S, NotOfOne<S>> {
        match self.stream.take() {
            Some(mine) if Arc::ptr_eq(&mine, &read.stream) => {
                drop(read);
                // There were two counts, and this is the other.
                Arc::try_unwrap(mine).map_err(|mine| NotOfOne {
                    read: ReadHalf { stream: mine.clone() },
                    write: WriteHalf { stream: Some(mine) },
                })
            }
            mine => {
                self.stream = mine;
                Err(NotOfOne { read, write: self })
            }
        }
    }

    fn get(&self) -> &S {
        // Taken only by value, above.
        self.stream.as_ref().expect("the stream is there until it is put together again")
    }
}

impl<S: HalfClose> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.close_write();
        }
    }
}

/// Two halves that are not of one stream; see [`WriteHalf::unsplit`].
///
/// ```
/// use becket_fiber::net::UnixStream;
///
/// let (a, b) = UnixStream::pair()?;
/// let (read, _) = a.into_split();
/// let (_, write) = b.into_split();
/// let e = write.unsplit(read).unwrap_err();
/// assert_eq!(e.to_string(), "the halves are not of one stream");
/// drop((e.read, e.write));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NotOfOne<S: HalfClose> {
    /// The half that is read.
    pub read: ReadHalf<S>,
    /// The half that is written.
    pub write: WriteHalf<S>,
}

impl<S: HalfClose> fmt::Display for NotOfOne<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl<S: HalfClose + fmt::Debug> std::error::Error for NotOfOne<S> {}

impl<S> Deref for ReadHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: HalfClose> Deref for WriteHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.get()
    }
}

impl<S> Read for ReadHalf<S>
where
    for<'a> &'a S: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.stream).read_vectored(bufs)
    }
}

impl<S: HalfClose> Write for WriteHalf<S>
where
    for<'a> &'a S: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.get().write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.get().write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.get().flush()
    }
}

impl<S: AsFd> AsFd for ReadHalf<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: HalfClose + AsFd> AsFd for WriteHalf<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }
}

impl<S: lent::Readable> lent::Readable for ReadHalf<S> {
    fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize> {
        self.stream.lend(f)
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        lent::Readable::wait_for(&self.stream, want)
    }
}

impl<S: HalfClose + lent::Writable> lent::Writable for WriteHalf<S> {
    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        self.get().write_some(buf)
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        lent::Writable::wait_for(self.get(), want)
    }
}
