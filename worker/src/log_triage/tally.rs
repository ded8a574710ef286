//! Counting: how often and when, for whom, and where errors came in bursts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// How often something occurred, and when first and last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occurrences {
    pub count: u64,
    /// Absent if none of them had a time.
    pub first: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
}

impl Occurrences {
    pub fn add(&mut self, at: Option<DateTime<Utc>>) {
        self.merge(Self { count: 1, first: at, last: at });
    }

    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }
}

/// Occurrences by source, by its place in the log index.
#[derive(Debug, Clone, Default)]
pub struct BySource(BTreeMap<usize, Occurrences>);

impl BySource {
    pub fn add(&mut self, source: usize, at: Option<DateTime<Utc>>) {
        self.0.entry(source).or_default().add(at);
    }

    pub fn merge(&mut self, other: &Self) {
        for (source, occurrences) in other.iter() {
            self.0.entry(source).or_default().merge(occurrences);
        }
    }

    /// Those of one source, if it had any.
    pub fn of(&self, source: usize) -> Option<Occurrences> {
        self.0.get(&source).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, Occurrences)> {
        self.0.iter().map(|(&source, &occurrences)| (source, occurrences))
    }

    /// All sources together.
    pub fn total(&self) -> Occurrences {
        let mut total = Occurrences::default();
        self.0.values().for_each(|one| total.merge(*one));
        total
    }
}

/// Buckets that a [`Rate`] has at most.
const MAX_BUCKETS: usize = 512;
/// Width of a bucket at first, in seconds; doubled when there are too many.
const FIRST_WIDTH: i64 = 10;
/// Fewer errors in one bucket are no burst.
const BURST_AT_LEAST: u64 = 10;
/// A burst has so many times the usual number of errors per bucket.
const BURST_FACTOR: f64 = 5.0;
/// A log that covers fewer buckets has no usual number.
const MIN_BUCKETS: i64 = 4;

/// Errors of one source over time, in a bounded number of buckets.
#[derive(Debug, Clone)]
pub struct Rate {
    width: i64,
    buckets: BTreeMap<i64, u64>,
}

/// A time in which there were many more errors than usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub count: u64,
    /// Most errors in one bucket of it.
    pub peak: u64,
    /// Errors per bucket outside of it.
    pub usual: f64,
    /// Width of a bucket.
    pub bucket_seconds: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, buckets: BTreeMap::new() }
    }
}

impl Rate {
    pub fn add(&mut self, at: DateTime<Utc>) {
        *self.buckets.entry(at.timestamp().div_euclid(self.width)).or_default() += 1;
        while self.buckets.len() > MAX_BUCKETS {
            self.width *= 2;
            let finer = std::mem::take(&mut self.buckets);
            for (bucket, count) in finer {
                *self.buckets.entry(bucket.div_euclid(2)).or_default() += count;
            }
        }
    }

    /// The bursts in a log that covers this time, in order.
    pub fn bursts(&self, first: DateTime<Utc>, last: DateTime<Utc>) -> Vec<Burst> {
        let covered = last.timestamp().div_euclid(self.width) - first.timestamp().div_euclid(self.width) + 1;
        if covered < MIN_BUCKETS {
            return Vec::new();
        }
        let total: u64 = self.buckets.values().sum();
        let is_hot = |count: u64| {
            let usual = (total - count) as f64 / (covered - 1) as f64;
            count >= BURST_AT_LEAST && count as f64 >= BURST_FACTOR * usual
        };
        let hot: Vec<(i64, u64)> = self
            .buckets
            .iter()
            .map(|(&at, &count)| (at, count))
            .filter(|&(_, count)| is_hot(count))
            .collect();
        let in_bursts: u64 = hot.iter().map(|&(_, count)| count).sum();
        let calm = (covered - hot.len() as i64).max(1);
        let usual = (total - in_bursts) as f64 / calm as f64;
        let mut bursts: Vec<(i64, Burst)> = Vec::new();
        for (at, count) in hot {
            match bursts.last_mut() {
                Some((end, burst)) if *end + 1 == at => {
                    *end = at;
                    burst.to = self.time(at + 1);
                    burst.count += count;
                    burst.peak = burst.peak.max(count);
                }
                Some(_) | None => {
                    let (from, to) = (self.time(at), self.time(at + 1));
                    let bucket_seconds = self.width.unsigned_abs();
                    bursts.push((at, Burst { from, to, count, peak: count, usual, bucket_seconds }));
                }
            }
        }
        bursts.into_iter().map(|(_, burst)| burst).collect()
    }

    fn time(&self, bucket: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(bucket.saturating_mul(self.width), 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn rate(seconds: impl IntoIterator<Item = i64>) -> Rate {
        let mut rate = Rate::default();
        seconds.into_iter().for_each(|second| rate.add(at(second)));
        rate
    }

    #[test]
    fn a_burst_stands_out_from_its_own_log() {
        let calm = (0..600).step_by(30);
        let burst = (300..315).flat_map(|second| [second; 4]);
        let found = rate(calm.clone().chain(burst)).bursts(at(0), at(599));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].from, found[0].to), (at(300), at(320)));
        assert_eq!((found[0].count, found[0].peak), (61, 41));
        assert!((found[0].usual - 19.0 / 58.0).abs() < 1e-9, "{}", found[0].usual);
        assert_eq!(rate(calm).bursts(at(0), at(599)), [], "few errors are no burst");
    }

    #[test]
    fn steady_errors_and_short_logs_are_no_bursts() {
        assert_eq!(rate((0..600).flat_map(|second| [second; 3])).bursts(at(0), at(599)), []);
        assert_eq!(rate([0; 100]).bursts(at(0), at(15)), [], "two buckets have no usual number");
    }

    #[test]
    fn buckets_stay_bounded_whatever_the_times_are() {
        let rate = rate((0..1_000_000).step_by(10).chain([-1_600_000_000, 200_000_000_000]));
        assert!(rate.buckets.len() <= MAX_BUCKETS);
        assert_eq!(rate.buckets.values().sum::<u64>(), 100_002);
        rate.bursts(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn occurrences_without_a_time_count() {
        let mut seen = Occurrences::default();
        [None, Some(at(5)), None, Some(at(2))].into_iter().for_each(|at| seen.add(at));
        assert_eq!(seen, Occurrences { count: 4, first: Some(at(2)), last: Some(at(5)) });
    }
}
