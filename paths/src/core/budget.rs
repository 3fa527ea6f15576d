//! A bucket of tokens: so many at once, and so many in a second.

use super::Moment;
use std::time::Duration;

pub(crate) struct Budget {
    /// Most tokens there are at once.
    capacity: u32,
    /// After how long there is one more.
    every: Duration,
    tokens: u32,
    filled: Moment,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(capacity: u32, every: Duration) -> Self {
        Self { capacity, every, tokens: capacity, filled: Moment::ZERO }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let passed = now.saturating_sub(self.filled);
        let came = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if came >= self.capacity - self.tokens {
            (self.tokens, self.filled) = (self.capacity, now);
        } else {
            self.tokens += came;
            self.filled += self.every * came;
        }
        let taken = self.tokens > 0;
        self.tokens -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_bounded_and_so_is_the_rate_after_it() {
        let mut budget = Budget::new(5, Duration::from_millis(10));
        let at = Duration::from_millis;
        assert_eq!((0..20).filter(|_| budget.take(at(1_000))).count(), 5);
        assert!(!budget.take(at(1_009)));
        assert!(budget.take(at(1_010)));
        let taken = (1_010..2_010).filter(|&now| budget.take(at(now))).count();
        assert!((99..=101).contains(&taken), "{taken}");
        assert_eq!((0..20).filter(|_| budget.take(at(9_000))).count(), 5);
    }
}
