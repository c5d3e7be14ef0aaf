//! Pipes: pipe(7).
//!
//! ```
//! use becket_fiber::{Runtime, pipe, spawn};
//! use std::io::{Read, Write};
//!
//! let mut runtime = Runtime::new()?;
//! runtime.run(|| {
//!     let (mut reader, mut writer) = pipe::pair()?;
//!     let writing = spawn(move || writer.write_all(&[7; 200_000]))?; // more than a pipe holds
//!     let mut bytes = Vec::new();
//!     reader.read_to_end(&mut bytes)?;
//!     assert_eq!(bytes.len(), 200_000);
//!     writing.join()?
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```

pub use becket_sys::pipe::ATOMIC_WRITE;

use crate::Io;
use crate::over::{clones, over_io, reads, timeouts, writes};
use becket_sys::pipe;
use std::io;

/// The end of a pipe or FIFO that is read; see the [module](self) for an example. 0 bytes are the end: nobody has the
/// other end open.
#[derive(Debug)]
pub struct Reader {
    io: Io<pipe::Reader>,
}

over_io!(Reader, pipe::Reader, convert);
clones!(Reader);
timeouts!(Reader);
reads!(Reader);

/// The end of a pipe or FIFO that is written; see the [module](self) for an example. `EPIPE` says that nobody has the
/// other end open.
#[derive(Debug)]
pub struct Writer {
    io: Io<pipe::Writer>,
}

over_io!(Writer, pipe::Writer, convert);
clones!(Writer);
timeouts!(Writer);
writes!(Writer);

/// Creates a pipe.
///
/// # Errors
/// `EMFILE` or `ENFILE` where no descriptors are left.
pub fn pair() -> io::Result<(Reader, Writer)> {
    let (reader, writer) = pipe::pair()?;
    Ok((reader.try_into()?, writer.try_into()?))
}
