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
pub(crate) fn until_nul(padded: &[u8]) -> &[u8] {
    let (words, rest) = padded.as_chunks::<8>();
    let in_words = words.iter().enumerate().find_map(|(i, word)| {
        // A zero byte, and none below it, borrows from its own highest bit.
        let word = u64::from_le_bytes(*word);
        let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
        (zeros != 0).then(|| i * 8 + zeros.trailing_zeros() as usize / 8)
    });
    let in_rest = || rest.iter().position(|byte| *byte == 0).map(|i| words.len() * 8 + i);
    &padded[..in_words.or_else(in_rest).unwrap_or(padded.len())]
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
