//! Holds each session to a rate, however much capacity there is: a bucket of bytes that fills at that rate.
//!
//! What has been passed on for a session is never more than the rate times its time, [`CATCH_UP`] of it, and [`FLOOR`].

use crate::shares::{CATCH_UP, FLOOR, ROUND, in_time};
use std::time::Duration;

/// The buckets of all sessions, by a session's place in the table.
pub(crate) struct Caps {
    /// Bytes in a second; none for no bound.
    rate: Option<u64>,
    places: Vec<Bucket>,
}

#[derive(Clone, Default)]
struct Bucket {
    bytes: u64,
    /// When it was filled last.
    filled: Duration,
}

impl Caps {
    pub(crate) fn new(rate: Option<u64>, sessions: usize) -> Self {
        let sessions = if rate.is_some() { sessions } else { 0 };
        Self { rate, places: vec![Bucket::default(); sessions] }
    }

    /// A session begins at this place.
    pub(crate) fn begin(&mut self, now: Duration, place: usize) {
        if let Some(bucket) = self.places.get_mut(place) {
            *bucket = Bucket { bytes: FLOOR, filled: now };
        }
    }

    /// How many of these bytes the session at this place may pass on: all, or whole segments. They are paid for.
    pub(crate) fn take(&mut self, now: Duration, place: usize, bytes: usize, segment: usize) -> usize {
        let Some(rate) = self.rate else { return bytes };
        let bucket = &mut self.places[place];
        let since = now.saturating_sub(bucket.filled);
        // Not for each datagram: what is rounded down would add up.
        if since >= ROUND {
            let most = FLOOR.saturating_add(in_time(rate, CATCH_UP));
            bucket.bytes = bucket.bytes.saturating_add(in_time(rate, since)).min(most);
            bucket.filled = now;
        }
        let there = usize::try_from(bucket.bytes).unwrap_or(usize::MAX);
        let granted = if there >= bytes { bytes } else { there - there % segment };
        bucket.bytes -= granted as u64;
        granted
    }

    /// Gives back what was paid and not passed on.
    pub(crate) fn give_back(&mut self, place: usize, bytes: usize) {
        if let Some(bucket) = self.places.get_mut(place) {
            bucket.bytes += bytes as u64;
        }
    }
}
