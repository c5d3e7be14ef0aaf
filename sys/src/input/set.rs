use std::ffi::c_ulong;
use std::fmt;

/// `KEY_CNT`, the most of any kind.
const CODES: usize = 0x300;
const WORDS: usize = CODES / 64;

/// A set of codes of one kind: what a device can do, or what is pressed, lit or on.
///
/// Codes go up to 767, which no kind exceeds.
///
/// ```
/// use becket_sys::input::{CodeSet, codes};
///
/// let set = CodeSet::from_iter([codes::KEY_B, codes::KEY_A]);
/// assert!(set.contains(codes::KEY_A) && !set.contains(codes::KEY_C) && !set.contains(u16::MAX));
/// assert_eq!(set.iter().collect::<Vec<_>>(), [codes::KEY_A, codes::KEY_B]);
/// assert_eq!(set.len(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CodeSet {
    words: [u64; WORDS],
}

impl CodeSet {
    /// How many bytes the kernel writes at most.
    pub(super) const BYTES: usize = CODES / 8;

    /// No code.
    pub fn new() -> CodeSet {
        CodeSet::default()
    }

    /// Every code, also those that no device has.
    pub fn all() -> CodeSet {
        CodeSet { words: [u64::MAX; WORDS] }
    }

    /// The set that the kernel wrote as a bitmap: an array of `long`. What is missing at its end is none, what is too
    /// much there is passed over.
    pub fn from_bitmap(bytes: &[u8]) -> CodeSet {
        const LONG: usize = size_of::<c_ulong>();
        let mut set = CodeSet::new();
        for (i, long) in bytes.chunks(LONG).enumerate() {
            // A part of a long is its first bytes.
            let mut whole = [0; LONG];
            whole[..long.len()].copy_from_slice(long);
            let bits = c_ulong::from_ne_bytes(whole);
            let codes = (0..8 * LONG).filter(|bit| bits >> bit & 1 == 1).map(|bit| i * 8 * LONG + bit);
            set.extend(codes.filter_map(|code| u16::try_from(code).ok()));
        }
        set
    }

    /// The bitmap that the kernel takes.
    pub(super) fn to_bitmap(self) -> [u8; CodeSet::BYTES] {
        const LONG: usize = size_of::<c_ulong>();
        let mut bytes = [0; CodeSet::BYTES];
        for (i, long) in bytes.chunks_mut(LONG).enumerate() {
            let first = i * 8 * LONG;
            let bits = (0..8 * LONG).filter(|bit| self.contains((first + bit) as u16));
            long.copy_from_slice(&bits.fold(0, |long: c_ulong, bit| long | 1 << bit).to_ne_bytes());
        }
        bytes
    }

    /// Whether a code is in the set.
    pub fn contains(&self, code: u16) -> bool {
        let code = usize::from(code);
        self.words.get(code / 64).is_some_and(|word| word >> (code % 64) & 1 == 1)
    }

    /// Puts a code into the set, or takes it out. Those above 767 are passed over.
    pub fn set(&mut self, code: u16, on: bool) {
        let code = usize::from(code);
        if let Some(word) = self.words.get_mut(code / 64) {
            let bit = 1 << (code % 64);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    /// How many codes there are.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == CodeSet::new()
    }

    /// The codes, from low to high.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<> {
        let set = *self;
        (0..CODES as u16).filter(move |code| set.contains(*code))
    }

    /// The codes that are in one of the two sets only.
    pub fn symmetric_difference(&self, other: &CodeSet) -> CodeSet {
        let mut words = self.words;
        words.iter_mut().zip(other.words).for_each(|(word, other)| *word ^= other);
        CodeSet { words }
    }
}

impl Extend<u16> for CodeSet {
    fn extend<T: IntoIterator<Item = u16>>(&mut self, codes: T) {
        codes.into_iter().for_each(|code| self.set(code, true));
    }
}

impl FromIterator<u16> for CodeSet {
    fn from_iter<T: IntoIterator<Item = u16>>(codes: T) -> CodeSet {
        let mut set = CodeSet::new();
        set.extend(codes);
        set
    }
}

impl fmt::Debug for CodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
