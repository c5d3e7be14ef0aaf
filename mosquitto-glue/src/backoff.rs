//! How long to wait before the next attempt.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

/// Exponential back-off with full jitter: attempt n waits for anything between nothing and `min * 2^n`, at most
/// `max`. The jitter spreads a fleet of clients whose broker came back. It begins anew after a connection that stood for
/// `max`: a broker that accepts and closes at once is not called ever so often.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempt: u32,
    /// Since when the connection stands.
    up: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max: max.max(min), attempt: 0, up: None }
    }

    /// The upper end of the next wait.
    fn ceiling(&self) -> Duration {
        self.min.saturating_mul(1 << self.attempt.min(31)).min(self.max)
    }

    /// The wait after an attempt that failed, or a connection that was lost.
    pub(crate) fn next(&mut self) -> Duration {
        if self.up.take().is_some_and(|up| up.elapsed() >= self.max) {
            self.attempt = 0;
        }
        let ceiling = self.ceiling();
        self.attempt = self.attempt.saturating_add(1);
        ceiling.mul_f64(f64::from((random() >> 32) as u32) / f64::from(u32::MAX))
    }

    /// A connection stands.
    pub(crate) fn up(&mut self) {
        self.up = Some(Instant::now());
    }
}

/// A number that differs between processes and between calls: the standard library seeds its hash maps from the
/// system's entropy, and that is enough here, where nothing is secret.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let ceilings = |backoff: &mut Backoff| {
            let ceiling = backoff.ceiling();
            assert!(backoff.next() <= ceiling);
            ceiling.as_secs()
        };
        assert_eq!([0; 4].map(|_| ceilings(&mut backoff)), [1, 2, 4, 5]);
        for _ in 0..100 {
            backoff.next();
        }
        assert_eq!(ceilings(&mut backoff), 5);
    }

    #[test]
    fn only_a_connection_that_stood_begins_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(3600));
        for attempt in 0..10 {
            backoff.up();
            assert_eq!(backoff.ceiling(), Duration::from_millis(1 << attempt));
            backoff.next();
        }
        backoff.max = Duration::from_millis(4);
        backoff.up();
        std::thread::sleep(backoff.max);
        backoff.next();
        assert_eq!(backoff.ceiling(), Duration::from_millis(2));
    }

    #[test]
    fn waits_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let first = backoff.next();
        assert!((0..20).any(|_| backoff.next() != first));
    }
}
