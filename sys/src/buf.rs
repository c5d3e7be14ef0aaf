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
    pub(crate) fn read_from(&mut self, fd: impl AsFd) -> Result<usize, Errno> {
        self.filled = 0;
        self.filled = read(fd, &mut *self.bytes)?;
        Ok(self.filled)
    }
}

/// What comes before the first NUL: the kernel pads names. Looks at eight bytes at a time.
#[inline]
pub(crate) fn until_nul(padded: &[u8]) -> &[u8] {
    const ONES: u64 = u64::MAX / 0xff;

    let (words, rest) = padded.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        // A zero byte, and none below it, borrows from its own highest bit. So may bytes above 0x80, which are rare.
        let word = u64::from_le_bytes(*word);
        let borrowed = word.wrapping_sub(ONES) & (ONES << 7);
        if borrowed != 0 && borrowed & !word != 0 {
            let zeros = borrowed & !word;
            return padded.get(..len + zeros.trailing_zeros() as usize / 8).unwrap_or(padded);
        }
        len += 8;
    }
    if rest.is_empty() { padded } else { padded.get(..len + position_of_nul(rest)).unwrap_or(padded) }
}

/// Where the first NUL is, or the end. Out of line: the names of inotify come in whole words.
#[inline(never)]
fn position_of_nul(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())
}

#[test]
fn names_end_at_the_first_nul() {
    for len in 0..40 {
        for nul in 0..=len {
            let mut bytes = vec![0xffu8; len];
            for (i, byte) in bytes.iter_mut().enumerate().skip(nul) {
                *byte = [0, 1, 0x80, 0][(i - nul) % 4];
            }
            assert_eq!(until_nul(&bytes).len(), nul, "{bytes:?}");
        }
    }
}

impl Default for EventBuf {
    fn default() -> Self {
        Self::new()
    }
}
