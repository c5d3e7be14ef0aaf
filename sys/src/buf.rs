use rustix::io::{Errno, read};
use std::io;
use std::os::fd::AsFd;

/// A buffer that one read fills with events, and a parser then walks.
///
/// Reading and parsing are apart, so that a buffer serves many reads, and bytes that came another way (by io_uring,
/// from a recording) are parsed by the same code.
///
/// ```
/// use becket_sys::EventBuf;
///
/// let mut buf = EventBuf::with_capacity(8);
/// let n = buf.fill_with(|space| {
///     space[..3].copy_from_slice(b"abc");
///     Ok(3)
/// })?;
/// assert_eq!(n, 3);
/// assert_eq!(buf.as_bytes(), b"abc");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventBuf {
    bytes: Box<[u8]>,
    filled: usize,
}

impl EventBuf {
    /// A buffer of 4096 bytes: 32 signals, or some 100 inotify events with names of ordinary length.
    pub fn new() -> EventBuf {
        EventBuf::with_capacity(4096)
    }

    /// A buffer of `capacity` bytes. The kernel refuses to read into one that is too small for a single event, with
    /// `EINVAL`: 128 bytes for a signal, 272 for an inotify event.
    pub fn with_capacity(capacity: usize) -> EventBuf {
        EventBuf { bytes: vec![0; capacity].into(), filled: 0 }
    }

    /// How many bytes one read can bring at most.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// What the last read brought.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Replaces the content by what `read` writes to the start of the space it is given and returns the length of,
    /// and returns that length. A length beyond the capacity counts as the capacity. After an error the buffer is
    /// empty.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill_with(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.filled = 0;
        self.filled = read(&mut self.bytes)?.min(self.bytes.len());
        Ok(self.filled)
    }

    /// Fills the buffer with one read of `fd`.
    #[inline]
    pub(crate) fn read_from(&mut self, fd: impl AsFd) -> Result<usize, Errno> {
        self.filled = 0;
        self.filled = read(fd, &mut *self.bytes)?;
        Ok(self.filled)
    }
}

/// What comes before the NULs at the end, with which the kernel pads names; inside of a name there is none.
#[inline]
pub(crate) fn without_padding(padded: &[u8]) -> &[u8] {
    // Those of inotify are padded to multiples of 16, so that the name ends in the last of these.
    let last = padded.last_chunk().map_or(0, |last| u128::from_le_bytes(*last));
    let len = match last {
        0 => position_of_nuls(padded),
        _ => padded.len() - last.leading_zeros() as usize / 8,
    };
    padded.get(..len).unwrap_or(padded)
}

/// Where the NULs at the end begin.
#[cold]
#[inline(never)]
fn position_of_nuls(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn names_end_before_the_nuls() {
    for len in 0..40 {
        for end in 0..=len {
            for last in [1, 0x80, 0xff] {
                let mut bytes = vec![b'a'; len];
                bytes[end..].fill(0);
                if let Some(byte) = end.checked_sub(1).and_then(|i| bytes.get_mut(i)) {
                    *byte = last;
                }
                assert_eq!(without_padding(&bytes).len(), end, "{bytes:?}");
            }
        }
    }
}

impl Default for EventBuf {
    fn default() -> Self {
        Self::new()
    }
}
