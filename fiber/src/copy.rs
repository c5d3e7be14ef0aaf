//! From one descriptor to another, without a way through the program where that can be.

use crate::file::copy_whole;
use crate::lent::{Readable, Writable};
use crate::op::splice;
use crate::{Ready, pipe};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use std::io::{self, Read};
use std::os::fd::AsFd;

/// How much goes at once: what a pipe holds.
const PIECE: usize = 1 << 16;

/// Copies everything, to the end, and says how many bytes it was.
///
/// Within the kernel where that is possible: from or to a pipe, between sockets, and between a socket and a file, by
/// splice(2), the latter through a pipe of its own; between files by copy_file_range(2). Everything else goes through a
/// buffer. Timeouts of single calls do not count here, deadlines do.
///
/// ```
/// use becket_fiber::{File, Runtime, copy, net::UnixStream, pipe, spawn};
/// use std::io::{Read, Seek, Write};
///
/// let path = std::env::temp_dir().join(format!("becket-copy-{}", std::process::id()));
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (a, b) = UnixStream::pair()?;
///     let writer = spawn(move || (&b).write_all(&[7; 300_000]))?;
///     let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
///     assert_eq!(copy(&a, &file)?, 300_000);
///     writer.join()??;
///     (&file).rewind()?;
///     let (mut out, into) = pipe::pair()?;
///     let copying = spawn(move || copy(&file, &into))?;
///     let mut all = Vec::new();
///     out.read_to_end(&mut all)?;
///     assert!(all == [7; 300_000]);
///     assert_eq!(copying.join()??, 300_000);
///     std::fs::remove_file(&path)
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of reading, writing and splice(2); [`Cancelled`](crate::Cancelled); `TimedOut`. What was read by then and not
/// written, at most 64 KiB, is lost.
#[doc(alias = "splice")]
#[doc(alias = "sendfile")]
pub fn copy(from: &impl Readable, to: &impl Writable) -> io::Result<u64> {
    if let (Some(from), Some(to)) = (from.as_file(), to.as_file()) {
        return copy_whole(from, to);
    }
    let mut copied = 0;
    if is_pipe(from) || is_pipe(to) {
        loop {
            match step(from, to, PIECE) {
                Ok(0) => return Ok(copied),
                Ok(n) => copied += n as u64,
                Err(e) if is_no_way(&e) => break,
                Err(e) => return Err(e),
            }
        }
    } else if let Ok((mut reader, writer)) = pipe::pair() {
        loop {
            let mut there = match step(from, &writer, PIECE) {
                Ok(0) => return Ok(copied),
                Ok(n) => n,
                Err(e) if is_no_way(&e) => break,
                Err(e) => return Err(e),
            };
            copied += there as u64;
            while there > 0 {
                match step(&reader, to, there) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => there -= n,
                    Err(e) if is_no_way(&e) => {
                        let mut rest = vec![0; there];
                        reader.read_exact(&mut rest)?;
                        write_all(to, &rest)?;
                        return through_a_buffer(from, to, copied);
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }
    through_a_buffer(from, to, copied)
}

fn through_a_buffer(from: &dyn Readable, to: &dyn Writable, mut copied: u64) -> io::Result<u64> {
    let mut buf = vec![0; PIECE];
    loop {
        let n = from.lend(&mut |source| source.read(&mut buf).map(|n| (n, false)))?;
        if n == 0 {
            return Ok(copied);
        }
        write_all(to, &buf[..n])?;
        copied += n as u64;
    }
}

fn write_all(to: &dyn Writable, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write_some(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// Moves some bytes, at most `len`, one end of which is a pipe; 0 is the end.
fn step(from: &dyn Readable, to: &dyn Writable, len: usize) -> io::Result<usize> {
    let wait = || {
        from.wait_for(Ready::READ)?;
        to.wait_for(Ready::WRITE)
    };
    loop {
        let moved = if from.as_file().or(to.as_file()).is_some() {
            wait()?;
            splice(from.as_fd(), to.as_fd(), len)
        } else {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            rustix::pipe::splice(from, None, to, None, len, flags).map_err(io::Error::from)
        };
        match moved.as_ref().map_err(Errno::from_io_error) {
            // Which of the two it was nobody says.
            Err(Some(Errno::AGAIN)) => wait()?,
            Err(Some(Errno::INTR)) => {}
            _ => return moved,
        }
    }
}

fn is_pipe(fd: &impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Whether an error says that the two cannot be spliced, and nothing was moved.
fn is_no_way(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}
