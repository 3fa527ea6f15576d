//! How far a transfer is, how fast it goes, and how long it will take. The clock is an argument.

use std::time::{Duration, Instant};

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The file's size in bytes.
    pub total_bytes: u64,
    /// Bytes that are stored, those of earlier sessions included.
    pub stored_bytes: u64,
    /// Those of them that earlier sessions had stored.
    pub resumed_bytes: u64,
    /// Smoothed rate since the start or the last interruption, in bytes per second.
    pub bytes_per_second: u64,
    /// Time left at that rate; `None` while nothing moves.
    pub remaining: Option<Duration>,
}

/// What is older than a few of these hardly counts in the rate. Five seconds: calm enough to read, quick enough to believe.
const MEMORY: Duration = Duration::from_secs(5);

/// Readings closer together than this are gathered into one: chunks land in bursts.
const SHORTEST_STEP: Duration = Duration::from_millis(100);

/// Measures one session of one transfer.
#[derive(Clone, Debug)]
pub struct Meter {
    total_bytes: u64,
    stored_bytes: u64,
    resumed_bytes: u64,
    start: Instant,
    last: Reading,
    smoothed: f64,
}

/// What the smoothed rate has taken in.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    stored_bytes: u64,
}

impl Meter {
    /// Starts measuring a file of which some bytes may be stored already; those do not count in the rate.
    pub fn new(now: Instant, total_bytes: u64, stored_bytes: u64) -> Self {
        Self {
            total_bytes,
            stored_bytes,
            resumed_bytes: stored_bytes,
            start: now,
            last: Reading { at: now, stored_bytes },
            smoothed: 0.0,
        }
    }

    /// Goes on after an interruption, which says nothing about how fast it will be from now on.
    pub fn resume(&mut self, now: Instant, stored_bytes: u64) {
        *self = Self { resumed_bytes: self.resumed_bytes, ..Self::new(now, self.total_bytes, stored_bytes) };
    }

    /// Says how many bytes are stored by now.
    pub fn update(&mut self, now: Instant, stored_bytes: u64) {
        self.stored_bytes = stored_bytes;
        let step = now.saturating_duration_since(self.last.at);
        if step >= SHORTEST_STEP {
            self.smoothed = self.smoothed_at(step);
            self.last = Reading { at: now, stored_bytes };
        }
    }

    /// A reading. Also without updates the rate sinks as time passes, so that a stalled transfer does not look alive.
    pub fn progress(&self, now: Instant) -> Progress {
        let step = now.saturating_duration_since(self.last.at);
        let smoothed = if step >= SHORTEST_STEP { self.smoothed_at(step) } else { self.smoothed };
        // The weights given so far add up to this, not to one: without it the first seconds would read too slow.
        let weights = 1.0 - decay(self.last.at.max(now).saturating_duration_since(self.start));
        let rate = if weights > 0.0 { smoothed / weights } else { 0.0 };
        let left = self.total_bytes.saturating_sub(self.stored_bytes);
        Progress {
            total_bytes: self.total_bytes,
            stored_bytes: self.stored_bytes,
            resumed_bytes: self.resumed_bytes,
            bytes_per_second: whole(rate),
            remaining: if left == 0 {
                Some(Duration::ZERO)
            } else {
                Duration::try_from_secs_f64(float(left) / rate).ok()
            },
        }
    }

    fn smoothed_at(&self, step: Duration) -> f64 {
        let landed = self.stored_bytes.saturating_sub(self.last.stored_bytes);
        let kept = decay(step);
        self.smoothed * kept + float(landed) / step.as_secs_f64() * (1.0 - kept)
    }
}

fn decay(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

#[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and the cast saturates")]
fn whole(rate: f64) -> u64 {
    rate as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn near(actual: u64, expected: u64) -> bool {
        actual.abs_diff(expected) * 100 <= expected
    }

    #[test]
    fn a_steady_rate_is_read_from_the_start_and_old_bytes_do_not_count() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 1_000 * MB, 600 * MB);
        assert_eq!(meter.progress(start).remaining, None);
        for step in 1..=100 {
            let now = start + Duration::from_millis(100 * step);
            meter.update(now, 600 * MB + step * MB);
            let progress = meter.progress(now);
            assert!(near(progress.bytes_per_second, 10 * MB), "{progress:?}");
            let left = Duration::from_millis((400 - step) * 100);
            assert!(progress.remaining.unwrap().abs_diff(left) < left / 50, "{progress:?}");
        }
    }

    #[test]
    fn bursts_read_like_the_rate_they_add_up_to() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 1_000 * MB, 0);
        for step in 1..=200_u64 {
            let now = start + Duration::from_millis(20 * step);
            meter.update(now, step / 10 * 2 * MB);
        }
        let rate = meter.progress(start + Duration::from_secs(4)).bytes_per_second;
        assert!((9 * MB..11 * MB).contains(&rate), "{rate}");
    }

    #[test]
    fn a_stall_sinks_and_an_end_has_no_time_left() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(start, 100 * MB, 0);
        meter.update(at(5), 50 * MB);
        assert!(near(meter.progress(at(5)).bytes_per_second, 10 * MB));
        assert!(meter.progress(at(30)).bytes_per_second < MB);
        assert_eq!(meter.progress(at(1_000_000)).bytes_per_second, 0);
        meter.update(at(31), 100 * MB);
        assert_eq!(meter.progress(at(31)).remaining, Some(Duration::ZERO));
    }

    #[test]
    fn an_interruption_counts_neither_as_slow_nor_as_an_earlier_session() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(start, 1_000 * MB, 300 * MB);
        meter.update(at(5), 350 * MB);
        meter.resume(at(60), 350 * MB);
        meter.update(at(61), 360 * MB);
        let progress = meter.progress(at(61));
        assert!(near(progress.bytes_per_second, 10 * MB), "{progress:?}");
        assert_eq!((progress.stored_bytes, progress.resumed_bytes), (360 * MB, 300 * MB));
    }

    #[test]
    fn a_clock_that_stands_still_and_bytes_that_shrink_do_no_harm() {
        let start = Instant::now();
        let mut meter = Meter::new(start, 100 * MB, 50 * MB);
        meter.update(start, 60 * MB);
        meter.update(start + Duration::from_secs(1), 40 * MB);
        let progress = meter.progress(start);
        assert_eq!((progress.stored_bytes, progress.bytes_per_second), (40 * MB, 0));
    }
}
