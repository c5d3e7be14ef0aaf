use std::time::Duration;

/// How many powers of two are told apart: up to nine minutes.
const BUCKETS: usize = 40;

/// How long something took, each time: counted by powers of two nanoseconds, with the sum and the longest kept exactly.
///
/// ```
/// use becket_loop::Histogram;
/// use std::time::Duration;
///
/// let mut times = Histogram::default();
/// for micros in [3, 3, 90] {
///     times.record(Duration::from_micros(micros));
/// }
/// assert_eq!((times.count(), times.total()), (3, Duration::from_micros(96)));
/// // 3000 ns are below 4096 ns, and not below 2048.
/// assert_eq!(times.buckets().next(), Some((Duration::from_nanos(4096), 2)));
/// assert_eq!(times.quantile(0.5), Duration::from_nanos(4096));
/// assert_eq!(times.quantile(1.0), Duration::from_micros(90));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    count: u64,
    total: Duration,
    max: Duration,
    /// By the place of the highest bit of the nanoseconds; what is beyond the last counts there.
    buckets: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { count: 0, total: Duration::ZERO, max: Duration::ZERO, buckets: [0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one more.
    pub fn record(&mut self, took: Duration) {
        self.count += 1;
        self.total = self.total.saturating_add(took);
        self.max = self.max.max(took);
        let bucket = took.as_nanos().checked_ilog2().unwrap_or(0) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
    }

    /// Counts all that another one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
        self.max = self.max.max(other.max);
        self.buckets.iter_mut().zip(other.buckets).for_each(|(here, there)| *here += there);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long all of them took together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How long the longest took; zero where there was none.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The powers of two for which there were any, the shortest first: how many took less than this, and not less than
    /// half of it. The last, 2^40 ns, counts all that took longer, too.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let numbered = (1..).zip(self.buckets);
        numbered.filter(|(_, n)| *n > 0).map(|(bit, n)| (Duration::from_nanos(1 << bit), n))
    }

    /// How long that part of them took at most (0.5: the median), rounded up to a power of two nanoseconds, and never
    /// above the longest; zero where there was none. What is below 0 counts as 0, and above 1 as 1.
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = self.buckets().find(|(_, n)| {
            below += n;
            below >= wanted
        });
        // The last one has no upper end.
        found.map_or(self.max, |(end, _)| if end.as_nanos() >> BUCKETS > 0 { self.max } else { end.min(self.max) })
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;
    use std::time::Duration;

    #[test]
    fn everything_has_its_bucket() {
        let mut h = Histogram::default();
        assert_eq!((h.quantile(0.5), h.max(), h.buckets().count()), (Duration::ZERO, Duration::ZERO, 0));
        let times = [0, 1, 2, 3, 4, 1 << 39, (1 << 41) + 5].map(Duration::from_nanos);
        times.into_iter().chain([Duration::MAX]).for_each(|time| h.record(time));
        let buckets: Vec<_> = h.buckets().map(|(end, n)| (end.as_nanos(), n)).collect();
        assert_eq!(buckets, [(2, 2), (4, 2), (8, 1), (1 << 40, 3)]);
        assert_eq!((h.count(), h.total(), h.max()), (8, Duration::MAX, Duration::MAX));
        assert_eq!(h.quantile(0.5), Duration::from_nanos(4));
        assert_eq!((h.quantile(0.0), h.quantile(f64::NAN)), (Duration::from_nanos(2), Duration::from_nanos(2)));
        assert_eq!(h.quantile(2.0), Duration::MAX);
        let mut twice = h.clone();
        twice.merge(&h);
        assert_eq!((twice.count(), twice.buckets().next().unwrap().1), (16, 4));
    }
}
