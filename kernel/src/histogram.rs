//! A histogram of latencies: log-linear buckets, as `HdrHistogram`'s, within 1/128 of every value.
//!
//! Values below 256 are counted exactly; above, each power of two is cut into 128 buckets. The whole
//! of u64 is covered by 7,424 buckets, allocated as far as values reach (1 s in us: 13 KB).
//!
//! A generator that waits for an answer before it asks again doesn't ask while the broker stands
//! still, and so leaves out just the slow ones (*coordinated omission*). [`Histogram::record_spaced`]
//! adds the questions that would have been asked in between.

const SUB_BITS: u32 = 7;
const SUB_COUNT: u64 = 1 << SUB_BITS;

/// Counts of values, in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// A bucket that holds something: its lowest and highest value and how many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub lowest: u64,
    pub highest: u64,
    pub count: u64,
}

fn index_of(value: u64) -> usize {
    let shift = (u64::BITS - (value | 1).leading_zeros()).saturating_sub(SUB_BITS + 1);
    ((shift as u64) * SUB_COUNT + (value >> shift)) as usize
}

fn lowest_of(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_COUNT {
        return index;
    }
    let shift = index / SUB_COUNT - 1;
    (index % SUB_COUNT + SUB_COUNT) << shift
}

fn highest_of(index: usize) -> u64 {
    let shift = (index as u64 / SUB_COUNT).saturating_sub(1);
    lowest_of(index) + ((1 << shift) - 1)
}

// Ranks and means are good to 2^53 values, which is a century of them.
#[allow(clippy::cast_precision_loss)]
impl Histogram {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn record(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.min = if self.count == 0 {
            value
        } else {
            self.min.min(value)
        };
        self.max = self.max.max(value);
        self.sum += value as u128 * count as u128;
        self.count += count;
        let index = index_of(value);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += count;
    }

    /// Records `value` and, where it is longer than the `interval` at which one meant to measure, the
    /// values `value - interval`, `value - 2 * interval`, ... not below `interval` that were missed.
    /// O(buckets), whatever the two are.
    pub fn record_spaced(&mut self, value: u64, interval: u64) {
        assert!(interval > 0, "an interval of nothing");
        self.record(value, 1);
        let mut missed = value.saturating_sub(interval);
        while missed >= interval {
            let lowest = lowest_of(index_of(missed)).max(interval);
            let same_bucket = (missed - lowest) / interval + 1;
            let last = missed - (same_bucket - 1) * interval;
            self.record(missed, 1);
            if same_bucket > 1 {
                self.record(last, same_bucket - 1);
                // The sum of an arithmetic series, not of its last member that often.
                let offset = interval as u128 * (same_bucket - 1) as u128;
                self.sum += offset * (same_bucket - 2) as u128 / 2;
            }
            missed = last - interval;
        }
    }

    pub fn merge(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.min = if self.count == 0 {
            other.min
        } else {
            self.min.min(other.min)
        };
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The smallest value, to within its bucket, that `percent` of all values don't exceed; 0 of none.
    pub fn percentile(&self, percent: f64) -> u64 {
        assert!((0.0..=100.0).contains(&percent), "{percent} percent");
        let rank =
            ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(index).clamp(self.min, self.max);
            }
        }
        0
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn min(&self) -> u64 {
        self.min
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| Bucket {
                lowest: lowest_of(index),
                highest: highest_of(index),
                count: *count,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gap_and_hold_their_values() {
        for index in 0..7423 {
            assert_eq!(highest_of(index) + 1, lowest_of(index + 1), "{index}");
            assert_eq!(index_of(lowest_of(index)), index);
            assert_eq!(index_of(highest_of(index)), index);
        }
        assert_eq!(index_of(u64::MAX), 7423);
        assert_eq!(highest_of(7423), u64::MAX);
    }

    #[test]
    fn spaced_values_are_those_recorded_one_by_one() {
        for (value, interval) in [
            (1000, 3),
            (70_000, 7),
            (999, 1000),
            (1000, 1000),
            (2000, 1000),
            (0, 5),
        ] {
            let mut quick = Histogram::new();
            quick.record_spaced(value, interval);
            let mut slow = Histogram::new();
            slow.record(value, 1);
            let mut missed = value.saturating_sub(interval);
            while missed >= interval {
                slow.record(missed, 1);
                missed -= interval;
            }
            assert_eq!(quick, slow, "{value} every {interval}");
        }
    }

    #[test]
    fn a_long_stall_costs_no_more_than_the_buckets() {
        let mut histogram = Histogram::new();
        histogram.record_spaced(u64::MAX, 1);
        assert_eq!(histogram.count(), u64::MAX);
    }
}
