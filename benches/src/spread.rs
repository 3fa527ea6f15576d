//! Percentiles of durations.

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// How a set of durations spreads. All zero for an empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// How many there are.
    pub(crate) count: usize,
    /// Half are at most this long.
    pub(crate) p50: Duration,
    /// 99 in 100 are at most this long.
    pub(crate) p99: Duration,
    /// The longest.
    pub(crate) max: Duration,
}

impl Spread {
    /// Of these durations, in any order.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |percent| percentile(&durations, percent).copied().unwrap_or_default();
        Self { count: durations.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} / {}", millis(self.p50), millis(self.p99), millis(self.max))
    }
}

/// In milliseconds, without the unit.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}

/// The middle value; the lower of two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    percentile(&values, 50).copied().unwrap_or(f64::NAN)
}

/// The nearest-rank percentile: the smallest value that so many in a hundred do not exceed.
fn percentile<T>(sorted: &[T], percent: usize) -> Option<&T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1))
}

/// A count as a number to calculate with: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "bytes and messages of a measurement are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect());
        let ms = Duration::from_millis;
        assert_eq!(spread, Spread { count: 200, p50: ms(100), p99: ms(198), max: ms(200) });
        assert_eq!(Spread::of(vec![ms(7)]), Spread { count: 1, p50: ms(7), p99: ms(7), max: ms(7) });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn the_median_of_two_is_the_lower() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![2.0, 1.0]) - 1.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}
