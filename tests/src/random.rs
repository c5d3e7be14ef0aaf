//! Chance that can be had again: the same seed, the same numbers.

use std::ops::Range;
use std::time::{Duration, SystemTime};

/// A source of numbers: splitmix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From the environment variable `BECKET_SEED`, else from the clock; prints the seed.
    pub fn seeded() -> Random {
        let clock = || SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as u64;
        let given = std::env::var("BECKET_SEED").ok().map(|seed| seed.parse().expect("BECKET_SEED is a number"));
        let seed = given.unwrap_or_else(clock);
        println!("BECKET_SEED={seed}");
        Random(seed)
    }

    /// Another source, whose numbers depend on nothing but the seed and how often this one was asked.
    pub fn branch(&mut self) -> Random {
        Random(self.next())
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number within the range, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// A time of that many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// Bytes.
    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
