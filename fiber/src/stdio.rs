//! Standard input, output and error, without making them non-blocking for whoever shares them.

use crate::file::File;
use crate::lent::{Reading, sealed};
use crate::park::{Place, place};
use crate::tty::Tty;
use crate::{Io, Ready};
use becket_sys::file::{IoFlags, write_vectored_at};
use becket_sys::pipe::ATOMIC_WRITE;
use rustix::io::Errno;
use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// One of the standard streams.
#[derive(Debug)]
enum Stream {
    /// A terminal, opened anew: its mode is nobody else's.
    Own(Tty),
    /// Whatever is shared with others: in the mode that it is in, waited for by readiness, then read or written by a call
    /// that does not wait, or else by an operation of the loop.
    Shared(Io<File>),
}

impl Stream {
    fn new(fd: BorrowedFd<'_>) -> io::Result<Stream> {
        if let Ok(tty) = Tty::reopen(fd) {
            return Ok(Stream::Own(tty));
        }
        Ok(Stream::Shared(Io::apart(fs::File::from(fd.try_clone_to_owned()?).into())))
    }

    /// Waits until `want` can be done at once, if nobody is quicker.
    fn wait(&self, want: Ready) -> io::Result<()> {
        match self {
            Stream::Own(tty) => tty.io().wait(want, None).map(drop),
            Stream::Shared(shared) => match shared.wait(want, None) {
                // Regular files and the like are always ready.
                Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => Ok(()),
                other => other.map(drop),
            },
        }
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Own(tty) => { tty }.read(buf),
            Stream::Shared(shared) => {
                self.wait(Ready::READ)?;
                { shared.get_ref() }.read(buf)
            }
        }
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let shared = match self {
            Stream::Own(tty) => return { tty }.write(buf),
            Stream::Shared(shared) => shared.get_ref(),
        };
        self.wait(Ready::WRITE)?;
        if let Place::Fiber(_) = place() {
            // Whatever the error is, the operation below finds it as well, or does better.
            let now = write_vectored_at(shared, &[IoSlice::new(buf)], None, IoFlags::NOWAIT);
            if let Ok(Some(n)) = now {
                return Ok(n);
            }
        }
        // What is ready has room for this much, so that the operation does not wait long for whoever reads.
        let most = if is_regular(shared) { buf.len() } else { buf.len().min(ATOMIC_WRITE) };
        { shared }.write(&buf[..most])
    }
}

fn is_regular(fd: &impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_file())
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Own(tty) => tty.as_fd(),
            Stream::Shared(shared) => shared.as_fd(),
        }
    }
}

macro_rules! stream {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            stream: Stream,
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.stream.as_fd()
            }
        }
    };
}

stream!(
    /// Standard input, or a duplicate of something else that is shared; see [`stdin`].
    ///
    /// A read of 0 bytes is the end. Nothing is held back here: std's [`Stdin`](std::io::Stdin) has a buffer, so use one
    /// or the other.
    Input
);
stream!(
    /// Standard output or error, or a duplicate of something else that is shared; see [`stdout`].
    ///
    /// Nothing is held back here, and `flush` does nothing: std's [`Stdout`](std::io::Stdout) has a buffer, so flush that
    /// where both are used.
    Output
);

/// The standard input of this process, whatever it is: a terminal, a pipe, a socket, a file.
///
/// A terminal is opened anew. Everything else stays in the mode that it is in, since that is seen by all who share it,
/// such as the shell that started this program: the fiber waits until something can be read, and then reads. Only where
/// somebody else is quicker does that wait, on a helper thread, and neither a cancel nor a deadline ends it.
///
/// Dropping it closes a duplicate: the standard input of the process stays.
///
/// ```
/// use becket_fiber::{Runtime, stdin, stdout, timeout};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let line = timeout(Duration::from_millis(5), || stdin()?.read(&mut [0; 64]));
///     writeln!(stdout()?, "{line:?}") // nothing to read, or something
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `EBADF` where it is closed; `EMFILE`.
pub fn stdin() -> io::Result<Input> {
    Ok(Input { stream: Stream::new(io::stdin().as_fd())? })
}

/// The standard output of this process; see [`stdin`]. What is written goes out in pieces where a pipe has no more room,
/// and waits for room in the fiber.
///
/// # Errors
/// As [`stdin`].
pub fn stdout() -> io::Result<Output> {
    Ok(Output { stream: Stream::new(io::stdout().as_fd())? })
}

/// The standard error of this process; see [`stdout`].
///
/// # Errors
/// As [`stdin`].
pub fn stderr() -> io::Result<Output> {
    Ok(Output { stream: Stream::new(io::stderr().as_fd())? })
}

impl Input {
    /// Something else that is inherited or shared, such as a descriptor that was received, to be read.
    ///
    /// ```
    /// use becket_fiber::{Input, Output, Runtime, spawn};
    /// use std::io::{Read, Write, pipe};
    ///
    /// let (reader, writer) = pipe()?; // blocking, and they stay so
    /// let (mut input, mut output) = (Input::shared(&reader)?, Output::shared(&writer)?);
    /// drop((reader, writer));
    /// let mut runtime = Runtime::new()?;
    /// let bytes = runtime.run(move || {
    ///     let writing = spawn(move || output.write_all(&[7; 200_000]))?; // more than a pipe holds
    ///     let mut bytes = Vec::new();
    ///     input.read_to_end(&mut bytes)?;
    ///     writing.join()?.map(|()| bytes)
    /// })??;
    /// assert_eq!(bytes, [7; 200_000]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EMFILE`: this has a duplicate.
    pub fn shared(fd: impl AsFd) -> io::Result<Input> {
        Ok(Input { stream: Stream::new(fd.as_fd())? })
    }
}

impl Output {
    /// Something else that is inherited or shared, to be written; see [`Input::shared`].
    ///
    /// # Errors
    /// `EMFILE`: this has a duplicate.
    pub fn shared(fd: impl AsFd) -> io::Result<Output> {
        Ok(Output { stream: Stream::new(fd.as_fd())? })
    }
}

impl Read for &Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Write for &Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl sealed::Readable for Input {
    fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize> {
        self.stream.wait(Ready::READ)?;
        f(&mut { self }).map(|(n, _)| n)
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        self.stream.wait(want)
    }
}

impl sealed::Writable for Output {
    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        self.stream.wait(want)
    }
}
