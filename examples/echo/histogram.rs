//! Latencies in buckets, two per cent apart: any number of them in 16 KiB.
//!
//! The buckets of an octave are equally wide, as in Gil Tene's HdrHistogram.

use std::time::Duration;

/// Buckets an octave, as a power of two.
const BITS: u32 = 5;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    pub fn add(&mut self, latency: Duration) {
        self.buckets[bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX))] += 1;
        self.count += 1;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    /// The latency that `share` of all do not exceed; `share` is between 0 and 1.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut below = 0;
        let found = self.buckets.iter().position(|count| {
            below += count;
            below >= rank && below > 0
        });
        Duration::from_nanos(found.map_or(0, middle))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }
}

/// Values below the first octave have a bucket each; the highest bit of others is the octave, the next ones the bucket.
fn bucket(value: u64) -> usize {
    let octave = (value | 1).ilog2().saturating_sub(BITS);
    ((octave as usize) << BITS) + (value >> octave) as usize
}

fn middle(bucket: usize) -> u64 {
    let octave = (bucket >> BITS).saturating_sub(1);
    let first = (bucket - (octave << BITS)) as u64;
    (first << octave) + ((1 << octave) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let values =
            (0..200).chain((8..64).flat_map(|octave| [(1 << octave) - 1, 1 << octave])).chain([u64::MAX]);
        let mut last = 0;
        for value in values {
            let bucket = bucket(value);
            assert!(bucket < BUCKETS && bucket >= last);
            assert!(middle(bucket).abs_diff(value) <= value / 50, "{value}: {}", middle(bucket));
            last = bucket;
        }
    }

    #[test]
    fn quantiles() {
        let mut latencies = Histogram::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        (1..=1000).for_each(|us| latencies.add(Duration::from_micros(us)));
        for (share, us) in [(0.0, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let found = latencies.quantile(share).as_nanos() as i64;
            assert!((found - us * 1000).abs() <= us * 20, "{share}: {found}");
        }
    }
}
