//! How often one side of a transfer sets its value: so many at once, then so many in a second. A client waits before it sends, and a
//! server before it reads on.

use hypersend_protocol::limit::{MAX_SIGNALS_AT_ONCE, SIGNALS_PER_SECOND};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Between two values that are not at once.
const EVERY: Duration = Duration::from_millis(1_000 / SIGNALS_PER_SECOND as u64);

/// The pace of one signal stream: the generic cell rate algorithm.
#[derive(Debug)]
pub struct SignalPace {
    /// When as many as are allowed at once may come again.
    free: Instant,
}

impl Default for SignalPace {
    fn default() -> Self {
        Self { free: Instant::now() }
    }
}

impl SignalPace {
    /// Returns when another value may come. Cancel safe.
    pub async fn ready(&self) {
        if let Some(at) = self.next() {
            sleep_until(at).await;
        }
    }

    /// Counts a value.
    pub fn count(&mut self) {
        self.count_at(Instant::now());
    }

    /// When another value may come; none when at any time.
    fn next(&self) -> Option<Instant> {
        self.free.checked_sub(EVERY * (MAX_SIGNALS_AT_ONCE - 1))
    }

    fn count_at(&mut self, now: Instant) {
        self.free = self.free.max(now) + EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_in_a_second() {
        let start = Instant::now() + Duration::from_hours(1);
        let (mut pace, mut now) = (SignalPace::default(), start);
        let mut count = |values: u32| {
            for _ in 0..values {
                now = pace.next().map_or(now, |at| at.max(now));
                pace.count_at(now);
            }
            now - start
        };
        assert_eq!(count(MAX_SIGNALS_AT_ONCE), Duration::ZERO);
        assert_eq!(count(SIGNALS_PER_SECOND), Duration::from_secs(1));
    }
}
