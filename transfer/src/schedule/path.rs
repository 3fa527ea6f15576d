//! What is known about one path, and what it may carry.

use std::time::{Duration, Instant};

/// A way to the other side: one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u32);

/// Over how long the delivery rate is measured: several round trips of any path, several chunks at any rate for which the
/// cap is above its floor.
const RATE_WINDOW: Duration = Duration::from_secs(1);
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_millis(100);

/// How long the smallest round trip is believed; a route may change under a connection. BBR's (draft-ietf-ccwg-bbr,
/// `MinRTTFilterLen`).
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(10);

/// One path that is up.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) in_flight: u64,
    rate: RateWindow,
    round_trip: Option<SmallestRoundTrip>,
}

impl Path {
    pub(super) fn new(now: Instant) -> Self {
        Self { in_flight: 0, rate: RateWindow::new(now), round_trip: None }
    }

    pub(super) fn delivered(&mut self, now: Instant, bytes: u64) {
        self.rate.add(now, bytes);
    }

    pub(super) fn round_trip(&mut self, now: Instant, sample: Duration) {
        match &mut self.round_trip {
            Some(smallest) => smallest.add(now, sample),
            none => *none = Some(SmallestRoundTrip { current: sample, before: sample, since: now }),
        }
    }

    /// Bytes that may be in flight: twice the bandwidth-delay product, within the bounds.
    pub(super) fn cap(&self, now: Instant, floor: u64, ceiling: u64) -> u64 {
        let round_trip = self.round_trip.as_ref().map_or(0, |smallest| smallest.get().as_micros());
        let product = u128::from(self.rate.per_second(now)).saturating_mul(2 * round_trip) / 1_000_000;
        // A ceiling below the floor is the window speaking: it wins.
        u64::try_from(product).unwrap_or(u64::MAX).max(floor).min(ceiling)
    }

    /// About how long until something sent now is stored, in microseconds. Zero for a path without a measured rate: it
    /// has to be tried to be known.
    pub(super) fn delay(&self, now: Instant, bytes: u64) -> u128 {
        let rate = u128::from(self.rate.per_second(now));
        match rate {
            0 => 0,
            rate => u128::from(self.in_flight + bytes) * 1_000_000 / rate,
        }
    }
}

/// Bytes delivered over the last second, in ten slots.
#[derive(Debug)]
struct RateWindow {
    slots: [u64; SLOTS],
    newest: usize,
    /// When the newest slot began.
    since: Instant,
    /// When measuring began, or began again after a silence.
    start: Instant,
}

impl RateWindow {
    fn new(now: Instant) -> Self {
        Self { slots: [0; SLOTS], newest: 0, since: now, start: now }
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= 2 * RATE_WINDOW {
            *self = Self::new(now);
        }
        while now.saturating_duration_since(self.since) >= SLOT {
            self.newest = (self.newest + 1) % SLOTS;
            self.slots[self.newest] = 0;
            self.since += SLOT;
        }
        self.slots[self.newest] = self.slots[self.newest].saturating_add(bytes);
    }

    /// Bytes per second: what the slots hold, over the time that they stand for.
    fn per_second(&self, now: Instant) -> u64 {
        let bytes = self.slots.iter().fold(0_u64, |sum, slot| sum.saturating_add(*slot));
        let older = RATE_WINDOW.saturating_sub(SLOT);
        let covered = now.saturating_duration_since(self.since) + older;
        let span = covered.min(now.saturating_duration_since(self.start)).max(SLOT);
        u64::try_from(u128::from(bytes) * 1_000_000 / span.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The smallest of the last 10 to 20 seconds.
#[derive(Debug)]
struct SmallestRoundTrip {
    current: Duration,
    before: Duration,
    since: Instant,
}

impl SmallestRoundTrip {
    fn add(&mut self, now: Instant, sample: Duration) {
        if now.saturating_duration_since(self.since) >= ROUND_TRIP_WINDOW {
            (self.before, self.current, self.since) = (self.current, sample, now);
        }
        self.current = self.current.min(sample);
    }

    fn get(&self) -> Duration {
        self.current.min(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const FLOOR: u64 = 8 * MIB;
    const CEILING: u64 = 16 * MIB;

    /// A path that delivered a MiB every `every` for two seconds.
    fn busy(start: Instant, every: Duration, round_trip: Duration) -> (Path, Instant) {
        let mut path = Path::new(start);
        path.round_trip(start, round_trip);
        let mut now = start;
        while now < start + Duration::from_secs(2) {
            now += every;
            path.delivered(now, MIB);
        }
        (path, now)
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let start = Instant::now();
        let (mut path, mut now) = busy(start, Duration::from_millis(40), Duration::ZERO);
        let near = |rate: u64, expected: u64| rate.abs_diff(expected) < expected / 10;
        assert!(near(path.rate.per_second(now), 25 * MIB), "{}", path.rate.per_second(now));
        for _ in 0..200 {
            now += Duration::from_millis(10);
            path.delivered(now, MIB);
        }
        assert!(near(path.rate.per_second(now), 100 * MIB), "{}", path.rate.per_second(now));
        assert!(path.rate.per_second(now + Duration::from_mins(1)) < 2 * MIB);
        path.delivered(now + Duration::from_hours(1), 1);
        assert!(path.rate.per_second(now + Duration::from_hours(1)) <= 10);
    }

    #[test]
    fn the_cap_is_twice_the_product_within_its_bounds() {
        let start = Instant::now();
        let cap = |every, round_trip| {
            let (path, now) = busy(start, Duration::from_millis(every), Duration::from_millis(round_trip));
            path.cap(now, FLOOR, CEILING)
        };
        assert_eq!(Path::new(start).cap(start, FLOOR, CEILING), FLOOR);
        assert_eq!(cap(40, 20), FLOOR);
        let middle = cap(40, 250);
        assert!((12 * MIB..14 * MIB).contains(&middle), "{middle}");
        assert_eq!(cap(10, 300), CEILING);
        let (path, now) = busy(start, Duration::from_millis(40), Duration::ZERO);
        assert_eq!(path.cap(now, FLOOR, MIB), MIB);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let now = Instant::now();
        let mut path = Path::new(now);
        path.delivered(now, u64::MAX);
        path.delivered(now + SLOT, u64::MAX);
        path.round_trip(now, Duration::MAX / 4);
        assert_eq!(path.cap(now, FLOOR, CEILING), CEILING);
        assert_eq!(path.delay(now, MIB), 0);
    }

    #[test]
    fn a_round_trip_is_forgotten_after_twenty_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut path = Path::new(start);
        let ms = Duration::from_millis;
        path.round_trip(at(0), ms(20));
        path.round_trip(at(1), ms(90));
        assert_eq!(path.round_trip.as_ref().unwrap().get(), ms(20));
        path.round_trip(at(11), ms(80));
        assert_eq!(path.round_trip.as_ref().unwrap().get(), ms(20));
        path.round_trip(at(22), ms(70));
        assert_eq!(path.round_trip.as_ref().unwrap().get(), ms(70));
    }
}
