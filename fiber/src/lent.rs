//! Reading with buffers that are there only while something is in them.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, IoSliceMut, Read};
use std::os::fd::AsFd;

/// How many bytes a buffer has.
const SIZE: usize = 8192;

/// How many empty buffers a thread keeps.
const SPARE: usize = 32;

thread_local! {
    /// Empty buffers. Taken out while they are looked at.
    static POOL: Cell<Vec<Box<[u8]>>> = const { Cell::new(Vec::new()) };
}

fn take() -> Box<[u8]> {
    let mut pool = POOL.take();
    let buf = pool.pop();
    POOL.set(pool);
    buf.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

fn put_back(buf: Box<[u8]>) {
    // None is kept by a thread that ends.
    let _ = POOL.try_with(|pool| {
        let mut all = pool.take();
        if all.len() < SPARE {
            all.push(buf);
        }
        pool.set(all);
    });
}

/// Reads something by what it is given; says how many bytes it has read, and whether it had room for more.
pub(crate) type Reading<'a> = dyn FnMut(&mut dyn Read) -> io::Result<(usize, bool)> + 'a;

/// What [`BufReader`] and [`copy`](crate::copy()) read: [`Io`](crate::Io), the named types over it, [`File`](crate::File), halves of
/// streams, standard input, and references to all of them. Nobody else's.
pub trait Readable: AsFd + sealed::Readable {}

impl<S: AsFd + sealed::Readable + ?Sized> Readable for S {}

/// What [`copy`](crate::copy()) writes; see [`Readable`].
pub trait Writable: AsFd + sealed::Writable {}

impl<S: AsFd + sealed::Writable + ?Sized> Writable for S {}

pub(crate) mod sealed {
    use super::Reading;
    use crate::{File, Ready};
    use std::io;
    use std::sync::Arc;

    pub trait Readable {
        /// Waits until `f` reads something, calling it again and again while that would block.
        fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize>;

        /// Waits until it is ready for `want`, where it can be waited for.
        fn wait_for(&self, want: Ready) -> io::Result<()>;

        /// The file where it is one: its calls are operations of the loop.
        fn as_file(&self) -> Option<&File> {
            None
        }
    }

    pub trait Writable {
        /// Writes some of it.
        fn write_some(&self, buf: &[u8]) -> io::Result<usize>;

        /// As [`Readable::wait_for`].
        fn wait_for(&self, want: Ready) -> io::Result<()>;

        /// As [`Readable::as_file`].
        fn as_file(&self) -> Option<&File> {
            None
        }
    }

    macro_rules! lent {
        ($($lent:ty),+) => { $(
            impl<S: Readable + ?Sized> Readable for $lent {
                fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize> {
                    (**self).lend(f)
                }

                fn wait_for(&self, want: Ready) -> io::Result<()> {
                    (**self).wait_for(want)
                }

                fn as_file(&self) -> Option<&File> {
                    (**self).as_file()
                }
            }

            impl<S: Writable + ?Sized> Writable for $lent {
                fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
                    (**self).write_some(buf)
                }

                fn wait_for(&self, want: Ready) -> io::Result<()> {
                    (**self).wait_for(want)
                }

                fn as_file(&self) -> Option<&File> {
                    (**self).as_file()
                }
            }
        )+ };
    }

    lent!(&S, Arc<S>);
}

/// As [`std::io::BufReader`], but while nothing is there to read it holds no buffer: a connection that is idle costs its
/// fiber's stack, and no more.
///
/// Its buffer of 8 KiB comes from a pool of the thread when something can be read, and goes back when all of it is
/// consumed. Dropping it loses what is in the buffer, as in std.
///
/// ```
/// use becket_fiber::{BufReader, Runtime, net::UnixStream, spawn};
/// use std::io::{BufRead, Write};
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (a, b) = UnixStream::pair()?;
///     let reader = spawn(move || BufReader::new(a).lines().collect::<Result<Vec<_>, _>>())?;
///     (&b).write_all(b"one\ntwo\nthr")?;
///     (&b).write_all(b"ee\n")?;
///     drop(b);
///     assert_eq!(reader.join()??, ["one", "two", "three"]);
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BufReader<S> {
    source: S,
    /// There while `at` is below `end`.
    buf: Option<Box<[u8]>>,
    at: usize,
    end: usize,
}

impl<S: Readable> BufReader<S> {
    /// With an empty buffer.
    pub fn new(source: S) -> BufReader<S> {
        BufReader { source, buf: None, at: 0, end: 0 }
    }
}

impl<S> BufReader<S> {
    /// What is read, but not consumed.
    pub fn buffer(&self) -> &[u8] {
        self.buf.as_ref().map_or(&[], |buf| &buf[self.at..self.end])
    }

    /// What it reads from.
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// What it reads from. Reading from it directly reads past what is in the buffer.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// What it reads from; what is in the [buffer](Self::buffer) is lost.
    pub fn into_inner(mut self) -> S
    where
        S: Sized,
    {
        self.give_back();
        let BufReader { source, .. } = self;
        source
    }

    fn give_back(&mut self) {
        (self.at, self.end) = (0, 0);
        if let Some(buf) = self.buf.take() {
            put_back(buf);
        }
    }
}

impl<S: Readable> BufRead for BufReader<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buf.is_none() {
            let lent = &mut self.buf;
            self.end = self.source.lend(&mut |source| {
                let mut buf = take();
                match source.read(&mut buf) {
                    Ok(n) if n > 0 => {
                        let has_room = n < buf.len();
                        *lent = Some(buf);
                        Ok((n, has_room))
                    }
                    other => {
                        put_back(buf);
                        other.map(|n| (n, false))
                    }
                }
            })?;
            self.at = 0;
        }
        Ok(self.buffer())
    }

    fn consume(&mut self, n: usize) {
        self.at = self.end.min(self.at + n);
        if self.at == self.end {
            self.give_back();
        }
    }
}

impl<S: Readable> Read for BufReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // What is as large as the buffer needs none.
        if self.buf.is_none() && buf.len() >= SIZE {
            return self.source.lend(&mut |source| source.read(buf).map(|n| (n, n > 0 && n < buf.len())));
        }
        let mut there = self.fill_buf()?;
        let n = there.read(buf)?;
        self.consume(n);
        Ok(n)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut there = self.fill_buf()?;
        let n = there.read_vectored(bufs)?;
        self.consume(n);
        Ok(n)
    }
}

impl<S> fmt::Debug for BufReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader").field("buffered", &self.buffer().len()).finish_non_exhaustive()
    }
}
